/* Crossing connections: whatever order messages and cuts come in, the two sides end with one connection. */
#include "lib/check.h"

#include <string.h>

#include "base/rng.h"
#include "transport/link/crossing.h"

#define CALLS 6	   /* connections of a history */
#define MESSAGES 4 /* on their way one way of a connection */

enum stand { DOWN, CALLING, UP };

/* What the one stream is at one side. */
struct side {
	enum stand stand;
	uint32_t call; /* CALLING, UP */
	uint32_t hellos;
	uint32_t known;
};

enum kind { NOTHING, HELLO, YES, LATER, END };

struct message {
	enum kind kind;
	uint32_t number; /* HELLO: which; YES: that its sender has said */
};

struct history {
	struct pccl_rng rng;
	struct side sides[2];
	struct message ways[CALLS][2][MESSAGES]; /* by connection and receiver, in order */
	uint32_t call_count;
};

static void say(struct history *history, uint32_t call, uint32_t to, enum kind kind, uint32_t number)
{
	struct message *way = history->ways[call][to];
	uint32_t i = 0;

	while (way[i].kind != NOTHING)
		i++;
	assert_true(i < MESSAGES);
	way[i].kind = kind;
	way[i].number = number;
}

static void drop(struct history *history, uint32_t who)
{
	struct side *side = &history->sides[who];

	if (side->stand != DOWN)
		say(history, side->call, 1 - who, END, 0);
	side->stand = DOWN;
}

static void call(struct history *history, uint32_t who)
{
	struct side *side = &history->sides[who];

	if (side->stand != DOWN || history->call_count == CALLS)
		return;
	side->stand = CALLING;
	side->call = history->call_count++;
	say(history, side->call, 1 - who, HELLO, side->hellos++);
}

/* As link.c does. */
static void on_hello(struct history *history, uint32_t who, uint32_t on, uint32_t number)
{
	struct side *side = &history->sides[who];
	const struct pccl_crossing crossing = {
		.leads = who == 1, .calls = side->stand == CALLING, .known = side->known};

	if (pccl_crossing_judge(&crossing, number) != PCCL_CROSSING_TAKE) {
		say(history, on, 1 - who, LATER, 0);
		return;
	}
	drop(history, who);
	side->known = number + 1;
	side->stand = UP;
	side->call = on;
	say(history, on, 1 - who, YES, side->hellos);
}

static void deliver(struct history *history, uint32_t on, uint32_t who)
{
	struct message *way = history->ways[on][who];
	struct side *side = &history->sides[who];
	struct message message = way[0];

	if (message.kind == NOTHING)
		return;
	memmove(way, way + 1, (MESSAGES - 1) * sizeof(*way));
	way[MESSAGES - 1].kind = NOTHING;
	if (message.kind == HELLO) {
		on_hello(history, who, on, message.number);
	} else if (side->stand != DOWN && side->call == on && message.kind == YES) {
		side->known = message.number;
		side->stand = UP;
	} else if (side->stand != DOWN && side->call == on) {
		side->stand = DOWN;
	}
}

static bool is_quiet(const struct history *history)
{
	uint32_t on;

	for (on = 0; on < CALLS; on++)
		if (history->ways[on][0][0].kind != NOTHING || history->ways[on][1][0].kind != NOTHING)
			return false;
	return true;
}

static void settle(struct history *history)
{
	while (!is_quiet(history))
		deliver(history, (uint32_t)pccl_rng_below(&history->rng, CALLS),
			(uint32_t)pccl_rng_below(&history->rng, 2));
}

static void check_agreement(const struct history *history)
{
	assert_int_equal(history->sides[0].stand, history->sides[1].stand);
	if (history->sides[0].stand != DOWN)
		assert_int_equal(history->sides[0].call, history->sides[1].call);
}

static void begin(struct history *history, uint64_t seed)
{
	memset(history, 0, sizeof(*history));
	pccl_rng_seed(&history->rng, seed);
}

static void connections_that_cross_leave_one(void **state)
{
	struct history history;
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < 20000; seed++) {
		begin(&history, seed);
		call(&history, 0);
		if (seed % 2 == 0)
			deliver(&history, 0, 1);
		call(&history, 1);
		settle(&history);
		check_agreement(&history);
		assert_int_equal(history.sides[0].stand, UP);
	}
}

/* Sides give connections up and call again whenever they like. Who comes to be alone has seen the end of its
 * connection, and calls: what is never allowed is that each stands by a connection of its own. */
static void sides_never_part_over_two_connections(void **state)
{
	struct history history;
	uint64_t seed;
	int steps;

	(void)state;
	for (seed = 0; seed < 100000; seed++) {
		begin(&history, seed);
		for (steps = 0; steps < 40; steps++) {
			uint32_t who = (uint32_t)pccl_rng_below(&history.rng, 2);

			if (pccl_rng_chance(&history.rng, 1, 12))
				drop(&history, who);
			else if (pccl_rng_chance(&history.rng, 1, 4))
				call(&history, who);
			else
				deliver(&history, (uint32_t)pccl_rng_below(&history.rng, CALLS), who);
		}
		settle(&history);
		check_agreement(&history);
	}
}

static void leader_stands_by_its_call_for_a_while_only(void **state)
{
	struct pccl_crossing side = {.leads = true, .calls = true, .called_ns = PCCL_CROSSING_PATIENCE_NS - 1};

	(void)state;
	assert_int_equal(pccl_crossing_judge(&side, 0), PCCL_CROSSING_WAIT);
	side.called_ns++;
	assert_int_equal(pccl_crossing_judge(&side, 0), PCCL_CROSSING_TAKE);
	side.called_ns = 0;
	side.calls = false;
	assert_int_equal(pccl_crossing_judge(&side, 0), PCCL_CROSSING_TAKE);
	side.calls = true;
	side.leads = false;
	assert_int_equal(pccl_crossing_judge(&side, 0), PCCL_CROSSING_TAKE);
}

static void old_calls_are_told_from_new_ones_when_numbers_wrap(void **state)
{
	struct pccl_crossing side = {.known = 0};

	(void)state;
	assert_int_equal(pccl_crossing_judge(&side, UINT32_MAX), PCCL_CROSSING_OLD);
	assert_int_equal(pccl_crossing_judge(&side, 0), PCCL_CROSSING_TAKE);
	assert_int_equal(pccl_crossing_judge(&side, 5), PCCL_CROSSING_TAKE);
	side.known = UINT32_MAX;
	assert_int_equal(pccl_crossing_judge(&side, 1), PCCL_CROSSING_TAKE);
	assert_int_equal(pccl_crossing_judge(&side, UINT32_MAX - 1), PCCL_CROSSING_OLD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_that_cross_leave_one),
		cmocka_unit_test(sides_never_part_over_two_connections),
		cmocka_unit_test(leader_stands_by_its_call_for_a_while_only),
		cmocka_unit_test(old_calls_are_told_from_new_ones_when_numbers_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
