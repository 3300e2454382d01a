/*
 * Room for contributions. The arena is cut into blocks; an op takes blocks and cuts them into slots of the size of its
 * contributions, reused last in, first out, so that they stay in the cache. An op's window is the number of segments it
 * has room for; senders have credit for as many segments as are not yet added up.
 *
 * Why nobody waits for ever: at most half of the arena belongs to ops that some rank may never launch. Ops that all
 * have launched take what they can get and give it back when their segments are added up, which needs nothing but the
 * others' inputs; those that got nothing wait in line. Rings are different, for a sum that is passed on needs room at
 * the next rank: a ring that can't get its minimum from the arena has memory of its own. So have ops whose
 * contributions are so small that they may come unasked: whatever comes for an op that was launched has a place.
 */
#include <assert.h>

#include "base/memory.h"
#include "collectives/exec/exec_internal.h"

#define WINDOW_MAX 32
#define WINDOW_ARENA_SHARE 2 /* an op's window takes no more than one in so many parts of the arena */
#define WINDOW_MIN_RING 2
#define SPARE_BYTES ((size_t)256 << 10)
#define SCRATCH_STEP ((size_t)4 << 10)

pcclResult_t arena_install(struct pccl_exec *exec, uint32_t ranks)
{
	size_t segments = (size_t)(ranks - 1) * PCCL_SEGMENT_BYTES_MAX;
	size_t bytes = exec->config.scratch_bytes;
	uint32_t block_count, index;

	/* With many ranks segments are smaller. */
	if (segments > 8u << 20)
		segments = 8u << 20;
	if (bytes < 2 * segments + 2 * BLOCK_BYTES)
		bytes = 2 * segments + 2 * BLOCK_BYTES;
	block_count = (uint32_t)(bytes / BLOCK_BYTES);
	if (block_count > exec->block_count) {
		arena_destroy(exec);
		exec->arena = pccl_alloc_aligned(4096, (size_t)block_count * BLOCK_BYTES);
		exec->free_blocks = pccl_calloc(block_count, sizeof(*exec->free_blocks));
		if (exec->arena == NULL || exec->free_blocks == NULL)
			return pcclOutOfMemory;
		exec->block_count = block_count;
	}
	for (index = 0; index < exec->block_count; index++)
		exec->free_blocks[index] = exec->block_count - 1 - index;
	exec->free_block_count = exec->block_count;
	exec->unsure_blocks = 0;
	return pcclSuccess;
}

void arena_destroy(struct pccl_exec *exec)
{
	pccl_free(exec->arena);
	pccl_free(exec->free_blocks);
	exec->arena = NULL;
	exec->free_blocks = NULL;
	exec->block_count = 0;
	exec->free_block_count = 0;
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

uint32_t slot_take(struct op *op)
{
	if (op->free_slot_count > 0)
		return op->free_slots[--op->free_slot_count];
	assert(op->slots_made < op->window * op->contributors);
	return op->slots_made++;
}

void slot_give(struct op *op, uint32_t slot)
{
	assert(op->free_slot_count < op->slots_made);
	op->free_slots[op->free_slot_count++] = slot;
}

uint8_t *slot_memory(const struct pccl_exec *exec, const struct op *op, uint32_t slot)
{
	uint32_t block;

	if (op->scratch != NULL)
		return op->scratch + (size_t)slot * op->slot_bytes;
	block = op->blocks[slot / op->slots_per_block];
	return exec->arena + (size_t)block * BLOCK_BYTES + (size_t)(slot % op->slots_per_block) * op->slot_bytes;
}

/* ---- windows ----------------------------------------------------------------------------------------------------- */

uint32_t window_blocks(const struct op *op, uint32_t window)
{
	uint32_t slots = window * op->contributors;

	if (op->slots_per_block == 0)
		return 0;
	return (slots + op->slots_per_block - 1) / op->slots_per_block;
}

static bool is_sure(const struct op *op)
{
	return op->started_count == op->others;
}

static uint32_t blocks_available(const struct pccl_exec *exec, const struct op *op)
{
	uint32_t half = exec->block_count / 2;

	if (is_sure(op))
		return exec->free_block_count;
	if (exec->unsure_blocks >= half)
		return 0;
	half -= exec->unsure_blocks;
	return half < exec->free_block_count ? half : exec->free_block_count;
}

static bool needs_room(const struct op *op)
{
	return op->awaited_count > 0 && op->contributors > 0;
}

void window_plan(const struct pccl_exec *exec, struct op *op)
{
	uint64_t per_segment = (uint64_t)op->contributors * op->slot_bytes;
	uint64_t wanted;

	op->window_min = op->moves_sums ? WINDOW_MIN_RING : 1;
	if (op->window_min > op->awaited_count)
		op->window_min = op->awaited_count;
	op->window_wanted = 0;
	if (!needs_room(op))
		return;
	if (op->eager_window > 0) {
		op->window_min = op->eager_window;
		op->window_wanted = op->window_min;
		return; /* slots_per_block 0: the arena is not for it */
	}
	op->slots_per_block = BLOCK_BYTES / op->slot_bytes;
	wanted = (uint64_t)exec->block_count * BLOCK_BYTES / WINDOW_ARENA_SHARE / per_segment;
	if (wanted > WINDOW_MAX)
		wanted = WINDOW_MAX;
	if (wanted > op->awaited_count)
		wanted = op->awaited_count;
	op->window_wanted = wanted > op->window_min ? (uint32_t)wanted : op->window_min;
	if (op->slots_per_block == 0 || window_blocks(op, op->window_min) > exec->block_count / 2) {
		op->slots_per_block = 0; /* the arena is not for it */
		op->window_wanted = op->window_min;
	}
}

/* Enlarges the window up to `target`, as far as there are blocks. */
static void grant(struct pccl_exec *exec, struct op *op, uint32_t target)
{
	uint32_t available = blocks_available(exec, op);
	uint32_t window = target, needed;

	while (window > op->window && window_blocks(op, window) > op->block_count + available)
		window--;
	if (window <= op->window || window < op->window_min)
		return;
	needed = window_blocks(op, window);
	while (op->block_count < needed) {
		op->blocks[op->block_count++] = exec->free_blocks[--exec->free_block_count];
		if (!is_sure(op))
			exec->unsure_blocks++;
	}
	op->blocks_unsure = !is_sure(op);
	op->window = window;
}

/* Those of the last ops are kept for the next: they are in the cache, and fresh memory costs more than the op. */
static bool scratch_take(struct pccl_exec *exec, struct op *op, size_t bytes)
{
	op->scratch_bytes = (bytes + SCRATCH_STEP - 1) / SCRATCH_STEP * SCRATCH_STEP;
	if (exec->spare_count > 0 && exec->spares[exec->spare_count - 1].bytes >= bytes) {
		op->scratch = exec->spares[--exec->spare_count].memory;
		op->scratch_bytes = exec->spares[exec->spare_count].bytes;
		return true;
	}
	op->scratch = pccl_alloc_aligned(ALIGN_BYTES, op->scratch_bytes);
	return op->scratch != NULL;
}

void scratch_give(struct pccl_exec *exec, struct op *op)
{
	if (op->scratch != NULL && exec->spare_count < SPARES_MAX && op->scratch_bytes <= SPARE_BYTES) {
		exec->spares[exec->spare_count].memory = op->scratch;
		exec->spares[exec->spare_count++].bytes = op->scratch_bytes;
	} else {
		pccl_free(op->scratch);
	}
	op->scratch = NULL;
}

void scratch_forget(struct pccl_exec *exec)
{
	while (exec->spare_count > 0)
		pccl_free(exec->spares[--exec->spare_count].memory);
}

pcclResult_t window_open(struct pccl_exec *exec, struct op *op)
{
	if (!needs_room(op))
		return pcclSuccess;
	if (op->slots_per_block > 0) {
		grant(exec, op,
		      (op->window_wanted + 1) / 2 > op->window_min ? (op->window_wanted + 1) / 2 : op->window_min);
		if (op->window > 0 || !op->moves_sums)
			return pcclSuccess;
	}
	if (!scratch_take(exec, op, (size_t)op->window_min * op->contributors * op->slot_bytes))
		return pcclOutOfMemory;
	op->window = op->window_min;
	return pcclSuccess;
}

static void leave_line(struct op *op)
{
	struct hungry *list = op->hungry;

	if (list == NULL)
		return;
	if (op->hungry_before != NULL)
		op->hungry_before->hungry_next = op->hungry_next;
	else
		list->first = op->hungry_next;
	if (op->hungry_next != NULL)
		op->hungry_next->hungry_before = op->hungry_before;
	else
		list->last = op->hungry_before;
	op->hungry = NULL;
}

static void join_line(struct hungry *list, struct op *op)
{
	op->hungry = list;
	op->hungry_next = NULL;
	op->hungry_before = list->last;
	if (list->last != NULL)
		list->last->hungry_next = op;
	else
		list->first = op;
	list->last = op;
}

/* Lines up an op that all have launched, if it can use more room. */
static void line_up(struct pccl_exec *exec, struct op *op)
{
	leave_line(op);
	if (needs_room(op) && op->scratch == NULL && op->closed_count < op->awaited_count &&
	    op->window < op->window_wanted)
		join_line(op->window == 0 ? &exec->starving : &exec->growing, op);
}

/* Those that have nothing first, in the order in which all had launched them; what is left makes windows larger. */
static void feed(struct pccl_exec *exec)
{
	struct op *op, *next;

	while (exec->free_block_count > 0 && (op = exec->starving.first) != NULL) {
		grant(exec, op, op->window_wanted);
		if (op->window == 0)
			return;
		line_up(exec, op);
		credit_grow(exec, op);
	}
	for (op = exec->growing.first; exec->free_block_count > 0 && op != NULL; op = next) {
		next = op->hungry_next;
		grant(exec, op, op->window_wanted);
		if (op->window == op->window_wanted)
			leave_line(op);
		credit_grow(exec, op);
	}
}

void window_sure(struct pccl_exec *exec, struct op *op)
{
	if (op->blocks_unsure)
		exec->unsure_blocks -= op->block_count;
	op->blocks_unsure = false;
	line_up(exec, op);
	if (op->hungry != NULL)
		feed(exec);
}

void window_close(struct pccl_exec *exec, struct op *op)
{
	leave_line(op);
	if (op->block_count == 0)
		return;
	if (op->blocks_unsure)
		exec->unsure_blocks -= op->block_count;
	op->blocks_unsure = false;
	while (op->block_count > 0)
		exec->free_blocks[exec->free_block_count++] = op->blocks[--op->block_count];
	op->window = 0;
	feed(exec);
}

/* ---- credit ------------------------------------------------------------------------------------------------------ */

static uint32_t credit_limit(const struct op *op)
{
	uint32_t limit = op->closed_first + SPAN;

	return limit < op->awaited_count ? limit : op->awaited_count;
}

void credit_grow(struct pccl_exec *exec, struct op *op)
{
	uint32_t before = op->credit, limit = credit_limit(op), rank;

	if (op->credit < op->closed_first)
		op->credit = op->closed_first;
	while (op->credit < limit && op->open_below < op->window) {
		uint32_t index = op->credit++;

		if (work_at(op, index)->closed)
			continue;
		op->open_below++;
	}
	if (op->credit == before)
		return;
	for (rank = 0; rank < exec->ranks; rank++)
		if (op->peers[rank].contributes)
			refresh_control(exec, op, rank);
}

void credit_close(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	assert(!work_at(op, index)->closed);
	work_at(op, index)->closed = true;
	op->closed_count++;
	if (index < op->credit) {
		assert(op->open_below > 0);
		op->open_below--;
	}
	while (op->closed_first < op->awaited_count && work_at(op, op->closed_first)->closed)
		work_reset(op, op->closed_first++);
	if (op->closed_count == op->awaited_count)
		window_close(exec, op);
	else
		credit_grow(exec, op);
}
