/* The inner loops of the codecs for what every processor of the architecture has. */
#define KERNELS pccl_codec_kernels_scalar
#define KERNELS_NAME "scalar"
#include "collectives/codec/codec_template.h"
