/*
 * Units of time: nanoseconds everywhere.
 */
#ifndef PCCL_BASE_TIME_H
#define PCCL_BASE_TIME_H

#include <stdint.h>

#define PCCL_MS_NS UINT64_C(1000000)
#define PCCL_SECOND_NS UINT64_C(1000000000)

#endif
