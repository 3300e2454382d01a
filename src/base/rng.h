/* Random numbers that repeat: the same seed gives the same numbers on every machine. Not for secrets. */
#ifndef PCCL_BASE_RNG_H
#define PCCL_BASE_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct pccl_rng {
	uint64_t s[4];
};

/* Any seed is good, 0 too. */
void pccl_rng_seed(struct pccl_rng *rng, uint64_t seed);

/* 64 uniform bits. */
uint64_t pccl_rng_u64(struct pccl_rng *rng);

/* Uniform in 0 ... n - 1, without bias; n is at least 1. */
uint64_t pccl_rng_below(struct pccl_rng *rng, uint64_t n);

/* True in `numerator` of `denominator` cases; denominator is at least 1. */
bool pccl_rng_chance(struct pccl_rng *rng, uint64_t numerator, uint64_t denominator);

/* Uniform in [0, 1), 53 bits. */
double pccl_rng_double(struct pccl_rng *rng);

/* 64 uniform bits from a key and a counter, without state: the number of element `counter` of the stream `key` can be
 * had in any order and by any thread. */
uint64_t pccl_rng_hash(uint64_t key, uint64_t counter);

#endif
