/* The bytes of an inventory, wherever its tensors lie: hashed by all cores; and, for those that lie on a device, pages
 * of the host that stand for them while a state is moved between peers. */
#ifndef PCCL_DEVICE_STATE_H
#define PCCL_DEVICE_STATE_H

#include "sync/state/inventory.h"

/* Fills in the digests of all tensors but those that are kept (`kept` by tensor, in the order of the inventory; NULL:
 * none is), with so many threads, 0: as many as there are cores. pcclSystemError, pcclInvalidArgument: of a device. */
pcclResult_t pccl_state_digest(struct pccl_inventory *inventory, const bool *kept, uint32_t threads);

/* The bytes of one chunk. */
pcclResult_t pccl_state_read(const struct pccl_inventory *inventory, uint32_t chunk, void *bytes_out);

struct pccl_shadow;

/* *shadow_out is NULL if no tensor lies on a device; else the inventory's tensors of devices point to pages of the host
 * from now on, which hold nothing yet. After pccl_state_digest(). Borrows the inventory. pcclOutOfMemory. */
pcclResult_t pccl_shadow_create(struct pccl_inventory *inventory, struct pccl_shadow **shadow_out);
void pccl_shadow_destroy(struct pccl_shadow *shadow); /* takes NULL */

/* Brings what the devices hold into the pages, unless it was brought already; before they are read or written. If that
 * fails, pccl_shadow_upload() says so: what is served of them until then has not the digests that others expect. */
void pccl_shadow_download(struct pccl_shadow *shadow); /* takes NULL */

/* Takes those chunks back to the devices whose digests are others now. If that fails, the tensors hold anything. */
pcclResult_t pccl_shadow_upload(struct pccl_shadow *shadow); /* takes NULL */

#endif
