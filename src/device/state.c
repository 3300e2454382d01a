/* See state.h. */
#include "device/state.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "device/chunks.h"

struct pccl_shadow {
	struct pccl_inventory *inventory;
	uint8_t *pages;
	struct pccl_digest *before; /* the leaves as they were when it was made */
	bool downloaded;
	pcclResult_t failure; /* of the download */
	char text[PCCL_FAIL_TEXT_BYTES];
};

/* ---- digests ------------------------------ */

static struct pccl_chunk_tensor as_chunks(const struct pccl_inventory_tensor *tensor)
{
	const struct pccl_chunk_tensor as = {
		.name = tensor->name, .data = tensor->origin, .bytes = tensor->bytes, .device = tensor->device};

	return as;
}

static struct pccl_chunk_tensor *list_tensors(const struct pccl_inventory *inventory)
{
	struct pccl_chunk_tensor *tensors = pccl_calloc(inventory->tensor_count, sizeof(*tensors));
	size_t index;

	for (index = 0; tensors != NULL && index < inventory->tensor_count; index++)
		tensors[index] = as_chunks(&inventory->tensors[index]);
	return tensors;
}

/* In the caller's order, which is likelier than that of the names to be the order in memory: small tensors are read
 * three times as fast if the next one is the neighbour. */
static struct pccl_chunk_tensor *list_by_position(const struct pccl_inventory *inventory, const bool *kept)
{
	struct pccl_chunk_tensor *tensors = pccl_calloc(inventory->tensor_count, sizeof(*tensors));
	size_t index;

	for (index = 0; tensors != NULL && index < inventory->tensor_count; index++) {
		struct pccl_chunk_tensor *tensor = &tensors[inventory->tensors[index].position];

		*tensor = as_chunks(&inventory->tensors[index]);
		tensor->digests = inventory->leaves + inventory->tensors[index].first_chunk;
		tensor->kept = kept != NULL && kept[index];
	}
	return tensors;
}

pcclResult_t pccl_state_digest(struct pccl_inventory *inventory, const bool *kept, uint32_t threads)
{
	struct pccl_chunk_tensor *tensors = list_by_position(inventory, kept);
	struct pccl_chunk_work work = {
		.tensors = tensors, .count = inventory->tensor_count, .digest_kind = inventory->digest_kind};
	pcclResult_t result;

	if (tensors == NULL)
		return pcclOutOfMemory;
	result = pccl_chunk_work_run(&work, threads);
	pccl_chunk_work_fini(&work);
	pccl_free(tensors);
	return result;
}

static pcclResult_t copy_chunk(void *context, const struct pccl_chunk *chunk, const void *bytes)
{
	memcpy(context, bytes, chunk->bytes);
	return pcclSuccess;
}

pcclResult_t pccl_state_read(const struct pccl_inventory *inventory, uint32_t chunk, void *bytes_out)
{
	const struct pccl_inventory_tensor *tensor = inventory->tensors;
	struct pccl_chunk_work work = {.count = 1, .take = copy_chunk, .context = bytes_out};
	struct pccl_chunk_tensor part = {0};
	pcclResult_t result;

	while (chunk - tensor->first_chunk >= pccl_chunk_count(tensor->bytes))
		tensor++;
	part.name = tensor->name;
	part.data = tensor->origin + (uint64_t)(chunk - tensor->first_chunk) * PCCL_CHUNK_BYTES;
	part.bytes = pccl_chunk_length(tensor->bytes, chunk - tensor->first_chunk);
	part.device = tensor->device;
	work.tensors = &part;
	result = pccl_chunk_work_run(&work, 1);
	pccl_chunk_work_fini(&work);
	return result;
}

/* ---- the shadow ------------------------------ */

static uint64_t device_bytes(const struct pccl_inventory *inventory)
{
	uint64_t bytes = 0;
	size_t index;

	for (index = 0; index < inventory->tensor_count; index++)
		if (inventory->tensors[index].device != pcclDeviceCpu)
			bytes += inventory->tensors[index].bytes;
	return bytes;
}

pcclResult_t pccl_shadow_create(struct pccl_inventory *inventory, struct pccl_shadow **shadow_out)
{
	uint64_t bytes = device_bytes(inventory), used = 0;
	struct pccl_shadow *shadow;
	size_t index;

	*shadow_out = NULL;
	if (bytes == 0)
		return pcclSuccess;
	shadow = pccl_zalloc(sizeof(*shadow));
	if (shadow == NULL)
		return pcclOutOfMemory;
	shadow->inventory = inventory;
	shadow->pages = pccl_alloc_large(bytes); /* not touched before it is needed */
	shadow->before = pccl_calloc(inventory->chunk_count, sizeof(*shadow->before));
	if (shadow->pages == NULL || shadow->before == NULL) {
		pccl_shadow_destroy(shadow);
		return pcclOutOfMemory;
	}
	memcpy(shadow->before, inventory->leaves, inventory->chunk_count * sizeof(*shadow->before));
	for (index = 0; index < inventory->tensor_count; index++) {
		struct pccl_inventory_tensor *tensor = &inventory->tensors[index];

		if (tensor->device == pcclDeviceCpu)
			continue;
		tensor->data = shadow->pages + used;
		used += tensor->bytes;
	}
	*shadow_out = shadow;
	return pcclSuccess;
}

void pccl_shadow_destroy(struct pccl_shadow *shadow)
{
	if (shadow == NULL)
		return;
	pccl_free(shadow->pages);
	pccl_free(shadow->before);
	pccl_free(shadow);
}

static pcclResult_t copy_in(void *context, const struct pccl_chunk *chunk, const void *bytes)
{
	const struct pccl_inventory *inventory = context;

	memcpy(inventory->tensors[chunk->tensor].data + chunk->offset, bytes, chunk->bytes);
	return pcclSuccess;
}

void pccl_shadow_download(struct pccl_shadow *shadow)
{
	struct pccl_chunk_work work = {.take = copy_in};
	struct pccl_chunk_tensor *tensors;
	size_t index;

	if (shadow == NULL || shadow->downloaded)
		return;
	shadow->downloaded = true;
	tensors = list_tensors(shadow->inventory);
	work.tensors = tensors;
	work.count = shadow->inventory->tensor_count;
	work.context = shadow->inventory;
	for (index = 0; tensors != NULL && index < work.count; index++)
		tensors[index].kept = tensors[index].device == pcclDeviceCpu;
	shadow->failure = tensors != NULL ? pccl_chunk_work_run(&work, 0) : pcclOutOfMemory;
	if (shadow->failure != pcclSuccess)
		(void)snprintf(shadow->text, sizeof(shadow->text), "%s", pccl_fail_text());
	pccl_chunk_work_fini(&work);
	pccl_free(tensors);
}

/* Chunks that go back, each as a tensor of its own, and where they come from. */
struct upload {
	struct pccl_chunk_tensor *tensors;
	const uint8_t **from;
	size_t count;
};

static pcclResult_t copy_out(void *context, const struct pccl_chunk *chunk, void *bytes)
{
	const struct upload *upload = context;

	memcpy(bytes, upload->from[chunk->tensor] + chunk->offset, chunk->bytes);
	return pcclSuccess;
}

static void list_changed(const struct pccl_shadow *shadow, struct upload *upload)
{
	const struct pccl_inventory *inventory = shadow->inventory;
	size_t index;
	uint64_t chunk;

	for (index = 0; index < inventory->tensor_count; index++) {
		const struct pccl_inventory_tensor *tensor = &inventory->tensors[index];

		for (chunk = 0; tensor->device != pcclDeviceCpu && chunk < pccl_chunk_count(tensor->bytes); chunk++) {
			const uint64_t at = chunk * PCCL_CHUNK_BYTES;
			const struct pccl_chunk_tensor part = {.name = tensor->name,
							       .data = tensor->origin + at,
							       .bytes = pccl_chunk_length(tensor->bytes, chunk),
							       .device = tensor->device};

			if (pccl_digest_equal(&inventory->leaves[tensor->first_chunk + chunk],
					      &shadow->before[tensor->first_chunk + chunk]))
				continue;
			upload->from[upload->count] = tensor->data + at;
			upload->tensors[upload->count++] = part;
		}
	}
}

pcclResult_t pccl_shadow_upload(struct pccl_shadow *shadow)
{
	struct upload upload = {0};
	struct pccl_chunk_work work = {.fill = copy_out, .context = &upload};
	pcclResult_t result = pcclOutOfMemory;

	if (shadow == NULL || !shadow->downloaded)
		return pcclSuccess;
	if (shadow->failure != pcclSuccess)
		return pccl_fail(shadow->failure, "%s", shadow->text);
	upload.tensors = pccl_calloc(shadow->inventory->chunk_count, sizeof(*upload.tensors));
	upload.from = pccl_calloc(shadow->inventory->chunk_count, sizeof(*upload.from));
	if (upload.tensors != NULL && upload.from != NULL) {
		list_changed(shadow, &upload);
		work.tensors = upload.tensors;
		work.count = upload.count;
		result = pccl_chunk_work_run(&work, 0);
	}
	pccl_chunk_work_fini(&work);
	pccl_free(upload.tensors);
	pccl_free((void *)upload.from);
	return result;
}
