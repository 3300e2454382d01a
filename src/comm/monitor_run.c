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

/* Until the limit, or the op has ended: then it says so, and the op may be gone, unless it is this caller's to
 * release. */
static bool drive(struct pccl_monitor *monitor, struct pccl_op *op, void *lane, uint64_t limit_ns)
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
	return waiter.ended;
}

/* Under the lock, which the lane's driver gives back together with the lane. */
static pcclResult_t run_driving(struct pccl_monitor *monitor, const struct pccl_op_request *request, void *lane,
				uint64_t limit_ns, pcclOperationInfo_t *info_out, struct pccl_launched *launched_out)
{
	struct pccl_op *op;
	bool ended = false;
	pcclResult_t result = pccl_monitor_start(monitor, request, &op);

	pccl_monitor_name(request, op, &launched_out->tag, &launched_out->launch);
	if (op != NULL) {
		op->awaited = info_out != NULL;
		ended = drive(monitor, op, lane, limit_ns);
		if (!ended && info_out != NULL) /* else it may be another thread's that knows the tag */
			op->awaited = false;
	}
	monitor->threads.give(lane);
	launched_out->awaited = ended && info_out != NULL;
	if (launched_out->awaited)
		result = pccl_monitor_finish(monitor, op, info_out);
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

pcclResult_t pccl_monitor_launch_and_stay(struct pccl_monitor *monitor, const struct pccl_op_request *request,
					  pcclOperationInfo_t *info_out, struct pccl_launched *launched_out)
{
	const uint32_t stay_ms = request->operation.stay_ms;
	const uint64_t limit_ns = stay_ms == 0 ? 0 : pccl_clock_ns() + stay_ms * PCCL_MS_NS;
	void *lane = stay_ms == 0 ? NULL : enter_driving(monitor, request);
	bool done = false;
	pcclResult_t result;

	if (lane != NULL)
		return run_driving(monitor, request, lane, limit_ns, info_out, launched_out);
	launched_out->awaited = false;
	result = pccl_monitor_launch(monitor, request, &launched_out->tag, &launched_out->launch);
	if (result != pcclSuccess || stay_ms == 0 || launched_out->launch == PCCL_ANY_LAUNCH)
		return result;
	(void)pccl_monitor_test(monitor, launched_out->tag, launched_out->launch, limit_ns, &done);
	if (!done || info_out == NULL)
		return pcclSuccess;
	launched_out->awaited = true;
	return pccl_monitor_await(monitor, launched_out->tag, launched_out->launch, info_out);
}

pcclResult_t pccl_monitor_run(struct pccl_monitor *monitor, const struct pccl_op_request *request,
			      pcclOperationInfo_t *info_out, bool *launched_out)
{
	void *lane = enter_driving(monitor, request);
	struct pccl_launched launched = {0, 0, false};
	pcclResult_t result;

	if (lane != NULL)
		result = run_driving(monitor, request, lane, PCCL_NEVER, info_out, &launched);
	else
		result = pccl_monitor_launch(monitor, request, &launched.tag, &launched.launch);
	*launched_out = result == pcclSuccess || launched.awaited;
	if (result != pcclSuccess || launched.awaited)
		return result;
	return pccl_monitor_await(monitor, launched.tag, launched.launch, info_out);
}
