/* Peers that nobody can call: what they tell the others leads nowhere. They can call those that can be called. */
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { TOLD_SIZE, TOLD_WORST_MS, GATE_VALUE = 1000, CONNECT_MS = 6000 }; /* nobody is held up for so long */

static const bool deaf = true;

static const pcclReduceDescriptor_t one_integer = {
	.count = 1, .op = pcclSum, .tag = 9, .src_descriptor = {pcclInt64, pcclDistributionNone}};

/* An operation and an update. Returns true when everybody has seen that the gate is open. */
static bool step(struct world_peer *me)
{
	int64_t value = peer_gate_is_open(me, 1) ? GATE_VALUE + 1 : 1, sum = 0;
	pcclReduceInfo_t info;
	pcclResult_t result = pcclAllReduce(&value, &sum, &one_integer, me->comm, &info);

	if (result == pcclTooFewPeers) {
		sum = value;
		peers_sleep_ms(1);
	} else {
		CHECK_RESULT(pcclSuccess, result);
		peer_tell(me, TOLD_SIZE, info.local_world_size);
	}
	if (sum >= GATE_VALUE)
		return true;
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	return false;
}

static void configure(struct world_peer *me)
{
	me->config.connect_timeout_ms = CONNECT_MS;
	if (me->argument != NULL)
		me->config.advertised_address = "127.0.0.1:1";
}

static void works(struct world_peer *me)
{
	uint64_t worst_ms = 0;
	bool done = false;

	configure(me);
	peer_join(me);
	peer_reach(me, 1);
	while (!done) {
		uint64_t start_ns = peers_now_ns(), ms;

		done = step(me);
		ms = (peers_now_ns() - start_ns) / WORLD_MS_NS;
		worst_ms = ms > worst_ms ? ms : worst_ms;
		peer_tell(me, TOLD_WORST_MS, worst_ms);
	}
	peer_leave(me);
}

/* Hears in the end who could not reach whom. */
static void is_kept_out(struct world_peer *me)
{
	configure(me);
	me->config.admission_timeout_ms = 3 * CONNECT_MS;
	peer_create(me);
	CHECK_RESULT(pcclMasterConnectionFailed, pcclConnect(me->comm));
	CHECK(strstr(pcclGetLastError(me->comm), "can't reach each other: rank 1 (127.0.0.1)") != NULL);
	peer_leave(me);
	peer_reach(me, 1);
}

static void await_size(struct world *world, unsigned peer, unsigned size)
{
	while (peers_told(world, peer, TOLD_SIZE) != size)
		peers_sleep_ms(5);
}

/* The first peer, and a second one that nobody can call. */
static void start_two(struct world *world)
{
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 1, works, NULL);
	peers_await(world, 0, 1);
	peers_start(world, 1, works, &deaf);
	peers_await(world, 1, 1);
	await_size(world, 0, 2);
}

static void finish(struct world *world, unsigned members)
{
	unsigned i;

	peers_open_gate(world, 1);
	peers_finish(world);
	for (i = 0; i < members; i++)
		assert_in_range(peers_told(world, i, TOLD_WORST_MS), 0, CONNECT_MS - 1);
}

static void a_member_that_nobody_can_call_stops_no_growth(void **state)
{
	struct world *world = *state;

	start_two(world);
	peers_start(world, 3, works, NULL);
	await_size(world, 0, 5);
	finish(world, 5);
}

/* Neither can call the other. */
static void a_newcomer_that_a_member_can_not_reach_is_kept_out_and_keeps_nobody_out(void **state)
{
	struct world *world = *state;

	start_two(world);
	peers_start(world, 1, is_kept_out, &deaf);
	peers_start(world, 2, works, NULL);
	await_size(world, 0, 4);
	peers_await(world, 2, 1);
	finish(world, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_member_that_nobody_can_call_stops_no_growth, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_newcomer_that_a_member_can_not_reach_is_kept_out_and_keeps_nobody_out,
						peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
