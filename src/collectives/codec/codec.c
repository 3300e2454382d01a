/* Codecs: the table, the sizes, and runs of elements block by block. */
#include "collectives/codec/codec.h"

#include "base/fail.h"
#include "base/names.h"
#include "base/rng.h"
#include "collectives/codec/codec_chunk.h"
#include "collectives/codec/codec_range.h"
#include "collectives/element/half.h"
#include "collectives/element/unaligned.h"

#include <assert.h>
#include <math.h>

/* Elements that are decoded before they are added: they stay in the innermost cache, beside the sums. */
#define ADD_ELEMENTS 1024

static const struct pccl_codec codecs[PCCL_CODEC_COUNT] = {
	[PCCL_CODEC_NONE] = {pcclQuantNone, 0, true, true, false},
	[PCCL_CODEC_BF16] = {pcclQuantBF16, 0, true, true, false},
	[PCCL_CODEC_FP16] = {pcclQuantFP16, 0, true, true, false},
	[PCCL_CODEC_E4M3] = {pcclQuantE4M3, 256, true, false, false},
	[PCCL_CODEC_E5M2] = {pcclQuantE5M2, 256, true, true, false},
	[PCCL_CODEC_INT8] = {pcclQuantInt8, 256, false, false, false},
	[PCCL_CODEC_INT4] = {pcclQuantInt4, 64, false, false, false},
	[PCCL_CODEC_INT8_MINMAX] = {pcclQuantInt8MinMax, 256, false, false, false},
	[PCCL_CODEC_INT4_MINMAX] = {pcclQuantInt4MinMax, 64, false, false, false},
	[PCCL_CODEC_E3M0] = {pcclQuantE3M0, 64, false, false, false},
	[PCCL_CODEC_NF4] = {pcclQuantNF4, 64, false, false, false},
	[PCCL_CODEC_MINMAX] = {pcclQuantMinMax, 256, false, false, true},
	[PCCL_CODEC_ZERO_POINT] = {pcclQuantZeroPointScale, 256, false, false, true},
};

const struct pccl_codec *pccl_codec_find(int id)
{
	return id >= 0 && id < PCCL_CODEC_COUNT ? &codecs[id] : NULL;
}

const char *pccl_codec_name(int id)
{
	return id >= 0 && id < PCCL_CODEC_COUNT ? pccl_name_or_mark(pcclEnumCodec, (int)codecs[id].algorithm) : "?";
}

int pccl_codec_of(pcclQuantizationAlgorithm_t algorithm)
{
	int id;

	if (algorithm == pcclQuantPlain)
		return PCCL_CODEC_NONE;
	for (id = 0; id < PCCL_CODEC_COUNT; id++) {
		if (codecs[id].algorithm == algorithm)
			return id;
	}
	return -1;
}

const struct pccl_codec_kernels *pccl_codec_kernels(enum pccl_cpu_level level)
{
	const struct pccl_codec_kernels *kernels = &pccl_codec_kernels_scalar;

	if (level > pccl_cpu_level())
		return NULL;
	if (level == PCCL_CPU_AVX2)
		kernels = &pccl_codec_kernels_avx2;
	if (level == PCCL_CPU_AVX512)
		kernels = &pccl_codec_kernels_avx512;
	return kernels->name == NULL ? NULL : kernels;
}

/* ---- parameters ---- */

static pcclResult_t check_target(const struct pccl_codec_params *params)
{
	const char *name = pccl_codec_name(params->id);

	if (!pccl_dtype_valid((int)params->target) || pccl_dtype_is_float(params->target))
		return pccl_fail(pcclInvalidArgument, "codec %s: quantized type %d is no integer type", name,
				 (int)params->target);
	if (pccl_dtype_bytes(params->target) >= pccl_dtype_bytes(params->type))
		return pccl_fail(pcclInvalidArgument, "codec %s: quantized type %s is not narrower than %s", name,
				 pccl_dtype_name(params->target), pccl_dtype_name(params->type));
	return pcclSuccess;
}

pcclResult_t pccl_codec_check(const struct pccl_codec_params *params)
{
	const struct pccl_codec *codec = pccl_codec_find(params->id);

	if (codec == NULL)
		return pccl_fail(pcclInvalidArgument, "codec %d is unknown", (int)params->id);
	if (!pccl_dtype_valid((int)params->type))
		return pccl_fail(pcclInvalidArgument, "codec %s: data type %d is unknown", pccl_codec_name(params->id),
				 (int)params->type);
	if (params->rounding > (PCCL_ROUND_STOCHASTIC | PCCL_ROUND_SATURATE))
		return pccl_fail(pcclInvalidArgument, "codec %s: rounding %d is unknown", pccl_codec_name(params->id),
				 (int)params->rounding);
	if (params->id != PCCL_CODEC_NONE && !pccl_dtype_is_float(params->type))
		return pccl_fail(pcclInvalidArgument, "codec %s takes floating point types only, not %s",
				 pccl_codec_name(params->id), pccl_dtype_name(params->type));
	if (codec->block_default != 0 &&
	    (params->block < PCCL_CODEC_BLOCK_MIN || params->block > PCCL_CODEC_BLOCK_MAX ||
	     params->block % PCCL_CODEC_BLOCK_MIN != 0))
		return pccl_fail(pcclInvalidArgument, "codec %s: block %u is no multiple of %d from %d to %d",
				 pccl_codec_name(params->id), (unsigned)params->block, PCCL_CODEC_BLOCK_MIN,
				 PCCL_CODEC_BLOCK_MIN, PCCL_CODEC_BLOCK_MAX);
	return codec->has_target ? check_target(params) : pcclSuccess;
}

uint32_t pccl_codec_align_elements(const struct pccl_codec_params *params)
{
	return codecs[params->id].block_default != 0 ? params->block : PCCL_CODEC_BLOCK_MIN;
}

/* ---- sizes ---- */

/* Elements per block; casts have no blocks, any number is theirs. */
static size_t block_elements(const struct pccl_codec_params *params)
{
	return codecs[params->id].block_default != 0 ? params->block : ADD_ELEMENTS;
}

/* Bytes of 4-bit codes: see pack4() in codec_template.h. */
static size_t packed_bytes(size_t count)
{
	return count / 32 * 16 + (count % 32 < 16 ? count % 32 : 16);
}

/* Bytes of one block of `count` elements. */
static size_t block_bytes(const struct pccl_codec_params *params, size_t count)
{
	const size_t real_bytes = params->type == pcclDouble ? sizeof(double) : sizeof(float);
	const size_t scale_bytes = real_bytes / 2;

	switch ((enum pccl_codec_id)params->id) {
	case PCCL_CODEC_BF16:
	case PCCL_CODEC_FP16:
		return count * 2;
	case PCCL_CODEC_E4M3:
	case PCCL_CODEC_E5M2:
		return scale_bytes + count;
	case PCCL_CODEC_INT8:
		return scale_bytes + (count + 63) / 64 + count;
	case PCCL_CODEC_INT4:
		return scale_bytes + ((count + 15) / 16 + 1) / 2 + packed_bytes(count);
	case PCCL_CODEC_INT8_MINMAX:
	case PCCL_CODEC_MINMAX:
	case PCCL_CODEC_ZERO_POINT:
		return pccl_codec_range_bytes(params, count);
	case PCCL_CODEC_INT4_MINMAX:
		return 2 * real_bytes + packed_bytes(count);
	case PCCL_CODEC_E3M0:
	case PCCL_CODEC_NF4:
		return scale_bytes + packed_bytes(count);
	case PCCL_CODEC_NONE:
		break;
	}
	return count * pccl_dtype_bytes(params->type);
}

size_t pccl_codec_encoded_bytes(const struct pccl_codec_params *params, size_t count)
{
	const size_t block = block_elements(params);
	size_t rest = count % block;

	return count / block * block_bytes(params, block) + (rest > 0 ? block_bytes(params, rest) : 0);
}

/* ---- encoding ---- */

/* The index of the first element that the codec cannot carry. There is one, unless the caller has written to its buffer
 * meanwhile: then any will do. */
static size_t find_refused(const struct pccl_codec *codec, enum pccl_codec_real real, const void *in, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		float single;
		double value;

		memcpy(real == PCCL_REAL_DOUBLE ? (void *)&value : (void *)&single,
		       (const uint8_t *)in + i * (real == PCCL_REAL_DOUBLE ? sizeof(double) : sizeof(float)),
		       real == PCCL_REAL_DOUBLE ? sizeof(double) : sizeof(float));
		if (real == PCCL_REAL_FLOAT)
			value = (double)single;
		if ((isnan(value) && !codec->carries_nan) || (isinf(value) && !codec->carries_infinity))
			return i;
	}
	return 0;
}

/* Elements that are coded together: whole blocks, at most PCCL_CODEC_CHUNK elements. */
static size_t together(const struct pccl_codec_params *params, size_t elements)
{
	const size_t block = block_elements(params);

	return elements < block ? block : elements / block * block;
}

/* Encodes up to a chunk. False: some element can't be carried. */
static bool encode_chunk(const struct pccl_codec_kernels *kernels, const struct pccl_codec_params *params,
			 const void *in, size_t count, const struct pccl_codec_random *random, uint8_t *out)
{
	const enum pccl_codec_real real = pccl_codec_real(params->type);
	const size_t block = block_elements(params), whole_bytes = block_bytes(params, block);
	const pccl_block_encode_fn encode = kernels->encode[params->id][real];
	const uint8_t *from = in;
	size_t at, n;

	if (kernels->encode_several[params->id][real] != NULL)
		return kernels->encode_several[params->id][real](in, count, params->block, random, out);
	for (at = 0; at < count; at += n, out += whole_bytes) {
		struct pccl_codec_random of_block;

		n = count - at < block ? count - at : block;
		if (random != NULL) {
			of_block = *random;
			of_block.counter += (uint32_t)at;
		}
		if (encode == NULL
			    ? !pccl_codec_range_encode(kernels, params, from, n, random == NULL ? NULL : &of_block, out)
			    : !encode(from, n, random == NULL ? NULL : &of_block, out))
			return false;
		from += n * (real == PCCL_REAL_DOUBLE ? sizeof(double) : sizeof(float));
	}
	return true;
}

/* Looks at 16-bit floats that became infinite: so they stay if the element is, or else become the largest number if
 * that is wanted, or the nearest. Returns the index of the first for which neither holds; count: none. */
static size_t settle_casts(const struct pccl_codec_params *params, const void *values, size_t count, uint8_t *codes)
{
	const bool is_half = params->id == PCCL_CODEC_FP16;
	const uint16_t infinite = is_half ? 0x7c00 : 0x7f80;
	size_t i;

	for (i = 0; i < count; i++) {
		const double value = params->type == pcclDouble ? ((const any_double *)values)[i]
								: (double)((const any_float *)values)[i];
		any_uint16 *code = (any_uint16 *)codes + i;
		uint16_t nearest;

		if ((*code & 0x7fff) != infinite || !isfinite(value))
			continue;
		nearest = is_half ? pccl_float_to_half((float)value) : pccl_float_to_bfloat((float)value);
		if ((nearest & 0x7fff) == infinite && (params->rounding & PCCL_ROUND_SATURATE) == 0)
			return i;
		*code = (uint16_t)((*code & 0x8000) | (infinite - 1));
	}
	return count;
}

/* The index of the first element that a cast makes infinite and must not; count: none. Few runs are
 * looked at. */
static size_t find_overflow(const struct pccl_codec_kernels *kernels, const struct pccl_codec_params *params,
			    const void *values, size_t count, uint8_t *codes)
{
	if (params->id != PCCL_CODEC_FP16 && params->id != PCCL_CODEC_BF16)
		return count;
	if (kernels->greatest_cast(codes, count) < (params->id == PCCL_CODEC_FP16 ? 0x7c00 : 0x7f80))
		return count;
	return settle_casts(params, values, count, codes);
}

size_t pccl_codec_encode_with(enum pccl_cpu_level level, const struct pccl_codec_params *params, const void *in,
			      size_t count, void *out)
{
	const struct pccl_codec_kernels *kernels = pccl_codec_kernels(level);
	const struct pccl_reduce_kernels *reals = pccl_reduce_kernels(level);
	const size_t element_bytes = pccl_dtype_bytes(params->type), step = together(params, PCCL_CODEC_CHUNK);
	const size_t step_bytes = pccl_codec_encoded_bytes(params, step);
	const uint64_t key = pccl_rng_hash(params->key, 0);
	uint8_t *to = out;
	struct pccl_codec_chunk chunk;
	size_t at, n;

	if (params->id == PCCL_CODEC_NONE) {
		if (count > 0)
			memcpy(out, in, count * element_bytes);
		return count;
	}
	for (at = 0; at < count; at += n) {
		const struct pccl_codec_random random = pccl_codec_random(key, params->first_element + at);
		const void *values;
		size_t refused;

		n = count - at < step ? count - at : step;
		values = pccl_codec_widen(reals, params->type, (const uint8_t *)in + at * element_bytes, n, &chunk);
		if (!encode_chunk(kernels, params, values, n,
				  (params->rounding & PCCL_ROUND_STOCHASTIC) != 0 ? &random : NULL, to))
			return at + find_refused(&codecs[params->id], pccl_codec_real(params->type), values, n);
		refused = find_overflow(kernels, params, values, n, to);
		if (refused < n)
			return at + refused;
		to += step_bytes;
	}
	return count;
}

void pccl_codec_poison(const struct pccl_codec_params *params, size_t count, void *out)
{
	const size_t block = block_elements(params);
	uint8_t *to = out;

	assert(codecs[params->id].has_target);
	for (; count > 0; count -= count < block ? count : block) {
		size_t n = count < block ? count : block;

		pccl_codec_range_poison(params, n, to);
		to += block_bytes(params, n);
	}
}

/* ---- decoding ---- */

/* Decodes whole blocks, the last one perhaps shorter. */
static void decode_blocks(const struct pccl_codec_kernels *kernels, const struct pccl_codec_params *params,
			  const uint8_t *in, size_t count, void *out)
{
	const enum pccl_codec_real real = pccl_codec_real(params->type);
	const size_t block = block_elements(params), whole_bytes = block_bytes(params, block);
	const pccl_block_decode_fn decode = kernels->decode[params->id][real];
	uint8_t *to = out;
	size_t at, n;

	for (at = 0; at < count; at += n, in += whole_bytes) {
		n = count - at < block ? count - at : block;
		if (decode == NULL)
			pccl_codec_range_decode(kernels, params, in, n, to);
		else
			decode(in, n, to);
		to += n * (real == PCCL_REAL_DOUBLE ? sizeof(double) : sizeof(float));
	}
}

void pccl_codec_decode_with(enum pccl_cpu_level level, const struct pccl_codec_params *params, const void *encoded,
			    size_t count, void *out)
{
	const struct pccl_reduce_kernels *reals = pccl_reduce_kernels(level);
	const size_t element_bytes = pccl_dtype_bytes(params->type), step = together(params, PCCL_CODEC_CHUNK);
	const size_t step_bytes = pccl_codec_encoded_bytes(params, step);
	const uint8_t *from = encoded;
	struct pccl_codec_chunk chunk;
	size_t at, n;

	if (params->id == PCCL_CODEC_NONE) {
		if (count > 0)
			memcpy(out, encoded, count * element_bytes);
		return;
	}
	for (at = 0; at < count; at += n, from += step_bytes) {
		uint8_t *to = (uint8_t *)out + at * element_bytes;

		n = count - at < step ? count - at : step;
		decode_blocks(pccl_codec_kernels(level), params, from, n, pccl_codec_target(params->type, to, &chunk));
		pccl_codec_narrow(reals, params->type, &chunk, n, to);
	}
}

void pccl_codec_accumulate_with(enum pccl_cpu_level level, const struct pccl_codec_params *params, pcclRedOp_t op,
				const void *encoded, size_t count, void *sums)
{
	const struct pccl_reduce_kernels *reals = pccl_reduce_kernels(level);
	const pcclDataType_t partial = pccl_dtype_partial(params->type);
	const size_t partial_bytes = pccl_dtype_bytes(partial), step = together(params, ADD_ELEMENTS);
	const size_t step_bytes = pccl_codec_encoded_bytes(params, step);
	struct pccl_codec_params wide = *params;
	double decoded[PCCL_CODEC_CHUNK]; /* or as many floats */
	const uint8_t *from = encoded;
	const void *inputs[2];
	size_t at, n;

	if (params->id == PCCL_CODEC_NONE) {
		pccl_reduce_partial_with(reals, sums, sums, encoded, count, params->type, op);
		return;
	}
	wide.type = partial;
	inputs[1] = decoded;
	for (at = 0; at < count; at += n, from += step_bytes) {
		uint8_t *sums_at = (uint8_t *)sums + at * partial_bytes;

		n = count - at < step ? count - at : step;
		decode_blocks(pccl_codec_kernels(level), &wide, from, n, decoded);
		inputs[0] = sums_at;
		reals->fold[partial][op](sums_at, inputs, 2, n);
	}
}

/* ---- with the best kernels ---- */

size_t pccl_codec_encode(const struct pccl_codec_params *params, const void *in, size_t count, void *out)
{
	return pccl_codec_encode_with(pccl_cpu_level(), params, in, count, out);
}

void pccl_codec_decode(const struct pccl_codec_params *params, const void *encoded, size_t count, void *out)
{
	pccl_codec_decode_with(pccl_cpu_level(), params, encoded, count, out);
}

void pccl_codec_accumulate(const struct pccl_codec_params *params, pcclRedOp_t op, const void *encoded, size_t count,
			   void *sums)
{
	pccl_codec_accumulate_with(pccl_cpu_level(), params, op, encoded, count, sums);
}
