/* Bitmaps in plain words. */
#include "base/bitmap.h"

/* The bits of word `word` that lie within the first `bits` bits. */
static uint64_t mask_of(size_t word, size_t bits)
{
	size_t left = bits - word * 64;

	return left >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << left) - 1;
}

size_t pccl_bitmap_count(const uint64_t *words, size_t bits)
{
	size_t count = 0;
	size_t word;

	for (word = 0; word < pccl_bitmap_words(bits); word++)
		count += (size_t)__builtin_popcountll(words[word] & mask_of(word, bits));
	return count;
}
