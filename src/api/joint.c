/* Joint calls. */
#include "api/library.h"
#include "base/fail.h"
#include "comm/comm.h"

static pcclResult_t joint_call(const pcclComm_t *communicator, const struct pccl_joint_call *call, bool *value_out)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	return result == pcclSuccess ? pccl_monitor_joint(monitor, call, value_out) : result;
}

pcclResult_t pcclUpdateTopology(pcclComm_t *communicator)
{
	const struct pccl_joint_call call = {
		.vote = PCCL_VOTE_UPDATE, .quiet = true, .failure = pcclUpdateTopologyFailed};

	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess && pccl_comm_rejoin(communicator, &result))
		return result == pcclSuccess || result == pcclPendingAsyncOps ? result : pcclUpdateTopologyFailed;
	return joint_call(communicator, &call, NULL);
}

pcclResult_t pcclArePeersPending(const pcclComm_t *communicator, bool *pending_out)
{
	const struct pccl_joint_call call = {.vote = PCCL_VOTE_PENDING, .failure = pcclInvalidUsage};

	if (pending_out == NULL)
		return pccl_fail(pcclInvalidArgument, "pending_out is NULL");
	return joint_call(communicator, &call, pending_out);
}

pcclResult_t pcclOptimizeTopology(const pcclComm_t *communicator)
{
	const struct pccl_joint_call call = {.vote = PCCL_VOTE_OPTIMIZE, .failure = pcclTopologyOptimizationFailed};

	return joint_call(communicator, &call, NULL);
}
