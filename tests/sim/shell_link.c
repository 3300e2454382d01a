/* Links: all connections of one lane between two nodes. */
#include "shell.h"

#include <stdlib.h>

#include "base/bitmap.h"

#define WATCH_NS (250 * SIM_MS)

uint32_t link_side(const struct link *link, uint32_t node)
{
	return link->sides[0].node == node ? 0 : 1;
}

static struct link *find_link(struct sim *sim, uint32_t lane, uint32_t node, uint32_t other)
{
	struct link *link;

	for (link = sim->shells->links; link != NULL; link = link->next)
		if (link->lane == lane && link->sides[0].node == (node < other ? node : other) &&
		    link->sides[1].node == (node < other ? other : node))
			return link;
	return NULL;
}

static struct link *make_link(struct sim *sim, uint32_t lane, uint32_t node, uint32_t other)
{
	struct link *link = calloc(1, sizeof(*link));
	uint32_t side;
	uint32_t index;

	if (link == NULL)
		abort();
	link->lane = lane;
	link->sides[0].node = node < other ? node : other;
	link->sides[1].node = node < other ? other : node;
	link->frame_ns = sim->shells->plan.frame_ns * (sim_chance(sim, sim->shells->plan.slow_percent) ? 50 : 1);
	for (side = 0; side < 2; side++) {
		for (index = 0; index < SHELL_STREAMS; index++) {
			link->sides[side].out[index].link = link;
			link->sides[side].out[index].from = side;
		}
	}
	link->next = sim->shells->links;
	sim->shells->links = link;
	return link;
}

void link_free(struct link *link)
{
	uint32_t index;

	for (index = 0; index < SHELL_STREAMS; index++) {
		stream_clear(&link->sides[0].out[index]);
		stream_clear(&link->sides[1].out[index]);
	}
	free(link);
}

bool link_is_up(const struct sim *sim, const struct link *link)
{
	uint32_t side;

	for (side = 0; side < 2; side++)
		if (!link->sides[side].open || link->sides[side].lost || !sim->nodes[link->sides[side].node].alive)
			return false;
	return true;
}

static void pump_side(struct sim *sim, const struct link *link, uint32_t side)
{
	struct shell_lane *lane = shell_lane_at(sim, link->sides[side].node, link->lane);

	if (lane != NULL && !sim->nodes[link->sides[side].node].paused)
		shell_lane_pump(lane);
}

struct link *link_open(struct shell_lane *lane, uint32_t node)
{
	struct sim *sim = lane->shell->sim;
	uint32_t own = lane->shell->node->id;
	struct link *link = find_link(sim, lane->index, own, node);
	uint32_t side;

	if (link == NULL)
		link = make_link(sim, lane->index, own, node);
	side = link_side(link, own);
	if (link->sides[side].open)
		sim_fail(sim, "node %u opens its link to node %u twice", own, node);
	link->sides[side].open = true;
	link->sides[side].lost = false;
	link->sides[side].heard_ns = sim->now_ns;
	shell_schedule(sim, sim->now_ns + WATCH_NS, SHELL_WATCH, own, side, link);
	return link;
}

/* What the kernel has still arrives at the other side, unless the host is gone. */
void link_close(struct sim *sim, struct link *link, uint32_t node)
{
	uint32_t side = link_side(link, node);
	uint32_t index;

	link->sides[side].open = false;
	for (index = 0; index < SHELL_STREAMS; index++) {
		struct stream *out = &link->sides[side].out[index];
		struct stream *in = &link->sides[1 - side].out[index];

		stream_cut_tail(out, (uint32_t)sim_between(sim, 0, out->count));
		in->coming = false; /* its executor is gone, or has a view without that rank */
		stream_clear(in);
		in->held = false;
	}
}

static void post_lost(struct sim *sim, const struct link *link, uint32_t side)
{
	struct shell *shell = sim->nodes[link->sides[side].node].shell;
	const struct pccl_peer_event event = {.type = PCCL_PEER_LINK_LOST,
					      .uuid = sim->nodes[link->sides[1 - side].node].uuid,
					      .text = "the link is lost"};

	sim_trace(sim, "lane %u of node %u has lost its link to node %u", link->lane, shell->node->id,
		  link->sides[1 - side].node);
	shell_post(shell, &event);
}

void link_remind(struct sim *sim, const struct link *link, uint32_t node)
{
	if (link->sides[link_side(link, node)].lost)
		post_lost(sim, link, link_side(link, node));
}

static void lose(struct sim *sim, struct link *link, uint32_t side)
{
	uint32_t index;

	link->sides[side].lost = true;
	for (index = 0; index < SHELL_STREAMS; index++) {
		stream_drop_head(sim, &link->sides[1 - side].out[index]);
		stream_drop_head(sim, &link->sides[side].out[index]);
		stream_clear(&link->sides[1 - side].out[index]);
		stream_clear(&link->sides[side].out[index]);
	}
	post_lost(sim, link, side);
}

void link_watch(struct sim *sim, struct link *link, uint32_t side)
{
	struct side *own = &link->sides[side];
	uint32_t other = link->sides[1 - side].node;

	if (!own->open || own->lost || sim->nodes[own->node].shell == NULL)
		return;
	if (sim->cut[own->node][other] == 0 && sim->cut[other][own->node] == 0 && link_is_up(sim, link))
		own->heard_ns = sim->now_ns;
	if (!sim->nodes[own->node].paused && sim->now_ns - own->heard_ns > sim->shells->plan.link_timeout_ns) {
		lose(sim, link, side);
		return;
	}
	if (link_is_up(sim, link))
		pump_side(sim, link, side);
	shell_schedule(sim, sim->now_ns + WATCH_NS, SHELL_WATCH, own->node, side, link);
}

static void forget_sent(struct sim *sim, struct stream *stream, const void *cookie)
{
	uint64_t kept = sim_between(sim, 0, stream->count); /* these are in the kernel, or half there */
	struct flight *flight;
	struct ack *ack;
	uint64_t position = 0;

	for (flight = stream->first; flight != NULL; flight = flight->next, position++) {
		if (flight->send.cookie != cookie)
			continue;
		flight->forgotten = true;
		flight->placeholder = position >= kept && !(flight == stream->first && stream->coming);
	}
	for (ack = stream->first_ack; ack != NULL; ack = ack->next)
		if (ack->cookie == cookie)
			ack->token = NULL;
}

void link_forget(struct sim *sim, struct link *link, uint32_t node, const struct pccl_attempt *attempt)
{
	uint32_t side = link_side(link, node);
	uint32_t index;

	for (index = 0; index < SHELL_STREAMS; index++) {
		struct stream *in = &link->sides[1 - side].out[index];

		forget_sent(sim, &link->sides[side].out[index], attempt);
		if (in->coming && pccl_attempt_owns(attempt, &in->first->send.frame))
			in->diverted = true;
	}
}

void link_divert(struct link *link, uint32_t node)
{
	uint32_t side = link_side(link, node);
	uint32_t index;

	for (index = 0; index < SHELL_STREAMS; index++)
		link->sides[1 - side].out[index].diverted = link->sides[1 - side].out[index].coming;
}

void link_resume(struct sim *sim, struct link *link, uint32_t node)
{
	uint32_t side = link_side(link, node);
	uint32_t index;

	for (index = 0; index < SHELL_STREAMS; index++) {
		struct stream *in = &link->sides[1 - side].out[index];

		in->held = false;
		stream_kick(sim, in, sim->now_ns + 1);
	}
}

/* One connection breaks and is dialled again: nothing is lost, but what was half received comes again. */
void link_break(struct sim *sim, struct link *link, uint32_t index)
{
	uint64_t until_ns = sim->now_ns + sim_exponential(sim, 50 * SIM_MS);
	uint32_t side;

	for (side = 0; side < 2; side++) {
		struct stream *stream = &link->sides[side].out[index];
		struct flight *flight;

		stream_drop_head(sim, stream);
		stream->held = false;
		stream->down_until_ns = until_ns;
		for (flight = stream->first; flight != NULL; flight = flight->next)
			flight->placeholder = flight->forgotten;
		stream_kick(sim, stream, until_ns);
	}
}
