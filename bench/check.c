/* Inputs and expected results; see check.h. */
#include "check.h"

#include "names.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define BLOCK_ELEMENTS 1024

/* Elements in the form in which they are combined: integers modulo 2^64 (sign-extended if signed), the three small
 * floats as float. */
union wide {
	uint64_t integer[BLOCK_ELEMENTS];
	float single[BLOCK_ELEMENTS];
	double twice[BLOCK_ELEMENTS];
};

/* Elements as they lie in a buffer. */
union raw {
	uint8_t u8[BLOCK_ELEMENTS];
	uint16_t u16[BLOCK_ELEMENTS];
	uint32_t u32[BLOCK_ELEMENTS];
	uint64_t u64[BLOCK_ELEMENTS];
	float f32[BLOCK_ELEMENTS];
	double f64[BLOCK_ELEMENTS];
};

uint64_t bench_mix(uint64_t key, uint64_t counter)
{
	uint64_t mixed = key + (counter + 1) * UINT64_C(0x9e3779b97f4a7c15);

	mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xd6e8feb86659fd93);
	return mixed ^ (mixed >> 32);
}

float bench_float_of_bfloat(uint16_t bfloat)
{
	uint32_t bits = (uint32_t)bfloat << 16;
	float value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

uint16_t bench_bfloat_of_float(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	if (isnan(value))
		return (uint16_t)(bits >> 16 | 0x40);
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float bench_float_of_half(uint16_t half)
{
	int exponent = half >> 10 & 31;
	int fraction = half & 1023;
	float magnitude;

	if (exponent == 31)
		magnitude = fraction == 0 ? INFINITY : NAN;
	else if (exponent == 0)
		magnitude = ldexpf((float)fraction, -24);
	else
		magnitude = ldexpf((float)(fraction + 1024), exponent - 25);
	return half >> 15 ? -magnitude : magnitude;
}

uint16_t bench_half_of_float(float value)
{
	uint16_t sign = signbit(value) ? 0x8000 : 0;
	float magnitude = fabsf(value);
	int exponent = 0;
	float units;

	if (isnan(value))
		return sign | 0x7e00;
	if (magnitude == 0)
		return sign;
	if (magnitude >= 65520.0f)
		return sign | 0x7c00;
	/* The unit in the last place is 2^(exponent - 11), and 2^-24 for denormals; rintf() rounds ties to even. What
	 * the units carry beyond ten bits adds to the exponent field. */
	frexpf(magnitude, &exponent);
	if (exponent < -13)
		exponent = -13;
	units = rintf(ldexpf(magnitude, 11 - exponent));
	return (uint16_t)(sign | (((unsigned)(exponent + 13) << 10) + (unsigned)units));
}

/* Either sign, 0.5 to 1.5. */
static double unit_of(uint64_t bits, unsigned fraction_bits)
{
	uint64_t fraction = (bits >> 1) & ((UINT64_C(1) << fraction_bits) - 1);
	double magnitude = 0.5 + (double)fraction / (double)(UINT64_C(1) << fraction_bits);

	return bits & 1 ? -magnitude : magnitude;
}

static void fill_block(pcclDataType_t datatype, uint64_t key, uint64_t first, size_t count, union raw *out)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t bits = bench_mix(key, first + i);

		switch (datatype) {
		case pcclUint8:
		case pcclInt8:
			out->u8[i] = (uint8_t)bits;
			break;
		case pcclUint16:
		case pcclInt16:
			out->u16[i] = (uint16_t)bits;
			break;
		case pcclFloat16:
			out->u16[i] = bench_half_of_float((float)unit_of(bits, 11));
			break;
		case pcclBFloat16:
			out->u16[i] = bench_bfloat_of_float((float)unit_of(bits, 8));
			break;
		case pcclUint32:
		case pcclInt32:
			out->u32[i] = (uint32_t)bits;
			break;
		case pcclFloat:
			out->f32[i] = (float)unit_of(bits, 24);
			break;
		case pcclDouble:
			out->f64[i] = unit_of(bits, 53);
			break;
		default:
			out->u64[i] = bits;
			break;
		}
	}
}

static uint64_t input_key(uint64_t round, uint64_t identity)
{
	return bench_mix(bench_mix(0, round), identity);
}

void bench_input_fill(pcclDataType_t datatype, uint64_t round, uint64_t identity, uint64_t first, size_t count,
		      void *out)
{
	size_t element_bytes = bench_datatype_bytes(datatype);
	uint64_t key = input_key(round, identity);
	uint8_t *at = (uint8_t *)out;
	union raw block;

	for (size_t done = 0; done < count; done += BLOCK_ELEMENTS) {
		size_t some = count - done < BLOCK_ELEMENTS ? count - done : BLOCK_ELEMENTS;

		fill_block(datatype, key, first + done, some, &block);
		memcpy(at + done * element_bytes, &block, some * element_bytes);
	}
}

static void widen(pcclDataType_t datatype, const union raw *raw, size_t count, union wide *out)
{
	for (size_t i = 0; i < count; i++)
		switch (datatype) {
		case pcclUint8:
			out->integer[i] = raw->u8[i];
			break;
		case pcclInt8:
			out->integer[i] = (uint64_t)(int64_t)(int8_t)raw->u8[i];
			break;
		case pcclUint16:
			out->integer[i] = raw->u16[i];
			break;
		case pcclInt16:
			out->integer[i] = (uint64_t)(int64_t)(int16_t)raw->u16[i];
			break;
		case pcclUint32:
			out->integer[i] = raw->u32[i];
			break;
		case pcclInt32:
			out->integer[i] = (uint64_t)(int64_t)(int32_t)raw->u32[i];
			break;
		case pcclFloat16:
			out->single[i] = bench_float_of_half(raw->u16[i]);
			break;
		case pcclBFloat16:
			out->single[i] = bench_float_of_bfloat(raw->u16[i]);
			break;
		case pcclFloat:
			out->single[i] = raw->f32[i];
			break;
		case pcclDouble:
			out->twice[i] = raw->f64[i];
			break;
		default:
			out->integer[i] = raw->u64[i];
			break;
		}
}

static void narrow(pcclDataType_t datatype, const union wide *wide, size_t count, union raw *out)
{
	for (size_t i = 0; i < count; i++)
		switch (datatype) {
		case pcclUint8:
		case pcclInt8:
			out->u8[i] = (uint8_t)wide->integer[i];
			break;
		case pcclUint16:
		case pcclInt16:
			out->u16[i] = (uint16_t)wide->integer[i];
			break;
		case pcclFloat16:
			out->u16[i] = bench_half_of_float(wide->single[i]);
			break;
		case pcclBFloat16:
			out->u16[i] = bench_bfloat_of_float(wide->single[i]);
			break;
		case pcclUint32:
		case pcclInt32:
			out->u32[i] = (uint32_t)wide->integer[i];
			break;
		case pcclFloat:
			out->f32[i] = wide->single[i];
			break;
		case pcclDouble:
			out->f64[i] = wide->twice[i];
			break;
		default:
			out->u64[i] = wide->integer[i];
			break;
		}
}

static uint64_t combine_integers(pcclRedOp_t op, bool is_signed, uint64_t left, uint64_t right)
{
	bool less = is_signed ? (int64_t)left < (int64_t)right : left < right;

	switch (op) {
	case pcclSum:
	case pcclAvg:
		return left + right;
	case pcclProd:
		return left * right;
	case pcclMax:
		return less ? right : left;
	case pcclMin:
		return less ? left : right;
	}
	return 0;
}

static float combine_singles(pcclRedOp_t op, float left, float right)
{
	switch (op) {
	case pcclSum:
	case pcclAvg:
		return left + right;
	case pcclProd:
		return left * right;
	case pcclMax:
		return left < right ? right : left;
	case pcclMin:
		return left < right ? left : right;
	}
	return 0;
}

static double combine_doubles(pcclRedOp_t op, double left, double right)
{
	switch (op) {
	case pcclSum:
	case pcclAvg:
		return left + right;
	case pcclProd:
		return left * right;
	case pcclMax:
		return left < right ? right : left;
	case pcclMin:
		return left < right ? left : right;
	}
	return 0;
}

static void combine(pcclDataType_t datatype, pcclRedOp_t op, union wide *sum, const union wide *next, size_t count)
{
	bool is_signed = bench_datatype_is_signed(datatype);

	if (!bench_datatype_is_float(datatype))
		for (size_t i = 0; i < count; i++)
			sum->integer[i] = combine_integers(op, is_signed, sum->integer[i], next->integer[i]);
	else if (datatype == pcclDouble)
		for (size_t i = 0; i < count; i++)
			sum->twice[i] = combine_doubles(op, sum->twice[i], next->twice[i]);
	else
		for (size_t i = 0; i < count; i++)
			sum->single[i] = combine_singles(op, sum->single[i], next->single[i]);
}

/* Integers: the sum as it wraps in its own type, divided towards zero. */
static void divide(pcclDataType_t datatype, union wide *sum, size_t count, uint32_t divisor)
{
	bool is_signed = bench_datatype_is_signed(datatype);
	union raw wrapped;

	if (!bench_datatype_is_float(datatype)) {
		narrow(datatype, sum, count, &wrapped);
		widen(datatype, &wrapped, count, sum);
		for (size_t i = 0; i < count; i++)
			sum->integer[i] = is_signed ? (uint64_t)((int64_t)sum->integer[i] / (int64_t)divisor)
						    : sum->integer[i] / divisor;
	} else if (datatype == pcclDouble) {
		for (size_t i = 0; i < count; i++)
			sum->twice[i] /= (double)divisor;
	} else {
		for (size_t i = 0; i < count; i++)
			sum->single[i] /= (float)divisor;
	}
}

/* What one order of contributions makes of a block. */
static void reduce_block(const struct bench_expectation *expectation, const struct bench_order *order, uint64_t first,
			 size_t count, union raw *out)
{
	union wide sum, next;
	union raw input;

	assert(order->count > 0);
	for (uint32_t i = 0; i < order->count; i++) {
		uint64_t key = input_key(expectation->round, order->identities[i]);

		fill_block(expectation->datatype, key, first, count, &input);
		widen(expectation->datatype, &input, count, i == 0 ? &sum : &next);
		if (i > 0)
			combine(expectation->datatype, expectation->op, &sum, &next, count);
	}
	if (expectation->op == pcclAvg)
		divide(expectation->datatype, &sum, count, order->count);
	narrow(expectation->datatype, &sum, count, out);
}

/* Notes which elements are right; returns how many were found right that were not before. */
static size_t mark_right(size_t element_bytes, size_t count, const union raw *expected, const uint8_t *got, bool *right)
{
	const uint8_t *want = (const uint8_t *)expected;
	bool all = memcmp(want, got, count * element_bytes) == 0;
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		size_t at = i * element_bytes;

		if (right[i] || (!all && memcmp(want + at, got + at, element_bytes) != 0))
			continue;
		right[i] = true;
		found++;
	}
	return found;
}

/* Returns how many elements of a block no order explains. */
static size_t check_block(const struct bench_expectation *expectation, uint64_t first, size_t count, const uint8_t *got,
			  bool *right)
{
	size_t left = count;
	union raw expected;

	memset(right, 0, count * sizeof(right[0]));
	for (size_t i = 0; i < expectation->order_count && left > 0; i++) {
		reduce_block(expectation, &expectation->orders[i], first, count, &expected);
		left -= mark_right(bench_datatype_bytes(expectation->datatype), count, &expected, got, right);
	}
	return left;
}

static size_t first_false(const bool *right)
{
	size_t index = 0;

	while (right[index])
		index++;
	return index;
}

size_t bench_check_reduction(const struct bench_expectation *expectation, uint64_t first, size_t count,
			     const void *result, size_t *wrong_index_out)
{
	const uint8_t *got = (const uint8_t *)result;
	size_t element_bytes = bench_datatype_bytes(expectation->datatype);
	bool right[BLOCK_ELEMENTS];
	size_t wrong = 0;

	for (size_t done = 0; done < count; done += BLOCK_ELEMENTS) {
		size_t some = count - done < BLOCK_ELEMENTS ? count - done : BLOCK_ELEMENTS;
		size_t bad = check_block(expectation, first + done, some, got + done * element_bytes, right);

		if (bad > 0 && wrong == 0)
			*wrong_index_out = done + first_false(right);
		wrong += bad;
	}
	return wrong;
}

size_t bench_check_copy(pcclDataType_t datatype, uint64_t round, uint64_t identity, uint64_t first, size_t count,
			const void *result, size_t *wrong_index_out)
{
	struct bench_order order = {&identity, 1};
	struct bench_expectation expectation = {datatype, pcclSum, round, &order, 1};

	return bench_check_reduction(&expectation, first, count, result, wrong_index_out);
}
