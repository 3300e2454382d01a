/* The digests of a state, kept from one call to the next for tensors that the caller says have not changed. They are
 * used again for tensors of the same name, type, count and place only, and if the state has the same tensors as then.
 * Pure. */
#ifndef PCCL_SYNC_STATE_KEPT_H
#define PCCL_SYNC_STATE_KEPT_H

#include "sync/state/inventory.h"

struct pccl_kept;

/* Takes digests and keys out of the inventory, which is good for nothing but its end then. NULL: out of memory. */
struct pccl_kept *pccl_kept_create(struct pccl_inventory *inventory);
void pccl_kept_destroy(struct pccl_kept *kept); /* takes NULL */

/* Which tensors need not be hashed again? Their digests are filled in. `dirty` is in the caller's order and says which
 * may have changed; NULL: all may. `kept_out` is in the inventory's. Returns the bytes of those that need not. */
uint64_t pccl_kept_use(const struct pccl_kept *kept, struct pccl_inventory *inventory, const bool *dirty,
		       bool *kept_out); /* takes NULL for kept */

#endif
