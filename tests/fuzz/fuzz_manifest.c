/* The header of a checkpoint that anybody may have written: it is taken or refused in words; what is taken is encoded
 * and read again as the same. The first byte says how many bytes of tensors follow. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "sync/state/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_again(const struct pccl_manifest *manifest)
{
	struct pccl_manifest again;
	size_t bytes, json_bytes;
	uint8_t *header;

	if (pccl_manifest_encode(manifest, &header, &bytes) != pcclSuccess)
		abort();
	if (pccl_manifest_length(header, bytes + manifest->tensor_bytes, &json_bytes) != pcclSuccess ||
	    pccl_manifest_decode((char *)header + 8, json_bytes, manifest->tensor_bytes, &again) != pcclSuccess ||
	    again.tensor_count != manifest->tensor_count || again.revision != manifest->revision)
		abort();
	pccl_free(header);
	pccl_manifest_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct pccl_manifest manifest;
	size_t json_bytes;

	if (bytes < 9)
		return 0;
	(void)pccl_manifest_length(data, bytes, &json_bytes);
	pccl_fail_clear();
	if (pccl_manifest_decode((const char *)data + 1, bytes - 1, data[0], &manifest) == pcclSuccess)
		check_again(&manifest);
	else if (pccl_fail_text()[0] == '\0')
		abort();
	pccl_manifest_fini(&manifest);
	return 0;
}
