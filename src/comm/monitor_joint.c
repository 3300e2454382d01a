/* Joint calls: one thread at a time asks, and waits for the group's answer. */
#include "base/fail.h"
#include "comm/monitor_internal.h"

static bool is_settled(const struct pccl_monitor *monitor)
{
	return monitor->state == PCCL_MONITOR_ENDED || (!monitor->vote_pending && pccl_monitor_is_linked(monitor));
}

/* What the view was when the call was answered: members whose links were up sooner have returned with that already. Who
 * was lost since is told by the next operation, as to them. */
static void show_answer(struct pccl_monitor *monitor)
{
	pccl_monitor_show(monitor);
	if (monitor->state == PCCL_MONITOR_MEMBER && monitor->vote_result == pcclSuccess)
		monitor->shown = monitor->answered;
}

static pcclResult_t vote(struct pccl_monitor *monitor, enum pccl_vote kind, bool *value_out)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_VOTE, .vote = kind};

	monitor->vote_pending = true;
	pccl_monitor_tell_locked(monitor, &event);
	while (!is_settled(monitor))
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	show_answer(monitor);
	if (monitor->state == PCCL_MONITOR_ENDED)
		return pccl_fail(monitor->end_result, "%s", monitor->end_detail);
	if (monitor->vote_result != pcclSuccess)
		return pccl_fail(monitor->vote_result, "%s", monitor->vote_detail);
	if (value_out != NULL)
		*value_out = monitor->vote_value;
	return pcclSuccess;
}

/* What PCCL 1.0 programs expect when a vote fails. Their loops on `failure` end after an abort. */
pcclResult_t pccl_monitor_as_known(const struct pccl_monitor *monitor, pcclResult_t result, pcclResult_t failure)
{
	if (!monitor->self->classic || result == pcclSuccess || result == pcclPendingAsyncOps ||
	    result == pcclInvalidUsage)
		return result;
	return result == pcclAborted ? pcclInvalidUsage : failure;
}

void pccl_monitor_wait_for_turn(struct pccl_monitor *monitor)
{
	while (monitor->joint_taken)
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	monitor->joint_taken = true;
	monitor->turns++;
}

void pccl_monitor_end_turn(struct pccl_monitor *monitor)
{
	monitor->joint_taken = false;
	pthread_cond_broadcast(&monitor->changed);
}

pcclResult_t pccl_monitor_joint(struct pccl_monitor *monitor, const struct pccl_joint_call *call, bool *value_out)
{
	pcclResult_t result = pccl_monitor_enter(monitor);

	if (result != pcclSuccess)
		return pccl_monitor_as_known(monitor, result, call->failure);
	pccl_monitor_wait_for_turn(monitor);
	if (monitor->state == PCCL_MONITOR_ENDED)
		result = pccl_fail(monitor->end_result, "%s", monitor->end_detail);
	else if (call->quiet && pccl_monitor_is_reserved_busy(monitor))
		result = pccl_fail(pcclPendingAsyncOps, "an engine has rounds in flight: call pcclDilocoFlush() before "
							"pcclUpdateTopology()");
	else if (call->quiet && !pccl_monitor_is_idle(monitor))
		result = pccl_fail(pcclPendingAsyncOps,
				   "operations are in flight: await them before pcclUpdateTopology()");
	else
		result = vote(monitor, call->vote, value_out);
	if (result == pcclSuccess && call->vote == PCCL_VOTE_OPTIMIZE && monitor->world.peers < 2)
		result = pccl_fail(pcclInvalidUsage, "a world of one has no topology to optimize");
	pccl_monitor_end_turn(monitor);
	pccl_monitor_leave(monitor);
	return pccl_monitor_as_known(monitor, result, call->failure);
}

#define TURNS UINT64_C(0x8000000000000000) /* from there on: no op, but a call in its turn, or one that connects */

/* A call that waits for an answer ends by itself; one that has it, or needs none, may wait for links, or for parts of a
 * state. */
uint64_t pccl_monitor_blocked(struct pccl_monitor *monitor, const uint64_t *missed)
{
	uint64_t blocked;

	pthread_mutex_lock(&monitor->lock);
	blocked = pccl_session_blocked(monitor->session, missed);
	if (blocked == 0 && monitor->state == PCCL_MONITOR_MEMBER && monitor->callers > 0 && !monitor->vote_pending &&
	    (monitor->joint_taken || !pccl_monitor_is_linked(monitor)))
		blocked = TURNS + monitor->turns;
	pthread_mutex_unlock(&monitor->lock);
	return blocked;
}
