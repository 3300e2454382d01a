/*
 * A codec with one scale per block; see codec_real.h. Takes (and undefines)
 *	CODEC, its name; TOP, the largest value of a code; FRACTION_BITS, how many bits of values are below 1
 *	CODE_BITS, 4 or 8
 *	CARRIES_NAN, CARRIES_INFINITY	1 or 0
 *	CODE(value), CODE_RANDOM(value, bits), VALUE(code)
 * Layout: the scale, then the codes.
 */
static bool LOCAL(JOIN(encode, CODEC))(const void *in_bytes, size_t count, const struct pccl_codec_random *random,
				       uint8_t *out)
{
	const ELEMENT *in = in_bytes;
	WORD greatest = LOCAL(greatest)(in, count);
	struct LOCAL(scale) scale;
	REAL inverse, divisor;
	size_t i;
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
	divisor = scale.scale;
	inverse = (REAL)1 / divisor;
	if (random == NULL) {
		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			codes[i] = CODE(TO_FLOAT(in[i] * scale.before * inverse));
	} else {
		const struct pccl_codec_random stream = *random;

		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			codes[i] = CODE_RANDOM(TO_FLOAT(in[i] * scale.before / divisor),
					       random_bits(&stream, (uint32_t)i));
	}
#if CODE_BITS == 4
	pack4(codes, count, out + sizeof(SCALE_TYPE));
#endif
	return true;
}

static void LOCAL(JOIN(decode, CODEC))(const uint8_t *in, size_t count, void *out_bytes)
{
	ELEMENT *out = out_bytes;
	REAL scale = LOCAL(read_scale)(in);
	size_t i;
#if CODE_BITS == 4
	uint8_t codes[PCCL_CODEC_BLOCK_MAX];

	unpack4(in + sizeof(SCALE_TYPE), count, codes);
#else
	const uint8_t *codes = in + sizeof(SCALE_TYPE);
#endif

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		out[i] = (REAL)VALUE(codes[i]) * scale;
}

#undef CODEC
#undef TOP
#undef FRACTION_BITS
#undef CODE_BITS
#undef CARRIES_NAN
#undef CARRIES_INFINITY
#undef CODE
#undef CODE_RANDOM
#undef VALUE
