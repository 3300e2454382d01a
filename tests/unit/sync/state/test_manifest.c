/* The header of a checkpoint: written, read back, and refused in words when anything about it is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "lib/check.h"
#include "sync/state/manifest.h"

static void add(struct pccl_manifest *manifest, size_t index, const char *name, pcclDataType_t type, uint64_t rows,
		uint64_t columns, uint64_t bytes)
{
	struct pccl_manifest_tensor *tensor = &manifest->tensors[index];

	tensor->name = pccl_strdup(name);
	tensor->type = type;
	tensor->dimension_count = 2;
	tensor->dimensions[0] = rows;
	tensor->dimensions[1] = columns;
	tensor->bytes = bytes;
	tensor->digest = pccl_digest_of(name, strlen(name));
}

/* Three tensors, one of them empty, in an order that is not that of their names. */
static struct pccl_manifest sample(void)
{
	struct pccl_manifest manifest = {.revision = UINT64_MAX - 5, .lineage = {{7, 0, 255}}};

	assert_int_equal(pccl_manifest_reserve(&manifest, 3), pcclSuccess);
	add(&manifest, 0, "w \"q\" \xc3\xa9\n", pcclDouble, 2, 3, 48);
	add(&manifest, 1, "empty", pcclBFloat16, 0, 9, 0);
	add(&manifest, 2, "a", pcclUint8, 1, 5, 5);
	assert_int_equal(pccl_manifest_index(&manifest), pcclSuccess);
	assert_int_equal(pccl_manifest_place(&manifest), pcclSuccess);
	return manifest;
}

static uint8_t *encode_sample(size_t *bytes_out)
{
	struct pccl_manifest manifest = sample();
	uint8_t *header;

	assert_int_equal(pccl_manifest_encode(&manifest, &header, bytes_out), pcclSuccess);
	pccl_manifest_fini(&manifest);
	return header;
}

static pcclResult_t decode(const char *json, uint64_t data_bytes)
{
	struct pccl_manifest manifest;
	pcclResult_t result;

	pccl_fail_clear();
	result = pccl_manifest_decode(json, strlen(json), data_bytes, &manifest);
	pccl_manifest_fini(&manifest);
	return result;
}

static void what_was_written_is_read_back(void **state)
{
	struct pccl_manifest wanted = sample();
	const struct pccl_manifest_tensor *tensor;
	struct pccl_manifest found;
	size_t bytes, json_bytes;
	uint8_t *header;

	(void)state;
	header = encode_sample(&bytes);
	assert_int_equal(bytes % PCCL_MANIFEST_ALIGNMENT, 0);
	assert_int_equal(pccl_manifest_length(header, bytes + 53, &json_bytes), pcclSuccess);
	assert_int_equal(json_bytes, bytes - 8);
	assert_int_equal(pccl_manifest_decode((char *)header + 8, json_bytes, 53, &found), pcclSuccess);
	assert_true(found.revision == wanted.revision);
	assert_memory_equal(&found.lineage, &wanted.lineage, sizeof(found.lineage));
	assert_int_equal(found.tensor_count, 3);
	assert_int_equal(found.tensor_bytes, 53);
	tensor = pccl_manifest_find(&found, "w \"q\" \xc3\xa9\n");
	assert_non_null(tensor);
	assert_int_equal(tensor->type, pcclDouble);
	assert_int_equal(tensor->dimension_count, 2);
	assert_int_equal(tensor->dimensions[1], 3);
	assert_memory_equal(&tensor->digest, &wanted.tensors[0].digest, sizeof(tensor->digest));
	tensor = pccl_manifest_find(&found, "a");
	assert_int_equal(tensor->offset, 48);
	assert_null(pccl_manifest_find(&found, "b"));
	assert_null(pccl_manifest_find(&found, ""));
	pccl_manifest_fini(&found);
	pccl_manifest_fini(&wanted);
	pccl_free(header);
}

/* Every bit of the JSON: it is refused, or was in the spaces behind. */
static void a_changed_bit_is_seen(void **state)
{
	size_t bytes, json_bytes, bit;
	uint8_t *header = encode_sample(&bytes);
	char *json = (char *)header + 8;

	(void)state;
	json_bytes = bytes - 8;
	while (json_bytes > 0 && json[json_bytes - 1] == ' ')
		json_bytes--;
	for (bit = 0; bit < json_bytes * 8; bit++) {
		struct pccl_manifest manifest;

		json[bit / 8] ^= (char)(1 << bit % 8);
		pccl_fail_clear();
		if (pccl_manifest_decode(json, json_bytes, 53, &manifest) == pcclSuccess)
			fail_msg("bit %zu can be flipped unseen: %.60s", bit, json + bit / 8);
		assert_true(pccl_fail_text()[0] != '\0');
		pccl_manifest_fini(&manifest);
		json[bit / 8] ^= (char)(1 << bit % 8);
	}
	pccl_free(header);
}

static void lengths_that_cannot_be_are_refused(void **state)
{
	uint8_t first[8] = {0};
	struct pccl_writer writer = pccl_writer_over(first, sizeof(first));
	size_t json_bytes;

	(void)state;
	assert_int_equal(pccl_manifest_length(first, 1 << 20, &json_bytes), pcclNoSharedStateAvailable);
	assert_non_null(strstr(pccl_fail_text(), "never written"));
	pccl_put_u64(&writer, 100);
	assert_int_equal(pccl_manifest_length(first, 107, &json_bytes), pcclNoSharedStateAvailable);
	assert_int_equal(pccl_manifest_length(first, 108, &json_bytes), pcclSuccess);
	writer = pccl_writer_over(first, sizeof(first));
	pccl_put_u64(&writer, UINT64_MAX - 3);
	assert_int_equal(pccl_manifest_length(first, UINT64_MAX, &json_bytes), pcclNoSharedStateAvailable);
}

static void what_is_no_checkpoint_is_refused(void **state)
{
	static const char *const wrong[] = {
		"",
		"[]",
		"{",
		"{\"a\": 3}",
		"{\"a\": {\"dtype\": \"F99\", \"shape\": [1], \"data_offsets\": [0, 4]},"
		" \"__metadata__\": {\"pccl.version\": \"1\"}}",
		"{\"a\": {\"dtype\": \"F32\", \"shape\": [2], \"data_offsets\": [0, 4]}}",
		"{\"a\": {\"dtype\": \"F32\", \"shape\": [-1], \"data_offsets\": [0, 4]}}",
		"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [4, 0]}}",
		"{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 8]}}",
		"{\"a\": {\"dtype\": \"U8\", \"shape\": [4611686018427387904, 4, 4], \"data_offsets\": [0, 0]}}",
		"{\"a\": {\"dtype\": \"U8\", \"shape\": [1,1,1,1,1,1,1,1,4], \"data_offsets\": [0, 4]}}",
		"{\"a\": {\"dtype\": \"U8\", \"shape\": [3], \"data_offsets\": [1, 4]}}",
		"{\"a\": {\"dtype\": \"U8\", \"shape\": [3], \"data_offsets\": [0, 3]}}",
		"{\"a\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [0, 4]},"
		" \"a\": {\"dtype\": \"U8\", \"shape\": [4], \"data_offsets\": [0, 4]}}",
		"{\"__metadata__\": {\"pccl.version\": \"2\"}}",
		"{\"__metadata__\": {\"pccl.versiom\": \"1\"}}",
		"{\"__metadata__\": 1}",
	};
	size_t index;

	(void)state;
	for (index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
		if (decode(wrong[index], index >= 14 ? 0 : 4) != pcclNoSharedStateAvailable)
			fail_msg("taken: %s", wrong[index]);
		assert_non_null(strstr(pccl_fail_text(), "not a whole checkpoint"));
	}
}

static void other_programs_files_are_marked(void **state)
{
	const char *json = "{\"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}";
	struct pccl_manifest manifest;

	(void)state;
	assert_int_equal(pccl_manifest_decode(json, strlen(json), 4, &manifest), pcclSuccess);
	assert_true(manifest.foreign);
	assert_non_null(pccl_manifest_find(&manifest, "a"));
	pccl_manifest_fini(&manifest);
}

static void types_that_pccl_has_not_are_bytes(void **state)
{
	const char *json = "{\"mask\": {\"dtype\": \"BOOL\", \"shape\": [1, 3], \"data_offsets\": [4, 7]},"
			   " \"a\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0, 4]}}";
	const struct pccl_manifest_tensor *mask;
	struct pccl_manifest manifest;

	(void)state;
	assert_int_equal(pccl_manifest_decode(json, strlen(json), 7, &manifest), pcclSuccess);
	mask = pccl_manifest_find(&manifest, "mask");
	assert_non_null(mask);
	assert_int_equal(mask->type, pcclUint8);
	assert_int_equal(mask->bytes, 3);
	pccl_manifest_fini(&manifest);
}

static void a_name_may_stand_only_once(void **state)
{
	struct pccl_manifest manifest = {0};
	char name[20];
	size_t index;

	(void)state;
	assert_int_equal(pccl_manifest_reserve(&manifest, 1000), pcclSuccess);
	for (index = 0; index < 1000; index++) {
		(void)snprintf(name, sizeof(name), "t%zu", index * 7919 % 1000);
		add(&manifest, index, name, pcclUint8, 1, 1, 1);
	}
	assert_int_equal(pccl_manifest_index(&manifest), pcclSuccess);
	for (index = 0; index < 1000; index++)
		assert_ptr_equal(pccl_manifest_find(&manifest, manifest.tensors[index].name), &manifest.tensors[index]);
	pccl_free(manifest.tensors[3].name);
	manifest.tensors[3].name = pccl_strdup("t1");
	assert_int_equal(pccl_manifest_index(&manifest), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "'t1'"));
	pccl_manifest_fini(&manifest);
}

static void a_name_that_is_no_text_is_refused(void **state)
{
	struct pccl_manifest manifest = {0};
	uint8_t *header;
	size_t bytes;

	(void)state;
	assert_int_equal(pccl_manifest_reserve(&manifest, 1), pcclSuccess);
	add(&manifest, 0, "\xff\xfe", pcclUint8, 1, 1, 1);
	assert_int_equal(pccl_manifest_index(&manifest), pcclSuccess);
	assert_int_equal(pccl_manifest_place(&manifest), pcclSuccess);
	assert_int_equal(pccl_manifest_encode(&manifest, &header, &bytes), pcclInvalidArgument);
	assert_null(header);
	pccl_manifest_fini(&manifest);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read_back),
		cmocka_unit_test(a_changed_bit_is_seen),
		cmocka_unit_test(lengths_that_cannot_be_are_refused),
		cmocka_unit_test(what_is_no_checkpoint_is_refused),
		cmocka_unit_test(other_programs_files_are_marked),
		cmocka_unit_test(types_that_pccl_has_not_are_bytes),
		cmocka_unit_test(a_name_may_stand_only_once),
		cmocka_unit_test(a_name_that_is_no_text_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
