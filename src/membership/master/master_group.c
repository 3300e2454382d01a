/* Groups: their memory, and the one routine that looks at a group after every event that touched it. */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "base/uuid.h"

#define AGAIN_NS (50 * PCCL_MS_NS)
#define PATIENCE_PER_GRACE 8 /* STALLED is said so many times in the grace that returning members get */
#define EVALUATIONS_MAX 64   /* of one group in one step; more is a defect */

struct pccl_group *pccl_group_find(const struct pccl_master *master, uint32_t id)
{
	struct pccl_group *group;

	for (group = master->groups; group != NULL; group = group->next) {
		if (group->id == id)
			return group;
	}
	return NULL;
}

static const struct pccl_floor *find_floor(const struct pccl_master *master, uint32_t group)
{
	uint32_t index;

	for (index = 0; index < master->floor_count; index++) {
		if (master->floors[index].group == group)
			return &master->floors[index];
	}
	return NULL;
}

/* Room for one more floor. If there is none the lowest goes: whoever makes up groups without number can't raise the
 * epochs of others by that. */
static struct pccl_floor *new_floor(struct pccl_master *master)
{
	struct pccl_floor *lowest = &master->floors[0];
	uint32_t index;

	if (master->floor_count < PCCL_FLOORS_MAX)
		return &master->floors[master->floor_count++];
	for (index = 1; index < PCCL_FLOORS_MAX; index++) {
		if (master->floors[index].epoch < lowest->epoch)
			lowest = &master->floors[index];
	}
	if (lowest->epoch > master->epoch_floor)
		master->epoch_floor = lowest->epoch;
	return lowest;
}

/* Where its epochs go on, should the group come again. */
static void note_floor(struct pccl_master *master, const struct pccl_group *group)
{
	const struct pccl_floor *known = find_floor(master, group->id);
	struct pccl_floor *floor;

	if (group->epoch_top <= master->epoch_floor || (known != NULL && known->epoch == group->epoch_top))
		return;
	floor = known != NULL ? &master->floors[known - master->floors] : new_floor(master);
	floor->group = group->id;
	floor->epoch = group->epoch_top;
}

struct pccl_group *pccl_group_create(struct pccl_master *master, uint32_t id)
{
	const struct pccl_floor *floor = find_floor(master, id);
	struct pccl_group *group = pccl_zalloc(sizeof(*group));

	if (group == NULL)
		return NULL;
	group->id = id;
	group->epoch_top = floor != NULL ? floor->epoch : master->epoch_floor;
	group->tenure_epoch = group->epoch_top;
	group->again_ns = PCCL_MASTER_NEVER;
	group->window_ns = PCCL_MASTER_NEVER;
	group->joint_ns = PCCL_MASTER_NEVER;
	group->hold_ns = PCCL_MASTER_NEVER;
	group->majority_ns = PCCL_MASTER_NEVER;
	group->stall_ns = PCCL_MASTER_NEVER;
	group->recount_ns = PCCL_MASTER_NEVER;
	group->next = master->groups;
	master->groups = group;
	return group;
}

void pccl_group_retry(struct pccl_master *master, struct pccl_group *group)
{
	group->again_ns = master->now_ns + AGAIN_NS;
}

void pccl_group_note_cause(struct pccl_group *group, const char *format, ...)
{
	va_list arguments;

	group->cause_count++;
	if (group->cause_count > 1)
		return;
	va_start(arguments, format);
	pccl_text_vformat(group->cause, sizeof(group->cause), format, arguments);
	va_end(arguments);
}

bool pccl_group_is_dead(const struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	uint32_t index;

	for (index = 0; index < group->dead_count; index++) {
		if (pccl_uuid_equal(&group->dead[index], uuid))
			return true;
	}
	return false;
}

/* Without memory for it the dead one counts as alive, which is the careful mistake. */
void pccl_group_note_dead(struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	pcclRankUuid_t *dead;

	if (group->dead_count >= PCCL_GROUP_DEAD_MAX || pccl_group_is_dead(group, uuid))
		return;
	dead = pccl_realloc(group->dead, (group->dead_count + 1) * sizeof(*dead));
	if (dead == NULL)
		return;
	group->dead = dead;
	group->dead[group->dead_count++] = *uuid;
}

static bool same_promise(const struct pccl_promise *left, const struct pccl_promise *right)
{
	return left->epoch == right->epoch && left->member_count == right->member_count &&
	       pccl_uuid_equal(&left->master, &right->master) && pccl_uuid_equal(&left->run, &right->run) &&
	       memcmp(left->members, right->members, left->member_count * sizeof(*left->members)) == 0;
}

void pccl_group_drop_promise(struct pccl_group *group, uint32_t index)
{
	assert(index < group->promise_count);
	pccl_free(group->promises[index].members);
	for (group->promise_count--; index < group->promise_count; index++) {
		group->promises[index] = group->promises[index + 1];
		group->promise_proven[index] = group->promise_proven[index + 1];
	}
}

/* What newcomers tell gets half of the room, and gives it up for what members tell. */
static bool make_room(struct pccl_group *group, bool proven)
{
	uint32_t hearsay = 0;
	uint32_t latest = 0;
	uint32_t index;

	for (index = 0; index < group->promise_count; index++) {
		hearsay += !group->promise_proven[index];
		latest = group->promise_proven[index] ? latest : index;
	}
	if (!proven && hearsay >= PCCL_GROUP_PROMISES_MAX / 2)
		return false;
	if (group->promise_count == PCCL_GROUP_PROMISES_MAX && proven && hearsay > 0)
		pccl_group_drop_promise(group, latest);
	return group->promise_count < PCCL_GROUP_PROMISES_MAX;
}

pcclResult_t pccl_group_add_promise(struct pccl_group *group, const struct pccl_promise *promise, bool proven)
{
	struct pccl_promise *promises;
	uint32_t index;

	for (index = 0; index < group->promise_count; index++) {
		if (same_promise(&group->promises[index], promise)) {
			group->promise_proven[index] = group->promise_proven[index] || proven;
			return pcclSuccess;
		}
	}
	if (!make_room(group, proven))
		return pcclOutOfMemory;
	promises = pccl_realloc(group->promises, (group->promise_count + 1) * sizeof(*promises));
	if (promises == NULL)
		return pcclOutOfMemory;
	group->promises = promises;
	if (pccl_promise_copy(promise, &promises[group->promise_count]) != pcclSuccess)
		return pcclOutOfMemory;
	assert(group->promise_count < PCCL_GROUP_PROMISES_MAX);
	group->promise_proven[group->promise_count++] = proven;
	return pcclSuccess;
}

void pccl_group_raise_epoch(struct pccl_group *group, uint32_t epoch)
{
	if (epoch > group->epoch_top)
		group->epoch_top = epoch;
}

static pcclResult_t learn_promise(const struct pccl_master *master, struct pccl_group *group,
				  const struct pccl_client *client, const struct pccl_promise *promise)
{
	bool of_member = client->state == PCCL_CLIENT_SEATED || client->state == PCCL_CLIENT_RETURNED;
	bool proven = of_member && pccl_uuid_equal(&promise->run, &client->run);

	if (promise->epoch > group->tenure_epoch && pccl_uuid_equal(&promise->master, &master->config.uuid))
		return pcclSuccess; /* this master knows itself whether it put that in force */
	if (group->base != NULL && pccl_uuid_equal(&group->base->run, &promise->run) &&
	    promise->epoch <= group->base->view.epoch)
		return pcclSuccess;
	return pccl_group_add_promise(group, promise, proven);
}

pcclResult_t pccl_group_learn_promises(const struct pccl_master *master, struct pccl_group *group,
				       const struct pccl_client *client)
{
	uint32_t index;

	assert(client->group == group && group->tenure_epoch <= group->epoch_top);
	for (index = 0; index < client->promise_count; index++) {
		const struct pccl_promise *promise = &client->promises[index];

		if (promise->epoch <= PCCL_EPOCH_HEARSAY_MAX || client->state == PCCL_CLIENT_SEATED)
			pccl_group_raise_epoch(group, promise->epoch);
		if (learn_promise(master, group, client, promise) != pcclSuccess)
			return pcclOutOfMemory;
	}
	return pcclSuccess;
}

void pccl_group_forget(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_promise *promises = group->promises;
	uint32_t promise_count = group->promise_count;
	const struct pccl_client *client;
	bool learned = true;

	assert(group->base == NULL && group->claim_count == 0);
	group->dead_count = 0;
	group->tenure_epoch = group->epoch_top;
	group->promises = NULL;
	group->promise_count = 0;
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && pccl_group_learn_promises(master, group, client) != pcclSuccess)
			learned = false;
	}
	if (learned) {
		pccl_promises_destroy(promises, promise_count);
		return;
	}
	pccl_group_drop_promises(group); /* too little memory: knowing too much does no harm */
	group->promises = promises;
	group->promise_count = promise_count;
}

void pccl_group_drop_promises(struct pccl_group *group)
{
	pccl_promises_destroy(group->promises, group->promise_count);
	group->promises = NULL;
	group->promise_count = 0;
}

static void drop_install(struct pccl_install *install)
{
	if (install != NULL)
		pccl_install_fini(install);
	pccl_free(install);
}

void pccl_group_drop_base(struct pccl_group *group)
{
	drop_install(group->base);
	group->base = NULL;
	pccl_free(group->seats);
	group->seats = NULL;
	group->complaint_count = 0;
	group->window_ns = PCCL_MASTER_NEVER;
	group->joint_ns = PCCL_MASTER_NEVER;
	group->hold_ns = PCCL_MASTER_NEVER;
	group->expired_count = 0;
	group->needs_quorum = false;
	group->flush_due = false;
	memset(&group->answer, 0, sizeof(group->answer));
}

void pccl_group_drop_claims(struct pccl_group *group)
{
	uint32_t index;

	for (index = 0; index < group->claim_count; index++)
		drop_install(group->claims[index]);
	group->claim_count = 0;
	group->majority_ns = PCCL_MASTER_NEVER;
	group->majority_epoch = 0;
}

void pccl_group_drop_claim(struct pccl_group *group, uint32_t index)
{
	assert(index < group->claim_count);
	drop_install(group->claims[index]);
	for (group->claim_count--; index < group->claim_count; index++)
		group->claims[index] = group->claims[index + 1];
}

static void release_change(struct pccl_change *change)
{
	pccl_free(change->recipients);
	drop_install(change->next);
	pccl_free(change->seats);
	pccl_message_destroy(change->message);
}

void pccl_group_drop_change(struct pccl_group *group, struct pccl_master *master)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group != group)
			continue;
		client->asked = false;
		client->prepared = false;
		pccl_op_reports_destroy(client->reports, client->report_count);
		client->reports = NULL;
		client->report_count = 0;
	}
	release_change(&group->change);
	memset(&group->change, 0, sizeof(group->change));
}

void pccl_group_destroy(struct pccl_group *group)
{
	pccl_group_drop_base(group);
	pccl_group_drop_claims(group);
	pccl_group_drop_promises(group);
	release_change(&group->change);
	pccl_free(group->dead);
	pccl_free(group->broken);
	pccl_free(group->complaints);
	pccl_free(group->expired);
	pccl_free(group);
}

void pccl_group_set_base(struct pccl_master *master, struct pccl_group *group, struct pccl_install *base,
			 struct pccl_seat *seats)
{
	uint32_t rank;

	assert(group->base != base && group->claim_count == 0 && base->view.member_count > 0);
	pccl_group_drop_base(group);
	group->base = base;
	group->seats = seats;
	pccl_broken_recount(master, group);
	for (rank = 0; rank < base->view.member_count; rank++) {
		seats[rank].state = PCCL_SEAT_AWAY;
		seats[rank].until_ns = master->now_ns;
		group->needs_quorum = group->needs_quorum || base->view.members[rank].masters > 1;
	}
	assert(base->view.epoch <= group->epoch_top);
}

void pccl_group_seat(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client, uint32_t rank)
{
	struct pccl_seat *seat = &group->seats[rank];

	assert(rank < group->base->view.member_count && seat->state != PCCL_SEAT_OUT);
	assert(client->group == group && (seat->client == NULL || seat->client == client));
	seat->state = PCCL_SEAT_HERE;
	seat->client = client;
	pccl_client_set_state(master, client, PCCL_CLIENT_SEATED);
	client->seat = rank;
	client->admitting = false;
	client->deferred = false;
}

static uint64_t patience(const struct pccl_master *master)
{
	return master->config.return_grace_ns / PATIENCE_PER_GRACE + 1;
}

void pccl_group_stall(struct pccl_master *master, struct pccl_group *group)
{
	if (group->stall_ns == PCCL_MASTER_NEVER)
		group->stall_ns = master->now_ns + patience(master);
}

void pccl_group_unstall(struct pccl_group *group)
{
	group->stall_ns = PCCL_MASTER_NEVER;
}

/* Does a rank of its bundle, all of which are here, wait for members that have not called for an update? */
static bool waits_for_update(const struct pccl_master *master, const struct pccl_client *of)
{
	const struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state == PCCL_CLIENT_WAITING && client->bundle == of->bundle &&
		    client->group->base != NULL && !client->group->open && client->group->stall_ns == PCCL_MASTER_NEVER)
			return true;
	}
	return false;
}

/* Its group begins when its bundle is complete, and members of other groups let the other ranks in: that is nothing
 * that this master could not decide, and takes as long as it takes. */
static bool waits_for_bundle(const struct pccl_master *master, const struct pccl_client *client)
{
	const struct pccl_group *group = client->group;

	return group->base == NULL && group->claim_count == 0 && client->state == PCCL_CLIENT_WAITING &&
	       client->may_found && client->bundle != 0 &&
	       (!pccl_client_eligible(client) || waits_for_update(master, client));
}

static void say_stalled(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client *client;
	struct pccl_message *message;

	group->stall_ns = master->now_ns + patience(master);
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group != group || waits_for_bundle(master, client))
			continue;
		message = pccl_message_create(PCCL_MESSAGE_STALLED);
		if (message != NULL)
			(void)snprintf(message->body.notice.text, sizeof(message->body.notice.text),
				       "too few members of group %u are at this master for it to decide anything",
				       group->id);
		pccl_master_send(master, client, message);
	}
}

/* Somewhere a seat's wait ends now? */
static uint64_t next_seat_end(const struct pccl_group *group, uint64_t after_ns)
{
	uint64_t end = PCCL_MASTER_NEVER;
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		if (group->seats[rank].state == PCCL_SEAT_AWAY && group->seats[rank].until_ns > after_ns)
			end = pccl_master_earlier(end, group->seats[rank].until_ns);
	}
	return end;
}

void pccl_groups_tick(struct pccl_master *master)
{
	struct pccl_group *group;

	for (group = master->groups; group != NULL; group = group->next) {
		/* A step that comes at the deadline of the last one finds what ended since. */
		if (next_seat_end(group, master->promised_ns == PCCL_MASTER_NEVER ? 0 : master->promised_ns - 1) <=
		    master->now_ns)
			group->dirty = true;
		if (master->now_ns >= group->majority_ns || master->now_ns >= group->again_ns ||
		    master->now_ns >= group->joint_ns || master->now_ns >= pccl_broken_deadline(group))
			group->dirty = true;
		if (group->hold_ns != PCCL_MASTER_HOLD_OVER && master->now_ns >= group->hold_ns) {
			group->hold_ns = PCCL_MASTER_HOLD_OVER;
			group->dirty = true;
		}
		if (master->now_ns >= group->window_ns)
			pccl_complaints_judge(master, group);
		if (master->now_ns >= group->stall_ns)
			say_stalled(master, group);
	}
}

uint64_t pccl_groups_deadline(const struct pccl_master *master)
{
	const struct pccl_group *group;
	uint64_t deadline = PCCL_MASTER_NEVER;

	for (group = master->groups; group != NULL; group = group->next) {
		deadline = pccl_master_earlier(deadline, next_seat_end(group, master->now_ns));
		if (group->majority_ns > master->now_ns)
			deadline = pccl_master_earlier(deadline, group->majority_ns);
		if (group->hold_ns > master->now_ns)
			deadline = pccl_master_earlier(deadline, group->hold_ns);
		if (group->joint_ns > master->now_ns)
			deadline = pccl_master_earlier(deadline, group->joint_ns);
		deadline = pccl_master_earlier(deadline, pccl_broken_deadline(group));
		deadline = pccl_master_earlier(deadline, group->again_ns);
		deadline = pccl_master_earlier(deadline, group->window_ns);
		deadline = pccl_master_earlier(deadline, group->stall_ns);
	}
	return deadline;
}

static void evaluate(struct pccl_master *master, struct pccl_group *group)
{
	assert((group->base != NULL) == (group->seats != NULL) && (group->base == NULL || group->claim_count == 0));
	master->effort++;
	group->again_ns = PCCL_MASTER_NEVER;
	group->loyal = pccl_promises_none(group);
	pccl_broken_evaluate(master, group);
	if (group->claim_count > 0)
		pccl_return_evaluate(master, group);
	if (group->claim_count > 0)
		return;
	pccl_meet_evaluate(master, group);
	pccl_change_evaluate(master, group);
	if (group->change.epoch == 0 && group->stall_ns == PCCL_MASTER_NEVER)
		pccl_votes_evaluate(master, group);
}

static bool is_forgettable(const struct pccl_group *group)
{
	return group->base == NULL && group->claim_count == 0 && !group->dirty && group->client_count == 0;
}

static void forget_empty(struct pccl_master *master)
{
	struct pccl_group **link = &master->groups;
	struct pccl_group *group;

	while (*link != NULL) {
		group = *link;
		if (!is_forgettable(group)) {
			link = &group->next;
			continue;
		}
		assert(group->seats == NULL && group->change.epoch == 0);
		note_floor(master, group);
		*link = group->next;
		pccl_group_destroy(group);
	}
}

void pccl_groups_evaluate(struct pccl_master *master)
{
	struct pccl_group *group;
	uint32_t rounds = 0;
	bool again = true;

	while (again) {
		again = false;
		for (group = master->groups; group != NULL; group = group->next) {
			if (!group->dirty)
				continue;
			group->dirty = false;
			evaluate(master, group);
			again = true;
		}
		if (++rounds > EVALUATIONS_MAX) {
			pccl_log_error("master: groups do not come to rest in one step");
			break;
		}
	}
	forget_empty(master);
}
