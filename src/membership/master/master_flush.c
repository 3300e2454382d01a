/*
 * View changes. PREPARE goes to the members of the next view, to newcomers first: members stop for no one that does not
 * answer. When all of them have answered, every open op is decided once and INSTALL puts the view in force. Whoever is
 * lost, or comes, meanwhile makes it start again with the next epoch.
 *
 * Witnesses: newcomers that another master may have made members without their knowing. They are asked as well,
 * so that they carry the promise, but they are not in the view.
 */
#include "membership/master/master_seal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/uuid.h"

#define RESTART_NS_PER_MEMBER UINT64_C(10000)

/* Is somebody away who may come back in time? */
static bool is_awaited(const struct pccl_master *master, const struct pccl_group *group)
{
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		if (group->seats[rank].state == PCCL_SEAT_AWAY && group->seats[rank].until_ns > master->now_ns)
			return true;
	}
	return false;
}

static bool is_complete(const struct pccl_group *group)
{
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		if (group->seats[rank].state != PCCL_SEAT_HERE)
			return false;
	}
	return true;
}

static uint32_t count_seats(const struct pccl_group *group, enum pccl_seat_state state)
{
	uint32_t count = 0;
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++)
		count += group->seats[rank].state == state;
	return count;
}

/* Nobody is left of the view: it ends here. If its members may live on at another master, so do its promises
 * there; here the group is unknown again. */
static void end_run(struct pccl_master *master, struct pccl_group *group)
{
	bool may_live_elsewhere = count_seats(group, PCCL_SEAT_AWAY) > 0;
	bool several_masters = group->needs_quorum;
	struct pccl_install *base = group->base;

	assert(group->base != NULL);
	pccl_log_info("master: group %u has no member left", group->id);
	if (!may_live_elsewhere)
		master->past_runs[master->past_run_count++ % PCCL_PAST_RUNS_MAX] = group->base->run;
	pccl_group_drop_change(group, master);
	group->base = NULL;
	pccl_group_drop_base(group);
	if (may_live_elsewhere)
		pccl_group_forget(master, group);
	if (may_live_elsewhere && several_masters && pccl_return_remember(group, base) != pcclSuccess)
		pccl_log_warn("master: out of memory: group %u may be founded beside its members elsewhere", group->id);
	pccl_install_fini(base);
	pccl_free(base);
	group->cause_count = 0;
}

/* Who should be asked as things stand now. */
static pcclResult_t draft_change(const struct pccl_master *master, const struct pccl_group *group,
				 struct pccl_change *draft)
{
	uint32_t waiting_count;
	struct pccl_client **waiting = pccl_clients_waiting(master, group, &waiting_count);
	bool has_witnesses = pccl_promises_bind(group);
	uint32_t index;

	memset(draft, 0, sizeof(*draft));
	draft->recipients = pccl_calloc((size_t)master->client_count + 1, sizeof(struct pccl_client *));
	if (draft->recipients == NULL || waiting == NULL) {
		pccl_free(draft->recipients);
		pccl_free(waiting);
		return pcclOutOfMemory;
	}
	for (index = 0; group->base != NULL && index < group->base->view.member_count; index++) {
		if (group->seats[index].state == PCCL_SEAT_HERE)
			draft->recipients[draft->recipient_count++] = group->seats[index].client;
	}
	draft->survivor_count = draft->recipient_count;
	for (index = 0; index < waiting_count && draft->recipient_count < PCCL_MEMBERS_MAX; index++) {
		if (waiting[index]->admitting)
			draft->recipients[draft->recipient_count++] = waiting[index];
	}
	draft->member_count = draft->recipient_count;
	for (index = 0; index < waiting_count && has_witnesses; index++) {
		if (!waiting[index]->admitting && pccl_promises_name(group, &waiting[index]->self.uuid))
			draft->recipients[draft->recipient_count++] = waiting[index];
	}
	assert(draft->survivor_count <= draft->member_count && draft->recipient_count <= master->client_count);
	pccl_free(waiting);
	return pcclSuccess;
}

static bool same_change(const struct pccl_change *left, const struct pccl_change *right)
{
	return left->recipient_count == right->recipient_count && left->member_count == right->member_count &&
	       memcmp(left->recipients, right->recipients, left->recipient_count * sizeof(*left->recipients)) == 0;
}

static bool has_quorum(const struct pccl_group *group, const struct pccl_change *draft)
{
	const struct pccl_install *base = group->base;

	assert(draft->member_count > 0);
	if (base == NULL)
		return pccl_quorum_of_promises(group, NULL, 0, draft->recipients, draft->recipient_count);
	if (group->needs_quorum && !pccl_quorum_of_view(group, &base->view, draft->recipients, draft->survivor_count))
		return false;
	return pccl_quorum_of_promises(group, &base->run, base->view.epoch, draft->recipients, draft->recipient_count);
}

/* Those whom the change leaves behind learn it when they come back. */
static void give_up_missing(struct pccl_group *group)
{
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		struct pccl_seat *seat = &group->seats[rank];

		if (seat->state != PCCL_SEAT_AWAY)
			continue;
		if (group->cause_count == 0)
			pccl_group_note_cause(group, "rank %u (%s) did not come back", rank,
					      group->base->view.members[rank].addresses[0].host);
		seat->state = PCCL_SEAT_OUT;
	}
}

/* Those whom an earlier master did not tell the view that is in force. */
static pcclResult_t tell_laggards(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_message *message;
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = group->seats[rank].client;

		if (client == NULL || client->installed == group->base->view.epoch)
			continue;
		message = pccl_message_create(PCCL_MESSAGE_INSTALL);
		if (message == NULL)
			return pcclOutOfMemory;
		if (pccl_install_copy(group->base, &message->body.install) != pcclSuccess) {
			pccl_message_destroy(message);
			return pcclOutOfMemory;
		}
		client->run = group->base->run;
		client->installed = group->base->view.epoch;
		pccl_install_passes(master, group, client, 0);
		pccl_master_send(master, client, message);
	}
	return pcclSuccess;
}

static struct pccl_message *make_prepare(const struct pccl_master *master, uint32_t group,
					 const struct pccl_change *change)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_PREPARE);
	struct pccl_message_prepare *prepare;
	uint32_t rank;

	if (message == NULL)
		return NULL;
	prepare = &message->body.prepare;
	prepare->members = pccl_calloc(change->member_count, sizeof(*prepare->members));
	if (prepare->members == NULL) {
		pccl_message_destroy(message);
		return NULL;
	}
	prepare->run = change->run;
	prepare->epoch = change->epoch;
	prepare->member_count = change->member_count;
	for (rank = 0; rank < change->member_count; rank++)
		prepare->members[rank] = change->recipients[rank]->self.uuid;
	if (pccl_seal_prepare(master, group, prepare) != pcclSuccess) {
		pccl_message_destroy(message);
		return NULL;
	}
	return message;
}

/* A run is named after its first member and how it was founded, for a peer may found more than once. */
static pcclRankUuid_t name_run(const struct pccl_master *master, const struct pccl_group *group,
			       const struct pccl_change *change)
{
	pcclRankUuid_t run = change->recipients[0]->self.uuid;
	size_t index;

	if (group->base != NULL)
		return group->base->run;
	for (index = 0; index < sizeof(run.data); index++)
		run.data[index] ^= master->config.uuid.data[index];
	for (index = 0; index < sizeof(change->epoch); index++)
		run.data[index] ^= (uint8_t)(change->epoch >> (8 * index));
	return run;
}

/* From `first` on. */
static void ask(struct pccl_master *master, struct pccl_group *group, struct pccl_message *message, uint32_t first,
		uint32_t end)
{
	struct pccl_change *change = &group->change;
	uint32_t index;

	for (index = first; index < end; index++) {
		struct pccl_client *client = change->recipients[index];

		if (client == NULL)
			continue;
		client->asked = true;
		client->answers_due++;
		client->asked_ns = master->now_ns;
		pccl_master_send(master, client, pccl_message_share(message));
	}
}

/* Newcomers and witnesses. */
static bool have_others_answered(const struct pccl_change *change)
{
	uint32_t index;

	for (index = change->survivor_count; index < change->recipient_count; index++) {
		if (change->recipients[index] == NULL || !change->recipients[index]->prepared)
			return false;
	}
	return true;
}

static void ask_members(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_message *message = make_prepare(master, group->id, &group->change);

	if (message == NULL) {
		pccl_group_retry(master, group);
		return;
	}
	group->change.members_asked = true;
	ask(master, group, message, 0, group->change.survivor_count);
	pccl_message_destroy(message);
}

static void start_change(struct pccl_master *master, struct pccl_group *group, struct pccl_change *draft)
{
	struct pccl_message *message;
	uint32_t index;

	draft->epoch = group->epoch_top + 1;
	draft->members_asked = group->change.members_asked || draft->survivor_count == draft->recipient_count;
	assert(draft->member_count > 0 && (group->base == NULL || draft->epoch > group->base->view.epoch));
	draft->run = name_run(master, group, draft);
	message = make_prepare(master, group->id, draft);
	if (message == NULL || tell_laggards(master, group) != pcclSuccess) {
		pccl_message_destroy(message);
		pccl_free(draft->recipients);
		pccl_group_retry(master, group);
		return;
	}
	pccl_group_drop_change(group, master);
	group->change = *draft;
	group->change.started_ns = master->now_ns;
	group->epoch_top = draft->epoch;
	give_up_missing(group);
	for (index = 0; index < draft->recipient_count; index++) {
		if (draft->recipients[index]->state == PCCL_CLIENT_CLOSING)
			draft->recipients[index] = NULL;
	}
	ask(master, group, message, draft->members_asked ? 0 : draft->survivor_count, draft->recipient_count);
	pccl_message_destroy(message);
}

/* When many are lost at once, a large group does not start again for each of them. */
static uint64_t restart_time(const struct pccl_change *change)
{
	assert(change->epoch != 0);
	return change->started_ns + change->recipient_count * RESTART_NS_PER_MEMBER;
}

void pccl_change_evaluate(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_change draft;
	bool admitting;

	assert(group->claim_count == 0);
	group->change.settled = false;
	if (is_awaited(master, group))
		return;
	if (group->base != NULL && count_seats(group, PCCL_SEAT_HERE) == 0)
		end_run(master, group);
	admitting = pccl_admission_choose(master, group);
	if (is_complete(group) && !group->flush_due && !admitting && group->change.epoch != 0 &&
	    !group->change.members_asked) {
		pccl_group_drop_change(group, master); /* those whom it was about are gone, and no member knows of it */
		admitting = pccl_admission_choose(master, group);
	}
	if (is_complete(group) && !group->flush_due && !admitting && group->change.epoch == 0) {
		group->cause_count = 0;
		if (group->base != NULL)
			pccl_group_unstall(group);
		else
			pccl_group_stall(master, group); /* newcomers that this master may not let found the group */
		return;
	}
	if (draft_change(master, group, &draft) != pcclSuccess) {
		pccl_group_retry(master, group);
		return;
	}
	if (draft.member_count == 0)
		pccl_group_drop_change(group, master);
	if (draft.member_count == 0 || !has_quorum(group, &draft)) {
		pccl_free(draft.recipients);
		pccl_group_stall(master, group);
		return;
	}
	pccl_group_unstall(group);
	if (group->change.epoch == 0 || !same_change(&group->change, &draft)) {
		if (group->change.epoch == 0 || master->now_ns >= restart_time(&group->change)) {
			start_change(master, group, &draft);
			return;
		}
		group->again_ns = restart_time(&group->change);
		pccl_free(draft.recipients);
		return;
	}
	pccl_free(draft.recipients);
	if (!group->change.members_asked && have_others_answered(&group->change))
		ask_members(master, group);
	group->change.settled = true;
	pccl_change_install(master, group);
}

void pccl_master_on_prepared(struct pccl_master *master, struct pccl_client *client,
			     struct pccl_message_prepared *prepared)
{
	struct pccl_group *group = client->group;

	if (client->answers_due > 0)
		client->answers_due--;
	if (!client->asked || client->prepared || prepared->epoch != group->change.epoch)
		return;
	assert(client->reports == NULL && client->report_count == 0);
	if (!pccl_reports_check(master, client, prepared))
		return;
	client->prepared = true;
	client->reports = prepared->reports;
	client->report_count = prepared->report_count;
	prepared->reports = NULL;
	prepared->report_count = 0;
	/* Only the last answer changes anything. */
	if (group->change.members_asked ? pccl_change_is_answered(&group->change)
					: have_others_answered(&group->change))
		group->dirty = true;
}
