#include "base/bytes.h"

#include <string.h>

#include "lib/check.h"

static void values_are_little_endian(void **state)
{
	static const uint8_t expected[] = {1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 2, 0, 'o', 'k', 'x', 'y'};
	uint8_t memory[sizeof(expected)];
	struct pccl_writer writer = pccl_writer_over(memory, sizeof(memory));

	(void)state;
	pccl_put_u8(&writer, 1);
	pccl_put_u16(&writer, 0x0203);
	pccl_put_u32(&writer, 0x04050607);
	pccl_put_u64(&writer, UINT64_C(0x08090a0b0c0d0e0f));
	pccl_put_string(&writer, "ok");
	assert_int_equal(pccl_writer_left(&writer), 2);
	pccl_put_bytes(&writer, "xy", 2);
	assert_false(writer.overflow);
	assert_int_equal(pccl_writer_left(&writer), 0);
	assert_memory_equal(memory, expected, sizeof(expected));
}

static void what_was_put_is_got_at_any_alignment(void **state)
{
	uint8_t memory[64];
	char text[8];
	uint8_t bytes[3];
	size_t offset;

	(void)state;
	for (offset = 0; offset < 16; offset++) {
		struct pccl_writer writer = pccl_writer_over(memory + offset, sizeof(memory) - offset);
		struct pccl_reader reader = pccl_reader_over(memory + offset, sizeof(memory) - offset);

		pccl_put_u64(&writer, UINT64_MAX - 1);
		pccl_put_u32(&writer, UINT32_MAX - 2);
		pccl_put_u16(&writer, UINT16_MAX - 3);
		pccl_put_u8(&writer, UINT8_MAX - 4);
		pccl_put_string(&writer, "text");
		pccl_put_string(&writer, "");
		pccl_put_bytes(&writer, "abc", 3);
		assert_false(writer.overflow);
		assert_true(pccl_get_u64(&reader) == UINT64_MAX - 1);
		assert_true(pccl_get_u32(&reader) == UINT32_MAX - 2);
		assert_int_equal(pccl_get_u16(&reader), UINT16_MAX - 3);
		assert_int_equal(pccl_get_u8(&reader), UINT8_MAX - 4);
		pccl_get_string(&reader, text, sizeof(text));
		assert_string_equal(text, "text");
		pccl_get_string(&reader, text, 1);
		assert_string_equal(text, "");
		pccl_get_bytes(&reader, bytes, sizeof(bytes));
		assert_memory_equal(bytes, "abc", 3);
		assert_false(reader.bad);
		assert_ptr_equal(reader.at, writer.at);
	}
}

static void writing_past_the_end_overflows_for_good(void **state)
{
	uint8_t memory[4] = {9, 9, 9, 9};
	struct pccl_writer writer = pccl_writer_over(memory, 3);

	(void)state;
	pccl_put_u32(&writer, 0);
	assert_true(writer.overflow);
	pccl_put_u8(&writer, 0);
	pccl_put_bytes(&writer, "abcd", 4);
	pccl_put_string(&writer, "");
	assert_true(writer.overflow);
	assert_int_equal(pccl_writer_left(&writer), 0);
	assert_memory_equal(memory, "\11\11\11\11", 4);
}

static void a_string_over_64_kib_overflows(void **state)
{
	static char text[UINT16_MAX + 2];
	static uint8_t memory[2 * sizeof(text)];
	struct pccl_writer writer = pccl_writer_over(memory, sizeof(memory));

	(void)state;
	memset(text, 't', sizeof(text) - 1);
	pccl_put_string(&writer, text);
	assert_true(writer.overflow);
	writer = pccl_writer_over(memory, sizeof(memory));
	pccl_put_string(&writer, text + 1);
	assert_false(writer.overflow);
}

static void reading_past_the_end_is_bad_for_good(void **state)
{
	static const uint8_t memory[8] = {1, 2, 3, 4, 5, 6, 7, 8};
	static const uint8_t zeros[3];
	uint8_t bytes[3] = {9, 9, 9};
	struct pccl_reader reader = pccl_reader_over(memory, 7);

	(void)state;
	assert_true(pccl_get_u64(&reader) == 0);
	assert_true(reader.bad);
	assert_int_equal(pccl_get_u8(&reader), 0);
	assert_int_equal(pccl_get_u16(&reader), 0);
	assert_int_equal(pccl_get_u32(&reader), 0);
	pccl_get_bytes(&reader, bytes, 3);
	assert_memory_equal(bytes, zeros, 3);
	assert_int_equal(pccl_reader_left(&reader), 0);
	assert_true(reader.bad);
}

static void a_string_that_lies_about_its_length_is_bad(void **state)
{
	static const uint8_t memory[] = {4, 0, 'a', 'b', 'c'};
	struct pccl_reader reader = pccl_reader_over(memory, sizeof(memory));
	char text[8] = "before";

	(void)state;
	pccl_get_string(&reader, text, sizeof(text));
	assert_true(reader.bad);
	assert_string_equal(text, "");
}

static void a_string_that_does_not_fit_is_bad(void **state)
{
	static const uint8_t memory[] = {3, 0, 'a', 'b', 'c'};
	struct pccl_reader reader = pccl_reader_over(memory, sizeof(memory));
	char text[4] = "xyz";

	(void)state;
	pccl_get_string(&reader, text, 3);
	assert_true(reader.bad);
	assert_string_equal(text, "");
	reader = pccl_reader_over(memory, sizeof(memory));
	pccl_get_string(&reader, text, 4);
	assert_false(reader.bad);
	assert_string_equal(text, "abc");
}

static void a_string_with_a_zero_inside_is_bad(void **state)
{
	static const uint8_t memory[] = {3, 0, 'a', 0, 'c'};
	struct pccl_reader reader = pccl_reader_over(memory, sizeof(memory));
	char text[8];

	(void)state;
	pccl_get_string(&reader, text, sizeof(text));
	assert_true(reader.bad);
	assert_string_equal(text, "");
}

static void a_huge_count_does_not_wrap_round(void **state)
{
	uint8_t memory[8];
	struct pccl_writer writer = pccl_writer_over(memory, sizeof(memory));

	(void)state;
	pccl_put_u32(&writer, 1);
	pccl_put_bytes(&writer, memory, SIZE_MAX - 1);
	assert_true(writer.overflow);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_are_little_endian),
		cmocka_unit_test(what_was_put_is_got_at_any_alignment),
		cmocka_unit_test(writing_past_the_end_overflows_for_good),
		cmocka_unit_test(a_string_over_64_kib_overflows),
		cmocka_unit_test(reading_past_the_end_is_bad_for_good),
		cmocka_unit_test(a_string_that_lies_about_its_length_is_bad),
		cmocka_unit_test(a_string_that_does_not_fit_is_bad),
		cmocka_unit_test(a_string_with_a_zero_inside_is_bad),
		cmocka_unit_test(a_huge_count_does_not_wrap_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
