/* The inner loops of the reduction for what every processor of the architecture has. */
#define KERNELS pccl_reduce_kernels_scalar
#define KERNELS_NAME "scalar"
#include "collectives/reduce/reduce_template.h"
