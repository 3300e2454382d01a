/* Bytes through a ring: in order, over its end, with the right calls to wake; and what the other side may claim. */
#include "lib/check.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "transport/shm/ring.h"

struct pair {
	void *memory;
	struct pccl_ring writer;
	struct pccl_ring reader;
};

static struct pair new_pair(void)
{
	struct pair pair = {.memory = aligned_alloc(PCCL_RING_HEAD_BYTES, PCCL_RING_HEAD_BYTES + PCCL_RING_BYTES)};

	assert_non_null(pair.memory);
	memset(pair.memory, 0, PCCL_RING_HEAD_BYTES);
	pccl_ring_open(&pair.writer, pair.memory);
	pccl_ring_open(&pair.reader, pair.memory);
	return pair;
}

/* The byte at a place of all that is written. */
static uint8_t byte_at(uint64_t place)
{
	return (uint8_t)(place * 31 + (place >> 8) * 7 + (place >> 16));
}

static void put(struct pair *pair, size_t bytes, uint64_t *written)
{
	static uint8_t from[PCCL_RING_PIECE_BYTES];
	ssize_t count;
	size_t i;
	bool wake;

	for (i = 0; i < bytes; i++)
		from[i] = byte_at(*written + i);
	count = pccl_ring_put(&pair->writer, from, bytes, &wake);
	assert_in_range(count, 0, bytes);
	*written += (uint64_t)count;
}

static void take(struct pair *pair, size_t bytes, uint64_t *read)
{
	static uint8_t to[PCCL_RING_PIECE_BYTES];
	ssize_t count;
	ssize_t i;
	bool wake;

	count = pccl_ring_take(&pair->reader, to, bytes, &wake);
	assert_in_range(count, 0, bytes);
	for (i = 0; i < count; i++)
		assert_int_equal(to[i], byte_at(*read + (uint64_t)i));
	*read += (uint64_t)count;
}

static void bytes_of_all_sizes_come_in_order_over_the_end(void **state)
{
	struct pair pair = new_pair();
	struct pccl_rng rng;
	uint64_t written = 0, read = 0;

	(void)state;
	pccl_rng_seed(&rng, 7);
	while (read < 8 * PCCL_RING_BYTES) {
		put(&pair, pccl_rng_below(&rng, PCCL_RING_PIECE_BYTES), &written);
		take(&pair, pccl_rng_below(&rng, PCCL_RING_PIECE_BYTES), &read);
		assert_in_range(written - read, 0, PCCL_RING_BYTES);
		assert_int_equal(pccl_ring_read_by_other(&pair.writer), read);
	}
	free(pair.memory);
}

static void fill(struct pair *pair)
{
	static const uint8_t from[PCCL_RING_PIECE_BYTES];
	bool wake;

	while (pccl_ring_put(&pair->writer, from, sizeof(from), &wake) > 0)
		;
}

static void reader_that_waits_is_woken_once(void **state)
{
	struct pair pair = new_pair();
	uint8_t byte = 1;
	bool wake;

	(void)state;
	assert_int_equal(pccl_ring_put(&pair.writer, &byte, 1, &wake), 1);
	assert_false(wake);
	assert_false(pccl_ring_await_bytes(&pair.reader)); /* there is something */
	assert_int_equal(pccl_ring_take(&pair.reader, &byte, 1, &wake), 1);
	assert_true(pccl_ring_await_bytes(&pair.reader));
	assert_int_equal(pccl_ring_put(&pair.writer, &byte, 1, &wake), 1);
	assert_true(wake);
	assert_int_equal(pccl_ring_put(&pair.writer, &byte, 1, &wake), 1);
	assert_false(wake);
	free(pair.memory);
}

static void writer_that_waits_is_woken_when_half_is_free(void **state)
{
	struct pair pair = new_pair();
	uint64_t taken = 0;
	bool wake;

	(void)state;
	assert_false(pccl_ring_await_room(&pair.writer));
	fill(&pair);
	assert_true(pccl_ring_await_room(&pair.writer));
	do {
		ssize_t count = pccl_ring_take(&pair.reader, NULL, 1000, &wake);

		assert_int_equal(count, 1000);
		taken += 1000;
		assert_true(wake == (taken >= PCCL_RING_BYTES / 2));
	} while (!wake);
	assert_false(pccl_ring_await_room(&pair.writer));
	free(pair.memory);
}

/* Both sides see it before they touch a byte. */
static void positions_that_make_no_sense_are_seen(void **state)
{
	static const uint64_t lies[] = {PCCL_RING_BYTES + 1, UINT64_C(1) << 63};
	uint8_t byte = 0;
	size_t i;
	bool wake;

	(void)state;
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct pair pair = new_pair();
		uint64_t *positions = pair.memory; /* written; a cache line on: read */

		positions[0] = lies[i];
		assert_int_equal(pccl_ring_take(&pair.reader, &byte, 1, &wake), -1);
		positions[0] = 0;
		positions[8] = lies[i];
		assert_int_equal(pccl_ring_put(&pair.writer, &byte, 1, &wake), -1);
		free(pair.memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_of_all_sizes_come_in_order_over_the_end),
		cmocka_unit_test(reader_that_waits_is_woken_once),
		cmocka_unit_test(writer_that_waits_is_woken_when_half_is_free),
		cmocka_unit_test(positions_that_make_no_sense_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
