/* Peers that call different things under one tag: all of them are told, in words that name both, and go on. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { COUNT = 100000, TAG = 5, WORLD = 3 };

static const unsigned everybody[] = {0, 1, 2};

struct buffers {
	int32_t input[WORLD * (COUNT + 1)];
	int32_t output[WORLD * (COUNT + 1)];
};

typedef pcclResult_t (*calls)(struct world_peer *me, const pcclOperation_t *operation, struct buffers *buffers);

static pcclResult_t all_reduce(struct world_peer *me, const pcclOperation_t *operation, struct buffers *buffers)
{
	return pcclAllReduceWith(buffers->input, buffers->output, operation, me->comm, NULL);
}

static pcclResult_t broadcast(struct world_peer *me, const pcclOperation_t *operation, struct buffers *buffers)
{
	return pcclBroadcast(buffers->input, buffers->output, operation, me->comm, NULL);
}

static pcclResult_t reduce_scatter(struct world_peer *me, const pcclOperation_t *operation, struct buffers *buffers)
{
	return pcclReduceScatter(buffers->input, buffers->output, operation, me->comm, NULL);
}

static pcclResult_t all_gather(struct world_peer *me, const pcclOperation_t *operation, struct buffers *buffers)
{
	return pcclAllGather(buffers->input, buffers->output, operation, me->comm, NULL);
}

static pcclResult_t barrier(struct world_peer *me, const pcclOperation_t *operation, struct buffers *buffers)
{
	(void)buffers;
	return pcclBarrier(operation, me->comm);
}

/* What the odd one does otherwise than an all-reduce of the usual operation, and words for that and for what the
 * others did: everybody must be told both. */
struct mistake {
	calls call;
	size_t count;
	pcclDataType_t datatype;
	pcclRedOp_t op;
	pcclPlan_t plan;
	pcclFailurePolicy_t policy;
	const char *odd, *usual;
};

static const struct mistake mistakes[] = {
	{all_reduce, COUNT + 1, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyAbort, "100001", "100000"},
	{all_reduce, 1, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyAbort, " 1 ", "100000"},
	{all_reduce, 0, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyAbort, " 0 ", "100000"},
	{all_reduce, COUNT, pcclFloat, pcclSum, pcclPlanDirect, pcclPolicyAbort, "float", "int32"},
	{all_reduce, COUNT, pcclUint8, pcclSum, pcclPlanDirect, pcclPolicyAbort, "uint8", "int32"},
	{all_reduce, COUNT, pcclInt32, pcclMax, pcclPlanDirect, pcclPolicyAbort, "max", "sum"},
	{all_reduce, COUNT, pcclInt32, pcclSum, pcclPlanRing, pcclPolicyAbort, "ring", "direct"},
	{all_reduce, COUNT, pcclInt32, pcclSum, pcclPlanOneshot, pcclPolicyAbort, "oneshot", "direct"},
	{all_reduce, COUNT, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyRetry, "retry", "abort"},
	{broadcast, COUNT, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyAbort, "broadcast", "all-reduce"},
	{reduce_scatter, COUNT, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyAbort, "reduce-scatter", "all-reduce"},
	{all_gather, COUNT, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyAbort, "all-gather", "all-reduce"},
	{barrier, COUNT, pcclInt32, pcclSum, pcclPlanDirect, pcclPolicyAbort, "barrier", "all-reduce"},
};

#define MISTAKES (sizeof(mistakes) / sizeof(mistakes[0]))

static struct buffers *make_buffers(const struct world_peer *me)
{
	struct buffers *buffers = malloc(sizeof(*buffers));

	CHECK(buffers != NULL);
	values_fill(buffers->input, pcclInt32, 0, WORLD * (COUNT + 1), peer_rank(me));
	return buffers;
}

static pcclOperation_t usual_operation(void)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.count = COUNT;
	operation.datatype = pcclInt32;
	operation.plan = pcclPlanDirect;
	operation.tag = TAG;
	return operation;
}

static void check_that_all_is_well(struct world_peer *me, struct buffers *buffers)
{
	const pcclOperation_t operation = usual_operation();

	CHECK(peer_world_size(me) == WORLD);
	CHECK_RESULT(pcclSuccess, all_reduce(me, &operation, buffers));
	CHECK(values_reduced(buffers->output, pcclInt32, pcclSum, 0, COUNT, everybody, WORLD));
}

static void make_mistake(struct world_peer *me, const struct mistake *mistake, bool odd, struct buffers *buffers)
{
	pcclOperation_t operation = usual_operation();
	pcclResult_t result;
	const char *cause;

	if (odd) {
		operation.count = mistake->count;
		operation.datatype = mistake->datatype;
		operation.op = mistake->op;
		operation.plan = mistake->plan;
		operation.failure_policy = mistake->policy;
	}
	result = (odd ? mistake->call : all_reduce)(me, &operation, buffers);
	cause = pcclGetLastError(me->comm);
	if (result != pcclMismatch || strstr(cause, mistake->odd) == NULL || strstr(cause, mistake->usual) == NULL)
		fprintf(stderr, "\"%s\" against \"%s\": result %d, \"%s\"\n", mistake->odd, mistake->usual, (int)result,
			cause);
	CHECK(result == pcclMismatch);
	CHECK(strstr(cause, mistake->odd) != NULL);
	CHECK(strstr(cause, mistake->usual) != NULL);
	CHECK(values_filled(buffers->input, pcclInt32, 0, WORLD * (COUNT + 1), peer_rank(me)));
}

static void makes_all_mistakes(struct world_peer *me)
{
	struct buffers *buffers;
	uint64_t epoch;
	unsigned i;

	peer_join(me);
	peer_grow(me, WORLD);
	buffers = make_buffers(me);
	epoch = peer_epoch(me);
	for (i = 0; i < MISTAKES; i++) {
		make_mistake(me, &mistakes[i], peer_rank(me) == i % WORLD, buffers);
		check_that_all_is_well(me, buffers);
	}
	/* Nobody was lost by it. */
	CHECK(peer_epoch(me) == epoch);
	free(buffers);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void everybody_is_told_what_two_peers_called(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, makes_all_mistakes, NULL);
	peers_finish(world);
}

/* The odd one comes late, when the others have sent what they may. */
static void comes_late_with_a_mistake(struct world_peer *me)
{
	struct buffers *buffers;
	unsigned i;

	peer_join(me);
	peer_grow(me, WORLD);
	buffers = make_buffers(me);
	for (i = 0; i < WORLD; i++) {
		if (peer_rank(me) == i)
			peers_sleep_ms(30);
		make_mistake(me, &mistakes[i * 4], peer_rank(me) == i, buffers);
		check_that_all_is_well(me, buffers);
	}
	free(buffers);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void a_late_mistake_is_told_too(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, comes_late_with_a_mistake, NULL);
	peers_finish(world);
}

static void disagrees_about_the_root(struct world_peer *me)
{
	pcclOperation_t operation = usual_operation();
	struct buffers *buffers;

	peer_join(me);
	peer_grow(me, WORLD);
	buffers = make_buffers(me);
	operation.root = peer_rank(me) == 1 ? 2 : 0;
	CHECK_RESULT(pcclMismatch, broadcast(me, &operation, buffers));
	CHECK(strstr(pcclGetLastError(me->comm), "root 2") != NULL);
	CHECK(strstr(pcclGetLastError(me->comm), "root 0") != NULL);
	check_that_all_is_well(me, buffers);
	free(buffers);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void different_roots_are_a_mismatch(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, disagrees_about_the_root, NULL);
	peers_finish(world);
}

static void verifies_or_not(struct world_peer *me)
{
	const pcclOperation_t operation = usual_operation();
	struct buffers *buffers;

	me->config.verify = me->index == 1 ? pcclVerifyDigest : pcclVerifyOff;
	peer_join(me);
	peer_grow(me, WORLD);
	buffers = make_buffers(me);
	CHECK_RESULT(pcclMismatch, all_reduce(me, &operation, buffers));
	CHECK(strstr(pcclGetLastError(me->comm), "(sum, direct, abort, verified)") != NULL);
	CHECK(strstr(pcclGetLastError(me->comm), "(sum, direct, abort)") != NULL);
	CHECK(values_filled(buffers->input, pcclInt32, 0, WORLD * (COUNT + 1), peer_rank(me)));
	free(buffers);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void all_verify_or_none(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, verifies_or_not, NULL);
	peers_finish(world);
}

/* One operation fails; those beside it do not notice. */
static void has_others_in_flight(struct world_peer *me)
{
	pcclOperation_t operation = usual_operation();
	pcclHandle_t good, bad;
	struct buffers *buffers;
	int64_t sum;

	me->config.verify = pcclVerifyDigest; /* which is nothing to them either */
	peer_join(me);
	peer_grow(me, WORLD);
	buffers = make_buffers(me);
	operation.tag = 8;
	CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(buffers->input, buffers->output, &operation, me->comm, &good));
	operation.tag = 9;
	operation.op = peer_rank(me) == 2 ? pcclProd : pcclMin;
	CHECK_RESULT(pcclSuccess,
		     pcclAllReduceWithAsync(buffers->input, buffers->output + COUNT, &operation, me->comm, &bad));
	CHECK_RESULT(pcclSuccess, peer_sum(me, 10, 1, &sum));
	CHECK(sum == WORLD);
	CHECK_RESULT(pcclMismatch, pcclAwait(&bad, NULL));
	CHECK_RESULT(pcclSuccess, pcclAwait(&good, NULL));
	CHECK(values_reduced(buffers->output, pcclInt32, pcclSum, 0, COUNT, everybody, WORLD));
	free(buffers);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void a_mismatch_leaves_other_operations_alone(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, WORLD, has_others_in_flight, NULL);
	peers_finish(world);
}

/* Those that update would wait for those that reduce, which wait for them: they are told so, and reduce as well. */
static void updates_while_others_reduce(struct world_peer *me)
{
	struct buffers *buffers;
	uint64_t epoch;
	unsigned round;

	peer_join(me);
	peer_grow(me, WORLD);
	buffers = make_buffers(me);
	epoch = peer_epoch(me);
	for (round = 0; round < 4 * WORLD; round++) {
		bool odd = peer_rank(me) == round % WORLD;

		if (round / WORLD % 2 == 0 && odd)
			peers_sleep_ms(30);
		if (odd == (round / WORLD < 2)) {
			CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm));
			CHECK(strstr(pcclGetLastError(me->comm), "tag 5") != NULL);
			CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm)); /* still */
		}
		check_that_all_is_well(me, buffers);
		CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	}
	CHECK(peer_epoch(me) == epoch);
	free(buffers);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void an_update_does_not_wait_for_who_waits_in_an_operation(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, updates_while_others_reduce, NULL);
	peers_finish(world);
}

/* Peer 2 is killed while peer 0 waits in an update; then peer 1 reduces in the smaller view. */
static void updates_through_a_loss(struct world_peer *me)
{
	struct buffers *buffers;
	const pcclOperation_t operation = usual_operation();

	peer_join(me);
	peer_grow(me, WORLD);
	buffers = make_buffers(me);
	peer_reach(me, 1);
	if (me->index == 2)
		peer_wait_gate(me, 1000);
	if (me->index == 0)
		CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm));
	else
		peer_wait_gate(me, 1);
	CHECK_RESULT(pcclSuccess, all_reduce(me, &operation, buffers));
	CHECK(peer_world_size(me) == 2);
	free(buffers);
	peer_meet(me, 2);
	peer_leave(me);
}

static void an_update_through_a_loss_does_not_wait_for_who_waits_in_an_operation(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, updates_through_a_loss, NULL);
	peers_await_all(world, 0, WORLD, 1);
	peers_sleep_ms(50);
	peers_signal(world, 2, SIGKILL);
	peers_sleep_ms(200);
	peers_open_gate(world, 1);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(everybody_is_told_what_two_peers_called, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_late_mistake_is_told_too, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(different_roots_are_a_mismatch, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(all_verify_or_none, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(a_mismatch_leaves_other_operations_alone, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(an_update_does_not_wait_for_who_waits_in_an_operation, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(an_update_through_a_loss_does_not_wait_for_who_waits_in_an_operation,
						peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
