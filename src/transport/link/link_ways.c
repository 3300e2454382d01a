/*
 * Where a neighbour is reached by several ways, from several network cards (ways.h): each stream has one of its own,
 * and the others of the link where that leads nowhere. A stream that falls silent is dialled again over another one,
 * long before anybody would complain, for the rest of the link may be well; and now and then one that is not on its own
 * way looks whether that leads there again.
 */
#include <stdio.h>

#include "base/log.h"
#include "transport/link/link_stream.h"

#define LOOK_NS (200 * PCCL_MS_NS)
#define SILENCE_SHARE \
	4u /* of the time that a redial may take: so long a stream may be silent, or longer if it is far */
#define SILENCE_LEAST_NS (500 * PCCL_MS_NS) /* what is lost twice in a row comes again before that */
#define TRIAL_FIRST_NS (5 * PCCL_SECOND_NS)
#define TRIAL_MOST_NS (160 * PCCL_SECOND_NS)
#define MOVE_MOST_NS (2560 * PCCL_SECOND_NS) /* likewise, if it moves, and is never seen to have arrived */
#define PROOF_BYTES (16u << 10)		     /* what passes only where large packets do */
#define CUTS_MOST 2u			     /* in a row: whoever watches the whole link does the rest */
#define PUT_OFF_MOST 3u			     /* in a row; then other places are asked in the same attempt */
#define OTHERS_UP_NS (40 * PCCL_SECOND_NS)   /* until the other side's system has noticed, and it has dialled */
#define SETTLED_NS (20 * PCCL_SECOND_NS)     /* on its own way again: then that is no longer suspicious */

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

/* Who was called does not know the caller's ways. A way that never led there may be one to somebody else, and who has
 * found the neighbour elsewhere is there for good; but among ways each stream is to have its own. */
static bool is_away(const struct pccl_link_stream *ls)
{
	return ls->state == PCCL_LINK_UP && ls->dialled && ls->place != own_way(ls) &&
	       (ls->place < ls->link->config.way_count || ls->was_home);
}

/* Has the neighbour called from where the stream's own way leads? Then that leads to nobody else. */
static bool came_by_own_way(const struct pccl_link_stream *ls)
{
	struct pccl_address local, remote;

	return ls->stream->transport->ends(ls->stream, &local, &remote) &&
	       pccl_address_same_host(&remote, &ls->link->config.places[own_way(ls)].address);
}

void pccl_link_order(struct pccl_link_stream *ls)
{
	ls->dialler.first = has_ways(ls->link) ? own_way(ls) : ls->link->place;
	ls->dialler.begin = ls->begin;
}

void pccl_link_goes_on(struct pccl_link_stream *ls)
{
	if (has_ways(ls->link))
		ls->begin = pccl_dialler_goes_on_at(&ls->dialler);
}

void pccl_link_goes_elsewhere(struct pccl_link_stream *ls)
{
	if (!has_ways(ls->link))
		return;
	pccl_link_order(ls);
	if (ls->dialled)
		ls->begin = pccl_dialler_turn_of(&ls->dialler, ls->place);
	ls->begin = (ls->begin + 1) % ls->link->config.place_count;
}

bool pccl_link_asks_on(struct pccl_link_stream *ls)
{
	if (!has_ways(ls->link))
		return false;
	if (ls->put_off_count == PUT_OFF_MOST)
		return true;
	ls->put_off_count++;
	return false;
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

/* Then, or earlier. */
static void look_at(struct pccl_link *link, uint64_t when_ns)
{
	if (link->ways.timer.when_ns != 0 && link->ways.timer.when_ns <= when_ns)
		return;
	link->ways.look_ns = when_ns;
	pccl_loop_timer_set(link->config.loop, &link->ways.timer, when_ns);
}

static void look_soon(struct pccl_link *link)
{
	look_at(link, now_of(link) + LOOK_NS);
}

void pccl_link_took(struct pccl_link_stream *ls, uint32_t payload_bytes)
{
	struct pccl_link *link = ls->link;
	const uint32_t bytes = payload_bytes + PCCL_FRAME_BYTES;
	uint16_t i;

	if (!has_ways(link))
		return;
	look_soon(link);
	/* What is waited for is waited for from now on. */
	if (ls->cursor - ls->claimed == 1)
		ls->still.sign_ns = now_of(link);
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
	ls->cut_count = 0;
	ls->proved |= payload_bytes >= PROOF_BYTES;
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

/* Of a stream that goes elsewhere: where others are up, nobody is lost by that as long as the system would have waited
 * for the connection that it had. */
static uint64_t move_end_ns(const struct pccl_link_stream *ls, uint64_t trip_ns)
{
	const struct pccl_link *link = ls->link;
	uint64_t timeout_ns = pccl_patience_ns(link->config.redial_timeout_ns, trip_ns, 2);
	uint16_t i;

	for (i = 0; i < link->config.streams; i++)
		if (&link->streams[i] != ls && link->streams[i].state == PCCL_LINK_UP && timeout_ns < OTHERS_UP_NS)
			timeout_ns = OTHERS_UP_NS;
	return now_of(link) + timeout_ns;
}

static uint64_t trip_of(const struct pccl_link_stream *ls, struct pccl_stream_counters *counters)
{
	ls->stream->transport->count(ls->stream, counters);
	return counters->trip_ns > 0 ? counters->trip_ns : ls->link->trip_ns;
}

/* `slept`: the loop comes late, and may have things to read. False: the link is lost. */
static bool look_for_silence(struct pccl_link *link, bool slept)
{
	struct pccl_stream_counters counters;
	uint64_t trip_ns;
	uint16_t i;

	for (i = 0; i < link->config.streams && !link->lost; i++) {
		struct pccl_link_stream *ls = &link->streams[i];

		if (ls->state != PCCL_LINK_UP)
			continue;
		trip_ns = trip_of(ls, &counters);
		ls->share.trip_ns = trip_ns;
		if (!pccl_still_look(&ls->still, &counters, now_of(link), patience_ns(link, trip_ns), slept) ||
		    ls->cut_count >= CUTS_MOST)
			continue;
		ls->cut_count++;
		ls->cut = true;
		pccl_link_goes_elsewhere(ls);
		pccl_link_stream_move(ls, move_end_ns(ls, trip_ns), "it is silent, and is dialled by another way");
	}
	return !link->lost;
}

/* ---- the way back ---------------------------------------------------------------------------------------------- */

/* The way leads there again. */
static void on_trial(void *context, struct pccl_stream *stream, uint32_t place)
{
	struct pccl_link *link = context;
	struct pccl_link_stream *ls = &link->streams[link->ways.trial_stream];
	struct pccl_stream_counters counters;

	(void)place;
	stream->transport->close(stream, false);
	pccl_dialler_stop(&link->ways.trial);
	if (!is_away(ls))
		return;
	/* To connect proves little: it may be another host, or one that large packets don't come to. */
	link->ways.wait_ns = link->ways.wait_ns * 2 < MOVE_MOST_NS ? link->ways.wait_ns * 2 : MOVE_MOST_NS;
	ls->begin = 0;
	pccl_link_stream_move(ls, move_end_ns(ls, trip_of(ls, &counters)), "it goes back to its own network card");
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
	if (ways->wait_ns < TRIAL_MOST_NS)
		ways->wait_ns *= 2;
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

/* All of those dialled here, and they have carried something there. */
static bool all_are_home(const struct pccl_link *link, bool proved)
{
	uint16_t i;

	for (i = 0; i < link->config.streams; i++) {
		const struct pccl_link_stream *ls = &link->streams[i];

		if (ls->state != PCCL_LINK_UP || is_away(ls) || (proved && ls->dialled && !ls->proved))
			return false;
	}
	return true;
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
		if (now_ns - ways->home_since_ns > SETTLED_NS && all_are_home(link, true))
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
	if (look_for_way_back(link))
		look_at(link, link->ways.trial_ns);
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

	if (own->from.bytes > 0)
		pccl_address_text(&own->from, from);
	else
		(void)snprintf(from, sizeof(from), "here");
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
	ls->put_off_count = 0;
	ls->proved = false;
	if (ls->dialled) {
		pccl_link_order(ls);
		ls->begin = pccl_dialler_turn_of(&ls->dialler, ls->place);
	}
	ls->was_home |= ls->dialled ? ls->place == own_way(ls) : came_by_own_way(ls);
	look_soon(link);
	if (is_away(ls) && !link->ways.told) {
		link->ways.told = true;
		tell(ls);
	} else if (link->ways.told && all_are_home(link, false)) {
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
