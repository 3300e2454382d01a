/* The end of a view change: all have answered, the ops are decided, the view comes in force. Groups that admit
 * ranks of the same bundle install together or not at all. */
#include "membership/master/master_seal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

bool pccl_change_is_answered(const struct pccl_change *change)
{
	uint32_t index;

	assert(change->epoch != 0);
	for (index = 0; index < change->recipient_count; index++) {
		if (change->recipients[index] == NULL || !change->recipients[index]->prepared)
			return false;
	}
	return true;
}

static bool is_ready(const struct pccl_group *group)
{
	return group->change.epoch != 0 && group->change.settled && !group->dirty &&
	       pccl_change_is_answered(&group->change);
}

static void mark_mates(struct pccl_master *master, uint64_t bundle)
{
	struct pccl_client *client;

	assert(bundle != 0);
	master->effort += master->client_count;
	for (client = master->clients; client != NULL; client = client->next) {
		if (!client->admitting || client->bundle != bundle)
			continue;
		client->group->joint = true;
		client->spread = true;
	}
}

/* Marks the groups that share a bundle with a marked one. True if there may be more. */
static bool spread_joint(struct pccl_master *master)
{
	struct pccl_client *client;
	bool any = false;

	master->effort += master->client_count;
	for (client = master->clients; client != NULL; client = client->next) {
		if (!client->admitting || client->bundle == 0 || client->spread || !client->group->joint)
			continue;
		mark_mates(master, client->bundle);
		any = true;
	}
	return any;
}

/* Marks the group and all that change together with it. */
static void find_joint(struct pccl_master *master, const struct pccl_group *group)
{
	struct pccl_client *client;
	struct pccl_group *other;

	for (client = master->clients; client != NULL; client = client->next)
		client->spread = false;
	for (other = master->groups; other != NULL; other = other->next)
		other->joint = other == group;
	while (spread_joint(master))
		;
}

static pcclResult_t fill_view(const struct pccl_group *group, struct pccl_view *view)
{
	const struct pccl_change *change = &group->change;
	uint32_t rank;

	assert(change->survivor_count <= change->member_count && change->member_count <= change->recipient_count);
	view->group = group->id;
	view->epoch = change->epoch;
	view->lanes = UINT16_MAX;
	view->streams = UINT16_MAX;
	view->members = pccl_calloc(change->member_count, sizeof(*view->members));
	if (view->members == NULL)
		return pcclOutOfMemory;
	view->member_count = change->member_count;
	for (rank = 0; rank < view->member_count; rank++) {
		const struct pccl_member *member = &change->recipients[rank]->self;

		view->members[rank] = *member;
		if (member->lanes < view->lanes)
			view->lanes = member->lanes;
		if (member->streams < view->streams)
			view->streams = member->streams;
	}
	return pcclSuccess;
}

static pcclResult_t decide_ops(const struct pccl_group *group, struct pccl_install *next)
{
	const struct pccl_change *change = &group->change;
	struct pccl_voice *voices = pccl_calloc(change->member_count, sizeof(*voices));
	struct pccl_decide_input input = {.member_count = change->member_count, .view = &next->view, .voices = voices};
	pcclResult_t result;
	uint32_t rank;

	if (voices == NULL)
		return pcclOutOfMemory;
	for (rank = 0; rank < change->survivor_count; rank++) {
		voices[rank].reports = change->recipients[rank]->reports;
		voices[rank].report_count = change->recipients[rank]->report_count;
	}
	input.nobody_lost = group->base != NULL && change->member_count == group->base->view.member_count &&
			    change->survivor_count == change->member_count;
	input.expired = group->expired;
	input.expired_count = group->expired_count;
	result = pccl_decide(&input, &next->decisions, &next->decision_count);
	pccl_free(voices);
	return result;
}

static void fill_cause(const struct pccl_group *group, struct pccl_install *next)
{
	uint32_t joined = group->change.member_count - group->change.survivor_count;
	char first[sizeof(next->cause) - sizeof(" (and 4294967295 more)") + 1];

	pccl_text_copy(first, sizeof(first), group->cause);
	if (group->cause_count > 1)
		(void)snprintf(next->cause, sizeof(next->cause), "%s (and %u more)", first, group->cause_count - 1);
	else if (group->cause_count == 1)
		memcpy(next->cause, group->cause, sizeof(next->cause));
	else if (joined > 0)
		(void)snprintf(next->cause, sizeof(next->cause), "%u %s joined", joined,
			       joined == 1 ? "peer" : "peers");
	else
		(void)snprintf(next->cause, sizeof(next->cause), "the members met at another master");
}

/* Everything that may fail, before anything is said. */
static pcclResult_t make_next(const struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_change *change = &group->change;
	struct pccl_install *next;

	if (change->next == NULL)
		change->next = pccl_zalloc(sizeof(*change->next));
	next = change->next;
	if (next == NULL)
		return pcclOutOfMemory;
	pccl_install_fini(next);
	if (fill_view(group, &next->view) != pcclSuccess || decide_ops(group, next) != pcclSuccess)
		return pcclOutOfMemory;
	next->run = change->run;
	next->previous_epoch = group->base != NULL ? group->base->view.epoch : 0;
	next->newcomers = change->survivor_count < change->member_count;
	next->lone = change->member_count == 1 && (group->base == NULL || group->base->lone);
	fill_cause(group, next);
	if (pccl_seal_install(master, next) != pcclSuccess)
		return pcclOutOfMemory;
	pccl_free(change->seats);
	change->seats = pccl_calloc(change->member_count, sizeof(*change->seats));
	pccl_message_destroy(change->message);
	change->message = pccl_message_create(PCCL_MESSAGE_INSTALL);
	if (change->seats == NULL || change->message == NULL)
		return pcclOutOfMemory;
	return pccl_install_copy(next, &change->message->body.install);
}

static void adopt(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_change *change = &group->change;
	struct pccl_answer answer = group->answer;
	uint64_t hold_ns = group->hold_ns;
	bool newcomers = change->next->newcomers;
	uint32_t rank;

	assert(change->next != NULL && change->seats != NULL && change->message != NULL);
	assert(change->epoch <= group->epoch_top && group->claim_count == 0);
	pccl_expired_charge(master, group);
	pccl_group_set_base(master, group, change->next, change->seats);
	change->next = NULL;
	change->seats = NULL;
	group->answer = answer;
	group->hold_ns = newcomers ? PCCL_MASTER_NEVER : hold_ns;
	if (newcomers) {
		group->joins_lost = 0;
		group->members_most = change->member_count;
		memset(&group->answer, 0, sizeof(group->answer));
		group->answer.origin = group->base->view.epoch;
	}
	for (rank = 0; rank < change->member_count; rank++) {
		struct pccl_client *client = change->recipients[rank];

		assert(client->group == group && client->prepared);
		pccl_group_seat(master, group, client, rank);
		client->run = group->base->run;
		client->installed = group->base->view.epoch;
		pccl_promises_destroy(client->promises, client->promise_count);
		client->promises = NULL;
		client->promise_count = 0;
		if (newcomers)
			client->vote = 0;
		if (newcomers)
			client->answered = group->answer;
		if (newcomers)
			client->conduct.strays = 0;
	}
	pccl_group_drop_promises(group);
	group->dead_count = 0;
	group->cause_count = 0;
}

static struct pccl_message *make_passes(const struct pccl_group *group, const struct pccl_client *client,
					uint32_t first_rank)
{
	const struct pccl_view *view = &group->base->view;
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_PASSES);
	struct pccl_message_passes *passes;
	uint32_t index;

	assert(first_rank < view->member_count);
	if (message == NULL)
		return NULL;
	passes = &message->body.passes;
	passes->epoch = view->epoch;
	passes->first_rank = first_rank;
	passes->passes = pccl_calloc(view->member_count - first_rank, sizeof(*passes->passes));
	if (passes->passes == NULL) {
		pccl_message_destroy(message);
		return NULL;
	}
	passes->count = view->member_count - first_rank;
	for (index = 0; index < passes->count; index++) {
		const struct pccl_client *other = group->seats[first_rank + index].client;

		if (other != NULL)
			passes->passes[index] = pccl_identity_pass(&other->secret, &client->self.uuid);
	}
	return message;
}

void pccl_install_passes(struct pccl_master *master, const struct pccl_group *group, struct pccl_client *client,
			 uint32_t first_rank)
{
	uint32_t rank;

	if (!client->passed)
		first_rank = 0;
	client->passed = true;
	for (rank = 0; rank < group->base->view.member_count; rank++)
		client->passed = client->passed && group->seats[rank].client != NULL;
	if (first_rank < group->base->view.member_count)
		pccl_master_send(master, client, make_passes(group, client, first_rank));
}

static void announce(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_message *message = group->change.message;
	const char *more;
	uint32_t rank;

	assert(message != NULL && group->base->view.epoch == group->change.epoch);
	pccl_world_measure(master, &group->base->world);
	message->body.install.world = group->base->world;
	more = group->base->lone ? pccl_log_rate(&master->lone_views, master->now_ns) : "";
	if (more != NULL)
		pccl_log_info("master: group %u has epoch %u with %u members: %s%s", group->id, group->base->view.epoch,
			      group->base->view.member_count, group->base->cause, more);
	for (rank = 0; rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = group->seats[rank].client;

		if (client == NULL)
			continue;
		pccl_install_passes(master, group, client,
				    rank < group->change.survivor_count ? group->change.survivor_count : 0);
		pccl_master_send(master, client, pccl_message_share(message));
	}
	pccl_group_drop_change(group, master);
	group->dirty = true;
}

void pccl_change_install(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_group *other;

	if (!is_ready(group))
		return;
	find_joint(master, group);
	for (other = master->groups; other != NULL; other = other->next) {
		if (other->joint && !is_ready(other))
			return;
	}
	for (other = master->groups; other != NULL; other = other->next) {
		if (other->joint && !pccl_reports_judge(master, other))
			return;
	}
	for (other = master->groups; other != NULL; other = other->next) {
		if (other->joint && make_next(master, other) != pcclSuccess) {
			pccl_group_retry(master, group);
			return;
		}
	}
	for (other = master->groups; other != NULL; other = other->next) {
		if (other->joint)
			adopt(master, other);
	}
	for (other = master->groups; other != NULL; other = other->next) {
		if (other->joint)
			announce(master, other);
	}
}
