/* Single codes against their definitions, bounds of the error of every element, and stochastic rounding. */
#include "lib/check.h"

#include "codec_fixture.h"
#include "unit/collectives/reduce/reference.h"

/* Decodes one block that consists of the given scale (float32, short) and one 8-bit code per element. */
static void decode_codes(uint8_t id, float scale, const uint8_t *codes, size_t count, float *out)
{
	const struct pccl_codec_params params = {id, 0, pcclFloat, pcclUint8, 256, 0, 0};
	const uint32_t bits = pccl_float_bits(scale);
	uint8_t encoded[2 + 256];

	encoded[0] = (uint8_t)(bits >> 16);
	encoded[1] = (uint8_t)(bits >> 24);
	memcpy(encoded + 2, codes, count);
	pccl_codec_decode(&params, encoded, count, out);
}

static void every_code_of_the_8_bit_floats_has_its_value(void **state)
{
	const struct small_float e4m3 = {3, -6, 4}, e5m2 = {2, -14, 5};
	uint8_t codes[256];
	float values[256];
	unsigned code;

	(void)state;
	for (code = 0; code < 256; code++)
		codes[code] = (uint8_t)code;
	decode_codes(PCCL_CODEC_E5M2, 1.0f, codes, 256, values);
	for (code = 0; code < 256; code++) {
		double expected = reference_widen(&e5m2, code);

		assert_true(isnan(expected) ? isnan(values[code]) : (double)values[code] == expected);
	}
	decode_codes(PCCL_CODEC_E4M3, 0.5f, codes, 256, values);
	for (code = 0; code < 256; code++) {
		/* The largest exponent is an ordinary one, but for the last fraction, which is NaN. */
		double expected = (code & 0x78) == 0x78 ? (code & 0x80 ? -256.0 : 256.0) * (1 + (code & 7) / 8.0)
							: reference_widen(&e4m3, code);

		assert_true((code & 0x7f) == 0x7f ? isnan(values[code]) : (double)values[code] == expected / 2);
	}
}

/* Encodes `count` - 1 values with one more that makes the block's scale 1, and decodes them. */
static void code_at_scale_one(uint8_t id, float top, float *values, size_t count)
{
	const struct pccl_codec_params params = {id, 0, pcclFloat, pcclUint8, 256, 0, 0};
	uint8_t encoded[1024];

	values[count - 1] = top;
	assert_int_equal(pccl_codec_encode(&params, values, count, encoded), count);
	pccl_codec_decode(&params, encoded, count, values);
	assert_true(values[count - 1] == top);
}

/* Values of all codes, in a scale of 1: what can be decoded at all. */
static size_t list_values(uint8_t id, float *list)
{
	const struct pccl_codec_params params = {id, 0, pcclFloat, pcclUint8, 256, 0, 0};
	uint8_t encoded[2 + 256] = {0x80, 0x3f};
	unsigned code;

	if (pccl_codec_encoded_bytes(&params, 256) == 2 + 256) {
		for (code = 0; code < 256; code++)
			encoded[2 + code] = (uint8_t)code;
		pccl_codec_decode(&params, encoded, 256, list);
		return 256;
	}
	for (code = 0; code < 16; code++)
		encoded[2 + code] = (uint8_t)code;
	pccl_codec_decode(&params, encoded, 32, list);
	return 16;
}

static void check_nearest(uint8_t id, float top)
{
	float list[256], values[256], inputs[256];
	struct pccl_rng rng;
	size_t listed = list_values(id, list), i, k, round;

	pccl_rng_seed(&rng, id);
	for (round = 0; round < 200; round++) {
		for (i = 0; i < 255; i++) {
			double magnitude = pccl_rng_double(&rng) * exp2(-(double)pccl_rng_below(&rng, 14));

			inputs[i] = (float)((pccl_rng_chance(&rng, 1, 2) ? 1 : -1) * (double)top * magnitude);
			/* Also on, and halfway between, values. */
			if (i % 3 == 0 && isfinite(list[i % listed]) && isfinite(list[(i + 1) % listed]))
				inputs[i] =
					(list[i % listed] + (i % 2 ? list[(i + 1) % listed] : list[i % listed])) / 2;
		}
		memcpy(values, inputs, sizeof(values));
		code_at_scale_one(id, top, values, 256);
		for (i = 0; i < 255; i++) {
			double error = fabs((double)values[i] - (double)inputs[i]);

			for (k = 0; k < listed; k++) {
				if (isfinite(list[k]))
					assert_true(error <= fabs((double)list[k] - (double)inputs[i]) + 1e-7);
			}
		}
	}
}

static void nothing_is_nearer_than_what_was_decoded(void **state)
{
	(void)state;
	check_nearest(PCCL_CODEC_E4M3, 448);
	check_nearest(PCCL_CODEC_E5M2, 57344);
	check_nearest(PCCL_CODEC_E3M0, 64);
	check_nearest(PCCL_CODEC_NF4, 1);
}

static void an_outlier_costs_its_neighbours_only(void **state)
{
	const struct pccl_codec_params params = {PCCL_CODEC_INT8, 0, pcclFloat, pcclUint8, 256, 0, 0};
	float values[256], out[256];
	uint8_t encoded[512];
	int i;

	(void)state;
	for (i = 0; i < 256; i++)
		values[i] = (float)(i % 128);
	values[10] = 127 * 127;
	assert_int_equal(pccl_codec_encode(&params, values, 256, encoded), 256);
	pccl_codec_decode(&params, encoded, 256, out);
	for (i = 64; i < 256; i++)
		assert_true(out[i] == values[i]);
	assert_true(out[10] == 127 * 127);
	assert_true(out[9] == 0);
}

/* ---- bounds ---- */

struct extent {
	double magnitude, low, high;
};

static struct extent extent_of(pcclDataType_t type, const void *in, size_t first, size_t count)
{
	struct extent extent = {0, INFINITY, -INFINITY};
	size_t i;

	for (i = first; i < first + count; i++) {
		extent.magnitude = fmax(extent.magnitude, fabs(element_at(type, in, i)));
		extent.low = fmin(extent.low, element_at(type, in, i));
		extent.high = fmax(extent.high, element_at(type, in, i));
	}
	return extent;
}

/* The largest error that an element may have, given its block, its sub-block and itself. */
static double error_bound(const struct pccl_codec_params *params, struct extent block, struct extent sub, double value)
{
	const double size = fabs(value), top = block.magnitude;
	const double steps = exp2(8 * (double)pccl_dtype_bytes(params->target)) - 1;

	switch ((enum pccl_codec_id)params->id) {
	case PCCL_CODEC_INT8:
		return 0.63 * (sub.magnitude / 127 + 1.01 * top / (127 * 127));
	case PCCL_CODEC_INT4:
		return 0.63 * (sub.magnitude / 7 + 1.01 * top / (7 * 15));
	case PCCL_CODEC_INT8_MINMAX:
		return 0.501 * (block.high / 255 - block.low / 255);
	case PCCL_CODEC_INT4_MINMAX:
		return 0.501 * (block.high / 15 - block.low / 15);
	case PCCL_CODEC_MINMAX:
		return 0.501 * (block.high / steps - block.low / steps);
	case PCCL_CODEC_ZERO_POINT:
		/* Steps are a little wider than they need be, and the ends of the range are rounded to them. */
		return 1.01 * (fmax(block.high, 0) / steps - fmin(block.low, 0) / steps);
	case PCCL_CODEC_E4M3:
		return fmax(size / 16, top / 448 * 0x1p-9) * 1.01;
	case PCCL_CODEC_E5M2:
		return fmax(size / 8, top / 57344 * 0x1p-16) * 1.01;
	case PCCL_CODEC_E3M0:
		return fmax(size / 3, top / 128) * 1.01;
	case PCCL_CODEC_NF4:
		return 0.153 * top;
	default:
		return 0;
	}
}

static void check_bounds(const struct pccl_codec_params *params, struct pccl_rng *rng, enum elements kind)
{
	static uint8_t in[1000 * 8], out[1000 * 8], encoded[1000 * 12];
	const size_t count = 1 + pccl_rng_below(rng, 999), sub = params->id == PCCL_CODEC_INT4 ? 16 : 64;
	/* The smallest scales are limited: below, elements may become zero. And results are rounded to the type. */
	const double least = params->type == pcclDouble ? 0x1p-1037 : 0x1p-125;
	const double unit = params->type == pcclDouble ? 0x1p-53 : 0x1p-24;
	size_t i;

	fill_elements(rng, kind, params->type, count, in);
	assert_int_equal(pccl_codec_encode(params, in, count, encoded), count);
	pccl_codec_decode(params, encoded, count, out);
	for (i = 0; i < count; i++) {
		const size_t block_at = i / params->block * params->block, sub_at = i / sub * sub;
		const struct extent block =
			extent_of(params->type, in, block_at,
				  count - block_at < params->block ? count - block_at : params->block);
		const struct extent within =
			extent_of(params->type, in, sub_at, count - sub_at < sub ? count - sub_at : sub);
		const double value = element_at(params->type, in, i),
			     error = fabs(element_at(params->type, out, i) - value);
		const double bound = error_bound(params, block, within, value) + unit * block.magnitude + least;

		if (!(error <= bound))
			print_error("%s of %s, kind %d: %g became %g, bound %g\n", pccl_codec_name(params->id),
				    pccl_dtype_name(params->type), (int)kind, value, element_at(params->type, out, i),
				    bound);
		assert_true(error <= bound);
	}
}

static void every_element_is_within_its_bound(void **state)
{
	struct pccl_codec_params params;
	struct pccl_rng rng;
	unsigned index;
	int kind;

	(void)state;
	pccl_rng_seed(&rng, 11);
	for (index = 0; codec_combination(index, &params); index++) {
		if (pccl_codec_find(params.id)->block_default == 0 || params.rounding != PCCL_ROUND_NEAREST ||
		    pccl_dtype_partial(params.type) != params.type || params.block > 448)
			continue;
		for (kind = 0; kind < ELEMENTS_KINDS; kind++)
			check_bounds(&params, &rng, (enum elements)kind);
	}
}

/* The smallest blocks keep some precision: denormals do not all become zero. */
static void denormals_survive_in_int8(void **state)
{
	const struct pccl_codec_params params = {PCCL_CODEC_INT8, 0, pcclFloat, pcclUint8, 64, 0, 0};
	float values[64], out[64];
	uint8_t encoded[128];
	int i;

	(void)state;
	for (i = 0; i < 64; i++)
		values[i] = (float)(i - 32) * 0x1p-140f;
	assert_int_equal(pccl_codec_encode(&params, values, 64, encoded), 64);
	pccl_codec_decode(&params, encoded, 64, out);
	for (i = 0; i < 64; i++)
		assert_true(fabsf(out[i] - values[i]) <= 0x1p-142f);
}

static void a_block_of_equals_stays_one(void **state)
{
	struct pccl_codec_params params;
	unsigned index;
	size_t i;

	(void)state;
	for (index = 0; codec_combination(index, &params); index++) {
		float values[200], out[200];
		uint8_t encoded[2048];

		if (params.type != pcclFloat || params.rounding != 0)
			continue;
		for (i = 0; i < 200; i++)
			values[i] = -0.3f;
		assert_int_equal(pccl_codec_encode(&params, values, 200, encoded), 200);
		pccl_codec_decode(&params, encoded, 200, out);
		for (i = 0; i < 200; i++) {
			assert_true(out[i] == out[0]);
			assert_true(fabsf(out[i] - -0.3f) <= 0.3f / 128);
		}
		memset(values, 0, sizeof(values));
		assert_int_equal(pccl_codec_encode(&params, values, 200, encoded), 200);
		pccl_codec_decode(&params, encoded, 200, out);
		for (i = 0; i < 200; i++)
			assert_true(out[i] == 0);
	}
}

/* ---- stochastic rounding ---- */

/* Encodes the same 320 values under many keys: each decoded value is one of two, and their mean is the value. */
static void check_stochastic(struct pccl_codec_params params, struct pccl_rng *rng)
{
	enum { COUNT = 320, KEYS = 600 };
	static double sum[COUNT], square[COUNT], least[COUNT], most[COUNT];
	double values[COUNT], out[COUNT]; /* or as many of a narrower type */
	uint8_t encoded[COUNT * 12];
	size_t i, key, both = 0;

	fill_elements(rng, ELEMENTS_OUTLIERS, params.type, COUNT, values);
	memset(sum, 0, sizeof(sum));
	memset(square, 0, sizeof(square));
	for (key = 0; key < KEYS; key++) {
		params.key = key;
		assert_int_equal(pccl_codec_encode(&params, values, COUNT, encoded), COUNT);
		pccl_codec_decode(&params, encoded, COUNT, out);
		for (i = 0; i < COUNT; i++) {
			double value = element_at(params.type, out, i);

			least[i] = key == 0 ? value : fmin(least[i], value);
			most[i] = key == 0 ? value : fmax(most[i], value);
			sum[i] += value;
			square[i] += value * value;
		}
	}
	for (i = 0; i < COUNT; i++) {
		double value = element_at(params.type, values, i), mean = sum[i] / KEYS;
		double variance = (value - least[i]) * (most[i] - value);

		/* Close to a neighbour it may never have come to the other one. */
		if (least[i] == most[i])
			continue;
		both++;
		assert_true(least[i] <= value && value <= most[i]);
		/* Two values only: then the mean of the squares follows from that of the values. */
		assert_true(fabs(square[i] / KEYS - (mean * (least[i] + most[i]) - least[i] * most[i])) <=
			    1e-6 * (1e-30 + square[i] / KEYS + most[i] * most[i]));
		if (fabs(mean - value) > 5 * sqrt(fabs(variance) / KEYS) + 1e-5 * fabs(value))
			print_error("%s of %s: %g has the mean %g\n", pccl_codec_name(params.id),
				    pccl_dtype_name(params.type), value, mean);
		assert_true(fabs(mean - value) <= 5 * sqrt(fabs(variance) / KEYS) + 1e-5 * fabs(value));
	}
	assert_true(both > COUNT * 3 / 4);
}

static void stochastic_rounding_goes_to_both_neighbours_and_is_right_on_average(void **state)
{
	struct pccl_codec_params params;
	struct pccl_rng rng;
	unsigned index, checked = 0;

	(void)state;
	pccl_rng_seed(&rng, 12);
	for (index = 0; codec_combination(index, &params); index++) {
		if (params.id != PCCL_CODEC_NONE && (params.rounding & PCCL_ROUND_STOCHASTIC) != 0 &&
		    params.block == 64 && pccl_dtype_partial(params.type) == params.type &&
		    pccl_dtype_bytes(params.target) < 4) {
			check_stochastic(params, &rng);
			checked++;
		}
	}
	assert_true(checked >= 20);
}

static void random_numbers_belong_to_the_element_and_the_key(void **state)
{
	struct pccl_codec_params params = {PCCL_CODEC_INT8, 1, pcclFloat, pcclUint8, 64, 77, 640};
	float values[256];
	uint8_t whole[512], parts[512];
	struct pccl_rng rng;
	size_t half;

	(void)state;
	pccl_rng_seed(&rng, 13);
	fill_elements(&rng, ELEMENTS_NORMAL, pcclFloat, 256, values);
	half = pccl_codec_encoded_bytes(&params, 128);
	assert_int_equal(pccl_codec_encode(&params, values, 256, whole), 256);
	assert_int_equal(pccl_codec_encode(&params, values, 128, parts), 128);
	params.first_element += 128;
	assert_int_equal(pccl_codec_encode(&params, values + 128, 128, parts + half), 128);
	assert_memory_equal(whole, parts, 2 * half);
	params.key++;
	assert_int_equal(pccl_codec_encode(&params, values + 128, 128, parts + half), 128);
	assert_memory_not_equal(whole, parts, 2 * half);
}

static void store_element(pcclDataType_t type, uint8_t *elements, size_t index, double value)
{
	const float narrow = (float)value;
	const uint16_t half = type == pcclFloat16 ? pccl_float_to_half(narrow) : pccl_float_to_bfloat(narrow);
	const size_t bytes = pccl_dtype_bytes(type);
	const void *from = type == pcclDouble  ? (const void *)&value
			   : type == pcclFloat ? &narrow
					       : (const void *)&half;

	memcpy(elements + index * bytes, from, bytes);
}

/* Programs reduce counters through it. */
static void zero_point_keeps_zeros_and_one_magnitude(void **state)
{
	static const double magnitudes[] = {1, 42, 43, 0.1, 65504, 1e-3, 0x1.fep120, 0x1p-20};
	struct pccl_codec_params params;
	static uint8_t in[1000 * 8], encoded[1000 * 8 + 64], out[1000 * 8];
	unsigned index;
	size_t i, m;

	(void)state;
	for (index = 0; codec_combination(index, &params); index++) {
		const size_t bytes = pccl_dtype_bytes(params.type);

		if (params.id != PCCL_CODEC_ZERO_POINT)
			continue;
		for (m = 0; m < sizeof(magnitudes) / sizeof(magnitudes[0]); m++) {
			if (params.type == pcclFloat16 && magnitudes[m] > 65504)
				continue;
			for (i = 0; i < 1000; i++)
				store_element(params.type, in, i,
					      m % 2 == 0 ? magnitudes[m] : ((double)(i % 3) - 1) * magnitudes[m] + 0.0);
			assert_int_equal(pccl_codec_encode(&params, in, 1000, encoded), 1000);
			pccl_codec_decode(&params, encoded, 1000, out);
			assert_memory_equal(out, in, 1000 * bytes);
		}
	}
}

static void check_overflow(struct pccl_codec_params params, float most, float too_large)
{
	float in[300], out[300];
	uint8_t encoded[600];
	size_t i;

	for (i = 0; i < 300; i++)
		in[i] = i % 2 == 0 ? most : INFINITY;
	assert_int_equal(pccl_codec_encode(&params, in, 300, encoded), 300);
	in[270] = -too_large;
	assert_int_equal(pccl_codec_encode(&params, in, 300, encoded), 270);
	params.rounding |= PCCL_ROUND_SATURATE;
	assert_int_equal(pccl_codec_encode(&params, in, 300, encoded), 300);
	pccl_codec_decode(&params, encoded, 300, out);
	in[270] = -most;
	assert_memory_equal(in, out, sizeof(in));
}

static void what_is_too_large_for_a_cast_is_refused_or_becomes_the_largest(void **state)
{
	struct pccl_codec_params params = {PCCL_CODEC_FP16, PCCL_ROUND_NEAREST, pcclFloat, pcclUint8, 0, 1, 0};

	(void)state;
	check_overflow(params, 65504, 70000);
	params.rounding = PCCL_ROUND_STOCHASTIC;
	check_overflow(params, 65504, 65536);
	params.id = PCCL_CODEC_BF16;
	check_overflow(params, 0x1.fep127f, 0x1.fffffep127f);
	params.rounding = PCCL_ROUND_NEAREST;
	check_overflow(params, 0x1.fep127f, 0x1.fffffep127f);
}

/* Stochastic rounding would make some of these infinite. */
static void what_is_nearest_to_the_largest_number_is_not_too_large(void **state)
{
	const struct pccl_codec_params params = {PCCL_CODEC_FP16, PCCL_ROUND_STOCHASTIC, pcclFloat, pcclUint8, 0, 1, 0};
	float in[500], out[500];
	uint8_t encoded[1000];
	size_t i;

	(void)state;
	for (i = 0; i < 500; i++)
		in[i] = 65515;
	assert_int_equal(pccl_codec_encode(&params, in, 500, encoded), 500);
	pccl_codec_decode(&params, encoded, 500, out);
	for (i = 0; i < 500; i++)
		assert_true(out[i] == 65504);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_of_the_8_bit_floats_has_its_value),
		cmocka_unit_test(nothing_is_nearer_than_what_was_decoded),
		cmocka_unit_test(an_outlier_costs_its_neighbours_only),
		cmocka_unit_test(every_element_is_within_its_bound),
		cmocka_unit_test(denormals_survive_in_int8),
		cmocka_unit_test(a_block_of_equals_stays_one),
		cmocka_unit_test(stochastic_rounding_goes_to_both_neighbours_and_is_right_on_average),
		cmocka_unit_test(random_numbers_belong_to_the_element_and_the_key),
		cmocka_unit_test(zero_point_keeps_zeros_and_one_magnitude),
		cmocka_unit_test(what_is_too_large_for_a_cast_is_refused_or_becomes_the_largest),
		cmocka_unit_test(what_is_nearest_to_the_largest_number_is_not_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
