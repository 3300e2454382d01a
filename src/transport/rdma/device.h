/* Which device, port and address of it a connection's pair of queues is to use. */
#ifndef PCCL_TRANSPORT_RDMA_DEVICE_H
#define PCCL_TRANSPORT_RDMA_DEVICE_H

#include <stdbool.h>

#include "transport/address.h"
#include "transport/rdma/terms.h"
#include "transport/rdma/verbs.h"

struct pccl_device {
	const struct pccl_verbs *verbs;
	struct ibv_context *context; /* opened, of the holder's alone */
	uint8_t port;
	uint8_t gid_index;
	uint8_t gid[PCCL_TERMS_GID_BYTES];
	uint16_t lid;
	uint8_t mtu;
	uint8_t link; /* pccl_terms_link */
	bool chosen;  /* by the environment, so it may be on another network than the connection */
};

/* How many devices PCCL_RDMA_DEVICE lists; 1: none. */
uint32_t pccl_device_rails(void);
/* What PCCL_RDMA_DEVICE=name[:port[:index]][,...] says, of several the rail-th, counted round; else what has the
 * address. pcclSystemError: nothing is so. */
pcclResult_t pccl_device_open(const struct pccl_address *local, uint32_t rail, struct pccl_device *device_out);
void pccl_device_close(struct pccl_device *device);

/* What RoCE calls an address. False: neither IPv4 nor IPv6. */
bool pccl_device_gid_of(const struct pccl_address *address, uint8_t gid_out[PCCL_TERMS_GID_BYTES]);

#endif
