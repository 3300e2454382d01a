/*
 * The inner loops of the codecs, private to codec*.c and their tests: one table per processor level, made from one
 * source (codec_template.h) compiled with different flags. Elements are float or double here, of any alignment.
 */
#ifndef PCCL_COLLECTIVES_CODEC_KERNELS_H
#define PCCL_COLLECTIVES_CODEC_KERNELS_H

#include "base/cpu.h"
#include "collectives/codec/codec.h"

enum pccl_codec_real { PCCL_REAL_FLOAT = 0, PCCL_REAL_DOUBLE = 1 };

/* The random numbers of a run of elements: element i of it gets number `counter` + i of a stream. */
struct pccl_codec_random {
	uint32_t seed[2];
	uint32_t counter;
};

/* Encodes one block. `random` is NULL for rounding to nearest. False: it holds something the codec cannot carry. */
typedef bool (*pccl_block_encode_fn)(const void *in, size_t count, const struct pccl_codec_random *random,
				     uint8_t *out);

/* Encodes several blocks of `block` elements each, the last one perhaps shorter: up to PCCL_CODEC_BLOCK_MAX
 * elements. */
typedef bool (*pccl_blocks_encode_fn)(const void *in, size_t count, size_t block,
				      const struct pccl_codec_random *random, uint8_t *out);

/* Decodes one block, whatever its bytes are. */
typedef void (*pccl_block_decode_fn)(const uint8_t *in, size_t count, void *out);

/* The even steps of one range, 0 ... top, as reals. All are finite; see codec_range.h for how they are made. */
struct pccl_codec_steps {
	double before; /* elements are multiplied with it, to keep clear of overflow and underflow: a power of two */
	double after;  /* 1 / before */
	double low;    /* min-max: the ends of the range, times `before` */
	double high;
	double step;	/* between two codes, times `before` */
	double inverse; /* codes per unit: 0 if the range is a point */
	double zero;	/* zero point: what is added to codes to make them multiples of `step` */
	double top;	/* the greatest code */
};

/* Widths of the codes of ranges: 1, 2 and 4 bytes. */
#define PCCL_CODE_WIDTHS 3

typedef void (*pccl_steps_encode_fn)(const struct pccl_codec_steps *steps, const void *in, size_t count,
				     const struct pccl_codec_random *random, void *codes);
typedef void (*pccl_steps_decode_fn)(const struct pccl_codec_steps *steps, const void *codes, size_t count, void *out);

struct pccl_codec_kernels {
	const char *name;
	/* [id][enum pccl_codec_real]. A codec has an entry in one of these two; those of codec_range.h have none. */
	pccl_block_encode_fn encode[PCCL_CODEC_COUNT][2];
	pccl_blocks_encode_fn encode_several[PCCL_CODEC_COUNT][2];
	pccl_block_decode_fn decode[PCCL_CODEC_COUNT][2];
	/* Widens *low ... *high to hold the elements. False: a NaN or infinity is among them. */
	bool (*range[2])(const void *in, size_t count, double *low, double *high);
	pccl_steps_encode_fn minmax_encode[2][PCCL_CODE_WIDTHS];
	pccl_steps_decode_fn minmax_decode[2][PCCL_CODE_WIDTHS];
	pccl_steps_encode_fn zero_point_encode[2][PCCL_CODE_WIDTHS];
	pccl_steps_decode_fn zero_point_decode[2][PCCL_CODE_WIDTHS];
	/* The greatest magnitude of 16-bit floats, without the sign. */
	uint16_t (*greatest_cast)(const void *codes, size_t count);
	/* Are all elements multiples of `step` already? */
	bool (*on_grid[2])(double step, const void *in, size_t count);
};

/* The table for a level; NULL if this build has none or this processor cannot run it. PCCL_CPU_SCALAR always has
 * one. */
const struct pccl_codec_kernels *pccl_codec_kernels(enum pccl_cpu_level level);

/* The functions of codec.h with the kernels of a level that has them. */
size_t pccl_codec_encode_with(enum pccl_cpu_level level, const struct pccl_codec_params *params, const void *in,
			      size_t count, void *out);
void pccl_codec_decode_with(enum pccl_cpu_level level, const struct pccl_codec_params *params, const void *encoded,
			    size_t count, void *out);
void pccl_codec_accumulate_with(enum pccl_cpu_level level, const struct pccl_codec_params *params, pcclRedOp_t op,
				const void *encoded, size_t count, void *sums);

extern const struct pccl_codec_kernels pccl_codec_kernels_scalar;
extern const struct pccl_codec_kernels pccl_codec_kernels_avx2;
extern const struct pccl_codec_kernels pccl_codec_kernels_avx512;

#endif
