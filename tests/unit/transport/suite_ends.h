/* Of the transport suite: how streams end, and how they change hands. */
#ifndef PCCL_TESTS_TRANSPORT_SUITE_ENDS_H
#define PCCL_TESTS_TRANSPORT_SUITE_ENDS_H

#include <pthread.h>

#include "unit/transport/suite_frames.h"
#include "unit/transport/wire.h"

/* ---- ends ---------------------------------------------------------------------------------------------------- */

static void close_completes_what_is_queued(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(MIB / 4, 0);
	uint32_t sent;

	wire_open(&wire, *state);
	wire.acceptor.verdict = PCCL_FRAME_HOLD;
	sent = stuff(&wire, payload, MIB / 4);
	assert_true(wire_completions(&wire.dialer) < sent);
	wire_close(&wire.dialer, false);
	free(payload);
	assert_int_equal(wire_completions(&wire.dialer), sent);
	wire_destroy(&wire);
}

/* More than the kernel takes at once. A wire that passes on little at a time says less, or a sanitizer makes it too
 * slow for what a close waits for. */
#if defined(__SANITIZE_THREAD__)
static uint32_t suite_large_bytes = 2u << 20;
#else
static uint32_t suite_large_bytes = PCCL_FRAME_PAYLOAD_MAX;
#endif

static void flushing_close_delivers_what_is_queued(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(suite_large_bytes, 0);
	uint8_t *small[3];
	uint32_t i;

	wire_open(&wire, *state);
	wire.acceptor.verdict = PCCL_FRAME_HOLD;
	for (i = 0; i < 3; i++)
		small[i] = wire_payload(100, i);
	for (i = 0; i < 3; i++)
		assert_true(wire_send(&wire.dialer, i, small[i], 100));
	wire_fill(payload, suite_large_bytes, 3);
	assert_true(wire_send(&wire.dialer, 3, payload, suite_large_bytes));
	wire_settle(&wire);
	wire_close(&wire.dialer, true);
	assert_int_equal(wire_completions(&wire.dialer), 4);
	free(payload);
	for (i = 0; i < 3; i++)
		free(small[i]);
	wire.acceptor.verdict = PCCL_FRAME_TAKE;
	wire.acceptor.transport->resume(wire.acceptor.stream);
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire.acceptor.next, 4);
	assert_non_null(strstr(wire.acceptor.reason, "closed by"));
	wire_destroy(&wire);
}

static void last_words_are_heard_though_answers_can_not_be_sent(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(64, 0);
	uint32_t i;

	wire_open(&wire, *state);
	for (i = 0; i < 8; i++)
		assert_true(wire_send(&wire.dialer, i, NULL, 0));
	wire_close(&wire.dialer, true);
	for (i = 0; i < 20; i++)
		assert_true(wire_send(&wire.acceptor, i, payload, 64));
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_BROKEN] == 1);
	assert_int_equal(wire.acceptor.next, 8);
	assert_int_equal(wire_completions(&wire.acceptor), 20);
	assert_false(wire_send(&wire.acceptor, 30, NULL, 0));
	wire_destroy(&wire);
	free(payload);
}

static void lingering_stream_is_abandoned_with_its_loop(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(PCCL_FRAME_PAYLOAD_MAX, 0);

	wire_open(&wire, *state);
	wire.acceptor.verdict = PCCL_FRAME_HOLD;
	assert_true(wire_send(&wire.dialer, 0, payload, PCCL_FRAME_PAYLOAD_MAX));
	wire_close(&wire.dialer, true);
	free(payload);
	wire_settle(&wire);
	wire_destroy(&wire);
}

static void dialing_where_nobody_listens_breaks_with_the_address(void **state)
{
	static struct wire wire;
	char address[PCCL_ADDRESS_PORT_BYTES];

	wire_open(&wire, *state);
	wire_close(&wire.dialer, false);
	wire_close(&wire.acceptor, false);
	wire.kind->transport->close_listener(wire.listener);
	wire_dial(&wire);
	assert_int_equal(wire.dialer.calls[WIRE_BROKEN], 0);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	pccl_address_text_port(&wire.address, address);
	assert_non_null(strstr(wire.dialer.reason, address));
	wire_close(&wire.dialer, true);
	pccl_loop_destroy(wire.loop);
}

/* ---- closing inside callbacks -------------------------------------------------------------------------------- */

/* Traffic both ways until the end that is to close has closed; then nothing may be heard any more. */
static void close_inside(const struct wire_kind *kind, enum wire_call call, bool flush)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(MIB / 4, 0);
	uint32_t calls[2];

	wire_listen(&wire, kind);
	wire.dialer.close_at = call;
	wire.dialer.close_flush = flush;
	wire.acceptor.discard_below = UINT32_MAX;
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire_is_up(&wire.acceptor) && wire.dialer.calls[WIRE_OPENED] == 1);
	if (wire.dialer.stream != NULL) {
		uint32_t sequence = 0;

		while (wire_send(&wire.dialer, sequence, payload, MIB / 4))
			sequence++;
		assert_true(wire_send(&wire.acceptor, 0, payload, MIB / 4));
		if (call == WIRE_BROKEN)
			wire_close(&wire.acceptor, false);
	}
	WIRE_UNTIL(&wire, wire.dialer.calls[call] >= 1);
	calls[0] = wire.dialer.calls[WIRE_HEADER];
	calls[1] = wire.dialer.calls[WIRE_ROOM];
	wire_settle(&wire);
	assert_int_equal(wire.dialer.calls[WIRE_HEADER], calls[0]);
	assert_int_equal(wire.dialer.calls[WIRE_ROOM], calls[1]);
	assert_null(wire.dialer.stream);
	if (call != WIRE_BROKEN)
		assert_int_equal(wire.dialer.calls[WIRE_BROKEN], 0);
	wire_destroy(&wire);
	free(payload);
}

static void stream_may_be_closed_inside_any_callback(void **state)
{
	int call;

	for (call = WIRE_OPENED; call <= WIRE_BROKEN; call++) {
		close_inside(*state, call, false);
		close_inside(*state, call, true);
	}
}

struct one_guest {
	struct wire *wire;
	uint32_t count;
};

static void close_the_door(void *context, struct pccl_stream *stream)
{
	struct one_guest *guest = context;

	guest->count++;
	guest->wire->kind->transport->close(stream, false);
	guest->wire->kind->transport->close_listener(guest->wire->listener);
	guest->wire->listener = NULL;
}

static void listener_may_be_closed_inside_accepted(void **state)
{
	static struct wire wire;
	struct one_guest guest = {&wire, 0};
	struct pccl_address address;
	uint16_t port;

	wire_listen(&wire, *state);
	wire.kind->transport->close_listener(wire.listener);
	assert_int_equal(pccl_address_numeric(wire.kind->host, 0, &address), pcclSuccess);
	assert_int_equal(wire.kind->transport->listen(wire.kind->transport, wire.loop, &address, close_the_door, &guest,
						      &wire.listener, &port),
			 pcclSuccess);
	pccl_address_set_port(&wire.address, port);
	wire_dial(&wire);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_BROKEN] == 1);
	assert_int_equal(guest.count, 1);
	wire_close(&wire.dialer, false);
	pccl_loop_destroy(wire.loop);
}

/* ---- changing hands ------------------------------------------------------------------------------------------ */

/* The acceptor detaches inside the first received(); another thread's loop takes the stream over. */
struct relay {
	struct wire wire;
	struct pccl_loop *second_loop;
	struct wire_end second;
	struct pccl_task task;
	struct pccl_stream *stream;
	uint32_t frames;
};

static void on_second_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct relay *relay = context;

	wire_received(&relay->second, stream, frame);
	if (relay->second.next == relay->frames)
		pccl_loop_stop(relay->second_loop);
}

static enum pccl_frame_verdict on_second_header(void *context, struct pccl_stream *stream,
						const struct pccl_frame *frame, void **destination_out)
{
	return wire_header(&((struct relay *)context)->second, stream, frame, destination_out);
}

static void on_second_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct relay *relay = context;

	wire_broken(&relay->second, stream, reason);
	pccl_loop_stop(relay->second_loop);
}

static const struct pccl_stream_events second_events = {
	.header = on_second_header,
	.received = on_second_received,
	.broken = on_second_broken,
};

static void take_over(struct pccl_task *task)
{
	struct relay *relay = task->context;

	relay->second.stream = relay->stream;
	assert_int_equal(relay->wire.kind->transport->attach(relay->stream, relay->second_loop, &second_events, relay),
			 pcclSuccess);
}

static void hand_over(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct relay *relay = context;

	assert_int_equal(frame->sequence, 0);
	free(relay->wire.acceptor.destination);
	relay->wire.acceptor.destination = NULL;
	relay->wire.kind->transport->detach(stream);
	relay->stream = stream;
	pccl_loop_post(relay->second_loop, &relay->task);
}

static enum pccl_frame_verdict on_first_header(void *context, struct pccl_stream *stream,
					       const struct pccl_frame *frame, void **destination_out)
{
	struct relay *relay = context;

	relay->wire.acceptor.stream = stream;
	return wire_header(&relay->wire.acceptor, stream, frame, destination_out);
}

static const struct pccl_stream_events first_events = {.header = on_first_header, .received = hand_over};

static void accept_for_relay(void *context, struct pccl_stream *stream)
{
	struct relay *relay = context;

	assert_int_equal(relay->wire.kind->transport->attach(stream, relay->wire.loop, &first_events, relay),
			 pcclSuccess);
}

static void *run_loop(void *argument)
{
	pccl_loop_run(argument);
	return NULL;
}

static void start_relay(struct relay *relay, const struct wire_kind *kind)
{
	struct pccl_address address;
	uint16_t port;

	memset(relay, 0, sizeof(*relay));
	wire_listen(&relay->wire, kind);
	kind->transport->close_listener(relay->wire.listener);
	assert_int_equal(pccl_address_numeric(kind->host, 0, &address), pcclSuccess);
	assert_int_equal(kind->transport->listen(kind->transport, relay->wire.loop, &address, accept_for_relay, relay,
						 &relay->wire.listener, &port),
			 pcclSuccess);
	pccl_address_set_port(&relay->wire.address, port);
	assert_int_equal(pccl_loop_create(&relay->second_loop), pcclSuccess);
	relay->second.transport = kind->transport;
	relay->task.run = take_over;
	relay->task.context = relay;
}

static void pass_on(const struct wire_kind *kind, uint32_t count)
{
	static struct relay relay;
	uint8_t *payloads[20];
	pthread_t thread;
	uint32_t i;

	start_relay(&relay, kind);
	relay.frames = count;
	relay.second.next = 1;
	assert_int_equal(pthread_create(&thread, NULL, run_loop, relay.second_loop), 0);
	wire_dial(&relay.wire);
	WIRE_UNTIL(&relay.wire, relay.wire.dialer.calls[WIRE_OPENED] == 1);
	for (i = 0; i < count; i++) {
		payloads[i] = wire_payload(i * 100, i);
		assert_true(wire_send(&relay.wire.dialer, i, payloads[i], i * 100));
	}
	WIRE_UNTIL(&relay.wire, wire_completions(&relay.wire.dialer) == count);
	WIRE_UNTIL(&relay.wire, relay.wire.acceptor.calls[WIRE_HEADER] == 1);
	pthread_join(thread, NULL);
	assert_int_equal(relay.second.next, count);
	assert_int_equal(relay.second.calls[WIRE_RECEIVED], count - 1);
	wire_close(&relay.second, false);
	relay.wire.acceptor.stream = NULL;
	pccl_loop_destroy(relay.second_loop);
	wire_destroy(&relay.wire);
	for (i = 0; i < count; i++)
		free(payloads[i]);
}

static void stream_changes_loop_and_thread_between_two_frames(void **state)
{
	pass_on(*state, 2); /* what follows has been read already, and nothing else comes */
	pass_on(*state, 20);
}

static uint64_t acked(const struct wire *wire)
{
	struct pccl_stream_counters counters;

	wire->kind->transport->count(wire->dialer.stream, &counters);
	return counters.acked_bytes;
}

static void streams_tell_who_they_are_and_what_they_moved(void **state)
{
	static struct wire wire;
	struct pccl_address near, far, near_again, far_again;
	struct pccl_stream_counters counters;
	char text[PCCL_STREAM_DESCRIBE_BYTES];
	char host[PCCL_ADDRESS_BYTES];
	uint8_t *payload = wire_payload(1000, 0);

	wire_open(&wire, *state);
	assert_true(wire_send(&wire.dialer, 0, payload, 1000));
	WIRE_UNTIL(&wire, wire.acceptor.next == 1);
	wire.kind->transport->count(wire.acceptor.stream, &counters);
	assert_int_equal(counters.received_bytes, 1000 + PCCL_FRAME_BYTES);
	assert_true(counters.heard_ns > 0 && counters.heard_ns <= pccl_clock_ns());
	WIRE_UNTIL(&wire, acked(&wire) == 1000 + PCCL_FRAME_BYTES);
	wire.kind->transport->count(wire.dialer.stream, &counters);
	assert_int_equal(counters.sent_bytes, 1000 + PCCL_FRAME_BYTES);
	assert_true(counters.acked_ns > 0 && counters.acked_ns <= pccl_clock_ns());
	assert_true(counters.network_ns < pccl_clock_ns());
	wire.kind->transport->describe(wire.dialer.stream, text, sizeof(text));
	wire.kind->transport->remote(wire.dialer.stream, host);
	assert_string_equal(host, wire.kind->host);
	assert_true(wire.kind->transport->ends(wire.dialer.stream, &near, &far));
	assert_true(wire.kind->transport->ends(wire.acceptor.stream, &far_again, &near_again));
	assert_true(pccl_address_equal(&near, &near_again) && pccl_address_equal(&far, &far_again));
	assert_non_null(strstr(text, host));
	assert_non_null(strstr(text, wire.kind->transport->name));
	wire_destroy(&wire);
	free(payload);
}

#endif
