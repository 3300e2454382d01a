/* CRC32C by folding: a 128-bit piece of the message can be replaced by a 128-bit value further on that leaves the same
 * remainder, its halves multiplied by powers of x. Sixteen pieces are folded over 256 bytes at a time; what is left of
 * them at the end is a message of 16 bytes for the ordinary instruction. */
#include "base/crc32c.h"

#if defined(__AVX512BW__) && defined(__AVX512VL__) && defined(__VPCLMULQDQ__) && defined(__SSE4_2__)

#include <immintrin.h>

#define BLOCK_BYTES 256
#define VECTOR_BYTES 64

/* x^(d + 32) and x^(d - 32) modulo the polynomial, bits reversed in 33 bits, for a distance of d bits: for the low and
 * the high half of the piece. */
#define FOLD_2048_LOW 0x0dcb17aa4
#define FOLD_2048_HIGH 0x0b9e02b86
#define FOLD_512_LOW 0x0740eef02
#define FOLD_512_HIGH 0x09e4addf8
#define FOLD_384_LOW 0x01c291d04
#define FOLD_384_HIGH 0x1d82c63da
#define FOLD_256_LOW 0x1384aa63a
#define FOLD_256_HIGH 0x0ba4fc28e
#define FOLD_128_LOW 0x0f20c0dfe
#define FOLD_128_HIGH 0x14cd00bd6

static inline __m512i load(const uint8_t *at)
{
	return _mm512_loadu_si512((const void *)at);
}

/* `pieces` moved on by the distance of `factors`, and what is there already. */
static inline __m512i fold(__m512i pieces, __m512i factors, __m512i there)
{
	__m512i low = _mm512_clmulepi64_epi128(pieces, factors, 0x00);
	__m512i high = _mm512_clmulepi64_epi128(pieces, factors, 0x11);

	return _mm512_ternarylogic_epi64(low, high, there, 0x96);
}

/* The register after the four pieces: the first three are folded onto the last. */
static inline uint32_t reduce(__m512i pieces)
{
	const __m512i factors = _mm512_set_epi64(0, 0, FOLD_128_HIGH, FOLD_128_LOW, FOLD_256_HIGH, FOLD_256_LOW,
						 FOLD_384_HIGH, FOLD_384_LOW);
	__m512i last = _mm512_maskz_mov_epi64(0xc0, pieces);
	__m512i sums = fold(pieces, factors, last);
	__m256i half = _mm256_xor_si256(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1));
	__m128i rest = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
	uint64_t state = _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(rest));

	return (uint32_t)_mm_crc32_u64(state, (uint64_t)_mm_extract_epi64(rest, 1));
}

/* The register after `count` bytes, at least one block and a multiple of the vector. */
static uint32_t fold_all(uint32_t state, const uint8_t *at, size_t count)
{
	const __m512i far = _mm512_set4_epi64(FOLD_2048_HIGH, FOLD_2048_LOW, FOLD_2048_HIGH, FOLD_2048_LOW);
	const __m512i near = _mm512_set4_epi64(FOLD_512_HIGH, FOLD_512_LOW, FOLD_512_HIGH, FOLD_512_LOW);
	__m512i a = _mm512_xor_si512(load(at), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)state)));
	__m512i b = load(at + VECTOR_BYTES);
	__m512i c = load(at + 2 * VECTOR_BYTES);
	__m512i d = load(at + 3 * VECTOR_BYTES);

	for (at += BLOCK_BYTES, count -= BLOCK_BYTES; count >= BLOCK_BYTES; at += BLOCK_BYTES, count -= BLOCK_BYTES) {
		a = fold(a, far, load(at));
		b = fold(b, far, load(at + VECTOR_BYTES));
		c = fold(c, far, load(at + 2 * VECTOR_BYTES));
		d = fold(d, far, load(at + 3 * VECTOR_BYTES));
	}
	d = fold(fold(fold(a, near, b), near, c), near, d);
	for (; count >= VECTOR_BYTES; at += VECTOR_BYTES, count -= VECTOR_BYTES)
		d = fold(d, near, load(at));
	return reduce(d);
}

uint32_t pccl_crc32c_vpclmul512(uint32_t crc, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	size_t folded = count - count % VECTOR_BYTES;

	if (folded < BLOCK_BYTES)
		return pccl_crc32c_sse42(crc, bytes, count);
	crc = ~fold_all(~crc, at, folded);
	return pccl_crc32c_sse42(crc, at + folded, count - folded);
}

#else
typedef int pccl_crc32c_vpclmul512_is_empty; /* ISO C wants something in every file */
#endif
