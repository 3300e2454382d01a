#include "base/crc32c.h"

#include <string.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "lib/check.h"

typedef uint32_t crc32c_way(uint32_t crc, const void *bytes, size_t count);

static uint8_t data[16384];

/* The definition, one bit at a time. */
static uint32_t bitwise(uint32_t crc, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	int bit;

	crc = ~crc;
	for (; count > 0; count--) {
		crc ^= *at++;
		for (bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78 & (0 - (crc & 1)));
	}
	return ~crc;
}

static void fill(struct pccl_rng *rng)
{
	size_t index;

	for (index = 0; index < sizeof(data); index++)
		data[index] = (uint8_t)pccl_rng_u64(rng);
}

static void check_against_bitwise(crc32c_way *way)
{
	struct pccl_rng rng;
	size_t count;
	int round;

	pccl_rng_seed(&rng, 3);
	fill(&rng);
	for (count = 0; count < 1100; count++) {
		size_t offset = (size_t)pccl_rng_below(&rng, 65);
		uint32_t start = (uint32_t)pccl_rng_u64(&rng);

		assert_int_equal(way(start, data + offset, count), bitwise(start, data + offset, count));
	}
	for (round = 0; round < 300; round++) {
		size_t offset = (size_t)pccl_rng_below(&rng, 256);
		uint32_t start = (uint32_t)pccl_rng_u64(&rng);

		count = (size_t)pccl_rng_below(&rng, sizeof(data) - offset + 1);
		assert_int_equal(way(start, data + offset, count), bitwise(start, data + offset, count));
	}
}

static void check_known_values(crc32c_way *way)
{
	uint8_t bytes[32];
	int index;

	assert_int_equal(way(0, "", 0), 0);
	assert_int_equal(way(0, "123456789", 9), 0xe3069283);
	/* The examples of RFC 3720, appendix B.4. */
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(way(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(way(0, bytes, 32), 0x62a8ab43);
	for (index = 0; index < 32; index++)
		bytes[index] = (uint8_t)index;
	assert_int_equal(way(0, bytes, 32), 0x46dd794e);
	for (index = 0; index < 32; index++)
		bytes[index] = (uint8_t)(31 - index);
	assert_int_equal(way(0, bytes, 32), 0x113fdb5c);
}

static void the_table_way_is_right(void **state)
{
	(void)state;
	check_known_values(pccl_crc32c_table);
	check_against_bitwise(pccl_crc32c_table);
}

static void the_instruction_way_is_right(void **state)
{
	(void)state;
	if (!pccl_cpu_has_sse42())
		skip();
#if defined(__x86_64__)
	check_known_values(pccl_crc32c_sse42);
	check_against_bitwise(pccl_crc32c_sse42);
#endif
}

static void the_mixed_way_is_right(void **state)
{
	(void)state;
	if (!pccl_cpu_has_vpclmul())
		skip();
#if defined(__x86_64__)
	check_known_values(pccl_crc32c_vpclmul256);
	check_against_bitwise(pccl_crc32c_vpclmul256);
#endif
}

static void the_folding_way_is_right(void **state)
{
	(void)state;
	if (!pccl_cpu_has_vpclmul() || pccl_cpu_level() != PCCL_CPU_AVX512)
		skip();
#if defined(__x86_64__)
	check_known_values(pccl_crc32c_vpclmul512);
	check_against_bitwise(pccl_crc32c_vpclmul512);
#endif
}

static void the_chosen_way_is_right(void **state)
{
	(void)state;
	check_known_values(pccl_crc32c);
	check_against_bitwise(pccl_crc32c);
}

static void a_checksum_can_be_continued_anywhere(void **state)
{
	struct pccl_rng rng;
	size_t split;
	uint32_t whole;

	(void)state;
	pccl_rng_seed(&rng, 4);
	fill(&rng);
	whole = pccl_crc32c(0, data, 5000);
	for (split = 0; split <= 5000; split += 7)
		assert_int_equal(pccl_crc32c(pccl_crc32c(0, data, split), data + split, 5000 - split), whole);
}

static void every_flipped_bit_is_seen(void **state)
{
	struct pccl_rng rng;
	size_t bit;
	uint32_t whole;

	(void)state;
	pccl_rng_seed(&rng, 5);
	fill(&rng);
	whole = pccl_crc32c(0, data, 1000);
	for (bit = 0; bit < 8000; bit++) {
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(pccl_crc32c(0, data, 1000), whole);
		data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(pccl_crc32c(0, data, 1000), whole);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_way_is_right),    cmocka_unit_test(the_instruction_way_is_right),
		cmocka_unit_test(the_mixed_way_is_right),    cmocka_unit_test(the_folding_way_is_right),
		cmocka_unit_test(the_chosen_way_is_right),   cmocka_unit_test(a_checksum_can_be_continued_anywhere),
		cmocka_unit_test(every_flipped_bit_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
