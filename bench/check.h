/*
 * Inputs as a pure function of (round, identity of the peer, element), and results computed from it one element at a
 * time, by nothing that the library uses itself. Pure.
 */
#ifndef PCCL_BENCH_CHECK_H
#define PCCL_BENCH_CHECK_H

#include <pccl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One order in which contributions may be combined: the identities of the participants, first to last. Borrowed. */
struct bench_order {
	const uint64_t *identities;
	uint32_t count;
};

/* What a reduction's result must be. An element is right if one of the orders gives it, bit for bit: the ring starts
 * each shard at another rank, and a repair leaves finished segments with the participants they had. */
struct bench_expectation {
	pcclDataType_t datatype;
	pcclRedOp_t op;
	uint64_t round;
	const struct bench_order *orders;
	size_t order_count;
};

/* A well mixed number from two: the same everywhere and always. */
uint64_t bench_mix(uint64_t key, uint64_t counter);

/* Writes the elements first ... first + count - 1 of a peer's input: integers of all bits, floats of either sign from
 * 0.5 to 1.5 with all fraction bits in use, so that the order of additions shows. */
void bench_input_fill(pcclDataType_t datatype, uint64_t round, uint64_t identity, uint64_t first, size_t count,
		      void *out);

/* Counts the elements of `result` that are not what the expectation says; `first` is the place of result[0] in the
 * inputs. *wrong_index_out (untouched if none is wrong): the first wrong one. */
size_t bench_check_reduction(const struct bench_expectation *expectation, uint64_t first, size_t count,
			     const void *result, size_t *wrong_index_out);

/* The same for a result that is a copy of one peer's input from element `first` on. */
size_t bench_check_copy(pcclDataType_t datatype, uint64_t round, uint64_t identity, uint64_t first, size_t count,
			const void *result, size_t *wrong_index_out);

/* IEEE binary16 and bfloat16 to float (exact) and back (nearest, ties to even). */
float bench_float_of_half(uint16_t half);
uint16_t bench_half_of_float(float value);
float bench_float_of_bfloat(uint16_t bfloat);
uint16_t bench_bfloat_of_float(float value);

#endif
