#include "base/rng.h"

#include "lib/check.h"

static void a_seed_gives_the_same_numbers_again(void **state)
{
	struct pccl_rng left;
	struct pccl_rng right;
	struct pccl_rng other;
	int index;
	int equal = 0;

	(void)state;
	pccl_rng_seed(&left, 42);
	pccl_rng_seed(&right, 42);
	pccl_rng_seed(&other, 43);
	for (index = 0; index < 1000; index++) {
		uint64_t value = pccl_rng_u64(&left);

		assert_true(value == pccl_rng_u64(&right));
		equal += value == pccl_rng_u64(&other);
	}
	assert_int_equal(equal, 0);
}

/* Values of the published algorithms, worked out with an independent program. */
static void the_numbers_are_those_of_the_published_generators(void **state)
{
	struct pccl_rng rng;

	(void)state;
	pccl_rng_seed(&rng, 0);
	assert_true(rng.s[0] == UINT64_C(0xe220a8397b1dcdaf));
	assert_true(rng.s[1] == UINT64_C(0x6e789e6aa1b965f4));
	assert_true(pccl_rng_u64(&rng) == UINT64_C(0x99ec5f36cb75f2b4));
	assert_true(pccl_rng_u64(&rng) == UINT64_C(0xbf6e1f784956452a));
	assert_true(pccl_rng_hash(1, 2) == UINT64_C(0xb95f66d327e8d78));
}

static void numbers_below_a_bound_are_even(void **state)
{
	struct pccl_rng rng;
	unsigned int counts[10] = {0};
	int index;

	(void)state;
	pccl_rng_seed(&rng, 7);
	for (index = 0; index < 100000; index++) {
		uint64_t value = pccl_rng_below(&rng, 10);

		assert_true(value < 10);
		counts[value]++;
	}
	/* Ten times the standard deviation of 95. */
	for (index = 0; index < 10; index++)
		assert_in_range(counts[index], 9050, 10950);
	assert_true(pccl_rng_below(&rng, 1) == 0);
	assert_true(pccl_rng_below(&rng, UINT64_MAX) < UINT64_MAX);
}

static void chances_come_true_as_often_as_they_should(void **state)
{
	struct pccl_rng rng;
	unsigned int hits = 0;
	int index;

	(void)state;
	pccl_rng_seed(&rng, 9);
	for (index = 0; index < 100000; index++)
		hits += pccl_rng_chance(&rng, 1, 4);
	assert_in_range(hits, 23600, 26400);
	assert_false(pccl_rng_chance(&rng, 0, 3));
	assert_true(pccl_rng_chance(&rng, 3, 3));
}

static void doubles_fill_the_unit_interval(void **state)
{
	struct pccl_rng rng;
	double sum = 0;
	double least = 1;
	double most = 0;
	int index;

	(void)state;
	pccl_rng_seed(&rng, 11);
	for (index = 0; index < 100000; index++) {
		double value = pccl_rng_double(&rng);

		assert_true(value >= 0 && value < 1);
		sum += value;
		least = value < least ? value : least;
		most = value > most ? value : most;
	}
	assert_true(sum > 49000 && sum < 51000);
	assert_true(least < 0.001 && most > 0.999);
}

static void the_hash_flips_half_of_the_bits(void **state)
{
	unsigned int flips = 0;
	uint64_t counter;

	(void)state;
	for (counter = 0; counter < 10000; counter++) {
		flips += (unsigned int)__builtin_popcountll(pccl_rng_hash(5, counter) ^ pccl_rng_hash(5, counter + 1));
		flips += (unsigned int)__builtin_popcountll(pccl_rng_hash(counter, 5) ^ pccl_rng_hash(counter + 1, 5));
	}
	/* 20000 pairs, 32 bits each. */
	assert_in_range(flips, 634000, 646000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_gives_the_same_numbers_again),
		cmocka_unit_test(the_numbers_are_those_of_the_published_generators),
		cmocka_unit_test(numbers_below_a_bound_are_even),
		cmocka_unit_test(chances_come_true_as_often_as_they_should),
		cmocka_unit_test(doubles_fill_the_unit_interval),
		cmocka_unit_test(the_hash_flips_half_of_the_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
