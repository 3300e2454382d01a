/* The inner loops of the codecs for AVX-512 F, BW, DQ and VL. */
#if defined(__AVX512BW__)
#define KERNELS pccl_codec_kernels_avx512
#define KERNELS_NAME "avx512"
#include "collectives/codec/codec_template.h"
#else
#include "collectives/codec/codec_kernels.h"
const struct pccl_codec_kernels pccl_codec_kernels_avx512 = {0};
#endif
