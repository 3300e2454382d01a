/* Detection of the processor's abilities. */
#include "base/cpu.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* The cached abilities: the level in the low bits, then flags. */
#define LEVEL_MASK 0x3
#define FLAG_SSE42 0x4
#define FLAG_VPCLMUL 0x8
#define FLAG_KNOWN 0x100

#if defined(__x86_64__)
static bool has_f16c(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

/* The builtin also asks whether the operating system keeps the registers. */
static int detect(void)
{
	int abilities = PCCL_CPU_SCALAR;

	__builtin_cpu_init();
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && has_f16c())
		abilities = PCCL_CPU_AVX2;
	if (abilities == PCCL_CPU_AVX2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		abilities = PCCL_CPU_AVX512;
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		abilities |= FLAG_SSE42;
	if (abilities > FLAG_SSE42 && __builtin_cpu_supports("vpclmulqdq"))
		abilities |= FLAG_VPCLMUL;
	return abilities;
}
#else
static int detect(void)
{
	return PCCL_CPU_SCALAR;
}
#endif

static int lower(int abilities, const char *wish)
{
	int level = abilities & LEVEL_MASK;

	if (wish == NULL)
		return abilities;
	if (strcmp(wish, "scalar") == 0)
		return PCCL_CPU_SCALAR;
	if (strcmp(wish, "avx2") == 0 && level > PCCL_CPU_AVX2)
		return PCCL_CPU_AVX2 | (abilities & ~LEVEL_MASK);
	return abilities;
}

static int abilities_of_this_processor(void)
{
	/* Threads that race to fill it store the same value. */
	static int cache;
	int abilities = __atomic_load_n(&cache, __ATOMIC_RELAXED);

	if (abilities == 0) {
		abilities = lower(detect(), getenv("PCCL_CPU")) | FLAG_KNOWN;
		__atomic_store_n(&cache, abilities, __ATOMIC_RELAXED);
	}
	return abilities;
}

enum pccl_cpu_level pccl_cpu_level(void)
{
	return (enum pccl_cpu_level)(abilities_of_this_processor() & LEVEL_MASK);
}

const char *pccl_cpu_level_name(enum pccl_cpu_level level)
{
	switch (level) {
	case PCCL_CPU_SCALAR:
		return "scalar";
	case PCCL_CPU_AVX2:
		return "avx2";
	case PCCL_CPU_AVX512:
		return "avx512";
	}
	return "?";
}

bool pccl_cpu_has_vpclmul(void)
{
	return (abilities_of_this_processor() & FLAG_VPCLMUL) != 0;
}

bool pccl_cpu_has_sse42(void)
{
	return (abilities_of_this_processor() & FLAG_SSE42) != 0;
}
