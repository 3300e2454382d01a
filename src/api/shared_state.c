/* Shared state. */
#include <sys/random.h>

#include <pccl.h>

#include "api/library.h"
#include "base/fail.h"
#include "collectives/element/dtype.h"
#include "comm/monitor.h"
#include "comm/state_work.h"
#include "transport/loop/loop.h"

static pcclResult_t check(const pcclSharedState_t *state, pcclSharedStateSyncStrategy_t strategy)
{
	size_t i;

	if (state == NULL || (state->count > 0 && state->infos == NULL))
		return pccl_fail(pcclInvalidArgument, "shared_state or its infos is NULL");
	if ((int)strategy < 0 || strategy > PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY)
		return pccl_fail(pcclInvalidArgument, "strategy %d is unknown", (int)strategy);
	for (i = 0; i < state->count; i++) {
		const pcclTensorInfo_t *info = &state->infos[i];

		if (info->name == NULL || (info->data == NULL && info->count > 0))
			return pccl_fail(pcclInvalidArgument, "tensor %zu has no name or no data", i);
		if (!pccl_dtype_valid((int)info->datatype))
			return pccl_fail(pcclInvalidArgument, "tensor %s: datatype %d is unknown", info->name,
					 (int)info->datatype);
		if (info->device_type != pcclDeviceCpu)
			return pccl_fail(pcclInvalidArgument, "tensor %s: this build has no CUDA support", info->name);
	}
	return pcclSuccess;
}

/* Numbers that no two calls have alike. */
static uint64_t draw_nonce(void)
{
	uint64_t nonce = 0;

	if (getrandom(&nonce, sizeof(nonce), GRND_NONBLOCK) != (ssize_t)sizeof(nonce))
		nonce = pccl_clock_ns();
	return nonce;
}

/* Without memory this peer takes part all the same, so that the others need not wait for it. */
static pcclResult_t synchronize(struct pccl_monitor *monitor, pcclSharedState_t *shared_state,
				pcclSharedStateSyncStrategy_t strategy, pcclSharedStateSyncInfo_t *sync_info_out)
{
	struct pccl_state_call call = {.strategy = strategy, .revision = shared_state->revision, .nonce = draw_nonce()};
	struct pccl_agreement_result outcome;
	pcclResult_t local = pccl_inventory_create(shared_state, &call.inventory), result;

	if (local != pcclSuccess && local != pcclOutOfMemory)
		return local;
	if (call.inventory != NULL)
		pccl_state_digest(call.inventory);
	result = pccl_monitor_synchronize(monitor, &call, &outcome);
	pccl_inventory_destroy(call.inventory);
	if (result == pcclSuccess)
		shared_state->revision = outcome.revision;
	if (sync_info_out != NULL) {
		sync_info_out->tx_bytes = outcome.tx_bytes;
		sync_info_out->rx_bytes = outcome.rx_bytes;
	}
	return local != pcclSuccess ? pccl_fail(local, "out of memory for the digests of the state") : result;
}

pcclResult_t pcclSynchronizeSharedState(const pcclComm_t *communicator, pcclSharedState_t *shared_state,
					pcclSharedStateSyncStrategy_t strategy,
					pcclSharedStateSyncInfo_t *sync_info_out)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		result = check(shared_state, strategy);
	if (result == pcclSuccess)
		result = pccl_monitor_check_quiet(monitor);
	if (result == pcclSuccess)
		result = synchronize(monitor, shared_state, strategy, sync_info_out);
	return result;
}
