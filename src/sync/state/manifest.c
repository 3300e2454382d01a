/* See manifest.h. What both directions share: memory, places, names, the digest over everything. */
#include "sync/state/manifest.h"

#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "collectives/element/dtype.h"
#include "sync/state/manifest_internal.h"

/* By pcclDataType_t. */
const char *const pccl_manifest_types[PCCL_DTYPE_COUNT] = {"U8",  "I8",	 "I16", "U16",	"U32", "I32",
							   "U64", "I64", "F16", "BF16", "F32", "F64"};

pcclResult_t pccl_manifest_reserve(struct pccl_manifest *manifest, size_t tensor_count)
{
	if (tensor_count > UINT32_MAX)
		return pccl_fail(pcclInvalidArgument, "a state of %zu tensors: at most 2^32 - 1", tensor_count);
	manifest->tensors = pccl_calloc(tensor_count, sizeof(*manifest->tensors));
	if (manifest->tensors == NULL)
		return pcclOutOfMemory;
	manifest->tensor_count = tensor_count;
	return pcclSuccess;
}

void pccl_manifest_fini(struct pccl_manifest *manifest)
{
	size_t index;

	for (index = 0; manifest->tensors != NULL && index < manifest->tensor_count; index++)
		pccl_free(manifest->tensors[index].name);
	pccl_free(manifest->tensors);
	pccl_free(manifest->by_name);
	memset(manifest, 0, sizeof(*manifest));
}

/* ---- names ------------------------------ */

/* Puts the tensor at `root` of the heap where it belongs: below it all names come earlier. */
static void sift(const struct pccl_manifest *manifest, size_t root, size_t count)
{
	uint32_t *order = manifest->by_name;
	uint32_t moved = order[root];
	size_t child;

	for (; (child = 2 * root + 1) < count; root = child) {
		if (child + 1 < count &&
		    strcmp(manifest->tensors[order[child]].name, manifest->tensors[order[child + 1]].name) < 0)
			child++;
		if (strcmp(manifest->tensors[order[child]].name, manifest->tensors[moved].name) <= 0)
			break;
		order[root] = order[child];
	}
	order[root] = moved;
}

pcclResult_t pccl_manifest_index(struct pccl_manifest *manifest)
{
	size_t count = manifest->tensor_count;
	uint32_t *order = pccl_calloc(count, sizeof(*order));
	size_t index;

	if (order == NULL)
		return pcclOutOfMemory;
	pccl_free(manifest->by_name);
	manifest->by_name = order;
	for (index = 0; index < count; index++)
		order[index] = (uint32_t)index;
	for (index = count / 2; index-- > 0;)
		sift(manifest, index, count);
	for (index = count; index-- > 1;) {
		uint32_t last = order[0];

		order[0] = order[index];
		order[index] = last;
		sift(manifest, 0, index);
	}
	for (index = 1; index < count; index++) {
		const char *name = manifest->tensors[order[index]].name;

		if (strcmp(manifest->tensors[order[index - 1]].name, name) == 0)
			return pccl_fail(pcclInvalidArgument, "two tensors have the name '%s'", name);
	}
	return pcclSuccess;
}

const struct pccl_manifest_tensor *pccl_manifest_find(const struct pccl_manifest *manifest, const char *name)
{
	size_t low = 0;
	size_t high = manifest->tensor_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct pccl_manifest_tensor *tensor = &manifest->tensors[manifest->by_name[middle]];
		int order = strcmp(name, tensor->name);

		if (order == 0)
			return tensor;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

/* ---- places ------------------------------ */

pcclResult_t pccl_manifest_place(struct pccl_manifest *manifest)
{
	uint64_t offset = 0;
	size_t index;

	for (index = 0; index < manifest->tensor_count; index++) {
		struct pccl_manifest_tensor *tensor = &manifest->tensors[index];

		tensor->offset = offset;
		if (tensor->bytes > PCCL_TENSOR_BYTES_MAX - offset)
			return pccl_fail(pcclInvalidArgument, "tensor '%s' makes the state larger than a file can be",
					 tensor->name);
		offset += tensor->bytes;
	}
	manifest->tensor_bytes = offset;
	return pcclSuccess;
}

/* ---- the digest over everything ------------------------------ */

static size_t sealed_bytes(const struct pccl_manifest *manifest)
{
	size_t bytes = sizeof(uint64_t) + sizeof(manifest->lineage.data);
	size_t index;

	for (index = 0; index < manifest->tensor_count; index++)
		bytes += strlen(manifest->tensors[index].name) + 1 + 2 + 8 * PCCL_SHAPE_MAX + 16 + PCCL_DIGEST_BYTES;
	return bytes;
}

static void put_tensor(struct pccl_writer *writer, const struct pccl_manifest_tensor *tensor)
{
	uint32_t index;

	pccl_put_bytes(writer, tensor->name, strlen(tensor->name) + 1);
	pccl_put_u8(writer, (uint8_t)tensor->type);
	pccl_put_u8(writer, (uint8_t)tensor->dimension_count);
	for (index = 0; index < tensor->dimension_count; index++)
		pccl_put_u64(writer, tensor->dimensions[index]);
	pccl_put_u64(writer, tensor->offset);
	pccl_put_u64(writer, tensor->bytes);
	pccl_put_bytes(writer, tensor->digest.bytes, PCCL_DIGEST_BYTES);
}

pcclResult_t pccl_manifest_seal(const struct pccl_manifest *manifest, struct pccl_digest *seal_out)
{
	size_t capacity = sealed_bytes(manifest);
	uint8_t *bytes = pccl_alloc(capacity);
	struct pccl_writer writer;
	size_t index;

	if (bytes == NULL)
		return pcclOutOfMemory;
	writer = pccl_writer_over(bytes, capacity);
	pccl_put_u64(&writer, manifest->revision);
	pccl_put_bytes(&writer, manifest->lineage.data, sizeof(manifest->lineage.data));
	for (index = 0; index < manifest->tensor_count; index++)
		put_tensor(&writer, &manifest->tensors[manifest->by_name[index]]);
	*seal_out = pccl_digest_of(bytes, capacity - pccl_writer_left(&writer));
	pccl_free(bytes);
	return pcclSuccess;
}
