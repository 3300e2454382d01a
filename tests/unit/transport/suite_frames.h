/* Of the transport suite: frames, back-pressure, taking back. */
#ifndef PCCL_TESTS_TRANSPORT_SUITE_FRAMES_H
#define PCCL_TESTS_TRANSPORT_SUITE_FRAMES_H

#include "unit/transport/wire.h"

#define MIB (1u << 20)

/* ---- frames -------------------------------------------------------------------------------------------------- */

#define TRAFFIC_FRAMES 300u

/* One direction of traffic: frames of random sizes, sent as room allows. */
struct traffic {
	struct wire_end *from;
	uint8_t *payloads[TRAFFIC_FRAMES];
	size_t bytes[TRAFFIC_FRAMES];
	uint32_t next;
};

static void make_traffic(struct traffic *traffic, struct wire_end *from, uint64_t seed)
{
	struct pccl_rng rng;
	uint32_t i;

	pccl_rng_seed(&rng, seed);
	traffic->from = from;
	traffic->next = 0;
	for (i = 0; i < TRAFFIC_FRAMES; i++) {
		uint64_t limit = pccl_rng_chance(&rng, 1, 10) ? MIB : pccl_rng_chance(&rng, 1, 3) ? 20000 : 200;

		traffic->bytes[i] = pccl_rng_chance(&rng, 1, 5) ? 0 : pccl_rng_below(&rng, limit + 1);
		traffic->payloads[i] = wire_payload(traffic->bytes[i], i);
	}
}

static void push_traffic(struct traffic *traffic)
{
	while (traffic->next < TRAFFIC_FRAMES &&
	       wire_send(traffic->from, traffic->next, traffic->payloads[traffic->next], traffic->bytes[traffic->next]))
		traffic->next++;
}

static void free_traffic(struct traffic *traffic)
{
	uint32_t i;

	for (i = 0; i < TRAFFIC_FRAMES; i++)
		free(traffic->payloads[i]);
}

static void frames_both_ways_arrive_in_order_intact_and_complete_once(void **state)
{
	static struct traffic there;
	static struct traffic back;
	static struct wire wire;
	uint64_t end_ns;

	wire_open(&wire, *state);
	make_traffic(&there, &wire.dialer, 1);
	make_traffic(&back, &wire.acceptor, 2);
	end_ns = pccl_clock_ns() + wire_patience_ns;
	while ((wire.acceptor.next < TRAFFIC_FRAMES || wire.dialer.next < TRAFFIC_FRAMES) && pccl_clock_ns() < end_ns) {
		push_traffic(&there);
		push_traffic(&back);
		pccl_loop_turn(wire.loop, end_ns);
	}
	assert_int_equal(wire.acceptor.calls[WIRE_RECEIVED], TRAFFIC_FRAMES);
	assert_int_equal(wire.dialer.calls[WIRE_RECEIVED], TRAFFIC_FRAMES);
	assert_int_equal(wire_completions(&wire.dialer), TRAFFIC_FRAMES);
	assert_int_equal(wire_completions(&wire.acceptor), TRAFFIC_FRAMES);
	wire_destroy(&wire);
	free_traffic(&there);
	free_traffic(&back);
}

static void frame_of_the_largest_size_arrives(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(PCCL_FRAME_PAYLOAD_MAX, 0);

	wire_open(&wire, *state);
	assert_true(wire_send(&wire.dialer, 0, payload, PCCL_FRAME_PAYLOAD_MAX));
	assert_false(wire_send(&wire.dialer, 1, payload, 1));
	WIRE_UNTIL(&wire, wire.acceptor.bytes == PCCL_FRAME_PAYLOAD_MAX);
	assert_int_equal(wire.dialer.calls[WIRE_ROOM], 1);
	wire_destroy(&wire);
	free(payload);
}

static void discarded_frames_leave_no_trace(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(MIB / 2, 3);
	uint8_t *small = wire_payload(10, 4);

	wire_open(&wire, *state);
	wire.acceptor.discard_below = 3;
	assert_true(wire_send(&wire.dialer, 0, payload, MIB / 2));
	assert_true(wire_send(&wire.dialer, 1, payload, 10));
	assert_true(wire_send(&wire.dialer, 2, NULL, 0));
	assert_true(wire_send(&wire.dialer, 3, payload, MIB / 2));
	assert_false(wire_send(&wire.dialer, 4, small, 10));
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_ROOM] == 1);
	assert_true(wire_send(&wire.dialer, 4, small, 10));
	WIRE_UNTIL(&wire, wire.acceptor.next == 5);
	assert_int_equal(wire.acceptor.calls[WIRE_RECEIVED], 2);
	wire_destroy(&wire);
	free(payload);
	free(small);
}

/* ---- back-pressure ------------------------------------------------------------------------------------------- */

/* Sends until nothing more is taken, though the loop turns. Returns the number of frames. */
static uint32_t stuff(struct wire *wire, const uint8_t *payload, size_t bytes)
{
	uint32_t sequence = 0;
	uint32_t turns = 0;

	while (turns < 100) {
		turns++;
		while (sequence < 2000 && wire_send(&wire->dialer, sequence, payload, bytes)) {
			sequence++;
			turns = 0;
		}
		pccl_loop_turn(wire->loop, 0);
	}
	return sequence;
}

static void held_stream_pushes_back_and_goes_on_after_resume(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(MIB / 4, 0);
	uint32_t sent;

	wire_open(&wire, *state);
	wire.acceptor.verdict = PCCL_FRAME_HOLD;
	sent = stuff(&wire, payload, MIB / 4);
	assert_in_range(sent, 4, 400); /* bounded: the queue's MiB and what the kernel buffers */
	WIRE_UNTIL(&wire, wire.acceptor.calls[WIRE_HEADER] >= 1); /* a device takes the time it takes */
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 1);
	wire.acceptor.transport->resume(wire.acceptor.stream);
	wire_settle(&wire);
	assert_int_equal(wire.acceptor.calls[WIRE_HEADER], 2); /* asked again, held again */
	wire.acceptor.verdict = PCCL_FRAME_TAKE;
	wire.acceptor.discard_below = sent;
	wire.acceptor.transport->resume(wire.acceptor.stream);
	WIRE_UNTIL(&wire, wire.acceptor.next == sent);
	assert_true(wire.dialer.calls[WIRE_ROOM] >= 1);
	WIRE_UNTIL(&wire, wire_completions(&wire.dialer) == sent); /* the last header is there before its payload */
	wire_destroy(&wire);
	free(payload);
}

static void refused_small_frames_get_room(void **state)
{
	static struct wire wire;
	uint32_t sequence = 0;

	wire_open(&wire, *state);
	while (wire_send(&wire.dialer, sequence, NULL, 0))
		sequence++;
	assert_true(sequence >= 16);
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_ROOM] == 1);
	assert_true(wire_send(&wire.dialer, sequence, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.next == sequence + 1);
	wire_destroy(&wire);
}

static void nothing_is_taken_before_the_stream_is_open(void **state)
{
	static struct wire wire;

	wire_listen(&wire, *state);
	wire_dial(&wire);
	assert_false(wire_send(&wire.dialer, 0, NULL, 0));
	WIRE_UNTIL(&wire, wire.dialer.calls[WIRE_OPENED] == 1);
	assert_true(wire_send(&wire.dialer, 0, NULL, 0));
	WIRE_UNTIL(&wire, wire.acceptor.next == 1);
	wire_destroy(&wire);
}

/* ---- taking back --------------------------------------------------------------------------------------------- */

static bool replace_any(void *context, void *token, struct pccl_frame *frame)
{
	(void)context;
	(void)token;
	memset(frame, 0, sizeof(*frame));
	frame->type = PCCL_FRAME_ACK;
	frame->aux = WIRE_REPLACEMENT;
	return true;
}

static bool replace_token(void *context, void *token, struct pccl_frame *frame)
{
	return context == token && replace_any(context, token, frame);
}

static void forgotten_frames_are_replaced_before_anything_is_sent(void **state)
{
	static struct wire wire;
	uint8_t *payloads[3];
	uint32_t i;

	wire_open(&wire, *state);
	for (i = 0; i < 3; i++) {
		payloads[i] = wire_payload(1000, i);
		assert_true(wire_send(&wire.dialer, i, payloads[i], 1000));
	}
	wire.dialer.transport->forget(wire.dialer.stream, replace_token, (void *)2);
	free(payloads[1]);
	assert_int_equal(wire_completions(&wire.dialer), 1);
	WIRE_UNTIL(&wire, wire.acceptor.next == 3);
	assert_int_equal(wire.acceptor.replacements, 1);
	assert_int_equal(wire.acceptor.bytes, 2000);
	assert_int_equal(wire_completions(&wire.dialer), 3);
	wire_destroy(&wire);
	free(payloads[0]);
	free(payloads[2]);
}

static void half_sent_frame_is_finished_after_its_payload_is_gone(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(PCCL_FRAME_PAYLOAD_MAX, 0);
	uint8_t *after = wire_payload(5000, 1);

	wire_open(&wire, *state);
	wire.acceptor.verdict = PCCL_FRAME_HOLD;
	assert_true(wire_send(&wire.dialer, 0, payload, PCCL_FRAME_PAYLOAD_MAX));
	wire_settle(&wire);
	assert_int_equal(wire_completions(&wire.dialer), 0); /* else it was not half sent */
	wire.dialer.transport->forget(wire.dialer.stream, replace_any, NULL);
	assert_int_equal(wire_completions(&wire.dialer), 1);
	memset(payload, 0, PCCL_FRAME_PAYLOAD_MAX);
	free(payload);
	wire.acceptor.verdict = PCCL_FRAME_TAKE;
	wire.acceptor.transport->resume(wire.acceptor.stream);
	WIRE_UNTIL(&wire, wire.acceptor.next == 1);
	assert_true(wire_send(&wire.dialer, 1, after, 5000));
	WIRE_UNTIL(&wire, wire.acceptor.next == 2);
	assert_int_equal(wire.acceptor.replacements, 0);
	wire_destroy(&wire);
	free(after);
}

static void diverted_payload_goes_to_the_bin(void **state)
{
	static struct wire wire;
	uint8_t *payload = wire_payload(PCCL_FRAME_PAYLOAD_MAX, 0);
	struct pccl_frame frame;

	wire_open(&wire, *state);
	assert_false(wire.acceptor.transport->divert(wire.acceptor.stream, &frame));
	assert_true(wire_send(&wire.dialer, 0, payload, PCCL_FRAME_PAYLOAD_MAX));
	WIRE_UNTIL(&wire, wire.acceptor.destination != NULL);
	assert_true(wire.acceptor.transport->divert(wire.acceptor.stream, &frame));
	assert_int_equal(frame.payload_bytes, PCCL_FRAME_PAYLOAD_MAX);
	free(wire.acceptor.destination);
	wire.acceptor.destination = NULL;
	assert_false(wire.acceptor.transport->divert(wire.acceptor.stream, &frame));
	WIRE_UNTIL(&wire, wire_completions(&wire.dialer) == 1);
	wire_fill(payload, 100, 1);
	assert_true(wire_send(&wire.dialer, 1, payload, 100));
	WIRE_UNTIL(&wire, wire.acceptor.next == 2);
	assert_int_equal(wire.acceptor.calls[WIRE_RECEIVED], 1);
	wire_destroy(&wire);
	free(payload);
}

#endif
