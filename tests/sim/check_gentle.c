/*
 * The checker of gentle runs, in which connections to the master break, and processes end, but nothing else goes wrong:
 *	- nobody who lives is left out of a view, or evicted, and if nobody dies no op fails
 *	- a death is noticed well before the grace for those who may come back ends
 */
#include "base/uuid.h"
#include "sim.h"

#define ALONE_NS (2 * SIM_SECOND) /* a death is one by itself if nobody else has gone for so long */

/* Its links are up by then. */
#define LINKED_NS (SIM_SECOND / 2)

void check_gone(struct sim *sim, const struct sim_node *node)
{
	bool alone = sim->now_ns >= sim->gone_ns + ALONE_NS && node->view.view.member_count > 2 &&
		     sim->now_ns >= node->installed_ns + LINKED_NS && !node->frozen;

	sim->gone_ns = sim->now_ns;
	sim->gone_alone = alone ? node->id : 0;
}

/* Half of the grace, which is as long as the heartbeat time-out or shorter. */
static void check_promptness(struct sim *sim, const struct sim_node *node, const struct sim_node *gone)
{
	uint64_t grace_ns = sim->plan.heartbeat_timeout_ns < sim->plan.return_grace_ns ? sim->plan.heartbeat_timeout_ns
										       : sim->plan.return_grace_ns;

	if (sim->now_ns > sim->gone_ns + grace_ns * 3 / 4)
		sim_fail(sim, "node %u hears %llu ms late that node %u has died", node->id,
			 (unsigned long long)((sim->now_ns - sim->gone_ns) / SIM_MS), gone->id);
	sim->gone_alone = 0;
}

void check_gentle_install(struct sim *sim, const struct sim_node *node, const struct pccl_install *install)
{
	uint32_t index;
	uint32_t rank;

	for (index = SIM_MASTERS; sim->plan.gentle != SIM_ROUGH && index < sim->node_count; index++) {
		const struct sim_node *other = &sim->nodes[index];

		if (pccl_view_rank(&install->view, &other->uuid, &rank) ||
		    !pccl_uuid_equal(&other->view.run, &install->run) || other->view.view.member_count == 0)
			continue;
		if (sim_peer_lives(other))
			sim_fail(sim, "node %u goes on without node %u, which lives: %s", node->id, index,
				 install->cause);
		if (sim->plan.gentle == SIM_GENTLE_DEATHS && sim->gone_alone == index)
			check_promptness(sim, node, other);
	}
}

void check_gentle_failure(struct sim *sim, const struct sim_node *node, uint64_t tag, uint32_t sequence)
{
	if (sim->plan.gentle == SIM_GENTLE_RESETS)
		sim_fail(sim, "op %u.%u failed at node %u, though nobody was lost", (unsigned)tag, sequence, node->id);
}

/* Most of its view, or half with rank 0, has gone without a word, for connections break as well, and may be at another
 * master for all that this one knows: it has to give up. */
static bool is_left_over(const struct sim *sim, const struct sim_node *node)
{
	uint32_t index, living = 0; /* twice, and one more for rank 0 */
	uint32_t rank;

	for (index = SIM_MASTERS; index < sim->node_count; index++)
		if (sim_peer_lives(&sim->nodes[index]) &&
		    pccl_view_rank(&node->view.view, &sim->nodes[index].uuid, &rank))
			living += rank == 0 ? 3 : 2;
	return sim->plan.gentle == SIM_GENTLE_MIXED && sim->plan.known_masters > 1 &&
	       living <= node->view.view.member_count;
}

void check_gentle_end(struct sim *sim, const struct sim_node *node, const struct pccl_peer_action *ended)
{
	if (sim->plan.gentle != SIM_ROUGH && ended->result == pcclEvicted && node->view.view.member_count > 0 &&
	    !is_left_over(sim, node))
		sim_fail(sim, "node %u has to go, but nothing has happened to it: %s", node->id, ended->text);
}
