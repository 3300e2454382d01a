/* Digests of tensors on the host and on devices, by many threads; what fails on the way is told once, and nothing of a
 * driver's is left. */
#include "device/chunks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "lib/check.h"
#include "lib/device.h"

#define TENSORS_MAX 3000

static const struct standin *standin;
static struct pccl_chunk_tensor tensors[TENSORS_MAX];
static const uint8_t *seen[TENSORS_MAX]; /* the same bytes, where the test may touch them */

enum where { HOST, DEVICE, OTHER_DEVICE, POOL, MIXED };

static void place(size_t index, size_t bytes, enum where where, uint8_t *host, uint8_t *devices[3])
{
	struct pccl_chunk_tensor *tensor = &tensors[index];
	size_t at;

	if (where == MIXED)
		where = (enum where)(index % 4);
	tensor->name = "tensor";
	tensor->bytes = bytes;
	tensor->kept = false;
	tensor->digests = NULL;
	tensor->device = where == HOST ? pcclDeviceCpu : pcclDeviceCuda;
	tensor->data = where == HOST ? host : devices[where - 1];
	seen[index] = where == HOST || bytes == 0 ? host : standin->peek(tensor->data);
	for (at = 0; at < bytes; at++)
		((uint8_t *)(uintptr_t)seen[index])[at] = (uint8_t)(at * 7 + index * 131 + at / 4096);
}

/* One block for each place; the tensors follow each other in it, at odd addresses. */
struct blocks {
	uint8_t *host;
	uint8_t *devices[3];
	size_t used;
	size_t bytes;
};

static struct blocks make_blocks(size_t bytes)
{
	struct blocks blocks = {pccl_alloc(bytes),
				{standin->alloc(0, bytes, 0), standin->alloc(1, bytes, 0), standin->alloc(1, bytes, 1)},
				0,
				bytes};

	assert_non_null(blocks.host);
	return blocks;
}

static void add(struct blocks *blocks, size_t index, size_t bytes, enum where where)
{
	uint8_t *devices[3];
	size_t each;

	for (each = 0; each < 3; each++)
		devices[each] = blocks->devices[each] + blocks->used;
	assert_true(bytes <= blocks->bytes - blocks->used);
	place(index, bytes, where, blocks->host + blocks->used, devices);
	blocks->used += bytes;
}

static void check_digests(const struct pccl_chunk_work *work)
{
	size_t index;
	uint64_t chunk;

	for (index = 0; index < work->count; index++) {
		for (chunk = 0; chunk < pccl_chunk_count(tensors[index].bytes); chunk++) {
			const struct pccl_digest wanted = pccl_digest_of(
				seen[index] + chunk * PCCL_CHUNK_BYTES, pccl_chunk_length(tensors[index].bytes, chunk));

			assert_memory_equal(&pccl_chunk_work_digests(work, index)[chunk], &wanted, sizeof(wanted));
		}
	}
}

static void run_and_check(size_t count, uint32_t threads)
{
	struct pccl_chunk_work work = {.tensors = tensors, .count = count};

	assert_int_equal(pccl_chunk_work_run(&work, threads), pcclSuccess);
	assert_int_equal(work.first[count], pccl_chunk_total(tensors, count));
	check_digests(&work);
	pccl_chunk_work_fini(&work);
	assert_int_equal(standin->left(), 0);
}

static void tensors_of_all_sizes_everywhere_have_their_digests(void **state)
{
	static const size_t sizes[] = {0, 1, 63, 64, 65, 1 << 20, (1 << 20) + 1, 3 << 20, (5 << 20) - 1, 4096, 0, 17};
	size_t count = sizeof(sizes) / sizeof(*sizes), index;
	enum where where;

	(void)state;
	for (where = HOST; where <= MIXED; where++) {
		struct blocks blocks = make_blocks(16 << 20);

		for (index = 0; index < count; index++)
			add(&blocks, index, sizes[index], where);
		run_and_check(count, 1);
		run_and_check(count, 3);
		run_and_check(0, 2);
		pccl_free(blocks.host);
	}
}

static void many_small_tensors_are_copied_together(void **state)
{
	struct blocks blocks = make_blocks(4 << 20);
	long copies = standin->copies(), waits = standin->waits();
	size_t index;

	(void)state;
	for (index = 0; index < TENSORS_MAX; index++)
		add(&blocks, index, index % 1000, DEVICE);
	run_and_check(TENSORS_MAX, 1);
	assert_int_equal(standin->copies() - copies, TENSORS_MAX - TENSORS_MAX / 1000);
	assert_true(standin->waits() - waits < TENSORS_MAX / 40);
	for (index = 0; index < TENSORS_MAX; index++)
		tensors[index].device = index % 3 == 0 ? pcclDeviceCuda : pcclDeviceCpu;
	for (index = 0; index < TENSORS_MAX; index++)
		if (tensors[index].device == pcclDeviceCpu)
			tensors[index].data = (uint8_t *)(uintptr_t)seen[index];
	run_and_check(TENSORS_MAX, 4);
	pccl_free(blocks.host);
}

static void kept_digests_are_left_alone(void **state)
{
	struct blocks blocks = make_blocks(16 << 20);
	const struct pccl_digest kept = {{1, 2, 3}};
	struct pccl_digest digests[64];
	struct pccl_chunk_work work = {.tensors = tensors, .count = 9};
	size_t index;

	(void)state;
	for (index = 0; index < 64; index++)
		digests[index] = kept;
	for (index = 0; index < 9; index++) {
		add(&blocks, index, index % 2 == 0 ? 3 << 20 : 12345, index % 4 == 0 ? DEVICE : HOST);
		tensors[index].kept = index % 3 == 0;
		tensors[index].digests = &digests[4 * index];
		if (tensors[index].kept)
			tensors[index].data = NULL;
	}
	assert_int_equal(pccl_chunk_work_run(&work, 2), pcclSuccess);
	assert_null(work.digests);
	for (index = 0; index < 9; index++) {
		const struct pccl_digest *found = &digests[4 * index];
		const struct pccl_digest wanted =
			tensors[index].kept ? kept
					    : pccl_digest_of(seen[index], pccl_chunk_length(tensors[index].bytes, 0));

		assert_memory_equal(found, &wanted, sizeof(wanted));
	}
	pccl_chunk_work_fini(&work);
	pccl_free(blocks.host);
}

static pcclResult_t fill(void *context, const struct pccl_chunk *chunk, void *bytes)
{
	size_t at;

	if (context != NULL && chunk->tensor == 2)
		return pccl_fail(pcclSystemError, "tensor 2 is not there");
	for (at = 0; at < chunk->bytes; at++)
		((uint8_t *)bytes)[at] = (uint8_t)((chunk->offset + at) * 3 + chunk->tensor);
	return pcclSuccess;
}

static void what_is_filled_in_arrives(void **state)
{
	struct blocks blocks = make_blocks(32 << 20);
	struct pccl_chunk_work work = {.tensors = tensors, .count = 40, .fill = fill};
	size_t index, at;

	(void)state;
	for (index = 0; index < 40; index++)
		add(&blocks, index, index < 4 ? (3 << 20) + index : 1000 * index, MIXED);
	assert_int_equal(pccl_chunk_work_run(&work, 2), pcclSuccess);
	assert_int_equal(standin->left(), 0);
	for (index = 0; index < 40; index++)
		for (at = 0; at < tensors[index].bytes; at++)
			assert_int_equal(seen[index][at], (uint8_t)(at * 3 + index));
	check_digests(&work);
	pccl_chunk_work_fini(&work);
	work.context = &blocks;
	assert_int_equal(pccl_chunk_work_run(&work, 2), pcclSystemError);
	assert_string_equal(pccl_fail_text(), "tensor 2 is not there");
	assert_int_equal(standin->left(), 0);
	pccl_chunk_work_fini(&work);
	pccl_free(blocks.host);
}

/* Both ways, with tensors in three contexts. Returns false when so many calls are not made. */
static bool fail_at(long call, bool fills)
{
	struct pccl_chunk_work work = {.tensors = tensors, .count = 12, .fill = fills ? fill : NULL};
	pcclResult_t result;

	standin->fail_at(call);
	result = pccl_chunk_work_run(&work, 1);
	standin->fail_at(0);
	pccl_chunk_work_fini(&work);
	assert_int_equal(standin->left(), 0);
	return result != pcclSuccess;
}

static void every_call_of_the_driver_may_fail(void **state)
{
	struct blocks blocks = make_blocks(32 << 20);
	size_t index;
	int fills;
	long call;

	(void)state;
	for (index = 0; index < 12; index++)
		add(&blocks, index, index % 3 == 0 ? (2 << 20) + 5 : 5000, MIXED);
	for (fills = 0; fills < 2; fills++) {
		long told = 0;

		for (call = 1; call < 400; call++) {
			bool ended = fail_at(call, fills != 0);

			if (ended) {
				assert_true(strstr(pccl_fail_text(), "CUDA") != NULL);
				told++;
			}
		}
		assert_true(told > 50);
	}
	run_and_check(12, 2);
	pccl_free(blocks.host);
}

static void memory_that_is_no_device_s_is_refused(void **state)
{
	uint8_t here[64] = {0};
	const struct pccl_chunk_tensor stray = {.name = "w", .data = here, .bytes = 64, .device = pcclDeviceCuda};
	struct pccl_chunk_work work = {.tensors = &stray, .count = 1};

	(void)state;
	assert_int_equal(pccl_chunk_work_run(&work, 1), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "tensor 'w'"));
	assert_non_null(strstr(pccl_fail_text(), "does not know the address"));
	pccl_chunk_work_fini(&work);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tensors_of_all_sizes_everywhere_have_their_digests),
		cmocka_unit_test(many_small_tensors_are_copied_together),
		cmocka_unit_test(kept_digests_are_left_alone),
		cmocka_unit_test(what_is_filled_in_arrives),
		cmocka_unit_test(every_call_of_the_driver_may_fail),
		cmocka_unit_test(memory_that_is_no_device_s_is_refused),
	};

	standin = check_standin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
