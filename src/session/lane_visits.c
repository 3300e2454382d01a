/* Visitors: strangers that something goes to, or comes from, before a view has them. Members come first: while ops run
 * every now and then, visitors get a small share of what these send. Between two of them that follow each other they
 * would else fill queues that the second has to wait for. */
#include <assert.h>
#include <string.h>

#include "session/lane_internal.h"

/* Of bytes of ops: what they have earned long ago does not count for ever. */
#define CREDIT_MAX ((int64_t)4 * PCCL_LANE_VISIT_BYTES * PCCL_LANE_VISIT_SHARE)

/* ---- who visits ------------------------------ */

static void list(struct pccl_lane *lane, struct pccl_neighbour *stranger)
{
	stranger->visits = true;
	stranger->visitor = lane->visitor_count;
	lane->visitors[lane->visitor_count++] = stranger;
}

static bool may_visit(const struct pccl_neighbour *stranger)
{
	return stranger->link != NULL && !stranger->lost;
}

/* Those who came first, if they are still there. */
static void keep_visitors(struct pccl_lane *lane, const struct pccl_neighbour *const *before, uint32_t count)
{
	struct pccl_neighbour *stranger;
	uint32_t index;

	for (index = 0; index < count; index++) {
		for (stranger = lane->strangers; stranger != NULL; stranger = stranger->next)
			if (stranger == before[index] && may_visit(stranger))
				list(lane, stranger);
	}
}

void pccl_lane_list_visitors(struct pccl_lane *lane)
{
	const struct pccl_lane_background *visits = lane->config.visits;
	const struct pccl_neighbour *before[PCCL_LANE_VISITORS_MAX];
	pcclRankUuid_t uuids[PCCL_LANE_VISITORS_MAX];
	uint32_t count = lane->visitor_count, index;
	struct pccl_neighbour *stranger;

	if (visits == NULL || (!lane->visits_open && count == 0))
		return;
	memcpy(before, lane->visitors, sizeof(before));
	for (stranger = lane->strangers; stranger != NULL; stranger = stranger->next)
		stranger->visits = false;
	lane->visitor_count = 0;
	if (lane->visits_open)
		keep_visitors(lane, before, count);
	for (stranger = lane->strangers; lane->visits_open && stranger != NULL; stranger = stranger->next)
		if (!stranger->visits && may_visit(stranger) && lane->visitor_count < PCCL_LANE_VISITORS_MAX)
			list(lane, stranger);
	for (index = 0; index < lane->visitor_count; index++)
		uuids[index] = lane->visitors[index]->uuid;
	if (visits->install(lane->config.visits_context, lane->visitor_count, UINT32_MAX, uuids) == pcclSuccess)
		return;
	/* Without memory nobody visits: what there was of them is not to be found by its number any more. */
	for (index = 0; index < lane->visitor_count; index++)
		lane->visitors[index]->visits = false;
	lane->visitor_count = 0;
}

/* ---- what goes to them ------------------------------ */

static bool may_send(const struct pccl_lane *lane)
{
	return (lane->attempts_open == 0 && lane->visits_quiet) || lane->visit_credit >= 0;
}

void pccl_lane_disturb_visits(struct pccl_lane *lane)
{
	lane->visits_quiet = false;
	lane->visits_stirred = true;
}

bool pccl_lane_look_at_visits(struct pccl_lane *lane)
{
	if (lane->attempts_open == 0 && !lane->visits_stirred)
		lane->visits_quiet = true;
	lane->visits_stirred = false;
	return lane->visits_open && !lane->visits_quiet;
}

void pccl_lane_earn_visits(struct pccl_lane *lane, uint32_t bytes)
{
	if (lane->visitor_count > 0 && lane->visit_credit < CREDIT_MAX)
		lane->visit_credit += bytes;
}

bool pccl_visitor_next(const struct pccl_neighbour *stranger, struct pccl_frame_send *send_out)
{
	struct pccl_lane *lane = stranger->lane;

	if (!stranger->visits)
		return false;
	if (!may_send(lane)) {
		lane->visits_held = true;
		return false;
	}
	if (!lane->config.visits->next(lane->config.visits_context, stranger->visitor, send_out))
		return false;
	assert(send_out->frame.payload_bytes <= PCCL_LANE_VISIT_BYTES);
	if (lane->attempts_open > 0 || !lane->visits_quiet)
		lane->visit_credit -= (int64_t)send_out->frame.payload_bytes * PCCL_LANE_VISIT_SHARE;
	return true;
}

void pccl_lane_pump_visits(struct pccl_lane *lane)
{
	const struct pccl_lane_background *visits = lane->config.visits;
	uint32_t index;

	if (visits == NULL)
		return;
	while (visits->ready(lane->config.visits_context, &index))
		if (index < lane->visitor_count)
			lane->calls->kick(lane->visitors[index]->link);
	visits->stir(lane->config.visits_context);
	if (!lane->visits_held || !may_send(lane))
		return;
	lane->visits_held = false;
	for (index = 0; index < lane->visitor_count; index++)
		lane->calls->kick(lane->visitors[index]->link);
}

/* ---- what comes from them ------------------------------ */

bool pccl_lane_is_visit(const struct pccl_lane *lane, const struct pccl_frame *frame)
{
	return lane->config.visits != NULL && lane->config.visits->owns(lane->config.visits_context, frame);
}

/* Who is a member by now, or one too many, is told nothing. */
enum pccl_frame_verdict pccl_visitor_accept(const struct pccl_neighbour *stranger, const struct pccl_frame *frame,
					    void **destination_out)
{
	const struct pccl_lane_config *config = &stranger->lane->config;

	*destination_out = NULL;
	if (!stranger->stranger || !stranger->visits)
		return PCCL_FRAME_DISCARD;
	return config->visits->accept(config->visits_context, stranger->visitor, frame, destination_out);
}

void pccl_visitor_received(const struct pccl_neighbour *stranger, const struct pccl_frame *frame)
{
	const struct pccl_lane_config *config = &stranger->lane->config;

	if (stranger->stranger && stranger->visits)
		config->visits->received(config->visits_context, stranger->visitor, frame);
}

void pccl_visitor_dropped(const struct pccl_neighbour *stranger, const struct pccl_frame *frame)
{
	const struct pccl_lane_config *config = &stranger->lane->config;

	if (stranger->stranger && stranger->visits)
		config->visits->dropped(config->visits_context, stranger->visitor, frame);
}

/* ---- orders ------------------------------ */

void pccl_lane_stir_visits(struct pccl_lane *lane, bool open, bool busy, uint64_t now_ns)
{
	lane->visits_open = open;
	lane->visits_busy = busy;
	pccl_lane_list_visitors(lane);
	if (busy || (open && !lane->visits_quiet))
		pccl_lane_watch(lane, now_ns);
	pccl_lane_pump(lane);
}

/* Also of strangers that have become members since. */
void pccl_lane_forget_visits(struct pccl_lane *lane)
{
	const struct pccl_neighbour *stranger;

	pccl_lane_forget(lane, lane->config.visits_context, lane->config.visits->owns);
	for (stranger = lane->strangers; stranger != NULL; stranger = stranger->next)
		if (stranger->link != NULL)
			lane->calls->forget(stranger->link, lane->config.visits_context, lane->config.visits->owns);
}
