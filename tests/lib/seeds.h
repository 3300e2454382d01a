/* Which seeds a test of many random worlds runs. */
#ifndef PCCL_TESTS_SEEDS_H
#define PCCL_TESTS_SEEDS_H

#include <stdint.h>

/* The first and the last of `count` of them, or of half as many under the address sanitizer, where a world takes five
 * times as long; SEED in the environment: that one alone. */
void seeds_find(uint64_t count, uint64_t *first_out, uint64_t *last_out);

#endif
