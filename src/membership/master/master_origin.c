/*
 * What newcomers cost the members, by where they come from, for a newcomer can have another name each time that it
 * comes:
 *	- they make members wait: by not answering PREPARE, or by not being reached while an update waits for that. The
 *	  next ones from there are not waited for, or not admitted, for a time that doubles
 *	- they make members dial: each introduction of one that names addresses which are not its own counts, unless it
 *	  was reached before anybody would dial it. There may be some at once, and then one now and then
 */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/time.h"

#define REST_FIRST_NS PCCL_SECOND_NS	      /* for the first time, */
#define REST_DOUBLINGS 6		      /* and so much longer for later ones: to 64 s */
#define REST_MEMORY_NS (300 * PCCL_SECOND_NS) /* after so long without another one it begins anew */
#define MEETS_AT_ONCE 32		      /* introductions with foreign addresses, */
#define MEET_NS (8 * PCCL_SECOND_NS)	      /* and then one in this time */

/* So often it may happen before that: some are slow. */
static const uint32_t forgiven[PCCL_REST_KINDS] = {
	[PCCL_REST_ADMISSION] = 0, [PCCL_REST_LOSS] = 4, [PCCL_REST_HOLD] = 4};

static struct pccl_origin *find(struct pccl_master *master, uint64_t origin)
{
	uint32_t index;

	for (index = 0; index < master->origin_count; index++) {
		if (master->origins[index].origin == origin)
			return &master->origins[index];
	}
	return NULL;
}

/* Of many the one that was quiet for longest is forgotten. */
static struct pccl_origin *find_or_add(struct pccl_master *master, uint64_t origin)
{
	struct pccl_origin *found = find(master, origin);
	uint32_t index;

	if (found != NULL) {
		found->used_ns = master->now_ns;
		return found;
	}
	if (master->origin_count < PCCL_ORIGINS_MAX)
		master->origin_count++;
	found = &master->origins[master->origin_count - 1];
	for (index = 0; index < master->origin_count; index++) {
		if (master->origins[index].used_ns < found->used_ns)
			found = &master->origins[index];
	}
	memset(found, 0, sizeof(*found));
	found->origin = origin;
	found->used_ns = master->now_ns;
	return found;
}

/* ---- who is waited for --------------------------------------------------------------------------------------- */

void pccl_origin_charge(struct pccl_master *master, const struct pccl_client *newcomer, enum pccl_rest_kind kind)
{
	struct pccl_rest *rest = &find_or_add(master, newcomer->origin)->rests[kind];
	uint32_t doublings;

	if (master->now_ns < rest->until_ns)
		return; /* several at once are one */
	if (master->now_ns >= rest->charged_ns + REST_MEMORY_NS)
		rest->count = 0;
	rest->charged_ns = master->now_ns;
	if (rest->count++ < forgiven[kind])
		return;
	doublings = rest->count - forgiven[kind] - 1;
	rest->until_ns = master->now_ns + (REST_FIRST_NS << (doublings < REST_DOUBLINGS ? doublings : REST_DOUBLINGS));
	rest->awaited = true;
}

bool pccl_origin_rests(const struct pccl_master *master, const struct pccl_client *newcomer, enum pccl_rest_kind kind)
{
	uint32_t index;

	for (index = 0; index < master->origin_count; index++) {
		if (master->origins[index].origin == newcomer->origin)
			return master->now_ns < master->origins[index].rests[kind].until_ns;
	}
	return false;
}

/* ---- who is dialled ------------------------------------------------------------------------------------------ */

static bool names_others(const struct pccl_client *newcomer)
{
	uint32_t index;

	for (index = 0; index < newcomer->self.address_count; index++) {
		if (strcmp(newcomer->self.addresses[index].host, newcomer->remote) != 0)
			return true;
	}
	return false;
}

bool pccl_origin_may_meet(struct pccl_master *master, const struct pccl_client *newcomer)
{
	struct pccl_origin *origin = find(master, newcomer->origin);

	if (origin == NULL || !names_others(newcomer))
		return true;
	while (origin->meets > 0 && master->now_ns >= origin->meets_ns) {
		origin->meets_ns += MEET_NS;
		origin->meets--;
	}
	origin->meets_awaited = origin->meets >= MEETS_AT_ONCE;
	return !origin->meets_awaited;
}

void pccl_origin_meets(struct pccl_master *master, const struct pccl_client *newcomer)
{
	struct pccl_origin *origin;

	if (!names_others(newcomer))
		return;
	origin = find_or_add(master, newcomer->origin);
	if (origin->meets++ == 0)
		origin->meets_ns = master->now_ns + MEET_NS;
}

void pccl_origin_met_undialled(struct pccl_master *master, const struct pccl_client *newcomer)
{
	struct pccl_origin *origin = find(master, newcomer->origin);

	if (origin != NULL && names_others(newcomer) && origin->meets > 0)
		origin->meets--;
}

/* ---- time ---------------------------------------------------------------------------------------------------- */

static void wake(const struct pccl_master *master, uint64_t origin)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state == PCCL_CLIENT_WAITING && client->origin == origin)
			client->group->meets_due = client->group->dirty = true;
	}
}

void pccl_origins_tick(struct pccl_master *master)
{
	uint32_t index, kind;

	for (index = 0; index < master->origin_count; index++) {
		struct pccl_origin *origin = &master->origins[index];
		bool over = origin->meets_awaited && master->now_ns >= origin->meets_ns;

		if (over)
			origin->meets_awaited = false;
		for (kind = 0; kind < PCCL_REST_KINDS; kind++) {
			struct pccl_rest *rest = &origin->rests[kind];

			if (!rest->awaited || master->now_ns < rest->until_ns)
				continue;
			rest->awaited = false;
			over = true;
		}
		if (over)
			wake(master, origin->origin);
	}
}

uint64_t pccl_origins_deadline(const struct pccl_master *master)
{
	uint64_t deadline = PCCL_MASTER_NEVER;
	uint32_t index, kind;

	for (index = 0; index < master->origin_count; index++) {
		const struct pccl_origin *origin = &master->origins[index];

		if (origin->meets_awaited)
			deadline = pccl_master_earlier(deadline, origin->meets_ns);
		for (kind = 0; kind < PCCL_REST_KINDS; kind++) {
			if (origin->rests[kind].awaited)
				deadline = pccl_master_earlier(deadline, origin->rests[kind].until_ns);
		}
	}
	return deadline;
}
