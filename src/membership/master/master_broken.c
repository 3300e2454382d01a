/*
 * Control connections that end without a word. That alone is no death: what stands between may have cut them, and who
 * comes back within a grace takes its seat again. But when the links to it have broken as well, as most of the others
 * say, its process has ended, and nobody waits. What somebody says about links holds until it says otherwise, so it
 * does not matter which of the two is heard of first.
 */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "base/uuid.h"

#define BREAKS_AT_ONCE 16	     /* of one member that are no death, */
#define BREAK_NS PCCL_SECOND_NS	     /* and then one in this time */
#define AWAY_GRACES 8		     /* so many graces it may be waited for, */
#define AWAY_SHARE 8		     /* and then this part of the time */
#define FEW 32			     /* so many are looked at anew at once, more */
#define RECOUNT_NS (10 * PCCL_MS_NS) /* once in this time */

/* ---- who is broken ------------------------------------------------------------------------------------------- */

static struct pccl_broken *find_broken(const struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	uint32_t index;

	for (index = 0; index < group->broken_count; index++) {
		if (pccl_uuid_equal(&group->broken[index].uuid, uuid))
			return &group->broken[index];
	}
	return NULL;
}

static void drop(struct pccl_group *group, struct pccl_broken *broken)
{
	assert(broken >= group->broken && broken < group->broken + group->broken_count);
	*broken = group->broken[--group->broken_count];
}

void pccl_broken_mend(struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	struct pccl_broken *broken = find_broken(group, uuid);

	if (broken != NULL)
		drop(group, broken);
}

/* ---- how often, and for how long ---------------------------------------------------------------------------- */

/* What it was waited for before, less what is forgotten meanwhile. */
static uint64_t waited(const struct pccl_master *master, struct pccl_conduct *conduct)
{
	uint64_t forgotten_ns = (master->now_ns - conduct->away_ns) / AWAY_SHARE;

	conduct->waited_ns -= pccl_master_earlier(conduct->waited_ns, forgotten_ns);
	conduct->away_ns = master->now_ns;
	return conduct->waited_ns;
}

bool pccl_absence_begin(const struct pccl_master *master, struct pccl_client *client)
{
	struct pccl_conduct *conduct = &client->conduct;
	const struct pccl_group *group = client->group;

	if (client->state == PCCL_CLIENT_SEATED && group->base->view.member_count == 1)
		return true; /* nobody waits */
	while (conduct->breaks > 0 && master->now_ns >= conduct->break_ns) {
		conduct->break_ns += BREAK_NS;
		conduct->breaks--;
	}
	if (conduct->breaks >= BREAKS_AT_ONCE ||
	    waited(master, conduct) >= AWAY_GRACES * master->config.return_grace_ns)
		return false;
	if (conduct->breaks++ == 0)
		conduct->break_ns = master->now_ns + BREAK_NS;
	return true;
}

uint64_t pccl_absence_limit(const struct pccl_master *master, struct pccl_client *client, uint64_t grace_ns)
{
	uint64_t most_ns = AWAY_GRACES * master->config.return_grace_ns;
	uint64_t waited_ns = pccl_master_earlier(waited(master, &client->conduct), most_ns);

	return master->now_ns + pccl_master_earlier(grace_ns, most_ns - waited_ns);
}

void pccl_absence_end(const struct pccl_master *master, struct pccl_conduct *conduct, uint64_t until_ns)
{
	uint64_t end_ns = pccl_master_earlier(master->now_ns, until_ns);

	assert(master->now_ns >= conduct->away_ns);
	if (conduct->away_ns == 0)
		return; /* it was never here */
	if (end_ns > conduct->away_ns)
		conduct->waited_ns += end_ns - conduct->away_ns;
	conduct->away_ns = master->now_ns;
}

/* ---- connections that end ----------------------------------------------------------------------------------- */

bool pccl_broken_note(struct pccl_master *master, struct pccl_client *client)
{
	struct pccl_group *group = client->group;
	struct pccl_broken *broken;

	if (client->state != PCCL_CLIENT_SEATED && client->state != PCCL_CLIENT_RETURNED)
		return false;
	if (group->broken_count >= PCCL_MEMBERS_MAX || !pccl_absence_begin(master, client))
		return false;
	assert(find_broken(group, &client->self.uuid) == NULL);
	broken = pccl_realloc(group->broken, (group->broken_count + 1) * sizeof(*broken));
	if (broken == NULL)
		return false;
	group->broken = broken;
	broken[group->broken_count].uuid = client->self.uuid;
	broken[group->broken_count].until_ns = pccl_absence_limit(
		master, client, pccl_master_earlier(client->heartbeat_timeout_ns, master->config.return_grace_ns));
	broken[group->broken_count].recount = true;
	group->broken_count++;
	return true;
}

uint64_t pccl_broken_until(const struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	const struct pccl_broken *broken = find_broken(group, uuid);

	assert(broken != NULL);
	return broken->until_ns;
}

/* ---- what the others say ------------------------------------------------------------------------------------- */

/* The view that a client speaks of: that which it has installed. */
static const struct pccl_view *view_of(const struct pccl_group *group, const struct pccl_client *client)
{
	uint32_t index;

	assert(client->state != PCCL_CLIENT_SEATED || group->base != NULL);
	if (client->state == PCCL_CLIENT_SEATED)
		return client->installed == group->base->view.epoch ? &group->base->view : NULL;
	for (index = 0; client->state == PCCL_CLIENT_RETURNED && index < group->claim_count; index++) {
		if (group->claims[index]->view.epoch == client->installed &&
		    pccl_uuid_equal(&group->claims[index]->run, &client->run))
			return &group->claims[index]->view;
	}
	return NULL;
}

void pccl_broken_hear(struct pccl_client *client, uint32_t epoch, const pcclRankUuid_t *uuid, bool broken)
{
	const struct pccl_view *view = view_of(client->group, client);
	struct pccl_broken *about = find_broken(client->group, uuid);
	uint32_t rank;

	if (view == NULL || epoch != view->epoch || !pccl_view_rank(view, uuid, &rank))
		return;
	if (client->links_broken == NULL)
		client->links_broken = pccl_calloc(pccl_bitmap_words(PCCL_MEMBERS_MAX), sizeof(uint64_t));
	if (client->links_broken == NULL)
		return; /* then the grace tells */
	if (client->links_epoch != epoch)
		memset(client->links_broken, 0, pccl_bitmap_words(PCCL_MEMBERS_MAX) * sizeof(uint64_t));
	client->links_epoch = epoch;
	if (broken)
		pccl_bitmap_set(client->links_broken, rank);
	else
		pccl_bitmap_clear(client->links_broken, rank);
	if (!broken || about == NULL)
		return;
	about->recount = true;
	client->group->dirty = true;
}

void pccl_broken_linked(struct pccl_client *client, uint32_t epoch)
{
	const struct pccl_view *view = view_of(client->group, client);

	if (view != NULL && view->epoch == epoch)
		client->linked_epoch = epoch;
}

void pccl_broken_recount(const struct pccl_master *master, struct pccl_group *group)
{
	if (group->broken_count == 0 || group->recount_ns != PCCL_MASTER_NEVER)
		return;
	group->recount_ns = master->now_ns + (group->broken_count > FEW ? RECOUNT_NS : 0);
	group->dirty = true;
}

/* Does it know of no link to the member? One that has not come up yet proves nothing, but that nobody has seen it. */
static bool has_no_link(const struct pccl_client *client, const struct pccl_view *view, uint32_t rank, bool late)
{
	if (late && client->linked_epoch != view->epoch)
		return true;
	return client->links_broken != NULL && client->links_epoch == view->epoch &&
	       pccl_bitmap_test(client->links_broken, rank);
}

/* Who speaks is the member of the view that is here; NULL: nobody. */
static const struct pccl_client *speaker(const struct pccl_master *master, const struct pccl_group *group,
					 const struct pccl_view *view, uint32_t rank)
{
	const struct pccl_client *client = group->base != NULL
						   ? group->seats[rank].client
						   : pccl_client_of(group, master, &view->members[rank].uuid);

	return client != NULL && view_of(group, client) == view ? client : NULL;
}

/* Are there at most two members of the view that may live? */
static bool is_pair(const struct pccl_group *group, const struct pccl_view *view)
{
	uint32_t left = 0;
	uint32_t rank;

	for (rank = 0; rank < view->member_count; rank++)
		left += group->base != NULL ? group->seats[rank].state != PCCL_SEAT_OUT
					    : !pccl_group_is_dead(group, &view->members[rank].uuid);
	return left <= 2;
}

/* More than half of those who may speak say that their links to it are broken; and never one alone, unless there is
 * nobody else who could. Of one that has not come back in time they need not have had any. */
static bool is_dead_in(const struct pccl_master *master, const struct pccl_group *group, const struct pccl_view *view,
		       const struct pccl_broken *broken)
{
	bool late = master->now_ns >= broken->until_ns;
	uint32_t agree = 0;
	uint32_t here = 0;
	uint32_t about;
	uint32_t rank;

	if (!pccl_view_rank(view, &broken->uuid, &about))
		return false;
	for (rank = 0; rank < view->member_count; rank++) {
		const struct pccl_client *client = speaker(master, group, view, rank);

		if (client == NULL || rank == about)
			continue;
		here++;
		agree += has_no_link(client, view, about, late);
	}
	return 2 * agree > here && (agree > 1 || late || is_pair(group, view));
}

static bool is_dead(const struct pccl_master *master, const struct pccl_group *group, const struct pccl_broken *broken)
{
	uint32_t index;

	if (group->base != NULL)
		return is_dead_in(master, group, &group->base->view, broken);
	for (index = 0; index < group->claim_count; index++) {
		if (is_dead_in(master, group, &group->claims[index]->view, broken))
			return true;
	}
	return false;
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

static void leave_for_good(struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	uint32_t rank;

	if (group->base == NULL || !pccl_view_rank(&group->base->view, uuid, &rank) ||
	    group->seats[rank].state != PCCL_SEAT_AWAY)
		return;
	assert(group->seats[rank].client == NULL);
	group->seats[rank].state = PCCL_SEAT_OUT;
}

void pccl_broken_evaluate(const struct pccl_master *master, struct pccl_group *group)
{
	bool recount = master->now_ns >= group->recount_ns;
	uint32_t index = 0;

	if (recount)
		group->recount_ns = PCCL_MASTER_NEVER;
	while (index < group->broken_count) {
		struct pccl_broken *broken = &group->broken[index];
		const pcclRankUuid_t uuid = broken->uuid;
		bool late = master->now_ns >= broken->until_ns;
		bool dead = (recount || broken->recount || late) && is_dead(master, group, broken);

		broken->recount = false;
		if (!dead && !late) {
			index++;
			continue;
		}
		drop(group, broken);
		if (dead)
			pccl_group_note_dead(group, &uuid);
		/* That it did not come back proves as little as silence. */
		if (dead || !pccl_group_needs_quorum(group))
			leave_for_good(group, &uuid);
	}
}

uint64_t pccl_broken_deadline(const struct pccl_group *group)
{
	uint64_t deadline = group->recount_ns;
	uint32_t index;

	for (index = 0; index < group->broken_count; index++)
		deadline = pccl_master_earlier(deadline, group->broken[index].until_ns);
	return deadline;
}

void pccl_broken_forgive(struct pccl_group *group, uint64_t late_ns)
{
	uint32_t index;
	uint32_t rank;

	for (index = 0; index < group->broken_count; index++) {
		struct pccl_broken *broken = &group->broken[index];

		broken->until_ns += late_ns;
		if (group->base != NULL && pccl_view_rank(&group->base->view, &broken->uuid, &rank) &&
		    group->seats[rank].state == PCCL_SEAT_AWAY)
			group->seats[rank].until_ns = broken->until_ns;
	}
}
