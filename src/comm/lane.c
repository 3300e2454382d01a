/* A lane's thread: commands from the session, outcomes back to it, and the executor between. */
#include <assert.h>
#include <fenv.h>
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "comm/lane_internal.h"
#include "comm/thread.h"

#define SCRATCH_BYTES (32u << 20) /* of all lanes of a communicator together */

/* Tells the session what has ended. The only place where a lane takes the communicator's lock for an op. */
static void drain(struct pccl_lane *lane)
{
	struct pccl_exec_outcome outcome;

	while (pccl_exec_poll(lane->exec, &outcome)) {
		if (outcome.result != pcclSuccess)
			pccl_lane_forget(lane, outcome.cookie);
		if (--lane->attempts_open == 0)
			pccl_lane_busy(lane, false);
		pccl_monitor_outcome(lane->monitor, lane->index, &outcome);
	}
}

/* Whatever happened: links pull what the executor has for them now. */
void pccl_lane_pump(struct pccl_lane *lane)
{
	struct pccl_op_key missed;
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->neighbours[rank]->link != NULL && pccl_exec_wants(lane->exec, rank))
			pccl_link_kick(lane->neighbours[rank]->link);
	drain(lane);
	while (pccl_exec_missed(lane->exec, &missed))
		pccl_monitor_missed(lane->monitor, &missed);
}

static pcclResult_t make_exec(struct pccl_lane *lane, uint32_t lanes)
{
	struct pccl_exec_config config = {
		.lane = lane->index,
		.lanes = lanes,
		.scratch_bytes = SCRATCH_BYTES / lanes,
		.packer = {.choose = pccl_lane_choose, .learn = pccl_lane_learn, .context = lane},
		.checks = pccl_lane_checks,
		.checks_context = lane};

	lane->lanes = lanes;
	return pccl_exec_create(&config, &lane->exec);
}

static pcclResult_t install(struct pccl_lane *lane, const struct pccl_command *command)
{
	pcclResult_t result;

	/* The executor stays: START frames that links have still to deliver are in its memory. */
	if (command->lanes != lane->lanes && lane->index < command->lanes)
		pccl_exec_relane(lane->exec, command->lanes);
	lane->lanes = command->lanes;
	lane->epoch = command->epoch;
	lane->rank = command->rank;
	lane->linked = lane->index >= command->lanes;
	result = pccl_lane_list_neighbours(lane, &command->view);
	if (result == pcclSuccess && !lane->linked)
		result = pccl_exec_install(lane->exec, command->epoch, command->ranks, command->rank);
	if (result != pcclSuccess)
		return result;
	pccl_lane_go_on(lane);
	pccl_lane_check_linked(lane);
	return pcclSuccess;
}

static bool any_frame(const void *cookie, const struct pccl_frame *frame)
{
	(void)cookie;
	(void)frame;
	return true;
}

/* What is being received goes to the bin: the install takes away the memory for what came early. */
static void stop_receiving(struct pccl_lane *lane)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->neighbours[rank]->link != NULL)
			pccl_link_forget(lane->neighbours[rank]->link, lane, any_frame);
}

static void freeze(struct pccl_lane *lane)
{
	pccl_exec_freeze(lane->exec);
	stop_receiving(lane);
	drain(lane);
	pccl_monitor_frozen(lane->monitor, lane->index, lane->exec);
}

static void launch(struct pccl_lane *lane, const struct pccl_exec_launch *what)
{
	pcclResult_t result = pccl_exec_launch(lane->exec, what);
	struct pccl_exec_outcome outcome = {.cookie = what->cookie, .result = result};

	if (result == pcclSuccess) {
		if (lane->attempts_open++ == 0)
			pccl_lane_busy(lane, true);
		pccl_lane_watch(lane);
		return;
	}
	snprintf(outcome.detail, sizeof(outcome.detail), "%s", pccl_fail_text());
	pccl_monitor_outcome(lane->monitor, lane->index, &outcome);
}

/* Names the ranks that an op still waits for, and asks the group for a decision. */
static void expire(struct pccl_lane *lane, const struct pccl_command *command)
{
	uint64_t waits_for[PCCL_RANKS_MAX / 64] = {0};
	char text[200];
	int length = snprintf(text, sizeof(text), "tag %llu: deadline passed; rank %u had waited for",
			      (unsigned long long)command->key.tag, lane->rank);
	struct pccl_peer_event event = {
		.type = PCCL_PEER_EXPIRED, .tag = command->key.tag, .sequence = command->key.sequence, .text = text};
	uint32_t rank;

	pccl_exec_waits_for(lane->exec, command->attempt, waits_for);
	for (rank = 0; rank < lane->ranks; rank++)
		if (pccl_bitmap_test(waits_for, rank) && length < (int)sizeof(text) - 16)
			length += snprintf(text + length, sizeof(text) - (size_t)length, " rank %u", rank);
	pccl_monitor_tell(lane->monitor, &event);
}

static void carry_out(struct pccl_lane *lane, struct pccl_command *command)
{
	pcclResult_t result;

	switch (command->type) {
	case PCCL_COMMAND_LAUNCH:
		launch(lane, &command->launch);
		break;
	case PCCL_COMMAND_CANCEL:
		pccl_lane_forget(lane, command->attempt);
		pccl_exec_cancel(lane->exec, command->attempt, command->result, command->detail, command->restore);
		drain(lane);
		pccl_monitor_unpin(lane->monitor, command->attempt);
		break;
	case PCCL_COMMAND_EXPIRE:
		drain(lane);
		expire(lane, command);
		pccl_monitor_unpin(lane->monitor, command->attempt);
		break;
	case PCCL_COMMAND_FREEZE:
		freeze(lane);
		break;
	case PCCL_COMMAND_INSTALL:
		result = install(lane, command);
		if (result != pcclSuccess)
			pccl_monitor_end(lane->monitor, result, pccl_fail_text());
		pccl_command_free(command);
		break;
	case PCCL_COMMAND_UPDATE:
		pccl_exec_await_update(lane->exec, command->joint);
		pccl_command_free(command);
		break;
	case PCCL_COMMAND_ENDED:
		assert(!"the communicator keeps these");
	}
	pccl_lane_pump(lane);
}

static void run_commands(struct pccl_task *task)
{
	struct pccl_lane *lane = task->context;
	struct pccl_command *command = pccl_monitor_take(lane->monitor, lane->index);

	while (command != NULL) {
		struct pccl_command *next = command->next;

		if (lane->stopped)
			pccl_command_free(command);
		else
			carry_out(lane, command);
		command = next;
	}
}

void pccl_lane_wake(struct pccl_lane *lane)
{
	pccl_loop_post(lane->loop, &lane->work);
}

static void *run(void *context)
{
	struct pccl_lane *lane = context;

	/* The host's rounding or flushing of denormals must not make this peer's sums differ from the others'. */
	fesetenv(FE_DFL_ENV);
	pccl_loop_run(lane->loop);
	pccl_lane_close_links(lane);
	return NULL;
}

pcclResult_t pccl_lane_create(const struct pccl_self *self, struct pccl_monitor *monitor, uint32_t index,
			      struct pccl_lane **lane_out)
{
	struct pccl_lane *lane = pccl_zalloc(sizeof(*lane));
	char name[16];
	pcclResult_t result;

	*lane_out = NULL;
	if (lane == NULL)
		return pcclOutOfMemory;
	lane->self = self;
	lane->monitor = monitor;
	lane->index = index;
	lane->work.run = run_commands;
	lane->work.context = lane;
	pccl_lane_init_links(lane);
	result = make_exec(lane, self->settings.lanes);
	if (result != pcclSuccess)
		goto fail_exec;
	result = pccl_loop_create(&lane->loop);
	if (result != pcclSuccess)
		goto fail_loop;
	snprintf(name, sizeof(name), "pccl-lane-%u", index);
	result = pccl_thread_start(&lane->thread, name, run, lane);
	if (result != pcclSuccess)
		goto fail_thread;
	*lane_out = lane;
	return pcclSuccess;
fail_thread:
	pccl_loop_destroy(lane->loop);
fail_loop:
	pccl_exec_destroy(lane->exec);
fail_exec:
	pccl_free(lane);
	return result;
}

void pccl_lane_stop(struct pccl_lane *lane)
{
	if (lane == NULL)
		return;
	pccl_loop_stop(lane->loop);
	pthread_join(lane->thread, NULL);
	lane->stopped = true;
}

void pccl_lane_destroy(struct pccl_lane *lane)
{
	if (lane == NULL)
		return;
	pccl_loop_turn(lane->loop, 0); /* frees what was posted since */
	pccl_loop_destroy(lane->loop);
	pccl_exec_destroy(lane->exec);
	pccl_free(lane);
}
