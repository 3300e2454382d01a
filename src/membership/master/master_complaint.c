/* Complaints about members that others can't reach: collected for a while, then the one goes that has trouble with most
 * others, and of those the one that most complain about; but not because of one complaint of one member alone. And
 * operations whose deadlines passed: they are ended by a view change that loses nobody. */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "base/uuid.h"

#define ALARMS_AT_ONCE 8		      /* view changes that one member may cause by deadlines, */
#define ALARM_NS PCCL_SECOND_NS		      /* and then one in this time */
#define IDLE_ALARMS_MAX 6		      /* for ops that nobody has, */
#define IDLE_MEMORY_NS (60 * PCCL_SECOND_NS)  /* each within this time of the one before */
#define DOUBT_MEMORY_NS (60 * PCCL_SECOND_NS) /* after two time-outs more a doubt is forgotten */

/* What a member has to do with complaints. */
struct trouble {
	uint32_t troubles; /* members with whom there is a complaint, from either side */
	uint32_t accusers;
	uint32_t rank;
};

static bool is_known(const struct pccl_group *group, const pcclRankUuid_t *from, const pcclRankUuid_t *about)
{
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		if (pccl_uuid_equal(&group->complaints[index].from, from) &&
		    pccl_uuid_equal(&group->complaints[index].about, about))
			return true;
	}
	return false;
}

void pccl_master_on_complaint(struct pccl_master *master, struct pccl_client *client,
			      const struct pccl_message_complaint *complaint)
{
	struct pccl_group *group = client->group;
	struct pccl_complaint *complaints;
	uint32_t rank;

	if (client->state != PCCL_CLIENT_SEATED || complaint->epoch != group->base->view.epoch ||
	    !pccl_view_rank(&group->base->view, &complaint->uuid, &rank) || rank == client->seat ||
	    group->complaint_count >= PCCL_GROUP_COMPLAINTS_MAX ||
	    is_known(group, &client->self.uuid, &complaint->uuid))
		return;
	assert(group->seats[client->seat].client == client);
	complaints = pccl_realloc(group->complaints, (group->complaint_count + 1) * sizeof(*complaints));
	if (complaints == NULL)
		return; /* the sender repeats it, or its op's deadline passes */
	group->complaints = complaints;
	complaints[group->complaint_count].from = client->self.uuid;
	complaints[group->complaint_count].about = complaint->uuid;
	memcpy(complaints[group->complaint_count].text, complaint->text, sizeof(complaint->text));
	group->complaint_count++;
	if (group->window_ns == PCCL_MASTER_NEVER)
		group->window_ns = master->now_ns + master->config.complaint_window_ns;
}

/* Takes back what it has said about one member, or, NULL, about all: a window that is open closes at its time. */
static void take_back(struct pccl_group *group, const pcclRankUuid_t *from, const pcclRankUuid_t *about)
{
	uint32_t index = group->complaint_count;

	while (index-- > 0) {
		const struct pccl_complaint *complaint = &group->complaints[index];

		if (!pccl_uuid_equal(&complaint->from, from) ||
		    (about != NULL && !pccl_uuid_equal(&complaint->about, about)))
			continue;
		group->complaints[index] = group->complaints[--group->complaint_count];
	}
}

void pccl_master_on_retract(struct pccl_client *client, const struct pccl_message_retract *retract)
{
	struct pccl_group *group = client->group;

	if (client->state == PCCL_CLIENT_SEATED && retract->epoch == group->base->view.epoch)
		take_back(group, &client->self.uuid, &retract->uuid);
}

void pccl_complaints_renew(struct pccl_group *group, const pcclRankUuid_t *from)
{
	take_back(group, from, NULL);
}

static bool is_here(const struct pccl_group *group, const pcclRankUuid_t *uuid, uint32_t *rank_out)
{
	return pccl_view_rank(&group->base->view, uuid, rank_out) && group->seats[*rank_out].state == PCCL_SEAT_HERE;
}

/* Between members that are still here: how many a member complains about or is complained about by, and how many only
 * the latter. One that hears nobody complains about everybody, perhaps before anybody complains about it. */
static void count_trouble(const struct pccl_group *group, uint32_t rank, uint32_t *troubles_out, uint32_t *accusers_out)
{
	const pcclRankUuid_t *uuid = &group->base->view.members[rank].uuid;
	uint32_t other;
	uint32_t index;

	*troubles_out = 0;
	*accusers_out = 0;
	for (index = 0; index < group->complaint_count; index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];

		if (pccl_uuid_equal(&complaint->about, uuid) && is_here(group, &complaint->from, &other)) {
			(*troubles_out)++;
			(*accusers_out)++;
		} else if (pccl_uuid_equal(&complaint->from, uuid) && is_here(group, &complaint->about, &other) &&
			   !is_known(group, &complaint->about, uuid)) {
			(*troubles_out)++;
		}
	}
}

static const char *text_about(const struct pccl_group *group, uint32_t rank)
{
	const pcclRankUuid_t *uuid = &group->base->view.members[rank].uuid;
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		if (pccl_uuid_equal(&group->complaints[index].about, uuid) ||
		    pccl_uuid_equal(&group->complaints[index].from, uuid))
			return group->complaints[index].text;
	}
	return "";
}

/* Of two that have as much trouble as accusers, who has had it before goes, else the one with the higher rank. */
static bool is_worse(const struct pccl_group *group, const struct trouble *left, const struct trouble *right)
{
	if (left->troubles != right->troubles)
		return left->troubles > right->troubles;
	if (left->accusers != right->accusers)
		return left->accusers > right->accusers;
	return group->seats[left->rank].client->conduct.feuds >= group->seats[right->rank].client->conduct.feuds;
}

/* Who has most trouble. False: nobody has any. */
static bool find_worst(const struct pccl_group *group, struct trouble *worst_out)
{
	struct trouble worst = {0, 0, 0};
	uint32_t rank;

	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		struct trouble trouble = {.rank = rank};

		if (group->seats[rank].state != PCCL_SEAT_HERE)
			continue;
		assert(group->seats[rank].client != NULL);
		count_trouble(group, rank, &trouble.troubles, &trouble.accusers);
		if (trouble.troubles > 0 && (worst.troubles == 0 || is_worse(group, &trouble, &worst)))
			worst = trouble;
	}
	*worst_out = worst;
	return worst.troubles > 0;
}

/* The one complaint between the member and another that it has trouble with; NULL: there are two, so each confirms the
 * other. */
static const struct pccl_complaint *only_complaint(const struct pccl_group *group, uint32_t rank)
{
	const pcclRankUuid_t *uuid = &group->base->view.members[rank].uuid;
	const struct pccl_complaint *found = NULL;
	uint32_t other;
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];

		if ((!pccl_uuid_equal(&complaint->about, uuid) || !is_here(group, &complaint->from, &other)) &&
		    (!pccl_uuid_equal(&complaint->from, uuid) || !is_here(group, &complaint->about, &other)))
			continue;
		if (found != NULL)
			return NULL;
		found = complaint;
	}
	return found;
}

/* They complain about each other, and this one stays. */
static void charge_feud(struct pccl_group *group, uint32_t worst)
{
	const pcclRankUuid_t *uuid = &group->base->view.members[worst].uuid;
	uint32_t other;
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];

		if (pccl_uuid_equal(&complaint->about, uuid) && is_here(group, &complaint->from, &other))
			group->seats[other].client->conduct.feuds++;
	}
}

static void forget_complaints(struct pccl_group *group)
{
	group->complaint_count = 0;
	group->doubt_ns = PCCL_MASTER_NEVER;
}

/* Counts, but for what is long ago: a run may last for months. */
static bool is_doubted_again(const struct pccl_master *master, struct pccl_client *client)
{
	struct pccl_conduct *conduct = &client->conduct;

	if (master->now_ns >= conduct->doubt_ns + 2 * master->config.heartbeat_timeout_ns + DOUBT_MEMORY_NS)
		conduct->doubts = 0;
	conduct->doubt_ns = master->now_ns;
	return ++conduct->doubts > 1;
}

/* One complains, and neither the accused nor anybody else has trouble. They get time to find some. Then the accuser is
 * the only one who has, and goes if it happens again. */
static void doubt(struct pccl_master *master, struct pccl_group *group, const struct pccl_complaint *complaint)
{
	char why[PCCL_CAUSE_TEXT_BYTES];
	uint32_t rank;

	if (group->doubt_ns == PCCL_MASTER_NEVER)
		group->doubt_ns = master->now_ns + master->config.heartbeat_timeout_ns;
	if (master->now_ns < group->doubt_ns) {
		group->window_ns = group->doubt_ns;
		return;
	}
	pccl_text_format(why, sizeof(why), "it alone could not reach another member, twice: %s", complaint->text);
	if (is_here(group, &complaint->from, &rank) && is_doubted_again(master, group->seats[rank].client))
		pccl_client_dismiss(master, group->seats[rank].client, PCCL_MESSAGE_EVICTED, pcclEvicted, why);
	forget_complaints(group);
}

void pccl_complaints_judge(struct pccl_master *master, struct pccl_group *group)
{
	const struct pccl_complaint *only;
	char why[PCCL_CAUSE_TEXT_BYTES];
	struct trouble worst;

	group->window_ns = PCCL_MASTER_NEVER;
	if (!find_worst(group, &worst)) {
		forget_complaints(group);
		return;
	}
	only = worst.troubles == 1 ? only_complaint(group, worst.rank) : NULL;
	if (only != NULL) {
		doubt(master, group, only);
		return;
	}
	pccl_text_format(why, sizeof(why), "%u of %u members and this peer could not reach each other: %s",
			 worst.troubles, group->base->view.member_count, text_about(group, worst.rank));
	assert(group->seats[worst.rank].client != NULL);
	charge_feud(group, worst.rank);
	pccl_client_dismiss(master, group->seats[worst.rank].client, PCCL_MESSAGE_EVICTED, pcclEvicted, why);
	forget_complaints(group);
}

/* Does anybody else who was asked have the op? */
static bool is_anybodys(const struct pccl_change *change, const struct pccl_expired_op *op)
{
	uint32_t rank;
	uint32_t index;

	assert(change->epoch != 0);
	for (rank = 0; rank < change->survivor_count; rank++) {
		const struct pccl_client *client = change->recipients[rank];

		for (index = 0; index < client->report_count; index++) {
			if (client->reports[index].tag == op->tag && client->reports[index].sequence == op->sequence)
				return true;
		}
	}
	return false;
}

void pccl_expired_charge(struct pccl_master *master, struct pccl_group *group)
{
	uint32_t index;

	for (index = 0; index < group->expired_count; index++) {
		struct pccl_client *teller = group->seats[group->expired[index].teller].client;

		if (teller == NULL || is_anybodys(&group->change, &group->expired[index]))
			continue;
		if (master->now_ns >= teller->conduct.idle_ns + IDLE_MEMORY_NS)
			teller->conduct.idle_alarms = 0;
		teller->conduct.idle_alarms++;
		teller->conduct.idle_ns = master->now_ns;
	}
}

/* May this member cause another view change now? It says so again if not. */
static bool may_alarm(struct pccl_master *master, struct pccl_client *client)
{
	while (client->conduct.alarms > 0 && master->now_ns >= client->conduct.alarm_ns) {
		client->conduct.alarm_ns += ALARM_NS;
		client->conduct.alarms--;
	}
	if (client->conduct.alarms >= ALARMS_AT_ONCE)
		return false;
	if (client->conduct.alarms++ == 0)
		client->conduct.alarm_ns = master->now_ns + ALARM_NS;
	return true;
}

void pccl_master_on_expired(struct pccl_master *master, struct pccl_client *client,
			    const struct pccl_message_expired *expired)
{
	struct pccl_group *group = client->group;
	struct pccl_expired_op *list;
	uint32_t index;

	if (client->state != PCCL_CLIENT_SEATED || expired->epoch != group->base->view.epoch ||
	    group->expired_count >= PCCL_GROUP_EXPIRED_MAX)
		return;
	for (index = 0; index < group->expired_count; index++) {
		if (group->expired[index].tag == expired->tag && group->expired[index].sequence == expired->sequence)
			return;
	}
	if (client->conduct.idle_alarms >= IDLE_ALARMS_MAX) {
		pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted,
				    "it kept asking for the end of operations that nobody has");
		return;
	}
	if (group->expired_count == 0 && !may_alarm(master, client))
		return;
	assert(group->seats[client->seat].client == client);
	list = pccl_realloc(group->expired, (group->expired_count + 1) * sizeof(*list));
	if (list == NULL)
		return;
	group->expired = list;
	list[group->expired_count].tag = expired->tag;
	list[group->expired_count].sequence = expired->sequence;
	list[group->expired_count].teller = client->seat;
	group->expired_count++;
	pccl_group_note_cause(group, "an operation's deadline passed: %s", expired->text);
	group->flush_due = true;
	group->dirty = true;
}
