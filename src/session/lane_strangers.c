/* Links to peers that are no members yet: made while everybody goes on, so that the view that brings them finds them
 * up. Until then nothing of views goes over them: what comes early is put on hold. */
#include <assert.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "membership/message/message.h"
#include "session/lane_internal.h"

struct pccl_neighbour *pccl_lane_find_stranger(const struct pccl_lane *lane, const pcclRankUuid_t *uuid)
{
	struct pccl_neighbour *stranger = lane->strangers;

	while (stranger != NULL && !pccl_uuid_equal(&stranger->uuid, uuid))
		stranger = stranger->next;
	return stranger;
}

static void close_link(struct pccl_neighbour *stranger)
{
	if (stranger->link != NULL)
		stranger->lane->calls->close(stranger->link);
	stranger->link = NULL;
	stranger->lost = false;
	stranger->broken = false;
	stranger->unanswered = false;
	if (stranger->visits) /* what was said over this link counts no more */
		pccl_lane_list_visitors(stranger->lane);
}

static void unlist(struct pccl_lane *lane, const struct pccl_neighbour *stranger)
{
	struct pccl_neighbour **place = &lane->strangers;

	while (*place != stranger)
		place = &(*place)->next;
	*place = stranger->next;
	assert(lane->stranger_count > 0);
	lane->stranger_count--;
}

/* Those that could not be reached, or are gone. */
static void forget_lost(struct pccl_lane *lane)
{
	struct pccl_neighbour *stranger = lane->strangers, *next;

	for (; stranger != NULL; stranger = next) {
		next = stranger->next;
		if (!stranger->lost)
			continue;
		close_link(stranger);
		unlist(lane, stranger);
		pccl_free(stranger);
	}
}

static struct pccl_neighbour *list(struct pccl_lane *lane, const struct pccl_member *member)
{
	struct pccl_neighbour *stranger = pccl_lane_find_stranger(lane, &member->uuid);

	if (stranger != NULL)
		return stranger;
	stranger = lane->stranger_count < PCCL_LANE_STRANGERS_MAX ? pccl_zalloc(sizeof(*stranger)) : NULL;
	if (stranger == NULL)
		return NULL;
	stranger->lane = lane;
	stranger->uuid = member->uuid;
	stranger->stranger = true;
	stranger->next = lane->strangers;
	lane->strangers = stranger;
	lane->stranger_count++;
	return stranger;
}

static void tell(const struct pccl_lane *lane, const struct pccl_member *member, uint32_t number, const char *why_not)
{
	lane->calls->met(lane->config.context, &member->uuid, number, why_not);
}

static void meet(struct pccl_lane *lane, const struct pccl_member *member, const struct pccl_meet_how *how)
{
	const struct pccl_neighbour *known = pccl_lane_find_neighbour(lane, &member->uuid);
	struct pccl_neighbour *stranger;

	if (known != NULL) {
		bool is_up = known->link == NULL ||
			     (!known->lost && !known->broken && !known->silent && lane->calls->is_up(known->link));

		tell(lane, member, how->number, is_up ? NULL : "the link to this member is not up");
		return;
	}
	stranger = list(lane, member);
	if (stranger == NULL) {
		tell(lane, member, how->number, "there is no room for another link");
		return;
	}
	stranger->number = how->number;
	if (how->anew || stranger->link == NULL || !lane->calls->is_up(stranger->link)) {
		close_link(stranger);
		stranger->passed = pccl_lane_has_pass(member);
		if (lane->config.exec.lane < member->lanes &&
		    lane->calls->open(lane->config.context, stranger, member, how->dials, &stranger->link) !=
			    pcclSuccess) {
			stranger->lost = true;
			tell(lane, member, how->number, pccl_fail_text());
			return;
		}
	}
	if (stranger->link != NULL && !lane->calls->is_up(stranger->link))
		return;
	stranger->unanswered = stranger->broken; /* it may be up again, or lost */
	if (!stranger->unanswered)
		tell(lane, member, how->number, NULL);
}

static void part(struct pccl_lane *lane, const struct pccl_member *member)
{
	struct pccl_neighbour *stranger = pccl_lane_find_stranger(lane, &member->uuid);

	if (stranger != NULL)
		stranger->lost = true;
}

void pccl_lane_meet(struct pccl_lane *lane, const struct pccl_command *command)
{
	const bool parts = command->how.number == PCCL_MEET_PART;
	uint32_t i;

	for (i = 0; parts && i < command->view.member_count; i++)
		part(lane, &command->view.members[i]);
	forget_lost(lane);
	for (i = 0; !parts && i < command->view.member_count; i++)
		meet(lane, &command->view.members[i], &command->how);
	pccl_lane_list_visitors(lane);
	pccl_lane_seat_guests(lane);
}

void pccl_lane_stranger_up(struct pccl_neighbour *stranger)
{
	const struct pccl_lane *lane = stranger->lane;

	stranger->unanswered = false;
	lane->calls->met(lane->config.context, &stranger->uuid, stranger->number, NULL);
}

void pccl_lane_stranger_lost(struct pccl_neighbour *stranger, const char *reason)
{
	struct pccl_lane *lane = stranger->lane;

	stranger->lost = true;
	stranger->unanswered = false;
	pccl_lane_list_visitors(lane);
	pccl_lane_pump_visits(lane);
	lane->calls->met(lane->config.context, &stranger->uuid, stranger->number, reason);
}

void pccl_lane_stranger_joins(struct pccl_neighbour *stranger)
{
	struct pccl_lane *lane = stranger->lane;

	unlist(lane, stranger);
	stranger->stranger = false;
	stranger->visits = false;
	stranger->next = NULL;
	if (stranger->lost || lane->config.exec.lane >= lane->lanes)
		close_link(stranger);
}

void pccl_lane_close_strangers(struct pccl_lane *lane)
{
	while (lane->strangers != NULL) {
		struct pccl_neighbour *stranger = lane->strangers;

		close_link(stranger);
		unlist(lane, stranger);
		pccl_free(stranger);
	}
}
