/* The words of the command line and of the reports for the library's enumerations, and the sizes of elements. */
#ifndef PCCL_BENCH_NAMES_H
#define PCCL_BENCH_NAMES_H

#include <pccl.h>

#include <stdbool.h>
#include <stddef.h>

enum bench_collective { BENCH_ALLREDUCE, BENCH_BROADCAST, BENCH_REDUCESCATTER, BENCH_ALLGATHER };

/* Each finds the value of a word; false if there is none. */
bool bench_collective_of(const char *word, enum bench_collective *out);
bool bench_datatype_of(const char *word, pcclDataType_t *out);
bool bench_op_of(const char *word, pcclRedOp_t *out);
bool bench_plan_of(const char *word, pcclPlan_t *out);
bool bench_policy_of(const char *word, pcclFailurePolicy_t *out);
bool bench_checksums_of(const char *word, pcclChecksums_t *out);
bool bench_zstd_of(const char *word, pcclZstd_t *out);

/* Each gives the first word of a value, "?" if there is none. Static. */
const char *bench_collective_name(enum bench_collective collective);
const char *bench_datatype_name(pcclDataType_t datatype);
const char *bench_op_name(pcclRedOp_t op);
const char *bench_plan_name(pcclPlan_t plan);
const char *bench_checksums_name(pcclChecksums_t which);
const char *bench_zstd_name(pcclZstd_t zstd);

/* Bytes of one element. */
size_t bench_datatype_bytes(pcclDataType_t datatype);

bool bench_datatype_is_float(pcclDataType_t datatype);
bool bench_datatype_is_signed(pcclDataType_t datatype);

#endif
