/* See kept.h. */
#include "sync/state/kept.h"

#include <string.h>

#include "base/memory.h"

struct pccl_kept {
	struct pccl_digest *leaves;
	uint8_t *keys;
	size_t keys_bytes;
	size_t tensor_count;
	const uint8_t *places[]; /* by tensor; not to be touched */
};

struct pccl_kept *pccl_kept_create(struct pccl_inventory *inventory)
{
	size_t index;
	struct pccl_kept *kept = pccl_zalloc(sizeof(*kept) + inventory->tensor_count * sizeof(kept->places[0]));

	if (kept == NULL)
		return NULL;
	for (index = 0; index < inventory->tensor_count; index++)
		kept->places[index] = inventory->tensors[index].origin;
	kept->tensor_count = inventory->tensor_count;
	kept->leaves = inventory->leaves;
	kept->keys = inventory->keys;
	kept->keys_bytes = inventory->keys_bytes;
	inventory->leaves = NULL;
	inventory->keys = NULL;
	return kept;
}

void pccl_kept_destroy(struct pccl_kept *kept)
{
	if (kept == NULL)
		return;
	pccl_free(kept->leaves);
	pccl_free(kept->keys);
	pccl_free(kept);
}

/* The keys say of all tensors how they are called and how large they are, and so which chunks are whose. */
static bool is_same_list(const struct pccl_kept *kept, const struct pccl_inventory *inventory)
{
	return kept->tensor_count == inventory->tensor_count && kept->keys_bytes == inventory->keys_bytes &&
	       memcmp(kept->keys, inventory->keys, kept->keys_bytes) == 0;
}

uint64_t pccl_kept_use(const struct pccl_kept *kept, struct pccl_inventory *inventory, const bool *dirty,
		       bool *kept_out)
{
	bool usable = kept != NULL && dirty != NULL && is_same_list(kept, inventory);
	uint64_t bytes = 0;
	size_t index;

	for (index = 0; index < inventory->tensor_count; index++) {
		const struct pccl_inventory_tensor *tensor = &inventory->tensors[index];

		kept_out[index] = usable && !dirty[tensor->position] && tensor->origin == kept->places[index];
		if (!kept_out[index])
			continue;
		bytes += tensor->bytes;
		memcpy(inventory->leaves + tensor->first_chunk, kept->leaves + tensor->first_chunk,
		       pccl_chunk_count(tensor->bytes) * sizeof(*inventory->leaves));
	}
	return bytes;
}
