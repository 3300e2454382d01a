/* What goes out: which ops have something for which rank, and what comes first. */
#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "collectives/exec/exec_internal.h"

/* So many results in a row, then a contribution if there is one: ops that only pass results on must not starve
 * others. */
#define RESULTS_IN_A_ROW 3

/* ---- tokens: the op's handle, how often that was used before, the segment (or the slot it is packed in), and what was
 * sent of it ---- */

#define TOKEN_LOCAL_BITS 16
#define TOKEN_HANDLE_BITS 20
#define TOKEN_GENERATION_BITS (64 - 2 - TOKEN_LOCAL_BITS - TOKEN_HANDLE_BITS)

static uint64_t low_bits(uint64_t value, uint32_t bits)
{
	return value & ((UINT64_C(1) << bits) - 1);
}

static void *make_token(const struct pccl_exec *exec, const struct op *op, uint32_t local, enum token_kind kind)
{
	uint64_t bits = exec->table.handles[op->handle].generation;

	if (kind == TOKEN_INERT)
		return NULL;
	bits = bits << TOKEN_HANDLE_BITS | op->handle;
	bits = bits << TOKEN_LOCAL_BITS | local;
	return (void *)(uintptr_t)(bits << 2 | (uint64_t)kind);
}

void pccl_exec_sent(struct pccl_exec *exec, void *token)
{
	uint64_t bits = (uint64_t)(uintptr_t)token;
	enum token_kind kind = (enum token_kind)(bits & 3);
	uint32_t local = (uint32_t)low_bits(bits >> 2, TOKEN_LOCAL_BITS);
	uint32_t handle = (uint32_t)low_bits(bits >> (2 + TOKEN_LOCAL_BITS), TOKEN_HANDLE_BITS);
	uint64_t generation = bits >> (2 + TOKEN_LOCAL_BITS + TOKEN_HANDLE_BITS);
	struct op *op;

	if (kind == TOKEN_INERT || handle >= exec->table.room)
		return;
	op = exec->table.handles[handle].op;
	if (op == NULL || op->state != OP_OPEN)
		return;
	if (low_bits(exec->table.handles[handle].generation, TOKEN_GENERATION_BITS) != generation)
		return;
	if (kind == TOKEN_PACKED && !pack_sent(exec, op, local, &local, &kind))
		return;
	if (kind == TOKEN_SUM)
		sum_sent(exec, op, local);
	else if (kind == TOKEN_ENCODED)
		encoded_sent(exec, op, local);
}

/* ---- what an op has for a rank ----------------------------------------------------------------------------------- */

/* An op may be announced to a rank that has announced it, and to so many others at a time. */
static bool may_start(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct member *member = &exec->members[rank];
	struct peer *peer = &op->peers[rank];

	if (peer->start_sent || peer->announced || peer->start_arrival == HERE)
		return true;
	if (member->announced == exec->announced_max)
		return false;
	member->announced++;
	peer->announced = true;
	return true;
}

/* So may so many ops send something to a rank from which START has not come. */
static bool may_be_eager(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct member *member = &exec->members[rank];
	struct peer *peer = &op->peers[rank];

	if (peer->eager)
		return true;
	if (member->eager_ops == PCCL_EXEC_EAGER_OPS) {
		lot_set(exec, rank, LOT_EAGER, op, true);
		return false;
	}
	member->eager_ops++;
	peer->eager = true;
	return true;
}

static void refresh_rank(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	refresh_control(exec, op, rank);
	refresh_results(exec, op, rank);
	refresh_partials(exec, op, rank);
}

/* Those that waited in line go on. */
static void unasked_next(struct pccl_exec *exec, uint32_t rank)
{
	const struct member *member = &exec->members[rank];
	struct op *op;

	while (member->eager_ops < PCCL_EXEC_EAGER_OPS && (op = lot_oldest(exec, rank, LOT_EAGER)) != NULL) {
		lot_set(exec, rank, LOT_EAGER, op, false);
		refresh_rank(exec, op, rank);
	}
	while (member->announced < exec->announced_max && (op = lot_oldest(exec, rank, LOT_STARTS)) != NULL) {
		lot_set(exec, rank, LOT_STARTS, op, false);
		refresh_rank(exec, op, rank);
	}
}

void unasked_end(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct peer *peer = &op->peers[rank];
	bool gave = peer->eager || peer->announced;

	lot_set(exec, rank, LOT_EAGER, op, false);
	lot_set(exec, rank, LOT_STARTS, op, false);
	exec->members[rank].eager_ops -= peer->eager;
	exec->members[rank].announced -= peer->announced;
	peer->eager = false;
	peer->announced = false;
	if (gave)
		unasked_next(exec, rank);
}

/* More room is worth telling when it is a quarter of a window, or all that will ever be. */
static bool credit_due(const struct op *op, const struct peer *peer)
{
	uint32_t more = op->credit - peer->credit_told;

	if (!peer->contributes || op->closed_count == op->awaited_count || more == 0)
		return false;
	return 4 * more >= op->window || op->credit == op->awaited_count;
}

static bool has_control(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	const struct peer *peer = &op->peers[rank];
	bool starts;

	if ((op->state != OP_OPEN && !op->refusing) || peer->absent)
		return false;
	starts = may_start(exec, op, rank);
	lot_set(exec, rank, LOT_STARTS, op, !starts);
	if (!starts)
		return false;
	if (op->refusing)
		return !peer->start_sent || !peer->refuse_sent;
	return !peer->start_sent || (op->checking && peer->checks_sent < verify_parts(exec)) ||
	       (op->complete && !peer->done_sent) || credit_due(op, peer);
}

static bool eager_fits(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t bytes)
{
	const struct peer *peer = &op->peers[rank];

	return !peer->started && peer->eager_frames < PCCL_EXEC_EAGER_FRAMES && bytes <= exec->eager_bytes &&
	       peer->eager_bytes + eager_cost(bytes) <= exec->eager_bytes && may_be_eager(exec, op, rank);
}

static void eager_spend(struct peer *peer, uint32_t bytes)
{
	peer->eager_frames++;
	peer->eager_bytes += eager_cost(bytes);
}

/* Does the rank get the result? The lists begin with the rank after this one and may leave one out. */
static bool is_result_to(const struct pccl_exec *exec, const struct pccl_route *route, uint32_t rank)
{
	uint32_t guess = (rank + exec->ranks - exec->rank - 1) % exec->ranks;
	uint32_t index;

	if (guess < route->result_to_count && route->result_to[guess] == rank)
		return true;
	if (guess > 0 && guess - 1 < route->result_to_count && route->result_to[guess - 1] == rank)
		return true;
	for (index = 0; index < route->result_to_count; index++)
		if (route->result_to[index] == rank)
			return true;
	return false;
}

/* The next result for a rank; false: none now. */
static bool next_result(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t *local_out)
{
	struct peer *peer = &op->peers[rank];

	if (op->failing || !may_start(exec, op, rank))
		return false;
	while (peer->results_seen < op->log_count &&
	       !is_result_to(exec, op_route(op, op->log[peer->results_seen].local), rank))
		peer->results_seen++;
	if (peer->results_seen == op->log_count)
		return false;
	*local_out = op->log[peer->results_seen].local;
	if (peer->started)
		return true;
	/* Contributions come first: the other side may count on all of them coming without credit. */
	return peer->item == peer->item_count && eager_fits(exec, op, rank, op_result_bytes(exec, op, *local_out));
}

/* The next contribution for a rank; false: none now. */
static bool next_partial(struct pccl_exec *exec, struct op *op, uint32_t rank, struct outgoing *out)
{
	const struct peer *peer = &op->peers[rank];
	const struct pccl_route *route;

	if (peer->item == peer->item_count || op->failing || !may_start(exec, op, rank))
		return false;
	memset(out, 0, sizeof(*out));
	out->local = peer->item_local;
	route = op_route(op, out->local);
	out->is_sum = route->sum_to != PCCL_RANK_NONE; /* then nobody gets the input as it is */
	out->bytes = op_partial_bytes(exec, op, out->local, out->is_sum);
	if (peer->partials_sent >= peer->credit && !(peer->goes_unasked && eager_fits(exec, op, rank, out->bytes)))
		return false;
	out->is_coded = op->coded && contribution_is_coded(exec, op, out->local);
	if (out->is_coded) {
		out->kind = TOKEN_ENCODED;
		out->payload = encoded_memory(op, out->local);
		return out->payload != NULL || coder_has_room(op);
	}
	if (out->is_sum) {
		uint32_t index = op->places[out->local].index;
		const struct work *work = work_at(op, index);

		if (index - op->closed_first >= op->work_count || work->sum_slot == NONE)
			return false;
		out->kind = TOKEN_SUM;
		out->payload = slot_memory(exec, op, work->sum_slot);
	} else {
		out->payload = op_own(exec, op, out->local);
	}
	return true;
}

static void advance_partial(const struct pccl_exec *exec, const struct op *op, struct peer *peer)
{
	const struct pccl_route *routes = op->launch.plan->routes;
	const struct pccl_route *route = &routes[peer->items[peer->item]];

	peer->partials_sent++;
	peer->item_local++;
	if (peer->item_local < op_local_before(exec, op, route->first_segment + route->segment_count))
		return;
	peer->item++;
	if (peer->item < peer->item_count)
		peer->item_local = op_local_before(exec, op, routes[peer->items[peer->item]].first_segment);
}

void refresh_control(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	lot_set(exec, rank, LOT_CONTROL, op, has_control(exec, op, rank));
}

void refresh_results(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	uint32_t local;

	lot_set(exec, rank, LOT_RESULTS, op, op->state == OP_OPEN && next_result(exec, op, rank, &local));
}

void refresh_partials(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct outgoing contribution;

	lot_set(exec, rank, LOT_PARTIALS, op, op->state == OP_OPEN && next_partial(exec, op, rank, &contribution));
}

void refresh_nothing(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++) {
		lot_set(exec, rank, LOT_CONTROL, op, false);
		lot_set(exec, rank, LOT_RESULTS, op, false);
		lot_set(exec, rank, LOT_PARTIALS, op, false);
		lot_set(exec, rank, LOT_STARTS, op, false);
		lot_set(exec, rank, LOT_EAGER, op, false);
	}
}

void refresh_all(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++) {
		if (rank != exec->rank && !op->peers[rank].absent)
			refresh_rank(exec, op, rank);
	}
}

/* ---- handing out ------------------------------------------------------------------------------------------------- */

static void fill_frame(const struct pccl_exec *exec, const struct pccl_op_key *key, enum pccl_frame_type type,
		       struct pccl_frame_send *send_out)
{
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = (uint8_t)type;
	send_out->frame.lane = (uint8_t)exec->config.lane;
	send_out->frame.epoch = exec->epoch;
	send_out->frame.tag = key->tag;
	send_out->frame.sequence = key->sequence;
}

static void fill_start(struct op *op, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct peer *peer = &op->peers[rank];

	signature_to(op, rank, op->signature); /* copied before another rank is told */
	peer->start_sent = true;
	peer->credit_told = peer->contributes ? op->credit : 0;
	send_out->frame.aux = peer->credit_told;
	send_out->frame.segment = op->launch.joint;
	send_out->frame.payload_bytes = SIGNATURE_BYTES;
	send_out->payload = op->signature;
}

static void fill_check(const struct pccl_exec *exec, const struct op *op, struct peer *peer,
		       struct pccl_frame_send *send_out)
{
	send_out->frame.segment = peer->checks_sent++;
	send_out->frame.payload_bytes = PCCL_CHECK_BYTES;
	send_out->payload = checks_of(exec, op, exec->rank) + send_out->frame.segment;
}

/* May end the life of an op that only had to say farewell. */
static void send_farewell(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	op->peers[rank].refuse_sent = true;
	refresh_control(exec, op, rank);
	unasked_end(exec, op, rank);
	assert(op->farewells > 0);
	op->farewells--;
	if (op->farewells == 0 && op->state == OP_LEAVING) {
		exec->leaving_count--;
		op_destroy(exec, op);
	}
}

static void send_control(struct pccl_exec *exec, struct op *op, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct peer *peer = &op->peers[rank];

	if (!peer->start_sent) {
		fill_frame(exec, &op->launch.key, PCCL_FRAME_START, send_out);
		fill_start(op, rank, send_out);
	} else if (op->refusing) {
		fill_frame(exec, &op->launch.key, PCCL_FRAME_REFUSE, send_out);
		send_out->frame.flags = op->refusal.reason;
		send_out->frame.segment = op->refusal.segment;
		send_out->frame.aux = op->refusal.element;
		send_farewell(exec, op, rank);
		return;
	} else if (op->checking && peer->checks_sent < verify_parts(exec)) {
		fill_frame(exec, &op->launch.key, PCCL_FRAME_CHECK, send_out);
		fill_check(exec, op, peer, send_out);
	} else if (op->complete && !peer->done_sent) {
		fill_frame(exec, &op->launch.key, PCCL_FRAME_DONE, send_out);
		peer->done_sent = true;
	} else {
		fill_frame(exec, &op->launch.key, PCCL_FRAME_CREDIT, send_out);
		peer->credit_told = op->credit;
		send_out->frame.aux = op->credit;
	}
	refresh_control(exec, op, rank);
	op_settle(exec, op);
}

const void *result_payload(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	if (op->coded && result_is_coded(exec, op, local))
		return encoded_memory(op, local);
	return op_output(exec, op, local);
}

/* The frame of a segment, packed if that is worth while; `may`: the rank could unpack it. */
static void fill_segment(struct pccl_exec *exec, struct op *op, bool may, struct outgoing *out,
			 struct pccl_frame_send *send_out)
{
	pack_outgoing(exec, op, may, out);
	fill_frame(exec, &op->launch.key, out->is_result ? PCCL_FRAME_RESULT : PCCL_FRAME_PARTIAL, send_out);
	send_out->frame.flags = out->slot == NONE ? 0 : PCCL_FRAME_PACKED;
	send_out->frame.segment = op_frame_segment(exec, op, out->local);
	send_out->frame.payload_bytes = out->bytes;
	send_out->frame.payload_crc = out->crc;
	send_out->payload = out->payload;
	send_out->token = out->slot == NONE ? make_token(exec, op, out->local, out->kind)
					    : make_token(exec, op, out->slot, TOKEN_PACKED);
	send_out->cookie = op->launch.cookie;
	op->tx_bytes += out->bytes;
}

static void send_result(struct pccl_exec *exec, struct op *op, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct peer *peer = &op->peers[rank];
	struct outgoing out = {.is_result = true};
	bool there = next_result(exec, op, rank, &out.local);

	assert(there);
	out.bytes = op_result_bytes(exec, op, out.local);
	out.is_coded = op->coded && result_is_coded(exec, op, out.local);
	out.kind = out.is_coded ? TOKEN_ENCODED : TOKEN_INERT;
	out.crc = op->log[peer->results_seen++].crc;
	op->owed -= op->owed > 0;
	if (!peer->started)
		eager_spend(peer, out.bytes);
	if (!pccl_bitmap_test(op->held, out.local))
		result_copy_own(exec, op, out.local);
	out.payload = result_payload(exec, op, out.local);
	fill_segment(exec, op, peer->started, &out, send_out);
	refresh_results(exec, op, rank);
	refresh_partials(exec, op, rank);
	op_settle(exec, op);
}

/* False: nothing was handed out, for the codec can't carry it. */
static bool send_partial(struct pccl_exec *exec, struct op *op, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct peer *peer = &op->peers[rank];
	bool has_credit = peer->partials_sent < peer->credit;
	struct outgoing out;
	bool there = next_partial(exec, op, rank, &out);

	assert(there);
	if (out.is_coded) {
		if (!contribution_encode(exec, op, out.local)) {
			op_settle(exec, op);
			return false;
		}
		out.payload = encoded_memory(op, out.local);
	}
	if (!has_credit)
		eager_spend(peer, out.bytes);
	advance_partial(exec, op, peer);
	fill_segment(exec, op, has_credit, &out, send_out);
	refresh_partials(exec, op, rank);
	refresh_results(exec, op, rank);
	return true;
}

bool pccl_exec_wants(const struct pccl_exec *exec, uint32_t rank)
{
	if (exec->frozen)
		return false;
	assert(rank < exec->ranks);
	return exec->members[rank].parting_count > 0 || lots_any(exec, rank);
}

bool pccl_exec_ready(struct pccl_exec *exec, uint32_t *rank_out)
{
	size_t words = pccl_bitmap_words(exec->ranks), word = 0;

	while (word < words && exec->ready[word] == 0)
		word++;
	if (word == words)
		return false;
	*rank_out = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(exec->ready[word]);
	pccl_bitmap_clear(exec->ready, *rank_out);
	return true;
}

/* Hands out one frame. False: what there was can't be carried by a codec; its op is failing. */
static bool send_one(struct pccl_exec *exec, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct member *member = &exec->members[rank];
	struct op *controls = lot_oldest(exec, rank, LOT_CONTROL), *results, *partials;

	if (member->parting_count > 0) {
		const struct pccl_op_key key = parting_take(exec, rank);

		fill_frame(exec, &key, PCCL_FRAME_DONE, send_out);
		return true;
	}
	if (controls != NULL) {
		send_control(exec, controls, rank, send_out);
		return true;
	}
	results = lot_oldest(exec, rank, LOT_RESULTS);
	partials = lot_oldest(exec, rank, LOT_PARTIALS);
	if (results != NULL && (member->results_in_a_row < RESULTS_IN_A_ROW || partials == NULL)) {
		member->results_in_a_row++;
		send_result(exec, results, rank, send_out);
		return true;
	}
	member->results_in_a_row = 0;
	return send_partial(exec, partials, rank, send_out);
}

bool pccl_exec_next(struct pccl_exec *exec, uint32_t rank, struct pccl_frame_send *send_out)
{
	while (pccl_exec_wants(exec, rank))
		if (send_one(exec, rank, send_out))
			return true;
	return false;
}
