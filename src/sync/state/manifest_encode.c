/* See manifest.h. From the manifest to the header of the file. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "sync/state/manifest_internal.h"

#define LENGTH_BYTES 8

static json_t *shape_of(const struct pccl_manifest_tensor *tensor)
{
	json_t *shape = json_array();
	uint32_t index;

	for (index = 0; index < tensor->dimension_count; index++)
		if (json_array_append_new(shape, json_integer((json_int_t)tensor->dimensions[index])) != 0)
			break;
	return shape;
}

/* False: out of memory, or a name that JSON can't hold. */
static bool add_tensor(json_t *root, const struct pccl_manifest_tensor *tensor)
{
	json_t *entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", pccl_manifest_types[tensor->type], "shape",
				  shape_of(tensor), "data_offsets", (json_int_t)tensor->offset,
				  (json_int_t)tensor->offset + (json_int_t)tensor->bytes);

	return entry != NULL && json_array_size(json_object_get(entry, "shape")) == tensor->dimension_count &&
	       json_object_set_new(root, tensor->name, entry) == 0;
}

static char *all_digests(const struct pccl_manifest *manifest)
{
	const size_t each = PCCL_DIGEST_TEXT_BYTES - 1;
	char *text = pccl_alloc(manifest->tensor_count * each + 1);
	size_t index;

	for (index = 0; text != NULL && index < manifest->tensor_count; index++)
		pccl_digest_print(&manifest->tensors[manifest->by_name[index]].digest, text + index * each);
	if (text != NULL)
		text[manifest->tensor_count * each] = '\0';
	return text;
}

static bool add_metadata(json_t *root, const struct pccl_manifest *manifest)
{
	char revision[24], lineage[PCCL_DIGEST_TEXT_BYTES], seal_text[PCCL_DIGEST_TEXT_BYTES];
	struct pccl_digest digest;
	char *digests;
	json_t *metadata;

	if (pccl_manifest_seal(manifest, &digest) != pcclSuccess)
		return false;
	pccl_digest_print(&digest, seal_text);
	memcpy(digest.bytes, manifest->lineage.data, sizeof(digest.bytes));
	pccl_digest_print(&digest, lineage);
	(void)snprintf(revision, sizeof(revision), "%" PRIu64, manifest->revision);
	digests = all_digests(manifest);
	if (digests == NULL)
		return false;
	metadata = json_pack("{s:s, s:s, s:s, s:s, s:s}", "pccl.version", PCCL_MANIFEST_VERSION, "pccl.revision",
			     revision, "pccl.lineage", lineage, "pccl.digest", seal_text, "pccl.digests", digests);
	pccl_free(digests);
	return metadata != NULL && json_object_set_new(root, PCCL_MANIFEST_METADATA, metadata) == 0;
}

static json_t *make_root(const struct pccl_manifest *manifest)
{
	json_t *root = json_object();
	size_t index;

	if (root == NULL || !add_metadata(root, manifest)) {
		json_decref(root);
		(void)pccl_fail(pcclOutOfMemory, "out of memory for the header of a checkpoint");
		return NULL;
	}
	for (index = 0; index < manifest->tensor_count; index++) {
		if (add_tensor(root, &manifest->tensors[index]))
			continue;
		json_decref(root);
		(void)pccl_fail(pcclInvalidArgument,
				"the name of tensor %zu is not UTF-8, or there is no memory for the header", index);
		return NULL;
	}
	return root;
}

pcclResult_t pccl_manifest_encode(const struct pccl_manifest *manifest, uint8_t **header_out, size_t *bytes_out)
{
	json_t *root = make_root(manifest);
	struct pccl_writer writer;
	size_t json_bytes, padded;
	uint8_t *header;

	*header_out = NULL;
	if (root == NULL)
		return pcclInvalidArgument;
	json_bytes = json_dumpb(root, NULL, 0, JSON_COMPACT);
	padded = (LENGTH_BYTES + json_bytes + PCCL_MANIFEST_ALIGNMENT - 1) / PCCL_MANIFEST_ALIGNMENT *
		 PCCL_MANIFEST_ALIGNMENT;
	header = json_bytes > 0 && padded - LENGTH_BYTES <= PCCL_MANIFEST_BYTES_MAX ? pccl_alloc(padded) : NULL;
	if (header == NULL) {
		json_decref(root);
		return pccl_fail(pcclInvalidArgument, "the header of %zu tensors takes %zu bytes; %u are the limit",
				 manifest->tensor_count, json_bytes, PCCL_MANIFEST_BYTES_MAX);
	}
	writer = pccl_writer_over(header, LENGTH_BYTES);
	pccl_put_u64(&writer, padded - LENGTH_BYTES);
	(void)json_dumpb(root, (char *)header + LENGTH_BYTES, json_bytes, JSON_COMPACT);
	memset(header + LENGTH_BYTES + json_bytes, ' ', padded - LENGTH_BYTES - json_bytes);
	json_decref(root);
	*header_out = header;
	*bytes_out = padded;
	return pcclSuccess;
}
