/* A lane's share of synchronizing a state: the transfer between its links, which are the lane's, and the caller's
 * orders, which come as commands. And, as another one, of what newcomers get before they are admitted. Lane thread
 * only. */
#ifndef PCCL_LANE_STATE_H
#define PCCL_LANE_STATE_H

#include "session/lane.h"
#include "sync/state/agreement.h"

/* What a lane is to do. The caller's, until the lane has carried it out. */
struct pccl_state_order {
	enum pccl_agreement_step step; /* OPEN, FETCH, SERVE, CLOSE */
	bool early;		       /* it is about newcomers */
	uint64_t sync;
	bool serves;
	const struct pccl_inventory *inventory;
	const struct pccl_fetch *fetch;
};

struct pccl_lane_state {
	struct pccl_transfer *transfer;
	struct pccl_lane *lane; /* of which it is the background, or the visits */
	uint32_t index;
	/* The lane has fetched its share, or has closed. */
	void (*transferred)(void *context, uint32_t lane, const struct pccl_transfer_outcome *outcome);
	void *context;
};

/* For the lane's configuration; the context is the struct. */
extern const struct pccl_lane_background pccl_lane_state_background;
extern const struct pccl_lane_background pccl_lane_state_visits;

/* For the transfers of visits. Their payloads may change while they are sent: nothing is compressed. */
#define PCCL_LANE_STATES_MAX 2u

/* A BACKGROUND command, of an order that is early if the state is that of visits. */
void pccl_lane_state_carry_out(struct pccl_lane_state *state, const struct pccl_command *command, uint64_t now_ns);

#endif
