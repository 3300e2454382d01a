/* Joint calls that some members do not make: when the time-out of those who wait has passed, it is decided here, once,
 * what becomes of the late ones. */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"

#define NAMED_MAX 3	/* late members that the error names; the rest is counted */
#define NAMES_BYTES 136 /* that they take */

/* Who has called, and what they want. */
struct callers {
	uint32_t count;
	uint8_t kind;
	enum pccl_late late; /* the mildest choice of those that have a time-out */
	uint64_t until_ns;   /* the earliest deadline */
};

static void count_callers(const struct pccl_group *group, struct callers *callers)
{
	uint32_t rank;

	*callers = (struct callers){.late = PCCL_LATE_EVICT, .until_ns = PCCL_MASTER_NEVER};
	for (rank = 0; rank < group->base->view.member_count; rank++) {
		const struct pccl_client *client = group->seats[rank].client;

		if (!pccl_vote_counts(group, client))
			continue;
		callers->count++;
		callers->kind = client->vote;
		if (client->vote_timeout_ns == 0)
			continue;
		callers->until_ns = pccl_master_earlier(callers->until_ns, client->vote_ns + client->vote_timeout_ns);
		if (client->vote_late < callers->late)
			callers->late = (enum pccl_late)client->vote_late;
	}
}

/* So that one that calls at once, with a short time-out, does not have all others evicted. */
static bool may_evict(const struct pccl_group *group, const struct callers *callers)
{
	uint32_t members = group->base->view.member_count;

	return callers->count < members &&
	       (callers->count * 2 > members ||
		(callers->count * 2 == members && pccl_vote_counts(group, group->seats[0].client)));
}

/* As many as there is room for beside what is said of them. */
static void name_late(const struct pccl_group *group, const struct callers *callers, char *text)
{
	uint32_t late = group->base->view.member_count - callers->count;
	char name[PCCL_ADDRESS_TEXT_BYTES + sizeof(", rank 4294967295 ()")];
	uint32_t named = 0;
	size_t used = 0;
	uint32_t rank;

	if (late == 0) {
		(void)snprintf(text, PCCL_CAUSE_TEXT_BYTES,
			       "the groups of a bundle that waits to join are not all ready");
		return;
	}
	for (rank = 0; rank < group->base->view.member_count && named < NAMED_MAX; rank++) {
		if (pccl_vote_counts(group, group->seats[rank].client))
			continue;
		(void)snprintf(name, sizeof(name), "%srank %u (%s)", named > 0 ? ", " : "", rank,
			       group->base->view.members[rank].addresses[0].host);
		if (used + strlen(name) > NAMES_BYTES)
			break;
		memcpy(text + used, name, strlen(name) + 1);
		used += strlen(name);
		named++;
	}
	if (late > named)
		used += (size_t)snprintf(text + used, PCCL_CAUSE_TEXT_BYTES - used, " and %u more", late - named);
	pccl_text_format(text + used, PCCL_CAUSE_TEXT_BYTES - used, " %s not called %s", late == 1 ? "has" : "have",
			 pccl_vote_name(callers->kind));
}

/* The call stays open: those who made it are sent back, and may make it again. */
static void send_back(struct pccl_master *master, struct pccl_group *group, const struct pccl_answer *answer)
{
	uint32_t rank;

	for (rank = 0; rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = group->seats[rank].client;
		struct pccl_message *message;

		if (!pccl_vote_counts(group, client))
			continue;
		message = pccl_message_create(PCCL_MESSAGE_LATE);
		if (message != NULL) {
			message->body.voted = *answer;
			message->body.voted.kind = client->vote;
		}
		client->vote = 0;
		pccl_master_send(master, client, message);
	}
}

/* Those who are away are waited for anyway, and not for long. */
static void evict_late(struct pccl_master *master, struct pccl_group *group, const char *text)
{
	char why[PCCL_CAUSE_TEXT_BYTES];
	uint32_t rank;

	pccl_text_format(why, sizeof(why), "the joint time-out of the other members passed: %s", text);
	for (rank = 0; rank < group->base->view.member_count; rank++) {
		struct pccl_client *client = group->seats[rank].client;

		if (client != NULL && !pccl_vote_counts(group, client))
			pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted, why);
	}
}

void pccl_late_evaluate(struct pccl_master *master, struct pccl_group *group)
{
	struct pccl_answer answer = {
		.result = pcclTimeout, .origin = group->answer.origin, .sequence = group->answer.sequence + 1};
	struct callers callers;

	assert(group->base != NULL && group->change.epoch == 0);
	count_callers(group, &callers);
	group->joint_ns = callers.until_ns;
	if (callers.until_ns > master->now_ns)
		return;
	assert(callers.count > 0);
	group->joint_ns = PCCL_MASTER_NEVER;
	name_late(group, &callers, answer.text);
	if (group->late_sequence != answer.sequence)
		pccl_log_warn("master: group %u waits in joint call %u: %s", group->id, answer.sequence, answer.text);
	group->late_sequence = answer.sequence;
	if (callers.late == PCCL_LATE_WAIT)
		return;
	if (callers.late == PCCL_LATE_EVICT && may_evict(group, &callers))
		evict_late(master, group, answer.text);
	else
		send_back(master, group, &answer);
}
