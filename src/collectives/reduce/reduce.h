/*
 * Reduction of contributions: out[i] = in[0][i] op in[1][i] op ... in exactly this order. The bits of the result
 * depend on the inputs and their order only, not on the processor, and not on how the elements are cut into calls.
 *
 * float16 and bfloat16 accumulate in float32 and are rounded once. Integers wrap around. Of floats, a NaN in any
 * contribution makes the result a NaN, and every NaN that arithmetic produces here is the positive quiet one without
 * payload; +0 is larger than -0 for the maximum and the minimum.
 *
 * pcclAvg is pcclSum with a division at the end: floats by (float)divisor; integers truncate the wrapped sum towards
 * zero. Divisor 0 means no division. For the other operations the divisor is ignored. Where a sum of finite floats
 * overflows on the way, the mean is taken from a sum in double of smaller numbers, and is finite.
 *
 * Pointers may have any alignment; count may be 0. An output may be identical with an input of the same element size;
 * other overlaps are undefined.
 */
#ifndef PCCL_COLLECTIVES_REDUCE_H
#define PCCL_COLLECTIVES_REDUCE_H

#include <pccl.h>
#include <stddef.h>

/* Reduces `input_count` (at least 1) arrays of `count` elements into `out`. Each input byte is read from memory
 * once and each output byte written once, however many inputs there are. */
void pccl_reduce(void *out, const void *const *inputs, unsigned input_count, size_t count, pcclDataType_t type,
		 pcclRedOp_t op, unsigned divisor);

/*
 * The steps of a ring. A partial result travels in pccl_dtype_partial(type): with
 *
 *	begin(p, in[0]); partial(p, p, in[1]); ... partial(p, p, in[n - 2]); finish(out, p, in[n - 1], divisor)
 *
 * out is bit for bit what pccl_reduce() makes of in[0] ... in[n - 1], but that a mean whose sum overflows on the way is
 * infinite: what was added up before is not there any more.
 */

/* partial_out = own, converted to the partial type: where that is the element type itself, the first sender may as
 * well send its input as it is. */
void pccl_reduce_begin(void *partial_out, const void *own, size_t count, pcclDataType_t type);

/* partial_out = partial op own. `partial_out` may be identical with `partial`. */
void pccl_reduce_partial(void *partial_out, const void *partial, const void *own, size_t count, pcclDataType_t type,
			 pcclRedOp_t op);

/* out = partial op own, rounded to the element type and divided if the operation is pcclAvg and `divisor` is not 0.
 * `own` may be NULL: then `partial` is complete already. `out` may be identical with `own`. */
void pccl_reduce_finish(void *out, const void *partial, const void *own, size_t count, pcclDataType_t type,
			pcclRedOp_t op, unsigned divisor);

#endif
