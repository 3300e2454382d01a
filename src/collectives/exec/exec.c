/* Life of the executor, views, and what the carrier asks about ops. */
#include "collectives/exec/exec.h"

#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/memory.h"
#include "collectives/codec/codec_lossless.h"
#include "collectives/exec/exec_internal.h"

/* ---- shares and places ------------------------------------------------------------------------------------------- */

/* From one segment of this lane to the next. */
static uint32_t stride(const struct pccl_exec *exec, const struct op *op)
{
	return op->launch.geometry.on_one_lane ? 1 : exec->config.lanes;
}

uint32_t op_segment(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	return op->first_segment + local * stride(exec, op);
}

bool op_local(const struct pccl_exec *exec, const struct op *op, uint32_t segment, uint32_t *local_out)
{
	if (segment < op->first_segment || (segment - op->first_segment) % stride(exec, op) != 0)
		return false;
	*local_out = (segment - op->first_segment) / stride(exec, op);
	return *local_out < op->local_count;
}

uint32_t op_frame_segment(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	uint32_t segment = op_segment(exec, op, local);

	if (op->launch.geometry.parts == NULL)
		return segment;
	return segment - pccl_geometry_part(&op->launch.geometry, segment)->first_segment;
}

bool op_local_from(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t segment,
		   uint32_t *local_out)
{
	const struct peer *peer = &op->peers[rank];

	if (!pccl_collective_moves_parts(op->launch.signature.kind))
		return op_local(exec, op, segment, local_out);
	return segment < peer->received_segments && op_local(exec, op, peer->received_first + segment, local_out);
}

uint32_t op_local_before(const struct pccl_exec *exec, const struct op *op, uint32_t segment)
{
	if (segment <= op->first_segment)
		return 0;
	return (segment - op->first_segment + stride(exec, op) - 1) / stride(exec, op);
}

const struct pccl_route *op_route(const struct op *op, uint32_t local)
{
	return &op->launch.plan->routes[op->places[local].route];
}

uint32_t op_elements(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	return pccl_geometry_elements(&op->launch.geometry, op_segment(exec, op, local));
}

/* Bytes from the beginning of a buffer that holds all chunks, or only this rank's. */
static size_t offset_in(const struct pccl_exec *exec, const struct op *op, uint32_t local, bool own_chunk_only)
{
	const struct pccl_geometry *geometry = &op->launch.geometry;
	uint64_t first = pccl_geometry_first(geometry, op_segment(exec, op, local));

	if (own_chunk_only) {
		assert(first >= exec->rank * geometry->chunk_elements);
		first -= exec->rank * geometry->chunk_elements;
		assert(first < geometry->chunk_elements);
	}
	return (size_t)first * op->element_bytes;
}

/* Of a segment of a part: in the input if it comes from there and `own`, or is only sent; else in the output. */
static void *place_in_part(const struct pccl_exec *exec, const struct op *op, uint32_t local, bool own)
{
	const struct pccl_exec_launch *launch = &op->launch;
	uint32_t segment = op_segment(exec, op, local);
	const struct pccl_part *part = pccl_geometry_part(&launch->geometry, segment);
	uint64_t first = (uint64_t)(segment - part->first_segment) * part->segment_elements;

	if (part->way == PCCL_PART_SENT || own)
		return (uint8_t *)(uintptr_t)launch->input + (part->input_first + first) * op->element_bytes;
	return (uint8_t *)launch->output + (part->output_first + first) * op->element_bytes;
}

void *op_output(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	bool own_only = op->launch.signature.kind == PCCL_REDUCE_SCATTER;

	if (op->launch.geometry.parts != NULL)
		return place_in_part(exec, op, local, false);
	return (uint8_t *)op->launch.output + offset_in(exec, op, local, own_only);
}

void *op_undo(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	bool own_only = op->launch.signature.kind == PCCL_REDUCE_SCATTER;

	return (uint8_t *)op->launch.undo + offset_in(exec, op, local, own_only);
}

const void *op_own(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	bool own_only = op->launch.signature.kind == PCCL_ALL_GATHER;
	const uint8_t *own;

	if (op->launch.geometry.parts != NULL)
		return place_in_part(exec, op, local, true);
	own = (const uint8_t *)op->launch.input + offset_in(exec, op, local, own_only);
	/* The input may be elsewhere although the output overwrites what has to come back. */
	if (op->keeps_undo && pccl_bitmap_test(op->saved, local) && own == op_output(exec, op, local))
		return op_undo(exec, op, local);
	return own;
}

uint32_t op_segment_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	return op_elements(exec, op, local) * op->element_bytes;
}

uint32_t op_result_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	if (op->coded && result_is_coded(exec, op, local))
		return coded_result_bytes(op, op_elements(exec, op, local));
	return op_segment_bytes(exec, op, local);
}

uint32_t op_partial_bytes(const struct pccl_exec *exec, const struct op *op, uint32_t local, bool is_sum)
{
	if (op->coded)
		return coded_contribution_bytes(op, op_elements(exec, op, local));
	return op_elements(exec, op, local) * (is_sum ? op->partial_bytes : op->element_bytes);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

uint32_t pccl_exec_eager_bytes(uint32_t ranks, uint32_t lanes)
{
	uint64_t share;

	assert(ranks >= 1 && lanes >= 1);
	if (ranks == 1)
		return PCCL_EXEC_EAGER_BYTES;
	share = (uint64_t)PCCL_EXEC_EAGER_POOL_BYTES / ((uint64_t)PCCL_EXEC_EAGER_OPS * (ranks - 1) * lanes);
	if (share > PCCL_EXEC_EAGER_BYTES)
		share = PCCL_EXEC_EAGER_BYTES;
	return (uint32_t)(share / ALIGN_BYTES * ALIGN_BYTES);
}

uint32_t pccl_exec_announced_max(uint32_t ranks, uint32_t lanes)
{
	uint64_t share =
		ranks < 2 ? PCCL_EXEC_ANNOUNCED_MOST : PCCL_EXEC_ANNOUNCED_ALL / ((uint64_t)(ranks - 1) * lanes);

	if (share > PCCL_EXEC_ANNOUNCED_MOST)
		return PCCL_EXEC_ANNOUNCED_MOST;
	return share < PCCL_EXEC_ANNOUNCED_LEAST ? PCCL_EXEC_ANNOUNCED_LEAST : (uint32_t)share;
}

pcclResult_t pccl_exec_create(const struct pccl_exec_config *config, struct pccl_exec **exec_out)
{
	struct pccl_exec *exec;

	assert(config->lanes >= 1 && config->lane < config->lanes);
	*exec_out = NULL;
	exec = pccl_zalloc(sizeof(*exec));
	if (exec == NULL)
		return pcclOutOfMemory;
	exec->config = *config;
	exec->frozen = true;
	*exec_out = exec;
	return pcclSuccess;
}

static void free_ops(struct pccl_exec *exec)
{
	struct op *op, *next;
	uint32_t place;

	for (op = exec->ended_first; op != NULL; op = next) {
		next = op->next_ended;
		if (!op->takes_place)
			op_destroy(exec, op);
	}
	if (exec->reaped != NULL && !exec->reaped->takes_place)
		op_destroy(exec, exec->reaped);
	for (place = 0; place < exec->table.next; place++)
		if (exec->table.places[place] != NULL)
			op_destroy(exec, exec->table.places[place]);
}

void pccl_exec_destroy(struct pccl_exec *exec)
{
	if (exec == NULL)
		return;
	free_ops(exec);
	table_destroy(exec);
	early_destroy(exec);
	arena_destroy(exec);
	scratch_forget(exec);
	pack_forget(exec);
	pccl_lossless_destroy(exec->lossless);
	pccl_free(exec->bounce);
	pccl_free(exec->members);
	pccl_free(exec);
}

/* What was polled before: the carrier has forgotten it by now. */
static void reap(struct pccl_exec *exec)
{
	struct op *op = exec->reaped;

	exec->reaped = NULL;
	if (op == NULL)
		return;
	op_release(exec, op);
	if (op->farewells == 0) {
		op_destroy(exec, op);
	} else {
		op->state = OP_LEAVING;
		exec->leaving_count++;
	}
}

/* Ops that have ended in the old view but have not told everybody need not any more. */
static void leave_view(struct pccl_exec *exec)
{
	uint32_t place, places = exec->table.next;

	for (place = 0; place < places; place++) {
		struct op *op = exec->table.places[place];

		if (op == NULL)
			continue;
		assert(op->state != OP_OPEN); /* whatever was decided, the session has ended all attempts first */
		op_release(exec, op);
		op->farewells = 0;
		if (op->state == OP_LEAVING)
			op_destroy(exec, op);
	}
	exec->leaving_count = 0;
}

void pccl_exec_relane(struct pccl_exec *exec, uint32_t lanes)
{
	assert(exec->config.lane < lanes);
	exec->config.lanes = lanes;
}

pcclResult_t pccl_exec_install(struct pccl_exec *exec, uint32_t epoch, uint32_t ranks, uint32_t rank)
{
	struct member *members;
	pcclResult_t result;

	assert(epoch > exec->epoch);
	assert(ranks >= 1 && ranks <= PCCL_RANKS_MAX && rank < ranks);
	reap(exec);
	leave_view(exec);
	pack_forget(exec);
	members = pccl_calloc(ranks, sizeof(*members));
	if (members == NULL)
		return pcclOutOfMemory;
	pccl_free(exec->members);
	exec->members = members;
	exec->ranks = ranks;
	exec->rank = rank;
	memset(exec->ready, 0, sizeof(exec->ready));
	result = table_install(exec);
	if (result == pcclSuccess)
		result = early_install(exec, ranks);
	if (result == pcclSuccess)
		result = arena_install(exec, ranks);
	if (result != pcclSuccess)
		return result;
	exec->epoch = epoch;
	exec->frozen = false;
	exec->joint = 0;
	exec->any_missed = false;
	return pcclSuccess;
}

void pccl_exec_freeze(struct pccl_exec *exec)
{
	exec->frozen = true;
}

/* ---- questions about ops ----------------------------------------------------------------------------------------- */

void pccl_exec_report(const struct pccl_exec *exec, const void *cookie, uint64_t *held_bits, bool *complete_out)
{
	const struct op *op = op_find_cookie(exec, cookie);
	uint32_t local;

	*complete_out = false;
	if (op == NULL)
		return;
	for (local = 0; local < op->local_count; local++)
		if (pccl_bitmap_test(op->held, local))
			pccl_bitmap_set(held_bits, op_segment(exec, op, local));
	*complete_out = op->complete;
}

void pccl_exec_cancel(struct pccl_exec *exec, const void *cookie, pcclResult_t result, const char *detail, bool restore)
{
	struct op *op = op_find_cookie(exec, cookie);

	if (op != NULL)
		op_cancel(exec, op, result, detail, restore);
}

bool pccl_exec_waits_for(const struct pccl_exec *exec, const void *cookie, uint64_t *rank_bits)
{
	const struct op *op = op_find_cookie(exec, cookie);
	bool all_started;
	uint32_t rank;

	if (op == NULL || op->state != OP_OPEN)
		return true;
	all_started = op->started_count == op->others;
	for (rank = 0; rank < exec->ranks; rank++) {
		const struct peer *peer = &op->peers[rank];

		if (rank != exec->rank && !peer->absent && (all_started ? !peer->done : !peer->started))
			pccl_bitmap_set(rank_bits, rank);
	}
	return all_started;
}

/* ---- outcomes ---------------------------------------------------------------------------------------------------- */

/* The first outcome that can be told. A failure has to wait while too many others still have to be told to all
 * ranks. */
static struct op *find_ended(const struct pccl_exec *exec, struct op **before_out)
{
	struct op *op;

	*before_out = NULL;
	for (op = exec->ended_first; op != NULL; op = op->next_ended) {
		if (op->farewells == 0 || exec->leaving_count < LEAVING_MAX)
			break;
		*before_out = op;
	}
	return op;
}

static struct op *take_ended(struct pccl_exec *exec)
{
	struct op *before;
	struct op *op = find_ended(exec, &before);

	if (op == NULL)
		return NULL;
	if (before == NULL)
		exec->ended_first = op->next_ended;
	else
		before->next_ended = op->next_ended;
	if (exec->ended_last == op)
		exec->ended_last = before;
	return op;
}

void *pccl_exec_ending(struct pccl_exec *exec, pcclResult_t *result_out)
{
	struct op *before;
	const struct op *op;

	reap(exec);
	op = find_ended(exec, &before);
	if (op == NULL)
		return NULL;
	*result_out = op->result;
	return op->launch.cookie;
}

bool pccl_exec_poll(struct pccl_exec *exec, struct pccl_exec_outcome *outcome_out)
{
	struct op *op;

	reap(exec);
	op = take_ended(exec);
	if (op == NULL)
		return false;
	if (op->restores)
		undo_restore(exec, op, true);
	outcome_out->cookie = op->launch.cookie;
	outcome_out->result = op->result;
	outcome_out->tx_bytes = op->tx_bytes;
	outcome_out->rx_bytes = op->rx_bytes;
	memcpy(outcome_out->detail, op->detail, sizeof(outcome_out->detail));
	table_forget_cookie(exec, op);
	exec->reaped = op;
	return true;
}
