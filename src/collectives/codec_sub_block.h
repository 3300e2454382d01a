/*
 * A codec of integers with a scale per block and a finer one, an integer factor, per sub-block: an outlier costs
 * the precision of its sub-block only. See codec_real.h. Takes (and undefines)
 *	CODEC, its name; TOP, the largest code; CODE_BITS, 4 or 8
 *	SUB, elements per sub-block; SUB_TOP, the largest factor; SUB_BITS, 4 or 8
 *	CODE(value), CODE_RANDOM(value, bits), VALUE(code)
 * Layout: the scale, the factors, the codes. An element is code * factor * scale, which is exact.
 *
 * What was decoded must lead to the same scale and factors again. The scale is the block's largest magnitude over
 * TOP * SUB_TOP, rounded to 8 bits (of doubles, 21), that is by 1/256 at most: SUB_TOP is small enough that the
 * largest element gets the code TOP and the factor SUB_TOP, whatever way that rounds, and so gives the scale away.
 * A factor is the smallest that leaves the sub-block's largest element below TOP + 1/8; if the code it gets would,
 * decoded, do with a smaller factor, that one is taken at once, and the code is TOP.
 */
#define SUBS_MAX (PCCL_CODEC_BLOCK_MAX / SUB)

/* The factor for each of `subs` sub-blocks, given their largest magnitudes in units of the scale. */
static void LOCAL(JOIN(factors, CODEC))(REAL *units, size_t subs, bool up)
{
	const REAL limit_value = up ? (REAL)TOP : (REAL)TOP + (REAL)0.125;
	size_t k;

	for (k = 0; k < subs; k++) {
		REAL factor = units[k] / limit_value, code, again;

		factor = LOCAL(ceiling)(factor);
		factor = factor < 1 ? 1 : factor;
		factor = factor > SUB_TOP ? SUB_TOP : factor;
		code = (units[k] / factor + ROUND_REAL) - ROUND_REAL;
		code = code > TOP ? TOP : code;
		again = LOCAL(ceiling)(code * factor / limit_value);
		again = again < 1 ? 1 : again;
		units[k] = !up && again < factor ? again : factor;
	}
}

/* Codes for `count` elements that share a factor. */
static inline void LOCAL(JOIN(encode_sub, CODEC))(const ELEMENT *in, size_t count, REAL before, REAL divisor,
						  uint8_t *codes)
{
	const REAL inverse = (REAL)1 / divisor;
	size_t i;

	PCCL_INDEPENDENT
	PCCL_NOT_UNROLLED
	for (i = 0; i < count; i++)
		codes[i] = CODE(TO_FLOAT(in[i] * before * inverse));
}

static inline void LOCAL(JOIN(encode_sub_random, CODEC))(const ELEMENT *in, size_t count, REAL before, REAL divisor,
							 const struct pccl_codec_random *random, size_t first,
							 uint8_t *codes)
{
	const struct pccl_codec_random stream = *random;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		codes[i] = CODE_RANDOM(TO_FLOAT(in[i] * before / divisor), random_bits(&stream, (uint32_t)(first + i)));
}

static bool LOCAL(JOIN(encode, CODEC))(const void *in_bytes, size_t count, const struct pccl_codec_random *random,
				       uint8_t *out)
{
	const ELEMENT *in = in_bytes;
	const size_t subs = (count + SUB - 1) / SUB;
	uint8_t *codes_out = out + sizeof(SCALE_TYPE) + (subs * SUB_BITS + 7) / 8;
	struct LOCAL(scale) scale;
	REAL factors[SUBS_MAX];
	WORD greatest = 0;
	size_t k;
#if CODE_BITS == 4
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];
#else
	uint8_t *codes = codes_out;
#endif

	for (k = 0; k < subs; k++) {
		WORD bits = (k + 1) * SUB <= count ? LOCAL(greatest)(in + k * SUB, SUB)
						   : LOCAL(greatest)(in + k * SUB, count - k * SUB);

		factors[k] = BITS_REAL(bits);
		greatest = bits > greatest ? bits : greatest;
	}
	if (greatest >= INFINITE)
		return false;
	scale = LOCAL(choose_scale)(BITS_REAL(greatest), (REAL)(TOP * SUB_TOP), 0, random != NULL, out);
	for (k = 0; k < subs; k++)
		factors[k] = factors[k] * scale.before / scale.scale;
	LOCAL(JOIN(factors, CODEC))(factors, subs, random != NULL);
	JOIN(LOCAL(write_factors), SUB_BITS)(factors, subs, out + sizeof(SCALE_TYPE));
	for (k = 0; k < subs; k++) {
		const size_t at = k * SUB, n = count - at < SUB ? count - at : SUB;
		const REAL divisor = factors[k] * scale.scale;

		if (random != NULL)
			LOCAL(JOIN(encode_sub_random, CODEC))
		(in + at, n, scale.before, divisor, random, at, codes + at);
		else if (n == SUB) LOCAL(JOIN(encode_sub, CODEC))(in + at, SUB, scale.before, divisor, codes + at);
		else LOCAL(JOIN(encode_sub, CODEC))(in + at, n, scale.before, divisor, codes + at);
	}
#if CODE_BITS == 4
	pack4(codes, count, codes_out);
#endif
	return true;
}

static inline void LOCAL(JOIN(decode_sub, CODEC))(const uint8_t *codes, size_t count, REAL scale, ELEMENT *out)
{
	size_t i;

	PCCL_INDEPENDENT
	PCCL_NOT_UNROLLED
	for (i = 0; i < count; i++)
		out[i] = (REAL)VALUE(codes[i]) * scale;
}

static void LOCAL(JOIN(decode, CODEC))(const uint8_t *in, size_t count, void *out_bytes)
{
	ELEMENT *out = out_bytes;
	const REAL scale = LOCAL(read_scale)(in);
	const size_t subs = (count + SUB - 1) / SUB;
	const uint8_t *factors = in + sizeof(SCALE_TYPE);
	size_t k;
#if CODE_BITS == 4
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];

	unpack4(factors + (subs * SUB_BITS + 7) / 8, count, codes);
#else
	const uint8_t *codes = factors + (subs * SUB_BITS + 7) / 8;
#endif

	for (k = 0; k < subs; k++) {
		const size_t at = k * SUB;
		const REAL product = (REAL)JOIN(read_factor, SUB_BITS)(factors, k) * scale;

		if (count - at >= SUB)
			LOCAL(JOIN(decode_sub, CODEC))(codes + at, SUB, product, out + at);
		else
			LOCAL(JOIN(decode_sub, CODEC))(codes + at, count - at, product, out + at);
	}
}

#undef SUBS_MAX
#undef CODEC
#undef TOP
#undef CODE_BITS
#undef SUB
#undef SUB_TOP
#undef SUB_BITS
#undef CODE
#undef CODE_RANDOM
#undef VALUE
