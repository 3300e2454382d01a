/* A lane's shell: what src/comm/lane_thread.c does, with events in place of a thread. */
#include "shell.h"

#include <stdlib.h>

#include "base/fail.h"

#define SCRATCH_BYTES (1u << 20)
#define EAGER_BYTES (64u << 10) /* addresses are dear where each peer is new, and under sanitizers */
#define PACKED_SLOTS 6

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

/* ---- what a lane asks for: as in src/comm/lane_thread.c ------------------------------ */

static pcclResult_t open_link(void *context, struct pccl_neighbour *neighbour, const struct pccl_member *member,
			      bool dials, struct pccl_lane_link **link_out)
{
	const struct shell_lane *lane = context;

	return pccl_lane_link_open(&lane->links, neighbour, member, dials, link_out);
}

static void turn_away(void *context, struct pccl_lane_guest *guest, const char *why)
{
	struct shell_lane *lane = context;

	pccl_lane_link_turn_away(&lane->loop, guest, why);
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

/* Programs here make all their calls in one order: nobody waits in an update for who waits in an op, whatever a rogue
 * says. */
static void missed(void *context, const struct pccl_op_key *key)
{
	const struct shell_lane *lane = context;

	if (pccl_session_missed(lane->shell->session, key) != 0 && lane->shell->sim->rogue == NULL)
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
	const struct shell_lane *lane = context;
	const struct pccl_peer_event event = {
		.type = PCCL_PEER_LINK_LOST, .uuid = *member, .lane = lane->index, .text = reason};

	shell_post(lane->shell, &event);
}

static void retract(void *context, const pcclRankUuid_t *member)
{
	const struct shell_lane *lane = context;
	const struct pccl_peer_event event = {.type = PCCL_PEER_LINK_HEARD, .uuid = *member, .lane = lane->index};

	shell_post(lane->shell, &event);
}

static void met(void *context, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not)
{
	const struct pccl_peer_event event = {
		.type = PCCL_PEER_MET, .uuid = *uuid, .sequence = number, .text = why_not};
	const struct shell_lane *lane = context;

	if (pccl_session_met(lane->shell->session, uuid, number, why_not == NULL))
		shell_post(lane->shell, &event);
}

static void broken(void *context, const pcclRankUuid_t *member, bool is_broken)
{
	const struct shell_lane *lane = context;
	const struct pccl_peer_event event = {.type = is_broken ? PCCL_PEER_LINK_BROKEN : PCCL_PEER_LINK_MENDED,
					      .uuid = *member,
					      .lane = lane->index};

	shell_post(lane->shell, &event);
}

static void linked(void *context, uint32_t epoch)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_LINKED, .epoch = epoch};
	const struct shell_lane *lane = context;
	struct shell *shell = lane->shell;

	if (epoch != shell->linked_epoch)
		shell->linked_lanes = 0;
	shell->linked_epoch = epoch;
	if (++shell->linked_lanes == pccl_session_lanes(shell->session))
		shell_post(shell, &event);
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
					     .close = pccl_lane_link_close,
					     .kick = pccl_lane_link_kick,
					     .forget = pccl_lane_link_forget,
					     .resume = pccl_lane_link_resume,
					     .is_up = pccl_lane_link_is_up,
					     .checks = pccl_lane_link_checks,
					     .heard = pccl_lane_link_heard,
					     .renew = pccl_lane_link_renew,
					     .adopt = pccl_lane_link_adopt,
					     .turn_away = turn_away,
					     .outcome = outcome,
					     .unpin = unpin,
					     .frozen = frozen,
					     .missed = missed,
					     .expired = expired,
					     .complain = complain,
					     .retract = retract,
					     .met = met,
					     .broken = broken,
					     .linked = linked,
					     .busy = busy,
					     .give_up = give_up};

/* ---- commands ------------------------------ */

static void post(struct shell_lane *lane, struct work *work)
{
	struct sim *sim = lane->shell->sim;

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

void shell_lane_command(struct shell_lane *lane, struct pccl_command *command)
{
	struct work *work = must(calloc(1, sizeof(*work)));

	work->command = command;
	post(lane, work);
}

void shell_lane_adopt(struct shell_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct work *work = must(calloc(1, sizeof(*work)));

	work->guest = pccl_lane_guest_create(stream, hello);
	post(lane, work);
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

static void set_timer(struct shell_lane *lane)
{
	uint64_t deadline_ns = pccl_lane_deadline(lane->lane);

	if (deadline_ns == UINT64_MAX)
		pccl_loop_timer_clear(&lane->loop, &lane->timer);
	else
		pccl_loop_timer_set(&lane->loop, &lane->timer, deadline_ns);
}

static void on_timer(struct pccl_timer *timer)
{
	struct shell_lane *lane = timer->context;

	pccl_lane_tick(lane->lane, lane->loop.now_ns);
	if (pccl_lane_deadline(lane->lane) <= lane->loop.now_ns)
		sim_fail(lane->shell->sim, "what was due on lane %u of node %u is so still", lane->index,
			 lane->shell->node->id);
	set_timer(lane);
}

static void carry_out(struct shell_lane *lane, const struct pccl_command *command)
{
	const struct pccl_state_order *order = command->order;

	pccl_lane_state_carry_out(order->early ? &lane->visits : &lane->state, command, lane->loop.now_ns);
}

void shell_lane_run(struct shell_lane *lane)
{
	struct work *work = take_work(lane);

	if (work == NULL)
		return;
	lane->loop.now_ns = lane->shell->sim->now_ns;
	if (work->guest != NULL) {
		pccl_lane_adopt(lane->lane, work->guest, lane->loop.now_ns);
	} else {
		if (work->command->type == PCCL_COMMAND_INSTALL)
			lane->installs++;
		if (work->command->type == PCCL_COMMAND_BACKGROUND)
			carry_out(lane, work->command);
		else
			pccl_lane_command(lane->lane, work->command, lane->loop.now_ns);
	}
	free(work);
	set_timer(lane);
	loop_turn(&lane->loop);
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
							 .eager_most = EAGER_BYTES,
							 .packed_slots = PACKED_SLOTS,
							 .packer = {.choose = choose, .learn = learn, .context = lane}},
						.heartbeat_interval_ns = shell->sim->plan.heartbeat_interval_ns,
						.heartbeat_timeout_ns = shell->sim->shells->plan.link_timeout_ns,
						.guest_ns = shell->sim->shells->plan.guest_ns,
						.calls = &calls,
						.context = lane,
						.background = &pccl_lane_state_background,
						.background_context = &lane->state,
						.visits = &pccl_lane_state_visits,
						.visits_context = &lane->visits};

	const struct pccl_transfer_config transfer = {.lane = index,
						      .packing = PCCL_PACK_CHOOSE,
						      .packer = {.choose = choose, .learn = learn, .context = lane}};
	const struct pccl_transfer_config visits = {
		.lane = index, .states_max = PCCL_LANE_STATES_MAX, .packing = PCCL_PACK_NEVER};
	const struct pccl_lane_links links = {.loop = &lane->loop,
					      .group = shell->node->group,
					      .self = shell->node->uuid,
					      .host = shell->node->id,
					      .checksums = shell->sim->shells->plan.checksums,
					      .interfaces = lane->cards,
					      .lane = (uint16_t)index,
					      .streams = (uint16_t)shell->sim->shells->plan.streams,
					      .connect_timeout_ns = 3 * shell->sim->shells->plan.link_timeout_ns,
					      .redial_timeout_ns = shell->sim->shells->plan.link_timeout_ns};

	cards_names(shell->sim, shell->node->id, lane->cards);
	lane->shell = shell;
	lane->index = index;
	lane->links = links;
	lane->timer.fire = on_timer;
	lane->timer.context = lane;
	shell_loop_init(shell, &lane->loop, index);
	lane->loop.lane = lane;
	if (pccl_transfer_create(&transfer, &lane->state.transfer) != pcclSuccess ||
	    pccl_transfer_create(&visits, &lane->visits.transfer) != pcclSuccess ||
	    pccl_lane_create(&config, &lane->lane) != pcclSuccess)
		abort();
	lane->state.lane = lane->lane;
	lane->state.index = index;
	lane->state.transferred = caller_state_transferred;
	lane->state.context = shell;
	lane->visits.lane = lane->lane;
	lane->visits.index = index;
	lane->visits.transferred = caller_loan_transferred;
	lane->visits.context = shell;
}

void shell_lane_destroy(struct shell_lane *lane)
{
	struct work *work;

	pccl_lane_close(lane->lane);
	while ((work = take_work(lane)) != NULL) {
		if (work->guest != NULL)
			pccl_lane_link_hang_up(work->guest);
		else
			pccl_command_free(work->command);
		free(work);
	}
	pccl_lane_destroy(lane->lane);
	pccl_transfer_destroy(lane->state.transfer);
	pccl_transfer_destroy(lane->visits.transfer);
}
