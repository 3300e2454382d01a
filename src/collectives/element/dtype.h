/* The element types and reduction operations of the public interface: sizes, names, ranges. */
#ifndef PCCL_COLLECTIVES_DTYPE_H
#define PCCL_COLLECTIVES_DTYPE_H

#include <pccl.h>
#include <stdbool.h>
#include <stddef.h>

#define PCCL_DTYPE_COUNT 12 /* values of pcclDataType_t: 0 ... PCCL_DTYPE_COUNT - 1 */
#define PCCL_OP_COUNT 5	    /* values of pcclRedOp_t: 0 ... PCCL_OP_COUNT - 1 */

/* Is the number a value of pcclDataType_t? For numbers that a user or a peer supplied. */
bool pccl_dtype_valid(int type);

/* Size of one element in bytes: 1, 2, 4 or 8. `type` must be valid. */
size_t pccl_dtype_bytes(pcclDataType_t type);

/* "float32", "bfloat16", "uint8", ...; "?" for anything else. Static. */
const char *pccl_dtype_name(pcclDataType_t type);

/* The type in which partial sums accumulate, and travel on the ring: float32 for float16 and bfloat16, else the type
 * itself. `type` must be valid. */
pcclDataType_t pccl_dtype_partial(pcclDataType_t type);

/* Is it one of the four floating point types? */
bool pccl_dtype_is_float(pcclDataType_t type);

/* Is the number a value of pcclRedOp_t? For numbers that a user or a peer supplied. */
bool pccl_op_valid(int op);

/* "sum", "avg", "prod", "max", "min"; "?" for anything else. Static. */
const char *pccl_op_name(pcclRedOp_t op);

#endif
