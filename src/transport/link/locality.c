#include "transport/link/locality.h"

#include <openssl/sha.h>
#include <stdio.h>

#include "base/bytes.h"

#define BOOT_ID_BYTES 36 /* a UUID in words, made at random by the kernel when it starts */

/* The kernel's name for this start is nobody else's business: its hash serves as well. */
uint64_t pccl_locality_host(void)
{
	char boot_id[BOOT_ID_BYTES] = "";
	uint8_t hash[SHA256_DIGEST_LENGTH];
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
	struct pccl_reader reader = pccl_reader_over(hash, sizeof(hash));
	size_t bytes;

	if (file == NULL)
		return 0;
	bytes = fread(boot_id, 1, sizeof(boot_id), file);
	(void)fclose(file);
	if (bytes != sizeof(boot_id))
		return 0;
	if (SHA256((const unsigned char *)boot_id, sizeof(boot_id), hash) == NULL)
		return 0;
	return pccl_get_u64(&reader);
}
