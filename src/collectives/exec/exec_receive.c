/* What comes in. Everything in a frame is from outside: it is compared with what the plan expects, and refused if it is
 * anything else. Before START has come from a rank what it sends can't be judged: what does not fit may be of an op
 * that was called differently there, so it is kept unseen, within what a rank may send without being asked. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "collectives/exec/exec_internal.h"

/* ---- does a frame fit the plan? ---------------------------------------------------------------------------------- */

struct payload {
	uint32_t bytes;
	bool packed;
};

struct awaited {
	uint32_t local;
	uint32_t index;
	uint32_t position; /* among the inputs */
};

static bool find_position(const struct pccl_route *route, uint32_t rank, uint32_t *position_out)
{
	uint32_t position;

	if (rank < route->input_count && route->inputs[rank] == rank) {
		*position_out = rank;
		return true;
	}
	for (position = 0; position < route->input_count; position++) {
		if (route->inputs[position] == rank) {
			*position_out = position;
			return true;
		}
	}
	return false;
}

/* Has it the size that was expected, or is it packed and smaller? */
static bool size_fits(const struct op *op, const struct payload *payload, uint32_t expected)
{
	return payload->packed ? packed_fits(op, payload->bytes, expected) : payload->bytes == expected;
}

static bool partial_fits(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t segment,
			 const struct payload *payload, struct awaited *out)
{
	const struct pccl_route *route;

	if (!op_local_from(exec, op, rank, segment, &out->local))
		return false;
	route = op_route(op, out->local);
	if (!find_position(route, rank, &out->position))
		return false;
	if (!size_fits(op, payload, op_partial_bytes(exec, op, out->local, route->input_is_sum)))
		return false;
	out->index = op->places[out->local].index;
	if (out->index < op->closed_first || out->index - op->closed_first >= op->work_count)
		return false;
	return !work_at(op, out->index)->closed && work_inputs(op, out->index)[out->position] == NULL;
}

static bool result_fits(const struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t segment,
			const struct payload *payload, uint32_t *local_out)
{
	if (!op_local_from(exec, op, rank, segment, local_out))
		return false;
	if (op_route(op, *local_out)->result_from != rank ||
	    !size_fits(op, payload, op_result_bytes(exec, op, *local_out)))
		return false;
	return !pccl_bitmap_test(op->held, *local_out) && !pccl_bitmap_test(op->incoming, *local_out);
}

/* ---- accept ------------------------------------------------------------------------------------------------------ */

static enum pccl_frame_verdict accept_start(struct op *op, uint32_t rank, const struct pccl_frame *frame,
					    void **destination_out)
{
	struct peer *peer = &op->peers[rank];

	if (peer->start_arrival != NOT_HERE)
		return reject(rank, frame, "an op starts twice");
	peer->start_arrival = COMING;
	*destination_out = peer->start;
	op->receiving++;
	return PCCL_FRAME_TAKE;
}

static enum pccl_frame_verdict keep(struct pccl_exec *exec, struct op *op, uint32_t rank,
				    const struct pccl_frame *frame, void **destination_out)
{
	struct stored *stored;

	*destination_out = region_store(exec, rank, &op->peers[rank].region, frame, &stored);
	if (*destination_out == NULL)
		return reject(rank, frame, "more was sent than there is credit for");
	op->receiving++;
	return PCCL_FRAME_TAKE;
}

static enum pccl_frame_verdict accept_partial(struct pccl_exec *exec, struct op *op, uint32_t rank,
					      const struct pccl_frame *frame, void **destination_out)
{
	struct peer *peer = &op->peers[rank];
	struct payload payload = {frame->payload_bytes, is_packed(frame)};
	struct awaited at;
	uint32_t slot;

	if (region_has(peer->region, frame))
		return reject(rank, frame, "a segment comes twice");
	if (!partial_fits(exec, op, rank, frame->segment, &payload, &at)) {
		if (peer->started || payload.packed)
			return reject(rank, frame, "a contribution that is not in the plan");
		return keep(exec, op, rank, frame, destination_out);
	}
	/* What may come without credit has room: eager_window. */
	if (at.index >= op->credit)
		return reject(rank, frame, "more was sent than there is credit for");
	slot = slot_take(op);
	*destination_out = slot_memory(exec, op, slot);
	work_inputs(op, at.index)[at.position] = *destination_out;
	work_slots(op, at.index)[at.position] = slot;
	op->receiving++;
	return PCCL_FRAME_TAKE;
}

static enum pccl_frame_verdict accept_result(struct pccl_exec *exec, struct op *op, uint32_t rank,
					     const struct pccl_frame *frame, void **destination_out)
{
	struct payload payload = {frame->payload_bytes, is_packed(frame)};
	struct peer *peer = &op->peers[rank];
	uint32_t local;

	if (region_has(peer->region, frame))
		return reject(rank, frame, "a segment comes twice");
	if (!result_fits(exec, op, rank, frame->segment, &payload, &local)) {
		if (peer->started || payload.packed)
			return reject(rank, frame, "a result that is not in the plan");
		return keep(exec, op, rank, frame, destination_out);
	}
	undo_save(exec, op, local);
	pccl_bitmap_set(op->incoming, local);
	*destination_out = op_output(exec, op, local);
	op->receiving++;
	return PCCL_FRAME_TAKE;
}

static enum pccl_frame_verdict accept_check(struct pccl_exec *exec, struct op *op, uint32_t rank,
					    const struct pccl_frame *frame, void **destination_out)
{
	if (!check_may_come(exec, op, rank, frame->segment))
		return reject(rank, frame, "a digest of a result that can't be");
	pccl_bitmap_set(&op->peers[rank].checks_coming, frame->segment);
	*destination_out = checks_of(exec, op, rank) + frame->segment;
	return PCCL_FRAME_TAKE;
}

static enum pccl_frame_verdict accept_for_op(struct pccl_exec *exec, struct op *op, uint32_t rank,
					     const struct pccl_frame *frame, void **destination_out)
{
	const struct peer *peer = &op->peers[rank];

	if (peer->absent)
		return reject(rank, frame, "an op that is not with it");
	switch (frame->type) {
	case PCCL_FRAME_START:
		return accept_start(op, rank, frame, destination_out);
	case PCCL_FRAME_PARTIAL:
		return accept_partial(exec, op, rank, frame, destination_out);
	case PCCL_FRAME_RESULT:
		return accept_result(exec, op, rank, frame, destination_out);
	case PCCL_FRAME_CHECK:
		return accept_check(exec, op, rank, frame, destination_out);
	case PCCL_FRAME_DONE:
		if (!peer->start_sent || peer->done)
			return reject(rank, frame, "an op is done that can't be");
		return PCCL_FRAME_TAKE;
	default: /* credit and refusals change nothing when they are repeated */
		return PCCL_FRAME_TAKE;
	}
}

static bool has_known_flags(const struct pccl_frame *frame)
{
	switch (frame->type) {
	case PCCL_FRAME_REFUSE:
		return frame->flags <= PCCL_REFUSAL_DIGEST;
	case PCCL_FRAME_PARTIAL:
	case PCCL_FRAME_RESULT:
		return (frame->flags & ~(PCCL_FRAME_PACKED | PCCL_FRAME_UNCHECKED)) == 0;
	default:
		return frame->flags == 0;
	}
}

/* What every frame of its type must be. NULL: it is. */
static const char *malformed(const struct pccl_exec *exec, const struct pccl_frame *frame)
{
	if (frame->lane != exec->config.lane)
		return "a frame of another lane";
	if (!has_known_flags(frame))
		return "unknown flags";
	switch (frame->type) {
	case PCCL_FRAME_START:
		return frame->payload_bytes == SIGNATURE_BYTES ? NULL : "a malformed start";
	case PCCL_FRAME_PARTIAL:
	case PCCL_FRAME_RESULT:
		return frame->payload_bytes > 0 && frame->aux == 0 ? NULL : "a malformed segment";
	case PCCL_FRAME_CREDIT:
		return frame->payload_bytes == 0 && frame->segment == 0 ? NULL : "malformed credit";
	case PCCL_FRAME_REFUSE:
		return frame->payload_bytes == 0 ? NULL : "a malformed refusal";
	case PCCL_FRAME_CHECK:
		return frame->payload_bytes == PCCL_CHECK_BYTES && frame->aux == 0 ? NULL : "a malformed digest";
	case PCCL_FRAME_DONE:
		return frame->payload_bytes == 0 && frame->segment == 0 && frame->aux == 0 ? NULL : "a malformed end";
	default:
		return "a frame that is not for an op";
	}
}

enum pccl_frame_verdict pccl_exec_accept(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame,
					 void **destination_out)
{
	const char *wrong = malformed(exec, frame);
	struct op *op;

	*destination_out = NULL;
	if (wrong != NULL)
		return reject(rank, frame, wrong);
	if (frame->epoch > exec->epoch)
		return PCCL_FRAME_HOLD;
	if (frame->epoch < exec->epoch || exec->frozen)
		return PCCL_FRAME_DISCARD;
	assert(rank < exec->ranks && rank != exec->rank); /* the carrier knows whose stream it is */
	if (exec->members[rank].violation[0] != '\0')
		return reject(rank, frame, exec->members[rank].violation);
	op = op_find(exec, frame->tag, frame->sequence);
	if (op == NULL)
		return early_accept(exec, rank, frame, destination_out);
	return accept_for_op(exec, op, rank, frame, destination_out);
}

/* ---- received ---------------------------------------------------------------------------------------------------- */

/* `bytes` are where they came to: in the output, or kept. */
static void result_arrived(struct pccl_exec *exec, struct op *op, uint32_t local, const void *bytes)
{
	void *output = op_output(exec, op, local);

	if (op->coded && result_is_coded(exec, op, local))
		result_decode(exec, op, local, bytes);
	else if (bytes != output)
		memcpy(output, bytes, op_segment_bytes(exec, op, local));
	pccl_bitmap_clear(op->incoming, local);
	result_hold(exec, op, local);
	result_log(exec, op, local, true);
}

/* What was kept goes where it belongs. False: it fits nowhere. */
static bool place(struct pccl_exec *exec, struct op *op, uint32_t rank, struct stored *stored)
{
	const struct payload payload = {stored->bytes, false};
	struct awaited at;
	uint32_t local, slot;

	if (stored->type == PCCL_FRAME_PARTIAL) {
		if (!partial_fits(exec, op, rank, stored->segment, &payload, &at) || at.index >= op->credit)
			return false;
		stored->arrival = PLACED;
		slot = slot_take(op);
		memcpy(slot_memory(exec, op, slot), stored_payload(stored), stored->bytes);
		work_inputs(op, at.index)[at.position] = slot_memory(exec, op, slot);
		work_slots(op, at.index)[at.position] = slot;
		contribution_arrived(exec, op, at.index);
		return true;
	}
	if (!result_fits(exec, op, rank, stored->segment, &payload, &local))
		return false;
	stored->arrival = PLACED;
	undo_save(exec, op, local);
	result_arrived(exec, op, local, stored_payload(stored));
	return true;
}

/* START is here, so that what has come before it can be judged. What is still coming follows when it is here. */
static void place_stored(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	const struct region *region = op->peers[rank].region;
	struct stored *stored = NULL;

	while ((stored = region_next(region, stored)) != NULL) {
		if (stored->arrival != HERE || place(exec, op, rank, stored))
			continue;
		snprintf(exec->members[rank].violation, sizeof(exec->members[rank].violation),
			 "segment %u of tag %llu did not fit the plan", stored->segment,
			 (unsigned long long)op->launch.key.tag);
		return;
	}
	if (region != NULL && region->coming == 0)
		region_free(exec, rank, &op->peers[rank].region);
}

void start_arrived(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct peer *peer = &op->peers[rank];
	uint8_t expected[SIGNATURE_BYTES];

	assert(op->state == OP_OPEN && !peer->started);
	if (signature_lost_root(peer->start) && peer->start[0] == op->signature[0]) { /* of the same kind */
		op_lose_root(exec, op, rank);
		return;
	}
	signature_from(op, rank, expected);
	if (memcmp(peer->start, expected, SIGNATURE_BYTES) != 0) {
		op_mismatch(exec, op, rank);
		return;
	}
	peer->started = true;
	peer->credit = peer->start_credit;
	op->started_count++;
	place_stored(exec, op, rank);
	unasked_end(exec, op, rank);
	refresh_results(exec, op, rank);
	refresh_partials(exec, op, rank);
	if (op->started_count == op->others)
		window_sure(exec, op);
}

static void received_start(struct pccl_exec *exec, struct op *op, uint32_t rank, const struct pccl_frame *frame)
{
	struct peer *peer = &op->peers[rank];

	if (peer->early != NULL) {
		memcpy(peer->start, peer->early->start, sizeof(peer->start));
		early_release(exec, peer->early);
		peer->early = NULL;
	}
	op->receiving--;
	peer->start_arrival = HERE;
	if (frame->aux > peer->start_credit)
		peer->start_credit = frame->aux;
	start_arrived(exec, op, rank);
}

static void give_back_input(struct op *op, uint32_t index, uint32_t position)
{
	uint32_t *slot = &work_slots(op, index)[position];

	work_inputs(op, index)[position] = NULL;
	if (*slot != NONE)
		slot_give(op, *slot);
	*slot = NONE;
}

/* Makes a packed segment whole. What can't be counts as not received: its sender is about to be hung up on. */
static bool received_packed(struct pccl_exec *exec, struct op *op, uint32_t rank, const struct pccl_frame *frame,
			    uint32_t local)
{
	uint32_t position = 0;

	if (frame->type == PCCL_FRAME_RESULT) {
		if (unpack_result(exec, op, rank, local, frame->payload_bytes))
			return true;
		pccl_bitmap_clear(op->incoming, local);
		return false;
	}
	if (!find_position(op_route(op, local), rank, &position))
		assert(false); /* accept() has found it, and the plan has not changed */
	if (unpack_contribution(exec, op, rank, local, position, frame->payload_bytes))
		return true;
	give_back_input(op, op->places[local].index, position);
	return false;
}

static void received_segment(struct pccl_exec *exec, struct op *op, uint32_t rank, const struct pccl_frame *frame)
{
	struct stored *stored = region_find(op->peers[rank].region, frame, COMING);
	uint32_t local;

	op->receiving--;
	if (stored != NULL) {
		op->peers[rank].region->coming--;
		stored->arrival = HERE;
		if (op->peers[rank].started)
			place_stored(exec, op, rank);
		return;
	}
	if (!op_local_from(exec, op, rank, frame->segment, &local))
		return;
	if (is_packed(frame) && !received_packed(exec, op, rank, frame, local))
		return;
	if (frame->type == PCCL_FRAME_RESULT)
		result_arrived(exec, op, local, op_output(exec, op, local));
	else if (op->places[local].index != NONE)
		contribution_arrived(exec, op, op->places[local].index);
}

static void received_refusal(struct op *op, struct peer *peer, const struct pccl_frame *frame)
{
	if (peer->refused)
		return;
	peer->refused = true;
	peer->refusal.reason = frame->flags;
	peer->refusal.segment = frame->segment;
	peer->refusal.element = frame->aux;
	op->refused_count += frame->flags != PCCL_REFUSAL_HEARD;
}

static void received_for_op(struct pccl_exec *exec, struct op *op, uint32_t rank, const struct pccl_frame *frame)
{
	struct peer *peer = &op->peers[rank];

	if (pccl_frame_is_segment(frame))
		op->rx_bytes += frame->payload_bytes;
	switch (frame->type) {
	case PCCL_FRAME_START:
		received_start(exec, op, rank, frame);
		break;
	case PCCL_FRAME_PARTIAL:
	case PCCL_FRAME_RESULT:
		received_segment(exec, op, rank, frame);
		break;
	case PCCL_FRAME_CREDIT:
		if (frame->aux > peer->start_credit)
			peer->start_credit = frame->aux;
		if (peer->started)
			peer->credit = peer->start_credit;
		refresh_partials(exec, op, rank);
		break;
	case PCCL_FRAME_CHECK:
		check_arrived(exec, op, rank, frame->segment);
		break;
	case PCCL_FRAME_DONE:
		op->done_count += !peer->done;
		peer->done = true;
		break;
	default:
		received_refusal(op, peer, frame);
		break;
	}
	op_settle(exec, op);
}

/* What an open op has accepted. What came before of who has no part in it is none of it. */
static struct op *op_taking(const struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame)
{
	struct op *op = op_find(exec, frame->tag, frame->sequence);

	return op != NULL && op->peers[rank].absent ? NULL : op;
}

void pccl_exec_received(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame)
{
	struct op *op;

	/* The view may have gone on since the header came. */
	if (frame->epoch != exec->epoch || exec->frozen)
		return;
	op = op_taking(exec, rank, frame);
	if (op != NULL)
		received_for_op(exec, op, rank, frame);
	else
		early_received(exec, rank, frame);
}

/* ---- dropped ----------------------------------------------------------------------------------------------------- */

static void dropped_start(struct pccl_exec *exec, struct op *op, uint32_t rank)
{
	struct peer *peer = &op->peers[rank];

	if (peer->early != NULL)
		early_release(exec, peer->early);
	peer->early = NULL;
	peer->start_arrival = NOT_HERE;
	op->receiving--;
}

static void dropped_segment(struct pccl_exec *exec, struct op *op, uint32_t rank, const struct pccl_frame *frame)
{
	struct stored *stored = region_find(op->peers[rank].region, frame, COMING);
	uint32_t local, position;

	op->receiving--;
	if (stored != NULL) {
		op->peers[rank].region->coming--;
		stored->arrival = NOT_HERE;
		return;
	}
	if (!op_local_from(exec, op, rank, frame->segment, &local))
		return;
	if (frame->type == PCCL_FRAME_RESULT)
		pccl_bitmap_clear(op->incoming, local);
	else if (find_position(op_route(op, local), rank, &position))
		give_back_input(op, op->places[local].index, position);
}

void pccl_exec_dropped(struct pccl_exec *exec, uint32_t rank, const struct pccl_frame *frame)
{
	struct op *op;

	if (frame->epoch != exec->epoch || exec->frozen)
		return;
	op = op_taking(exec, rank, frame);
	if (op == NULL)
		early_dropped(exec, rank, frame);
	else if (frame->type == PCCL_FRAME_START)
		dropped_start(exec, op, rank);
	else if (frame->type == PCCL_FRAME_CHECK)
		pccl_bitmap_clear(&op->peers[rank].checks_coming, frame->segment);
	else if (pccl_frame_is_segment(frame))
		dropped_segment(exec, op, rank, frame);
	if (op != NULL)
		op_settle(exec, op);
}
