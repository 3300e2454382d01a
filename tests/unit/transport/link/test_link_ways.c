/* Links over several ways: which one each stream goes, and where it goes meanwhile. */
#include "unit/transport/rope.h"

#include "transport/link/link_stream.h"

/* By the lane's number (3) stream 0 has the second way, and stream 1 the first. */
enum { STREAMS = 2, FRAMES = 600 };

static struct rope rope;
static struct pccl_doorman *second;

static void open_second(uint16_t port)
{
	struct pccl_address address;

	assert_int_equal(pccl_address_numeric("127.0.0.1", port, &address), pcclSuccess);
	assert_int_equal(
		pccl_doorman_create(rope.loop, &ROPE_WIRE, &address, 0, 2000000000u, rope_arrived, &rope, &second),
		pcclSuccess);
}

static void close_second(void)
{
	pccl_doorman_destroy(second);
	second = NULL;
}

/* The second way leads to a door of its own, and the third place is none of the ways. */
static void open_ways(void)
{
	struct pccl_link_config *config = &rope.dialer.config;

	rope_open(&rope, STREAMS);
	open_second(0);
	config->places[1] = config->places[0];
	pccl_address_set_port(&config->places[1].address, pccl_doorman_port(second));
	config->places[2] = config->places[0];
	assert_int_equal(pccl_address_numeric("127.0.0.2", 0, &config->places[0].from), pcclSuccess);
	assert_int_equal(pccl_address_numeric("127.0.0.3", 0, &config->places[1].from), pcclSuccess);
	config->place_count = 3;
	config->way_count = 2;
}

/* Of the end that waits: to the addresses that the dialler's ways come from, where nobody listens. */
static void give_waiter_ways(uint32_t way_count)
{
	struct pccl_link_config *config = &rope.waiter.config;

	assert_int_equal(pccl_address_numeric("127.0.0.2", 1, &config->places[0].address), pcclSuccess);
	assert_int_equal(pccl_address_numeric("127.0.0.3", 1, &config->places[1].address), pcclSuccess);
	config->place_count = 2;
	config->way_count = way_count;
}

static void close_ways(void)
{
	close_second();
	rope_close(&rope);
}

static void deliver(void)
{
	rope_load(&rope.dialer, FRAMES, 50000, 1);
	rope_load(&rope.waiter, FRAMES, 50000, 2);
	ROPE_UNTIL(&rope, rope.waiter.received_count == rope.dialer.frame_count &&
				  rope.dialer.received_count == rope.waiter.frame_count &&
				  rope.dialer.acked_count == rope.dialer.frame_count &&
				  rope.waiter.acked_count == rope.waiter.frame_count);
	rope_check(&rope.dialer, &rope.waiter);
	rope_check(&rope.waiter, &rope.dialer);
}

static void expect_from(uint16_t stream, const char *text)
{
	const struct pccl_link_stream *ls = &rope.dialer.link->streams[stream];
	struct pccl_address local, remote;
	char from[PCCL_ADDRESS_BYTES];

	assert_true(ls->stream->transport->ends(ls->stream, &local, &remote));
	pccl_address_text(&local, from);
	assert_string_equal(from, text);
}

static void each_stream_goes_its_own_way(void **state)
{
	(void)state;
	open_ways();
	rope_tie_both(&rope);
	deliver();
	expect_from(0, "127.0.0.3");
	expect_from(1, "127.0.0.2");
	assert_int_equal(rope.dialer.link->streams[0].place, 1);
	assert_int_equal(rope.dialer.link->streams[1].place, 0);
	assert_false(rope.dialer.link->ways.told);
	assert_int_equal(rope.dialer.link->streams[0].share.flight_bytes, 0);
	assert_int_equal(rope.dialer.link->streams[1].share.flight_bytes, 0);
	close_ways();
}

static void stream_whose_way_leads_nowhere_goes_another_until_it_does(void **state)
{
	const struct pccl_link *link;
	uint16_t port;

	(void)state;
	open_ways();
	port = pccl_doorman_port(second);
	close_second();
	rope_tie_both(&rope);
	deliver();
	link = rope.dialer.link;
	assert_int_equal(link->streams[0].place, 0);
	assert_true(link->ways.told);
	rope.dialer.link->ways.wait_ns = 1; /* it looks soon, and not in five seconds */
	rope.dialer.link->ways.trial_ns = 0;
	ROPE_UNTIL(&rope, link->ways.wait_ns > 2); /* in vain */
	assert_int_equal(link->streams[0].state, PCCL_LINK_UP);
	open_second(port);
	rope.dialer.link->ways.trial_ns = 1;
	ROPE_UNTIL(&rope, link->streams[0].state == PCCL_LINK_UP && link->streams[0].place == 1);
	assert_false(link->ways.told);
	deliver();
	expect_from(0, "127.0.0.3");
	assert_int_equal(rope.dialer.lost_count + rope.waiter.lost_count, 0);
	close_ways();
}

static void way_from_an_address_that_this_host_has_no_more_is_none(void **state)
{
	(void)state;
	open_ways();
	assert_int_equal(pccl_address_numeric("192.0.2.1", 0, &rope.dialer.config.places[1].from), pcclSuccess);
	rope_tie_both(&rope);
	deliver();
	expect_from(0, "127.0.0.2");
	expect_from(1, "127.0.0.2");
	close_ways();
}

static void where_no_way_leads_there_the_other_places_do(void **state)
{
	(void)state;
	open_ways();
	assert_int_equal(pccl_address_numeric("192.0.2.1", 0, &rope.dialer.config.places[0].from), pcclSuccess);
	assert_int_equal(pccl_address_numeric("192.0.2.1", 0, &rope.dialer.config.places[1].from), pcclSuccess);
	rope_tie_both(&rope);
	deliver();
	assert_int_equal(rope.dialer.link->streams[0].place, 2);
	assert_int_equal(rope.dialer.link->streams[1].place, 2);
	/* There it is dialled first the next time, and nobody complains, or tries what may lead to somebody else. */
	assert_int_equal(rope.dialer.link->streams[0].begin, 2);
	assert_false(rope.dialer.link->ways.told);
	ROPE_UNTIL(&rope, rope.dialer.link->ways.timer.when_ns == 0);
	assert_int_equal(rope.dialer.link->ways.trial_ns, 0);
	close_ways();
}

/* Who called from the address that a stream's own way leads to is to be found there, though it is dialled elsewhere. */
static void call_from_where_the_own_way_leads_shows_that_it_does(void **state)
{
	(void)state;
	open_ways();
	give_waiter_ways(2);
	rope_tie_both(&rope);
	deliver();
	/* Stream 0 comes from there; stream 1 through the cutter, which has another address. */
	assert_true(rope.waiter.link->streams[0].was_home);
	assert_false(rope.waiter.link->streams[1].was_home);
	close_ways();
}

/* Frames that are taken back are not in flight any more. */
static void forgotten_frames_leave_room(void **state)
{
	(void)state;
	open_ways();
	rope.waiter.hold = true;
	rope.dialer.cookie = &rope;
	rope_load(&rope.dialer, FRAMES, ROPE_BYTES_MOST, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope_unacked(&rope.dialer) > 0);
	rope_settle(&rope);
	pccl_link_forget(rope.dialer.link, &rope, NULL);
	assert_in_range(rope.dialer.link->streams[0].share.flight_bytes, 0, ROPE_BYTES_MOST);
	assert_in_range(rope.dialer.link->streams[1].share.flight_bytes, 0, ROPE_BYTES_MOST);
	close_ways();
}

/* What the other side had before the connection came up says nothing of how fast that is. */
static void frames_of_an_earlier_connection_are_not_measured(void **state)
{
	struct pccl_link_stream *ls;
	struct pccl_share before;

	(void)state;
	open_ways();
	rope_tie_both(&rope);
	deliver();
	ls = &rope.dialer.link->streams[0];
	before = ls->share;
	pccl_share_begin(&ls->share);
	ls->claimed_at_up = ls->cursor;
	pccl_link_was_acked(ls, ls->cursor - 1, ROPE_BYTES_MOST);
	assert_int_equal(ls->share.rate, 0);
	assert_int_equal(ls->share.all_bytes, 0);
	ls->share.flight_bytes = 100;
	pccl_link_took_back(ls, ls->cursor - 1, 50);
	pccl_link_took_back(ls, ls->cursor, 50);
	assert_int_equal(ls->share.flight_bytes, 100);
	ls->share = before;
	close_ways();
}

/* Over which no acknowledgement comes, as it were. */
static struct pccl_transport deaf_wire;

static void count_nothing(const struct pccl_stream *stream, struct pccl_stream_counters *counters_out)
{
	(void)stream;
	*counters_out = (struct pccl_stream_counters){.awaits = true};
}

static void make_deaf(struct pccl_link_stream *ls)
{
	deaf_wire = *ls->stream->transport;
	deaf_wire.count = count_nothing;
	ls->stream->transport = &deaf_wire;
}

/* From one place to the next, also those that are none of the ways. */
static void silent_stream_goes_elsewhere_and_no_further_than_it_must(void **state)
{
	struct pccl_link_stream *ls;
	uint32_t place;

	(void)state;
	open_ways();
	rope_tie_both(&rope);
	deliver();
	ls = &rope.dialer.link->streams[0];
	rope.waiter.hold = true; /* so that something is under way all the time */
	rope_load(&rope.dialer, 4, 50000, 1);
	for (place = 0; place < 2; place++) {
		make_deaf(ls);
		pccl_link_kick(rope.dialer.link);
		ROPE_UNTIL(&rope, ls->state != PCCL_LINK_UP);
		assert_true(ls->deadline_ns > pccl_loop_now(rope.loop) + UINT64_C(20000000000)); /* the other is up */
		ROPE_UNTIL(&rope, ls->state == PCCL_LINK_UP);
		assert_int_equal(ls->place, place == 0 ? 0 : 2);
		assert_int_equal(ls->fruitless_count, 0);
	}
	assert_in_range(ls->cut_count, 1, 2);
	rope.waiter.hold = false;
	pccl_link_resume(rope.waiter.link);
	deliver();
	assert_int_equal(rope.dialer.lost_count + rope.waiter.lost_count, 0);
	close_ways();
}

/* Who is called again does not know why, and may not take it for a connection on which nothing moves. */
static void cut_that_the_other_side_sees_is_nothing_fruitless(void **state)
{
	struct pccl_link_stream *ls, *called;
	uint32_t turn;

	(void)state;
	open_ways();
	give_waiter_ways(2);
	rope_tie_both(&rope);
	deliver();
	ls = &rope.dialer.link->streams[0];
	called = &rope.waiter.link->streams[0];
	rope.waiter.hold = rope.dialer.hold = true;
	rope_load(&rope.dialer, 4, 50000, 1);
	rope_load(&rope.waiter, 4, 50000, 1);
	for (turn = 0; turn < 2; turn++) {
		make_deaf(ls);
		pccl_link_kick(rope.dialer.link);
		pccl_link_kick(rope.waiter.link);
		ROPE_UNTIL(&rope, ls->state != PCCL_LINK_UP);
		ROPE_UNTIL(&rope, ls->state == PCCL_LINK_UP && called->state == PCCL_LINK_UP);
		assert_true(called->logged != called->claimed);
		assert_int_equal(called->fruitless_count, 0);
	}
	close_ways();
}

/* Nor may it take for a cut what comes so soon: where connection after connection ends with its first frame, the link
 * does as well. Who dials has nothing to send, and sees nothing wrong. */
static void connections_that_end_at_once_are_fruitless_for_who_is_called(void **state)
{
	uint32_t ways;

	(void)state;
	for (ways = 1; ways <= 2; ways++) {
		rope_open(&rope, 1);
		give_waiter_ways(ways == 1 ? 0 : ways);
		rope.cutter.most_bytes = 20000;
		rope_load(&rope.waiter, 1, 50000, 1);
		rope.waiter.bytes[0] = 50000;
		rope_tie_both(&rope);
		ROPE_UNTIL(&rope, rope.waiter.lost_count == 1);
		assert_non_null(strstr(rope.waiter.reason, "without moving a frame"));
		rope_close(&rope);
	}
}

static void patience_begins_when_a_frame_goes(void **state)
{
	struct pccl_link_stream *ls;
	uint16_t i;

	(void)state;
	open_ways();
	rope_tie_both(&rope);
	deliver();
	for (i = 0; i < STREAMS; i++)
		rope.dialer.link->streams[i].still.sign_ns = 1;
	rope.waiter.hold = true;
	rope_load(&rope.dialer, 1, 50000, 1);
	pccl_link_kick(rope.dialer.link);
	ls = &rope.dialer.link
		      ->streams[rope.dialer.link->streams[0].cursor != rope.dialer.link->streams[0].claimed ? 0 : 1];
	assert_true(ls->cursor != ls->claimed);
	assert_int_equal(ls->still.sign_ns, pccl_loop_now(rope.loop));
	close_ways();
}

/* To be there without carrying anything proves nothing. */
static void way_back_is_trusted_again_when_it_has_carried_something(void **state)
{
	struct pccl_link_ways *ways;
	uint32_t turns;

	(void)state;
	open_ways();
	rope_tie_both(&rope);
	ways = &rope.dialer.link->ways;
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1 && ways->home_since_ns != 0);
	ways->wait_ns = UINT64_C(40000000000);
	for (turns = 0; turns < 2; turns++) {
		ways->home_since_ns = 1;
		rope_load(&rope.dialer, turns == 0 ? 4 : FRAMES, turns == 0 ? 100 : 50000, 1);
		pccl_link_kick(rope.dialer.link);
		ROPE_UNTIL(&rope, rope.dialer.acked_count == rope.dialer.frame_count && ways->timer.when_ns == 0);
		assert_int_equal(ways->wait_ns / 1000000000u, turns == 0 ? 40 : 5);
	}
	close_ways();
}

static void who_is_put_off_asks_elsewhere_too(void **state)
{
	(void)state;
	open_ways();
	rope.refuse_later = 12;
	rope_tie_both(&rope);
	deliver();
	assert_int_equal(rope.refuse_later, 0);
	assert_int_equal(rope.dialer.link->streams[0].put_off_count, 0);
	close_ways();
}

static void streams_that_keep_breaking_lose_nothing(void **state)
{
	(void)state;
	open_ways();
	rope.cutter.most_bytes = 2 << 20;
	rope_tie_both(&rope);
	deliver();
	deliver();
	assert_true(rope.cutter.cuts > 0);
	close_ways();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_stream_goes_its_own_way),
		cmocka_unit_test(stream_whose_way_leads_nowhere_goes_another_until_it_does),
		cmocka_unit_test(way_from_an_address_that_this_host_has_no_more_is_none),
		cmocka_unit_test(where_no_way_leads_there_the_other_places_do),
		cmocka_unit_test(call_from_where_the_own_way_leads_shows_that_it_does),
		cmocka_unit_test(forgotten_frames_leave_room),
		cmocka_unit_test(frames_of_an_earlier_connection_are_not_measured),
		cmocka_unit_test(silent_stream_goes_elsewhere_and_no_further_than_it_must),
		cmocka_unit_test(cut_that_the_other_side_sees_is_nothing_fruitless),
		cmocka_unit_test(connections_that_end_at_once_are_fruitless_for_who_is_called),
		cmocka_unit_test(patience_begins_when_a_frame_goes),
		cmocka_unit_test(way_back_is_trusted_again_when_it_has_carried_something),
		cmocka_unit_test(who_is_put_off_asks_elsewhere_too),
		cmocka_unit_test(streams_that_keep_breaking_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
