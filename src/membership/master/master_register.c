/* REGISTER: who comes, and what it is to its group. */
#include "membership/master/master_seal.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/uuid.h"

#define HEARTBEAT_SPAN 50   /* a peer may ask for so many times more heartbeats than the master's own, */
#define TIMEOUT_SPAN 20	    /* and for a time-out so many times as long */
#define TIMEOUT_INTERVALS 2 /* at least, so that one late heartbeat is no silence */
#define EPOCH_MAX UINT32_C(0xf0000000)
#define PROMISES_AHEAD_MAX 4096 /* epochs that a member's promises may be ahead of its view */

static uint64_t clamp(uint64_t wanted_ns, uint64_t least_ns, uint64_t most_ns)
{
	if (wanted_ns < least_ns)
		return least_ns;
	return wanted_ns > most_ns ? most_ns : wanted_ns;
}

/* As the peer asks, within what the master's own settings allow: others wait for it. */
static void set_heartbeats(const struct pccl_master_config *config, struct pccl_client *client,
			   const struct pccl_message_register *registration)
{
	uint64_t interval_ns = registration->heartbeat_interval_ns;
	uint64_t timeout_ns = registration->heartbeat_timeout_ns;
	uint64_t least_ns = config->heartbeat_interval_ns / HEARTBEAT_SPAN + 1;

	if (interval_ns == 0)
		interval_ns = config->heartbeat_interval_ns;
	if (timeout_ns == 0)
		timeout_ns = config->heartbeat_timeout_ns;
	timeout_ns = clamp(timeout_ns, TIMEOUT_INTERVALS * least_ns, TIMEOUT_SPAN * config->heartbeat_timeout_ns);
	client->heartbeat_timeout_ns = timeout_ns;
	client->heartbeat_interval_ns = clamp(interval_ns, least_ns, timeout_ns / TIMEOUT_INTERVALS);
}

/* Where the peer says "as you see me", it is what the master sees; but once. */
static void fill_in_remote(struct pccl_client *client)
{
	struct pccl_member *self = &client->self;
	uint8_t kept = 0;
	uint8_t i;

	for (i = 0; i < self->address_count; i++) {
		struct pccl_member_address address = self->addresses[i];
		uint8_t count = self->address_count;
		bool known;

		if (address.host[0] == '\0')
			memcpy(address.host, client->remote, sizeof(address.host));
		self->address_count = kept;
		known = pccl_member_has_address(self, address.host, address.port);
		self->address_count = count;
		if (!known)
			self->addresses[kept++] = address;
	}
	self->address_count = kept;
}

static void note_identity(struct pccl_master *master, struct pccl_client *client,
			  struct pccl_message_register *registration)
{
	assert(client->state == PCCL_CLIENT_CALLER && client->group == NULL && client->promises == NULL);
	client->self = registration->self;
	client->secret = registration->secret;
	pccl_client_index(master, client);
	fill_in_remote(client);
	set_heartbeats(&master->config, client, registration);
	client->answered = registration->answered;
	client->may_found = registration->may_found;
	client->bundle = registration->last == NULL ? registration->self.bundle_id : 0;
	client->promises = registration->promises;
	client->promise_count = registration->promise_count;
	registration->promises = NULL;
	registration->promise_count = 0;
	client->serial = ++master->serial;
	client->since_ns = master->now_ns;
}

/* The peer has come back before the end of its older connection was seen. */
static void supersede(struct pccl_master *master, const pcclRankUuid_t *uuid, const struct pccl_client *by)
{
	struct pccl_client *client;

	for (client = pccl_client_bucket(master, uuid); client != NULL; client = client->same_bucket) {
		if (client == by || client->group == NULL || !pccl_uuid_equal(&client->self.uuid, uuid))
			continue;
		if (client->state != PCCL_CLIENT_SEATED || pccl_absence_begin(master, client))
			pccl_client_lose(master, client, PCCL_LOSS_AWAY, "came back by another connection");
		else
			pccl_client_lose(master, client, PCCL_LOSS_EVICTED, "it came back again and again");
	}
}

static void welcome(struct pccl_master *master, struct pccl_client *client, bool registered)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_WELCOME);

	if (message != NULL) {
		message->body.welcome.master = master->config.uuid;
		memcpy(message->body.welcome.address, client->remote, sizeof(client->remote));
		message->body.welcome.registered = registered;
	}
	pccl_master_send(master, client, message);
}

static void evict(struct pccl_master *master, struct pccl_client *client, const char *why)
{
	char text[PCCL_CAUSE_TEXT_BYTES];

	pccl_text_format(text, sizeof(text), "group %u went on without this peer: %s", client->group->id, why);
	pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted, text);
}

/* A lone founder gives way to the members of an earlier run, and waits for their consent like any newcomer. */
static void yield_to_return(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client *founder = group->seats[0].client;

	assert(group->base != NULL && group->base->lone);
	pccl_group_drop_change(group, master);
	if (founder != NULL) {
		founder->bundle = 0; /* the other ranks have joined already */
		pccl_client_set_state(master, founder, PCCL_CLIENT_WAITING);
	}
	pccl_group_drop_base(group);
}

/* A member of the run that the group is at. */
static void take_seat(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client)
{
	uint32_t rank;

	assert(group->base != NULL && client->state == PCCL_CLIENT_WAITING);
	if (!pccl_view_rank(&group->base->view, &client->self.uuid, &rank)) {
		evict(master, client, group->base->cause);
		return;
	}
	if (group->seats[rank].state == PCCL_SEAT_OUT) {
		evict(master, client, group->seats[rank].why);
		return;
	}
	if (client->installed != 0 && client->installed != group->base->view.epoch &&
	    client->installed != group->base->previous_epoch) {
		evict(master, client, "it missed a view change");
		return;
	}
	client->conduct = group->seats[rank].conduct;
	if (group->seats[rank].state == PCCL_SEAT_AWAY)
		pccl_absence_end(master, &client->conduct, group->seats[rank].until_ns);
	pccl_complaints_renew(group, &client->self.uuid);
	pccl_group_seat(master, group, client, rank);
	if (client->installed != group->base->view.epoch || client->promise_count > 0)
		group->flush_due = true;
	pccl_vote_learn(group, client);
}

/* Does the group know of no other run? */
static bool is_only_run(const struct pccl_group *group, const pcclRankUuid_t *run)
{
	uint32_t index;

	for (index = 0; index < group->claim_count; index++) {
		if (!pccl_uuid_equal(&group->claims[index]->run, run))
			return false;
	}
	return group->base == NULL || pccl_uuid_equal(&group->base->run, run);
}

static const struct pccl_left *find_left(const struct pccl_master *master, const pcclRankUuid_t *uuid)
{
	uint32_t count = master->left_count < PCCL_LEFT_MAX ? master->left_count : PCCL_LEFT_MAX;
	uint32_t index;

	for (index = 0; index < count; index++) {
		if (pccl_uuid_equal(&master->left[index].uuid, uuid))
			return &master->left[index];
	}
	return NULL;
}

/* Members of its view that have left will not come back, though the group may be forgotten: if they left from a later
 * view, they had gone on without this peer, and true is returned. */
static bool learn_who_left(const struct pccl_master *master, struct pccl_group *group, const struct pccl_view *view)
{
	uint32_t rank;

	for (rank = 0; rank < view->member_count; rank++) {
		const struct pccl_left *left = find_left(master, &view->members[rank].uuid);

		if (left == NULL)
			continue;
		if (left->epoch > view->epoch)
			return true;
		pccl_group_note_dead(group, &left->uuid);
	}
	return false;
}

static bool has_ended(const struct pccl_master *master, const pcclRankUuid_t *run)
{
	uint32_t count = master->past_run_count < PCCL_PAST_RUNS_MAX ? master->past_run_count : PCCL_PAST_RUNS_MAX;
	uint32_t index;

	for (index = 0; index < count; index++) {
		if (pccl_uuid_equal(&master->past_runs[index], run))
			return true;
	}
	return false;
}

/* Are most of the members of one view in a later one? */
static bool has_most(const struct pccl_view *later, const struct pccl_view *view)
{
	uint32_t rank, at, count = 0;

	for (rank = 0; rank < view->member_count; rank++)
		count += pccl_view_rank(later, &view->members[rank].uuid, &at);
	return 2 * count > view->member_count;
}

static void on_return(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client,
		      struct pccl_message_register *registration)
{
	const struct pccl_install *last = registration->last;

	client->run = last->run;
	client->installed = last->view.epoch;
	if (has_ended(master, &last->run)) {
		evict(master, client, "its run has ended here");
		return;
	}
	if (group->base == NULL && learn_who_left(master, group, &last->view)) {
		evict(master, client, "it has ended since");
		return;
	}
	if (last->lone && !is_only_run(group, &last->run)) {
		if (last->view.epoch <= PCCL_EPOCH_HEARSAY_MAX)
			pccl_group_raise_epoch(group, last->view.epoch);
		return; /* waits like a newcomer */
	}
	if (group->base != NULL && !pccl_uuid_equal(&group->base->run, &last->run)) {
		if (!group->base->lone) {
			evict(master, client, "the master came back and others founded the group anew");
			return;
		}
		yield_to_return(master, group);
	}
	if (group->base != NULL && last->view.epoch > group->base->view.epoch) {
		/* It would need a majority of the members here, who would have promised it. But what is signed was in
		 * force: if it has that majority, they have come with a view that they had before. */
		if (pccl_promises_none(group) &&
		    (master->config.sealer == NULL || !has_most(&last->view, &group->base->view))) {
			evict(master, client, "the later view that it claims can't be");
			return;
		}
		pccl_return_dissolve(master, group);
	}
	if (group->base != NULL)
		take_seat(master, group, client);
	else
		pccl_return_claim(master, group, client, &registration->last);
}

/* Fresh, but perhaps named in a view whose install it did not get. */
static void on_fresh(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client)
{
	uint32_t rank;

	if (group->base != NULL && pccl_view_rank(&group->base->view, &client->self.uuid, &rank))
		take_seat(master, group, client);
}

/* Epochs only grow, so that one who claims the last would end the group. */
static bool has_sane_epochs(const struct pccl_message_register *registration)
{
	uint32_t limit = EPOCH_MAX;
	uint32_t index;

	if (registration->last != NULL && registration->last->view.epoch > EPOCH_MAX)
		return false;
	if (registration->last != NULL && !registration->last->lone)
		limit = registration->last->view.epoch + PROMISES_AHEAD_MAX;
	for (index = 0; index < registration->promise_count; index++) {
		if (registration->promises[index].epoch > limit)
			return false;
	}
	return true;
}

/* Newcomers look for an established group at all masters before they found one, or join a founder that is alone. */
static bool is_established(const struct pccl_group *group)
{
	return group != NULL && (group->claim_count > 0 || (group->base != NULL && !group->base->lone));
}

/* Somebody is there to be joined by it. */
static bool is_known(const struct pccl_group *group, const struct pccl_message_register *registration)
{
	return is_established(group) || (registration->may_join && group != NULL && group->base != NULL);
}

static struct pccl_group *group_for(struct pccl_master *master, const struct pccl_message_register *registration)
{
	struct pccl_group *group = pccl_group_find(master, registration->group);

	return group != NULL ? group : pccl_group_create(master, registration->group);
}

/* The bundle would be whole for one rank, and not for another. Who was first is believed, as long as it waits. */
static bool fits_bundle(struct pccl_master *master, struct pccl_client *by,
			const struct pccl_message_register *registration)
{
	const struct pccl_member *self = &registration->self;
	const struct pccl_client *client;
	char text[PCCL_CAUSE_TEXT_BYTES];

	if (registration->last != NULL || self->bundle_id == 0)
		return true;
	master->effort += master->client_count;
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state != PCCL_CLIENT_WAITING || client->bundle != self->bundle_id ||
		    client->self.bundle_size == self->bundle_size)
			continue;
		pccl_text_format(text, sizeof(text),
				 "bundle %" PRIu64 " has %u ranks for this peer, and %u for the one at %s, which waits",
				 self->bundle_id, self->bundle_size, client->self.bundle_size,
				 client->self.addresses[0].host);
		pccl_client_dismiss(master, by, PCCL_MESSAGE_REFUSED, pcclMasterConnectionFailed, text);
		return false;
	}
	return true;
}

void pccl_master_on_register(struct pccl_master *master, struct pccl_client *client, struct pccl_message *message)
{
	struct pccl_message_register *registration = &message->body.registration;
	struct pccl_group *group;
	uint32_t rank;

	if (client->state != PCCL_CLIENT_CALLER) {
		pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted, "this peer registered twice");
		return;
	}
	if (!has_sane_epochs(registration) ||
	    (registration->last != NULL &&
	     !pccl_view_rank(&registration->last->view, &registration->self.uuid, &rank))) {
		pccl_client_dismiss(master, client, PCCL_MESSAGE_REFUSED, pcclMasterConnectionFailed,
				    "this peer claims a view that it can't have");
		return;
	}
	if (!pccl_identity_owns(&registration->secret, &registration->self.uuid)) {
		pccl_client_dismiss(master, client, PCCL_MESSAGE_REFUSED, pcclMasterConnectionFailed,
				    "this peer can't show the secret of the uuid that it calls its own");
		return;
	}
	if (!pccl_seals_check(master, client, registration))
		return;
	if (registration->last == NULL && registration->promise_count == 0 && !registration->may_found &&
	    !is_known(pccl_group_find(master, registration->group), registration)) {
		welcome(master, client, false);
		return;
	}
	if (!fits_bundle(master, client, registration) || !pccl_door_admit(master, client, registration))
		return;
	group = group_for(master, registration);
	if (group == NULL || group->client_count >= PCCL_MEMBERS_MAX) {
		pccl_client_dismiss(master, client, PCCL_MESSAGE_REFUSED, pcclMasterConnectionFailed,
				    "the master has no room for another peer in this group");
		return;
	}
	supersede(master, &registration->self.uuid, client);
	pccl_broken_mend(group, &registration->self.uuid);
	note_identity(master, client, registration);
	client->group = group;
	group->client_count++;
	group->dirty = true;
	welcome(master, client, true);
	if (client->state == PCCL_CLIENT_CLOSING)
		return;
	pccl_client_set_state(master, client, PCCL_CLIENT_WAITING);
	if (registration->last != NULL)
		on_return(master, group, client, registration);
	else
		on_fresh(master, group, client);
	if (client->state != PCCL_CLIENT_CLOSING && pccl_group_learn_promises(master, group, client) != pcclSuccess)
		pccl_client_dismiss(master, client, PCCL_MESSAGE_REFUSED, pcclMasterConnectionFailed,
				    "the master has no room for this peer's promises");
}
