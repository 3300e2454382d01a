/*
 * float16 and bfloat16, one element at a time, in portable arithmetic that gives the same bits on every processor (in
 * the default rounding mode), for every bit pattern. Narrowing rounds to the nearest, ties to even; overflow gives
 * infinity; a NaN keeps its sign and the upper bits of its payload and becomes quiet, as the conversion
 * instructions do it.
 */
#ifndef PCCL_COLLECTIVES_HALF_H
#define PCCL_COLLECTIVES_HALF_H

#include <stdint.h>
#include <string.h>

static inline uint32_t pccl_float_bits(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static inline float pccl_bits_float(uint32_t bits)
{
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint64_t pccl_double_bits(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static inline double pccl_bits_double(uint64_t bits)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* float16 to float32, exact. Selections, no branches, so that a loop of it can be vectorized. */
static inline float pccl_half_to_float(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
	uint32_t magnitude = half & 0x7fffu;
	uint32_t normal = (magnitude << 13) + ((127u - 15u) << 23);
	uint32_t special = (magnitude << 13) | 0x7f800000u | (magnitude > 0x7c00u ? 0x400000u : 0u);
	/* A denormal is its ten bits times 2^-24, and so much do they weigh as the low bits of a number between
	 * a half and one. */
	uint32_t denormal = pccl_float_bits(pccl_bits_float(magnitude | 0x3f000000u) - 0.5f);
	uint32_t bits = magnitude < 0x400u ? denormal : normal;

	bits = magnitude >= 0x7c00u ? special : bits;
	return pccl_bits_float(bits | sign);
}

/* float32 to float16. */
static inline uint16_t pccl_float_to_half(float value)
{
	uint32_t bits = pccl_float_bits(value);
	uint32_t sign = (bits >> 16) & 0x8000u;
	uint32_t magnitude = bits & 0x7fffffffu;
	/* Half a unit, less one if the last kept bit is even, makes the truncation a rounding to even; a carry out of
	 * the fraction goes where it should, up to infinity. */
	uint32_t normal = (magnitude - ((127u - 15u) << 23) + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
	/* The adder rounds to multiples of 2^-24, the unit of the denormals. */
	uint32_t denormal = pccl_float_bits(pccl_bits_float(magnitude) + 0.5f) - 0x3f000000u;
	uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
	uint32_t half = magnitude < 0x38800000u ? denormal : normal;

	half = magnitude >= 0x47800000u ? 0x7c00u : half;
	half = magnitude > 0x7f800000u ? nan : half;
	return (uint16_t)(sign | half);
}

/* bfloat16 to float32, exact. */
static inline float pccl_bfloat_to_float(uint16_t bfloat)
{
	return pccl_bits_float((uint32_t)bfloat << 16);
}

/* float32 to bfloat16. */
static inline uint16_t pccl_float_to_bfloat(float value)
{
	uint32_t bits = pccl_float_bits(value);
	uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
	uint32_t nan = (bits >> 16) | 0x40u;

	return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

#endif
