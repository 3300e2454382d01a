/* The neighbours of a lane: their links, streams that come before their view, and the watch over silent ones. */
#include "comm/lane_internal.h"

#include <stdio.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "transport/wires.h"

#define PARKED_MAX 1024		 /* streams of members of a view that is not installed here yet */
#define PARKED_NS 10000000000ull /* how long one waits for it */

struct adopt_task {
	struct pccl_task task;
	struct pccl_lane *lane;
	struct pccl_stream *stream;
	struct pccl_hello hello;
};

void pccl_lane_forget(struct pccl_lane *lane, const struct pccl_attempt *attempt)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->neighbours[rank]->link != NULL)
			pccl_link_forget(lane->neighbours[rank]->link, attempt, pccl_attempt_owns);
}

static void complain(const struct neighbour *neighbour, const char *reason)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_LINK_LOST, .uuid = neighbour->uuid, .text = reason};

	pccl_log_info("lane %u: link to rank %u lost: %s", neighbour->lane->index, neighbour->rank, reason);
	pccl_monitor_tell(neighbour->lane->monitor, &event);
}

static void link_lost(void *context, struct pccl_link *link, const char *reason)
{
	struct neighbour *neighbour = context;

	(void)link;
	neighbour->lost = true;
	complain(neighbour, reason);
}

/* While ops run: a neighbour that neither sends nor acknowledges for as long as heartbeats may be missing is complained
 * about, even if it and the master hear each other. */
static void watch_links(struct pccl_timer *timer)
{
	struct pccl_lane *lane = timer->context;
	const struct pccl_settings *settings = &lane->self->settings;
	uint64_t now_ns = pccl_loop_now(lane->loop);
	uint64_t next_ns = now_ns + settings->heartbeat_interval_ns;
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++) {
		struct neighbour *neighbour = lane->neighbours[rank];
		struct pccl_link_heard heard;
		uint64_t end_ns;

		if (neighbour->link == NULL)
			continue;
		pccl_link_heard(neighbour->link, &heard);
		end_ns = pccl_silence_ends(&neighbour->silence, now_ns, &heard, settings->heartbeat_timeout_ns);
		if (end_ns <= now_ns)
			complain(neighbour, "nothing was heard or acknowledged while frames were under way");
		else if (end_ns < next_ns)
			next_ns = end_ns;
	}
	if (lane->attempts_open > 0)
		pccl_loop_timer_set(lane->loop, timer, next_ns);
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
	pccl_lane_pump(neighbour->lane);
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
	pccl_lane_pump(neighbour->lane);
}

bool pccl_lane_checks(void *context, uint32_t rank)
{
	const struct pccl_lane *lane = context;
	const struct pccl_link *link = lane->neighbours[rank]->link;

	return link != NULL && pccl_link_checks(link);
}

void pccl_lane_check_linked(struct pccl_lane *lane)
{
	uint32_t rank;

	if (lane->linked)
		return;
	for (rank = 0; rank < lane->ranks; rank++) {
		const struct neighbour *neighbour = lane->neighbours[rank];

		if (pccl_uuid_equal(&neighbour->uuid, &lane->self->uuid))
			continue;
		if (neighbour->link == NULL || !pccl_link_is_up(neighbour->link))
			return;
	}
	lane->linked = true;
	pccl_monitor_linked(lane->monitor, lane->epoch);
}

static void link_up(void *context, struct pccl_link *link)
{
	struct neighbour *neighbour = context;

	(void)link;
	pccl_lane_check_linked(neighbour->lane);
	pccl_lane_pump(neighbour->lane);
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
					  .group = lane->self->group,
					  .self = lane->self->uuid,
					  .neighbour = member->uuid,
					  .host = lane->self->host,
					  .checksums = lane->self->settings.checksums,
					  .dials = dials,
					  .lane = (uint16_t)lane->index,
					  .streams = streams,
					  .connect_timeout_ns = lane->self->settings.connect_timeout_ns,
					  .redial_timeout_ns = lane->self->settings.heartbeat_timeout_ns};
	pcclResult_t result = pccl_address_numeric(member->address, member->port, &config.places[0].address);

	if (result != pcclSuccess)
		return result;
	config.places[0].transport = pccl_wire_for(&config.places[0].address);
	config.place_count = 1;
	/* Not the rank: that changes with the view. */
	(void)snprintf(config.name, sizeof(config.name), "peer %.40s:%u", member->address, member->port);
	return pccl_link_create(&config, &link_events, neighbour, &neighbour->link);
}

static void neighbour_destroy(struct neighbour *neighbour)
{
	if (neighbour == NULL)
		return;
	pccl_link_destroy(neighbour->link);
	pccl_free(neighbour);
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
		stream->transport->close(stream, false);
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
			parked->stream->transport->close(parked->stream, false);
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

static bool is_older(const void *cookie, const struct pccl_frame *frame)
{
	const uint32_t *epoch = cookie;

	return frame->epoch < *epoch;
}

/* By rank, those that stay and new ones, which have no lane yet. False: out of memory, and none is new. */
static bool list_members(struct pccl_lane *lane, const struct pccl_view *view, struct neighbour **list)
{
	uint32_t rank;

	for (rank = 0; rank < view->member_count; rank++) {
		list[rank] = find_neighbour(lane, &view->members[rank].uuid);
		if (list[rank] == NULL)
			list[rank] = pccl_zalloc(sizeof(*list[rank]));
		if (list[rank] == NULL)
			break;
	}
	if (rank == view->member_count)
		return true;
	while (rank-- > 0)
		if (list[rank]->lane == NULL)
			pccl_free(list[rank]);
	return false;
}

/* On failure the old list stays. */
static pcclResult_t replace_list(struct pccl_lane *lane, const struct pccl_view *view)
{
	struct neighbour **list = pccl_calloc(view->member_count, sizeof(*list));
	uint32_t rank, stays_at;

	if (list == NULL || !list_members(lane, view, list)) {
		pccl_free(list);
		return pcclOutOfMemory;
	}
	for (rank = 0; rank < lane->ranks; rank++)
		if (!pccl_view_rank(view, &lane->neighbours[rank]->uuid, &stays_at))
			neighbour_destroy(lane->neighbours[rank]);
	pccl_free(lane->neighbours);
	for (rank = 0; rank < view->member_count; rank++) {
		list[rank]->lane = lane;
		list[rank]->uuid = view->members[rank].uuid;
		list[rank]->rank = rank;
	}
	lane->neighbours = list;
	lane->ranks = view->member_count;
	return pcclSuccess;
}

pcclResult_t pccl_lane_list_neighbours(struct pccl_lane *lane, const struct pccl_view *view)
{
	pcclResult_t result = replace_list(lane, view);
	uint32_t rank;

	for (rank = 0; rank < lane->ranks && result == pcclSuccess; rank++) {
		struct neighbour *neighbour = lane->neighbours[rank];

		if (neighbour->link != NULL)
			pccl_link_forget(neighbour->link, &lane->epoch, is_older);
		else if (rank != lane->rank && lane->index < lane->lanes)
			result = neighbour_link(neighbour, &view->members[rank], lane->rank > rank, view->streams);
	}
	return result;
}

void pccl_lane_go_on(struct pccl_lane *lane)
{
	uint32_t rank;

	unpark(lane);
	for (rank = 0; rank < lane->ranks; rank++) {
		const struct neighbour *neighbour = lane->neighbours[rank];

		if (neighbour->link != NULL)
			pccl_link_resume(neighbour->link);
		/* The view change was about somebody else: this one can't be reached in the new view either. */
		if (neighbour->lost)
			complain(neighbour, "the link was lost in an earlier view");
	}
}

static void run_adopt(struct pccl_task *task)
{
	struct adopt_task *work = (struct adopt_task *)task;

	if (work->lane->stopped)
		work->stream->transport->close(work->stream, false);
	else
		adopt(work->lane, work->stream, &work->hello);
	pccl_free(work);
}

void pccl_lane_adopt(struct pccl_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct adopt_task *work = pccl_zalloc(sizeof(*work));

	if (work == NULL) {
		stream->transport->close(stream, false);
		return;
	}
	work->task.run = run_adopt;
	work->lane = lane;
	work->stream = stream;
	work->hello = *hello;
	pccl_loop_post(lane->loop, &work->task);
}

void pccl_lane_close_links(struct pccl_lane *lane)
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
		parked->stream->transport->close(parked->stream, false);
		pccl_free(parked);
	}
	pccl_loop_timer_clear(lane->loop, &lane->parked_timer);
	pccl_loop_timer_clear(lane->loop, &lane->watch_timer);
}

void pccl_lane_watch(struct pccl_lane *lane)
{
	if (lane->watch_timer.when_ns == 0)
		pccl_loop_timer_set(lane->loop, &lane->watch_timer,
				    pccl_loop_now(lane->loop) + lane->self->settings.heartbeat_interval_ns);
}

void pccl_lane_init_links(struct pccl_lane *lane)
{
	lane->watch_timer.fire = watch_links;
	lane->watch_timer.context = lane;
	lane->parked_timer.fire = parked_timer_fired;
	lane->parked_timer.context = lane;
}
