/* Peers that were started separately compare the flags that they all need alike. */
#ifndef PCCL_BENCH_AGREE_H
#define PCCL_BENCH_AGREE_H

#include "options.h"

#define BENCH_AGREE_FLAGS 18

/* What this peer was told, as numbers that can be compared; a number of its own for each flag. Pure. */
void bench_agree_fill(const struct bench_options *options, uint64_t words_out[BENCH_AGREE_FLAGS]);

/* "--iters, --check": the flags in which these differ; false: in none. Pure. */
bool bench_agree_differ(const uint64_t mine[BENCH_AGREE_FLAGS], const uint64_t theirs[BENCH_AGREE_FLAGS],
			char text_out[BENCH_PROBLEM_BYTES]);

#endif
