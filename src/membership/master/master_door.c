/*
 * Who may stay at the master, and how much it keeps of them: by what they are, and by where they come from, for that is
 * all that a stranger can't choose freely. Who has a seat in a group of several needs no room here.
 */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/rng.h"

#define CALLERS_MAX 256		    /* that have not registered yet, */
#define CALLERS_OF_ORIGIN_MAX 128   /* and of those from one origin */
#define RETURNERS_ROOM 1024	    /* of PCCL_CLIENTS_MAX, that only those have who come with a view */
#define LARGE_BYTES_MAX (64u << 20) /* that strangers may have announced at a time, */
#define LARGE_BYTES_OF_ORIGIN_MAX (16u << 20)
#define BUCKETS 1024

typedef bool (*client_kind)(const struct pccl_client *client);

static bool is_caller(const struct pccl_client *client)
{
	return client->state == PCCL_CLIENT_CALLER;
}

/* Is here with others' consent. */
static bool is_member(const struct pccl_client *client)
{
	return client->state == PCCL_CLIENT_SEATED && !client->group->base->lone;
}

static bool is_guest(const struct pccl_client *client)
{
	return client->group != NULL && !is_member(client);
}

static bool has_registered(const struct pccl_client *client)
{
	return client->group != NULL;
}

static uint32_t count(const struct pccl_master *master, client_kind kind)
{
	const struct pccl_client *client;
	uint32_t sum = 0;

	for (client = master->clients; client != NULL; client = client->next)
		sum += kind(client);
	return sum;
}

/* How many of a kind there are by origin. Origins that share a bucket count as one: nobody can tell which do. */
struct tally {
	uint64_t salt;
	uint32_t counts[BUCKETS];
};

static uint32_t *tally_of(struct tally *tally, uint64_t origin)
{
	return &tally->counts[pccl_rng_hash(tally->salt, origin) % BUCKETS];
}

static void take_tally(const struct pccl_master *master, client_kind kind, struct tally *tally_out)
{
	const struct pccl_client *client;

	memset(tally_out, 0, sizeof(*tally_out));
	memcpy(&tally_out->salt, master->config.uuid.data, sizeof(tally_out->salt));
	for (client = master->clients; client != NULL; client = client->next)
		*tally_of(tally_out, client->origin) += kind(client);
}

/* Of the origin that has most of the kind, the one that came first, or last. NULL: none has more than `least`. */
static struct pccl_client *one_of_most(const struct pccl_master *master, client_kind kind, uint32_t least, bool first,
				       struct tally *tally)
{
	struct pccl_client *client;
	struct pccl_client *found = NULL;

	for (client = master->clients; client != NULL; client = client->next) {
		uint32_t here = *tally_of(tally, client->origin);

		if (!kind(client) || here <= least)
			continue;
		if (found == NULL || here > *tally_of(tally, found->origin) ||
		    (here == *tally_of(tally, found->origin) && (client->connection < found->connection) == first))
			found = client;
	}
	return found;
}

void pccl_door_enter(struct pccl_master *master, const struct pccl_client *caller)
{
	struct pccl_client *leaver = NULL;
	struct pccl_client *client;
	struct tally tally;

	assert(is_caller(caller));
	take_tally(master, is_caller, &tally);
	if (*tally_of(&tally, caller->origin) > CALLERS_OF_ORIGIN_MAX) {
		for (client = master->clients; client != NULL; client = client->next) {
			if (is_caller(client) && tally_of(&tally, client->origin) == tally_of(&tally, caller->origin) &&
			    (leaver == NULL || client->connection < leaver->connection))
				leaver = client;
		}
	} else if (count(master, is_caller) > CALLERS_MAX) {
		leaver = one_of_most(master, is_caller, 0, true, &tally);
	}
	if (leaver != NULL)
		pccl_client_lose(master, leaver, PCCL_LOSS_EVICTED,
				 "too many callers have not registered; it was the first of those from its address");
}

/* Members know that they were, so that a returner that had to go tries again. */
static void send_away(struct pccl_master *master, struct pccl_client *client, bool returns)
{
	if (returns)
		pccl_client_lose(master, client, PCCL_LOSS_SILENT, "the master has no room for more who return");
	else
		pccl_client_dismiss(master, client, PCCL_MESSAGE_REFUSED, pcclMasterConnectionFailed,
				    "the master has no room for more peers");
}

bool pccl_door_admit(struct pccl_master *master, struct pccl_client *caller,
		     const struct pccl_message_register *registration)
{
	const struct pccl_group *group = pccl_group_find(master, registration->group);
	bool returns = registration->last != NULL;
	struct pccl_client *leaver;
	struct tally tally;
	uint32_t rank;

	assert(is_caller(caller));
	if (group != NULL && group->base != NULL && !group->base->lone &&
	    pccl_view_rank(&group->base->view, &registration->self.uuid, &rank))
		return true;
	if (count(master, has_registered) < PCCL_CLIENTS_MAX - (returns ? 0 : RETURNERS_ROOM))
		return true;
	take_tally(master, is_guest, &tally);
	leaver = one_of_most(master, is_guest, *tally_of(&tally, caller->origin) + 1, false, &tally);
	if (leaver == NULL) {
		send_away(master, caller, returns);
		return false;
	}
	send_away(master, leaver, leaver->state == PCCL_CLIENT_RETURNED);
	return true;
}

pcclResult_t pccl_master_expect(struct pccl_master *master, uint64_t connection, uint32_t bytes)
{
	struct pccl_client *client = pccl_client_find(master, connection);
	const struct pccl_client *other;
	uint64_t all = bytes;
	uint64_t of_origin = bytes;

	if (bytes <= PCCL_MASTER_SMALL_BYTES || client == NULL || client->state == PCCL_CLIENT_CLOSING)
		return pcclSuccess;
	if (is_member(client) && client->answers_due > 0)
		return pcclSuccess;
	client->large_bytes = 0;
	for (other = master->clients; other != NULL; other = other->next) {
		all += other->large_bytes;
		of_origin += other->origin == client->origin ? other->large_bytes : 0;
	}
	if (of_origin > LARGE_BYTES_OF_ORIGIN_MAX || all > LARGE_BYTES_MAX)
		return pccl_fail(pcclMasterConnectionFailed,
				 "a message of %u bytes of a peer that is no member: too much of that is under way%s",
				 bytes, all > LARGE_BYTES_MAX ? "" : " from its address");
	client->large_bytes = bytes;
	return pcclSuccess;
}
