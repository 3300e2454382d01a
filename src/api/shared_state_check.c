/* See shared_state.h. */
#include "api/shared_state.h"

#include "base/choice.h"
#include "base/fail.h"
#include "collectives/element/dtype.h"
#include "device/cuda.h"

static pcclResult_t check_tensor(const pcclTensorInfo_t *tensor, size_t index)
{
	if (tensor->name == NULL || tensor->name[0] == '\0')
		return pccl_fail(pcclInvalidArgument, "tensor %zu has no name", index);
	if (pccl_choice_check("datatype", pcclEnumDataType, (int)tensor->datatype) != pcclSuccess ||
	    pccl_choice_check("device_type", pcclEnumDeviceType, (int)tensor->device_type) != pcclSuccess)
		return pccl_fail(pcclInvalidArgument, "tensor '%.100s': %s", tensor->name, pccl_fail_text());
	if (tensor->data == NULL && tensor->count > 0)
		return pccl_fail(pcclInvalidArgument, "tensor '%.100s' has no data", tensor->name);
	if (tensor->count > INT64_MAX / pccl_dtype_bytes(tensor->datatype))
		return pccl_fail(pcclInvalidArgument, "tensor '%.100s' can't have %zu elements", tensor->name,
				 tensor->count);
	return pcclSuccess;
}

/* Before anything is touched. */
static pcclResult_t check_device(const pcclTensorInfo_t *tensor)
{
	const struct pccl_cuda *cuda;
	pcclResult_t result = pcclSuccess;

	if (tensor->device_type == pcclDeviceCuda)
		result = pccl_cuda_load(&cuda);
	return result == pcclSuccess ? result
				     : pccl_fail(result, "tensor '%.100s': %s", tensor->name, pccl_fail_text());
}

pcclResult_t pccl_shared_state_check(const pcclSharedState_t *state)
{
	pcclResult_t result = pcclSuccess;
	size_t index;

	if (state->infos == NULL && state->count > 0)
		return pccl_fail(pcclInvalidArgument, "the tensors of the state are NULL");
	for (index = 0; result == pcclSuccess && index < state->count; index++)
		result = check_tensor(&state->infos[index], index);
	for (index = 0; result == pcclSuccess && index < state->count; index++)
		result = check_device(&state->infos[index]);
	return result;
}
