/*
 * The inner loops of the reduction, included once by each of reduce_scalar.c, reduce_avx2.c and reduce_avx512.c,
 * which define KERNELS, the name of the table. Plain loops that the compiler vectorizes for the flags of the
 * including file. No sum is reassociated and no product fused (-ffp-contract=off), so the bits do not depend on the
 * vector length.
 *
 * reduce_type.h is included from here for each type, and reduce_fold.h from there for each operation.
 */
#ifndef PCCL_COLLECTIVES_REDUCE_TEMPLATE_H
#define PCCL_COLLECTIVES_REDUCE_TEMPLATE_H

#include "collectives/element/half.h"
#include "collectives/element/half_template.h"
#include "collectives/element/unaligned.h"
#include "collectives/reduce/reduce_kernels.h"

#include <assert.h>
#include <math.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

/* Which NaN an addition of two gives differs between processors and between compilers: make it always the same. */
static inline float settle_float(float value)
{
	return value == value ? value : NAN;
}

static inline double settle_double(double value)
{
	return value == value ? value : (double)NAN;
}

/* The comparison leaves two cases: b where the two are unordered, which is right unless a is the NaN; and zeros,
 * which compare equal and differ in the sign bit at most. */
static inline float max_float(float a, float b)
{
	float larger = a > b ? a : b;

	larger = a == b ? pccl_bits_float(pccl_float_bits(a) & pccl_float_bits(b)) : larger;
	return a == a ? larger : a;
}

static inline float min_float(float a, float b)
{
	float smaller = a < b ? a : b;

	smaller = a == b ? pccl_bits_float(pccl_float_bits(a) | pccl_float_bits(b)) : smaller;
	return a == a ? smaller : a;
}

static inline double max_double(double a, double b)
{
	double larger = a > b ? a : b;

	larger = a == b ? pccl_bits_double(pccl_double_bits(a) & pccl_double_bits(b)) : larger;
	return a == a ? larger : a;
}

static inline double min_double(double a, double b)
{
	double smaller = a < b ? a : b;

	smaller = a == b ? pccl_bits_double(pccl_double_bits(a) | pccl_double_bits(b)) : smaller;
	return a == a ? smaller : a;
}

/* Integers are added and multiplied as unsigned numbers, at least as wide as unsigned int, for those wrap around. The
 * quotient of 32-bit integers is taken in double, that of shorter ones in float: there the rounded quotient never
 * reaches an integer that the true one does not, and vectors of it can be divided. */
#define MAX_INTEGER(a, b) ((a) > (b) ? (a) : (b))
#define MIN_INTEGER(a, b) ((a) < (b) ? (a) : (b))
#define SETTLE_INTEGER(value) (value)

#define MAXIMUM MAX_INTEGER
#define MINIMUM MIN_INTEGER
#define SETTLE SETTLE_INTEGER
#define WORK uint32_t
#define QUOTIENT float
#define TYPE uint8
#include "collectives/reduce/reduce_type.h"
#define TYPE int8
#include "collectives/reduce/reduce_type.h"
#define TYPE uint16
#include "collectives/reduce/reduce_type.h"
#define TYPE int16
#include "collectives/reduce/reduce_type.h"
#undef QUOTIENT
#define QUOTIENT double
#define TYPE uint32
#include "collectives/reduce/reduce_type.h"
#define TYPE int32
#include "collectives/reduce/reduce_type.h"
#undef QUOTIENT
#undef WORK
#define WORK uint64_t
#define QUOTIENT uint64_t
#define TYPE uint64
#include "collectives/reduce/reduce_type.h"
#undef QUOTIENT
#define QUOTIENT int64_t
#define TYPE int64
#include "collectives/reduce/reduce_type.h"
#undef QUOTIENT
#undef WORK
#undef MAXIMUM
#undef MINIMUM
#undef SETTLE

#define MAXIMUM max_float
#define MINIMUM min_float
#define SETTLE settle_float
#define WORK float
#define QUOTIENT float
#define TYPE float
#include "collectives/reduce/reduce_type.h"
#undef QUOTIENT
#undef WORK
#undef MAXIMUM
#undef MINIMUM
#undef SETTLE

#define MAXIMUM max_double
#define MINIMUM min_double
#define SETTLE settle_double
#define WORK double
#define QUOTIENT double
#define TYPE double
#include "collectives/reduce/reduce_type.h"
#undef QUOTIENT
#undef WORK
#undef MAXIMUM
#undef MINIMUM
#undef SETTLE

/* The largest magnitude tells: what is not finite has all bits of the exponent. */
static bool finite_float(const void *in_bytes, size_t count)
{
	const any_uint32 *in = in_bytes;
	uint32_t most = 0;
	size_t i;

	for (i = 0; i < count; i++)
		most = MAX_INTEGER(most, in[i] & 0x7fffffffu);
	return most < 0x7f800000u;
}

static bool finite_double(const void *in_bytes, size_t count)
{
	const any_uint64 *in = in_bytes;
	uint64_t most = 0;
	size_t i;

	for (i = 0; i < count; i++)
		most = MAX_INTEGER(most, in[i] & 0x7fffffffffffffffu);
	return most < 0x7ff0000000000000u;
}

#define FOLDS(type)                                                                                      \
	{                                                                                                \
		[pcclSum] = fold_sum_##type, [pcclAvg] = fold_sum_##type, [pcclProd] = fold_prod_##type, \
		[pcclMax] = fold_max_##type, [pcclMin] = fold_min_##type                                 \
	}

const struct pccl_reduce_kernels KERNELS = {
	.name = KERNELS_NAME,
	.fold = {[pcclUint8] = FOLDS(uint8),
		 [pcclInt8] = FOLDS(int8),
		 [pcclUint16] = FOLDS(uint16),
		 [pcclInt16] = FOLDS(int16),
		 [pcclUint32] = FOLDS(uint32),
		 [pcclInt32] = FOLDS(int32),
		 [pcclUint64] = FOLDS(uint64),
		 [pcclInt64] = FOLDS(int64),
		 [pcclFloat] = FOLDS(float),
		 [pcclDouble] = FOLDS(double)},
	.divide = {[pcclUint8] = divide_uint8,
		   [pcclInt8] = divide_int8,
		   [pcclUint16] = divide_uint16,
		   [pcclInt16] = divide_int16,
		   [pcclUint32] = divide_uint32,
		   [pcclInt32] = divide_int32,
		   [pcclUint64] = divide_uint64,
		   [pcclInt64] = divide_int64,
		   [pcclFloat] = divide_float,
		   [pcclDouble] = divide_double},
	.finite_float = finite_float,
	.finite_double = finite_double,
	.half_to_float = widen_half,
	.float_to_half = narrow_half,
	.bfloat_to_float = widen_bfloat,
	.float_to_bfloat = narrow_bfloat,
};

#endif
