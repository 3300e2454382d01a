/* A lane's shell: what src/comm/lane_thread.c does, with events in place of a thread. */
#include "shell.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/uuid.h"

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

static struct side *side_of(struct pccl_lane_link *link)
{
	return (struct side *)link;
}

/* ---- what a lane asks for ------------------------------ */

static uint32_t node_of(const struct sim *sim, const pcclRankUuid_t *uuid)
{
	uint32_t node;

	for (node = SIM_MASTERS; node < sim->node_count; node++)
		if (pccl_uuid_equal(&sim->nodes[node].uuid, uuid))
			return node;
	abort();
}

static pcclResult_t open_link(void *context, struct pccl_neighbour *neighbour, const struct pccl_member *member,
			      bool dials, uint16_t streams, struct pccl_lane_link **link_out)
{
	struct shell_lane *lane = context;

	(void)dials;
	(void)streams;
	*link_out = (struct pccl_lane_link *)link_open(lane, neighbour, node_of(lane->shell->sim, &member->uuid));
	return pcclSuccess;
}

static void close_link(struct pccl_lane_link *link)
{
	link_close(side_of(link));
}

static void kick(struct pccl_lane_link *link)
{
	(void)stream_pull(side_of(link));
}

static void forget(struct pccl_lane_link *link, const void *cookie,
		   bool (*belongs)(const void *cookie, const struct pccl_frame *frame))
{
	link_forget(side_of(link), cookie, belongs);
}

static void resume(struct pccl_lane_link *link)
{
	link_resume(side_of(link));
}

static bool is_up(const struct pccl_lane_link *link)
{
	const struct side *side = (const struct side *)link;

	return link_is_up(side->link->sim, side->link);
}

static bool checks(const struct pccl_lane_link *link)
{
	(void)link;
	return true;
}

/* Links here see for themselves when they are lost. */
static void heard(const struct pccl_lane_link *link, struct pccl_heard *heard_out)
{
	(void)link;
	memset(heard_out, 0, sizeof(*heard_out));
}

static void renew(struct pccl_lane_link *link, uint64_t deadline_ns)
{
	(void)link;
	(void)deadline_ns;
	abort();
}

/* Both sides of a link come up by themselves: nobody dials. */
static void adopt(struct pccl_lane_link *link, struct pccl_lane_guest *guest)
{
	(void)link;
	(void)guest;
	abort();
}

static void turn_away(void *context, struct pccl_lane_guest *guest)
{
	(void)context;
	(void)guest;
	abort();
}

static void outcome(void *context, const struct pccl_exec_outcome *what)
{
	struct shell_lane *lane = context;

	pccl_session_outcome(lane->shell->session, lane->index, what);
	shell_dispatch(lane->shell);
}

static void unpin(void *context, struct pccl_attempt *attempt)
{
	struct shell_lane *lane = context;

	pccl_session_unpin(lane->shell->session, attempt);
	shell_dispatch(lane->shell);
}

static void frozen(void *context, const struct pccl_exec *exec)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_FROZEN};
	struct shell_lane *lane = context;

	lane->installs++;
	if (pccl_session_collect(lane->shell->session, lane->index, exec))
		shell_post(lane->shell, &event);
}

/* Programs here make all their calls in one order: nobody waits in an update for who waits in an op. */
static void missed(void *context, const struct pccl_op_key *key)
{
	const struct shell_lane *lane = context;

	if (pccl_session_missed(lane->shell->session, key) != 0)
		sim_fail(lane->shell->sim, "node %u believes that it misses op %u.%u in an update",
			 lane->shell->node->id, (unsigned)key->tag, key->sequence);
}

static void expired(void *context, const struct pccl_op_key *key, const char *text)
{
	const struct pccl_peer_event event = {
		.type = PCCL_PEER_EXPIRED, .tag = key->tag, .sequence = key->sequence, .text = text};
	const struct shell_lane *lane = context;

	shell_post(lane->shell, &event);
}

static void complain(void *context, const pcclRankUuid_t *member, const char *reason)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_LINK_LOST, .uuid = *member, .text = reason};
	const struct shell_lane *lane = context;

	shell_post(lane->shell, &event);
}

static void linked(void *context, uint32_t epoch)
{
	(void)context;
	(void)epoch;
}

static void busy(void *context, bool is_busy)
{
	(void)context;
	(void)is_busy;
}

static void give_up(void *context, pcclResult_t result)
{
	const struct shell_lane *lane = context;

	sim_fail(lane->shell->sim, "lane %u of node %u gives up with %d: %s", lane->index, lane->shell->node->id,
		 (int)result, pccl_fail_text());
}

static const struct pccl_lane_calls calls = {.open = open_link,
					     .close = close_link,
					     .kick = kick,
					     .forget = forget,
					     .resume = resume,
					     .is_up = is_up,
					     .checks = checks,
					     .heard = heard,
					     .renew = renew,
					     .adopt = adopt,
					     .turn_away = turn_away,
					     .outcome = outcome,
					     .unpin = unpin,
					     .frozen = frozen,
					     .missed = missed,
					     .expired = expired,
					     .complain = complain,
					     .linked = linked,
					     .busy = busy,
					     .give_up = give_up};

/* ---- commands ------------------------------ */

void shell_lane_command(struct shell_lane *lane, struct pccl_command *command)
{
	struct sim *sim = lane->shell->sim;
	struct work *work = must(calloc(1, sizeof(*work)));

	work->command = command;
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

static void want_tick(struct shell_lane *lane)
{
	uint64_t deadline_ns = pccl_lane_deadline(lane->lane);

	if (deadline_ns != UINT64_MAX)
		shell_schedule(lane->shell->sim, deadline_ns, SHELL_TICK, lane->shell->node->id, lane->index, NULL);
}

void shell_lane_run(struct shell_lane *lane)
{
	struct work *work = take_work(lane);

	if (work == NULL)
		return;
	if (work->command->type == PCCL_COMMAND_INSTALL)
		lane->installs++;
	pccl_lane_command(lane->lane, work->command, lane->shell->sim->now_ns);
	free(work);
	want_tick(lane);
}

void shell_lane_tick(struct shell_lane *lane)
{
	if (pccl_lane_deadline(lane->lane) > lane->shell->sim->now_ns)
		return; /* it has moved */
	pccl_lane_tick(lane->lane, lane->shell->sim->now_ns);
	want_tick(lane);
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
	const struct pccl_lane_config config = {.exec = {.lane = index,
							 .lanes = shell->lane_count,
							 .scratch_bytes = SCRATCH_BYTES,
							 .packed_slots = PACKED_SLOTS,
							 .packer = {.choose = choose, .learn = learn, .context = lane}},
						.heartbeat_interval_ns = shell->sim->plan.heartbeat_interval_ns,
						.heartbeat_timeout_ns = shell->sim->plan.heartbeat_timeout_ns,
						.calls = &calls,
						.context = lane};

	lane->shell = shell;
	lane->index = index;
	if (pccl_lane_create(&config, &lane->lane) != pcclSuccess)
		abort();
}

void shell_lane_destroy(struct shell_lane *lane)
{
	struct work *work;

	pccl_lane_close(lane->lane);
	while ((work = take_work(lane)) != NULL) {
		pccl_command_free(work->command);
		free(work);
	}
	pccl_lane_destroy(lane->lane);
}
