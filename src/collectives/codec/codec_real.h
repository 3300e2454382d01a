/*
 * The inner loops for one kind of real number; see codec_template.h. Takes (and undefines)
 *	REAL, and WORD and SIGNED_WORD, the integers of its size; REAL_BITS, BITS_REAL, INFINITE: its bits
 *	TO_FLOAT(value)	a float32 that rounds on as the value would
 *	SCALE_TYPE, SCALE_SHIFT	the upper half of a REAL: how scales travel
 *	TINY		blocks below are coded as if multiplied by TINY_UP, a power of two; TINY_DOWN is its inverse
 *	SCALE_LEAST	the smallest scale, times TINY_UP: all its bits are representable, as denormals
 *	ROUND_REAL	rounds to integers when it is added and taken away
 */
#define ELEMENT JOIN(any, REAL)
#define LOCAL(name) JOIN(name, REAL)

/* The largest magnitude, as bits: those order as the numbers do, infinity and then NaN on top. */
static inline WORD LOCAL(greatest)(const ELEMENT *in, size_t count)
{
	SIGNED_WORD greatest = 0;
	size_t i;

	PCCL_NOT_UNROLLED
	for (i = 0; i < count; i++) {
		SIGNED_WORD bits = (SIGNED_WORD)((WORD)REAL_BITS(in[i]) & ((WORD)-1 >> 1));

		greatest = bits > greatest ? bits : greatest;
	}
	return (WORD)greatest;
}

/* The same among the finite ones. */
static inline WORD LOCAL(greatest_finite)(const ELEMENT *in, size_t count)
{
	SIGNED_WORD greatest = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		SIGNED_WORD bits = (SIGNED_WORD)((WORD)REAL_BITS(in[i]) & ((WORD)-1 >> 1));

		bits = bits >= (SIGNED_WORD)INFINITE ? 0 : bits;
		greatest = bits > greatest ? bits : greatest;
	}
	return (WORD)greatest;
}

static bool LOCAL(has_nan_only)(const ELEMENT *in, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (((WORD)REAL_BITS(in[i]) & ((WORD)-1 >> 1)) == INFINITE)
			return false;
	}
	return true;
}

/* A block's scale while it is encoded: elements times `before` divided by `scale` are in the codec's range. */
struct LOCAL(scale) {
	REAL before; /* a power of two that keeps quotients and inverses clear of overflow and underflow */
	REAL scale;
};

/*
 * Chooses the scale of a block whose largest magnitude is `greatest` so that it becomes `top`, and writes it. A
 * scale has few enough bits that its products with codes are exact: then the decoded maximum leads to the same
 * scale again. To the nearest such number; or, for stochastic rounding, up, so that nothing must be cut off.
 *
 * Scales of tiny blocks travel times TINY_UP, with the sign bit set. Codes may have `fraction_bits` bits below 1.
 */
static struct LOCAL(scale) LOCAL(choose_scale)(REAL greatest, REAL top, int fraction_bits, bool up, uint8_t *out)
{
	const WORD below_half = ((WORD)1 << (SCALE_SHIFT - 1)) - 1, lost = ((WORD)1 << SCALE_SHIFT) - 1;
	const REAL least = SCALE_LEAST * (REAL)(1 << fraction_bits);
	const REAL most = BITS_REAL(INFINITE - 1) * (REAL)0x1p-32;
	bool tiny = greatest < TINY;
	struct LOCAL(scale) chosen;
	SCALE_TYPE travels;
	WORD bits;

	chosen.before = tiny ? TINY_UP : (REAL)0x1p-32;
	bits = REAL_BITS(greatest * chosen.before / top);
	bits += up ? lost : below_half + ((bits >> SCALE_SHIFT) & 1);
	chosen.scale = BITS_REAL(bits & ~lost);
	chosen.scale = tiny && chosen.scale < least ? least : chosen.scale;
	/* The largest value must not become infinite. */
	if (!tiny && chosen.scale * top > most)
		chosen.scale = BITS_REAL((bits & ~lost) - lost - 1);
	bits = REAL_BITS(tiny ? chosen.scale : chosen.scale * (REAL)0x1p32);
	travels = (SCALE_TYPE)((bits >> SCALE_SHIFT) | (tiny ? (WORD)1 << (SCALE_SHIFT - 1) : 0));
	memcpy(out, &travels, sizeof(travels));
	return chosen;
}

static inline REAL LOCAL(read_scale)(const uint8_t *in)
{
	SCALE_TYPE travels;
	WORD bits;

	memcpy(&travels, in, sizeof(travels));
	bits = (WORD)travels << SCALE_SHIFT;
	if (bits >> (2 * SCALE_SHIFT - 1) != 0)
		return BITS_REAL(bits & ((WORD)-1 >> 1)) * TINY_DOWN;
	return BITS_REAL(bits);
}

/* ---- casts ---- */

static bool LOCAL(encode_bf16)(const void *in_bytes, size_t count, const struct pccl_codec_random *random, uint8_t *out)
{
	const ELEMENT *in = in_bytes;
	any_uint16 *codes = (any_uint16 *)out;
	size_t i;

	if (random == NULL) {
		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			codes[i] = pccl_float_to_bfloat(TO_FLOAT(in[i]));
	} else {
		const struct pccl_codec_random stream = *random;

		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			codes[i] = bfloat_random(TO_FLOAT(in[i]), random_bits(&stream, (uint32_t)i));
	}
	return true;
}

static bool LOCAL(encode_fp16)(const void *in_bytes, size_t count, const struct pccl_codec_random *random, uint8_t *out)
{
	const ELEMENT *in = in_bytes;
	any_uint16 *codes = (any_uint16 *)out;
	float block[CAST_BLOCK];
	size_t at, n, i;

	for (at = 0; at < count; at += n) {
		n = count - at < CAST_BLOCK ? count - at : CAST_BLOCK;
		for (i = 0; i < n; i++)
			block[i] = TO_FLOAT(in[at + i]);
		if (random == NULL) {
			narrow_half(codes + at, block, n);
		} else {
			const struct pccl_codec_random stream = *random;

			PCCL_INDEPENDENT
			for (i = 0; i < n; i++)
				codes[at + i] = half_random(block[i], random_bits(&stream, (uint32_t)(at + i)));
		}
	}
	return true;
}

static void LOCAL(decode_bf16)(const uint8_t *in, size_t count, void *out_bytes)
{
	const any_uint16 *codes = (const any_uint16 *)in;
	ELEMENT *out = out_bytes;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		out[i] = (REAL)pccl_bfloat_to_float(codes[i]);
}

static void LOCAL(decode_fp16)(const uint8_t *in, size_t count, void *out_bytes)
{
	const any_uint16 *codes = (const any_uint16 *)in;
	ELEMENT *out = out_bytes;
	float block[CAST_BLOCK];
	size_t at, n, i;

	for (at = 0; at < count; at += n) {
		n = count - at < CAST_BLOCK ? count - at : CAST_BLOCK;
		widen_half(block, codes + at, n);
		for (i = 0; i < n; i++)
			out[at + i] = (REAL)block[i];
	}
}

/* ---- evenly divided ranges ---- */

/* Integers that order as the reals do, -0 before +0, and back. */
static inline SIGNED_WORD LOCAL(order)(REAL value)
{
	SIGNED_WORD bits = (SIGNED_WORD)REAL_BITS(value);

	return bits ^ (SIGNED_WORD)((WORD)(bits >> (8 * sizeof(WORD) - 1)) >> 1);
}

static inline REAL LOCAL(unorder)(SIGNED_WORD order)
{
	return BITS_REAL((WORD)(order ^ (SIGNED_WORD)((WORD)(order >> (8 * sizeof(WORD) - 1)) >> 1)));
}

static bool LOCAL(widen_range)(const void *in_bytes, size_t count, double *low, double *high)
{
	const ELEMENT *in = in_bytes;
	SIGNED_WORD least = LOCAL(order)((REAL)*low), most = LOCAL(order)((REAL)*high);
	size_t i;

	if (LOCAL(greatest)(in, count) >= INFINITE)
		return false;
	for (i = 0; i < count; i++) {
		SIGNED_WORD at = LOCAL(order)(in[i]);

		least = at < least ? at : least;
		most = at > most ? at : most;
	}
	*low = (double)LOCAL(unorder)(least);
	*high = (double)LOCAL(unorder)(most);
	return true;
}

/* Is some of `count` elements no multiple of the step? */
static inline bool LOCAL(off_grid)(double step, const ELEMENT *in, size_t count)
{
	int wrong = 0;
	size_t i;

	PCCL_NOT_UNROLLED
	for (i = 0; i < count; i++) {
		double value = (double)in[i];

		wrong |= ((value / step + ROUND_DOUBLE) - ROUND_DOUBLE) * step != value;
	}
	return wrong != 0;
}

static bool LOCAL(on_grid)(double step, const void *in_bytes, size_t count)
{
	const size_t whole = count / GRID_BLOCK * GRID_BLOCK;
	const ELEMENT *in = in_bytes;
	size_t at;

	for (at = 0; at < whole; at += GRID_BLOCK) {
		if (LOCAL(off_grid)(step, in + at, GRID_BLOCK))
			return false;
	}
	return !LOCAL(off_grid)(step, in + whole, count - whole);
}

#define WIDTH 8
#include "collectives/codec/codec_steps.h"
#define WIDTH 16
#include "collectives/codec/codec_steps.h"
#define WIDTH 32
#include "collectives/codec/codec_steps.h"

/* A block with its own range: low and high, then the codes. */
static bool LOCAL(encode_range_block)(const ELEMENT *in, size_t count, double top,
				      const struct pccl_codec_random *random, uint8_t *header, uint8_t *codes)
{
	double low = count > 0 ? (double)in[0] : 0, high = low;
	struct pccl_codec_steps steps;
	REAL ends[2];

	if (!LOCAL(widen_range)(in, count, &low, &high))
		return false;
	/* Zeros of both signs compare equal: which of them came first must not matter. */
	ends[0] = (REAL)(low + 0.0);
	ends[1] = (REAL)(high + 0.0);
	memcpy(header, ends, sizeof(ends));
	steps = pccl_codec_minmax_steps((double)ends[0], (double)ends[1], top);
	JOIN(LOCAL(encode_minmax), 8)(&steps, in, count, random, codes);
	return true;
}

static struct pccl_codec_steps LOCAL(read_range)(const uint8_t *header, double top)
{
	REAL ends[2];

	memcpy(ends, header, sizeof(ends));
	return pccl_codec_minmax_steps((double)ends[0], (double)ends[1], top);
}

static bool LOCAL(encode_int4_minmax)(const void *in, size_t count, const struct pccl_codec_random *random,
				      uint8_t *out)
{
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];

	if (!LOCAL(encode_range_block)(in, count, 15, random, out, codes))
		return false;
	pack4(codes, count, out + 2 * sizeof(REAL));
	return true;
}

static void LOCAL(decode_int4_minmax)(const uint8_t *in, size_t count, void *out)
{
	struct pccl_codec_steps steps = LOCAL(read_range)(in, 15);
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];

	unpack4(in + 2 * sizeof(REAL), count, codes);
	JOIN(LOCAL(decode_minmax), 8)(&steps, codes, count, out);
}

/* ---- scaled codes ---- */

static inline REAL LOCAL(ceiling)(REAL value)
{
	REAL rounded = (value + ROUND_REAL) - ROUND_REAL;

	return rounded < value ? rounded + (REAL)1 : rounded;
}

static inline void JOIN(LOCAL(write_factors), 8)(const REAL *factors, size_t count, uint8_t *out)
{
	size_t k;

	for (k = 0; k < count; k++)
		out[k] = (uint8_t)(int32_t)factors[k];
}

/* Two to a byte, the first in the lower half. */
static inline void JOIN(LOCAL(write_factors), 4)(const REAL *factors, size_t count, uint8_t *out)
{
	size_t k;

	for (k = 0; k + 2 <= count; k += 2)
		out[k / 2] = (uint8_t)((int32_t)factors[k] | ((int32_t)factors[k + 1] << 4));
	if (k < count)
		out[k / 2] = (uint8_t)(int32_t)factors[k];
}

#define CODEC int8
#define TOP 127
#define SUB 64
#define SUB_TOP 127
#define SUB_BITS 8
#define CODE_BITS 8
#define CODE CODE_INT8
#define CODE_RANDOM CODE_INT8_RANDOM
#define VALUE VALUE_INT8
#include "collectives/codec/codec_sub_block.h"

#define CODEC int4
#define TOP 7
#define SUB 16
#define SUB_TOP 15
#define SUB_BITS 4
#define CODE_BITS 4
#define CODE CODE_INT4
#define CODE_RANDOM CODE_INT4_RANDOM
#define VALUE VALUE_INT4
#include "collectives/codec/codec_sub_block.h"

#define CODEC e4m3
#define TOP 448
#define FRACTION_BITS 9
#define CODE_BITS 8
#define CARRIES_NAN 1
#define CARRIES_INFINITY 0
#define CODE code_e4m3
#define CODE_RANDOM code_e4m3_random
#define VALUE value_e4m3
#include "collectives/codec/codec_block.h"

#define CODEC e5m2
#define TOP 57344
#define FRACTION_BITS 16
#define CODE_BITS 8
#define CARRIES_NAN 1
#define CARRIES_INFINITY 1
#define CODE code_e5m2
#define CODE_RANDOM code_e5m2_random
#define VALUE value_e5m2
#include "collectives/codec/codec_block.h"

#define CODEC e3m0
#define TOP 64
#define FRACTION_BITS 0
#define CODE_BITS 4
#define CARRIES_NAN 0
#define CARRIES_INFINITY 0
#define CODE code_e3m0
#define CODE_RANDOM code_e3m0_random
#define VALUE value_e3m0
#include "collectives/codec/codec_block.h"

#define CODEC nf4
#define TOP 1
#define FRACTION_BITS 16
#define CODE_BITS 4
#define CARRIES_NAN 0
#define CARRIES_INFINITY 0
#define BY_HAND
#include "collectives/codec/codec_block.h"

#undef ELEMENT
#undef LOCAL
#undef REAL
#undef WORD
#undef SIGNED_WORD
#undef REAL_BITS
#undef BITS_REAL
#undef INFINITE
#undef TO_FLOAT
#undef SCALE_TYPE
#undef SCALE_SHIFT
#undef SCALE_LEAST
#undef TINY
#undef TINY_UP
#undef TINY_DOWN
#undef ROUND_REAL
