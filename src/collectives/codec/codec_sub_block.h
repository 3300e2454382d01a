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
#define BLOCKS_MAX (PCCL_CODEC_BLOCK_MAX / PCCL_CODEC_BLOCK_MIN)

/* Bytes of the codes of a whole block. */
#define PACKED_BYTES(elements) ((elements)*CODE_BITS / 8)

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
static inline void LOCAL(JOIN(encode_sub, CODEC))(const ELEMENT *in, size_t count, REAL factor, uint8_t *codes)
{
	const size_t whole = count / NEAREST_BYTES * NEAREST_BYTES;
	size_t i;

	for (i = 0; i < whole; i += NEAREST_BYTES)
		LOCAL(nearest_bytes)(in + i, factor, TOP, (1 << CODE_BITS) - 1, codes + i);
	for (i = whole; i < count; i++)
		codes[i] = CODE(TO_FLOAT(in[i] * factor));
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

/* The codes of a block, whose sub-blocks have these divisors (all factors times the scale). Multiplying with a power of
 * two, `before`, is exact where it matters: so it may as well be multiplied into the factor, unless that would overflow
 * (of tiny blocks). */
static inline void LOCAL(JOIN(encode_codes, CODEC))(const ELEMENT *in, size_t count, REAL before, const REAL *divisors,
						    const struct pccl_codec_random *random, size_t first,
						    uint8_t *codes)
{
	REAL scaled[PCCL_CODEC_BLOCK_MAX];
	size_t k;

	if (random == NULL && before > (REAL)1) {
		for (k = 0; k < count; k++)
			scaled[k] = in[k] * before;
		in = scaled;
		before = 1;
	}
	for (k = 0; k * SUB < count; k++) {
		const size_t at = k * SUB, n = count - at < SUB ? count - at : SUB;

		if (random != NULL)
			LOCAL(JOIN(encode_sub_random, CODEC))
		(in + at, n, before, divisors[k], random, first + at, codes + at);
		else if (n == SUB) LOCAL(JOIN(encode_sub, CODEC))(in + at, SUB, before / divisors[k], codes + at);
		else LOCAL(JOIN(encode_sub, CODEC))(in + at, n, before / divisors[k], codes + at);
	}
}

/* Largest magnitudes of the sub-blocks. False: there is a NaN or infinity. */
static inline bool LOCAL(JOIN(measure, CODEC))(const ELEMENT *in, size_t count, REAL *magnitudes)
{
	const size_t subs = (count + SUB - 1) / SUB;
	WORD greatest = 0;
	size_t at = 0, k;

	while (at + SUB_MAGNITUDES * SUB <= count && LOCAL(sub_magnitudes)(in + at, SUB, magnitudes + at / SUB))
		at += SUB_MAGNITUDES * SUB;
	for (; at < count; at += SUB)
		magnitudes[at / SUB] = BITS_REAL(at + SUB <= count ? LOCAL(greatest)(in + at, SUB)
								   : LOCAL(greatest)(in + at, count - at));
	for (k = 0; k < subs; k++)
		greatest = REAL_BITS(magnitudes[k]) > greatest ? REAL_BITS(magnitudes[k]) : greatest;
	return greatest < INFINITE;
}

/* Several blocks together, up to PCCL_CODEC_BLOCK_MAX elements: choosing one block's scale and factors is a chain
 * of slow steps, many at once overlap. */
static bool LOCAL(JOIN(encode, CODEC))(const void *in_bytes, size_t count, size_t block,
				       const struct pccl_codec_random *random, uint8_t *out)
{
	const ELEMENT *in = in_bytes;
	const size_t block_subs = (block + SUB - 1) / SUB, subs = (count + SUB - 1) / SUB;
	const size_t head_bytes = sizeof(SCALE_TYPE) + (block_subs * SUB_BITS + 7) / 8;
	const size_t block_bytes = head_bytes + PACKED_BYTES(block);
	struct LOCAL(scale) scales[BLOCKS_MAX];
	REAL factors[SUBS_MAX];
	size_t at, b, k;
#if CODE_BITS == 4
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];
#endif

	if (!LOCAL(JOIN(measure, CODEC))(in, count, factors))
		return false;
	for (b = 0; b * block < count; b++) {
		REAL *units = factors + b * block_subs, greatest = 0;
		const size_t n = subs - b * block_subs < block_subs ? subs - b * block_subs : block_subs;

		for (k = 0; k < n; k++)
			greatest = units[k] > greatest ? units[k] : greatest;
		scales[b] =
			LOCAL(choose_scale)(greatest, (REAL)(TOP * SUB_TOP), 0, random != NULL, out + b * block_bytes);
		for (k = 0; k < n; k++)
			units[k] = units[k] * scales[b].before / scales[b].scale;
	}
	LOCAL(JOIN(factors, CODEC))(factors, subs, random != NULL);
	for (b = 0, at = 0; at < count; b++, at += block) {
		REAL *block_factors = factors + b * block_subs;
		const size_t n = count - at < block ? count - at : block, n_subs = (n + SUB - 1) / SUB;
		uint8_t *block_factors_out = out + b * block_bytes + sizeof(SCALE_TYPE);
		uint8_t *codes_out = block_factors_out + (n_subs * SUB_BITS + 7) / 8;

		JOIN(LOCAL(write_factors), SUB_BITS)(block_factors, n_subs, block_factors_out);
		for (k = 0; k < n_subs; k++)
			block_factors[k] *= scales[b].scale;
#if CODE_BITS == 4
		LOCAL(JOIN(encode_codes, CODEC))(in + at, n, scales[b].before, block_factors, random, at, codes);
		pack4(codes, n, codes_out);
#else
		LOCAL(JOIN(encode_codes, CODEC))(in + at, n, scales[b].before, block_factors, random, at, codes_out);
#endif
	}
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
#undef BLOCKS_MAX
#undef PACKED_BYTES
#undef CODEC
#undef TOP
#undef CODE_BITS
#undef SUB
#undef SUB_TOP
#undef SUB_BITS
#undef CODE
#undef CODE_RANDOM
#undef VALUE
