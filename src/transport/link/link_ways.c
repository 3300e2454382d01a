/*
 * Where a neighbour is reached by several ways, from several network cards (ways.h): each stream has one of its own,
 * and the others of the link where that leads nowhere. A stream that falls silent is dialled again over another one,
 * long before anybody would complain, for the rest of the link may be well; and now and then one that is not on its own
 * way looks whether that leads there again.
 */
#include "base/log.h"
#include "transport/link/link_stream.h"

#define LOOK_NS (200 * PCCL_MS_NS)
#define SILENCE_SHARE \
	4u /* of the time that a redial may take: so long a stream may be silent, or longer if it is far */
#define SILENCE_LEAST_NS (500 * PCCL_MS_NS) /* what is lost twice in a row comes again before that */
#define TRIAL_FIRST_NS (5 * PCCL_SECOND_NS)
#define TRIAL_MOST_NS (160 * PCCL_SECOND_NS)
#define SETTLED_NS (20 * PCCL_SECOND_NS) /* on its own way again: then that is no longer suspicious */

static uint64_t now_of(const struct pccl_link *link)
{
	return pccl_loop_now(link->config.loop);
}

static bool has_ways(const struct pccl_link *link)
{
	return link->config.way_count > 1;
}

/* Is there a choice? */
static bool is_shared(const struct pccl_link *link)
{
	return has_ways(link) && link->config.streams > 1;
}

static uint32_t own_way(const struct pccl_link_stream *ls)
{
	return ((uint32_t)ls->index + ls->link->config.lane) % ls->link->config.way_count;
}

/* Who was called does not know the caller's ways. */
static bool is_away(const struct pccl_link_stream *ls)
{
	return ls->state == PCCL_LINK_UP && ls->dialled && ls->place != own_way(ls);
}

uint32_t pccl_link_first_place(const struct pccl_link_stream *ls)
{
	if (!has_ways(ls->link))
		return ls->link->place;
	return (own_way(ls) + ls->shift) % ls->link->config.way_count;
}

/* ---- which stream takes a frame ------------------------------------------------------------------------------ */

bool pccl_link_may_take(const struct pccl_link_stream *ls)
{
	const struct pccl_link *link = ls->link;
	struct pccl_share_all all = {.bytes = link->ways.frame_bytes};
	uint64_t least_ns = UINT64_MAX;
	uint16_t i;

	if (!is_shared(link))
		return true;
	for (i = 0; i < link->config.streams; i++)
		if (link->streams[i].state == PCCL_LINK_UP)
			pccl_share_add(&all, &link->streams[i].share);
	for (i = 0; i < link->config.streams; i++) {
		const struct pccl_link_stream *other = &link->streams[i];
		uint64_t ends_ns;

		if (other == ls || other->state != PCCL_LINK_UP)
			continue;
		ends_ns = pccl_share_ends_ns(&other->share, &all, now_of(link));
		if (ends_ns < least_ns)
			least_ns = ends_ns;
	}
	return pccl_share_takes(&ls->share, &all, least_ns, now_of(link));
}

static void look_soon(struct pccl_link *link)
{
	if (link->ways.timer.when_ns != 0)
		return;
	link->ways.look_ns = now_of(link) + LOOK_NS;
	pccl_loop_timer_set(link->config.loop, &link->ways.timer, link->ways.look_ns);
}

void pccl_link_took(struct pccl_link_stream *ls, uint32_t payload_bytes)
{
	struct pccl_link *link = ls->link;
	const uint32_t bytes = payload_bytes + PCCL_FRAME_BYTES;
	uint16_t i;

	if (!has_ways(link))
		return;
	look_soon(link);
	/* Small ones among large ones say nothing about what is next. */
	link->ways.frame_bytes -= link->ways.frame_bytes / 8;
	if (bytes > link->ways.frame_bytes)
		link->ways.frame_bytes = bytes;
	pccl_share_sent(&ls->share, bytes, now_of(link));
	for (i = 0; i < link->config.streams; i++)
		if (&link->streams[i] != ls)
			pccl_share_passed(&link->streams[i].share, &ls->share, bytes);
}

/* The count is that of a frame which the present connection was handed, not one that the neighbour had from an earlier
 * one. */
static bool was_handed(const struct pccl_link_stream *ls, uint32_t count)
{
	return (int32_t)(count - ls->claimed_at_up) >= 0 && (int32_t)(count - ls->cursor) < 0;
}

void pccl_link_was_acked(struct pccl_link_stream *ls, uint32_t count, uint32_t payload_bytes)
{
	struct pccl_link *link = ls->link;

	if (!has_ways(link) || !was_handed(ls, count))
		return;
	pccl_share_acked(&ls->share, payload_bytes + PCCL_FRAME_BYTES, now_of(link));
	if (is_shared(link))
		pccl_loop_defer(link->config.loop, &link->hook); /* it may take more */
}

void pccl_link_took_back(struct pccl_link_stream *ls, uint32_t count, uint32_t payload_bytes)
{
	if (has_ways(ls->link) && was_handed(ls, count))
		pccl_share_forgot(&ls->share, payload_bytes);
}

/* ---- silence --------------------------------------------------------------------------------------------------- */

static uint64_t patience_ns(const struct pccl_link *link, uint64_t trip_ns)
{
	const uint64_t part_ns = link->config.redial_timeout_ns / SILENCE_SHARE;

	return pccl_patience_ns(part_ns > SILENCE_LEAST_NS ? part_ns : SILENCE_LEAST_NS, trip_ns, 2);
}

/* `slept`: the loop comes late, and may have things to read. False: the link is lost. */
static bool look_for_silence(struct pccl_link *link, bool slept)
{
	struct pccl_stream_counters counters;
	uint16_t i;

	for (i = 0; i < link->config.streams && !link->lost; i++) {
		struct pccl_link_stream *ls = &link->streams[i];

		if (ls->state != PCCL_LINK_UP)
			continue;
		ls->stream->transport->count(ls->stream, &counters);
		ls->share.trip_ns = counters.trip_ns;
		if (!pccl_still_look(&ls->still, &counters, now_of(link), patience_ns(link, counters.trip_ns), slept))
			continue;
		ls->shift++;
		pccl_link_stream_renew(ls, now_of(link) +
						   pccl_patience_ns(link->config.redial_timeout_ns, link->trip_ns, 2));
	}
	return !link->lost;
}

/* ---- the way back ---------------------------------------------------------------------------------------------- */

/* The way leads there again. */
static void on_trial(void *context, struct pccl_stream *stream, uint32_t place)
{
	struct pccl_link *link = context;
	struct pccl_link_stream *ls = &link->streams[link->ways.trial_stream];

	(void)place;
	stream->transport->close(stream, false);
	pccl_dialler_stop(&link->ways.trial);
	if (!is_away(ls))
		return;
	ls->shift = 0;
	pccl_link_stream_move(ls);
}

static void on_trial_failed(void *context, const char *reason)
{
	const struct pccl_link *link = context;

	pccl_log_debug("link to %s, lane %u: the way back: %s", link->config.name, link->config.lane, reason);
}

static void try_way_back(struct pccl_link *link, struct pccl_link_stream *ls)
{
	struct pccl_link_ways *ways = &link->ways;

	ways->trial_ns = now_of(link) + ways->wait_ns;
	ways->wait_ns = ways->wait_ns * 2 < TRIAL_MOST_NS ? ways->wait_ns * 2 : TRIAL_MOST_NS;
	ways->trial_stream = ls->index;
	pccl_dialler_stop(&ways->trial);
	ways->trial.loop = link->config.loop;
	ways->trial.places = &link->config.places[own_way(ls)];
	ways->trial.place_count = 1;
	ways->trial.connected = on_trial;
	ways->trial.failed = on_trial_failed;
	ways->trial.context = link;
	pccl_dialler_start(&ways->trial);
}

/* Those that are away take turns. */
static struct pccl_link_stream *find_away(struct pccl_link *link)
{
	uint16_t i;

	for (i = 1; i <= link->config.streams; i++) {
		struct pccl_link_stream *ls = &link->streams[(link->ways.trial_stream + i) % link->config.streams];

		if (is_away(ls))
			return ls;
	}
	return NULL;
}

/* Returns whether one is away. */
static bool look_for_way_back(struct pccl_link *link)
{
	struct pccl_link_stream *ls = find_away(link);
	struct pccl_link_ways *ways = &link->ways;
	const uint64_t now_ns = now_of(link);

	if (ls == NULL) {
		if (ways->home_since_ns == 0)
			ways->home_since_ns = now_ns;
		if (now_ns - ways->home_since_ns > SETTLED_NS)
			ways->wait_ns = TRIAL_FIRST_NS;
		return false;
	}
	if (ways->home_since_ns != 0 || ways->trial_ns == 0)
		ways->trial_ns = now_ns + ways->wait_ns;
	ways->home_since_ns = 0;
	if (now_ns >= ways->trial_ns)
		try_way_back(link, ls);
	return true;
}

/* ---- the timer, and what streams tell -------------------------------------------------------------------------- */

static void on_look(struct pccl_timer *timer)
{
	struct pccl_link *link = timer->context;
	const bool slept = now_of(link) > link->ways.look_ns + LOOK_NS;
	bool goes_on = false;
	uint16_t i;

	if (!look_for_silence(link, slept))
		return;
	goes_on = look_for_way_back(link);
	for (i = 0; i < link->config.streams; i++)
		goes_on |= link->streams[i].logged != link->streams[i].acked;
	if (goes_on)
		look_soon(link);
	if (is_shared(link))
		pccl_loop_defer(link->config.loop, &link->hook); /* what has stopped is waited for no longer */
}

static void tell(const struct pccl_link_stream *ls)
{
	const struct pccl_link_config *config = &ls->link->config;
	const struct pccl_place *own = &config->places[own_way(ls)], *instead = &config->places[ls->place];
	char from[PCCL_ADDRESS_BYTES], to[PCCL_ADDRESS_BYTES], over[PCCL_ADDRESS_BYTES];

	pccl_address_text(&own->from, from);
	pccl_address_text(&own->address, to);
	pccl_address_text(&instead->address, over);
	pccl_log_warn("link to %s, lane %u: no way from %s to %s: stream %u goes to %s meanwhile", config->name,
		      config->lane, from, to, ls->index, over);
}

void pccl_link_ways_up(struct pccl_link_stream *ls)
{
	struct pccl_link *link = ls->link;

	if (!has_ways(link))
		return;
	pccl_share_begin(&ls->share);
	ls->still = (struct pccl_still){.sign_ns = now_of(link)};
	look_soon(link);
	if (is_away(ls) && !link->ways.told) {
		link->ways.told = true;
		tell(ls);
	} else if (link->ways.told && find_away(link) == NULL) {
		link->ways.told = false;
		pccl_log_info("link to %s, lane %u: all streams go the ways that they should", link->config.name,
			      link->config.lane);
	}
}

void pccl_link_ways_down(struct pccl_link_stream *ls)
{
	if (is_shared(ls->link))
		pccl_loop_defer(ls->link->config.loop, &ls->link->hook); /* nobody waits for it any more */
}

void pccl_link_ways_start(struct pccl_link *link)
{
	link->ways.timer.fire = on_look;
	link->ways.timer.context = link;
	link->ways.wait_ns = TRIAL_FIRST_NS;
}

void pccl_link_ways_stop(struct pccl_link *link)
{
	pccl_loop_timer_clear(link->config.loop, &link->ways.timer);
	pccl_dialler_stop(&link->ways.trial);
}
