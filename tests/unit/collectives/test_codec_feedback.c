/* Error feedback. */
#include "../../lib/allocations.h"
#include "../../lib/check.h"

#include "codec_fixture.h"
#include "collectives/codec_feedback.h"

#define COUNT 1000
#define ROUNDS 200

static const struct pccl_codec_params int4 = {PCCL_CODEC_INT4, 0, pcclFloat, pcclUint8, 64, 0, 0};

/* The same contribution again and again: what arrives on average, over what was sent. */
static double mean_error(bool with_feedback)
{
	static float in[COUNT], out[COUNT];
	static double sums[COUNT];
	static uint8_t encoded[COUNT * 2];
	struct pccl_feedback *feedback;
	struct pccl_rng rng;
	double error = 0, power = 0;
	size_t i, round;

	pccl_rng_seed(&rng, 1);
	fill_elements(&rng, ELEMENTS_NORMAL, pcclFloat, COUNT, in);
	memset(sums, 0, sizeof(sums));
	assert_int_equal(pccl_feedback_create(COUNT, pcclFloat, &feedback), pcclSuccess);
	for (round = 0; round < ROUNDS; round++) {
		pccl_feedback_begin(feedback);
		assert_int_equal(pccl_feedback_encode(feedback, &int4, 0, in, COUNT, encoded), COUNT);
		pccl_codec_decode(&int4, encoded, COUNT, out);
		for (i = 0; i < COUNT; i++)
			sums[i] += (double)out[i];
		if (with_feedback)
			pccl_feedback_commit(feedback);
	}
	for (i = 0; i < COUNT; i++) {
		error += pow(sums[i] / ROUNDS - (double)in[i], 2);
		power += pow((double)in[i], 2);
	}
	pccl_feedback_destroy(feedback);
	return sqrt(error / power);
}

static void nothing_is_lost_in_the_long_run(void **state)
{
	(void)state;
	assert_true(mean_error(false) > 0.02);
	assert_true(mean_error(true) < mean_error(false) / 40);
}

static void an_op_that_failed_is_repeated_with_the_same_bytes(void **state)
{
	static float in[COUNT];
	static uint8_t first[COUNT * 2], second[COUNT * 2];
	const size_t bytes = pccl_codec_encoded_bytes(&int4, COUNT);
	struct pccl_feedback *feedback;
	struct pccl_rng rng;

	(void)state;
	pccl_rng_seed(&rng, 2);
	fill_elements(&rng, ELEMENTS_NORMAL, pcclFloat, COUNT, in);
	assert_int_equal(pccl_feedback_create(COUNT, pcclFloat, &feedback), pcclSuccess);
	pccl_feedback_begin(feedback);
	assert_int_equal(pccl_feedback_encode(feedback, &int4, 0, in, COUNT, first), COUNT);
	/* Nothing is left over at first. */
	assert_int_equal(pccl_codec_encode(&int4, in, COUNT, second), COUNT);
	assert_memory_equal(first, second, bytes);
	/* Sent again, to another owner, and the whole op begun anew. */
	assert_int_equal(pccl_feedback_encode(feedback, &int4, 0, in, COUNT, second), COUNT);
	assert_memory_equal(first, second, bytes);
	pccl_feedback_begin(feedback);
	assert_int_equal(pccl_feedback_encode(feedback, &int4, 0, in, COUNT, second), COUNT);
	assert_memory_equal(first, second, bytes);
	pccl_feedback_commit(feedback);
	pccl_feedback_begin(feedback);
	assert_int_equal(pccl_feedback_encode(feedback, &int4, 0, in, COUNT, second), COUNT);
	assert_memory_not_equal(first, second, bytes);
	pccl_feedback_destroy(feedback);
}

/* Every type, in two runs, one of which is taken as it is. */
static void check_runs(pcclDataType_t type, const struct pccl_codec_params *params)
{
	static uint8_t in[COUNT * 8], whole[COUNT * 9], parts[COUNT * 9];
	static double sums[COUNT];
	const pcclDataType_t partial = pccl_dtype_partial(type);
	const size_t middle = 448, rest = COUNT - middle, head = pccl_codec_encoded_bytes(params, middle);
	struct pccl_codec_params tail = *params;
	struct pccl_feedback *feedback;
	struct pccl_rng rng;
	size_t i;

	pccl_rng_seed(&rng, 3);
	fill_elements(&rng, ELEMENTS_OUTLIERS, type, COUNT, in);
	tail.first_element += middle;
	assert_int_equal(pccl_feedback_create(COUNT, type, &feedback), pcclSuccess);
	pccl_feedback_begin(feedback);
	assert_int_equal(pccl_feedback_encode(feedback, params, 0, in, COUNT, whole), COUNT);
	assert_int_equal(pccl_feedback_encode(feedback, params, 0, in, middle, parts), middle);
	assert_int_equal(
		pccl_feedback_encode(feedback, &tail, middle, in + middle * pccl_dtype_bytes(type), rest, parts + head),
		rest);
	assert_memory_equal(whole, parts, pccl_codec_encoded_bytes(params, COUNT));
	pccl_feedback_commit(feedback);

	/* What was left over is in the next sum, and then nothing is. */
	pccl_feedback_begin(feedback);
	pccl_feedback_take(feedback, 0, in, COUNT, sums);
	pccl_codec_decode(params, whole, COUNT, parts);
	for (i = 0; i < COUNT; i++) {
		double value = element_at(type, in, i), got = element_at(partial, sums, i);
		double decoded = element_at(type, parts, i); /* which for short types was rounded once more */

		assert_true(fabs(got - (2 * value - decoded)) <= 0.01 * (fabs(value) + fabs(decoded)));
	}
	pccl_feedback_commit(feedback);
	pccl_feedback_begin(feedback);
	pccl_feedback_take(feedback, 0, in, COUNT, sums);
	for (i = 0; i < COUNT; i++)
		assert_true(element_at(partial, sums, i) == element_at(type, in, i));
	pccl_feedback_destroy(feedback);
}

static void runs_may_be_cut_and_taken_in_any_way(void **state)
{
	static const pcclDataType_t types[] = {pcclFloat, pcclDouble, pcclFloat16, pcclBFloat16};
	int id, rounding;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		for (id = 0; id < PCCL_CODEC_COUNT; id++) {
			for (rounding = 0; rounding < 2; rounding++) {
				const struct pccl_codec_params params = {
					(uint8_t)id, (uint8_t)rounding, types[i], pcclUint8, 64, 5, 640};

				check_runs(types[i], &params);
			}
		}
	}
}

static void an_infinity_is_named_by_its_place_in_the_run(void **state)
{
	static float in[COUNT];
	static uint8_t encoded[COUNT * 2];
	struct pccl_feedback *feedback;

	(void)state;
	memset(in, 0, sizeof(in));
	in[900] = INFINITY;
	assert_int_equal(pccl_feedback_create(COUNT, pcclFloat, &feedback), pcclSuccess);
	pccl_feedback_begin(feedback);
	assert_int_equal(pccl_feedback_encode(feedback, &int4, 64, in + 64, COUNT - 64, encoded), 900 - 64);
	pccl_feedback_destroy(feedback);
}

static void without_memory_there_is_none_and_nothing_leaks(void **state)
{
	struct pccl_feedback *feedback;
	size_t nth = 0;

	(void)state;
	do {
		check_fail_allocation(++nth);
		if (pccl_feedback_create(COUNT, pcclFloat, &feedback) == pcclSuccess)
			pccl_feedback_destroy(feedback);
		else
			assert_null(feedback);
	} while (check_allocation_failed());
	check_fail_allocation(0);
	assert_int_equal(nth, 4);
	pccl_feedback_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_in_the_long_run),
		cmocka_unit_test(an_op_that_failed_is_repeated_with_the_same_bytes),
		cmocka_unit_test(runs_may_be_cut_and_taken_in_any_way),
		cmocka_unit_test(an_infinity_is_named_by_its_place_in_the_run),
		cmocka_unit_test(without_memory_there_is_none_and_nothing_leaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
