/* Counting in bitmaps: only tests do. */
#ifndef PCCL_TESTS_BITS_H
#define PCCL_TESTS_BITS_H

#include "base/bitmap.h"

/* How many of the first `bits` bits are set. */
static inline size_t bits_set(const uint64_t *words, size_t bits)
{
	size_t count = 0, index;

	for (index = 0; index < bits; index++)
		count += pccl_bitmap_test(words, index);
	return count;
}

#endif
