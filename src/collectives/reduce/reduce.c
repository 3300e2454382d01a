/* Reduction of contributions, block by block: what one block needs stays in the nearest cache. */
#include "collectives/reduce/reduce.h"

#include "collectives/element/half.h"
#include "collectives/reduce/reduce_kernels.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* The accumulator and as many inputs as one fold takes fit a first-level cache of 32 KiB together. */
#define BLOCK_BYTES 4096
/* An exact factor that keeps sums of as many peers as there may be in the range of doubles. */
#define SMALLER 0x1p-20
#define BLOCK_FLOATS (BLOCK_BYTES / sizeof(float))

/* Aligned for the widest vectors. */
struct block {
	uint8_t bytes[BLOCK_BYTES];
} __attribute__((aligned(64)));

struct float_block {
	float at[BLOCK_FLOATS];
} __attribute__((aligned(64)));

const struct pccl_reduce_kernels *pccl_reduce_kernels(enum pccl_cpu_level level)
{
	const struct pccl_reduce_kernels *kernels = &pccl_reduce_kernels_scalar;

	if (level > pccl_cpu_level())
		return NULL;
	if (level == PCCL_CPU_AVX2)
		kernels = &pccl_reduce_kernels_avx2;
	if (level == PCCL_CPU_AVX512)
		kernels = &pccl_reduce_kernels_avx512;
	return kernels->name == NULL ? NULL : kernels;
}

static const struct pccl_reduce_kernels *best_kernels(void)
{
	const struct pccl_reduce_kernels *kernels = pccl_reduce_kernels(pccl_cpu_level());

	assert(kernels != NULL);
	return kernels;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* float16 or bfloat16 to and from float32. */
static void widen(const struct pccl_reduce_kernels *kernels, float *out, const void *in, size_t count,
		  pcclDataType_t type)
{
	if (type == pcclFloat16)
		kernels->half_to_float(out, in, count);
	else
		kernels->bfloat_to_float(out, in, count);
}

static void narrow(const struct pccl_reduce_kernels *kernels, void *out, const float *in, size_t count,
		   pcclDataType_t type)
{
	if (type == pcclFloat16)
		kernels->float_to_half(out, in, count);
	else
		kernels->float_to_bfloat(out, in, count);
}

/* Reduces one block of a type that accumulates in itself. */
static void reduce_block(const struct pccl_reduce_kernels *kernels, void *out, const void *const *inputs,
			 unsigned input_count, size_t offset_bytes, size_t count, pcclDataType_t type, pcclRedOp_t op)
{
	pccl_fold_fn fold = kernels->fold[type][op];
	struct block sum;
	const void *fold_in[PCCL_FOLD_INPUTS];
	unsigned next = 0, taken = 0;

	while (next < input_count) {
		while (taken < PCCL_FOLD_INPUTS && next < input_count)
			fold_in[taken++] = (const uint8_t *)inputs[next++] + offset_bytes;
		if (next < input_count) {
			/* Not into `out`, which may be one of the inputs to come. */
			fold(sum.bytes, fold_in, taken, count);
			fold_in[0] = sum.bytes;
			taken = 1;
		}
	}
	fold(out, fold_in, taken, count);
}

/* ---- means of sums that overflow ---- */

static double element(pcclDataType_t type, const void *array, size_t index)
{
	uint16_t half;
	double wide;
	float single;

	switch (type) {
	case pcclDouble:
		memcpy(&wide, (const uint8_t *)array + index * sizeof(wide), sizeof(wide));
		return wide;
	case pcclFloat:
		memcpy(&single, (const uint8_t *)array + index * sizeof(single), sizeof(single));
		return (double)single;
	default:
		memcpy(&half, (const uint8_t *)array + index * sizeof(half), sizeof(half));
		return (double)(type == pcclFloat16 ? pccl_half_to_float(half) : pccl_bfloat_to_float(half));
	}
}

/* The mean of one element, by way of a sum of smaller numbers. False: a contribution is not finite, nor is the mean. */
static bool careful_mean(const void *const *inputs, unsigned input_count, size_t index, pcclDataType_t type,
			 unsigned divisor, double *mean_out)
{
	const double most = type == pcclDouble ? DBL_MAX : (double)FLT_MAX;
	double sum = 0, mean;
	unsigned i;

	for (i = 0; i < input_count; i++) {
		double value = element(type, inputs[i], index);

		if (!isfinite(value))
			return false;
		sum += value * SMALLER;
	}
	mean = sum / ((double)divisor * SMALLER);
	/* It may be rounded out of the range of what it is a mean of. */
	if (divisor >= input_count)
		mean = mean > most ? most : mean < -most ? -most : mean;
	*mean_out = mean;
	return true;
}

/* Puts right what has overflowed in a block of means in the partial type; the inputs are as they were. */
static void mend_means(void *means, const void *const *inputs, unsigned input_count, size_t first, size_t count,
		       pcclDataType_t type, unsigned divisor)
{
	pcclDataType_t partial = pccl_dtype_partial(type);
	double mean;
	float single;
	size_t i;

	for (i = 0; i < count; i++) {
		if (isfinite(element(partial, means, i)) ||
		    !careful_mean(inputs, input_count, first + i, type, divisor, &mean))
			continue;
		single = (float)mean;
		if (partial == pcclDouble)
			memcpy((uint8_t *)means + i * sizeof(mean), &mean, sizeof(mean));
		else
			memcpy((uint8_t *)means + i * sizeof(single), &single, sizeof(single));
	}
}

static bool all_finite(const struct pccl_reduce_kernels *kernels, const void *sums, size_t count, pcclDataType_t type)
{
	if (!pccl_dtype_is_float(type))
		return true;
	return type == pcclDouble ? kernels->finite_double(sums, count) : kernels->finite_float(sums, count);
}

/* Like reduce_block() and a division, but no finite mean becomes infinite because its sum is. */
static void mean_block(const struct pccl_reduce_kernels *kernels, void *out, const void *const *inputs,
		       unsigned input_count, size_t first, size_t count, pcclDataType_t type, unsigned divisor)
{
	size_t element_bytes = pccl_dtype_bytes(type);
	struct block sum;

	reduce_block(kernels, sum.bytes, inputs, input_count, first * element_bytes, count, type, pcclSum);
	if (all_finite(kernels, sum.bytes, count, type)) {
		kernels->divide[type](out, sum.bytes, count, divisor);
		return;
	}
	kernels->divide[type](sum.bytes, sum.bytes, count, divisor);
	mend_means(sum.bytes, inputs, input_count, first, count, type, divisor);
	memcpy(out, sum.bytes, count * element_bytes);
}

static void reduce_native(const struct pccl_reduce_kernels *kernels, void *out, const void *const *inputs,
			  unsigned input_count, size_t count, pcclDataType_t type, pcclRedOp_t op, unsigned divisor)
{
	size_t element_bytes = pccl_dtype_bytes(type), block_count = BLOCK_BYTES / element_bytes, at, n;
	const void *only = inputs[0];

	for (at = 0; at < count; at += n) {
		uint8_t *out_block = (uint8_t *)out + at * element_bytes;

		n = smaller(block_count, count - at);
		if (input_count > 1 && divisor != 0)
			mean_block(kernels, out_block, inputs, input_count, at, n, type, divisor);
		else if (input_count > 1)
			reduce_block(kernels, out_block, inputs, input_count, at * element_bytes, n, type, op);
		else if (divisor != 0)
			kernels->divide[type](out_block, (const uint8_t *)only + at * element_bytes, n, divisor);
		else if (out != only)
			memcpy(out_block, (const uint8_t *)only + at * element_bytes, n * element_bytes);
	}
}

/* Reduces one block of float16 or bfloat16 into `sum`. */
static void sum_narrow_block(const struct pccl_reduce_kernels *kernels, float *sum, const void *const *inputs,
			     unsigned input_count, size_t offset_bytes, size_t count, pcclDataType_t type,
			     pcclRedOp_t op)
{
	struct float_block own;
	const void *fold_in[2];
	unsigned i;

	widen(kernels, sum, (const uint8_t *)inputs[0] + offset_bytes, count, type);
	fold_in[0] = sum;
	fold_in[1] = own.at;
	for (i = 1; i < input_count; i++) {
		widen(kernels, own.at, (const uint8_t *)inputs[i] + offset_bytes, count, type);
		kernels->fold[pcclFloat][op](sum, fold_in, 2, count);
	}
}

static void reduce_narrow(const struct pccl_reduce_kernels *kernels, void *out, const void *const *inputs,
			  unsigned input_count, size_t count, pcclDataType_t type, pcclRedOp_t op, unsigned divisor)
{
	struct float_block sum;
	size_t element_bytes = pccl_dtype_bytes(type), at, n;
	bool finite;

	for (at = 0; at < count; at += n) {
		n = smaller(BLOCK_FLOATS, count - at);
		sum_narrow_block(kernels, sum.at, inputs, input_count, at * element_bytes, n, type, op);
		finite = divisor == 0 || kernels->finite_float(sum.at, n);
		if (divisor != 0)
			kernels->divide[pcclFloat](sum.at, sum.at, n, divisor);
		if (!finite)
			mend_means(sum.at, inputs, input_count, at, n, type, divisor);
		narrow(kernels, (uint8_t *)out + at * element_bytes, sum.at, n, type);
	}
}

void pccl_reduce_with(const struct pccl_reduce_kernels *kernels, void *out, const void *const *inputs,
		      unsigned input_count, size_t count, pcclDataType_t type, pcclRedOp_t op, unsigned divisor)
{
	unsigned by = op == pcclAvg ? divisor : 0;

	assert(input_count > 0);
	assert(pccl_op_valid((int)op));
	if (input_count == 1 && by == 0) {
		if (out != inputs[0] && count > 0)
			memcpy(out, inputs[0], count * pccl_dtype_bytes(type));
		return;
	}
	if (pccl_dtype_partial(type) == type)
		reduce_native(kernels, out, inputs, input_count, count, type, op, by);
	else
		reduce_narrow(kernels, out, inputs, input_count, count, type, op, by);
}

void pccl_reduce_begin_with(const struct pccl_reduce_kernels *kernels, void *partial_out, const void *own, size_t count,
			    pcclDataType_t type)
{
	struct float_block block;
	size_t element_bytes = pccl_dtype_bytes(type), at, n;

	if (pccl_dtype_partial(type) == type) {
		if (partial_out != own && count > 0)
			memcpy(partial_out, own, count * element_bytes);
		return;
	}
	for (at = 0; at < count; at += n) {
		n = smaller(BLOCK_FLOATS, count - at);
		widen(kernels, block.at, (const uint8_t *)own + at * element_bytes, n, type);
		memcpy((uint8_t *)partial_out + at * sizeof(float), block.at, n * sizeof(float));
	}
}

void pccl_reduce_partial_with(const struct pccl_reduce_kernels *kernels, void *partial_out, const void *partial,
			      const void *own, size_t count, pcclDataType_t type, pcclRedOp_t op)
{
	struct float_block block;
	size_t element_bytes = pccl_dtype_bytes(type), at, n;
	const void *fold_in[2];

	assert(pccl_op_valid((int)op));
	fold_in[0] = partial;
	fold_in[1] = own;
	if (pccl_dtype_partial(type) == type) {
		kernels->fold[type][op](partial_out, fold_in, 2, count);
		return;
	}
	for (at = 0; at < count; at += n) {
		n = smaller(BLOCK_FLOATS, count - at);
		widen(kernels, block.at, (const uint8_t *)own + at * element_bytes, n, type);
		fold_in[0] = (const uint8_t *)partial + at * sizeof(float);
		fold_in[1] = block.at;
		kernels->fold[pcclFloat][op]((uint8_t *)partial_out + at * sizeof(float), fold_in, 2, n);
	}
}

void pccl_reduce_finish_with(const struct pccl_reduce_kernels *kernels, void *out, const void *partial, const void *own,
			     size_t count, pcclDataType_t type, pcclRedOp_t op, unsigned divisor)
{
	struct float_block sum;
	size_t element_bytes = pccl_dtype_bytes(type), at, n;
	unsigned by = op == pcclAvg ? divisor : 0;
	const void *inputs[2];

	inputs[0] = partial;
	inputs[1] = own;
	if (pccl_dtype_partial(type) == type) {
		reduce_native(kernels, out, inputs, own == NULL ? 1 : 2, count, type, op, by);
		return;
	}
	for (at = 0; at < count; at += n) {
		const uint8_t *partial_at = (const uint8_t *)partial + at * sizeof(float);

		n = smaller(BLOCK_FLOATS, count - at);
		if (own == NULL)
			memcpy(sum.at, partial_at, n * sizeof(float));
		else
			pccl_reduce_partial_with(kernels, sum.at, partial_at, (const uint8_t *)own + at * element_bytes,
						 n, type, op);
		if (by != 0)
			kernels->divide[pcclFloat](sum.at, sum.at, n, by);
		narrow(kernels, (uint8_t *)out + at * element_bytes, sum.at, n, type);
	}
}

void pccl_reduce(void *out, const void *const *inputs, unsigned input_count, size_t count, pcclDataType_t type,
		 pcclRedOp_t op, unsigned divisor)
{
	pccl_reduce_with(best_kernels(), out, inputs, input_count, count, type, op, divisor);
}

void pccl_reduce_begin(void *partial_out, const void *own, size_t count, pcclDataType_t type)
{
	pccl_reduce_begin_with(best_kernels(), partial_out, own, count, type);
}

void pccl_reduce_partial(void *partial_out, const void *partial, const void *own, size_t count, pcclDataType_t type,
			 pcclRedOp_t op)
{
	pccl_reduce_partial_with(best_kernels(), partial_out, partial, own, count, type, op);
}

void pccl_reduce_finish(void *out, const void *partial, const void *own, size_t count, pcclDataType_t type,
			pcclRedOp_t op, unsigned divisor)
{
	pccl_reduce_finish_with(best_kernels(), out, partial, own, count, type, op, divisor);
}
