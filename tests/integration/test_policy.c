/* What becomes of an operation whose member is killed: retry redoes it among the survivors, repair only what was
 * missing. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { RANGES = 65536, SIZE_MAX_PEERS = 5, TOLD_RANK, TOLD_HASH, TOLD_MIN, TOLD_MAX };

static const unsigned everybody[] = {0, 1, 2, 3, 4};

struct attack {
	pcclFailurePolicy_t policy;
	pcclPlan_t plan;
	pcclDataType_t datatype;
	pcclRedOp_t op;
	bool in_place;
	bool by_config; /* the policy is the communicator's */
	unsigned lanes; /* and streams */
	unsigned size;
	unsigned victims; /* the last ones to have started */
};

struct buffer {
	size_t count;
	void *input, *output;
};

static void buffer_init(struct buffer *buffer, const struct attack *attack)
{
	size_t bytes = (32u << 20) / peers_patience() / 8 * 8;

	buffer->count = bytes / values_bytes(attack->datatype);
	buffer->input = malloc(bytes);
	buffer->output = attack->in_place ? buffer->input : malloc(bytes);
	CHECK(buffer->input != NULL && buffer->output != NULL);
}

static void buffer_fini(struct buffer *buffer)
{
	if (buffer->output != buffer->input)
		free(buffer->output);
	free(buffer->input);
}

/* The ranks, in the first view, of those that were not killed. */
static unsigned find_survivors(const struct world_peer *me, const struct attack *attack, unsigned *survivors)
{
	unsigned count = 0, rank, i;

	for (rank = 0; rank < attack->size; rank++)
		for (i = 0; i < attack->size - attack->victims; i++)
			if (peers_told(me->world, i, TOLD_RANK) == rank)
				survivors[count++] = rank;
	return count;
}

/* Every element is the reduction of all, or that of the survivors; what the numbers of participants say is true.
 * With two victims there may be a third kind in between: the one who died last still took part. */
static void check_result(const struct world_peer *me, const struct attack *attack, const struct buffer *buffer,
			 const pcclOperationInfo_t *info)
{
	const size_t element = values_bytes(attack->datatype);
	unsigned survivors[SIZE_MAX_PEERS], between[SIZE_MAX_PEERS], count = find_survivors(me, attack, survivors);
	size_t at = 0, by_all, by_survivors, by_some, victim;

	while (at < buffer->count) {
		const char *from = (const char *)buffer->output + at * element;
		size_t left = buffer->count - at, most = 0;

		by_all = values_matching(from, attack->datatype, attack->op, at, left, everybody, attack->size);
		by_survivors = values_matching(from, attack->datatype, attack->op, at, left, survivors, count);
		for (victim = attack->size - attack->victims; attack->victims > 1 && victim < attack->size; victim++) {
			memcpy(between, survivors, sizeof(between));
			between[count] = (unsigned)peers_told(me->world, (unsigned)victim, TOLD_RANK);
			by_some = values_matching(from, attack->datatype, attack->op, at, left, between, count + 1);
			most = by_some > most ? by_some : most;
		}
		CHECK(by_all + by_survivors + most > 0);
		CHECK(at > 0 || info->participants_max == attack->size || by_all < left);
		if (info->participants_min == info->participants_max && info->participants_max == attack->size)
			CHECK(by_all == left);
		if (info->participants_min == info->participants_max && info->participants_max == count)
			CHECK(by_survivors == left);
		most = most > by_all ? most : by_all;
		at += most > by_survivors ? most : by_survivors;
	}
}

/* The ranges tell of each element once, in order, and the truth. */
static void check_ranges(const struct world_peer *me, const struct attack *attack, const struct buffer *buffer,
			 const pcclOperationInfo_t *info)
{
	const size_t element = values_bytes(attack->datatype);
	unsigned survivors[SIZE_MAX_PEERS], count = find_survivors(me, attack, survivors);
	uint32_t least = UINT32_MAX, most = 0;
	size_t index, next = 0;

	CHECK(info->range_count > 0 && info->range_count <= RANGES);
	for (index = 0; index < info->range_count; index++) {
		const pcclParticipants_t *range = &info->ranges[index];
		const char *from = (const char *)buffer->output + range->first * element;
		const bool all = range->participants == attack->size;

		CHECK(range->first == next && range->count > 0);
		next += range->count;
		least = range->participants < least ? range->participants : least;
		most = range->participants > most ? range->participants : most;
		if (attack->victims == 1)
			CHECK(values_reduced(from, attack->datatype, attack->op, range->first, range->count,
					     all ? everybody : survivors, all ? attack->size : count));
	}
	CHECK(next == buffer->count && least == info->participants_min && most == info->participants_max);
}

/* Reduces until a kill has left its mark on an operation: all survivors see it in the same one. */
static void reduces_until_a_kill(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	static pcclParticipants_t ranges[RANGES];
	const struct attack *attack = me->argument;
	const unsigned left = attack->size - attack->victims;
	struct buffer buffer;
	unsigned rank;
	int64_t sum;

	if (attack->by_config)
		me->config.failure_policy = attack->policy;
	else
		operation.failure_policy = attack->policy;
	me->config.lanes = attack->lanes;
	me->config.streams = attack->lanes;
	peer_join(me);
	peer_grow(me, attack->size);
	rank = peer_rank(me);
	peer_tell(me, TOLD_RANK, rank);
	buffer_init(&buffer, attack);
	operation.count = buffer.count;
	operation.plan = attack->plan;
	operation.datatype = attack->datatype;
	operation.op = attack->op;
	CHECK_RESULT(pcclSuccess, pcclBarrier(&operation, me->comm));
	info.ranges = ranges;
	info.range_capacity = RANGES;
	do {
		values_fill(buffer.input, attack->datatype, 0, buffer.count, rank);
		peer_reach(me, 1);
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(buffer.input, buffer.output, &operation, me->comm, &info));
		CHECK(info.participants_min >= left && info.participants_min <= info.participants_max);
		CHECK(info.participants_max <= attack->size);
		CHECK(attack->policy == pcclPolicyRepair || info.participants_min == info.participants_max);
	} while (info.participants_min > left);
	check_result(me, attack, &buffer, &info);
	check_ranges(me, attack, &buffer, &info);
	CHECK(attack->in_place || values_filled(buffer.input, attack->datatype, 0, buffer.count, rank));
	peer_tell(me, TOLD_HASH, values_hash(buffer.output, buffer.count * values_bytes(attack->datatype)));
	peer_tell(me, TOLD_MIN, info.participants_min);
	peer_tell(me, TOLD_MAX, info.participants_max);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 77, 1, &sum));
	CHECK(sum == left);
	buffer_fini(&buffer);
	peer_leave(me);
}

static void kill_amid(void **state, const struct attack *attack)
{
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, attack->size, reduces_until_a_kill, attack);
	peers_await_all(world, 0, attack->size, 1);
	for (i = 0; i < attack->victims; i++) {
		peers_sleep_ms(5 + (unsigned)(peers_now_ns() % 25));
		peers_signal(world, attack->size - 1 - i, SIGKILL);
	}
	peers_finish(world);
	for (i = 1; i < attack->size - attack->victims; i++) {
		assert_int_equal(peers_told(world, i, TOLD_HASH), peers_told(world, 0, TOLD_HASH));
		assert_int_equal(peers_told(world, i, TOLD_MIN), peers_told(world, 0, TOLD_MIN));
		assert_int_equal(peers_told(world, i, TOLD_MAX), peers_told(world, 0, TOLD_MAX));
	}
}

static void retry_redoes_the_operation_with_the_survivors(void **state)
{
	const struct attack attack = {pcclPolicyRetry, pcclPlanDirect, pcclInt32, pcclSum, false, false, 1, 4, 1};

	kill_amid(state, &attack);
}

static void retry_works_in_place(void **state)
{
	const struct attack attack = {pcclPolicyRetry, pcclPlanDirect, pcclInt64, pcclAvg, true, true, 2, 4, 1};

	kill_amid(state, &attack);
}

static void retry_works_in_a_ring(void **state)
{
	const struct attack attack = {pcclPolicyRetry, pcclPlanRing, pcclFloat, pcclSum, true, false, 1, 3, 1};

	kill_amid(state, &attack);
}

static void repair_redoes_what_is_missing(void **state)
{
	const struct attack attack = {pcclPolicyRepair, pcclPlanDirect, pcclInt32, pcclSum, false, false, 1, 4, 1};

	kill_amid(state, &attack);
}

static void repair_works_in_place(void **state)
{
	const struct attack attack = {pcclPolicyRepair, pcclPlanDirect, pcclUint64, pcclSum, true, false, 3, 4, 1};

	kill_amid(state, &attack);
}

static void repair_divides_each_segment_by_its_own_participants(void **state)
{
	const struct attack attack = {pcclPolicyRepair, pcclPlanDirect, pcclInt64, pcclAvg, true, true, 1, 4, 1};

	kill_amid(state, &attack);
}

static void repair_works_in_a_ring(void **state)
{
	const struct attack attack = {pcclPolicyRepair, pcclPlanRing, pcclInt32, pcclMax, true, false, 2, 4, 1};

	kill_amid(state, &attack);
}

static void repair_survives_two_kills(void **state)
{
	const struct attack attack = {pcclPolicyRepair, pcclPlanAuto, pcclInt32, pcclSum, true, false, 3, 5, 2};

	kill_amid(state, &attack);
}

static void retry_survives_two_kills(void **state)
{
	const struct attack attack = {pcclPolicyRetry, pcclPlanAuto, pcclInt32, pcclSum, false, false, 2, 5, 2};

	kill_amid(state, &attack);
}

/* ---- what can't be redone ------------------------------------------------------------------------------------ */

enum { PART = 1 << 20 };

/* Their buffers depend on the number of members. The loss may come between two operations: then none fails. */
static void scatters_until_a_kill(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	int32_t *input = malloc(3 * PART * sizeof(*input)), *output = malloc(3 * PART * sizeof(*output));
	pcclResult_t result;
	const bool *gather = me->argument;
	unsigned rank;

	CHECK(input != NULL && output != NULL);
	me->config.failure_policy = pcclPolicyRetry;
	peer_join(me);
	peer_grow(me, 3);
	rank = peer_rank(me);
	values_fill(input, pcclInt32, 0, 3 * PART, rank);
	operation.count = PART;
	operation.datatype = pcclInt32;
	do {
		peer_reach(me, 1);
		if (*gather)
			result = pcclAllGather(input, output, &operation, me->comm, &info);
		else
			result = pcclReduceScatter(input, output, &operation, me->comm, &info);
	} while (result == pcclSuccess && info.participants_max == 3);
	CHECK(result == pcclRankConnectionLost || result == pcclSuccess);
	CHECK(values_filled(input, pcclInt32, 0, 3 * PART, rank));
	CHECK(peer_world_size(me) == 2);
	/* A barrier does not depend on it: it is retried. */
	CHECK_RESULT(pcclSuccess, pcclBarrier(&operation, me->comm));
	free(input);
	free(output);
	peer_leave(me);
}

static void kill_amid_scatter_or_gather(void **state, bool gather)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, scatters_until_a_kill, &gather);
	peers_await_all(world, 0, 3, 1);
	peers_sleep_ms(10);
	peers_signal(world, 1, SIGKILL);
	peers_finish(world);
}

static void reduce_scatter_fails_whatever_the_policy(void **state)
{
	kill_amid_scatter_or_gather(state, false);
}

static void all_gather_fails_whatever_the_policy(void **state)
{
	kill_amid_scatter_or_gather(state, true);
}

struct broadcast {
	pcclFailurePolicy_t policy;
	bool kills_root;
};

/* From rank 0, or from rank 2, who is killed. The loss may come between two operations. */
static void broadcasts_until_a_kill(struct world_peer *me)
{
	const struct broadcast *broadcast = me->argument;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	int32_t *input = malloc(8 * PART * sizeof(*input)), *output = malloc(8 * PART * sizeof(*output));
	pcclResult_t result;

	CHECK(input != NULL && output != NULL);
	peer_join(me);
	peer_grow(me, 3);
	peer_tell(me, TOLD_RANK, peer_rank(me));
	values_fill(input, pcclInt32, 0, 8 * PART, peer_rank(me));
	operation.failure_policy = broadcast->policy;
	operation.root = broadcast->kills_root ? 2 : 0;
	operation.count = 8 * PART;
	operation.datatype = pcclInt32;
	CHECK_RESULT(pcclSuccess, pcclBarrier(&operation, me->comm));
	do {
		peer_reach(me, 1);
		result = pcclBroadcast(input, output, &operation, me->comm, &info);
		if (result == pcclSuccess)
			CHECK(values_filled(output, pcclInt32, 0, 8 * PART, operation.root));
	} while (result == pcclSuccess && info.participants_max == 3);
	if (broadcast->kills_root) /* there is no rank 2 any more when it is launched later */
		CHECK(result == pcclRankConnectionLost || result == pcclInvalidArgument);
	else if (broadcast->policy == pcclPolicyAbort)
		CHECK(result == pcclRankConnectionLost || result == pcclSuccess);
	else
		CHECK_RESULT(pcclSuccess, result);
	CHECK(peer_world_size(me) == 2);
	peer_meet(me, 2);
	free(input);
	free(output);
	peer_leave(me);
}

static void kill_amid_broadcast(void **state, pcclFailurePolicy_t policy, bool kills_root)
{
	const struct broadcast broadcast = {policy, kills_root};
	struct world *world = *state;
	unsigned i, victim = 0;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, broadcasts_until_a_kill, &broadcast);
	peers_await_all(world, 0, 3, 1);
	for (i = 0; i < 3; i++)
		if (peers_told(world, i, TOLD_RANK) == 2)
			victim = i;
	peers_sleep_ms(5 + (unsigned)(peers_now_ns() % 25));
	peers_signal(world, victim, SIGKILL);
	peers_finish(world);
}

static void a_broadcast_is_redone_while_its_root_lives(void **state)
{
	kill_amid_broadcast(state, pcclPolicyRetry, false);
}

static void repair_redoes_a_broadcast_too(void **state)
{
	kill_amid_broadcast(state, pcclPolicyRepair, false);
}

static void abort_gives_a_broadcast_up(void **state)
{
	kill_amid_broadcast(state, pcclPolicyAbort, false);
}

static void a_lost_root_is_a_lost_connection_to_abort(void **state)
{
	kill_amid_broadcast(state, pcclPolicyAbort, true);
}

static void a_lost_root_is_a_lost_connection_to_retry(void **state)
{
	kill_amid_broadcast(state, pcclPolicyRetry, true);
}

static void a_lost_root_is_a_lost_connection_to_repair(void **state)
{
	kill_amid_broadcast(state, pcclPolicyRepair, true);
}

static void waits_at_a_barrier(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.failure_policy = pcclPolicyRetry;
	peer_join(me);
	peer_grow(me, 3);
	peer_reach(me, 1);
	if (me->index == 2)
		peer_wait_gate(me, 1000);
	CHECK_RESULT(pcclSuccess, pcclBarrier(&operation, me->comm));
	CHECK(peer_world_size(me) == 2);
	peer_meet(me, 2);
	peer_leave(me);
}

static void a_barrier_is_retried_without_the_dead(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, waits_at_a_barrier, NULL);
	peers_await_all(world, 0, 3, 1);
	peers_sleep_ms(20);
	peers_signal(world, 2, SIGKILL);
	peers_finish(world);
}

/* With nobody left there is nothing to redo it with. */
static void is_left_alone(struct world_peer *me)
{
	const pcclFailurePolicy_t *policy = me->argument;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	int32_t *buffer = malloc(PART * sizeof(*buffer));
	pcclResult_t result;

	CHECK(buffer != NULL);
	operation.failure_policy = *policy;
	operation.count = PART;
	operation.datatype = pcclInt32;
	peer_join(me);
	peer_grow(me, 2);
	values_fill(buffer, pcclInt32, 0, PART, me->index);
	peer_reach(me, 1);
	if (me->index == 1)
		peer_wait_gate(me, 1000);
	result = pcclAllReduceWith(buffer, buffer, &operation, me->comm, NULL);
	CHECK_RESULT(pcclTooFewPeers, result);
	CHECK(values_filled(buffer, pcclInt32, 0, PART, 0));
	CHECK_RESULT(pcclTooFewPeers, pcclAllReduceWith(buffer, buffer, &operation, me->comm, NULL));
	free(buffer);
	peer_leave(me);
}

static void the_last_one_can_not_retry(void **state)
{
	struct world *world = *state;
	const pcclFailurePolicy_t policy = pcclPolicyRetry;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, is_left_alone, &policy);
	peers_await_all(world, 0, 2, 1);
	peers_sleep_ms(20);
	peers_signal(world, 1, SIGKILL);
	peers_finish(world);
}

static void the_last_one_can_not_repair(void **state)
{
	struct world *world = *state;
	const pcclFailurePolicy_t policy = pcclPolicyRepair;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, is_left_alone, &policy);
	peers_await_all(world, 0, 2, 1);
	peers_sleep_ms(20);
	peers_signal(world, 1, SIGKILL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(retry_redoes_the_operation_with_the_survivors, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(retry_works_in_place, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(retry_works_in_a_ring, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(repair_redoes_what_is_missing, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(repair_works_in_place, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(repair_divides_each_segment_by_its_own_participants, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(repair_works_in_a_ring, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(repair_survives_two_kills, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(retry_survives_two_kills, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(reduce_scatter_fails_whatever_the_policy, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(all_gather_fails_whatever_the_policy, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_broadcast_is_redone_while_its_root_lives, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(repair_redoes_a_broadcast_too, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(abort_gives_a_broadcast_up, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_lost_root_is_a_lost_connection_to_abort, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_lost_root_is_a_lost_connection_to_retry, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_lost_root_is_a_lost_connection_to_repair, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_barrier_is_retried_without_the_dead, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_last_one_can_not_retry, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_last_one_can_not_repair, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
