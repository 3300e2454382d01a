/* A lane's commands: in which order executor, links and session hear of them. */
#include "session/lane.h"

#include <assert.h>
#include <stdio.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "session/lane_internal.h"

#define AWAITED_NAMED 12 /* ranks that a time-out names; the rest is counted */

/* ---- what has ended ------------------------------------------------------------------------------------------ */

/* The links forget an op before its caller hears of its end, a failed one before the executor gives its input back. */
static bool take_outcome(struct pccl_lane *lane, struct pccl_exec_outcome *outcome_out)
{
	pcclResult_t result;
	const void *ending = pccl_exec_ending(lane->exec, &result);

	if (ending != NULL)
		pccl_lane_forget(lane, ending, pccl_attempt_owns);
	return pccl_exec_poll(lane->exec, outcome_out);
}

static void drain(struct pccl_lane *lane)
{
	struct pccl_exec_outcome outcome;

	while (take_outcome(lane, &outcome)) {
		assert(lane->attempts_open > 0);
		lane->attempts_open--;
		if (!pccl_lane_is_busy(lane))
			lane->calls->busy(lane->config.context, false);
		lane->calls->outcome(lane->config.context, &outcome);
	}
}

static void kick(struct pccl_lane *lane, uint32_t rank)
{
	if (lane->neighbours[rank]->link != NULL)
		lane->calls->kick(lane->neighbours[rank]->link);
}

void pccl_lane_pump(struct pccl_lane *lane)
{
	const struct pccl_lane_background *background = lane->config.background;
	struct pccl_op_key missed;
	uint32_t rank;

	/* A link that has no room now, or is not up, pulls when it is. */
	while (pccl_exec_ready(lane->exec, &rank))
		kick(lane, rank);
	while (background != NULL && background->ready(lane->config.background_context, &rank))
		kick(lane, rank);
	if (background != NULL)
		background->stir(lane->config.background_context);
	drain(lane);
	pccl_lane_pump_visits(lane);
	while (pccl_exec_missed(lane->exec, &missed))
		lane->calls->missed(lane->config.context, &missed);
}

/* ---- commands ------------------------------------------------------------------------------------------------ */

static void launch(struct pccl_lane *lane, const struct pccl_exec_launch *what, uint64_t now_ns)
{
	struct pccl_exec_outcome outcome = {.cookie = what->cookie};

	outcome.result = pccl_exec_launch(lane->exec, what);
	if (outcome.result == pcclSuccess) {
		if (!pccl_lane_is_busy(lane))
			lane->calls->busy(lane->config.context, true);
		lane->attempts_open++;
		pccl_lane_disturb_visits(lane);
		pccl_lane_watch(lane, now_ns);
		return;
	}
	snprintf(outcome.detail, sizeof(outcome.detail), "%s", pccl_fail_text());
	lane->calls->outcome(lane->config.context, &outcome);
}

static void cancel(struct pccl_lane *lane, const struct pccl_command *command)
{
	pccl_lane_forget(lane, command->attempt, pccl_attempt_owns);
	pccl_exec_cancel(lane->exec, command->attempt, command->result, command->detail, command->restore);
	drain(lane);
	lane->calls->unpin(lane->config.context, command->attempt);
}

/* "rank 3 (192.0.2.7), whose launch has not come", "ranks 3, 4 and 120 more, whose ends have not come": it may be the
 * link that is late; "" if nobody is awaited. */
static void describe_awaited(const struct pccl_lane *lane, const uint64_t *awaited, bool launched, char *text,
			     size_t text_bytes)
{
	uint32_t count = 0, last = 0, rank;
	size_t used = 0;

	text[0] = '\0';
	for (rank = 0; rank < lane->ranks; rank++) {
		if (!pccl_bitmap_test(awaited, rank))
			continue;
		last = rank;
		if (count++ < AWAITED_NAMED)
			used += (size_t)snprintf(text + used, text_bytes - used, "%s%u", count > 1 ? ", " : "ranks ",
						 rank);
	}
	if (count == 0)
		return;
	if (count == 1)
		used = (size_t)snprintf(text, text_bytes, "rank %u (%s)", last, lane->neighbours[last]->host);
	if (count > AWAITED_NAMED)
		used += (size_t)snprintf(text + used, text_bytes - used, " and %u more", count - AWAITED_NAMED);
	(void)snprintf(text + used, text_bytes - used, ", whose %s%s not come", launched ? "end" : "launch",
		       count == 1 ? " has"
		       : launched ? "s have"
				  : "es have");
}

/* Names the ranks that an op still waits for, and asks the group for a decision. */
static void expire(struct pccl_lane *lane, const struct pccl_command *command)
{
	char whom[AWAITED_NAMED * sizeof("255, ") + PCCL_ADDRESS_TEXT_BYTES + 64], text[PCCL_CAUSE_TEXT_BYTES];
	uint64_t awaited[PCCL_RANKS_MAX / 64] = {0};
	bool launched;

	drain(lane);
	launched = pccl_exec_waits_for(lane->exec, command->attempt, awaited);
	describe_awaited(lane, awaited, launched, whom, sizeof(whom));
	if (whom[0] == '\0') /* it has just ended here */
		pccl_text_format(text, sizeof(text), "%s", command->detail);
	else
		pccl_text_format(text, sizeof(text), "%s: rank %u waited for %s", command->detail, lane->rank, whom);
	lane->calls->expired(lane->config.context, &command->key, text);
	lane->calls->unpin(lane->config.context, command->attempt);
}

static bool is_op_frame(const void *cookie, const struct pccl_frame *frame)
{
	const struct pccl_lane *lane = cookie;

	return lane->config.background == NULL ||
	       !lane->config.background->owns(lane->config.background_context, frame);
}

/* What the lane holds must not change any more once it has been told, and the install takes away the memory for what
 * came early: what is being received goes to the bin, and the frozen executor accepts nothing new. */
static void freeze(struct pccl_lane *lane)
{
	pccl_exec_freeze(lane->exec);
	pccl_lane_forget(lane, lane, is_op_frame);
	lane->frozen = true;
	drain(lane);
	lane->calls->frozen(lane->config.context, lane->exec);
}

static pcclResult_t install_background(const struct pccl_lane *lane, const struct pccl_view *view)
{
	const struct pccl_lane_background *background = lane->config.background;
	pcclRankUuid_t *uuids;
	pcclResult_t result;
	uint32_t rank;

	if (background == NULL)
		return pcclSuccess;
	uuids = pccl_calloc(view->member_count, sizeof(*uuids));
	if (uuids == NULL)
		return pcclOutOfMemory;
	for (rank = 0; rank < view->member_count; rank++)
		uuids[rank] = view->members[rank].uuid;
	result = background->install(lane->config.background_context, view->member_count, lane->rank, uuids);
	pccl_free(uuids);
	return result;
}

static pcclResult_t install(struct pccl_lane *lane, const struct pccl_command *command)
{
	bool takes_part = lane->config.exec.lane < command->lanes;
	pcclResult_t result;

	assert(lane->frozen || lane->epoch == 0);
	assert(command->epoch > lane->epoch && command->rank < command->ranks);
	/* The executor stays: START frames that links have still to deliver are in its memory. */
	if (takes_part && command->lanes != lane->lanes)
		pccl_exec_relane(lane->exec, command->lanes);
	lane->lanes = command->lanes;
	lane->epoch = command->epoch;
	lane->rank = command->rank;
	lane->frozen = false;
	lane->linked = !takes_part;
	result = pccl_lane_list_neighbours(lane, &command->view);
	if (result == pcclSuccess && takes_part)
		result = pccl_exec_install(lane->exec, command->epoch, command->ranks, command->rank);
	if (result == pcclSuccess)
		result = install_background(lane, &command->view);
	if (result != pcclSuccess)
		return result;
	pccl_lane_go_on(lane);
	pccl_lane_check_linked(lane);
	return pcclSuccess;
}

void pccl_lane_command(struct pccl_lane *lane, struct pccl_command *command, uint64_t now_ns)
{
	pcclResult_t result;

	switch (command->type) {
	case PCCL_COMMAND_LAUNCH:
		launch(lane, &command->launch, now_ns);
		break;
	case PCCL_COMMAND_CANCEL:
		cancel(lane, command);
		break;
	case PCCL_COMMAND_EXPIRE:
		expire(lane, command);
		break;
	case PCCL_COMMAND_FREEZE:
		freeze(lane);
		break;
	case PCCL_COMMAND_INSTALL:
		result = install(lane, command);
		if (result != pcclSuccess)
			lane->calls->give_up(lane->config.context, result);
		pccl_command_free(command);
		break;
	case PCCL_COMMAND_MEET:
		pccl_lane_meet(lane, command);
		pccl_command_free(command);
		break;
	case PCCL_COMMAND_UPDATE:
		pccl_exec_await_update(lane->exec, command->joint);
		pccl_command_free(command);
		break;
	case PCCL_COMMAND_BACKGROUND:
	case PCCL_COMMAND_ENDED:
		assert(!"the communicator keeps these");
	}
	pccl_lane_pump(lane);
}

bool pccl_lane_is_busy(const struct pccl_lane *lane)
{
	return lane->attempts_open > 0 || lane->background_busy;
}

void pccl_lane_stir(struct pccl_lane *lane, bool busy, uint64_t now_ns)
{
	bool was_busy = pccl_lane_is_busy(lane);

	lane->background_busy = busy;
	if (was_busy != pccl_lane_is_busy(lane))
		lane->calls->busy(lane->config.context, !was_busy);
	if (busy)
		pccl_lane_watch(lane, now_ns);
	pccl_lane_pump(lane);
}

void pccl_lane_forget_background(struct pccl_lane *lane)
{
	pccl_lane_forget(lane, lane->config.background_context, lane->config.background->owns);
}

/* ---- time ---------------------------------------------------------------------------------------------------- */

uint64_t pccl_lane_deadline(const struct pccl_lane *lane)
{
	uint64_t guests_ns = pccl_lane_guests_end_ns(lane);

	return lane->watch_ns != 0 && lane->watch_ns < guests_ns ? lane->watch_ns : guests_ns;
}

void pccl_lane_tick(struct pccl_lane *lane, uint64_t now_ns)
{
	pccl_lane_look(lane, now_ns);
	pccl_lane_expire_guests(lane, now_ns);
	if (lane->background_busy)
		lane->config.background->look(lane->config.background_context, now_ns);
	if (lane->visits_busy)
		lane->config.visits->look(lane->config.visits_context, now_ns);
	if (lane->background_busy || lane->visits_busy)
		pccl_lane_pump(lane);
	else if (lane->visits_open)
		pccl_lane_pump_visits(lane);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

pcclResult_t pccl_lane_create(const struct pccl_lane_config *config, struct pccl_lane **lane_out)
{
	struct pccl_lane *lane = pccl_zalloc(sizeof(*lane));
	pcclResult_t result;

	*lane_out = NULL;
	if (lane == NULL)
		return pcclOutOfMemory;
	lane->config = *config;
	lane->calls = config->calls;
	lane->lanes = config->exec.lanes;
	lane->visits_quiet = true;
	lane->config.exec.checks = pccl_lane_checks;
	lane->config.exec.checks_context = lane;
	result = pccl_exec_create(&lane->config.exec, &lane->exec);
	if (result != pcclSuccess) {
		pccl_free(lane);
		return result;
	}
	*lane_out = lane;
	return pcclSuccess;
}

void pccl_lane_close(struct pccl_lane *lane)
{
	pccl_lane_close_links(lane);
	pccl_lane_close_strangers(lane);
	pccl_lane_close_guests(lane);
	lane->watch_ns = 0;
}

void pccl_lane_destroy(struct pccl_lane *lane)
{
	if (lane == NULL)
		return;
	pccl_exec_destroy(lane->exec);
	pccl_free(lane);
}

uint32_t pccl_lane_ranks(const struct pccl_lane *lane)
{
	return lane->ranks;
}

struct pccl_lane_link *pccl_lane_link_to(const struct pccl_lane *lane, uint32_t rank)
{
	assert(rank < lane->ranks);
	return lane->neighbours[rank]->link;
}

const struct pccl_exec *pccl_lane_exec(const struct pccl_lane *lane)
{
	return lane->exec;
}
