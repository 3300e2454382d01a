/* Hosts that RDMA was tried with in vain. A trial may last longer than the attempt to connect that it is a part of, so
 * that the next one would end like the last: for a minute these hosts are spoken to over TCP. Any thread; of the whole
 * process. */
#ifndef PCCL_TRANSPORT_RDMA_AVOID_H
#define PCCL_TRANSPORT_RDMA_AVOID_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/address.h"

void pccl_avoid_add(const struct pccl_address *host, uint64_t now_ns);
bool pccl_avoid_has(const struct pccl_address *host, uint64_t now_ns);

/* For tests: nobody is avoided. */
void pccl_avoid_nobody(void);

#endif
