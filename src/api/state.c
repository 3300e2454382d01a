/* The public functions of pccl/state.h. */
#include <pccl/state.h>

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "api/shared_state.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/sized.h"
#include "collectives/element/dtype.h"
#include "store/checkpoint.h"

#define THREADS_DEFAULT_MAX 8
#define SHAPE_TEXT_BYTES 192 /* 8 numbers of 20 digits */

static const struct pccl_sized options_kind = {.name = "options",
					       .initializer = "PCCL_CHECKPOINT_OPTIONS_INITIALIZER",
					       .least = sizeof(size_t),
					       .known = offsetof(pcclCheckpointOptions_t, reserved)};
static const struct pccl_sized info_kind = {.name = "info",
					    .initializer = "PCCL_CHECKPOINT_INFO_INITIALIZER",
					    .least = offsetof(pcclCheckpointInfo_t, revision) + sizeof(uint64_t),
					    .known = offsetof(pcclCheckpointInfo_t, reserved)};

static pcclResult_t read_options(const pcclCheckpointOptions_t *given, pcclCheckpointOptions_t *full_out)
{
	const pcclCheckpointOptions_t defaults = PCCL_CHECKPOINT_OPTIONS_INITIALIZER;
	pcclResult_t result = pcclSuccess;

	*full_out = defaults;
	if (given != NULL)
		result = pccl_sized_read(&options_kind, given, full_out);
	if (full_out->threads == 0)
		full_out->threads =
			pccl_chunk_threads() < THREADS_DEFAULT_MAX ? pccl_chunk_threads() : THREADS_DEFAULT_MAX;
	return result;
}

static pcclResult_t check_state(const pcclSharedState_t *state, const char *path)
{
	if (state == NULL || path == NULL)
		return pccl_fail(pcclInvalidArgument, "state or path is NULL");
	return pccl_shared_state_check(state);
}

static struct pccl_chunk_tensor place_of(const pcclTensorInfo_t *info)
{
	const struct pccl_chunk_tensor place = {.name = info->name,
						.data = info->data,
						.bytes = info->count * pccl_dtype_bytes(info->datatype),
						.device = info->device_type};

	return place;
}

/* ---- shapes ------------------------------ */

/* A shape with a 0 has no elements, whatever stands beside it; but who reads the file multiplies all. */
static pcclResult_t check_shape(const struct pccl_manifest_tensor *tensor, size_t count)
{
	uint64_t product = 1, all = pccl_dtype_bytes(tensor->type);
	uint32_t index;

	for (index = 0; index < tensor->dimension_count; index++) {
		const uint64_t dimension = tensor->dimensions[index];

		if (dimension != 0 && all > (uint64_t)INT64_MAX / dimension)
			return pccl_fail(pcclInvalidArgument,
					 "the shape of tensor '%s' is of more elements than a file can have",
					 tensor->name);
		all *= dimension != 0 ? dimension : 1;
		product *= dimension;
	}
	if (product != count)
		return pccl_fail(pcclInvalidArgument, "the shape of tensor '%s' is not one of %zu elements",
				 tensor->name, count);
	return pcclSuccess;
}

static pcclResult_t set_shape(const pcclTensorShape_t *shape, size_t count, struct pccl_manifest_tensor *tensor)
{
	if (shape == NULL) {
		tensor->dimension_count = 1;
		tensor->dimensions[0] = count;
		return pcclSuccess;
	}
	if (shape->dimension_count > PCCL_SHAPE_MAX || (shape->dimensions == NULL && shape->dimension_count > 0))
		return pccl_fail(pcclInvalidArgument,
				 "the shape of tensor '%s' has more than %d dimensions, or none are "
				 "given",
				 tensor->name, PCCL_SHAPE_MAX);
	tensor->dimension_count = (uint32_t)shape->dimension_count;
	if (shape->dimension_count > 0)
		memcpy(tensor->dimensions, shape->dimensions, shape->dimension_count * sizeof(*shape->dimensions));
	return check_shape(tensor, count);
}

/* "[2, 3]" */
static void write_shape(const struct pccl_manifest_tensor *tensor, char *text, size_t text_bytes)
{
	uint32_t index;
	char *at = text;

	for (index = 0; index < tensor->dimension_count; index++)
		at += snprintf(at, (size_t)(text + text_bytes - at), "%s%" PRIu64, index > 0 ? ", " : "[",
			       tensor->dimensions[index]);
	(void)snprintf(at, (size_t)(text + text_bytes - at), index > 0 ? "]" : "a scalar");
}

/* What has one dimension is a row of elements, which may be any shape's. */
static pcclResult_t compare_shapes(const struct pccl_manifest_tensor *kept, const pcclTensorShape_t *shape,
				   size_t count, const char *path)
{
	struct pccl_manifest_tensor here = {.name = kept->name, .type = kept->type};
	char there_text[SHAPE_TEXT_BYTES], here_text[SHAPE_TEXT_BYTES];
	pcclResult_t result = set_shape(shape, count, &here);

	if (result != pcclSuccess || count <= 1 || kept->dimension_count == 1 || here.dimension_count == 1)
		return result;
	if (kept->dimension_count == here.dimension_count &&
	    memcmp(kept->dimensions, here.dimensions, here.dimension_count * sizeof(*here.dimensions)) == 0)
		return pcclSuccess;
	write_shape(kept, there_text, sizeof(there_text));
	write_shape(&here, here_text, sizeof(here_text));
	return pccl_fail(pcclInvalidArgument, "tensor '%s' is %s in %s, and %s here", kept->name, there_text, path,
			 here_text);
}

/* ---- saving ------------------------------ */

static pcclResult_t add_tensor(struct pccl_manifest *manifest, size_t place, const pcclTensorInfo_t *info,
			       const pcclTensorShape_t *shape)
{
	struct pccl_manifest_tensor *tensor = &manifest->tensors[place];

	tensor->name = pccl_strdup(info->name);
	if (tensor->name == NULL)
		return pcclOutOfMemory;
	tensor->type = info->datatype;
	tensor->bytes = info->count * pccl_dtype_bytes(info->datatype);
	return set_shape(shape, info->count, tensor);
}

/* Those with the largest elements first, so that all are aligned for who maps the file. */
static pcclResult_t fill_manifest(const pcclSharedState_t *state, const pcclTensorShape_t *shapes,
				  struct pccl_manifest *manifest, struct pccl_chunk_tensor *places)
{
	pcclResult_t result = pcclSuccess;
	size_t element, index, place = 0;

	for (element = 8; element > 0; element /= 2) {
		for (index = 0; result == pcclSuccess && index < state->count; index++) {
			const pcclTensorInfo_t *info = &state->infos[index];

			if (pccl_dtype_bytes(info->datatype) != element)
				continue;
			places[place] = place_of(info);
			result = add_tensor(manifest, place++, info, shapes != NULL ? &shapes[index] : NULL);
		}
	}
	if (result == pcclSuccess)
		result = pccl_manifest_index(manifest);
	if (result == pcclSuccess && pccl_manifest_find(manifest, "__metadata__") != NULL)
		result = pccl_fail(pcclInvalidArgument, "no tensor may have the name '__metadata__'");
	return result == pcclSuccess ? pccl_manifest_place(manifest) : result;
}

pcclResult_t pcclStateSave(const pcclSharedState_t *state, const char *path, const pcclCheckpointOptions_t *options)
{
	struct pccl_manifest manifest = {0};
	pcclCheckpointOptions_t full;
	pcclResult_t result;
	struct pccl_chunk_tensor *places;

	pccl_fail_clear();
	result = check_state(state, path);
	if (result == pcclSuccess)
		result = read_options(options, &full);
	if (result != pcclSuccess)
		return result;
	places = pccl_calloc(state->count, sizeof(*places));
	result = places != NULL ? pccl_manifest_reserve(&manifest, state->count) : pcclOutOfMemory;
	manifest.revision = state->revision;
	manifest.lineage = full.lineage;
	if (result == pcclSuccess)
		result = fill_manifest(state, full.shapes, &manifest, places);
	if (result == pcclSuccess)
		result = pccl_checkpoint_write(&pccl_disk_real, path, &manifest, places, full.threads);
	pccl_manifest_fini(&manifest);
	pccl_free(places);
	return result;
}

/* ---- loading ------------------------------ */

static pcclResult_t match(const pcclSharedState_t *state, const pcclTensorShape_t *shapes,
			  const struct pccl_manifest *manifest, const char *path,
			  const struct pccl_manifest_tensor **tensors, struct pccl_chunk_tensor *places)
{
	pcclResult_t result = pcclSuccess;
	size_t index;

	for (index = 0; result == pcclSuccess && index < state->count; index++) {
		const pcclTensorInfo_t *info = &state->infos[index];
		const struct pccl_manifest_tensor *tensor = pccl_manifest_find(manifest, info->name);

		if (tensor == NULL)
			return pccl_fail(pcclInvalidArgument, "%s has no tensor '%s'", path, info->name);
		if (tensor->type != info->datatype)
			return pccl_fail(pcclInvalidArgument, "tensor '%s' is %s in %s, and %s here", info->name,
					 pccl_dtype_name(tensor->type), path, pccl_dtype_name(info->datatype));
		if (tensor->bytes != info->count * pccl_dtype_bytes(info->datatype))
			return pccl_fail(pcclInvalidArgument, "tensor '%s' has %llu elements in %s, and %zu here",
					 info->name,
					 (unsigned long long)(tensor->bytes / pccl_dtype_bytes(tensor->type)), path,
					 info->count);
		if (shapes != NULL)
			result = compare_shapes(tensor, &shapes[index], info->count, path);
		tensors[index] = tensor;
		places[index] = place_of(info);
	}
	return result;
}

static pcclResult_t refuse_foreign(const struct pccl_manifest *manifest, const char *path)
{
	if (!manifest->foreign)
		return pcclSuccess;
	return pccl_fail(pcclNoSharedStateAvailable,
			 "%s is a safetensors file, but not one of pccl's: it has no revision and no hashes; "
			 "pcclStateLoad() takes it with `accept_foreign`",
			 path);
}

static pcclResult_t load(pcclSharedState_t *state, const char *path, const pcclCheckpointOptions_t *options)
{
	const struct pccl_manifest_tensor **tensors = pccl_calloc(state->count, sizeof(*tensors));
	struct pccl_chunk_tensor *places = pccl_calloc(state->count, sizeof(*places));
	pcclResult_t result = pcclOutOfMemory;
	struct pccl_manifest manifest = {0};
	uint64_t data_offset;
	int file = -1;

	if (tensors != NULL && places != NULL)
		result = pccl_checkpoint_open(&pccl_disk_real, path, &file, &manifest, &data_offset);
	if (result == pcclSuccess && !options->accept_foreign)
		result = refuse_foreign(&manifest, path);
	if (result == pcclSuccess)
		result = match(state, options->shapes, &manifest, path, tensors, places);
	if (result == pcclSuccess)
		result = pccl_checkpoint_read(&pccl_disk_real, file, path, data_offset, tensors, places, state->count,
					      !manifest.foreign, options->threads);
	if (result == pcclSuccess)
		state->revision = manifest.revision;
	if (file >= 0)
		(void)pccl_disk_real.close(pccl_disk_real.context, file);
	pccl_manifest_fini(&manifest);
	pccl_free(tensors);
	pccl_free(places);
	return result;
}

pcclResult_t pcclStateLoad(pcclSharedState_t *state, const char *path, const pcclCheckpointOptions_t *options)
{
	pcclCheckpointOptions_t full;
	pcclResult_t result;

	pccl_fail_clear();
	result = check_state(state, path);
	if (result == pcclSuccess)
		result = read_options(options, &full);
	return result == pcclSuccess ? load(state, path, &full) : result;
}

pcclResult_t pcclStateInspect(const char *path, pcclCheckpointInfo_t *info_out)
{
	pcclCheckpointInfo_t info = PCCL_CHECKPOINT_INFO_INITIALIZER;
	struct pccl_manifest manifest;
	uint64_t data_offset;
	pcclResult_t result;
	int file;

	pccl_fail_clear();
	if (path == NULL || info_out == NULL)
		return pccl_fail(pcclInvalidArgument, "path or info_out is NULL");
	result = pccl_sized_check(&info_kind, info_out);
	if (result != pcclSuccess)
		return result;
	result = pccl_checkpoint_open(&pccl_disk_real, path, &file, &manifest, &data_offset);
	if (result == pcclSuccess)
		result = refuse_foreign(&manifest, path);
	if (result == pcclSuccess) {
		info.revision = manifest.revision;
		info.lineage = manifest.lineage;
		info.tensor_count = manifest.tensor_count;
		info.tensor_bytes = manifest.tensor_bytes;
		pccl_sized_write(&info_kind, &info, info_out);
	}
	if (file >= 0)
		(void)pccl_disk_real.close(pccl_disk_real.context, file);
	pccl_manifest_fini(&manifest);
	return result;
}
