/* What settings and tensors can't be. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "base/names.h"
#include "sync/diloco/schedule_internal.h"

#define ELEMENTS_MAX (UINT64_C(1) << 48) /* of all tensors: no machine has room for more, and no size overflows below */

static pcclResult_t check_tensor(const pcclTensorInfo_t *tensor, size_t index, bool has_callbacks)
{
	if (tensor->name == NULL || tensor->name[0] == '\0')
		return pccl_fail(pcclInvalidArgument, "tensor %zu has no name", index);
	if (strlen(tensor->name) > UINT16_MAX / 2)
		return pccl_fail(pcclInvalidArgument, "the name of tensor %zu is too long", index);
	if (tensor->datatype != pcclFloat)
		return pccl_fail(pcclInvalidArgument,
				 "tensor '%s' is not pcclFloat: pass the float32 copy that the optimizer works on, or "
				 "callbacks that convert",
				 tensor->name);
	if (tensor->count == 0)
		return pccl_fail(pcclInvalidArgument, "tensor '%s' has no elements", tensor->name);
	if (has_callbacks)
		return pcclSuccess;
	if (tensor->device_type != pcclDeviceCpu)
		return pccl_fail(pcclInvalidArgument,
				 "tensor '%s' is not in the memory of the host: pass callbacks that read and write it",
				 tensor->name);
	if (tensor->data == NULL)
		return pccl_fail(pcclInvalidArgument, "tensor '%s' has no data", tensor->name);
	return pcclSuccess;
}

static pcclResult_t check_numbers(const pcclDilocoSettings_t *settings)
{
	if (!(settings->learning_rate > 0) || !isfinite(settings->learning_rate))
		return pccl_fail(pcclInvalidArgument, "learning_rate is %g: it has to be positive",
				 (double)settings->learning_rate);
	if (!(settings->momentum >= 0) || !(settings->momentum < 1))
		return pccl_fail(pcclInvalidArgument, "momentum is %g: it has to be from 0 to below 1",
				 (double)settings->momentum);
	if (!(settings->alpha >= 0) || !(settings->alpha < 1))
		return pccl_fail(pcclInvalidArgument, "alpha is %g: it has to be from 0 to below 1",
				 (double)settings->alpha);
	if (!(settings->clip >= 0) || !isfinite(settings->clip))
		return pccl_fail(pcclInvalidArgument, "clip is %g: it can't be negative", (double)settings->clip);
	return pcclSuccess;
}

static pcclResult_t check_choices(const pcclDilocoSettings_t *settings)
{
	const struct {
		const char *field;
		pcclEnum_t which;
		int value;
	} choices[] = {
		{"mode", pcclEnumDilocoMode, (int)settings->mode},
		{"rule", pcclEnumDilocoRule, (int)settings->rule},
		{"division", pcclEnumDilocoDivision, (int)settings->division},
		{"codec", pcclEnumCodec, (int)settings->codec},
		{"codec_down", pcclEnumCodec, (int)settings->codec_down},
		{"rounding", pcclEnumRounding, (int)settings->rounding},
		{"zstd", pcclEnumZstd, (int)settings->zstd},
	};
	pcclResult_t result = pcclSuccess;
	size_t i;

	for (i = 0; i < sizeof(choices) / sizeof(choices[0]) && result == pcclSuccess; i++)
		result = pccl_name_check(choices[i].field, choices[i].which, choices[i].value);
	if (result == pcclSuccess && settings->codec == pcclQuantPlain)
		result = pccl_fail(pcclInvalidArgument,
				   "pcclQuantPlain is for codec_down only: for codec use pcclQuantNone");
	return result;
}

static pcclResult_t check_mode(const pcclDilocoSettings_t *settings)
{
	const int mode = (int)settings->mode, rule = (int)settings->rule;

	if (mode == pcclDilocoEager && rule != pcclDilocoNesterov)
		return pccl_fail(pcclInvalidArgument,
				 "the mode `eager` needs the rule pcclDilocoNesterov: a peer's own "
				 "part can't be taken out of a rule that is not linear");
	if (settings->interval == 0)
		return pccl_fail(pcclInvalidArgument, "interval is 0");
	if (mode != pcclDilocoStreaming && settings->overlap != 0)
		return pccl_fail(pcclInvalidArgument, "overlap is %u, but only `streaming` has one", settings->overlap);
	if (settings->overlap >= settings->interval)
		return pccl_fail(pcclInvalidArgument, "overlap is %u: it has to be below the interval, which is %u",
				 settings->overlap, settings->interval);
	if ((settings->read == NULL) != (settings->write == NULL))
		return pccl_fail(pcclInvalidArgument, "of the callbacks `read` and `write` there is only one");
	if (settings->pieces > PCCL_PIECES_MAX)
		return pccl_fail(pcclInvalidArgument, "pieces is %u: %d is the most", settings->pieces,
				 PCCL_PIECES_MAX);
	if (settings->quorum > 0 && mode != pcclDilocoSynchronous)
		return pccl_fail(pcclInvalidArgument, "quorum is %u, but only `synchronous` has one", settings->quorum);
	if (settings->tag > UINT64_MAX - 1 - (uint64_t)settings->fragments * (PCCL_PIECES_MAX + 1))
		return pccl_fail(pcclInvalidArgument, "tag leaves no room for those after it");
	return pcclSuccess;
}

static pcclResult_t check_fragments(const pcclDilocoSettings_t *settings, size_t count)
{
	if (settings->fragments == 0 || settings->fragments > count)
		return pccl_fail(pcclInvalidArgument, "%u fragments can't be made of %zu tensors, for they are not cut",
				 settings->fragments, count);
	if (settings->mode == pcclDilocoStreaming && settings->fragments > settings->interval)
		return pccl_fail(pcclInvalidArgument, "%u fragments have no steps of their own in an interval of %u",
				 settings->fragments, settings->interval);
	if ((settings->division == pcclDilocoGiven) != (settings->fragment_of != NULL))
		return pccl_fail(pcclInvalidArgument, "fragment_of goes with the division pcclDilocoGiven, and only "
						      "with that");
	return pcclSuccess;
}

pcclResult_t pccl_schedule_check(const pcclTensorInfo_t *tensors, size_t count, const pcclDilocoSettings_t *settings)
{
	pcclResult_t result = check_choices(settings);
	uint64_t left = ELEMENTS_MAX;
	size_t index;

	if (result == pcclSuccess)
		result = check_mode(settings);
	if (result == pcclSuccess)
		result = check_numbers(settings);
	if (result == pcclSuccess && (tensors == NULL || count == 0))
		result = pccl_fail(pcclInvalidArgument, "there are no tensors");
	if (result == pcclSuccess)
		result = check_fragments(settings, count);
	for (index = 0; result == pcclSuccess && index < count; index++) {
		result = check_tensor(&tensors[index], index, settings->read != NULL);
		if (result == pcclSuccess && tensors[index].count > left)
			result = pccl_fail(pcclInvalidArgument, "tensor '%s' can't have %zu elements",
					   tensors[index].name, tensors[index].count);
		left -= result == pcclSuccess ? tensors[index].count : 0;
	}
	return result;
}
