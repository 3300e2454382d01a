/* See manifest.h. From the header of a file that anybody may have written to the manifest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "sync/state/manifest_internal.h"

#define LENGTH_BYTES 8

static pcclResult_t bad(const char *what)
{
	return pccl_fail(pcclNoSharedStateAvailable, "not a whole checkpoint: %s", what);
}

pcclResult_t pccl_manifest_length(const uint8_t first[8], uint64_t file_bytes, size_t *json_bytes_out)
{
	struct pccl_reader reader = pccl_reader_over(first, LENGTH_BYTES);
	uint64_t json_bytes = pccl_get_u64(&reader);

	if (file_bytes < LENGTH_BYTES || json_bytes > file_bytes - LENGTH_BYTES)
		return bad("the file ends within its header");
	if (json_bytes < 2 || json_bytes > PCCL_MANIFEST_BYTES_MAX)
		return bad(json_bytes == 0 ? "its header was never written" : "its header can't be so long");
	*json_bytes_out = (size_t)json_bytes;
	return pcclSuccess;
}

/* ---- whose ------------------------------ */

static const char *metadata_text(const json_t *root, const char *key)
{
	return json_string_value(json_object_get(json_object_get(root, PCCL_MANIFEST_METADATA), key));
}

/* What was ours and is damaged must not pass for another program's. */
static bool is_foreign(json_t *root)
{
	json_t *metadata = json_object_get(root, PCCL_MANIFEST_METADATA), *value;
	const char *key;

	if (metadata != NULL && !json_is_object(metadata))
		return false;
	json_object_foreach(metadata, key, value)
	{
		if (strncmp(key, "pccl", 4) == 0)
			return false;
	}
	return true;
}

/* ---- tensors ------------------------------ */

static bool read_type(const json_t *value, pcclDataType_t *type_out)
{
	const char *name = json_string_value(value);
	int type;

	for (type = 0; name != NULL && type < PCCL_DTYPE_COUNT; type++) {
		if (strcmp(pccl_manifest_types[type], name) == 0) {
			*type_out = (pcclDataType_t)type;
			return true;
		}
	}
	return false;
}

static bool read_number(const json_t *value, uint64_t *number_out)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return false;
	*number_out = (uint64_t)json_integer_value(value);
	return true;
}

static bool read_dimensions(const json_t *value, struct pccl_manifest_tensor *tensor)
{
	size_t index;

	if (!json_is_array(value) || json_array_size(value) > PCCL_SHAPE_MAX)
		return false;
	tensor->dimension_count = (uint32_t)json_array_size(value);
	for (index = 0; index < tensor->dimension_count; index++)
		if (!read_number(json_array_get(value, index), &tensor->dimensions[index]))
			return false;
	return true;
}

/* Do the dimensions make as many bytes as there are? With a 0 among them the others may be anything. */
static bool shape_fits(const struct pccl_manifest_tensor *tensor)
{
	uint64_t bytes = pccl_dtype_bytes(tensor->type);
	uint32_t index;

	for (index = 0; index < tensor->dimension_count; index++)
		if (tensor->dimensions[index] == 0)
			return tensor->bytes == 0;
	for (index = 0; index < tensor->dimension_count; index++) {
		if (tensor->dimensions[index] > PCCL_TENSOR_BYTES_MAX / bytes)
			return false;
		bytes *= tensor->dimensions[index];
	}
	return bytes == tensor->bytes;
}

static bool read_offsets(const json_t *value, uint64_t data_bytes, struct pccl_manifest_tensor *tensor)
{
	uint64_t end;

	if (!json_is_array(value) || json_array_size(value) != 2 ||
	    !read_number(json_array_get(value, 0), &tensor->offset) || !read_number(json_array_get(value, 1), &end) ||
	    end < tensor->offset || end > data_bytes)
		return false;
	tensor->bytes = end - tensor->offset;
	return true;
}

/* Another program's type that is none of ours: so many bytes. */
static bool read_bytes(const json_t *entry, struct pccl_manifest_tensor *tensor)
{
	tensor->type = pcclUint8;
	tensor->dimension_count = 1;
	tensor->dimensions[0] = tensor->bytes;
	return json_is_string(json_object_get(entry, "dtype"));
}

static pcclResult_t read_tensor(const char *name, const json_t *entry, uint64_t data_bytes, bool foreign,
				struct pccl_manifest_tensor *tensor)
{
	bool good = read_offsets(json_object_get(entry, "data_offsets"), data_bytes, tensor);

	tensor->name = pccl_strdup(name);
	if (tensor->name == NULL)
		return pcclOutOfMemory;
	if (good && read_type(json_object_get(entry, "dtype"), &tensor->type))
		good = read_dimensions(json_object_get(entry, "shape"), tensor) && shape_fits(tensor);
	else
		good = good && foreign && read_bytes(entry, tensor);
	if (!good)
		return pccl_fail(pcclNoSharedStateAvailable,
				 "not a whole checkpoint: type, shape or offsets of tensor '%.100s' can't be", name);
	return pcclSuccess;
}

static int by_offset(const void *left, const void *right)
{
	const struct pccl_manifest_tensor *first = left;
	const struct pccl_manifest_tensor *second = right;

	if (first->offset != second->offset)
		return first->offset < second->offset ? -1 : 1;
	return (first->bytes > second->bytes) - (first->bytes < second->bytes);
}

static pcclResult_t read_tensors(json_t *root, uint64_t data_bytes, struct pccl_manifest *manifest)
{
	uint64_t offset = 0;
	size_t index = 0;
	const char *name;
	json_t *entry;

	json_object_foreach(root, name, entry)
	{
		pcclResult_t result;

		if (strcmp(name, PCCL_MANIFEST_METADATA) == 0)
			continue;
		result = read_tensor(name, entry, data_bytes, manifest->foreign, &manifest->tensors[index++]);
		if (result != pcclSuccess)
			return result;
	}
	qsort(manifest->tensors, index, sizeof(*manifest->tensors), by_offset);
	for (index = 0; index < manifest->tensor_count; index++) {
		if (manifest->tensors[index].offset != offset)
			return bad("its tensors overlap, or leave gaps");
		offset += manifest->tensors[index].bytes;
	}
	if (offset != data_bytes)
		return bad("it is longer or shorter than its tensors");
	manifest->tensor_bytes = offset;
	return pcclSuccess;
}

/* ---- metadata ------------------------------ */

static bool read_digest(const json_t *root, const char *key, struct pccl_digest *digest_out)
{
	const char *text = metadata_text(root, key);

	return text != NULL && strlen(text) == PCCL_DIGEST_TEXT_BYTES - 1 && pccl_digest_parse(text, digest_out);
}

static bool read_digests(const json_t *root, struct pccl_manifest *manifest)
{
	const size_t each = PCCL_DIGEST_TEXT_BYTES - 1;
	const char *text = metadata_text(root, "pccl.digests");
	size_t index;

	if (text == NULL || strlen(text) != manifest->tensor_count * each)
		return false;
	for (index = 0; index < manifest->tensor_count; index++)
		if (!pccl_digest_parse(text + index * each, &manifest->tensors[manifest->by_name[index]].digest))
			return false;
	return true;
}

static bool read_revision(const json_t *root, uint64_t *revision_out)
{
	const char *text = metadata_text(root, "pccl.revision");
	char *end = NULL;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*revision_out = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0;
}

static pcclResult_t read_metadata(json_t *root, struct pccl_manifest *manifest)
{
	const char *version = metadata_text(root, "pccl.version");
	struct pccl_digest lineage, written, found;
	pcclResult_t result;

	if (manifest->foreign)
		return pcclSuccess;
	if (version == NULL)
		return bad("its metadata are damaged");
	if (strcmp(version, PCCL_MANIFEST_VERSION) != 0)
		return bad("it is of a later version of pccl");
	if (!read_revision(root, &manifest->revision) || !read_digest(root, "pccl.lineage", &lineage) ||
	    !read_digest(root, "pccl.digest", &written) || !read_digests(root, manifest))
		return bad("its metadata are damaged");
	memcpy(manifest->lineage.data, lineage.bytes, sizeof(manifest->lineage.data));
	result = pccl_manifest_seal(manifest, &found);
	if (result == pcclSuccess && !pccl_digest_equal(&written, &found))
		return bad("its header was changed");
	return result;
}

pcclResult_t pccl_manifest_decode(const char *json, size_t json_bytes, uint64_t data_bytes,
				  struct pccl_manifest *manifest_out)
{
	json_error_t error;
	json_t *root = json_loadb(json, json_bytes, JSON_REJECT_DUPLICATES, &error);
	size_t tensors;
	pcclResult_t result;

	memset(manifest_out, 0, sizeof(*manifest_out));
	if (root == NULL)
		return pccl_fail(pcclNoSharedStateAvailable, "not a whole checkpoint: its header is no JSON: %s",
				 error.text);
	if (!json_is_object(root)) {
		json_decref(root);
		return bad("its header is no list of tensors");
	}
	tensors = json_object_size(root) - (json_object_get(root, PCCL_MANIFEST_METADATA) != NULL);
	manifest_out->foreign = metadata_text(root, "pccl.version") == NULL && is_foreign(root);
	result = pccl_manifest_reserve(manifest_out, tensors);
	if (result == pcclSuccess)
		result = read_tensors(root, data_bytes, manifest_out);
	if (result == pcclSuccess)
		result = pccl_manifest_index(manifest_out);
	if (result == pcclSuccess)
		result = read_metadata(root, manifest_out);
	json_decref(root);
	return result;
}
