/* kill -9 in every phase: the survivors agree, get their input back, and go on at once. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { TOLD_RESULT, TOLD_END_NS };

static const unsigned everybody[] = {0, 1, 2, 3, 4, 5, 6, 7};

/* Everybody of the group gives 1. */
static void check_next_call(struct world_peer *me, unsigned size)
{
	int64_t sum;

	CHECK(peer_world_size(me) == size);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 77, 1, &sum));
	CHECK(sum == size);
}

static void tell_result(struct world_peer *me, pcclResult_t result)
{
	peer_tell(me, TOLD_END_NS, peers_now_ns());
	peer_tell(me, TOLD_RESULT, (uint64_t)result);
	peer_reach(me, 10);
}

/* All peers but one told the same result, soon after the kill. Returns it. */
static pcclResult_t check_agreement(const struct world *world, unsigned size, unsigned killed, uint64_t killed_ns)
{
	unsigned first = killed == 0 ? 1 : 0, i;

	for (i = 0; i < size; i++) {
		if (i == killed)
			continue;
		assert_int_equal(peers_told(world, i, TOLD_RESULT), peers_told(world, first, TOLD_RESULT));
		assert_true(peers_is_soon(peers_told(world, i, TOLD_END_NS), killed_ns));
	}
	return (pcclResult_t)peers_told(world, first, TOLD_RESULT);
}

/* ---- in the middle of a large all-reduce --------------------------------------------------------------------- */

enum { LARGE_BYTES = 64 << 20 };

struct large {
	bool in_place;
	pcclPlan_t plan;
	unsigned lanes;
};

static size_t large_count(void)
{
	return LARGE_BYTES / peers_patience() / sizeof(float);
}

static void reduces_a_large_buffer(struct world_peer *me)
{
	const struct large *large = me->argument;
	const size_t count = large_count();
	float *input = malloc(count * sizeof(*input));
	float *output = large->in_place ? input : malloc(count * sizeof(*output));
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclResult_t result;
	unsigned rank;

	CHECK(input != NULL && output != NULL);
	me->config.lanes = large->lanes;
	me->config.streams = large->lanes;
	peer_join(me);
	peer_grow(me, 4);
	rank = peer_rank(me);
	operation.count = count;
	operation.plan = large->plan;
	/* Until the kill has hit one of them, or come between two. */
	do {
		values_fill(input, pcclFloat, 0, count, rank);
		peer_reach(me, 1);
		result = pcclAllReduceWith(input, output, &operation, me->comm, &info);
		if (result == pcclSuccess && info.participants_max == 4)
			CHECK(values_reduced(output, pcclFloat, pcclSum, count / 3, count / 50, everybody, 4));
	} while (result == pcclSuccess && info.participants_max == 4);
	tell_result(me, result);
	if (result != pcclSuccess) {
		CHECK_RESULT(pcclRankConnectionLost, result);
		CHECK(strlen(pcclGetLastError(me->comm)) > 0);
		CHECK(values_filled(input, pcclFloat, 0, count, rank));
	}
	check_next_call(me, 3);
	if (!large->in_place)
		free(output);
	free(input);
	peer_leave(me);
}

/* What all survivors say; success: it came between two operations. */
static pcclResult_t kill_one(struct world *world, const struct large *large, unsigned victim)
{
	uint64_t killed_ns;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 4, reduces_a_large_buffer, large);
	peers_await_all(world, 0, 4, 1);
	peers_sleep_ms(5 + (unsigned)(peers_now_ns() % 40));
	killed_ns = peers_now_ns();
	peers_signal(world, victim, SIGKILL);
	peers_finish(world);
	return check_agreement(world, 4, victim, killed_ns);
}

/* In a world of its own each time. Where memory is not much faster than peers most kills come amid an operation. */
static void kill_amid_a_large_all_reduce(const struct large *large, unsigned victim)
{
	pcclResult_t result = pcclSuccess;
	unsigned attempt;

	for (attempt = 0; attempt < 20 && result == pcclSuccess; attempt++) {
		void *world = NULL;

		assert_int_equal(peers_open(&world), 0);
		result = kill_one(world, large, victim);
		assert_int_equal(peers_close(&world), 0);
	}
	assert_int_equal(result, pcclRankConnectionLost);
}

static void a_kill_amid_an_all_reduce_gives_the_input_back(void **state)
{
	const struct large large = {false, pcclPlanDirect, 1};

	(void)state;
	kill_amid_a_large_all_reduce(&large, 2);
}

static void a_kill_amid_an_all_reduce_in_place_gives_the_input_back(void **state)
{
	const struct large large = {true, pcclPlanDirect, 1};

	(void)state;
	kill_amid_a_large_all_reduce(&large, 1);
}

static void a_kill_amid_a_ring_of_three_lanes_gives_the_input_back(void **state)
{
	const struct large large = {true, pcclPlanRing, 3};

	(void)state;
	kill_amid_a_large_all_reduce(&large, 3);
}

static void the_founder_may_be_killed_amid_two_lanes(void **state)
{
	const struct large large = {true, pcclPlanAuto, 2};

	(void)state;
	kill_amid_a_large_all_reduce(&large, 0);
}

/* ---- between operations -------------------------------------------------------------------------------------- */

static void works_idles_and_works(struct world_peer *me)
{
	pcclResult_t result;
	int64_t sum;

	peer_join(me);
	peer_grow(me, 3);
	check_next_call(me, 3);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	/* The view may have changed by now or not: all have the same answer. */
	do {
		result = peer_sum(me, 1, 1, &sum);
	} while (result == pcclRankConnectionLost);
	CHECK_RESULT(pcclSuccess, result);
	CHECK(sum == 2);
	check_next_call(me, 2);
	peer_leave(me);
}

static void a_kill_between_operations_costs_one_failure_at_most(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, works_idles_and_works, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_signal(world, 1, SIGKILL);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void the_view_shrinks_without_a_call(struct world_peer *me)
{
	peer_join(me);
	peer_grow(me, 3);
	peer_reach(me, 1);
	while (peer_world_size(me) == 3)
		peers_sleep_ms(1);
	peer_tell(me, TOLD_END_NS, peers_now_ns());
	check_next_call(me, 2);
	peer_leave(me);
}

static void idle_peers_learn_of_a_kill(void **state)
{
	struct world *world = *state;
	uint64_t killed_ns;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, the_view_shrinks_without_a_call, NULL);
	peers_await_all(world, 0, 3, 1);
	killed_ns = peers_now_ns();
	peers_signal(world, 2, SIGKILL);
	peers_finish(world);
	check_agreement(world, 3, 2, killed_ns);
}

/* ---- while joining ------------------------------------------------------------------------------------------- */

static void updates_until_gate(struct world_peer *me)
{
	int64_t open = 0;

	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	while (open == 0) {
		unsigned size;

		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
		size = peer_world_size(me);
		/* A joiner that was admitted and killed makes an operation fail, but never for long. */
		if (peer_sum(me, 5, peer_gate_is_open(me, 1) * 100 + 1, &open) != pcclSuccess)
			open = 0;
		CHECK(size >= 2);
		open /= 100;
	}
	while (peer_world_size(me) > 2)
		peers_sleep_ms(1);
	check_next_call(me, 2);
	peer_leave(me);
}

static void joins_and_is_killed(struct world_peer *me)
{
	int64_t sum;

	peer_create(me);
	peer_reach(me, 1);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	for (;;) {
		(void)peer_sum(me, 5, 1, &sum);
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	}
}

static void kills_while_joining_leave_a_sane_view(void **state)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, updates_until_gate, NULL);
	peers_await_all(world, 0, 2, 1);
	for (i = 0; i < 20; i++) {
		unsigned joiner = peers_start(world, 1, joins_and_is_killed, NULL);

		peers_await(world, joiner, 1);
		peers_sleep_ms(i % 10);
		peers_signal(world, joiner, SIGKILL);
	}
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void waits_in_vain(struct world_peer *me)
{
	peer_create(me);
	peer_reach(me, 1);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(!"nobody has admitted this peer");
}

static void grows_and_waits(struct world_peer *me)
{
	bool pending;

	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	do /* until the master knows as well */
		CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &pending));
	while (pending);
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	check_next_call(me, 2);
	peer_leave(me);
}

static void a_joiner_killed_while_it_waits_is_forgotten(void **state)
{
	struct world *world = *state;
	unsigned joiner;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, grows_and_waits, NULL);
	peers_await_all(world, 0, 2, 1);
	joiner = peers_start(world, 1, waits_in_vain, NULL);
	peers_await(world, joiner, 1);
	peers_sleep_ms(50);
	peers_signal(world, joiner, SIGKILL);
	peers_sleep_ms(50);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void grows_and_dies(struct world_peer *me)
{
	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1000);
}

static void founds_the_group_anew(struct world_peer *me)
{
	peer_create(me);
	peer_reach(me, 1);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	CHECK(peer_world_size(me) == 1);
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	peer_leave(me);
}

static void when_all_members_die_the_one_who_waits_is_admitted(void **state)
{
	struct world *world = *state;
	unsigned joiner;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, grows_and_dies, NULL);
	peers_await_all(world, 0, 2, 1);
	joiner = peers_start(world, 1, founds_the_group_anew, NULL);
	peers_await(world, joiner, 1);
	peers_sleep_ms(50);
	peers_signal(world, 0, SIGKILL);
	peers_signal(world, 1, SIGKILL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_kill_amid_an_all_reduce_gives_the_input_back),
		cmocka_unit_test(a_kill_amid_an_all_reduce_in_place_gives_the_input_back),
		cmocka_unit_test(a_kill_amid_a_ring_of_three_lanes_gives_the_input_back),
		cmocka_unit_test(the_founder_may_be_killed_amid_two_lanes),
		cmocka_unit_test_setup_teardown(a_kill_between_operations_costs_one_failure_at_most, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(idle_peers_learn_of_a_kill, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(kills_while_joining_leave_a_sane_view, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_joiner_killed_while_it_waits_is_forgotten, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(when_all_members_die_the_one_who_waits_is_admitted, peers_open,
						peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
