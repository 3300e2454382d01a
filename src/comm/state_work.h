/* The digests of a whole state, on several cores. */
#ifndef PCCL_STATE_WORK_H
#define PCCL_STATE_WORK_H

#include "sync/state/inventory.h"

/* On as many cores as this process may use; the caller's thread works, too. */
void pccl_state_digest(struct pccl_inventory *inventory);

#endif
