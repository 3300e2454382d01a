/*
 * NF4: sixteen quantiles of a normal distribution, the ends at -1 and 1. Many elements at a time, because tables of
 * sixteen are looked up best by the processor's permutations; the plain loops compute the same, bit for bit.
 *
 * Stochastic rounding takes a number from [0, 1) for each element.
 */
#ifndef PCCL_COLLECTIVES_CODEC_NF4_H
#define PCCL_COLLECTIVES_CODEC_NF4_H

#include "collectives/codec/codec_code.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

static const float nf4_levels[16] = {
	-1.0f,	     -0.69619280f, -0.52507305f, -0.39491749f, -0.28444138f, -0.18477343f, -0.09105004f, 0.0f,
	0.07958030f, 0.16093020f,  0.24611230f,	 0.33791524f,  0.44070983f,  0.56261700f,  0.72295684f,	 1.0f,
};

/* Halfway between neighbours. */
static const float nf4_bounds[15] = {
	-0.84809640f, -0.61063293f, -0.45999527f, -0.33967944f, -0.23460741f, -0.13791174f, -0.04552502f, 0.03979015f,
	0.12025525f,  0.20352125f,  0.29201377f,  0.38931254f,	0.50166342f,  0.64278692f,  0.86147842f,
};

static inline uint8_t code_nf4(float value)
{
	uint32_t code = 0, k;

	PCCL_UNROLLED
	for (k = 0; k < 15; k++)
		code += value > nf4_bounds[k] ? 1u : 0u;
	return (uint8_t)code;
}

static inline uint8_t code_nf4_random(float value, float fraction)
{
	uint32_t code = 0, k;
	float below;

	value = limit(value, 1.0f);
	PCCL_UNROLLED
	for (k = 1; k < 15; k++)
		code += value >= nf4_levels[k] ? 1u : 0u;
	below = nf4_levels[code];
	code += fraction * (nf4_levels[code + 1] - below) < value - below ? 1u : 0u;
	return (uint8_t)code;
}

#if defined(__AVX2__)
/* ---- eight at a time ---- */

/* Entry index & 15 of sixteen. */
static inline __m256 nf4_look_up(__m256i index)
{
	const __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(nf4_levels), index);
	const __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(nf4_levels + 8), index);

	/* The sign bit chooses: bit 3 of the index. */
	return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

/* One step down a binary tree: the left child of node k is 2 * k, the right one 2 * k + 1. */
static inline __m256i nf4_descend(__m256i node, __m256 goes_right)
{
	return _mm256_sub_epi32(_mm256_add_epi32(node, node), _mm256_castps_si256(goes_right));
}

#define NF4_STEP(node, tree, compare) \
	nf4_descend(node, _mm256_cmp_ps(value, _mm256_permutevar8x32_ps(tree, node), compare))

static inline __m256i nf4_codes_8(__m256 value)
{
	const float *b = nf4_bounds;
	const __m256 tree_2 = _mm256_setr_ps(b[3], b[11], 0, 0, 0, 0, 0, 0);
	const __m256 tree_4 = _mm256_setr_ps(b[1], b[5], b[9], b[13], 0, 0, 0, 0);
	const __m256 tree_8 = _mm256_setr_ps(b[0], b[2], b[4], b[6], b[8], b[10], b[12], b[14]);
	__m256i node = nf4_descend(_mm256_setzero_si256(), _mm256_cmp_ps(value, _mm256_set1_ps(b[7]), _CMP_GT_OQ));

	node = NF4_STEP(node, tree_2, _CMP_GT_OQ);
	node = NF4_STEP(node, tree_4, _CMP_GT_OQ);
	return NF4_STEP(node, tree_8, _CMP_GT_OQ);
}

static inline __m256i nf4_codes_random_8(__m256 value, __m256 fraction)
{
	const float *l = nf4_levels, never = 2;
	const __m256 tree_2 = _mm256_setr_ps(l[4], l[12], 0, 0, 0, 0, 0, 0);
	const __m256 tree_4 = _mm256_setr_ps(l[2], l[6], l[10], l[14], 0, 0, 0, 0);
	const __m256 tree_8 = _mm256_setr_ps(l[1], l[3], l[5], l[7], l[9], l[11], l[13], never);
	__m256 below, distance;
	__m256i node;

	value = _mm256_max_ps(_mm256_min_ps(value, _mm256_set1_ps(1)), _mm256_set1_ps(-1));
	node = nf4_descend(_mm256_setzero_si256(), _mm256_cmp_ps(value, _mm256_set1_ps(l[8]), _CMP_GE_OQ));
	node = NF4_STEP(node, tree_2, _CMP_GE_OQ);
	node = NF4_STEP(node, tree_4, _CMP_GE_OQ);
	node = NF4_STEP(node, tree_8, _CMP_GE_OQ);
	below = nf4_look_up(node);
	distance = _mm256_sub_ps(nf4_look_up(_mm256_add_epi32(node, _mm256_set1_epi32(1))), below);
	return _mm256_sub_epi32(node, _mm256_castps_si256(_mm256_cmp_ps(_mm256_mul_ps(fraction, distance),
									_mm256_sub_ps(value, below), _CMP_LT_OQ)));
}

static inline void nf4_store_8(__m256i codes, uint8_t *out)
{
	const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));

	_mm_storel_epi64((void *)out, _mm_packus_epi16(words, words));
}
#endif

/* ---- any number ---- */

static inline void codes_nf4(const float *values, size_t count, uint8_t *codes)
{
	size_t i = 0;

#if defined(__AVX2__)
	for (; i < count / 8 * 8; i += 8)
		nf4_store_8(nf4_codes_8(_mm256_loadu_ps(values + i)), codes + i);
#endif
	for (; i < count; i++)
		codes[i] = code_nf4(values[i]);
}

static inline void codes_random_nf4(const float *values, const float *fractions, size_t count, uint8_t *codes)
{
	size_t i = 0;

#if defined(__AVX2__)
	for (; i < count / 8 * 8; i += 8)
		nf4_store_8(nf4_codes_random_8(_mm256_loadu_ps(values + i), _mm256_loadu_ps(fractions + i)), codes + i);
#endif
	for (; i < count; i++)
		codes[i] = code_nf4_random(values[i], fractions[i]);
}

static inline void values_nf4(const uint8_t *codes, size_t count, float *values)
{
	size_t i = 0;

#if defined(__AVX2__)
	for (; i < count / 8 * 8; i += 8) {
		const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(codes + i)));

		_mm256_storeu_ps(values + i, nf4_look_up(wide));
	}
#endif
	for (; i < count; i++)
		values[i] = nf4_levels[codes[i] & 15u];
}

#endif
