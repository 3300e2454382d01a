/*
 * What all members of a view know alike of the links between them, and what plans may depend on beside kind, ranks and
 * bytes: every member must make the same plan. It comes with INSTALL and belongs to that view: attempts of one epoch
 * were made from one table. Empty today: no master measures. The planner of wide-area groups will have rates and round
 * trips here, as the master has them from its members' reports at the view change, to choose the algorithm, the order
 * of the ring and the sizes of shards by them.
 */
#ifndef PCCL_BASE_LINKS_H
#define PCCL_BASE_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

/* One way of the link between two ranks. */
struct pccl_link_measure {
	uint16_t from;
	uint16_t to;
	uint32_t kib_per_s;
	uint32_t round_trip_us;
};

struct pccl_links {
	uint32_t count;
	struct pccl_link_measure *measures; /* by `from`, then `to`; what is missing is unknown; owned */
};

/* Each between two different ranks below `ranks`, in order, none twice? */
bool pccl_links_valid(const struct pccl_links *links, uint32_t ranks);

/* A deep copy; on failure *to_out is empty. Returns pcclOutOfMemory. */
pcclResult_t pccl_links_copy(const struct pccl_links *from, struct pccl_links *to_out);

/* Frees what it owns and empties it; takes zeroed memory. */
void pccl_links_fini(struct pccl_links *links);

#endif
