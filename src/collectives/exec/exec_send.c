/* What goes out: which ops have something for which rank, and what comes first. */
#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "collectives/exec/exec_internal.h"

/* So many results in a row, then a contribution if there is one: ops that only pass results on must not starve
 * others. */
#define RESULTS_IN_A_ROW 3

/* ---- tokens: serial of the op, its slot, the segment (or the slot it is packed in), and what was sent of it ---- */

#define TOKEN_LOCAL_BITS 16
#define TOKEN_SLOT_BITS 7
#define TOKEN_SERIAL_BITS (64 - 2 - TOKEN_LOCAL_BITS - TOKEN_SLOT_BITS)

static void *make_token(const struct op *op, uint32_t local, enum token_kind kind)
{
	uint64_t bits = op->serial << TOKEN_SLOT_BITS | op->slot;

	bits = bits << TOKEN_LOCAL_BITS | local;
	return (void *)(uintptr_t)(bits << 2 | (uint64_t)kind);
}

void pccl_exec_sent(struct pccl_exec *exec, void *token)
{
	uint64_t bits = (uint64_t)(uintptr_t)token;
	enum token_kind kind = (enum token_kind)(bits & 3);
	uint32_t local = bits >> 2 & ((UINT64_C(1) << TOKEN_LOCAL_BITS) - 1);
	uint32_t slot = bits >> (2 + TOKEN_LOCAL_BITS) & ((UINT64_C(1) << TOKEN_SLOT_BITS) - 1);
	uint64_t serial = bits >> (2 + TOKEN_LOCAL_BITS + TOKEN_SLOT_BITS);
	struct op *op = exec->ops[slot];

	if (kind == TOKEN_INERT || op == NULL || op->state != OP_OPEN)
		return;
	if ((op->serial & ((UINT64_C(1) << TOKEN_SERIAL_BITS) - 1)) != serial)
		return;
	if (kind == TOKEN_PACKED && !pack_sent(exec, op, local, &local, &kind))
		return;
	if (kind == TOKEN_SUM)
		sum_sent(exec, op, local);
	else if (kind == TOKEN_ENCODED)
		encoded_sent(exec, op, local);
}

/* ---- what an op has for a rank ----------------------------------------------------------------------------------- */

static void set_bit(uint64_t *mask, const struct op *op, bool value)
{
	if (value)
		pccl_bitmap_set(mask, op->slot);
	else
		pccl_bitmap_clear(mask, op->slot);
}

/* More room is worth telling when it is a quarter of a window, or all that will ever be. */
static bool credit_due(const struct op *op, const struct peer *peer)
{
	uint32_t more = op->credit - peer->credit_told;

	if (!peer->contributes || op->closed_count == op->awaited_count || more == 0)
		return false;
	return 4 * more >= op->window || op->credit == op->awaited_count;
}

static bool has_control(const struct op *op, const struct peer *peer)
{
	if (op->refusing)
		return !peer->start_sent || !peer->refuse_sent;
	if (op->state != OP_OPEN)
		return false;
	return !peer->start_sent || (op->complete && !peer->done_sent) || credit_due(op, peer);
}

static bool eager_fits(const struct pccl_exec *exec, const struct peer *peer, uint32_t bytes)
{
	return peer->eager_frames < PCCL_EXEC_EAGER_FRAMES && bytes <= exec->eager_bytes &&
	       peer->eager_bytes + eager_cost(bytes) <= exec->eager_bytes;
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
static bool next_result(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t *local_out)
{
	struct peer *peer = &op->peers[rank];

	if (op->failing)
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
	return peer->item == peer->item_count && eager_fits(exec, peer, op_result_bytes(exec, op, *local_out));
}

/* The next contribution for a rank; false: none now. */
static bool next_partial(const struct pccl_exec *exec, const struct op *op, const struct peer *peer,
			 struct outgoing *out)
{
	const struct pccl_route *route;

	if (peer->item == peer->item_count || op->failing)
		return false;
	memset(out, 0, sizeof(*out));
	out->local = peer->item_local;
	route = op_route(op, out->local);
	out->is_sum = route->sum_to != PCCL_RANK_NONE; /* then nobody gets the input as it is */
	out->bytes = op_partial_bytes(exec, op, out->local, out->is_sum);
	if (peer->partials_sent >= peer->credit && !eager_fits(exec, peer, out->bytes))
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
	set_bit(exec->neighbours[rank].control, op, has_control(op, &op->peers[rank]));
}

void refresh_results(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	uint32_t local;

	set_bit(exec->neighbours[rank].results, op, op->state == OP_OPEN && next_result(exec, op, rank, &local));
}

void refresh_partials(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct outgoing contribution;

	set_bit(exec->neighbours[rank].partials, op,
		op->state == OP_OPEN && next_partial(exec, op, &op->peers[rank], &contribution));
}

void refresh_nothing(struct pccl_exec *exec, const struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++) {
		set_bit(exec->neighbours[rank].control, op, false);
		set_bit(exec->neighbours[rank].results, op, false);
		set_bit(exec->neighbours[rank].partials, op, false);
	}
}

void refresh_all(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++) {
		if (rank == exec->rank)
			continue;
		refresh_control(exec, op, rank);
		refresh_results(exec, op, rank);
		refresh_partials(exec, op, rank);
	}
}

/* ---- handing out ------------------------------------------------------------------------------------------------- */

static struct op *oldest(const struct pccl_exec *exec, const uint64_t *mask)
{
	struct op *best = NULL;
	uint32_t word;

	for (word = 0; word < OP_MASK_WORDS; word++) {
		uint64_t bits = mask[word];

		while (bits != 0) {
			struct op *op = exec->ops[word * 64 + (uint32_t)__builtin_ctzll(bits)];

			assert(op != NULL);
			if (best == NULL || op->serial < best->serial)
				best = op;
			bits &= bits - 1;
		}
	}
	return best;
}

static bool any(const uint64_t *mask)
{
	return (mask[0] | mask[1]) != 0;
}

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

static void fill_start(struct op *op, struct peer *peer, struct pccl_frame_send *send_out)
{
	peer->start_sent = true;
	peer->credit_told = peer->contributes ? op->credit : 0;
	send_out->frame.aux = peer->credit_told;
	send_out->frame.segment = op->launch.joint;
	send_out->frame.payload_bytes = SIGNATURE_BYTES;
	send_out->payload = op->note;
}

/* May end the life of an op that only had to say farewell. */
static void send_farewell(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	op->peers[rank].refuse_sent = true;
	refresh_control(exec, op, rank);
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

	op->tx_bytes += PCCL_FRAME_BYTES;
	if (!peer->start_sent) {
		fill_frame(exec, &op->launch.key, PCCL_FRAME_START, send_out);
		fill_start(op, peer, send_out);
		op->tx_bytes += SIGNATURE_BYTES;
	} else if (op->refusing) {
		fill_frame(exec, &op->launch.key, PCCL_FRAME_REFUSE, send_out);
		send_out->frame.flags = op->refusal.reason;
		send_out->frame.segment = op->refusal.segment;
		send_out->frame.aux = op->refusal.element;
		send_farewell(exec, op, rank);
		return;
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
	send_out->frame.segment = op_segment(exec, op, out->local);
	send_out->frame.payload_bytes = out->bytes;
	send_out->frame.payload_crc = out->crc;
	send_out->payload = out->payload;
	send_out->token =
		out->slot == NONE ? make_token(op, out->local, out->kind) : make_token(op, out->slot, TOKEN_PACKED);
	send_out->cookie = op->launch.cookie;
	op->tx_bytes += PCCL_FRAME_BYTES + out->bytes;
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
	bool there = next_partial(exec, op, peer, &out);

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

bool parting_add(struct neighbour *neighbour, const struct pccl_op_key *key)
{
	if (neighbour->parting_count == PCCL_MAX_OPERATIONS)
		return false;
	neighbour->parting[(neighbour->parting_first + neighbour->parting_count) % PCCL_MAX_OPERATIONS] = *key;
	neighbour->parting_count++;
	return true;
}

static void send_parting(struct pccl_exec *exec, struct neighbour *neighbour, struct pccl_frame_send *send_out)
{
	fill_frame(exec, &neighbour->parting[neighbour->parting_first], PCCL_FRAME_DONE, send_out);
	neighbour->parting_first = (neighbour->parting_first + 1) % PCCL_MAX_OPERATIONS;
	neighbour->parting_count--;
}

bool pccl_exec_wants(const struct pccl_exec *exec, uint32_t rank)
{
	const struct neighbour *neighbour;

	if (exec->frozen)
		return false;
	assert(rank < exec->ranks);
	neighbour = &exec->neighbours[rank];
	return neighbour->parting_count > 0 || any(neighbour->control) || any(neighbour->results) ||
	       any(neighbour->partials);
}

/* Hands out one frame. False: what there was can't be carried by a codec; its op is failing. */
static bool send_one(struct pccl_exec *exec, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct neighbour *neighbour = &exec->neighbours[rank];

	if (neighbour->parting_count > 0) {
		send_parting(exec, neighbour, send_out);
	} else if (any(neighbour->control)) {
		send_control(exec, oldest(exec, neighbour->control), rank, send_out);
	} else if (any(neighbour->results) &&
		   (neighbour->results_in_a_row < RESULTS_IN_A_ROW || !any(neighbour->partials))) {
		neighbour->results_in_a_row++;
		send_result(exec, oldest(exec, neighbour->results), rank, send_out);
	} else {
		neighbour->results_in_a_row = 0;
		return send_partial(exec, oldest(exec, neighbour->partials), rank, send_out);
	}
	return true;
}

bool pccl_exec_next(struct pccl_exec *exec, uint32_t rank, struct pccl_frame_send *send_out)
{
	while (pccl_exec_wants(exec, rank))
		if (send_one(exec, rank, send_out))
			return true;
	return false;
}
