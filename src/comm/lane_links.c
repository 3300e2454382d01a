#include "comm/lane_links.h"

#include <stdio.h>

#include "base/memory.h"
#include "comm/cards.h"
#include "comm/reach.h"

/* A link is its own wrapping: the lane never looks inside. */
static struct pccl_link *unwrap(struct pccl_lane_link *link)
{
	return (struct pccl_link *)link;
}

static const struct pccl_link *unwrap_const(const struct pccl_lane_link *link)
{
	return (const struct pccl_link *)link;
}

struct guest {
	struct pccl_lane_guest base;
	struct pccl_stream *stream;
	struct pccl_hello hello;
};

/* ---- what a link tells --------------------------------------------------------------------------------------- */

static bool link_next(void *context, struct pccl_link *link, struct pccl_frame_send *send_out)
{
	(void)link;
	return pccl_neighbour_next(context, send_out);
}

static enum pccl_frame_verdict link_accept(void *context, struct pccl_link *link, const struct pccl_frame *frame,
					   void **destination_out)
{
	(void)link;
	return pccl_neighbour_accept(context, frame, destination_out);
}

static void link_received(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	(void)link;
	pccl_neighbour_received(context, frame);
}

static void link_dropped(void *context, struct pccl_link *link, const struct pccl_frame *frame)
{
	(void)link;
	pccl_neighbour_dropped(context, frame);
}

static void link_acked(void *context, struct pccl_link *link, void *token)
{
	(void)link;
	pccl_neighbour_acked(context, token);
}

static void link_pulled(void *context, struct pccl_link *link)
{
	(void)link;
	pccl_neighbour_pulled(context);
}

static void link_up(void *context, struct pccl_link *link)
{
	(void)link;
	pccl_neighbour_up(context);
}

static void link_broken(void *context, struct pccl_link *link, bool broken)
{
	(void)link;
	pccl_neighbour_broken(context, broken);
}

static void link_lost(void *context, struct pccl_link *link, const char *reason)
{
	(void)link;
	pccl_neighbour_lost(context, reason);
}

static const struct pccl_link_events link_events = {.next = link_next,
						    .accept = link_accept,
						    .received = link_received,
						    .dropped = link_dropped,
						    .acked = link_acked,
						    .pulled = link_pulled,
						    .up = link_up,
						    .broken = link_broken,
						    .lost = link_lost};

/* ---- what a lane asks for ------------------------------------------------------------------------------------ */

pcclResult_t pccl_lane_link_open(const struct pccl_lane_links *links, struct pccl_neighbour *neighbour,
				 const struct pccl_member *member, bool dials, struct pccl_lane_link **link_out)
{
	struct pccl_link_config config = {.loop = links->loop,
					  .group = links->group,
					  .self = links->self,
					  .neighbour = member->uuid,
					  .pass = member->pass,
					  .signer = links->signer,
					  .host = links->host,
					  .checksums = links->checksums,
					  .dials = dials,
					  .lane = links->lane,
					  .streams =
						  links->streams < member->streams ? links->streams : member->streams,
					  .connect_timeout_ns = links->connect_timeout_ns,
					  .redial_timeout_ns = links->redial_timeout_ns};
	struct pccl_link *link = NULL;
	pcclResult_t result = pccl_reach_places(links->wires, member, config.places, &config.place_count);

	*link_out = NULL;
	/* Not the rank: that changes with the view. */
	(void)snprintf(config.name, sizeof(config.name), "peer %.40s:%u", member->addresses[0].host,
		       member->addresses[0].port);
	if (result != pcclSuccess)
		return result;
	if (*links->interfaces != '\0')
		config.way_count = pccl_cards_put_ways(links->interfaces, config.places, &config.place_count);
	result = pccl_link_create(&config, &link_events, neighbour, &link);
	*link_out = (struct pccl_lane_link *)link;
	return result;
}

void pccl_lane_link_close(struct pccl_lane_link *link)
{
	pccl_link_destroy(unwrap(link));
}

void pccl_lane_link_kick(struct pccl_lane_link *link)
{
	pccl_link_kick(unwrap(link));
}

void pccl_lane_link_forget(struct pccl_lane_link *link, const void *cookie,
			   bool (*belongs)(const void *cookie, const struct pccl_frame *frame))
{
	pccl_link_forget(unwrap(link), cookie, belongs);
}

void pccl_lane_link_resume(struct pccl_lane_link *link)
{
	pccl_link_resume(unwrap(link));
}

void pccl_lane_link_renew(struct pccl_lane_link *link, uint64_t deadline_ns)
{
	pccl_link_renew(unwrap(link), deadline_ns);
}

bool pccl_lane_link_is_up(const struct pccl_lane_link *link)
{
	return pccl_link_is_up(unwrap_const(link));
}

bool pccl_lane_link_checks(const struct pccl_lane_link *link)
{
	return pccl_link_checks(unwrap_const(link));
}

bool pccl_lane_link_in_memory(const struct pccl_lane_link *link)
{
	return pccl_link_in_memory(unwrap_const(link));
}

bool pccl_lane_link_leaves(const struct pccl_lane_link *link, struct pccl_address *local_out)
{
	return pccl_link_leaves(unwrap_const(link), local_out);
}

void pccl_lane_link_heard(const struct pccl_lane_link *link, struct pccl_heard *heard_out)
{
	struct pccl_link_heard heard;

	pccl_link_heard(unwrap_const(link), &heard);
	heard_out->received_ns = heard.received_ns;
	heard_out->acked_ns = heard.acked_ns;
	heard_out->acked_bytes = heard.acked_bytes;
	heard_out->unacked_frames = heard.unacked_frames;
	heard_out->trip_ns = heard.trip_ns;
}

void pccl_lane_link_pace(const struct pccl_lane_link *link, struct pccl_stream_counters *sums)
{
	pccl_link_pace(unwrap_const(link), sums);
}

/* ---- guests -------------------------------------------------------------------------------------------------- */

struct pccl_lane_guest *pccl_lane_guest_create(struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct guest *guest = pccl_zalloc(sizeof(*guest));

	if (guest == NULL)
		return NULL;
	guest->base.from = hello->from;
	guest->base.stream = hello->stream;
	guest->base.instance = hello->instance;
	guest->base.resumption = hello->resumption;
	guest->stream = stream;
	guest->hello = *hello;
	return &guest->base;
}

void pccl_lane_link_adopt(struct pccl_lane_link *link, struct pccl_lane_guest *base)
{
	struct guest *guest = (struct guest *)base;

	pccl_link_adopt(unwrap(link), guest->stream, &guest->hello);
	pccl_free(guest);
}

void pccl_lane_link_turn_away(struct pccl_loop *loop, struct pccl_lane_guest *base, const char *why)
{
	struct guest *guest = (struct guest *)base;

	if (why == NULL) {
		pccl_lane_link_hang_up(base);
		return;
	}
	pccl_hello_refuse(loop, guest->stream, PCCL_WELCOME_LATER, why);
	pccl_free(guest);
}

void pccl_lane_link_hang_up(struct pccl_lane_guest *base)
{
	struct guest *guest = (struct guest *)base;

	guest->stream->transport->close(guest->stream, false);
	pccl_free(guest);
}
