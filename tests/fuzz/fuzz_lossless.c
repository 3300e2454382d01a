/* The lossless stage: any bytes as encoded elements are decoded or refused with a reason; any bytes as elements
 * come back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "collectives/codec/codec_lossless.h"
#include "collectives/element/dtype.h"

#define BYTES_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void *allocate(size_t bytes)
{
	void *memory = malloc(bytes > 0 ? bytes : 1);

	if (memory == NULL)
		abort();
	return memory;
}

static void decode_anything(struct pccl_lossless *lossless, const uint8_t *encoded, size_t bytes, size_t count,
			    pcclDataType_t type)
{
	uint8_t *out = allocate(count * pccl_dtype_bytes(type));

	pccl_fail_clear();
	if (pccl_lossless_decode(lossless, encoded, bytes, count, type, out) != pcclSuccess &&
	    pccl_fail_text()[0] == '\0')
		abort();
	free(out);
}

static void encode_anything(struct pccl_lossless *lossless, const uint8_t *in, size_t count, pcclDataType_t type)
{
	const size_t bytes = count * pccl_dtype_bytes(type);
	uint8_t *encoded = allocate(bytes), *out = allocate(bytes);
	const size_t used = pccl_lossless_encode(lossless, in, count, type, encoded, bytes);

	if (used >= bytes && used > 0)
		abort();
	if (used > 0 && (pccl_lossless_decode(lossless, encoded, used, count, type, out) != pcclSuccess ||
			 memcmp(in, out, bytes) != 0))
		abort();
	free(encoded);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct pccl_lossless *lossless;
	pcclDataType_t type;

	if (bytes < 3 || bytes > BYTES_MAX)
		return 0;
	type = (pcclDataType_t)(data[0] % PCCL_DTYPE_COUNT);
	if (pccl_lossless_create(BYTES_MAX, &lossless) != pcclSuccess)
		return 0;
	decode_anything(lossless, data + 3, bytes - 3, (size_t)(data[1] | (data[2] & 31) << 8), type);
	encode_anything(lossless, data + 3, (bytes - 3) / pccl_dtype_bytes(type), type);
	pccl_lossless_destroy(lossless);
	return 0;
}
