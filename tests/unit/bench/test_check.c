/* The independent results of allreduce-bench: conversions, reductions by hand, and that a wrong element is found. */
#include "lib/check.h"

#include "bench/check.h"

#include <math.h>

#define COUNT 3000

static const uint64_t identities[] = {0, 1, 2, 0, 1, 2};
static const struct bench_order rank_order = {identities, 3};

static struct bench_expectation expect(pcclDataType_t datatype, pcclRedOp_t op)
{
	struct bench_expectation expectation = {datatype, op, 0, &rank_order, 1};

	return expectation;
}

static void halves_convert_both_ways_exactly(void **state)
{
	(void)state;
	for (uint32_t bits = 0; bits < 0x10000; bits++) {
		uint16_t half = (uint16_t)bits;

		if ((half & 0x7c00) == 0x7c00 && (half & 0x3ff) != 0)
			assert_true(isnan(bench_float_of_half(half)));
		else
			assert_int_equal(bench_half_of_float(bench_float_of_half(half)), half);
	}
	assert_true(isnan(bench_float_of_half(bench_half_of_float(NAN))));
}

static void halves_round_to_nearest_even(void **state)
{
	(void)state;
	assert_int_equal(bench_half_of_float(1.0f + 0x1p-11f), 0x3c00);
	assert_int_equal(bench_half_of_float(1.0f + 0x3p-11f), 0x3c02);
	assert_int_equal(bench_half_of_float(1.0f + 0x1p-11f + 0x1p-20f), 0x3c01);
	assert_int_equal(bench_half_of_float(65519.0f), 0x7bff);
	assert_int_equal(bench_half_of_float(65520.0f), 0x7c00);
	assert_int_equal(bench_half_of_float(-0x1p-25f), 0x8000);
	assert_int_equal(bench_half_of_float(0x1.8p-25f), 0x0001);
	assert_int_equal(bench_half_of_float(0x1.ffcp-15f), 0x0400);
}

static void bfloats_round_to_nearest_even(void **state)
{
	(void)state;
	assert_int_equal(bench_bfloat_of_float(1.0f + 0x1p-8f), 0x3f80);
	assert_int_equal(bench_bfloat_of_float(1.0f + 0x3p-8f), 0x3f82);
	assert_true(isnan(bench_float_of_bfloat(bench_bfloat_of_float(NAN))));
	assert_true(bench_float_of_bfloat(0xc040) == -3.0f);
}

static void an_input_does_not_depend_on_how_it_is_cut(void **state)
{
	uint32_t whole[COUNT], part[COUNT];

	(void)state;
	bench_input_fill(pcclUint32, 5, 9, 0, COUNT, whole);
	bench_input_fill(pcclUint32, 5, 9, 1234, COUNT - 1234, part);
	assert_memory_equal(whole + 1234, part, sizeof(uint32_t) * (COUNT - 1234));
	bench_input_fill(pcclUint32, 5, 8, 0, COUNT, part);
	assert_memory_not_equal(whole, part, sizeof(whole));
}

static void floats_are_added_in_the_given_order(void **state)
{
	struct bench_expectation expectation = expect(pcclFloat, pcclSum);
	float inputs[3][COUNT], sums[COUNT], others[COUNT];
	size_t wrong = 0;

	(void)state;
	for (uint64_t rank = 0; rank < 3; rank++)
		bench_input_fill(pcclFloat, 0, rank, 0, COUNT, inputs[rank]);
	for (size_t i = 0; i < COUNT; i++) {
		sums[i] = inputs[0][i] + inputs[1][i];
		sums[i] += inputs[2][i];
		others[i] = inputs[1][i] + inputs[2][i];
		others[i] += inputs[0][i];
	}
	assert_int_equal(bench_check_reduction(&expectation, 0, COUNT, sums, &wrong), 0);
	assert_int_not_equal(bench_check_reduction(&expectation, 0, COUNT, others, &wrong), 0);
}

static void any_of_several_orders_will_do(void **state)
{
	struct bench_order orders[3] = {{identities, 3}, {identities + 1, 3}, {identities + 2, 3}};
	struct bench_expectation expectation = {pcclFloat, pcclSum, 0, orders, 3};
	float inputs[3][COUNT], sums[COUNT];
	size_t wrong = 0;

	(void)state;
	for (uint64_t rank = 0; rank < 3; rank++)
		bench_input_fill(pcclFloat, 0, rank, 0, COUNT, inputs[rank]);
	for (size_t i = 0; i < COUNT; i++) {
		const size_t start = i / 1000;

		sums[i] = inputs[start][i] + inputs[(start + 1) % 3][i];
		sums[i] += inputs[(start + 2) % 3][i];
	}
	assert_int_equal(bench_check_reduction(&expectation, 0, COUNT, sums, &wrong), 0);
}

static void integers_wrap_and_averages_round_towards_zero(void **state)
{
	struct bench_expectation expectation = expect(pcclInt8, pcclAvg);
	int8_t inputs[3][COUNT], averages[COUNT];
	size_t wrong = 0;

	(void)state;
	for (uint64_t rank = 0; rank < 3; rank++)
		bench_input_fill(pcclInt8, 0, rank, 0, COUNT, inputs[rank]);
	for (size_t i = 0; i < COUNT; i++) {
		int sum = inputs[0][i] + inputs[1][i] + inputs[2][i];

		sum = (sum % 256 + 256) % 256;
		sum = sum > 127 ? sum - 256 : sum;
		averages[i] = (int8_t)(sum / 3);
	}
	assert_int_equal(bench_check_reduction(&expectation, 0, COUNT, averages, &wrong), 0);
}

static void signs_count_for_the_maximum(void **state)
{
	struct bench_expectation expectation = expect(pcclInt16, pcclMax);
	int16_t inputs[3][COUNT], most[COUNT];
	size_t wrong = 0;

	(void)state;
	for (uint64_t rank = 0; rank < 3; rank++)
		bench_input_fill(pcclInt16, 0, rank, 0, COUNT, inputs[rank]);
	for (size_t i = 0; i < COUNT; i++) {
		most[i] = inputs[0][i] > inputs[1][i] ? inputs[0][i] : inputs[1][i];
		most[i] = most[i] > inputs[2][i] ? most[i] : inputs[2][i];
	}
	assert_int_equal(bench_check_reduction(&expectation, 0, COUNT, most, &wrong), 0);
	expectation.datatype = pcclUint16;
	assert_int_not_equal(bench_check_reduction(&expectation, 0, COUNT, most, &wrong), 0);
}

static void one_wrong_bit_is_found_and_named(void **state)
{
	uint8_t bytes[COUNT];
	size_t wrong = 0;

	(void)state;
	bench_input_fill(pcclUint8, 1, 2, 0, COUNT, bytes);
	assert_int_equal(bench_check_copy(pcclUint8, 1, 2, 0, COUNT, bytes, &wrong), 0);
	bytes[2345] ^= 1;
	bytes[2999] ^= 128;
	assert_int_equal(bench_check_copy(pcclUint8, 1, 2, 0, COUNT, bytes, &wrong), 2);
	assert_int_equal(wrong, 2345);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(halves_convert_both_ways_exactly),
		cmocka_unit_test(halves_round_to_nearest_even),
		cmocka_unit_test(bfloats_round_to_nearest_even),
		cmocka_unit_test(an_input_does_not_depend_on_how_it_is_cut),
		cmocka_unit_test(floats_are_added_in_the_given_order),
		cmocka_unit_test(any_of_several_orders_will_do),
		cmocka_unit_test(integers_wrap_and_averages_round_towards_zero),
		cmocka_unit_test(signs_count_for_the_maximum),
		cmocka_unit_test(one_wrong_bit_is_found_and_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
