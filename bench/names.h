/* What the library has no words for, pcclGetName(): collectives, and the sizes of elements. */
#ifndef PCCL_BENCH_NAMES_H
#define PCCL_BENCH_NAMES_H

#include <pccl.h>

#include <stdbool.h>
#include <stddef.h>

enum bench_collective {
	BENCH_ALLREDUCE,
	BENCH_BROADCAST,
	BENCH_REDUCESCATTER,
	BENCH_ALLGATHER,
	BENCH_REDUCE,
	BENCH_GATHER,
	BENCH_SCATTER,
	BENCH_ALLTOALL
};

/* False if the word is none. */
bool bench_collective_of(const char *word, enum bench_collective *out);

/* "?" if there is none. Static. */
const char *bench_collective_name(enum bench_collective collective);

/* Bytes of one element. */
size_t bench_datatype_bytes(pcclDataType_t datatype);

bool bench_datatype_is_float(pcclDataType_t datatype);
bool bench_datatype_is_signed(pcclDataType_t datatype);

#endif
