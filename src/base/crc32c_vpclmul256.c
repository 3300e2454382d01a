/* CRC32C by the processor's instruction and by folding (see crc32c_vpclmul512.c) at the same time: they use different
 * parts of the processor, so half of a block by each takes little longer than half of it by one. */
#include "base/crc32c.h"

#if defined(__AVX2__) && defined(__VPCLMULQDQ__) && defined(__SSE4_2__)

#include <immintrin.h>

#include "base/crc32c_parts.h"

/* A block is three parts for the instruction and one for folding, done in so many steps. */
#define STEPS 32
#define PART_STEP_BYTES 40
#define FOLD_STEP_BYTES 128
#define PART_BYTES (STEPS * PART_STEP_BYTES)
#define FOLD_BYTES (STEPS * FOLD_STEP_BYTES)
#define BLOCK_BYTES (3 * PART_BYTES + FOLD_BYTES)
#define VECTOR_BYTES 32

/* Over one part, two parts, and what is folded. */
#define SHIFT_1280 0xdd66cbbb
#define SHIFT_2560 0x22c3799f
#define SHIFT_4096 0x82f89c77

#define FOLD_1024_LOW 0x06992cea2
#define FOLD_1024_HIGH 0x00d3b6092
#define FOLD_256_LOW 0x1384aa63a
#define FOLD_256_HIGH 0x0ba4fc28e

static inline __m256i load256(const uint8_t *at)
{
	return _mm256_loadu_si256((const void *)at);
}

static inline __m256i fold(__m256i pieces, __m256i factors, __m256i there)
{
	__m256i low = _mm256_clmulepi64_epi128(pieces, factors, 0x00);
	__m256i high = _mm256_clmulepi64_epi128(pieces, factors, 0x11);

	return _mm256_xor_si256(_mm256_xor_si256(low, high), there);
}

static inline __m256i factors(uint64_t low, uint64_t high)
{
	return _mm256_set_epi64x((long long)high, (long long)low, (long long)high, (long long)low);
}

/* The register after the bytes that four vectors stand for. */
static inline uint64_t reduce(__m256i a, __m256i b, __m256i c, __m256i d)
{
	const __m256i near = factors(FOLD_256_LOW, FOLD_256_HIGH);
	uint64_t state;

	d = fold(fold(fold(a, near, b), near, c), near, d);
	state = _mm_crc32_u64(0, (uint64_t)_mm256_extract_epi64(d, 0));
	state = _mm_crc32_u64(state, (uint64_t)_mm256_extract_epi64(d, 1));
	state = _mm_crc32_u64(state, (uint64_t)_mm256_extract_epi64(d, 2));
	return _mm_crc32_u64(state, (uint64_t)_mm256_extract_epi64(d, 3));
}

static inline void prefetch_step(const uint8_t *at)
{
	prefetch_line(at, AHEAD_BYTES);
	prefetch_line(at, AHEAD_BYTES + LINE_BYTES);
	prefetch_line(at, AHEAD_BYTES + 2 * LINE_BYTES);
	prefetch_line(at, AHEAD_BYTES + 3 * LINE_BYTES);
}

/* The register after one block. */
static inline uint64_t block(uint64_t first, const uint8_t *at)
{
	const __m256i far = factors(FOLD_1024_LOW, FOLD_1024_HIGH);
	const uint8_t *folded = at + 3 * PART_BYTES;
	__m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
	uint64_t second = 0, third = 0;
	size_t step, offset;

	for (step = 0; step < STEPS; step++) {
		const uint8_t *part = at + step * PART_STEP_BYTES;
		const uint8_t *vectors = folded + step * FOLD_STEP_BYTES;

		prefetch_step(at + step * (BLOCK_BYTES / STEPS));
		for (offset = 0; offset < PART_STEP_BYTES; offset += 8) {
			first = _mm_crc32_u64(first, load64(part + offset));
			second = _mm_crc32_u64(second, load64(part + PART_BYTES + offset));
			third = _mm_crc32_u64(third, load64(part + 2 * PART_BYTES + offset));
		}
		a = fold(a, far, load256(vectors));
		b = fold(b, far, load256(vectors + VECTOR_BYTES));
		c = fold(c, far, load256(vectors + 2 * VECTOR_BYTES));
		d = fold(d, far, load256(vectors + 3 * VECTOR_BYTES));
	}
	third ^= _mm_crc32_u64(0, multiply(first, SHIFT_2560) ^ multiply(second, SHIFT_1280));
	return reduce(a, b, c, d) ^ _mm_crc32_u64(0, multiply(third, SHIFT_4096));
}

uint32_t pccl_crc32c_vpclmul256(uint32_t crc, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	uint64_t state = ~crc;

	for (; count >= BLOCK_BYTES; count -= BLOCK_BYTES, at += BLOCK_BYTES)
		state = block(state, at);
	return pccl_crc32c_sse42(~(uint32_t)state, at, count);
}

#else
typedef int pccl_crc32c_vpclmul256_is_empty; /* ISO C wants something in every file */
#endif
