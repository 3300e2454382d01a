/*
 * One element to a code and back, for the codecs that scale: inline, without branches where a loop shall be
 * vectorized. A scaled element is a float within the codec's range (or a hair outside: that rounds to the end of it).
 *
 * Stochastic rounding takes 32 random bits and rounds away from zero or up with the probability of the fraction.
 */
#ifndef PCCL_COLLECTIVES_CODEC_CODE_H
#define PCCL_COLLECTIVES_CODEC_CODE_H

#include "collectives/codec/codec_kernels.h"
#include "collectives/element/half.h"
#include "collectives/element/unaligned.h"

/* Adding and taking away rounds to an integer, ties to even, if the number is below 2^22 (2^51). */
#define ROUND_FLOAT 0x1.8p23f
#define ROUND_DOUBLE 0x1.8p52

/* 32 random bits for element `i` of a run: a counter, mixed with the two halves of a key. */
static inline uint32_t random_bits(const struct pccl_codec_random *random, uint32_t i)
{
	uint32_t bits = (random->counter + i) * 0x9e3779b1u + random->seed[0];

	bits = (bits ^ (bits >> 16)) * 0x7feb352du;
	bits = ((bits ^ (bits >> 15)) + random->seed[1]) * 0x846ca68bu;
	bits = (bits ^ (bits >> 16)) * 0x2c1b3c6du;
	return bits ^ (bits >> 15);
}

/* Uniform in [0, 1). */
static inline float random_fraction(uint32_t bits)
{
	return (float)(int32_t)(bits >> 8) * 0x1p-24f;
}

/* The greatest integer that is not above; for numbers below 2^22. */
static inline float floor_float(float value)
{
	float rounded = (value + ROUND_FLOAT) - ROUND_FLOAT;

	return rounded > value ? rounded - 1.0f : rounded;
}

static inline float limit(float value, float top)
{
	value = value < top ? value : top;
	return value > -top ? value : -top;
}

/* A double as a float that rounds on as the double would: towards zero, with the last bit set if anything was
 * lost. */
static inline float odd_float(double value)
{
	float near = (float)value;
	uint32_t bits = pccl_float_bits(near);
	double distance = (near < 0 ? -(double)near : (double)near) - (value < 0 ? -value : value);

	bits -= distance > 0 ? 1u : 0u;
	bits |= (double)near != value ? 1u : 0u;
	return pccl_bits_float(bits);
}

/* ---- integers: -127 ... 127, -7 ... 7 ---- */

/* Of integers: there are instructions for the smaller and the larger one everywhere. */
static inline int32_t limit_integer(int32_t code, int32_t top)
{
	code = code < top ? code : top;
	return code > -top ? code : -top;
}

static inline int32_t nearest_integer(float value)
{
	return (int32_t)(pccl_float_bits(value + ROUND_FLOAT) - pccl_float_bits(ROUND_FLOAT));
}

static inline int32_t code_integer(float value, int32_t top)
{
	return limit_integer(nearest_integer(value), top);
}

static inline int32_t code_integer_random(float value, int32_t top, uint32_t bits)
{
	int32_t code = nearest_integer(value);
	float fraction = value - (float)code;

	/* Down to the integer below, then up at random. */
	code -= fraction < 0 ? 1 : 0;
	fraction += fraction < 0 ? 1.0f : 0.0f;
	code += random_fraction(bits) < fraction ? 1 : 0;
	return limit_integer(code, top);
}

#define CODE_INT8(value) (uint8_t) code_integer(value, 127)
#define CODE_INT8_RANDOM(value, bits) (uint8_t) code_integer_random(value, 127, bits)
#define VALUE_INT8(code) ((float)(int8_t)(code))
#define CODE_INT4(value) (uint8_t)(code_integer(value, 7) & 15)
#define CODE_INT4_RANDOM(value, bits) (uint8_t)(code_integer_random(value, 7, bits) & 15)
#define VALUE_INT4(code) ((float)(((int32_t)(code) ^ 8) - 8))

/* ---- steps of a range: 0 ... top, at most 2^32 - 1 ---- */

static inline uint32_t code_step(double value, double top)
{
	value = value > 0 ? value : 0;
	value = value < top ? value : top;
	return (uint32_t)pccl_double_bits(value + ROUND_DOUBLE);
}

/* Down or up to an integer at random; for numbers below 2^33. */
static inline double floor_random(double value, uint32_t bits)
{
	double below = (value + ROUND_DOUBLE) - ROUND_DOUBLE;
	double fraction = (double)(int32_t)(bits >> 1) * 0x1p-31;

	below = below > value ? below - 1.0 : below;
	return fraction < value - below ? below + 1.0 : below;
}

/* ---- 8-bit floats ---- */

/* A format with so many fraction bits: units of its denormals are 2^unit, the exponent field of a float32 is larger
 * by `bias`. `magnitude` is a float32 without its sign; `increment` is what is added before the low bits are cut
 * off. */
static inline uint32_t shorten_normal(uint32_t magnitude, int fraction_bits, uint32_t bias, uint32_t increment)
{
	return (magnitude - (bias << 23) + increment) >> (23 - fraction_bits);
}

static inline uint32_t nearest_increment(uint32_t magnitude, int fraction_bits)
{
	return (1u << (22 - fraction_bits)) - 1u + ((magnitude >> (23 - fraction_bits)) & 1u);
}

#define E4M3_NORMAL 0x3c800000u /* 2^-6 */
#define E4M3_ANCHOR 16384.0f	/* the last bit of a float32 of this size weighs 2^-9, the unit of the denormals */
#define E5M2_NORMAL 0x38800000u /* 2^-14 */
#define E5M2_ANCHOR 128.0f	/* 2^-16 */

static inline uint8_t code_e4m3(float value)
{
	uint32_t bits = pccl_float_bits(value), magnitude = bits & 0x7fffffffu;
	uint32_t normal = shorten_normal(magnitude, 3, 120, nearest_increment(magnitude, 3));
	uint32_t denormal = pccl_float_bits(pccl_bits_float(magnitude) + E4M3_ANCHOR) - pccl_float_bits(E4M3_ANCHOR);
	uint32_t code = magnitude < E4M3_NORMAL ? denormal : normal;

	code = magnitude > 0x7f800000u ? 0x7fu : code;
	return (uint8_t)(((bits >> 24) & 0x80u) | code);
}

static inline uint8_t code_e5m2(float value)
{
	uint32_t bits = pccl_float_bits(value), magnitude = bits & 0x7fffffffu;
	uint32_t normal = shorten_normal(magnitude, 2, 112, nearest_increment(magnitude, 2));
	uint32_t denormal = pccl_float_bits(pccl_bits_float(magnitude) + E5M2_ANCHOR) - pccl_float_bits(E5M2_ANCHOR);
	uint32_t code = magnitude < E5M2_NORMAL ? denormal : normal;

	code = magnitude == 0x7f800000u ? 0x7cu : code;
	code = magnitude > 0x7f800000u ? 0x7eu : code;
	return (uint8_t)(((bits >> 24) & 0x80u) | code);
}

/* A denormal's multiple of the unit, rounded at random. */
static inline uint32_t random_units(uint32_t magnitude, float unit_inverse, uint32_t bits)
{
	float units = pccl_bits_float(magnitude) * unit_inverse, below;

	units = units < 1024.0f ? units : 0.0f;
	below = floor_float(units);
	return (uint32_t)(int32_t)below + (random_fraction(bits) < units - below ? 1u : 0u);
}

static inline uint8_t code_e4m3_random(float value, uint32_t random)
{
	uint32_t bits = pccl_float_bits(value), magnitude = bits & 0x7fffffffu;
	uint32_t normal = shorten_normal(magnitude, 3, 120, random >> 12);
	uint32_t denormal = random_units(magnitude, 0x1p9f, random);
	uint32_t code = magnitude < E4M3_NORMAL ? denormal : normal;

	code = code > 0x7eu ? 0x7eu : code;
	code = magnitude > 0x7f800000u ? 0x7fu : code;
	return (uint8_t)(((bits >> 24) & 0x80u) | code);
}

static inline uint8_t code_e5m2_random(float value, uint32_t random)
{
	uint32_t bits = pccl_float_bits(value), magnitude = bits & 0x7fffffffu;
	uint32_t normal = shorten_normal(magnitude, 2, 112, random >> 11);
	uint32_t denormal = random_units(magnitude, 0x1p16f, random);
	uint32_t code = magnitude < E5M2_NORMAL ? denormal : normal;

	code = code > 0x7bu ? 0x7bu : code;
	code = magnitude == 0x7f800000u ? 0x7cu : code;
	code = magnitude > 0x7f800000u ? 0x7eu : code;
	return (uint8_t)(((bits >> 24) & 0x80u) | code);
}

static inline float value_e4m3(uint8_t code)
{
	uint32_t sign = (uint32_t)(code & 0x80u) << 24, magnitude = code & 0x7fu;
	uint32_t normal = (magnitude << 20) + (120u << 23);
	uint32_t denormal = pccl_float_bits(pccl_bits_float(magnitude + pccl_float_bits(E4M3_ANCHOR)) - E4M3_ANCHOR);
	uint32_t bits = magnitude < 8u ? denormal : normal;

	bits = magnitude == 0x7fu ? 0x7fc00000u : bits;
	return pccl_bits_float(sign | bits);
}

static inline float value_e5m2(uint8_t code)
{
	uint32_t sign = (uint32_t)(code & 0x80u) << 24, magnitude = code & 0x7fu;
	uint32_t normal = (magnitude << 21) + (112u << 23);
	uint32_t denormal = pccl_float_bits(pccl_bits_float(magnitude + pccl_float_bits(E5M2_ANCHOR)) - E5M2_ANCHOR);
	uint32_t bits = magnitude < 4u ? denormal : normal;

	bits = magnitude == 0x7cu ? 0x7f800000u : bits;
	bits = magnitude > 0x7cu ? 0x7fc00000u : bits;
	return pccl_bits_float(sign | bits);
}

/* ---- E3M0: sign and exponent; 0, 1, 2, 4 ... 64. A tie goes away from zero. ---- */

static inline uint8_t code_e3m0(float value)
{
	uint32_t bits = pccl_float_bits(value), magnitude = bits & 0x7fffffffu;
	/* Half a binade carries into the exponent; 1.0 has the exponent field 127 and gets the code 1. */
	int32_t power = (int32_t)((magnitude + 0x400000u) >> 23) - 126;
	int32_t code = power < 1 ? 1 : power;

	code = code > 7 ? 7 : code;
	code = magnitude < 0x3f000000u ? 0 : code;
	return (uint8_t)(((bits >> 28) & 8u) | (uint32_t)code);
}

static inline uint8_t code_e3m0_random(float value, uint32_t random)
{
	uint32_t bits = pccl_float_bits(value), magnitude = bits & 0x7fffffffu;
	int32_t power = (int32_t)((magnitude + (random >> 9)) >> 23) - 126;
	int32_t below_one = random_fraction(random) < pccl_bits_float(magnitude) ? 1 : 0;
	int32_t code = magnitude < 0x3f800000u ? below_one : power;

	code = code > 7 ? 7 : code;
	return (uint8_t)(((bits >> 28) & 8u) | (uint32_t)code);
}

static inline float value_e3m0(uint8_t code)
{
	uint32_t power = code & 7u;
	uint32_t magnitude = power == 0 ? 0 : (power + 126u) << 23;

	return pccl_bits_float(((uint32_t)(code & 8u) << 28) | magnitude);
}

/* ---- stochastic rounding of the casts ---- */

static inline uint16_t bfloat_random(float value, uint32_t random)
{
	uint32_t bits = pccl_float_bits(value);

	if ((bits & 0x7f800000u) == 0x7f800000u)
		return pccl_float_to_bfloat(value);
	return (uint16_t)((bits + (random >> 16)) >> 16);
}

static inline uint16_t half_random(float value, uint32_t random)
{
	uint32_t bits = pccl_float_bits(value), magnitude = bits & 0x7fffffffu;
	uint32_t half = magnitude < 0x38800000u ? random_units(magnitude, 0x1p24f, random)
						: shorten_normal(magnitude, 10, 112, random >> 19);

	if (magnitude >= 0x47800000u)
		return pccl_float_to_half(value);
	return (uint16_t)(((bits >> 16) & 0x8000u) | half);
}

#endif
