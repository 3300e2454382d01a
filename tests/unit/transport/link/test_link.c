/* Links: exactly-once delivery over streams that break, holding, taking back. */
#include "unit/transport/rope.h"

#include "base/fail.h"

#define MIB (1u << 20)

static struct rope rope;

static bool all_done(void)
{
	return rope.waiter.received_count == rope.dialer.frame_count &&
	       rope.dialer.received_count == rope.waiter.frame_count &&
	       rope.dialer.acked_count == rope.dialer.frame_count && rope.waiter.acked_count == rope.waiter.frame_count;
}

/* ---- delivery ------------------------------------------------------------------------------------------------ */

static void deliver_everything(uint16_t streams, uint64_t cut_bytes, uint32_t count, uint32_t bytes_most)
{
	rope_open(&rope, streams);
	rope.cutter.most_bytes = cut_bytes;
	rope_load(&rope.dialer, count, bytes_most, 1);
	rope_load(&rope.waiter, count, bytes_most, 2);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, all_done());
	rope_check(&rope.dialer, &rope.waiter);
	rope_check(&rope.waiter, &rope.dialer);
	assert_int_equal(rope.dialer.up_count, 1);
	assert_int_equal(rope.waiter.up_count, 1);
	assert_int_equal(rope.dialer.lost_count + rope.waiter.lost_count, 0);
	assert_int_equal(rope_unacked(&rope.dialer), 0);
}

static void frames_arrive_in_order_over_one_stream(void **state)
{
	(void)state;
	deliver_everything(1, 0, ROPE_FRAMES, 20000);
	assert_int_equal(rope.arrived_count, 1);
	rope_close(&rope);
}

static void frames_arrive_once_over_four_streams(void **state)
{
	(void)state;
	deliver_everything(4, 0, ROPE_FRAMES, 20000);
	assert_int_equal(rope.arrived_count, 4);
	rope_close(&rope);
}

/* How fast the network is, as the lanes see it: all streams of a link together. */
static void what_streams_count_is_added_up(void **state)
{
	struct pccl_stream_counters sums = {.acked_bytes = 1000};

	(void)state;
	deliver_everything(4, 0, 1000, ROPE_BYTES_MOST);
	pccl_link_pace(rope.dialer.link, &sums);
	assert_in_range(sums.acked_bytes, 1001, 1ull << 40);
	assert_in_range(sums.network_ns, 0, 3600 * UINT64_C(1000000000));
	assert_in_range(sums.bytes_per_second, 0, 1ull << 50);
	rope_close(&rope);
}

static void frames_arrive_once_and_in_order_over_a_stream_that_keeps_breaking(void **state)
{
	(void)state;
	deliver_everything(1, 2 * MIB, 1000, ROPE_BYTES_MOST);
	assert_true(rope.cutter.cuts >= 5);
	assert_true(rope.dialer.dropped_count + rope.waiter.dropped_count > 0);
	rope_close(&rope);
}

static void frames_arrive_once_over_streams_that_keep_breaking(void **state)
{
	(void)state;
	deliver_everything(3, MIB, 1000, 100000);
	assert_true(rope.cutter.cuts >= 10);
	rope_close(&rope);
}

static void small_frames_survive_cuts_in_headers_and_handshakes(void **state)
{
	(void)state;
	deliver_everything(2, 3000, 600, 300);
	assert_true(rope.cutter.cuts >= 50);
	rope_close(&rope);
}

static void discarded_frames_count_when_a_stream_breaks(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope.cutter.most_bytes = MIB;
	rope.waiter.discard_from = 0;
	rope_load(&rope.dialer, 500, ROPE_BYTES_MOST, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 500);
	rope_check(&rope.dialer, &rope.waiter);
	assert_true(rope.cutter.cuts >= 3);
	rope_close(&rope);
}

/* The thread comes back from the dial when the time is over: the neighbour has not been asked yet. */
static void who_says_hello_late_waits_for_an_answer(void **state)
{
	uint64_t deadline_ns;

	(void)state;
	rope_open(&rope, 1);
	rope.dialer.config.places[0].address = rope.cutter.target;
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	rope.waiter.hold = true;
	rope_load(&rope.dialer, 1, 1000, 2);
	deadline_ns = pccl_clock_ns() + 250000000u;
	pccl_link_renew(rope.dialer.link, deadline_ns);
	pccl_loop_turn(rope.loop, 0);
	while (pccl_clock_ns() < deadline_ns)
		;
	rope.waiter.hold = false;
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 11);
	assert_int_equal(rope.dialer.lost_count, 0);
	rope_close(&rope);
}

/* Where frames take long to make, others are heard in between. */
static void turn_pulls_few_frames_that_take_long(void **state)
{
	uint32_t before;

	(void)state;
	rope_open(&rope, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1 && rope.waiter.up_count == 1);
	rope.dialer.packs_ns = 6000000;
	rope_load(&rope.dialer, 12, 1000, 1);
	assert_in_range(rope.dialer.next, 0, 2);
	while (rope.dialer.next < 12) {
		before = rope.dialer.next;
		pccl_loop_turn(rope.loop, pccl_clock_ns() + 1000000000u);
		assert_in_range(rope.dialer.next, before + 1, before + 2);
	}
	ROPE_UNTIL(&rope, all_done());
	rope_close(&rope);
}

/* What was pulled may have changed other things, and nobody looks at those if the link does not say so. */
static void link_that_pulls_by_itself_says_so(void **state)
{
	uint32_t before;

	(void)state;
	rope_open(&rope, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1 && rope.waiter.up_count == 1);
	before = rope.dialer.pulled_count;
	rope_load(&rope.dialer, 1, 100, 1);
	assert_int_equal(rope.dialer.next, 1);
	assert_int_equal(rope.dialer.pulled_count, before); /* who kicks looks itself */
	rope_load(&rope.dialer, 499, ROPE_BYTES_MOST, 1);   /* more than there is room for */
	assert_in_range(rope.dialer.next, 1, 499);
	ROPE_UNTIL(&rope, rope.dialer.next == 500);
	assert_true(rope.dialer.pulled_count > before);
	rope_close(&rope);
}

/* One frame with a payload of its own, which is freed when it is acknowledged. */
struct heavy {
	uint8_t *payload;
	bool pulled;
};

static struct heavy heavy;

static bool next_heavy(void *context, struct pccl_link *link, struct pccl_frame_send *send_out)
{
	(void)context;
	(void)link;
	if (heavy.pulled)
		return false;
	heavy.pulled = true;
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = PCCL_FRAME_PARTIAL;
	send_out->frame.payload_bytes = PCCL_FRAME_PAYLOAD_MAX;
	send_out->payload = heavy.payload;
	send_out->token = &heavy;
	return true;
}

static void free_heavy(void *context, struct pccl_link *link, void *token)
{
	(void)context;
	(void)link;
	assert_ptr_equal(token, &heavy);
	free(heavy.payload);
	heavy.payload = NULL;
}

/* The receiver discards the frame at its header, and says so with frames of its own while the payload is still on its
 * way: the sender must not let go of it before it is all sent. */
static void frame_that_is_acknowledged_early_stays_until_it_is_sent(void **state)
{
	static struct pccl_link_events heavy_events;

	(void)state;
	heavy_events = rope_events;
	heavy_events.next = next_heavy;
	heavy_events.acked = free_heavy;
	heavy.payload = calloc(1, PCCL_FRAME_PAYLOAD_MAX);
	heavy.pulled = false;
	rope_open(&rope, 1);
	rope.waiter.discard_from = 0;
	rope_load(&rope.waiter, 1000, 2000, 1);
	rope_tie(&rope.waiter);
	assert_int_equal(pccl_link_create(&rope.dialer.config, &heavy_events, &rope.dialer, &rope.dialer.link),
			 pcclSuccess);
	ROPE_UNTIL(&rope, heavy.payload == NULL);
	assert_int_equal(rope.waiter.received_count, 1);
	rope_close(&rope);
}

/* What it had said may come when its successor has called already, and has frames under way. */
static void link_that_is_gone_is_not_taken_for_a_new_one(void **state)
{
	uint64_t first;

	(void)state;
	rope_open(&rope, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.waiter.up_count == 1 && rope.dialer.up_count == 1);
	first = rope.instance;
	rope_destroy_link(&rope.dialer);
	rope_tie(&rope.dialer);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 2);
	assert_true(rope.instance > first);
	rope_destroy_link(&rope.dialer);
	rope.instead = first;
	rope_tie(&rope.dialer);
	ROPE_UNTIL(&rope, rope.dialer.lost_count == 1);
	assert_non_null(strstr(rope.dialer.reason, "a later link of the caller's has called before"));
	assert_int_equal(rope.waiter.lost_count, 0);
	rope_close(&rope);
}

static void frames_of_one_way_traffic_are_acknowledged(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope_tie_both(&rope);
	rope_load(&rope.dialer, 1, 100, 1);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 1);
	rope_load(&rope.dialer, ROPE_FRAMES - 1, 100, 2); /* more than the log holds */
	ROPE_UNTIL(&rope, rope.dialer.acked_count == ROPE_FRAMES);
	rope_check(&rope.dialer, &rope.waiter);
	rope_close(&rope);
}

/* ---- hold ---------------------------------------------------------------------------------------------------- */

static void held_link_pulls_no_more_than_its_log_and_goes_on_after_resume(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope.waiter.hold = true;
	rope_load(&rope.dialer, ROPE_FRAMES, 10, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.next >= PCCL_LINK_LOG_FRAMES);
	rope_settle(&rope);
	assert_in_range(rope.dialer.next, PCCL_LINK_LOG_FRAMES, PCCL_LINK_LOG_FRAMES + 1);
	assert_int_equal(rope.waiter.received_count, 0);
	pccl_link_resume(rope.waiter.link);
	rope_settle(&rope);
	assert_int_equal(rope.waiter.received_count, 0);
	rope.waiter.hold = false;
	pccl_link_resume(rope.waiter.link);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == ROPE_FRAMES);
	rope_check(&rope.dialer, &rope.waiter);
	rope_close(&rope);
}

static void held_frame_stops_its_stream_only(void **state)
{
	(void)state;
	rope_open(&rope, 2);
	rope.waiter.hold_even = true;
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1);
	rope_load(&rope.dialer, 2, 100, 1); /* one for each stream */
	ROPE_UNTIL(&rope, rope.waiter.received[1] == 1);
	assert_int_equal(rope.waiter.received[0], 0);
	rope.waiter.hold_even = false;
	pccl_link_resume(rope.waiter.link);
	ROPE_UNTIL(&rope, rope.waiter.received_count == 2);
	rope_close(&rope);
}

static void held_stream_that_breaks_is_resumed(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope.waiter.hold = true;
	rope_load(&rope.dialer, 100, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1);
	rope_settle(&rope);
	cutter_cut_all(&rope.cutter);
	ROPE_UNTIL(&rope, rope.arrived_count == 2);
	rope.waiter.hold = false;
	pccl_link_resume(rope.waiter.link);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 100);
	rope_check(&rope.dialer, &rope.waiter);
	rope_close(&rope);
}

/* ---- taking back --------------------------------------------------------------------------------------------- */

static const char op_a = 'a';
static const char op_b = 'b';

static bool belongs_to_a(const void *cookie, const struct pccl_frame *frame)
{
	assert_ptr_equal(cookie, &op_a);
	return frame->segment < 200;
}

/* 200 large frames of one op, some of them under way, are taken back on both sides, payloads and all; 200 of another op
 * follow. */
static void forget_and_go_on(uint16_t streams, bool cut)
{
	uint8_t *pattern;
	uint32_t i;

	rope_open(&rope, streams);
	rope.dialer.in_order = rope.waiter.in_order = false;
	rope.waiter.hold = true;
	rope.dialer.cookie = &op_a;
	rope_load(&rope.dialer, 200, ROPE_BYTES_MOST, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1);
	rope_settle(&rope);
	rope.waiter.hold = false;
	pccl_link_resume(rope.waiter.link);
	ROPE_UNTIL(&rope, rope.waiter.received_count >= 20);
	assert_true(rope.dialer.next < 200 || rope.dialer.acked_count < 200);
	pccl_link_forget(rope.dialer.link, &op_a, belongs_to_a);
	pccl_link_forget(rope.waiter.link, &op_a, belongs_to_a);
	/* The payloads go; a carrier that still looked would send something else. */
	pattern = malloc(ROPE_PATTERN_BYTES);
	memcpy(pattern, rope.pattern, ROPE_PATTERN_BYTES);
	free(rope.pattern);
	rope.pattern = pattern;
	for (i = 0; i < 200; i++)
		rope.dialer.acked[i] = 0; /* and nobody tells of these any more */
	rope.dialer.acked_count = 0;
	rope.waiter.reserved_count = 0;
	memset(rope.waiter.slot_frame, 0, sizeof(rope.waiter.slot_frame));
	rope.dialer.next = 200;
	rope.dialer.cookie = &op_b;
	rope_load(&rope.dialer, 200, ROPE_BYTES_MOST, 2);
	if (cut)
		cutter_cut_all(&rope.cutter);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 200);
	for (i = 0; i < 400; i++) {
		assert_int_equal(rope.dialer.acked[i], i < 200 ? 0 : 1);
		assert_in_range(rope.waiter.received[i], i < 200 ? 0 : 1, 1);
	}
	assert_int_equal(rope_unacked(&rope.dialer), 0);
	rope_close(&rope);
}

static void forgotten_op_leaves_the_streams_usable(void **state)
{
	(void)state;
	forget_and_go_on(1, false);
	forget_and_go_on(3, false);
}

static void forgotten_frames_are_counted_over_a_redial(void **state)
{
	(void)state;
	forget_and_go_on(1, true);
	forget_and_go_on(3, true);
}

static void op_is_forgotten_while_the_link_is_down(void **state)
{
	uint32_t i;

	(void)state;
	rope_open(&rope, 1);
	rope.dialer.in_order = rope.waiter.in_order = false;
	rope.waiter.hold = true;
	rope.dialer.cookie = &op_a;
	rope_load(&rope.dialer, 30, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.next == 30);
	rope_settle(&rope);
	cutter_cut_all(&rope.cutter);
	pccl_link_forget(rope.dialer.link, &op_a, belongs_to_a);
	rope.waiter.hold = false;
	rope.dialer.cookie = &op_b;
	rope_load(&rope.dialer, 30, 1000, 2);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 30);
	for (i = 0; i < 60; i++)
		assert_int_equal(rope.waiter.received[i], i < 30 ? 0 : 1);
	rope_close(&rope);
}

/* By who has the link still. The other side's is new: what was a call to an earlier one does it no harm. */
static void neighbour_that_forgot_the_link_is_noticed(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_load(&rope.waiter, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, all_done());
	rope_destroy_link(&rope.waiter);
	rope.waiter.frame_count = 0;
	rope_tie(&rope.waiter);
	ROPE_UNTIL(&rope, rope.dialer.lost_count == 1);
	assert_non_null(strstr(rope.dialer.reason, "never sent"));
	rope_destroy_link(&rope.dialer);
	rope_tie(&rope.dialer);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 2 && rope.waiter.up_count == 2);
	assert_int_equal(rope.waiter.lost_count, 0);
	rope_close(&rope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_arrive_in_order_over_one_stream),
		cmocka_unit_test(frames_arrive_once_over_four_streams),
		cmocka_unit_test(what_streams_count_is_added_up),
		cmocka_unit_test(frames_arrive_once_and_in_order_over_a_stream_that_keeps_breaking),
		cmocka_unit_test(frames_arrive_once_over_streams_that_keep_breaking),
		cmocka_unit_test(small_frames_survive_cuts_in_headers_and_handshakes),
		cmocka_unit_test(discarded_frames_count_when_a_stream_breaks),
		cmocka_unit_test(link_that_pulls_by_itself_says_so),
		cmocka_unit_test(who_says_hello_late_waits_for_an_answer),
		cmocka_unit_test(turn_pulls_few_frames_that_take_long),
		cmocka_unit_test(frame_that_is_acknowledged_early_stays_until_it_is_sent),
		cmocka_unit_test(link_that_is_gone_is_not_taken_for_a_new_one),
		cmocka_unit_test(frames_of_one_way_traffic_are_acknowledged),
		cmocka_unit_test(held_link_pulls_no_more_than_its_log_and_goes_on_after_resume),
		cmocka_unit_test(held_frame_stops_its_stream_only),
		cmocka_unit_test(held_stream_that_breaks_is_resumed),
		cmocka_unit_test(forgotten_op_leaves_the_streams_usable),
		cmocka_unit_test(forgotten_frames_are_counted_over_a_redial),
		cmocka_unit_test(op_is_forgotten_while_the_link_is_down),
		cmocka_unit_test(neighbour_that_forgot_the_link_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
