/* The header of a frame from any 48 bytes, as they are and with the right checksum put behind them (a fuzzer would not
 * find it): what is accepted must be encoded again to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/fail.h"
#include "base/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void decode_and_encode(const uint8_t header[PCCL_FRAME_BYTES])
{
	struct pccl_frame frame;
	uint8_t again[PCCL_FRAME_BYTES];

	pccl_fail_clear();
	if (pccl_frame_decode(header, &frame) != pcclSuccess) {
		/* A refusal has its reason. */
		if (pccl_fail_text()[0] == '\0')
			abort();
		return;
	}
	if (frame.payload_bytes > PCCL_FRAME_PAYLOAD_MAX)
		abort();
	pccl_frame_encode(&frame, again);
	if (memcmp(header, again, sizeof(again)) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t header[PCCL_FRAME_BYTES];
	uint32_t crc;
	int index;

	if (bytes < sizeof(header))
		return 0;
	decode_and_encode(data);
	memcpy(header, data, sizeof(header));
	crc = pccl_crc32c(0, header, sizeof(header) - 4);
	for (index = 0; index < 4; index++)
		header[sizeof(header) - 4 + (size_t)index] = (uint8_t)(crc >> 8 * index);
	decode_and_encode(header);
	return 0;
}
