/* CRC32C by the processor's instruction. It takes three cycles but can start every cycle, so three parts of a block
 * are done side by side and put together by a multiplication: moving a register over n zero bytes is multiplying it
 * by x^(8n) modulo the polynomial. */
#include "base/crc32c.h"

#if defined(__SSE4_2__) && defined(__PCLMUL__)

#include <nmmintrin.h>
#include <string.h>
#include <wmmintrin.h>

#define LONG_BYTES 1024
#define SHORT_BYTES 128
#define LINE_BYTES 64
/* What is read from memory has to be asked for by us: the processor does not see three parts in turn coming. Twice as
 * fast so; further ahead is no better. */
#define AHEAD_BYTES 4096

/* x^(8n - 33) modulo the polynomial, bits reversed: the instruction on 64 bits makes up for the missing 33. */
#define SHIFT_128 0x0d3b6092
#define SHIFT_256 0xb9e02b86
#define SHIFT_1024 0x170076fa
#define SHIFT_2048 0xa51b6135

static uint64_t load64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

static uint64_t multiply(uint64_t crc, uint32_t shift)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128(shift), 0);

	return (uint64_t)_mm_cvtsi128_si64(product);
}

/* Reads nothing: it does no harm beyond the end. */
static inline void prefetch_line(const uint8_t *at, size_t offset)
{
	_mm_prefetch((const char *)((uintptr_t)at + offset), _MM_HINT_T0);
}

/* The register after 3 * part bytes; shift_1 and shift_2 move it over one and two parts. */
static inline uint64_t three_parts(uint64_t crc, const uint8_t *at, size_t part, uint32_t shift_1, uint32_t shift_2)
{
	uint64_t second = 0;
	uint64_t third = 0;
	size_t line, offset;

	for (line = 0; line < part; line += LINE_BYTES) {
		prefetch_line(at, AHEAD_BYTES + 3 * line);
		prefetch_line(at, AHEAD_BYTES + 3 * line + LINE_BYTES);
		prefetch_line(at, AHEAD_BYTES + 3 * line + 2 * LINE_BYTES);
		for (offset = line; offset < line + LINE_BYTES; offset += 8) {
			crc = _mm_crc32_u64(crc, load64(at + offset));
			second = _mm_crc32_u64(second, load64(at + part + offset));
			third = _mm_crc32_u64(third, load64(at + 2 * part + offset));
		}
	}
	return third ^ _mm_crc32_u64(0, multiply(crc, shift_2) ^ multiply(second, shift_1));
}

uint32_t pccl_crc32c_sse42(uint32_t crc, const void *bytes, size_t count)
{
	const uint8_t *at = bytes;
	uint64_t state = ~crc;

	for (; count >= 3 * LONG_BYTES; count -= 3 * LONG_BYTES, at += 3 * LONG_BYTES)
		state = three_parts(state, at, LONG_BYTES, SHIFT_1024, SHIFT_2048);
	for (; count >= 3 * SHORT_BYTES; count -= 3 * SHORT_BYTES, at += 3 * SHORT_BYTES)
		state = three_parts(state, at, SHORT_BYTES, SHIFT_128, SHIFT_256);
	for (; count >= 8; count -= 8, at += 8)
		state = _mm_crc32_u64(state, load64(at));
	for (; count > 0; count--)
		state = _mm_crc32_u8((uint32_t)state, *at++);
	return ~(uint32_t)state;
}

#else
typedef int pccl_crc32c_sse42_is_empty; /* ISO C wants something in every file */
#endif
