/*
 * Introductions: newcomers and members make links to each other before a view has them, while the members go on. Only
 * who has been reached by all members, and by the other newcomers, is admitted; who has not waits, is told why, and is
 * introduced again, after a time that doubles.
 *
 * Of each pair the one that came later has the meeting. That a link is up a member says, or one of two newcomers; that
 * it is not a member may say, or the one that came later, which only keeps itself out.
 */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "base/uuid.h"

#define UNDIALLED_NS (500 * PCCL_MS_NS) /* so long a member leaves it to the newcomer to dial */
#define HOLD_NS PCCL_SECOND_NS		/* so long the members' update waits for a newcomer that has not failed yet */
#define LIMIT_NS (30 * PCCL_SECOND_NS)	/* so long for the answers to one */
#define WAIT_FIRST_NS PCCL_SECOND_NS	/* until the second, */
#define WAIT_DOUBLINGS 6		/* and so much more until later ones: to 64 s */
#define REFUSALS_MAX 3			/* newcomers in a row, reached by most members, that one member did not reach */

/* ---- the meetings of one newcomer ---------------------------------------------------------------------------- */

static struct pccl_meeting *find_meeting(const struct pccl_client *newcomer, const struct pccl_client *with)
{
	uint32_t index;

	for (index = 0; index < newcomer->meeting_count; index++) {
		if (newcomer->meetings[index].with == with)
			return &newcomer->meetings[index];
	}
	return NULL;
}

static void set_meeting(struct pccl_client *newcomer, struct pccl_meeting *meeting, enum pccl_meeting_state state)
{
	newcomer->meetings_open -= meeting->state == PCCL_MEETING_OPEN;
	newcomer->meetings_open += state == PCCL_MEETING_OPEN;
	meeting->state = state;
	if (newcomer->meetings_open == 0)
		newcomer->group->meets_due = newcomer->group->dirty = true;
}

void pccl_meet_forget(struct pccl_master *master, const struct pccl_client *gone)
{
	struct pccl_client *client;
	struct pccl_meeting *meeting;

	for (client = master->clients; client != NULL; client = client->next) {
		meeting = client->group != NULL && client->group == gone->group ? find_meeting(client, gone) : NULL;
		if (meeting == NULL)
			continue;
		set_meeting(client, meeting, PCCL_MEETING_REACHED);
		*meeting = client->meetings[--client->meeting_count];
	}
}

void pccl_meet_end(struct pccl_client *client)
{
	pccl_free(client->meetings);
	client->meetings = NULL;
	client->meeting_count = 0;
	client->meetings_open = 0;
	client->meet_tries = 0;
	client->meet_ns = 0;
	client->meet_hold_ns = PCCL_MASTER_NEVER;
	client->meet_end_ns = PCCL_MASTER_NEVER;
	client->meet_again_ns = PCCL_MASTER_NEVER;
}

static bool is_resting(const struct pccl_client *client)
{
	return client->meet_again_ns != PCCL_MASTER_NEVER;
}

static bool is_member(const struct pccl_client *client)
{
	return client->state == PCCL_CLIENT_SEATED;
}

/* Because of what others that come from there have done. */
static bool is_kept_out(const struct pccl_master *master, const struct pccl_client *newcomer)
{
	return pccl_origin_rests(master, newcomer, PCCL_REST_ADMISSION) ||
	       pccl_origin_rests(master, newcomer, PCCL_REST_LOSS);
}

/* ---- introducing --------------------------------------------------------------------------------------------- */

static void fill_stranger(struct pccl_member *stranger, const struct pccl_client *client, const struct pccl_client *to)
{
	*stranger = client->self;
	stranger->pass = pccl_identity_pass(&client->secret, &to->self.uuid);
}

/* Tells `to` of `count` others. */
static void tell(struct pccl_master *master, uint32_t number, struct pccl_client *to, struct pccl_client *const *others,
		 uint32_t count, bool dials, bool anew)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_MEET);
	uint32_t index;

	if (to->state == PCCL_CLIENT_CLOSING) {
		pccl_message_destroy(message);
		return;
	}
	if (message != NULL) {
		struct pccl_message_meet *meet = &message->body.meet;

		meet->number = number;
		meet->dials = dials;
		meet->anew = anew;
		meet->strangers.members = pccl_calloc(count, sizeof(*meet->strangers.members));
		if (meet->strangers.members == NULL) {
			pccl_message_destroy(message);
			return; /* nobody answers: it is tried again */
		}
		meet->strangers.member_count = count;
		for (index = 0; index < count; index++)
			fill_stranger(&meet->strangers.members[index], others[index], to);
	}
	pccl_master_send(master, to, message);
}

static void introduce(struct pccl_master *master, struct pccl_client *to, struct pccl_client *const *others,
		      uint32_t count, bool dials, bool anew)
{
	tell(master, master->meet_number, to, others, count, dials, anew);
}

void pccl_meet_part(struct pccl_master *master, const struct pccl_group *group, struct pccl_client *gone)
{
	struct pccl_client *client;

	if (master->is_parting) /* it is lost for want of memory to tell it of another */
		return;
	master->is_parting = true;
	/* Newcomers as well: they may be members soon. Who does not know it pays no heed. */
	for (client = master->clients; client != NULL; client = client->next)
		if (client->group == group)
			tell(master, PCCL_MEET_PART, client, &gone, 1, false, false);
	master->is_parting = false;
}

uint32_t pccl_meet_ask(struct pccl_master *master, struct pccl_client *member, struct pccl_client *about)
{
	assert(is_member(member) && is_member(about));
	master->meet_number++;
	introduce(master, member, &about, 1, false, false);
	return master->meet_number;
}

/* Is the newcomer to be introduced to this one now? Notes it, if so. */
static bool is_due(const struct pccl_master *master, struct pccl_client *newcomer, struct pccl_client *with)
{
	struct pccl_meeting *meeting = with->met;

	if (meeting == NULL) {
		meeting = &newcomer->meetings[newcomer->meeting_count++];
		memset(meeting, 0, sizeof(*meeting));
		meeting->with = with;
		meeting->state = PCCL_MEETING_REACHED;
	} else if (meeting->state != PCCL_MEETING_DUE) {
		return false;
	}
	set_meeting(newcomer, meeting, PCCL_MEETING_OPEN);
	meeting->number = master->meet_number + 1;
	meeting->by_member = false;
	return true;
}

/* With whom it has meetings already: `met` of every client of the group. */
static void mark_met(const struct pccl_group *group, struct pccl_client *const *waiting, uint32_t waiting_count,
		     const struct pccl_client *newcomer)
{
	uint32_t index;

	for (index = 0; index < group->base->view.member_count; index++) {
		if (group->seats[index].client != NULL)
			group->seats[index].client->met = NULL;
	}
	for (index = 0; index < waiting_count; index++)
		waiting[index]->met = NULL;
	for (index = 0; index < newcomer->meeting_count; index++)
		newcomer->meetings[index].with->met = &newcomer->meetings[index];
}

/* The newcomer at `place` of the list: to all members, and to the newcomers before it. False: out of memory. */
static bool make_meetings(struct pccl_master *master, struct pccl_group *group, struct pccl_client **waiting,
			  uint32_t place)
{
	struct pccl_client *newcomer = waiting[place];
	size_t room = group->base->view.member_count + place + newcomer->meeting_count;
	struct pccl_client **others = pccl_calloc(room, sizeof(*others));
	struct pccl_meeting *meetings = pccl_realloc(newcomer->meetings, room * sizeof(*meetings));
	uint32_t count = 0;
	uint32_t index;

	if (meetings != NULL)
		newcomer->meetings = meetings;
	if (others == NULL || meetings == NULL) {
		pccl_free(others);
		return false;
	}
	mark_met(group, waiting, place, newcomer);
	for (index = 0; index < group->base->view.member_count; index++) {
		struct pccl_client *member = group->seats[index].client;

		if (member != NULL && is_due(master, newcomer, member))
			others[count++] = member;
	}
	for (index = 0; index < place; index++) {
		if (waiting[index]->meet_ns != 0 && !is_resting(waiting[index]) &&
		    is_due(master, newcomer, waiting[index]))
			others[count++] = waiting[index];
	}
	if (count > 0) {
		master->meet_number++;
		pccl_origin_meets(master, newcomer);
		if (newcomer->meet_tries == 0 && !pccl_origin_rests(master, newcomer, PCCL_REST_HOLD))
			newcomer->meet_hold_ns = master->now_ns + HOLD_NS;
		newcomer->meet_ns = master->now_ns;
		newcomer->meet_end_ns = master->now_ns + LIMIT_NS;
		for (index = 0; index < count; index++)
			introduce(master, others[index], &newcomer, 1, false, newcomer->meet_tries > 0);
		introduce(master, newcomer, others, count, true, newcomer->meet_tries > 0);
	}
	pccl_free(others);
	return true;
}

/* ---- what came of it ------------------------------------------------------------------------------------------ */

static void note_failure(struct pccl_client *newcomer, struct pccl_meeting *meeting, bool by_member, const char *text)
{
	const struct pccl_client *with = meeting->with;

	if (meeting->state == PCCL_MEETING_FAILED)
		return;
	if (newcomer->meet_text[0] == '\0' && is_member(with))
		pccl_text_format(newcomer->meet_text, sizeof(newcomer->meet_text), "rank %u (%s): %s", with->seat,
				 with->self.addresses[0].host, text);
	meeting->by_member = by_member;
	set_meeting(newcomer, meeting, PCCL_MEETING_FAILED);
}

void pccl_master_on_met(const struct pccl_master *master, struct pccl_client *client,
			const struct pccl_message_met *met)
{
	struct pccl_client *other = pccl_client_of(client->group, master, &met->uuid);
	struct pccl_client *newcomer = client;
	struct pccl_client *with = other;
	struct pccl_meeting *meeting;

	if (other == NULL)
		return;
	if (is_member(client) && is_member(other)) {
		pccl_complaint_answered(master, client, other, met);
		return;
	}
	if (other->state == PCCL_CLIENT_WAITING && (is_member(client) || client->serial < other->serial)) {
		newcomer = other;
		with = client;
	}
	meeting = newcomer->state == PCCL_CLIENT_WAITING ? find_meeting(newcomer, with) : NULL;
	if (meeting == NULL || meeting->number != met->number)
		return;
	if (!met->reached && (client == newcomer || is_member(client)))
		note_failure(newcomer, meeting, client != newcomer, met->text);
	if (!met->reached || (is_member(with) && client != with))
		return;
	if (is_member(client))
		client->conduct.refusals = 0;
	if (meeting->state == PCCL_MEETING_OPEN)
		set_meeting(newcomer, meeting, PCCL_MEETING_REACHED);
}

static void count_members(const struct pccl_client *newcomer, uint32_t *reached_out, uint32_t *failed_out)
{
	uint32_t index;

	*reached_out = 0;
	*failed_out = 0;
	for (index = 0; index < newcomer->meeting_count; index++) {
		const struct pccl_meeting *meeting = &newcomer->meetings[index];

		*reached_out += is_member(meeting->with) && meeting->state == PCCL_MEETING_REACHED;
		*failed_out += is_member(meeting->with) && meeting->state == PCCL_MEETING_FAILED;
	}
}

/* Whom most members reach, it does not, and neither those before: it may be the one that can't be reached, or that does
 * not want the group to grow. It is named; the second time, after as many others again, it goes. */
static void charge(struct pccl_master *master, struct pccl_client *member, const struct pccl_client *newcomer)
{
	if (pccl_uuid_equal(&member->conduct.refused, &newcomer->self.uuid))
		return;
	member->conduct.refused = newcomer->self.uuid;
	if (++member->conduct.refusals < REFUSALS_MAX)
		return;
	member->conduct.refusals = 0;
	pccl_log_warn("master: group %u: rank %u (%s) has not reached %u newcomers in a row, which most members reach",
		      member->group->id, member->seat, member->self.addresses[0].host, REFUSALS_MAX);
	if (++member->conduct.namings > 1)
		pccl_client_dismiss(master, member, PCCL_MESSAGE_EVICTED, pcclEvicted,
				    "it did not reach any of many newcomers that most members reach");
}

static void charge_minority(struct pccl_master *master, const struct pccl_client *newcomer)
{
	uint32_t index = newcomer->meeting_count;
	uint32_t reached, failed;

	count_members(newcomer, &reached, &failed);
	if (reached <= failed)
		return;
	/* From the end: who is evicted leaves the list. */
	while (index-- > 0) {
		const struct pccl_meeting *meeting = &newcomer->meetings[index];

		if (is_member(meeting->with) && meeting->state == PCCL_MEETING_FAILED && meeting->by_member)
			charge(master, meeting->with, newcomer);
	}
}

/* Says who can't reach whom, to the newcomer and to the log; it is tried again later. */
static void put_off(struct pccl_master *master, struct pccl_client *newcomer)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_UNMET);
	uint32_t doublings = newcomer->meet_tries < WAIT_DOUBLINGS ? newcomer->meet_tries : WAIT_DOUBLINGS;
	char text[PCCL_CAUSE_TEXT_BYTES];
	uint32_t reached, failed;

	count_members(newcomer, &reached, &failed);
	pccl_text_format(text, sizeof(text), "%u of %u members and this peer can't reach each other: %s", failed,
			 reached + failed, newcomer->meet_text);
	newcomer->meet_text[0] = '\0';
	newcomer->meet_tries++;
	newcomer->meet_again_ns = master->now_ns + (WAIT_FIRST_NS << doublings);
	pccl_log_warn("master: group %u: a newcomer (%s) waits: %s", newcomer->group->id,
		      newcomer->self.addresses[0].host, text);
	if (message != NULL) {
		message->body.notice.result = pcclRankConnectionFailed;
		pccl_text_copy(message->body.notice.text, sizeof(message->body.notice.text), text);
	}
	pccl_master_send(master, newcomer, message);
}

static bool fails_members(const struct pccl_client *newcomer)
{
	uint32_t reached, failed;

	count_members(newcomer, &reached, &failed);
	return failed > 0;
}

static void end_rest(struct pccl_client *newcomer)
{
	uint32_t index;

	newcomer->meet_again_ns = PCCL_MASTER_NEVER;
	for (index = 0; index < newcomer->meeting_count; index++) {
		if (newcomer->meetings[index].state == PCCL_MEETING_FAILED)
			newcomer->meetings[index].state = PCCL_MEETING_DUE;
	}
}

/* All have answered. Newcomers that do not reach each other are not admitted together; that is no reason for either to
 * wait. */
static void conclude(struct pccl_master *master, struct pccl_client *newcomer)
{
	bool runs = newcomer->meet_end_ns != PCCL_MASTER_NEVER;

	newcomer->meet_end_ns = PCCL_MASTER_NEVER;
	newcomer->meet_hold_ns = PCCL_MASTER_NEVER;
	if (fails_members(newcomer)) {
		charge_minority(master, newcomer);
		put_off(master, newcomer);
	} else if (runs && master->now_ns < newcomer->meet_ns + UNDIALLED_NS) {
		pccl_origin_met_undialled(master, newcomer);
	}
}

void pccl_meet_evaluate(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client **waiting;
	uint32_t trying = 0;
	uint32_t count;
	uint32_t index;

	if (!group->meets_due || group->base == NULL || group->claim_count > 0)
		return;
	group->meets_due = false;
	waiting = pccl_clients_waiting(master, group, &count);
	if (waiting == NULL) {
		group->meets_due = true;
		pccl_group_retry(master, group);
		return;
	}
	for (index = 0; index < count; index++) {
		struct pccl_client *newcomer = waiting[index];

		if (newcomer->state != PCCL_CLIENT_WAITING)
			continue;
		if (is_resting(newcomer) && !fails_members(newcomer))
			end_rest(newcomer); /* whom it did not reach is no member any more */
		if (newcomer->meetings_open == 0 && !is_resting(newcomer))
			conclude(master, newcomer);
		if (newcomer->state != PCCL_CLIENT_WAITING || trying >= PCCL_MEETS_MAX || is_resting(newcomer) ||
		    !pccl_origin_may_meet(master, newcomer))
			continue;
		if (!make_meetings(master, group, waiting, index)) {
			group->meets_due = true;
			pccl_group_retry(master, group);
			break;
		}
		trying += newcomer->meetings_open > 0;
	}
	pccl_free(waiting);
}

/* ---- admission ------------------------------------------------------------------------------------------------ */

static bool have_met(const struct pccl_client *left, const struct pccl_client *right)
{
	const struct pccl_meeting *meeting = find_meeting(left, right);

	if (meeting == NULL)
		meeting = find_meeting(right, left);
	return meeting != NULL && meeting->state == PCCL_MEETING_REACHED;
}

bool pccl_meet_is_ready(const struct pccl_master *master, const struct pccl_client *newcomer)
{
	const struct pccl_group *group = newcomer->group;
	const struct pccl_client *client;
	uint32_t members = 0, reached, failed;
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++)
		members += group->seats[rank].client != NULL;
	count_members(newcomer, &reached, &failed);
	if (is_resting(newcomer) || reached < members)
		return false;
	if (is_kept_out(master, newcomer))
		return false;
	for (client = master->clients; client != NULL; client = client->next) {
		bool together = client->group == group && client != newcomer && client->state == PCCL_CLIENT_WAITING &&
				(client->admitting || (client->bundle != 0 && client->bundle == newcomer->bundle));

		if (together && group->base != NULL && !have_met(newcomer, client))
			return false;
	}
	return true;
}

bool pccl_meet_is_hopeless(const struct pccl_master *master, const struct pccl_client *newcomer)
{
	return !pccl_meet_is_ready(master, newcomer) && newcomer->meet_hold_ns == PCCL_MASTER_NEVER;
}

bool pccl_meet_has_failed(const struct pccl_master *master, const struct pccl_client *newcomer)
{
	return (newcomer->meet_tries > 0 && (is_resting(newcomer) || newcomer->meetings_open > 0)) ||
	       is_kept_out(master, newcomer);
}

bool pccl_meet_is_awaited(const struct pccl_master *master, struct pccl_group *group)
{
	const struct pccl_client *client = master->clients;

	while (client != NULL && (client->group != group || client->meet_hold_ns == PCCL_MASTER_NEVER ||
				  !pccl_client_eligible(client) || is_kept_out(master, client)))
		client = client->next;
	if (client == NULL)
		return false;
	/* Newcomers may come one after the other. */
	if (group->hold_ns == PCCL_MASTER_NEVER)
		group->hold_ns = master->now_ns + HOLD_NS;
	return master->now_ns < group->hold_ns;
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

static void fail_open(struct pccl_client *newcomer)
{
	uint32_t index;

	for (index = 0; index < newcomer->meeting_count; index++) {
		if (newcomer->meetings[index].state == PCCL_MEETING_OPEN)
			note_failure(newcomer, &newcomer->meetings[index], true, "it did not say whether it can");
	}
}

void pccl_meets_tick(struct pccl_master *master)
{
	struct pccl_client *client;

	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state != PCCL_CLIENT_WAITING)
			continue;
		if (master->now_ns >= client->meet_end_ns)
			fail_open(client);
		if (master->now_ns >= client->meet_again_ns) {
			end_rest(client);
			client->group->meets_due = client->group->dirty = true;
		}
		if (master->now_ns >= client->meet_hold_ns) {
			client->meet_hold_ns = PCCL_MASTER_NEVER;
			client->group->dirty = true;
			if (client->group->hold_ns != PCCL_MASTER_NEVER)
				pccl_origin_charge(master, client, PCCL_REST_HOLD);
		}
	}
}

uint64_t pccl_meets_deadline(const struct pccl_master *master, const struct pccl_client *client)
{
	uint64_t deadline = pccl_master_earlier(client->meet_again_ns, client->meet_hold_ns);

	if (client->state != PCCL_CLIENT_WAITING)
		return PCCL_MASTER_NEVER;
	return client->meet_end_ns > master->now_ns ? pccl_master_earlier(deadline, client->meet_end_ns) : deadline;
}
