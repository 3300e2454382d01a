/* The inner loops of the codecs for AVX2 and F16C. */
#if defined(__AVX2__)
#define KERNELS pccl_codec_kernels_avx2
#define KERNELS_NAME "avx2"
#include "collectives/codec/codec_template.h"
#else
#include "collectives/codec/codec_kernels.h"
const struct pccl_codec_kernels pccl_codec_kernels_avx2 = {0};
#endif
