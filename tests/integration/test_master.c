/* No single point of failure: masters that die, come back, or leave the place to a standby. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"

/* All-reduces until the group agrees that the gate is open; none may fail. */
static void work_until_gate(struct world_peer *me, uint64_t gate, unsigned size, uint64_t *rounds)
{
	int64_t sum = 0;

	while (sum < 1000) {
		CHECK_RESULT(pcclSuccess, peer_sum(me, 1, peer_gate_is_open(me, gate) ? 1000 : 1, &sum));
		CHECK(sum % 999 == size);
		peer_reach(me, ++*rounds);
	}
}

static void await_rounds(struct world *world, unsigned peers, uint64_t rounds)
{
	unsigned i;

	for (i = 0; i < peers; i++)
		peers_await(world, i, peers_get(&world->shared->slots[i].milestone) + rounds);
}

/* "127.0.0.1:first,127.0.0.1:second" */
static void list_masters(struct world_peer *me, char *text, size_t text_bytes)
{
	(void)snprintf(text, text_bytes, "127.0.0.1:%u,127.0.0.1:%u", me->world->masters[0].port,
		       me->world->masters[1].port);
	me->params.master_address.port = 0;
	me->config.masters = text;
}

/* ---- one master ---------------------------------------------------------------------------------------------- */

/* Works in a world of three, then updates until a fourth has come. */
static void works_through_a_restart(struct world_peer *me)
{
	uint64_t rounds = 0, epoch;
	int64_t sum;

	peer_join(me);
	peer_grow(me, 3);
	epoch = peer_epoch(me);
	work_until_gate(me, 1, 3, &rounds);
	CHECK(peer_epoch(me) == epoch);
	peer_grow(me, 4);
	CHECK(peer_epoch(me) > epoch);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	CHECK(sum == 4);
	peer_leave(me);
}

/* If it comes to a restarted master before the members do, it founds a group, and gives way to them when they are
 * back. */
static void joins_as_fourth(struct world_peer *me)
{
	int64_t sum;

	peer_join(me);
	peer_grow(me, 4);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	CHECK(sum == 4);
	peer_leave(me);
}

static void operations_go_on_while_the_master_is_killed_and_restarted(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_PROGRAM);

	peers_start(world, 3, works_through_a_restart, NULL);
	await_rounds(world, 3, 10);
	peers_kill_master(world, master);
	await_rounds(world, 3, 200);
	peers_restart_master(world, master, WORLD_PROGRAM);
	await_rounds(world, 3, 200);
	peers_open_gate(world, 1);
	peers_start(world, 1, joins_as_fourth, NULL);
	peers_finish(world);
}

/* Again and again, with the other kind of master as well. */
static void a_master_may_be_restarted_many_times(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_PROGRAM), i;

	peers_start(world, 3, works_through_a_restart, NULL);
	await_rounds(world, 3, 10);
	for (i = 0; i < 5; i++) {
		peers_kill_master(world, master);
		peers_sleep_ms(i * 20);
		peers_restart_master(world, master, i % 2 == 0 ? WORLD_EMBEDDED : WORLD_PROGRAM);
		await_rounds(world, 3, 20);
	}
	peers_open_gate(world, 1);
	peers_start(world, 1, joins_as_fourth, NULL);
	peers_finish(world);
}

static void updates_while_there_is_no_master(struct world_peer *me)
{
	int64_t sum;

	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	peer_reach(me, 2);
	/* It waits for the master to come back. */
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	CHECK(peer_gate_is_open(me, 2));
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	CHECK(sum == 2);
	peer_leave(me);
}

static void a_vote_waits_for_the_master_to_come_back(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_EMBEDDED);

	peers_start(world, 2, updates_while_there_is_no_master, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_kill_master(world, master);
	peers_open_gate(world, 1);
	peers_await_all(world, 0, 2, 2);
	peers_sleep_ms(200);
	peers_open_gate(world, 2);
	peers_restart_master(world, master, WORLD_EMBEDDED);
	peers_finish(world);
}

static void votes_without_a_master(struct world_peer *me)
{
	pcclResult_t result;
	bool pending;
	int64_t sum;

	setenv("PCCL_CONNECT_TIMEOUT_MS", "3000", 1);
	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclUpdateTopology(me->comm));
	CHECK(strstr(pcclGetLastError(NULL), "no master could be reached") != NULL);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclArePeersPending(me->comm, &pending));
	CHECK_RESULT(pcclMasterConnectionFailed, pcclOptimizeTopology(me->comm));
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	CHECK(sum == 2);
	peer_reach(me, 2);
	do
		result = pcclUpdateTopology(me->comm);
	while (result == pcclMasterConnectionFailed);
	CHECK_RESULT(pcclSuccess, result);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	peer_leave(me);
}

static void joint_calls_end_in_time_without_a_master(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_EMBEDDED);

	peers_start(world, 2, votes_without_a_master, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_kill_master(world, master);
	peers_open_gate(world, 1);
	peers_await_all(world, 0, 2, 2);
	peers_restart_master(world, master, WORLD_EMBEDDED);
	peers_finish(world);
}

static void knows_that_the_master_is_away(struct world_peer *me)
{
	uint64_t before_ns;
	unsigned i;

	me->config.connect_timeout_ms = 5000;
	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclUpdateTopology(me->comm));
	before_ns = peers_now_ns();
	for (i = 0; i < 2; i++)
		CHECK_RESULT(pcclMasterConnectionFailed, pcclUpdateTopology(me->comm));
	/* No faster than it is dialled, no slower than once round: no loop spins, and none waits for nothing. */
	CHECK(peers_now_ns() - before_ns > 200 * WORLD_MS_NS);
	CHECK(peers_is_soon(peers_now_ns(), before_ns));
	peer_leave(me);
}

static void the_second_joint_call_without_a_master_is_quick(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_EMBEDDED);

	peers_start(world, 2, knows_that_the_master_is_away, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_kill_master(world, master);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* A view change waits for the master, and comes when a majority has found it again. */
static void loses_master_and_peer(struct world_peer *me)
{
	pcclResult_t result;
	int64_t sum;

	peer_join(me);
	peer_grow(me, 3);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	do {
		result = peer_sum(me, 7, 1, &sum);
	} while (result == pcclRankConnectionLost);
	CHECK_RESULT(pcclSuccess, result);
	CHECK(sum == 2 && peer_world_size(me) == 2);
	peer_meet(me, 2);
	peer_leave(me);
}

/* Neither comes back: who waits for the lost one is told so in time, and who computes is left alone until it waits. */
static void is_left_by_master_and_peer(struct world_peer *me)
{
	uint64_t before_ns;
	int64_t sum;

	me->config.connect_timeout_ms = 3000 * peers_patience();
	me->config.heartbeat_interval_ms = 100;
	me->config.heartbeat_timeout_ms = 800 * peers_patience();
	peer_join(me);
	peer_grow(me, 3);
	peer_reach(me, 1);
	peer_wait_gate(me, 1 + me->index);
	before_ns = peers_now_ns();
	CHECK_RESULT(pcclEvicted, peer_sum(me, 7, 1, &sum));
	CHECK(strstr(pcclGetLastError(NULL), "no master could be reached") != NULL);
	CHECK(peers_now_ns() - before_ns > 15900 * WORLD_MS_NS);
	CHECK(peers_now_ns() - before_ns < 50 * WORLD_SECOND_NS * peers_patience());
	CHECK_RESULT(pcclEvicted, pcclUpdateTopology(me->comm));
	peer_reach(me, 2);
	peer_leave(me);
}

static void who_waits_for_a_lost_peer_without_a_master_is_told_in_time(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_PROGRAM);

	world->slowness = 2; /* sixteen seconds pass in it */
	peers_start(world, 3, is_left_by_master_and_peer, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_kill_master(world, master);
	peers_signal(world, 2, SIGKILL);
	peers_open_gate(world, 1);
	peers_await(world, 0, 2);
	peers_open_gate(world, 2);
	peers_finish(world);
}

static void a_peer_lost_without_a_master_is_given_up_when_one_is_back(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_PROGRAM);

	peers_start(world, 3, loses_master_and_peer, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_kill_master(world, master);
	peers_signal(world, 1, SIGKILL);
	peers_open_gate(world, 1);
	peers_sleep_ms(200);
	peers_restart_master(world, master, WORLD_PROGRAM);
	peers_finish(world);
}

/* ---- a standby ----------------------------------------------------------------------------------------------- */

static void works_with_two_masters(struct world_peer *me)
{
	char masters[80];

	list_masters(me, masters, sizeof(masters));
	works_through_a_restart(me);
}

static void joins_as_fourth_with_two_masters(struct world_peer *me)
{
	char masters[80];

	list_masters(me, masters, sizeof(masters));
	joins_as_fourth(me);
}

static void joins_as_fourth_with_a_name_that_means_nothing(struct world_peer *me)
{
	char masters[80];

	(void)snprintf(masters, sizeof(masters), "no-such-host.invalid:48148,127.0.0.1:%u", me->world->masters[0].port);
	me->params.master_address.port = 0;
	me->config.masters = masters;
	joins_as_fourth(me);
}

static void a_name_that_means_nothing_does_not_defeat_the_list(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, works_through_a_restart, NULL);
	await_rounds(world, 3, 10);
	peers_open_gate(world, 1);
	peers_start(world, 1, joins_as_fourth_with_a_name_that_means_nothing, NULL);
	peers_finish(world);
}

static void a_standby_takes_over(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, works_with_two_masters, NULL);
	await_rounds(world, 3, 10);
	peers_kill_master(world, 0);
	await_rounds(world, 3, 200);
	peers_open_gate(world, 1);
	peers_start(world, 1, joins_as_fourth_with_two_masters, NULL);
	peers_finish(world);
}

/* The first one comes back while the standby is in charge: the run is not split. */
static void two_masters_do_not_split_a_run(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, works_with_two_masters, NULL);
	await_rounds(world, 3, 10);
	peers_kill_master(world, 0);
	await_rounds(world, 3, 50);
	peers_restart_master(world, 0, WORLD_PROGRAM);
	await_rounds(world, 3, 50);
	peers_open_gate(world, 1);
	peers_start(world, 1, joins_as_fourth_with_two_masters, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(operations_go_on_while_the_master_is_killed_and_restarted, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(a_master_may_be_restarted_many_times, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_vote_waits_for_the_master_to_come_back, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(joint_calls_end_in_time_without_a_master, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_second_joint_call_without_a_master_is_quick, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(a_peer_lost_without_a_master_is_given_up_when_one_is_back, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(who_waits_for_a_lost_peer_without_a_master_is_told_in_time, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(a_name_that_means_nothing_does_not_defeat_the_list, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(a_standby_takes_over, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(two_masters_do_not_split_a_run, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
