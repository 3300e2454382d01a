/* A lane's share of synchronizing a state: the transfer between its links, which are the lane's, and the caller's
 * orders, which come as commands. Lane thread only. */
#ifndef PCCL_LANE_STATE_H
#define PCCL_LANE_STATE_H

#include "session/lane.h"
#include "sync/state/agreement.h"

/* What a lane is to do. The caller's, until the lane has carried it out. */
struct pccl_state_order {
	enum pccl_agreement_step step; /* OPEN, FETCH, SERVE, CLOSE */
	uint64_t sync;
	bool serves;
	const struct pccl_inventory *inventory;
	const struct pccl_fetch *fetch;
};

struct pccl_lane_state {
	struct pccl_transfer *transfer;
	struct pccl_lane *lane; /* of which it is the background */
	uint32_t index;
	/* The lane has fetched its share, or has closed. */
	void (*transferred)(void *context, uint32_t lane, const struct pccl_transfer_outcome *outcome);
	void *context;
};

/* For the lane's configuration; the context is the struct. */
extern const struct pccl_lane_background pccl_lane_state_background;

/* A BACKGROUND command. */
void pccl_lane_state_carry_out(struct pccl_lane_state *state, const struct pccl_command *command, uint64_t now_ns);

#endif
