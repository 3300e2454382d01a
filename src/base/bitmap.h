/* Bitmaps in plain 64-bit words of the caller: bit i is bit i % 64 of word i / 64. Bits of the last word past the end
 * count for nothing. */
#ifndef PCCL_BASE_BITMAP_H
#define PCCL_BASE_BITMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words that hold `bits` bits. */
static inline size_t pccl_bitmap_words(size_t bits)
{
	return bits / 64 + (bits % 64 != 0);
}

static inline void pccl_bitmap_set(uint64_t *words, size_t index)
{
	words[index / 64] |= UINT64_C(1) << (index % 64);
}

static inline void pccl_bitmap_clear(uint64_t *words, size_t index)
{
	words[index / 64] &= ~(UINT64_C(1) << (index % 64));
}

static inline bool pccl_bitmap_test(const uint64_t *words, size_t index)
{
	return (words[index / 64] >> (index % 64) & 1) != 0;
}

#endif
