/* Looks a host's name up without holding up a loop: the resolver may take long to say no. */
#ifndef PCCL_LOOKUP_H
#define PCCL_LOOKUP_H

#include <stdint.h>

#include <pccl.h>

#include "transport/address.h"
#include "transport/loop/loop.h"

#define PCCL_LOOKUP_ADDRESSES 8u

struct pccl_lookup;

/* `result` is pcclSuccess with at least one address, else the reason says why not. The lookup is gone. */
typedef void pccl_lookup_found(void *context, pcclResult_t result, const struct pccl_address *addresses, size_t count,
			       const char *reason);

/* found() follows on the loop's thread, never from inside this call, unless it is cancelled. Returns pcclOutOfMemory,
 * pcclSystemError. */
pcclResult_t pccl_lookup_start(struct pccl_loop *loop, const char *host, uint16_t port, pccl_lookup_found *found,
			       void *context, struct pccl_lookup **lookup_out);

/* On the loop's thread; found() is not called any more. The thread that asks the resolver ends by itself, and touches
 * nothing of the caller's. NULL is allowed. What has been posted already is freed by the loop's next turn. */
void pccl_lookup_cancel(struct pccl_lookup *lookup);

#endif
