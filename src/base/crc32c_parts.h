/* What the ways that use the processor's CRC32C instruction share. Registers are as the instruction has them, and 64
 * bits wide. */
#ifndef PCCL_BASE_CRC32C_PARTS_H
#define PCCL_BASE_CRC32C_PARTS_H

#include <nmmintrin.h>
#include <stdint.h>
#include <string.h>
#include <wmmintrin.h>

#define LINE_BYTES 64
/* What is read from memory has to be asked for by us: the processor does not see several places in turn coming. Twice
 * as fast so; further ahead is no better. */
#define AHEAD_BYTES 4096

/* Reads nothing: it does no harm beyond the end. */
static inline void prefetch_line(const uint8_t *at, size_t offset)
{
	_mm_prefetch((const char *)((uintptr_t)at + offset), _MM_HINT_T0);
}

static inline uint64_t load64(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

/* The register before n zero bytes times x^(8n - 33) modulo the polynomial, bits reversed: the instruction, given this
 * product of 64 bits, makes up for the missing 33 and has the register after them. */
static inline uint64_t multiply(uint64_t crc, uint32_t shift)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128(shift), 0);

	return (uint64_t)_mm_cvtsi128_si64(product);
}

#endif
