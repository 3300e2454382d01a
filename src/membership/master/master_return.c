/*
 * Rebuilding a group from the members that come back to a new master, or to one that others acted without. Each
 * claims the view that it has installed. The master takes the highest claim that a majority can go on from,
 * gives the rest of that view's members a grace to come back too, hands the install to those who missed it, and
 * goes on from there: without a view change if everybody is back and nobody is frozen.
 */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/uuid.h"

static bool same_claim(const struct pccl_install *left, const struct pccl_install *right)
{
	return left->view.epoch == right->view.epoch && pccl_uuid_equal(&left->run, &right->run);
}

static bool has_claim(const struct pccl_group *group, const struct pccl_install *install)
{
	uint32_t index;

	for (index = 0; index < group->claim_count; index++) {
		if (same_claim(group->claims[index], install))
			return true;
	}
	return false;
}

/* Keeps claims with the highest epoch first. Takes the install. */
static void insert_claim(struct pccl_group *group, struct pccl_install *install)
{
	uint32_t index = group->claim_count++;

	assert(index < PCCL_CLAIMS_MAX);
	for (; index > 0 && group->claims[index - 1]->view.epoch < install->view.epoch; index--)
		group->claims[index] = group->claims[index - 1];
	group->claims[index] = install;
}

/* A view change that was on its way counts no more, and nobody is admitted by it. */
static void call_off_change(struct pccl_master *master, struct pccl_group *group)
{
	pccl_group_drop_change(group, master);
	pccl_admission_call_off(master, group);
}

/* ---- too many different claims ------------------------------------------------------------------------------- */

/* A claim, or the one that comes, with what speaks for it. Members of one host claim one view, or two; who makes up
 * views has few hosts for many. */
struct standing {
	uint32_t spread; /* the fewest different claims that the origin of one of its claimants makes */
	uint32_t claimants;
	uint64_t since_ns; /* of the one that has been here longest */
};

static uint32_t claim_of(const struct pccl_group *group, const struct pccl_client *client)
{
	uint32_t index;

	for (index = 0; index < group->claim_count; index++) {
		if (group->claims[index]->view.epoch == client->installed &&
		    pccl_uuid_equal(&group->claims[index]->run, &client->run))
			break;
	}
	return index; /* claim_count: of the one that comes */
}

/* How many different claims come from where the client does; its own counts. */
static uint32_t claims_from(const struct pccl_master *master, const struct pccl_group *group,
			    const struct pccl_client *client)
{
	const struct pccl_client *other;
	uint64_t claims = UINT64_C(1) << claim_of(group, client);

	for (other = master->clients; other != NULL; other = other->next) {
		if (other->group == group && other->state == PCCL_CLIENT_RETURNED && other->origin == client->origin)
			claims |= UINT64_C(1) << claim_of(group, other);
	}
	return (uint32_t)__builtin_popcountll(claims);
}

static void add_claimant(const struct pccl_master *master, const struct pccl_group *group,
			 const struct pccl_client *client, struct standing *standing)
{
	uint32_t spread = claims_from(master, group, client);

	if (standing->claimants == 0 || spread < standing->spread)
		standing->spread = spread;
	if (standing->claimants == 0 || client->since_ns < standing->since_ns)
		standing->since_ns = client->since_ns;
	standing->claimants++;
}

static bool is_weaker(const struct standing *left, const struct standing *right)
{
	if (left->claimants == 0 || right->claimants == 0)
		return left->claimants < right->claimants;
	if (left->spread != right->spread)
		return left->spread > right->spread;
	if (left->claimants != right->claimants)
		return left->claimants < right->claimants;
	return left->since_ns < right->since_ns;
}

/* Those who claim it may come back with it. That is as if they had not come yet: whoever else promised that view tells
 * of it. */
static void drop_claim(struct pccl_master *master, struct pccl_group *group, uint32_t dropped)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->state == PCCL_CLIENT_RETURNED &&
		    claim_of(group, client) == dropped)
			pccl_client_lose(master, client, PCCL_LOSS_SILENT,
					 "too many different views are claimed, and this one by too few");
	}
	pccl_group_drop_claim(group, dropped);
}

/* Room for the client's claim, where the weakest one was. False: it is that itself. */
static bool make_room(struct pccl_master *master, struct pccl_group *group, const struct pccl_client *comer)
{
	struct standing standings[PCCL_CLAIMS_MAX + 1] = {{0}};
	const struct pccl_client *client;
	uint32_t weakest = 0;
	uint32_t index;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client == comer || (client->group == group && client->state == PCCL_CLIENT_RETURNED))
			add_claimant(master, group, client, &standings[claim_of(group, client)]);
	}
	for (index = 1; index <= PCCL_CLAIMS_MAX; index++) {
		if (is_weaker(&standings[index], &standings[weakest]))
			weakest = index;
	}
	if (weakest == PCCL_CLAIMS_MAX)
		return false;
	drop_claim(master, group, weakest);
	return true;
}

void pccl_return_claim(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client,
		       struct pccl_install **install)
{
	assert(group->base == NULL && client->state == PCCL_CLIENT_WAITING);
	if (!has_claim(group, *install)) {
		if (group->claim_count == PCCL_CLAIMS_MAX && !make_room(master, group, client)) {
			pccl_client_lose(master, client, PCCL_LOSS_SILENT,
					 "too many different views are claimed, and this one by too few");
			return;
		}
		call_off_change(master, group);
		insert_claim(group, *install);
		*install = NULL;
	}
	pccl_client_set_state(master, client, PCCL_CLIENT_RETURNED);
	group->dirty = true;
}

/* ---- a view that others went on from ------------------------------------------------------------------------- */

/* Somebody came with a later view: this master's view is but one more claim. */
void pccl_return_dissolve(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client *client;
	struct pccl_install *base = group->base;

	assert(base != NULL && group->claim_count == 0);
	pccl_log_warn("master: group %u went on at another master", group->id);
	call_off_change(master, group);
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->state == PCCL_CLIENT_SEATED)
			pccl_client_set_state(master, client,
					      client->installed != 0 ? PCCL_CLIENT_RETURNED : PCCL_CLIENT_WAITING);
	}
	group->base = NULL;
	insert_claim(group, base);
	pccl_group_drop_base(group);
}

/* May this client be a member of the claimed view, once it has been told? */
static bool can_follow(const struct pccl_client *client, const struct pccl_install *claim)
{
	if (client->state == PCCL_CLIENT_WAITING)
		return client->installed == 0;
	return client->state == PCCL_CLIENT_RETURNED && pccl_uuid_equal(&client->run, &claim->run) &&
	       (client->installed == claim->view.epoch || client->installed == claim->previous_epoch);
}

/* Those who are here for a claim, at their ranks; NULL where nobody is. NULL: out of memory. */
static struct pccl_client **gather(const struct pccl_master *master, const struct pccl_group *group,
				   const struct pccl_install *claim, uint32_t *here_out)
{
	struct pccl_client **here = pccl_calloc(claim->view.member_count, sizeof(*here));
	uint32_t rank;

	*here_out = 0;
	for (rank = 0; here != NULL && rank < claim->view.member_count; rank++) {
		struct pccl_client *client = pccl_client_of(group, master, &claim->view.members[rank].uuid);

		if (client == NULL || !can_follow(client, claim))
			continue;
		here[rank] = client;
		(*here_out)++;
	}
	return here;
}

/* Witnesses count for promises: all newcomers that are named in one will be asked too. */
static bool promises_hold(const struct pccl_master *master, const struct pccl_group *group,
			  const struct pccl_install *claim, struct pccl_client **here)
{
	struct pccl_client **all;
	struct pccl_client *client;
	uint32_t count = claim->view.member_count;
	bool hold;

	all = pccl_calloc((size_t)count + master->client_count, sizeof(*all));
	if (all == NULL)
		return false;
	memcpy(all, here, count * sizeof(*all));
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->state == PCCL_CLIENT_WAITING)
			all[count++] = client;
	}
	hold = pccl_quorum_of_promises(group, &claim->run, claim->view.epoch, all, count);
	pccl_free(all);
	return hold;
}

static bool can_act(const struct pccl_master *master, const struct pccl_group *group, const struct pccl_install *claim,
		    struct pccl_client **here)
{
	uint32_t count = claim->view.member_count;
	uint32_t index;

	if (!pccl_quorum_of_view(group, &claim->view, here, count))
		return false;
	/* A later claim must not be able to go on: a majority of its members has to be here, without it. */
	for (index = 0; index < group->claim_count; index++) {
		const struct pccl_install *other = group->claims[index];

		if (other->view.epoch > claim->view.epoch && pccl_uuid_equal(&other->run, &claim->run) &&
		    !pccl_quorum_of_view(group, &other->view, here, count))
			return false;
	}
	return promises_hold(master, group, claim, here);
}

pcclResult_t pccl_return_remember(struct pccl_group *group, const struct pccl_install *claim)
{
	struct pccl_promise promise = {
		.run = claim->run, .epoch = claim->view.epoch, .member_count = claim->view.member_count};
	pcclResult_t result;
	uint32_t rank;

	promise.members = pccl_calloc(promise.member_count, sizeof(*promise.members));
	if (promise.members == NULL)
		return pcclOutOfMemory;
	for (rank = 0; rank < promise.member_count; rank++)
		promise.members[rank] = claim->view.members[rank].uuid;
	result = pccl_group_add_promise(group, &promise, true);
	pccl_free(promise.members);
	return result;
}

/* A promise up to the chosen view has become pointless. */
static void prune_promises(struct pccl_group *group, const struct pccl_install *base)
{
	uint32_t index = 0;

	while (index < group->promise_count) {
		if (group->promises[index].epoch > base->view.epoch && pccl_promise_counts(group, index, &base->run))
			pccl_group_raise_epoch(group, group->promises[index++].epoch);
		else
			pccl_group_drop_promise(group, index);
	}
}

static void seat_all(struct pccl_master *master, struct pccl_group *group, struct pccl_client **here)
{
	uint32_t rank;

	assert(group->base != NULL && group->change.epoch == 0);
	group->answer.origin = group->base->newcomers ? group->base->view.epoch : 0;
	group->members_most = group->base->newcomers ? group->base->view.member_count : 0;
	for (rank = 0; rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = here[rank];

		if (client == NULL) {
			(void)snprintf(group->seats[rank].why, sizeof(group->seats[rank].why),
				       "it did not come back to the master in time");
			group->flush_due = true;
			continue;
		}
		pccl_group_seat(master, group, client, rank);
		if (client->installed != group->base->view.epoch || client->promise_count > 0)
			group->flush_due = true;
		pccl_vote_learn(group, client);
	}
}

static void evict_others(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->state == PCCL_CLIENT_RETURNED)
			pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted,
					    "the members that came back went on from a view without this peer");
	}
}

/* Goes on from a claim. */
static void act(struct pccl_master *master, struct pccl_group *group, uint32_t chosen, struct pccl_client **here)
{
	struct pccl_install *base = group->claims[chosen];
	struct pccl_seat *seats = pccl_calloc(base->view.member_count, sizeof(*seats));
	uint32_t index;

	assert(chosen < group->claim_count && group->base == NULL);
	/* The views that the chosen one passes over are promises from now on. */
	for (index = 0; seats != NULL && index < chosen; index++) {
		if (pccl_uuid_equal(&group->claims[index]->run, &base->run) &&
		    pccl_return_remember(group, group->claims[index]) != pcclSuccess)
			break;
	}
	pccl_group_raise_epoch(group, base->view.epoch);
	if (seats == NULL || index < chosen) {
		pccl_free(seats);
		pccl_group_retry(master, group);
		return;
	}
	for (index = chosen; index + 1 < group->claim_count; index++)
		group->claims[index] = group->claims[index + 1];
	group->claim_count--;
	pccl_group_drop_claims(group);
	prune_promises(group, base);
	pccl_group_set_base(master, group, base, seats);
	group->epoch_top++; /* a stride past what an earlier master may have begun unheard */
	group->tenure_epoch = group->epoch_top;
	seat_all(master, group, here);
	if (group->promise_count > 0)
		group->flush_due = true;
	pccl_log_info("master: group %u is back at epoch %u%s", group->id, base->view.epoch,
		      group->flush_due ? ", with a view change to come" : "");
	evict_others(master, group);
	pccl_group_unstall(group);
	group->dirty = true;
}

static bool is_whole(const struct pccl_group *group, const struct pccl_install *claim, struct pccl_client **here)
{
	uint32_t rank;

	for (rank = 0; rank < claim->view.member_count; rank++) {
		if (here[rank] == NULL && !pccl_group_is_dead(group, &claim->view.members[rank].uuid))
			return false;
	}
	return true;
}

static bool has_claimant(const struct pccl_master *master, const struct pccl_group *group)
{
	const struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->state == PCCL_CLIENT_RETURNED)
			return true;
	}
	return false;
}

/* A majority is back: waits for the rest, from the first time on. */
static void wait_or_act(struct pccl_master *master, struct pccl_group *group, uint32_t chosen,
			struct pccl_client **here)
{
	const struct pccl_install *claim = group->claims[chosen];

	pccl_group_unstall(group);
	if (group->majority_ns == PCCL_MASTER_NEVER || group->majority_epoch != claim->view.epoch) {
		group->majority_epoch = claim->view.epoch;
		group->majority_ns = master->now_ns + master->config.return_grace_ns;
	}
	if (is_whole(group, claim, here) || master->now_ns >= group->majority_ns)
		act(master, group, chosen, here);
}

void pccl_return_evaluate(struct pccl_master *master, struct pccl_group *group)
{
	uint32_t chosen;

	assert(group->base == NULL && group->change.epoch == 0);
	if (!has_claimant(master, group)) {
		/* They live elsewhere, or not at all: as if nobody had come. */
		pccl_group_drop_claims(group);
		pccl_group_forget(master, group);
		group->dirty = true;
		return;
	}
	for (chosen = 0; chosen < group->claim_count; chosen++) {
		uint32_t here_count;
		struct pccl_client **here = gather(master, group, group->claims[chosen], &here_count);

		if (here == NULL) {
			pccl_group_retry(master, group);
			return;
		}
		if (here_count > 0 && can_act(master, group, group->claims[chosen], here)) {
			wait_or_act(master, group, chosen, here);
			pccl_free(here);
			return;
		}
		pccl_free(here);
	}
	group->majority_ns = PCCL_MASTER_NEVER;
	pccl_group_stall(master, group);
}
