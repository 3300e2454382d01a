/* Every type, operation and processor level of the reduction against one element at a time. */
#include "lib/check.h"

#include "collectives/element/half.h"
#include "collectives/reduce/reduce.h"
#include "collectives/reduce/reduce_kernels.h"
#include "reference.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define INPUTS 11
#define ROOM 6000 /* elements per array */

/* ---- the reference ---- */

static double float_op(pcclRedOp_t op, double a, double b)
{
	if (op == pcclSum || op == pcclAvg)
		return a + b;
	if (op == pcclProd)
		return a * b;
	if (isnan(a) || isnan(b))
		return NAN;
	if (a == 0 && b == 0)
		return op == pcclMax ? (signbit(a) ? b : a) : (signbit(a) ? a : b);
	return op == pcclMax ? fmax(a, b) : fmin(a, b);
}

static uint64_t integer_op(pcclRedOp_t op, uint64_t a, uint64_t b, int is_signed)
{
	int a_is_less = is_signed ? (int64_t)a < (int64_t)b : a < b;

	if (op == pcclSum || op == pcclAvg)
		return a + b;
	if (op == pcclProd)
		return a * b;
	return (op == pcclMax) == a_is_less ? b : a;
}

static int is_signed(pcclDataType_t type)
{
	return type == pcclInt8 || type == pcclInt16 || type == pcclInt32 || type == pcclInt64;
}

/* The element as 64 bits, sign or zero extended. */
static uint64_t load_integer(pcclDataType_t type, const uint8_t *at)
{
	unsigned bits = 8 * (unsigned)pccl_dtype_bytes(type);
	uint64_t value = 0;

	memcpy(&value, at, bits / 8);
	if (is_signed(type) && bits < 64 && (value >> (bits - 1)) != 0)
		value |= ~(uint64_t)0 << bits;
	return value;
}

static uint64_t divide_integer(pcclDataType_t type, uint64_t value, unsigned divisor)
{
	return is_signed(type) ? (uint64_t)((int64_t)value / (int64_t)divisor) : value / divisor;
}

static void reference_integer(uint8_t *out, const uint8_t *const *in, unsigned input_count, size_t i,
			      pcclDataType_t type, pcclRedOp_t op, unsigned divisor)
{
	size_t bytes = pccl_dtype_bytes(type);
	uint64_t value = load_integer(type, in[0] + i * bytes);
	unsigned k;

	for (k = 1; k < input_count; k++) {
		value = integer_op(op, value, load_integer(type, in[k] + i * bytes), is_signed(type));
		/* Wrap around: what does not fit the type is lost. */
		value = load_integer(type, (const uint8_t *)&value);
	}
	if (divisor != 0)
		value = divide_integer(type, value, divisor);
	memcpy(out, &value, bytes);
}

static double load_float(pcclDataType_t type, const uint8_t *at)
{
	uint16_t half;
	float single;
	double value;

	if (type == pcclDouble)
		memcpy(&value, at, sizeof(value));
	else if (type == pcclFloat)
		memcpy(&single, at, sizeof(single));
	else
		memcpy(&half, at, sizeof(half));
	if (type == pcclDouble)
		return value;
	if (type == pcclFloat)
		return single;
	return reference_widen(type == pcclFloat16 ? &small_half : &small_bfloat, half);
}

static void store_float(pcclDataType_t type, uint8_t *at, double value)
{
	const struct small_float *shape = type == pcclFloat16 ? &small_half : &small_bfloat;
	float single = (float)value;
	uint16_t half;

	if (isnan(value)) {
		value = pccl_bits_double(0x7ff8000000000000u);
		single = pccl_bits_float(0x7fc00000);
		half = type == pcclFloat16 ? 0x7e00 : 0x7fc0;
	} else {
		half = (uint16_t)reference_narrow(shape, value);
	}
	if (type == pcclDouble)
		memcpy(at, &value, sizeof(value));
	else if (type == pcclFloat)
		memcpy(at, &single, sizeof(single));
	else
		memcpy(at, &half, sizeof(half));
}

/* Of finite elements whose sum overflows. */
static bool reference_mean(const uint8_t *const *in, unsigned input_count, size_t i, pcclDataType_t type,
			   unsigned divisor, double *mean_out)
{
	double sum = 0;
	unsigned k;

	for (k = 0; k < input_count; k++) {
		double value = load_float(type, in[k] + i * pccl_dtype_bytes(type));

		if (!isfinite(value))
			return false;
		sum += ldexp(value, -32);
	}
	*mean_out = ldexp(sum / divisor, 32);
	if (divisor >= input_count && isinf(*mean_out))
		*mean_out = copysign(DBL_MAX, *mean_out);
	if (divisor >= input_count && type != pcclDouble && fabs(*mean_out) > (double)FLT_MAX)
		*mean_out = copysign((double)FLT_MAX, *mean_out);
	return true;
}

static void reference_float(uint8_t *out, const uint8_t *const *in, unsigned input_count, size_t i, pcclDataType_t type,
			    pcclRedOp_t op, unsigned divisor)
{
	size_t bytes = pccl_dtype_bytes(type);
	double value = load_float(type, in[0] + i * bytes);
	unsigned k;

	for (k = 1; k < input_count; k++) {
		value = float_op(op, value, load_float(type, in[k] + i * bytes));
		/* One operation in double, rounded to float32, is the operation in float32. */
		if (type != pcclDouble)
			value = (float)value;
	}
	if (divisor != 0 && !isfinite(value) && reference_mean(in, input_count, i, type, divisor, &value))
		value = type == pcclDouble ? value : (float)value;
	else if (divisor != 0)
		value = type == pcclDouble ? value / divisor : (float)(value / (float)divisor);
	store_float(type, out, value);
}

static void check_result(const uint8_t *got, const uint8_t *const *in, unsigned input_count, size_t count,
			 pcclDataType_t type, pcclRedOp_t op, unsigned divisor)
{
	size_t bytes = pccl_dtype_bytes(type), i;
	uint8_t expected[8];

	for (i = 0; i < count; i++) {
		if (pccl_dtype_is_float(type))
			reference_float(expected, in, input_count, i, type, op, divisor);
		else
			reference_integer(expected, in, input_count, i, type, op, divisor);
		if (memcmp(expected, got + i * bytes, bytes) != 0) {
			print_error("%s %s of %u, divisor %u: element %zu of %zu\n", pccl_dtype_name(type),
				    pccl_op_name(op), input_count, divisor, i, count);
			assert_memory_equal(got + i * bytes, expected, bytes);
		}
	}
}

/* ---- inputs ---- */

struct arrays {
	uint8_t *in[INPUTS];
	uint8_t *out;
	float *partial;
};

static const uint32_t special_floats[] = {
	0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f800001, 0xff912345, 0x00000001,
	0x807fffff, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x3f800000, 0xbf800000, 0x477fe000, 0x477ff000, 0x33800000,
};

static const uint16_t special_halves[] = {
	0x0000, 0x8000, 0x7c00, 0xfc00, 0x7e00, 0x7d01, 0xfd01, 0x0001, 0x83ff, 0x0400, 0x7bff,
	0xfbff, 0x3c00, 0xbc00, 0x7f80, 0xff80, 0x7fc0, 0x7f81, 0x7f7f, 0x3f80, 0x0080, 0x007f,
};

static void fill_special(struct pccl_rng *rng, uint8_t *at, pcclDataType_t type)
{
	uint32_t word = special_floats[pccl_rng_below(rng, sizeof(special_floats) / sizeof(special_floats[0]))];
	uint16_t half = special_halves[pccl_rng_below(rng, sizeof(special_halves) / sizeof(special_halves[0]))];
	double wide = (double)pccl_bits_float(word);

	if (type == pcclDouble && isfinite(wide) && pccl_rng_chance(rng, 1, 2))
		wide = wide * 1e300;
	if (type == pcclDouble)
		memcpy(at, &wide, sizeof(wide));
	else if (type == pcclFloat)
		memcpy(at, &word, sizeof(word));
	else if (pccl_dtype_is_float(type))
		memcpy(at, &half, sizeof(half));
	else
		memset(at, pccl_rng_chance(rng, 1, 2) ? 0xff : 0, pccl_dtype_bytes(type));
}

/* Half of the elements are ordinary, a quarter random bits, a quarter special. */
static void fill(struct pccl_rng *rng, uint8_t *bytes, size_t count, pcclDataType_t type)
{
	size_t element_bytes = pccl_dtype_bytes(type), i;

	for (i = 0; i < count; i++) {
		uint8_t *at = bytes + i * element_bytes;
		uint64_t bits = pccl_rng_u64(rng), kind = pccl_rng_below(rng, 4);

		memcpy(at, &bits, element_bytes);
		if (kind == 0)
			fill_special(rng, at, type);
		else if (kind < 3 && pccl_dtype_is_float(type))
			store_float(type, at, 4.0 * pccl_rng_double(rng) - 2.0);
	}
}

static int make_arrays(void **state)
{
	struct arrays *arrays = calloc(1, sizeof(*arrays));
	unsigned i;

	if (arrays == NULL)
		return -1;
	for (i = 0; i < INPUTS; i++)
		arrays->in[i] = malloc(ROOM * 8 + 64);
	arrays->out = malloc(ROOM * 8 + 64);
	arrays->partial = malloc(ROOM * 8 + 64);
	*state = arrays;
	return 0;
}

static int free_arrays(void **state)
{
	struct arrays *arrays = *state;
	unsigned i;

	for (i = 0; i < INPUTS; i++)
		free(arrays->in[i]);
	free(arrays->out);
	free(arrays->partial);
	free(arrays);
	return 0;
}

typedef void (*visit_fn)(const struct pccl_reduce_kernels *kernels, pcclDataType_t type, pcclRedOp_t op,
			 struct arrays *arrays, struct pccl_rng *rng);

/* Calls visit() for every processor level that runs here, every type and every operation. */
static void for_each_kernel(visit_fn visit, struct arrays *arrays)
{
	struct pccl_rng rng;
	int level, type, op;

	for (level = PCCL_CPU_SCALAR; level <= PCCL_CPU_AVX512; level++) {
		const struct pccl_reduce_kernels *kernels = pccl_reduce_kernels((enum pccl_cpu_level)level);

		pccl_rng_seed(&rng, 7);
		for (type = 0; kernels != NULL && type < PCCL_DTYPE_COUNT; type++) {
			for (op = 0; op < PCCL_OP_COUNT; op++)
				visit(kernels, (pcclDataType_t)type, (pcclRedOp_t)op, arrays, &rng);
		}
	}
}

/* ---- tests ---- */

static void check_counts(const struct pccl_reduce_kernels *kernels, pcclDataType_t type, pcclRedOp_t op,
			 struct arrays *arrays, struct pccl_rng *rng)
{
	static const size_t counts[] = {0, 1, 2, 3, 7, 8, 15, 17, 31, 33, 63, 65, 127, 511, 1023, 1025, 4097, 5003};
	static const unsigned divisors[] = {0, 2, 3, 7, 255, 256, 70000};
	const uint8_t *in[INPUTS];
	unsigned i, k, input_count;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned divisor = divisors[pccl_rng_below(rng, 7)];

		input_count = 1 + (unsigned)pccl_rng_below(rng, i < 14 ? INPUTS : 6);
		for (k = 0; k < input_count; k++) {
			in[k] = arrays->in[k];
			fill(rng, arrays->in[k], counts[i], type);
		}
		memset(arrays->out + counts[i] * pccl_dtype_bytes(type), 0x5a, 8);
		pccl_reduce_with(kernels, arrays->out, (const void *const *)in, input_count, counts[i], type, op,
				 divisor);
		if (input_count == 1 && (op != pcclAvg || divisor == 0))
			assert_memory_equal(arrays->out, in[0], counts[i] * pccl_dtype_bytes(type));
		else
			check_result(arrays->out, in, input_count, counts[i], type, op, op == pcclAvg ? divisor : 0);
		assert_memory_equal(arrays->out + counts[i] * pccl_dtype_bytes(type), "ZZZZZZZZ", 8);
	}
}

static void every_kernel_agrees_with_the_reference_at_every_count(void **state)
{
	for_each_kernel(check_counts, *state);
}

static void check_alignment(const struct pccl_reduce_kernels *kernels, pcclDataType_t type, pcclRedOp_t op,
			    struct arrays *arrays, struct pccl_rng *rng)
{
	const uint8_t *in[3];
	unsigned k, out_offset;

	for (out_offset = 0; out_offset < 9; out_offset += 3) {
		for (k = 0; k < 3; k++) {
			in[k] = arrays->in[k] + pccl_rng_below(rng, 17);
			fill(rng, (uint8_t *)arrays->in[k] + (in[k] - arrays->in[k]), 301, type);
		}
		pccl_reduce_with(kernels, arrays->out + out_offset, (const void *const *)in, 3, 301, type, op, 3);
		check_result(arrays->out + out_offset, in, 3, 301, type, op, op == pcclAvg ? 3 : 0);
	}
}

static void any_alignment_will_do(void **state)
{
	for_each_kernel(check_alignment, *state);
}

static void check_aliasing(const struct pccl_reduce_kernels *kernels, pcclDataType_t type, pcclRedOp_t op,
			   struct arrays *arrays, struct pccl_rng *rng)
{
	const unsigned input_count = 6;
	const size_t count = 1500;
	const uint8_t *in[INPUTS];
	unsigned k, target;

	for (target = 0; target < input_count; target++) {
		for (k = 0; k < input_count; k++) {
			in[k] = arrays->in[k];
			fill(rng, arrays->in[k], count, type);
		}
		/* The input that is to be overwritten is kept in `out`. */
		memcpy(arrays->out, in[target], count * pccl_dtype_bytes(type));
		pccl_reduce_with(kernels, arrays->in[target], (const void *const *)in, input_count, count, type, op, 5);
		in[target] = arrays->out;
		check_result(arrays->in[target], in, input_count, count, type, op, op == pcclAvg ? 5 : 0);
	}
}

static void the_output_may_be_any_of_the_inputs(void **state)
{
	for_each_kernel(check_aliasing, *state);
}

/* A ring can't take the mean of what has overflowed on the way: numbers that may do so become small. */
static void avoid_overflow(uint8_t *bytes, size_t count, pcclDataType_t type)
{
	const double most = type == pcclDouble ? 1e306 : 1e36;
	size_t element_bytes = pccl_dtype_bytes(type), i;

	for (i = 0; pccl_dtype_is_float(type) && i < count; i++) {
		double value = load_float(type, bytes + i * element_bytes);

		if (isfinite(value) && fabs(value) > most)
			store_float(type, bytes + i * element_bytes, 1);
	}
}

static void check_ring(const struct pccl_reduce_kernels *kernels, pcclDataType_t type, pcclRedOp_t op,
		       struct arrays *arrays, struct pccl_rng *rng)
{
	const size_t count = 2 + pccl_rng_below(rng, 3000);
	const uint8_t *in[INPUTS];
	unsigned k, last = 1 + (unsigned)pccl_rng_below(rng, 5);

	for (k = 0; k <= last; k++) {
		in[k] = arrays->in[k];
		fill(rng, arrays->in[k], count, type);
		if (op == pcclAvg)
			avoid_overflow(arrays->in[k], count, type);
	}
	pccl_reduce_begin_with(kernels, arrays->partial, in[0], count, type);
	for (k = 1; k < last; k++)
		pccl_reduce_partial_with(kernels, arrays->partial, arrays->partial, in[k], count, type, op);
	pccl_reduce_finish_with(kernels, arrays->out, arrays->partial, in[last], count, type, op, last + 1);
	check_result(arrays->out, in, last + 1, count, type, op, op == pcclAvg ? last + 1 : 0);

	/* The same with the last contribution added before, and with the owner's input overwritten. */
	pccl_reduce_partial_with(kernels, arrays->partial, arrays->partial, in[last], count, type, op);
	pccl_reduce_finish_with(kernels, arrays->in[INPUTS - 1], arrays->partial, NULL, count, type, op, last + 1);
	assert_memory_equal(arrays->in[INPUTS - 1], arrays->out, count * pccl_dtype_bytes(type));
}

static void the_steps_of_a_ring_give_the_bits_of_one_reduction(void **state)
{
	for_each_kernel(check_ring, *state);
}

static void the_best_kernels_are_used_by_default(void **state)
{
	struct arrays *arrays = *state;
	const float a[3] = {1.5f, -0.0f, 3.0f}, b[3] = {2.0f, 0.0f, 1.0f};
	const uint16_t half_one = 0x3c00;
	const void *in[2] = {a, b};
	float out[3];
	uint16_t half_out;

	pccl_reduce(out, in, 2, 3, pcclFloat, pcclAvg, 2);
	assert_true(out[0] == 1.75f && out[1] == 0.0f && out[2] == 2.0f);
	pccl_reduce_begin(arrays->partial, &half_one, 1, pcclFloat16);
	pccl_reduce_partial(arrays->partial, arrays->partial, &half_one, 1, pcclFloat16, pcclSum);
	pccl_reduce_finish(&half_out, arrays->partial, &half_one, 1, pcclFloat16, pcclSum, 0);
	assert_int_equal(half_out, 0x4200);
}

/* 2049 is no float16: had the sum been rounded at each step, the ones would be lost. */
static void short_floats_accumulate_in_float32_and_round_once(void **state)
{
	const uint16_t large = 0x6800, one = 0x3c00; /* 2048 and 1 */
	const void *in[5] = {&large, &one, &one, &one, &one};
	uint16_t out;

	(void)state;
	pccl_reduce(&out, in, 5, 1, pcclFloat16, pcclSum, 0);
	assert_int_equal(out, 0x6802); /* 2052 */
}

static void finite_means(const struct pccl_reduce_kernels *kernels, pcclDataType_t type, pcclRedOp_t op,
			 struct arrays *arrays, struct pccl_rng *rng)
{
	const double most = type == pcclDouble ? DBL_MAX : type == pcclFloat16 ? 65504.0 : (double)FLT_MAX;
	const uint8_t *in[3] = {arrays->in[0], arrays->in[1], arrays->in[2]};
	const size_t bytes = pccl_dtype_bytes(type), count = 2100, odd = pccl_rng_below(rng, count);
	size_t i;
	unsigned k;

	if (!pccl_dtype_is_float(type) || op != pcclAvg)
		return;
	for (k = 0; k < 3; k++)
		for (i = 0; i < count; i++)
			store_float(type, arrays->in[k] + i * bytes,
				    i != odd		   ? 1.5
				    : type == pcclBFloat16 ? 3e38
							   : most);
	pccl_reduce_with(kernels, arrays->out, (const void *const *)in, 3, count, type, op, 3);
	assert_memory_equal(arrays->out, in[0], count * bytes);
	/* In place, and with what cancels out on the way. */
	store_float(type, arrays->in[2] + odd * bytes, type == pcclBFloat16 ? -3e38 : -most);
	pccl_reduce_with(kernels, arrays->in[0], (const void *const *)in, 3, count, type, op, 3);
	assert_true(isfinite(load_float(type, in[0] + odd * bytes)));
	assert_true(fabs(load_float(type, in[0] + odd * bytes) - most / 3) < most / 20);
}

static void the_mean_of_finite_numbers_is_finite(void **state)
{
	for_each_kernel(finite_means, *state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kernel_agrees_with_the_reference_at_every_count),
		cmocka_unit_test(any_alignment_will_do),
		cmocka_unit_test(the_output_may_be_any_of_the_inputs),
		cmocka_unit_test(the_steps_of_a_ring_give_the_bits_of_one_reduction),
		cmocka_unit_test(the_best_kernels_are_used_by_default),
		cmocka_unit_test(short_floats_accumulate_in_float32_and_round_once),
		cmocka_unit_test(the_mean_of_finite_numbers_is_finite),
	};

	return cmocka_run_group_tests(tests, make_arrays, free_arrays);
}
