/* Pairs that are made for who has only offered so far: anybody who can connect may, and each is a MiB and three
 * descriptors. Any thread; of the whole process. */
#ifndef PCCL_TRANSPORT_RDMA_TRIALS_H
#define PCCL_TRANSPORT_RDMA_TRIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/address.h"

#define PCCL_TRIALS_MAX 128u			  /* half of the callers that wait at a door */
#define PCCL_TRIALS_OF_ONE (PCCL_TRIALS_MAX / 4u) /* of one origin: it can't hold up everybody else */

/* A connection's place in the list of those that are there; zeroed: it has none. */
struct pccl_trial {
	struct pccl_trial *next;
	uint64_t origin;
	bool is_on;
};

/* False: so many are on already. */
bool pccl_trial_begin(struct pccl_trial *trial, const struct pccl_address *with);
void pccl_trial_end(struct pccl_trial *trial);

#endif
