/*
 * Codecs: how elements travel. Pure functions over memory, vectorized, with the same bits on every processor.
 *
 *	name            bytes per float32 element (block 256)    what
 *	none            4          the elements as they are; the only codec for integers
 *	bf16, fp16      2          cast; what is finite and too large is refused, or becomes the largest number
 *	e4m3, e5m2      1.01       8-bit floats times a scale per block
 *	int8            1.02       integers -127 ... 127 times a scale per block and a finer one per 64 elements
 *	int4            0.54       integers -7 ... 7 times a scale per block and a finer one per 16 elements
 *	int8-minmax     1.03       256 even steps from the block's least to its greatest element, both exact
 *	int4-minmax     0.53       16 steps
 *	e3m0            0.51       signed powers of two, 64 : 1, and zero, times a scale per block
 *	nf4             0.51       16 quantiles of a normal distribution times a scale per block
 *	minmax          1.03, 2.03 pcclQuantMinMax: as int8-minmax, in as many steps as the target type has
 *	zero-point      1.03, 2.03 pcclQuantZeroPointScale: even steps over a range that holds zero, which is exact
 *
 * An encoded run of elements is the unit: it is decoded whole, with the same parameters and count. float16 and
 * bfloat16 elements are coded as float32, doubles in double precision with wider scales.
 *
 * With rounding to nearest, what was decoded once can be encoded and decoded again without change, bit for bit.
 * (After stochastic rounding that holds for none, bf16 and fp16 only.) Errors are at most half a step (int8, int4:
 * 0.63 steps) of the step that the scale of the element's block gives; elements below 2^-142 may become 0.
 *
 * Decoders may be fed anything: they read and write within the sizes given here and always end.
 */
#ifndef PCCL_COLLECTIVES_CODEC_H
#define PCCL_COLLECTIVES_CODEC_H

#include <pccl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCCL_CODEC_BLOCK_MIN 64
#define PCCL_CODEC_BLOCK_MAX 4096

/* Values are wire format. Two-bit and sparse codecs will follow. */
enum pccl_codec_id {
	PCCL_CODEC_NONE = 0,
	PCCL_CODEC_BF16 = 1,
	PCCL_CODEC_FP16 = 2,
	PCCL_CODEC_E4M3 = 3,
	PCCL_CODEC_E5M2 = 4,
	PCCL_CODEC_INT8 = 5,
	PCCL_CODEC_INT4 = 6,
	PCCL_CODEC_INT8_MINMAX = 7,
	PCCL_CODEC_INT4_MINMAX = 8,
	PCCL_CODEC_E3M0 = 9,
	PCCL_CODEC_NF4 = 10,
	PCCL_CODEC_MINMAX = 11,
	PCCL_CODEC_ZERO_POINT = 12
};

#define PCCL_CODEC_COUNT 13

enum pccl_rounding {
	PCCL_ROUND_NEAREST = 0,
	PCCL_ROUND_STOCHASTIC = 1, /* up with the probability of the fraction, so that the mean error is zero */
	PCCL_ROUND_SATURATE = 2	   /* may be added: what is too large for bf16 or fp16 becomes the largest number */
};

/* What is known of a codec without its parameters. */
struct pccl_codec {
	pcclQuantizationAlgorithm_t algorithm;
	uint32_t block_default; /* elements per block; 0: it has no blocks */
	bool carries_nan;
	bool carries_infinity;
	bool has_target; /* params.target is read */
};

/* How one run of elements is coded. Both sides must use the same; `key` and `first_element` matter to the encoder
 * only. */
struct pccl_codec_params {
	uint8_t id;		/* enum pccl_codec_id */
	uint8_t rounding;	/* enum pccl_rounding, as a sum */
	pcclDataType_t type;	/* of the elements that are encoded, or decoded to */
	pcclDataType_t target;	/* minmax, zero-point: an integer type narrower than `type` */
	uint32_t block;		/* elements per block: a multiple of 64; not read where there are no blocks */
	uint64_t key;		/* stochastic rounding: names the op; equal keys repeat the random numbers */
	uint64_t first_element; /* stochastic rounding: position in the op of the run's first element */
};

/* The entry for an id, NULL if there is none: ids may come from outside. */
const struct pccl_codec *pccl_codec_find(int id);

/* "int8-minmax"; "?" for what is no id. Static. */
const char *pccl_codec_name(int id);

/* The id of what a caller chose; -1 if there is no such codec. */
int pccl_codec_of(pcclQuantizationAlgorithm_t algorithm);

/* Checks a combination that a user or a peer chose: pcclSuccess, or pcclInvalidArgument with a text that says what to
 * choose instead. Every other function here takes checked parameters only. Every codec serves every operation. */
pcclResult_t pccl_codec_check(const struct pccl_codec_params *params);

/* Runs must begin at multiples of this many elements in the op, for scales to cover whole blocks; at least 64. */
uint32_t pccl_codec_align_elements(const struct pccl_codec_params *params);

/* Exact size of `count` encoded elements; 0 for 0. */
size_t pccl_codec_encoded_bytes(const struct pccl_codec_params *params, size_t count);

/* Encodes `count` elements of params->type. Returns count; or the index of the first element that the codec cannot
 * carry (a NaN or infinity, or too large for a cast), with `out` undefined: such an op must be refused. `out` must not
 * overlap `in`. Any alignment, here and below. */
size_t pccl_codec_encode(const struct pccl_codec_params *params, const void *in, size_t count, void *out);

/* What decodes to nothing but NaNs, in place of elements that can't be carried. For codecs with a target only. */
void pccl_codec_poison(const struct pccl_codec_params *params, size_t count, void *out);

/* Decodes to elements of params->type. */
void pccl_codec_decode(const struct pccl_codec_params *params, const void *encoded, size_t count, void *out);

/* sums[i] = sums[i] op decoded[i], in pccl_dtype_partial(params->type), with the rules of reduce.h. */
void pccl_codec_accumulate(const struct pccl_codec_params *params, pcclRedOp_t op, const void *encoded, size_t count,
			   void *sums);

#endif
