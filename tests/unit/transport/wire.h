/*
 * Two ends of a stream on one loop, for tests of any transport: each end notes all it hears, checks the bytes it gets
 * against what they must be, and can be told to answer, or to close, at a given moment.
 */
#ifndef PCCL_TESTS_TRANSPORT_WIRE_H
#define PCCL_TESTS_TRANSPORT_WIRE_H

#include "lib/check.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "transport/transport.h"

#define WIRE_TOKENS 4096
#define WIRE_REPLACEMENT 77u
/* Only a failure waits so long: under a sanitizer, on a busy machine, what takes a second takes ten. */
static uint64_t wire_patience_ns = UINT64_C(30000000000);

enum wire_call { WIRE_NONE, WIRE_OPENED, WIRE_HEADER, WIRE_RECEIVED, WIRE_ROOM, WIRE_SENT, WIRE_BROKEN };

/* What a suite runs against. */
struct wire_kind {
	const struct pccl_transport *transport;
	const char *host;		    /* numeric, listens on any port */
	const struct pccl_transport *dials; /* NULL: `transport` */
};

struct wire_end {
	const struct pccl_transport *transport;
	struct pccl_stream *stream; /* NULL when closed */
	uint32_t calls[WIRE_BROKEN + 1];
	char reason[300];
	enum wire_call close_at; /* closes the stream inside this callback */
	bool close_flush;
	enum pccl_frame_verdict verdict;  /* for all frames */
	uint32_t discard_below;		  /* DISCARD frames with a lower sequence */
	uint8_t *destination;		  /* of the frame at hand */
	uint32_t next;			  /* sequence that must come next */
	uint32_t replacements;		  /* frames that came instead of one that was taken back */
	uint64_t bytes;			  /* of payload received */
	uint8_t completions[WIRE_TOKENS]; /* sent() per token */
};

struct wire {
	const struct wire_kind *kind;
	struct pccl_loop *loop;
	struct pccl_listener *listener;
	struct pccl_address address; /* of the listener */
	struct wire_end dialer;
	struct wire_end acceptor;
};

/* ---- payloads ------------------------------------------------------------------------------------------------ */

/* The payload of frame `sequence`: each byte follows from the two numbers. */
static inline void wire_fill(uint8_t *payload, size_t bytes, uint32_t sequence)
{
	size_t i;

	for (i = 0; i + 8 <= bytes; i += 8) {
		uint64_t word = pccl_rng_hash(sequence, i);

		memcpy(payload + i, &word, 8);
	}
	for (; i < bytes; i++)
		payload[i] = (uint8_t)pccl_rng_hash(sequence, i);
}

/* Allocates nothing: tests let allocations fail. */
static inline bool wire_matches(const uint8_t *payload, size_t bytes, uint32_t sequence)
{
	size_t i;

	for (i = 0; i + 8 <= bytes; i += 8) {
		uint64_t word = pccl_rng_hash(sequence, i);

		if (memcmp(payload + i, &word, 8) != 0)
			return false;
	}
	for (; i < bytes; i++)
		if (payload[i] != (uint8_t)pccl_rng_hash(sequence, i))
			return false;
	return true;
}

static inline uint8_t *wire_payload(size_t bytes, uint32_t sequence)
{
	uint8_t *payload = malloc(bytes + 1);

	wire_fill(payload, bytes, sequence);
	return payload;
}

/* ---- callbacks ----------------------------------------------------------------------------------------------- */

static inline void wire_close(struct wire_end *end, bool flush)
{
	struct pccl_stream *stream = end->stream;

	end->stream = NULL;
	if (stream != NULL)
		end->transport->close(stream, flush);
	free(end->destination);
	end->destination = NULL;
}

static inline void wire_called(struct wire_end *end, enum wire_call call)
{
	if (call != WIRE_SENT)
		assert_non_null(end->stream);
	end->calls[call]++;
	if (end->close_at == call)
		wire_close(end, end->close_flush);
}

static inline void wire_opened(void *context, struct pccl_stream *stream)
{
	(void)stream;
	wire_called(context, WIRE_OPENED);
}

static inline enum pccl_frame_verdict wire_header(void *context, struct pccl_stream *stream,
						  const struct pccl_frame *frame, void **destination_out)
{
	struct wire_end *end = context;

	(void)stream;
	wire_called(end, WIRE_HEADER);
	if (end->stream == NULL || end->verdict != PCCL_FRAME_TAKE)
		return end->verdict;
	if (frame->type == PCCL_FRAME_ACK)
		return PCCL_FRAME_TAKE;
	if (frame->sequence < end->discard_below) {
		end->next = frame->sequence + 1;
		return PCCL_FRAME_DISCARD;
	}
	end->destination = malloc(frame->payload_bytes + 1);
	end->destination[frame->payload_bytes] = 0xA5;
	*destination_out = end->destination;
	return PCCL_FRAME_TAKE;
}

static inline void wire_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct wire_end *end = context;

	(void)stream;
	if (frame->type == PCCL_FRAME_ACK) {
		assert_int_equal(frame->payload_bytes, 0);
		assert_int_equal(frame->aux, WIRE_REPLACEMENT);
		end->replacements++;
	} else {
		assert_true(frame->sequence >= end->next);
		end->next = frame->sequence + 1;
		assert_true(wire_matches(end->destination, frame->payload_bytes, frame->sequence));
		assert_int_equal(end->destination[frame->payload_bytes], 0xA5);
		free(end->destination);
		end->destination = NULL;
		end->bytes += frame->payload_bytes;
	}
	wire_called(end, WIRE_RECEIVED);
}

static inline void wire_room(void *context, struct pccl_stream *stream)
{
	(void)stream;
	wire_called(context, WIRE_ROOM);
}

static inline void wire_sent(void *context, struct pccl_stream *stream, void *token)
{
	struct wire_end *end = context;

	(void)stream;
	assert_in_range((uintptr_t)token, 1, WIRE_TOKENS - 1);
	end->completions[(uintptr_t)token]++;
	assert_int_equal(end->completions[(uintptr_t)token], 1);
	wire_called(end, WIRE_SENT);
}

static inline void wire_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct wire_end *end = context;

	(void)stream;
	strncpy(end->reason, reason, sizeof(end->reason) - 1);
	wire_called(end, WIRE_BROKEN);
}

static const struct pccl_stream_events wire_events = {
	.opened = wire_opened,
	.header = wire_header,
	.received = wire_received,
	.room = wire_room,
	.sent = wire_sent,
	.broken = wire_broken,
};

static inline void wire_accepted(void *context, struct pccl_stream *stream)
{
	struct wire *wire = context;

	assert_null(wire->acceptor.stream);
	wire->acceptor.stream = stream;
	assert_int_equal(wire->kind->transport->attach(stream, wire->loop, &wire_events, &wire->acceptor), pcclSuccess);
}

/* ---- turning ------------------------------------------------------------------------------------------------- */

/* Turns the loop until the condition holds; fails the test if it doesn't within a few seconds. */
#define WIRE_UNTIL(wire, condition)                                               \
	do {                                                                      \
		uint64_t wire_end_ns = pccl_clock_ns() + wire_patience_ns;        \
		while (!(condition) && pccl_clock_ns() < wire_end_ns)             \
			pccl_loop_turn((wire)->loop, pccl_clock_ns() + 50000000); \
		assert_true(condition);                                           \
	} while (0)

/* Turns it while anything happens, at least this often. */
static inline void wire_settle(struct wire *wire)
{
	int i;

	for (i = 0; i < 60; i++)
		pccl_loop_turn(wire->loop, i < 50 ? 0 : pccl_clock_ns() + 1000000);
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

static inline void wire_listen(struct wire *wire, const struct wire_kind *kind)
{
	struct pccl_address address;
	uint16_t port;

	memset(wire, 0, sizeof(*wire));
	wire->kind = kind;
	wire->dialer.transport = wire->acceptor.transport = kind->transport;
	assert_int_equal(pccl_loop_create(&wire->loop), pcclSuccess);
	assert_int_equal(pccl_address_numeric(kind->host, 0, &address), pcclSuccess);
	assert_int_equal(kind->transport->listen(kind->transport, wire->loop, &address, wire_accepted, wire,
						 &wire->listener, &port),
			 pcclSuccess);
	wire->address = address;
	pccl_address_set_port(&wire->address, port);
}

static inline void wire_dial(struct wire *wire)
{
	const struct pccl_transport *dials = wire->kind->dials != NULL ? wire->kind->dials : wire->kind->transport;

	assert_int_equal(
		dials->dial(dials, wire->loop, &wire->address, NULL, &wire_events, &wire->dialer, &wire->dialer.stream),
		pcclSuccess);
}

/* Its handshake, if the wire has one, is done. */
static inline bool wire_is_up(const struct wire_end *end)
{
	struct pccl_stream_counters counters = {0};

	if (end->stream != NULL)
		end->transport->count(end->stream, &counters);
	return counters.heard_ns != 0;
}

static inline void wire_open(struct wire *wire, const struct wire_kind *kind)
{
	wire_listen(wire, kind);
	wire_dial(wire);
	WIRE_UNTIL(wire, wire->dialer.calls[WIRE_OPENED] == 1 && wire_is_up(&wire->acceptor));
}

static inline void wire_destroy(struct wire *wire)
{
	wire_close(&wire->dialer, false);
	wire_close(&wire->acceptor, false);
	wire->kind->transport->close_listener(wire->listener);
	pccl_loop_destroy(wire->loop);
}

/* Sends frame `sequence` with the token of the same number plus one. */
static inline bool wire_send(struct wire_end *end, uint32_t sequence, const uint8_t *payload, size_t bytes)
{
	struct pccl_frame frame = {.type = PCCL_FRAME_PARTIAL};

	frame.sequence = sequence;
	frame.payload_bytes = (uint32_t)bytes;
	frame.tag = (uint64_t)sequence << 32 | 7;
	return end->transport->send(end->stream, &frame, payload, (void *)(uintptr_t)(sequence + 1));
}

static inline uint32_t wire_completions(const struct wire_end *end)
{
	uint32_t count = 0;
	size_t i;

	for (i = 0; i < WIRE_TOKENS; i++)
		count += end->completions[i];
	return count;
}

/* ---- which way ----------------------------------------------------------------------------------------------- */

/* A frame each way between these two, and what both ends say they went by. */
static inline void wire_try(const struct pccl_transport *dials, const struct pccl_transport *listens, const char *host,
			    char ways_out[2][PCCL_STREAM_DESCRIBE_BYTES])
{
	static struct wire wire;
	struct wire_kind kind = {listens, host, NULL};
	struct wire_kind other = {dials, host, NULL};
	uint8_t *payload = wire_payload(70000, 0);

	wire_listen(&wire, &kind);
	wire.kind = &other;
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_OPENED] == 1 && wire.acceptor.stream != NULL);
	assert_true(wire_send(&wire.dialer, 0, payload, 70000));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_RECEIVED] == 1);
	assert_true(wire_send(&wire.acceptor, 0, payload, 70000));
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_RECEIVED] == 1);
	dials->describe(wire.dialer.stream, ways_out[0], PCCL_STREAM_DESCRIBE_BYTES);
	listens->describe(wire.acceptor.stream, ways_out[1], PCCL_STREAM_DESCRIBE_BYTES);
	wire_destroy(&wire);
	free(payload);
}

static inline void wire_check_ways(char ways[2][PCCL_STREAM_DESCRIBE_BYTES], const char *way)
{
	assert_memory_equal(ways[0], way, strlen(way));
	assert_memory_equal(ways[1], way, strlen(way));
}

#endif
