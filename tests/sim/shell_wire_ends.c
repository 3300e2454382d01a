/* The ends of virtual wires: addresses, dialling, listening, closing, breaking. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "cards.h"
#include "shell_wire_internal.h"
#include "transport/wires/wires.h"

#define FIRST_PORT 1000

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

struct wire *wire_of(struct pccl_stream *stream)
{
	return (struct wire *)stream;
}

static const struct wire *as_const_wire(const struct pccl_stream *stream)
{
	return (const struct wire *)stream;
}

/* Half a round trip; and for each time that it is lost as long as the sender waits, at first two of them. */
static uint64_t draw_loss(struct sim *sim, uint32_t loss_percent)
{
	uint64_t wait_ns = 2 * SIM_LONG_TRIP_NS, delay_ns = SIM_LONG_TRIP_NS / 2;

	for (; sim_chance(sim, loss_percent); wait_ns *= 2)
		delay_ns += wait_ns;
	return delay_ns;
}

/* Slow links heal with everything else, and so do those that lose frames. */
uint64_t wire_delay(const struct wire *wire)
{
	struct sim *sim = wire->sim;
	const struct shell_plan *plan = &sim->shells->plan;
	uint64_t low = wire->node < wire->other_node ? wire->node : wire->other_node;
	uint64_t pair = low << 32 | (wire->node ^ wire->other_node);
	bool slow = !sim->calm && pccl_rng_hash(sim->plan.seed, pair) % 100 < plan->slow_percent;

	if (plan->loss_percent > 0 && !sim->calm)
		return draw_loss(sim, plan->loss_percent);
	slow |= card_state(sim, wire->node, wire->card) == CARD_SLOW ||
		card_state(sim, wire->other_node, wire->other_card) == CARD_SLOW;
	return sim_exponential(sim, plan->frame_ns * (slow ? 50 : 1));
}

/* ---- addresses ----------------------------------------------------------------------------------------------- */

static uint32_t node_at(const struct sim *sim, const struct pccl_address *address)
{
	uint32_t node = (uint32_t)pccl_address_port(address) - FIRST_PORT;

	return node < sim->node_count ? node : UINT32_MAX;
}

const struct pccl_transport *pccl_wire_between_peers(const struct pccl_wires *wires, const struct pccl_address *address)
{
	(void)wires;
	(void)address;
	return &sim_wire;
}

pcclResult_t pccl_wires_allow(const struct pccl_wires *wires, const struct pccl_address *address)
{
	(void)wires;
	(void)address;
	return pcclSuccess;
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

static struct wire *create(struct sim *sim, uint32_t node, uint32_t other_node, enum wire_state state)
{
	struct wire *wire = must(calloc(1, sizeof(*wire)));

	wire->base.transport = &sim_wire;
	wire->sim = sim;
	wire->node = node;
	wire->other_node = other_node;
	wire->state = state;
	wire->next = sim->shells->wires;
	sim->shells->wires = wire;
	return wire;
}

static void join_loop(struct wire *wire, struct pccl_loop *loop, const struct pccl_stream_events *events, void *context)
{
	wire->loop = loop;
	wire->events = events;
	wire->context = context;
	wire->next_attached = loop->wires;
	loop->wires = wire;
}

static void leave_loop(struct wire *wire)
{
	struct wire **place;

	if (wire->loop == NULL)
		return;
	for (place = &wire->loop->wires; *place != wire; place = &(*place)->next_attached)
		;
	*place = wire->next_attached;
	wire->loop = NULL;
}

void wire_free_flight(struct flight *flight)
{
	free(flight->copy);
	free(flight);
}

/* Frames `from` to `to` - 1 are lost. The other end may be in the middle of the first. */
void wire_lose(struct wire *wire, uint32_t from, uint32_t to)
{
	struct flight **place = &wire->first, *last = NULL;
	uint32_t position;

	if (from == 0 && to > 0 && wire->other != NULL && wire->other->coming) {
		wire->other->torn = true;
		from = 1;
	}
	for (position = 0; position < from && *place != NULL; position++) {
		last = *place;
		place = &(*place)->next;
	}
	for (; position < to && *place != NULL; position++) {
		struct flight *flight = *place;

		*place = flight->next;
		wire->count--;
		if (from < wire->handed)
			wire->handed--;
		wire_free_flight(flight);
	}
	if (*place == NULL)
		wire->last = last;
}

static void free_wire(struct sim *sim, struct wire *wire)
{
	struct wire **place = &sim->shells->wires;

	while (*place != wire)
		place = &(*place)->next;
	*place = wire->next;
	while (wire->first != NULL) {
		struct flight *flight = wire->first;

		wire->first = flight->next;
		wire_free_flight(flight);
	}
	free(wire);
}

/* The other end has something to hear, or the end of it. */
void wire_tell_other(struct wire *wire)
{
	struct wire *other = wire->other;

	if (other == NULL || other->state == WIRE_CLOSED)
		return;
	if (other->due_ns < wire->sim->now_ns)
		other->due_ns = wire->sim->now_ns + wire_delay(wire);
	if (other->loop != NULL)
		loop_want(other->loop, other->due_ns);
}

/* Both users have let go. */
static void free_pair(struct wire *wire)
{
	struct wire *other = wire->other;

	if (other != NULL && other->state != WIRE_CLOSED)
		return;
	if (other != NULL)
		free_wire(wire->sim, other);
	free_wire(wire->sim, wire);
}

/* ---- connecting ---------------------------------------------------------------------------------------------- */

static void close_wire(struct pccl_stream *stream, bool flush);

static pcclResult_t listen_at(const struct pccl_transport *self, struct pccl_loop *loop,
			      const struct pccl_address *address,
			      void (*accepted)(void *context, struct pccl_stream *stream), void *context,
			      struct pccl_listener **listener_out, uint16_t *port_out)
{
	struct pccl_listening *listening = must(calloc(1, sizeof(*listening)));

	(void)self;
	listening->base.transport = &sim_wire;
	listening->loop = loop;
	listening->accepted = accepted;
	listening->context = context;
	loop->shell->listening = listening;
	*listener_out = &listening->base;
	*port_out = (uint16_t)(FIRST_PORT + loop->node->id);
	(void)address;
	return pcclSuccess;
}

static void close_listener(struct pccl_listener *listener)
{
	struct pccl_listening *listening = (struct pccl_listening *)listener;

	struct pccl_loop *loop = listening->loop;
	struct wire *wire = loop->wires, *next;

	for (; wire != NULL; wire = next) {
		next = wire->next_attached;
		if (wire->state == WIRE_KNOCKING)
			close_wire(&wire->base, false);
	}
	loop->shell->listening = NULL;
	free(listening);
}

static pcclResult_t dial(const struct pccl_transport *self, struct pccl_loop *loop, const struct pccl_address *address,
			 const struct pccl_address *from, const struct pccl_stream_events *events, void *context,
			 struct pccl_stream **stream_out)
{
	struct sim *sim = loop->sim;
	const uint32_t other_card = card_at(address);
	uint32_t card = other_card < cards_of(sim, loop->node->id) ? other_card : 0;
	struct wire *wire;

	(void)self;
	if (from != NULL)
		card = card_at(from);
	if (!card_dials(card_state(sim, loop->node->id, card)))
		return pccl_fail(pcclSystemError, "the address is none of this host's");
	wire = create(sim, loop->node->id, node_at(sim, address), WIRE_DIALLING);
	wire->card = card;
	wire->other_card = other_card;
	join_loop(wire, loop, events, context);
	wire->dialled_ns = sim->now_ns + 2 * wire_delay(wire);
	if (sim->shells->plan.loss_percent > 0 && !sim->calm) /* either way may lose what it carries */
		wire->dialled_ns = sim->now_ns + wire_delay(wire) + wire_delay(wire);
	loop_want(loop, wire->dialled_ns);
	*stream_out = &wire->base;
	return pcclSuccess;
}

/* Firewalls, and addresses that lead nowhere: callers are refused, or get no answer, for ever. What such a pair has
 * connected from the other side works both ways. */
static bool is_barred(const struct wire *wire, bool *refused_out)
{
	const struct sim *sim = wire->sim;
	uint32_t low = wire->node < wire->other_node ? wire->node : wire->other_node;
	uint64_t pair = (uint64_t)low << 32 | (wire->node ^ wire->other_node);
	uint64_t what = pccl_rng_hash(sim->plan.seed + 43, pair);

	*refused_out = (what >> 1 & 1) != 0;
	if (sim_is_parted(sim, wire->node, wire->other_node))
		return true;
	return (what >> 8) % 100 < sim->shells->plan.barred_percent && (what & 1) == (wire->node == low);
}

/* The other side's kernel answers, whatever its threads do; its listener hears of it in its own time. */
void wire_connect(struct wire *wire)
{
	struct sim *sim = wire->sim;
	struct sim_node *node;
	struct wire *other;
	bool refused, barred;

	if (wire->other_node >= sim->node_count) { /* a rogue's address */
		wire_break(wire, "nobody is there");
		return;
	}
	if (card_state(sim, wire->other_node, wire->other_card) == CARD_TAKEN)
		wire_find_stranger(wire);
	node = &sim->nodes[wire->other_node];
	barred = is_barred(wire, &refused);
	if (wire_is_cut(wire) || wire_is_mute(wire) || node->vanished || (barred && !refused)) {
		wire->dialled_ns = sim->now_ns + STALL_NS;
		return;
	}
	if (node->shell == NULL || node->shell->listening == NULL || barred ||
	    card_state(sim, node->id, wire->other_card) == CARD_TAKEN) {
		wire_break(wire, "nobody listens");
		return;
	}
	other = create(sim, node->id, wire->node, WIRE_KNOCKING);
	other->card = wire->other_card;
	other->other_card = wire->card;
	other->other = wire;
	wire->other = other;
	wire->state = WIRE_OPEN;
	wire->counters.heard_ns = wire->loop->now_ns;
	join_loop(other, node->shell->listening->loop, NULL, NULL);
	loop_want(other->loop, sim->now_ns + wire_delay(other));
	wire->events->opened(wire->context, &wire->base);
}

void wire_accept(struct wire *wire)
{
	const struct pccl_listening *listening = wire->sim->nodes[wire->node].shell->listening;

	leave_loop(wire);
	wire->state = WIRE_DETACHED;
	listening->accepted(listening->context, &wire->base);
}

static pcclResult_t attach(struct pccl_stream *stream, struct pccl_loop *loop, const struct pccl_stream_events *events,
			   void *context)
{
	struct wire *wire = wire_of(stream);

	if (wire->state != WIRE_DETACHED)
		sim_fail(wire->sim, "a stream is attached that has a user");
	join_loop(wire, loop, events, context);
	wire->state = WIRE_OPEN;
	wire->counters.heard_ns = loop->now_ns;
	loop_want(loop, wire->sim->now_ns);
	return pcclSuccess;
}

static void detach(struct pccl_stream *stream)
{
	struct wire *wire = wire_of(stream);

	if (wire->count > wire->handed || wire->coming)
		sim_fail(wire->sim, "a stream changes hands in the middle of a frame");
	pccl_guard_tell(&wire->guard);
	leave_loop(wire);
	wire->events = NULL;
	wire->state = WIRE_DETACHED;
}

/* What the kernel has arrives, mostly: who closes with something unread resets the connection. */
static void close_wire(struct pccl_stream *stream, bool flush)
{
	struct wire *wire = wire_of(stream);
	struct sim *sim = wire->sim;
	bool dies = !sim->nodes[wire->node].alive;

	pccl_guard_tell(&wire->guard);
	if (wire->events != NULL && !wire_complete_all(wire))
		sim_fail(sim, "a stream was closed twice");
	if (wire->coming)
		wire_spoil(wire);
	if (dies || !flush || wire->reset) /* a kernel that has seen a reset sends nothing more */
		wire_lose(wire, wire->handed, wire->count);
	if (dies || (!flush && sim_chance(sim, 30)))
		wire_lose(wire, (uint32_t)sim_between(sim, 0, wire->handed), wire->handed);
	wire->handed = wire->count;
	wire->unchecked = true;
	leave_loop(wire);
	wire->state = WIRE_CLOSED;
	wire_tell_other(wire);
	free_pair(wire);
}

/* ---- the rest ------------------------------------------------------------------------------------------------ */

static void describe(const struct pccl_stream *stream, char *text, size_t text_bytes)
{
	const struct wire *wire = as_const_wire(stream);

	(void)snprintf(text, text_bytes, "node %u to node %u, state %d", wire->node, wire->other_node,
		       (int)wire->state);
}

/* Acknowledgements come as bytes do: not while the way back is cut. */
static void count(const struct pccl_stream *stream, struct pccl_stream_counters *counters_out)
{
	const struct wire *wire = as_const_wire(stream);

	if (wire->sim->shells->plan.cards > 0 && wire->other != NULL)
		wire_note_acks(wire->other->other);
	*counters_out = wire->counters;
	if (wire->sim->shells->plan.loss_percent > 0)
		counters_out->trip_ns = SIM_LONG_TRIP_NS;
	if (wire->sim->shells->plan.cards > 0) {
		counters_out->acked_bytes = wire->acked_bytes;
		counters_out->acked_ns = wire->acked_ns;
		counters_out->awaits = wire->acked_bytes < wire->counters.sent_bytes;
		return;
	}
	if (wire_is_cut(wire))
		return;
	counters_out->acked_bytes = wire->delivered_bytes;
	counters_out->acked_ns = wire->delivered_ns;
}

static bool ends(const struct pccl_stream *stream, struct pccl_address *local_out, struct pccl_address *remote_out)
{
	const struct wire *wire = as_const_wire(stream);

	if (wire->sim->shells->plan.cards == 0)
		return false;
	card_find(wire->node, wire->card, local_out);
	card_find(wire->other_node, wire->other_card, remote_out);
	return true;
}

static void remote(const struct pccl_stream *stream, char out[PCCL_ADDRESS_BYTES])
{
	card_address(as_const_wire(stream)->other_node, as_const_wire(stream)->other_card, out);
}

const struct pccl_transport sim_wire = {.name = "simulated",
					.listen = listen_at,
					.close_listener = close_listener,
					.dial = dial,
					.attach = attach,
					.detach = detach,
					.send = wire_send,
					.forget = wire_forget,
					.resume = wire_resume,
					.divert = wire_divert,
					.describe = describe,
					.count = count,
					.ends = ends,
					.remote = remote,
					.close = close_wire};

/* ---- faults -------------------------------------------------------------------------------------------------- */

static void reset(struct wire *wire)
{
	wire->reset = true;
	if (sim_chance(wire->sim, 70))
		wire_lose(wire->other, (uint32_t)sim_between(wire->sim, 0, wire->other->handed), wire->other->handed);
	if (wire->due_ns < wire->sim->now_ns)
		wire->due_ns = wire->sim->now_ns + wire_delay(wire);
	if (wire->loop != NULL)
		loop_want(wire->loop, wire->sim->now_ns);
}

bool wire_is_open(const struct wire *wire)
{
	return wire->state == WIRE_OPEN && wire->other != NULL && wire->other->state == WIRE_OPEN && !wire->reset;
}

/* One of those that are open, or (busy) in the middle of a payload. NULL: there is none. */
static struct wire *any_open(struct sim *sim, bool busy)
{
	struct wire *wire;
	uint32_t count = 0;
	uint64_t which;

	for (wire = sim->shells->wires; wire != NULL; wire = wire->next)
		count += wire_is_open(wire) && (wire->coming || !busy);
	which = count > 0 ? sim_between(sim, 0, count - 1) : 0;
	for (wire = sim->shells->wires; wire != NULL; wire = wire->next)
		if (wire_is_open(wire) && (wire->coming || !busy) && which-- == 0)
			break;
	return wire;
}

/* Most are idle at any time: what is in the middle of a payload is looked for. */
void wire_break_any(struct sim *sim)
{
	bool busy = sim_chance(sim, 70);
	struct wire *wire = any_open(sim, busy);

	if (wire == NULL && busy)
		wire = any_open(sim, false);
	if (wire == NULL)
		return;
	if (busy && wire->coming)
		wire_lose(wire->other, 0, wire->other->handed);
	reset(wire);
	reset(wire->other);
}

void wires_destroy(struct sim *sim)
{
	while (sim->shells->wires != NULL)
		free_wire(sim, sim->shells->wires);
}
