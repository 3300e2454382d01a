/* Integers are reduced in 64 bits and cut; floats in double, which is exact for the values used, and rounded once. */
#include "values.h"

#include <string.h>

#include "check.h"

static const unsigned char sizes[VALUES_TYPES] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};

size_t values_bytes(pcclDataType_t type)
{
	return sizes[type];
}

static bool is_float(pcclDataType_t type)
{
	return type >= pcclFloat16;
}

static bool is_signed(pcclDataType_t type)
{
	return type == pcclInt8 || type == pcclInt16 || type == pcclInt32 || type == pcclInt64;
}

/* Mixes all bits of both numbers. */
static uint64_t mix(uint64_t seed, uint64_t index)
{
	uint64_t x = (index + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (seed + 1) * UINT64_C(0xd1342543de82ef95);

	x ^= x >> 29;
	x *= UINT64_C(0xff51afd7ed558ccd);
	return x ^ x >> 32;
}

static double float_value(unsigned seed, uint64_t index)
{
	static const double values[] = {1, 2, -1, -2};

	return values[mix(seed, index) & 3];
}

/* The bits of a value that has `fraction_bits` behind the leading one and fits the exponent: normal numbers only. */
static uint16_t narrow(double value, unsigned exponent_bias, unsigned fraction_bits)
{
	uint64_t bits, sign, fraction, half;
	int exponent;

	if (value == 0)
		return 0;
	memcpy(&bits, &value, sizeof(bits));
	sign = bits >> 63;
	exponent = (int)(bits >> 52 & 0x7ff) - 1023 + (int)exponent_bias;
	fraction = bits & ((UINT64_C(1) << 52) - 1);
	half = UINT64_C(1) << (51 - fraction_bits);
	fraction += half - 1 + (fraction >> (52 - fraction_bits) & 1); /* to nearest, ties to even; may carry */
	return (uint16_t)(sign << 15 | (((uint64_t)exponent << fraction_bits) + (fraction >> (52 - fraction_bits))));
}

static void store_float(void *at, pcclDataType_t type, double value)
{
	float single = (float)value;
	uint16_t half;

	if (type == pcclFloat) {
		memcpy(at, &single, sizeof(single));
	} else if (type == pcclDouble) {
		memcpy(at, &value, sizeof(value));
	} else {
		half = type == pcclFloat16 ? narrow(single, 15, 10) : narrow(single, 127, 7);
		memcpy(at, &half, sizeof(half));
	}
}

/* The low bytes: this machine is little-endian, or the test says so. */
static void store_integer(void *at, pcclDataType_t type, uint64_t value)
{
	memcpy(at, &value, sizes[type]);
}

/* As a number of 64 bits: sign-extended or not. */
static uint64_t extend(pcclDataType_t type, uint64_t value)
{
	unsigned drop = 64 - 8u * sizes[type];

	if (is_signed(type))
		return (uint64_t)((int64_t)(value << drop) >> drop);
	return value << drop >> drop;
}

void values_fill(void *buffer, pcclDataType_t type, uint64_t first, size_t count, unsigned seed)
{
	char *at = buffer;
	size_t i;

	for (i = 0; i < count; i++, at += sizes[type]) {
		if (is_float(type))
			store_float(at, type, float_value(seed, first + i));
		else
			store_integer(at, type, mix(seed, first + i));
	}
}

static double reduce_float(pcclDataType_t type, pcclRedOp_t op, uint64_t index, const unsigned *seeds, unsigned count)
{
	double result = float_value(seeds[0], index);
	unsigned i;

	for (i = 1; i < count; i++) {
		double value = float_value(seeds[i], index);

		if (op == pcclSum || op == pcclAvg)
			result += value;
		else if (op == pcclProd)
			result *= value;
		else if (op == pcclMax ? value > result : value < result)
			result = value;
	}
	if (op != pcclAvg)
		return result;
	return type == pcclDouble ? result / count : (double)((float)result / (float)count);
}

static uint64_t reduce_integer(pcclDataType_t type, pcclRedOp_t op, uint64_t index, const unsigned *seeds,
			       unsigned count)
{
	uint64_t result = extend(type, mix(seeds[0], index));
	unsigned i;

	for (i = 1; i < count; i++) {
		uint64_t value = extend(type, mix(seeds[i], index));
		bool greater = is_signed(type) ? (int64_t)value > (int64_t)result : value > result;

		if (op == pcclSum || op == pcclAvg)
			result += value;
		else if (op == pcclProd)
			result *= value;
		else if (op == pcclMax ? greater : !greater)
			result = value;
	}
	if (op != pcclAvg)
		return result;
	result = extend(type, result);
	return is_signed(type) ? (uint64_t)((int64_t)result / (int64_t)count) : result / count;
}

size_t values_matching(const void *buffer, pcclDataType_t type, pcclRedOp_t op, uint64_t first, size_t count,
		       const unsigned *seeds, unsigned seed_count)
{
	const char *at = buffer;
	uint64_t expected;
	size_t i;

	for (i = 0; i < count; i++, at += sizes[type]) {
		if (is_float(type))
			store_float(&expected, type, reduce_float(type, op, first + i, seeds, seed_count));
		else
			store_integer(&expected, type, reduce_integer(type, op, first + i, seeds, seed_count));
		if (memcmp(at, &expected, sizes[type]) != 0)
			break;
	}
	return i;
}

bool values_reduced(const void *buffer, pcclDataType_t type, pcclRedOp_t op, uint64_t first, size_t count,
		    const unsigned *seeds, unsigned seed_count)
{
	size_t matching = values_matching(buffer, type, op, first, count, seeds, seed_count);

	if (matching == count)
		return true;
	print_message("element %llu of %llu of type %d, operation %d, of %u peers, is wrong\n",
		      (unsigned long long)matching, (unsigned long long)count, (int)type, (int)op, seed_count);
	return false;
}

bool values_filled(const void *buffer, pcclDataType_t type, uint64_t first, size_t count, unsigned seed)
{
	const char *at = buffer;
	uint64_t expected;
	size_t i;

	for (i = 0; i < count; i++, at += sizes[type]) {
		values_fill(&expected, type, first + i, 1, seed);
		if (memcmp(at, &expected, sizes[type]) != 0)
			return false;
	}
	return true;
}

uint64_t values_hash(const void *buffer, size_t bytes)
{
	const unsigned char *at = buffer;
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	size_t i;

	for (i = 0; i < bytes; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return hash;
}
