/* The generator is xoshiro256** by Blackman and Vigna, seeded through splitmix64; the hash is splitmix64 at a given
 * place of its sequence. */
#include "base/rng.h"

#include <assert.h>

#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

static uint64_t mix(uint64_t value)
{
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

static uint64_t rotate_left(uint64_t value, unsigned int bits)
{
	return value << bits | value >> (64 - bits);
}

void pccl_rng_seed(struct pccl_rng *rng, uint64_t seed)
{
	unsigned int index;

	for (index = 0; index < 4; index++)
		rng->s[index] = mix(seed + (index + 1) * GOLDEN_GAMMA);
}

uint64_t pccl_rng_u64(struct pccl_rng *rng)
{
	uint64_t *s = rng->s;
	uint64_t value = rotate_left(s[1] * 5, 7) * 9;
	uint64_t shifted = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= shifted;
	s[3] = rotate_left(s[3], 45);
	return value;
}

uint64_t pccl_rng_below(struct pccl_rng *rng, uint64_t n)
{
	uint64_t remainder;
	uint64_t value;

	assert(n > 0);
	/* The lowest 2^64 mod n values are drawn again, so that what is left is a multiple of n. */
	remainder = (UINT64_MAX - n + 1) % n;
	do {
		value = pccl_rng_u64(rng);
	} while (value < remainder);
	return value % n;
}

bool pccl_rng_chance(struct pccl_rng *rng, uint64_t numerator, uint64_t denominator)
{
	return pccl_rng_below(rng, denominator) < numerator;
}

double pccl_rng_double(struct pccl_rng *rng)
{
	return (double)(pccl_rng_u64(rng) >> 11) * 0x1p-53;
}

uint64_t pccl_rng_hash(uint64_t key, uint64_t counter)
{
	return mix(mix(key + GOLDEN_GAMMA) + (counter + 1) * GOLDEN_GAMMA);
}
