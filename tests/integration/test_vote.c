/* Joint calls: the voter that dies, the one that votes for something else, and everybody gets the same answer. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <pccl/state.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { TOLD_RESULT, TOLD_END_NS };
enum { LATE_MS = 2000 }; /* the two that are not late come within it, on a busy machine too */

static void check_next_call(struct world_peer *me, unsigned size)
{
	int64_t sum;

	CHECK(peer_world_size(me) == size);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 77, 1, &sum));
	CHECK(sum == size);
}

struct vote {
	pcclResult_t (*call)(struct world_peer *me);
	unsigned victim;
	bool victim_votes; /* alone; the others vote after its death. Else they vote and wait for it, until it dies. */
};

static pcclResult_t call_update(struct world_peer *me)
{
	return pcclUpdateTopology(me->comm);
}

static pcclResult_t call_optimize(struct world_peer *me)
{
	return pcclOptimizeTopology(me->comm);
}

static pcclResult_t call_pending(struct world_peer *me)
{
	bool pending;

	return pcclArePeersPending(me->comm, &pending);
}

static void votes(struct world_peer *me)
{
	const struct vote *vote = me->argument;
	pcclResult_t result;

	peer_join(me);
	peer_grow(me, 3);
	peer_reach(me, 1);
	if (me->index == vote->victim) {
		if (vote->victim_votes)
			CHECK_RESULT(pcclSuccess, vote->call(me));
		peer_wait_gate(me, 1000);
	}
	if (vote->victim_votes)
		peer_wait_gate(me, 1);
	result = vote->call(me);
	peer_tell(me, TOLD_END_NS, peers_now_ns());
	peer_tell(me, TOLD_RESULT, (uint64_t)result);
	check_next_call(me, 2);
	peer_leave(me);
}

static void kill_a_voter(void **state, const struct vote *vote)
{
	struct world *world = *state;
	uint64_t killed_ns;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, votes, vote);
	peers_await_all(world, 0, 3, 1);
	peers_sleep_ms(50);
	killed_ns = peers_now_ns();
	peers_signal(world, vote->victim, SIGKILL);
	peers_open_gate(world, 1);
	peers_finish(world);
	for (i = 0; i < 3; i++) {
		if (i == vote->victim)
			continue;
		assert_int_equal(peers_told(world, i, TOLD_RESULT), pcclSuccess);
		assert_true(peers_is_soon(peers_told(world, i, TOLD_END_NS), killed_ns));
	}
}

static void the_last_voter_dies_during_an_update(void **state)
{
	const struct vote vote = {call_update, 1, false};

	kill_a_voter(state, &vote);
}

static void the_first_voter_dies_during_an_update(void **state)
{
	const struct vote vote = {call_update, 0, true};

	kill_a_voter(state, &vote);
}

static void the_last_voter_dies_during_optimization(void **state)
{
	const struct vote vote = {call_optimize, 2, false};

	kill_a_voter(state, &vote);
}

static void the_last_voter_dies_during_a_question(void **state)
{
	const struct vote vote = {call_pending, 0, false};

	kill_a_voter(state, &vote);
}

/* ---- late votes ---------------------------------------------------------------------------------------------- */

/* The last one comes when the others have been sent back; nothing was lost, and they go on together. */
static void waits_for_a_late_vote(struct world_peer *me)
{
	me->config.joint_timeout_ms = LATE_MS;
	peer_join(me);
	peer_grow(me, 3);
	if (peer_rank(me) == 2)
		peer_wait_gate(me, 1);
	if (peer_rank(me) < 2) {
		CHECK_RESULT(pcclTimeout, pcclUpdateTopology(me->comm));
		CHECK(strstr(pcclGetLastError(me->comm), "rank 2") != NULL);
		peer_reach(me, 1);
		peer_wait_gate(me, 1);
	}
	while (pcclUpdateTopology(me->comm) != pcclSuccess)
		CHECK(strstr(pcclGetLastError(me->comm), "not called") != NULL);
	check_next_call(me, 3);
	peer_reach(me, 2);
	peer_meet(me, 3);
	peer_leave(me);
}

static void await_two(struct world *world)
{
	while (peers_get(&world->shared->slots[0].milestone) + peers_get(&world->shared->slots[1].milestone) +
		       peers_get(&world->shared->slots[2].milestone) <
	       2)
		peers_sleep_ms(1);
}

static void a_joint_call_has_a_deadline(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, waits_for_a_late_vote, NULL);
	await_two(world);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* A time-out is every member's, the late one's too: so all make the same calls. */
static void looks_for_drift_late(struct world_peer *me)
{
	uint8_t bytes[100] = {7};
	pcclTensorInfo_t info = {.name = "bytes", .data = bytes, .count = sizeof(bytes), .datatype = pcclUint8};
	const pcclSharedState_t shared = {.count = 1, .infos = &info};
	pcclResult_t result;

	me->config.joint_timeout_ms = LATE_MS;
	peer_join(me);
	peer_grow(me, 3);
	if (peer_rank(me) == 2)
		peer_wait_gate(me, 1);
	CHECK_RESULT(pcclTimeout, pcclStateCheck(me->comm, &shared, NULL, NULL));
	if (peer_rank(me) < 2) {
		CHECK(strstr(pcclGetLastError(me->comm), "rank 2") != NULL);
		peer_reach(me, 1);
		peer_wait_gate(me, 1);
	}
	do
		result = pcclStateCheck(me->comm, &shared, NULL, NULL);
	while (result == pcclTimeout);
	CHECK_RESULT(pcclSuccess, result);
	check_next_call(me, 3);
	peer_meet(me, 3);
	peer_leave(me);
}

static void a_look_for_drift_has_a_deadline(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, looks_for_drift_late, NULL);
	await_two(world);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* ---- different votes ----------------------------------------------------------------------------------------- */

/* PCCL 1.0 programs know a failed vote by these codes and may try again. */
static void votes_for_something_else(struct world_peer *me)
{
	bool pending;

	peer_join(me);
	peer_grow(me, 3);
	if (me->index == 1) {
		CHECK_RESULT(pcclInvalidUsage, pcclArePeersPending(me->comm, &pending));
	} else {
		CHECK_RESULT(pcclUpdateTopologyFailed, pcclUpdateTopology(me->comm));
	}
	CHECK(strstr(pcclGetLastError(me->comm), "pcclUpdateTopology") != NULL);
	CHECK(strstr(pcclGetLastError(me->comm), "pcclArePeersPending") != NULL);
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	check_next_call(me, 3);
	peer_meet(me, 3);
	peer_leave(me);
}

static void different_votes_fail_on_every_peer(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, votes_for_something_else, NULL);
	peers_finish(world);
}

static void votes_many_times(struct world_peer *me)
{
	bool pending;
	int i;

	peer_join(me);
	peer_grow(me, 4);
	for (i = 0; i < 100; i++) {
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
		CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &pending));
		CHECK(!pending);
		CHECK_RESULT(pcclSuccess, pcclOptimizeTopology(me->comm));
	}
	check_next_call(me, 4);
	peer_meet(me, 4);
	peer_leave(me);
}

static void hundreds_of_votes_pass(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 4, votes_many_times, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_last_voter_dies_during_an_update, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_first_voter_dies_during_an_update, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_last_voter_dies_during_optimization, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_last_voter_dies_during_a_question, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_joint_call_has_a_deadline, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_look_for_drift_has_a_deadline, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(different_votes_fail_on_every_peer, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(hundreds_of_votes_pass, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
