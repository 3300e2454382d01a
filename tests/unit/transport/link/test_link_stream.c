/* How a link's streams come up, are refused, go down for good, and end. */
#include "lib/allocations.h"
#include "unit/transport/rope.h"

#include "base/crc32c.h"

#define MIB (1u << 20)

static struct rope rope;

static bool all_done(void)
{
	return rope.waiter.received_count == rope.dialer.frame_count &&
	       rope.dialer.received_count == rope.waiter.frame_count &&
	       rope.dialer.acked_count == rope.dialer.frame_count && rope.waiter.acked_count == rope.waiter.frame_count;
}

/* ---- connecting ---------------------------------------------------------------------------------------------- */

static void put_off_caller_dials_again(void **state)
{
	(void)state;
	rope_open(&rope, 2);
	rope.refuse_later = 3;
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10 && rope.dialer.up_count == 1);
	assert_int_equal(rope.arrived_count, 5);
	rope_close(&rope);
}

static void dialer_waits_until_somebody_adopts_its_streams(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie(&rope.dialer);
	ROPE_UNTIL(&rope, rope.arrived_count >= 2);
	rope_tie(&rope.waiter);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	rope_close(&rope);
}

static void refused_link_is_lost_on_both_sides_with_the_reason(void **state)
{
	(void)state;
	rope_open(&rope, 2);
	rope.waiter.config.streams = 1;
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.lost_count == 1);
	assert_non_null(strstr(rope.dialer.reason, "fewer streams"));
	assert_non_null(strstr(rope.dialer.reason, rope.dialer.config.name));
	pccl_link_kick(rope.dialer.link);
	pccl_link_resume(rope.dialer.link);
	rope_close(&rope);
}

static void link_that_nobody_answers_is_lost_in_time(void **state)
{
	char address[PCCL_ADDRESS_PORT_BYTES];
	uint64_t start_ns = pccl_clock_ns();

	(void)state;
	rope_open(&rope, 1);
	rope.dialer.config.connect_timeout_ns = rope.waiter.config.connect_timeout_ns = 400000000;
	rope.dialer.config.redial_timeout_ns = rope.waiter.config.redial_timeout_ns = 400000000;
	pccl_loop_unwatch(rope.loop, &rope.cutter.door);
	close(rope.cutter.door.fd);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.lost_count == 1 && rope.waiter.lost_count == 1);
	assert_in_range(pccl_clock_ns() - start_ns, 400000000, ROPE_CONNECT_NS);
	pccl_address_text_port(&rope.dialer.config.places[0].address, address);
	assert_non_null(strstr(rope.dialer.reason, address));
	assert_non_null(strstr(rope.dialer.reason, "refused"));
	assert_non_null(strstr(rope.waiter.reason, "has not dialled"));
	rope_settle(&rope);
	assert_int_equal(rope.dialer.lost_count, 1);
	rope.cutter.door.fd = socket(AF_INET, SOCK_STREAM, 0); /* for cutter_close() */
	rope_close(&rope);
}

static uint32_t callers_of(int fd)
{
	uint32_t count = 0;
	int caller;

	while ((caller = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		close(caller);
		count++;
	}
	return count;
}

static void neighbour_is_found_at_one_of_several_places_and_kept_there(void **state)
{
	struct pccl_link_config *config = &rope.dialer.config;
	struct sockaddr_storage refusing;
	socklen_t bytes = sizeof(refusing);
	int closed = socket(AF_INET, SOCK_STREAM, 0);
	int mute = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	(void)state;
	rope_open(&rope, 1);
	config->places[2] = config->places[0];
	config->places[1].transport = config->places[0].transport;
	config->place_count = 3;
	memset(&refusing, 0, sizeof(refusing));
	refusing.ss_family = AF_INET;
	assert_int_equal(bind(closed, (struct sockaddr *)&refusing, sizeof(struct sockaddr_in)), 0);
	assert_int_equal(getsockname(closed, (struct sockaddr *)&refusing, &bytes), 0);
	memcpy(&config->places[0].address.storage, &refusing, bytes);
	assert_int_equal(listen(mute, 16), 0);
	bytes = sizeof(refusing);
	assert_int_equal(getsockname(mute, (struct sockaddr *)&refusing, &bytes), 0);
	memcpy(&config->places[1].address.storage, &refusing, bytes);
	config->places[1].address.bytes = bytes;
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	assert_in_range(callers_of(mute), 1, 4); /* more than one where the machine is busy */
	cutter_cut_all(&rope.cutter);
	rope_load(&rope.dialer, 10, 1000, 2);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 20);
	assert_int_equal(callers_of(mute), 0);
	rope_check(&rope.dialer, &rope.waiter);
	rope_close(&rope);
	close(closed);
	close(mute);
}

static void break_of_all_streams_is_told_and_so_is_the_first_that_is_up_again(void **state)
{
	uint32_t round;

	(void)state;
	rope_open(&rope, 2);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	for (round = 1; round < 4; round++) {
		cutter_cut_all(&rope.cutter);
		ROPE_UNTIL(&rope, rope.dialer.broken_count == round && rope.waiter.broken_count == round);
		ROPE_UNTIL(&rope, !rope.dialer.is_broken && !rope.waiter.is_broken);
		rope_load(&rope.dialer, 10, 1000, 1);
		pccl_link_kick(rope.dialer.link);
		ROPE_UNTIL(&rope, rope.dialer.acked_count == 10 + 10 * round);
	}
	rope_close(&rope);
}

static void link_whose_connections_are_forgotten_is_renewed(void **state)
{
	(void)state;
	rope_open(&rope, 2);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	cutter_forget_all(&rope.cutter);
	rope_load(&rope.dialer, 20, 100000, 2);
	rope_load(&rope.waiter, 20, 100000, 3);
	rope_settle(&rope);
	assert_int_equal(rope.dialer.acked_count, 10);
	pccl_link_renew(rope.waiter.link, pccl_clock_ns()); /* it can't dial */
	pccl_link_renew(rope.dialer.link, pccl_clock_ns() + UINT64_C(2000000000));
	pccl_link_renew(rope.dialer.link, pccl_clock_ns()); /* on the way already */
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 30 && rope.waiter.acked_count == 20);
	rope_check(&rope.dialer, &rope.waiter);
	rope_check(&rope.waiter, &rope.dialer);
	assert_int_equal(rope.dialer.lost_count + rope.waiter.lost_count, 0);
	assert_int_equal(rope.dialer.broken_count, 0); /* silence is no break */
	rope_close(&rope);
}

static void link_that_can_not_be_renewed_is_lost_at_the_deadline(void **state)
{
	uint64_t start_ns;

	(void)state;
	rope_open(&rope, 1);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	cutter_forget_all(&rope.cutter);
	pccl_loop_unwatch(rope.loop, &rope.cutter.door);    /* callers are left waiting */
	pccl_link_renew(rope.dialer.link, pccl_clock_ns()); /* nothing is under way */
	rope_settle(&rope);
	assert_int_equal(rope.dialer.lost_count, 0);
	rope_load(&rope.dialer, 1, 1000, 2);
	start_ns = pccl_clock_ns();
	pccl_link_renew(rope.dialer.link, start_ns + 200000000u);
	ROPE_UNTIL(&rope, rope.dialer.lost_count == 1);
	assert_in_range(pccl_clock_ns() - start_ns, 200000000u, ROPE_CONNECT_NS);
	assert_non_null(strstr(rope.dialer.reason, "up again"));
	rope_close(&rope);
}

/* Connections can be made, but frames vanish: packets that are too large, say. */
static void link_that_is_renewed_in_vain_is_lost(void **state)
{
	uint32_t ups;

	(void)state;
	rope_open(&rope, 1);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	rope.waiter.hold = true;
	rope_load(&rope.dialer, 1, 1000, 2);
	for (ups = 0; ups < 10 && rope.dialer.lost_count == 0; ups++) {
		pccl_link_renew(rope.dialer.link, pccl_clock_ns() + UINT64_C(2000000000));
		rope_settle(&rope);
	}
	assert_int_equal(rope.dialer.lost_count, 1);
	rope_close(&rope);
}

static void link_that_breaks_for_good_is_lost_on_both_sides(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope.dialer.config.connect_timeout_ns = rope.waiter.config.connect_timeout_ns = 200000000;
	rope.dialer.config.redial_timeout_ns = rope.waiter.config.redial_timeout_ns = 200000000;
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	pccl_doorman_destroy(rope.doorman);
	rope.doorman = NULL;
	cutter_cut_all(&rope.cutter);
	ROPE_UNTIL(&rope, rope.dialer.lost_count == 1 && rope.waiter.lost_count == 1);
	assert_non_null(strstr(rope.dialer.reason, "up again"));
	assert_non_null(strstr(rope.waiter.reason, "up again"));
	rope_close(&rope);
}

static void neighbour_that_made_its_link_anew_is_noticed(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.acked_count == 10);
	rope_destroy_link(&rope.dialer);
	rope_tie(&rope.dialer);
	ROPE_UNTIL(&rope, rope.dialer.lost_count == 1 && rope.waiter.lost_count == 1);
	assert_non_null(strstr(rope.waiter.reason, "anew"));
	rope_close(&rope);
}

static void link_that_was_made_anew_before_anything_passed_is_as_good(void **state)
{
	struct rope_end *again[] = {&rope.dialer, &rope.waiter};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		rope_open(&rope, 3);
		rope_tie_both(&rope);
		ROPE_UNTIL(&rope, rope.dialer.up_count == 1 && rope.waiter.up_count == 1);
		rope_destroy_link(again[i]);
		rope_tie(again[i]);
		ROPE_UNTIL(&rope, again[i]->up_count == 2);
		rope_settle(&rope);
		rope_load(&rope.dialer, 20, 1000, 1);
		ROPE_UNTIL(&rope, rope.dialer.acked_count == 20);
		assert_int_equal(again[i]->up_count, 2);
		assert_int_equal(rope.dialer.lost_count + rope.waiter.lost_count, 0);
		rope_close(&rope);
	}
}

static void unwanted_frame_loses_the_link_with_the_reason(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope.waiter.reject = true;
	rope_load(&rope.dialer, 10, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.waiter.lost_count == 1 && rope.dialer.lost_count == 1);
	assert_non_null(strstr(rope.waiter.reason, "frame 0 is unwanted"));
	rope_close(&rope);
}

/* A plain socket that says HELLO as the dialer would, and then one frame. */
static int impostor(const struct pccl_frame *frame)
{
	struct pccl_hello hello = {.purpose = PCCL_PURPOSE_DATA, .group = 5, .lane = 3, .instance = 1};
	struct pccl_frame first = {.type = PCCL_FRAME_HELLO};
	uint8_t bytes[2 * PCCL_FRAME_BYTES + PCCL_HELLO_BYTES];
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t count;

	hello.from = rope.waiter.config.neighbour;
	hello.to = rope.waiter.config.self;
	first.payload_bytes = (uint32_t)pccl_hello_encode(&hello, bytes + PCCL_FRAME_BYTES);
	first.payload_crc = pccl_crc32c(0, bytes + PCCL_FRAME_BYTES, first.payload_bytes);
	pccl_frame_encode(&first, bytes);
	count = PCCL_FRAME_BYTES + first.payload_bytes;
	pccl_frame_encode(frame, bytes + count);
	count += PCCL_FRAME_BYTES;
	assert_int_equal(connect(fd, (struct sockaddr *)&rope.cutter.target.storage, rope.cutter.target.bytes), 0);
	assert_int_equal(send(fd, bytes, count, MSG_NOSIGNAL), count);
	return fd;
}

static void check_impostor(const struct pccl_frame *frame, const char *reason)
{
	char text[1000] = "";
	uint64_t end_ns = pccl_clock_ns() + wire_patience_ns;
	int fd;

	rope_open(&rope, 1);
	rope_load(&rope.waiter, 3, 100, 1);
	rope_tie(&rope.waiter);
	fd = impostor(frame);
	while (strstr(text, reason) == NULL && pccl_clock_ns() < end_ns) {
		pccl_loop_turn(rope.loop, pccl_clock_ns() + 10000000);
		pccl_link_describe(rope.waiter.link, text, sizeof(text));
	}
	assert_non_null(strstr(text, reason));
	assert_int_equal(rope.waiter.acked_count, 0);
	assert_int_equal(rope.waiter.received_count, 0);
	close(fd);
	rope_close(&rope);
}

static void frames_that_make_no_sense_break_the_stream(void **state)
{
	struct pccl_frame frame = {.type = PCCL_FRAME_ACK, .lane = 3, .received = 4};

	(void)state;
	check_impostor(&frame, "frame 4 was acknowledged, but only");
	frame.received = UINT32_MAX;
	check_impostor(&frame, "was acknowledged");
	frame.received = 0;
	frame.lane = 2;
	check_impostor(&frame, "for lane 2");
	frame.lane = 3;
	frame.type = PCCL_FRAME_WELCOME;
	check_impostor(&frame, "a frame of type 2");
}

/* ---- both sides dial ------------------------------------------------------------------------------------------ */

/* The door that the dialer knows is shut. */
static void shut_door(void)
{
	pccl_loop_unwatch(rope.loop, &rope.cutter.door);
	close(rope.cutter.door.fd);
	rope.cutter.door.fd = socket(AF_INET, SOCK_STREAM, 0); /* for cutter_close() */
}

static void neighbour_that_can_not_be_dialled_dials(void **state)
{
	uint64_t start_ns, taken_ns;
	int i;

	(void)state;
	rope_open(&rope, 3);
	rope_open_back(&rope);
	shut_door();
	rope_load(&rope.dialer, 100, 1000, 1);
	rope_load(&rope.waiter, 100, 1000, 2);
	start_ns = pccl_clock_ns();
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1 && rope.waiter.up_count == 1);
	assert_in_range(pccl_clock_ns() - start_ns, 0, ROPE_CONNECT_NS);
	ROPE_UNTIL(&rope, all_done());
	/* Who has dialled dials again, at once: at least once of ten times, where others take the processor. */
	for (i = 0, taken_ns = UINT64_MAX; i < 10 && taken_ns > 400000000u; i++) {
		start_ns = pccl_clock_ns();
		cutter_cut_all(&rope.back_cutter);
		rope_load(&rope.dialer, 100, 1000, 3);
		ROPE_UNTIL(&rope, all_done());
		taken_ns = pccl_clock_ns() - start_ns;
	}
	assert_in_range(taken_ns, 0, 400000000u);
	rope_check(&rope.dialer, &rope.waiter);
	rope_check(&rope.waiter, &rope.dialer);
	rope_close(&rope);
}

/* Who dialled before can't any more: the other side does. */
static void neighbour_that_can_not_redial_is_dialled(void **state)
{
	(void)state;
	rope_open(&rope, 2);
	rope_open_back(&rope);
	rope_load(&rope.dialer, 100, 1000, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, all_done());
	shut_door();
	cutter_cut_all(&rope.cutter);
	rope_load(&rope.dialer, 100, 1000, 2);
	rope_load(&rope.waiter, 100, 1000, 3);
	ROPE_UNTIL(&rope, all_done());
	rope_check(&rope.dialer, &rope.waiter);
	rope_check(&rope.waiter, &rope.dialer);
	assert_int_equal(rope.dialer.lost_count + rope.waiter.lost_count, 0);
	rope_close(&rope);
}

static void frames_arrive_once_where_both_sides_dial_at_once(void **state)
{
	uint32_t round;

	(void)state;
	for (round = 0; round < 20; round++) {
		rope_open(&rope, 1 + round % 4);
		rope_open_back(&rope);
		rope.waiter.config.dials = true;
		rope.cutter.most_bytes = rope.back_cutter.most_bytes = round % 2 == 0 ? 0 : MIB / 4;
		rope_load(&rope.dialer, 400, 25000, round);
		rope_load(&rope.waiter, 400, 25000, 100 + round);
		rope_tie_both(&rope);
		ROPE_UNTIL(&rope, all_done());
		rope_check(&rope.dialer, &rope.waiter);
		rope_check(&rope.waiter, &rope.dialer);
		assert_int_equal(rope.dialer.lost_count + rope.waiter.lost_count, 0);
		rope_close(&rope);
	}
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

static void destroy_inside(struct rope_end *end, enum rope_call call)
{
	rope_open(&rope, 2);
	end->destroy_at = call;
	rope.waiter.config.connect_timeout_ns = rope.dialer.config.connect_timeout_ns = 1000000000;
	rope.dialer.config.redial_timeout_ns = rope.waiter.config.redial_timeout_ns = 1000000000;
	rope_load(&rope.dialer, 50, ROPE_BYTES_MOST, 1);
	rope_load(&rope.waiter, 50, ROPE_BYTES_MOST, 2);
	rope_tie_both(&rope);
	if (call == ROPE_LOST) {
		ROPE_UNTIL(&rope, rope.dialer.up_count == 1 && rope.waiter.up_count == 1);
		pccl_doorman_destroy(rope.doorman);
		rope.doorman = NULL;
		cutter_cut_all(&rope.cutter);
	}
	ROPE_UNTIL(&rope, end->link == NULL);
	rope_settle(&rope);
	rope_close(&rope);
}

static void link_may_be_destroyed_inside_a_callback(void **state)
{
	int call;

	(void)state;
	for (call = ROPE_UP; call <= ROPE_LOST; call++) {
		destroy_inside(&rope.dialer, call);
		destroy_inside(&rope.waiter, call);
	}
}

static void destroyed_link_delivers_what_was_pulled(void **state)
{
	(void)state;
	rope_open(&rope, 1);
	rope_tie_both(&rope);
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1);
	rope_load(&rope.dialer, 40, 1000, 1);
	assert_int_equal(rope.dialer.next, 40);
	rope_destroy_link(&rope.dialer);
	ROPE_UNTIL(&rope, rope.waiter.received_count == 40);
	rope_close(&rope);
}

/* Returns whether the allocation was reached. */
static bool deliver_without_one_allocation(size_t nth)
{
	bool failed;

	rope_open(&rope, 2);
	rope_load(&rope.dialer, 20, 20000, 1);
	check_fail_allocation(nth);
	if (pccl_link_create(&rope.waiter.config, &rope_events, &rope.waiter, &rope.waiter.link) == pcclSuccess &&
	    pccl_link_create(&rope.dialer.config, &rope_events, &rope.dialer, &rope.dialer.link) == pcclSuccess) {
		ROPE_UNTIL(&rope, rope.dialer.acked_count == 20 && rope.dialer.up_count == 1);
		rope_check(&rope.dialer, &rope.waiter);
	} else {
		assert_true(rope.waiter.link == NULL || rope.dialer.link == NULL);
	}
	failed = check_allocation_failed();
	check_fail_allocation(0);
	rope_close(&rope);
	return failed;
}

/* Before the links are there, creating them fails; later what has failed is tried again. */
static void allocation_that_fails_once_is_survived(void **state)
{
	size_t nth = 1;

	(void)state;
	while (deliver_without_one_allocation(nth))
		nth++;
	assert_true(nth > 10);
}

static void link_describes_itself(void **state)
{
	struct pccl_link_heard heard;
	char text[1000];

	(void)state;
	rope_open(&rope, 2);
	rope_tie_both(&rope);
	pccl_link_describe(rope.dialer.link, text, sizeof(text));
	assert_non_null(strstr(text, "no connection yet"));
	ROPE_UNTIL(&rope, rope.dialer.up_count == 1);
	pccl_link_describe(rope.dialer.link, text, sizeof(text));
	assert_non_null(strstr(text, "rank 0 (waiter)"));
	assert_non_null(strstr(text, "stream 1 up"));
	pccl_link_heard(rope.dialer.link, &heard);
	assert_true(heard.received_ns > 0 && heard.received_ns <= pccl_clock_ns());
	assert_int_equal(heard.unacked_frames, 0);
	pccl_link_describe(rope.dialer.link, text, 20);
	assert_int_equal(strlen(text), 19);
	rope_close(&rope);
}

/* By default: hosts that are not known or not the same; somebody in between. Not what the dialler's wire seals. */
static void segments_are_checked_where_they_leave_the_host(void **state)
{
	static const struct {
		uint64_t dialer, waiter; /* hosts */
		bool direct;
		pcclChecksums_t checksums;
		bool checked;
		bool sealed;
	} cases[] = {
		{7, 7, true, pcclChecksumsAuto, false, false}, {7, 7, false, pcclChecksumsAuto, true, false},
		{7, 8, true, pcclChecksumsAuto, true, false},  {0, 0, true, pcclChecksumsAuto, true, false},
		{7, 0, true, pcclChecksumsAuto, true, false},  {7, 7, true, pcclChecksumsOn, true, false},
		{7, 8, false, pcclChecksumsOff, false, false}, {7, 8, true, pcclChecksumsAuto, true, true},
	};
	struct pccl_transport wire = ROPE_WIRE;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool dialer_checks = cases[i].checked && !cases[i].sealed;

		wire.seals = cases[i].sealed;
		rope_open(&rope, 2);
		rope.dialer.config.host = cases[i].dialer;
		rope.waiter.config.host = cases[i].waiter;
		rope.dialer.config.checksums = rope.waiter.config.checksums = cases[i].checksums;
		rope.dialer.config.places[0].transport = &wire;
		if (cases[i].direct)
			rope.dialer.config.places[0].address = rope.cutter.target;
		rope_load(&rope.dialer, 20, 1000, 1);
		rope_load(&rope.waiter, 20, 1000, 2);
		rope_tie_both(&rope);
		ROPE_UNTIL(&rope, rope.dialer.received_count == 20 && rope.waiter.received_count == 20);
		assert_int_equal(pccl_link_checks(rope.dialer.link), dialer_checks);
		assert_int_equal(pccl_link_checks(rope.waiter.link), cases[i].checked);
		assert_int_equal(rope.dialer.unchecked_count, cases[i].checked ? 0 : 20);
		assert_int_equal(rope.waiter.unchecked_count, dialer_checks ? 0 : 20);
		rope_close(&rope);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(put_off_caller_dials_again),
		cmocka_unit_test(dialer_waits_until_somebody_adopts_its_streams),
		cmocka_unit_test(refused_link_is_lost_on_both_sides_with_the_reason),
		cmocka_unit_test(link_that_nobody_answers_is_lost_in_time),
		cmocka_unit_test(neighbour_is_found_at_one_of_several_places_and_kept_there),
		cmocka_unit_test(break_of_all_streams_is_told_and_so_is_the_first_that_is_up_again),
		cmocka_unit_test(link_whose_connections_are_forgotten_is_renewed),
		cmocka_unit_test(link_that_can_not_be_renewed_is_lost_at_the_deadline),
		cmocka_unit_test(link_that_is_renewed_in_vain_is_lost),
		cmocka_unit_test(link_that_breaks_for_good_is_lost_on_both_sides),
		cmocka_unit_test(neighbour_that_made_its_link_anew_is_noticed),
		cmocka_unit_test(link_that_was_made_anew_before_anything_passed_is_as_good),
		cmocka_unit_test(unwanted_frame_loses_the_link_with_the_reason),
		cmocka_unit_test(frames_that_make_no_sense_break_the_stream),
		cmocka_unit_test(neighbour_that_can_not_be_dialled_dials),
		cmocka_unit_test(neighbour_that_can_not_redial_is_dialled),
		cmocka_unit_test(frames_arrive_once_where_both_sides_dial_at_once),
		cmocka_unit_test(link_may_be_destroyed_inside_a_callback),
		cmocka_unit_test(destroyed_link_delivers_what_was_pulled),
		cmocka_unit_test(allocation_that_fails_once_is_survived),
		cmocka_unit_test(link_describes_itself),
		cmocka_unit_test(segments_are_checked_where_they_leave_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
