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

/* Each iteration takes what `cost` says: the time is used up, and exceeded by little. */
static double measure(double seconds, double (*cost)(uint32_t iteration), uint32_t *batches_out)
{
	double elapsed = 0;
	uint32_t done = 0, batch;

	*batches_out = 0;
	while ((batch = bench_next_batch(done, elapsed, seconds, 1000000)) > 0) {
		for (uint32_t i = 0; i < batch; i++)
			elapsed += cost(done++);
		++*batches_out;
	}
	return elapsed;
}

static double steady(uint32_t iteration)
{
	(void)iteration;
	return 0.001;
}

/* As the first calls of a process are. */
static double slow_at_first(uint32_t iteration)
{
	return iteration < 3 ? 0.2 : 0.0001;
}

static double slower_later(uint32_t iteration)
{
	return iteration < 500 ? 0.0001 : 0.001;
}

static void batches_fill_the_time_whatever_the_first_ones_took(void **state)
{
	double (*const costs[])(uint32_t) = {steady, slow_at_first, slower_later};
	uint32_t batches;

	(void)state;
	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		double took = measure(10, costs[i], &batches);

		assert_true(took >= 10 && took < 10.01);
		assert_in_range(batches, 1, 40);
	}
}

static void batches_end_at_the_time_or_the_most(void **state)
{
	(void)state;
	assert_int_equal(bench_next_batch(0, 0, 5, 1000), BENCH_BATCH_FIRST);
	assert_int_equal(bench_next_batch(0, 0, 5, 1), 1);
	assert_int_equal(bench_next_batch(4, 5, 5, 1000), 0);
	assert_int_equal(bench_next_batch(4, 4.9, 5, 1000), 1);
	assert_int_equal(bench_next_batch(4, 0, 5, 1000), 4);
	assert_int_equal(bench_next_batch(998, 0.1, 5, 1000), 2);
	assert_int_equal(bench_next_batch(1000, 0.1, 5, 1000), 0);
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
		cmocka_unit_test(batches_fill_the_time_whatever_the_first_ones_took),
		cmocka_unit_test(batches_end_at_the_time_or_the_most),
		cmocka_unit_test(bus_factors_are_those_of_nccl_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
