/* Deadlines of operations: whoever waits, looks, or comes late hears of them, and of nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { LARGE = 1 << 20 };
enum { DEADLINE_MS = 2000 }; /* who is not late comes within it, on a busy machine too */

static const unsigned everybody[] = {0, 1, 2};

struct deadline {
	bool by_config;
	bool late; /* the third one comes too late, else never */
};

/* As a caller that has signals to hear. */
static pcclResult_t reduce_in_slices(struct world_peer *me, int32_t *buffer, const pcclOperation_t *operation)
{
	pcclHandle_t handle;
	bool done = false;

	CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(buffer, buffer, operation, me->comm, &handle));
	while (!done)
		CHECK_RESULT(pcclSuccess, pcclTestFor(&handle, 7, &done));
	return pcclAwait(&handle, NULL);
}

/* Never waits in a call: all the library hears of it is that it looks. */
static pcclResult_t reduce_by_looking(struct world_peer *me, int32_t *buffer, const pcclOperation_t *operation)
{
	const struct timespec pause = {.tv_nsec = 5 * WORLD_MS_NS};
	pcclHandle_t handle;
	bool done = false;

	CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(buffer, buffer, operation, me->comm, &handle));
	while (!done) {
		CHECK_RESULT(pcclSuccess, pcclTest(&handle, &done));
		(void)nanosleep(&pause, NULL);
	}
	return pcclAwait(&handle, NULL);
}

static pcclResult_t reduce(struct world_peer *me, int32_t *buffer, const pcclOperation_t *operation, bool looks)
{
	if (looks)
		return reduce_by_looking(me, buffer, operation);
	return me->index == 1 ? reduce_in_slices(me, buffer, operation)
			      : pcclAllReduceWith(buffer, buffer, operation, me->comm, NULL);
}

/* Of those that wait; 0: none has. */
static uint64_t first_launch_ns(const struct world_peer *me)
{
	const uint64_t one = peers_told(me->world, 0, 1), other = peers_told(me->world, 1, 1);

	return one == 0 || (other != 0 && other < one) ? other : one;
}

static void waits_until_the_deadline(struct world_peer *me)
{
	const struct deadline *deadline = me->argument;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	int32_t buffer[1000];
	uint64_t epoch, before_ns;
	char absent[32];
	int64_t sum;

	if (deadline->by_config)
		me->config.operation_timeout_ms = DEADLINE_MS;
	else
		operation.timeout_ms = DEADLINE_MS;
	operation.count = 1000;
	operation.datatype = pcclInt32;
	operation.tag = 5;
	peer_join(me);
	peer_grow(me, 3);
	epoch = peer_epoch(me);
	if (me->index == 2)
		peer_tell(me, 0, peer_rank(me));
	peer_reach(me, 1);
	peer_wait_peer(me, 2, 1);
	(void)snprintf(absent, sizeof(absent), "rank %u", (unsigned)peers_told(me->world, 2, 0));
	values_fill(buffer, pcclInt32, 0, 1000, peer_rank(me));
	CHECK_RESULT(pcclSuccess, peer_sum_often(me));
	if (me->index == 2) {
		peer_wait_peer(me, 0, 2);
		peer_wait_peer(me, 1, 2);
	}
	before_ns = peers_now_ns();
	if (me->index != 2)
		peer_tell(me, 1, before_ns);
	if (me->index != 2 || deadline->late) {
		CHECK_RESULT(pcclTimeout, reduce(me, buffer, &operation, deadline->by_config));
		CHECK(me->index == 2 || strstr(pcclGetLastError(me->comm), absent) != NULL);
		CHECK(values_filled(buffer, pcclInt32, 0, 1000, peer_rank(me)));
		CHECK(peers_now_ns() - first_launch_ns(me) > (DEADLINE_MS - 10) * WORLD_MS_NS);
		CHECK(peers_is_soon(peers_now_ns(), before_ns + DEADLINE_MS * WORLD_MS_NS));
	}
	peer_reach(me, 2);
	/* Nobody was lost; the next operation works, under the same tag if it was used by all. */
	CHECK(peer_world_size(me) == 3);
	CHECK(peer_epoch(me) >= epoch);
	peer_wait_gate(me, 1);
	CHECK_RESULT(pcclSuccess, peer_sum(me, deadline->late ? 5 : 6, 1, &sum));
	CHECK(sum == 3);
	peer_leave(me);
}

static void meet_a_deadline(void **state, const struct deadline *deadline)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, waits_until_the_deadline, deadline);
	peers_await_all(world, 0, 3, 2);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void a_deadline_names_who_has_not_arrived(void **state)
{
	const struct deadline deadline = {false, false};

	meet_a_deadline(state, &deadline);
}

static void who_comes_too_late_is_told_so(void **state)
{
	const struct deadline deadline = {false, true};

	meet_a_deadline(state, &deadline);
}

static void the_deadline_may_be_the_communicators(void **state)
{
	const struct deadline deadline = {true, true};

	meet_a_deadline(state, &deadline);
}

/* A deadline that passes nobody by costs nothing. */
static void works_with_deadlines(struct world_peer *me)
{
	int64_t sum;
	int i;

	me->config.operation_timeout_ms = 30000;
	peer_join(me);
	peer_grow(me, 2);
	for (i = 0; i < 300; i++) {
		CHECK_RESULT(pcclSuccess, peer_sum(me, (uint64_t)i % 3, 1, &sum));
		CHECK(sum == 2);
	}
	peer_leave(me);
}

static void operations_within_their_deadline_do_not_notice_it(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, works_with_deadlines, NULL);
	peers_finish(world);
}

/* The deadline of one operation leaves the others that are in flight as they are. */
static void has_others_in_flight(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclHandle_t patient;
	int32_t *buffer = malloc(LARGE * sizeof(*buffer));
	bool is_late;

	CHECK(buffer != NULL);
	peer_join(me);
	peer_grow(me, 3);
	is_late = me->index == 1;
	values_fill(buffer, pcclInt32, 0, LARGE, peer_rank(me));
	operation.count = LARGE;
	operation.datatype = pcclInt32;
	operation.tag = 1;
	if (!is_late)
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(buffer, buffer, &operation, me->comm, &patient));
	operation.tag = 2;
	operation.timeout_ms = 200;
	if (is_late) {
		peer_wait_peer(me, 0, 1);
		peer_wait_peer(me, 2, 1);
	} else {
		CHECK_RESULT(pcclTimeout, pcclBarrier(&operation, me->comm));
	}
	peer_reach(me, 1);
	operation.tag = 1;
	operation.timeout_ms = 0;
	if (is_late)
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(buffer, buffer, &operation, me->comm, &patient));
	CHECK_RESULT(pcclSuccess, pcclAwait(&patient, NULL));
	CHECK(values_reduced(buffer, pcclInt32, pcclSum, 0, LARGE, everybody, 3));
	free(buffer);
	peer_leave(me);
}

/* It computes meanwhile: the master is there, and asked as soon as it looks. */
static void looks_late(struct world_peer *me)
{
	const uint32_t connect_ms = 3000, heartbeat_ms = 5000;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclHandle_t handle;
	int64_t sum;

	me->config.connect_timeout_ms = connect_ms;
	me->config.heartbeat_timeout_ms = heartbeat_ms;
	operation.tag = 1;
	operation.timeout_ms = 50;
	peer_join(me);
	peer_grow(me, 2);
	if (me->index == 0) {
		CHECK_RESULT(pcclSuccess, pcclBarrierAsync(&operation, me->comm, &handle));
		(void)usleep((operation.timeout_ms + connect_ms + heartbeat_ms + 200) * 1000);
		CHECK_RESULT(pcclTimeout, pcclAwait(&handle, NULL));
		peer_reach(me, 1);
	}
	peer_wait_peer(me, 0, 1);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 2, 1, &sum));
	CHECK(sum == 2);
	peer_leave(me);
}

static void who_looks_long_after_a_deadline_stays_a_member(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, looks_late, NULL);
	peers_finish(world);
}

/* Nobody decides anything: it ends alone, and says who never came. */
static void waits_without_a_master(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	char absent[48];

	me->config.connect_timeout_ms = 500;
	me->config.heartbeat_timeout_ms = 1000 * peers_patience();
	operation.tag = 1;
	operation.timeout_ms = 50;
	peer_join(me);
	peer_grow(me, 2);
	(void)snprintf(absent, sizeof(absent), "rank %u (127.0.0.1), whose launch has", 1 - (unsigned)peer_rank(me));
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	if (me->index == 0) {
		CHECK_RESULT(pcclTimeout, pcclBarrier(&operation, me->comm));
		CHECK(strstr(pcclGetLastError(me->comm), absent) != NULL);
		CHECK(strstr(pcclGetLastError(me->comm), "no decision of the group came") != NULL);
		peer_reach(me, 2);
	}
	peer_wait_peer(me, 0, 2);
	CHECK_RESULT(pcclSuccess, pcclCommAbort(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
}

static void a_deadline_without_a_master_names_who_has_not_arrived(void **state)
{
	struct world *world = *state;
	unsigned master = peers_start_master(world, WORLD_PROGRAM);

	peers_start(world, 2, waits_without_a_master, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_kill_master(world, master);
	peers_open_gate(world, 1);
	peers_finish(world);
}

static void a_deadline_ends_no_other_operation(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, has_others_in_flight, NULL);
	peers_finish(world);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_deadline_names_who_has_not_arrived),
		CASE(who_comes_too_late_is_told_so),
		CASE(the_deadline_may_be_the_communicators),
		CASE(operations_within_their_deadline_do_not_notice_it),
		CASE(a_deadline_ends_no_other_operation),
		CASE(who_looks_long_after_a_deadline_stays_a_member),
		CASE(a_deadline_without_a_master_names_who_has_not_arrived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
