/* float16 and bfloat16 against the arithmetic of their definition. */
#include "lib/check.h"

#include "collectives/element/half.h"
#include "collectives/reduce/reduce_kernels.h"
#include "unit/collectives/reduce/reference.h"

static void every_half_widens_exactly(void **state)
{
	uint32_t bits;

	(void)state;
	for (bits = 0; bits < 0x10000; bits++) {
		double half = reference_widen(&small_half, bits), bfloat = reference_widen(&small_bfloat, bits);
		float got_half = pccl_half_to_float((uint16_t)bits), got_bfloat = pccl_bfloat_to_float((uint16_t)bits);

		if (isnan(half))
			assert_true(isnan(got_half));
		else
			assert_int_equal(pccl_float_bits(got_half), pccl_float_bits((float)half));
		if (isnan(bfloat))
			assert_true(isnan(got_bfloat));
		else
			assert_int_equal(pccl_float_bits(got_bfloat), pccl_float_bits((float)bfloat));
	}
}

static void check_narrowing(uint32_t bits)
{
	float value = pccl_bits_float(bits);
	uint16_t half = pccl_float_to_half(value), bfloat = pccl_float_to_bfloat(value);

	if (isnan(value)) {
		assert_int_equal(half, ((bits >> 16) & 0x8000) | 0x7e00 | ((bits >> 13) & 0x1ff));
		assert_int_equal(bfloat, (bits >> 16) | 0x40);
		return;
	}
	assert_int_equal(half, reference_narrow(&small_half, value));
	assert_int_equal(bfloat, reference_narrow(&small_bfloat, value));
}

/* For every value of a half: itself, the point halfway to the next, and the floats on both sides of each. */
static void narrowing_rounds_to_nearest_even_everywhere(void **state)
{
	uint32_t bits;
	int step;

	(void)state;
	for (bits = 0; bits < 0x10000; bits++) {
		uint32_t half = pccl_float_bits(pccl_half_to_float((uint16_t)bits)), bfloat = bits << 16;

		for (step = -1; step <= 1; step++) {
			check_narrowing(half + (uint32_t)step);
			check_narrowing(half + 0x1000 + (uint32_t)step);
			check_narrowing(bfloat + (uint32_t)step);
			check_narrowing(bfloat + 0x8000 + (uint32_t)step);
		}
	}
	/* Halfway between denormals of float16 is not halfway in the bits of float32. */
	for (bits = 0; bits < 0x400; bits++) {
		uint32_t halfway = pccl_float_bits(ldexpf((float)bits + 0.5f, -24));

		for (step = -1; step <= 1; step++)
			check_narrowing(halfway + (uint32_t)step);
	}
}

static void narrowing_agrees_with_the_definition_on_random_bits(void **state)
{
	struct pccl_rng rng;
	int i;

	(void)state;
	pccl_rng_seed(&rng, 1);
	for (i = 0; i < 300000; i++)
		check_narrowing((uint32_t)pccl_rng_u64(&rng));
}

static void a_half_survives_the_way_to_float_and_back(void **state)
{
	uint32_t bits;

	(void)state;
	for (bits = 0; bits < 0x10000; bits++) {
		uint16_t quiet_half = (uint16_t)(bits | ((bits & 0x7fff) > 0x7c00 ? 0x200u : 0u));
		uint16_t quiet_bfloat = (uint16_t)(bits | ((bits & 0x7fff) > 0x7f80 ? 0x40u : 0u));

		assert_int_equal(pccl_float_to_half(pccl_half_to_float((uint16_t)bits)), quiet_half);
		assert_int_equal(pccl_float_to_bfloat(pccl_bfloat_to_float((uint16_t)bits)), quiet_bfloat);
	}
}

/* Compares the array versions of one processor level with the functions above, at every length up to 70. */
static void check_arrays(const struct pccl_reduce_kernels *kernels, const uint32_t *floats, const uint16_t *halves)
{
	float in[70], wide[70];
	uint16_t narrow[70];
	size_t count, i;

	for (count = 0; count <= 70; count++) {
		memcpy(in, floats, count * sizeof(float));
		kernels->float_to_half(narrow, in, count);
		for (i = 0; i < count; i++)
			assert_int_equal(narrow[i], pccl_float_to_half(in[i]));
		kernels->float_to_bfloat(narrow, in, count);
		for (i = 0; i < count; i++)
			assert_int_equal(narrow[i], pccl_float_to_bfloat(in[i]));
		kernels->half_to_float(wide, halves, count);
		for (i = 0; i < count; i++)
			assert_int_equal(pccl_float_bits(wide[i]), pccl_float_bits(pccl_half_to_float(halves[i])));
		kernels->bfloat_to_float(wide, halves, count);
		for (i = 0; i < count; i++)
			assert_int_equal(pccl_float_bits(wide[i]), pccl_float_bits(pccl_bfloat_to_float(halves[i])));
	}
}

static void arrays_convert_alike_on_every_processor_level(void **state)
{
	uint32_t floats[70], round;
	uint16_t halves[70];
	struct pccl_rng rng;
	int level, i;

	(void)state;
	pccl_rng_seed(&rng, 2);
	for (level = PCCL_CPU_SCALAR; level <= PCCL_CPU_AVX512; level++) {
		const struct pccl_reduce_kernels *kernels = pccl_reduce_kernels((enum pccl_cpu_level)level);

		for (round = 0; kernels != NULL && round < 100; round++) {
			for (i = 0; i < 70; i++) {
				halves[i] = (uint16_t)pccl_rng_u64(&rng);
				floats[i] = (uint32_t)pccl_rng_u64(&rng);
				/* Most random floats are far outside the range of float16: half of these are not. */
				if (i & 1)
					floats[i] = pccl_float_bits(pccl_half_to_float(halves[i])) + floats[i] % 0x4000;
			}
			check_arrays(kernels, floats, halves);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_half_widens_exactly),
		cmocka_unit_test(narrowing_rounds_to_nearest_even_everywhere),
		cmocka_unit_test(narrowing_agrees_with_the_definition_on_random_bits),
		cmocka_unit_test(a_half_survives_the_way_to_float_and_back),
		cmocka_unit_test(arrays_convert_alike_on_every_processor_level),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
