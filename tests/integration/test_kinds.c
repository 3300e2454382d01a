/* Broadcast, reduce-scatter, all-gather, reduce, barrier and what moves parts: every root, plan and a few types,
 * blocking and asynchronous. */
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

static const pcclPlan_t plans[] = {pcclPlanAuto, pcclPlanOneshot, pcclPlanDirect, pcclPlanRing};
static const pcclDataType_t types[] = {pcclUint8, pcclInt16, pcclBFloat16, pcclFloat, pcclInt64};
static const size_t counts[] = {0, 1, 2, 777, 100003};
static const unsigned everybody[] = {0, 1, 2, 3, 4, 5, 6, 7};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

typedef void (*check_kind)(struct world_peer *me, const pcclOperation_t *operation, bool variant);

static void *get_memory(size_t bytes)
{
	void *memory = malloc(bytes + 1);

	CHECK(memory != NULL);
	memset(memory, 0xa5, bytes + 1);
	return memory;
}

/* Calls `check` for all plans, types and counts. */
static void run_all(struct world_peer *me, check_kind check)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned plan, type, count;

	for (plan = 0; plan < LENGTH(plans); plan++) {
		for (type = 0; type < LENGTH(types); type++) {
			for (count = 0; count < LENGTH(counts); count++) {
				if (counts[count] > 1000 && (plan + type) % peers_patience() != 0)
					continue;
				operation.plan = plans[plan];
				operation.datatype = types[type];
				operation.count = counts[count];
				operation.op = (pcclRedOp_t)((plan + type + count) % VALUES_OPS);
				operation.tag = 1000 + count;
				check(me, &operation, false);
				check(me, &operation, true);
			}
		}
	}
}

static void check_broadcast(struct world_peer *me, const pcclOperation_t *operation, bool in_place)
{
	const size_t bytes = operation->count * values_bytes(operation->datatype);
	pcclOperation_t from = *operation;
	void *input = get_memory(bytes), *output = get_memory(bytes);

	for (from.root = 0; from.root < peer_world_size(me); from.root++) {
		bool is_root = from.root == peer_rank(me);
		const void *send = is_root ? (in_place ? output : input) : NULL;

		memset(output, 0, bytes);
		values_fill(is_root && in_place ? output : input, from.datatype, 0, from.count,
			    peer_rank(me) * 50 + from.root);
		CHECK_RESULT(pcclSuccess, pcclBroadcast(send, output, &from, me->comm, NULL));
		CHECK(values_filled(output, from.datatype, 0, from.count, from.root * 51));
		CHECK(((const unsigned char *)output)[bytes] == 0xa5);
	}
	free(input);
	free(output);
}

static void check_reduce_scatter(struct world_peer *me, const pcclOperation_t *operation, bool in_place)
{
	const unsigned size = peer_world_size(me), rank = peer_rank(me);
	const size_t part_bytes = operation->count * values_bytes(operation->datatype);
	char *input = get_memory(size * part_bytes), *apart = get_memory(part_bytes);
	char *output = in_place ? input + rank * part_bytes : apart;
	unsigned part;

	values_fill(input, operation->datatype, 0, size * operation->count, rank);
	CHECK_RESULT(pcclSuccess, pcclReduceScatter(input, output, operation, me->comm, NULL));
	CHECK(values_reduced(output, operation->datatype, operation->op, rank * operation->count, operation->count,
			     everybody, size));
	for (part = 0; part < size; part++)
		CHECK((in_place && part == rank) || values_filled(input + part * part_bytes, operation->datatype,
								  part * operation->count, operation->count, rank));
	CHECK((unsigned char)input[size * part_bytes] == 0xa5 && (unsigned char)apart[part_bytes] == 0xa5);
	free(input);
	free(apart);
}

static void check_all_gather(struct world_peer *me, const pcclOperation_t *operation, bool in_place)
{
	const unsigned size = peer_world_size(me), rank = peer_rank(me);
	const size_t part_bytes = operation->count * values_bytes(operation->datatype);
	char *apart = get_memory(part_bytes), *output = get_memory(size * part_bytes);
	char *input = in_place ? output + rank * part_bytes : apart;
	unsigned part;

	values_fill(input, operation->datatype, 0, operation->count, rank);
	CHECK_RESULT(pcclSuccess, pcclAllGather(input, output, operation, me->comm, NULL));
	for (part = 0; part < size; part++)
		CHECK(values_filled(output + part * part_bytes, operation->datatype, 0, operation->count, part));
	CHECK((unsigned char)output[size * part_bytes] == 0xa5);
	free(output);
	free(apart);
}

/* In place elsewhere than on the root, nothing changes. */
static void check_reduce(struct world_peer *me, const pcclOperation_t *operation, bool in_place)
{
	const size_t bytes = operation->count * values_bytes(operation->datatype);
	const unsigned size = peer_world_size(me), rank = peer_rank(me);
	pcclOperation_t to = *operation;
	void *input = get_memory(bytes), *apart = get_memory(bytes), *output = in_place ? input : apart;

	to.root = (unsigned)(to.tag + (unsigned)to.datatype) % size;
	values_fill(input, to.datatype, 0, to.count, rank);
	CHECK_RESULT(pcclSuccess, pcclReduce(input, to.root == rank || in_place ? output : NULL, &to, me->comm, NULL));
	CHECK(to.root != rank || values_reduced(output, to.datatype, to.op, 0, to.count, everybody, size));
	CHECK((to.root == rank && in_place) || values_filled(input, to.datatype, 0, to.count, rank));
	CHECK(((const unsigned char *)output)[bytes] == 0xa5);
	free(input);
	free(apart);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/* From one rank to another: of no size at all, and of others. */
static size_t count_of(const pcclOperation_t *operation, bool uneven, unsigned from, unsigned to)
{
	return uneven ? operation->count * ((from + 2 * to) % 4) / 2 : operation->count;
}

/* The parts of `rank` one after the other: those that it sends, or those that it has received. Returns the bytes. */
static size_t walk_parts(const pcclOperation_t *operation, bool uneven, unsigned size, unsigned rank, bool sent,
			 char *filled, const char *checked)
{
	size_t bytes = 0;
	unsigned other;

	for (other = 0; other < size; other++) {
		unsigned from = sent ? rank : other, to = sent ? other : rank;
		size_t count = count_of(operation, uneven, from, to);

		if (filled != NULL)
			values_fill(filled + bytes, operation->datatype, 0, count, 8 * from + to);
		if (checked != NULL)
			CHECK(values_filled(checked + bytes, operation->datatype, 0, count, 8 * from + to));
		bytes += count * values_bytes(operation->datatype);
	}
	return bytes;
}

static void check_all_to_all(struct world_peer *me, const pcclOperation_t *operation, bool uneven)
{
	const unsigned size = peer_world_size(me), rank = peer_rank(me);
	size_t in_bytes = walk_parts(operation, uneven, size, rank, true, NULL, NULL);
	size_t out_bytes = walk_parts(operation, uneven, size, rank, false, NULL, NULL);
	char *input = get_memory(in_bytes), *output = get_memory(out_bytes);
	size_t sends[WORLD_PEERS_MAX], receives[WORLD_PEERS_MAX];
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	unsigned other;

	for (other = 0; other < size; other++) {
		sends[other] = count_of(operation, uneven, rank, other);
		receives[other] = count_of(operation, uneven, other, rank);
	}
	walk_parts(operation, uneven, size, rank, true, input, NULL);
	CHECK_RESULT(pcclSuccess, pcclAllToAll(input, output, uneven ? sends : NULL, uneven ? receives : NULL,
					       operation, me->comm, &info));
	walk_parts(operation, uneven, size, rank, false, NULL, output);
	walk_parts(operation, uneven, size, rank, true, NULL, input);
	CHECK((unsigned char)input[in_bytes] == 0xa5 && (unsigned char)output[out_bytes] == 0xa5);
	CHECK(info.participants_min == size && info.participants_max == size && info.plan == pcclPlanDirect);
	free(input);
	free(output);
}

/* The root has all parts that go to it, or come from it, in `whole`; others one, in `part`. In place if there are any
 * others than even ones. */
static void check_gather_and_scatter(struct world_peer *me, const pcclOperation_t *operation, bool uneven)
{
	const unsigned size = peer_world_size(me), rank = peer_rank(me);
	size_t most = 2 * operation->count * values_bytes(operation->datatype), offset = 0;
	char *whole = get_memory(size * most), *part = get_memory(most), *own;
	pcclOperation_t mine = *operation;
	size_t sizes[WORLD_PEERS_MAX];
	unsigned other, root = (unsigned)operation->tag % size;

	mine.root = root;
	for (other = 0; other < size; other++) {
		sizes[other] = count_of(operation, uneven, other, root);
		offset += other < root ? sizes[other] * values_bytes(operation->datatype) : 0;
	}
	own = rank == root && uneven ? whole + offset : part;
	mine.count = rank == root && uneven ? 123 : sizes[rank]; /* it has said it already */
	values_fill(own, mine.datatype, 0, sizes[rank], 8 * rank + root);
	CHECK_RESULT(pcclSuccess, pcclGather(own, rank == root ? whole : NULL, uneven && rank == root ? sizes : NULL,
					     &mine, me->comm, NULL));
	if (rank == root)
		walk_parts(operation, uneven, size, rank, false, NULL, whole);
	/* And back. */
	if (rank != root || !uneven)
		memset(part, 0xa5, most);
	CHECK_RESULT(pcclSuccess, pcclScatter(rank == root ? whole : NULL, own, uneven && rank == root ? sizes : NULL,
					      &mine, me->comm, NULL));
	CHECK(values_filled(own, mine.datatype, 0, sizes[rank], 8 * rank + root));
	if (rank == root)
		walk_parts(operation, uneven, size, rank, false, NULL, whole);
	CHECK((unsigned char)whole[size * most] == 0xa5 && (unsigned char)part[most] == 0xa5);
	free(whole);
	free(part);
}

static void move_all_parts(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned type, count;

	for (type = 0; type < LENGTH(types); type++) {
		for (count = 0; count < LENGTH(counts); count++) {
			operation.datatype = types[type];
			operation.count = counts[count];
			operation.tag = 2000 + type + count;
			check_all_to_all(me, &operation, false);
			check_all_to_all(me, &operation, true);
			check_gather_and_scatter(me, &operation, false);
			check_gather_and_scatter(me, &operation, true);
		}
	}
}

static void runs_all_kinds(struct world_peer *me)
{
	const unsigned *size = me->argument;

	peer_join(me);
	peer_grow(me, *size);
	run_all(me, check_broadcast);
	run_all(me, check_reduce_scatter);
	run_all(me, check_all_gather);
	run_all(me, check_reduce);
	move_all_parts(me);
	peer_meet(me, *size);
	peer_leave(me);
}

static void world_runs_all_kinds(void **state, unsigned size)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, size, runs_all_kinds, &size);
	peers_finish(world);
}

static void two_peers_run_all_kinds(void **state)
{
	world_runs_all_kinds(state, 2);
}

static void three_peers_run_all_kinds(void **state)
{
	world_runs_all_kinds(state, 3);
}

static void five_peers_run_all_kinds(void **state)
{
	world_runs_all_kinds(state, 5);
}

/* ---- barrier ------------------------------------------------------------------------------------------------- */

static void meets_at_barriers(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	uint64_t *arrived = &me->world->shared->numbers[0];
	uint64_t round;

	peer_join(me);
	peer_grow(me, 4);
	for (round = 1; round <= 50; round++) {
		if (me->index == round % 4)
			peers_sleep_ms(2);
		peers_increase(arrived, 1);
		CHECK_RESULT(pcclSuccess, pcclBarrier(&operation, me->comm));
		/* Everybody has come; nobody can have come to the barrier after the next one. */
		CHECK(peers_get(arrived) >= 4 * round);
		CHECK(peers_get(arrived) <= 4 * round + 3);
	}
	peer_leave(me);
}

static void nobody_leaves_a_barrier_before_all_have_come(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 4, meets_at_barriers, NULL);
	peers_finish(world);
}

/* ---- asynchronous twins -------------------------------------------------------------------------------------- */

enum { PART = 5003, WORLD = 3 };

struct operations {
	int32_t input[WORLD * PART], reduced[WORLD * PART], scattered[PART], gathered[WORLD * PART], copied[PART];
	int32_t rooted[PART];
	pcclHandle_t handles[6];
};

static void launch_all(struct world_peer *me, struct operations *all)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.datatype = pcclInt32;
	operation.count = WORLD * PART;
	operation.tag = 1;
	CHECK_RESULT(pcclSuccess,
		     pcclAllReduceWithAsync(all->input, all->reduced, &operation, me->comm, &all->handles[0]));
	operation.count = PART;
	operation.tag = 2;
	CHECK_RESULT(pcclSuccess,
		     pcclReduceScatterAsync(all->input, all->scattered, &operation, me->comm, &all->handles[1]));
	operation.tag = 3;
	CHECK_RESULT(pcclSuccess,
		     pcclAllGatherAsync(all->input, all->gathered, &operation, me->comm, &all->handles[2]));
	operation.tag = 4;
	operation.root = 1;
	CHECK_RESULT(pcclSuccess, pcclBroadcastAsync(all->input, all->copied, &operation, me->comm, &all->handles[3]));
	operation.tag = 5;
	CHECK_RESULT(pcclSuccess, pcclBarrierAsync(&operation, me->comm, &all->handles[4]));
	operation.tag = 6;
	CHECK_RESULT(pcclSuccess, pcclReduceAsync(all->input, all->rooted, &operation, me->comm, &all->handles[5]));
}

static void check_all(const struct world_peer *me, const struct operations *all)
{
	unsigned rank = peer_rank(me), part;

	CHECK(values_reduced(all->reduced, pcclInt32, pcclSum, 0, WORLD * PART, everybody, WORLD));
	CHECK(values_reduced(all->scattered, pcclInt32, pcclSum, rank * PART, PART, everybody, WORLD));
	for (part = 0; part < WORLD; part++)
		CHECK(values_filled(all->gathered + part * PART, pcclInt32, 0, PART, part));
	CHECK(values_filled(all->copied, pcclInt32, 0, PART, 1));
	CHECK(rank != 1 || values_reduced(all->rooted, pcclInt32, pcclSum, 0, PART, everybody, WORLD));
}

static void runs_asynchronously(struct world_peer *me)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	struct operations *all = get_memory(sizeof(*all));
	int round, i;

	peer_join(me);
	peer_grow(me, WORLD);
	for (round = 0; round < 20; round++) {
		values_fill(all->input, pcclInt32, 0, WORLD * PART, peer_rank(me));
		launch_all(me, all);
		for (i = 5; i >= 0; i--) {
			bool done = false;

			while (!done && round % 2 == 0)
				CHECK_RESULT(pcclSuccess, pcclTest(&all->handles[i], &done));
			CHECK_RESULT(pcclSuccess, pcclAwait(&all->handles[i], &info));
			CHECK(info.participants_min == WORLD && info.participants_max == WORLD);
			CHECK(info.epoch == peer_epoch(me));
		}
		check_all(me, all);
	}
	free(all);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void the_asynchronous_twins_do_the_same(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, runs_asynchronously, NULL);
	peers_finish(world);
}

/* What was awaited already does not take the tag's next operation for its own. */
static void keeps_a_stale_handle_from_the_next(struct world_peer *me, pcclHandle_t stale)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclHandle_t never = {me->comm, 0, 1000}, any = {me->comm, 0, 0}, fresh;
	bool done;

	CHECK_RESULT(pcclSuccess, pcclBarrierAsync(&operation, me->comm, &fresh));
	CHECK(fresh.tag == stale.tag && fresh.launch != stale.launch);
	CHECK_RESULT(pcclRankConnectionLost, pcclAwait(&stale, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclTest(&stale, &done));
	CHECK_RESULT(pcclRankConnectionLost, pcclAwait(&never, NULL));
	CHECK_RESULT(pcclSuccess, pcclTest(&any, &done));
	CHECK_RESULT(pcclSuccess, pcclAwait(&fresh, NULL));
}

/* An operation whose partner has not come yet is not done. */
static void tests_before_the_other_comes(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclHandle_t handle;
	bool done = true;

	peer_join(me);
	peer_grow(me, 2);
	if (me->index == 1)
		peer_wait_peer(me, 0, 1);
	CHECK_RESULT(pcclSuccess, pcclBarrierAsync(&operation, me->comm, &handle));
	if (me->index == 0) {
		peers_sleep_ms(20);
		CHECK_RESULT(pcclSuccess, pcclTest(&handle, &done));
		CHECK(!done);
		peer_reach(me, 1);
	}
	while (!done)
		CHECK_RESULT(pcclSuccess, pcclTest(&handle, &done));
	CHECK_RESULT(pcclSuccess, pcclAwait(&handle, NULL));
	CHECK_RESULT(pcclInvalidArgument, pcclTest(&handle, &done));
	keeps_a_stale_handle_from_the_next(me, handle);
	peer_leave(me);
}

static void test_says_whether_await_would_block(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, tests_before_the_other_comes, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_peers_run_all_kinds, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(three_peers_run_all_kinds, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(five_peers_run_all_kinds, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(nobody_leaves_a_barrier_before_all_have_come, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(the_asynchronous_twins_do_the_same, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(test_says_whether_await_would_block, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
