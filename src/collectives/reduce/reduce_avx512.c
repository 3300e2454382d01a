/* The inner loops of the reduction for AVX-512 F, BW, DQ and VL. */
#if defined(__AVX512BW__)
#define KERNELS pccl_reduce_kernels_avx512
#define KERNELS_NAME "avx512"
#include "collectives/reduce/reduce_template.h"
#else
#include "collectives/reduce/reduce_kernels.h"
const struct pccl_reduce_kernels pccl_reduce_kernels_avx512 = {0};
#endif
