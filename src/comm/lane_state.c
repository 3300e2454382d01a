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

/* ---- visits ------------------------------ */

/* Beyond the flag frames are the same. Tensors that are lent may change while they are sent: a checksum would not hold,
 * and nothing that comes so is trusted. */
static bool visit_next(void *context, uint32_t visitor, struct pccl_frame_send *send_out)
{
	if (!state_next(context, visitor, send_out))
		return false;
	send_out->frame.flags |= PCCL_FRAME_EARLY;
	if (send_out->frame.type == PCCL_FRAME_PART)
		send_out->frame.flags |= PCCL_FRAME_UNCHECKED;
	return true;
}

static struct pccl_frame without_flag(const struct pccl_frame *frame)
{
	struct pccl_frame plain = *frame;

	plain.flags &= (uint8_t)~PCCL_FRAME_EARLY;
	return plain;
}

static bool visit_owns(const void *context, const struct pccl_frame *frame)
{
	const struct pccl_frame plain = without_flag(frame);

	return (frame->flags & PCCL_FRAME_EARLY) != 0 && state_owns(context, &plain);
}

static enum pccl_frame_verdict visit_accept(void *context, uint32_t visitor, const struct pccl_frame *frame,
					    void **destination_out)
{
	const struct pccl_frame plain = without_flag(frame);

	return state_accept(context, visitor, &plain, destination_out);
}

static void visit_received(void *context, uint32_t visitor, const struct pccl_frame *frame)
{
	const struct pccl_frame plain = without_flag(frame);

	state_received(context, visitor, &plain);
}

static void visit_dropped(void *context, uint32_t visitor, const struct pccl_frame *frame)
{
	const struct pccl_frame plain = without_flag(frame);

	state_dropped(context, visitor, &plain);
}

const struct pccl_lane_background pccl_lane_state_visits = {.install = state_install,
							    .lost = state_lost,
							    .ready = state_ready,
							    .next = visit_next,
							    .owns = visit_owns,
							    .accept = visit_accept,
							    .received = visit_received,
							    .dropped = visit_dropped,
							    .sent = state_sent,
							    .stir = state_stir,
							    .look = state_look};

/* ---- orders ------------------------------ */

static void forget(const struct pccl_lane_state *state, const struct pccl_state_order *order)
{
	if (order->early)
		pccl_lane_forget_visits(state->lane);
	else
		pccl_lane_forget_background(state->lane);
}

void pccl_lane_state_carry_out(struct pccl_lane_state *state, const struct pccl_command *command, uint64_t now_ns)
{
	const struct pccl_state_order *order = command->order;
	bool open = order->step != PCCL_AGREEMENT_CLOSE;

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
		forget(state, order);
		pccl_transfer_close(state->transfer);
		break;
	default:
		assert(!"the caller's own");
	}
	/* Who lends has nothing to look at, however long that takes. */
	if (order->early)
		pccl_lane_stir_visits(state->lane, open, order->step == PCCL_AGREEMENT_FETCH, now_ns);
	else
		pccl_lane_stir(state->lane, open, now_ns);
}
