/*
 * What membership hears of links where there are none (level 1), and resets.
 *
 * A link between two members is up when both have installed a view with the other. When a process ends, its links
 * break, and each neighbour sees that in its own time; one that was never up can't be made, which it complains about.
 *
 * *Gentle* runs: nothing goes wrong but what can't cost a living member its seat. Their checker is in check_gentle.c.
 */
#include "base/uuid.h"
#include "cards.h"
#include "shell.h"

#define RESETS_NS (3 * SIM_SECOND / 2)
#define LATE_NS (3 * SIM_SECOND) /* a link that can't be made is lost after about this */

/* ---- links of level 1 ------------------------------ */

static bool is_linked(const struct sim_node *node, uint32_t other)
{
	return (node->linked >> other & 1) != 0;
}

static void schedule(struct sim *sim, const struct sim_node *node, uint32_t other, uint64_t delay_ns)
{
	const struct sim_event event = {.type = SIM_LINK, .node = node->id, .number = other};

	sim_schedule(sim, sim->now_ns + delay_ns, event);
}

/* Whether all its links are up. */
static void look_soon(struct sim *sim, const struct sim_node *node)
{
	schedule(sim, node, node->id, sim_exponential(sim, sim->plan.delay_mean_ns));
}

/* The process of `other` has ended. */
static void break_link(struct sim *sim, const struct sim_node *node, uint32_t other)
{
	if (is_linked(node, other))
		schedule(sim, node, other, sim_exponential(sim, sim->plan.delay_mean_ns));
	else
		schedule(sim, node, other, LATE_NS / 2 + sim_exponential(sim, LATE_NS / 2));
}

static bool has(const struct sim_node *node, const struct sim_node *other)
{
	uint32_t rank;

	return pccl_view_rank(&node->view.view, &other->uuid, &rank);
}

/* All links of its view have come up? Machines take it once. */
static void tell_linked(struct sim *sim, struct sim_node *node)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LINKED, .epoch = node->view.view.epoch};
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		if (index != node->id && has(node, &sim->nodes[index]) && !is_linked(node, index))
			return;
	}
	sim_peer_feed(sim, node, &event);
}

void sim_links_install(struct sim *sim, struct sim_node *node)
{
	uint32_t index;

	for (index = SIM_MASTERS; sim->level == 1 && index < sim->node_count; index++) {
		struct sim_node *other = &sim->nodes[index];

		if (other == node || !has(node, other))
			continue;
		if (sim_peer_lives(other) && has(other, node)) {
			node->linked |= UINT64_C(1) << index;
			other->linked |= UINT64_C(1) << node->id;
			look_soon(sim, other);
		} else if (!sim_peer_lives(other) && !other->vanished) {
			break_link(sim, node, index);
		}
	}
	if (sim->level == 1)
		look_soon(sim, node);
}

void sim_links_end(struct sim *sim, const struct sim_node *node)
{
	uint32_t index;

	for (index = SIM_MASTERS; sim->level == 1 && index < sim->node_count; index++) {
		if (index != node->id && sim_peer_lives(&sim->nodes[index]) && has(&sim->nodes[index], node))
			break_link(sim, &sim->nodes[index], node->id);
	}
}

static void tell(struct sim *sim, struct sim_node *node, const struct sim_node *other, enum pccl_peer_event_type type)
{
	struct pccl_peer_event event = {.type = type, .text = "no connection"};

	event.uuid = other->uuid;
	sim_trace(sim, "node %u: the links to node %u are %s", node->id, other->id,
		  type == PCCL_PEER_LINK_MENDED ? "up again" : (type == PCCL_PEER_LINK_BROKEN ? "broken" : "lost"));
	sim_peer_feed(sim, node, &event);
}

void sim_link(struct sim *sim, const struct sim_event *event)
{
	struct sim_node *node = &sim->nodes[event->node];
	const struct sim_node *other = &sim->nodes[event->number];

	if (!sim_peer_lives(node))
		return;
	if (node->paused)
		sim_schedule(sim, sim->now_ns + 20 * SIM_MS, *event);
	else if (other == node)
		tell_linked(sim, node);
	else if (sim_peer_lives(other))
		tell(sim, node, other, PCCL_PEER_LINK_MENDED);
	else
		tell(sim, node, other, is_linked(node, other->id) ? PCCL_PEER_LINK_BROKEN : PCCL_PEER_LINK_LOST);
}

/* ---- faults ------------------------------ */

/* In gentle runs a peer can come back in time. */
static bool is_too_much(struct sim *sim, struct sim_node *node)
{
	if (sim->now_ns >= node->resets_ns + RESETS_NS) {
		node->resets_ns = sim->now_ns;
		node->resets = 0;
	}
	return sim->plan.gentle != SIM_ROUGH && ++node->resets > 2;
}

/* Both sides are told, each in its time; the peer is not dead. */
void sim_fault_reset(struct sim *sim, struct sim_node *node)
{
	if (node == NULL || node->connection == 0 || is_too_much(sim, node))
		return;
	sim_trace(sim, "the connection of node %u to master %u is reset", node->id, node->connected_to);
	sim_net_reset(sim, node->id, node->connected_to, node->connection);
}

/* One member says that it has no link to another, for a while; half of the time the other's connection is reset as
 * well. */
void sim_fault_flap(struct sim *sim, struct sim_node *node)
{
	struct sim_node *other;
	uint32_t count = node != NULL ? node->view.view.member_count : 0;
	uint32_t rank, index;

	if (sim->level != 1 || count < 3)
		return;
	rank = (node->rank + (uint32_t)sim_between(sim, 1, count - 1)) % count;
	for (index = SIM_MASTERS; index < sim->node_count; index++)
		if (pccl_uuid_equal(&sim->nodes[index].uuid, &node->view.view.members[rank].uuid))
			break;
	if (index == sim->node_count || !sim_peer_lives(&sim->nodes[index]) || sim->flap_ns > sim->now_ns)
		return;
	other = &sim->nodes[index];
	sim->flap_ns = sim->now_ns + sim_exponential(sim, SIM_SECOND / 2);
	schedule(sim, node, index, sim->flap_ns - sim->now_ns);
	sim->flap_ns += SIM_SECOND; /* until everybody has heard that it is over */
	tell(sim, node, other, PCCL_PEER_LINK_BROKEN);
	if (sim_chance(sim, 50))
		sim_fault_reset(sim, other);
}

/* As a gentle run in which nothing breaks: nobody may be evicted, and no op fail. */
static void plan_long(struct sim *sim)
{
	const struct sim_plan plan = {.seed = sim->plan.seed,
				      .groups = 1,
				      .peers_max = sim->plan.peers_max,
				      .known_masters = 1,
				      .delay_min_ns = SIM_LONG_TRIP_NS / 2,
				      .delay_mean_ns = 10 * SIM_MS,
				      .chaos_ns = 60 * SIM_SECOND,
				      .calm_ns = 60 * SIM_SECOND,
				      .heartbeat_interval_ns = 500 * SIM_MS,
				      .heartbeat_timeout_ns = 3 * SIM_SECOND,
				      .return_grace_ns = 2 * SIM_SECOND,
				      .spawn_ns = SIM_SECOND,
				      .gentle = SIM_GENTLE_RESETS};

	sim->plan = plan;
}

static void plan_lossy(struct sim *sim)
{
	plan_long(sim);
	shell_plan_lossy(sim->shells);
}

/* Nothing else goes wrong in some: nobody may be evicted there either. */
static void plan_cards(struct sim *sim)
{
	cards_plan(sim);
	sim->plan.peaceful = false;
	if (!sim->shells->plan.cards_alike)
		return;
	plan_long(sim);
	sim->plan.delay_min_ns = 0;
	sim->plan.chaos_ns = 25 * SIM_SECOND;
	if (sim->plan.peers_max > 4)
		sim->plan.peers_max = 4;
	shell_plan_gentle(sim->shells);
	sim->shells->plan.pause_ns = (20 + pccl_rng_hash(sim->plan.seed, 79) % 100) * SIM_MS;
	sim->shells->plan.link_timeout_ns = sim->shells->plan.guest_ns = 3 * SIM_SECOND;
}

void sim_plan_gentle(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;
	uint64_t seed = plan->seed;
	uint64_t reset_ns = (200 + pccl_rng_hash(seed, 52) % 2000) * SIM_MS;

	if (seed >= SIM_CARDS_SEEDS && sim->shells != NULL) {
		plan_cards(sim);
		return;
	}
	if (seed >= SIM_FORGING_SEEDS && seed < SIM_CARDS_SEEDS) {
		plan->known_masters = SIM_MASTERS;
		plan->master_crash_ns = 1500 * SIM_MS;
		plan->peaceful = false;
		return;
	}
	if (seed >= SIM_LYING_SEEDS && sim->shells != NULL) {
		shell_plan_lying(sim);
		return;
	}
	if (seed >= SIM_LOSSY_SEEDS && sim->shells != NULL) {
		plan_lossy(sim);
		return;
	}
	if (sim->rogue != NULL || pccl_rng_hash(seed, 51) % 16 >= SIM_GENTLE_COUNT - 1)
		return;
	plan->gentle = (enum sim_gentle)(1 + pccl_rng_hash(seed, 51) % 16);
	if (plan->delay_mean_ns > 10 * SIM_MS)
		plan->delay_mean_ns = 10 * SIM_MS;
	plan->pause_ns = plan->partition_ns = plan->complaint_ns = plan->master_crash_ns = plan->clock_jump_ns = 0;
	if (plan->return_grace_ns < SIM_SECOND)
		plan->return_grace_ns = SIM_SECOND;
	plan->sabotage = 0;
	plan->silent_crashes = false;
	plan->joint_timeout_ms = 0;
	plan->reset_ns = plan->gentle == SIM_GENTLE_DEATHS ? 0 : reset_ns;
	plan->flap_ns = plan->gentle == SIM_GENTLE_RESETS ? reset_ns / 2 : 0;
	if (plan->gentle == SIM_GENTLE_RESETS)
		plan->crash_ns = plan->leave_ns = plan->expire_ns = 0;
	else if (plan->crash_ns == 0)
		plan->crash_ns = SIM_SECOND;
	if (sim->shells != NULL)
		shell_plan_gentle(sim->shells);
}
