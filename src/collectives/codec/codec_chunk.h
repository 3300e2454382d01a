/* Elements of any floating point type as float or double, a chunk at a time; shared by the files of the codecs. */
#ifndef PCCL_COLLECTIVES_CODEC_CHUNK_H
#define PCCL_COLLECTIVES_CODEC_CHUNK_H

#include "collectives/codec/codec_kernels.h"
#include "collectives/reduce/reduce_kernels.h"

#include <string.h>

/* Elements at a time; a block at least. */
#define PCCL_CODEC_CHUNK PCCL_CODEC_BLOCK_MAX

/* Room for a chunk of float16 or bfloat16 as float32. */
struct pccl_codec_chunk {
	float at[PCCL_CODEC_CHUNK];
} __attribute__((aligned(64)));

static inline enum pccl_codec_real pccl_codec_real(pcclDataType_t type)
{
	return type == pcclDouble ? PCCL_REAL_DOUBLE : PCCL_REAL_FLOAT;
}

/* The elements at `in` as float or double: themselves, or converted into `chunk`. */
static inline const void *pccl_codec_widen(const struct pccl_reduce_kernels *kernels, pcclDataType_t type,
					   const void *in, size_t count, struct pccl_codec_chunk *chunk)
{
	if (type == pcclFloat16)
		kernels->half_to_float(chunk->at, in, count);
	else if (type == pcclBFloat16)
		kernels->bfloat_to_float(chunk->at, in, count);
	else
		return in;
	return chunk->at;
}

/* Where to decode to: `out` itself, or `chunk` to be narrowed afterwards. */
static inline void *pccl_codec_target(pcclDataType_t type, void *out, struct pccl_codec_chunk *chunk)
{
	return type == pcclFloat16 || type == pcclBFloat16 ? chunk->at : out;
}

static inline void pccl_codec_narrow(const struct pccl_reduce_kernels *kernels, pcclDataType_t type,
				     const struct pccl_codec_chunk *chunk, size_t count, void *out)
{
	if (type == pcclFloat16)
		kernels->float_to_half(out, chunk->at, count);
	else if (type == pcclBFloat16)
		kernels->float_to_bfloat(out, chunk->at, count);
}

/* The random numbers from the run's element `at` on. */
static inline struct pccl_codec_random pccl_codec_random(uint64_t key, uint64_t at)
{
	struct pccl_codec_random random = {{(uint32_t)key, (uint32_t)(key >> 32)}, (uint32_t)at};

	return random;
}

#endif
