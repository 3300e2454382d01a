/* Hosts that RDMA got nothing through to: a trial was in vain, or a stream stuck, or broke. For a minute connections to
 * them are plain, for whoever tries again what has failed may find that out too late: a trial takes longer than a link
 * that is dialled again has. Any thread; of the whole process. */
#ifndef PCCL_TRANSPORT_RDMA_AVOID_H
#define PCCL_TRANSPORT_RDMA_AVOID_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/address.h"

void pccl_avoid_add(const struct pccl_address *host, uint64_t now_ns);
/* It has offered RDMA, and did not come to a pair: it is avoided when it has done so often. */
void pccl_avoid_doubt(const struct pccl_address *host, uint64_t now_ns);
/* It has come to one: doubts are forgotten. That it is avoided is not: this may have begun before. */
void pccl_avoid_trust(const struct pccl_address *host);
bool pccl_avoid_has(const struct pccl_address *host, uint64_t now_ns);

/* For tests: nobody is avoided; nor from now on, if `ever`. */
void pccl_avoid_nobody(bool ever);

#endif
