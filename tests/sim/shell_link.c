/* Links: all connections of one lane between two nodes. */
#include "shell.h"

#include <stdlib.h>

#include "base/bitmap.h"

#define WATCH_NS (250 * SIM_MS)

static uint32_t index_of(const struct side *side)
{
	return side == &side->link->sides[0] ? 0 : 1;
}

static struct side *other_of(struct side *side)
{
	return &side->link->sides[1 - index_of(side)];
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
	link->sim = sim;
	link->lane = lane;
	link->sides[0].node = node < other ? node : other;
	link->sides[1].node = node < other ? other : node;
	link->frame_ns = sim->shells->plan.frame_ns * (sim_chance(sim, sim->shells->plan.slow_percent) ? 50 : 1);
	for (side = 0; side < 2; side++) {
		link->sides[side].link = link;
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

struct side *link_open(struct shell_lane *lane, struct pccl_neighbour *neighbour, uint32_t node)
{
	struct sim *sim = lane->shell->sim;
	uint32_t own = lane->shell->node->id;
	struct link *link = find_link(sim, lane->index, own, node);
	struct side *side;

	if (link == NULL)
		link = make_link(sim, lane->index, own, node);
	side = &link->sides[link->sides[0].node == own ? 0 : 1];
	if (side->open)
		sim_fail(sim, "node %u opens its link to node %u twice", own, node);
	side->neighbour = neighbour;
	side->open = true;
	side->lost = false;
	side->heard_ns = sim->now_ns;
	shell_schedule(sim, sim->now_ns + WATCH_NS, SHELL_WATCH, own, index_of(side), link);
	return side;
}

/* What the kernel has still arrives at the other side, unless the host is gone. */
void link_close(struct side *side)
{
	struct sim *sim = side->link->sim;
	uint32_t index;

	side->open = false;
	for (index = 0; index < SHELL_STREAMS; index++) {
		struct stream *out = &side->out[index];
		struct stream *in = &other_of(side)->out[index];

		stream_cut_tail(out, (uint32_t)sim_between(sim, 0, out->count));
		in->coming = false; /* its executor is gone, or has a view without that rank */
		stream_clear(in);
		in->held = false;
	}
}

static void lose(struct sim *sim, struct side *side)
{
	uint32_t index;

	side->lost = true;
	for (index = 0; index < SHELL_STREAMS; index++) {
		stream_drop_head(sim, &other_of(side)->out[index]);
		stream_drop_head(sim, &side->out[index]);
		stream_clear(&other_of(side)->out[index]);
		stream_clear(&side->out[index]);
	}
	sim_trace(sim, "lane %u of node %u has lost its link to node %u", side->link->lane, side->node,
		  other_of(side)->node);
	pccl_neighbour_lost(side->neighbour, "the link is lost");
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
		lose(sim, own);
		return;
	}
	if (link_is_up(sim, link) && !sim->nodes[own->node].paused)
		(void)stream_pull(own);
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

void link_forget(struct side *side, const void *cookie, bool (*belongs)(const void *, const struct pccl_frame *))
{
	uint32_t index;

	for (index = 0; index < SHELL_STREAMS; index++) {
		struct stream *in = &other_of(side)->out[index];

		forget_sent(side->link->sim, &side->out[index], cookie);
		if (in->coming && belongs(cookie, &in->first->send.frame))
			in->diverted = true;
	}
}

void link_resume(struct side *side)
{
	struct sim *sim = side->link->sim;
	uint32_t index;

	for (index = 0; index < SHELL_STREAMS; index++) {
		struct stream *in = &other_of(side)->out[index];

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
