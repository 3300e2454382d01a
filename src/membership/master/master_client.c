/* Connections: accepting, heartbeats, and what the loss of one means to its group. A lost client stays in the
 * list until the end of the step, or until its HANG_UP is taken, so that loops over clients need no care. */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "base/uuid.h"

#define REGISTER_TIMEOUT_NS (10 * PCCL_SECOND_NS) /* who says nothing for so long is no peer */
#define LATE_NS (PCCL_SECOND_NS / 4) /* who is lost after so long without an answer has made others wait for it */
#define PROMPT_NS PCCL_SECOND_NS     /* newcomers that are admitted answer PREPARE in this time */
#define BUNDLE_GRACES 4 /* how long the ranks of a bundle that was about to join have to find each other again */

struct pccl_client *pccl_client_find(const struct pccl_master *master, uint64_t connection)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->connection == connection)
			return client;
	}
	return NULL;
}

static uint32_t bucket_of(const pcclRankUuid_t *uuid)
{
	uint64_t words[2];

	memcpy(words, uuid->data, sizeof(words));
	return (uint32_t)(((words[0] ^ words[1]) * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % PCCL_CLIENT_BUCKETS;
}

struct pccl_client *pccl_client_bucket(const struct pccl_master *master, const pcclRankUuid_t *uuid)
{
	return master->buckets[bucket_of(uuid)];
}

void pccl_client_index(struct pccl_master *master, struct pccl_client *client)
{
	struct pccl_client **bucket = &master->buckets[bucket_of(&client->self.uuid)];

	client->same_bucket = *bucket;
	*bucket = client;
}

static void unindex(struct pccl_master *master, const struct pccl_client *client)
{
	struct pccl_client **link = &master->buckets[bucket_of(&client->self.uuid)];

	while (*link != NULL && *link != client)
		link = &(*link)->same_bucket;
	if (*link != NULL)
		*link = client->same_bucket;
}

struct pccl_client *pccl_client_of(const struct pccl_group *group, const struct pccl_master *master,
				   const pcclRankUuid_t *uuid)
{
	struct pccl_client *client;

	for (client = pccl_client_bucket(master, uuid); client != NULL; client = client->same_bucket) {
		if (client->group == group && pccl_uuid_equal(&client->self.uuid, uuid))
			return client;
	}
	return NULL;
}

static int compare_serials(const void *left_memory, const void *right_memory)
{
	const struct pccl_client *left = *(struct pccl_client *const *)left_memory;
	const struct pccl_client *right = *(struct pccl_client *const *)right_memory;

	return left->serial < right->serial ? -1 : left->serial > right->serial;
}

struct pccl_client **pccl_clients_waiting(const struct pccl_master *master, const struct pccl_group *group,
					  uint32_t *count_out)
{
	struct pccl_client **list = pccl_calloc((size_t)master->client_count + 1, sizeof(*list));
	struct pccl_client *client;
	uint32_t count = 0;

	*count_out = 0;
	if (list == NULL)
		return NULL;
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->state == PCCL_CLIENT_WAITING)
			list[count++] = client;
	}
	if (count > 1)
		qsort(list, count, sizeof(*list), compare_serials);
	*count_out = count;
	return list;
}

/* How many ranks of a bundle wait: kept, for everything that looks at newcomers asks. */
static void count_bundle(struct pccl_master *master, uint64_t bundle)
{
	struct pccl_client *client;
	uint32_t count = 0;

	assert(bundle != 0);
	master->effort += 2 * (uint64_t)master->client_count;
	for (client = master->clients; client != NULL; client = client->next)
		count += client->state == PCCL_CLIENT_WAITING && client->bundle == bundle;
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->bundle == bundle)
			client->bundle_waiting = count;
	}
}

void pccl_client_set_state(struct pccl_master *master, struct pccl_client *client, enum pccl_client_state state)
{
	bool waiting_changes = (client->state == PCCL_CLIENT_WAITING) != (state == PCCL_CLIENT_WAITING);

	assert(client->state != PCCL_CLIENT_CLOSING);
	client->state = state;
	if (waiting_changes)
		pccl_meet_end(client);
	if (client->group != NULL)
		client->group->meets_due = true;
	if (client->bundle != 0 && waiting_changes)
		count_bundle(master, client->bundle);
}

void pccl_client_accept(struct pccl_master *master, uint64_t connection, const char *remote, uint64_t origin)
{
	struct pccl_client *client = pccl_zalloc(sizeof(*client));

	if (client == NULL)
		return; /* its messages go nowhere; the peer's own time-out ends it */
	client->connection = connection;
	(void)snprintf(client->remote, sizeof(client->remote), "%s", remote != NULL ? remote : "");
	client->origin = origin;
	client->state = PCCL_CLIENT_CALLER;
	pccl_meet_end(client);
	client->heartbeat_interval_ns = master->config.heartbeat_interval_ns;
	client->heartbeat_timeout_ns = master->config.heartbeat_timeout_ns;
	client->since_ns = master->now_ns;
	client->heard_ns = master->now_ns;
	client->next = master->clients;
	master->clients = client;
	master->client_count++;
	pccl_door_enter(master, client);
}

/* Its place in the running view change stays empty, which makes the change start again. */
static void leave_change(struct pccl_group *group, const struct pccl_client *client)
{
	uint32_t index;

	for (index = 0; index < group->change.recipient_count; index++) {
		if (group->change.recipients[index] == client)
			group->change.recipients[index] = NULL;
	}
}

static void leave_seat(struct pccl_master *master, struct pccl_client *client, enum pccl_loss loss, const char *why)
{
	struct pccl_group *group = client->group;
	struct pccl_seat *seat = &group->seats[client->seat];

	assert(group->base != NULL && seat->client == client && seat->state == PCCL_SEAT_HERE);
	seat->client = NULL;
	seat->state = loss == PCCL_LOSS_AWAY || loss == PCCL_LOSS_SILENT || loss == PCCL_LOSS_BROKEN ? PCCL_SEAT_AWAY
												     : PCCL_SEAT_OUT;
	seat->until_ns =
		pccl_absence_limit(master, client, loss == PCCL_LOSS_AWAY ? master->config.return_grace_ns : 0);
	if (loss == PCCL_LOSS_BROKEN)
		seat->until_ns = pccl_broken_until(group, &client->self.uuid);
	seat->conduct = client->conduct;
	pccl_text_format(seat->why, sizeof(seat->why), "%s", why);
	pccl_group_note_cause(group, "rank %u (%s) was lost: %s", client->seat, client->self.addresses[0].host, why);
}

/* The ranks of a bundle join together: if one is lost on the way, the others wait again, and no update waits for
 * them. */
static void break_bundle(struct pccl_master *master, const struct pccl_client *lost)
{
	struct pccl_client *client;

	master->effort += lost->bundle != 0 ? master->client_count : 0;
	for (client = master->clients; client != NULL && lost->bundle != 0; client = client->next) {
		if (client->state != PCCL_CLIENT_WAITING || client->bundle != lost->bundle)
			continue;
		if (client->admitting)
			pccl_group_note_cause(client->group, "a rank of a joining bundle was lost");
		client->admitting = false;
		client->group->dirty = true;
	}
}

void pccl_client_stop_admission(struct pccl_master *master, struct pccl_client *client)
{
	client->admitting = false;
	break_bundle(master, client);
}

static void note_left(struct pccl_master *master, const struct pccl_client *client)
{
	struct pccl_left *left = &master->left[master->left_count % PCCL_LEFT_MAX];

	if (client->installed == 0)
		return;
	master->left_count++;
	left->uuid = client->self.uuid;
	left->epoch = client->installed;
}

/* Strangers can come and go as often as they like. */
static void log_loss(struct pccl_master *master, const struct pccl_client *client, const char *why)
{
	bool member = client->state == PCCL_CLIENT_SEATED && !client->group->base->lone;
	bool caller = client->state == PCCL_CLIENT_CALLER;
	struct pccl_log_rate *rate = caller ? &master->lost_callers : &master->lost_guests;
	const char *more = member ? "" : pccl_log_rate(rate, master->now_ns);

	if (more != NULL)
		pccl_log_info("master: connection %llu of %s is lost: %s%s", (unsigned long long)client->connection,
			      client->remote, why, more);
}

/* Members wait for the answer of one that is to be admitted, in vain. Of those that come from there none is now, else
 * each of them could make them wait for as long. */
static void charge_admission(struct pccl_master *master, const struct pccl_client *newcomer, enum pccl_rest_kind kind)
{
	struct pccl_group *group = newcomer->group;
	struct pccl_client *client;

	pccl_origin_charge(master, newcomer, kind);
	for (client = master->clients; client != NULL && pccl_origin_rests(master, newcomer, kind);
	     client = client->next) {
		if (client->group != group || !client->admitting || client->origin != newcomer->origin)
			continue;
		leave_change(group, client);
		client->asked = false;
		pccl_client_stop_admission(master, client);
	}
	group->dirty = true;
}

/* The change starts again, and members wait for longer: not often. */
static void note_lost_join(struct pccl_master *master, const struct pccl_client *newcomer)
{
	bool late = !newcomer->prepared && master->now_ns >= newcomer->asked_ns + LATE_NS;

	newcomer->group->joins_lost++;
	charge_admission(master, newcomer, late ? PCCL_REST_ADMISSION : PCCL_REST_LOSS);
}

void pccl_client_lose(struct pccl_master *master, struct pccl_client *client, enum pccl_loss loss, const char *why)
{
	struct pccl_group *group = client->group;
	bool was_waiting = client->state == PCCL_CLIENT_WAITING;
	bool was_introduced = was_waiting && client->meeting_count + client->meet_tries > 0;

	if (client->state == PCCL_CLIENT_CLOSING)
		return;
	log_loss(master, client, why);
	assert(group != NULL || client->state == PCCL_CLIENT_CALLER);
	if (group != NULL) {
		leave_change(group, client);
		pccl_meet_forget(master, client);
		if (client->state == PCCL_CLIENT_SEATED)
			leave_seat(master, client, loss, why);
		if (client->admitting)
			pccl_group_note_cause(group, "a peer was lost while it joined: %s", why);
		if (client->admitting && client->asked)
			note_lost_join(master, client);
		if (loss == PCCL_LOSS_LEFT)
			note_left(master, client);
		if (loss == PCCL_LOSS_DEAD || loss == PCCL_LOSS_LEFT)
			pccl_group_note_dead(group, &client->self.uuid);
		pccl_broken_recount(master, group);
		assert(group->client_count > 0);
		group->client_count--;
		group->dirty = true;
	}
	pccl_client_set_state(master, client, PCCL_CLIENT_CLOSING);
	client->group = NULL;
	client->admitting = false;
	if (was_introduced) /* whatever it says, it may keep its links, and read what is lent */
		pccl_meet_part(master, group, client);
	if (was_waiting)
		break_bundle(master, client);
}

void pccl_client_dismiss(struct pccl_master *master, struct pccl_client *client, enum pccl_message_type type,
			 pcclResult_t result, const char *text)
{
	struct pccl_message *message = pccl_message_create(type);

	if (client->state == PCCL_CLIENT_CLOSING) {
		pccl_message_destroy(message);
		return;
	}
	if (message != NULL) {
		message->body.notice.result = result;
		pccl_text_copy(message->body.notice.text, sizeof(message->body.notice.text), text);
	}
	pccl_master_send(master, client, message);
	pccl_client_lose(master, client, PCCL_LOSS_EVICTED, text);
}

/* May the group need it for a quorum, so that it must not be told that it is out? */
static bool is_needed(const struct pccl_client *client)
{
	if (client->state == PCCL_CLIENT_RETURNED)
		return true;
	return client->state == PCCL_CLIENT_SEATED && pccl_group_needs_quorum(client->group);
}

static void give_up(struct pccl_master *master, struct pccl_client *client, const char *why)
{
	if (is_needed(client))
		pccl_client_lose(master, client, PCCL_LOSS_SILENT, why);
	else
		pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted, why);
}

/* A newcomer that is admitted does not answer PREPARE: the members do not wait any longer, and not at all for the next
 * one from there. It may be admitted later. */
static void put_off(struct pccl_master *master, struct pccl_client *client)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_UNMET);

	pccl_log_warn("master: group %u: a newcomer (%s) waits: it did not answer in time when it was to be admitted",
		      client->group->id, client->self.addresses[0].host);
	charge_admission(master, client, PCCL_REST_ADMISSION);
	if (message != NULL) {
		message->body.notice.result = pcclTimeout;
		pccl_text_copy(message->body.notice.text, sizeof(message->body.notice.text),
			       "this peer did not answer in time when it was to be admitted");
	}
	pccl_master_send(master, client, message);
}

/* When PREPARE has to be answered. Members wait for that: a newcomer has no more time than the master's own setting,
 * and one that is admitted has less. */
static uint64_t prepared_end(const struct pccl_master *master, const struct pccl_client *client)
{
	uint64_t patience_ns = client->heartbeat_timeout_ns;

	if (!client->asked || client->prepared)
		return PCCL_MASTER_NEVER;
	assert(client->group->change.epoch != 0);
	if (client->state == PCCL_CLIENT_WAITING)
		patience_ns = pccl_master_earlier(patience_ns, master->config.heartbeat_timeout_ns);
	if (client->admitting)
		patience_ns = pccl_master_earlier(patience_ns, PROMPT_NS);
	return client->asked_ns + patience_ns;
}

/* A rank of a bundle that was about to join: the others may have joined without its knowing, and it would wait
 * in vain. */
static uint64_t bundle_end(const struct pccl_master *master, const struct pccl_client *client)
{
	if (client->state != PCCL_CLIENT_WAITING || client->bundle == 0 || client->promise_count == 0 ||
	    pccl_client_eligible(client))
		return PCCL_MASTER_NEVER;
	return client->since_ns + BUNDLE_GRACES * master->config.return_grace_ns;
}

/* Else a rank that waits for the others, who may have the wrong number, would not know what for. That they are here it
 * is told at once, for it waits for something else then, and is told of that, too. */
static void tell_of_bundle(struct pccl_master *master, struct pccl_client *client, bool beats)
{
	struct pccl_message *message;
	char text[PCCL_CAUSE_TEXT_BYTES];

	if (client->state != PCCL_CLIENT_WAITING || client->bundle == 0 ||
	    client->bundle_told == client->bundle_waiting)
		return;
	if (pccl_client_eligible(client) ? client->bundle_told == 0 : !beats)
		return;
	client->bundle_told = client->bundle_waiting;
	pccl_text_format(text, sizeof(text), "%u of %u ranks of bundle %" PRIu64 " are here", client->bundle_waiting,
			 client->self.bundle_size, client->bundle);
	pccl_log_debug("master: group %u: a newcomer (%s) waits: %s", client->group->id, client->self.addresses[0].host,
		       text);
	message = pccl_message_create(PCCL_MESSAGE_UNMET);
	if (message != NULL) {
		message->body.notice.result = pcclTimeout;
		pccl_text_copy(message->body.notice.text, sizeof(message->body.notice.text), text);
	}
	pccl_master_send(master, client, message);
}

void pccl_clients_tick(struct pccl_master *master)
{
	struct pccl_client *client;
	bool beats;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state == PCCL_CLIENT_CLOSING)
			continue;
		if (client->state == PCCL_CLIENT_CALLER) {
			if (master->now_ns >= client->since_ns + REGISTER_TIMEOUT_NS)
				pccl_client_lose(master, client, PCCL_LOSS_EVICTED, "it never registered");
			continue;
		}
		beats = master->now_ns >= client->beat_ns;
		if (beats)
			pccl_master_send(master, client, pccl_message_create(PCCL_MESSAGE_BEAT));
		tell_of_bundle(master, client, beats);
		if (client->state != PCCL_CLIENT_CLOSING &&
		    master->now_ns >= client->heard_ns + client->heartbeat_timeout_ns)
			give_up(master, client, "no sign of life for the heartbeat time-out");
		if (client->state != PCCL_CLIENT_CLOSING && master->now_ns >= bundle_end(master, client))
			pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted,
					    "the other ranks of its bundle are not here any more");
		if (client->state == PCCL_CLIENT_CLOSING || master->now_ns < prepared_end(master, client))
			continue;
		if (client->admitting)
			put_off(master, client);
		else
			give_up(master, client, "no answer to a view change for the heartbeat time-out");
	}
}

void pccl_clients_forgive(struct pccl_master *master, uint64_t late_ns)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (late_ns < client->heartbeat_timeout_ns / PCCL_FORGIVEN_SHARE)
			continue;
		client->since_ns = pccl_master_earlier(client->since_ns + late_ns, master->now_ns);
		client->heard_ns = pccl_master_earlier(client->heard_ns + late_ns, master->now_ns);
		client->asked_ns = pccl_master_earlier(client->asked_ns + late_ns, master->now_ns);
		client->vote_ns = pccl_master_earlier(client->vote_ns + late_ns, master->now_ns);
	}
}

static uint64_t client_deadline(const struct pccl_master *master, const struct pccl_client *client)
{
	uint64_t deadline;

	if (client->state == PCCL_CLIENT_CLOSING)
		return PCCL_MASTER_NEVER;
	if (client->state == PCCL_CLIENT_CALLER)
		return client->since_ns + REGISTER_TIMEOUT_NS;
	deadline = client->beat_ns;
	deadline = pccl_master_earlier(deadline, client->heard_ns + client->heartbeat_timeout_ns);
	deadline = pccl_master_earlier(deadline, prepared_end(master, client));
	deadline = pccl_master_earlier(deadline, pccl_meets_deadline(master, client));
	return pccl_master_earlier(deadline, bundle_end(master, client));
}

uint64_t pccl_clients_deadline(const struct pccl_master *master)
{
	const struct pccl_client *client;
	uint64_t deadline = PCCL_MASTER_NEVER;

	for (client = master->clients; client != NULL; client = client->next)
		deadline = pccl_master_earlier(deadline, client_deadline(master, client));
	return deadline;
}

void pccl_clients_sweep(struct pccl_master *master, bool all)
{
	struct pccl_client **link = &master->clients;
	struct pccl_client *client;

	while (*link != NULL) {
		client = *link;
		if (!all && (client->state != PCCL_CLIENT_CLOSING || !client->said_farewell)) {
			link = &client->next;
			continue;
		}
		assert((all || client->group == NULL) && master->client_count > 0);
		*link = client->next;
		master->client_count--;
		unindex(master, client);
		pccl_promises_destroy(client->promises, client->promise_count);
		pccl_op_reports_destroy(client->reports, client->report_count);
		pccl_free(client->meetings);
		pccl_free(client->links_broken);
		pccl_free(client);
	}
}
