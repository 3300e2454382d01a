/* A lane's share of synchronizing a state: the transfer between its links, which are the lane's, and the caller's
 * orders, which come as commands. Lane thread only. */
#ifndef PCCL_LANE_STATE_H
#define PCCL_LANE_STATE_H

#include "comm/monitor.h"
#include "session/lane.h"

struct pccl_lane_state {
	struct pccl_transfer *transfer;
	struct pccl_lane *lane; /* of which it is the background */
	struct pccl_monitor *monitor;
	uint32_t index;
};

/* For the lane's configuration; the context is the struct. */
extern const struct pccl_lane_background pccl_lane_state_background;

void pccl_lane_state_carry_out(struct pccl_lane_state *state, const struct pccl_state_order *order, uint64_t now_ns);

#endif
