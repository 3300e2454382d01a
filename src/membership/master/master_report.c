/*
 * What members report of their ops, as far as the master can judge it. Each op that somebody reports becomes a decision
 * that all get, and one who has not launched the op keeps it: so who makes up ops ends those that others launch next.
 *
 * A *stray* is an op that one member alone reports. Honest members have strays: they may be ahead of all others. One
 * that has failed by itself is another thing: ops fail for what another member did, which reports them, too, unless it
 * was lost; or because their input was given up.
 */
#include "membership/master/master_internal.h"

#include <assert.h>

#include "base/memory.h"
#include "base/time.h"

#define OPS_MAX 131072			      /* that one view change decides: INSTALL has to fit into a frame */
#define STRAY_ALARMS_MAX 6		      /* view changes with strays that have failed, nobody being lost, */
#define STRAY_MEMORY_NS (60 * PCCL_SECOND_NS) /* each within this time of the one before */
#define STRAYS_MAX 16384 /* of those, since newcomers joined: members keep what is decided so long */

bool pccl_reports_check(struct pccl_master *master, struct pccl_client *client,
			const struct pccl_message_prepared *prepared)
{
	uint32_t most = client->group->members_most;
	uint32_t index;

	for (index = 0; index < prepared->report_count; index++) {
		if (most == 0 || prepared->reports[index].participants_max <= most)
			continue;
		pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted,
				    "it reported an operation with more participants than the group has had members");
		return false;
	}
	return true;
}

/* In a change in which nobody was lost. True: it means harm. Of two members one may as well have kept silent about what
 * it made fail at the other: they are not charged for each time, only for what decisions take in memory. */
static bool charge(const struct pccl_master *master, struct pccl_conduct *conduct, uint32_t failed, bool pair)
{
	if (failed == 0)
		return false;
	conduct->strays += failed;
	if (pair)
		return conduct->strays > STRAYS_MAX;
	if (master->now_ns >= conduct->stray_ns + STRAY_MEMORY_NS)
		conduct->stray_alarms = 0;
	conduct->stray_alarms++;
	conduct->stray_ns = master->now_ns;
	return conduct->stray_alarms > STRAY_ALARMS_MAX || conduct->strays > STRAYS_MAX;
}

/* Who has most strays, if all have too many ops. */
static uint32_t most_strays(const struct pccl_strays *strays, uint32_t member_count)
{
	uint32_t worst = 0;
	uint32_t rank;

	for (rank = 1; rank < member_count; rank++) {
		if (strays[rank].count > strays[worst].count)
			worst = rank;
	}
	return worst;
}

static bool judge(struct pccl_master *master, struct pccl_group *group, const struct pccl_strays *strays,
		  uint32_t op_count)
{
	const struct pccl_change *change = &group->change;
	bool nobody_lost = group->base != NULL && change->survivor_count == group->base->view.member_count;
	uint32_t rank;

	for (rank = 0; rank < change->survivor_count && nobody_lost; rank++) {
		if (!charge(master, &change->recipients[rank]->conduct, strays[rank].failed,
			    change->survivor_count == 2))
			continue;
		pccl_client_dismiss(master, change->recipients[rank], PCCL_MESSAGE_EVICTED, pcclEvicted,
				    "it kept reporting failed operations that nobody else has");
		return false;
	}
	if (op_count <= OPS_MAX)
		return true;
	pccl_client_dismiss(
		master, change->recipients[most_strays(strays, change->survivor_count)], PCCL_MESSAGE_EVICTED,
		pcclEvicted,
		"the members reported too many operations, and this peer most of those that nobody else has");
	return false;
}

bool pccl_reports_judge(struct pccl_master *master, struct pccl_group *group)
{
	const struct pccl_change *change = &group->change;
	struct pccl_voice *voices = pccl_calloc((size_t)change->survivor_count + 1, sizeof(*voices));
	struct pccl_strays *strays = pccl_calloc((size_t)change->survivor_count + 1, sizeof(*strays));
	struct pccl_decide_input input = {.member_count = change->survivor_count, .voices = voices};
	uint32_t op_count = 0;
	bool fair = true;
	uint32_t rank;

	assert(pccl_change_is_answered(change));
	for (rank = 0; rank < change->survivor_count && voices != NULL; rank++) {
		voices[rank].reports = change->recipients[rank]->reports;
		voices[rank].report_count = change->recipients[rank]->report_count;
	}
	/* Without memory for it nobody is judged, nor is anything decided. */
	if (voices != NULL && strays != NULL && pccl_decide_strays(&input, strays, &op_count) == pcclSuccess)
		fair = judge(master, group, strays, op_count);
	pccl_free(voices);
	pccl_free(strays);
	return fair;
}
