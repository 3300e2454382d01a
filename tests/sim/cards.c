/*
 * Worlds of level 2 whose hosts have several network cards (seeds from SIM_CARDS_SEEDS on): links go several ways,
 * and cards are slow, cut off, half cut off, or somebody else's for a while. Takes the place of src/comm/cards.c: which
 * card goes with which place is found by the very transport/link/ways.c.
 *
 * In half of these worlds nothing else goes wrong, and of any two hosts two cards lead to each other at all times:
 * nobody may be evicted, no op fail, nobody stand still for long, and at the end all cards are in use again. In the
 * others everything goes wrong that ever does.
 */
#include "cards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/cards.h"
#include "shell.h"
#include "shell_wire.h"

#define FIRST_OCTET 10u
#define STILL_NS (15 * SIM_SECOND) /* who has somebody to talk to goes on within this */
#define WATCH_NS SIM_SECOND

/* ---- what hosts have ----------------------------------------------------------------------------------------- */

uint32_t cards_of(const struct sim *sim, uint32_t node)
{
	const struct shell_plan *plan = &sim->shells->plan;

	if (plan->cards < 2 || plan->cards_alike || pccl_rng_hash(sim->plan.seed + 61, node) % 4 != 0)
		return plan->cards > 0 ? plan->cards : 1;
	return 1 + (uint32_t)(pccl_rng_hash(sim->plan.seed + 62, node) % plan->cards);
}

void cards_names(const struct sim *sim, uint32_t node, char out[CARD_NAMES_BYTES])
{
	const struct shell_plan *plan = &sim->shells->plan;
	const bool knows = plan->cards_alike || pccl_rng_hash(sim->plan.seed + 63, node) % 4 != 0;

	out[0] = '\0';
	if (plan->cards > 1 && knows)
		(void)snprintf(out, CARD_NAMES_BYTES, "%u,%u", node, cards_of(sim, node));
}

void card_address(uint32_t node, uint32_t card, char text_out[PCCL_ADDRESS_BYTES])
{
	(void)snprintf(text_out, PCCL_ADDRESS_BYTES, "%u.%u.0.%u", FIRST_OCTET, card, node);
}

uint32_t card_at(const struct pccl_address *address)
{
	size_t bytes;
	const uint8_t *host = pccl_address_host(address, &bytes);

	return bytes == 4 && host[0] == FIRST_OCTET && host[1] < CARDS_MOST ? host[1] : 0;
}

void card_find(uint32_t node, uint32_t card, struct pccl_address *out)
{
	char text[PCCL_ADDRESS_BYTES];

	card_address(node, card, text);
	if (pccl_address_numeric(text, 0, out) != pcclSuccess)
		abort();
}

/* ---- as src/comm/cards.c ------------------------------------------------------------------------------------- */

void pccl_cards_find(const char *names, struct pccl_cards *cards_out)
{
	unsigned node, card;

	memset(cards_out, 0, sizeof(*cards_out));
	if (sscanf(names, "%u,%u", &node, &cards_out->count) != 2 || cards_out->count > CARDS_MOST)
		abort();
	for (card = 0; card < cards_out->count; card++) {
		struct pccl_card *here = &cards_out->cards[card];

		(void)snprintf(here->name, sizeof(here->name), "card%u", card);
		card_find(node, card, &here->addresses[0].address);
		here->addresses[0].network_bits = 24;
		here->address_count = 1;
	}
}

void pccl_cards_tell_missing(const char *names, const struct pccl_cards *cards,
			     void (*tell)(const char *name, const char *why))
{
	(void)names;
	(void)cards;
	(void)tell;
}

/* None is loopback, and no master is asked for. */
bool pccl_cards_are_loopback(const char *names)
{
	(void)names;
	return false;
}

bool pccl_cards_lead_home(const struct pccl_address *address)
{
	(void)address;
	return false;
}

/* Cards that it lacks are behind its first one. */
uint32_t pccl_cards_put_ways(const char *names, struct pccl_place places[PCCL_DIALLER_PLACES_MAX], uint32_t *count)
{
	struct pccl_departure routes[PCCL_DIALLER_PLACES_MAX];
	struct pccl_way ways[PCCL_DIALLER_PLACES_MAX];
	struct pccl_cards cards;
	uint32_t way_count, i;

	pccl_cards_find(names, &cards);
	memset(routes, 0, sizeof(routes));
	for (i = 0; i < *count; i++) {
		routes[i].card = card_at(&places[i].address) < cards.count ? card_at(&places[i].address) : 0;
		routes[i].from = cards.cards[routes[i].card].addresses[0].address;
	}
	way_count = pccl_ways_find(cards.cards, cards.count, places, routes, *count, ways);
	return pccl_ways_put(ways, way_count, places, count);
}

/* ---- states -------------------------------------------------------------------------------------------------- */

enum card_state card_state(const struct sim *sim, uint32_t node, uint32_t card)
{
	return node < SIM_NODES ? (enum card_state)sim->shells->cards[node][card] : CARD_WELL;
}

bool card_sends(enum card_state state)
{
	return state <= CARD_NARROW || state == CARD_DEAF;
}

bool card_receives(enum card_state state)
{
	return state <= CARD_NARROW || state == CARD_MUTE;
}

bool card_dials(enum card_state state)
{
	return state < CARD_GONE;
}

static bool is_of_use(const struct sim *sim, uint32_t node, uint32_t card)
{
	return card < cards_of(sim, node) && card_state(sim, node, card) <= CARD_SLOW;
}

/* Does a card of each lead to one of the other? */
static bool are_near(const struct sim *sim, uint32_t left, uint32_t right)
{
	uint32_t card;

	for (card = 0; card < CARDS_MOST; card++)
		if (is_of_use(sim, left, card) && is_of_use(sim, right, card))
			return true;
	return false;
}

static bool all_are_near(const struct sim *sim)
{
	uint32_t left, right;

	for (left = SIM_MASTERS; left < SIM_NODES; left++)
		for (right = SIM_MASTERS; right < left; right++)
			if (!are_near(sim, left, right))
				return false;
	return true;
}

/* And if those cards led nowhere? */
static bool would_be_near(struct sim *sim, uint32_t node, uint32_t card, bool all)
{
	struct shell_world *world = sim->shells;
	uint8_t before[SIM_NODES][CARDS_MOST];
	uint32_t index;
	bool near;

	memcpy(before, world->cards, sizeof(before));
	for (index = SIM_MASTERS; index < SIM_NODES; index++)
		if (all || index == node)
			world->cards[index][card] = CARD_OUT;
	near = all_are_near(sim);
	memcpy(world->cards, before, sizeof(before));
	return near;
}

/* ---- what goes wrong ----------------------------------------------------------------------------------------- */

void cards_plan(struct sim *sim)
{
	struct shell_plan *plan = &sim->shells->plan;
	const uint64_t seed = sim->plan.seed;

	plan->cards = 2 + (uint32_t)(pccl_rng_hash(seed, 71) % (CARDS_MOST - 1));
	plan->streams = pccl_rng_hash(seed, 72) % 4 != 0 ? plan->cards : 1 + (uint32_t)(pccl_rng_hash(seed, 73) % 3);
	plan->cards_alike = pccl_rng_hash(seed, 74) % 2 == 0;
	/* By then all links have been up as they are to be; so they have to come back to that. */
	if (plan->cards_alike && pccl_rng_hash(seed, 80) % 2 == 0)
		plan->cards_fail_ns = 5 * SIM_SECOND;
	plan->card_ns = (200 + pccl_rng_hash(seed, 75) % 4000) * SIM_MS;
	plan->card_heal_ns = (200 + pccl_rng_hash(seed, 76) % 8000) * SIM_MS;
	plan->card_rest_ns = pccl_rng_hash(seed, 77) % 2 == 0 ? 0 : pccl_rng_hash(seed, 78) % 4000 * SIM_MS;
}

static void schedule(struct sim *sim, uint64_t delay_ns, enum shell_event type, uint32_t node, uint32_t card,
		     uint32_t attempt)
{
	const struct sim_event event = {
		.type = SIM_SHELL, .number = type, .node = node, .segment = card, .attempt = attempt};

	sim_schedule(sim, sim->now_ns + delay_ns, event);
}

void cards_start(struct sim *sim)
{
	const struct shell_plan *plan = &sim->shells->plan;

	if (plan->cards < 2)
		return;
	schedule(sim, plan->cards_fail_ns + sim_exponential(sim, plan->card_ns), SHELL_CARD, 0, 0, 0);
	if (plan->cards_alike)
		schedule(sim, WATCH_NS, SHELL_WATCH, 0, 0, 0);
}

static void set(struct sim *sim, uint32_t node, uint32_t card, enum card_state state)
{
	wires_note_acks(sim);
	sim->shells->cards[node][card] = (uint8_t)state;
	if (state == CARD_TAKEN)
		wires_refuse(sim, node, card);
}

/* A card of one node, or the switch that all such cards are at. */
static void fail(struct sim *sim, uint32_t node, uint32_t card, bool all)
{
	const enum card_state state =
		(enum card_state)sim_between(sim, CARD_SLOW, all ? CARD_OUT : (uint64_t)CARD_STATES - 1);
	uint32_t index;

	if (card_state(sim, node, card) != CARD_WELL ||
	    (sim->shells->plan.cards_alike && !would_be_near(sim, node, card, all)))
		return;
	for (index = SIM_MASTERS; index < SIM_NODES; index++)
		if ((all || index == node) && card_state(sim, index, card) == CARD_WELL)
			set(sim, index, card, state);
	sim_trace(sim, "card %u of node %u%s is not well: %d", card, node, all ? " and of all others" : "", (int)state);
	schedule(sim, sim_exponential(sim, sim->shells->plan.card_heal_ns), SHELL_CARD_HEAL, node, card, all);
}

void cards_fault(struct sim *sim)
{
	const struct shell_world *world = sim->shells;
	const uint32_t node = (uint32_t)sim_between(sim, SIM_MASTERS, sim->node_count - 1);
	const uint32_t card = (uint32_t)sim_between(sim, 0, world->plan.cards - 1);

	if (sim->calm)
		return;
	if (sim->now_ns >= world->card_healed_ns + world->plan.card_rest_ns)
		fail(sim, node, card, sim_chance(sim, 25));
	schedule(sim, sim_exponential(sim, world->plan.card_ns), SHELL_CARD, 0, 0, 0);
}

void cards_heal(struct sim *sim, uint32_t node, uint32_t card, bool all)
{
	uint32_t index;

	sim_trace(sim, "card %u of node %u%s is well again", card, node, all ? " and of all others" : "");
	for (index = SIM_MASTERS; index < SIM_NODES; index++)
		if (all || index == node)
			set(sim, index, card, CARD_WELL);
	sim->shells->card_healed_ns = sim->now_ns;
}

void cards_calm(struct sim *sim)
{
	if (sim->shells == NULL || sim->shells->plan.cards < 2)
		return;
	wires_note_acks(sim);
	memset(sim->shells->cards, CARD_WELL, sizeof(sim->shells->cards));
}

/* ---- what must hold ------------------------------------------------------------------------------------------ */

void cards_watch(struct sim *sim)
{
	uint32_t index, living = 0;

	for (index = SIM_MASTERS; index < sim->node_count; index++)
		living += sim_peer_lives(&sim->nodes[index]);
	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		const struct sim_node *node = &sim->nodes[index];
		struct shell_progress *progress = &sim->shells->progress[index];

		if (living < 2 || !sim_peer_lives(node) || node->view.view.member_count < 2 ||
		    progress->calls != node->calls || sim->shells->closing)
			*progress = (struct shell_progress){.calls = node->calls, .since_ns = sim->now_ns};
		else if (sim->now_ns > progress->since_ns + STILL_NS)
			sim_fail(sim, "node %u stands still for %llu ms, though there is a way from everybody to all",
				 index, (unsigned long long)((sim->now_ns - progress->since_ns) / SIM_MS));
	}
	schedule(sim, WATCH_NS, SHELL_WATCH, 0, 0, 0);
}

/* Each stream of the lane goes by its own card. */
static bool are_home(struct sim *sim, uint32_t node, uint32_t other, uint32_t lane)
{
	const struct shell_plan *plan = &sim->shells->plan;
	uint32_t stream;

	for (stream = 0; stream < plan->streams && wires_connect(sim, node, other, lane); stream++) {
		const uint32_t card = (stream + lane) % plan->cards;

		if (wires_go_by(sim, node, other, lane, card))
			continue;
		sim_trace(sim, "lane %u of node %u does not go to node %u by card %u", lane, node, other, card);
		return false;
	}
	return true;
}

bool cards_are_home(struct sim *sim)
{
	uint32_t node, other, lane;

	for (node = SIM_MASTERS; node < sim->node_count; node++)
		for (other = SIM_MASTERS; other < sim->node_count; other++)
			for (lane = 0; lane < SHELL_LANES; lane++)
				if (!are_home(sim, node, other, lane))
					return false;
	return true;
}
