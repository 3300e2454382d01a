/* Packets travel in order within one pipe and in any order across pipes. A cut or a sleeping receiver holds a
 * pipe up; what was sent comes later, as the kernel would do it. */
#include <stdlib.h>

#include "base/memory.h"
#include "sim.h"

#define STALL_NS (40 * SIM_MS) /* how often a stalled pipe is tried again */

static struct sim_pipe *find_pipe(struct sim *sim, uint32_t from, uint32_t to, uint64_t connection)
{
	struct sim_pipe *pipe;

	for (pipe = sim->pipes; pipe != NULL; pipe = pipe->next) {
		if (pipe->from == from && pipe->to == to && pipe->connection == connection)
			return pipe;
	}
	pipe = pccl_zalloc(sizeof(*pipe));
	pipe->from = from;
	pipe->to = to;
	pipe->connection = connection;
	pipe->next = sim->pipes;
	sim->pipes = pipe;
	return pipe;
}

static void queue_pipe(struct sim *sim, struct sim_pipe *pipe, uint64_t time_ns)
{
	struct sim_event event = {.type = SIM_PIPE, .node = pipe->to, .pipe = pipe};

	if (pipe->queued || pipe->first == NULL)
		return;
	pipe->queued = true;
	sim_schedule(sim, time_ns, event);
}

void sim_send(struct sim *sim, uint32_t from, uint32_t to, const struct sim_packet *packet)
{
	struct sim_pipe *pipe = find_pipe(sim, from, to, packet->connection);
	struct sim_packet *copy;

	if (pipe->broken) {
		pccl_free(packet->bytes);
		return;
	}
	copy = pccl_zalloc(sizeof(*copy));
	*copy = *packet;
	copy->next = NULL;
	copy->time_ns = sim->now_ns + sim->plan.delay_min_ns + sim_exponential(sim, sim->plan.delay_mean_ns);
	if (copy->time_ns < packet->time_ns)
		copy->time_ns = packet->time_ns;
	if (copy->time_ns <= pipe->last_ns)
		copy->time_ns = pipe->last_ns + 1;
	pipe->last_ns = copy->time_ns;
	if (pipe->last != NULL)
		pipe->last->next = copy;
	else
		pipe->first = copy;
	pipe->last = copy;
	queue_pipe(sim, pipe, pipe->first->time_ns);
}

static void deliver(struct sim *sim, const struct sim_pipe *pipe, const struct sim_packet *packet)
{
	struct sim_node *node = &sim->nodes[pipe->to];

	if (node->is_master)
		sim_master_packet(sim, node, pipe->from, packet);
	else if (node->alive)
		sim_peer_packet(sim, node, packet);
}

static void drop_pipe(struct sim *sim, struct sim_pipe *pipe)
{
	struct sim_pipe **link = &sim->pipes;

	while (*link != pipe)
		link = &(*link)->next;
	*link = pipe->next;
	pccl_free(pipe);
}

void sim_pipe_arrived(struct sim *sim, struct sim_pipe *pipe)
{
	struct sim_packet *packet = pipe->first;

	pipe->queued = false;
	if (packet == NULL)
		return;
	if (sim->cut[pipe->from][pipe->to] > 0 || sim->nodes[pipe->to].paused) {
		queue_pipe(sim, pipe, sim->now_ns + STALL_NS);
		return;
	}
	pipe->first = packet->next;
	if (pipe->first == NULL)
		pipe->last = NULL;
	deliver(sim, pipe, packet);
	pccl_free(packet->bytes);
	pccl_free(packet);
	if (pipe->first != NULL)
		queue_pipe(sim, pipe, pipe->first->time_ns > sim->now_ns ? pipe->first->time_ns : sim->now_ns);
	else if (!pipe->queued && pipe->last_ns <= sim->now_ns && pipe->connection != 0 && !pipe->broken)
		drop_pipe(sim, pipe);
}

/* What is behind the first `keep` packets is lost. */
static void lose_tail(struct sim_pipe *pipe, uint64_t keep)
{
	struct sim_packet **link = &pipe->first;

	pipe->last = NULL;
	for (; keep > 0 && *link != NULL; keep--) {
		pipe->last = *link;
		link = &(*link)->next;
	}
	while (*link != NULL) {
		struct sim_packet *packet = *link;

		*link = packet->next;
		pccl_free(packet->bytes);
		pccl_free(packet);
	}
}

static void break_pipe(struct sim *sim, uint32_t from, uint32_t to, uint64_t connection)
{
	const struct sim_packet close = {.type = SIM_CLOSE, .connection = connection};
	struct sim_pipe *pipe = find_pipe(sim, from, to, connection);

	if (pipe->broken)
		return;
	lose_tail(pipe, sim_between(sim, 0, 3));
	sim_send(sim, from, to, &close);
	pipe->broken = true;
}

void sim_net_reset(struct sim *sim, uint32_t peer, uint32_t master, uint64_t connection)
{
	break_pipe(sim, peer, master, connection);
	break_pipe(sim, master, peer, connection);
}

void sim_net_fini(struct sim *sim)
{
	struct sim_packet *packet;
	struct sim_pipe *pipe;

	while (sim->pipes != NULL) {
		pipe = sim->pipes;
		sim->pipes = pipe->next;
		while (pipe->first != NULL) {
			packet = pipe->first;
			pipe->first = packet->next;
			pccl_free(packet->bytes);
			pccl_free(packet);
		}
		pccl_free(pipe);
	}
}
