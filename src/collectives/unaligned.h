/* Elements of any alignment that alias anything, for kernels that work on memory whose type only the caller knows. */
#ifndef PCCL_COLLECTIVES_UNALIGNED_H
#define PCCL_COLLECTIVES_UNALIGNED_H

#include <stdint.h>

#define PCCL_UNALIGNED(type) type __attribute__((aligned(1), may_alias))

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
