/*
 * Independent, slow, obvious versions of what the kernels do, for the tests of dtype, half, reduce and codec: half
 * precision by the arithmetic of its definition instead of by bits, reductions one element at a time.
 */
#ifndef PCCL_TESTS_COLLECTIVES_REFERENCE_H
#define PCCL_TESTS_COLLECTIVES_REFERENCE_H

#include "base/rng.h"
#include "collectives/element/dtype.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* A small float format: `fraction_bits`, and an exponent whose smallest normal value is 2^minimum_exponent. */
struct small_float {
	int fraction_bits;
	int minimum_exponent;
	int exponent_bits;
};

static const struct small_float small_half = {10, -14, 5};
static const struct small_float small_bfloat = {7, -126, 8};

/* The value of `bits` in an IEEE format of that shape. */
static inline double reference_widen(const struct small_float *shape, uint32_t bits)
{
	uint32_t fraction = bits & ((1u << shape->fraction_bits) - 1);
	uint32_t exponent = (bits >> shape->fraction_bits) & ((1u << shape->exponent_bits) - 1);
	int negative = (int)(bits >> (shape->fraction_bits + shape->exponent_bits)) & 1;
	double value;

	if (exponent == (1u << shape->exponent_bits) - 1)
		value = fraction != 0 ? NAN : INFINITY;
	else if (exponent == 0)
		value = ldexp(fraction, shape->minimum_exponent - shape->fraction_bits);
	else
		value = ldexp(fraction + (double)(1u << shape->fraction_bits),
			      shape->minimum_exponent + (int)exponent - 1 - shape->fraction_bits);
	return negative ? -value : value;
}

/* The bits of the nearest value, ties to even; `value` is not a NaN. */
static inline uint32_t reference_narrow(const struct small_float *shape, double value)
{
	uint32_t sign = signbit(value) ? 1u << (shape->fraction_bits + shape->exponent_bits) : 0;
	uint32_t infinity = ((1u << shape->exponent_bits) - 1) << shape->fraction_bits;
	int exponent;
	double units;

	value = fabs(value);
	if (value == 0)
		return sign;
	if (isinf(value))
		return sign | infinity;
	frexp(value, &exponent);
	exponent = exponent - 1 < shape->minimum_exponent ? shape->minimum_exponent : exponent - 1;
	units = nearbyint(ldexp(value, shape->fraction_bits - exponent));
	/* `units` counts the hidden bit, so that it adds one to the exponent field of normal numbers. */
	units += ldexp(exponent - shape->minimum_exponent, shape->fraction_bits);
	return sign | (units >= infinity ? infinity : (uint32_t)units);
}

#endif
