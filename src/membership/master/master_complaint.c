/*
 * Complaints about members that others can't reach. A link has two ends, and who lies about links has one end of each
 * that it lies about. So who is accused by one is asked whether it has no link to that one either (MEET):
 *	- it has none, or says so by itself: the link is broken. Of the two the one goes that has more broken links
 *	- it denies that, or says nothing, for a while: one of the two lies, or was mistaken. Nobody goes for that once.
 *	  Who was in two disputes goes, or who accuses for the second time
 *	- most others accuse it: it goes, without being asked
 * What is remembered of those who stay says who goes the next time.
 *
 * And operations whose deadlines passed: they are ended by a view change that loses nobody.
 */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "base/uuid.h"

#define ALARMS_AT_ONCE 8		     /* view changes that one member may cause by deadlines, */
#define ALARM_NS PCCL_SECOND_NS		     /* and then one in this time */
#define IDLE_ALARMS_MAX 6		     /* for ops that nobody has, */
#define IDLE_MEMORY_NS (60 * PCCL_SECOND_NS) /* each within this time of the one before */
#define NAME_BYTES (PCCL_ADDRESS_TEXT_BYTES + 24)
#define NAMED_MAX 2				/* members that words name, which have an end */
#define DISPUTE_MEMORY_NS (60 * PCCL_SECOND_NS) /* after two time-outs more a dispute is forgotten */
#define WON_MEMORY_NS (3600 * PCCL_SECOND_NS)	/* and that somebody went for one */

/* What a member has to do with complaints. */
struct trouble {
	uint32_t troubles; /* members with whom there is a complaint, from either side */
	uint32_t accusers;
	uint32_t rank;
	bool confirmed; /* only what both sides say counts */
};

/* ---- what is complained about -------------------------------------------------------------------------------- */

static struct pccl_complaint *find_complaint(const struct pccl_group *group, const pcclRankUuid_t *from,
					     const pcclRankUuid_t *about)
{
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		if (pccl_uuid_equal(&group->complaints[index].from, from) &&
		    pccl_uuid_equal(&group->complaints[index].about, about))
			return &group->complaints[index];
	}
	return NULL;
}

/* Does the accused say the same? */
static bool is_mutual(const struct pccl_group *group, const struct pccl_complaint *complaint)
{
	return find_complaint(group, &complaint->about, &complaint->from) != NULL;
}

/* The accused and others get time to find trouble themselves. */
static void add_complaint(const struct pccl_master *master, struct pccl_group *group, const pcclRankUuid_t *from,
			  const pcclRankUuid_t *about, const char *text)
{
	struct pccl_complaint *complaints;
	struct pccl_complaint *complaint;

	if (group->complaint_count >= PCCL_GROUP_COMPLAINTS_MAX || find_complaint(group, from, about) != NULL)
		return;
	complaints = pccl_realloc(group->complaints, (group->complaint_count + 1) * sizeof(*complaints));
	if (complaints == NULL)
		return; /* the sender repeats it, or its op's deadline passes */
	group->complaints = complaints;
	complaint = &complaints[group->complaint_count++];
	memset(complaint, 0, sizeof(*complaint));
	complaint->from = *from;
	complaint->about = *about;
	pccl_text_copy(complaint->text, sizeof(complaint->text), text);
	complaint->until_ns = master->now_ns + master->config.complaint_window_ns + master->config.heartbeat_timeout_ns;
	group->window_ns = pccl_master_earlier(group->window_ns, master->now_ns + master->config.complaint_window_ns);
}

void pccl_master_on_complaint(const struct pccl_master *master, struct pccl_client *client,
			      const struct pccl_message_complaint *complaint)
{
	struct pccl_group *group = client->group;
	uint32_t rank;

	if (client->state != PCCL_CLIENT_SEATED || complaint->epoch != group->base->view.epoch ||
	    !pccl_view_rank(&group->base->view, &complaint->uuid, &rank) || rank == client->seat)
		return;
	assert(group->seats[client->seat].client == client);
	add_complaint(master, group, &client->self.uuid, &complaint->uuid, complaint->text);
}

void pccl_complaint_answered(const struct pccl_master *master, struct pccl_client *accused,
			     const struct pccl_client *accuser, const struct pccl_message_met *met)
{
	const struct pccl_complaint *complaint =
		find_complaint(accused->group, &accuser->self.uuid, &accused->self.uuid);

	if (complaint != NULL && complaint->asked && complaint->number == met->number && !met->reached)
		add_complaint(master, accused->group, &accused->self.uuid, &accuser->self.uuid, met->text);
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

void pccl_complaints_forgive(struct pccl_group *group, uint64_t late_ns)
{
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++)
		group->complaints[index].until_ns += late_ns;
}

/* NULL: it is not here. */
static struct pccl_client *member_of(const struct pccl_group *group, const pcclRankUuid_t *uuid)
{
	uint32_t rank;

	if (!pccl_view_rank(&group->base->view, uuid, &rank) || group->seats[rank].state != PCCL_SEAT_HERE)
		return NULL;
	assert(group->seats[rank].client != NULL);
	return group->seats[rank].client;
}

/* Of those that are not here any more, and about them. */
static void drop_stale(struct pccl_group *group)
{
	uint32_t index = group->complaint_count;

	while (index-- > 0) {
		if (member_of(group, &group->complaints[index].from) == NULL ||
		    member_of(group, &group->complaints[index].about) == NULL)
			group->complaints[index] = group->complaints[--group->complaint_count];
	}
}

/* ---- links that are broken ----------------------------------------------------------------------------------- */

/* One that hears nobody complains about everybody, perhaps before anybody complains about it. */
static void count_trouble(const struct pccl_group *group, struct trouble *trouble)
{
	const pcclRankUuid_t *uuid = &group->base->view.members[trouble->rank].uuid;
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];
		bool accuses = pccl_uuid_equal(&complaint->from, uuid);
		bool mutual;

		if (!accuses && !pccl_uuid_equal(&complaint->about, uuid))
			continue;
		mutual = is_mutual(group, complaint);
		if ((trouble->confirmed && !mutual) || (accuses && mutual))
			continue;
		trouble->troubles++;
		trouble->accusers += !accuses;
	}
}

static uint32_t count_here(const struct pccl_group *group)
{
	uint32_t here = 0;
	uint32_t rank;

	for (rank = 0; rank < group->base->view.member_count; rank++)
		here += group->seats[rank].state == PCCL_SEAT_HERE;
	return here;
}

/* So many of the others; never one alone. */
static bool are_most(const struct pccl_group *group, uint32_t count)
{
	return count > 1 && 2 * count > count_here(group) - 1;
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

static uint32_t disputes_won_by(const struct pccl_master *master, const struct pccl_client *client)
{
	const struct pccl_conduct *conduct = &client->conduct;

	return master->now_ns < conduct->won_ns + WON_MEMORY_NS ? conduct->disputes_won : 0;
}

static uint32_t feuds_of(const struct pccl_master *master, const struct pccl_group *group, uint32_t rank)
{
	const struct pccl_client *client = group->seats[rank].client;

	return client->conduct.feuds + disputes_won_by(master, client);
}

/* Of two that have as much trouble as accusers, who has had it before goes, else the one with the higher rank. */
static bool is_worse(const struct pccl_master *master, const struct pccl_group *group, const struct trouble *left,
		     const struct trouble *right)
{
	if (left->troubles != right->troubles)
		return left->troubles > right->troubles;
	if (left->accusers != right->accusers)
		return left->accusers > right->accusers;
	return feuds_of(master, group, left->rank) >= feuds_of(master, group, right->rank);
}

/* Who has most trouble: of those whom most others accuse, or of links that both sides say are broken. False: nobody
 * has any. */
static bool find_worst(const struct pccl_master *master, const struct pccl_group *group, bool confirmed,
		       struct trouble *worst_out)
{
	struct trouble worst = {0};
	uint32_t rank;

	for (rank = 0; rank < group->base->view.member_count; rank++) {
		struct trouble trouble = {.rank = rank, .confirmed = confirmed};

		if (group->seats[rank].state != PCCL_SEAT_HERE)
			continue;
		count_trouble(group, &trouble);
		if (trouble.troubles == 0 || (!confirmed && !are_most(group, trouble.accusers)))
			continue;
		if (worst.troubles == 0 || is_worse(master, group, &trouble, &worst))
			worst = trouble;
	}
	*worst_out = worst;
	return worst.troubles > 0;
}

static void charge_one(const struct pccl_master *master, struct pccl_client *stays, bool dispute)
{
	if (!dispute) {
		stays->conduct.feuds++;
		return;
	}
	stays->conduct.disputes_won = disputes_won_by(master, stays) + 1;
	stays->conduct.won_ns = master->now_ns;
}

/* Those that it has trouble with, and that stay. If they are most of the others it was not theirs. */
static void charge_others(const struct pccl_master *master, struct pccl_group *group, const struct pccl_client *worst,
			  bool dispute)
{
	struct trouble trouble = {.rank = worst->seat};
	uint32_t index;

	count_trouble(group, &trouble);
	for (index = 0; index < group->complaint_count && !are_most(group, trouble.troubles); index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];

		if (pccl_uuid_equal(&complaint->about, &worst->self.uuid))
			charge_one(master, member_of(group, &complaint->from), dispute);
		else if (pccl_uuid_equal(&complaint->from, &worst->self.uuid) && !is_mutual(group, complaint))
			charge_one(master, member_of(group, &complaint->about), dispute);
	}
}

static void evict(struct pccl_master *master, struct pccl_group *group, struct pccl_client *worst, bool dispute,
		  const char *why)
{
	charge_others(master, group, worst, dispute);
	group->complaint_count = 0;
	pccl_client_dismiss(master, worst, PCCL_MESSAGE_EVICTED, pcclEvicted, why);
}

static void name_member(const struct pccl_group *group, const pcclRankUuid_t *uuid, char *text, size_t bytes)
{
	uint32_t rank = 0;

	(void)pccl_view_rank(&group->base->view, uuid, &rank);
	pccl_text_format(text, bytes, "rank %u (%s)", rank, group->base->view.members[rank].addresses[0].host);
}

/* "rank 0 (203.0.113.1), rank 2 (203.0.113.2) and 3 more": with whom it has trouble, as count_trouble() has it. */
static void name_others(const struct pccl_group *group, const struct trouble *trouble, char *text, size_t bytes)
{
	const pcclRankUuid_t *uuid = &group->base->view.members[trouble->rank].uuid;
	char name[NAME_BYTES];
	uint32_t index, count = 0;
	size_t length = 0;

	for (index = 0; index < group->complaint_count && count < NAMED_MAX; index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];
		bool accuses = pccl_uuid_equal(&complaint->from, uuid);

		if ((!accuses && !pccl_uuid_equal(&complaint->about, uuid)) ||
		    (is_mutual(group, complaint) ? accuses : trouble->confirmed))
			continue;
		name_member(group, accuses ? &complaint->about : &complaint->from, name, sizeof(name));
		pccl_text_format(text + length, bytes - length, "%s%s", count++ > 0 ? ", " : "", name);
		length = strlen(text);
	}
	if (trouble->troubles > count)
		pccl_text_format(text + length, bytes - length, " and %u more", trouble->troubles - count);
}

static void evict_worst(struct pccl_master *master, struct pccl_group *group, const struct trouble *worst)
{
	char why[PCCL_CAUSE_TEXT_BYTES], names[(NAMED_MAX + 1) * NAME_BYTES] = "";

	name_others(group, worst, names, sizeof(names));
	pccl_text_format(why, sizeof(why), "%u of %u members and this peer could not reach each other: %s: %s",
			 worst->troubles, group->base->view.member_count, names, text_about(group, worst->rank));
	evict(master, group, group->seats[worst->rank].client, false, why);
}

/* ---- disputes ------------------------------------------------------------------------------------------------ */

static void ask_accused(struct pccl_master *master, struct pccl_group *group)
{
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		struct pccl_complaint *complaint = &group->complaints[index];
		struct pccl_client *accused = member_of(group, &complaint->about);
		struct pccl_client *accuser = member_of(group, &complaint->from);

		/* Who has not been told the view yet knows nothing of its links. */
		if (complaint->asked || is_mutual(group, complaint) || accused == NULL || accuser == NULL ||
		    accused->installed != group->base->view.epoch)
			continue;
		complaint->asked = true;
		complaint->number = pccl_meet_ask(master, accused, accuser);
	}
}

static bool is_dispute(const struct pccl_master *master, const struct pccl_group *group,
		       const struct pccl_complaint *complaint)
{
	return master->now_ns >= complaint->until_ns && !is_mutual(group, complaint);
}

/* Counts, with different others, but for what is long ago: a run may last for months. */
static void charge_dispute(const struct pccl_master *master, struct pccl_client *client, const pcclRankUuid_t *with,
			   bool accuses)
{
	struct pccl_conduct *conduct = &client->conduct;

	if (master->now_ns >= conduct->dispute_ns + 2 * master->config.heartbeat_timeout_ns + DISPUTE_MEMORY_NS)
		conduct->disputes = conduct->doubts = 0;
	if (conduct->disputes == 0 || !pccl_uuid_equal(&conduct->disputed, with))
		conduct->disputes++;
	conduct->disputed = *with;
	conduct->doubts += accuses;
	conduct->dispute_ns = master->now_ns;
}

/* With how many it disagrees about links, now or not long ago. */
static uint32_t count_disputes(const struct pccl_group *group, const struct pccl_client *client)
{
	struct trouble any = {.rank = client->seat};
	struct trouble mutual = {.rank = client->seat, .confirmed = true};
	uint32_t now;

	count_trouble(group, &any);
	count_trouble(group, &mutual);
	now = any.troubles - mutual.troubles;
	return now > client->conduct.disputes ? now : client->conduct.disputes;
}

/* Who of the two goes for a dispute; NULL: neither, for now. */
static struct pccl_client *culprit_of(const struct pccl_master *master, const struct pccl_group *group,
				      const struct pccl_complaint *complaint)
{
	struct pccl_client *accuser = member_of(group, &complaint->from);
	struct pccl_client *accused = member_of(group, &complaint->about);
	uint32_t of_accuser = count_disputes(group, accuser);
	uint32_t of_accused = count_disputes(group, accused);
	bool denies = of_accused + disputes_won_by(master, accused) > of_accuser + disputes_won_by(master, accuser);

	if (accuser->conduct.doubts > 1 || (denies ? of_accused : of_accuser) > 1)
		return denies ? accused : accuser;
	return NULL;
}

/* Charges both sides of each dispute whose time is over. */
static void charge_disputes(const struct pccl_master *master, struct pccl_group *group)
{
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];

		if (!is_dispute(master, group, complaint))
			continue;
		charge_dispute(master, member_of(group, &complaint->from), &complaint->about, true);
		charge_dispute(master, member_of(group, &complaint->about), &complaint->from, false);
	}
}

static void evict_for(struct pccl_master *master, struct pccl_group *group, struct pccl_client *culprit,
		      const struct pccl_complaint *complaint)
{
	bool denies = culprit == member_of(group, &complaint->about);
	char why[PCCL_CAUSE_TEXT_BYTES], name[NAME_BYTES];

	name_member(group, denies ? &complaint->from : &complaint->about, name, sizeof(name));
	pccl_text_format(why, sizeof(why),
			 denies ? "%s could not reach it, which it did not confirm: %s"
				: "it alone could not reach %s, twice: %s",
			 name, complaint->text);
	evict(master, group, culprit, true, why);
}

/* Ends the disputes whose time is over. True: somebody has gone for one. */
static bool settle_disputes(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_client *culprit;
	uint32_t index;

	charge_disputes(master, group);
	for (index = 0; index < group->complaint_count; index++) {
		const struct pccl_complaint *complaint = &group->complaints[index];

		culprit = is_dispute(master, group, complaint) ? culprit_of(master, group, complaint) : NULL;
		if (culprit == NULL)
			continue;
		evict_for(master, group, culprit, complaint);
		return true;
	}
	for (index = group->complaint_count; index-- > 0;) {
		if (is_dispute(master, group, &group->complaints[index]))
			group->complaints[index] = group->complaints[--group->complaint_count];
	}
	return false;
}

/* ---- the judgement ------------------------------------------------------------------------------------------- */

/* When the first of the complaints that are confirmed, or are not, has waited for long enough. */
static uint64_t first_end(const struct pccl_group *group, bool mutual)
{
	uint64_t end_ns = PCCL_MASTER_NEVER;
	uint32_t index;

	for (index = 0; index < group->complaint_count; index++) {
		if (is_mutual(group, &group->complaints[index]) == mutual)
			end_ns = pccl_master_earlier(end_ns, group->complaints[index].until_ns);
	}
	return end_ns;
}

void pccl_complaints_judge(struct pccl_master *master, struct pccl_group *group)
{
	uint64_t pending_ns;
	uint64_t confirmed_ns;
	struct trouble worst;

	assert(group->base != NULL);
	group->window_ns = PCCL_MASTER_NEVER;
	drop_stale(group);
	if (group->complaint_count == 0)
		return;
	if (find_worst(master, group, false, &worst)) {
		evict_worst(master, group, &worst);
		return;
	}
	ask_accused(master, group);
	drop_stale(group); /* memory may have been too short to ask */
	if (settle_disputes(master, group))
		return;
	/* Who else is accused may turn out to be the one with most broken links. */
	pending_ns = first_end(group, false);
	confirmed_ns = first_end(group, true);
	if (pending_ns == PCCL_MASTER_NEVER || master->now_ns >= confirmed_ns) {
		if (find_worst(master, group, true, &worst))
			evict_worst(master, group, &worst);
		return;
	}
	group->window_ns = pccl_master_earlier(pending_ns, confirmed_ns);
}

/* ---- operations whose deadlines passed ----------------------------------------------------------------------- */

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
