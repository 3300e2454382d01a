/* Frames on the virtual wire: handed to the kernel whole or by halves, delivered in order, taken back. */
#include "shell_wire_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/fail.h"
#include "rogue.h"

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static void check_lent(const struct wire *wire, const struct flight *flight)
{
	const struct pccl_frame *frame = &flight->frame;

	if (flight->payload == NULL || wire->unchecked || frame->payload_bytes == 0)
		return;
	if (memcmp(flight->copy, flight->payload, frame->payload_bytes) != 0)
		sim_fail(wire->sim,
			 "a payload changed on its way from node %u: type %u, op %u.%u, segment %u, epoch %u",
			 wire->node, frame->type, (unsigned)frame->tag, frame->sequence, frame->segment, frame->epoch);
}

bool wire_send(struct pccl_stream *stream, const struct pccl_frame *frame, const void *payload, void *token)
{
	struct wire *wire = wire_of(stream);
	struct flight *flight;

	if (wire->state != WIRE_OPEN)
		return false;
	if (wire->count - wire->handed >= wire->sim->shells->plan.frames) {
		wire->room_wanted = true;
		return false;
	}
	flight = must(calloc(1, sizeof(*flight)));
	flight->frame = *frame;
	flight->token = token;
	if (frame->payload_bytes > 0) {
		flight->payload = payload;
		flight->copy = must(malloc(frame->payload_bytes));
		memcpy(flight->copy, payload, frame->payload_bytes);
		if (frame->payload_crc != 0 && pccl_crc32c(0, payload, frame->payload_bytes) != frame->payload_crc)
			sim_fail(wire->sim, "node %u sends a wrong checksum", wire->node);
	}
	if (wire->last != NULL)
		wire->last->next = flight;
	else
		wire->first = flight;
	wire->last = flight;
	wire->count++;
	if (wire->count - wire->handed == 1)
		wire->hand_ns = wire->sim->now_ns + sim_exponential(wire->sim, wire->sim->shells->plan.frame_ns / 4);
	loop_want(wire->loop, wire->hand_ns);
	return true;
}

/* False: the wire is gone, or its user another. */
static bool complete(struct wire *wire, struct flight *flight)
{
	struct pccl_guard guard;

	if (flight->completed)
		return true;
	flight->completed = true;
	pccl_guard_enter(&wire->guard, &guard);
	wire->events->sent(wire->context, &wire->base, flight->token);
	if (guard.gone)
		return false;
	pccl_guard_leave(&wire->guard, &guard);
	return true;
}

static struct flight *flight_at(const struct wire *wire, uint32_t position)
{
	struct flight *flight = wire->first;

	while (position-- > 0)
		flight = flight->next;
	return flight;
}

bool wire_complete_all(struct wire *wire)
{
	struct flight *flight;

	for (flight = wire->first; flight != NULL; flight = flight->next)
		if (!complete(wire, flight))
			return false;
	return true;
}

void wire_forget(struct pccl_stream *stream, bool (*replace)(void *context, void *token, struct pccl_frame *frame),
		 void *context)
{
	struct wire *wire = wire_of(stream);
	struct flight *flight;
	uint32_t position = 0;

	for (flight = wire->first; flight != NULL; flight = flight->next, position++) {
		struct pccl_frame frame = flight->frame;

		if (!replace(context, flight->token, &frame))
			continue;
		/* What is in the kernel, or half there, arrives as it was lent. An op that fails by itself, as only the
		 * programs' mistakes make it, has its input back already. */
		if (wire->sim->shells->plan.mistake_percent == 0)
			check_lent(wire, flight);
		flight->payload = NULL;
		if (position < wire->handed)
			continue;
		if (position > wire->handed || !wire->half)
			flight->frame = frame;
		if (!complete(wire, flight))
			return;
	}
}

/* One step of handing a frame to the kernel, which may take the half of it first. False: the wire is gone. */
static bool hand_over(struct wire *wire)
{
	struct sim *sim = wire->sim;
	struct flight *flight = flight_at(wire, wire->handed);

	wire->hand_ns = sim->now_ns + sim_exponential(sim, sim->shells->plan.frame_ns / 4);
	check_lent(wire, flight);
	if (!wire->half && flight->frame.payload_bytes > 0 && sim_chance(sim, 40)) {
		wire->half = true;
		return true;
	}
	wire->half = false;
	wire->handed++;
	wire->counters.sent_bytes += PCCL_FRAME_BYTES + flight->frame.payload_bytes;
	wire_tell_other(wire);
	return complete(wire, flight);
}

static bool give_room(struct wire *wire)
{
	struct pccl_guard guard;

	if (!wire->room_wanted || wire->count - wire->handed >= wire->sim->shells->plan.frames)
		return true;
	wire->room_wanted = false;
	pccl_guard_enter(&wire->guard, &guard);
	wire->events->room(wire->context, &wire->base);
	if (guard.gone)
		return false;
	pccl_guard_leave(&wire->guard, &guard);
	return true;
}

static bool may_hand_over(const struct wire *wire)
{
	return wire->count > wire->handed && wire->handed < wire->sim->shells->plan.window && !wire->reset;
}

/* ---- receiving ----------------------------------------------------------------------------------------------- */

/* The first frame of the other end has gone through. */
static void pop(struct wire *wire)
{
	struct wire *other = wire->other;
	struct flight *flight = other->first;
	uint64_t bytes = PCCL_FRAME_BYTES + flight->frame.payload_bytes;

	other->first = flight->next;
	if (other->first == NULL)
		other->last = NULL;
	other->count--;
	other->handed--;
	other->delivered_bytes += bytes;
	other->delivered_ns = wire->sim->now_ns;
	wire->coming = wire->diverted = false;
	wire->counters.received_bytes += bytes;
	wire_free_flight(flight);
	if (other->loop != NULL && other->count > other->handed)
		loop_want(other->loop, other->hand_ns);
}

void wire_break(struct wire *wire, const char *reason)
{
	sim_trace(wire->sim, "node %u: a connection to node %u ends: %s", wire->node, wire->other_node, reason);
	wire->state = WIRE_BROKEN;
	if (!wire_complete_all(wire))
		return;
	/* Nobody hears what was not in the kernel. */
	wire_lose(wire, wire->handed, wire->count);
	wire->half = false;
	wire->events->broken(wire->context, &wire->base, reason);
}

static bool tell_received(struct wire *wire, const struct pccl_frame *frame)
{
	struct pccl_guard guard;

	pccl_guard_enter(&wire->guard, &guard);
	wire->events->received(wire->context, &wire->base, frame);
	if (guard.gone)
		return false;
	pccl_guard_leave(&wire->guard, &guard);
	return true;
}

/* False: the wire is gone. */
static bool take_header(struct wire *wire)
{
	struct pccl_frame frame = wire->other->first->frame;
	enum pccl_frame_verdict verdict;
	struct sim *sim = wire->sim;
	uint32_t node = wire->node;
	struct pccl_guard guard;

	check_lent(wire->other, wire->other->first);
	if (sim_rogue_is(wire->sim, wire->other_node)) {
		sim_rogue_frame(wire->sim, &frame);
		wire->other->first->frame = frame;
	}
	pccl_guard_enter(&wire->guard, &guard);
	verdict = wire->events->header(wire->context, &wire->base, &frame, &wire->destination);
	/* Nobody is hostile but a rogue. The link may have let go of the wire by now. */
	if (verdict == PCCL_FRAME_REJECT && sim->rogue == NULL)
		sim_fail(sim, "node %u rejects a frame: %s", node, pccl_fail_text());
	if (guard.gone)
		return false;
	pccl_guard_leave(&wire->guard, &guard);
	switch (verdict) {
	case PCCL_FRAME_TAKE:
		if (frame.payload_bytes > 0) {
			wire->coming = true;
			wire->installs = wire->loop->lane != NULL ? wire->loop->lane->installs : 0;
			return true;
		}
		pop(wire);
		return tell_received(wire, &frame);
	case PCCL_FRAME_DISCARD:
		pop(wire);
		return true;
	case PCCL_FRAME_HOLD:
		wire->held = true;
		return true;
	case PCCL_FRAME_REJECT:
		wire_break(wire, pccl_fail_text());
		return false;
	}
	return true;
}

/* Has the lane frozen, or had a view installed, since the frame was accepted? States go on all the same. */
static bool is_too_late(const struct wire *wire, const struct pccl_frame *frame)
{
	return frame->type != PCCL_FRAME_PART && wire->installs != wire->loop->lane->installs;
}

/* Some members send other elements than they hold, now and then. */
static bool is_lie(struct sim *sim, uint32_t from, const struct pccl_frame *frame)
{
	return sim->shells->plan.lie_percent > 0 && frame->type == PCCL_FRAME_RESULT &&
	       (frame->flags & PCCL_FRAME_PACKED) == 0 && pccl_rng_hash(sim->plan.seed, from) % 3 == 0 &&
	       sim_chance(sim, sim->shells->plan.lie_percent);
}

static bool take_payload(struct wire *wire)
{
	const struct flight *flight = wire->other->first;
	const struct pccl_frame frame = flight->frame;

	if (wire->diverted) {
		pop(wire);
		return true;
	}
	check_lent(wire->other, flight);
	/* A greeting is the link's own. */
	if (frame.type >= PCCL_FRAME_START && is_too_late(wire, &frame)) {
		sim_fail(wire->sim, "a payload is written to node %u after a freeze", wire->node);
		return true;
	}
	memcpy(wire->destination, flight->copy, frame.payload_bytes);
	if (is_lie(wire->sim, wire->other_node, &frame)) {
		*(uint8_t *)wire->destination ^= 1;
		sim_trace(wire->sim, "node %u lies to node %u about segment %u of op %u.%u", wire->other_node,
			  wire->node, frame.segment, (unsigned)frame.tag, frame.sequence);
	}
	pop(wire);
	return tell_received(wire, &frame);
}

/* What was being received has come in part. */
void wire_spoil(struct wire *wire)
{
	if (wire->coming && !wire->diverted &&
	    (wire->loop->lane == NULL || !is_too_late(wire, &wire->other->first->frame)))
		memset(wire->destination, SHELL_POISON,
		       sim_between(wire->sim, 0, wire->other->first->frame.payload_bytes));
}

static bool has_more(const struct wire *wire)
{
	return wire->other->handed > 0 && !wire->torn && !wire->refused;
}

static bool has_ended(const struct wire *wire)
{
	return wire->refused ||
	       ((wire->reset || wire->other->state == WIRE_CLOSED || wire->other->state == WIRE_BROKEN) &&
		!wire->sim->nodes[wire->other_node].vanished);
}

/* False: the wire is gone. */
static bool receive(struct wire *wire)
{
	wire->due_ns = wire->sim->now_ns + wire_delay(wire);
	if (has_more(wire)) {
		wire->counters.heard_ns = wire->loop->now_ns;
		return wire->coming ? take_payload(wire) : take_header(wire);
	}
	if (!has_ended(wire))
		return true;
	wire_spoil(wire);
	wire_break(wire, wire->reset ? "connection reset" : "connection closed");
	return false;
}

void wire_resume(struct pccl_stream *stream)
{
	struct wire *wire = wire_of(stream);

	if (!wire->held)
		return;
	wire->held = false;
	wire->due_ns = wire->sim->now_ns;
	loop_want(wire->loop, wire->due_ns);
}

bool wire_divert(struct pccl_stream *stream, struct pccl_frame *frame_out)
{
	struct wire *wire = wire_of(stream);

	if (!wire->coming || wire->diverted)
		return false;
	*frame_out = wire->other->first->frame;
	wire->diverted = true;
	return true;
}

/* What a kernel has acknowledged it has. */
static bool is_here(const struct wire *wire)
{
	return has_more(wire) && wire->other->delivered_bytes < wire->other->acked_bytes;
}

/* Silence of the other side is seen by who reads; who holds sees the end only when it wants to write. */
static bool may_receive(const struct wire *wire)
{
	if (!wire->refused && (wire->other == NULL || (wire_is_cut(wire) && !is_here(wire))))
		return false;
	if (wire->held)
		return has_ended(wire) && wire->count > wire->handed;
	return has_more(wire) || has_ended(wire);
}

/* ---- turns --------------------------------------------------------------------------------------------------- */

/* What is due on one wire: one thing at a time, for others may be due as well. True: something was. */
static bool step(struct wire *wire)
{
	uint64_t now_ns = wire->sim->now_ns;

	switch (wire->state) {
	case WIRE_DIALLING:
		if (wire->dialled_ns > now_ns)
			return false;
		wire_connect(wire);
		return true;
	case WIRE_KNOCKING:
		wire_accept(wire);
		return true;
	case WIRE_OPEN:
		if (may_hand_over(wire) && wire->hand_ns <= now_ns) {
			if (hand_over(wire))
				(void)give_room(wire);
			return true;
		}
		if (may_receive(wire) && wire->due_ns <= now_ns) {
			(void)receive(wire);
			return true;
		}
		return false;
	default:
		return false;
	}
}

/* Whoever is called may close wires: each time the list is looked through anew. */
void wires_turn(struct pccl_loop *loop)
{
	struct wire *wire = loop->wires;

	while (wire != NULL && !loop->sim->failed) {
		if (step(wire))
			wire = loop->wires;
		else
			wire = wire->next_attached;
	}
}

static uint64_t next_of(const struct wire *wire)
{
	uint64_t next_ns = UINT64_MAX;

	if (wire->state == WIRE_DIALLING)
		return wire->dialled_ns;
	if (wire->state != WIRE_OPEN)
		return UINT64_MAX;
	if (may_hand_over(wire))
		next_ns = wire->hand_ns;
	if (may_receive(wire) && wire->due_ns < next_ns)
		next_ns = wire->due_ns;
	else if (wire->other != NULL && wire_is_cut(wire) && wire->sim->now_ns + STALL_NS < next_ns)
		next_ns = wire->sim->now_ns + STALL_NS;
	return next_ns;
}

uint64_t wires_next(const struct pccl_loop *loop)
{
	const struct wire *wire;
	uint64_t next_ns = UINT64_MAX;

	for (wire = loop->wires; wire != NULL; wire = wire->next_attached)
		if (next_of(wire) < next_ns)
			next_ns = next_of(wire);
	return next_ns;
}
