/* Frames on their way. Payloads are compared with what they were when they were handed out: nobody may change what is
 * lent. */
#include "shell.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

#define STALL_NS (40 * SIM_MS) /* how often a stalled stream is tried again */

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

/* Slow links heal with everything else. */
static uint64_t stream_delay(struct sim *sim, const struct link *link)
{
	return sim_exponential(sim, sim->calm ? sim->shells->plan.frame_ns : link->frame_ns);
}

static struct shell_lane *receiver(struct sim *sim, const struct stream *stream)
{
	return shell_lane_at(sim, stream->link->sides[1 - stream->from].node, stream->link->lane);
}

static struct shell_lane *sender(struct sim *sim, const struct stream *stream)
{
	return shell_lane_at(sim, stream->link->sides[stream->from].node, stream->link->lane);
}

static void free_flight(struct flight *flight)
{
	free(flight->copy);
	free(flight);
}

static struct flight *pop(struct stream *stream)
{
	struct flight *flight = stream->first;

	stream->first = flight->next;
	if (stream->first == NULL)
		stream->last = NULL;
	stream->count--;
	stream->coming = false;
	stream->diverted = false;
	return flight;
}

void stream_cut_tail(struct stream *stream, uint32_t keep)
{
	struct flight *flight = stream->first;
	struct flight *next;
	uint32_t position = 0;

	if (keep == 0 && !stream->coming) {
		stream_clear(stream);
		return;
	}
	for (; flight != NULL; flight = next) {
		next = flight->next;
		flight->forgotten = true;
		if (position + 1 == keep || (keep == 0 && position == 0)) {
			flight->next = NULL;
			stream->last = flight;
		} else if (position >= keep) {
			stream->count--;
			free_flight(flight);
		}
		position++;
	}
}

void stream_clear(struct stream *stream)
{
	while (stream->first != NULL)
		free_flight(pop(stream));
	while (stream->first_ack != NULL) {
		struct ack *ack = stream->first_ack;

		stream->first_ack = ack->next;
		free(ack);
	}
	stream->last_ack = NULL;
	stream->held = false;
}

void stream_drop_head(struct sim *sim, struct stream *stream)
{
	const struct side *to = &stream->link->sides[1 - stream->from];
	struct shell_lane *lane = receiver(sim, stream);

	if (!stream->coming)
		return;
	stream->coming = false;
	if (stream->diverted || lane == NULL) {
		stream->diverted = false;
		/* It counts as received: it does not come again. */
		free_flight(pop(stream));
		return;
	}
	if (stream->installs == lane->installs)
		memset(stream->destination, SHELL_POISON, stream->first->send.frame.payload_bytes);
	pccl_neighbour_dropped(to->neighbour, &stream->first->send.frame);
}

/* ---- sending ------------------------------ */

static struct stream *with_room(struct sim *sim, struct side *side)
{
	uint32_t streams = sim->shells->plan.streams;
	uint32_t first = (uint32_t)sim_between(sim, 0, streams - 1);
	uint32_t index;

	for (index = 0; index < streams; index++) {
		struct stream *stream = &side->out[(first + index) % streams];

		if (stream->count < sim->shells->plan.frames && stream->down_until_ns <= sim->now_ns)
			return stream;
	}
	return NULL;
}

bool stream_pull(struct side *side)
{
	struct link *link = side->link;
	struct sim *sim = link->sim;
	struct stream *stream;

	while (link_is_up(sim, link) && (stream = with_room(sim, side)) != NULL) {
		struct flight *flight = must(calloc(1, sizeof(*flight)));

		if (!pccl_neighbour_next(side->neighbour, &flight->send)) {
			free(flight);
			return false;
		}
		if (flight->send.payload != NULL) {
			flight->copy = must(malloc(flight->send.frame.payload_bytes + 1));
			memcpy(flight->copy, flight->send.payload, flight->send.frame.payload_bytes);
		}
		if (stream->last != NULL)
			stream->last->next = flight;
		else
			stream->first = flight;
		stream->last = flight;
		stream->count++;
		stream_kick(sim, stream, sim->now_ns + stream_delay(sim, link));
	}
	return true;
}

void stream_kick(struct sim *sim, struct stream *stream, uint64_t time_ns)
{
	if (stream->queued || stream->first == NULL || stream->held)
		return;
	stream->queued = true;
	shell_schedule(sim, time_ns > stream->down_until_ns ? time_ns : stream->down_until_ns, SHELL_STREAM, 0, 0,
		       stream);
}

static void kick_acks(struct sim *sim, struct stream *stream, uint64_t time_ns)
{
	if (stream->ack_queued || stream->first_ack == NULL)
		return;
	stream->ack_queued = true;
	shell_schedule(sim, time_ns, SHELL_ACK, 0, 0, stream);
}

/* The frame is through, one way or the other. */
static void count_received(struct sim *sim, struct stream *stream)
{
	struct flight *flight = pop(stream);
	struct ack *ack = must(calloc(1, sizeof(*ack)));

	ack->token = flight->forgotten ? NULL : flight->send.token;
	ack->cookie = flight->send.cookie;
	ack->time_ns = sim->now_ns + sim_exponential(sim, sim->shells->plan.ack_ns);
	if (stream->last_ack != NULL)
		stream->last_ack->next = ack;
	else
		stream->first_ack = ack;
	stream->last_ack = ack;
	kick_acks(sim, stream, ack->time_ns);
	free_flight(flight);
}

void stream_ack(struct sim *sim, struct stream *stream)
{
	struct side *from = &stream->link->sides[stream->from];
	uint32_t other = stream->link->sides[1 - stream->from].node;
	struct shell_lane *lane = sender(sim, stream);
	struct ack *ack = stream->first_ack;

	stream->ack_queued = false;
	if (ack == NULL || lane == NULL || !from->open || from->lost)
		return;
	if (sim->nodes[from->node].paused || sim->cut[other][from->node] > 0) {
		kick_acks(sim, stream, sim->now_ns + STALL_NS);
		return;
	}
	while (ack != NULL && ack->time_ns <= sim->now_ns) {
		stream->first_ack = ack->next;
		if (stream->first_ack == NULL)
			stream->last_ack = NULL;
		if (ack->token != NULL)
			pccl_neighbour_acked(from->neighbour, ack->token);
		free(ack);
		ack = stream->first_ack;
	}
	if (ack != NULL)
		kick_acks(sim, stream, ack->time_ns);
	(void)stream_pull(from);
}

/* ---- receiving ------------------------------ */

static void check_lent(struct sim *sim, const struct stream *stream, const struct flight *flight)
{
	const struct pccl_frame *frame = &flight->send.frame;

	/* What has no cookie was copied when it was handed out. */
	if (flight->copy == NULL || flight->forgotten || flight->send.cookie == NULL)
		return;
	if (memcmp(flight->copy, flight->send.payload, frame->payload_bytes) != 0)
		sim_fail(sim, "a payload changed on its way from node %u: type %u, op %u.%u, segment %u, epoch %u",
			 stream->link->sides[stream->from].node, frame->type, (unsigned)frame->tag, frame->sequence,
			 frame->segment, frame->epoch);
}

static void accept_head(struct sim *sim, struct stream *stream, const struct shell_lane *lane,
			struct pccl_neighbour *neighbour)
{
	const struct pccl_frame frame = stream->first->send.frame;
	enum pccl_frame_verdict verdict = PCCL_FRAME_DISCARD;

	check_lent(sim, stream, stream->first);
	if (!stream->first->placeholder)
		verdict = pccl_neighbour_accept(neighbour, &frame, &stream->destination);
	switch (verdict) {
	case PCCL_FRAME_TAKE:
		stream->coming = frame.payload_bytes > 0;
		stream->diverted = false;
		stream->installs = lane->installs;
		if (stream->coming)
			return;
		count_received(sim, stream);
		pccl_neighbour_received(neighbour, &frame);
		return;
	case PCCL_FRAME_DISCARD:
		count_received(sim, stream);
		return;
	case PCCL_FRAME_HOLD:
		stream->held = true;
		return;
	case PCCL_FRAME_REJECT:
		sim_fail(sim, "node %u rejects a frame: %s", lane->shell->node->id, pccl_fail_text());
	}
}

static void finish_head(struct sim *sim, struct stream *stream, const struct shell_lane *lane,
			struct pccl_neighbour *neighbour)
{
	const struct pccl_frame frame = stream->first->send.frame;

	if (stream->diverted) {
		count_received(sim, stream);
		return;
	}
	check_lent(sim, stream, stream->first);
	if (stream->installs != lane->installs) {
		sim_fail(sim, "a payload is written to node %u after a freeze", lane->shell->node->id);
		return;
	}
	memcpy(stream->destination, stream->first->copy, frame.payload_bytes);
	count_received(sim, stream);
	pccl_neighbour_received(neighbour, &frame);
}

void stream_step(struct sim *sim, struct stream *stream)
{
	const struct side *to = &stream->link->sides[1 - stream->from];
	uint32_t from = stream->link->sides[stream->from].node;
	struct shell_lane *lane = receiver(sim, stream);
	uint64_t delay_ns = stream_delay(sim, stream->link);

	stream->queued = false;
	if (stream->first == NULL || lane == NULL || !to->open || to->lost || stream->held)
		return;
	if (sim->nodes[to->node].paused || sim->cut[from][to->node] > 0 || stream->down_until_ns > sim->now_ns) {
		stream_kick(sim, stream, sim->now_ns + STALL_NS);
		return;
	}
	if (stream->coming)
		finish_head(sim, stream, lane, to->neighbour);
	else
		accept_head(sim, stream, lane, to->neighbour);
	stream_kick(sim, stream, sim->now_ns + delay_ns);
}
