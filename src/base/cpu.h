/* What this processor can do, read once. The environment can lower it, for tests and for comparing: PCCL_CPU=scalar
 * turns every special instruction off, avx2 those of AVX-512, avx512 nothing; other values are ignored. */
#ifndef PCCL_BASE_CPU_H
#define PCCL_BASE_CPU_H

#include <stdbool.h>

enum pccl_cpu_level {
	PCCL_CPU_SCALAR, /* what every processor of the architecture has, NEON on aarch64 */
	PCCL_CPU_AVX2,	 /* AVX2, F16C, BMI2 */
	PCCL_CPU_AVX512	 /* and AVX-512 F, BW, DQ, VL */
};

/* The best kernels to use. */
enum pccl_cpu_level pccl_cpu_level(void);

/* "scalar", "avx2", "avx512". */
const char *pccl_cpu_level_name(enum pccl_cpu_level level);

/* Carry-less multiplication of vectors, as wide as those of the level; implies PCCL_CPU_AVX2 and
 * pccl_cpu_has_sse42(). */
bool pccl_cpu_has_vpclmul(void);

/* The CRC32C instruction and 128-bit carry-less multiplication. */
bool pccl_cpu_has_sse42(void);

#endif
