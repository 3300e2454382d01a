/* The library as a whole: initialization, version, build, texts. */
#include "api/library.h"

#include <stdbool.h>

#include "base/fail.h"
#include "comm/comm.h"

static bool initialized; /* the interface wants it; set once, never cleared */

pcclResult_t pcclInit(void)
{
	__atomic_store_n(&initialized, true, __ATOMIC_RELEASE);
	return pcclSuccess;
}

pcclResult_t pccl_library_check(void)
{
	if (__atomic_load_n(&initialized, __ATOMIC_ACQUIRE))
		return pcclSuccess;
	return pccl_fail(pcclNotInitialized, "call pcclInit() first");
}

pcclResult_t pccl_library_check_comm(const pcclComm_t *comm, struct pccl_monitor **monitor_out)
{
	pcclResult_t result = pccl_library_check();

	if (result != pcclSuccess)
		return result;
	if (comm == NULL)
		return pccl_fail(pcclInvalidArgument, "communicator is NULL");
	if (pccl_comm_is_inherited(comm))
		return pccl_fail(pcclInvalidUsage,
				 "the communicator belongs to the process that forked this one: create "
				 "another; this copy needs no end");
	*monitor_out = pccl_comm_monitor(comm);
	return pcclSuccess;
}

pcclResult_t pccl_library_result(const pcclComm_t *comm, pcclResult_t result, pcclResult_t loss)
{
	if ((int)result < 100 || comm == NULL || !pccl_comm_self(comm)->classic)
		return result;
	if (result == pcclOutOfMemory || result == pcclSystemError)
		return pcclInternalError;
	return result == pcclMismatch || result == pcclTooManyOperations ? pcclInvalidUsage : loss;
}

pcclResult_t pcclGetBuildInfo(pcclBuildInfo_t *info)
{
	if (info == NULL)
		return pccl_fail(pcclInvalidArgument, "info is NULL");
	info->has_cuda_support = true; /* the driver is looked for when a tensor needs it */
	return pcclSuccess;
}

int pcclGetVersion(void)
{
	return PCCL_VERSION_MAJOR * 10000 + PCCL_VERSION_MINOR * 100 + PCCL_VERSION_PATCH;
}

const char *pcclGetErrorString(pcclResult_t result)
{
	return pccl_result_string(result);
}

const char *pcclGetLastError(const pcclComm_t *comm)
{
	(void)comm;
	return pccl_fail_text();
}
