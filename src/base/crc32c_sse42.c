/* CRC32C by the processor's instruction. It takes three cycles but can start every cycle, so three parts of a block
 * are done side by side and put together by a multiplication: moving a register over n zero bytes is multiplying it
 * by x^(8n) modulo the polynomial. */
#include "base/crc32c.h"

#if defined(__SSE4_2__) && defined(__PCLMUL__)

#include "base/crc32c_parts.h"

#define LONG_BYTES 1024
#define SHORT_BYTES 128

#define SHIFT_128 0x0d3b6092
#define SHIFT_256 0xb9e02b86
#define SHIFT_1024 0x170076fa
#define SHIFT_2048 0xa51b6135

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
