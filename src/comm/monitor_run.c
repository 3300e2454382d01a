/*
 * A blocking call. Where such calls follow each other closely, the lane's thread parks between them, and the caller
 * drives the lane: it sends and receives itself, and nothing is handed from one thread to another and back.
 */
#include "base/fail.h"
#include "base/time.h"
#include "comm/monitor_internal.h"
#include "transport/loop/loop.h"

#define CLOSELY_NS (2 * PCCL_MS_NS) /* from the beginning of a call to that of the next */

/* What most of the op travels over, all of a small one. */
static void *home_lane(const struct pccl_monitor *monitor, const struct pccl_op_request *request)
{
	const uint64_t tag = pccl_session_tag(monitor->session, request);

	return monitor->threads.lanes[tag % pccl_session_lanes(monitor->session)];
}

/* Under the lock. */
static bool take_lane(struct pccl_monitor *monitor, void *lane)
{
	const uint64_t now_ns = pccl_clock_ns();
	const bool closely = now_ns - monitor->ran_ns < CLOSELY_NS;

	monitor->ran_ns = now_ns;
	if (monitor->threads.take(lane))
		return true;
	if (closely)
		monitor->threads.invite(lane);
	return false;
}

/* Until the op has ended. */
static void drive(struct pccl_monitor *monitor, struct pccl_op *op, void *lane)
{
	struct pccl_waiter waiter = {.lane = lane};

	pccl_monitor_add_waiter(op, &waiter);
	while (!waiter.ended) {
		const uint64_t until_ns = op->deadline_ns; /* may come nearer meanwhile: then the lane is rung */

		pthread_mutex_unlock(&monitor->lock);
		monitor->threads.drive(lane, until_ns);
		pthread_mutex_lock(&monitor->lock);
		if (!waiter.ended && op->deadline_ns != PCCL_NEVER && pccl_clock_ns() >= op->deadline_ns)
			pccl_monitor_act_on_deadline(monitor, op);
	}
}

/* Under the lock, which the lane's driver gives back together with the lane. */
static pcclResult_t run_driving(struct pccl_monitor *monitor, const struct pccl_op_request *request, void *lane,
				pcclOperationInfo_t *info_out, bool *launched_out)
{
	struct pccl_op *op;
	pcclResult_t result = pccl_monitor_start(monitor, request, &op);

	*launched_out = result == pcclSuccess;
	if (op != NULL) {
		op->awaited = true;
		drive(monitor, op, lane);
	}
	monitor->threads.give(lane);
	if (op != NULL)
		result = pccl_monitor_finish(monitor, op, info_out);
	else if (result == pcclSuccess && pccl_monitor_take_doomed(monitor, request->operation.tag))
		result = pcclRankConnectionLost;
	pccl_monitor_leave(monitor);
	return result;
}

pcclResult_t pccl_monitor_run(struct pccl_monitor *monitor, const struct pccl_op_request *request,
			      pcclOperationInfo_t *info_out, bool *launched_out)
{
	uint64_t tag, launch;
	pcclResult_t result;

	if (request->operation.tag != PCCL_STATE_TAG && pccl_monitor_enter(monitor) == pcclSuccess) {
		void *lane = home_lane(monitor, request);

		if (take_lane(monitor, lane))
			return run_driving(monitor, request, lane, info_out, launched_out);
		pccl_monitor_leave(monitor);
	}
	result = pccl_monitor_launch(monitor, request, &tag, &launch);
	*launched_out = result == pcclSuccess;
	return result == pcclSuccess ? pccl_monitor_await(monitor, tag, launch, info_out) : result;
}
