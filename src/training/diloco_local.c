/* The local parameters: in memory, or behind the caller's callbacks. */
#include <string.h>

#include "training/diloco_internal.h"

pcclResult_t pccl_diloco_read_local(struct pccl_diloco *engine, uint32_t fragment, float *to)
{
	const struct pccl_fragment *at = &engine->schedule.fragments[fragment];
	pcclResult_t result = pcclSuccess;
	size_t i;

	for (i = 0; result == pcclSuccess && i < at->count; i++) {
		const size_t tensor = engine->schedule.order[at->first + i];
		const pcclTensorInfo_t *info = &engine->tensors[tensor];
		float *place = to + engine->schedule.place[tensor];

		if (engine->settings.read != NULL)
			result = engine->settings.read(engine->settings.context, tensor, 0, info->count, place);
		else
			memcpy(place, info->data, info->count * sizeof(*place));
	}
	return result == pcclSuccess ? result : pccl_fail(result, "the callback `read` failed");
}

pcclResult_t pccl_diloco_write_local(struct pccl_diloco *engine, uint32_t fragment, const float *from)
{
	const struct pccl_fragment *at = &engine->schedule.fragments[fragment];
	pcclResult_t result = pcclSuccess;
	size_t i;

	for (i = 0; result == pcclSuccess && i < at->count; i++) {
		const size_t tensor = engine->schedule.order[at->first + i];
		const pcclTensorInfo_t *info = &engine->tensors[tensor];
		const float *place = from + engine->schedule.place[tensor];

		if (engine->settings.write != NULL)
			result = engine->settings.write(engine->settings.context, tensor, 0, info->count, place);
		else
			memcpy(info->data, place, info->count * sizeof(*place));
	}
	return result == pcclSuccess ? result : pccl_fail(result, "the callback `write` failed");
}
