#include "api/ops.h"

#include <stddef.h>

#include "api/library.h"
#include "base/fail.h"
#include "base/sized.h"
#include "base/time.h"
#include "comm/monitor.h"
#include "transport/loop/loop.h"

static const struct pccl_sized operation_kind = {"operation", "PCCL_OPERATION_INITIALIZER",
						 offsetof(pcclOperation_t, root), offsetof(pcclOperation_t, reserved)};
static const struct pccl_sized info_kind = {"info_out", "PCCL_OPERATION_INFO_INITIALIZER", sizeof(size_t),
					    offsetof(pcclOperationInfo_t, reserved)};

pcclResult_t pccl_ops_read(const pcclOperation_t *operation, pcclOperation_t *full_out)
{
	const pcclOperation_t defaults = PCCL_OPERATION_INITIALIZER;

	*full_out = defaults;
	if (operation == NULL)
		return pccl_fail(pcclInvalidArgument, "operation is NULL");
	return pccl_sized_read(&operation_kind, operation, full_out);
}

pcclResult_t pccl_ops_check_info(const pcclOperationInfo_t *info)
{
	return info == NULL ? pcclSuccess : pccl_sized_check(&info_kind, info);
}

static void write_info(const pcclOperationInfo_t *from, pcclOperationInfo_t *to)
{
	if (to != NULL)
		pccl_sized_write(&info_kind, from, to);
}

static pcclResult_t check_handle(const pcclHandle_t *handle, struct pccl_monitor **monitor_out)
{
	pcclResult_t result = pccl_library_check();

	if (result != pcclSuccess)
		return result;
	if (handle == NULL || handle->comm == NULL)
		return pccl_fail(pcclInvalidArgument, "%s is NULL",
				 handle == NULL ? "the handle" : "the handle's comm");
	return pccl_library_check_comm(handle->comm, monitor_out);
}

/* All that there is to tell, and the room that the caller lends. */
static pcclOperationInfo_t full_info(const pcclOperationInfo_t *info_out)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;

	if (info_out != NULL && info_out->size >= offsetof(pcclOperationInfo_t, reserved)) {
		info.ranges = info_out->ranges;
		info.range_capacity = info_out->range_capacity;
	}
	return info;
}

pcclResult_t pccl_ops_launch(const pcclComm_t *communicator, const struct pccl_op_request *request,
			     pcclHandle_t *handle_out, bool *awaited_out)
{
	pcclOperationInfo_t *info_out = request->operation.info;
	pcclOperationInfo_t info;
	struct pccl_launched launched;
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_ops_check_info(info_out);

	*awaited_out = false;
	if (result == pcclSuccess && handle_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "the handle is NULL");
	if (result == pcclSuccess)
		result = pccl_library_check_comm(communicator, &monitor);
	if (result != pcclSuccess)
		return result;
	info = full_info(info_out);
	result = pccl_monitor_launch_and_stay(monitor, request, info_out == NULL ? NULL : &info, &launched);
	*awaited_out = launched.awaited;
	if (launched.awaited)
		write_info(&info, info_out);
	if (result == pcclSuccess || launched.awaited) {
		handle_out->tag = launched.tag;
		handle_out->launch = launched.launch;
		/* const is about the caller's view */
		handle_out->comm = launched.awaited ? NULL : (pcclComm_t *)(uintptr_t)communicator;
	}
	return result;
}

pcclResult_t pccl_ops_run(const pcclComm_t *communicator, const struct pccl_op_request *request,
			  pcclOperationInfo_t *info_out, bool *launched_out)
{
	pcclOperationInfo_t info;
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_ops_check_info(info_out);

	*launched_out = false;
	if (result == pcclSuccess)
		result = pccl_library_check_comm(communicator, &monitor);
	if (result != pcclSuccess)
		return result;
	info = full_info(info_out);
	result = pccl_monitor_run(monitor, request, &info, launched_out);
	if (*launched_out)
		write_info(&info, info_out);
	return result;
}

pcclResult_t pccl_ops_await(const pcclHandle_t *handle, pcclOperationInfo_t *info_out)
{
	pcclOperationInfo_t info;
	struct pccl_monitor *monitor = NULL;
	pcclResult_t result = pccl_ops_check_info(info_out);

	if (result == pcclSuccess)
		result = check_handle(handle, &monitor);
	if (result != pcclSuccess)
		return result;
	info = full_info(info_out);
	result = pccl_monitor_await(monitor, handle->tag, handle->launch, &info);
	write_info(&info, info_out);
	return result;
}

pcclResult_t pcclTestFor(const pcclHandle_t *handle, uint32_t timeout_ms, bool *done_out)
{
	const uint64_t limit_ns = timeout_ms == 0 ? 0 : pccl_clock_ns() + timeout_ms * PCCL_MS_NS;
	struct pccl_monitor *monitor = NULL;
	pcclResult_t result;

	if (done_out == NULL)
		return pccl_fail(pcclInvalidArgument, "done_out is NULL");
	result = check_handle(handle, &monitor);
	return result == pcclSuccess ? pccl_monitor_test(monitor, handle->tag, handle->launch, limit_ns, done_out)
				     : result;
}

pcclResult_t pcclTest(const pcclHandle_t *handle, bool *done_out)
{
	return pcclTestFor(handle, 0, done_out);
}
