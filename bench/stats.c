/* Medians and bandwidths; see stats.h. */
#include "stats.h"

#include <stdlib.h>
#include <string.h>

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return (a > b) - (a < b);
}

double bench_percentile(const double *sorted, size_t count, double share)
{
	double position = share * (double)count;
	size_t rank = (size_t)position;

	if (count == 0)
		return 0;
	if ((double)rank < position)
		rank++;
	if (rank > 0)
		rank--;
	return sorted[rank < count ? rank : count - 1];
}

struct bench_summary bench_summarize(double *values, size_t count)
{
	struct bench_summary summary = {0, 0, 0, 0};

	if (count == 0)
		return summary;
	qsort(values, count, sizeof(values[0]), by_value);
	summary.least = values[0];
	summary.most = values[count - 1];
	summary.p99 = bench_percentile(values, count, 0.99);
	summary.median = count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
	return summary;
}

uint32_t bench_next_batch(uint32_t done, double elapsed, double seconds, uint32_t most)
{
	double missing;
	uint32_t batch = done > 0 ? done : BENCH_BATCH_FIRST;

	if (done >= most || (done > 0 && elapsed >= seconds))
		return 0;
	if (done > 0 && elapsed > 0) {
		missing = (seconds - elapsed) / elapsed * done / 2 + 1;
		if (missing < batch)
			batch = (uint32_t)missing;
	}
	return batch < most - done ? batch : most - done;
}

double bench_bus_factor(enum bench_collective collective, uint32_t peers)
{
	double n = peers;

	switch (collective) {
	case BENCH_ALLREDUCE:
		return 2 * (n - 1) / n;
	case BENCH_REDUCESCATTER:
	case BENCH_ALLGATHER:
	case BENCH_GATHER:
	case BENCH_SCATTER:
	case BENCH_ALLTOALL:
		return (n - 1) / n;
	case BENCH_BROADCAST:
	case BENCH_REDUCE:
		return 1;
	}
	return 1;
}
