#include "base/bitmap.h"

#include <string.h>

#include "base/rng.h"
#include "lib/check.h"

#define BITS_MAX 200

static void words_round_up(void **state)
{
	(void)state;
	assert_int_equal(pccl_bitmap_words(0), 0);
	assert_int_equal(pccl_bitmap_words(1), 1);
	assert_int_equal(pccl_bitmap_words(64), 1);
	assert_int_equal(pccl_bitmap_words(65), 2);
}

/* Random maps of every length against an array of bools, with garbage behind the end. */
static void maps_behave_as_arrays_of_bools(void **state)
{
	struct pccl_rng rng;
	size_t bits;

	(void)state;
	pccl_rng_seed(&rng, 1);
	for (bits = 0; bits <= BITS_MAX; bits++) {
		uint64_t words[BITS_MAX / 64 + 1];
		bool model[BITS_MAX];
		size_t from = (size_t)pccl_rng_below(&rng, bits + 1);
		size_t next = bits;
		size_t count = 0;
		size_t index;

		memset(words, 0xff, sizeof(words));
		for (index = 0; index < bits; index++) {
			model[index] = pccl_rng_chance(&rng, 3, 4);
			if (model[index])
				pccl_bitmap_set(words, index);
			else
				pccl_bitmap_clear(words, index);
		}
		for (index = bits; index > 0; index--) {
			assert_int_equal(pccl_bitmap_test(words, index - 1), model[index - 1]);
			count += model[index - 1];
			if (!model[index - 1] && index - 1 >= from)
				next = index - 1;
		}
		assert_int_equal(pccl_bitmap_count(words, bits), count);
		assert_int_equal(pccl_bitmap_all(words, bits), count == bits);
		assert_int_equal(pccl_bitmap_next_clear(words, from, bits), next);
	}
}

static void all_sees_the_one_that_is_missing(void **state)
{
	uint64_t words[3];
	size_t index;

	(void)state;
	for (index = 0; index < 130; index++) {
		memset(words, 0xff, sizeof(words));
		assert_true(pccl_bitmap_all(words, 130));
		pccl_bitmap_clear(words, index);
		assert_false(pccl_bitmap_all(words, 130));
		assert_int_equal(pccl_bitmap_count(words, 130), 129);
		assert_int_equal(pccl_bitmap_next_clear(words, 0, 130), index);
	}
}

static void union_keeps_to_its_bits(void **state)
{
	uint64_t target[2] = {1, 0};
	uint64_t source[2] = {2, ~UINT64_C(0)};

	(void)state;
	pccl_bitmap_or(target, source, 66);
	assert_true(target[0] == 3);
	assert_true(target[1] == 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_round_up),
		cmocka_unit_test(maps_behave_as_arrays_of_bools),
		cmocka_unit_test(all_sees_the_one_that_is_missing),
		cmocka_unit_test(union_keeps_to_its_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
