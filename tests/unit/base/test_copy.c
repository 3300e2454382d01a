#include "base/copy.h"

#include <stdint.h>
#include <string.h>

#include "base/rng.h"
#include "lib/check.h"

#define ROOM 1024

static uint8_t source[ROOM];
static uint8_t target[ROOM];

/* Copies and looks at every byte, those beside the copy as well. */
static void check(size_t to, size_t from, size_t bytes)
{
	size_t index;

	memset(target, 0xee, sizeof(target));
	pccl_copy_aside(target + to, source + from, bytes);
	for (index = 0; index < ROOM; index++)
		if (index >= to && index < to + bytes)
			assert_int_equal(target[index], source[from + index - to]);
		else
			assert_int_equal(target[index], 0xee);
}

static void any_place_and_size_is_copied_and_nothing_beside_it(void **state)
{
	struct pccl_rng rng;
	size_t to, bytes;

	(void)state;
	pccl_rng_seed(&rng, 6);
	for (bytes = 0; bytes < ROOM; bytes++)
		source[bytes] = (uint8_t)pccl_rng_u64(&rng);
	for (to = 0; to < 66; to++)
		for (bytes = 0; bytes < 400; bytes += bytes < 140 ? 1 : 13)
			check(to, (size_t)pccl_rng_below(&rng, 70), bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_place_and_size_is_copied_and_nothing_beside_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
