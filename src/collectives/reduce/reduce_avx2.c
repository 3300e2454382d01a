/* The inner loops of the reduction for AVX2 and F16C. */
#if defined(__AVX2__)
#define KERNELS pccl_reduce_kernels_avx2
#define KERNELS_NAME "avx2"
#include "collectives/reduce/reduce_template.h"
#else
#include "collectives/reduce/reduce_kernels.h"
const struct pccl_reduce_kernels pccl_reduce_kernels_avx2 = {0};
#endif
