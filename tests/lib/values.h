/* Inputs of collectives and their expected results, computed without the library, element by element and exactly. */
#ifndef PCCL_TESTS_VALUES_H
#define PCCL_TESTS_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#define VALUES_TYPES 12 /* pcclDataType_t runs from 0 to this */
#define VALUES_OPS 5	/* pcclRedOp_t likewise */

size_t values_bytes(pcclDataType_t type);

/* Elements first, first + 1, ... of the input of the peer called `seed`. Integers take all values of their type;
 * floats are 1, 2, -1 or -2, so that every reduction of up to 8 peers is exact in every type. */
void values_fill(void *buffer, pcclDataType_t type, uint64_t first, size_t count, unsigned seed);

/* Is the buffer the reduction of what these peers gave? */
bool values_reduced(const void *buffer, pcclDataType_t type, pcclRedOp_t op, uint64_t first, size_t count,
		    const unsigned *seeds, unsigned seed_count);

/* How many elements from the start on are that reduction. For buffers that may be one of several things. */
size_t values_matching(const void *buffer, pcclDataType_t type, pcclRedOp_t op, uint64_t first, size_t count,
		       const unsigned *seeds, unsigned seed_count);

/* Is the buffer, bit for bit, what values_fill() makes? */
bool values_filled(const void *buffer, pcclDataType_t type, uint64_t first, size_t count, unsigned seed);

/* For comparing buffers of different processes. */
uint64_t values_hash(const void *buffer, size_t bytes);

#endif
