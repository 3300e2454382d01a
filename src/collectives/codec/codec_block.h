/*
 * A codec with one scale per block; see codec_real.h. Takes (and undefines)
 *	CODEC, its name; TOP, the largest value of a code; FRACTION_BITS, how many bits of values are below 1
 *	CODE_BITS, 4 or 8
 *	CARRIES_NAN, CARRIES_INFINITY	1 or 0
 *	CODE(value), CODE_RANDOM(value, bits), VALUE(code)
 *	or BY_HAND	there are functions for many elements: codes_CODEC, codes_random_CODEC, values_CODEC
 * Layout: the scale, then the codes.
 */
#ifndef BY_HAND
/* Codes of scaled elements. */
static inline void LOCAL(JOIN(scaled_codes, CODEC))(const ELEMENT *in, size_t count, REAL before, REAL divisor,
						    uint8_t *codes)
{
	const REAL inverse = (REAL)1 / divisor;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		codes[i] = CODE(TO_FLOAT(in[i] * before * inverse));
}

static inline void LOCAL(JOIN(scaled_codes_random, CODEC))(const ELEMENT *in, size_t count, REAL before, REAL divisor,
							   const struct pccl_codec_random *random, uint8_t *codes)
{
	const struct pccl_codec_random stream = *random;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		codes[i] = CODE_RANDOM(TO_FLOAT(in[i] * before / divisor), random_bits(&stream, (uint32_t)i));
}

static inline void LOCAL(JOIN(scaled_values, CODEC))(const uint8_t *codes, size_t count, REAL scale, ELEMENT *out)
{
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		out[i] = (REAL)VALUE(codes[i]) * scale;
}
#else
static inline void LOCAL(JOIN(scaled_codes, CODEC))(const ELEMENT *in, size_t count, REAL before, REAL divisor,
						    uint8_t *codes)
{
	const REAL inverse = (REAL)1 / divisor;
	float values[PCCL_CODEC_BLOCK_MAX];
	size_t i;

	for (i = 0; i < count; i++)
		values[i] = TO_FLOAT(in[i] * before * inverse);
	JOIN(codes, CODEC)(values, count, codes);
}

static inline void LOCAL(JOIN(scaled_codes_random, CODEC))(const ELEMENT *in, size_t count, REAL before, REAL divisor,
							   const struct pccl_codec_random *random, uint8_t *codes)
{
	const struct pccl_codec_random stream = *random;
	float values[PCCL_CODEC_BLOCK_MAX], fractions[PCCL_CODEC_BLOCK_MAX];
	size_t i;

	for (i = 0; i < count; i++) {
		values[i] = TO_FLOAT(in[i] * before / divisor);
		fractions[i] = random_fraction(random_bits(&stream, (uint32_t)i));
	}
	JOIN(codes_random, CODEC)(values, fractions, count, codes);
}

static inline void LOCAL(JOIN(scaled_values, CODEC))(const uint8_t *codes, size_t count, REAL scale, ELEMENT *out)
{
	float values[PCCL_CODEC_BLOCK_MAX];
	size_t i;

	JOIN(values, CODEC)(codes, count, values);
	for (i = 0; i < count; i++)
		out[i] = (REAL)values[i] * scale;
}
#endif

static bool LOCAL(JOIN(encode, CODEC))(const void *in_bytes, size_t count, const struct pccl_codec_random *random,
				       uint8_t *out)
{
	const ELEMENT *in = in_bytes;
	WORD greatest = LOCAL(greatest)(in, count);
	struct LOCAL(scale) scale;
#if CODE_BITS == 4
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];
#else
	uint8_t *codes = out + sizeof(SCALE_TYPE);
#endif

	if (greatest >= INFINITE) {
		if (!CARRIES_NAN || (!CARRIES_INFINITY && !LOCAL(has_nan_only)(in, count)))
			return false;
		greatest = LOCAL(greatest_finite)(in, count);
	}
	scale = LOCAL(choose_scale)(BITS_REAL(greatest), (REAL)TOP, FRACTION_BITS, random != NULL, out);
	if (random == NULL)
		LOCAL(JOIN(scaled_codes, CODEC))(in, count, scale.before, scale.scale, codes);
	else
		LOCAL(JOIN(scaled_codes_random, CODEC))(in, count, scale.before, scale.scale, random, codes);
#if CODE_BITS == 4
	pack4(codes, count, out + sizeof(SCALE_TYPE));
#endif
	return true;
}

static void LOCAL(JOIN(decode, CODEC))(const uint8_t *in, size_t count, void *out_bytes)
{
	ELEMENT *out = out_bytes;
	REAL scale = LOCAL(read_scale)(in);
#if CODE_BITS == 4
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];

	unpack4(in + sizeof(SCALE_TYPE), count, codes);
#else
	const uint8_t *codes = in + sizeof(SCALE_TYPE);
#endif

	LOCAL(JOIN(scaled_values, CODEC))(codes, count, scale, out);
}

#undef CODEC
#undef TOP
#undef FRACTION_BITS
#undef CODE_BITS
#undef CARRIES_NAN
#undef CARRIES_INFINITY
#undef BY_HAND
#undef CODE
#undef CODE_RANDOM
#undef VALUE
