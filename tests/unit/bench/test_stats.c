/* Medians, percentiles and bandwidth factors of allreduce-bench. */
#include "lib/check.h"

#include "bench/stats.h"

static void the_median_of_an_odd_count_is_the_middle_value(void **state)
{
	double values[] = {3, 1, 2};
	struct bench_summary summary = bench_summarize(values, 3);

	(void)state;
	assert_true(summary.median == 2 && summary.least == 1 && summary.most == 3);
}

static void the_median_of_an_even_count_lies_between_the_middle_two(void **state)
{
	double values[] = {4, 1, 3, 2};

	(void)state;
	assert_true(bench_summarize(values, 4).median == 2.5);
}

static void nothing_measured_is_all_zeros(void **state)
{
	struct bench_summary summary = bench_summarize(NULL, 0);

	(void)state;
	assert_true(summary.median == 0 && summary.p99 == 0);
}

static void a_percentile_is_the_nearest_rank(void **state)
{
	double values[200];

	(void)state;
	for (int i = 0; i < 200; i++)
		values[i] = i + 1;
	assert_true(bench_percentile(values, 200, 0.99) == 198);
	assert_true(bench_percentile(values, 200, 0) == 1);
	assert_true(bench_percentile(values, 200, 1) == 200);
	assert_true(bench_percentile(values, 1, 0.99) == 1);
}

static void bus_factors_are_those_of_nccl_tests(void **state)
{
	(void)state;
	assert_true(bench_bus_factor(BENCH_ALLREDUCE, 2) == 1);
	assert_true(bench_bus_factor(BENCH_ALLREDUCE, 4) == 1.5);
	assert_true(bench_bus_factor(BENCH_ALLGATHER, 4) == 0.75);
	assert_true(bench_bus_factor(BENCH_REDUCESCATTER, 2) == 0.5);
	assert_true(bench_bus_factor(BENCH_BROADCAST, 4) == 1);
	assert_true(bench_bus_factor(BENCH_REDUCE, 4) == 1);
	assert_true(bench_bus_factor(BENCH_GATHER, 4) == 0.75);
	assert_true(bench_bus_factor(BENCH_SCATTER, 4) == 0.75);
	assert_true(bench_bus_factor(BENCH_ALLTOALL, 2) == 0.5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_median_of_an_odd_count_is_the_middle_value),
		cmocka_unit_test(the_median_of_an_even_count_lies_between_the_middle_two),
		cmocka_unit_test(nothing_measured_is_all_zeros),
		cmocka_unit_test(a_percentile_is_the_nearest_rank),
		cmocka_unit_test(bus_factors_are_those_of_nccl_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
