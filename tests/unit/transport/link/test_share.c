/* Which stream takes the next frame: ops over cards of several speeds, with a clock that the test turns. */
#include <string.h>

#include "lib/check.h"
#include "transport/link/share.h"

#define STREAMS_MAX 4u
#define QUEUE_MAX 4096u
#define FRAME_BYTES (256u << 10)
#define ROOM_BYTES (5u << 20) /* of the engine's queue and the kernel's */
#define STEP_NS 50000u
#define OPS 500u
#define SECOND_NS UINT64_C(1000000000)
#define MBIT 125000.0 /* bytes per second */

struct card {
	struct pccl_share share;
	double rate;	 /* bytes per second */
	double moved;	 /* bytes of the first frame that are across */
	uint64_t lag_ns; /* until an acknowledgement is here */
	uint32_t queue[QUEUE_MAX];
	uint64_t arrived_ns[QUEUE_MAX];
	uint32_t first, last, acked;
	uint64_t flight_bytes;
	uint64_t frames;
};

static struct {
	struct card cards[STREAMS_MAX];
	uint32_t count;
	uint32_t turn;
	uint64_t now_ns;
	bool plain; /* whoever has room takes it, as where there is one card */
} world;

static void open_world(uint32_t count, const double *mbits)
{
	uint32_t i;

	memset(&world, 0, sizeof(world));
	world.count = count;
	world.now_ns = SECOND_NS;
	for (i = 0; i < count; i++) {
		world.cards[i].rate = mbits[i] * MBIT;
		world.cards[i].lag_ns = 1000000;
	}
}

static struct pccl_share_all of_all(uint64_t bytes)
{
	struct pccl_share_all all = {.bytes = bytes};
	uint32_t i;

	for (i = 0; i < world.count; i++)
		pccl_share_add(&all, &world.cards[i].share);
	return all;
}

static uint64_t soonest_other(uint32_t index, uint32_t bytes)
{
	const struct pccl_share_all all = of_all(bytes);
	uint64_t least_ns = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < world.count; i++) {
		uint64_t ends_ns = pccl_share_ends_ns(&world.cards[i].share, &all, world.now_ns);

		if (i != index && ends_ns < least_ns)
			least_ns = ends_ns;
	}
	return least_ns;
}

static bool give(uint32_t index, uint32_t bytes)
{
	const struct pccl_share_all all = of_all(bytes);
	struct card *card = &world.cards[index];
	uint32_t i;

	if (card->flight_bytes + bytes > ROOM_BYTES)
		return false;
	if (!world.plain && !pccl_share_takes(&card->share, &all, soonest_other(index, bytes), world.now_ns))
		return false;
	pccl_share_sent(&card->share, bytes, world.now_ns);
	for (i = 0; i < world.count; i++)
		if (i != index)
			pccl_share_passed(&world.cards[i].share, &card->share, bytes);
	card->queue[card->last++ % QUEUE_MAX] = bytes;
	card->flight_bytes += bytes;
	card->frames++;
	return true;
}

static void move(struct card *card)
{
	card->moved += card->first == card->last ? 0 : card->rate * STEP_NS / 1e9;
	while (card->first != card->last && card->moved >= card->queue[card->first % QUEUE_MAX]) {
		card->moved -= card->queue[card->first % QUEUE_MAX];
		card->arrived_ns[card->first++ % QUEUE_MAX] = world.now_ns;
	}
	if (card->first == card->last)
		card->moved = 0;
	while (card->acked != card->first && card->arrived_ns[card->acked % QUEUE_MAX] + card->lag_ns <= world.now_ns) {
		uint32_t bytes = card->queue[card->acked++ % QUEUE_MAX];

		pccl_share_acked(&card->share, bytes, world.now_ns);
		card->flight_bytes -= bytes;
	}
}

/* An op of so many frames; returns how long until the last one is across, in seconds. */
static double run(uint32_t frames, uint32_t bytes)
{
	const uint64_t began_ns = world.now_ns;
	uint32_t left = frames, idle, i;
	bool busy = true;

	while (left > 0 || busy) {
		for (idle = 0; left > 0 && idle < world.count; world.turn = (world.turn + 1) % world.count)
			if (give(world.turn, bytes)) {
				left--;
				idle = 0;
			} else {
				idle++;
			}
		world.now_ns += STEP_NS;
		busy = false;
		for (i = 0; i < world.count; i++) {
			move(&world.cards[i]);
			busy |= world.cards[i].first != world.cards[i].last;
		}
		assert_true(world.now_ns - began_ns < 1000 * SECOND_NS);
	}
	return (double)(world.now_ns - began_ns) / 1e9;
}

static void rest(uint64_t ns)
{
	uint64_t end_ns = world.now_ns + ns;
	uint32_t i;

	for (; world.now_ns < end_ns; world.now_ns += STEP_NS)
		for (i = 0; i < world.count; i++)
			move(&world.cards[i]);
}

/* How many times as fast as the first card alone, once rates are known. */
static double gain(const double *mbits, uint32_t count, uint32_t frames, uint32_t bytes)
{
	double alone, together = 0;
	uint32_t i;

	open_world(1, mbits);
	alone = run(frames, bytes);
	open_world(count, mbits);
	(void)run(256, FRAME_BYTES);
	for (i = 0; i < OPS; i++) {
		rest(SECOND_NS / 100);
		together += run(frames, bytes) / OPS;
	}
	return alone / together;
}

static void two_cards_of_one_speed_are_twice_as_fast(void **state)
{
	static const double mbits[] = {500, 500};

	(void)state;
	assert_true(gain(mbits, 2, 256, FRAME_BYTES) > 1.9);
	assert_true(gain(mbits, 2, 16, FRAME_BYTES) > 1.6);
	assert_true(gain(mbits, 2, 2, FRAME_BYTES) > 1.0);
}

static void slow_card_beside_a_fast_one_helps_and_never_holds_it_up(void **state)
{
	static const double mbits[] = {500, 100}, far_apart[] = {1000, 10};
	static const uint32_t frames[] = {1, 2, 3, 5, 8, 16, 64, 256};
	size_t i;

	(void)state;
	assert_true(gain(mbits, 2, 256, FRAME_BYTES) > 1.15);
	assert_true(gain(mbits, 2, 64, FRAME_BYTES) > 1.1);
	for (i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		assert_true(gain(mbits, 2, frames[i], FRAME_BYTES) > 0.93);
		assert_true(gain(mbits, 2, frames[i], 16384) > 0.93);
		assert_true(gain(far_apart, 2, frames[i], FRAME_BYTES) > 0.9);
	}
}

static void without_the_measure_the_slow_card_holds_the_op_up(void **state)
{
	static const double mbits[] = {500, 100};
	double alone;

	(void)state;
	open_world(1, mbits);
	alone = run(64, FRAME_BYTES);
	open_world(2, mbits);
	world.plain = true;
	assert_true(run(64, FRAME_BYTES) > 1.1 * alone);
}

static void several_streams_share_each_card(void **state)
{
	static const double mbits[] = {250, 250, 50, 50}, whole[] = {500};
	double alone;

	(void)state;
	open_world(1, whole);
	alone = run(256, FRAME_BYTES);
	open_world(4, mbits);
	(void)run(256, FRAME_BYTES);
	assert_true(run(256, FRAME_BYTES) < alone / 1.1);
}

static void card_that_was_slow_for_a_while_is_found_out_to_be_fast(void **state)
{
	static const double mbits[] = {500, 500};
	uint64_t before;

	(void)state;
	open_world(2, mbits);
	world.cards[1].rate = 5 * MBIT;
	(void)run(512, FRAME_BYTES);
	assert_true(world.cards[1].frames < 32);
	world.cards[1].rate = 500 * MBIT;
	(void)run(4096, FRAME_BYTES);
	before = world.cards[1].frames;
	(void)run(512, FRAME_BYTES);
	assert_in_range(world.cards[1].frames - before, 200, 312);
}

/* Also if there is never more than one frame in flight. */
static void card_that_becomes_slow_is_found_out_by_single_frames(void **state)
{
	static const double mbits[] = {500, 500};
	uint64_t before;
	uint32_t i;

	(void)state;
	open_world(2, mbits);
	(void)run(256, FRAME_BYTES);
	world.cards[0].rate = 20 * MBIT;
	for (i = 0; i < 40; i++)
		(void)run(1, FRAME_BYTES / 2);
	before = world.cards[0].frames;
	for (i = 0; i < 100; i++)
		(void)run(1, FRAME_BYTES / 2);
	assert_in_range(world.cards[0].frames - before, 0, 8);
}

static void card_that_stops_is_not_waited_for(void **state)
{
	static const double mbits[] = {500, 100};
	struct pccl_share_all all;
	uint64_t now_ns;

	(void)state;
	open_world(2, mbits);
	(void)run(256, FRAME_BYTES);
	now_ns = world.now_ns;
	all = of_all(FRAME_BYTES);
	/* The fast one has one frame, which stays; the slow one takes no longer than that has stayed. */
	pccl_share_sent(&world.cards[0].share, FRAME_BYTES, now_ns);
	assert_false(pccl_share_takes(&world.cards[1].share, &all,
				      pccl_share_ends_ns(&world.cards[0].share, &all, now_ns), now_ns));
	now_ns += SECOND_NS / 10;
	assert_true(pccl_share_takes(&world.cards[1].share, &all,
				     pccl_share_ends_ns(&world.cards[0].share, &all, now_ns), now_ns));
}

static void nothing_is_known_of_a_new_connection(void **state)
{
	struct pccl_share share = {.rate = 7, .flight_bytes = 3};
	struct pccl_share_all all = {.bytes = FRAME_BYTES};
	uint32_t frames = 0;

	(void)state;
	pccl_share_begin(&share);
	assert_int_equal(share.flight_bytes, 0);
	while (frames < 100 && pccl_share_takes(&share, &all, UINT64_MAX, SECOND_NS)) {
		pccl_share_sent(&share, FRAME_BYTES, SECOND_NS);
		frames++;
	}
	assert_in_range(frames, 2, 8); /* and no more until some of them are acknowledged */
	pccl_share_forgot(&share, 1ull << 40);
	assert_int_equal(share.flight_bytes, 0);
	pccl_share_begin(&share);
	all.bytes = 64u << 20;
	assert_true(pccl_share_takes(&share, &all, UINT64_MAX, SECOND_NS)); /* one, however large */
}

/* Days after the start of the system, that is: since began_ns, which is zero. */
static void what_was_not_in_flight_is_not_measured(void **state)
{
	struct pccl_share share = {.rate = 0};

	(void)state;
	pccl_share_acked(&share, 1 << 20, UINT64_C(259200000000000));
	assert_int_equal(share.rate, 0);
	assert_int_equal(share.all_bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_cards_of_one_speed_are_twice_as_fast),
		cmocka_unit_test(slow_card_beside_a_fast_one_helps_and_never_holds_it_up),
		cmocka_unit_test(without_the_measure_the_slow_card_holds_the_op_up),
		cmocka_unit_test(several_streams_share_each_card),
		cmocka_unit_test(card_that_was_slow_for_a_while_is_found_out_to_be_fast),
		cmocka_unit_test(card_that_becomes_slow_is_found_out_by_single_frames),
		cmocka_unit_test(card_that_stops_is_not_waited_for),
		cmocka_unit_test(nothing_is_known_of_a_new_connection),
		cmocka_unit_test(what_was_not_in_flight_is_not_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
