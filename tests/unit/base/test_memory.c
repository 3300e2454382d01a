#include "base/memory.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/fail.h"
#include "lib/allocations.h"
#include "lib/check.h"

static void memory_can_be_had_and_given_back(void **state)
{
	static const uint8_t zeros[100];
	uint8_t *memory;

	(void)state;
	memory = pccl_alloc(10);
	assert_non_null(memory);
	memcpy(memory, "123456789", 10);
	memory = pccl_realloc(memory, 100);
	assert_non_null(memory);
	assert_string_equal((char *)memory, "123456789");
	pccl_free(memory);
	memory = pccl_zalloc(100);
	assert_non_null(memory);
	assert_memory_equal(memory, zeros, 100);
	pccl_free(memory);
	memory = pccl_calloc(10, 10);
	assert_non_null(memory);
	assert_memory_equal(memory, zeros, 100);
	pccl_free(memory);
	pccl_free(NULL);
}

static void nothing_is_a_pointer_too(void **state)
{
	void *memory[5];
	size_t index;

	(void)state;
	memory[0] = pccl_alloc(0);
	memory[1] = pccl_zalloc(0);
	memory[2] = pccl_calloc(0, 8);
	memory[3] = pccl_calloc(8, 0);
	memory[4] = pccl_realloc(pccl_alloc(8), 0);
	for (index = 0; index < 5; index++) {
		assert_non_null(memory[index]);
		pccl_free(memory[index]);
	}
}

static void a_product_that_overflows_is_out_of_memory(void **state)
{
	/* volatile: the compiler knows better than to ask for this much. */
	volatile size_t count = SIZE_MAX / 2;

	(void)state;
	pccl_fail_clear();
	assert_null(pccl_calloc(count, 3));
	assert_non_null(strstr(pccl_fail_text(), "out of memory"));
}

static void aligned_memory_is_aligned(void **state)
{
	size_t alignment;

	(void)state;
	for (alignment = sizeof(void *); alignment <= 4096; alignment *= 2) {
		void *memory = pccl_alloc_aligned(alignment, 3);

		assert_non_null(memory);
		assert_int_equal((uintptr_t)memory % alignment, 0);
		pccl_free(memory);
	}
}

static void large_memory_is_aligned_to_what_it_lies_on(void **state)
{
	static const size_t sizes[] = {0, 1, 4096, (2 << 20) - 1, 2 << 20, (5 << 20) + 3};
	size_t index;

	(void)state;
	for (index = 0; index < sizeof(sizes) / sizeof(sizes[0]); index++) {
		uint8_t *memory = pccl_alloc_large(sizes[index]);
		size_t alignment = sizes[index] < 2 << 20 ? 4096 : 2 << 20;

		assert_non_null(memory);
		assert_int_equal((uintptr_t)memory % alignment, 0);
		memset(memory, 1, sizes[index]);
		pccl_free(memory);
	}
	check_fail_allocation(1);
	assert_null(pccl_alloc_large(1));
	check_fail_allocation(0);
}

static void a_string_is_copied(void **state)
{
	char text[] = "text";
	char *copy = pccl_strdup(text);

	(void)state;
	assert_non_null(copy);
	text[0] = 'n';
	assert_string_equal(copy, "text");
	pccl_free(copy);
}

static void exhaustion_is_reported_in_words(void **state)
{
	uint8_t *memory = pccl_alloc(4);

	(void)state;
	memcpy(memory, "old", 4);
	check_fail_allocation(1);
	assert_null(pccl_alloc(5));
	assert_true(check_allocation_failed());
	assert_string_equal(pccl_fail_text(), "out of memory: 1 x 5 bytes");
	check_fail_allocation(1);
	assert_null(pccl_calloc(7, 3));
	assert_string_equal(pccl_fail_text(), "out of memory: 7 x 3 bytes");
	check_fail_allocation(1);
	assert_null(pccl_realloc(memory, 6));
	assert_string_equal((char *)memory, "old");
	check_fail_allocation(1);
	assert_null(pccl_alloc_aligned(64, 6));
	check_fail_allocation(1);
	assert_null(pccl_strdup("text"));
	check_fail_allocation(2);
	pccl_free(pccl_alloc(1));
	assert_false(check_allocation_failed());
	assert_null(pccl_zalloc(1));
	assert_true(check_allocation_failed());
	check_fail_allocation(0);
	pccl_free(memory);
}

static void freeing_keeps_errno(void **state)
{
	(void)state;
	errno = EAGAIN;
	pccl_free(pccl_alloc(1 << 22));
	assert_int_equal(errno, EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_can_be_had_and_given_back),
		cmocka_unit_test(nothing_is_a_pointer_too),
		cmocka_unit_test(a_product_that_overflows_is_out_of_memory),
		cmocka_unit_test(aligned_memory_is_aligned),
		cmocka_unit_test(large_memory_is_aligned_to_what_it_lies_on),
		cmocka_unit_test(a_string_is_copied),
		cmocka_unit_test(exhaustion_is_reported_in_words),
		cmocka_unit_test(freeing_keeps_errno),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
