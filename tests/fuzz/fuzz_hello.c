/* HELLO from any bytes: what is accepted must be encoded again to the same bytes, and what is refused has a reason. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "transport/link/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct pccl_hello hello;
	uint8_t again[PCCL_HELLO_BYTES];

	pccl_fail_clear();
	if (pccl_hello_decode(data, bytes, &hello) != pcclSuccess) {
		if (pccl_fail_text()[0] == '\0')
			abort();
		return 0;
	}
	if (pccl_hello_encode(&hello, again) != bytes || memcmp(data, again, bytes) != 0)
		abort();
	return 0;
}
