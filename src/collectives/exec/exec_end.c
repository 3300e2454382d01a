/* How ops end: with success when everybody has everything, otherwise with words. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "collectives/exec/exec_internal.h"

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
	table_forget_key(exec, op);
	refresh_nothing(exec, op);
	enqueue(exec, op, result);
}

/* Nobody is told anything of it any more. */
static void end_silently(struct pccl_exec *exec, struct op *op, pcclResult_t result)
{
	uint32_t rank;

	end(exec, op, result);
	for (rank = 0; rank < exec->ranks; rank++)
		unasked_end(exec, op, rank);
}

void op_end_at_once(struct pccl_exec *exec, struct op *op)
{
	assert(!op->takes_place);
	op->complete = true;
	enqueue(exec, op, pcclSuccess);
}

void op_release(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	/* Once: the view may have changed since. */
	if (!op->takes_place || op->released)
		return;
	op->released = true;
	window_close(exec, op);
	pack_close(exec, op);
	for (rank = 0; rank < exec->ranks; rank++) {
		region_free(exec, rank, &op->peers[rank].region);
		if (op->peers[rank].early != NULL)
			early_release(exec, op->peers[rank].early);
		op->peers[rank].early = NULL;
	}
}

void op_destroy(struct pccl_exec *exec, struct op *op)
{
	if (op->takes_place)
		table_remove(exec, op);
	coder_close(op);
	scratch_give(exec, op);
	pccl_free(op);
}

/* ---- success ----------------------------------------------------------------------------------------------------- */

/* DONE goes out after the op has left, for its outcome needs not wait for a stream to have room. */
static void leave_dones(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++) {
		if (rank == exec->rank || op->peers[rank].absent || op->peers[rank].done_sent)
			continue;
		parting_add(exec, rank, &op->launch.key);
	}
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
	if (op->state != OP_OPEN || op->started_count < op->others)
		return;
	if (op->refused_count > 0 || op->failing) {
		op_refused(exec, op);
		return;
	}
	if (!op->complete && (op->held_count < op->needed_count || op->receiving > 0 || op->owed > 0))
		return;
	if (op->verifies && !op->checking)
		verify_begin(exec, op);
	if (op->failing) {
		op_refused(exec, op);
		return;
	}
	if (!op->complete && (!op->verifies || op->checked_count == exec->ranks - 1))
		become_complete(exec, op);
	if (!op->complete)
		return;
	free_regions(exec, op);
	/* Who lies is done before what it sends has come: that still writes into what the op would give away. */
	if (op->done_count < op->others || op->receiving > 0)
		return;
	leave_dones(exec, op);
	window_close(exec, op);
	end_silently(exec, op, pcclSuccess);
}

/* ---- failure ----------------------------------------------------------------------------------------------------- */

/* Others must see both signatures, and that nothing more comes from here. */
static void say_farewell(struct pccl_exec *exec, struct op *op)
{
	op->refusing = true;
	op->farewells = op->others;
	refresh_all(exec, op);
}

static void fail_here(struct pccl_exec *exec, struct op *op, pcclResult_t result)
{
	op->restores = true;
	end(exec, op, result);
	say_farewell(exec, op);
}

void op_mismatch(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	char theirs[120], ours[120];

	signature_describe(op->peers[rank].start, theirs, sizeof(theirs));
	signature_to(op, rank, op->signature);
	signature_describe(op->signature, ours, sizeof(ours));
	if (op->launch.name != NULL)
		pccl_text_format(op->detail, sizeof(op->detail), "%s: rank %u launched %s, this peer %s",
				 op->launch.name, rank, theirs, ours);
	else
		pccl_text_format(op->detail, sizeof(op->detail), "rank %u launched tag %llu as %s, this peer as %s",
				 rank, (unsigned long long)op->launch.key.tag, theirs, ours);
	op->refusal.reason = PCCL_REFUSAL_SIGNATURE;
	fail_here(exec, op, pcclMismatch);
}

void op_lose_root(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	const char *kind = pccl_collective_name(op->launch.signature.kind);
	unsigned long long tag = op->launch.key.tag;

	if (pccl_collective_moves_parts(op->launch.signature.kind))
		snprintf(op->detail, sizeof(op->detail),
			 "members were lost before rank %u%s could begin %s %llu, which was of the view before", rank,
			 rank == exec->rank ? " (this peer)" : "", kind, tag);
	else if (rank == exec->rank)
		snprintf(op->detail, sizeof(op->detail), "the root of %s %llu was lost before this peer could begin it",
			 kind, tag);
	else
		snprintf(op->detail, sizeof(op->detail),
			 "rank %u says that the root of %s %llu was lost before it could begin it", rank, kind, tag);
	op->refusal.reason = PCCL_REFUSAL_ROOT;
	fail_here(exec, op, pcclRankConnectionLost);
}

/* "contribution of rank 2 to tag 7: element 12 is not finite, which codec int8 can't carry". */
static void describe_element(const struct pccl_exec *exec, struct op *op, uint32_t rank, const struct refusal *refusal)
{
	bool result = refusal->reason == PCCL_REFUSAL_RESULT;
	const char *codec = pccl_codec_name(result ? op->coder.down.id : op->coder.up.id);
	unsigned long long tag = op->launch.key.tag, element = 0;
	bool known = op->coded && refusal->segment < op->launch.geometry.segment_count;

	if (known)
		element = pccl_geometry_first(&op->launch.geometry, refusal->segment) + refusal->element;
	if (!known || element >= op->launch.signature.count)
		snprintf(op->detail, sizeof(op->detail),
			 "rank %u refused tag %llu for an element that it does not have", rank, tag);
	else
		snprintf(op->detail, sizeof(op->detail),
			 "%s of rank %u to tag %llu: element %llu is too large, infinite or not a number, which codec "
			 "%s "
			 "can't carry%s",
			 result ? "result" : "contribution", rank, tag, element, codec,
			 rank == exec->rank ? " (this peer)" : "");
}

static const struct refusal *refusal_of(const struct pccl_exec *exec, const struct op *op, uint32_t rank)
{
	if (rank == exec->rank)
		return op->failing ? &op->refusal : NULL;
	return op->peers[rank].refused ? &op->peers[rank].refusal : NULL;
}

/* Signatures that differ first, as everybody sees those; otherwise the lowest rank that has told why. */
static uint32_t deciding_rank(const struct pccl_exec *exec, const struct op *op)
{
	uint32_t rank, first = NONE;

	if (op->failing && op->refusal.reason == PCCL_REFUSAL_DIGEST)
		return exec->rank; /* what it has seen itself says more than what it is told */
	for (rank = 0; rank < exec->ranks; rank++) {
		const struct refusal *refusal = refusal_of(exec, op, rank);

		if (refusal == NULL || refusal->reason == PCCL_REFUSAL_HEARD)
			continue;
		if (refusal->reason == PCCL_REFUSAL_SIGNATURE)
			return rank;
		if (first == NONE)
			first = rank;
	}
	assert(first != NONE); /* this rank fails, or refused_count says that one has told why */
	return first;
}

void op_refused(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank = deciding_rank(exec, op);
	const struct refusal *refusal = refusal_of(exec, op, rank);

	if (refusal->reason == PCCL_REFUSAL_SIGNATURE) {
		snprintf(op->detail, sizeof(op->detail), "rank %u refused tag %llu: members launched it differently",
			 rank, (unsigned long long)op->launch.key.tag);
		op->refusal.reason = PCCL_REFUSAL_SIGNATURE;
		fail_here(exec, op, pcclMismatch);
		return;
	}
	if (refusal->reason == PCCL_REFUSAL_ROOT) {
		op_lose_root(exec, op, rank);
		return;
	}
	if (refusal->reason == PCCL_REFUSAL_DIGEST) {
		verify_describe(exec, op, rank, refusal);
		if (!op->failing)
			op->refusal.reason = PCCL_REFUSAL_HEARD;
		fail_here(exec, op, pcclResultsDiffer);
		return;
	}
	describe_element(exec, op, rank, refusal);
	if (!op->failing)
		op->refusal.reason = PCCL_REFUSAL_HEARD;
	fail_here(exec, op, pcclInvalidArgument);
}

void op_fail_element(struct pccl_exec *exec, struct op *op, enum pccl_frame_refusal reason, uint32_t local,
		     size_t element)
{
	assert(!op->failing);
	op->failing = true;
	op->refusal.reason = (uint8_t)reason;
	op->refusal.segment = op_segment(exec, op, local);
	op->refusal.element = (uint32_t)element;
	refresh_all(exec, op);
}

/* A share that had ended well is taken back before anybody was told. */
static void take_back(struct pccl_exec *exec, struct op *op, pcclResult_t result, const char *detail, bool restore)
{
	if (op->result != pcclSuccess || result == pcclSuccess)
		return;
	if (op->takes_place)
		undo_restore(exec, op, restore);
	op->result = result;
	pccl_text_copy(op->detail, sizeof(op->detail), detail);
}

void op_cancel(struct pccl_exec *exec, struct op *op, pcclResult_t result, const char *detail, bool restore)
{
	if (op->state == OP_ENDED) {
		take_back(exec, op, result, detail, restore);
		return;
	}
	assert(op->state == OP_OPEN);
	/* The decision comes from outside. Nobody can return what it does not have. */
	if (result == pcclSuccess && op->held_count < op->needed_count) {
		result = pcclMismatch;
		detail = "the group called the operation complete, but this peer does not hold all of its result";
		restore = true;
	}
	if (result != pcclSuccess)
		undo_restore(exec, op, restore);
	pccl_text_copy(op->detail, sizeof(op->detail), detail);
	op->receiving = 0;
	op_release(exec, op);
	if (result == pcclMismatch && !exec->frozen) {
		end(exec, op, result);
		say_farewell(exec, op);
	} else {
		end_silently(exec, op, result);
	}
}
