/* Shared state: in a world of one there is nobody to agree with. Between peers it comes with src/sync/. */
#include <pccl.h>

#include "api/library.h"
#include "base/fail.h"
#include "collectives/element/dtype.h"
#include "comm/monitor.h"

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

pcclResult_t pcclSynchronizeSharedState(const pcclComm_t *communicator, pcclSharedState_t *shared_state,
					pcclSharedStateSyncStrategy_t strategy,
					pcclSharedStateSyncInfo_t *sync_info_out)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		result = check(shared_state, strategy);
	if (result == pcclSuccess)
		result = pccl_monitor_check_alone(monitor);
	if (result == pcclSuccess && sync_info_out != NULL) {
		sync_info_out->tx_bytes = 0;
		sync_info_out->rx_bytes = 0;
	}
	return result;
}
