/* Who may write how much: both sides of a pair as the pure machine they are, and what the other side may not say. */
#include "transport/rdma/flow.h"

#include <string.h>

#include "base/rng.h"
#include "lib/check.h"

#define NOTE(heard, read) (0x80000000u | (uint32_t)(heard) << 20 | (uint32_t)(read))

/* What one side has sent and the other not heard. */
struct way {
	uint32_t said[PCCL_FLOW_RECEIVES];
	uint32_t count;
};

static void say(struct way *way, uint32_t said)
{
	assert_true(way->count < PCCL_FLOW_RECEIVES); /* else a receive would be missing */
	way->said[way->count++] = said;
}

static void hear_one(struct way *way, struct pccl_flow *flow)
{
	assert_true(pccl_flow_hear(flow, way->said[0]));
	way->count--;
	memmove(way->said, way->said + 1, way->count * sizeof(*way->said));
}

/* Two sides that do what they may, in any order, never miss a receive, never stall, and agree on every byte's place. */
static void what_is_allowed_always_fits(void **state)
{
	struct pccl_rng rng;
	struct pccl_flow flows[2] = {{0}};
	struct way ways[2] = {{{0}, 0}}; /* by who hears */
	uint64_t moved[2] = {0};
	uint32_t step;

	(void)state;
	pccl_rng_seed(&rng, 7);
	for (step = 0; step < 400000; step++) {
		unsigned side = (unsigned)pccl_rng_below(&rng, 2);
		struct pccl_flow *flow = &flows[side];
		size_t at, bytes;
		uint32_t note;

		switch (pccl_rng_below(&rng, 4)) {
		case 0:
			bytes = pccl_flow_room(flow, &at);
			assert_true(at + bytes <= PCCL_FLOW_RING_BYTES);
			assert_int_equal(at, flow->put % PCCL_FLOW_RING_BYTES);
			if (bytes > 0 && step / 20000 % 2 == 0)
				bytes = 1 + pccl_rng_below(&rng, 40);
			bytes = bytes < pccl_flow_room(flow, &at) ? bytes : pccl_flow_room(flow, &at);
			if (bytes > 0)
				say(&ways[!side], pccl_flow_put(flow, bytes));
			break;
		case 1:
			if (ways[side].count > 0)
				hear_one(&ways[side], flow);
			break;
		case 2:
			bytes = pccl_flow_there(flow, &at);
			assert_true(at + bytes <= PCCL_FLOW_RING_BYTES);
			pccl_flow_take(flow, bytes);
			moved[side] += bytes;
			break;
		default:
			if (!pccl_flow_owes(flow, &note))
				break;
			say(&ways[!side], note);
			pccl_flow_settle(flow);
		}
	}
	assert_true(moved[0] > 100 * PCCL_FLOW_RING_BYTES);
	assert_true(moved[1] > 100 * PCCL_FLOW_RING_BYTES);
}

static void all_of_the_ring_can_be_written_and_no_more(void **state)
{
	struct pccl_flow writer = {0}, reader = {0};
	size_t at, bytes, total = 0;
	uint32_t note;

	(void)state;
	for (bytes = pccl_flow_room(&writer, &at); bytes > 0; bytes = pccl_flow_room(&writer, &at)) {
		assert_true(bytes <= PCCL_FLOW_PIECE_BYTES);
		assert_int_equal(at, total);
		assert_true(pccl_flow_hear(&reader, pccl_flow_put(&writer, bytes)));
		total += bytes;
	}
	assert_int_equal(total, PCCL_FLOW_RING_BYTES);
	assert_int_equal(pccl_flow_there(&reader, &at), PCCL_FLOW_RING_BYTES);
	assert_false(pccl_flow_hear(&reader, 1)); /* there is no room for that */
	pccl_flow_take(&reader, PCCL_FLOW_RING_BYTES / 4 - 1);
	assert_false(pccl_flow_owes(&reader, &note));
	pccl_flow_take(&reader, 1);
	assert_true(pccl_flow_owes(&reader, &note));
	pccl_flow_settle(&reader);
	assert_false(pccl_flow_owes(&reader, &note));
	assert_true(pccl_flow_hear(&writer, NOTE(8, PCCL_FLOW_RING_BYTES / 4)));
	assert_int_equal(pccl_flow_room(&writer, &at), PCCL_FLOW_PIECE_BYTES);
	assert_int_equal(at, 0);
}

static void small_messages_are_bounded_by_their_number(void **state)
{
	struct pccl_flow writer = {0}, reader = {0};
	uint32_t note, i;
	size_t at;

	(void)state;
	for (i = 0; i < PCCL_FLOW_SLOTS; i++) {
		assert_true(pccl_flow_room(&writer, &at) > 0);
		assert_true(pccl_flow_hear(&reader, pccl_flow_put(&writer, 1)));
	}
	assert_int_equal(pccl_flow_room(&writer, &at), 0);
	assert_false(pccl_flow_hear(&reader, 1));
	assert_true(pccl_flow_owes(&reader, &note)); /* though nothing has been read */
	pccl_flow_settle(&reader);
	assert_true(pccl_flow_hear(&writer, note));
	assert_int_equal(pccl_flow_room(&writer, &at), PCCL_FLOW_PIECE_BYTES);
}

static void what_makes_no_sense_is_refused(void **state)
{
	static const uint32_t nonsense[] = {0,
					    PCCL_FLOW_PIECE_BYTES + 1,
					    0x7fffffff,
					    NOTE(0, 0),
					    NOTE(3, 0),
					    NOTE(0, 201),
					    NOTE(1023, 100),
					    0xc0000000u,
					    0xffffffffu};
	struct pccl_flow flow = {0};
	size_t i;

	(void)state;
	(void)pccl_flow_put(&flow, 100);
	(void)pccl_flow_put(&flow, 100);
	for (i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++)
		assert_false(pccl_flow_hear(&flow, nonsense[i]));
	assert_true(pccl_flow_hear(&flow, NOTE(2, 0)));
	assert_true(pccl_flow_hear(&flow, NOTE(0, 200)));
	assert_false(pccl_flow_hear(&flow, NOTE(0, 1)));
	assert_true(pccl_flow_hear(&flow, PCCL_FLOW_PROBE));
	assert_false(pccl_flow_hear(&flow, PCCL_FLOW_PROBE));
	assert_true(pccl_flow_hear(&flow, PCCL_FLOW_END));
	assert_false(pccl_flow_hear(&flow, PCCL_FLOW_END));
	assert_false(pccl_flow_hear(&flow, 10)); /* after the end */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_allowed_always_fits),
		cmocka_unit_test(all_of_the_ring_can_be_written_and_no_more),
		cmocka_unit_test(small_messages_are_bounded_by_their_number),
		cmocka_unit_test(what_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
