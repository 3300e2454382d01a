/* Programs written for PCCL 1.0: what they see when the world changes under them. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/peers.h"

static void join(struct world_peer *me)
{
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicator(&me->params, &me->comm));
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
}

static int attribute(const struct world_peer *me, pcclAttribute_t which)
{
	int value;

	CHECK_RESULT(pcclSuccess, pcclGetAttribute(me->comm, which, &value));
	return value;
}

static int world(const struct world_peer *me)
{
	return attribute(me, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE);
}

static pcclReduceDescriptor_t describe(uint64_t tag)
{
	const pcclReduceDescriptor_t descriptor = {
		1, pcclSum, tag, {pcclFloat, pcclDistributionNone}, {pcclUint8, pcclQuantNone}};

	return descriptor;
}

static pcclResult_t sum(struct world_peer *me, uint64_t tag, float *value)
{
	const pcclReduceDescriptor_t descriptor = describe(tag);
	float input = 1;

	return pcclAllReduce(&input, value, &descriptor, me->comm, NULL);
}

/* ---- a world that shrinks ------------------------------------------------------------------------------------ */

static void sees_the_other_go(struct world_peer *me)
{
	const pcclReduceDescriptor_t descriptor = describe(5);
	pcclAsyncReduceOp_t handle, second;
	float value = 0, input = 1;

	join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	if (me->index == 1) {
		peer_wait_peer(me, 0, 1);
		peer_leave(me);
		return;
	}
	peer_wait_gate(me, 1);
	/* Nobody told the program yet. */
	CHECK(world(me) == 2 && attribute(me, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE) == 2);
	CHECK_RESULT(pcclSuccess, pcclAllReduceAsync(&input, &value, &descriptor, me->comm, &handle));
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceAsync(&input, &value, &descriptor, me->comm, &second));
	CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm));
	CHECK(world(me) == 2);
	CHECK_RESULT(pcclRankConnectionLost, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK(strlen(pcclGetLastError(NULL)) > 0);
	CHECK(world(me) == 1 && attribute(me, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE) == 1);
	CHECK_RESULT(pcclRankConnectionLost, pcclAwaitAsyncReduce(&handle, NULL));
	CHECK_RESULT(pcclTooFewPeers, sum(me, 5, &value));
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	peer_leave(me);
}

static void a_launch_in_a_world_that_shrank_fails_at_the_await(void **state)
{
	struct world *world_of_two = *state;

	peers_start_master(world_of_two, WORLD_PROGRAM);
	peers_start(world_of_two, 2, sees_the_other_go, NULL);
	peers_await_all(world_of_two, 0, 2, 1);
	peers_sleep_ms(300);
	peers_open_gate(world_of_two, 1);
	peers_finish(world_of_two);
}

/* ---- eviction ------------------------------------------------------------------------------------------------ */

enum { SLEEPER = 2 };

/* The loop that PCCL 1.0's documentation shows, as far as it matters here. */
static void trains_until_all_are_back(struct world_peer *me, unsigned steps_of_three)
{
	float value = 0;
	unsigned steps = 0;

	while (steps < steps_of_three) {
		while (pcclUpdateTopology(me->comm) == pcclUpdateTopologyFailed)
			peers_sleep_ms(1);
		if (world(me) == 2)
			peer_reach(me, 2);
		while (world(me) > 1 && sum(me, 7, &value) != pcclSuccess)
			peers_sleep_ms(1);
		if (world(me) == 3 && value == 3)
			steps++;
		else
			peers_sleep_ms(20);
	}
}

static void sleeps_too_long(struct world_peer *me)
{
	setenv("PCCL_HEARTBEAT_INTERVAL_MS", "100", 1);
	setenv("PCCL_HEARTBEAT_TIMEOUT_MS", "3000", 1);
	join(me);
	peer_grow(me, 3);
	peer_reach(me, 1);
	if (me->index == SLEEPER)
		peer_wait_gate(me, 1);
	trains_until_all_are_back(me, 5);
	peer_meet(me, 3);
	peer_leave(me);
}

static void an_evicted_program_joins_again(void **state)
{
	struct world *world_of_three = *state;

	peers_start_master(world_of_three, WORLD_PROGRAM);
	peers_start(world_of_three, 3, sleeps_too_long, NULL);
	peers_await_all(world_of_three, 0, 3, 1);
	peers_signal(world_of_three, SLEEPER, SIGSTOP);
	peers_await_all(world_of_three, 0, 2, 2);
	peers_open_gate(world_of_three, 1);
	peers_signal(world_of_three, SLEEPER, SIGCONT);
	peers_finish(world_of_three);
}

/* ---- results and descriptors --------------------------------------------------------------------------------- */

static void disagrees(struct world_peer *me)
{
	pcclReduceDescriptor_t descriptor = describe(9);
	float input[4] = {1.5f, -2, 3, 1e-30f}, value[4];
	pcclResult_t result;
	unsigned i;

	join(me);
	peer_grow(me, 2);
	descriptor.count = me->index + 1;
	result = pcclAllReduce(input, value, &descriptor, me->comm, NULL);
	CHECK(result == pcclInvalidUsage && strstr(pcclGetLastError(NULL), "tag 9") != NULL);
	/* As wide as the data, or wider: nothing is lost. */
	descriptor.count = 4;
	descriptor.quantization_options.algorithm = pcclQuantMinMax;
	for (i = 0; i < 3; i++) {
		descriptor.quantization_options.quantized_datatype = i == 0   ? pcclFloat
								     : i == 1 ? pcclUint32
									      : pcclUint64;
		CHECK_RESULT(pcclSuccess, pcclAllReduce(input, value, &descriptor, me->comm, NULL));
		CHECK(value[0] == 3 && value[1] == -4 && value[2] == 6 && value[3] == 2e-30f);
	}
	/* What a codec can't carry becomes NaN: a loop that repeats what failed would never end. */
	descriptor.quantization_options.quantized_datatype = pcclUint8;
	input[1] = me->index == 0 ? INFINITY : 1;
	CHECK_RESULT(pcclSuccess, pcclAllReduce(input, value, &descriptor, me->comm, NULL));
	CHECK(isnan(value[0]) && isnan(value[3]));
	descriptor.quantization_options.quantized_datatype = (pcclDataType_t)77;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduce(input, value, &descriptor, me->comm, NULL));
	peer_meet(me, 2);
	peer_leave(me);
}

static void results_are_those_of_1_0_and_wide_types_travel_plain(void **state)
{
	struct world *world_of_two = *state;

	peers_start_master(world_of_two, WORLD_PROGRAM);
	peers_start(world_of_two, 2, disagrees, NULL);
	peers_finish(world_of_two);
}

static void loses_the_master(struct world_peer *me)
{
	bool pending;

	setenv("PCCL_CONNECT_TIMEOUT_MS", "500", 1);
	join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	CHECK_RESULT(pcclUpdateTopologyFailed, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclInvalidUsage, pcclArePeersPending(me->comm, &pending));
	CHECK_RESULT(pcclTopologyOptimizationFailed, pcclOptimizeTopology(me->comm));
	CHECK(strstr(pcclGetLastError(NULL), "no master could be reached") != NULL);
	CHECK(world(me) == 2);
	peer_leave(me);
}

static void joint_calls_without_a_master_fail_as_in_1_0(void **state)
{
	struct world *world_of_two = *state;
	unsigned master = peers_start_master(world_of_two, WORLD_PROGRAM);

	peers_start(world_of_two, 2, loses_the_master, NULL);
	peers_await_all(world_of_two, 0, 2, 1);
	peers_kill_master(world_of_two, master);
	peers_open_gate(world_of_two, 1);
	peers_finish(world_of_two);
}

/* ---- whatever fails ------------------------------------------------------------------------------------------ */

static pcclResult_t update(pcclComm_t *comm)
{
	return pcclUpdateTopology(comm);
}

static pcclResult_t ask_pending(pcclComm_t *comm)
{
	bool pending;

	return pcclArePeersPending(comm, &pending);
}

static pcclResult_t optimize(pcclComm_t *comm)
{
	return pcclOptimizeTopology(comm);
}

static pcclResult_t ask_size(pcclComm_t *comm)
{
	int size;

	return pcclGetAttribute(comm, PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE, &size);
}

static const pcclReduceDescriptor_t one_float = {
	1, pcclSum, 7, {pcclFloat, pcclDistributionNone}, {pcclUint8, pcclQuantNone}};

static pcclResult_t reduce_one(pcclComm_t *comm)
{
	float input = 1, output;

	return pcclAllReduce(&input, &output, &one_float, comm, NULL);
}

static pcclResult_t await(pcclComm_t *comm)
{
	const pcclAsyncReduceOp_t handle = {comm, 8};

	return pcclAwaitAsyncReduce(&handle, NULL);
}

static pcclResult_t reduce_many(pcclComm_t *comm)
{
	float values[2] = {1, 2};
	const pcclReduceOpDescriptor_t descriptor = {&values[0], &values[1], one_float};

	return pcclAllReduceMultipleWithRetry(&descriptor, 1, comm, NULL, 1);
}

static pcclResult_t synchronize(pcclComm_t *comm)
{
	float value = 1;
	pcclTensorInfo_t tensor = {"x", &value, 1, pcclFloat, pcclDeviceCpu, false};
	pcclSharedState_t shared = {0, 1, &tensor};

	return pcclSynchronizeSharedState(comm, &shared, PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, NULL);
}

static pcclResult_t (*const calls[])(pcclComm_t *) = {update, ask_pending, optimize,	ask_size,   reduce_one,
						      await,  reduce_many, synchronize, pcclConnect};

enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* The first so many, each as it is, and short of memory at every place. */
static void call_all(pcclComm_t *comm, size_t count, bool all_fail)
{
	size_t call, nth;

	for (call = 0; call < count; call++) {
		for (nth = 0; nth < 8; nth++) {
			pcclResult_t result;

			check_fail_allocation(nth);
			result = calls[call](comm);
			check_fail_allocation(0);
			if ((int)result >= 100 || (all_fail && result == pcclSuccess))
				peer_fail("call, allocation", (int)(100 * call + nth), pcclGetLastError(NULL));
		}
	}
}

/* Short of memory at every place. False: there is none that has this number. */
static bool serve_without_one_allocation(const struct world_peer *me, size_t nth)
{
	const ccoip_socket_address_t address = peers_address(me->world, peers_free_port(1));
	pcclMasterInstance_t *master;
	pcclResult_t result;
	bool failed;

	check_fail_allocation(nth);
	result = pcclCreateMaster(address, &master);
	if (result == pcclSuccess)
		result = pcclRunMaster(master);
	failed = check_allocation_failed();
	check_fail_allocation(0);
	CHECK((int)result < 100 && (failed || result == pcclSuccess));
	CHECK(result == pcclSuccess || strstr(pcclGetLastError(NULL), "memory") != NULL);
	if (master == NULL)
		return failed;
	if (result != pcclSuccess)
		CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	return failed;
}

/* Not connected; alone; given up. */
static void fails_in_every_way(struct world_peer *me)
{
	size_t nth;

	setenv("PCCL_CONNECT_TIMEOUT_MS", "2000", 1);
	setenv("PCCL_HEARTBEAT_INTERVAL_MS", "50", 1);
	setenv("PCCL_HEARTBEAT_TIMEOUT_MS", "10000", 1);
	CHECK_RESULT(pcclSuccess, pcclInit());
	CHECK_RESULT(pcclSuccess, pcclCreateCommunicator(&me->params, &me->comm));
	call_all(me->comm, CALLS - 1, true);
	CHECK_RESULT(pcclSuccess, pcclConnect(me->comm));
	call_all(me->comm, CALLS, false);
	CHECK_RESULT(pcclSuccess, pcclCommAbort(me->comm));
	/* Programs repeat the calls that fail as 1.0's did; these end. */
	CHECK_RESULT(pcclInvalidUsage, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclInvalidUsage, pcclOptimizeTopology(me->comm));
	call_all(me->comm, CALLS, false);
	for (nth = 1; serve_without_one_allocation(me, nth); nth++)
		;
	CHECK(nth > 5);
	peer_leave(me);
}

static void a_1_0_function_never_returns_what_1_0_does_not_know(void **state)
{
	struct world *world_of_one = *state;

	peers_start_master(world_of_one, WORLD_PROGRAM);
	peers_start(world_of_one, 1, fails_in_every_way, NULL);
	peers_finish(world_of_one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_launch_in_a_world_that_shrank_fails_at_the_await, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(an_evicted_program_joins_again, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(results_are_those_of_1_0_and_wide_types_travel_plain, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(joint_calls_without_a_master_fail_as_in_1_0, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_1_0_function_never_returns_what_1_0_does_not_know, peers_open,
						peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
