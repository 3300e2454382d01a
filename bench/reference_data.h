/*
 * The data that the error of codecs is measured with: what gradients of data-parallel training look like. Each peer's
 * elements are a signal common to all plus noise of its own, of equal power, so that two peers' have a cosine of
 * 0.5; their scale is drawn from a log-normal distribution for each 1024 elements; and one in a thousand, other
 * ones on each peer, is eight times as large. A pure function of (seed, peer, index).
 */
#ifndef PCCL_BENCH_REFERENCE_DATA_H
#define PCCL_BENCH_REFERENCE_DATA_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* Uniform in (0, 1]. `stream` keeps apart what is drawn for one index. */
static inline double reference_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
	uint64_t bits = seed + stream * 0x9e3779b97f4a7c15u;

	bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
	bits = (bits ^ (bits >> 27)) + index * 0x9e3779b97f4a7c15u;
	bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
	bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
	return (double)((bits ^ (bits >> 31)) >> 11) * 0x1p-53 + 0x1p-53;
}

/* Standard normal; takes two streams. */
static inline double reference_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
	double radius = sqrt(-2.0 * log(reference_uniform(seed, stream, index)));

	return radius * cos(6.283185307179586 * reference_uniform(seed, stream + 1, index));
}

/* Element `index` of peer `peer`. */
static inline float reference_element(uint64_t seed, uint32_t peer, uint64_t index)
{
	const uint64_t own = 8 + 4 * (uint64_t)peer;
	double value = reference_normal(seed, 0, index) + reference_normal(seed, own, index);
	double scale = exp(reference_normal(seed, 2, index / 1024));

	if (reference_uniform(seed, own + 2, index) <= 0.001)
		scale *= 8;
	return (float)(scale * sqrt(0.5) * value);
}

#endif
