#include "transport/link/link.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "transport/link/crossing.h"
#include "transport/link/link_stream.h"

#define PULL_LEAST 2u

/* ---- pulling ------------------------------------------------------------------------------------------------- */

/* What is pulled may have to be packed first, which takes long where the processor is slow or busy: then a turn pulls
 * no more than a few frames for each link, and neighbours are heard in between. */
static bool may_pull(struct pccl_link *link)
{
	uint64_t now_ns = pccl_loop_now(link->config.loop);

	if (link->pull_ns != now_ns) {
		link->pull_ns = now_ns;
		link->pull_count = 0;
	}
	return link->pull_count < PULL_LEAST || !pccl_loop_is_long(link->config.loop);
}

static bool pull(struct pccl_link *link, struct pccl_frame_send *send_out)
{
	link->asked = true;
	link->pull_count++;
	if (!link->pending_valid)
		return link->events->next(link->context, link, send_out);
	*send_out = link->pending;
	link->pending_valid = false;
	return true;
}

/* What is pending lies in the entry of another stream, which has not been used again. */
static void copy_payload(struct pccl_link_entry *entry)
{
	struct pccl_frame_send *send = &entry->send;

	if (send->cookie != NULL || send->payload == NULL || send->payload == entry->copied ||
	    send->frame.payload_bytes > PCCL_FRAME_COPIED_MAX)
		return;
	memcpy(entry->copied, send->payload, send->frame.payload_bytes);
	send->payload = entry->copied;
}

/* Gives the stream a frame: first what has to be sent again, then what is new. False: there is none, or no room. */
static bool feed(struct pccl_link_stream *ls)
{
	struct pccl_link *link = ls->link;
	struct pccl_link_entry *entry = &ls->log[ls->cursor % PCCL_LINK_LOG_FRAMES];

	if (ls->cursor == ls->logged) {
		if (ls->logged - ls->acked == PCCL_LINK_LOG_FRAMES || !pccl_link_may_take(ls))
			return false;
		entry->forgotten = false;
		if (!pull(link, &entry->send))
			return false;
		assert(entry->send.frame.type >= PCCL_FRAME_START && entry->send.frame.type != PCCL_FRAME_ACK);
		copy_payload(entry);
		if (!pccl_link_hand_over(ls, &entry->send, entry)) {
			link->pending = entry->send; /* any stream may have it */
			link->pending_valid = true;
			return false;
		}
		ls->cookies[ls->logged % PCCL_LINK_LOG_FRAMES] = entry->send.cookie;
		ls->logged++;
	} else if (!pccl_link_hand_over(ls, &entry->send, entry)) {
		return false;
	}
	entry->in_transport = true;
	ls->cursor++;
	pccl_link_took(ls, entry->send.frame.payload_bytes);
	return true;
}

void pccl_link_kick(struct pccl_link *link)
{
	uint16_t idle_count = 0; /* streams in a row that took nothing */

	if (link->pulling || link->lost)
		return;
	link->pulling = true;
	link->asked = false;
	while (idle_count < link->config.streams) {
		struct pccl_link_stream *ls = &link->streams[link->turn];

		if (!may_pull(link)) {
			pccl_loop_defer(link->config.loop, &link->hook);
			break;
		}
		link->turn = (uint16_t)((link->turn + 1) % link->config.streams);
		if (ls->state == PCCL_LINK_UP && ls->has_room && feed(ls))
			idle_count = 0;
		else
			idle_count++;
	}
	link->pulling = false;
}

void pccl_link_pulled(struct pccl_link *link)
{
	if (link->asked && !link->pulling && !link->lost && link->events->pulled != NULL)
		link->events->pulled(link->context, link);
}

/* ---- the end of the turn ------------------------------------------------------------------------------------- */

static bool all_were_up(const struct pccl_link *link)
{
	uint16_t i;

	for (i = 0; i < link->config.streams; i++)
		if (!link->streams[i].was_up)
			return false;
	return true;
}

/* False: the link is gone. */
static bool announce(struct pccl_link *link)
{
	struct pccl_guard guard;

	if (link->up || !all_were_up(link))
		return true;
	link->up = true;
	pccl_guard_enter(&link->guard, &guard);
	link->events->up(link->context, link);
	if (guard.gone)
		return false;
	pccl_guard_leave(&link->guard, &guard);
	return true;
}

static void on_turn_end(struct pccl_hook *hook)
{
	struct pccl_link *link = hook->context;
	uint16_t i;

	for (i = 0; i < link->config.streams; i++)
		if (!pccl_link_pop(&link->streams[i]) || link->lost)
			return;
	if (!announce(link))
		return;
	pccl_link_kick(link);
	for (i = 0; i < link->config.streams; i++)
		pccl_link_acknowledge(&link->streams[i], false);
	pccl_link_pulled(link);
}

/* ---- the end ------------------------------------------------------------------------------------------------- */

static void stop_timers(struct pccl_link *link)
{
	uint16_t i;

	pccl_loop_undefer(link->config.loop, &link->hook);
	pccl_link_ways_stop(link);
	for (i = 0; i < link->config.streams; i++) {
		pccl_loop_timer_clear(link->config.loop, &link->streams[i].timer);
		pccl_loop_timer_clear(link->config.loop, &link->streams[i].ack_timer);
	}
}

void pccl_link_lose(struct pccl_link *link, const char *format, ...)
{
	va_list arguments;
	uint16_t i;

	assert(!link->lost);
	va_start(arguments, format);
	vsnprintf(link->lost_reason, sizeof(link->lost_reason), format, arguments);
	va_end(arguments);
	link->lost = true;
	for (i = 0; i < link->config.streams; i++)
		pccl_link_stream_drop(&link->streams[i]);
	stop_timers(link);
	pccl_loop_timer_set(link->config.loop, &link->lost_timer, pccl_loop_now(link->config.loop));
}

static void tell_lost(struct pccl_timer *timer)
{
	struct pccl_link *link = timer->context;

	link->events->lost(link->context, link, link->lost_reason);
}

void pccl_link_destroy(struct pccl_link *link)
{
	uint16_t i;

	if (link == NULL)
		return;
	pccl_guard_tell(&link->guard);
	for (i = 0; i < link->config.streams; i++) {
		struct pccl_link_stream *ls = &link->streams[i];

		if (ls->stream != NULL)
			ls->stream->transport->close(ls->stream, ls->state == PCCL_LINK_UP);
		pccl_dialler_stop(&ls->dialler);
	}
	stop_timers(link); /* after close(), where sent() may have deferred the hook */
	pccl_loop_timer_clear(link->config.loop, &link->lost_timer);
	for (i = 0; i < link->config.streams; i++) {
		pccl_free(link->streams[i].log);
		pccl_free(link->streams[i].cookies);
	}
	pccl_free(link);
}

/* ---- the beginning ------------------------------------------------------------------------------------------- */

/* Those of a process grow, so that what one has said that is gone is known as such, however late it comes. The rest is
 * drawn: nobody else can guess it, and end the link by calling with another one. */
static uint64_t next_instance(void)
{
	static uint32_t count; /* atomic */
	uint32_t drawn;

	if (getrandom(&drawn, sizeof(drawn), 0) != (ssize_t)sizeof(drawn))
		drawn = (uint32_t)pccl_clock_ns();
	return (uint64_t)__atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) << 32 | drawn;
}

pcclResult_t pccl_link_create(const struct pccl_link_config *config, const struct pccl_link_events *events,
			      void *context, struct pccl_link **link_out)
{
	struct pccl_link *link;
	uint16_t i;

	assert(config->streams > 0);
	assert(config->lane <= UINT8_MAX);
	assert(config->way_count <= config->place_count);
	assert(!config->dials || (config->place_count > 0 && config->place_count <= PCCL_LINK_PLACES_MAX));
	*link_out = NULL;
	link = pccl_zalloc(sizeof(*link) + config->streams * sizeof(link->streams[0]));
	if (link == NULL)
		return pcclOutOfMemory;
	link->config = *config;
	link->events = events;
	link->context = context;
	link->hook.run = on_turn_end;
	link->hook.context = link;
	link->lost_timer.fire = tell_lost;
	link->lost_timer.context = link;
	link->heard_ns = pccl_loop_now(config->loop);
	link->instance = next_instance();
	pccl_link_ways_start(link);
	link->leads = memcmp(config->self.data, config->neighbour.data, sizeof(config->self.data)) > 0;
	for (i = 0; i < config->streams; i++) {
		struct pccl_link_stream *ls = &link->streams[i];

		ls->link = link;
		ls->index = i;
		ls->log = pccl_calloc(PCCL_LINK_LOG_FRAMES, sizeof(*ls->log));
		ls->cookies = pccl_calloc(PCCL_LINK_LOG_FRAMES, sizeof(*ls->cookies));
		if (ls->log == NULL || ls->cookies == NULL)
			goto fail_log;
		pccl_link_stream_start(ls);
	}
	*link_out = link;
	return pcclSuccess;
fail_log:
	pccl_link_destroy(link);
	return pcclOutOfMemory;
}

/* Is it a stream for this link? Else why not. */
static const char *why_not(const struct pccl_link *link, const struct pccl_hello *hello)
{
	const struct pccl_link_config *config = &link->config;

	if (link->lost)
		return "the link is lost here";
	if (hello->purpose != PCCL_PURPOSE_DATA || hello->group != config->group || hello->lane != config->lane ||
	    !pccl_uuid_equal(&hello->from, &config->neighbour) || !pccl_uuid_equal(&hello->to, &config->self))
		return "it is for another link";
	if (hello->stream >= config->streams)
		return "the link has fewer streams here";
	if (hello->instance == 0)
		return "it has no instance";
	return NULL;
}

/* No frame has passed, either way. */
static bool is_unused(const struct pccl_link *link)
{
	uint16_t i;

	for (i = 0; i < link->config.streams; i++)
		if (link->streams[i].logged != 0 || link->streams[i].received != 0)
			return false;
	return !link->pending_valid;
}

bool pccl_link_knows(struct pccl_link *link, uint64_t instance, const struct pccl_link_stream *on)
{
	uint16_t i;

	if (link->other_instance == instance)
		return true;
	if (link->other_instance != 0 && !is_unused(link))
		return false;
	for (i = 0; i < link->config.streams && link->other_instance != 0; i++)
		pccl_link_stream_disown(&link->streams[i], &link->streams[i] != on);
	link->other_instance = instance;
	return true;
}

static void refuse(struct pccl_link *link, struct pccl_stream *stream, enum pccl_welcome welcome, const char *why)
{
	pccl_log_info("link to %s, lane %u: refused a stream: %s", link->config.name, link->config.lane, why);
	pccl_hello_refuse(link->config.loop, stream, welcome, why);
}

void pccl_link_adopt(struct pccl_link *link, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	const char *why = why_not(link, hello);
	enum pccl_crossing_verdict verdict;
	struct pccl_crossing side;
	struct pccl_link_stream *ls;

	if (why != NULL) {
		refuse(link, stream, PCCL_WELCOME_NEVER, why);
		return;
	}
	ls = &link->streams[hello->stream];
	if (hello->instance < link->other_instance) {
		refuse(link, stream, PCCL_WELCOME_NEVER, "a later link of the caller's has called before");
		return;
	}
	if (hello->received != 0 && is_unused(link)) {
		/* A call to an earlier link, which has waited at the door and may be over. Else the caller notices. */
		refuse(link, stream, PCCL_WELCOME_NEVER, "it claims frames that this link never sent");
		return;
	}
	if (!pccl_link_knows(link, hello->instance, ls)) {
		/* Here as well, perhaps, in a moment. */
		refuse(link, stream, PCCL_WELCOME_LATER, "the link was made anew on the calling side only");
		pccl_link_lose(link, "%s made lane %u's link anew, and does not know what passed over this one",
			       link->config.name, link->config.lane);
		return;
	}
	side.leads = link->leads;
	side.calls = ls->state == PCCL_LINK_GREETING;
	side.called_ns = pccl_loop_now(link->config.loop) - ls->hello_ns;
	side.known = ls->hellos_known;
	verdict = pccl_crossing_judge(&side, hello->resumption);
	if (verdict == PCCL_CROSSING_OLD) {
		refuse(link, stream, PCCL_WELCOME_LATER, "a later redial of the stream has come before");
	} else if (verdict == PCCL_CROSSING_WAIT) {
		refuse(link, stream, PCCL_WELCOME_LATER, "this side has called as well, and its call counts");
	} else if (!pccl_link_may_claim(ls, hello->received, ls->logged)) {
		refuse(link, stream, PCCL_WELCOME_NEVER, "it claims frames that were never sent");
		pccl_link_lose(link, "%s claims %u frames of stream %u of lane %u, %u were sent", link->config.name,
			       hello->received, ls->index, link->config.lane, ls->logged);
	} else {
		pccl_link_stream_adopt(ls, stream, hello);
	}
}

/* ---- the remaining calls ------------------------------------------------------------------------------------- */

void pccl_link_forget(struct pccl_link *link, const void *cookie,
		      bool (*belongs)(const void *cookie, const struct pccl_frame *frame))
{
	uint16_t i;

	assert(cookie != NULL);
	if (link->pending_valid && link->pending.cookie == cookie)
		link->pending_valid = false;
	for (i = 0; i < link->config.streams; i++) {
		struct pccl_link_stream *ls = &link->streams[i];
		struct pccl_frame frame;

		pccl_link_log_forget(ls, cookie);
		if (!ls->accepted || !belongs(cookie, &ls->frame))
			continue;
		if (!ls->stream->transport->divert(ls->stream, &frame))
			assert(false); /* its payload was on the way */
		ls->accepted = false;
		pccl_link_count_received(ls, frame.payload_bytes);
	}
}

void pccl_link_resume(struct pccl_link *link)
{
	uint16_t i;

	for (i = 0; i < link->config.streams; i++) {
		struct pccl_stream *stream = link->streams[i].stream;

		if (link->streams[i].state == PCCL_LINK_UP)
			stream->transport->resume(stream);
	}
}

void pccl_link_renew(struct pccl_link *link, uint64_t deadline_ns)
{
	uint16_t i;

	for (i = 0; i < link->config.streams && link->config.place_count > 0 && !link->lost; i++) {
		struct pccl_link_stream *ls = &link->streams[i];

		if (ls->state == PCCL_LINK_UP && ls->logged != ls->acked)
			pccl_link_stream_renew(ls, deadline_ns);
	}
}

bool pccl_link_is_up(const struct pccl_link *link)
{
	return link->up && !link->lost;
}

bool pccl_link_checks(const struct pccl_link *link)
{
	uint16_t i;

	for (i = 0; i < link->config.streams; i++)
		if (pccl_link_stream_checks(&link->streams[i]))
			return true;
	return false;
}

bool pccl_link_stream_stays(const struct pccl_link_stream *ls, uint64_t host, uint16_t port)
{
	struct pccl_address local, remote;

	return host != 0 && host == ls->link->config.host && ls->stream->transport->ends(ls->stream, &local, &remote) &&
	       pccl_address_same_host(&local, &remote) && port == pccl_address_port(&remote);
}

bool pccl_link_leaves(const struct pccl_link *link, struct pccl_address *local_out)
{
	struct pccl_address remote;
	uint16_t i;

	for (i = 0; i < link->config.streams; i++) {
		const struct pccl_link_stream *ls = &link->streams[i];

		if (ls->state == PCCL_LINK_UP && !ls->is_local &&
		    ls->stream->transport->ends(ls->stream, local_out, &remote))
			return true;
	}
	return false;
}

bool pccl_link_in_memory(const struct pccl_link *link)
{
	uint16_t i;

	for (i = 0; i < link->config.streams; i++)
		if (link->streams[i].state != PCCL_LINK_UP || !link->streams[i].stream->in_memory)
			return false;
	return true;
}

static uint64_t later(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

void pccl_link_heard(const struct pccl_link *link, struct pccl_link_heard *heard_out)
{
	uint16_t i;

	memset(heard_out, 0, sizeof(*heard_out));
	heard_out->received_ns = link->heard_ns;
	heard_out->unacked_frames = link->pending_valid ? 1 : 0;
	for (i = 0; i < link->config.streams; i++) {
		const struct pccl_link_stream *ls = &link->streams[i];
		struct pccl_stream_counters counters;

		heard_out->unacked_frames += ls->logged - ls->acked;
		if (ls->stream == NULL)
			continue;
		ls->stream->transport->count(ls->stream, &counters);
		heard_out->received_ns = later(heard_out->received_ns, counters.heard_ns);
		heard_out->acked_ns = later(heard_out->acked_ns, counters.acked_ns);
		heard_out->acked_bytes += counters.acked_bytes;
		heard_out->trip_ns = later(heard_out->trip_ns, counters.trip_ns);
	}
	if (heard_out->trip_ns == 0)
		heard_out->trip_ns = link->trip_ns; /* of a stream that has gone: a road may get shorter */
}

void pccl_link_pace(const struct pccl_link *link, struct pccl_stream_counters *sums)
{
	uint16_t i;

	for (i = 0; i < link->config.streams; i++) {
		const struct pccl_link_stream *ls = &link->streams[i];
		struct pccl_stream_counters counters;

		if (ls->stream == NULL)
			continue;
		ls->stream->transport->count(ls->stream, &counters);
		sums->acked_bytes += counters.acked_bytes;
		sums->network_ns += counters.network_ns;
		sums->bytes_per_second += counters.bytes_per_second;
	}
}

static int describe_stream(const struct pccl_link_stream *ls, char *text, size_t text_bytes)
{
	static const char *const states[] = {"down", "dialling", "greeting", "up"};
	char stream[PCCL_STREAM_DESCRIBE_BYTES];

	if (ls->stream != NULL)
		ls->stream->transport->describe(ls->stream, stream, sizeof(stream));
	else
		snprintf(stream, sizeof(stream), "%s", ls->reason[0] != '\0' ? ls->reason : "no connection yet");
	return snprintf(text, text_bytes, "; stream %u %s, %u frames unacknowledged, %u received (%s)", ls->index,
			states[ls->state], ls->logged - ls->acked, ls->received, stream);
}

void pccl_link_describe(const struct pccl_link *link, char *text, size_t text_bytes)
{
	int used = snprintf(text, text_bytes, "link to %s, lane %u%s%s", link->config.name, link->config.lane,
			    link->lost ? ", lost: " : "", link->lost ? link->lost_reason : "");
	uint16_t i;

	for (i = 0; i < link->config.streams && used > 0 && (size_t)used < text_bytes; i++)
		used += describe_stream(&link->streams[i], text + used, text_bytes - (size_t)used);
}
