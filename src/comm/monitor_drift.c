/* Finding out whether the states of all members are the same: the caller's thread drives the machine. */
#include <string.h>

#include "base/fail.h"
#include "comm/monitor_internal.h"
#include "device/state.h"

static void gather(struct pccl_monitor *monitor, struct pccl_drift *drift, const struct pccl_drift_action *action)
{
	const struct pccl_gathering what = {.input = action->input,
					    .output = action->output,
					    .bytes = action->bytes,
					    .ranks_max = action->ranks,
					    .waits_for_callers = true,
					    .name = "pcclStateCheck()"};
	char text[sizeof(((struct pccl_op *)NULL)->detail)];
	uint32_t ranks;
	pcclResult_t result = pccl_monitor_gather(monitor, &what, &ranks, text, sizeof(text));

	pthread_mutex_unlock(&monitor->lock);
	pccl_drift_gathered(drift, result, text, ranks);
	pthread_mutex_lock(&monitor->lock);
}

static void read_chunk(struct pccl_monitor *monitor, struct pccl_drift *drift, const struct pccl_inventory *inventory,
		       const struct pccl_drift_action *action)
{
	pcclResult_t result;

	pthread_mutex_unlock(&monitor->lock);
	result = pccl_state_read(inventory, action->chunk, action->room);
	pccl_drift_read(drift, result, result != pcclSuccess ? pccl_fail_text() : "");
	pthread_mutex_lock(&monitor->lock);
}

static pcclResult_t check(struct pccl_monitor *monitor, struct pccl_inventory *inventory,
			  struct pccl_drift_result *result_out)
{
	struct pccl_drift *drift;
	const struct pccl_drift_action *action;
	pcclResult_t result = pccl_drift_create(inventory, &monitor->self->uuid, PCCL_MEMBERS_MAX, &drift);

	if (result != pcclSuccess)
		return result;
	while ((action = pccl_drift_next(drift))->step != PCCL_DRIFT_END) {
		if (action->step == PCCL_DRIFT_GATHER)
			gather(monitor, drift, action);
		else
			read_chunk(monitor, drift, inventory, action);
	}
	*result_out = *pccl_drift_result(drift);
	pccl_drift_destroy(drift);
	return result_out->result == pcclSuccess ? pcclSuccess : pccl_fail(result_out->result, "%s", result_out->text);
}

pcclResult_t pccl_monitor_check_drift(struct pccl_monitor *monitor, struct pccl_inventory *inventory,
				      struct pccl_drift_result *result_out)
{
	pcclResult_t result = pccl_monitor_enter(monitor);

	memset(result_out, 0, sizeof(*result_out));
	if (result != pcclSuccess)
		return pccl_monitor_as_known(monitor, result, pcclInvalidUsage);
	result = pccl_monitor_begin_state_call(monitor, "first");
	if (result == pcclSuccess)
		result = check(monitor, inventory, result_out);
	pccl_monitor_end_turn(monitor);
	pccl_monitor_leave(monitor);
	/* What was found has no other name for PCCL 1.0's programs: it has no such call. */
	return result == pcclMismatch ? result : pccl_monitor_as_known(monitor, result, pcclInvalidUsage);
}
