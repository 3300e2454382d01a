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

bool pccl_bitmap_all(const uint64_t *words, size_t bits)
{
	size_t word;

	for (word = 0; word < pccl_bitmap_words(bits); word++)
		if ((words[word] & mask_of(word, bits)) != mask_of(word, bits))
			return false;
	return true;
}

void pccl_bitmap_or(uint64_t *target, const uint64_t *source, size_t bits)
{
	size_t word;

	for (word = 0; word < pccl_bitmap_words(bits); word++)
		target[word] |= source[word] & mask_of(word, bits);
}

size_t pccl_bitmap_next_clear(const uint64_t *words, size_t from, size_t bits)
{
	size_t word = from / 64;
	uint64_t below = from % 64 != 0 ? (UINT64_C(1) << (from % 64)) - 1 : 0;

	for (; word < pccl_bitmap_words(bits); word++) {
		uint64_t clear = ~words[word] & mask_of(word, bits) & ~below;

		if (clear != 0)
			return word * 64 + (size_t)__builtin_ctzll(clear);
		below = 0;
	}
	return bits;
}
