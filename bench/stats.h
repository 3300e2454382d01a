/* Order statistics of measured times, and bandwidths as nccl-tests defines them. Pure. */
#ifndef PCCL_BENCH_STATS_H
#define PCCL_BENCH_STATS_H

#include "names.h"

#include <stddef.h>
#include <stdint.h>

#define BENCH_BATCH_FIRST 4

struct bench_summary {
	double median;
	double least;
	double p99;
	double most;
};

/* Sorts `values` and summarizes them. All zeros when count is 0. */
struct bench_summary bench_summarize(double *values, size_t count);

/* The value that `share` (0 to 1) of the sorted values do not exceed; nearest rank. 0 when count is 0. */
double bench_percentile(const double *sorted, size_t count, double share);

/* How many iterations come next where all together are to take `seconds`: `done` took `elapsed`. 0: these were enough,
 * or `most`. Half of those that seem to be missing, and never more than there have been: what was slow or fast in the
 * beginning need not stay so. */
uint32_t bench_next_batch(uint32_t done, double elapsed, double seconds, uint32_t most);

/* What a link must carry per byte of buffer: the factor from algorithm to bus bandwidth. */
double bench_bus_factor(enum bench_collective collective, uint32_t peers);

#endif
