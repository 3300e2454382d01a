/*
 * Evenly divided ranges with codes of one width; see codec_real.h. Takes WIDTH, bits of a code (and undefines it);
 * REAL, ELEMENT, LOCAL. Signed and unsigned targets of a width travel alike, as the number of the step.
 */
#if WIDTH == 8
#define CODE_TYPE any_uint8
#elif WIDTH == 16
#define CODE_TYPE any_uint16
#else
#define CODE_TYPE any_uint32
#endif
#define SIZED(name) JOIN(LOCAL(name), WIDTH)

static void SIZED(encode_minmax)(const struct pccl_codec_steps *steps, const void *in_bytes, size_t count,
				 const struct pccl_codec_random *random, void *out_bytes)
{
	const ELEMENT *in = in_bytes;
	CODE_TYPE *out = out_bytes;
	const double before = steps->before, low = steps->low, inverse = steps->inverse, top = steps->top;
	size_t i;

	if (random == NULL) {
		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			out[i] = (CODE_TYPE)code_step(((double)in[i] * before - low) * inverse, top);
	} else {
		const struct pccl_codec_random stream = *random;

		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			out[i] = (CODE_TYPE)code_step(floor_random(((double)in[i] * before - low) * inverse,
								   random_bits(&stream, (uint32_t)i)),
						      top);
	}
}

static void SIZED(decode_minmax)(const struct pccl_codec_steps *steps, const void *in_bytes, size_t count,
				 void *out_bytes)
{
	const CODE_TYPE *in = in_bytes;
	ELEMENT *out = out_bytes;
	const double after = steps->after, low = steps->low, high = steps->high, step = steps->step, top = steps->top;
	const double middle = top * 0.5;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++) {
		double code = (double)in[i];
		double value = code < middle ? low + code * step : high - (top - code) * step;

		out[i] = (REAL)(value * after);
	}
}

static void SIZED(encode_zero)(const struct pccl_codec_steps *steps, const void *in_bytes, size_t count,
			       const struct pccl_codec_random *random, void *out_bytes)
{
	const ELEMENT *in = in_bytes;
	CODE_TYPE *out = out_bytes;
	const double step = steps->step, zero = steps->zero, top = steps->top;
	size_t i;

	if (random == NULL) {
		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			out[i] = (CODE_TYPE)code_step((((double)in[i] / step + ROUND_DOUBLE) - ROUND_DOUBLE) - zero,
						      top);
	} else {
		const struct pccl_codec_random stream = *random;

		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			out[i] = (CODE_TYPE)code_step(
				floor_random((double)in[i] / step, random_bits(&stream, (uint32_t)i)) - zero, top);
	}
}

static void SIZED(decode_zero)(const struct pccl_codec_steps *steps, const void *in_bytes, size_t count,
			       void *out_bytes)
{
	const CODE_TYPE *in = in_bytes;
	ELEMENT *out = out_bytes;
	const double step = steps->step, zero = steps->zero;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		out[i] = (REAL)(((double)in[i] + zero) * step);
}

#undef CODE_TYPE
#undef SIZED
#undef WIDTH
