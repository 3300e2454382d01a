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
		size_t index;

		memset(words, 0xff, sizeof(words));
		for (index = 0; index < bits; index++) {
			model[index] = pccl_rng_chance(&rng, 3, 4);
			if (model[index])
				pccl_bitmap_set(words, index);
			else
				pccl_bitmap_clear(words, index);
		}
		for (index = bits; index > 0; index--)
			assert_int_equal(pccl_bitmap_test(words, index - 1), model[index - 1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_round_up),
		cmocka_unit_test(maps_behave_as_arrays_of_bools),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
