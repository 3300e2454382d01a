/* What moves parts, and reduce: members that disagree, that are killed, and transfers between two while others do
 * something else. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { COUNT = 50021, WORLD = 3 };

static int32_t input[4 * COUNT], output[4 * COUNT], copy[4 * COUNT];

static pcclOperation_t operation_of(uint64_t tag, size_t count, pcclFailurePolicy_t policy)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.tag = tag;
	operation.count = count;
	operation.datatype = pcclInt32;
	operation.failure_policy = policy;
	return operation;
}

/* ---- transfers --------------------------------------------------------------------------------------------------- */

/* One tag, all at a time: to the next, to the one before, from both, and a collective. */
static void passes_round(struct world_peer *me, size_t count)
{
	const unsigned rank = peer_rank(me), next = (rank + 1) % WORLD, last = (rank + WORLD - 1) % WORLD;
	const pcclOperation_t operation = operation_of(7, count, pcclPolicyAbort);
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclHandle_t handles[5];
	unsigned i;

	values_fill(input, pcclInt32, 0, count, rank);
	memset(output, 0, sizeof(output));
	CHECK_RESULT(pcclSuccess, pcclRecvAsync(output, last, &operation, me->comm, &handles[0]));
	CHECK_RESULT(pcclSuccess, pcclSendAsync(input, next, &operation, me->comm, &handles[1]));
	CHECK_RESULT(pcclInvalidArgument, pcclSend(input, next, &operation, me->comm, NULL)); /* tag in use */
	CHECK_RESULT(pcclSuccess, pcclBarrierAsync(&operation, me->comm, &handles[2]));
	CHECK_RESULT(pcclSuccess, pcclSendAsync(input, last, &operation, me->comm, &handles[3]));
	CHECK_RESULT(pcclSuccess, pcclRecvAsync(output + count, next, &operation, me->comm, &handles[4]));
	for (i = 0; i < 5; i++) {
		CHECK_RESULT(pcclSuccess, pcclAwait(&handles[4 - i], &info));
		CHECK(info.participants_min == (4 - i == 2 ? WORLD : 2));
	}
	CHECK(values_filled(output, pcclInt32, 0, count, last));
	CHECK(values_filled(output + count, pcclInt32, 0, count, next));
	CHECK(values_filled(input, pcclInt32, 0, count, rank));
}

static void transfers(struct world_peer *me)
{
	pcclOperation_t operation = operation_of(8, 100, pcclPolicyAbort);
	uint32_t rank;
	size_t i;

	me->config.lanes = 2;
	peer_join(me);
	peer_grow(me, WORLD);
	rank = peer_rank(me);
	for (i = 0; i < 20; i++)
		passes_round(me, i * i * i * i % COUNT);
	CHECK_RESULT(pcclInvalidArgument, pcclSend(input, rank, &operation, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclRecv(output, WORLD, &operation, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclRecv(NULL, (rank + 1) % WORLD, &operation, me->comm, NULL));
	/* Two that disagree; the third does not notice. */
	operation.count = 100 + rank;
	if (rank == 0)
		CHECK_RESULT(pcclMismatch, pcclSend(input, 1, &operation, me->comm, NULL));
	if (rank == 1) {
		CHECK_RESULT(pcclMismatch, pcclRecv(output, 0, &operation, me->comm, NULL));
		CHECK(strstr(pcclGetLastError(me->comm), "100") != NULL);
		CHECK(strstr(pcclGetLastError(me->comm), "101") != NULL);
	}
	/* Of one the other never comes. */
	operation.timeout_ms = 30;
	if (rank == 2)
		CHECK_RESULT(pcclTimeout, pcclSend(input, 1, &operation, me->comm, NULL));
	peer_meet(me, WORLD);
	if (rank == 1)
		CHECK_RESULT(pcclTimeout, pcclRecv(output, 2, &operation, me->comm, NULL));
	passes_round(me, 1000);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void transfers_go_from_one_to_another_under_tags_of_their_own(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, transfers, NULL);
	peers_finish(world);
}

/* ---- disagreement ------------------------------------------------------------------------------------------------ */

static void disagrees(struct world_peer *me)
{
	pcclOperation_t operation = operation_of(9, 40, pcclPolicyAbort);
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	size_t sends[WORLD] = {40, 40, 40}, receives[WORLD] = {40, 40, 40};
	uint32_t rank;

	peer_join(me);
	peer_grow(me, WORLD);
	rank = peer_rank(me);
	values_fill(input, pcclInt32, 0, 4 * COUNT, rank);
	memcpy(copy, input, sizeof(copy));
	/* One expects another number from one. */
	if (rank == 1)
		receives[2] = 41;
	CHECK_RESULT(pcclMismatch, pcclAllToAll(input, output, sends, receives, &operation, me->comm, NULL));
	if (rank != 0) {
		CHECK(strstr(pcclGetLastError(me->comm), "40") != NULL);
		CHECK(strstr(pcclGetLastError(me->comm), "41") != NULL);
	}
	receives[rank] = 39;
	CHECK_RESULT(pcclInvalidArgument, pcclAllToAll(input, output, sends, receives, &operation, me->comm, NULL));
	/* One gives less than the root has room for. */
	operation.root = 2;
	operation.count = rank == 0 ? 39 : 40;
	CHECK_RESULT(pcclMismatch, pcclGather(input, rank == 2 ? output : NULL, NULL, &operation, me->comm, NULL));
	operation.count = rank == 0 ? 39 : 40;
	CHECK_RESULT(pcclMismatch, pcclScatter(rank == 2 ? input : NULL, output, NULL, &operation, me->comm, NULL));
	operation.count = 40;
	operation.root = rank;
	CHECK_RESULT(pcclMismatch, pcclReduce(input, output, &operation, me->comm, NULL));
	CHECK(strstr(pcclGetLastError(me->comm), "(sum, root ") != NULL);
	operation.root = WORLD;
	CHECK_RESULT(pcclInvalidArgument, pcclGather(input, output, NULL, &operation, me->comm, NULL));
	operation.root = 0;
	operation.codec = pcclQuantFP16;
	CHECK_RESULT(pcclInvalidArgument, pcclGather(input, output, NULL, &operation, me->comm, NULL));
	operation.codec = pcclQuantNone;
	operation.count = SIZE_MAX / 8;
	CHECK_RESULT(pcclInvalidArgument, pcclAllToAll(input, output, NULL, NULL, &operation, me->comm, NULL));
	/* In place it would overwrite what is still to be sent. */
	operation.count = 40;
	CHECK_RESULT(pcclInvalidArgument, pcclAllToAll(input, input, NULL, NULL, &operation, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllToAll(input, input + 119, NULL, NULL, &operation, me->comm, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclAllToAll(input + 119, input, NULL, NULL, &operation, me->comm, NULL));
	CHECK_RESULT(pcclSuccess, pcclAllToAll(output, output + 120, NULL, NULL, &operation, me->comm, NULL));
	operation.count = 0;
	CHECK_RESULT(pcclSuccess, pcclAllToAll(input, input, NULL, NULL, &operation, me->comm, &info));
	CHECK(info.range_count == 0 && info.participants_min == WORLD); /* nothing to have any */
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(input, output, &operation, me->comm, &info));
	CHECK(info.range_count == 0 && info.participants_min == WORLD);
	operation.count = 40;
	CHECK_RESULT(pcclSuccess, pcclAllToAll(input, output, NULL, NULL, &operation, me->comm, &info));
	CHECK(info.range_count == 1);
	CHECK(memcmp(copy, input, sizeof(copy)) == 0);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void counts_that_differ_are_told_to_all(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, disagrees, NULL);
	peers_finish(world);
}

/* ---- a death ----------------------------------------------------------------------------------------------------- */

enum { SURVIVORS = 3, VICTIM = 3, TOLD_RANK = 1, OPERATIONS = 8 };

static uint32_t rank_of(const struct world_peer *me, unsigned index)
{
	return (uint32_t)peers_told(me->world, index, TOLD_RANK);
}

/* All that can be in flight when one dies who has not come to any of it. */
static void launch_before(struct world_peer *me, pcclHandle_t *handles)
{
	static int32_t reduced[COUNT];
	pcclOperation_t operation = operation_of(1, COUNT, pcclPolicyAbort);

	operation.root = rank_of(me, 0);
	CHECK_RESULT(pcclSuccess, pcclGatherAsync(input, output, NULL, &operation, me->comm, &handles[0]));
	operation.tag++;
	CHECK_RESULT(pcclSuccess, pcclScatterAsync(input, copy, NULL, &operation, me->comm, &handles[1]));
	operation.tag++;
	CHECK_RESULT(pcclSuccess, pcclReduceAsync(input, reduced, &operation, me->comm, &handles[2]));
}

static void launch_retried(struct world_peer *me, int32_t *sum, pcclHandle_t *handle)
{
	pcclOperation_t operation = operation_of(4, COUNT, pcclPolicyRetry);

	operation.root = rank_of(me, 1);
	CHECK_RESULT(pcclSuccess, pcclReduceAsync(input, sum, &operation, me->comm, handle));
}

static void launch_all_to_all(struct world_peer *me, int32_t *to, pcclHandle_t *handle)
{
	pcclOperation_t operation = operation_of(5, COUNT, pcclPolicyRepair);

	CHECK_RESULT(pcclSuccess, pcclAllToAllAsync(input, to, NULL, NULL, &operation, me->comm, handle));
}

/* 0 sends to 1, which comes to it after the death, and to the victim. */
static void transfer_before(struct world_peer *me, pcclHandle_t *handles)
{
	const pcclOperation_t given_up = operation_of(6, COUNT, pcclPolicyAbort);
	const pcclOperation_t redone = operation_of(7, COUNT, pcclPolicyRetry);

	CHECK_RESULT(pcclSuccess, pcclSendAsync(input, rank_of(me, 1), &given_up, me->comm, &handles[0]));
	CHECK_RESULT(pcclSuccess, pcclSendAsync(input, rank_of(me, 1), &redone, me->comm, &handles[1]));
	CHECK_RESULT(pcclSuccess, pcclSendAsync(input, rank_of(me, VICTIM), &redone, me->comm, &handles[2]));
}

static uint32_t find_rank(struct world_peer *me, unsigned index)
{
	peer_tell(me, TOLD_RANK, peer_rank(me));
	peer_meet(me, SURVIVORS);
	return rank_of(me, index);
}

static void check_after(struct world_peer *me, pcclHandle_t *handles, const int32_t *sum, const unsigned *ranks)
{
	const pcclOperation_t given_up = operation_of(6, COUNT, pcclPolicyAbort);
	const pcclOperation_t redone = operation_of(7, COUNT, pcclPolicyRetry);
	static int32_t got[COUNT];
	unsigned i, first;

	for (i = 0; i < 3; i++)
		CHECK_RESULT(pcclRankConnectionLost, pcclAwait(&handles[i], NULL));
	CHECK_RESULT(pcclSuccess, pcclAwait(&handles[3], NULL));
	CHECK_RESULT(pcclRankConnectionLost, pcclAwait(&handles[4], NULL));
	CHECK(values_filled(input, pcclInt32, 0, 4 * COUNT, ranks[me->index]));
	if (me->index == 1)
		CHECK(values_reduced(sum, pcclInt32, pcclSum, 0, COUNT, ranks, SURVIVORS));
	first = find_rank(me, 0);
	if (me->index == 1) {
		CHECK_RESULT(pcclRankConnectionLost, pcclRecv(got, first, &given_up, me->comm, NULL));
		CHECK_RESULT(pcclSuccess, pcclRecv(got, first, &redone, me->comm, NULL));
		CHECK(values_filled(got, pcclInt32, 0, COUNT, ranks[0]));
	}
	if (me->index == 0) {
		CHECK_RESULT(pcclRankConnectionLost, pcclAwait(&handles[5], NULL));
		CHECK_RESULT(pcclSuccess, pcclAwait(&handles[6], NULL));
		CHECK_RESULT(pcclRankConnectionLost, pcclAwait(&handles[7], NULL));
	}
}

static void loses_one(struct world_peer *me)
{
	static int32_t sum[COUNT], exchanged[4 * COUNT];
	pcclHandle_t handles[OPERATIONS];
	unsigned ranks[SURVIVORS], i;

	me->config.lanes = 2;
	peer_join(me);
	peer_grow(me, SURVIVORS + 1);
	peer_tell(me, TOLD_RANK, peer_rank(me));
	peer_reach(me, 1);
	for (i = 0; i <= SURVIVORS; i++)
		peer_wait_peer(me, i, 1);
	if (me->index == VICTIM) {
		peer_reach(me, 2);
		peer_wait_gate(me, 99); /* never */
	}
	for (i = 0; i < SURVIVORS; i++)
		ranks[i] = rank_of(me, i);
	values_fill(input, pcclInt32, 0, 4 * COUNT, ranks[me->index]);
	launch_before(me, handles);
	launch_retried(me, sum, &handles[3]);
	launch_all_to_all(me, exchanged, &handles[4]);
	if (me->index == 0)
		transfer_before(me, &handles[5]);
	peer_reach(me, 2);
	check_after(me, handles, sum, ranks);
	launch_all_to_all(me, exchanged, &handles[4]);
	CHECK_RESULT(pcclSuccess, pcclAwait(&handles[4], NULL));
	peer_meet(me, SURVIVORS);
	peer_leave(me);
}

static void a_death_ends_what_was_for_all_and_spares_what_was_for_two(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, SURVIVORS + 1, loses_one, NULL);
	peers_await_all(world, 0, SURVIVORS + 1, 2);
	peers_signal(world, VICTIM, SIGKILL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(transfers_go_from_one_to_another_under_tags_of_their_own, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(counts_that_differ_are_told_to_all, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_death_ends_what_was_for_all_and_spares_what_was_for_two, peers_open,
						peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
