/* Synchronizing a state: the caller's thread drives the agreement; it gathers with ops of the session, and the lanes
 * carry out the rest. */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/uuid.h"
#include "comm/lane_state.h"
#include "comm/monitor_internal.h"
#include "device/state.h"
#include "transport/loop/loop.h"

/* Orders to all lanes, which stay until the last lane has carried out the last of them. */
struct posted {
	struct pccl_state_order order;
	struct posted *next;
	struct pccl_command commands[];
};

struct call {
	struct pccl_monitor *monitor;
	struct pccl_agreement *agreement;
	const struct pccl_inventory *inventory;
	struct pccl_shadow *shadow;
	struct posted *posted;
};

/* ---- gathering ------------------------------ */

static pcclResult_t launch(struct pccl_monitor *monitor, const struct pccl_gathering *what, struct pccl_op **op_out)
{
	const struct pccl_op_request request = {.kind = PCCL_ALL_GATHER,
						.operation = {.size = sizeof(pcclOperation_t),
							      .count = what->bytes,
							      .datatype = pcclUint8,
							      .tag = PCCL_STATE_TAG,
							      .plan = pcclPlanDirect,
							      .failure_policy = pcclPolicyAbort,
							      .zstd = pcclZstdOff},
						.name = what->name,
						.input = what->input,
						.output = what->output};
	uint64_t timeout_ns = monitor->self->settings.joint_timeout_ns;
	pcclResult_t result;

	if (monitor->view.member_count > what->ranks_max)
		return pccl_fail(pcclInternalError, "the group has grown during a call");
	result = pccl_session_launch(monitor->session, &request, op_out);
	if (result == pcclSuccess) {
		(*op_out)->deadline_ns =
			timeout_ns == 0 || !what->waits_for_callers ? PCCL_NEVER : pccl_clock_ns() + timeout_ns;
		(*op_out)->launch = ++monitor->launches;
		(*op_out)->awaited = true;
	}
	pccl_monitor_dispatch(monitor);
	return result;
}

pcclResult_t pccl_monitor_gather(struct pccl_monitor *monitor, const struct pccl_gathering *what, uint32_t *ranks_out,
				 char *text, size_t text_bytes)
{
	struct pccl_op *op;
	pcclResult_t result = launch(monitor, what, &op);

	*ranks_out = 0;
	if (result != pcclSuccess) {
		pccl_text_copy(text, text_bytes, pccl_fail_text());
		return result;
	}
	(void)pccl_monitor_wait_for_end(monitor, op, PCCL_NEVER);
	result = op->result;
	*ranks_out = op->attempt_ranks;
	pccl_text_copy(text, text_bytes, op->detail);
	/* What is gathered at each step of a call is of one size, so another size is of another call. */
	if (result == pcclMismatch) {
		result = pcclInvalidUsage;
		pccl_text_format(text, text_bytes, "members made different calls; this one %s", op->detail);
	}
	pccl_session_release(monitor->session, op);
	return result;
}

static void gather(const struct call *call, const struct pccl_agreement_action *action)
{
	const struct pccl_gathering what = {.input = action->input,
					    .output = action->output,
					    .bytes = action->bytes,
					    .ranks_max = PCCL_MEMBERS_MAX,
					    .waits_for_callers = action->waits_for_callers,
					    .name = "pcclSynchronizeSharedState()"};
	char text[sizeof(((struct pccl_op *)NULL)->detail)];
	uint32_t ranks;
	pcclResult_t result = pccl_monitor_gather(call->monitor, &what, &ranks, text, sizeof(text));

	pthread_mutex_unlock(&call->monitor->lock);
	pccl_agreement_gathered(call->agreement, result, text, ranks);
	pthread_mutex_lock(&call->monitor->lock);
}

/* ---- what lanes do ------------------------------ */

/* False: out of memory. */
static bool post(struct call *call, const struct pccl_agreement_action *action)
{
	uint32_t lanes = call->monitor->self->settings.lanes, lane;
	struct posted *posted = pccl_zalloc(sizeof(*posted) + lanes * sizeof(posted->commands[0]));

	if (posted == NULL)
		return false;
	posted->order.step = action->step;
	posted->order.sync = action->sync;
	posted->order.serves = action->serves;
	posted->order.inventory = call->inventory;
	posted->order.fetch = action->fetch;
	posted->next = call->posted;
	call->posted = posted;
	for (lane = 0; lane < lanes; lane++) {
		if (action->step == PCCL_AGREEMENT_FETCH && lane >= action->fetch->lanes)
			break;
		posted->commands[lane].type = PCCL_COMMAND_BACKGROUND;
		posted->commands[lane].lane = lane;
		posted->commands[lane].order = &posted->order;
		pccl_monitor_put_command(call->monitor, &posted->commands[lane]);
	}
	call->monitor->transfers_awaited = lane;
	return true;
}

void pccl_monitor_transferred(struct pccl_monitor *monitor, uint32_t lane, const struct pccl_transfer_outcome *outcome)
{
	pthread_mutex_lock(&monitor->lock);
	if (outcome->event == monitor->transfer_event && monitor->transfers_awaited > 0) {
		monitor->transfers[lane] = *outcome;
		if (--monitor->transfers_awaited == 0)
			pthread_cond_broadcast(&monitor->changed);
	}
	pthread_mutex_unlock(&monitor->lock);
}

static void tell_outcomes(const struct call *call, uint32_t lanes)
{
	struct pccl_transfer_outcome outcomes[PCCL_LANES_MAX];
	uint32_t lane;

	memcpy(outcomes, call->monitor->transfers, sizeof(outcomes));
	pthread_mutex_unlock(&call->monitor->lock);
	for (lane = 0; lane < lanes; lane++)
		pccl_agreement_outcome(call->agreement, &outcomes[lane], lanes);
	pthread_mutex_lock(&call->monitor->lock);
}

static void fetch(struct call *call, const struct pccl_agreement_action *action)
{
	struct pccl_monitor *monitor = call->monitor;
	uint32_t lanes = action->fetch->lanes;

	monitor->transfer_event = PCCL_TRANSFER_FETCHED;
	if (!post(call, action)) {
		pccl_agreement_abort(call->agreement, pcclOutOfMemory, pccl_fail_text());
		return;
	}
	while (monitor->transfers_awaited > 0 && monitor->state != PCCL_MONITOR_ENDED)
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	if (monitor->transfers_awaited > 0)
		pccl_agreement_abort(call->agreement, monitor->end_result, monitor->end_detail);
	else
		tell_outcomes(call, lanes);
}

/* Whatever happens lanes let go of the tensors before the caller has them back. */
static void close_lanes(struct call *call, const struct pccl_agreement_action *action)
{
	struct pccl_monitor *monitor = call->monitor;

	monitor->transfer_event = PCCL_TRANSFER_CLOSED;
	while (!post(call, action)) /* without memory for it there is no way back */
		pccl_monitor_wait(monitor, &monitor->changed, pccl_clock_ns() + 10000000u);
	while (monitor->transfers_awaited > 0)
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	tell_outcomes(call, monitor->self->settings.lanes);
}

static void free_posted(struct call *call)
{
	while (call->posted != NULL) {
		struct posted *posted = call->posted;

		call->posted = posted->next;
		pccl_free(posted);
	}
}

/* OPEN and SERVE need no answer: lanes carry out what follows after them. */
static void order(struct call *call, const struct pccl_agreement_action *action)
{
	if (action->step == PCCL_AGREEMENT_OPEN) {
		pthread_mutex_unlock(&call->monitor->lock);
		pccl_shadow_download(call->shadow);
		pthread_mutex_lock(&call->monitor->lock);
	}
	while (!post(call, action))
		pccl_monitor_wait(call->monitor, &call->monitor->changed, pccl_clock_ns() + 10000000u);
	pccl_agreement_done(call->agreement);
}

static const char *step_name(const struct pccl_agreement_action *action)
{
	switch (action->step) {
	case PCCL_AGREEMENT_GATHER:
		return action->waits_for_callers ? "gathers what all have" : "gathers how it went";
	case PCCL_AGREEMENT_OPEN:
		return "opens its tensors";
	case PCCL_AGREEMENT_FETCH:
		return "fetches";
	case PCCL_AGREEMENT_SERVE:
		return "serves";
	case PCCL_AGREEMENT_CLOSE:
		return "closes its tensors";
	case PCCL_AGREEMENT_END:
		break;
	}
	return "ends";
}

static void tell_step(const struct call *call, const struct pccl_agreement_action *action)
{
	if (!pccl_log_enabled(pcclLogDebug))
		return;
	pthread_mutex_unlock(&call->monitor->lock);
	pccl_log_debug("synchronizing the state: this peer %s", step_name(action));
	pthread_mutex_lock(&call->monitor->lock);
}

static void drive(struct call *call)
{
	for (;;) {
		const struct pccl_agreement_action *action = pccl_agreement_next(call->agreement);

		tell_step(call, action);
		switch (action->step) {
		case PCCL_AGREEMENT_GATHER:
			gather(call, action);
			break;
		case PCCL_AGREEMENT_OPEN:
		case PCCL_AGREEMENT_SERVE:
			order(call, action);
			break;
		case PCCL_AGREEMENT_FETCH:
			fetch(call, action);
			break;
		case PCCL_AGREEMENT_CLOSE:
			close_lanes(call, action);
			free_posted(call);
			break;
		case PCCL_AGREEMENT_END:
			return;
		}
	}
}

/* ---- the call ------------------------------ */

/* What it remembers is of another run, if the founder of one has joined another. */
static struct pccl_state_lineage lineage_of_run(const struct pccl_monitor *monitor)
{
	const struct pccl_state_lineage none = {0};

	return pccl_uuid_equal(&monitor->lineage_run, &monitor->run) ? monitor->lineage : none;
}

static pcclResult_t synchronize(struct pccl_monitor *monitor, const struct pccl_state_call *what,
				struct pccl_agreement_result *result_out)
{
	const struct pccl_agreement_config config = {.self = monitor->self->uuid,
						     .nonce = what->nonce,
						     .members_max = PCCL_MEMBERS_MAX,
						     .inventory = what->inventory,
						     .strategy = what->strategy,
						     .revision = what->revision,
						     .lineage = lineage_of_run(monitor),
						     .little_bytes = PCCL_TRANSFER_LITTLE_BYTES};
	struct call call = {.monitor = monitor, .inventory = what->inventory, .shadow = what->shadow};
	pcclResult_t result = pccl_agreement_create(&config, pccl_session_lanes(monitor->session), &call.agreement);

	if (result != pcclSuccess)
		return result;
	drive(&call);
	*result_out = *pccl_agreement_result(call.agreement);
	monitor->lineage = result_out->lineage;
	monitor->lineage_run = monitor->run;
	assert(call.posted == NULL);
	pccl_agreement_destroy(call.agreement);
	pccl_monitor_show(monitor);
	return result_out->result != pcclSuccess ? pccl_fail(result_out->result, "%s", result_out->text) : pcclSuccess;
}

pcclResult_t pccl_monitor_begin_state_call(struct pccl_monitor *monitor, const char *when)
{
	pccl_monitor_wait_for_turn(monitor);
	if (monitor->state == PCCL_MONITOR_ENDED)
		return pccl_fail(monitor->end_result, "%s", monitor->end_detail);
	if (!pccl_monitor_is_quiet(monitor))
		return pccl_fail(pcclPendingAsyncOps, "operations are in flight: await them %s", when);
	return pcclSuccess;
}

pcclResult_t pccl_monitor_synchronize(struct pccl_monitor *monitor, const struct pccl_state_call *what,
				      struct pccl_agreement_result *result_out)
{
	pcclResult_t result = pccl_monitor_enter(monitor);

	memset(result_out, 0, sizeof(*result_out));
	if (result != pcclSuccess)
		return pccl_monitor_as_known(monitor, result, pcclInvalidUsage);
	result = pccl_monitor_begin_state_call(monitor, "before pcclSynchronizeSharedState()");
	if (result == pcclSuccess)
		result = synchronize(monitor, what, result_out);
	pccl_monitor_end_turn(monitor);
	pccl_monitor_leave(monitor);
	return pccl_monitor_as_known(monitor, result, pcclInvalidUsage);
}

pcclResult_t pccl_monitor_check_quiet(struct pccl_monitor *monitor)
{
	pcclResult_t result = pccl_monitor_enter(monitor);

	if (result != pcclSuccess)
		return pccl_monitor_as_known(monitor, result, pcclInvalidUsage);
	if (!pccl_monitor_is_quiet(monitor))
		result = pccl_fail(pcclPendingAsyncOps, "operations are in flight: await them first");
	pccl_monitor_leave(monitor);
	return result;
}
