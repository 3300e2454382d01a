/* A lane: what src/comm/lane.c does with its executor, its links and the session's commands. */
#include "shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"

#define SCRATCH_BYTES (1u << 20)
#define PACKED_SLOTS 6

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

struct shell_lane *shell_lane_at(struct sim *sim, uint32_t node, uint32_t lane)
{
	struct shell *shell = sim->nodes[node].shell;

	return shell == NULL || lane >= shell->lane_count ? NULL : &shell->lanes[lane];
}

uint32_t shell_lane_rank(const struct shell_lane *lane, uint32_t node)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->nodes[rank] == node)
			return rank;
	return UINT32_MAX;
}

/* ---- what has ended ------------------------------ */

static void forget_everywhere(struct shell_lane *lane, const struct pccl_attempt *attempt)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->links[rank] != NULL)
			link_forget(lane->shell->sim, lane->links[rank], lane->shell->node->id, attempt);
}

static void drain(struct shell_lane *lane)
{
	struct pccl_exec_outcome outcome;

	while (pccl_exec_poll(lane->exec, &outcome)) {
		if (outcome.result != pcclSuccess)
			forget_everywhere(lane, outcome.cookie);
		pccl_session_outcome(lane->shell->session, lane->index, &outcome);
		shell_dispatch(lane->shell);
	}
}

/* Programs here make all their calls in one order: nobody waits in an update for who waits in an op. */
static void check_missed(struct shell_lane *lane)
{
	struct shell *shell = lane->shell;
	struct pccl_op_key key;

	while (pccl_exec_missed(lane->exec, &key))
		if (pccl_session_missed(shell->session, &key) != 0)
			sim_fail(shell->sim, "node %u believes that it misses op %u.%u in an update", shell->node->id,
				 (unsigned)key.tag, key.sequence);
}

void shell_lane_pump(struct shell_lane *lane)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		while (lane->links[rank] != NULL && pccl_exec_wants(lane->exec, rank) &&
		       stream_pull(lane, lane->links[rank], rank))
			;
	drain(lane);
	check_missed(lane);
}

/* ---- commands ------------------------------ */

static void launch(struct shell_lane *lane, const struct pccl_exec_launch *what)
{
	pcclResult_t result = pccl_exec_launch(lane->exec, what);

	if (result != pcclSuccess)
		sim_fail(lane->shell->sim, "lane %u of node %u can't launch: %s", lane->index, lane->shell->node->id,
			 pccl_fail_text());
}

static void freeze(struct shell_lane *lane)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_FROZEN};

	pccl_exec_freeze(lane->exec);
	drain(lane);
	if (pccl_session_collect(lane->shell->session, lane->index, lane->exec))
		shell_post(lane->shell, &event);
}

static void expire(struct shell_lane *lane, const struct pccl_command *command)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_EXPIRED,
					      .tag = command->key.tag,
					      .sequence = command->key.sequence,
					      .text = "deadline passed"};
	uint64_t waits_for[PCCL_RANKS_MAX / 64] = {0};

	pccl_exec_waits_for(lane->exec, command->attempt, waits_for);
	if ((waits_for[0] >> lane->ranks) != 0)
		sim_fail(lane->shell->sim, "node %u waits for somebody outside the view", lane->shell->node->id);
	shell_post(lane->shell, &event);
}

static struct link *take_link(struct shell_lane *lane, uint32_t node)
{
	uint32_t rank = shell_lane_rank(lane, node);
	struct link *link;

	if (rank == UINT32_MAX)
		return NULL;
	link = lane->links[rank];
	lane->links[rank] = NULL;
	return link;
}

static void list_neighbours(struct shell_lane *lane, const struct pccl_command *command, const uint32_t *nodes)
{
	struct link *links[SIM_NODES] = {NULL};
	uint32_t own = lane->shell->node->id;
	uint32_t rank;

	for (rank = 0; rank < command->ranks; rank++)
		links[rank] = take_link(lane, nodes[rank]);
	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->links[rank] != NULL)
			link_close(lane->shell->sim, lane->links[rank], own);
	lane->ranks = command->ranks;
	memcpy(lane->nodes, nodes, sizeof(lane->nodes));
	memcpy(lane->links, links, sizeof(lane->links));
	for (rank = 0; rank < lane->ranks; rank++)
		if (rank != command->rank && lane->links[rank] == NULL && lane->index < lane->lanes)
			lane->links[rank] = link_open(lane, nodes[rank]);
}

static void install(struct shell_lane *lane, const struct pccl_command *command, const uint32_t *nodes)
{
	bool idle = lane->index >= command->lanes;
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->links[rank] != NULL)
			link_divert(lane->links[rank], lane->shell->node->id);
	if (!idle && command->lanes != lane->lanes)
		pccl_exec_relane(lane->exec, command->lanes);
	lane->lanes = command->lanes;
	lane->epoch = command->epoch;
	lane->rank = command->rank;
	lane->installs++;
	list_neighbours(lane, command, nodes);
	if (!idle && pccl_exec_install(lane->exec, command->epoch, command->ranks, command->rank) != pcclSuccess)
		sim_fail(lane->shell->sim, "an executor can't install its view");
	for (rank = 0; rank < lane->ranks; rank++) {
		if (lane->links[rank] == NULL)
			continue;
		link_resume(lane->shell->sim, lane->links[rank], lane->shell->node->id);
		link_remind(lane->shell->sim, lane->links[rank], lane->shell->node->id);
	}
}

static void carry_out(struct shell_lane *lane, const struct work *work)
{
	struct pccl_command *command = work->command;
	struct pccl_session *session = lane->shell->session;

	switch (command->type) {
	case PCCL_COMMAND_LAUNCH:
		launch(lane, &command->launch);
		break;
	case PCCL_COMMAND_CANCEL:
		forget_everywhere(lane, command->attempt);
		pccl_exec_cancel(lane->exec, command->attempt, command->result, command->detail, command->restore);
		drain(lane);
		pccl_session_unpin(session, command->attempt);
		shell_dispatch(lane->shell);
		break;
	case PCCL_COMMAND_EXPIRE:
		drain(lane);
		expire(lane, command);
		pccl_session_unpin(session, command->attempt);
		shell_dispatch(lane->shell);
		break;
	case PCCL_COMMAND_FREEZE:
		freeze(lane);
		break;
	case PCCL_COMMAND_INSTALL:
		install(lane, command, work->members);
		pccl_command_free(command);
		break;
	case PCCL_COMMAND_UPDATE:
		pccl_exec_await_update(lane->exec, command->joint);
		pccl_command_free(command);
		break;
	case PCCL_COMMAND_ENDED:
		abort();
	}
	shell_lane_pump(lane);
}

void shell_lane_command(struct shell_lane *lane, struct pccl_command *command)
{
	struct sim *sim = lane->shell->sim;
	struct work *work = must(calloc(1, sizeof(*work)));

	work->command = command;
	if (command->type == PCCL_COMMAND_INSTALL)
		memcpy(work->members, lane->shell->eras[lane->shell->era_count - 1].nodes, sizeof(work->members));
	work->time_ns = sim->now_ns + sim_exponential(sim, sim->shells->plan.command_ns);
	if (work->time_ns < lane->last_ns)
		work->time_ns = lane->last_ns;
	lane->last_ns = work->time_ns;
	if (lane->last != NULL)
		lane->last->next = work;
	else
		lane->first = work;
	lane->last = work;
	shell_schedule(sim, work->time_ns, SHELL_LANE, lane->shell->node->id, lane->index, NULL);
}

static struct work *take_work(struct shell_lane *lane)
{
	struct work *work = lane->first;

	if (work == NULL)
		return NULL;
	lane->first = work->next;
	if (lane->first == NULL)
		lane->last = NULL;
	return work;
}

void shell_lane_run(struct shell_lane *lane)
{
	struct work *work = take_work(lane);

	if (work == NULL)
		return;
	carry_out(lane, work);
	free(work);
}

/* ---- compressing ------------------------------ */

static bool choose(void *context, pcclDataType_t type)
{
	struct shell_lane *lane = context;
	uint64_t which = pccl_rng_hash(lane->shell->sim->plan.seed, (uint64_t)lane->shell->node->id << 32 | type);

	return pccl_rng_hash(which, ++lane->choices) % 3 != 0;
}

static void learn(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes)
{
	const struct shell_lane *lane = context;

	if (packed_bytes >= bytes)
		sim_fail(lane->shell->sim, "%u bytes of type %u were compressed to %u", bytes, (unsigned)type,
			 packed_bytes);
}

/* ---- life ------------------------------ */

void shell_lane_create(struct shell *shell, uint32_t index)
{
	struct shell_lane *lane = &shell->lanes[index];
	const struct pccl_exec_config config = {.lane = index,
						.lanes = shell->lane_count,
						.scratch_bytes = SCRATCH_BYTES,
						.packed_slots = PACKED_SLOTS,
						.packer = {.choose = choose, .learn = learn, .context = lane}};

	lane->shell = shell;
	lane->index = index;
	lane->lanes = shell->lane_count;
	if (pccl_exec_create(&config, &lane->exec) != pcclSuccess)
		abort();
}

void shell_lane_destroy(struct shell_lane *lane)
{
	struct work *work;
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->links[rank] != NULL)
			link_close(lane->shell->sim, lane->links[rank], lane->shell->node->id);
	while ((work = take_work(lane)) != NULL) {
		pccl_command_free(work->command);
		free(work);
	}
	pccl_exec_destroy(lane->exec);
}
