/* The dialler over a wire that does what the test says. */
#include "lib/check.h"

#include <stdio.h>
#include <string.h>

#include "transport/link/dialler.h"

#define PLACES 4u

struct fake {
	struct pccl_stream base;
	const struct pccl_stream_events *events;
	void *context;
	uint64_t dialled_ns;
	uint16_t port; /* of the place */
	bool is_open;
	bool detached;
};

static const struct pccl_transport fake_wire;

static struct {
	struct pccl_loop *loop;
	struct pccl_dialler dialler;
	struct pccl_place places[PLACES];
	struct fake fakes[PLACES];
	const struct pccl_address *from[PLACES]; /* of each */
	uint32_t fake_count;
	uint32_t unreachable; /* dial() fails for so many */
	uint32_t connected_count;
	uint32_t place; /* that was connected last */
	struct pccl_stream *stream;
	uint32_t failed_count;
	bool stop_at_once;
	char reason[PCCL_DIALLER_REASON_BYTES];
} board;

static pcclResult_t dial(const struct pccl_transport *self, struct pccl_loop *loop, const struct pccl_address *address,
			 const struct pccl_address *from, const struct pccl_stream_events *events, void *context,
			 struct pccl_stream **stream_out)
{
	struct fake *fake = &board.fakes[board.fake_count];

	(void)self;
	board.from[board.fake_count % PLACES] = from;
	*stream_out = NULL;
	if (board.unreachable > 0) {
		board.unreachable--;
		return pcclSystemError;
	}
	assert_true(board.fake_count < PLACES);
	board.fake_count++;
	fake->base.transport = &fake_wire;
	fake->events = events;
	fake->context = context;
	fake->dialled_ns = pccl_loop_now(loop);
	fake->port = pccl_address_port(address);
	fake->is_open = true;
	*stream_out = &fake->base;
	return pcclSuccess;
}

static void detach(struct pccl_stream *stream)
{
	struct fake *fake = (struct fake *)stream;

	assert_false(fake->detached);
	fake->detached = true;
}

static void close_fake(struct pccl_stream *stream, bool flush)
{
	struct fake *fake = (struct fake *)stream;

	assert_false(flush);
	assert_true(fake->is_open);
	fake->is_open = false;
}

static const struct pccl_transport fake_wire = {.name = "fake", .dial = dial, .detach = detach, .close = close_fake};

static void on_connected(void *context, struct pccl_stream *stream, uint32_t place)
{
	assert_ptr_equal(context, &board);
	board.connected_count++;
	board.stream = stream;
	board.place = place;
	if (board.stop_at_once)
		pccl_dialler_stop(&board.dialler);
}

static void on_failed(void *context, const char *reason)
{
	assert_ptr_equal(context, &board);
	board.failed_count++;
	strcpy(board.reason, reason);
}

static void start(uint32_t place_count, uint32_t first)
{
	uint32_t i;

	memset(&board, 0, sizeof(board));
	assert_int_equal(pccl_loop_create(&board.loop), pcclSuccess);
	for (i = 0; i < PLACES; i++) {
		board.places[i].transport = &fake_wire;
		assert_int_equal(pccl_address_numeric("192.0.2.1", (uint16_t)(100 + i), &board.places[i].address),
				 pcclSuccess);
	}
	board.dialler = (struct pccl_dialler){.loop = board.loop,
					      .places = board.places,
					      .place_count = place_count,
					      .first = first,
					      .connected = on_connected,
					      .failed = on_failed,
					      .context = &board};
	pccl_dialler_start(&board.dialler);
	assert_int_equal(board.fake_count, 0);
}

/* A few turns without waiting: what is due at once happens. */
static void turn(void)
{
	int i;

	for (i = 0; i < 4; i++)
		pccl_loop_turn(board.loop, 0);
}

static void turn_until_dialled(uint32_t count)
{
	uint64_t end_ns = pccl_clock_ns() + UINT64_C(30000000000);

	while (board.fake_count < count && pccl_clock_ns() < end_ns)
		pccl_loop_turn(board.loop, end_ns);
	assert_int_equal(board.fake_count, count);
}

static void open_fake(uint32_t index)
{
	board.fakes[index].events->opened(board.fakes[index].context, &board.fakes[index].base);
}

static void break_fake(uint32_t index, const char *reason)
{
	board.fakes[index].events->broken(board.fakes[index].context, &board.fakes[index].base, reason);
}

static void end(void)
{
	uint32_t i;

	pccl_dialler_stop(&board.dialler);
	for (i = 0; i < board.fake_count; i++)
		assert_true(!board.fakes[i].is_open || board.fakes[i].detached);
	pccl_loop_destroy(board.loop);
}

static void places_that_do_not_answer_are_dialled_a_little_apart(void **state)
{
	uint32_t i;

	(void)state;
	start(3, 0);
	turn_until_dialled(3);
	for (i = 1; i < 3; i++)
		assert_true(board.fakes[i].dialled_ns - board.fakes[i - 1].dialled_ns >= PCCL_DIALLER_APART_NS);
	for (i = 0; i < 3; i++)
		assert_true(board.fakes[i].is_open); /* all of them are waited for */
	assert_true(pccl_dialler_has_more(&board.dialler));
	open_fake(1);
	assert_int_equal(board.connected_count, 1);
	assert_int_equal(board.place, 1);
	assert_true(board.fakes[1].detached);
	end();
}

static void place_that_refuses_makes_way_at_once(void **state)
{
	(void)state;
	start(3, 1);
	board.unreachable = 1;
	turn();
	assert_int_equal(board.fake_count, 1);
	assert_int_equal(board.fakes[0].port, 102); /* the second could not be dialled */
	break_fake(0, "refused");
	turn();
	assert_int_equal(board.fake_count, 2);
	assert_int_equal(board.fakes[1].port, 100);
	assert_int_equal(board.failed_count, 0);
	end();
}

static void one_at_a_time_is_handed_over(void **state)
{
	(void)state;
	start(2, 0);
	turn_until_dialled(2);
	open_fake(1);
	open_fake(0);
	turn();
	assert_int_equal(board.connected_count, 1);
	assert_int_equal(board.place, 1);
	assert_true(pccl_dialler_has_more(&board.dialler));
	close_fake(board.stream, false);
	pccl_dialler_next(&board.dialler, "somebody else", false);
	assert_int_equal(board.connected_count, 1);
	turn();
	assert_int_equal(board.connected_count, 2);
	assert_int_equal(board.place, 0);
	assert_false(pccl_dialler_has_more(&board.dialler));
	close_fake(board.stream, false);
	pccl_dialler_next(&board.dialler, "nobody", false);
	turn();
	assert_int_equal(board.failed_count, 1);
	assert_string_equal(board.reason, "somebody else; nobody");
	turn();
	assert_int_equal(board.failed_count, 1);
	end();
}

static void nothing_fails_while_one_is_still_in_hand(void **state)
{
	(void)state;
	start(2, 0);
	turn_until_dialled(2);
	open_fake(0);
	break_fake(1, "refused");
	turn();
	assert_int_equal(board.failed_count, 0);
	close_fake(board.stream, false);
	pccl_dialler_next(&board.dialler, "nobody", false);
	turn();
	assert_int_equal(board.failed_count, 1);
	end();
}

/* Dialling again is in vain when it is so for each of the places. */
static void places_that_are_secured_otherwise_are_unfit_together(void **state)
{
	uint32_t fit;

	(void)state;
	for (fit = 0; fit < 3; fit++) {
		start(2, 0);
		turn_until_dialled(2);
		open_fake(0);
		board.fakes[1].base.unfit = fit != 1;
		break_fake(1, "another secret");
		assert_false(pccl_dialler_is_unfit(&board.dialler));
		close_fake(board.stream, false);
		pccl_dialler_next(&board.dialler, "another secret", fit != 0);
		turn();
		assert_int_equal(board.failed_count, 1);
		assert_int_equal(pccl_dialler_is_unfit(&board.dialler), fit == 2);
		end();
	}
}

static void stopped_dialler_hangs_up_and_says_nothing(void **state)
{
	(void)state;
	start(4, 2);
	board.stop_at_once = true;
	turn_until_dialled(3);
	open_fake(1);
	assert_int_equal(board.connected_count, 1);
	assert_int_equal(board.place, 3);
	assert_false(board.fakes[0].is_open);
	assert_true(board.fakes[1].is_open);
	assert_false(board.fakes[2].is_open);
	turn();
	assert_int_equal(board.fake_count, 3);
	assert_int_equal(board.failed_count, 0);
	pccl_dialler_start(&board.dialler); /* once more */
	board.fake_count = 0;
	memset(board.fakes, 0, sizeof(board.fakes));
	turn();
	assert_int_equal(board.fake_count, 1);
	end();
}

/* Ways go round among themselves, and the other places come after them. */
static void ways_come_before_other_places_and_are_dialled_from_their_own_address(void **state)
{
	static const uint16_t ports[] = {101, 100, 102, 103};
	uint32_t i;

	(void)state;
	start(4, 1);
	board.dialler.way_count = 2;
	assert_int_equal(pccl_address_numeric("192.0.2.9", 0, &board.places[1].from), pcclSuccess);
	for (i = 0; i < 4; i++) {
		turn_until_dialled(i + 1);
		assert_int_equal(board.fakes[i].port, ports[i]);
		assert_ptr_equal(board.from[i], i == 0 ? &board.places[1].from : NULL);
		break_fake(i, "refused");
	}
	turn();
	assert_int_equal(board.failed_count, 1);
	end();
}

static void attempt_goes_on_where_the_last_one_ended(void **state)
{
	static const uint16_t ports[] = {102, 103, 101, 100};
	uint32_t i;

	(void)state;
	start(4, 1);
	board.dialler.way_count = 2;
	turn_until_dialled(1);
	assert_int_equal(board.fakes[0].port, 101);
	turn_until_dialled(2);
	assert_int_equal(pccl_dialler_goes_on_at(&board.dialler), 2);
	open_fake(0); /* handed over; it says nothing, and the second may yet be it */
	assert_int_equal(pccl_dialler_goes_on_at(&board.dialler), 1);
	close_fake(board.stream, false);
	pccl_dialler_stop(&board.dialler);
	board.fake_count = 0;
	board.dialler.begin = 2;
	pccl_dialler_start(&board.dialler);
	for (i = 0; i < 4; i++) {
		assert_int_equal(pccl_dialler_goes_on_at(&board.dialler), (2 + i) % 4);
		turn_until_dialled(i + 1);
		assert_int_equal(board.fakes[i].port, ports[i]);
		assert_int_equal(pccl_dialler_turn_of(&board.dialler, ports[i] - 100u), (2 + i) % 4);
	}
	pccl_dialler_stop(&board.dialler);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_that_do_not_answer_are_dialled_a_little_apart),
		cmocka_unit_test(place_that_refuses_makes_way_at_once),
		cmocka_unit_test(one_at_a_time_is_handed_over),
		cmocka_unit_test(nothing_fails_while_one_is_still_in_hand),
		cmocka_unit_test(places_that_are_secured_otherwise_are_unfit_together),
		cmocka_unit_test(ways_come_before_other_places_and_are_dialled_from_their_own_address),
		cmocka_unit_test(attempt_goes_on_where_the_last_one_ended),
		cmocka_unit_test(stopped_dialler_hangs_up_and_says_nothing),
	};

	return cmocka_run_group_tests_name("dialler", tests, NULL, NULL);
}
