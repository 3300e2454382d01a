/* What plans count with. */
#ifndef PCCL_COLLECTIVES_PLAN_ARITHMETIC_H
#define PCCL_COLLECTIVES_PLAN_ARITHMETIC_H

#include <stdint.h>

static inline uint64_t divide_up(uint64_t value, uint64_t by)
{
	return value / by + (value % by != 0);
}

static inline uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

#endif
