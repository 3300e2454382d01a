/*
 * The inner loops of the reduction, private to reduce.c and its test: one table per processor level, made from one
 * source (reduce_template.h) compiled with different flags, so that every table computes the same bits.
 */
#ifndef PCCL_COLLECTIVES_REDUCE_KERNELS_H
#define PCCL_COLLECTIVES_REDUCE_KERNELS_H

#include "base/cpu.h"
#include "collectives/element/dtype.h"
#include "collectives/element/unaligned.h"

#include <stdbool.h>
#include <stdint.h>

#define PCCL_FOLD_INPUTS 4 /* arrays that one fold can take */

/* out[i] = in[0][i] op in[1][i] ..., for 2 ... PCCL_FOLD_INPUTS arrays; out may be identical with any of them. */
typedef void (*pccl_fold_fn)(void *out, const void *const *in, unsigned input_count, size_t count);

/* out[i] = in[i] / divisor; out may be in. */
typedef void (*pccl_divide_fn)(void *out, const void *in, size_t count, unsigned divisor);

struct pccl_reduce_kernels {
	const char *name;
	pccl_fold_fn fold[PCCL_DTYPE_COUNT][PCCL_OP_COUNT]; /* NULL for float16 and bfloat16 */
	pccl_divide_fn divide[PCCL_DTYPE_COUNT];	    /* likewise */
	bool (*finite_float)(const void *in, size_t count); /* no infinity and no NaN */
	bool (*finite_double)(const void *in, size_t count);
	void (*half_to_float)(any_float *out, const void *in, size_t count);
	void (*float_to_half)(void *out, const any_float *in, size_t count);
	void (*bfloat_to_float)(any_float *out, const void *in, size_t count);
	void (*float_to_bfloat)(void *out, const any_float *in, size_t count);
};

/* The table for a level; NULL if this build has none or this processor cannot run it. PCCL_CPU_SCALAR always has
 * one. */
const struct pccl_reduce_kernels *pccl_reduce_kernels(enum pccl_cpu_level level);

/* The functions of reduce.h with a table chosen by the caller. */
void pccl_reduce_with(const struct pccl_reduce_kernels *kernels, void *out, const void *const *inputs,
		      unsigned input_count, size_t count, pcclDataType_t type, pcclRedOp_t op, unsigned divisor);
void pccl_reduce_begin_with(const struct pccl_reduce_kernels *kernels, void *partial_out, const void *own, size_t count,
			    pcclDataType_t type);
void pccl_reduce_partial_with(const struct pccl_reduce_kernels *kernels, void *partial_out, const void *partial,
			      const void *own, size_t count, pcclDataType_t type, pcclRedOp_t op);
void pccl_reduce_finish_with(const struct pccl_reduce_kernels *kernels, void *out, const void *partial, const void *own,
			     size_t count, pcclDataType_t type, pcclRedOp_t op, unsigned divisor);

/* The three tables; the _avx ones are empty (name NULL) where the compiler does not target x86-64. */
extern const struct pccl_reduce_kernels pccl_reduce_kernels_scalar;
extern const struct pccl_reduce_kernels pccl_reduce_kernels_avx2;
extern const struct pccl_reduce_kernels pccl_reduce_kernels_avx512;

#endif
