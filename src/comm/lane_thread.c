#include "comm/lane_thread.h"

#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/time.h"
#include "comm/bind.h"
#include "comm/lane_links.h"
#include "comm/lane_pace.h"
#include "comm/lane_state.h"
#include "comm/thread.h"

#define GUEST_NS (10 * PCCL_SECOND_NS) /* a view takes no longer to be installed everywhere, most often */
#define PATIENCE_NS (2 * PCCL_MS_NS)   /* of a parked thread with callers: as late timers may be */
#define SCRATCH_BYTES (32u << 20)      /* of all lanes of a communicator together */

struct pccl_lane_thread {
	const struct pccl_self *self;
	struct pccl_monitor *monitor;
	uint32_t index;
	pthread_t thread;
	struct pccl_loop *loop;
	struct pccl_lane *lane;
	struct pccl_lane_links links;
	struct pccl_lane_pace pace;
	struct pccl_lane_state state;
	struct pccl_lane_state visits;
	struct pccl_timer timer; /* the lane's deadline */
	struct pccl_task work;	 /* posted while the monitor has commands */
	bool invited;		 /* atomic: to park */
	bool linked;		 /* anew, since the thread has looked where it should run */
	bool hurries;		 /* atomic: who drives sends before he reads */
	struct pccl_bound bound; /* where it runs */
	fenv_t environment;	 /* of the caller who drives */
	bool stopped;
};

/* ---- what the lane asks for ---------------------------------------------------------------------------------- */

static pcclResult_t open_link(void *context, struct pccl_neighbour *neighbour, const struct pccl_member *member,
			      bool dials, struct pccl_lane_link **link_out)
{
	const struct pccl_lane_thread *thread = context;

	return pccl_lane_link_open(&thread->links, neighbour, member, dials, link_out);
}

static void turn_away(void *context, struct pccl_lane_guest *guest, const char *why)
{
	const struct pccl_lane_thread *thread = context;

	pccl_lane_link_turn_away(thread->loop, guest, why);
}

static void outcome(void *context, const struct pccl_exec_outcome *what)
{
	const struct pccl_lane_thread *thread = context;

	pccl_monitor_outcome(thread->monitor, thread->index, what);
}

static void unpin(void *context, struct pccl_attempt *attempt)
{
	const struct pccl_lane_thread *thread = context;

	pccl_monitor_unpin(thread->monitor, attempt);
}

static void frozen(void *context, const struct pccl_exec *exec)
{
	const struct pccl_lane_thread *thread = context;

	pccl_monitor_frozen(thread->monitor, thread->index, exec);
}

static void missed(void *context, const struct pccl_op_key *key)
{
	const struct pccl_lane_thread *thread = context;

	pccl_monitor_missed(thread->monitor, key);
}

static void expired(void *context, const struct pccl_op_key *key, const char *text)
{
	const struct pccl_lane_thread *thread = context;

	pccl_monitor_expired(thread->monitor, key, text);
}

static void complain(void *context, const pcclRankUuid_t *member, const char *reason)
{
	const struct pccl_lane_thread *thread = context;
	const struct pccl_peer_event event = {
		.type = PCCL_PEER_LINK_LOST, .uuid = *member, .lane = thread->index, .text = reason};

	pccl_monitor_tell(thread->monitor, &event);
}

static void retract(void *context, const pcclRankUuid_t *member)
{
	const struct pccl_lane_thread *thread = context;
	const struct pccl_peer_event event = {.type = PCCL_PEER_LINK_HEARD, .uuid = *member, .lane = thread->index};

	pccl_monitor_tell(thread->monitor, &event);
}

static void met(void *context, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not)
{
	const struct pccl_lane_thread *thread = context;

	pccl_monitor_met(thread->monitor, uuid, number, why_not);
}

static void broken(void *context, const pcclRankUuid_t *member, bool is_broken)
{
	const struct pccl_lane_thread *thread = context;
	const struct pccl_peer_event event = {.type = is_broken ? PCCL_PEER_LINK_BROKEN : PCCL_PEER_LINK_MENDED,
					      .uuid = *member,
					      .lane = thread->index};

	pccl_monitor_tell(thread->monitor, &event);
}

static void linked(void *context, uint32_t epoch)
{
	struct pccl_lane_thread *thread = context;

	thread->linked = true;
	pccl_monitor_linked(thread->monitor, epoch);
}

static void busy(void *context, bool is_busy)
{
	struct pccl_lane_thread *thread = context;

	pccl_lane_pace_busy(&thread->pace, is_busy);
}

static void give_up(void *context, pcclResult_t result)
{
	const struct pccl_lane_thread *thread = context;

	pccl_monitor_end(thread->monitor, result, pccl_fail_text());
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

/* ---- what comes from other threads, and the time ------------------------------------------------------------- */

static void set_timer(struct pccl_lane_thread *thread)
{
	uint64_t deadline_ns = pccl_lane_deadline(thread->lane);

	if (deadline_ns == UINT64_MAX)
		pccl_loop_timer_clear(thread->loop, &thread->timer);
	else if (deadline_ns != thread->timer.when_ns)
		pccl_loop_timer_set(thread->loop, &thread->timer, deadline_ns);
}

static void on_timer(struct pccl_timer *timer)
{
	struct pccl_lane_thread *thread = timer->context;

	pccl_lane_tick(thread->lane, pccl_loop_now(thread->loop));
	set_timer(thread);
}

static void carry_out(struct pccl_lane_thread *thread, const struct pccl_command *command)
{
	const struct pccl_state_order *order = command->order;

	pccl_lane_state_carry_out(order->early ? &thread->visits : &thread->state, command,
				  pccl_loop_now(thread->loop));
}

static void run_commands(struct pccl_task *task)
{
	struct pccl_lane_thread *thread = task->context;
	struct pccl_command *command = pccl_monitor_take(thread->monitor, thread->index);

	while (command != NULL) {
		struct pccl_command *next = command->next;

		if (thread->stopped)
			pccl_command_free(command);
		else if (command->type == PCCL_COMMAND_BACKGROUND)
			carry_out(thread, command);
		else
			pccl_lane_command(thread->lane, command, pccl_loop_now(thread->loop));
		command = next;
	}
	if (!thread->stopped)
		set_timer(thread);
}

void pccl_lane_thread_wake(struct pccl_lane_thread *thread)
{
	pccl_loop_post(thread->loop, &thread->work);
}

struct adopt_task {
	struct pccl_task task;
	struct pccl_lane_thread *thread;
	struct pccl_lane_guest *guest;
};

static void run_adopt(struct pccl_task *task)
{
	struct adopt_task *work = (struct adopt_task *)task;
	struct pccl_lane_thread *thread = work->thread;

	if (thread->stopped) {
		pccl_lane_link_hang_up(work->guest);
	} else {
		pccl_lane_adopt(thread->lane, work->guest, pccl_loop_now(thread->loop));
		set_timer(thread);
	}
	pccl_free(work);
}

void pccl_lane_thread_adopt(struct pccl_lane_thread *thread, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct pccl_lane_guest *guest = pccl_lane_guest_create(stream, hello);
	struct adopt_task *work = guest != NULL ? pccl_zalloc(sizeof(*work)) : NULL;

	if (work == NULL) {
		if (guest != NULL)
			pccl_lane_link_hang_up(guest);
		else
			stream->transport->close(stream, false);
		return;
	}
	work->task.run = run_adopt;
	work->thread = thread;
	work->guest = guest;
	pccl_loop_post(thread->loop, &work->task);
}

/* ---- callers who drive --------------------------------------------------------------------------------------- */

void pccl_lane_thread_invite(struct pccl_lane_thread *thread)
{
	__atomic_store_n(&thread->invited, true, __ATOMIC_RELAXED);
}

bool pccl_lane_thread_take(struct pccl_lane_thread *thread)
{
	if (!pccl_loop_take(thread->loop, __atomic_load_n(&thread->hurries, __ATOMIC_RELAXED)))
		return false;
	fegetenv(&thread->environment);
	fesetenv(FE_DFL_ENV);
	return true;
}

void pccl_lane_thread_drive(struct pccl_lane_thread *thread, uint64_t until_ns)
{
	pccl_loop_turn(thread->loop, until_ns);
}

void pccl_lane_thread_ring(struct pccl_lane_thread *thread)
{
	pccl_loop_ring(thread->loop);
}

void pccl_lane_thread_give(struct pccl_lane_thread *thread)
{
	fesetenv(&thread->environment);
	pccl_loop_give(thread->loop, pccl_lane_is_busy(thread->lane));
}

static bool is_invited(const struct pccl_lane_thread *thread)
{
	return __atomic_load_n(&thread->invited, __ATOMIC_RELAXED) && !pccl_lane_is_busy(thread->lane);
}

/* In each view. A frame that is laid down in memory costs no system call while the other side is awake: then who drives
 * sends at once what others may be waiting for. Elsewhere he looks first for what has come, so that the answer to that
 * goes out by the same call. */
static void look_how_to_drive(struct pccl_lane_thread *thread)
{
	bool in_memory = true;
	uint32_t rank;

	for (rank = 0; rank < pccl_lane_ranks(thread->lane); rank++) {
		const struct pccl_lane_link *link = pccl_lane_link_to(thread->lane, rank);

		in_memory = in_memory && (link == NULL || pccl_lane_link_in_memory(link));
	}
	__atomic_store_n(&thread->hurries, in_memory, __ATOMIC_RELAXED);
}

/* ---- where it runs -------------------------------------------------------------------------------------------- */

/* In each view: by the first link that leaves the host by a card, and by how many do not leave it, for peers of a host
 * share its cores. A link that has just been lost counts as one of those. The thread itself: a caller who drives stays
 * where he is. */
static void look_where_to_run(struct pccl_lane_thread *thread)
{
	const struct pccl_settings *settings = &thread->self->settings;
	struct pccl_bind_way way = {.leaves = false};
	struct pccl_address local;
	uint32_t peers = 1, rank;

	if (settings->binding == pcclBindingOff)
		return;
	for (rank = 0; rank < pccl_lane_ranks(thread->lane); rank++) {
		const struct pccl_lane_link *link = pccl_lane_link_to(thread->lane, rank);

		if (link == NULL)
			continue;
		if (pccl_lane_link_leaves(link, &local))
			pccl_bind_consider(&way, PCCL_BIND_INTERFACES, &local);
		else
			peers++;
	}
	if (way.leaves)
		pccl_bind_thread(&thread->bound, &way.local, peers, settings->lanes, thread->index);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

static void *run(void *context)
{
	struct pccl_lane_thread *thread = context;

	/* The host's rounding or flushing of denormals must not make this peer's sums differ from the others'. */
	fesetenv(FE_DFL_ENV);
	while (!pccl_loop_is_stopping(thread->loop)) {
		pccl_loop_turn(thread->loop, UINT64_MAX);
		if (thread->linked) {
			thread->linked = false;
			look_how_to_drive(thread);
			look_where_to_run(thread);
		}
		if (is_invited(thread) && !pccl_loop_park(thread->loop, PATIENCE_NS))
			__atomic_store_n(&thread->invited, false, __ATOMIC_RELAXED);
	}
	pccl_loop_run(thread->loop); /* what was posted before */
	pccl_lane_close(thread->lane);
	pccl_loop_timer_clear(thread->loop, &thread->timer);
	return NULL;
}

static void transferred(void *context, uint32_t lane, const struct pccl_transfer_outcome *what)
{
	pccl_monitor_transferred(context, lane, what);
}

static void visited(void *context, uint32_t lane, const struct pccl_transfer_outcome *what)
{
	(void)lane;
	pccl_monitor_visited(context, what);
}

static enum pccl_packing packing_of(pcclZstd_t zstd)
{
	if (zstd == pcclZstdOn)
		return PCCL_PACK_ALWAYS;
	return zstd == pcclZstdAuto ? PCCL_PACK_CHOOSE : PCCL_PACK_NEVER;
}

static void destroy_transfers(const struct pccl_lane_thread *thread)
{
	pccl_transfer_destroy(thread->state.transfer);
	pccl_transfer_destroy(thread->visits.transfer);
}

static pcclResult_t make_lane(struct pccl_lane_thread *thread)
{
	const struct pccl_settings *settings = &thread->self->settings;
	const struct pccl_lane_config config = {.exec = {.lane = thread->index,
							 .lanes = settings->lanes,
							 .scratch_bytes = SCRATCH_BYTES / settings->lanes,
							 .packer = {.choose = pccl_lane_pace_choose,
								    .learn = pccl_lane_pace_learn,
								    .context = &thread->pace}},
						.heartbeat_interval_ns = settings->heartbeat_interval_ns,
						.heartbeat_timeout_ns = settings->heartbeat_timeout_ns,
						.guest_ns = GUEST_NS,
						.calls = &calls,
						.context = thread,
						.background = &pccl_lane_state_background,
						.background_context = &thread->state,
						.visits = &pccl_lane_state_visits,
						.visits_context = &thread->visits};
	const struct pccl_transfer_config transfer = {.lane = thread->index,
						      .packing = packing_of(settings->state_zstd),
						      .packer = {.choose = pccl_lane_pace_choose_state,
								 .learn = pccl_lane_pace_learn_state,
								 .context = &thread->pace}};
	const struct pccl_transfer_config visits = {
		.lane = thread->index, .states_max = PCCL_LANE_STATES_MAX, .packing = PCCL_PACK_NEVER};
	pcclResult_t result = pccl_transfer_create(&transfer, &thread->state.transfer);

	if (result == pcclSuccess)
		result = pccl_transfer_create(&visits, &thread->visits.transfer);
	if (result == pcclSuccess)
		result = pccl_lane_create(&config, &thread->lane);
	if (result != pcclSuccess)
		destroy_transfers(thread);
	thread->visits.lane = thread->lane;
	thread->visits.transferred = visited;
	thread->visits.context = thread->monitor;
	thread->visits.index = thread->index;
	thread->state.lane = thread->lane;
	thread->state.transferred = transferred;
	thread->state.context = thread->monitor;
	thread->state.index = thread->index;
	return result;
}

static void fill_links(struct pccl_lane_thread *thread)
{
	const struct pccl_self *self = thread->self;
	const struct pccl_lane_links links = {.loop = thread->loop,
					      .group = self->group,
					      .self = self->uuid,
					      .wires = self->wires,
					      .host = self->host,
					      .checksums = self->settings.checksums,
					      .lane = (uint16_t)thread->index,
					      .interfaces = self->settings.interfaces,
					      .streams = (uint16_t)self->settings.streams,
					      .connect_timeout_ns = self->settings.connect_timeout_ns,
					      .redial_timeout_ns = self->settings.heartbeat_timeout_ns};

	thread->links = links;
	if (pccl_wires_are_protected(self->wires)) {
		thread->links.signer.keys = &self->keys;
		thread->links.signer.salt = self->salt;
	}
}

pcclResult_t pccl_lane_thread_create(const struct pccl_self *self, struct pccl_monitor *monitor, uint32_t index,
				     struct pccl_lane_thread **thread_out)
{
	struct pccl_lane_thread *thread = pccl_zalloc(sizeof(*thread));
	char name[16];
	pcclResult_t result;

	*thread_out = NULL;
	if (thread == NULL)
		return pcclOutOfMemory;
	thread->self = self;
	thread->monitor = monitor;
	thread->index = index;
	thread->work.run = run_commands;
	thread->work.context = thread;
	thread->timer.fire = on_timer;
	thread->timer.context = thread;
	result = make_lane(thread);
	if (result != pcclSuccess)
		goto fail_lane;
	result = pccl_loop_create(&thread->loop);
	if (result != pcclSuccess)
		goto fail_loop;
	fill_links(thread);
	thread->pace.loop = thread->loop;
	thread->pace.lane = thread->lane;
	snprintf(name, sizeof(name), "pccl-lane-%u", index);
	result = pccl_thread_start(&thread->thread, name, run, thread);
	if (result != pcclSuccess)
		goto fail_thread;
	*thread_out = thread;
	return pcclSuccess;
fail_thread:
	pccl_loop_destroy(thread->loop);
fail_loop:
	pccl_lane_destroy(thread->lane);
	destroy_transfers(thread);
fail_lane:
	pccl_free(thread);
	return result;
}

void pccl_lane_thread_stop(struct pccl_lane_thread *thread)
{
	if (thread == NULL)
		return;
	pccl_loop_stop(thread->loop);
	pthread_join(thread->thread, NULL);
	thread->stopped = true;
}

void pccl_lane_thread_destroy(struct pccl_lane_thread *thread)
{
	if (thread == NULL)
		return;
	pccl_loop_turn(thread->loop, 0); /* frees what was posted since */
	pccl_loop_destroy(thread->loop);
	pccl_lane_destroy(thread->lane);
	destroy_transfers(thread);
	pccl_bind_fini(&thread->bound);
	pccl_free(thread);
}
