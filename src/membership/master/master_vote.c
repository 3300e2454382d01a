/* Joint calls: every member of a group makes the same call, then all get the same answer. And who is admitted by
 * the one of them that admits. */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"

#define DEFERRED_MAX 8	 /* newcomers of one origin that put their admission off; others are admitted as any one is */
#define LOST_JOINS_MAX 4 /* so many newcomers may be lost while one update admits them */

/* A failure has the name of the call that failed. */
static pcclResult_t result_for(uint8_t kind, pcclResult_t result)
{
	if (result == pcclSuccess)
		return pcclSuccess;
	if (kind == PCCL_VOTE_UPDATE)
		return pcclUpdateTopologyFailed;
	return kind == PCCL_VOTE_OPTIMIZE ? pcclTopologyOptimizationFailed : pcclInvalidUsage;
}

static void answer_one(struct pccl_master *master, struct pccl_client *client, const struct pccl_answer *answer)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_VOTED);

	assert(client->state == PCCL_CLIENT_SEATED && client->vote != 0);
	if (message != NULL) {
		message->body.voted = *answer;
		message->body.voted.kind = client->vote;
		message->body.voted.result = result_for(client->vote, answer->result);
	}
	client->vote = 0;
	client->answered = *answer;
	client->answer_unsure = true;
	pccl_master_send(master, client, message);
}

void pccl_master_on_vote(const struct pccl_master *master, struct pccl_client *client,
			 const struct pccl_message_vote *vote)
{
	struct pccl_group *group = client->group;

	assert(group != NULL);
	/* A vote says nothing until the group's view is known: the client keeps it. */
	client->vote = vote->kind;
	client->vote_origin = vote->origin;
	client->vote_sequence = vote->sequence;
	client->vote_round = vote->round;
	client->vote_ns = master->now_ns;
	client->vote_timeout_ns = vote->timeout_ms * PCCL_MS_NS;
	client->vote_late = vote->late;
	if (vote->origin == client->answered.origin && vote->sequence > client->answered.sequence)
		client->answer_unsure = false;
	group->dirty = true;
}

void pccl_vote_learn(struct pccl_group *group, const struct pccl_client *client)
{
	const struct pccl_answer *answered = &client->answered;

	assert(group->base != NULL && client->state == PCCL_CLIENT_SEATED);
	/* Whoever has not installed the view yet counts from another origin, if the view added members. */
	if (client->installed == 0 || (group->base->newcomers && client->installed != group->base->view.epoch))
		return;
	if (answered->origin > group->answer.origin ||
	    (answered->origin == group->answer.origin && answered->sequence >= group->answer.sequence))
		group->answer = *answered;
}

static bool has_answer(const struct pccl_group *group, const struct pccl_client *client)
{
	return client->answered.origin == group->answer.origin && client->answered.sequence >= group->answer.sequence;
}

/* Does somebody who is here have the last answer for sure? Else nobody else gets it: who is away may have moved to
 * another master meanwhile, and have another one from there. When all are here and none has it, it was lost on its way
 * to every one of them, and counts for nothing. */
static bool answer_stands(struct pccl_group *group)
{
	uint32_t highest = 0; /* that anybody here has */
	bool lost = true;
	uint32_t rank;

	if (group->base == NULL || group->answer.sequence == 0)
		return true;
	for (rank = 0; rank < group->base->view.member_count; rank++) {
		const struct pccl_seat *seat = &group->seats[rank];
		const struct pccl_client *client = seat->client;

		if (seat->state == PCCL_SEAT_OUT)
			continue;
		if (client != NULL && has_answer(group, client) && !client->answer_unsure)
			return true;
		if (client == NULL || has_answer(group, client))
			lost = false;
		else if (client->answered.origin == group->answer.origin && client->answered.sequence > highest)
			highest = client->answered.sequence;
	}
	if (!lost)
		return false;
	/* The update that it answered has waited for newcomers, and need not do so again. */
	if (group->answer.kind == PCCL_VOTE_UPDATE && group->answer.sequence > highest)
		group->hold_ns = PCCL_MASTER_HOLD_OVER;
	group->answer.sequence = highest;
	group->dirty = true;
	return true;
}

bool pccl_vote_counts(const struct pccl_group *group, const struct pccl_client *client)
{
	/* Who has not been told the view yet may still go on without it. */
	return client != NULL && client->vote != 0 && client->vote_origin == group->answer.origin &&
	       client->installed == group->base->view.epoch && client->vote_sequence == group->answer.sequence + 1;
}

/* The answer to a call that has ended went lost with an earlier master: it is given again. Else: does the vote
 * count? */
static bool settle_vote(struct pccl_master *master, struct pccl_group *group, struct pccl_client *client, bool stands)
{
	assert(group->seats[client->seat].client == client);
	/* Who has not been told the view yet may still go on without it: an answer given in it is not for them. */
	if (client->vote == 0 || client->vote_origin != group->answer.origin ||
	    client->installed != group->base->view.epoch)
		return false;
	if (client->vote_sequence == group->answer.sequence) {
		/* Who was told on this connection, and had given the call up when it came, is told again. */
		if (stands || has_answer(group, client))
			answer_one(master, client, &group->answer);
		return false;
	}
	return pccl_vote_counts(group, client);
}

static struct pccl_client *seated(const struct pccl_group *group, uint32_t rank)
{
	return group->seats[rank].client;
}

static void answer_all(struct pccl_master *master, struct pccl_group *group, const struct pccl_answer *answer)
{
	struct pccl_answer whole = *answer;
	uint32_t rank;

	assert(group->base != NULL && group->change.epoch == 0);
	whole.origin = group->answer.origin;
	whole.sequence = group->answer.sequence + 1;
	group->hold_ns = PCCL_MASTER_NEVER;
	group->joins_lost = 0;
	pccl_world_measure(master, &whole.world);
	group->answer = whole;
	for (rank = 0; rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = seated(group, rank);

		if (client != NULL)
			answer_one(master, client, &whole);
	}
}

static void ask_again(struct pccl_master *master, struct pccl_client *client, uint32_t round)
{
	struct pccl_message *message;

	if (client->round_asked == round)
		return;
	client->round_asked = round;
	message = pccl_message_create(PCCL_MESSAGE_VOTE);
	if (message != NULL)
		message->body.vote.round = round;
	pccl_master_send(master, client, message);
}

/* Members that cross between two masters may leave a vote with both. But of two sets of votes, each of one round, one
 * has no member that is still where it voted, so only one of two answers ever reaches anybody.
 * All have voted. */
static bool of_one_round(struct pccl_master *master, struct pccl_group *group)
{
	uint32_t highest = 0;
	bool same = true;
	uint32_t rank;

	assert(group->base != NULL);
	for (rank = 0; rank < group->base->view.member_count; rank++)
		if (seated(group, rank)->vote_round > highest)
			highest = seated(group, rank)->vote_round;
	for (rank = 0; rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = seated(group, rank);

		if (client->vote_round == highest)
			continue;
		same = false;
		ask_again(master, client, highest);
	}
	return same;
}

static void answer_mismatch(struct pccl_master *master, struct pccl_group *group, uint32_t other)
{
	struct pccl_answer answer = {.result = pcclInvalidUsage};

	assert(other > 0 && other < group->base->view.member_count);
	pccl_text_format(answer.text, sizeof(answer.text),
			 "the members made different joint calls: rank 0 (%s) %s, rank %u (%s) %s",
			 group->base->view.members[0].addresses[0].host, pccl_vote_name(group->seats[0].client->vote),
			 other, group->base->view.members[other].addresses[0].host,
			 pccl_vote_name(group->seats[other].client->vote));
	answer_all(master, group, &answer);
}

static bool any_eligible(const struct pccl_master *master, const struct pccl_group *group)
{
	const struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && pccl_client_eligible(client) && !pccl_meet_has_failed(master, client))
			return true;
	}
	return false;
}

void pccl_votes_evaluate(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_answer answer = {.result = pcclSuccess};
	bool all = group->base != NULL;
	bool stands = answer_stands(group);
	uint32_t rank;
	uint32_t other = 0;

	assert(group->claim_count == 0 && group->change.epoch == 0 && group->stall_ns == PCCL_MASTER_NEVER);
	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = seated(group, rank);

		if (client == NULL || !settle_vote(master, group, client, stands)) {
			all = false;
			continue;
		}
		if (all && client->vote != group->seats[0].client->vote)
			other = rank;
	}
	group->joint_ns = PCCL_MASTER_NEVER;
	if (!all && group->base != NULL)
		pccl_late_evaluate(master, group);
	if (!all || (group->needs_quorum && !of_one_round(master, group)))
		return;
	if (other != 0) {
		answer_mismatch(master, group, other);
		return;
	}
	answer.kind = group->seats[0].client->vote;
	if (answer.kind == PCCL_VOTE_UPDATE && pccl_meet_is_awaited(master, group))
		return;
	if (answer.kind == PCCL_VOTE_UPDATE && pccl_admission_held(master, group)) {
		pccl_late_evaluate(master, group);
		return;
	}
	if (answer.kind == PCCL_VOTE_PENDING)
		answer.value = any_eligible(master, group);
	answer_all(master, group, &answer);
}

/* A lone founder that has yielded waits among the newcomers, but it has a caller: it is taken over during a joint call,
 * which that answers, as it does the members' calls. Else its next call would count from the new view, and wait for
 * members that have gone on. */
bool pccl_client_eligible(const struct pccl_client *client)
{
	if (client->state != PCCL_CLIENT_WAITING || (client->installed != 0 && client->vote == 0))
		return false;
	if (client->deferred)
		return false;
	assert(client->bundle == 0 || client->bundle_waiting > 0);
	return client->bundle == 0 || client->bundle_waiting >= client->self.bundle_size;
}

/* One origin does not take all places that members have for those that fetch something. */
static bool may_defer(const struct pccl_master *master, const struct pccl_client *newcomer)
{
	const struct pccl_client *client;
	uint32_t count = 0;

	for (client = master->clients; client != NULL; client = client->next)
		count += client->group == newcomer->group && client->deferred && client->origin == newcomer->origin;
	return count < DEFERRED_MAX;
}

/* Who joins together with others, or has been in a view, is awaited by callers: it is too late. */
void pccl_master_on_defer(const struct pccl_master *master, struct pccl_client *client, bool deferred)
{
	if (client->state != PCCL_CLIENT_WAITING || client->bundle != 0 || client->installed != 0 ||
	    client->deferred == deferred || (deferred && !may_defer(master, client)))
		return;
	client->deferred = deferred;
	client->group->dirty = true;
}

/* Do all who stay agree to take newcomers? Those who are out count no more; who is awaited has not agreed. */
static bool is_open(const struct pccl_master *master, const struct pccl_group *group)
{
	uint32_t rank;

	if (group->claim_count > 0)
		return false;
	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		const struct pccl_seat *seat = &group->seats[rank];

		if (seat->state == PCCL_SEAT_OUT || (seat->state == PCCL_SEAT_AWAY && seat->until_ns <= master->now_ns))
			continue;
		if (seat->state != PCCL_SEAT_HERE || seat->client->vote != PCCL_VOTE_UPDATE ||
		    seat->client->vote_origin != group->answer.origin ||
		    seat->client->vote_sequence != group->answer.sequence + 1)
			return false;
	}
	return true;
}

static bool is_empty(const struct pccl_group *group)
{
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		if (group->seats[rank].state != PCCL_SEAT_OUT)
			return false;
	}
	return true;
}

static void look_at_groups(struct pccl_master *master)
{
	struct pccl_group *group;

	for (group = master->groups; group != NULL; group = group->next, master->effort++) {
		group->open = is_open(master, group);
		group->empty = is_empty(group);
	}
}

/* The members have waited for newcomers that were lost meanwhile: the others join in the next update. */
static bool has_waited_enough(const struct pccl_group *group)
{
	return group->joins_lost >= LOST_JOINS_MAX && !group->empty;
}

static bool may_join_now(const struct pccl_client *client)
{
	const struct pccl_group *group = client->group;

	return group->open && !has_waited_enough(group) &&
	       (client->may_found || client->promise_count > 0 || !group->empty);
}

static bool bundle_may_join_now(struct pccl_master *master, const struct pccl_client *of)
{
	const struct pccl_client *client;

	assert(of->bundle != 0);
	master->effort += master->client_count;
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state == PCCL_CLIENT_WAITING && client->bundle == of->bundle &&
		    (!may_join_now(client) || !pccl_meet_is_ready(master, client)))
			return false;
	}
	return true;
}

static void admit_bundle(struct pccl_master *master, const struct pccl_client *of)
{
	struct pccl_client *client;

	assert(of->bundle != 0);
	master->effort += master->client_count;
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state != PCCL_CLIENT_WAITING || client->bundle != of->bundle)
			continue;
		client->admitting = true;
		client->group->dirty = true;
	}
}

static bool has_admitting(const struct pccl_master *master, const struct pccl_group *group)
{
	const struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->admitting)
			return true;
	}
	return false;
}

void pccl_admission_call_off(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->admitting)
			pccl_client_stop_admission(master, client);
	}
}

/* One founds an empty group; the others then wait for its consent. */
static bool choose_among(struct pccl_master *master, struct pccl_group *group, struct pccl_client **waiting,
			 uint32_t count, bool any)
{
	uint32_t index;

	for (index = 0; index < count && !(group->empty && any); index++) {
		struct pccl_client *client = waiting[index];

		if (client->admitting || !pccl_client_eligible(client) || !may_join_now(client) ||
		    !pccl_meet_is_ready(master, client) ||
		    (client->bundle != 0 && !bundle_may_join_now(master, client)))
			continue;
		if (client->bundle != 0)
			admit_bundle(master, client);
		else
			client->admitting = true;
		any = true;
	}
	return any;
}

bool pccl_admission_choose(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client **waiting;
	uint32_t count;
	bool any = has_admitting(master, group);

	assert(group->claim_count == 0);
	look_at_groups(master);
	if (!group->open || has_waited_enough(group)) {
		/* Somebody came back who knows that the call that was to admit them has ended otherwise. Or others
		 * that were admitted with them were lost, one after the other. */
		pccl_admission_call_off(master, group);
		return false;
	}
	/* Who comes while a change runs waits for the next one, so that a storm of newcomers does not start it again
	 * and again. */
	if (group->change.epoch != 0 || pccl_meet_is_awaited(master, group))
		return any;
	master->effort += master->client_count;
	waiting = pccl_clients_waiting(master, group, &count);
	if (waiting == NULL) {
		pccl_group_retry(master, group);
		return any;
	}
	any = choose_among(master, group, waiting, count, any);
	pccl_free(waiting);
	return any;
}

/* Is a rank of the bundle kept out by whom it can't reach, or for this time? */
static bool is_bundle_hopeless(const struct pccl_master *master, const struct pccl_client *of)
{
	const struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state == PCCL_CLIENT_WAITING && client->bundle == of->bundle &&
		    (pccl_meet_is_hopeless(master, client) || has_waited_enough(client->group)))
			return true;
	}
	return false;
}

bool pccl_admission_held(const struct pccl_master *master, const struct pccl_group *group)
{
	const struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->group == group && client->bundle != 0 && pccl_client_eligible(client) &&
		    !is_bundle_hopeless(master, client))
			return true;
	}
	return false;
}
