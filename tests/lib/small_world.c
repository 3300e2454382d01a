/* Carries messages between masters and peers for tests. */
#include "small_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocations.h"
#include "base/bitmap.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/uuid.h"

struct small_packet {
	uint64_t connection;
	bool to_master;
	bool close;
	bool lost;
	bool open; /* to_master: ACCEPTED and DIALLED */
	uint8_t *data;
	size_t bytes;
	struct small_packet *next;
};

void small_event(struct small_world *world, uint32_t index, struct pccl_peer_event *event);

struct pccl_secret small_secret(uint32_t index)
{
	struct pccl_secret secret = {{0}};

	memcpy(secret.data, &index, sizeof(index));
	return secret;
}

pcclRankUuid_t small_uuid(uint32_t index)
{
	struct pccl_secret secret = small_secret(index);

	return pccl_identity_uuid(&secret);
}

static struct small_packet *post(struct small_world *world, uint64_t connection, bool to_master)
{
	struct small_packet *packet = calloc(1, sizeof(*packet));

	assert(packet != NULL);
	packet->connection = connection;
	packet->to_master = to_master;
	if (world->last != NULL)
		world->last->next = packet;
	else
		world->first = packet;
	world->last = packet;
	return packet;
}

static void post_message(struct small_world *world, uint64_t connection, bool to_master, struct pccl_message *message)
{
	struct small_packet *packet = post(world, connection, to_master);
	pcclResult_t result = pccl_message_encode(message, &packet->data, &packet->bytes);

	assert(result == pcclSuccess);
	(void)result;
	pccl_message_destroy(message);
}

static struct small_peer *peer_at(struct small_world *world, uint64_t connection, uint32_t *index_out)
{
	uint32_t index;

	for (index = 0; index < SMALL_PEERS; index++) {
		if (world->peers[index].connection == connection && world->peers[index].machine != NULL) {
			*index_out = index;
			return &world->peers[index];
		}
	}
	return NULL;
}

/* Allocations fail in the machines only: the world around them has no way to go on without memory. */
static void begin_step(struct small_world *world)
{
	check_fail_allocation(world->fail_allocation);
}

static void end_step(struct small_world *world)
{
	if (world->fail_allocation > 0 && check_allocation_failed()) {
		world->allocation_failed = true;
		world->fail_allocation = 0;
	} else if (world->fail_allocation > 0) {
		world->fail_allocation = check_allocations_left();
	}
	check_fail_allocation(0);
}

static void master_event(struct small_world *world, uint32_t index, struct pccl_master_event *event)
{
	struct pccl_master_action action;

	if (world->masters[index] == NULL) {
		pccl_message_destroy(event->message);
		return;
	}
	event->now_ns = world->now_ns;
	begin_step(world);
	pccl_master_step(world->masters[index], event);
	end_step(world);
	while (pccl_master_poll(world->masters[index], &action)) {
		if (action.type == PCCL_MASTER_SEND)
			post_message(world, action.connection, false, action.message);
		else
			post(world, action.connection, false)->close = true;
	}
}

static void freeze_done(struct small_world *world, uint32_t index)
{
	struct small_peer *peer = &world->peers[index];
	struct pccl_peer_event event = {.type = PCCL_PEER_FROZEN, .epoch = peer->freeze_epoch};
	size_t words = pccl_bitmap_words(peer->report.segment_count);

	event.reports = pccl_calloc(1, sizeof(*event.reports));
	assert(event.reports != NULL);
	if (peer->reports) {
		event.report_count = 1;
		event.reports[0] = peer->report;
		event.reports[0].held = pccl_calloc(words, sizeof(uint64_t));
		if (words > 0 && peer->report.held != NULL)
			memcpy(event.reports[0].held, peer->report.held, words * sizeof(uint64_t));
	}
	small_event(world, index, &event);
}

static void dial(struct small_world *world, struct small_peer *peer, uint32_t master)
{
	struct small_packet *packet;

	if (peer->connection != 0)
		post(world, peer->connection, true)->close = true;
	peer->connection = ++world->next_connection * SMALL_MASTERS + master;
	peer->master = master;
	packet = post(world, peer->connection, true);
	packet->open = true;
}

static void take_action(struct small_world *world, struct small_peer *peer, const struct pccl_peer_action *action)
{
	switch (action->type) {
	case PCCL_PEER_DIAL:
		dial(world, peer, action->master);
		break;
	case PCCL_PEER_SEND:
		if (peer->muted || (peer->unprepared && action->message->type == PCCL_MESSAGE_PREPARED))
			pccl_message_destroy(action->message);
		else
			post_message(world, peer->connection, true, action->message);
		break;
	case PCCL_PEER_HANG_UP:
		post(world, peer->connection, true)->close = true;
		peer->connection = 0;
		break;
	case PCCL_PEER_FREEZE:
		peer->freeze_epoch = action->epoch;
		break;
	case PCCL_PEER_INSTALL:
		pccl_install_fini(&peer->install);
		(void)pccl_install_copy(action->install, &peer->install);
		peer->installs++;
		peer->world = action->install->world;
		if (peer->first_verdict == 0 && action->install->decision_count > 0)
			peer->first_verdict = action->install->decisions[0].verdict;
		peer->freeze_epoch = 0;
		break;
	case PCCL_PEER_MEET: /* small_event() has it */
		break;
	case PCCL_PEER_VOTED:
		peer->voted = true;
		peer->voting = false;
		peer->vote_result = action->result;
		peer->vote_value = action->value;
		peer->world = action->world;
		memcpy(peer->vote_text, action->text, sizeof(peer->vote_text));
		break;
	case PCCL_PEER_ENDED:
		peer->ended = true;
		peer->end_result = action->result;
		memcpy(peer->end_text, action->text, sizeof(peer->end_text));
		break;
	}
}

/* Links are up, or lost, at once. */
static void answer_meet(struct small_world *world, uint32_t index, struct pccl_message *message)
{
	const struct pccl_message_meet *meet = &message->body.meet;
	struct pccl_peer_event event = {.type = PCCL_PEER_MET, .sequence = meet->number};
	uint32_t other, i;

	for (i = 0; i < meet->strangers.member_count && !world->peers[index].slow_meet; i++) {
		event.uuid = meet->strangers.members[i].uuid;
		for (other = 0; other < SMALL_PEERS; other++)
			if (pccl_uuid_equal(&world->peers[other].config.self.uuid, &event.uuid))
				break;
		event.text = NULL;
		if (other == SMALL_PEERS || world->peers[index].says_unmet ||
		    world->parted[index < other ? index : other][index < other ? other : index])
			event.text = "connection refused";
		small_event(world, index, &event);
	}
	pccl_message_destroy(message);
}

/* Lanes tell once more in every view. */
static void tell_killed(struct small_world *world, uint32_t index)
{
	uint32_t other;

	for (other = 0; other < SMALL_PEERS; other++)
		if (world->peers[other].killed)
			small_link(world, index, other, true);
}

void small_event(struct small_world *world, uint32_t index, struct pccl_peer_event *event)
{
	struct small_peer *peer = &world->peers[index];
	struct pccl_peer_action action;
	struct pccl_message *meet = NULL;
	uint32_t installs = peer->installs;
	bool freeze = false;

	event->now_ns = world->now_ns;
	begin_step(world);
	pccl_peer_step(peer->machine, event);
	end_step(world);
	while (pccl_peer_poll(peer->machine, &action)) {
		take_action(world, peer, &action);
		freeze = freeze || action.type == PCCL_PEER_FREEZE;
		if (action.type == PCCL_PEER_MEET)
			meet = action.message; /* one event brings one at most */
	}
	if (meet != NULL && meet->body.meet.number == PCCL_MEET_PART)
		pccl_message_destroy(meet);
	else if (meet != NULL)
		answer_meet(world, index, meet);
	if (freeze && !peer->slow_freeze)
		freeze_done(world, index);
	if (peer->installs != installs)
		tell_killed(world, index);
}

void small_freeze_done(struct small_world *world, uint32_t index)
{
	freeze_done(world, index);
}

static void open_connection(struct small_world *world, const struct small_packet *packet)
{
	uint32_t master = (uint32_t)(packet->connection % SMALL_MASTERS);
	struct pccl_master_event accepted = {.type = PCCL_MASTER_ACCEPTED, .text = "192.0.2.1"};
	struct pccl_peer_event dialled = {.type = PCCL_PEER_DIALLED};
	struct pccl_peer_event refused = {.type = PCCL_PEER_CLOSED, .text = "connection refused"};
	struct small_peer *peer;
	uint32_t index;

	peer = peer_at(world, packet->connection, &index);
	if (peer == NULL)
		return;
	if (world->masters[master] == NULL) {
		peer->connection = 0;
		small_event(world, index, &refused);
		return;
	}
	accepted.connection = packet->connection;
	accepted.origin = peer->origin;
	master_event(world, master, &accepted);
	small_event(world, index, &dialled);
}

static struct pccl_message *decode(struct small_world *world, const struct small_packet *packet)
{
	struct pccl_message *message;
	pcclResult_t result = pccl_message_decode(packet->data, packet->bytes, &message);

	assert(result == pcclSuccess);
	(void)result;
	world->message_count[message->type]++;
	return message;
}

static void deliver_to_master(struct small_world *world, const struct small_packet *packet)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_MESSAGE, .connection = packet->connection};

	if (packet->open) {
		open_connection(world, packet);
		return;
	}
	if (packet->close) {
		event.type = PCCL_MASTER_CLOSED;
		event.text = "connection reset";
	} else {
		event.message = decode(world, packet);
	}
	master_event(world, (uint32_t)(packet->connection % SMALL_MASTERS), &event);
}

static void deliver_to_peer(struct small_world *world, const struct small_packet *packet)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_MESSAGE};
	struct small_peer *peer;
	uint32_t index;

	peer = peer_at(world, packet->connection, &index);
	if (peer == NULL || peer->paused || peer->cut_from_master == 1 + packet->connection % SMALL_MASTERS)
		return;
	if (packet->close) {
		peer->connection = 0;
		event.type = PCCL_PEER_CLOSED;
		event.text = "the master hung up";
	} else {
		event.message = decode(world, packet);
	}
	small_event(world, index, &event);
}

static void deliver_one(struct small_world *world)
{
	struct small_packet *packet = world->first;

	world->first = packet->next;
	if (world->first == NULL)
		world->last = NULL;
	if (packet->to_master)
		deliver_to_master(world, packet);
	else if (!packet->lost)
		deliver_to_peer(world, packet);
	pccl_free(packet->data);
	free(packet);
}

void small_settle(struct small_world *world)
{
	while (world->first != NULL)
		deliver_one(world);
}

void small_deliver_until(struct small_world *world, enum pccl_message_type type, uint32_t count)
{
	uint32_t goal = world->message_count[type] + count;

	while (world->first != NULL && world->message_count[type] < goal)
		deliver_one(world);
}

static uint64_t next_deadline(const struct small_world *world)
{
	uint64_t deadline = UINT64_MAX;
	uint64_t other;
	uint32_t index;

	for (index = 0; index < SMALL_MASTERS; index++) {
		other = world->masters[index] != NULL ? pccl_master_deadline(world->masters[index]) : UINT64_MAX;
		deadline = other < deadline ? other : deadline;
	}
	for (index = 0; index < SMALL_PEERS; index++) {
		if (world->peers[index].machine == NULL || world->peers[index].paused)
			continue;
		other = pccl_peer_deadline(world->peers[index].machine);
		deadline = other < deadline ? other : deadline;
	}
	return deadline;
}

static void tick_all(struct small_world *world)
{
	struct pccl_master_event master_tick = {.type = PCCL_MASTER_TICK};
	struct pccl_peer_event peer_tick = {.type = PCCL_PEER_TICK};
	uint32_t index;

	for (index = 0; index < SMALL_MASTERS; index++)
		master_event(world, index, &master_tick);
	for (index = 0; index < SMALL_PEERS; index++) {
		if (world->peers[index].machine != NULL && !world->peers[index].paused)
			small_event(world, index, &peer_tick);
	}
}

void small_pass(struct small_world *world, uint64_t ms)
{
	uint64_t end_ns = world->now_ns + ms * SMALL_MS;
	uint64_t deadline_ns;

	small_settle(world);
	for (;;) {
		deadline_ns = next_deadline(world);
		if (deadline_ns > end_ns)
			break;
		if (deadline_ns > world->now_ns)
			world->now_ns = deadline_ns;
		tick_all(world);
		small_settle(world);
	}
	world->now_ns = end_ns;
}

void small_world_init(struct small_world *world)
{
	memset(world, 0, sizeof(*world));
	world->now_ns = 1000 * SMALL_MS;
}

void small_world_fini(struct small_world *world)
{
	uint32_t index;

	small_settle(world);
	for (index = 0; index < SMALL_PEERS; index++) {
		pccl_peer_destroy(world->peers[index].machine);
		pccl_install_fini(&world->peers[index].install);
	}
	for (index = 0; index < SMALL_MASTERS; index++)
		pccl_master_destroy(world->masters[index]);
	while (world->first != NULL) {
		struct small_packet *packet = world->first;

		world->first = packet->next;
		pccl_free(packet->data);
		free(packet);
	}
}

void small_master_start(struct small_world *world, uint32_t index)
{
	struct pccl_master_config config = {.heartbeat_interval_ns = 500 * SMALL_MS,
					    .heartbeat_timeout_ns = 3000 * SMALL_MS,
					    .complaint_window_ns = 100 * SMALL_MS,
					    .return_grace_ns = 2000 * SMALL_MS};
	pcclResult_t result;

	config.uuid = small_uuid(10000 + ++world->master_starts);
	result = pccl_master_create(&config, &world->masters[index]);
	assert(result == pcclSuccess);
	(void)result;
}

static void lose_messages(struct small_world *world, uint32_t master)
{
	struct small_packet *packet;

	for (packet = world->first; packet != NULL; packet = packet->next) {
		if (!packet->to_master && packet->connection % SMALL_MASTERS == master)
			packet->lost = true;
	}
}

void small_master_crash(struct small_world *world, uint32_t index)
{
	uint32_t peer;

	lose_messages(world, index);

	pccl_master_destroy(world->masters[index]);
	world->masters[index] = NULL;
	for (peer = 0; peer < SMALL_PEERS; peer++) {
		if (world->peers[peer].connection != 0 && world->peers[peer].master == index)
			post(world, world->peers[peer].connection, false)->close = true;
	}
}

static void join(struct small_world *world, uint32_t index, struct pccl_peer_config *config)
{
	struct small_peer *peer = &world->peers[index];
	struct pccl_peer_event event = {.type = PCCL_PEER_JOIN, .defers = world->defers};
	pcclResult_t result;

	assert(peer->machine == NULL);
	memset(peer, 0, sizeof(*peer));
	config->secret = small_secret(index);
	config->self.uuid = small_uuid(index);
	config->self.addresses[0].port = (uint16_t)(1000 + index);
	config->self.address_count = 1;
	if (world->host != NULL)
		(void)snprintf(config->self.addresses[0].host, sizeof(config->self.addresses[0].host), "%s",
			       world->host);
	peer->origin = world->origin;
	config->self.lanes = 2;
	config->self.streams = 1;
	config->heartbeat_interval_ns = world->hasty ? 50 * SMALL_MS : 500 * SMALL_MS;
	config->heartbeat_timeout_ns = 6 * config->heartbeat_interval_ns;
	config->connect_timeout_ns = 10000 * SMALL_MS;
	config->admission_timeout_ns = world->admission_timeout_ns;
	config->seed = index;
	config->joint_timeout_ms = world->joint_timeout_ms;
	config->late = world->late;
	result = pccl_peer_create(config, &peer->machine);
	assert(result == pcclSuccess);
	(void)result;
	peer->config = *config;
	small_event(world, index, &event);
}

void small_join(struct small_world *world, uint32_t index, uint32_t group, uint32_t masters)
{
	struct pccl_peer_config config = {.group = group, .master_count = masters};

	join(world, index, &config);
}

void small_join_bundle(struct small_world *world, uint32_t index, uint32_t group, uint64_t bundle, uint32_t size)
{
	struct pccl_peer_config config = {.group = group, .master_count = 1};

	config.self.bundle_id = bundle;
	config.self.bundle_size = size;
	join(world, index, &config);
}

void small_kill(struct small_world *world, uint32_t index)
{
	struct small_peer *peer = &world->peers[index];
	uint32_t other;

	pccl_peer_destroy(peer->machine);
	peer->machine = NULL;
	if (peer->connection != 0)
		post(world, peer->connection, true)->close = true;
	peer->connection = 0;
	peer->killed = true;
	for (other = 0; other < SMALL_PEERS; other++)
		small_link(world, other, index, true);
}

void small_dismiss(struct small_world *world, uint32_t index)
{
	const struct small_peer *peer = &world->peers[index];
	struct pccl_master_event event = {
		.type = PCCL_MASTER_DISMISS, .connection = peer->connection, .text = "it is on the list no more"};

	master_event(world, peer->master, &event);
}

void small_hang_up(struct small_world *world, uint32_t index)
{
	post(world, world->peers[index].connection, true)->close = true;
	world->peers[index].connection = 0;
}

void small_reset(struct small_world *world, uint32_t index)
{
	small_hang_up(world, index);
	small_lose_connection(world, index);
}

uint32_t small_epoch(const struct small_world *world, uint32_t index)
{
	return world->peers[index].install.view.epoch;
}

uint32_t small_size(const struct small_world *world, uint32_t index)
{
	return world->peers[index].install.view.member_count;
}
