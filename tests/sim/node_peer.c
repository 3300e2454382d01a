/* The shell of a peer: feeds its machine, carries out what it asks for. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/uuid.h"
#include "rogue.h"
#include "shell.h"

bool sim_peer_lives(const struct sim_node *node)
{
	return node->alive && !node->is_master && !node->ended;
}

static void hang_up(struct sim *sim, struct sim_node *node)
{
	struct sim_packet packet = {.type = SIM_CLOSE, .connection = node->connection};

	if (node->connection != 0)
		sim_send(sim, node->id, node->connected_to, &packet);
	node->connection = 0;
}

static void dial(struct sim *sim, struct sim_node *node, uint32_t master)
{
	struct sim_packet packet = {.type = SIM_OPEN};

	hang_up(sim, node);
	node->connection = ++sim->connections;
	node->connected_to = master;
	packet.connection = node->connection;
	sim_trace(sim, "node %u dials master %u", node->id, master);
	sim_send(sim, node->id, master, &packet);
}

static void send_message(struct sim *sim, struct sim_node *node, struct pccl_message *message)
{
	struct sim_packet packet = {.type = SIM_MESSAGE, .connection = node->connection};

	sim_trace(sim, "node %u sends %s", node->id, pccl_message_name(message->type));
	sim_forge(sim, node, message);
	if (pccl_message_encode(message, &packet.bytes, &packet.byte_count) != pcclSuccess)
		sim_fail(sim, "a message of node %u can't be encoded", node->id);
	else if (sim_rogue_is(sim, node->id))
		sim_rogue_send(sim, node, &packet);
	else
		sim_send(sim, node->id, node->connected_to, &packet);
	pccl_message_destroy(message);
}

static void install(struct sim *sim, struct sim_node *node, const struct pccl_install *what)
{
	sim_trace(sim, "node %u installs group %u epoch %u with %u members%s: %s", node->id, what->view.group,
		  what->view.epoch, what->view.member_count, what->newcomers ? " (newcomers)" : "", what->cause);
	check_install(sim, node, what);
	check_gentle_install(sim, node, what);
	pccl_install_fini(&node->view);
	(void)pccl_install_copy(what, &node->view);
	sim_forger_install(sim, node);
	(void)pccl_view_rank(&node->view.view, &node->uuid, &node->rank);
	node->frozen = false;
	node->installed_ns = sim->now_ns;
	sim_links_install(sim, node);
	if (node->shell == NULL)
		sim_ops_install(sim, node, what);
	else
		shell_install(node->shell, what);
	if (what->newcomers) {
		node->origin = what->view.epoch;
		node->step = 0;
		node->vote_count = 0;
		memset(node->sequence, 0, sizeof(node->sequence));
	}
	sim_program_wake(sim, node);
}

static void freeze(struct sim *sim, struct sim_node *node, uint32_t epoch)
{
	struct sim_event event = {.type = SIM_FROZEN, .node = node->id};

	if (node->frozen)
		sim_fail(sim, "node %u is frozen twice", node->id);
	node->frozen = true;
	node->freeze_epoch = epoch;
	if (node->shell != NULL)
		shell_freeze(node->shell);
	else if (!node->stuck)
		sim_schedule(sim, sim->now_ns + sim_exponential(sim, 2 * SIM_MS), event);
}

static void voted(struct sim *sim, struct sim_node *node, const struct pccl_peer_action *action)
{
	sim_trace(sim, "node %u: %s ends with %d, %d %s", node->id, pccl_vote_name(node->voting), (int)action->result,
		  action->value, action->text);
	check_stall(sim, node);
	if (node->voting == 0)
		sim_fail(sim, "node %u got an answer without a call", node->id);
	if (node->shell != NULL)
		shell_voted(node->shell, action->joint);
	if (action->result == pcclMasterConnectionFailed ||
	    (action->result == pcclTimeout && sim->plan.joint_timeout_ms > 0)) {
		node->vote_again = true;
		sim_program_wake(sim, node);
		return;
	}
	/* One that came with an install is counted from there: step 0 of the new program comes next. */
	if (node->vote_count > 0)
		check_vote(sim, node, action);
	node->voting = 0;
	sim_program_wake(sim, node);
}

static void ended(struct sim *sim, struct sim_node *node, const struct pccl_peer_action *action)
{
	sim_trace(sim, "node %u ends with %d: %s", node->id, (int)action->result, action->text);
	check_gentle_end(sim, node, action);
	check_gone(sim, node);
	node->ended = true;
	node->end_result = action->result;
	sim_links_end(sim, node);
	if (sim->rogue == NULL && sim->plan.peaceful && strstr(action->text, "could not reach") != NULL)
		sim_fail(sim, "node %u had to go, but could be reached: %s", node->id, action->text);
	if (node->shell != NULL)
		shell_end(node->shell, action->result == pcclSuccess ? pcclAborted : action->result, action->text);
}

bool sim_is_parted(const struct sim *sim, uint32_t left, uint32_t right)
{
	uint64_t low = left < right ? left : right;

	return pccl_rng_hash(sim->plan.seed + 51, low << 32 | (left ^ right)) % 100 < sim->plan.parted_percent;
}

/* Level 1 has no links: it is drawn when they would be up, or lost. */
static void meet(struct sim *sim, const struct sim_node *node, const struct pccl_message_meet *meet)
{
	struct sim_event event = {.type = SIM_MET, .node = node->id, .number = meet->number};
	uint64_t wait_ns;
	uint32_t i;

	for (i = 0; i < meet->strangers.member_count; i++) {
		for (event.segment = SIM_MASTERS; event.segment < sim->node_count; event.segment++)
			if (pccl_uuid_equal(&sim->nodes[event.segment].uuid, &meet->strangers.members[i].uuid))
				break;
		if (event.segment == sim->node_count)
			continue;
		wait_ns = sim_is_parted(sim, node->id, event.segment) ? sim_between(sim, 1, 8000) * SIM_MS : 0;
		sim_schedule(sim, sim->now_ns + wait_ns + sim_exponential(sim, 3 * SIM_MS), event);
	}
}

void sim_peer_met(struct sim *sim, struct sim_node *node, const struct sim_event *event)
{
	const struct sim_node *other = &sim->nodes[event->segment];
	struct pccl_peer_event met = {.type = PCCL_PEER_MET, .uuid = other->uuid, .sequence = event->number};

	if (!sim_peer_lives(node))
		return;
	if (node->paused) {
		struct sim_event again = *event;

		sim_schedule(sim, sim->now_ns + 20 * SIM_MS, again);
		return;
	}
	if (!sim_peer_lives(other) || sim->cut[node->id][other->id] > 0 || sim->cut[other->id][node->id] > 0 ||
	    sim_is_parted(sim, node->id, other->id))
		met.text = "no way to it";
	sim_peer_feed(sim, node, &met);
}

static void carry_out(struct sim *sim, struct sim_node *node, const struct pccl_peer_action *action)
{
	switch (action->type) {
	case PCCL_PEER_DIAL:
		dial(sim, node, action->master);
		break;
	case PCCL_PEER_SEND:
		send_message(sim, node, action->message);
		break;
	case PCCL_PEER_HANG_UP:
		hang_up(sim, node);
		break;
	case PCCL_PEER_FREEZE:
		freeze(sim, node, action->epoch);
		break;
	case PCCL_PEER_INSTALL:
		install(sim, node, action->install);
		break;
	case PCCL_PEER_MEET:
		if (node->shell != NULL)
			shell_meet(node->shell, &action->message->body.meet);
		else
			meet(sim, node, &action->message->body.meet);
		pccl_message_destroy(action->message);
		break;
	case PCCL_PEER_VOTED:
		voted(sim, node, action);
		break;
	case PCCL_PEER_ENDED:
		ended(sim, node, action);
		break;
	}
}

void sim_peer_feed(struct sim *sim, struct sim_node *node, struct pccl_peer_event *event)
{
	uint64_t missed[PCCL_MEMBERS_MAX / 64];
	struct pccl_peer_action action;

	sim_count_step(sim);
	if (pccl_peer_misses(node->peer, missed))
		event->blocked = node->shell != NULL ? shell_blocked(node->shell, missed) : sim_ops_blocked(node);
	if (event->type == PCCL_PEER_VOTE)
		node->vote_ns = sim->now_ns;
	event->now_ns = sim->now_ns + node->ahead_ns;
	pccl_peer_step(node->peer, event);
	while (pccl_peer_poll(node->peer, &action))
		carry_out(sim, node, &action);
	sim_want_tick(sim, node, pccl_peer_deadline(node->peer));
}

void sim_peer_ready(struct sim *sim, struct sim_node *node)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_READY};
	const struct sim_event later = {.type = SIM_READY, .node = node->id};

	if (node->alive && node->paused)
		sim_schedule(sim, sim->now_ns + 20 * SIM_MS, later);
	else if (node->alive)
		sim_peer_feed(sim, node, &event);
}

/* Has it something to fetch first? In one of four worlds, and chosen without drawing: what was found in the others
 * before there was this is found there still. */
static bool defers(struct sim *sim, const struct sim_node *node)
{
	const uint64_t chosen = pccl_rng_hash(sim->plan.seed, 900 + node->id);
	const struct sim_event ready = {.type = SIM_READY, .node = node->id};

	if (pccl_rng_hash(sim->plan.seed, 900) % 4 != 0 || chosen % 3 != 0)
		return false;
	sim_schedule(sim, sim->now_ns + chosen / 3 % (5 * SIM_SECOND), ready);
	sim_trace(sim, "node %u does not want to be admitted yet", node->id);
	return true;
}

struct sim_node *sim_peer_join(struct sim *sim, uint32_t group, uint64_t bundle, uint32_t bundle_size)
{
	struct pccl_peer_config config = {.group = group, .master_count = sim->plan.known_masters};
	struct pccl_peer_event event = {.type = PCCL_PEER_JOIN};
	struct sim_node *node = sim_add_node(sim);
	pcclRankUuid_t drawn;

	if (node == NULL)
		return NULL;
	drawn = sim_uuid(sim);
	memcpy(config.secret.data, drawn.data, sizeof(drawn.data));
	node->secret = config.secret;
	node->uuid = pccl_identity_uuid(&config.secret);
	node->group = group;
	node->bundle = bundle;
	config.self.uuid = node->uuid;
	config.self.lanes = 1;
	config.self.streams = 1;
	config.self.bundle_id = bundle;
	config.self.bundle_size = bundle_size;
	config.heartbeat_interval_ns = sim->plan.heartbeat_interval_ns;
	config.heartbeat_timeout_ns = sim->plan.heartbeat_timeout_ns;
	config.connect_timeout_ns = sim_between(sim, 1, 10) * SIM_SECOND;
	config.joint_timeout_ms = sim->plan.joint_timeout_ms;
	config.late = sim->plan.late;
	config.seed = pccl_rng_u64(&sim->rng);
	if (sim->shells != NULL)
		shell_create(sim, node, &config.self);
	(void)pccl_peer_create(&config, &node->peer);
	node->alive = true;
	sim_trace(sim, "node %u joins group %u, bundle %u", node->id, group, (unsigned)bundle);
	event.defers = defers(sim, node);
	sim_peer_feed(sim, node, &event);
	return node;
}

/* The process ends. Its kernel says so to the master, unless its host is gone too. */
void sim_peer_stop(struct sim *sim, struct sim_node *node, bool silently)
{
	sim_trace(sim, "node %u dies%s", node->id, silently ? " silently" : "");
	check_gone(sim, node);
	if (!silently)
		hang_up(sim, node);
	node->alive = false;
	node->vanished = silently;
	if (!silently)
		sim_links_end(sim, node);
	shell_destroy(sim, node);
	pccl_peer_destroy(node->peer);
	pccl_install_fini(&node->view);
	node->peer = NULL;
	node->connection = 0;
	node->tick_ns = 0;
}

void sim_peer_packet(struct sim *sim, struct sim_node *node, const struct sim_packet *packet)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_MESSAGE};

	if (packet->type == SIM_DATA) {
		sim_op_data(sim, node, &packet->data);
		return;
	}
	if (packet->connection != node->connection || node->connection == 0)
		return;
	if (packet->type == SIM_OPENED) {
		event.type = PCCL_PEER_DIALLED;
	} else if (packet->type == SIM_CLOSE) {
		node->connection = 0;
		event.type = PCCL_PEER_CLOSED;
		event.text = "closed";
		sim_trace(sim, "node %u sees its master hang up", node->id);
	} else if (pccl_message_decode(packet->bytes, packet->byte_count, &event.message) != pcclSuccess) {
		sim_fail(sim, "a message to node %u can't be decoded", node->id);
		return;
	}
	sim_peer_feed(sim, node, &event);
}

void sim_peer_tick(struct sim *sim, struct sim_node *node)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_TICK};

	sim_peer_feed(sim, node, &event);
}

void sim_peer_frozen(struct sim *sim, struct sim_node *node)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_FROZEN, .epoch = node->freeze_epoch};

	if (!sim_peer_lives(node))
		return;
	sim_ops_report(node, &event);
	sim_peer_feed(sim, node, &event);
}
