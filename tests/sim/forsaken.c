/*
 * Runs that end without a master: all are well, then the masters die for good, and a member just before or after them.
 * Nobody can say any more what becomes of what waits for it, yet all that waits ends: with a decision that was still
 * made, or with the communicators of those who wait.
 */
#include <string.h>

#include "shell.h"

#define APART_NS (30 * SIM_MS) /* so that some of the deaths fall into the view change for the other's */
#define NOTED_NS (2 * SIM_SECOND)
/* Twenty heartbeat time-outs twice, as one may wait for somebody who goes for that reason; and what links take. */
#define ENDED_NS (65 * SIM_SECOND)

bool sim_is_forsaken(const struct sim *sim)
{
	return sim->rogue == NULL && sim->plan.seed < SIM_LOSSY_SEEDS && pccl_rng_hash(sim->plan.seed, 54) % 6 == 0;
}

static uint64_t draw(const struct sim *sim, uint32_t what, uint64_t below)
{
	return pccl_rng_hash(sim->plan.seed, what) % below;
}

static void kill_masters(struct sim *sim)
{
	uint32_t index;

	sim->forsaken = true;
	for (index = 0; index < SIM_MASTERS; index++)
		if (sim->nodes[index].alive)
			sim_master_stop(sim, &sim->nodes[index], draw(sim, 56, 3) == 0);
}

/* Who is not alone. Its kernel says so: only a master hears the silence of one to whom nothing is under way. */
static void kill_member(struct sim *sim)
{
	uint32_t from = (uint32_t)draw(sim, 55, sim->node_count);
	uint32_t i;

	for (i = 0; i < sim->node_count; i++) {
		struct sim_node *node = &sim->nodes[(from + i) % sim->node_count];

		if (!sim_peer_lives(node) || node->view.view.member_count < 2)
			continue;
		sim_peer_stop(sim, node, false);
		return;
	}
}

/* Of what has been launched: the machine is not asked. */
static uint64_t oldest(const struct sim_node *node)
{
	uint64_t everybody[PCCL_MEMBERS_MAX / 64];

	memset(everybody, 0xff, sizeof(everybody));
	if (!sim_peer_lives(node) || node->view.view.member_count == 0)
		return 0;
	return node->shell != NULL ? shell_blocked(node->shell, everybody) : sim_ops_blocked(node);
}

static void note(struct sim *sim)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++)
		sim->nodes[index].waited = oldest(&sim->nodes[index]);
}

static void look(struct sim *sim)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++)
		if (sim->nodes[index].waited != 0 && sim->nodes[index].waited == oldest(&sim->nodes[index]))
			sim_fail(sim, "without a master, and without members that are lost, node %u waits for ever",
				 index);
	sim->is_over = true;
}

void sim_forsake(struct sim *sim)
{
	uint64_t times_ns[] = {0, 0, NOTED_NS, NOTED_NS + ENDED_NS};
	struct sim_event event = {.type = SIM_FORSAKE};

	sim->plan.peaceful = false;
	sim->plan.gentle = SIM_ROUGH;
	times_ns[draw(sim, 57, 2)] = draw(sim, 58, 2) * draw(sim, 59, APART_NS);
	for (event.number = 0; event.number < 4; event.number++)
		sim_schedule(sim, sim->now_ns + times_ns[event.number], event);
}

void sim_forsaken(struct sim *sim, uint32_t number)
{
	static void (*const steps[])(struct sim *) = {kill_masters, kill_member, note, look};

	steps[number](sim);
}
