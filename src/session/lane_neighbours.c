/* The neighbours of a lane: who has a link, who is silent, and what their links tell. */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/time.h"
#include "base/uuid.h"
#include "session/lane_internal.h"

/* ---- complaints ---------------------------------------------------------------------------------------------- */

static void complain(const struct pccl_neighbour *neighbour, const char *reason)
{
	const struct pccl_lane *lane = neighbour->lane;

	pccl_log_info("lane %u: link to rank %u (%s) lost: %s", lane->config.exec.lane, neighbour->rank,
		      neighbour->host, reason);
	lane->calls->complain(lane->config.context, &neighbour->uuid, reason);
}

static void retract(struct pccl_neighbour *neighbour)
{
	const struct pccl_lane *lane = neighbour->lane;

	neighbour->silent = false;
	if (neighbour->lost)
		return;
	pccl_log_info("lane %u: rank %u (%s) is heard again", lane->config.exec.lane, neighbour->rank, neighbour->host);
	lane->calls->retract(lane->config.context, &neighbour->uuid);
}

/* At each look, but said in the log once. Of a link that is lost the cause was another one, and has been told. */
static void complain_of_silence(struct pccl_neighbour *neighbour)
{
	static const char reason[] = "nothing was heard or acknowledged while frames were under way";
	const struct pccl_lane *lane = neighbour->lane;

	if (!neighbour->silent && !neighbour->lost)
		complain(neighbour, reason);
	else
		lane->calls->complain(lane->config.context, &neighbour->uuid,
				      neighbour->lost ? "the link is lost" : reason);
	neighbour->silent = true;
}

/* To a neighbour that neither sends nor acknowledges for half as long as heartbeats may be missing new connections are
 * tried; after the other half, or later if it is far away, it is complained about, even if it and the master hear each
 * other. Returns which of these will be when, as things stand. `slept_ns`: so long this lane has not come to look, and
 * may have things to read. */
static uint64_t look_at(struct pccl_neighbour *neighbour, uint64_t now_ns, uint64_t slept_ns)
{
	const struct pccl_lane *lane = neighbour->lane;
	uint64_t patience_ns, rest_ns, end_ns;
	struct pccl_heard heard;

	assert(neighbour->link != NULL && neighbour->rank != lane->rank);
	lane->calls->heard(neighbour->link, &heard);
	patience_ns = pccl_patience_ns(lane->config.heartbeat_timeout_ns, heard.trip_ns, 2);
	rest_ns = patience_ns - lane->config.heartbeat_timeout_ns / 2;
	end_ns = pccl_silence_ends(&neighbour->silence, now_ns, &heard, patience_ns);
	if (end_ns <= now_ns && slept_ns > 0) {
		pccl_silence_forgive(&neighbour->silence, now_ns, &heard, slept_ns);
		end_ns = pccl_silence_ends(&neighbour->silence, now_ns, &heard, patience_ns);
	}
	if (end_ns <= now_ns) {
		complain_of_silence(neighbour);
		return end_ns;
	}
	if (neighbour->silent)
		retract(neighbour);
	if (end_ns - rest_ns > now_ns)
		return end_ns == PCCL_SILENCE_NEVER ? end_ns : end_ns - rest_ns;
	if (slept_ns == 0)
		lane->calls->renew(neighbour->link, end_ns);
	return end_ns;
}

/* Nobody looks for a while: what is under way when somebody does again has been so since then. */
static void stop_watch(struct pccl_lane *lane)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		lane->neighbours[rank]->silence.since_ns = 0;
	lane->watch_ns = 0;
}

void pccl_lane_look(struct pccl_lane *lane, uint64_t now_ns)
{
	uint64_t next_ns = now_ns + lane->config.heartbeat_interval_ns;
	/* Else until nobody is complained about who may be heard again. */
	bool goes_on = pccl_lane_is_busy(lane) || lane->visits_busy;
	uint64_t late_ns, end_ns;
	uint32_t rank;

	if (lane->watch_ns == 0 || lane->watch_ns > now_ns)
		return;
	goes_on |= pccl_lane_look_at_visits(lane);
	late_ns = now_ns - lane->watch_ns;
	if (late_ns < lane->config.heartbeat_timeout_ns / 8)
		late_ns = 0;
	for (rank = 0; rank < lane->ranks; rank++) {
		if (lane->neighbours[rank]->link == NULL)
			continue;
		end_ns = look_at(lane->neighbours[rank], now_ns, late_ns);
		if (end_ns > now_ns && end_ns < next_ns)
			next_ns = end_ns;
		goes_on |= lane->neighbours[rank]->silent && !lane->neighbours[rank]->lost;
	}
	if (goes_on)
		lane->watch_ns = next_ns;
	else
		stop_watch(lane);
}

void pccl_lane_watch(struct pccl_lane *lane, uint64_t now_ns)
{
	assert(pccl_lane_is_busy(lane) || lane->visits_open);
	if (lane->watch_ns == 0)
		lane->watch_ns = now_ns + lane->config.heartbeat_interval_ns;
}

/* ---- what links tell ----------------------------------------------------------------------------------------- */

/* The background, if the frame is one of its; else NULL. */
static const struct pccl_lane_background *background_of(const struct pccl_lane *lane, const struct pccl_frame *frame)
{
	const struct pccl_lane_background *background = lane->config.background;

	return background != NULL && background->owns(lane->config.background_context, frame) ? background : NULL;
}

/* The background yields to ops. */
bool pccl_neighbour_next(struct pccl_neighbour *neighbour, struct pccl_frame_send *send_out)
{
	struct pccl_lane *lane = neighbour->lane;
	const struct pccl_lane_background *background = lane->config.background;

	if (neighbour->stranger)
		return pccl_visitor_next(neighbour, send_out);
	assert(neighbour->rank < lane->ranks);
	if (pccl_exec_next(lane->exec, neighbour->rank, send_out)) {
		pccl_lane_earn_visits(lane, send_out->frame.payload_bytes);
		return true;
	}
	return background != NULL && background->next(lane->config.background_context, neighbour->rank, send_out);
}

enum pccl_frame_verdict pccl_neighbour_accept(struct pccl_neighbour *neighbour, const struct pccl_frame *frame,
					      void **destination_out)
{
	const struct pccl_lane *lane = neighbour->lane;
	const struct pccl_lane_background *background;

	if (pccl_lane_is_visit(lane, frame))
		return pccl_visitor_accept(neighbour, frame, destination_out);
	if (neighbour->stranger)
		return PCCL_FRAME_HOLD; /* of a view that is not here yet */
	background = background_of(lane, frame);
	assert(neighbour->rank < lane->ranks);
	if (background != NULL)
		return background->accept(lane->config.background_context, neighbour->rank, frame, destination_out);
	return pccl_exec_accept(lane->exec, neighbour->rank, frame, destination_out);
}

void pccl_neighbour_dropped(struct pccl_neighbour *neighbour, const struct pccl_frame *frame)
{
	const struct pccl_lane *lane = neighbour->lane;
	const struct pccl_lane_background *background = background_of(lane, frame);

	if (pccl_lane_is_visit(lane, frame))
		pccl_visitor_dropped(neighbour, frame);
	else if (background != NULL)
		background->dropped(lane->config.background_context, neighbour->rank, frame);
	else
		pccl_exec_dropped(lane->exec, neighbour->rank, frame);
}

void pccl_neighbour_received(struct pccl_neighbour *neighbour, const struct pccl_frame *frame)
{
	struct pccl_lane *lane = neighbour->lane;
	const struct pccl_lane_background *background = background_of(lane, frame);

	if (pccl_lane_is_visit(lane, frame))
		pccl_visitor_received(neighbour, frame);
	else if (background != NULL)
		background->received(lane->config.background_context, neighbour->rank, frame);
	else
		pccl_exec_received(lane->exec, neighbour->rank, frame);
	pccl_lane_pump(lane);
}

void pccl_neighbour_acked(struct pccl_neighbour *neighbour, void *token)
{
	struct pccl_lane *lane = neighbour->lane;

	if (lane->config.background != NULL && (uintptr_t)token % 4 == 0)
		lane->config.background->sent(lane->config.background_context, token);
	else
		pccl_exec_sent(lane->exec, token);
	pccl_lane_pump(lane);
}

/* A codec may have refused what was asked for, so that an op fails, and all ranks are to be told. */
void pccl_neighbour_pulled(struct pccl_neighbour *neighbour)
{
	pccl_lane_pump(neighbour->lane);
}

void pccl_neighbour_up(struct pccl_neighbour *neighbour)
{
	if (neighbour->stranger) {
		pccl_lane_stranger_up(neighbour);
		return;
	}
	pccl_lane_check_linked(neighbour->lane);
	pccl_lane_pump(neighbour->lane);
}

void pccl_neighbour_broken(struct pccl_neighbour *neighbour, bool broken)
{
	const struct pccl_lane *lane = neighbour->lane;

	neighbour->broken = broken;
	if (!neighbour->stranger)
		lane->calls->broken(lane->config.context, &neighbour->uuid, broken);
	else if (!broken && neighbour->unanswered)
		pccl_lane_stranger_up(neighbour);
}

void pccl_neighbour_lost(struct pccl_neighbour *neighbour, const char *reason)
{
	const struct pccl_lane *lane = neighbour->lane;

	if (neighbour->stranger) {
		pccl_lane_stranger_lost(neighbour, reason);
		return;
	}
	neighbour->lost = true;
	if (lane->config.background != NULL)
		lane->config.background->lost(lane->config.background_context, neighbour->rank);
	complain(neighbour, reason);
	pccl_lane_pump(neighbour->lane);
}

/* ---- all of them --------------------------------------------------------------------------------------------- */

void pccl_lane_forget(struct pccl_lane *lane, const void *cookie,
		      bool (*belongs)(const void *cookie, const struct pccl_frame *frame))
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (lane->neighbours[rank]->link != NULL)
			lane->calls->forget(lane->neighbours[rank]->link, cookie, belongs);
}

bool pccl_lane_checks(void *context, uint32_t rank)
{
	const struct pccl_lane *lane = context;
	const struct pccl_lane_link *link = lane->neighbours[rank]->link;

	return link != NULL && lane->calls->checks(link);
}

void pccl_lane_check_linked(struct pccl_lane *lane)
{
	uint32_t rank;

	if (lane->linked)
		return;
	for (rank = 0; rank < lane->ranks; rank++) {
		const struct pccl_lane_link *link = lane->neighbours[rank]->link;

		if (rank != lane->rank && (link == NULL || !lane->calls->is_up(link)))
			return;
	}
	lane->linked = true;
	lane->calls->linked(lane->config.context, lane->epoch);
}

struct pccl_neighbour *pccl_lane_find_neighbour(const struct pccl_lane *lane, const pcclRankUuid_t *uuid)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		if (pccl_uuid_equal(&lane->neighbours[rank]->uuid, uuid))
			return lane->neighbours[rank];
	return NULL;
}

static void destroy_neighbour(struct pccl_neighbour *neighbour)
{
	if (neighbour->link != NULL)
		neighbour->lane->calls->close(neighbour->link);
	pccl_free(neighbour);
}

void pccl_lane_close_links(struct pccl_lane *lane)
{
	uint32_t rank;

	for (rank = 0; rank < lane->ranks; rank++)
		destroy_neighbour(lane->neighbours[rank]);
	pccl_free(lane->neighbours);
	lane->neighbours = NULL;
	lane->ranks = 0;
}

/* ---- a new view ---------------------------------------------------------------------------------------------- */

/* By rank, those that stay, strangers that join, and new ones, which have no lane yet. False: out of memory, and none
 * is new. */
static bool list_members(struct pccl_lane *lane, const struct pccl_view *view, struct pccl_neighbour **list)
{
	uint32_t rank;

	for (rank = 0; rank < view->member_count; rank++) {
		list[rank] = pccl_lane_find_neighbour(lane, &view->members[rank].uuid);
		if (list[rank] == NULL)
			list[rank] = pccl_lane_find_stranger(lane, &view->members[rank].uuid);
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
	struct pccl_neighbour **list = pccl_calloc(view->member_count, sizeof(*list));
	uint32_t rank, stays_at;

	if (list == NULL || !list_members(lane, view, list)) {
		pccl_free(list);
		return pcclOutOfMemory;
	}
	for (rank = 0; rank < lane->ranks; rank++)
		if (!pccl_view_rank(view, &lane->neighbours[rank]->uuid, &stays_at))
			destroy_neighbour(lane->neighbours[rank]);
	pccl_free(lane->neighbours);
	for (rank = 0; rank < view->member_count; rank++) {
		if (list[rank]->stranger)
			pccl_lane_stranger_joins(list[rank]);
		list[rank]->lane = lane;
		list[rank]->uuid = view->members[rank].uuid;
		list[rank]->rank = rank;
		memcpy(list[rank]->host, view->members[rank].addresses[0].host, sizeof(list[rank]->host));
	}
	lane->neighbours = list;
	lane->ranks = view->member_count;
	pccl_lane_list_visitors(lane);
	return pcclSuccess;
}

bool pccl_lane_has_pass(const struct pccl_member *member)
{
	static const struct pccl_pass none;

	return memcmp(&member->pass, &none, sizeof(none)) != 0;
}

/* A master that was new told a view whose other members were not all there. Who has no pass for one is not let in, and
 * loses the link. If that one is there after all and a later view brings the pass, the link is made anew. */
static void drop_unpassed(const struct pccl_lane *lane, struct pccl_neighbour *neighbour,
			  const struct pccl_member *member)
{
	if (neighbour->link == NULL || !neighbour->lost || neighbour->passed || !pccl_lane_has_pass(member))
		return;
	lane->calls->close(neighbour->link);
	neighbour->link = NULL;
	neighbour->lost = false;
	neighbour->broken = false;
}

pcclResult_t pccl_lane_list_neighbours(struct pccl_lane *lane, const struct pccl_view *view)
{
	pcclResult_t result = replace_list(lane, view);
	uint32_t rank;

	for (rank = 0; rank < lane->ranks && result == pcclSuccess; rank++) {
		struct pccl_neighbour *neighbour = lane->neighbours[rank];

		drop_unpassed(lane, neighbour, &view->members[rank]);
		if (neighbour->link != NULL || rank == lane->rank || lane->config.exec.lane >= lane->lanes)
			continue;
		neighbour->passed = pccl_lane_has_pass(&view->members[rank]);
		/* The member with the higher rank dials first. */
		result = lane->calls->open(lane->config.context, neighbour, &view->members[rank], lane->rank > rank,
					   &neighbour->link);
	}
	return result;
}

void pccl_lane_go_on(struct pccl_lane *lane)
{
	uint32_t rank;

	pccl_lane_seat_guests(lane);
	for (rank = 0; rank < lane->ranks; rank++) {
		const struct pccl_neighbour *neighbour = lane->neighbours[rank];

		if (neighbour->link != NULL)
			lane->calls->resume(neighbour->link);
		if (neighbour->broken)
			lane->calls->broken(lane->config.context, &neighbour->uuid, true);
		/* The view change was about somebody else: this one can't be reached in the new view either. */
		if (neighbour->lost)
			complain(neighbour, "the link was lost in an earlier view");
	}
}
