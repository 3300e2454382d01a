/* For kernels that work on memory whose type only the caller knows: elements of any alignment that alias anything,
 * and how loops over them are vectorized nevertheless. */
#ifndef PCCL_COLLECTIVES_UNALIGNED_H
#define PCCL_COLLECTIVES_UNALIGNED_H

#include <stdint.h>

#define PCCL_UNALIGNED(type) type __attribute__((aligned(1), may_alias))

/* Before a loop: element i of what is written depends on elements i of what is read only, even where the two are
 * one. */
#if defined(__clang__)
#define PCCL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define PCCL_NOT_UNROLLED
#define PCCL_UNROLLED _Pragma("unroll")
#else
#define PCCL_INDEPENDENT _Pragma("GCC ivdep")
#define PCCL_NOT_UNROLLED _Pragma("GCC unroll 1") /* short loops: unrolled altogether they would not be vectorized */
#define PCCL_UNROLLED _Pragma("GCC unroll 16")
#endif

typedef PCCL_UNALIGNED(uint8_t) any_uint8;
typedef PCCL_UNALIGNED(int8_t) any_int8;
typedef PCCL_UNALIGNED(uint16_t) any_uint16;
typedef PCCL_UNALIGNED(int16_t) any_int16;
typedef PCCL_UNALIGNED(uint32_t) any_uint32;
typedef PCCL_UNALIGNED(int32_t) any_int32;
typedef PCCL_UNALIGNED(uint64_t) any_uint64;
typedef PCCL_UNALIGNED(int64_t) any_int64;
typedef PCCL_UNALIGNED(float) any_float;
typedef PCCL_UNALIGNED(double) any_double;

#endif
