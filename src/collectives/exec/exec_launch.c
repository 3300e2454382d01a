/* An op comes in: its memory is laid out in one piece, its lists are made from the plan, what needs nobody else is
 * done, and what has come early is taken in. */
#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "collectives/element/dtype.h"
#include "collectives/exec/exec_internal.h"

/* ---- what the plan means for this lane --------------------------------------------------------------------------- */

/* Sizes of the op's lists. */
struct measure {
	uint32_t items; /* of all ranks together */
	uint32_t awaited;
	uint32_t fan_in;
	uint32_t log;
	uint32_t slots; /* set when the window is known */
	uint32_t blocks;
};

static void find_share(const struct pccl_exec *exec, struct op *op)
{
	uint32_t lanes = exec->config.lanes;
	uint32_t segments = op->launch.geometry.segment_count;

	op->first_segment = (uint32_t)((exec->config.lane + lanes - op->launch.key.tag % lanes) % lanes);
	if (op->launch.geometry.on_one_lane && op->first_segment > 0)
		op->first_segment = segments; /* it is not this one */
	op->local_count = op_local_before(exec, op, segments);
}

static uint32_t route_locals(const struct pccl_exec *exec, const struct op *op, const struct pccl_route *route,
			     uint32_t *begin_out)
{
	*begin_out = op_local_before(exec, op, route->first_segment);
	return op_local_before(exec, op, route->first_segment + route->segment_count) - *begin_out;
}

static void measure_plan(const struct pccl_exec *exec, struct op *op, struct measure *m)
{
	const struct pccl_plan *plan = op->launch.plan;
	uint32_t index, begin;

	memset(m, 0, sizeof(*m));
	for (index = 0; index < plan->route_count; index++) {
		const struct pccl_route *route = &plan->routes[index];
		uint32_t count = route_locals(exec, op, route, &begin);

		if (count == 0)
			continue;
		m->items += route->own_to_count + (route->sum_to != PCCL_RANK_NONE);
		op->makes_sums = op->makes_sums || route->sum_to != PCCL_RANK_NONE;
		op->moves_sums = op->moves_sums || route->sum_to != PCCL_RANK_NONE || route->input_is_sum;
		if (route->result_to_count > 0)
			m->log += count;
		if (route->input_count == 0)
			continue;
		m->awaited += count;
		if (route->input_count > m->fan_in)
			m->fan_in = route->input_count;
	}
}

/* Takes the cost of one more contribution out of what may be sent without being asked. False: it is too much. */
static bool eager_add(const struct pccl_exec *exec, const struct op *op, uint32_t local, bool is_sum, uint32_t *count,
		      uint32_t *bytes)
{
	uint32_t cost = eager_cost(op_partial_bytes(exec, op, local, is_sum));

	if (*count == PCCL_EXEC_EAGER_FRAMES || cost > exec->eager_bytes - *bytes)
		return false;
	*count += 1;
	*bytes += cost;
	return true;
}

/* May senders send all their contributions to this rank without being asked? They find the same for themselves. */
static bool all_come_unasked(const struct pccl_exec *exec, const struct op *op)
{
	const struct pccl_plan *plan = op->launch.plan;
	uint32_t index, begin, local, count = 0, bytes = 0;

	for (index = 0; index < plan->route_count; index++) {
		const struct pccl_route *route = &plan->routes[index];
		uint32_t locals = route->input_count == 0 ? 0 : route_locals(exec, op, route, &begin);

		for (local = 0; local < locals; local++)
			if (!eager_add(exec, op, begin + local, route->input_is_sum, &count, &bytes))
				return false;
	}
	return true;
}

/* May this rank send all its contributions to another so? */
static bool all_go_unasked(const struct pccl_exec *exec, const struct op *op, const struct peer *peer)
{
	uint32_t item, begin, local, count = 0, bytes = 0;

	for (item = 0; item < peer->item_count; item++) {
		const struct pccl_route *route = &op->launch.plan->routes[peer->items[item]];
		uint32_t locals = route_locals(exec, op, route, &begin);

		for (local = 0; local < locals; local++)
			if (!eager_add(exec, op, begin + local, route->sum_to != PCCL_RANK_NONE, &count, &bytes))
				return false;
	}
	return true;
}

static uint32_t largest_contribution(const struct op *op)
{
	const struct pccl_geometry *geometry = &op->launch.geometry;
	uint64_t elements = geometry->segment_elements;

	if (elements > geometry->chunk_elements)
		elements = geometry->chunk_elements;
	if (op->coded)
		return coded_contribution_bytes(op, (uint32_t)elements);
	return (uint32_t)elements * (op->moves_sums ? op->partial_bytes : op->element_bytes);
}

static void plan_room(const struct pccl_exec *exec, struct op *op, struct measure *m)
{
	op->fan_in = m->fan_in;
	op->awaited_count = m->awaited;
	op->work_count = m->awaited < SPAN ? m->awaited : SPAN;
	op->contributors = m->fan_in > 0 ? m->fan_in - 1 : 0;
	op->slot_bytes = (largest_contribution(op) + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
	op->eager_window = all_come_unasked(exec, op) ? m->awaited : 0;
	window_plan(exec, op);
	if (op->coded)
		coder_plan(exec, op);
	m->slots = op->window_wanted * op->contributors;
	m->blocks = window_blocks(op, op->window_wanted);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Takes pieces from one allocation; without memory it only measures. */
struct carve {
	uint8_t *memory;
	size_t used;
};

static void *piece(struct carve *carve, size_t count, size_t size)
{
	size_t begin = carve->used;

	carve->used += (count * size + 15) / 16 * 16;
	return carve->memory == NULL ? NULL : carve->memory + begin;
}

static struct op *lay_out(const struct pccl_exec *exec, const struct op *op, const struct measure *m,
			  struct carve *carve, uint32_t **items_out)
{
	size_t words = pccl_bitmap_words(op->local_count);
	struct op *copy = piece(carve, 1, sizeof(*copy));
	struct op scrap, *to = copy != NULL ? copy : &scrap;

	*to = *op;
	to->places = piece(carve, op->local_count, sizeof(*to->places));
	to->held = piece(carve, words, sizeof(*to->held));
	to->saved = piece(carve, words, sizeof(*to->saved));
	to->incoming = piece(carve, words, sizeof(*to->incoming));
	to->awaited = piece(carve, op->awaited_count, sizeof(*to->awaited));
	to->works = piece(carve, op->work_count, sizeof(*to->works));
	to->inputs = piece(carve, (size_t)op->work_count * op->fan_in, sizeof(*to->inputs));
	to->input_slots = piece(carve, (size_t)op->work_count * op->fan_in, sizeof(*to->input_slots));
	to->free_slots = piece(carve, m->slots, sizeof(*to->free_slots));
	to->blocks = piece(carve, m->blocks, sizeof(*to->blocks));
	if (op->coded) {
		to->coder.free_slots = piece(carve, op->coder.slot_count, sizeof(*to->coder.free_slots));
		to->coder.uses = piece(carve, op->coder.slot_count, sizeof(*to->coder.uses));
		to->coder.slot_of = piece(carve, op->local_count, sizeof(*to->coder.slot_of));
	}
	if (op->packs)
		to->packed = piece(carve, 2 * (size_t)op->local_count, sizeof(*to->packed));
	if (op->verifies) {
		to->digests = piece(carve, op->local_count, sizeof(*to->digests));
		to->checks = piece(carve, (size_t)exec->ranks * verify_parts(exec), sizeof(*to->checks));
	}
	to->log = piece(carve, m->log, sizeof(*to->log));
	to->peers = piece(carve, exec->ranks, sizeof(*to->peers));
	*items_out = piece(carve, m->items, sizeof(**items_out));
	return copy;
}

static struct op *allocate(const struct pccl_exec *exec, const struct op *op, const struct measure *m,
			   uint32_t **items_out)
{
	struct carve carve = {NULL, 0};

	lay_out(exec, op, m, &carve, items_out);
	carve.memory = pccl_zalloc(carve.used);
	carve.used = 0;
	if (carve.memory == NULL)
		return NULL;
	return lay_out(exec, op, m, &carve, items_out);
}

static bool grow_bounce(struct pccl_exec *exec, const struct op *op)
{
	bool widens = op->makes_sums && op->partial_bytes != op->element_bytes;
	size_t bytes = widens ? op->slot_bytes : 0;
	void *larger;

	if (op->coded)
		bytes = coder_bounce_bytes(op);
	if (bytes <= exec->bounce_bytes)
		return true;
	larger = pccl_alloc_aligned(ALIGN_BYTES, bytes);
	if (larger == NULL)
		return false;
	pccl_free(exec->bounce);
	exec->bounce = larger;
	exec->bounce_bytes = bytes;
	return true;
}

/* ---- lists ------------------------------------------------------------------------------------------------------- */

static void fill_places(const struct pccl_exec *exec, struct op *op)
{
	const struct pccl_plan *plan = op->launch.plan;
	uint32_t index, begin, local;

	for (index = 0; index < plan->route_count; index++) {
		const struct pccl_route *route = &plan->routes[index];
		uint32_t count = route_locals(exec, op, route, &begin);

		for (local = begin; local < begin + count; local++) {
			op->places[local].route = index;
			op->places[local].index = NONE;
		}
		op->needed_count += route->result_needed ? count : 0;
	}
}

/* Who has a part in it, and what of it goes there and comes from there. */
static void fill_partners(const struct pccl_exec *exec, struct op *op)
{
	const struct pccl_geometry *geometry = &op->launch.geometry;
	uint32_t index, rank;

	for (rank = 0; rank < exec->ranks && op->launch.signature.kind == PCCL_TRANSFER; rank++)
		op->peers[rank].absent = rank != op->launch.partner;
	for (index = 0; index < geometry->part_count; index++) {
		const struct pccl_part *part = &geometry->parts[index];
		bool transfers = op->launch.signature.kind == PCCL_TRANSFER;
		struct peer *peer = &op->peers[transfers ? op->launch.partner : part->rank];

		if (part->way == PCCL_PART_SENT) {
			peer->sent_count = part->count;
		} else if (part->way == PCCL_PART_RECEIVED) {
			peer->received_count = part->count;
			peer->received_first = part->first_segment;
			peer->received_segments = part->segment_count;
		}
	}
}

static void fill_awaited(const struct pccl_exec *exec, struct op *op)
{
	const struct pccl_plan *plan = op->launch.plan;
	uint32_t order, begin, local, next = 0, input;

	for (order = 0; order < plan->route_count; order++) {
		const struct pccl_route *route = &plan->routes[plan->order[order]];
		uint32_t count = route_locals(exec, op, route, &begin);

		if (route->input_count == 0 || count == 0)
			continue;
		for (local = begin; local < begin + count; local++) {
			op->places[local].index = next;
			op->awaited[next++] = local;
		}
		for (input = 0; input < route->input_count; input++)
			op->peers[route->inputs[input]].contributes = route->inputs[input] != exec->rank;
	}
	assert(next == op->awaited_count);
	for (next = 0; next < op->work_count; next++)
		work_reset(op, next);
}

static void add_item(struct op *op, uint32_t rank, uint32_t route, uint32_t *items)
{
	struct peer *peer = &op->peers[rank];

	/* First round: count. Second: fill. */
	if (items != NULL)
		items[peer->item] = route;
	peer->item++;
}

static void visit_items(const struct pccl_exec *exec, struct op *op, uint32_t *items)
{
	const struct pccl_plan *plan = op->launch.plan;
	uint32_t order, begin, to;

	for (order = 0; order < plan->route_count; order++) {
		uint32_t index = plan->order[order];
		const struct pccl_route *route = &plan->routes[index];

		if (route_locals(exec, op, route, &begin) == 0)
			continue;
		for (to = 0; to < route->own_to_count; to++)
			add_item(op, route->own_to[to], index, items);
		if (route->sum_to != PCCL_RANK_NONE)
			add_item(op, route->sum_to, index, items);
	}
}

/* Which contributions go to whom, in order. */
static void fill_items(const struct pccl_exec *exec, struct op *op, uint32_t *items)
{
	uint32_t rank, used = 0, begin;

	visit_items(exec, op, NULL);
	for (rank = 0; rank < exec->ranks; rank++) {
		struct peer *peer = &op->peers[rank];

		peer->items = items + used;
		peer->item_count = peer->item;
		peer->item = used;
		used += peer->item_count;
	}
	visit_items(exec, op, items);
	for (rank = 0; rank < exec->ranks; rank++) {
		struct peer *peer = &op->peers[rank];

		peer->item = 0;
		if (peer->item_count == 0)
			continue;
		route_locals(exec, op, &op->launch.plan->routes[peer->items[0]], &begin);
		peer->item_local = begin;
		peer->goes_unasked = all_go_unasked(exec, op, peer);
	}
}

/* ---- what can be done at once ------------------------------------------------------------------------------------ */

/* Input in place that others need while results overwrite it: everybody sends everything to everybody. */
static void save_for_sending(struct pccl_exec *exec, struct op *op)
{
	uint32_t local;

	for (local = 0; local < op->local_count; local++) {
		const struct pccl_route *route = op_route(op, local);

		if (route->own_to_count > 0 && route->input_count > 0)
			undo_save(exec, op, local);
	}
}

static void hold_given(struct pccl_exec *exec, struct op *op)
{
	uint32_t local;

	if (op->launch.held == NULL)
		return;
	for (local = 0; local < op->local_count; local++) {
		if (!pccl_bitmap_test(op->launch.held, op_segment(exec, op, local)))
			continue;
		if (op->keeps_undo)
			pccl_bitmap_set(op->saved, local);
		result_hold(exec, op, local);
		result_log(exec, op, local, false);
	}
}

/* Own input that is the result goes out at once; it is copied to the output when it is first touched for sending. */
static void log_own(struct pccl_exec *exec, struct op *op)
{
	uint32_t local;

	for (local = 0; local < op->local_count; local++) {
		const struct pccl_route *route = op_route(op, local);

		if (!route->result_is_own)
			continue;
		if (route->result_to_count == 0 || op_own(exec, op, local) == op_output(exec, op, local))
			result_copy_own(exec, op, local);
		result_log(exec, op, local, false);
		if (pccl_collective_moves_parts(op->launch.signature.kind))
			op->owed += route->result_to_count;
	}
}

/* The last one of a view adds nothing but its own. */
static void add_alone(struct pccl_exec *exec, struct op *op)
{
	uint32_t index;

	for (index = 0; index < op->awaited_count && op->contributors == 0 && !op->failing; index++)
		sum_alone(exec, op, index);
}

static void enter(struct pccl_exec *exec, struct op *op)
{
	signature_encode(&op->launch.signature, op->signature);
	table_add(exec, op);
	early_purge(exec, op->launch.key.tag, op->launch.key.sequence);
	ended_note(exec, op->launch.key.tag, op->launch.key.sequence - 1);
}

static void begin(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	if (signature_lost_root(op->signature)) {
		early_purge(exec, op->launch.key.tag, op->launch.key.sequence + 1);
		op_lose_root(exec, op, exec->rank);
		return;
	}
	if (op->keeps_undo)
		save_for_sending(exec, op);
	hold_given(exec, op);
	log_own(exec, op);
	add_alone(exec, op);
	credit_grow(exec, op);
	refresh_all(exec, op);
	for (rank = 0; rank < exec->ranks; rank++)
		if (rank != exec->rank && !op->peers[rank].absent)
			early_adopt(exec, op, rank);
	for (rank = 0; rank < exec->ranks && op->state == OP_OPEN; rank++)
		if (op->peers[rank].start_arrival == HERE)
			start_arrived(exec, op, rank);
	op_settle(exec, op);
}

static void fill_op(struct pccl_exec *exec, const struct pccl_exec_launch *launch, struct op *op)
{
	pcclDataType_t type = (pcclDataType_t)launch->signature.datatype;

	memset(op, 0, sizeof(*op));
	op->launch = *launch;
	op->element_bytes = (uint32_t)pccl_dtype_bytes(type);
	op->partial_bytes = (uint32_t)pccl_dtype_bytes(pccl_dtype_partial(type));
	op->keeps_undo = launch->undo != NULL && pccl_collective_adds(launch->signature.kind);
	op->others = launch->signature.kind == PCCL_TRANSFER ? 1 : exec->ranks - 1;
	op->verifies = verify_applies(exec, op);
	find_share(exec, op);
}

/* What moves parts begins on all lanes: another rank may have some where this one has none. */
static bool has_nothing(const struct pccl_exec *exec, const struct op *op)
{
	return op->local_count == 0 && !pccl_collective_moves_parts(op->launch.signature.kind) &&
	       op->launch.key.tag % exec->config.lanes != exec->config.lane;
}

static pcclResult_t launch_nothing(struct pccl_exec *exec, const struct op *op)
{
	struct op *copy = pccl_alloc(sizeof(*copy));

	if (copy == NULL)
		return pcclOutOfMemory;
	*copy = *op;
	table_add(exec, copy);
	early_purge(exec, op->launch.key.tag, op->launch.key.sequence + 1);
	op_end_at_once(exec, copy);
	return pcclSuccess;
}

pcclResult_t pccl_exec_launch(struct pccl_exec *exec, const struct pccl_exec_launch *launch)
{
	struct measure measure;
	struct op sketch, *op;
	pcclResult_t result;
	uint32_t *items;

	assert(exec->epoch != 0);
	assert(launch->plan->ranks == exec->ranks && launch->plan->rank == exec->rank);
	assert(launch->plan->kind == (enum pccl_collective)launch->signature.kind);
	assert(pccl_dtype_valid(launch->signature.datatype) && launch->cookie != NULL);
	fill_op(exec, launch, &sketch);
	result = coder_init(exec, &sketch);
	if (result != pcclSuccess)
		return result;
	if (has_nothing(exec, &sketch))
		return launch_nothing(exec, &sketch);
	if (table_reserve(exec) != pcclSuccess)
		return pcclOutOfMemory;
	sketch.takes_place = true;
	measure_plan(exec, &sketch, &measure);
	plan_room(exec, &sketch, &measure);
	if (pack_prepare(exec, &sketch) != pcclSuccess)
		return pcclOutOfMemory;
	op = allocate(exec, &sketch, &measure, &items);
	if (op == NULL || !grow_bounce(exec, op) || (op->coded && coder_open(op) != pcclSuccess))
		goto fail;
	if (window_open(exec, op) != pcclSuccess)
		goto fail_window;
	pack_open(op);
	fill_places(exec, op);
	fill_partners(exec, op);
	fill_awaited(exec, op);
	fill_items(exec, op, items);
	enter(exec, op);
	begin(exec, op);
	return pcclSuccess;
fail_window:
	coder_close(op);
fail:
	pccl_free(op);
	return pcclOutOfMemory;
}
