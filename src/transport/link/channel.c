#include "transport/link/channel.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "transport/link/hello.h"

#define CLOSE_NS PCCL_SECOND_NS /* for the queue to drain after close() */
#define KEPT_BYTES 65536u	/* of the receive buffer, for the next message */

enum state {
	DIALLING, /* nobody is connected */
	GREETING, /* HELLO is sent, WELCOME is awaited; other places are still being dialled */
	OPEN,
	BREAKING, /* broken() is due, the timer brings it */
	BROKEN,	  /* waits for the user's close() */
	CLOSING	  /* closed by the user; sends the rest */
};

struct message {
	struct message *next;
	uint8_t *data; /* owned */
	uint32_t bytes;
};

struct pccl_channel {
	struct pccl_loop *loop;
	const struct pccl_channel_events *events;
	void *context;
	enum state state;
	struct pccl_stream *stream; /* NULL: none */
	struct pccl_timer timer;    /* the attempt's end, or what the state says */
	struct pccl_leftover leftover;
	char remote[PCCL_ADDRESS_BYTES];
	char reason[PCCL_FAIL_TEXT_BYTES]; /* why the last attempt failed, or why it breaks */
	bool unfit;			   /* see pccl_channel_is_unfit() */

	/* Dialling. */
	struct pccl_dialler dialler;
	struct pccl_place *places; /* owned copy */
	uint32_t place;		   /* index of the one that is connected */
	uint64_t dial_end_ns;
	uint8_t hello[PCCL_HELLO_BYTES];

	/* Sending: the first messages are handed to the stream, in order; the rest waits. */
	struct message *first;
	struct message *last;
	struct message *waiting; /* first that is not handed over */
	size_t queued_bytes;

	/* Receiving. */
	uint8_t *buffer;
	size_t buffer_bytes;
};

static const struct pccl_stream_events stream_events;

/* ---- ends ---------------------------------------------------------------------------------------------------- */

/* The stream's sends complete inside its close(), so messages that were handed over are freed there. */
static void close_stream(struct pccl_channel *channel, bool flush)
{
	struct pccl_stream *stream = channel->stream;

	channel->stream = NULL;
	if (stream != NULL)
		stream->transport->close(stream, flush);
}

static void free_channel(struct pccl_channel *channel)
{
	close_stream(channel, false);
	pccl_dialler_stop(&channel->dialler);
	pccl_loop_timer_clear(channel->loop, &channel->timer);
	while (channel->first != NULL) {
		struct message *message = channel->first;

		channel->first = message->next;
		pccl_free(message->data);
		pccl_free(message);
	}
	pccl_free(channel->places);
	pccl_free(channel->buffer);
	pccl_free(channel);
}

/* Tells the user, from the loop. */
static void report(struct pccl_channel *channel)
{
	channel->state = BROKEN;
	close_stream(channel, false);
	pccl_dialler_stop(&channel->dialler);
	pccl_loop_timer_clear(channel->loop, &channel->timer);
	channel->events->broken(channel->context, channel, channel->reason);
}

/* Tells the user a moment later, for use where callbacks must not be made. */
static void report_soon(struct pccl_channel *channel)
{
	channel->state = BREAKING;
	pccl_dialler_stop(&channel->dialler);
	pccl_loop_timer_set(channel->loop, &channel->timer, pccl_loop_now(channel->loop));
}

/* ---- dialling ------------------------------------------------------------------------------------------------ */

/* The one that is connected is not it, for the noted reason. */
static void try_next_place(struct pccl_channel *channel, bool unfit)
{
	close_stream(channel, false);
	channel->state = DIALLING;
	pccl_loop_timer_set(channel->loop, &channel->timer, channel->dial_end_ns);
	pccl_dialler_next(&channel->dialler, channel->reason, unfit);
}

static void note_silence(struct pccl_channel *channel)
{
	const struct pccl_place *place = &channel->places[channel->state == DIALLING ? 0 : channel->place];
	const char *others = channel->dialler.reason;
	char remote[PCCL_ADDRESS_PORT_BYTES];

	pccl_address_text_port(&place->address, remote);
	snprintf(channel->reason, sizeof(channel->reason), "no answer from %s in time (%s)%s%.*s", remote,
		 channel->state == DIALLING ? "it did not accept the connection"
					    : "it accepts connections, but says nothing",
		 others[0] != '\0' ? "; " : "", (int)sizeof(channel->reason) / 2, others);
}

static void on_timer(struct pccl_timer *timer)
{
	struct pccl_channel *channel = timer->context;

	switch (channel->state) {
	case DIALLING:
	case GREETING:
		note_silence(channel);
		if (channel->state == GREETING && pccl_loop_now(channel->loop) < channel->dial_end_ns)
			try_next_place(channel, false);
		else
			report(channel);
		break;
	case BREAKING:
		report(channel);
		break;
	case CLOSING:
		pccl_loop_release(channel->loop, &channel->leftover);
		free_channel(channel);
		break;
	case OPEN:
	case BROKEN:
		assert(false); /* the timer is not set */
	}
}

static void say_hello(struct pccl_channel *channel)
{
	struct pccl_hello hello = {.purpose = PCCL_PURPOSE_CONTROL};
	struct pccl_frame frame = {.type = PCCL_FRAME_HELLO};

	frame.payload_bytes = (uint32_t)pccl_hello_encode(&hello, channel->hello);
	if (!channel->stream->transport->send(channel->stream, &frame, channel->hello, NULL))
		assert(false); /* a stream that has just been attached has room */
}

/* Of the dialler. If others are there, each but the last has half of the time that is left to say WELCOME. */
static void on_connected(void *context, struct pccl_stream *stream, uint32_t place)
{
	struct pccl_channel *channel = context;
	uint64_t now_ns = pccl_loop_now(channel->loop);

	assert(channel->state == DIALLING);
	channel->place = place;
	pccl_address_text(&channel->places[place].address, channel->remote);
	if (stream->transport->attach(stream, channel->loop, &stream_events, channel) != pcclSuccess) {
		pccl_text_copy(channel->reason, sizeof(channel->reason), pccl_fail_text());
		stream->transport->close(stream, false);
		try_next_place(channel, false);
		return;
	}
	channel->stream = stream;
	channel->state = GREETING;
	say_hello(channel);
	if (pccl_dialler_has_more(&channel->dialler) && channel->dial_end_ns > now_ns)
		pccl_loop_timer_set(channel->loop, &channel->timer, now_ns + (channel->dial_end_ns - now_ns) / 2);
}

static void on_dialled_in_vain(void *context, const char *reason)
{
	struct pccl_channel *channel = context;

	pccl_text_copy(channel->reason, sizeof(channel->reason), reason);
	channel->unfit = pccl_dialler_is_unfit(&channel->dialler);
	report(channel);
}

/* ---- sending ------------------------------------------------------------------------------------------------- */

static void pump(struct pccl_channel *channel)
{
	while (channel->waiting != NULL) {
		struct message *message = channel->waiting;
		struct pccl_frame frame = {.type = PCCL_FRAME_MESSAGE, .payload_bytes = message->bytes};

		if (!channel->stream->transport->send(channel->stream, &frame, message->data, message))
			return;
		channel->waiting = message->next;
	}
}

/* Everything is handed over: the stream ends by itself. */
static void close_if_drained(struct pccl_channel *channel)
{
	if (channel->waiting != NULL)
		return;
	pccl_loop_release(channel->loop, &channel->leftover);
	close_stream(channel, true);
	free_channel(channel);
}

static void on_room(void *context, struct pccl_stream *stream)
{
	struct pccl_channel *channel = context;

	(void)stream;
	pump(channel);
	if (channel->state == CLOSING)
		close_if_drained(channel);
}

static void on_sent(void *context, struct pccl_stream *stream, void *token)
{
	struct pccl_channel *channel = context;
	struct message *message = token;

	(void)stream;
	if (message == NULL)
		return; /* HELLO or WELCOME */
	assert(message == channel->first);
	channel->first = message->next;
	if (channel->first == NULL)
		channel->last = NULL;
	channel->queued_bytes -= message->bytes;
	pccl_free(message->data);
	pccl_free(message);
}

void pccl_channel_send(struct pccl_channel *channel, uint8_t *data, size_t bytes)
{
	struct message *message = NULL;

	assert(channel->state != CLOSING);
	if (channel->state == BREAKING || channel->state == BROKEN) {
		pccl_free(data);
		return;
	}
	if (bytes == 0 || bytes > PCCL_FRAME_PAYLOAD_MAX)
		snprintf(channel->reason, sizeof(channel->reason), "a message of %zu bytes can't be sent", bytes);
	else if (channel->queued_bytes + bytes > PCCL_CHANNEL_QUEUE_BYTES)
		snprintf(channel->reason, sizeof(channel->reason), "%s takes no messages: more than %u bytes wait",
			 channel->remote, PCCL_CHANNEL_QUEUE_BYTES);
	else
		message = pccl_zalloc(sizeof(*message));
	if (message == NULL) {
		if (channel->reason[0] == '\0')
			pccl_text_copy(channel->reason, sizeof(channel->reason), pccl_fail_text());
		pccl_free(data);
		report_soon(channel);
		return;
	}
	message->data = data;
	message->bytes = (uint32_t)bytes;
	if (channel->last != NULL)
		channel->last->next = message;
	else
		channel->first = message;
	channel->last = message;
	channel->queued_bytes += bytes;
	if (channel->waiting != NULL)
		return;
	channel->waiting = message;
	if (channel->state == OPEN)
		pump(channel);
}

/* ---- receiving ----------------------------------------------------------------------------------------------- */

static bool make_room(struct pccl_channel *channel, size_t bytes)
{
	uint8_t *buffer;

	if (bytes <= channel->buffer_bytes && channel->buffer_bytes <= KEPT_BYTES)
		return true;
	buffer = pccl_realloc(channel->buffer, bytes);
	if (buffer == NULL)
		return false;
	channel->buffer = buffer;
	channel->buffer_bytes = bytes;
	return true;
}

static enum pccl_frame_verdict on_header(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					 void **destination_out)
{
	struct pccl_channel *channel = context;
	uint8_t wanted = channel->state == GREETING ? PCCL_FRAME_WELCOME : PCCL_FRAME_MESSAGE;

	(void)stream;
	if (channel->state == CLOSING || channel->state == BREAKING)
		return PCCL_FRAME_DISCARD;
	if (frame->type != wanted || (wanted == PCCL_FRAME_MESSAGE && frame->payload_bytes == 0) ||
	    (wanted == PCCL_FRAME_WELCOME && frame->payload_bytes > PCCL_WELCOME_TEXT_BYTES)) {
		pccl_fail(pcclRankConnectionLost, "%s sent a frame of type %u with %u bytes on a control connection",
			  channel->remote, frame->type, frame->payload_bytes);
		return PCCL_FRAME_REJECT;
	}
	if (channel->events->expect != NULL &&
	    channel->events->expect(channel->context, channel, frame->payload_bytes) != pcclSuccess)
		return PCCL_FRAME_REJECT;
	if (!make_room(channel, frame->payload_bytes))
		return PCCL_FRAME_REJECT;
	*destination_out = channel->buffer;
	return PCCL_FRAME_TAKE;
}

static void on_welcome(struct pccl_channel *channel, const struct pccl_frame *frame)
{
	if (frame->aux != PCCL_WELCOME_YES) {
		snprintf(channel->reason, sizeof(channel->reason), "refused by %s: %.*s", channel->remote,
			 (int)frame->payload_bytes, frame->payload_bytes > 0 ? (const char *)channel->buffer : "");
		try_next_place(channel, frame->aux == PCCL_WELCOME_NEVER);
		return;
	}
	pccl_loop_timer_clear(channel->loop, &channel->timer);
	pccl_dialler_stop(&channel->dialler);
	channel->state = OPEN;
	channel->reason[0] = '\0';
	pump(channel);
	if (channel->events->opened != NULL)
		channel->events->opened(channel->context, channel);
}

static void on_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct pccl_channel *channel = context;

	(void)stream;
	switch (channel->state) {
	case GREETING:
		on_welcome(channel, frame);
		break;
	case OPEN:
		channel->events->message(channel->context, channel, channel->buffer, frame->payload_bytes);
		break;
	case BREAKING:
	case CLOSING:
		break; /* its payload was on the way when the state changed */
	case DIALLING:
	case BROKEN:
		assert(false); /* there is no open stream */
	}
}

/* It has not said WELCOME. */
static void note_stranger(struct pccl_channel *channel, const char *reason, bool unfit)
{
	char remote[PCCL_ADDRESS_PORT_BYTES];

	pccl_address_text_port(&channel->places[channel->place].address, remote);
	if (unfit)
		snprintf(channel->reason, sizeof(channel->reason),
			 "the master at %s and this side are not secured alike: %.*s", remote,
			 (int)sizeof(channel->reason) / 2, reason);
	else
		snprintf(channel->reason, sizeof(channel->reason),
			 "there is no pccl master at %s, or one of another version: it does not answer as one (%.*s)",
			 remote, (int)sizeof(channel->reason) / 2, reason);
}

static void on_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct pccl_channel *channel = context;
	bool unfit = stream->unfit;

	if (channel->state == CLOSING) {
		pccl_loop_release(channel->loop, &channel->leftover);
		free_channel(channel);
		return;
	}
	if (channel->state == GREETING)
		note_stranger(channel, reason, unfit);
	else if (channel->state != BREAKING)
		pccl_text_copy(channel->reason, sizeof(channel->reason), reason);
	if (channel->state == GREETING)
		try_next_place(channel, unfit);
	else
		report(channel);
}

static const struct pccl_stream_events stream_events = {
	.header = on_header,
	.received = on_received,
	.room = on_room,
	.sent = on_sent,
	.broken = on_broken,
};

/* ---- life ---------------------------------------------------------------------------------------------------- */

static void abandon(struct pccl_leftover *leftover)
{
	struct pccl_channel *channel = leftover->context;

	pccl_loop_release(channel->loop, leftover);
	free_channel(channel);
}

static struct pccl_channel *new_channel(struct pccl_loop *loop, const struct pccl_channel_events *events, void *context)
{
	struct pccl_channel *channel = pccl_zalloc(sizeof(*channel));

	if (channel == NULL)
		return NULL;
	channel->loop = loop;
	channel->events = events;
	channel->context = context;
	channel->timer.fire = on_timer;
	channel->timer.context = channel;
	channel->leftover.abandon = abandon;
	channel->leftover.context = channel;
	return channel;
}

pcclResult_t pccl_channel_dial(struct pccl_loop *loop, const struct pccl_place *places, uint32_t place_count,
			       uint64_t timeout_ns, const struct pccl_channel_events *events, void *context,
			       struct pccl_channel **channel_out)
{
	struct pccl_channel *channel;

	*channel_out = NULL;
	channel = new_channel(loop, events, context);
	if (channel == NULL)
		return pcclOutOfMemory;
	channel->places = pccl_calloc(place_count, sizeof(*places));
	if (channel->places == NULL) {
		pccl_free(channel);
		return pcclOutOfMemory;
	}
	memcpy(channel->places, places, place_count * sizeof(*places));
	pccl_address_text(&places->address, channel->remote);
	channel->dial_end_ns = pccl_loop_now(loop) + timeout_ns;
	channel->dialler.loop = loop;
	channel->dialler.places = channel->places;
	channel->dialler.place_count = place_count;
	channel->dialler.connected = on_connected;
	channel->dialler.failed = on_dialled_in_vain;
	channel->dialler.context = channel;
	channel->state = DIALLING;
	pccl_dialler_start(&channel->dialler);
	pccl_loop_timer_set(loop, &channel->timer, channel->dial_end_ns);
	*channel_out = channel;
	return pcclSuccess;
}

pcclResult_t pccl_channel_adopt(struct pccl_loop *loop, struct pccl_stream *stream,
				const struct pccl_channel_events *events, void *context,
				struct pccl_channel **channel_out)
{
	const struct pccl_transport *transport = stream->transport;
	struct pccl_frame welcome = {.type = PCCL_FRAME_WELCOME};
	struct pccl_channel *channel = new_channel(loop, events, context);
	pcclResult_t result = pcclOutOfMemory;

	*channel_out = NULL;
	if (channel != NULL)
		result = transport->attach(stream, loop, &stream_events, channel);
	if (result != pcclSuccess) {
		transport->close(stream, false);
		pccl_free(channel);
		return result;
	}
	channel->stream = stream;
	channel->state = OPEN;
	transport->remote(stream, channel->remote);
	if (!transport->send(stream, &welcome, NULL, NULL))
		assert(false); /* a stream that has just been attached has room */
	*channel_out = channel;
	return pcclSuccess;
}

bool pccl_channel_is_unfit(const struct pccl_channel *channel)
{
	return channel->unfit;
}

bool pccl_channel_bond(const struct pccl_channel *channel, struct pccl_bond *bond_out)
{
	return channel->state == OPEN && channel->stream->transport->bond != NULL &&
	       channel->stream->transport->bond(channel->stream, bond_out);
}

uint64_t pccl_channel_trip_ns(const struct pccl_channel *channel)
{
	struct pccl_stream_counters counters;

	if (channel->state != OPEN)
		return 0;
	channel->stream->transport->count(channel->stream, &counters);
	return counters.trip_ns;
}

const char *pccl_channel_remote(const struct pccl_channel *channel)
{
	return channel->remote;
}

void pccl_channel_close(struct pccl_channel *channel, bool flush)
{
	assert(channel->state != CLOSING);
	if (!flush || channel->state != OPEN) {
		free_channel(channel);
		return;
	}
	channel->state = CLOSING;
	channel->events = NULL;
	pccl_loop_keep(channel->loop, &channel->leftover);
	pccl_loop_timer_set(channel->loop, &channel->timer, pccl_clock_ns() + CLOSE_NS);
	close_if_drained(channel);
}
