/* Joining, growing, leaving: worlds of one to eight, groups, both IP versions, host names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"

static const pcclReduceDescriptor_t one_integer = {
	.count = 1, .op = pcclSum, .tag = 9, .src_descriptor = {pcclInt64, pcclDistributionNone}};

static int attribute(const struct world_peer *me, pcclAttribute_t which)
{
	int value;

	CHECK_RESULT(pcclSuccess, pcclGetAttribute(me->comm, which, &value));
	return value;
}

/* Every member gives rank + 1; the sum is known. */
static void check_sum(struct world_peer *me, uint64_t tag)
{
	int64_t size = peer_world_size(me), sum;

	CHECK_RESULT(pcclSuccess, peer_sum(me, tag, (int64_t)peer_rank(me) + 1, &sum));
	CHECK(sum == size * (size + 1) / 2);
}

static void tell_who_i_am(struct world_peer *me)
{
	pcclRankUuid_t uuid;
	uint64_t half;

	CHECK_RESULT(pcclSuccess, pcclGetUuid(me->comm, &uuid));
	memcpy(&half, uuid.data, sizeof(half));
	peer_tell(me, 0, peer_rank(me));
	peer_tell(me, 1, peer_epoch(me));
	peer_tell(me, 2, half);
}

/* ---- worlds of one to eight ---------------------------------------------------------------------------------- */

static void member_of_a_world(struct world_peer *me)
{
	const unsigned *size = me->argument;
	int64_t sum;

	peer_join(me);
	peer_grow(me, *size);
	CHECK(attribute(me, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE) == (int)*size);
	CHECK(attribute(me, PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS) == 1);
	CHECK(attribute(me, PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE) == (int)*size);
	tell_who_i_am(me);
	if (*size == 1) {
		CHECK_RESULT(pcclTooFewPeers, peer_sum(me, 1, 1, &sum));
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
		CHECK(peer_world_size(me) == 1);
	} else {
		check_sum(me, 1);
		check_sum(me, 1);
		check_sum(me, 2);
	}
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	peer_leave(me);
}

/* Ranks are 0 to size - 1, each once; the epoch is the same and the uuids are not. */
static void check_who_they_are(const struct world *world, unsigned size)
{
	unsigned ranks_seen = 0, i, j;

	for (i = 0; i < size; i++) {
		assert_in_range(peers_told(world, i, 0), 0, size - 1);
		ranks_seen |= 1u << peers_told(world, i, 0);
		assert_int_equal(peers_told(world, i, 1), peers_told(world, 0, 1));
		for (j = 0; j < i; j++)
			assert_int_not_equal(peers_told(world, i, 2), peers_told(world, j, 2));
	}
	assert_int_equal(ranks_seen, (1u << size) - 1);
}

static void a_world_of(void **state, unsigned size, enum world_master_kind kind)
{
	struct world *world = *state;

	peers_start_master(world, kind);
	peers_start(world, size, member_of_a_world, &size);
	peers_await_all(world, 0, size, 1);
	check_who_they_are(world, size);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void a_world_of_1_works(void **state)
{
	a_world_of(state, 1, WORLD_EMBEDDED);
}

static void a_world_of_2_works(void **state)
{
	a_world_of(state, 2, WORLD_PROGRAM);
}

static void a_world_of_3_works(void **state)
{
	a_world_of(state, 3, WORLD_EMBEDDED);
}

static void a_world_of_4_works(void **state)
{
	a_world_of(state, 4, WORLD_PROGRAM);
}

static void a_world_of_5_works(void **state)
{
	a_world_of(state, 5, WORLD_EMBEDDED);
}

static void a_world_of_6_works(void **state)
{
	a_world_of(state, 6, WORLD_PROGRAM);
}

static void a_world_of_7_works(void **state)
{
	a_world_of(state, 7, WORLD_EMBEDDED);
}

static void a_world_of_8_works(void **state)
{
	a_world_of(state, 8, WORLD_PROGRAM);
}

static void a_world_over_ipv6_works(void **state)
{
	struct world *world = *state;

	world->ipv6 = true;
	a_world_of(state, 3, WORLD_EMBEDDED);
}

static void pccl_master_listens_on_ipv6(void **state)
{
	struct world *world = *state;

	world->ipv6 = true;
	a_world_of(state, 2, WORLD_PROGRAM);
}

/* ---- other ways to name the master and oneself --------------------------------------------------------------- */

static void member_by_host_name(struct world_peer *me)
{
	const unsigned size = 2;
	char masters[40];

	(void)snprintf(masters, sizeof(masters), "localhost:%u", me->world->masters[0].port);
	me->params.master_address.port = 0;
	if (me->index == 0)
		me->config.masters = masters;
	else
		setenv("PCCL_MASTERS", masters, 1);
	me->argument = &size;
	member_of_a_world(me);
}

/* The master listens on 127.0.0.1 only; localhost may have other addresses first. */
static void the_master_is_found_by_its_host_name(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, member_by_host_name, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void member_with_addresses(struct world_peer *me)
{
	const unsigned size = 3;

	/* Peer 2 leaves everything as it is: peers of all kinds have to reach each other. */
	if (me->index < 2)
		me->config.listen_address = me->index == 0 ? "127.0.0.1" : "localhost";
	if (me->index < 2)
		me->config.advertised_address = me->index == 0 ? "localhost" : "127.0.0.2,127.0.0.1";
	me->argument = &size;
	member_of_a_world(me);
}

static void peers_listen_and_advertise_as_configured(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, member_with_addresses, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* ---- groups -------------------------------------------------------------------------------------------------- */

static void member_of_a_group(struct world_peer *me)
{
	me->params.peer_group = me->index % 2 == 0 ? 7 : 4000000000u;
	peer_join(me);
	peer_grow(me, me->index % 2 == 0 ? 3 : 2);
	peer_reach(me, 1);
	/* All members see the other group grow in the same call, so all leave this loop together. */
	while (attribute(me, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE) != 5)
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	CHECK(attribute(me, PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS) == 2);
	CHECK(attribute(me, PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE) == 3);
	check_sum(me, 5);
	peer_reach(me, 2);
	peer_wait_gate(me, 1);
	peer_leave(me);
}

static void groups_work_beside_each_other(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 5, member_of_a_group, NULL);
	peers_await_all(world, 0, 5, 2);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* ---- the world changes while others work --------------------------------------------------------------------- */

/* Joint steps of update and all-reduce until the group agrees that the gate is open: the members see it at
 * different times. A newcomer has been let in by the others' update: its first step is the all-reduce. */
static void work_until_gate(struct world_peer *me, uint64_t gate)
{
	bool updated = peer_world_size(me) > 1;
	int64_t open = 0, mine;
	uint64_t steps = 0;
	pcclReduceInfo_t info;

	while (open == 0) {
		pcclResult_t result = updated ? pcclSuccess : pcclUpdateTopology(me->comm);

		updated = false;
		CHECK_RESULT(pcclSuccess, result);
		if (peer_world_size(me) == 1) {
			open = peer_gate_is_open(me, gate);
			peers_sleep_ms(1);
			continue;
		}
		mine = peer_gate_is_open(me, gate) ? 1001 : 1;
		result = pcclAllReduce(&mine, &open, &one_integer, me->comm, &info);
		if (result == pcclRankConnectionLost)
			continue;
		CHECK_RESULT(pcclSuccess, result);
		CHECK(open % 1000 == info.local_world_size);
		open /= 1000;
		peer_tell(me, 3, info.local_world_size);
		peer_reach(me, ++steps);
	}
}

static void worker(struct world_peer *me)
{
	peer_join(me);
	work_until_gate(me, 1);
	peer_leave(me);
}

static void await_world_size(struct world *world, unsigned peer, unsigned size)
{
	uint64_t steps = 0;

	while (peers_told(world, peer, 3) != size) {
		steps = peers_get(&world->shared->slots[peer].milestone) + 1;
		peers_await(world, peer, steps);
	}
}

static void peers_join_while_others_work(void **state)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, worker, NULL);
	await_world_size(world, 0, 2);
	for (i = 2; i < 6; i++) {
		peers_start(world, 1, worker, NULL);
		await_world_size(world, 0, i + 1);
		await_world_size(world, i, i + 1);
	}
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void worker_for_a_while(struct world_peer *me)
{
	int64_t sum;
	int i;

	peer_join(me);
	for (i = 0; i < 20; i++) {
		CHECK_RESULT(pcclSuccess, peer_sum(me, 9, 1, &sum));
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	}
	peer_leave(me);
}

static void peers_leave_while_others_work(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, worker, NULL);
	await_world_size(world, 0, 2);
	peers_start(world, 1, worker_for_a_while, NULL);
	await_world_size(world, 0, 3);
	await_world_size(world, 0, 2);
	await_world_size(world, 1, 2);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void joiner_without_luck(struct world_peer *me)
{
	uint64_t before_ns = peers_now_ns();

	me->config.admission_timeout_ms = 300;
	peer_create(me);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	CHECK(strlen(pcclGetLastError(me->comm)) > 0);
	CHECK(peers_now_ns() - before_ns > 250 * WORLD_MS_NS);
	CHECK(peers_is_soon(peers_now_ns(), before_ns));
	peer_reach(me, 1);
	peer_leave(me);
}

static void idle_founder(struct world_peer *me)
{
	peer_join(me);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	peer_leave(me);
}

static void waiting_for_admission_ends_at_the_timeout(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 1, idle_founder, NULL);
	peers_await(world, 0, 1);
	peers_start(world, 1, joiner_without_luck, NULL);
	peers_await(world, 1, 1);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void asks_who_is_pending(struct world_peer *me)
{
	bool pending = true;

	peer_join(me);
	peer_grow(me, 2);
	CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &pending));
	CHECK(!pending);
	peer_reach(me, 1);
	while (!pending)
		CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &pending));
	peer_grow(me, 3);
	check_sum(me, 1);
	peer_leave(me);
}

static void joins_third(struct world_peer *me)
{
	peer_join(me);
	CHECK(peer_world_size(me) == 3);
	check_sum(me, 1);
	peer_leave(me);
}

static void members_agree_that_somebody_waits(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, asks_who_is_pending, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_start(world, 1, joins_third, NULL);
	peers_finish(world);
}

/* A storm: the last joiner must be in after a few updates, not after one each. */
static void twelve_peers_join_at_once(void **state)
{
	a_world_of(state, 12, WORLD_PROGRAM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_world_of_1_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_2_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_3_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_4_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_5_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_6_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_7_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_of_8_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_world_over_ipv6_works, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(pccl_master_listens_on_ipv6, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_master_is_found_by_its_host_name, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(peers_listen_and_advertise_as_configured, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(groups_work_beside_each_other, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(peers_join_while_others_work, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(peers_leave_while_others_work, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(waiting_for_admission_ends_at_the_timeout, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(members_agree_that_somebody_waits, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(twelve_peers_join_at_once, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
