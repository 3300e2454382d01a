/* What settings and tensors can't be. */
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "base/choice.h"
#include "base/fail.h"
#include "session/session.h"
#include "sync/diloco/schedule_internal.h"
#include "sync/state/agreement.h"

#define ELEMENTS_MAX (UINT64_C(1) << 48) /* of all tensors: no machine has room for more, and no size overflows below */

static bool is_utf8(const char *text)
{
	json_t *string = json_string(text);

	json_decref(string);
	return string != NULL;
}

static pcclResult_t check_tensor(const pcclTensorInfo_t *tensor, size_t index, bool has_callbacks)
{
	if (tensor->name == NULL || tensor->name[0] == '\0')
		return pccl_fail(pcclInvalidArgument, "tensor %zu has no name", index);
	if (strlen(tensor->name) > UINT16_MAX / 2)
		return pccl_fail(pcclInvalidArgument, "the name of tensor %zu has %zu bytes: %d are the most", index,
				 strlen(tensor->name), UINT16_MAX / 2);
	if (!is_utf8(tensor->name))
		return pccl_fail(pcclInvalidArgument,
				 "the name of tensor %zu is not UTF-8: no checkpoint could hold its state", index);
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
		return pccl_fail(pcclInvalidArgument, "clip is %g: it has to be positive, or 0 for no limit",
				 (double)settings->clip);
	return pcclSuccess;
}

/* What only one mode or rule reads, and that is not as the initializer has it. */
static pcclResult_t check_unread(const pcclDilocoSettings_t *settings)
{
	const pcclDilocoSettings_t defaults = PCCL_DILOCO_SETTINGS_INITIALIZER;

	if (settings->mode != pcclDilocoStreaming &&
	    (settings->alpha < defaults.alpha || settings->alpha > defaults.alpha))
		return pccl_fail(pcclInvalidArgument, "alpha is %g, but only `streaming` has one",
				 (double)settings->alpha);
	if (settings->rule == pcclDilocoCo2)
		return pcclSuccess;
	if (settings->clip > 0)
		return pccl_fail(pcclInvalidArgument, "clip is %g, but only the rule pcclDilocoCo2 clips",
				 (double)settings->clip);
	if (!settings->penalize)
		return pccl_fail(pcclInvalidArgument,
				 "penalize is false, but only the rule pcclDilocoCo2 divides by a gap");
	return pcclSuccess;
}

/* What the all-reduce of a piece would say of them, rounds later. */
static pcclResult_t check_codecs(const pcclDilocoSettings_t *settings)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	struct pccl_op_codecs codecs;

	if (settings->codec == pcclQuantNone && settings->codec_down == pcclQuantPlain)
		return pccl_fail(pcclInvalidArgument,
				 "codec_down is pcclQuantPlain, which goes with a codec, and codec is pcclQuantNone: "
				 "choose pcclQuantNone for both, and everything travels plain");
	operation.count = PCCL_PIECE_LEAST;
	operation.plan = pcclPlanDirect;
	operation.codec = settings->codec;
	operation.codec_down = settings->codec_down;
	operation.rounding = settings->rounding;
	return pccl_session_read_codecs(PCCL_ALL_REDUCE, &operation, &codecs);
}

static pcclResult_t check_tags(const pcclDilocoSettings_t *settings)
{
	static const uint64_t own[] = {PCCL_TAG_OWN, PCCL_STATE_TAG};
	const uint64_t last = pccl_schedule_last_tag(settings);
	size_t i;

	if (last == UINT64_MAX)
		return pccl_fail(pcclInvalidArgument, "tag is 0x%llx: it leaves no room for the %llu of an engine",
				 (unsigned long long)settings->tag,
				 (unsigned long long)(pccl_schedule_tag_count(settings)));
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (own[i] >= settings->tag && own[i] <= last)
			return pccl_fail(pcclInvalidArgument,
					 "tag is 0x%llx: of those from there to 0x%llx, which are the engine's, "
					 "0x%llx is the library's own",
					 (unsigned long long)settings->tag, (unsigned long long)last,
					 (unsigned long long)own[i]);
	return pcclSuccess;
}

static pcclResult_t check_quorum(const pcclDilocoSettings_t *settings)
{
	if (settings->quorum > 0 && settings->mode != pcclDilocoSynchronous)
		return pccl_fail(pcclInvalidArgument, "quorum is %u, but only `synchronous` has one", settings->quorum);
	if (settings->quorum > PCCL_TRAINING_MAX)
		return pccl_fail(pcclInvalidArgument, "quorum is %u: a training has %d peers at most", settings->quorum,
				 PCCL_TRAINING_MAX);
	if (settings->grace_ms > 0 && settings->quorum == 0)
		return pccl_fail(pcclInvalidArgument,
				 "grace_ms is %u, but quorum is 0: all peers are waited for, for as long as it takes",
				 settings->grace_ms);
	return pcclSuccess;
}

static pcclResult_t check_choices(const pcclDilocoSettings_t *settings)
{
	const struct pccl_choice choices[] = {
		{"mode", pcclEnumDilocoMode, (int)settings->mode},
		{"rule", pcclEnumDilocoRule, (int)settings->rule},
		{"division", pcclEnumDilocoDivision, (int)settings->division},
		{"codec", pcclEnumCodec, (int)settings->codec},
		{"codec_down", pcclEnumCodec, (int)settings->codec_down},
		{"rounding", pcclEnumRounding, (int)settings->rounding},
		{"zstd", pcclEnumZstd, (int)settings->zstd},
	};

	return pccl_choices_check(choices, sizeof(choices) / sizeof(choices[0]));
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
	return pcclSuccess;
}

static pcclResult_t check_fragments(const pcclDilocoSettings_t *settings, size_t count)
{
	if (settings->fragments == 0 || settings->fragments > count)
		return pccl_fail(pcclInvalidArgument, "%u fragments can't be made of %zu tensors, for they are not cut",
				 settings->fragments, count);
	if (settings->fragments > settings->interval)
		return pccl_fail(pcclInvalidArgument, "%u fragments are too many for an interval of %u steps",
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
	if (result == pcclSuccess)
		result = check_unread(settings);
	if (result == pcclSuccess)
		result = check_codecs(settings);
	if (result == pcclSuccess)
		result = check_quorum(settings);
	if (result == pcclSuccess && (tensors == NULL || count == 0))
		result = pccl_fail(pcclInvalidArgument, "there are no tensors");
	if (result == pcclSuccess)
		result = check_fragments(settings, count);
	if (result == pcclSuccess)
		result = check_tags(settings);
	for (index = 0; result == pcclSuccess && index < count; index++) {
		result = check_tensor(&tensors[index], index, settings->read != NULL);
		if (result == pcclSuccess && tensors[index].count > left)
			result = pccl_fail(pcclInvalidArgument, "tensor '%s' can't have %zu elements",
					   tensors[index].name, tensors[index].count);
		left -= result == pcclSuccess ? tensors[index].count : 0;
	}
	return result;
}
