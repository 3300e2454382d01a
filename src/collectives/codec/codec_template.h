/*
 * The inner loops of the codecs, included once by each of codec_scalar.c, codec_avx2.c and codec_avx512.c, which
 * define KERNELS, the name of the table. Plain loops that the compiler vectorizes for the flags of the including
 * file. Every operation on an element is exact or rounded once, in an order that does not depend on the vector
 * length.
 *
 * codec_real.h is included from here for float and double, and from there codec_block.h for each codec with a scale
 * per block and codec_steps.h for each width of the codes of evenly divided ranges.
 */
#ifndef PCCL_COLLECTIVES_CODEC_TEMPLATE_H
#define PCCL_COLLECTIVES_CODEC_TEMPLATE_H

#include "collectives/codec/codec_code.h"
#include "collectives/codec/codec_kernels.h"
#include "collectives/codec/codec_nf4.h"
#include "collectives/codec/codec_range.h"
#include "collectives/codec/codec_vector.h"
#include "collectives/element/half_template.h"
#include "collectives/element/unaligned.h"

#include <string.h>

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)

/* Elements that one bf16 or fp16 loop converts at a time when it needs them as float. */
#define CAST_BLOCK 256

/* Elements that are looked at before the search for a grid gives one up. */
#define GRID_BLOCK 8

/* Two 4-bit codes to a byte, in units of 32 codes: byte j of 16 holds code j and, in its upper half, code j + 16.
 * What is missing from the last unit counts as 0, and its last bytes as missing if they would hold nothing. */
static void pack4(const uint8_t *codes, size_t count, uint8_t *out)
{
	size_t at, i;

	/* Eight bytes at a time: codes are below 16, so that nothing is carried from one to the next. */
	for (at = 0; at + 32 <= count; at += 32, out += 16) {
		const any_uint64 *from = (const any_uint64 *)(codes + at);
		any_uint64 *to = (any_uint64 *)out;

		to[0] = from[0] | (from[2] << 4);
		to[1] = from[1] | (from[3] << 4);
	}
	for (i = 0; i < 16 && at + i < count; i++)
		out[i] = (uint8_t)(codes[at + i] | (at + 16 + i < count ? codes[at + 16 + i] << 4 : 0));
}

static void unpack4(const uint8_t *in, size_t count, uint8_t *codes)
{
	const uint64_t low = 0x0f0f0f0f0f0f0f0fu;
	size_t at, i;

	for (at = 0; at + 32 <= count; at += 32, in += 16) {
		const any_uint64 *from = (const any_uint64 *)in;
		any_uint64 *to = (any_uint64 *)(codes + at);

		to[0] = from[0] & low;
		to[1] = from[1] & low;
		to[2] = (from[0] >> 4) & low;
		to[3] = (from[1] >> 4) & low;
	}
	for (i = 0; at + i < count; i++)
		codes[at + i] = i < 16 ? in[i] & 15u : in[i - 16] >> 4;
}

static inline uint8_t read_factor_8(const uint8_t *in, size_t index)
{
	return in[index];
}

static inline uint8_t read_factor_4(const uint8_t *in, size_t index)
{
	return (in[index / 2] >> (4 * (index & 1))) & 15u;
}

#define SAME_FLOAT(value) (value)

/* ---- float: scales are 16 bits, the upper half of a float32 ---- */

#define REAL float
#define WORD uint32_t
#define SIGNED_WORD int32_t
#define REAL_BITS pccl_float_bits
#define BITS_REAL pccl_bits_float
#define INFINITE 0x7f800000u
#define TO_FLOAT SAME_FLOAT
#define SCALE_TYPE uint16_t
#define SCALE_SHIFT 16
#define SCALE_LEAST 0x1p-78f /* 2^-142 times 2^64: the last of eight bits weighs 2^-149 */
#define TINY 0x1p-60f
#define TINY_UP 0x1p64f
#define TINY_DOWN 0x1p-64f
#define ROUND_REAL ROUND_FLOAT
#include "collectives/codec/codec_real.h"

/* ---- double: scales are 32 bits, the upper half of a double ---- */

#define REAL double
#define WORD uint64_t
#define SIGNED_WORD int64_t
#define REAL_BITS pccl_double_bits
#define BITS_REAL pccl_bits_double
#define INFINITE 0x7ff0000000000000u
#define TO_FLOAT odd_float
#define SCALE_TYPE uint32_t
#define SCALE_SHIFT 32
#define SCALE_LEAST 0x1p-542 /* 2^-1054 times 2^512: the last of 21 bits weighs 2^-1074 */
#define TINY 0x1p-900
#define TINY_UP 0x1p512
#define TINY_DOWN 0x1p-512
#define ROUND_REAL ROUND_DOUBLE
#include "collectives/codec/codec_real.h"

static uint16_t greatest_cast(const void *code_bytes, size_t count)
{
	const any_uint16 *codes = code_bytes;
	uint16_t most = 0;
	size_t i;

	for (i = 0; i < count; i++) {
		const uint16_t magnitude = codes[i] & 0x7fff;

		most = magnitude > most ? magnitude : most;
	}
	return most;
}

#define BOTH(function)                              \
	{                                           \
		function##_float, function##_double \
	}
#define WIDTHS(function)                                   \
	{                                                  \
		function##_8, function##_16, function##_32 \
	}

const struct pccl_codec_kernels KERNELS = {
	.name = KERNELS_NAME,
	.encode = {[PCCL_CODEC_BF16] = BOTH(encode_bf16),
		   [PCCL_CODEC_FP16] = BOTH(encode_fp16),
		   [PCCL_CODEC_E4M3] = BOTH(encode_e4m3),
		   [PCCL_CODEC_E5M2] = BOTH(encode_e5m2),
		   [PCCL_CODEC_INT4_MINMAX] = BOTH(encode_int4_minmax),
		   [PCCL_CODEC_E3M0] = BOTH(encode_e3m0),
		   [PCCL_CODEC_NF4] = BOTH(encode_nf4)},
	.decode = {[PCCL_CODEC_BF16] = BOTH(decode_bf16),
		   [PCCL_CODEC_FP16] = BOTH(decode_fp16),
		   [PCCL_CODEC_E4M3] = BOTH(decode_e4m3),
		   [PCCL_CODEC_E5M2] = BOTH(decode_e5m2),
		   [PCCL_CODEC_INT8] = BOTH(decode_int8),
		   [PCCL_CODEC_INT4] = BOTH(decode_int4),
		   [PCCL_CODEC_INT4_MINMAX] = BOTH(decode_int4_minmax),
		   [PCCL_CODEC_E3M0] = BOTH(decode_e3m0),
		   [PCCL_CODEC_NF4] = BOTH(decode_nf4)},
	.encode_several = {[PCCL_CODEC_INT8] = BOTH(encode_int8), [PCCL_CODEC_INT4] = BOTH(encode_int4)},
	.range = BOTH(widen_range),
	.minmax_encode = {WIDTHS(encode_minmax_float), WIDTHS(encode_minmax_double)},
	.minmax_decode = {WIDTHS(decode_minmax_float), WIDTHS(decode_minmax_double)},
	.zero_point_encode = {WIDTHS(encode_zero_float), WIDTHS(encode_zero_double)},
	.zero_point_decode = {WIDTHS(decode_zero_float), WIDTHS(decode_zero_double)},
	.greatest_cast = greatest_cast,
	.on_grid = BOTH(on_grid),
};

#endif
