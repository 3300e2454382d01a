/*
 * A state as it is compared and moved: its tensors in the order of their names, those whose content has to be equal
 * first; cut into chunks that are counted through; a digest of each. What is the same for all members, whatever the
 * order and the places of their tensors: numbers of chunks, the list of keys, the digests. Pure.
 *
 * The bytes of tensors are touched by pccl_inventory_digest_chunk() and through pccl_inventory_place() only.
 */
#ifndef PCCL_SYNC_STATE_INVENTORY_H
#define PCCL_SYNC_STATE_INVENTORY_H

#include <pccl.h>

#include "sync/state/digest.h"

struct pccl_inventory_tensor {
	const char *name; /* the caller's, as the data */
	uint8_t *data; /* in the memory of the host, to be read and written: as the origin, unless that is elsewhere */
	uint8_t *origin;	 /* the caller's */
	pcclDeviceType_t device; /* where that is */
	uint32_t position;	 /* among the caller's tensors */
	uint64_t count;
	uint64_t bytes;
	pcclDataType_t type;
	bool loose; /* its content may differ */
	uint32_t first_chunk;
};

struct pccl_inventory {
	enum pccl_digest_kind
		digest_kind; /* of all members alike; before any is taken: PCCL_DIGEST_FAST after create() */
	struct pccl_inventory_tensor *tensors; /* in the order of their chunks */
	size_t tensor_count;
	uint32_t chunk_count;
	uint32_t strict_chunks; /* the first ones: of tensors that have to be equal */
	uint64_t bytes;
	struct pccl_digest *leaves; /* by chunk; filled in by pccl_inventory_digest_chunk() */
	uint8_t *keys;		    /* the list of keys: for each tensor name, type, flag, count */
	size_t keys_bytes;
};

/* Borrows names and data. pcclInvalidArgument: a name twice, or one that is too long, or too many chunks. */
pcclResult_t pccl_inventory_create(const pcclSharedState_t *state, struct pccl_inventory **inventory_out);
void pccl_inventory_destroy(struct pccl_inventory *inventory); /* takes NULL */

/* Where a chunk lies. */
uint8_t *pccl_inventory_place(const struct pccl_inventory *inventory, uint32_t chunk, size_t *bytes_out);

/* What its elements are. */
pcclDataType_t pccl_inventory_type(const struct pccl_inventory *inventory, uint32_t chunk);

/* Different chunks may be digested by different threads at once. */
void pccl_inventory_digest_chunk(struct pccl_inventory *inventory, uint32_t chunk);

struct pccl_digest pccl_inventory_keys_root(const struct pccl_inventory *inventory);
/* Of all leaves of what has to be equal, and of what may differ. */
struct pccl_digest pccl_inventory_content_root(const struct pccl_inventory *inventory);
struct pccl_digest pccl_inventory_loose_root(const struct pccl_inventory *inventory);

/* Says which tensor differs from the list of keys that others have: bytes from outside. */
void pccl_inventory_compare(const struct pccl_inventory *inventory, const uint8_t *keys, size_t keys_bytes, char *text,
			    size_t text_bytes);

#endif
