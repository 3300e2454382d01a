/* What callers do with ops. */
#include "base/fail.h"
#include "base/text.h"
#include "base/time.h"
#include "comm/monitor_internal.h"
#include "transport/loop/loop.h"

#define ASK_INTERVAL_NS (100 * PCCL_MS_NS) /* between looks at an op whose deadline has passed */

/* The communicator is no member any more. */
static pcclResult_t launch_late(struct pccl_monitor *monitor, uint64_t tag, pcclResult_t result)
{
	pthread_mutex_lock(&monitor->lock);
	result = pccl_monitor_doom(monitor, tag, result);
	pthread_mutex_unlock(&monitor->lock);
	return result;
}

pcclResult_t pccl_monitor_start(struct pccl_monitor *monitor, const struct pccl_op_request *request,
				struct pccl_op **op_out)
{
	uint64_t timeout_ns = request->operation.timeout_ms * PCCL_MS_NS;
	pcclResult_t result = pccl_monitor_check_reserved(monitor, request->operation.tag);

	*op_out = NULL;
	if (result == pcclSuccess)
		result = pccl_session_launch(monitor->session, request, op_out);
	if (result == pcclSuccess) {
		if (timeout_ns == 0)
			timeout_ns = monitor->self->settings.operation_timeout_ns;
		(*op_out)->deadline_ns = timeout_ns == 0 ? PCCL_NEVER : pccl_clock_ns() + timeout_ns;
		(*op_out)->launch = ++monitor->launches;
	} else {
		*op_out = NULL;
		result = pccl_monitor_doom(monitor, request->operation.tag, result);
	}
	pccl_monitor_dispatch(monitor);
	return result;
}

void pccl_monitor_name(const struct pccl_op_request *request, const struct pccl_op *op, uint64_t *tag_out,
		       uint64_t *launch_out)
{
	*tag_out = op == NULL ? request->operation.tag : op->request.operation.tag;
	*launch_out = op == NULL ? PCCL_ANY_LAUNCH : op->launch;
}

pcclResult_t pccl_monitor_launch(struct pccl_monitor *monitor, const struct pccl_op_request *request, uint64_t *tag_out,
				 uint64_t *launch_out)
{
	struct pccl_op *op;
	pcclResult_t result;

	pccl_monitor_name(request, NULL, tag_out, launch_out);
	if (request->operation.tag == PCCL_STATE_TAG)
		return pccl_fail(pcclInvalidArgument, "tag %llu is the library's own",
				 (unsigned long long)PCCL_STATE_TAG);
	result = pccl_monitor_enter(monitor);
	if (result != pcclSuccess)
		return launch_late(monitor, request->operation.tag, result);
	result = pccl_monitor_start(monitor, request, &op);
	pccl_monitor_name(request, op, tag_out, launch_out);
	pccl_monitor_leave(monitor);
	return result;
}

/* The deadline has passed: whom the op waits for is asked, and the group decides what becomes of it. Asked again when a
 * view change came in between, for then the question may have been lost with the old view. */
static void ask_for_end(struct pccl_monitor *monitor, struct pccl_op *op)
{
	if (op->asked_epoch != monitor->view.epoch && pccl_session_expire(monitor->session, op))
		op->asked_epoch = monitor->view.epoch;
	pccl_monitor_dispatch(monitor);
}

void pccl_monitor_expired(struct pccl_monitor *monitor, const struct pccl_op_key *key, const char *text)
{
	const struct pccl_peer_event event = {
		.type = PCCL_PEER_EXPIRED, .tag = key->tag, .sequence = key->sequence, .text = text};

	pthread_mutex_lock(&monitor->lock);
	monitor->expired_key = *key;
	pccl_text_copy(monitor->expired, sizeof(monitor->expired), text);
	pccl_monitor_tell_locked(monitor, &event);
	pthread_mutex_unlock(&monitor->lock);
}

static void end_undecided(struct pccl_monitor *monitor, const struct pccl_op *op)
{
	const bool known = monitor->expired[0] != '\0' && monitor->expired_key.tag == op->key.tag &&
			   monitor->expired_key.sequence == op->key.sequence;
	char text[PCCL_DETAIL_BYTES];

	pccl_text_format(
		text, sizeof(text),
		"an operation's deadline passed%s%s, and no decision of the group came: the master can't be reached",
		known ? ": " : "", known ? monitor->expired : "");
	pccl_monitor_end_locked(monitor, pcclTimeout, text);
}

/* If the master can't be reached for as long again as a connection may take, this peer ends alone. */
void pccl_monitor_act_on_deadline(struct pccl_monitor *monitor, struct pccl_op *op)
{
	const struct pccl_settings *settings = &monitor->self->settings;

	if (op->give_up_ns == 0) /* from the first look on: before it nobody was asked */
		op->give_up_ns = pccl_clock_ns() + settings->connect_timeout_ns + settings->heartbeat_timeout_ns;
	if (pccl_clock_ns() >= op->give_up_ns) {
		end_undecided(monitor, op);
		op->deadline_ns = PCCL_NEVER;
		return;
	}
	ask_for_end(monitor, op);
	op->deadline_ns = pccl_clock_ns() + ASK_INTERVAL_NS;
}

void pccl_monitor_add_waiter(struct pccl_op *op, struct pccl_waiter *waiter)
{
	waiter->ended = op->ended;
	if (op->ended)
		return;
	waiter->next = op->waiter;
	op->waiter = waiter;
}

void pccl_monitor_remove_waiter(struct pccl_op *op, const struct pccl_waiter *waiter)
{
	struct pccl_waiter *before = op->waiter;

	if (before == waiter) {
		op->waiter = waiter->next;
		return;
	}
	while (before->next != waiter)
		before = before->next;
	before->next = waiter->next;
}

bool pccl_monitor_wait_for_end(struct pccl_monitor *monitor, struct pccl_op *op, uint64_t limit_ns)
{
	struct pccl_waiter waiter = {.lane = NULL};

	if (op->ended)
		return true;
	pccl_monitor_init_condition(&waiter.woken);
	pccl_monitor_add_waiter(op, &waiter);
	while (!waiter.ended && (limit_ns == PCCL_NEVER || pccl_clock_ns() < limit_ns)) {
		/* the deadline may come nearer meanwhile */
		const uint64_t until_ns = op->deadline_ns < limit_ns ? op->deadline_ns : limit_ns;

		if (!pccl_monitor_wait(monitor, &waiter.woken, until_ns) && !waiter.ended &&
		    pccl_clock_ns() >= op->deadline_ns)
			pccl_monitor_act_on_deadline(monitor, op);
	}
	if (!waiter.ended)
		pccl_monitor_remove_waiter(op, &waiter);
	pthread_cond_destroy(&waiter.woken);
	return waiter.ended;
}

/* A handle may be awaited after its communicator has ended: the op has ended with it. */
static pcclResult_t enter_to_await(struct pccl_monitor *monitor)
{
	pthread_mutex_lock(&monitor->lock);
	if (monitor->session == NULL && monitor->doomed == NULL) {
		pthread_mutex_unlock(&monitor->lock);
		return pccl_fail(pcclInvalidUsage, "the communicator is not connected: call pcclConnect() first");
	}
	monitor->callers++;
	return pcclSuccess;
}

/* The op that has not been released. */
static struct pccl_op *find(const struct pccl_monitor *monitor, uint64_t tag, uint64_t launch)
{
	bool ours = tag == PCCL_STATE_TAG;
	struct pccl_op *op = monitor->session != NULL && !ours ? pccl_session_find(monitor->session, tag) : NULL;

	return op != NULL && launch != PCCL_ANY_LAUNCH && op->launch != launch ? NULL : op;
}

static struct pccl_op *claim(struct pccl_monitor *monitor, uint64_t tag, uint64_t launch)
{
	struct pccl_op *op = find(monitor, tag, launch);

	if (op == NULL || op->awaited) {
		pccl_fail(pcclRankConnectionLost, "no operation with tag %llu is to be awaited by this handle",
			  (unsigned long long)tag);
		return NULL;
	}
	op->awaited = true;
	return op;
}

pcclResult_t pccl_monitor_finish(struct pccl_monitor *monitor, struct pccl_op *op, pcclOperationInfo_t *info_out)
{
	pcclResult_t result;

	if (op->residual_next != NULL) {
		pthread_mutex_unlock(&monitor->lock);
		pccl_op_commit_residual(op);
		pthread_mutex_lock(&monitor->lock);
	}
	result = op->result;
	if (result != pcclSuccess)
		pccl_fail(result, "%s", op->detail);
	if (result != pcclSuccess)
		pccl_monitor_show(monitor);
	if (info_out != NULL)
		pccl_op_tell(op, info_out);
	pccl_session_release(monitor->session, op);
	return result;
}

pcclResult_t pccl_monitor_await(struct pccl_monitor *monitor, uint64_t tag, uint64_t launch,
				pcclOperationInfo_t *info_out)
{
	pcclResult_t result = enter_to_await(monitor);
	struct pccl_op *op;

	if (result != pcclSuccess)
		return result;
	op = launch == PCCL_ANY_LAUNCH && pccl_monitor_take_doomed(monitor, tag) ? NULL : claim(monitor, tag, launch);
	if (op == NULL) {
		pccl_monitor_leave(monitor);
		return pcclRankConnectionLost;
	}
	(void)pccl_monitor_wait_for_end(monitor, op, PCCL_NEVER);
	result = pccl_monitor_finish(monitor, op, info_out);
	pccl_monitor_leave(monitor);
	return result;
}

/* Who only ever looks, and waits in no call, has a deadline all the same. */
static bool has_ended(struct pccl_monitor *monitor, struct pccl_op *op)
{
	if (!op->ended && op->deadline_ns != PCCL_NEVER && pccl_clock_ns() >= op->deadline_ns)
		pccl_monitor_act_on_deadline(monitor, op);
	return op->ended;
}

pcclResult_t pccl_monitor_test(struct pccl_monitor *monitor, uint64_t tag, uint64_t launch, uint64_t limit_ns,
			       bool *done_out)
{
	struct pccl_op *op;
	pcclResult_t result = enter_to_await(monitor);

	if (result != pcclSuccess)
		return result;
	op = find(monitor, tag, launch);
	if (op == NULL && launch == PCCL_ANY_LAUNCH && pccl_monitor_is_doomed(monitor, tag))
		*done_out = true;
	else if (op == NULL)
		result = pccl_fail(pcclInvalidArgument, "no operation with tag %llu is to be awaited by this handle",
				   (unsigned long long)tag);
	else
		*done_out = limit_ns == 0 ? has_ended(monitor, op) : pccl_monitor_wait_for_end(monitor, op, limit_ns);
	pccl_monitor_leave(monitor);
	return result;
}
