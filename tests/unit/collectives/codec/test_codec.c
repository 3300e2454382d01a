/* What holds for every codec, type, block, rounding and processor level. */
#include "lib/check.h"

#include "base/fail.h"
#include "codec_fixture.h"
#include "collectives/reduce/reduce.h"

#include <stdlib.h>

#define ROOM 9000 /* elements */
#define CANARY 0xa5

struct arrays {
	uint8_t *in, *out, *again, *encoded, *reencoded;
};

static int make_arrays(void **state)
{
	struct arrays *arrays = calloc(1, sizeof(*arrays));

	if (arrays == NULL)
		return -1;
	arrays->in = malloc(ROOM * 8 + 64);
	arrays->out = malloc(ROOM * 8 + 64);
	arrays->again = malloc(ROOM * 8 + 64);
	arrays->encoded = malloc(ROOM * 12 + 4096);
	arrays->reencoded = malloc(ROOM * 12 + 4096);
	*state = arrays;
	return 0;
}

static int free_arrays(void **state)
{
	struct arrays *arrays = *state;

	free(arrays->in);
	free(arrays->out);
	free(arrays->again);
	free(arrays->encoded);
	free(arrays->reencoded);
	free(arrays);
	return 0;
}

static void say(const struct pccl_codec_params *params, const char *what, size_t count, int kind)
{
	print_error("%s of %s (target %s, block %u, rounding %u), %zu elements of kind %d: %s\n",
		    pccl_codec_name(params->id), pccl_dtype_name(params->type), pccl_dtype_name(params->target),
		    (unsigned)params->block, params->rounding, count, kind, what);
}

static const size_t counts[] = {0, 1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 255, 257, 640, 1000, 4095, 4097, 8200};
#define COUNTS (sizeof(counts) / sizeof(counts[0]))

static void algorithms_lead_to_their_ids(void **state)
{
	int id;

	(void)state;
	for (id = 0; id < PCCL_CODEC_COUNT; id++)
		assert_int_equal(pccl_codec_of(pccl_codec_find(id)->algorithm), id);
	assert_int_equal(pccl_codec_of(pcclQuantPlain), PCCL_CODEC_NONE);
	assert_int_equal(pccl_codec_of((pcclQuantizationAlgorithm_t)98), -1);
	assert_string_equal(pccl_codec_name(PCCL_CODEC_ZERO_POINT), "zero-point");
	assert_string_equal(pccl_codec_name(PCCL_CODEC_COUNT), "?");
	assert_null(pccl_codec_find(-1));
	assert_null(pccl_codec_find(PCCL_CODEC_COUNT));
}

static void bad_parameters_are_refused_with_a_reason(void **state)
{
	static const struct pccl_codec_params bad[] = {
		{PCCL_CODEC_COUNT, 0, pcclFloat, pcclUint8, 256, 0, 0},
		{PCCL_CODEC_INT8, 4, pcclFloat, pcclUint8, 256, 0, 0},
		{PCCL_CODEC_INT8, 0, (pcclDataType_t)99, pcclUint8, 256, 0, 0},
		{PCCL_CODEC_INT8, 0, pcclInt32, pcclUint8, 256, 0, 0},
		{PCCL_CODEC_INT8, 0, pcclFloat, pcclUint8, 0, 0, 0},
		{PCCL_CODEC_INT8, 0, pcclFloat, pcclUint8, 100, 0, 0},
		{PCCL_CODEC_INT8, 0, pcclFloat, pcclUint8, 8192, 0, 0},
		{PCCL_CODEC_MINMAX, 0, pcclFloat, pcclBFloat16, 256, 0, 0},
		{PCCL_CODEC_MINMAX, 0, pcclFloat, pcclUint32, 256, 0, 0},
		{PCCL_CODEC_MINMAX, 0, pcclFloat, (pcclDataType_t)-1, 256, 0, 0},
		{PCCL_CODEC_ZERO_POINT, 0, pcclFloat16, pcclInt16, 256, 0, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		pccl_fail_clear();
		assert_int_equal(pccl_codec_check(&bad[i]), pcclInvalidArgument);
		assert_true(strlen(pccl_fail_text()) > 10);
	}
}

/* Encodes, and checks that exactly the promised bytes were written. */
static void encode_checked(enum pccl_cpu_level level, const struct pccl_codec_params *params, const void *in,
			   size_t count, uint8_t *out)
{
	size_t bytes = pccl_codec_encoded_bytes(params, count), i;

	memset(out, CANARY, bytes + 64);
	assert_int_equal(pccl_codec_encode_with(level, params, in, count, out), count);
	for (i = 0; i < 64; i++)
		assert_int_equal(out[bytes + i], CANARY);
}

static void every_level_encodes_and_decodes_the_same_bits(void **state)
{
	struct arrays *a = *state;
	struct pccl_codec_params params;
	struct pccl_rng rng;
	unsigned index;
	int level;

	pccl_rng_seed(&rng, 3);
	for (index = 0; codec_combination(index, &params); index++) {
		const size_t element_bytes = pccl_dtype_bytes(params.type);
		unsigned round;

		for (round = 0; round < ELEMENTS_KINDS; round++) {
			size_t count = counts[pccl_rng_below(&rng, round == 0 ? COUNTS : COUNTS - 4)];
			size_t offset = pccl_rng_below(&rng, 16);
			size_t bytes = pccl_codec_encoded_bytes(&params, count);

			params.first_element = pccl_rng_u64(&rng);
			fill_elements(&rng, (enum elements)round, params.type, count, a->in + offset);
			encode_checked(PCCL_CPU_SCALAR, &params, a->in + offset, count, a->encoded);
			pccl_codec_decode_with(PCCL_CPU_SCALAR, &params, a->encoded, count, a->out);
			for (level = PCCL_CPU_AVX2; level <= PCCL_CPU_AVX512; level++) {
				if (pccl_codec_kernels((enum pccl_cpu_level)level) == NULL)
					continue;
				encode_checked((enum pccl_cpu_level)level, &params, a->in + offset, count,
					       a->reencoded + offset);
				if (memcmp(a->encoded, a->reencoded + offset, bytes) != 0)
					say(&params, "encoded bytes differ", count, (int)round);
				assert_memory_equal(a->encoded, a->reencoded + offset, bytes);
				pccl_codec_decode_with((enum pccl_cpu_level)level, &params, a->reencoded + offset,
						       count, a->again + offset);
				if (memcmp(a->out, a->again + offset, count * element_bytes) != 0)
					say(&params, "decoded bytes differ", count, (int)round);
				assert_memory_equal(a->out, a->again + offset, count * element_bytes);
			}
		}
	}
	assert_true(index > 200);
}

/* Decoding to a narrower type than the codec computes in rounds once more, so this is about float and double. */
static void what_was_decoded_once_is_coded_without_change(void **state)
{
	struct arrays *a = *state;
	struct pccl_codec_params params;
	struct pccl_rng rng;
	unsigned index, round;

	pccl_rng_seed(&rng, 4);
	for (index = 0; codec_combination(index, &params); index++) {
		const size_t element_bytes = pccl_dtype_bytes(params.type);
		bool is_cast = params.id <= PCCL_CODEC_FP16;

		if (pccl_dtype_partial(params.type) != params.type || (params.rounding != 0 && !is_cast))
			continue;
		for (round = 0; round < 6 * ELEMENTS_KINDS; round++) {
			size_t count = counts[pccl_rng_below(&rng, COUNTS - 4)];

			fill_elements(&rng, (enum elements)(round % ELEMENTS_KINDS), params.type, count, a->in);
			assert_int_equal(pccl_codec_encode(&params, a->in, count, a->encoded), count);
			pccl_codec_decode(&params, a->encoded, count, a->out);
			/* A cast may overflow: that is what infinities are for. */
			assert_int_equal(pccl_codec_encode(&params, a->out, count, a->reencoded), count);
			pccl_codec_decode(&params, a->reencoded, count, a->again);
			if (memcmp(a->out, a->again, count * element_bytes) != 0)
				say(&params, "changed by coding it again", count, (int)(round % ELEMENTS_KINDS));
			assert_memory_equal(a->out, a->again, count * element_bytes);
		}
	}
}

static void accumulating_is_decoding_and_reducing(void **state)
{
	struct arrays *a = *state;
	struct pccl_codec_params params;
	struct pccl_rng rng;
	unsigned index;
	int level;

	pccl_rng_seed(&rng, 5);
	for (index = 0; codec_combination(index, &params); index++) {
		struct pccl_codec_params wide = params;
		pcclRedOp_t op = (pcclRedOp_t)pccl_rng_below(&rng, PCCL_OP_COUNT);
		size_t count = counts[pccl_rng_below(&rng, COUNTS)], bytes;
		const void *inputs[2];

		wide.type = pccl_dtype_partial(params.type);
		bytes = count * pccl_dtype_bytes(wide.type);
		fill_elements(&rng, ELEMENTS_NORMAL, params.type, count, a->in);
		assert_int_equal(pccl_codec_encode(&params, a->in, count, a->encoded), count);
		fill_elements(&rng, ELEMENTS_NORMAL, wide.type, count, a->in);
		if (params.id == PCCL_CODEC_NONE)
			pccl_reduce_begin(a->out, a->encoded, count, params.type);
		else
			pccl_codec_decode(&wide, a->encoded, count, a->out);
		inputs[0] = a->in;
		inputs[1] = a->out;
		pccl_reduce(a->out, inputs, 2, count, wide.type, op, 0);
		for (level = PCCL_CPU_SCALAR; level <= PCCL_CPU_AVX512; level++) {
			if (pccl_codec_kernels((enum pccl_cpu_level)level) == NULL)
				continue;
			memcpy(a->again, a->in, bytes);
			pccl_codec_accumulate_with((enum pccl_cpu_level)level, &params, op, a->encoded, count,
						   a->again);
			assert_memory_equal(a->again, a->out, bytes);
		}
	}
}

static void integers_travel_as_they_are(void **state)
{
	struct pccl_codec_params params = {PCCL_CODEC_NONE, 0, pcclInt16, pcclUint8, 0, 0, 0};
	int16_t in[3] = {1, -2, 32767}, out[3], encoded[3];

	(void)state;
	assert_int_equal(pccl_codec_check(&params), pcclSuccess);
	assert_int_equal(pccl_codec_encoded_bytes(&params, 3), 6);
	assert_int_equal(pccl_codec_encode(&params, in, 3, encoded), 3);
	pccl_codec_decode(&params, encoded, 3, out);
	assert_memory_equal(in, out, sizeof(in));
	pccl_codec_accumulate(&params, pcclSum, encoded, 3, out);
	assert_true(out[0] == 2 && out[1] == -4 && out[2] == -2);
}

/* Puts one special value among ordinary ones and sees whether it comes through or is named. */
static void check_special(struct arrays *a, const struct pccl_codec_params *params, struct pccl_rng *rng,
			  double special)
{
	const struct pccl_codec *codec = pccl_codec_find(params->id);
	const size_t element_bytes = pccl_dtype_bytes(params->type), count = 700, at = pccl_rng_below(rng, count);
	const bool carried = isnan(special) ? codec->carries_nan : codec->carries_infinity;
	float single = (float)special;
	uint16_t half = params->type == pcclFloat16 ? pccl_float_to_half(single) : pccl_float_to_bfloat(single);
	double got, largest = 0;
	size_t i;

	fill_elements(rng, ELEMENTS_OUTLIERS, params->type, count, a->in);
	for (i = 0; i < count; i++)
		largest = fmax(largest, fabs(element_at(params->type, a->in, i)));
	memcpy(a->in + at * element_bytes,
	       params->type == pcclDouble  ? (void *)&special
	       : params->type == pcclFloat ? (void *)&single
					   : (void *)&half,
	       element_bytes);
	if (!carried) {
		assert_int_equal(pccl_codec_encode(params, a->in, count, a->encoded), at);
		return;
	}
	assert_int_equal(pccl_codec_encode(params, a->in, count, a->encoded), count);
	pccl_codec_decode(params, a->encoded, count, a->out);
	got = element_at(params->type, a->out, at);
	assert_true(isnan(special) ? isnan(got) : got == special);
	/* Its neighbours are what they would be without it. */
	assert_true(fabs(element_at(params->type, a->out, at ^ 1) - element_at(params->type, a->in, at ^ 1)) <=
		    0.26 * fabs(element_at(params->type, a->in, at ^ 1)) + 0.15 * largest);
}

static void nan_and_infinity_come_through_or_are_named(void **state)
{
	struct pccl_codec_params params;
	struct pccl_rng rng;
	unsigned index;

	pccl_rng_seed(&rng, 6);
	for (index = 0; codec_combination(index, &params); index++) {
		check_special(*state, &params, &rng, NAN);
		check_special(*state, &params, &rng, INFINITY);
		check_special(*state, &params, &rng, -INFINITY);
	}
}

static void poison_decodes_to_one_nan(void **state)
{
	struct arrays *a = *state;
	struct pccl_codec_params params;
	const size_t count = 700;
	unsigned index;
	size_t i;

	for (index = 0; codec_combination(index, &params); index++) {
		if (!pccl_codec_find(params.id)->has_target)
			continue;
		pccl_codec_poison(&params, count, a->encoded);
		pccl_codec_decode(&params, a->encoded, count, a->out);
		for (i = 0; i < count; i++) {
			size_t bytes = pccl_dtype_bytes(params.type);

			assert_true(isnan(element_at(params.type, a->out, i)));
			assert_memory_equal(a->out + i * bytes, a->out, bytes);
		}
	}
}

/* Of encoded and decoded bytes: every processor and every version must give the same. */
static uint64_t digest(uint64_t sum, const uint8_t *bytes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3u;
	return sum;
}

/* Inputs made of integers only, so that they are the same everywhere. */
static void the_bytes_on_the_wire_are_those_of_the_protocol(void **state)
{
	static const uint64_t golden[PCCL_CODEC_COUNT] = {
		[PCCL_CODEC_NONE] = 0x349a1083179ef71du,	[PCCL_CODEC_BF16] = 0x0da7e856a6fe17b3u,
		[PCCL_CODEC_FP16] = 0xd5e1453d8ec2f72au,	[PCCL_CODEC_E4M3] = 0xf6e9fb692295d40cu,
		[PCCL_CODEC_E5M2] = 0x5a7a6e586434c3ccu,	[PCCL_CODEC_INT8] = 0x7f238e5c7285e533u,
		[PCCL_CODEC_INT4] = 0x16b7e4d3fd6317cdu,	[PCCL_CODEC_INT8_MINMAX] = 0x80efb57a69d4d605u,
		[PCCL_CODEC_INT4_MINMAX] = 0xf7ee401368a8625du, [PCCL_CODEC_E3M0] = 0x579bc2a869ef66aeu,
		[PCCL_CODEC_NF4] = 0x77e14748a153713fu,		[PCCL_CODEC_MINMAX] = 0x0575ef98710da6bau,
		[PCCL_CODEC_ZERO_POINT] = 0xaf6b651ee71f5e3du,
	};
	struct arrays *a = *state;
	struct pccl_codec_params params;
	uint64_t sums[PCCL_CODEC_COUNT];
	unsigned index, i, id;

	for (id = 0; id < PCCL_CODEC_COUNT; id++)
		sums[id] = 0xcbf29ce484222325u;
	for (index = 0; codec_combination(index, &params); index++) {
		for (i = 0; i < 1000; i++) {
			int32_t integer = (int32_t)(pccl_rng_hash(index, i) % 20001) - 10000;
			double wide = integer * 0x1p-12;
			float single = (float)wide;
			uint16_t half =
				params.type == pcclFloat16 ? pccl_float_to_half(single) : pccl_float_to_bfloat(single);

			memcpy(a->in + i * pccl_dtype_bytes(params.type),
			       params.type == pcclDouble  ? (void *)&wide
			       : params.type == pcclFloat ? (void *)&single
							  : (void *)&half,
			       pccl_dtype_bytes(params.type));
		}
		assert_int_equal(pccl_codec_encode(&params, a->in, 1000, a->encoded), 1000);
		pccl_codec_decode(&params, a->encoded, 1000, a->out);
		sums[params.id] = digest(sums[params.id], a->encoded, pccl_codec_encoded_bytes(&params, 1000));
		sums[params.id] = digest(sums[params.id], a->out, 1000 * pccl_dtype_bytes(params.type));
	}
	for (id = 0; id < PCCL_CODEC_COUNT; id++) {
		if (sums[id] != golden[id])
			print_error("%s: %016llx\n", pccl_codec_name((int)id), (unsigned long long)sums[id]);
	}
	assert_memory_equal(sums, golden, sizeof(sums));
}

/* Whatever the bytes are, every level decodes them, to the same values, and touches nothing else. */
static void any_bytes_can_be_decoded(void **state)
{
	struct arrays *a = *state;
	struct pccl_codec_params params;
	struct pccl_rng rng;
	unsigned index;
	size_t i;

	pccl_rng_seed(&rng, 8);
	for (index = 0; codec_combination(index, &params); index++) {
		size_t count = counts[pccl_rng_below(&rng, COUNTS)];
		size_t bytes = pccl_codec_encoded_bytes(&params, count),
		       out_bytes = count * pccl_dtype_bytes(params.type);

		for (i = 0; i < bytes; i++)
			a->encoded[i] = (uint8_t)pccl_rng_u64(&rng);
		memset(a->out + out_bytes, CANARY, 64);
		pccl_codec_decode(&params, a->encoded, count, a->out);
		for (i = 0; i < 64; i++)
			assert_int_equal(a->out[out_bytes + i], CANARY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(algorithms_lead_to_their_ids),
		cmocka_unit_test(bad_parameters_are_refused_with_a_reason),
		cmocka_unit_test(every_level_encodes_and_decodes_the_same_bits),
		cmocka_unit_test(what_was_decoded_once_is_coded_without_change),
		cmocka_unit_test(accumulating_is_decoding_and_reducing),
		cmocka_unit_test(integers_travel_as_they_are),
		cmocka_unit_test(nan_and_infinity_come_through_or_are_named),
		cmocka_unit_test(poison_decodes_to_one_nan),
		cmocka_unit_test(the_bytes_on_the_wire_are_those_of_the_protocol),
		cmocka_unit_test(any_bytes_can_be_decoded),
	};

	return cmocka_run_group_tests(tests, make_arrays, free_arrays);
}
