/* How ops end: with success when everybody has everything, otherwise with words. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "collectives/exec_internal.h"

static void unlink_key(struct pccl_exec *exec, const struct op *op)
{
	struct op **link = &exec->buckets[pccl_rng_hash(op->launch.key.tag, op->launch.key.sequence) % KEY_BUCKETS];

	while (*link != op)
		link = &(*link)->next_of_bucket;
	*link = op->next_of_bucket;
}

static void enqueue(struct pccl_exec *exec, struct op *op, pcclResult_t result)
{
	op->state = OP_ENDED;
	op->result = result;
	op->next_ended = NULL;
	if (exec->ended_last == NULL)
		exec->ended_first = op;
	else
		exec->ended_last->next_ended = op;
	exec->ended_last = op;
	ended_note(exec, op->launch.key.tag, op->launch.key.sequence);
}

static void end(struct pccl_exec *exec, struct op *op, pcclResult_t result)
{
	assert(op->state == OP_OPEN);
	unlink_key(exec, op);
	refresh_nothing(exec, op);
	enqueue(exec, op, result);
}

void op_end_at_once(struct pccl_exec *exec, struct op *op)
{
	assert(!op->takes_slot);
	op->complete = true;
	enqueue(exec, op, pcclSuccess);
}

void op_release(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	if (!op->takes_slot)
		return;
	window_close(exec, op);
	for (rank = 0; rank < exec->ranks; rank++) {
		region_free(exec, rank, &op->peers[rank].region);
		if (op->peers[rank].early != NULL)
			early_release(&exec->neighbours[rank], op->peers[rank].early);
		op->peers[rank].early = NULL;
	}
}

void op_destroy(struct pccl_exec *exec, struct op *op)
{
	if (op->takes_slot) {
		assert(exec->ops[op->slot] == op);
		exec->ops[op->slot] = NULL;
	}
	pccl_free(op->scratch);
	pccl_free(op);
}

/* ---- success ------------------------------------------------------------------------------------------------------------ */

/* DONE goes out after the op has left, for its outcome needs not wait for a stream to have room. */
static bool leave_dones(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++)
		if (rank != exec->rank && !op->peers[rank].done_sent &&
		    exec->neighbours[rank].parting_count == PCCL_MAX_OPERATIONS)
			return false;
	for (rank = 0; rank < exec->ranks; rank++) {
		if (rank == exec->rank || op->peers[rank].done_sent)
			continue;
		parting_add(&exec->neighbours[rank], &op->launch.key);
		op->tx_bytes += PCCL_FRAME_BYTES;
	}
	return true;
}

static void become_complete(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	op->complete = true;
	for (rank = 0; rank < exec->ranks; rank++) {
		if (rank != exec->rank)
			refresh_control(exec, op, rank);
	}
}

/* Others may go on to their next ops from here. */
static void free_regions(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	if (op->closed_count < op->awaited_count || op->receiving > 0)
		return;
	for (rank = 0; rank < exec->ranks; rank++)
		region_free(exec, rank, &op->peers[rank].region);
}

void op_settle(struct pccl_exec *exec, struct op *op)
{
	if (op->state != OP_OPEN || op->started_count < exec->ranks - 1)
		return;
	if (op->refused_count > 0) {
		op_refused(exec, op);
		return;
	}
	if (!op->complete && op->held_count == op->needed_count && op->receiving == 0)
		become_complete(exec, op);
	if (!op->complete)
		return;
	free_regions(exec, op);
	if (op->done_count < exec->ranks - 1)
		return;
	if (!leave_dones(exec, op))
		return;
	window_close(exec, op);
	end(exec, op, pcclSuccess);
}

/* ---- failure ------------------------------------------------------------------------------------------------------------ */

/* Others must see both signatures, and that nothing more comes from here. */
static void say_farewell(struct pccl_exec *exec, struct op *op)
{
	op->refusing = true;
	op->farewells = exec->ranks - 1;
	refresh_all(exec, op);
}

static void fail_here(struct pccl_exec *exec, struct op *op)
{
	op->restores = true;
	end(exec, op, pcclMismatch);
	say_farewell(exec, op);
}

void op_mismatch(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	char theirs[120], ours[120];

	signature_describe(op->peers[rank].start, theirs, sizeof(theirs));
	signature_describe(op->note, ours, sizeof(ours));
	if (snprintf(op->detail, sizeof(op->detail), "rank %u launched tag %llu as %s, this peer as %s", rank,
		     (unsigned long long)op->launch.key.tag, theirs, ours) < 0)
		op->detail[0] = '\0';
	fail_here(exec, op);
}

void op_refused(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks && !op->peers[rank].refused; rank++)
		;
	snprintf(op->detail, sizeof(op->detail), "rank %u refused tag %llu: members launched it differently", rank,
		 (unsigned long long)op->launch.key.tag);
	fail_here(exec, op);
}

/* A share that had ended well is taken back before anybody was told. */
static void take_back(struct pccl_exec *exec, struct op *op, pcclResult_t result, const char *detail, bool restore)
{
	if (op->result != pcclSuccess || result == pcclSuccess)
		return;
	if (op->takes_slot)
		undo_restore(exec, op, restore);
	op->result = result;
	snprintf(op->detail, sizeof(op->detail), "%s", detail);
}

void op_cancel(struct pccl_exec *exec, struct op *op, pcclResult_t result, const char *detail, bool restore)
{
	if (op->state == OP_ENDED) {
		take_back(exec, op, result, detail, restore);
		return;
	}
	assert(op->state == OP_OPEN);
	assert(result != pcclSuccess || op->held_count == op->needed_count);
	if (result != pcclSuccess)
		undo_restore(exec, op, restore);
	snprintf(op->detail, sizeof(op->detail), "%s", detail);
	op->receiving = 0;
	op_release(exec, op);
	end(exec, op, result);
	if (result == pcclMismatch && !exec->frozen)
		say_farewell(exec, op);
}
