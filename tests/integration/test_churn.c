/* Peers that come and go without end: by leaving, by aborting, by dying; and many that come at once. */
#include <signal.h>
#include <stdlib.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { TOLD_SIZE, TOLD_LIVES, GATE_VALUE = 1000 };

static const pcclReduceDescriptor_t one_integer = {
	.count = 1, .op = pcclSum, .tag = 9, .src_descriptor = {pcclInt64, pcclDistributionNone}};

/* One joint step: an all-reduce, then an update. A newcomer is in the same place, for it was let in by the others'
 * update. Returns true when everybody has seen that the gate is open. */
static bool step(struct world_peer *me, uint64_t *steps)
{
	int64_t value = peer_gate_is_open(me, 1) ? GATE_VALUE + 1 : 1, sum = 0;
	pcclReduceInfo_t info;
	pcclResult_t result = pcclAllReduce(&value, &sum, &one_integer, me->comm, &info);

	if (result == pcclTooFewPeers) {
		sum = value;
		peers_sleep_ms(1);
	} else if (result == pcclSuccess) {
		CHECK(sum % GATE_VALUE == info.local_world_size);
		peer_tell(me, TOLD_SIZE, info.local_world_size);
		peer_reach(me, ++*steps);
	} else {
		CHECK_RESULT(pcclRankConnectionLost, result);
	}
	if (sum >= GATE_VALUE)
		return true;
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	return false;
}

/* Lives until the gate opens. */
static void stays(struct world_peer *me)
{
	uint64_t steps = 0;

	peer_join(me);
	while (!step(me, &steps))
		;
	peer_leave(me);
}

/* Lives many short lives. */
static void comes_and_goes(struct world_peer *me)
{
	unsigned random = me->index * 7919 + 1, lives;
	uint64_t steps = 0;
	bool done = false;

	for (lives = 1; !done; lives++) {
		unsigned left;

		random = random * 1103515245u + 12345;
		peer_join(me);
		for (left = (random >> 16) % 12; left > 0 && !done; left--)
			done = step(me, &steps);
		if ((random >> 24) % 3 == 0)
			CHECK_RESULT(pcclSuccess, pcclCommAbort(me->comm));
		peer_leave(me);
		peer_tell(me, TOLD_LIVES, lives);
		done = done || peer_gate_is_open(me, 1);
	}
}

static void peers_come_and_go_without_end(void **state)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, stays, NULL);
	peers_start(world, 5, comes_and_goes, NULL);
	for (i = 0; i < 2; i++)
		peers_await(world, i, 300);
	peers_open_gate(world, 1);
	peers_finish(world);
	for (i = 2; i < 7; i++)
		assert_true(peers_told(world, i, TOLD_LIVES) > 0);
}

/* Nobody stays: the group is founded again and again. */
static void a_group_without_regulars_goes_on(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 4, comes_and_goes, NULL);
	peers_sleep_ms(1000 * peers_patience());
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void peers_are_killed_and_replaced_without_end(void **state)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, stays, NULL);
	for (i = 0; i < 25; i++) {
		/* The two oldest live on; the others in turn, each after its first steps. */
		unsigned newest = peers_start(world, 1, stays, NULL);

		peers_await(world, newest, 1 + i % 4);
		peers_signal(world, newest - 1, SIGKILL);
	}
	peers_await(world, 0, peers_get(&world->shared->slots[0].milestone) + 10);
	peers_open_gate(world, 1);
	peers_finish(world);
	assert_in_range(peers_told(world, 0, TOLD_SIZE), 3, 4);
}

/* A storm: they are let in a few updates later. */
static void a_hundred_peers_join_at_once(void **state)
{
	const unsigned count = 100 / peers_patience(); /* sanitizers take memory and time */
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, count, stays, NULL);
	while (peers_told(world, 0, TOLD_SIZE) != count)
		peers_await(world, 0, peers_get(&world->shared->slots[0].milestone) + 1);
	peers_open_gate(world, 1);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(peers_come_and_go_without_end, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_group_without_regulars_goes_on, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(peers_are_killed_and_replaced_without_end, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_hundred_peers_join_at_once, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
