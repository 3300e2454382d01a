/* Groups fail alone; bundles join together or not at all. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { COUNT = 1 << 20, TOLD_ROUNDS = 0 };

/* ---- failures ------------------------------------------------------------------------------------------------ */

/* Group 0 loses a member amid an operation; group 1 must not notice. */
static void works_in_a_group(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	int32_t *buffer = calloc(COUNT, sizeof(*buffer));
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclResult_t result = pcclSuccess;
	int64_t open = 0;
	uint64_t rounds = 0, epoch;

	CHECK(buffer != NULL);
	me->params.peer_group = me->index % 2;
	peer_join(me);
	peer_grow(me, 3);
	epoch = peer_epoch(me);
	info.participants_max = 3;
	operation.count = COUNT;
	operation.datatype = pcclInt32;
	while (open == 0 && result == pcclSuccess && info.participants_max == 3) {
		result = pcclAllReduceWith(buffer, buffer, &operation, me->comm, &info);
		if (result == pcclSuccess && info.participants_max == 3)
			result = peer_sum(me, 5, peer_gate_is_open(me, 1), &open);
		peer_reach(me, ++rounds);
	}
	if (me->params.peer_group == 1) {
		CHECK_RESULT(pcclSuccess, result);
		CHECK(peer_epoch(me) == epoch && peer_world_size(me) == 3);
	} else {
		/* The loss may have come between two operations. */
		CHECK(result == pcclRankConnectionLost || result == pcclSuccess);
		CHECK(peer_epoch(me) > epoch && peer_world_size(me) == 2);
		CHECK_RESULT(pcclSuccess, peer_sum(me, 6, 1, &open));
		CHECK(open == 2);
		peer_reach(me, 1000000000);
	}
	free(buffer);
	peer_meet(me, 5);
	peer_leave(me);
}

static void a_failure_in_one_group_leaves_the_other_alone(void **state)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 6, works_in_a_group, NULL);
	peers_await_all(world, 0, 6, 2);
	peers_sleep_ms(5);
	peers_signal(world, 2, SIGKILL);
	peers_await(world, 0, 1000000000);
	peers_await(world, 4, 1000000000);
	for (i = 1; i < 6; i += 2)
		peers_await(world, i, peers_get(&world->shared->slots[i].milestone) + 3);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* Votes of one group do not wait for the other. */
static void votes_in_its_group(struct world_peer *me)
{
	int i;

	me->params.peer_group = me->index % 2;
	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	if (me->params.peer_group == 0)
		peer_wait_gate(me, 1);
	for (i = 0; i < 20; i++)
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	peer_reach(me, 2);
	peer_leave(me);
}

static void groups_vote_independently(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 4, votes_in_its_group, NULL);
	peers_await_all(world, 0, 4, 1);
	peers_await(world, 1, 2);
	peers_await(world, 3, 2);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* PCCL 1.0 asked how many peers there are in all, not in the group. */
static void optimizes_alone_in_its_group(struct world_peer *me)
{
	int peers = 0;

	me->params.peer_group = me->index;
	peer_join(me);
	while (peers < 2) {
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
		CHECK_RESULT(pcclSuccess, pcclGetAttribute(me->comm, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, &peers));
	}
	CHECK_RESULT(pcclSuccess, pcclOptimizeTopology(me->comm));
	peer_meet(me, 2);
	peer_leave(me);
}

static void a_group_of_one_among_others_may_optimize(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, optimizes_alone_in_its_group, NULL);
	peers_finish(world);
}

/* ---- bundles ------------------------------------------------------------------------------------------------- */

/* One member of each group; they update until both groups have two, and stay at one until the whole bundle is
 * there. */
static void receives_a_bundle(struct world_peer *me)
{
	me->params.peer_group = me->index;
	peer_join(me);
	peer_reach(me, 1);
	while (!peer_gate_is_open(me, 1)) {
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
		CHECK(peer_world_size(me) == 1);
		peer_tell(me, 0, peers_told(me->world, me->index, 0) + 1);
		peers_sleep_ms(1);
	}
	peer_grow(me, 2);
	peer_reach(me, 2);
	peer_wait_gate(me, 2);
	peer_leave(me);
}

static void joins_with_its_bundle(struct world_peer *me)
{
	me->params.peer_group = me->index % 2;
	me->config.bundle_id = 4711;
	me->config.bundle_size = 2;
	peer_create(me);
	peer_reach(me, 1);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(peer_world_size(me) == 2);
	peer_reach(me, 2);
	peer_wait_gate(me, 2);
	peer_leave(me);
}

static void await_updates(struct world *world, unsigned peer, uint64_t count)
{
	uint64_t until = peers_told(world, peer, 0) + count,
		 until_ns = peers_now_ns() + 20 * WORLD_SECOND_NS * peers_patience();

	while (peers_told(world, peer, 0) < until) {
		assert_true(peers_now_ns() < until_ns);
		peers_sleep_ms(1);
	}
}

static void a_bundle_joins_together_or_not_at_all(void **state)
{
	struct world *world = *state;
	unsigned first;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, receives_a_bundle, NULL);
	peers_await_all(world, 0, 2, 1);
	first = peers_start(world, 1, joins_with_its_bundle, NULL);
	peers_await(world, first, 1);
	await_updates(world, 0, 20);
	await_updates(world, 1, 20);
	peers_open_gate(world, 1);
	/* Now the members admit whoever is ready: only the second one makes it so. */
	peers_sleep_ms(100);
	assert_int_equal(peers_get(&world->shared->slots[0].milestone), 1);
	assert_int_equal(peers_get(&world->shared->slots[first].milestone), 1);
	peers_start(world, 1, joins_with_its_bundle, NULL);
	peers_await_all(world, 0, 4, 2);
	peers_open_gate(world, 2);
	peers_finish(world);
}

/* A bundle that founds its groups is complete or nothing as well, whoever told its ranks of it. */
static void founds_with_its_bundle(struct world_peer *me)
{
	me->params.peer_group = me->index;
	if (me->index == 0) {
		me->config.bundle_id = 1;
		me->config.bundle_size = 3;
	} else {
		setenv("PCCL_BUNDLE", "1/3", 1);
	}
	if (me->index == 2) {
		/* As programs of PCCL 1.0 do, which know no other way. */
		CHECK_RESULT(pcclSuccess, pcclInit());
		CHECK_RESULT(pcclSuccess, pcclCreateCommunicator(&me->params, &me->comm));
	} else {
		peer_create(me);
	}
	peer_reach(me, 1);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(peer_world_size(me) == 1);
	peer_reach(me, 2);
	peer_wait_gate(me, 1);
	peer_leave(me);
}

static void a_bundle_founds_its_groups_together(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, founds_with_its_bundle, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_sleep_ms(100);
	assert_int_equal(peers_get(&world->shared->slots[0].milestone), 1);
	assert_int_equal(peers_get(&world->shared->slots[1].milestone), 1);
	peers_start(world, 1, founds_with_its_bundle, NULL);
	peers_await_all(world, 0, 3, 2);
	peers_open_gate(world, 1);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_failure_in_one_group_leaves_the_other_alone, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(groups_vote_independently, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_group_of_one_among_others_may_optimize, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_bundle_joins_together_or_not_at_all, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_bundle_founds_its_groups_together, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
