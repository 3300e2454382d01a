/* Frames between links and executor, commands from the session, outcomes back to it. */
#include "lane.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "comm.h"
#include "control.h"
#include "thread.h"
#include "transport/link.h"

#define SCRATCH_BYTES (16u << 20) /* of all lanes of a communicator together */
#define PARKED_MAX 1024		  /* streams of members of a view that is not installed here yet */
#define PARKED_NS 10000000000ull  /* how long one waits for it */

struct neighbour {
	struct pccl_lane *lane;
	struct pccl_link *link; /* NULL: this peer itself, or the link could not be made */
	pcclRankUuid_t uuid;
	uint32_t rank;
};

struct parked {
	struct pccl_stream *stream;
	struct pccl_hello hello;
	uint64_t until_ns;
	struct parked *next;
};

struct pccl_lane {
	pcclComm_t *comm;
	uint32_t index;
	uint32_t lanes; /* of the view in force */
	pthread_t thread;
	struct pccl_loop *loop;
	const struct pccl_transport *transport;
	struct pccl_exec *exec;
	uint32_t epoch; /* of the view in force, as the next two */
	uint32_t rank;
	uint32_t ranks;
	struct neighbour **neighbours; /* by rank */
	struct parked *parked;
	uint32_t parked_count;
	struct pccl_timer parked_timer;
	bool linked; /* told the communicator that all links of the view are up */
	uint32_t attempts_open; /* launched here and not ended */
	struct pccl_timer watch_timer; /* set while attempts are open */
	bool stopped;
};

struct command_task {
	struct pccl_task task;
	struct pccl_lane *lane;
	struct pccl_command *command;
	struct pccl_view view;
};

struct adopt_task {
	struct pccl_task task;
	struct pccl_lane *lane;
	struct pccl_stream *stream;
	struct pccl_hello hello;
};

static void forget_everywhere(struct pccl_lane *lane, const struct pccl_attempt *attempt)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->neighbours[rank]->link != NULL)
			pccl_link_forget(lane->neighbours[rank]->link, attempt, pccl_attempt_owns);
}

static void link_lost(void *context, struct pccl_link *link, const char *reason)
{
	struct neighbour *neighbour = context;
	struct pccl_peer_event event = {.type = PCCL_PEER_LINK_LOST, .uuid = neighbour->uuid, .text = reason};

	(void)link;
	pccl_log_info("lane %u: link to rank %u lost: %s", neighbour->lane->index, neighbour->rank, reason);
	pccl_control_post(neighbour->lane->comm->control, &event);
}

/* While ops run: a neighbour that neither sends nor acknowledges for as long as heartbeats may be missing is complained
 * about, even if it and the master hear each other. */
static void watch_links(struct pccl_timer *timer)
{
	struct pccl_lane *lane = timer->context;
	const struct pccl_settings *settings = &lane->comm->settings;
	uint64_t now_ns = pccl_loop_now(lane->loop);
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++) {
		struct neighbour *neighbour = lane->neighbours[rank];
		uint64_t heard_ns = neighbour->link == NULL ? now_ns : pccl_link_heard_ns(neighbour->link);

		if (heard_ns + settings->heartbeat_timeout_ns > now_ns || pccl_link_unacked(neighbour->link) == 0)
			continue;
		link_lost(neighbour, neighbour->link, "nothing was heard or acknowledged while frames were under way");
	}
	if (lane->attempts_open > 0)
		pccl_loop_timer_set(lane->loop, timer, now_ns + settings->heartbeat_interval_ns);
}

/* Tells the session what has ended. The only place where a lane takes the communicator's lock for an op. */
static void drain(struct pccl_lane *lane)
{
	struct pccl_exec_outcome outcome;

	while (pccl_exec_poll(lane->exec, &outcome)) {
		if (outcome.result != pcclSuccess)
			forget_everywhere(lane, outcome.cookie);
		lane->attempts_open--;
		pthread_mutex_lock(&lane->comm->lock);
		pccl_session_outcome(lane->comm->session, lane->index, &outcome);
		pccl_comm_dispatch(lane->comm);
		pthread_mutex_unlock(&lane->comm->lock);
	}
}

/* Whatever happened: links pull what the executor has for them now. */
static void pump(struct pccl_lane *lane)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->neighbours[rank]->link != NULL && pccl_exec_wants(lane->exec, rank))
			pccl_link_kick(lane->neighbours[rank]->link);
	drain(lane);
}

static bool link_next(void *context, struct pccl_link *link, struct pccl_frame_send *send_out)
{
	struct neighbour *neighbour = context;

	(void)link;
	return pccl_exec_next(neighbour->lane->exec, neighbour->rank, send_out);
}

static enum pccl_frame_verdict link_accept(void *context, struct pccl_link *link, const struct pccl_frame *frame,
					   void **destination_out)
{
	struct neighbour *neighbour = context;

	(void)link;
	return pccl_exec_accept(neighbour->lane->exec, neighbour->rank, frame, destination_out);
}

static void link_received(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	struct neighbour *neighbour = context;

	(void)link;
	pccl_exec_received(neighbour->lane->exec, neighbour->rank, frame);
	pump(neighbour->lane);
}

static void link_dropped(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	struct neighbour *neighbour = context;

	(void)link;
	pccl_exec_dropped(neighbour->lane->exec, neighbour->rank, frame);
}

static void link_acked(void *context, struct pccl_link *link, void *token)
{
	struct neighbour *neighbour = context;

	(void)link;
	pccl_exec_sent(neighbour->lane->exec, token);
	pump(neighbour->lane);
}

static void check_linked(struct pccl_lane *lane)
{
	uint32_t rank;

	if (lane->linked)
		return;
	for (rank = 0; rank < lane->ranks; rank++) {
		const struct neighbour *neighbour = lane->neighbours[rank];

		if (pccl_uuid_equal(&neighbour->uuid, &lane->comm->uuid))
			continue;
		if (neighbour->link == NULL || !pccl_link_is_up(neighbour->link))
			return;
	}
	lane->linked = true;
	pthread_mutex_lock(&lane->comm->lock);
	if (lane->comm->view.epoch == lane->epoch)
		lane->comm->lanes_linked++;
	pthread_cond_broadcast(&lane->comm->changed);
	pthread_mutex_unlock(&lane->comm->lock);
}

static void link_up(void *context, struct pccl_link *link)
{
	struct neighbour *neighbour = context;

	(void)link;
	check_linked(neighbour->lane);
	pump(neighbour->lane);
}

static const struct pccl_link_events link_events = {.next = link_next,
						    .accept = link_accept,
						    .received = link_received,
						    .dropped = link_dropped,
						    .acked = link_acked,
						    .up = link_up,
						    .lost = link_lost};

static pcclResult_t neighbour_link(struct neighbour *neighbour, const struct pccl_member *member, bool dials,
				   uint16_t streams)
{
	struct pccl_lane *lane = neighbour->lane;
	struct pccl_link_config config = {.loop = lane->loop,
					  .transport = lane->transport,
					  .group = lane->comm->params.peer_group,
					  .self = lane->comm->uuid,
					  .neighbour = member->uuid,
					  .dials = dials,
					  .lane = (uint16_t)lane->index,
					  .streams = streams,
					  .connect_timeout_ns = lane->comm->settings.connect_timeout_ns,
					  .redial_timeout_ns = lane->comm->settings.heartbeat_timeout_ns};
	pcclResult_t result = pccl_address_numeric(member->address, member->port, &config.address);

	if (result != pcclSuccess)
		return result;
	(void)snprintf(config.name, sizeof(config.name), "rank %u (%.40s:%u)", neighbour->rank, member->address,
		       member->port);
	return pccl_link_create(&config, &link_events, neighbour, &neighbour->link);
}

static void neighbour_destroy(struct neighbour *neighbour)
{
	if (neighbour == NULL)
		return;
	pccl_link_destroy(neighbour->link);
	pccl_free(neighbour);
}

/* The neighbour with this uuid, taken out of the old list. */
static struct neighbour *take_neighbour(struct neighbour **neighbours, uint32_t count, const pcclRankUuid_t *uuid)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct neighbour *found = neighbours[i];

		if (found == NULL || !pccl_uuid_equal(&found->uuid, uuid))
			continue;
		neighbours[i] = NULL;
		return found;
	}
	return NULL;
}

static struct neighbour *find_neighbour(const struct pccl_lane *lane, const pcclRankUuid_t *uuid)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (pccl_uuid_equal(&lane->neighbours[rank]->uuid, uuid))
			return lane->neighbours[rank];
	return NULL;
}

static void park(struct pccl_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct parked *parked = lane->parked_count < PARKED_MAX ? pccl_zalloc(sizeof(*parked)) : NULL;

	if (parked == NULL) {
		lane->transport->close(stream, false);
		return;
	}
	parked->stream = stream;
	parked->hello = *hello;
	parked->until_ns = pccl_loop_now(lane->loop) + PARKED_NS;
	parked->next = lane->parked;
	lane->parked = parked;
	lane->parked_count++;
	if (lane->parked_timer.when_ns == 0)
		pccl_loop_timer_set(lane->loop, &lane->parked_timer, parked->until_ns);
}

static void adopt(struct pccl_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct neighbour *neighbour = find_neighbour(lane, &hello->from);

	if (neighbour != NULL && neighbour->link != NULL)
		pccl_link_adopt(neighbour->link, stream, hello);
	else
		park(lane, stream, hello);
}

/* Gives every parked stream another chance; closes those whose time is up. */
static void unpark(struct pccl_lane *lane)
{
	struct parked *parked = lane->parked;

	lane->parked = NULL;
	lane->parked_count = 0;
	while (parked != NULL) {
		struct parked *next = parked->next;

		if (parked->until_ns <= pccl_loop_now(lane->loop))
			lane->transport->close(parked->stream, false);
		else
			adopt(lane, parked->stream, &parked->hello);
		pccl_free(parked);
		parked = next;
	}
}

static void parked_timer_fired(struct pccl_timer *timer)
{
	struct pccl_lane *lane = timer->context;

	unpark(lane);
	if (lane->parked != NULL)
		pccl_loop_timer_set(lane->loop, timer, pccl_loop_now(lane->loop) + PARKED_NS / 10);
}

static pcclResult_t make_exec(struct pccl_lane *lane, uint32_t lanes)
{
	struct pccl_exec_config config = {lane->index, lanes, SCRATCH_BYTES / lanes};
	struct pccl_exec *exec;
	pcclResult_t result = pccl_exec_create(&config, &exec);

	if (result != pcclSuccess)
		return result;
	pccl_exec_destroy(lane->exec);
	lane->exec = exec;
	lane->lanes = lanes;
	return pcclSuccess;
}

/* Lists the neighbours of the view: known ones keep their links, new ones get theirs, the rest goes. */
static pcclResult_t list_neighbours(struct pccl_lane *lane, const struct pccl_view *view, uint32_t own_rank)
{
	struct neighbour **old = lane->neighbours;
	uint32_t old_count = lane->ranks, rank;
	struct neighbour **list = pccl_calloc(view->member_count, sizeof(*list));

	if (list == NULL)
		return pcclOutOfMemory;
	for (rank = 0; rank < view->member_count; rank++) {
		list[rank] = take_neighbour(old, old_count, &view->members[rank].uuid);
		if (list[rank] == NULL)
			list[rank] = pccl_zalloc(sizeof(*list[rank]));
		if (list[rank] == NULL)
			return pcclOutOfMemory; /* the communicator ends; what is listed so far leaks nothing that matters */
		list[rank]->lane = lane;
		list[rank]->uuid = view->members[rank].uuid;
		list[rank]->rank = rank;
	}
	for (rank = 0; rank < old_count; rank++)
		neighbour_destroy(old[rank]);
	pccl_free(old);
	lane->neighbours = list;
	lane->ranks = view->member_count;
	for (rank = 0; rank < view->member_count; rank++) {
		pcclResult_t result;

		if (rank == own_rank || list[rank]->link != NULL || lane->index >= lane->lanes)
			continue;
		result = neighbour_link(list[rank], &view->members[rank], own_rank > rank, view->streams);
		if (result != pcclSuccess)
			return result;
	}
	return pcclSuccess;
}

static pcclResult_t install(struct pccl_lane *lane, const struct pccl_command *command, const struct pccl_view *view)
{
	pcclResult_t result = pcclSuccess;
	uint32_t rank;

	if (command->lanes != lane->lanes && lane->index < command->lanes)
		result = make_exec(lane, command->lanes);
	lane->lanes = command->lanes;
	lane->epoch = command->epoch;
	lane->rank = command->rank;
	lane->linked = lane->index >= command->lanes;
	if (result == pcclSuccess)
		result = list_neighbours(lane, view, command->rank);
	if (result == pcclSuccess && !lane->linked)
		result = pccl_exec_install(lane->exec, command->epoch, command->ranks, command->rank);
	if (result != pcclSuccess)
		return result;
	unpark(lane);
	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->neighbours[rank]->link != NULL)
			pccl_link_resume(lane->neighbours[rank]->link);
	check_linked(lane);
	return pcclSuccess;
}

static void freeze(struct pccl_lane *lane)
{
	pcclComm_t *comm = lane->comm;
	bool last;

	pccl_exec_freeze(lane->exec);
	drain(lane);
	pthread_mutex_lock(&comm->lock);
	last = pccl_session_collect(comm->session, lane->index, lane->exec);
	pthread_mutex_unlock(&comm->lock);
	if (last) {
		struct pccl_peer_event event = {.type = PCCL_PEER_FROZEN};

		pccl_control_post(comm->control, &event);
	}
}

static void launch(struct pccl_lane *lane, const struct pccl_exec_launch *what)
{
	pcclResult_t result = pccl_exec_launch(lane->exec, what);
	struct pccl_exec_outcome outcome = {.cookie = what->cookie, .result = result};

	if (result == pcclSuccess) {
		lane->attempts_open++;
		if (lane->watch_timer.when_ns == 0)
			pccl_loop_timer_set(lane->loop, &lane->watch_timer,
					    pccl_loop_now(lane->loop) + lane->comm->settings.heartbeat_interval_ns);
		return;
	}
	snprintf(outcome.detail, sizeof(outcome.detail), "%s", pccl_fail_text());
	pthread_mutex_lock(&lane->comm->lock);
	pccl_session_outcome(lane->comm->session, lane->index, &outcome);
	pccl_comm_dispatch(lane->comm);
	pthread_mutex_unlock(&lane->comm->lock);
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
	pccl_control_post(lane->comm->control, &event);
}

static void unpin(struct pccl_lane *lane, struct pccl_attempt *attempt)
{
	pthread_mutex_lock(&lane->comm->lock);
	pccl_session_unpin(lane->comm->session, attempt);
	pccl_comm_dispatch(lane->comm);
	pthread_mutex_unlock(&lane->comm->lock);
}

static void give_up(struct pccl_lane *lane, pcclResult_t result)
{
	pthread_mutex_lock(&lane->comm->lock);
	pccl_comm_end(lane->comm, result, pccl_fail_text());
	pthread_mutex_unlock(&lane->comm->lock);
}

static void carry_out(struct pccl_lane *lane, struct pccl_command *command, const struct pccl_view *view)
{
	pcclResult_t result;

	switch (command->type) {
	case PCCL_COMMAND_LAUNCH:
		launch(lane, &command->launch);
		break;
	case PCCL_COMMAND_CANCEL:
		forget_everywhere(lane, command->attempt);
		pccl_exec_cancel(lane->exec, command->attempt, command->result, command->detail, command->restore);
		drain(lane);
		unpin(lane, command->attempt);
		break;
	case PCCL_COMMAND_EXPIRE:
		drain(lane);
		expire(lane, command);
		unpin(lane, command->attempt);
		break;
	case PCCL_COMMAND_FREEZE:
		freeze(lane);
		break;
	case PCCL_COMMAND_INSTALL:
		result = install(lane, command, view);
		if (result != pcclSuccess)
			give_up(lane, result);
		break;
	case PCCL_COMMAND_ENDED:
		assert(!"the communicator keeps these");
	}
	pump(lane);
}

static void run_command(struct pccl_task *task)
{
	struct command_task *work = (struct command_task *)task;

	if (!work->lane->stopped)
		carry_out(work->lane, work->command, &work->view);
	pccl_view_fini(&work->view);
	pccl_free(work->command);
	pccl_free(work);
}

pcclResult_t pccl_lane_command(struct pccl_lane *lane, struct pccl_command *command, const struct pccl_view *view)
{
	struct command_task *work = pccl_zalloc(sizeof(*work));
	pcclResult_t result = pcclOutOfMemory;

	if (work == NULL)
		goto fail;
	work->task.run = run_command;
	work->lane = lane;
	work->command = command;
	if (command->type == PCCL_COMMAND_INSTALL) {
		result = pccl_view_copy(view, &work->view);
		if (result != pcclSuccess)
			goto fail;
	}
	pccl_loop_post(lane->loop, &work->task);
	return pcclSuccess;
fail:
	pccl_free(work);
	pccl_free(command);
	return result;
}

static void run_adopt(struct pccl_task *task)
{
	struct adopt_task *work = (struct adopt_task *)task;

	if (work->lane->stopped)
		work->lane->transport->close(work->stream, false);
	else
		adopt(work->lane, work->stream, &work->hello);
	pccl_free(work);
}

void pccl_lane_adopt(struct pccl_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct adopt_task *work = pccl_zalloc(sizeof(*work));

	if (work == NULL) {
		lane->transport->close(stream, false);
		return;
	}
	work->task.run = run_adopt;
	work->lane = lane;
	work->stream = stream;
	work->hello = *hello;
	pccl_loop_post(lane->loop, &work->task);
}

static void close_all(struct pccl_lane *lane)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		neighbour_destroy(lane->neighbours[rank]);
	pccl_free(lane->neighbours);
	lane->neighbours = NULL;
	lane->ranks = 0;
	while (lane->parked != NULL) {
		struct parked *parked = lane->parked;

		lane->parked = parked->next;
		lane->transport->close(parked->stream, false);
		pccl_free(parked);
	}
	pccl_loop_timer_clear(lane->loop, &lane->parked_timer);
	pccl_loop_timer_clear(lane->loop, &lane->watch_timer);
}

static void *run(void *context)
{
	struct pccl_lane *lane = context;

	pccl_loop_run(lane->loop);
	close_all(lane);
	return NULL;
}

pcclResult_t pccl_lane_create(pcclComm_t *comm, uint32_t index, struct pccl_lane **lane_out)
{
	struct pccl_lane *lane = pccl_zalloc(sizeof(*lane));
	char name[16];
	pcclResult_t result;

	*lane_out = NULL;
	if (lane == NULL)
		return pcclOutOfMemory;
	lane->comm = comm;
	lane->index = index;
	lane->transport = &pccl_tcp;
	lane->watch_timer.fire = watch_links;
	lane->watch_timer.context = lane;
	lane->parked_timer.fire = parked_timer_fired;
	lane->parked_timer.context = lane;
	result = make_exec(lane, comm->settings.lanes);
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
