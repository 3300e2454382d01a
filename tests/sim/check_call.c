/* What all survivors must have been told alike about one op: beyond success or failure (check.c), the very result,
 * the numbers of participants and the bytes. Who left or was evicted is no survivor. */
#include "shell.h"

#include <stdlib.h>
#include <string.h>

#include "base/uuid.h"

struct call_record {
	uint32_t group;
	pcclRankUuid_t run;
	uint32_t origin;
	uint64_t tag;
	uint32_t sequence;
	uint64_t key; /* which call of the program it was */
	bool succeeded;
	uint32_t node;
	uint32_t participants_min;
	uint32_t participants_max;
	uint64_t hash;
};

static struct call_record *find_record(struct shell *shell, const struct call *call)
{
	struct shell_world *world = shell->sim->shells;
	const struct sim_node *node = shell->node;
	struct call_record *record;
	size_t index;

	for (index = world->record_count; index-- > 0;) {
		record = &world->records[index];
		if (record->group == node->group && record->origin == node->origin &&
		    record->tag == call->op->key.tag && record->sequence == call->op->key.sequence &&
		    pccl_uuid_equal(&record->run, &node->view.run))
			return record;
	}
	if ((world->record_count & (world->record_count - 1)) == 0)
		world->records = realloc(world->records, (world->record_count > 0 ? 2 * world->record_count : 1) *
								 sizeof(*world->records));
	if (world->records == NULL)
		abort();
	record = &world->records[world->record_count++];
	memset(record, 0, sizeof(*record));
	record->group = node->group;
	record->run = node->view.run;
	record->origin = node->origin;
	record->tag = call->op->key.tag;
	record->sequence = call->op->key.sequence;
	record->key = call->spec.key;
	return record;
}

static void compare(struct shell *shell, const struct call *call, struct call_record *record)
{
	const pcclOperationInfo_t *info = &call->op->info;
	bool differs = call->spec.kind == PCCL_REDUCE_SCATTER || call->spec.kind == PCCL_REDUCE ||
		       pccl_collective_moves_parts((int)call->spec.kind);
	uint64_t hash = differs ? 0 : buffer_hash(call);

	if (!record->succeeded) {
		record->succeeded = true;
		record->node = shell->node->id;
		record->participants_min = info->participants_min;
		record->participants_max = info->participants_max;
		record->hash = hash;
		return;
	}
	if (record->participants_min != info->participants_min || record->participants_max != info->participants_max)
		sim_fail(shell->sim, "nodes %u and %u have other numbers of participants of op %u.%u", record->node,
			 shell->node->id, (unsigned)record->tag, record->sequence);
	if (record->hash != hash)
		sim_fail(shell->sim, "nodes %u and %u have other bytes of op %u.%u", record->node, shell->node->id,
			 (unsigned)record->tag, record->sequence);
}

/* Its root, the one that all name as long as it lives, is in the view, and it was to be redone. */
static bool is_given_up_in_vain(const struct shell *shell, const struct call *call)
{
	uint32_t rank;

	return (call->spec.kind == PCCL_BROADCAST || call->spec.kind == PCCL_REDUCE) &&
	       call->spec.operation.failure_policy != pcclPolicyAbort &&
	       shell->sim->shells->plan.mistake_percent == 0 &&
	       pccl_view_rank(&shell->node->view.view, &shell->sim->nodes[call->spec.root].uuid, &rank);
}

static bool is_allowed(const struct shell *shell, const struct call *call)
{
	switch ((int)call->op->result) {
	case pcclSuccess:
		return true;
	case pcclRankConnectionLost:
		return !is_given_up_in_vain(shell, call);
	case pcclTimeout:
		return shell->sim->shells->plan.timeout_percent > 0;
	case pcclMismatch:
		return shell->sim->shells->plan.mistake_percent > 0;
	case pcclResultsDiffer:
		return shell->sim->shells->plan.lie_percent > 0;
	case pcclTooFewPeers:
		return shell->node->view.view.member_count < 2;
	default:
		return false;
	}
}

/* An input that is given up can't be had again, but what results have overwritten of an all-reduce is held. */
static bool ends_with_any_view(const struct sim *sim, const struct call *call)
{
	return call->spec.in_place && call->spec.operation.input == pcclInputGiveUp &&
	       (call->spec.kind != PCCL_ALL_REDUCE || sim->shells->plan.verifies);
}

void check_call(struct shell *shell, const struct call *call)
{
	bool success = call->op->result == pcclSuccess;
	struct call_record *record;

	if (success)
		shell->sim->shells->ops_ended++;
	else
		shell->sim->shells->ops_failed++;
	if (shell->sim->rogue != NULL || (shell->ended && !success))
		return; /* what a member lies about its elements and ops can't be right everywhere */
	if (!is_allowed(shell, call))
		sim_fail(shell->sim, "node %u: op %u.%u ends with %d: %s", shell->node->id, (unsigned)call->op->key.tag,
			 call->op->key.sequence, (int)call->op->result, call->op->detail);
	record = find_record(shell, call);
	if (record->key != call->spec.key)
		sim_fail(shell->sim, "op %u.%u is another call at node %u than elsewhere", (unsigned)record->tag,
			 record->sequence, shell->node->id);
	if (success)
		compare(shell, call, record);
	else if (!ends_with_any_view(shell->sim, call))
		check_gentle_failure(shell->sim, shell->node, call->op->key.tag, call->op->key.sequence);
	check_op(shell->sim, shell->node, call->op->key.tag, call->op->key.sequence, success,
		 success && !call->committed);
}

void check_call_fini(struct shell_world *world)
{
	free(world->records);
}
