/* One stream of a link: how it comes up, what it hears, how it goes down and comes up again. */
#include "transport/link/link_stream.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/time.h"

#define BACKOFF_FIRST_NS (20 * PCCL_MS_NS)
#define BACKOFF_MOST_NS (500 * PCCL_MS_NS)
#define ATTEMPTS_MOST 32u		/* or so; with a long timeout they come less often */
#define ATTEMPT_SHARE 3u		/* an attempt gets this part of the longer time-out, */
#define ATTEMPT_LEAST_NS PCCL_SECOND_NS /* but at least this */
#define GREETING_NS PCCL_SECOND_NS	/* for WELCOME, if another place may have it */
#define FRUITLESS_MOST 8u		/* then redialling doesn't help, */
#define FRUITLESS_SILENT 3u	     /* if it was for silence: connections are made, but what goes over them vanishes */
#define NO_CUT_NS (250 * PCCL_MS_NS) /* nobody cuts off for silence what was up for less */
#define OTHER_SIDE_NS (500 * PCCL_MS_NS) /* for the side whose turn it is to dial, before the other does as well, */
#define OTHER_SIDE_SHARE 4u		 /* and no more than this part of the time there is */
#define ANSWER_SHARE 4u			 /* of the time there is: it is left for WELCOME, however late HELLO is said */

static const struct pccl_stream_events stream_events;

static uint64_t now_of(const struct pccl_link_stream *ls)
{
	return pccl_loop_now(ls->link->config.loop);
}

static uint64_t earlier(uint64_t left_ns, uint64_t right_ns)
{
	return left_ns < right_ns ? left_ns : right_ns;
}

static uint64_t later(uint64_t left_ns, uint64_t right_ns)
{
	return left_ns > right_ns ? left_ns : right_ns;
}

static void set_timer(struct pccl_link_stream *ls, uint64_t when_ns)
{
	pccl_loop_timer_set(ls->link->config.loop, &ls->timer, when_ns);
}

/* ---- down ---------------------------------------------------------------------------------------------------- */

void pccl_link_stream_drop(struct pccl_link_stream *ls)
{
	struct pccl_link *link = ls->link;
	struct pccl_stream *stream = ls->stream;
	struct pccl_stream_counters counters;

	pccl_dialler_stop(&ls->dialler);
	if (ls->state == PCCL_LINK_UP)
		ls->lasted_ns = now_of(ls) - ls->up_ns;
	ls->state = PCCL_LINK_DOWN;
	ls->has_room = false;
	ls->stream = NULL;
	pccl_link_ways_down(ls);
	if (stream != NULL) {
		stream->transport->count(stream, &counters);
		if (counters.heard_ns > link->heard_ns)
			link->heard_ns = counters.heard_ns;
		if (counters.trip_ns > 0)
			link->trip_ns = counters.trip_ns;
		stream->transport->close(stream, false);
	}
	if (ls->accepted) {
		ls->accepted = false;
		link->events->dropped(link->context, link, &ls->frame);
	}
}

static void note_reason(struct pccl_link_stream *ls, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note_reason(struct pccl_link_stream *ls, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(ls->reason, sizeof(ls->reason), format, arguments);
	va_end(arguments);
}

static uint64_t timeout_of(const struct pccl_link_stream *ls)
{
	const struct pccl_link_config *config = &ls->link->config;

	return ls->was_up ? pccl_patience_ns(config->redial_timeout_ns, ls->link->trip_ns, 2)
			  : config->connect_timeout_ns;
}

static void set_deadline(struct pccl_link_stream *ls, uint64_t deadline_ns)
{
	ls->since_ns = now_of(ls);
	ls->deadline_ns = deadline_ns;
	ls->answer_end_ns = 0;
}

static void give_up(struct pccl_link_stream *ls)
{
	struct pccl_link *link = ls->link;

	pccl_link_lose(link, "%s: stream %u of lane %u is not %s after %llu ms: %s", link->config.name, ls->index,
		       link->config.lane, ls->was_up ? "up again" : "up",
		       (unsigned long long)((now_of(ls) - ls->since_ns) / PCCL_MS_NS),
		       ls->reason[0] != '\0' ? ls->reason : "the neighbour has not dialled");
}

/* An attempt to come up has failed for the noted reason. */
static void try_later(struct pccl_link_stream *ls)
{
	pccl_link_stream_drop(ls);
	pccl_log_debug("link to %s, lane %u, stream %u: %s", ls->link->config.name, ls->link->config.lane, ls->index,
		       ls->reason);
	if (now_of(ls) >= ls->deadline_ns) {
		give_up(ls);
		return;
	}
	set_timer(ls, earlier(now_of(ls) + ls->backoff_ns, ls->deadline_ns));
	ls->backoff_ns = earlier(ls->backoff_ns * 2, later(BACKOFF_MOST_NS, timeout_of(ls) / ATTEMPTS_MOST));
}

/* It is for the neighbour to dial, but not for ever. */
static void await_call(struct pccl_link_stream *ls)
{
	uint64_t patience_ns = earlier(OTHER_SIDE_NS, timeout_of(ls) / OTHER_SIDE_SHARE);
	bool may_dial = ls->link->config.place_count > 0;

	set_timer(ls, may_dial ? earlier(now_of(ls) + patience_ns, ls->deadline_ns) : ls->deadline_ns);
}

static void tell_broken(struct pccl_link *link, bool broken)
{
	uint16_t i;

	if (link->broken == broken)
		return;
	for (i = 0; broken && i < link->config.streams; i++)
		if (link->streams[i].state == PCCL_LINK_UP)
			return;
	link->broken = broken;
	link->events->broken(link->context, link, broken);
}

/* A stream that was up is down, for the noted reason. */
static void go_down(struct pccl_link_stream *ls)
{
	struct pccl_link *link = ls->link;

	pccl_link_stream_drop(ls);
	pccl_log_info("link to %s, lane %u, stream %u is down: %s", link->config.name, link->config.lane, ls->index,
		      ls->reason);
	tell_broken(link, true);
	if (ls->fruitless_count > FRUITLESS_MOST) {
		pccl_link_lose(link, "%s: stream %u of lane %u came up %u times without moving a frame: %s",
			       link->config.name, ls->index, link->config.lane, ls->fruitless_count, ls->reason);
		return;
	}
	set_deadline(ls, now_of(ls) + timeout_of(ls));
	if (!ls->dialled) {
		await_call(ls);
		return;
	}
	/* At once if it had worked before: most cuts are short. */
	ls->backoff_ns = earlier((uint64_t)BACKOFF_FIRST_NS << ls->fruitless_count, BACKOFF_MOST_NS);
	set_timer(ls, ls->fruitless_count == 0 ? now_of(ls) : earlier(now_of(ls) + ls->backoff_ns, ls->deadline_ns));
}

void pccl_link_stream_disown(struct pccl_link_stream *ls, bool closes)
{
	ls->hellos_known = 0;
	if (!closes || ls->state != PCCL_LINK_UP)
		return;
	note_reason(ls, "the neighbour has made its link anew");
	go_down(ls);
}

static void redial(struct pccl_link_stream *ls, uint64_t deadline_ns)
{
	pccl_link_stream_drop(ls);
	set_deadline(ls, deadline_ns);
	ls->backoff_ns = BACKOFF_FIRST_NS;
	set_timer(ls, now_of(ls));
}

void pccl_link_stream_renew(struct pccl_link_stream *ls, uint64_t deadline_ns)
{
	struct pccl_link *link = ls->link;

	if (ls->fruitless_count >= FRUITLESS_SILENT) {
		pccl_link_lose(link, "%s: stream %u of lane %u came up %u times, and no frame was acknowledged",
			       link->config.name, ls->index, link->config.lane, ls->fruitless_count);
		return;
	}
	pccl_link_goes_elsewhere(ls);
	note_reason(ls, "nothing was heard or acknowledged for long, nor since it was dialled again");
	pccl_log_info("link to %s, lane %u, stream %u is silent: it is dialled again", link->config.name,
		      link->config.lane, ls->index);
	redial(ls, deadline_ns);
}

void pccl_link_stream_move(struct pccl_link_stream *ls, uint64_t deadline_ns, const char *why)
{
	note_reason(ls, "%s", why);
	pccl_log_info("link to %s, lane %u, stream %u: %s", ls->link->config.name, ls->link->config.lane, ls->index,
		      why);
	redial(ls, deadline_ns);
}

/* ---- up ------------------------------------------------------------------------------------------------------ */

/* Who is called does not know why. Where there are ways the caller may have seen a cut, which is nothing fruitless, but
 * takes its time. */
static bool counts_what_is_fruitless(const struct pccl_link_stream *ls)
{
	if (ls->dialled)
		return !ls->cut;
	return ls->link->config.way_count < 2 || ls->lasted_ns < NO_CUT_NS;
}

static void come_up(struct pccl_link_stream *ls, uint32_t claim)
{
	bool moved = !ls->was_up || claim != ls->claimed_at_up || ls->received != ls->received_at_up;
	bool idle = claim == ls->logged; /* nothing to move */

	pccl_loop_timer_clear(ls->link->config.loop, &ls->timer);
	pccl_dialler_stop(&ls->dialler);
	ls->link->place = ls->place;
	ls->state = PCCL_LINK_UP;
	ls->was_up = true;
	ls->up_ns = now_of(ls);
	ls->has_room = true;
	ls->claimed = claim;
	ls->cursor = claim;
	ls->fruitless_count = moved || idle ? 0 : ls->fruitless_count + counts_what_is_fruitless(ls);
	ls->cut_count = moved ? 0 : ls->cut_count;
	ls->cut = false;
	ls->received_at_up = ls->received;
	ls->claimed_at_up = claim;
	pccl_link_ways_up(ls);
	tell_broken(ls->link, false);
	/* The rest, other callbacks above all, comes at the end of the turn. */
	pccl_loop_defer(ls->link->config.loop, &ls->link->hook);
}

static uint64_t attempt_ns(const struct pccl_link_stream *ls)
{
	uint64_t timeout_ns = later(ls->link->config.connect_timeout_ns, timeout_of(ls));

	return later(timeout_ns / ATTEMPT_SHARE, ATTEMPT_LEAST_NS);
}

static void start_attempt(struct pccl_link_stream *ls)
{
	ls->attempt_end_ns = earlier(now_of(ls) + attempt_ns(ls), ls->deadline_ns);
	ls->state = PCCL_LINK_DIALLING;
	pccl_link_order(ls);
	pccl_dialler_start(&ls->dialler);
	set_timer(ls, ls->attempt_end_ns);
}

/* The one that is connected is not the neighbour, or can't be talked to, for the noted reason. */
static void try_next_place(struct pccl_link_stream *ls)
{
	struct pccl_stream *stream = ls->stream;
	bool unfit = stream != NULL && stream->unfit;

	ls->stream = NULL;
	if (stream != NULL)
		stream->transport->close(stream, false);
	ls->state = PCCL_LINK_DIALLING;
	set_timer(ls, ls->attempt_end_ns);
	pccl_dialler_next(&ls->dialler, ls->reason, unfit);
}

static void on_timer(struct pccl_timer *timer)
{
	struct pccl_link_stream *ls = timer->context;
	const struct pccl_place *places = ls->link->config.places;
	char remote[PCCL_ADDRESS_PORT_BYTES];

	switch (ls->state) {
	case PCCL_LINK_DOWN:
		if (now_of(ls) >= ls->deadline_ns)
			give_up(ls);
		else
			start_attempt(ls);
		break;
	case PCCL_LINK_DIALLING:
		pccl_address_text_port(&places[ls->dialler.first].address, remote);
		note_reason(ls, "no answer from %s (it did not accept the connection)%s%s", remote,
			    ls->dialler.reason[0] != '\0' ? "; " : "", ls->dialler.reason);
		pccl_link_goes_on(ls);
		try_later(ls);
		break;
	case PCCL_LINK_GREETING:
		pccl_address_text_port(&places[ls->place].address, remote);
		note_reason(ls, "no answer from %s (it said nothing)", remote);
		if (now_of(ls) < ls->attempt_end_ns) {
			try_next_place(ls);
			break;
		}
		pccl_link_goes_on(ls);
		try_later(ls);
		break;
	case PCCL_LINK_UP:
		assert(false); /* the timer is not set */
	}
}

static void on_ack_timer(struct pccl_timer *timer)
{
	struct pccl_link_stream *ls = timer->context;

	pccl_link_acknowledge(ls, true);
	if (ls->state == PCCL_LINK_UP && ls->received != ls->reported) /* there was no room */
		pccl_loop_timer_set(ls->link->config.loop, timer, now_of(ls) + PCCL_LINK_ACK_DELAY_NS);
}

/* Of the dialler. */
static void on_connected(void *context, struct pccl_stream *stream, uint32_t place)
{
	struct pccl_link_stream *ls = context;

	assert(ls->state == PCCL_LINK_DIALLING);
	ls->place = place;
	if (stream->transport->attach(stream, ls->link->config.loop, &stream_events, ls) != pcclSuccess) {
		note_reason(ls, "%s", pccl_fail_text());
		stream->transport->close(stream, false);
		try_next_place(ls);
		return;
	}
	ls->stream = stream;
	ls->state = PCCL_LINK_GREETING;
	ls->dialled = true;
	ls->hello_ns = now_of(ls);
	pccl_link_say_hello(ls);
	/* Kernels make connections: whether the neighbour comes to look is only known from now on. Who has many places
	 * that accept and say nothing gets no more time past the deadline for the later ones. */
	if (ls->answer_end_ns == 0 || now_of(ls) < ls->deadline_ns)
		ls->answer_end_ns = later(ls->deadline_ns, now_of(ls) + timeout_of(ls) / ANSWER_SHARE);
	ls->attempt_end_ns = earlier(now_of(ls) + attempt_ns(ls), ls->answer_end_ns);
	set_timer(ls, pccl_dialler_has_more(&ls->dialler) ? earlier(now_of(ls) + GREETING_NS, ls->attempt_end_ns)
							  : ls->attempt_end_ns);
}

static void on_dialled_in_vain(void *context, const char *reason)
{
	struct pccl_link_stream *ls = context;

	note_reason(ls, "%s", reason);
	ls->put_off_count = 0;
	if (!ls->was_up && pccl_dialler_is_unfit(&ls->dialler))
		pccl_link_lose(ls->link, "%s: %s", ls->link->config.name, reason);
	else
		try_later(ls);
}

/* WELCOME YES. */
static void on_greeting(struct pccl_link_stream *ls, const struct pccl_frame *frame)
{
	struct pccl_link *link = ls->link;
	struct pccl_greeting greeting;

	if (pccl_greeting_decode((const uint8_t *)ls->text, frame->payload_bytes, &greeting) != pcclSuccess) {
		note_reason(ls, "%s", pccl_fail_text());
		try_next_place(ls);
	} else if (!pccl_link_is_neighbour(ls, &greeting)) {
		note_reason(ls, "who answers can't prove that it is %s", link->config.name);
		try_next_place(ls);
	} else if (greeting.instance < link->other_instance) {
		note_reason(ls, "the neighbour's link that answers is none any more");
		try_later(ls);
	} else if (!pccl_link_knows(link, greeting.instance, ls)) {
		pccl_link_lose(link, "%s made lane %u's link anew, and does not know what passed over this one",
			       link->config.name, link->config.lane);
	} else if (!pccl_link_may_claim(ls, frame->received, ls->logged)) {
		pccl_link_lose(link,
			       "%s does not know stream %u of lane %u any more: it has %u frames of it, %u were there",
			       link->config.name, ls->index, link->config.lane, frame->received, ls->claimed);
	} else {
		ls->hellos_known = greeting.hellos;
		ls->is_local = pccl_link_stream_stays(ls, frame->tag,
						      pccl_address_port(&link->config.places[ls->place].address));
		come_up(ls, frame->received);
	}
}

static void on_welcome(struct pccl_link_stream *ls, const struct pccl_frame *frame)
{
	struct pccl_link *link = ls->link;
	int text_bytes = (int)frame->payload_bytes;

	if (frame->aux == PCCL_WELCOME_NEVER) {
		pccl_link_lose(link, "%s refused stream %u of lane %u: %.*s", link->config.name, ls->index,
			       link->config.lane, text_bytes, ls->text);
	} else if (frame->aux != PCCL_WELCOME_YES) {
		note_reason(ls, "refused for now: %.*s", text_bytes, ls->text);
		if (pccl_link_asks_on(ls))
			try_next_place(ls);
		else
			try_later(ls);
	} else {
		on_greeting(ls, frame);
	}
}

void pccl_link_stream_adopt(struct pccl_link_stream *ls, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	const struct pccl_link_config *config = &ls->link->config;
	struct pccl_greeting greeting = {.instance = ls->link->instance, .hellos = ls->hellos};
	struct pccl_frame welcome = {.type = PCCL_FRAME_WELCOME};

	pccl_link_stream_drop(ls);
	ls->hellos_known = hello->resumption + 1;
	ls->dialled = false;
	if (stream->transport->attach(stream, config->loop, &stream_events, ls) != pcclSuccess) {
		note_reason(ls, "%s", pccl_fail_text());
		stream->transport->close(stream, false);
		go_down(ls); /* the neighbour dials again */
		return;
	}
	ls->stream = stream;
	welcome.lane = (uint8_t)config->lane;
	ls->is_local = pccl_link_stream_stays(ls, hello->host, hello->port);
	welcome.tag = ls->is_local ? config->host : 0;
	welcome.received = ls->reported = ls->received;
	ls->unreported_bytes = 0;
	greeting.proves = pccl_link_prove(ls, PCCL_ROLE_CALLED, &greeting.proof);
	welcome.payload_bytes = (uint32_t)pccl_greeting_encode(&greeting, ls->greeting);
	if (!stream->transport->send(stream, &welcome, ls->greeting, NULL))
		assert(false); /* a stream that has just been attached has room */
	come_up(ls, hello->received);
}

/* ---- frames -------------------------------------------------------------------------------------------------- */

static enum pccl_frame_verdict on_greeting_header(struct pccl_link_stream *ls, const struct pccl_frame *frame,
						  void **destination_out)
{
	if (frame->type != PCCL_FRAME_WELCOME || frame->payload_bytes > sizeof(ls->text)) {
		pccl_fail(pcclRankConnectionLost, "a frame of type %u with %u bytes came instead of WELCOME",
			  frame->type, frame->payload_bytes);
		return PCCL_FRAME_REJECT;
	}
	*destination_out = ls->text;
	return PCCL_FRAME_TAKE;
}

/* A frame that counts and has come for the user. */
static enum pccl_frame_verdict ask_user(struct pccl_link_stream *ls, const struct pccl_frame *frame,
					void **destination_out)
{
	struct pccl_link *link = ls->link;
	enum pccl_frame_verdict verdict = link->events->accept(link->context, link, frame, destination_out);

	switch (verdict) {
	case PCCL_FRAME_TAKE:
		ls->accepted = frame->payload_bytes > 0;
		ls->frame = *frame;
		break;
	case PCCL_FRAME_DISCARD:
		pccl_link_count_received(ls, frame->payload_bytes);
		break;
	case PCCL_FRAME_HOLD:
		break;
	case PCCL_FRAME_REJECT:
		pccl_link_lose(link, "%s broke the protocol on lane %u: %s", link->config.name, link->config.lane,
			       pccl_fail_text());
		break;
	}
	return verdict;
}

static enum pccl_frame_verdict on_header(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					 void **destination_out)
{
	struct pccl_link_stream *ls = context;

	(void)stream;
	if (ls->state == PCCL_LINK_GREETING)
		return on_greeting_header(ls, frame, destination_out);
	assert(ls->state == PCCL_LINK_UP);
	if (frame->type < PCCL_FRAME_START || frame->lane != ls->link->config.lane ||
	    (frame->type == PCCL_FRAME_ACK && frame->payload_bytes != 0)) {
		pccl_fail(pcclRankConnectionLost,
			  "a frame of type %u for lane %u with %u bytes came on a stream of lane %u", frame->type,
			  frame->lane, frame->payload_bytes, ls->link->config.lane);
		return PCCL_FRAME_REJECT;
	}
	if (!pccl_link_may_claim(ls, frame->received, ls->cursor)) {
		pccl_fail(pcclRankConnectionLost, "frame %u was acknowledged, but only %u were sent", frame->received,
			  ls->cursor);
		return PCCL_FRAME_REJECT;
	}
	ls->claimed = frame->received;
	if (!pccl_link_pop(ls) || ls->state != PCCL_LINK_UP)
		return PCCL_FRAME_DISCARD; /* nobody reads it: the stream is closed */
	if (frame->type != PCCL_FRAME_ACK)
		return ask_user(ls, frame, destination_out);
	if ((frame->flags & PCCL_FRAME_PLACEHOLDER) != 0)
		pccl_link_count_received(ls, 0);
	return PCCL_FRAME_DISCARD;
}

static void on_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct pccl_link_stream *ls = context;
	struct pccl_link *link = ls->link;

	(void)stream;
	if (ls->state == PCCL_LINK_GREETING) {
		on_welcome(ls, frame);
		return;
	}
	ls->accepted = false;
	pccl_link_count_received(ls, frame->payload_bytes);
	link->events->received(link->context, link, frame);
}

static void on_room(void *context, struct pccl_stream *stream)
{
	struct pccl_link_stream *ls = context;

	(void)stream;
	ls->has_room = true;
	pccl_link_kick(ls->link);
	pccl_link_acknowledge(ls, false);
	pccl_link_pulled(ls->link);
}

static void on_sent(void *context, struct pccl_stream *stream, void *token)
{
	struct pccl_link_stream *ls = context;
	struct pccl_link_entry *entry = token;

	(void)stream;
	if (entry == NULL)
		return; /* HELLO, WELCOME, ACK */
	entry->in_transport = false;
	if (ls->acked != ls->claimed)
		pccl_loop_defer(ls->link->config.loop, &ls->link->hook); /* it was acknowledged early: pop it now */
}

static void on_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct pccl_link_stream *ls = context;

	(void)stream;
	note_reason(ls, "%s", reason);
	if (ls->state == PCCL_LINK_UP)
		go_down(ls);
	else
		try_next_place(ls);
}

static const struct pccl_stream_events stream_events = {
	.header = on_header,
	.received = on_received,
	.room = on_room,
	.sent = on_sent,
	.broken = on_broken,
};

void pccl_link_stream_start(struct pccl_link_stream *ls)
{
	ls->timer.fire = on_timer;
	ls->timer.context = ls;
	ls->ack_timer.fire = on_ack_timer;
	ls->ack_timer.context = ls;
	ls->dialler.loop = ls->link->config.loop;
	ls->dialler.places = ls->link->config.places;
	ls->dialler.place_count = ls->link->config.place_count;
	ls->dialler.way_count = ls->link->config.way_count;
	ls->dialler.connected = on_connected;
	ls->dialler.failed = on_dialled_in_vain;
	ls->dialler.context = ls;
	ls->backoff_ns = BACKOFF_FIRST_NS;
	set_deadline(ls, now_of(ls) + ls->link->config.connect_timeout_ns);
	if (ls->link->config.dials)
		set_timer(ls, now_of(ls));
	else
		await_call(ls);
}
