/*
 * Two loops of the integer codecs that compilers vectorize badly, for AVX2 (and AVX-512, which has all of it) by hand:
 * the largest magnitude of every few elements, and rounding to bytes. Elsewhere the plain loops serve. Same bits, of
 * course.
 */
#ifndef PCCL_COLLECTIVES_CODEC_VECTOR_H
#define PCCL_COLLECTIVES_CODEC_VECTOR_H

#include "collectives/codec/codec_code.h"

#include <stdbool.h>
#include <stddef.h>

/* Elements that nearest_bytes() takes at a time. */
#define NEAREST_BYTES 16

/* Sub-blocks that sub_magnitudes() takes at a time. */
#define SUB_MAGNITUDES 8

#if defined(__AVX2__)
#include <immintrin.h>

/* The largest magnitudes, as bits, of `vectors` vectors of eight floats. */
static inline __m256i greatest_in_lanes(const any_float *in, size_t vectors)
{
	const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
	__m256i greatest = _mm256_setzero_si256();
	size_t k;

	PCCL_UNROLLED
	for (k = 0; k < vectors; k++)
		greatest = _mm256_max_epi32(
			greatest, _mm256_and_si256(_mm256_loadu_si256((const void *)(in + 8 * k)), magnitude));
	return greatest;
}

/* Of two vectors the maxima of lanes two apart, of the one and the other by turns. */
static inline __m256i merge_lanes(__m256i a, __m256i b)
{
	return _mm256_max_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}

static inline __m256i merge_pairs(__m256i a, __m256i b)
{
	return _mm256_max_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* Magnitudes of SUB_MAGNITUDES sub-blocks of `sub` elements each, a multiple of 8, as bits of float32: those order as
 * the numbers do. False if it has done nothing. */
static inline bool sub_magnitudes_float(const any_float *in, size_t sub, float *out)
{
	__m256i lanes[SUB_MAGNITUDES], low, high;
	size_t k;

	PCCL_UNROLLED
	for (k = 0; k < SUB_MAGNITUDES; k++)
		lanes[k] = greatest_in_lanes(in + k * sub, sub / 8);
	low = merge_pairs(merge_lanes(lanes[0], lanes[1]), merge_lanes(lanes[2], lanes[3]));
	high = merge_pairs(merge_lanes(lanes[4], lanes[5]), merge_lanes(lanes[6], lanes[7]));
	_mm256_storeu_si256((void *)out, _mm256_max_epi32(_mm256_permute2x128_si256(low, high, 0x20),
							  _mm256_permute2x128_si256(low, high, 0x31)));
	return true;
}

/* The integers nearest to NEAREST_BYTES elements times `factor`, from -top to top, of each the bits of `mask`. Products
 * are below 2^15. */
static inline void nearest_bytes_float(const any_float *in, float factor, int top, int mask, uint8_t *out)
{
	const __m256 times = _mm256_set1_ps(factor);
	__m256i first = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps((const void *)in), times));
	__m256i second = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps((const void *)(in + 8)), times));
	__m256i words = _mm256_packs_epi32(first, second);
	__m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));

	bytes = _mm_shuffle_epi32(bytes, _MM_SHUFFLE(3, 1, 2, 0));
	bytes = _mm_max_epi8(bytes, _mm_set1_epi8((char)-top));
	bytes = _mm_min_epi8(bytes, _mm_set1_epi8((char)top));
	_mm_storeu_si128((void *)out, _mm_and_si128(bytes, _mm_set1_epi8((char)mask)));
}
#else
static inline bool sub_magnitudes_float(const any_float *in, size_t sub, float *out)
{
	(void)in;
	(void)sub;
	(void)out;
	return false;
}

static inline void nearest_bytes_float(const any_float *in, float factor, int top, int mask, uint8_t *out)
{
	size_t i;

	PCCL_INDEPENDENT
	PCCL_NOT_UNROLLED
	for (i = 0; i < NEAREST_BYTES; i++)
		out[i] = (uint8_t)(code_integer(in[i] * factor, top) & mask);
}
#endif

static inline bool sub_magnitudes_double(const any_double *in, size_t sub, double *out)
{
	(void)in;
	(void)sub;
	(void)out;
	return false;
}

static inline void nearest_bytes_double(const any_double *in, double factor, int top, int mask, uint8_t *out)
{
	size_t i;

	PCCL_INDEPENDENT
	PCCL_NOT_UNROLLED
	for (i = 0; i < NEAREST_BYTES; i++)
		out[i] = (uint8_t)(code_integer(odd_float(in[i] * factor), top) & mask);
}

#endif
