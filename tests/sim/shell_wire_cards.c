/* What network cards do to virtual wires: what passes, what is heard of it, whose an address is. */
#include "cards.h"
#include "shell_wire_internal.h"

static bool is_large(const struct wire *wire)
{
	return wire->first != NULL && wire->first->frame.payload_bytes > CARD_LARGE_BYTES;
}

bool wire_is_cut(const struct wire *wire)
{
	const struct sim *sim = wire->sim;
	const enum card_state here = card_state(sim, wire->node, wire->card);
	const enum card_state there = card_state(sim, wire->other_node, wire->other_card);

	return sim->cut[wire->other_node][wire->node] > 0 || !card_receives(here) || !card_sends(there) ||
	       ((here == CARD_NARROW || there == CARD_NARROW) && wire->other != NULL && is_large(wire->other));
}

bool wire_is_mute(const struct wire *wire)
{
	const struct sim *sim = wire->sim;

	return sim->cut[wire->node][wire->other_node] > 0 || !card_sends(card_state(sim, wire->node, wire->card)) ||
	       !card_receives(card_state(sim, wire->other_node, wire->other_card));
}

/* ---- acknowledgements ---------------------------------------------------------------------------------------- */

void wire_note_acks(struct wire *wire)
{
	const struct wire *other = wire->other;
	uint64_t bytes = wire->counters.sent_bytes;

	if (wire->state != WIRE_OPEN || other == NULL || other->state == WIRE_CLOSED || wire_is_cut(wire) ||
	    wire->sim->nodes[wire->other_node].vanished || wire_is_mute(wire))
		return;
	if (wire_is_cut(other)) /* for it is large */
		bytes = wire->delivered_bytes;
	if (bytes <= wire->acked_bytes)
		return;
	wire->acked_bytes = bytes;
	wire->acked_ns = wire->sim->now_ns;
}

void wires_note_acks(struct sim *sim)
{
	struct wire *wire;

	for (wire = sim->shells->wires; wire != NULL; wire = wire->next)
		wire_note_acks(wire);
}

/* ---- addresses ----------------------------------------------------------------------------------------------- */

void wire_find_stranger(struct wire *wire)
{
	struct sim *sim = wire->sim;
	const uint32_t stranger = (uint32_t)sim_between(sim, SIM_MASTERS, sim->node_count - 1);

	if (stranger != wire->node && stranger != wire->other_node && sim->nodes[stranger].shell != NULL) {
		wire->other_node = stranger;
		wire->other_card = wire->card < cards_of(sim, stranger) ? wire->card : 0;
	}
}

static bool is_between(const struct wire *wire, uint32_t node, uint32_t other, uint32_t lane)
{
	return wire_is_open(wire) && wire->node == node && wire->other_node == other && wire->loop->index == lane;
}

bool wires_connect(const struct sim *sim, uint32_t node, uint32_t other, uint32_t lane)
{
	const struct wire *wire;

	for (wire = sim->shells->wires; wire != NULL; wire = wire->next)
		if (is_between(wire, node, other, lane))
			return true;
	return false;
}

bool wires_go_by(const struct sim *sim, uint32_t node, uint32_t other, uint32_t lane, uint32_t card)
{
	const struct wire *wire;

	for (wire = sim->shells->wires; wire != NULL; wire = wire->next)
		if (is_between(wire, node, other, lane) && wire->card == card && wire->other_card == card)
			return true;
	return false;
}

void wires_refuse(struct sim *sim, uint32_t node, uint32_t card)
{
	struct wire *wire;

	for (wire = sim->shells->wires; wire != NULL; wire = wire->next) {
		if (wire->other_node != node || wire->other_card != card || !wire_is_open(wire))
			continue;
		wire->refused = true;
		wire->due_ns = sim->now_ns + wire_delay(wire);
		if (wire->loop != NULL)
			loop_want(wire->loop, wire->due_ns);
	}
}
