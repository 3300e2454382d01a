/* The error that allreduce-bench reports for a codec, on results whose error is known. */
#include "lib/check.h"

#include "bench/codec_error.h"

#include <math.h>

#define COUNT 3000

/* The mean of two peers' reference data, times `factor`, plus `shift`. */
static void make_mean(float factor, float shift, float *out)
{
	static float other[COUNT];

	bench_reference_fill(pcclFloat, 7, 0, COUNT, out);
	bench_reference_fill(pcclFloat, 7, 1, COUNT, other);
	for (size_t i = 0; i < COUNT; i++)
		out[i] = (float)(((double)out[i] + other[i]) / 2) * factor + shift;
}

static struct bench_error measure(const float *result)
{
	struct bench_exact exact = {pcclFloat, pcclAvg, 7, 2};

	return bench_error_measure(&exact, COUNT, result);
}

static void a_result_one_per_cent_too_large_is_at_minus_40_db(void **state)
{
	static float result[COUNT];

	(void)state;
	make_mean(1.01f, 0, result);
	assert_true(fabs(measure(result).rel_l2_db + 40) < 0.01);
}

static void only_a_shift_of_all_elements_is_a_bias(void **state)
{
	static float result[COUNT];

	(void)state;
	make_mean(1, 0, result);
	for (size_t i = 0; i < COUNT; i++)
		result[i] += i % 2 == 0 ? 1e-3f : -1e-3f;
	assert_true(fabs(measure(result).bias) < 0.1);
	for (size_t i = 0; i < COUNT; i++)
		result[i] += 5e-4f;
	assert_true(measure(result).bias > 10);
}

static void the_exact_result_has_no_error(void **state)
{
	static double result[COUNT];
	static double other[COUNT];
	struct bench_exact exact = {pcclDouble, pcclSum, 7, 2};

	(void)state;
	bench_reference_fill(pcclDouble, 7, 0, COUNT, result);
	bench_reference_fill(pcclDouble, 7, 1, COUNT, other);
	for (size_t i = 0; i < COUNT; i++)
		result[i] += other[i];
	assert_true(bench_error_measure(&exact, COUNT, result).rel_l2_db == BENCH_ERROR_NONE_DB);
	assert_true(bench_error_measure(&exact, 0, result).rel_l2_db == BENCH_ERROR_NONE_DB);
	result[COUNT - 1] = NAN;
	assert_true(bench_error_measure(&exact, COUNT, result).rel_l2_db == BENCH_ERROR_UNBOUNDED_DB);
}

static void short_floats_are_compared_with_sums_of_short_floats(void **state)
{
	static uint16_t result[COUNT];
	struct bench_exact exact = {pcclBFloat16, pcclSum, 7, 1};

	(void)state;
	bench_reference_fill(pcclBFloat16, 7, 0, COUNT, result);
	assert_true(bench_error_measure(&exact, COUNT, result).rel_l2_db == BENCH_ERROR_NONE_DB);
	exact.datatype = pcclFloat16;
	bench_reference_fill(pcclFloat16, 7, 0, COUNT, result);
	assert_true(bench_error_measure(&exact, COUNT, result).rel_l2_db == BENCH_ERROR_NONE_DB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_result_one_per_cent_too_large_is_at_minus_40_db),
		cmocka_unit_test(only_a_shift_of_all_elements_is_a_bias),
		cmocka_unit_test(the_exact_result_has_no_error),
		cmocka_unit_test(short_floats_are_compared_with_sums_of_short_floats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
