/* Complaints about members that others can't reach: collected for a while, then the one goes that has trouble with most
 * others, and of those the one that most complain about. And operations whose deadlines passed: they are ended by a
 * view change that loses nobody. */
#include "membership/master/master_internal.h"

#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/uuid.h"

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

void pccl_complaints_judge(struct pccl_master *master, struct pccl_group *group)
{
	char why[PCCL_CAUSE_TEXT_BYTES];
	uint32_t most_troubles = 0;
	uint32_t most_accusers = 0;
	uint32_t worst = 0;
	uint32_t rank;

	group->window_ns = PCCL_MASTER_NEVER;
	for (rank = 0; group->base != NULL && rank < group->base->view.member_count; rank++) {
		uint32_t troubles;
		uint32_t accusers;

		if (group->seats[rank].state != PCCL_SEAT_HERE)
			continue;
		count_trouble(group, rank, &troubles, &accusers);
		if (troubles == 0 || troubles < most_troubles ||
		    (troubles == most_troubles && accusers < most_accusers))
			continue;
		most_troubles = troubles;
		most_accusers = accusers;
		worst = rank;
	}
	if (most_troubles > 0) {
		pccl_text_format(why, sizeof(why), "%u of %u members and this peer could not reach each other: %s",
				 most_troubles, group->base->view.member_count, text_about(group, worst));
		pccl_client_dismiss(master, group->seats[worst].client, PCCL_MESSAGE_EVICTED, pcclEvicted, why);
	}
	group->complaint_count = 0;
}

void pccl_master_on_expired(struct pccl_master *master, struct pccl_client *client,
			    const struct pccl_message_expired *expired)
{
	struct pccl_group *group = client->group;
	struct pccl_expired_op *list;
	uint32_t index;

	(void)master;
	if (client->state != PCCL_CLIENT_SEATED || expired->epoch != group->base->view.epoch ||
	    group->expired_count >= PCCL_GROUP_EXPIRED_MAX)
		return;
	for (index = 0; index < group->expired_count; index++) {
		if (group->expired[index].tag == expired->tag && group->expired[index].sequence == expired->sequence)
			return;
	}
	list = pccl_realloc(group->expired, (group->expired_count + 1) * sizeof(*list));
	if (list == NULL)
		return;
	group->expired = list;
	list[group->expired_count].tag = expired->tag;
	list[group->expired_count].sequence = expired->sequence;
	group->expired_count++;
	pccl_group_note_cause(group, "an operation's deadline passed: %s", expired->text);
	group->flush_due = true;
	group->dirty = true;
}
