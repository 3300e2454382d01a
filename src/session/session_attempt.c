/* Attempts: what is launched on the lanes, cancelled there, and how their outcomes become the op's. */
#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "collectives/element/dtype.h"
#include "session/session_internal.h"

void pccl_attempt_free(struct pccl_attempt *attempt)
{
	pccl_plan_destroy(attempt->plan);
	pccl_free(attempt->held);
	pccl_free(attempt->lanes_ended);
	pccl_free(attempt->commands);
	pccl_free(attempt);
}

static uint32_t home_lane(const struct pccl_attempt *attempt)
{
	assert(attempt->lanes > 0);
	return (uint32_t)(attempt->key.tag % attempt->lanes);
}

/* The home lane carries an empty op. */
bool pccl_attempt_on_lane(const struct pccl_attempt *attempt, uint32_t lane)
{
	uint32_t distance;

	if (lane >= attempt->lanes)
		return false;
	distance = (lane + attempt->lanes - home_lane(attempt)) % attempt->lanes;
	return distance < attempt->lanes_used;
}

bool pccl_attempt_owns(const void *cookie, const struct pccl_frame *frame)
{
	const struct pccl_attempt *attempt = cookie;

	return frame->epoch == attempt->epoch && frame->tag == attempt->key.tag &&
	       frame->sequence == attempt->key.sequence;
}

static pcclResult_t make_plan(const struct pccl_session *session, const struct pccl_op *op,
			      const struct pccl_op_decision *repair, struct pccl_plan **plan_out)
{
	const pcclOperation_t *operation = &op->request.operation;
	bool coded = op->codecs.up.id != 0 || op->codecs.down.id != 0;
	pcclPlan_t algorithm = operation->plan;
	uint32_t root = operation->root == PCCL_ROOT_LOST ? 0 : operation->root; /* nothing travels then */

	if (repair != NULL) {
		const struct pccl_plan_holders holders = {repair->segment_count, repair->holder_count,
							  (const uint64_t *const *)repair->holders};

		return pccl_plan_create_repair(op->request.kind, session->ranks, session->rank, &op->geometry, &holders,
					       plan_out);
	}
	if (algorithm == pcclPlanAuto)
		algorithm = pccl_plan_choose(op->request.kind, session->ranks, op->codecs.contribution_bytes,
					     &session->links);
	if (algorithm == pcclPlanRing && coded)
		algorithm = pcclPlanDirect;
	return pccl_plan_create(op->request.kind, algorithm, session->ranks, session->rank, root, &op->geometry,
				plan_out);
}

/* Everybody sends its input on while results come into its place: there it is saved even if it need not come back. */
static pcclResult_t save_for_sending(struct pccl_session *session, struct pccl_op *op, const struct pccl_plan *plan)
{
	if (op->request.kind != PCCL_ALL_REDUCE || plan->algorithm != pcclPlanOneshot)
		return pcclSuccess;
	return pccl_session_take_undo(session, op);
}

/* Sums that are made for the root are not for the caller's memory. Pages without a shard of this rank cost nothing. */
static pcclResult_t make_room_for_sums(struct pccl_op *op, const struct pccl_plan *plan)
{
	size_t bytes = op->request.operation.count * pccl_dtype_bytes(op->request.operation.datatype);

	if (op->request.kind != PCCL_REDUCE || op->request.output != NULL || op->sums != NULL || bytes == 0 ||
	    plan->algorithm == pcclPlanOneshot)
		return pcclSuccess;
	op->sums = pccl_alloc_large(bytes);
	return op->sums == NULL ? pcclOutOfMemory : pcclSuccess;
}

static pcclResult_t attempt_create(struct pccl_session *session, struct pccl_op *op,
				   const struct pccl_op_decision *repair, struct pccl_attempt **attempt_out)
{
	struct pccl_attempt *attempt = pccl_zalloc(sizeof(*attempt));
	size_t words = pccl_bitmap_words(op->geometry.segment_count);
	pcclResult_t result = pcclOutOfMemory;

	if (attempt == NULL)
		return pcclOutOfMemory;
	attempt->op = op;
	attempt->key = op->key;
	attempt->epoch = session->epoch;
	attempt->lanes = session->lanes;
	attempt->lanes_used = op->geometry.segment_count;
	if (attempt->lanes_used == 0 || op->geometry.on_one_lane)
		attempt->lanes_used = 1;
	if (attempt->lanes_used > attempt->lanes || pccl_collective_moves_parts((int)op->request.kind))
		attempt->lanes_used = attempt->lanes;
	attempt->lanes_open = attempt->lanes_used;
	attempt->lanes_ended = pccl_calloc(pccl_bitmap_words(attempt->lanes), sizeof(uint64_t));
	attempt->commands = pccl_calloc(2 * (size_t)attempt->lanes + 1, sizeof(*attempt->commands));
	if (attempt->lanes_ended == NULL || attempt->commands == NULL)
		goto fail;
	result = make_plan(session, op, repair, &attempt->plan);
	if (result == pcclSuccess)
		result = save_for_sending(session, op, attempt->plan);
	if (result == pcclSuccess)
		result = make_room_for_sums(op, attempt->plan);
	if (result != pcclSuccess)
		goto fail;
	if (repair != NULL) {
		result = pcclOutOfMemory;
		attempt->held = pccl_calloc(words + 1, sizeof(uint64_t));
		if (attempt->held == NULL)
			goto fail;
		if (repair->holders[session->rank] != NULL)
			memcpy(attempt->held, repair->holders[session->rank], words * sizeof(uint64_t));
	}
	*attempt_out = attempt;
	return pcclSuccess;
fail:
	pccl_attempt_free(attempt);
	return result;
}

static void fill_signature(const struct pccl_op *op, const struct pccl_attempt *attempt,
			   struct pccl_op_signature *signature_out)
{
	const pcclOperation_t *operation = &op->request.operation;

	memset(signature_out, 0, sizeof(*signature_out));
	signature_out->kind = (uint8_t)op->request.kind;
	signature_out->policy = (uint8_t)operation->failure_policy;
	if (attempt->held == NULL)
		signature_out->algorithm = (uint8_t)attempt->plan->algorithm;
	if (op->request.kind == PCCL_BARRIER)
		return;
	signature_out->datatype = (uint8_t)operation->datatype;
	if (!pccl_collective_moves_parts((int)op->request.kind))
		signature_out->count = operation->count;
	signature_out->up = op->codecs.up;
	signature_out->down = op->codecs.down;
	signature_out->rounding = op->codecs.rounding;
	signature_out->verify = op->verifies;
	if (pccl_collective_adds((int)op->request.kind))
		signature_out->op = (uint8_t)operation->op;
	if (pccl_collective_has_root((int)op->request.kind) || operation->root == PCCL_ROOT_LOST)
		signature_out->root = operation->root;
}

static enum pccl_packing packing_of(pcclZstd_t zstd)
{
	if (zstd == pcclZstdOn)
		return PCCL_PACK_ALWAYS;
	return zstd == pcclZstdAuto ? PCCL_PACK_CHOOSE : PCCL_PACK_NEVER;
}

static void fill_launch(const struct pccl_session *session, const struct pccl_op *op,
			const struct pccl_attempt *attempt, struct pccl_exec_launch *launch_out)
{
	assert(op->attempt == attempt);
	launch_out->key = op->key;
	launch_out->joint = pccl_session_joint_calls(session);
	fill_signature(op, attempt, &launch_out->signature);
	launch_out->geometry = op->geometry;
	launch_out->partner = op->request.operation.root;
	launch_out->plan = attempt->plan;
	launch_out->input = op->request.input;
	launch_out->output = op->request.output != NULL ? op->request.output : op->sums;
	launch_out->undo = op->undo;
	launch_out->poisons = session->config.poisons && op->residual_next == NULL; /* which it would never leave */
	launch_out->residual = op->residual_next == NULL ? NULL : op->request.operation.residual;
	launch_out->residual_next = op->residual_next;
	launch_out->residual_made = op->residual_made;
	launch_out->held = attempt->held;
	launch_out->packing = packing_of(op->request.operation.zstd);
	launch_out->divisor = op->request.operation.op == pcclAvg ? session->ranks : 0;
	launch_out->name = op->request.kind == PCCL_TRANSFER || op->request.name != NULL ? op->name : NULL;
	launch_out->cookie = op->attempt;
}

pcclResult_t pccl_attempt_start(struct pccl_session *session, struct pccl_op *op, const struct pccl_op_decision *repair)
{
	struct pccl_attempt *attempt;
	pcclResult_t result = attempt_create(session, op, repair, &attempt);
	uint32_t lane;

	if (result != pcclSuccess)
		return result;
	assert(op->attempt == NULL && !op->settled && !session->frozen && session->epoch != 0);
	op->attempt = attempt;
	op->attempts_open++;
	op->info.plan = attempt->plan->algorithm;
	op->info.epoch = session->epoch;
	attempt->next = session->attempts;
	if (attempt->next != NULL)
		attempt->next->before = attempt;
	session->attempts = attempt;
	for (lane = 0; lane < session->lanes; lane++) {
		struct pccl_command *command = &attempt->commands[2 * lane];

		if (!pccl_attempt_on_lane(attempt, lane))
			continue;
		fill_launch(session, op, attempt, &command->launch);
		pccl_session_command(session, command, PCCL_COMMAND_LAUNCH, lane);
	}
	return pcclSuccess;
}

/* A lane that ended with success has let go of segments that it overwrote: their input comes back from here. */
static void restore_lane(const struct pccl_attempt *attempt, uint32_t lane)
{
	const struct pccl_op *op = attempt->op;
	const struct pccl_geometry *geometry = &op->geometry;
	size_t element_bytes = pccl_dtype_bytes(op->request.operation.datatype);
	bool scatter = op->request.kind == PCCL_REDUCE_SCATTER;
	uint32_t begin = scatter ? attempt->plan->rank * geometry->chunk_segments : 0;
	uint32_t end = scatter ? begin + geometry->chunk_segments : geometry->segment_count;
	uint64_t base = scatter ? attempt->plan->rank * geometry->chunk_elements : 0;
	uint32_t segment;

	assert(op->undo != NULL && lane < attempt->lanes);
	for (segment = begin; segment < end; segment++) {
		size_t offset = (size_t)(pccl_geometry_first(geometry, segment) - base) * element_bytes;

		if (pccl_geometry_lane(geometry, segment, attempt->key.tag, attempt->lanes) == lane)
			memcpy((char *)op->request.output + offset, (const char *)op->undo + offset,
			       pccl_geometry_elements(geometry, segment) * element_bytes);
	}
}

static void restore_ended_lanes(const struct pccl_attempt *attempt)
{
	uint32_t lane;

	if (attempt->op->undo == NULL || !attempt->restore)
		return;
	for (lane = 0; lane < attempt->lanes; lane++)
		if (pccl_bitmap_test(attempt->lanes_ended, lane))
			restore_lane(attempt, lane);
}

static void fail_op(struct pccl_op *op, pcclResult_t result, const char *detail)
{
	op->result = result;
	if (op->detail != detail)
		pccl_text_copy(op->detail, sizeof(op->detail), detail);
}

void pccl_attempt_cancel(struct pccl_session *session, struct pccl_attempt *attempt, pcclResult_t result,
			 const char *detail, bool restore, bool supersede)
{
	uint32_t lane;

	assert(attempt->superseded || attempt->op->attempt == attempt);
	if (supersede) {
		attempt->superseded = true;
		attempt->op->attempt = NULL;
	}
	if (attempt->cancelled)
		return;
	attempt->cancelled = true;
	pccl_text_copy(attempt->detail, sizeof(attempt->detail), detail);
	attempt->restore = restore && result != pcclSuccess;
	/* A lane may end with success before it hears of this: too late, for its input comes back. */
	if (!supersede && attempt->op->result == pcclSuccess && result != pcclSuccess)
		fail_op(attempt->op, result, detail);
	restore_ended_lanes(attempt);
	for (lane = 0; lane < attempt->lanes; lane++) {
		struct pccl_command *command = &attempt->commands[2 * lane + 1];

		if (!pccl_attempt_on_lane(attempt, lane) || pccl_bitmap_test(attempt->lanes_ended, lane))
			continue;
		attempt->pins++;
		command->attempt = attempt;
		command->result = result;
		command->restore = restore;
		command->detail = attempt->detail;
		pccl_session_command(session, command, PCCL_COMMAND_CANCEL, lane);
	}
}

static void unlink_attempt(struct pccl_session *session, struct pccl_attempt *attempt)
{
	assert(attempt->lanes_open == 0 && attempt->pins == 0 && attempt->op->attempts_open > 0);
	if (attempt->next != NULL)
		attempt->next->before = attempt->before;
	if (attempt->before != NULL)
		attempt->before->next = attempt->next;
	else
		session->attempts = attempt->next;
	attempt->op->attempts_open--;
	pccl_attempt_free(attempt);
}

static void note_failure(struct pccl_session *session, const struct pccl_op *op)
{
	struct pccl_failed_op *failed = &session->failed.ops[session->failed.count % PCCL_FAILED_MAX];

	/* pcclRankConnectionLost: the root was lost before this peer launched it. */
	if (op->result != pcclMismatch && op->result != pcclInvalidArgument && op->result != pcclResultsDiffer &&
	    op->result != pcclRankConnectionLost)
		return;
	failed->key = op->key;
	failed->signature = op->signature;
	failed->policy = op->result == pcclMismatch ? PCCL_POLICY_MISMATCHED : PCCL_POLICY_FAILED;
	failed->segment_count = op->geometry.segment_count;
	session->failed.count++;
}

/* The op keeps the first failure of any lane; success needs all of them. */
static void merge(struct pccl_session *session, struct pccl_attempt *attempt, const struct pccl_exec_outcome *outcome)
{
	struct pccl_op *op = attempt->op;

	op->info.tx_bytes += outcome->tx_bytes;
	op->info.rx_bytes += outcome->rx_bytes;
	if (attempt->superseded || outcome->result == pcclSuccess || op->result != pcclSuccess)
		return;
	fail_op(op, outcome->result, outcome->detail);
	/* All had launched it. */
	op->decided = outcome->result == pcclInvalidArgument || outcome->result == pcclResultsDiffer;
	note_failure(session, op); /* a flush may come before the other lanes have let go */
	pccl_attempt_cancel(session, attempt, op->result, op->detail, true, false);
}

/* When no lane has the attempt any more, it goes, and its op ends if no other attempt is to come or still to go. */
static void settle(struct pccl_session *session, struct pccl_attempt *attempt)
{
	struct pccl_op *op = attempt->op;

	if (attempt->lanes_open > 0 || attempt->pins > 0)
		return;
	if (op->attempt == attempt) {
		op->attempt = NULL;
		op->settled = true;
	}
	unlink_attempt(session, attempt);
	if (op->settled && op->attempts_open == 0)
		pccl_session_op_end(session, op, op->result, op->detail);
}

void pccl_session_outcome(struct pccl_session *session, uint32_t lane, const struct pccl_exec_outcome *outcome)
{
	struct pccl_attempt *attempt = outcome->cookie;
	struct pccl_op *op = attempt->op;

	assert(attempt->lanes_open > 0 && !pccl_bitmap_test(attempt->lanes_ended, lane));
	assert(pccl_attempt_on_lane(attempt, lane));
	attempt->lanes_open--;
	merge(session, attempt, outcome);
	pccl_bitmap_set(attempt->lanes_ended, lane);
	if (attempt->cancelled && outcome->result == pcclSuccess && attempt->restore && op->undo != NULL)
		restore_lane(attempt, lane);
	settle(session, attempt);
}

void pccl_session_unpin(struct pccl_session *session, struct pccl_attempt *attempt)
{
	assert(attempt->pins > 0);
	attempt->pins--;
	settle(session, attempt);
}

bool pccl_session_expire(struct pccl_session *session, struct pccl_op *op)
{
	struct pccl_attempt *attempt = op->attempt;
	struct pccl_command *command;
	uint32_t lane;

	if (attempt == NULL && !op->own && session->forgetting.op != NULL) /* it waits for that one */
		return pccl_session_expire(session, session->forgetting.op);
	if (attempt == NULL)
		return false;
	if (attempt->expiring)
		return true;
	if (attempt->lanes_open == 0)
		return false;
	lane = home_lane(attempt);
	while (pccl_bitmap_test(attempt->lanes_ended, lane))
		lane = (lane + 1) % attempt->lanes;
	assert(pccl_attempt_on_lane(attempt, lane));
	command = &attempt->commands[2 * attempt->lanes];
	command->attempt = attempt;
	command->key = op->key;
	command->detail = op->name;
	pccl_session_command(session, command, PCCL_COMMAND_EXPIRE, lane);
	attempt->expiring = true;
	attempt->pins++;
	return true;
}
