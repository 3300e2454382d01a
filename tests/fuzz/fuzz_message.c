/* Membership messages: bytes that decode must encode to what decodes to the same again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "membership/message/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* There is one way to write a message, but that control characters in its words have become question marks. */
static int differs(const uint8_t *encoded, const uint8_t *data, size_t bytes)
{
	size_t at;

	for (at = 0; at < bytes; at++)
		if (encoded[at] != data[at] && !(encoded[at] == '?' && (data[at] < ' ' || data[at] == 0x7f)))
			return 1;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct pccl_message *message;
	struct pccl_message *again;
	uint8_t *encoded;
	uint8_t *encoded_again;
	size_t encoded_bytes;
	size_t again_bytes;

	if (pccl_message_decode(data, bytes, &message) != pcclSuccess)
		return 0;
	if (pccl_message_encode(message, &encoded, &encoded_bytes) != pcclSuccess)
		abort();
	if (encoded_bytes != bytes || differs(encoded, data, bytes))
		abort();
	if (pccl_message_decode(encoded, encoded_bytes, &again) != pcclSuccess)
		abort();
	if (pccl_message_encode(again, &encoded_again, &again_bytes) != pcclSuccess || again_bytes != encoded_bytes ||
	    memcmp(encoded_again, encoded, again_bytes) != 0)
		abort();
	pccl_free(encoded_again);
	pccl_free(encoded);
	pccl_message_destroy(again);
	pccl_message_destroy(message);
	return 0;
}
