/* How far what arrives is from what was sent: bounds per element, the error of whole reductions, and bias. */
#include "lib/check.h"

#include "bench/reference_data.h"
#include "codec_fixture.h"
#include "collectives/reduce/reduce.h"

#include <stdlib.h>

#define COUNT 32768
#define PEERS_MAX 64

struct buffers {
	float contributions[PEERS_MAX][COUNT]; /* the reference data */
	float in[COUNT], sums[COUNT], result[COUNT];
	double exact[COUNT];
	uint8_t encoded[COUNT * 5];
};

static int make_buffers(void **state)
{
	struct buffers *b = malloc(sizeof(struct buffers));
	uint32_t peer;
	size_t i;

	if (b == NULL)
		return -1;
	for (peer = 0; peer < PEERS_MAX; peer++) {
		for (i = 0; i < COUNT; i++)
			b->contributions[peer][i] = reference_element(1, peer, i);
	}
	*state = b;
	return 0;
}

static int free_buffers(void **state)
{
	free(*state);
	return 0;
}

/* ---- whole reductions ---- */

/* Relative error, as a power in dB, of the mean of `peers` encoded contributions, encoded once more on the way
 * back. */
static double error_of_mean(struct buffers *b, const struct pccl_codec_params *params, uint32_t peers)
{
	double error = 0, power = 0;
	uint32_t peer;
	size_t i;

	memset(b->sums, 0, sizeof(b->sums));
	memset(b->exact, 0, sizeof(b->exact));
	for (peer = 0; peer < peers; peer++) {
		for (i = 0; i < COUNT; i++)
			b->exact[i] += (double)b->contributions[peer][i] / peers;
		assert_int_equal(pccl_codec_encode(params, b->contributions[peer], COUNT, b->encoded), COUNT);
		pccl_codec_accumulate(params, pcclSum, b->encoded, COUNT, b->sums);
	}
	pccl_reduce_finish(b->sums, b->sums, NULL, COUNT, pcclFloat, pcclAvg, peers);
	assert_int_equal(pccl_codec_encode(params, b->sums, COUNT, b->encoded), COUNT);
	pccl_codec_decode(params, b->encoded, COUNT, b->result);
	for (i = 0; i < COUNT; i++) {
		error += pow((double)b->result[i] - b->exact[i], 2);
		power += pow(b->exact[i], 2);
	}
	return 10 * log10(error / power);
}

static void check_error(struct buffers *b, uint8_t id, uint32_t block, double at_most_db)
{
	const struct pccl_codec_params params = {id, PCCL_ROUND_NEAREST, pcclFloat, pcclUint8, block, 0, 0};
	const double at_2 = error_of_mean(b, &params, 2), at_8 = error_of_mean(b, &params, 8);
	const double at_16 = error_of_mean(b, &params, 16), at_64 = error_of_mean(b, &params, PEERS_MAX);

	print_message("%s: %.2f, %.2f, %.2f, %.2f dB\n", pccl_codec_name(id), at_2, at_8, at_16, at_64);
	assert_true(at_2 <= at_most_db);
	assert_true(at_8 <= at_most_db);
	assert_true(at_16 <= at_most_db);
	assert_true(at_64 <= at_most_db);
	assert_true(at_64 <= at_2 + 1);
}

static void the_error_of_a_mean_does_not_grow_with_the_peers(void **state)
{
	check_error(*state, PCCL_CODEC_INT8, 256, -39);
	check_error(*state, PCCL_CODEC_INT4, 64, -17);
	check_error(*state, PCCL_CODEC_BF16, 0, -52);
	check_error(*state, PCCL_CODEC_FP16, 0, -70);
	check_error(*state, PCCL_CODEC_E4M3, 256, -29);
	check_error(*state, PCCL_CODEC_E5M2, 256, -23);
	check_error(*state, PCCL_CODEC_INT8_MINMAX, 256, -36);
	check_error(*state, PCCL_CODEC_INT4_MINMAX, 64, -15);
	check_error(*state, PCCL_CODEC_E3M0, 64, -10);
	check_error(*state, PCCL_CODEC_NF4, 64, -15);
}

struct sums {
	double errors, error_squares, exact_squares, count;
};

/* The sum of two vectors that are uniform in -1 ... 1: its owner adds what the other peer encoded to its own
 * contribution, and encodes the result; as uint8 on both ways. */
static void add_uniform(struct buffers *b, const struct pccl_codec_params *params, uint64_t seed, struct sums *sums)
{
	size_t i;

	for (i = 0; i < COUNT; i++) {
		b->sums[i] = (float)(2 * reference_uniform(seed, 0, i) - 1);
		b->in[i] = (float)(2 * reference_uniform(seed, 1, i) - 1);
		b->exact[i] = (double)b->sums[i] + (double)b->in[i];
	}
	assert_int_equal(pccl_codec_encode(params, b->in, COUNT, b->encoded), COUNT);
	pccl_codec_accumulate(params, pcclSum, b->encoded, COUNT, b->sums);
	assert_int_equal(pccl_codec_encode(params, b->sums, COUNT, b->encoded), COUNT);
	pccl_codec_decode(params, b->encoded, COUNT, b->result);
	for (i = 0; i < COUNT; i++) {
		sums->error_squares += pow((double)b->result[i] - b->exact[i], 2);
		sums->exact_squares += pow(b->exact[i], 2);
		sums->errors += (double)b->result[i] - b->exact[i];
	}
	sums->count += COUNT;
}

/* Bias over its standard error. */
static double relative_bias(const struct sums *sums)
{
	return sums->errors / sqrt(sums->error_squares);
}

/* Two vectors have no bias beyond its standard error; nor have others one that chance would hardly give, alone or
 * together, a million elements. (Of 33 million it was half of its standard error, zero-point's one and a half.) */
static void check_uniform(struct buffers *b, uint8_t id)
{
	const struct pccl_codec_params params = {id, PCCL_ROUND_NEAREST, pcclFloat, pcclUint8, 256, 0, 0};
	struct sums all = {0, 0, 0, 0};
	uint64_t seed;

	for (seed = 2; seed < 2 + 32; seed++) {
		struct sums one = {0, 0, 0, 0};

		add_uniform(b, &params, seed, &one);
		assert_true(sqrt(one.error_squares / one.exact_squares) <= 0.006);
		assert_true(fabs(relative_bias(&one)) <= (seed == 2 ? 1 : 4));
		all.errors += one.errors;
		all.error_squares += one.error_squares;
		all.exact_squares += one.exact_squares;
		all.count += one.count;
	}
	print_message("%s: %.3f %%, bias %.1e, its standard error %.1e\n", pccl_codec_name(id),
		      100 * sqrt(all.error_squares / all.exact_squares), all.errors / all.count,
		      sqrt(all.error_squares) / all.count);
	assert_true(sqrt(all.error_squares / all.exact_squares) <= 0.006);
	assert_true(fabs(relative_bias(&all)) <= 3);
}

static void uniform_vectors_in_uint8_are_right_within_six_in_a_thousand(void **state)
{
	check_uniform(*state, PCCL_CODEC_MINMAX);
	check_uniform(*state, PCCL_CODEC_ZERO_POINT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_error_of_a_mean_does_not_grow_with_the_peers),
		cmocka_unit_test(uniform_vectors_in_uint8_are_right_within_six_in_a_thousand),
	};

	return cmocka_run_group_tests(tests, make_buffers, free_buffers);
}
