/* Who is near: which processes run on this host. */
#ifndef PCCL_TRANSPORT_LOCALITY_H
#define PCCL_TRANSPORT_LOCALITY_H

#include <stdint.h>

/* A number of this kernel and of its present start, the same for every process on it (but in containers that hide it),
 * and for no process elsewhere; it says nothing about the host. 0: not known, as where /proc is not mounted. */
uint64_t pccl_locality_host(void);

#endif
