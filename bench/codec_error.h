/* Reference data as inputs, and how far a result is from what arithmetic in doubles gives. Pure. */
#ifndef PCCL_BENCH_CODEC_ERROR_H
#define PCCL_BENCH_CODEC_ERROR_H

#include <pccl.h>

#include <stddef.h>
#include <stdint.h>

/* What stands for the decibels of no error at all, and of one that is not a number. */
#define BENCH_ERROR_NONE_DB (-400.0)
#define BENCH_ERROR_UNBOUNDED_DB 400.0

struct bench_error {
	double rel_l2_db; /* 20 log10(|result - exact| / |exact|), Euclidean norms */
	double bias;	  /* mean error over the standard error of that mean; 0 if there is no error */
};

/* What a result should be: the sum or mean of the reference data of `peers` peers. */
struct bench_exact {
	pcclDataType_t datatype; /* a floating point type: each contribution is rounded to it */
	pcclRedOp_t op;		 /* pcclSum or pcclAvg */
	uint64_t seed;
	uint32_t peers;
};

/* Writes the first `count` elements of a peer's reference data. */
void bench_reference_fill(pcclDataType_t datatype, uint64_t seed, uint32_t peer, size_t count, void *out);

/* Measures a result of `count` elements on up to 2^18 of them: whole blocks of 1024, evenly spread. */
struct bench_error bench_error_measure(const struct bench_exact *exact, size_t count, const void *result);

#endif
