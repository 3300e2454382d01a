/*
 * Codecs with any parameters on any bytes: eight bytes of parameters, then what is decoded as encoded elements, on
 * every processor level to the same values; and what is encoded as elements, of which the codec may refuse some,
 * and which, decoded once and rounded to nearest, must be coded without change from then on.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "collectives/codec/codec_kernels.h"
#include "collectives/element/dtype.h"

#define PARAMETER_BYTES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void *allocate(size_t bytes)
{
	void *memory = malloc(bytes > 0 ? bytes : 1);

	if (memory == NULL)
		abort();
	return memory;
}

/* The same bits, or both NaN: which NaN comes from two is left open. */
static bool same_element(pcclDataType_t type, const uint8_t *a, const uint8_t *b)
{
	double wide_a, wide_b;
	float single_a, single_b;

	if (memcmp(a, b, pccl_dtype_bytes(type)) == 0)
		return true;
	if (type == pcclDouble) {
		memcpy(&wide_a, a, sizeof(wide_a));
		memcpy(&wide_b, b, sizeof(wide_b));
		return isnan(wide_a) && isnan(wide_b);
	}
	memcpy(&single_a, a, sizeof(single_a));
	memcpy(&single_b, b, sizeof(single_b));
	return type == pcclFloat && isnan(single_a) && isnan(single_b);
}

static void check_same(pcclDataType_t type, const uint8_t *a, const uint8_t *b, size_t count)
{
	size_t i, element_bytes = pccl_dtype_bytes(type);

	for (i = 0; i < count; i++) {
		if (!same_element(type, a + i * element_bytes, b + i * element_bytes))
			abort();
	}
}

static void decode_anything(struct pccl_codec_params params, const uint8_t *encoded, size_t bytes)
{
	uint8_t *first, *other;
	size_t count = 0;
	int level;

	params.type = pccl_dtype_partial(params.type);
	if (pccl_codec_check(&params) != pcclSuccess)
		return;
	while (count < 5000 && pccl_codec_encoded_bytes(&params, count + 1) <= bytes)
		count++;
	first = allocate(count * pccl_dtype_bytes(params.type));
	other = allocate(count * pccl_dtype_bytes(params.type));
	pccl_codec_decode_with(PCCL_CPU_SCALAR, &params, encoded, count, first);
	for (level = PCCL_CPU_AVX2; level <= PCCL_CPU_AVX512; level++) {
		if (pccl_codec_kernels((enum pccl_cpu_level)level) == NULL)
			continue;
		pccl_codec_decode_with((enum pccl_cpu_level)level, &params, encoded, count, other);
		check_same(params.type, first, other, count);
		pccl_codec_accumulate_with((enum pccl_cpu_level)level, &params, pcclSum, encoded, count, other);
	}
	free(first);
	free(other);
}

static void encode_anything(const struct pccl_codec_params *params, const uint8_t *elements, size_t bytes)
{
	const size_t element_bytes = pccl_dtype_bytes(params->type), count = bytes / element_bytes;
	uint8_t *encoded = allocate(pccl_codec_encoded_bytes(params, count));
	uint8_t *decoded = allocate(count * element_bytes), *again = allocate(count * element_bytes);
	const size_t accepted = pccl_codec_encode(params, elements, count, encoded);

	if (accepted > count)
		abort();
	if (accepted == count) {
		pccl_codec_decode(params, encoded, count, decoded);
		if (params->rounding == PCCL_ROUND_NEAREST && pccl_dtype_partial(params->type) == params->type) {
			if (pccl_codec_encode(params, decoded, count, encoded) != count)
				abort();
			pccl_codec_decode(params, encoded, count, again);
			check_same(params->type, decoded, again, count);
		}
	}
	free(encoded);
	free(decoded);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct pccl_codec_params params;

	if (bytes < PARAMETER_BYTES)
		return 0;
	memset(&params, 0, sizeof(params));
	params.id = data[0];
	params.rounding = data[1] & 3;
	params.type = (pcclDataType_t)data[2];
	params.target = (pcclDataType_t)data[3];
	params.block = (uint32_t)(data[4] | data[5] << 8);
	params.key = data[6];
	params.first_element = data[7] * (uint64_t)0x01000000ffffffff;
	if (pccl_codec_check(&params) != pcclSuccess) {
		if (pccl_fail_text()[0] == '\0')
			abort();
		return 0;
	}
	decode_anything(params, data + PARAMETER_BYTES, bytes - PARAMETER_BYTES);
	encode_anything(&params, data + PARAMETER_BYTES, bytes - PARAMETER_BYTES);
	return 0;
}
