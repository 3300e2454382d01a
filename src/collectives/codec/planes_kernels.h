/* The loops of planes.c, apart because they are compiled to be vectorized. */
#ifndef PCCL_COLLECTIVES_PLANES_KERNELS_H
#define PCCL_COLLECTIVES_PLANES_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* `rotation` is 0 or 1 bits to the left. */
void pccl_planes_split_2(uint8_t *out, const void *in, size_t count, unsigned rotation);
void pccl_planes_split_4(uint8_t *out, const void *in, size_t count, unsigned rotation);
void pccl_planes_split_8(uint8_t *out, const void *in, size_t count, unsigned rotation);
void pccl_planes_merge_2(void *out, const uint8_t *in, size_t count, unsigned rotation);
void pccl_planes_merge_4(void *out, const uint8_t *in, size_t count, unsigned rotation);
void pccl_planes_merge_8(void *out, const uint8_t *in, size_t count, unsigned rotation);

#endif
