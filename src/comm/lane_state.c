/* See lane_state.h. */
#include "comm/lane_state.h"

#include <assert.h>

/* ---- the background of a lane ------------------------------ */

static pcclResult_t state_install(void *context, uint32_t ranks, uint32_t rank, const pcclRankUuid_t *uuids)
{
	const struct pccl_lane_state *state = context;

	return pccl_transfer_install(state->transfer, ranks, rank, uuids);
}

static void state_lost(void *context, uint32_t rank)
{
	const struct pccl_lane_state *state = context;

	pccl_transfer_lost(state->transfer, rank);
}

static bool state_ready(void *context, uint32_t *rank_out)
{
	const struct pccl_lane_state *state = context;

	return pccl_transfer_ready(state->transfer, rank_out);
}

static bool state_next(void *context, uint32_t rank, struct pccl_frame_send *send_out)
{
	const struct pccl_lane_state *state = context;

	if (!pccl_transfer_next(state->transfer, rank, send_out))
		return false;
	if (send_out->cookie != NULL) /* what a lane forgets by is the background's context */
		send_out->cookie = context;
	return true;
}

static bool state_owns(const void *context, const struct pccl_frame *frame)
{
	return pccl_transfer_owns(context, frame);
}

static enum pccl_frame_verdict state_accept(void *context, uint32_t rank, const struct pccl_frame *frame,
					    void **destination_out)
{
	const struct pccl_lane_state *state = context;

	return pccl_transfer_accept(state->transfer, rank, frame, destination_out);
}

static void state_received(void *context, uint32_t rank, const struct pccl_frame *frame)
{
	const struct pccl_lane_state *state = context;

	pccl_transfer_received(state->transfer, rank, frame);
}

static void state_dropped(void *context, uint32_t rank, const struct pccl_frame *frame)
{
	const struct pccl_lane_state *state = context;

	pccl_transfer_dropped(state->transfer, rank, frame);
}

static void state_sent(void *context, void *token)
{
	const struct pccl_lane_state *state = context;

	pccl_transfer_sent(state->transfer, token);
}

static void state_stir(void *context)
{
	const struct pccl_lane_state *state = context;
	struct pccl_transfer_outcome outcome;

	while (pccl_transfer_poll(state->transfer, &outcome))
		state->transferred(state->context, state->index, &outcome);
}

static void state_look(void *context, uint64_t now_ns)
{
	const struct pccl_lane_state *state = context;

	pccl_transfer_look(state->transfer, now_ns);
}

const struct pccl_lane_background pccl_lane_state_background = {.install = state_install,
								.lost = state_lost,
								.ready = state_ready,
								.next = state_next,
								.owns = state_owns,
								.accept = state_accept,
								.received = state_received,
								.dropped = state_dropped,
								.sent = state_sent,
								.stir = state_stir,
								.look = state_look};

/* ---- orders ------------------------------ */

void pccl_lane_state_carry_out(struct pccl_lane_state *state, const struct pccl_command *command, uint64_t now_ns)
{
	const struct pccl_state_order *order = command->order;
	bool busy = order->step != PCCL_AGREEMENT_CLOSE;

	switch (order->step) {
	case PCCL_AGREEMENT_OPEN:
		pccl_transfer_open(state->transfer, order->sync, order->inventory, order->serves);
		break;
	case PCCL_AGREEMENT_FETCH:
		pccl_transfer_fetch(state->transfer, order->fetch);
		break;
	case PCCL_AGREEMENT_SERVE:
		pccl_transfer_serve(state->transfer);
		break;
	case PCCL_AGREEMENT_CLOSE:
		pccl_lane_forget_background(state->lane);
		pccl_transfer_close(state->transfer);
		break;
	default:
		assert(!"the caller's own");
	}
	pccl_lane_stir(state->lane, busy, now_ns);
}
