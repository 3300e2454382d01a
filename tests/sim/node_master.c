/* The shell of a master: feeds its machine, carries out what it asks for. A connection's number is unique; the
 * peer of a connection is found in the nodes. */
#include <stdio.h>

#include "base/fail.h"
#include "base/memory.h"
#include "rogue.h"

static struct sim_node *peer_of(struct sim *sim, uint64_t connection)
{
	uint32_t index;

	for (index = SIM_MASTERS; index < sim->node_count; index++) {
		if (sim->nodes[index].connection == connection)
			return &sim->nodes[index];
	}
	return NULL;
}

static void carry_out(struct sim *sim, struct sim_node *node, struct pccl_master_action *action)
{
	struct sim_packet packet = {.type = SIM_CLOSE, .connection = action->connection};
	struct sim_node *peer = peer_of(sim, action->connection);

	if (action->type == PCCL_MASTER_SEND) {
		packet.type = SIM_MESSAGE;
		sim_trace(sim, "master %u sends %s to node %d", node->id, pccl_message_name(action->message->type),
			  peer != NULL ? (int)peer->id : -1);
		if (peer != NULL &&
		    pccl_message_encode(action->message, &packet.bytes, &packet.byte_count) != pcclSuccess)
			sim_fail(sim, "a message of the master can't be encoded");
		pccl_message_destroy(action->message);
	}
	if (peer != NULL)
		sim_send(sim, node->id, peer->id, &packet);
}

static bool is_sabotaged(struct sim *sim, const struct sim_node *node, const struct pccl_master_action *action)
{
	struct sim_node *peer = peer_of(sim, action->connection);

	return action->type == PCCL_MASTER_SEND && action->message->type == PCCL_MESSAGE_INSTALL && peer != NULL &&
	       sim_sabotage(sim, node, peer);
}

static void die_at_once(struct sim *sim, struct sim_node *node)
{
	struct sim_event event = {.type = SIM_REVIVE, .node = node->id};

	sim_master_stop(sim, node, false);
	sim_schedule(sim, sim->now_ns + sim_exponential(sim, 2 * sim->plan.heartbeat_timeout_ns), event);
}

static void feed(struct sim *sim, struct sim_node *node, struct pccl_master_event *event)
{
	bool is_forged = event->type == PCCL_MASTER_MESSAGE && check_is_forged(sim, event->message);
	struct pccl_master_action action;

	sim_count_step(sim);
	event->now_ns = sim->now_ns + node->ahead_ns;
	pccl_master_step(node->master, event);
	while (pccl_master_poll(node->master, &action)) {
		bool dies = is_sabotaged(sim, node, &action);

		if (action.type == PCCL_MASTER_SEND)
			check_told(sim, node, action.message, is_forged && action.connection == event->connection);
		carry_out(sim, node, &action);
		if (dies) {
			die_at_once(sim, node);
			return;
		}
	}
	sim_want_tick(sim, node, pccl_master_deadline(node->master));
}

void sim_master_start(struct sim *sim, struct sim_node *node)
{
	struct pccl_master_config config = {.heartbeat_interval_ns = sim->plan.heartbeat_interval_ns,
					    .heartbeat_timeout_ns = sim->plan.heartbeat_timeout_ns,
					    .complaint_window_ns = 100 * SIM_MS,
					    .return_grace_ns = sim->plan.return_grace_ns,
					    .sealer = sim_sealer(sim, node->id)};

	if (node->alive || sim->forsaken)
		return;
	config.uuid = sim_uuid(sim);
	(void)pccl_master_create(&config, &node->master);
	node->is_master = true;
	node->alive = true;
	node->paused = false;
	sim_trace(sim, "master %u starts", node->id);
}

void sim_master_stop(struct sim *sim, struct sim_node *node, bool silently)
{
	struct sim_packet packet = {.type = SIM_CLOSE};
	uint32_t index;

	if (!node->alive)
		return;
	sim_trace(sim, "master %u dies%s", node->id, silently ? " silently" : "");
	pccl_master_destroy(node->master);
	node->master = NULL;
	node->alive = false;
	node->tick_ns = 0;
	for (index = SIM_MASTERS; index < sim->node_count && !silently; index++) {
		packet.connection = sim->nodes[index].connection;
		if (packet.connection != 0 && sim->nodes[index].connected_to == node->id)
			sim_send(sim, node->id, index, &packet);
	}
}

static void refuse(struct sim *sim, const struct sim_node *node, uint32_t to, uint64_t connection)
{
	struct sim_packet packet = {.type = SIM_CLOSE, .connection = connection};

	sim_send(sim, node->id, to, &packet);
}

void sim_master_packet(struct sim *sim, struct sim_node *node, uint32_t from, const struct sim_packet *packet)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_MESSAGE, .connection = packet->connection};
	struct sim_packet answer = {.type = SIM_OPENED, .connection = packet->connection};
	char address[16];

	if (!node->alive) {
		if (packet->type != SIM_CLOSE)
			refuse(sim, node, from, packet->connection);
		return;
	}
	if (packet->type == SIM_OPEN) {
		event.type = PCCL_MASTER_ACCEPTED;
		(void)snprintf(address, sizeof(address), "node%u", from);
		event.text = address;
		event.origin = from;
		sim_send(sim, node->id, from, &answer);
	} else if (packet->type == SIM_CLOSE) {
		event.type = PCCL_MASTER_CLOSED;
		event.text = "closed";
		sim_trace(sim, "master %u sees node %u hang up", node->id, from);
	} else if (pccl_master_expect(node->master, packet->connection, (uint32_t)packet->byte_count) != pcclSuccess ||
		   pccl_message_decode(packet->bytes, packet->byte_count, &event.message) != pcclSuccess) {
		if (sim->rogue == NULL || (sim->rogue->nodes >> from & 1) == 0) {
			sim_fail(sim, "a message of node %u can't be decoded", from);
			return;
		}
		event.type = PCCL_MASTER_CLOSED;
		event.text = pccl_fail_text();
		refuse(sim, node, from, packet->connection);
	}
	feed(sim, node, &event);
}

void sim_master_tick(struct sim *sim, struct sim_node *node)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_TICK};

	feed(sim, node, &event);
}
