/* Which of several devices each connection goes over that is dialled. Any thread; of the whole process. */
#ifndef PCCL_TRANSPORT_RDMA_RAILS_H
#define PCCL_TRANSPORT_RDMA_RAILS_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/address.h"

#define PCCL_RAILS_MAX 16u

/* A connection's place in the list of those that are there; zeroed: it has none. */
struct pccl_rail {
	struct pccl_rail *next;
	struct pccl_address to;
	uint32_t index;
	bool is_taken;
};

/* Of `count` rails the one that fewest connections to that address and port go over, and of those the one with fewest
 * to anybody: so lanes and streams of every neighbour are spread. Each process has its own first among equals, or all
 * that dial one peer first, once each, would meet on one of its devices. It counts until it is given back. Those whose
 * bit is set in `except` are left out, which are never all. */
uint32_t pccl_rail_take(struct pccl_rail *rail, const struct pccl_address *to, uint32_t count, uint32_t except);
void pccl_rail_give_back(struct pccl_rail *rail);

#endif
