/* Plain loops that the compiler vectorizes with what every processor of the architecture has: far faster than the
 * compressor that follows. */
#include "collectives/codec/planes_kernels.h"

#include "collectives/element/unaligned.h"

void pccl_planes_split_2(uint8_t *out, const void *in_bytes, size_t count, unsigned rotation)
{
	const any_uint16 *in = in_bytes;
	uint8_t *low = out, *high = out + count;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++) {
		uint16_t element = (uint16_t)((in[i] << rotation) | (in[i] >> 15 & rotation));

		low[i] = (uint8_t)element;
		high[i] = (uint8_t)(element >> 8);
	}
}

void pccl_planes_merge_2(void *out_bytes, const uint8_t *in, size_t count, unsigned rotation)
{
	any_uint16 *out = out_bytes;
	const uint8_t *low = in, *high = in + count;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++) {
		uint16_t element = (uint16_t)(low[i] | high[i] << 8);

		out[i] = (uint16_t)((element >> rotation) | (element & rotation) << 15);
	}
}

void pccl_planes_split_4(uint8_t *out, const void *in_bytes, size_t count, unsigned rotation)
{
	const any_uint32 *in = in_bytes;
	uint8_t *a = out, *b = out + count, *c = out + 2 * count, *d = out + 3 * count;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++) {
		uint32_t element = (in[i] << rotation) | (in[i] >> 31 & rotation);

		a[i] = (uint8_t)element;
		b[i] = (uint8_t)(element >> 8);
		c[i] = (uint8_t)(element >> 16);
		d[i] = (uint8_t)(element >> 24);
	}
}

void pccl_planes_merge_4(void *out_bytes, const uint8_t *in, size_t count, unsigned rotation)
{
	any_uint32 *out = out_bytes;
	const uint8_t *a = in, *b = in + count, *c = in + 2 * count, *d = in + 3 * count;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++) {
		uint32_t element = a[i] | (uint32_t)b[i] << 8 | (uint32_t)c[i] << 16 | (uint32_t)d[i] << 24;

		out[i] = (element >> rotation) | (element & rotation) << 31;
	}
}

void pccl_planes_split_8(uint8_t *out, const void *in_bytes, size_t count, unsigned rotation)
{
	const any_uint64 *in = in_bytes;
	size_t i;
	unsigned plane;

	for (plane = 0; plane < 8; plane++) {
		uint8_t *to = out + plane * count;

		PCCL_INDEPENDENT
		for (i = 0; i < count; i++)
			to[i] = (uint8_t)(((in[i] << rotation) | (in[i] >> 63 & rotation)) >> (8 * plane));
	}
}

void pccl_planes_merge_8(void *out_bytes, const uint8_t *in, size_t count, unsigned rotation)
{
	any_uint64 *out = out_bytes;
	size_t i;

	PCCL_INDEPENDENT
	for (i = 0; i < count; i++) {
		uint64_t low = in[i] | (uint32_t)in[count + i] << 8 | (uint32_t)in[2 * count + i] << 16 |
			       (uint32_t)in[3 * count + i] << 24;
		uint64_t high = in[4 * count + i] | (uint32_t)in[5 * count + i] << 8 |
				(uint32_t)in[6 * count + i] << 16 | (uint32_t)in[7 * count + i] << 24;
		uint64_t element = low | high << 32;

		out[i] = (element >> rotation) | (element & rotation) << 63;
	}
}
