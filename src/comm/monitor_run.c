/*
 * A blocking call, and one that stays for a while. Where such calls follow each other closely, the lane's thread parks
 * between them, and the caller drives the lane: it sends and receives itself, and nothing is handed from one thread to
 * another and back.
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

/* Until the op has ended. Once it has it may be gone, unless it is this caller's to release. */
static void drive(struct pccl_monitor *monitor, struct pccl_op *op, void *lane, uint64_t limit_ns)
{
	struct pccl_waiter waiter = {.lane = lane};

	pccl_monitor_add_waiter(op, &waiter);
	while (!waiter.ended && (limit_ns == PCCL_NEVER || pccl_clock_ns() < limit_ns)) {
		/* the deadline may come nearer meanwhile: then the lane is rung */
		const uint64_t until_ns = op->deadline_ns < limit_ns ? op->deadline_ns : limit_ns;

		pthread_mutex_unlock(&monitor->lock);
		monitor->threads.drive(lane, until_ns);
		pthread_mutex_lock(&monitor->lock);
		if (!waiter.ended && op->deadline_ns != PCCL_NEVER && pccl_clock_ns() >= op->deadline_ns)
			pccl_monitor_act_on_deadline(monitor, op);
	}
	if (!waiter.ended)
		pccl_monitor_remove_waiter(op, &waiter);
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
		drive(monitor, op, lane, PCCL_NEVER);
	}
	monitor->threads.give(lane);
	if (op != NULL)
		result = pccl_monitor_finish(monitor, op, info_out);
	else if (result == pcclSuccess && pccl_monitor_take_doomed(monitor, request->operation.tag))
		result = pcclRankConnectionLost;
	pccl_monitor_leave(monitor);
	return result;
}

/* The lane to drive, taken, with the lock; NULL: there is none now. */
static void *enter_driving(struct pccl_monitor *monitor, const struct pccl_op_request *request)
{
	void *lane;

	if (request->operation.tag == PCCL_STATE_TAG || pccl_monitor_enter(monitor) != pcclSuccess)
		return NULL;
	lane = home_lane(monitor, request);
	if (take_lane(monitor, lane))
		return lane;
	pccl_monitor_leave(monitor);
	return NULL;
}

pcclResult_t pccl_monitor_run(struct pccl_monitor *monitor, const struct pccl_op_request *request,
			      pcclOperationInfo_t *info_out, bool *launched_out)
{
	void *lane = enter_driving(monitor, request);
	uint64_t tag, launch;
	pcclResult_t result;

	if (lane != NULL)
		return run_driving(monitor, request, lane, info_out, launched_out);
	result = pccl_monitor_launch(monitor, request, &tag, &launch);
	*launched_out = result == pcclSuccess;
	return result == pcclSuccess ? pccl_monitor_await(monitor, tag, launch, info_out) : result;
}

pcclResult_t pccl_monitor_launch_and_stay(struct pccl_monitor *monitor, const struct pccl_op_request *request,
					  uint64_t *tag_out, uint64_t *launch_out)
{
	const uint32_t stay_ms = request->operation.stay_ms;
	const uint64_t limit_ns = stay_ms == 0 ? 0 : pccl_clock_ns() + stay_ms * PCCL_MS_NS;
	void *lane = stay_ms == 0 ? NULL : enter_driving(monitor, request);
	struct pccl_op *op;
	pcclResult_t result;
	bool done;

	if (lane == NULL) {
		result = pccl_monitor_launch(monitor, request, tag_out, launch_out);
		if (result == pcclSuccess && stay_ms > 0 && *launch_out != PCCL_ANY_LAUNCH)
			(void)pccl_monitor_test(monitor, *tag_out, *launch_out, limit_ns, &done);
		return result;
	}
	result = pccl_monitor_start(monitor, request, &op);
	pccl_monitor_name(request, op, tag_out, launch_out);
	if (op != NULL)
		drive(monitor, op, lane, limit_ns);
	monitor->threads.give(lane);
	pccl_monitor_leave(monitor);
	return result;
}
