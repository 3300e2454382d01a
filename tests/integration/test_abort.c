/* Nobody waits for ever: abort, and communicators destroyed with operations in flight. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { LARGE = 1 << 20 };

/* ---- abort --------------------------------------------------------------------------------------------------- */

struct blocked {
	struct world_peer *me;
	pcclResult_t (*call)(struct world_peer *me);
	pcclResult_t result;
	uint64_t end_ns;
};

static pcclResult_t call_connect(struct world_peer *me)
{
	return pcclConnect(me->comm);
}

static pcclResult_t call_update(struct world_peer *me)
{
	return pcclUpdateTopology(me->comm);
}

static pcclResult_t call_barrier(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.tag = 1;
	return pcclBarrier(&operation, me->comm);
}

static pcclResult_t call_sum(struct world_peer *me)
{
	int64_t sum;

	return peer_sum(me, 2, 1, &sum);
}

static pcclResult_t call_sum_after_many(struct world_peer *me)
{
	pcclResult_t result = peer_sum_often(me);

	return result == pcclSuccess ? call_sum(me) : result;
}

static void *block(void *context)
{
	struct blocked *blocked = context;

	blocked->result = blocked->call(blocked->me);
	blocked->end_ns = peers_now_ns();
	return NULL;
}

/* Aborts while `count` threads are blocked; all of them are freed at once. */
static void abort_blocked(struct world_peer *me, struct blocked *blocked, unsigned count)
{
	pthread_t threads[4];
	uint64_t aborted_ns;
	int64_t sum;
	unsigned i;

	for (i = 0; i < count; i++) {
		blocked[i].me = me;
		CHECK(pthread_create(&threads[i], NULL, block, &blocked[i]) == 0);
	}
	peers_sleep_ms(100);
	aborted_ns = peers_now_ns();
	CHECK_RESULT(pcclSuccess, pcclCommAbort(me->comm));
	for (i = 0; i < count; i++) {
		CHECK(pthread_join(threads[i], NULL) == 0);
		CHECK_RESULT(pcclAborted, blocked[i].result);
		CHECK(blocked[i].end_ns > aborted_ns);
		CHECK(peers_is_soon(blocked[i].end_ns, aborted_ns));
	}
	CHECK_RESULT(pcclAborted, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclAborted, peer_sum(me, 9, 1, &sum));
	CHECK_RESULT(pcclSuccess, pcclCommAbort(me->comm));
	peer_leave(me);
}

/* The others do nothing, and see it leave. */
static void watches_somebody_leave(struct world_peer *me)
{
	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	while (peer_world_size(me) == 2)
		peers_sleep_ms(1);
	peer_leave(me);
}

static void aborts_two_operations(struct world_peer *me)
{
	struct blocked blocked[] = {{.call = call_barrier}, {.call = call_sum}};

	if (me->index == 1) {
		watches_somebody_leave(me);
		return;
	}
	peer_join(me);
	peer_grow(me, 2);
	peer_wait_peer(me, 1, 1);
	abort_blocked(me, blocked, 2);
}

static void abort_frees_blocked_operations(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, aborts_two_operations, NULL);
	peers_finish(world);
}

static void aborts_while_it_drives(struct world_peer *me)
{
	struct blocked blocked = {.call = call_sum_after_many};

	peer_join(me);
	peer_grow(me, 2);
	if (me->index == 0) {
		abort_blocked(me, &blocked, 1);
		return;
	}
	(void)peer_sum_often(me); /* on a slow machine it hears of the abort before all calls are made */
	while (peer_world_size(me) == 2)
		peers_sleep_ms(1);
	peer_leave(me);
}

static void abort_frees_who_drives_a_lane(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, aborts_while_it_drives, NULL);
	peers_finish(world);
}

static void aborts_two_votes(struct world_peer *me)
{
	struct blocked blocked[] = {{.call = call_update}, {.call = call_update}};

	if (me->index == 1) {
		watches_somebody_leave(me);
		return;
	}
	peer_join(me);
	peer_grow(me, 2);
	peer_wait_peer(me, 1, 1);
	abort_blocked(me, blocked, 2);
}

static void abort_frees_blocked_votes(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, aborts_two_votes, NULL);
	peers_finish(world);
}

/* There is no master, so every connect fails, and somewhere on its way it is aborted. */
static void aborts_failing_connects(struct world_peer *me)
{
	pcclConfig_t config = PCCL_CONFIG_INITIALIZER;
	pcclCommCreateParams_t params = {.master_address = me->params.master_address};
	struct blocked blocked = {.me = me, .call = call_connect};
	unsigned i;

	params.master_address.inet.protocol = inetIPv4;
	memcpy(params.master_address.inet.ipv4.data, "\x7f\0\0\1", 4);
	params.master_address.port = peers_free_port(1);
	config.connect_timeout_ms = 20;
	CHECK_RESULT(pcclSuccess, pcclInit());
	for (i = 0; i < 60; i++) {
		pthread_t thread;

		CHECK_RESULT(pcclSuccess, pcclCreateCommunicatorWithConfig(&params, &config, &me->comm));
		CHECK(pthread_create(&thread, NULL, block, &blocked) == 0);
		usleep(i * 600);
		CHECK_RESULT(pcclSuccess, pcclCommAbort(me->comm));
		CHECK(pthread_join(thread, NULL) == 0);
		CHECK(blocked.result == pcclAborted || blocked.result == pcclMasterConnectionFailed);
		CHECK_RESULT(pcclAborted, pcclConnect(me->comm));
		CHECK(strstr(pcclGetLastError(NULL), "aborted") != NULL);
		CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
	}
}

static void a_connect_that_fails_may_be_aborted_at_any_moment(void **state)
{
	struct world *world = *state;

	peers_start(world, 1, aborts_failing_connects, NULL);
	peers_finish(world);
}

static void founds_and_waits(struct world_peer *me)
{
	peer_join(me);
	peer_reach(me, 1);
	peer_wait_peer(me, 1, 1);
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	CHECK(peer_world_size(me) == 1);
	peer_leave(me);
}

static void aborts_its_connect(struct world_peer *me)
{
	struct blocked blocked = {.call = call_connect};

	peer_wait_peer(me, 0, 1);
	peer_create(me);
	abort_blocked(me, &blocked, 1);
	peer_reach(me, 1);
}

static void connects_or_aborts(struct world_peer *me)
{
	if (me->index == 0)
		founds_and_waits(me);
	else
		aborts_its_connect(me);
}

static void abort_frees_a_peer_that_waits_for_admission(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, connects_or_aborts, NULL);
	peers_finish(world);
}

/* The others may see it leave between two operations: then the next one is theirs alone, and its last one has ended. */
static void aborts_amid_an_operation(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	int32_t *buffer = malloc(LARGE * sizeof(*buffer));
	pcclResult_t result;
	pcclHandle_t handle;
	unsigned rank, round = 0;
	bool aborts;

	CHECK(buffer != NULL);
	peer_join(me);
	peer_grow(me, 3);
	rank = peer_rank(me);
	operation.count = LARGE;
	operation.datatype = pcclInt32;
	do {
		values_fill(buffer, pcclInt32, 0, LARGE, rank);
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(buffer, buffer, &operation, me->comm, &handle));
		aborts = me->index == 0 && ++round == 5;
		if (aborts)
			CHECK_RESULT(pcclSuccess, pcclCommAbort(me->comm));
		result = pcclAwait(&handle, &info);
	} while (!aborts && result == pcclSuccess && info.participants_max == 3);
	CHECK(result == (aborts ? pcclAborted : pcclRankConnectionLost) || result == pcclSuccess);
	CHECK(result == pcclSuccess || values_filled(buffer, pcclInt32, 0, LARGE, rank));
	CHECK(me->index == 0 || peer_world_size(me) == 2);
	free(buffer);
	peer_meet(me, 3);
	peer_leave(me);
}

static void abort_amid_an_operation_is_a_lost_member_to_the_others(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, aborts_amid_an_operation, NULL);
	peers_finish(world);
}

/* ---- destroy ------------------------------------------------------------------------------------------------- */

static void destroys_with_operations_in_flight(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	int32_t *buffer = malloc(LARGE * sizeof(*buffer));
	pcclHandle_t handles[3];
	uint64_t before_ns;
	unsigned i;

	CHECK(buffer != NULL);
	peer_join(me);
	peer_grow(me, 3);
	peer_meet(me, 3);
	operation.count = LARGE / 4;
	operation.datatype = pcclInt32;
	values_fill(buffer, pcclInt32, 0, LARGE, peer_rank(me));
	for (i = 0; i < 3; i++) {
		operation.tag = i;
		CHECK_RESULT(pcclSuccess,
			     pcclAllReduceWithAsync(buffer + i * operation.count, buffer + i * operation.count,
						    &operation, me->comm, &handles[i]));
	}
	peer_reach(me, 1);
	if (me->index == 0) {
		peer_wait_peer(me, 1, 1);
		peer_wait_peer(me, 2, 1);
		before_ns = peers_now_ns();
		peer_leave(me);
		CHECK(peers_is_soon(peers_now_ns(), before_ns));
		free(buffer);
		return;
	}
	for (i = 0; i < 3; i++) {
		pcclResult_t result = pcclAwait(&handles[i], NULL);

		CHECK(result == pcclSuccess || result == pcclRankConnectionLost);
		peer_tell(me, i, (uint64_t)result);
	}
	while (peer_world_size(me) == 3)
		peers_sleep_ms(1);
	free(buffer);
	peer_meet(me, 2);
	peer_leave(me);
}

static void destroy_ends_operations_in_flight(void **state)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, destroys_with_operations_in_flight, NULL);
	peers_finish(world);
	for (i = 0; i < 3; i++)
		assert_int_equal(peers_told(world, 1, i), peers_told(world, 2, i));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(abort_frees_blocked_operations, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(abort_frees_who_drives_a_lane, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(abort_frees_blocked_votes, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(abort_frees_a_peer_that_waits_for_admission, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_connect_that_fails_may_be_aborted_at_any_moment, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(abort_amid_an_operation_is_a_lost_member_to_the_others, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(destroy_ends_operations_in_flight, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
