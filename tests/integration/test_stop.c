/* Peers that neither live nor die: stopped ones are given up in time and learn why; busy ones are not. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { TOLD_END_NS, TOLD_OPERATIONS };
enum { DEFAULT_MS = 3000, LONGER_MS = 6000 }; /* time-outs */

static const pcclReduceDescriptor_t one_integer = {
	.count = 1, .op = pcclSum, .tag = 1, .src_descriptor = {pcclInt64, pcclDistributionNone}};

static void give_up(struct world_peer *me, pcclResult_t result)
{
	CHECK_RESULT(pcclEvicted, result);
	CHECK(strlen(pcclGetLastError(me->comm)) > 0);
	/* That is how it stays. */
	CHECK_RESULT(pcclEvicted, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
}

/* With the time-out of whoever sets none; under a sanitizer with a longer one. */
static void join_as_it_is(struct world_peer *me)
{
	unsetenv("PCCL_HEARTBEAT_TIMEOUT_MS");
	if (peers_patience() > 1 && me->config.heartbeat_timeout_ms == 0)
		me->config.heartbeat_timeout_ms = DEFAULT_MS * peers_patience();
	peer_join(me);
}

static void join_again_and_finish(struct world_peer *me, unsigned size)
{
	int64_t sum;

	join_as_it_is(me);
	peer_grow(me, size);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	CHECK(sum == size);
	peer_leave(me);
}

/* Works until somebody is lost, then goes on with the others until that one has come back. */
static void works_with_one_who_stops(struct world_peer *me)
{
	int64_t value = 1, sum;
	pcclReduceInfo_t info;
	pcclResult_t result;

	join_as_it_is(me);
	peer_grow(me, 3);
	do {
		result = pcclAllReduce(&value, &sum, &one_integer, me->comm, &info);
		CHECK(result != pcclSuccess || sum == info.local_world_size);
		peer_reach(me, 1);
	} while (result == pcclSuccess && sum == 3);
	peer_tell(me, TOLD_END_NS, peers_now_ns());
	if (me->index == 1) {
		give_up(me, result);
		join_again_and_finish(me, 3);
		return;
	}
	/* The loss may have come between two operations: then none has failed. */
	CHECK(result == pcclRankConnectionLost || result == pcclSuccess);
	CHECK(peer_world_size(me) == 2);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 5, 1, &sum));
	CHECK(sum == 2);
	peer_reach(me, 2);
	peer_grow(me, 3);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	CHECK(sum == 3);
	peer_leave(me);
}

/* That the others have given it up: no earlier than a second before the time-out, and soon after it. */
static void check_end(struct world *world, uint64_t stopped_ns, unsigned timeout_ms)
{
	unsigned peer;

	timeout_ms *= peers_patience();
	for (peer = 0; peer <= 2; peer += 2) {
		peers_await(world, peer, 2);
		assert_true(peers_told(world, peer, TOLD_END_NS) > stopped_ns + (timeout_ms - 2000) * WORLD_MS_NS);
		assert_true(peers_is_soon(peers_told(world, peer, TOLD_END_NS), stopped_ns + timeout_ms * WORLD_MS_NS));
	}
}

static void a_stopped_peer_is_gone_in_time_and_may_come_back(void **state)
{
	struct world *world = *state;
	uint64_t stopped_ns;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, works_with_one_who_stops, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_sleep_ms(100);
	stopped_ns = peers_now_ns();
	peers_signal(world, 1, SIGSTOP);
	check_end(world, stopped_ns, DEFAULT_MS);
	peers_signal(world, 1, SIGCONT);
	peers_finish(world);
}

/* ---- the bound is a setting ---------------------------------------------------------------------------------- */

static void works_with_longer_heartbeats(struct world_peer *me)
{
	me->config.heartbeat_timeout_ms = LONGER_MS * peers_patience();
	works_with_one_who_stops(me);
}

static void the_bound_follows_the_setting(void **state)
{
	struct world *world = *state;
	uint64_t stopped_ns;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, works_with_longer_heartbeats, NULL);
	peers_await_all(world, 0, 3, 1);
	stopped_ns = peers_now_ns();
	peers_signal(world, 1, SIGSTOP);
	check_end(world, stopped_ns, LONGER_MS);
	peers_signal(world, 1, SIGCONT);
	peers_finish(world);
}

/* ---- stopped for long ---------------------------------------------------------------------------------------- */

/* PCCL_TEST_LONG: as long as it says, not scaled down. */
static bool is_long(void)
{
	return getenv("PCCL_TEST_LONG") != NULL;
}

/* A minute, longer than any timer of the connections; else twelve seconds, four time-outs. Nobody waits for it, and it
 * may come back. */
static void a_peer_stopped_for_a_minute_holds_nobody_up(void **state)
{
	struct world *world = *state;
	uint64_t stopped_ns, until_ns;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, works_with_one_who_stops, NULL);
	peers_await_all(world, 0, 3, 1);
	stopped_ns = peers_now_ns();
	peers_signal(world, 1, SIGSTOP);
	check_end(world, stopped_ns, DEFAULT_MS);
	for (until_ns = stopped_ns + (is_long() ? 60 : 12) * WORLD_SECOND_NS; peers_now_ns() < until_ns;)
		peers_sleep_ms(10);
	peers_signal(world, 1, SIGCONT);
	peers_finish(world);
}

/* ---- stopped amid a large operation -------------------------------------------------------------------------- */

enum { LARGE = 4 << 20 };

static void reduces_until_one_stops(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	int32_t *buffer = malloc(LARGE * sizeof(*buffer));
	size_t i;

	CHECK(buffer != NULL);
	join_as_it_is(me);
	peer_grow(me, 3);
	operation.count = LARGE;
	operation.datatype = pcclInt32;
	operation.failure_policy = pcclPolicyRepair;
	do {
		pcclResult_t result;

		for (i = 0; i < LARGE; i++)
			buffer[i] = 1;
		peer_reach(me, 1);
		result = pcclAllReduceWith(buffer, buffer, &operation, me->comm, &info);
		if (me->index == 2 && result != pcclSuccess) {
			give_up(me, result);
			free(buffer);
			return;
		}
		CHECK_RESULT(pcclSuccess, result);
		for (i = 0; i < LARGE; i++)
			CHECK(buffer[i] >= (int32_t)info.participants_min &&
			      buffer[i] <= (int32_t)info.participants_max);
	} while (info.participants_min == 3);
	CHECK(peer_world_size(me) == 2);
	peer_reach(me, 2);
	free(buffer);
	peer_meet(me, 2);
	peer_leave(me);
}

static void a_stop_amid_an_operation_is_repaired(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, reduces_until_one_stops, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_sleep_ms(10);
	peers_signal(world, 2, SIGSTOP);
	peers_await_all(world, 0, 2, 2);
	peers_signal(world, 2, SIGCONT);
	peers_finish(world);
}

/* ---- not given up -------------------------------------------------------------------------------------------- */

static void is_busy_for_long(struct world_peer *me)
{
	uint64_t until_ns;
	int64_t sum;

	join_as_it_is(me);
	peer_grow(me, 2);
	until_ns = peers_now_ns() + 3 * DEFAULT_MS / 2 * WORLD_MS_NS * peers_patience();
	while (me->index == 1 && peers_now_ns() < until_ns)
		;
	CHECK_RESULT(pcclSuccess, peer_sum(me, 1, 1, &sum));
	CHECK(sum == 2);
	peer_leave(me);
}

static void a_busy_caller_is_not_a_dead_peer(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, is_busy_for_long, NULL);
	peers_finish(world);
}

static void works_without_a_loss(struct world_peer *me)
{
	int64_t value, sum = 0;
	uint64_t epoch, round = 0;

	join_as_it_is(me);
	peer_grow(me, 3);
	epoch = peer_epoch(me);
	while (sum < 1000) {
		value = peer_gate_is_open(me, 1) ? 1000 : 1;
		CHECK_RESULT(pcclSuccess, pcclAllReduce(&value, &sum, &one_integer, me->comm, NULL));
		peer_reach(me, ++round);
	}
	CHECK(peer_epoch(me) == epoch);
	peer_meet(me, 3);
	peer_leave(me);
}

static void a_short_stop_costs_nothing_but_time(void **state)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, works_without_a_loss, NULL);
	peers_await_all(world, 0, 3, 10);
	for (i = 0; i < 3; i++) {
		peers_signal(world, i, SIGSTOP);
		peers_sleep_ms(300);
		peers_signal(world, i, SIGCONT);
		peers_sleep_ms(50);
	}
	peers_open_gate(world, 1);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_stopped_peer_is_gone_in_time_and_may_come_back, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(the_bound_follows_the_setting, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_peer_stopped_for_a_minute_holds_nobody_up, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_stop_amid_an_operation_is_repaired, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_busy_caller_is_not_a_dead_peer, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_short_stop_costs_nothing_but_time, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
