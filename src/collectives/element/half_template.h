/* Arrays of float16 and bfloat16 to and from float32, for the including file's processor; see half.h for the
 * rounding. */
#ifndef PCCL_COLLECTIVES_HALF_TEMPLATE_H
#define PCCL_COLLECTIVES_HALF_TEMPLATE_H

#include "collectives/element/half.h"
#include "collectives/element/unaligned.h"

#include <stddef.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define HALF_NEAREST (_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

/* float16 goes through the conversion instructions where there are any: they do what half.h does. */
static inline void widen_half(any_float *out, const void *in_bytes, size_t count)
{
	const any_uint16 *in = in_bytes;
	size_t i = 0;

#if defined(__AVX512F__)
	for (; i + 16 <= count; i += 16)
		_mm512_storeu_ps((void *)(out + i), _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(in + i))));
#elif defined(__F16C__)
	for (; i + 8 <= count; i += 8)
		_mm256_storeu_ps((void *)(out + i), _mm256_cvtph_ps(_mm_loadu_si128((const void *)(in + i))));
#endif
	for (; i < count; i++)
		out[i] = pccl_half_to_float(in[i]);
}

static inline void narrow_half(void *out_bytes, const any_float *in, size_t count)
{
	any_uint16 *out = out_bytes;
	size_t i = 0;

#if defined(__AVX512F__)
	for (; i + 16 <= count; i += 16)
		_mm256_storeu_si256((void *)(out + i),
				    _mm512_cvtps_ph(_mm512_loadu_ps((const void *)(in + i)), HALF_NEAREST));
#elif defined(__F16C__)
	for (; i + 8 <= count; i += 8)
		_mm_storeu_si128((void *)(out + i),
				 _mm256_cvtps_ph(_mm256_loadu_ps((const void *)(in + i)), HALF_NEAREST));
#endif
	for (; i < count; i++)
		out[i] = pccl_float_to_half(in[i]);
}

static inline void widen_bfloat(any_float *out, const void *in_bytes, size_t count)
{
	const any_uint16 *in = in_bytes;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		out[i] = pccl_bfloat_to_float(in[i]);
}

static inline void narrow_bfloat(void *out_bytes, const any_float *in, size_t count)
{
	any_uint16 *out = out_bytes;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++)
		out[i] = pccl_float_to_bfloat(in[i]);
}

#endif
