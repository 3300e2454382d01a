/* What the tests of the codecs share: every valid combination of parameters, and elements of many kinds. */
#ifndef PCCL_TESTS_COLLECTIVES_CODEC_FIXTURE_H
#define PCCL_TESTS_COLLECTIVES_CODEC_FIXTURE_H

#include "base/rng.h"
#include "collectives/codec/codec.h"
#include "collectives/codec/codec_kernels.h"
#include "collectives/element/dtype.h"
#include "collectives/element/half.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Fills params_out with the index-th combination of codec, type, target, block and rounding; false past the last. */
static inline bool codec_combination(unsigned index, struct pccl_codec_params *params_out)
{
	static const pcclDataType_t types[] = {pcclFloat, pcclDouble, pcclFloat16, pcclBFloat16};
	static const pcclDataType_t targets[] = {pcclUint8, pcclInt8, pcclUint16, pcclInt16, pcclUint32, pcclInt32};
	static const uint32_t blocks[] = {64, 256, 448, 4096};
	struct pccl_codec_params params = {0, 0, pcclFloat, pcclUint8, 256, 0x123456789abcdef0u, 0};

	memset(params_out, 0, sizeof(*params_out));
	for (params.id = 0; params.id < PCCL_CODEC_COUNT; params.id++) {
		const struct pccl_codec *codec = pccl_codec_find(params.id);
		unsigned choices = codec->has_target ? 6 : codec->block_default != 0 ? 4 : 1, i;

		for (i = 0; i < choices * 4 * 2; i++) {
			params.type = types[i % 4];
			params.rounding = (uint8_t)(i / 4 % 2);
			/* So that they take all elements. */
			if (params.id == PCCL_CODEC_BF16 || params.id == PCCL_CODEC_FP16)
				params.rounding |= PCCL_ROUND_SATURATE;
			params.target = targets[codec->has_target ? i / 8 : 0];
			params.block = blocks[codec->block_default != 0 ? i / 8 % 4 : 0];
			if (pccl_codec_check(&params) != pcclSuccess)
				continue;
			if (index-- == 0) {
				*params_out = params;
				return true;
			}
		}
	}
	return false;
}

static inline double standard_normal(struct pccl_rng *rng)
{
	double u = 1.0 - pccl_rng_double(rng), v = pccl_rng_double(rng);

	return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

enum elements {
	ELEMENTS_NORMAL,
	ELEMENTS_OUTLIERS, /* one in a hundred is 100 times as large */
	ELEMENTS_WIDE,	   /* magnitudes from the smallest to the largest of the type */
	ELEMENTS_HUGE,	   /* up to the largest */
	ELEMENTS_DENORMAL,
	ELEMENTS_TINY,	 /* about the smallest normal number */
	ELEMENTS_SPARSE, /* mostly zeros of both signs */
	ELEMENTS_EQUAL,
	ELEMENTS_OFFSET, /* a narrow range far from zero */
	ELEMENTS_INTEGERS,
	ELEMENTS_KINDS
};

/* A finite value; `largest` and `smallest` are those of the type, the latter denormal. */
static inline double draw_element(struct pccl_rng *rng, enum elements kind, double largest, double smallest,
				  double level)
{
	double normal = standard_normal(rng);

	switch (kind) {
	case ELEMENTS_OUTLIERS:
		return pccl_rng_chance(rng, 1, 100) ? 100 * normal : normal;
	case ELEMENTS_WIDE:
		return copysign(exp2(log2(smallest) + pccl_rng_double(rng) * (log2(largest) - log2(smallest) - 1)),
				normal);
	case ELEMENTS_HUGE:
		return largest * (2 * pccl_rng_double(rng) - 1);
	case ELEMENTS_DENORMAL:
		return smallest * floor(200 * normal);
	case ELEMENTS_TINY:
		return smallest * 0x1p23 * normal;
	case ELEMENTS_SPARSE:
		return pccl_rng_chance(rng, 1, 20) ? normal : copysign(0.0, normal);
	case ELEMENTS_EQUAL:
		return level;
	case ELEMENTS_OFFSET:
		return 1000 * level + normal * 0x1p-12;
	case ELEMENTS_INTEGERS:
		return floor(level * normal);
	case ELEMENTS_NORMAL:
	case ELEMENTS_KINDS:
		break;
	}
	return normal * exp2(level);
}

static inline double limit_to(double value, double largest)
{
	return value > largest ? largest : value < -largest ? -largest : value;
}

/* Fills `count` elements of a floating point type; all are finite. */
static inline void fill_elements(struct pccl_rng *rng, enum elements kind, pcclDataType_t type, size_t count, void *out)
{
	const double level = 1 + 40 * pccl_rng_double(rng);
	uint8_t *to = out;
	size_t i;

	for (i = 0; i < count; i++, to += pccl_dtype_bytes(type)) {
		double wide;
		float single;
		uint16_t half;

		if (type == pcclDouble) {
			wide = draw_element(rng, kind, 0x1.fffffffffffffp1023, 0x1p-1074, level);
			memcpy(to, &wide, sizeof(wide));
			continue;
		}
		if (type == pcclFloat16) {
			half = pccl_float_to_half(
				(float)limit_to(draw_element(rng, kind, 65504, 0x1p-24, level), 65504));
			memcpy(to, &half, sizeof(half));
			continue;
		}
		single = (float)draw_element(rng, kind, 0x1.fffffep127, 0x1p-149, level);
		if (type == pcclFloat) {
			memcpy(to, &single, sizeof(single));
			continue;
		}
		half = pccl_float_to_bfloat((float)limit_to((double)single, 0x1.fep127));
		memcpy(to, &half, sizeof(half));
	}
}

/* The element at `index`, whatever its type. */
static inline double element_at(pcclDataType_t type, const void *elements, size_t index)
{
	const uint8_t *at = (const uint8_t *)elements + index * pccl_dtype_bytes(type);
	uint16_t half;
	float single;
	double wide;

	if (type == pcclDouble) {
		memcpy(&wide, at, sizeof(wide));
		return wide;
	}
	if (type == pcclFloat) {
		memcpy(&single, at, sizeof(single));
		return (double)single;
	}
	memcpy(&half, at, sizeof(half));
	return (double)(type == pcclFloat16 ? pccl_half_to_float(half) : pccl_bfloat_to_float(half));
}

#endif
