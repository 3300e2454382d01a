/* Leaves of a state are where its chunks' numbers say, in whatever order and places its tensors are. */
#include "device/state.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "lib/check.h"

#define TENSORS 300
#define BYTES ((size_t)5 << 20)

struct sample {
	uint8_t *bytes;
	char names[TENSORS][16];
	pcclTensorInfo_t infos[TENSORS];
	pcclSharedState_t state;
	struct pccl_inventory *inventory;
};

/* Names that are not in the order of the tensors; one tensor has more than one chunk, some are empty. */
static void make(struct sample *sample)
{
	size_t index, used = 0;

	sample->bytes = pccl_alloc(BYTES);
	assert_non_null(sample->bytes);
	for (index = 0; index < BYTES; index++)
		sample->bytes[index] = (uint8_t)(index * 13 + index / 251);
	for (index = 0; index < TENSORS; index++) {
		size_t count = index == 100 ? (size_t)3 << 20 : index * 37 % 500;
		const pcclTensorInfo_t info = {.name = sample->names[index],
					       .data = sample->bytes + used,
					       .count = count,
					       .datatype = pcclUint8,
					       .device_type = pcclDeviceCpu,
					       .allow_content_inequality = index % 7 == 0};

		(void)snprintf(sample->names[index], sizeof(sample->names[index]), "%zu", index * 101 % TENSORS);
		sample->infos[index] = info;
		used += count;
	}
	assert_true(used <= BYTES);
	sample->state.count = TENSORS;
	sample->state.infos = sample->infos;
	assert_int_equal(pccl_inventory_create(&sample->state, &sample->inventory), pcclSuccess);
}

static void destroy(struct sample *sample)
{
	pccl_inventory_destroy(sample->inventory);
	pccl_free(sample->bytes);
}

static bool is_kept(size_t index)
{
	return index % 3 == 1;
}

/* With one thread or several, all of it or what is not kept: that stays as it is. */
static void leaves_are_where_their_chunks_are(uint32_t threads, bool keeps)
{
	static const struct pccl_digest untouched = {{7}};
	static struct sample sample;
	bool kept[TENSORS];
	size_t index;
	uint64_t chunk;

	make(&sample);
	for (index = 0; index < TENSORS; index++)
		kept[index] = is_kept(index);
	for (chunk = 0; chunk < sample.inventory->chunk_count; chunk++)
		sample.inventory->leaves[chunk] = untouched;
	assert_int_equal(pccl_state_digest(sample.inventory, keeps ? kept : NULL, threads), pcclSuccess);
	for (index = 0; index < TENSORS; index++) {
		const struct pccl_inventory_tensor *tensor = &sample.inventory->tensors[index];

		for (chunk = 0; chunk < pccl_chunk_count(tensor->bytes); chunk++) {
			struct pccl_digest right = pccl_digest_of(tensor->origin + chunk * PCCL_CHUNK_BYTES,
								  pccl_chunk_length(tensor->bytes, chunk));

			if (keeps && kept[index])
				right = untouched;
			assert_true(pccl_digest_equal(&sample.inventory->leaves[tensor->first_chunk + chunk], &right));
		}
	}
	destroy(&sample);
}

static void every_leaf_is_of_its_chunk(void **state)
{
	(void)state;
	leaves_are_where_their_chunks_are(1, false);
	leaves_are_where_their_chunks_are(3, false);
}

static void what_is_kept_is_not_touched(void **state)
{
	(void)state;
	leaves_are_where_their_chunks_are(1, true);
	leaves_are_where_their_chunks_are(3, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_leaf_is_of_its_chunk),
		cmocka_unit_test(what_is_kept_is_not_touched),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
