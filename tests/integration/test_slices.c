/* Operations that a thread stays with for a while. */
#include "lib/check.h"
#include "lib/peers.h"

/* What has ended in time needs no await, what has not goes on; those of 1.0's descriptor likewise. */
static void stays_and_awaits(struct world_peer *me, const pcclOperation_t *patient)
{
	pcclReduceDescriptor_t descriptor = {.count = 1, .src_descriptor = {pcclInt64, pcclDistributionNone}};
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclOperation_t operation = *patient;
	pcclReduceInfo_t reduce_info = {0, 0, 0};
	pcclAsyncReduceOp_t classic;
	int64_t value = 1, sum = 0;
	pcclHandle_t handle;
	unsigned i;

	classic.comm = me->comm; /* garbage */
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceFor(&value, &sum, NULL, me->comm, 10, &classic, NULL));
	CHECK(classic.comm == NULL);
	operation.info = &info;
	for (i = 0; i < 100; i++) {
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(&value, &sum, &operation, me->comm, &handle));
		CHECK(handle.comm == NULL && info.participants_max == 2 && sum == 2);
		CHECK_RESULT(pcclSuccess,
			     pcclAllReduceFor(&value, &sum, &descriptor, me->comm, 60 * 1000, &classic, &reduce_info));
		CHECK(classic.comm == NULL && reduce_info.local_world_size == 2 && sum == 2);
	}
	operation.stay_ms = me->index == 0 ? 10 : 60 * 1000;
	for (i = 0; i < 6; i++) {
		if (me->index == 1)
			peer_meet(me, 2);
		if (i % 2 == 0)
			CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(&value, &sum, &operation, me->comm, &handle));
		else
			CHECK_RESULT(pcclSuccess, pcclAllReduceFor(&value, &sum, &descriptor, me->comm,
								   operation.stay_ms, &classic, NULL));
		CHECK((i % 2 == 0 ? handle.comm : classic.comm) == (me->index == 0 ? me->comm : NULL));
		if (me->index == 0) {
			peer_meet(me, 2);
			CHECK_RESULT(pcclSuccess,
				     i % 2 == 0 ? pcclAwait(&handle, NULL) : pcclAwaitAsyncReduce(&classic, NULL));
		}
		CHECK(sum == 2);
	}
}

/* Calls that stay return when the operation has ended, or when their time is up; one after the other, so that they
 * come to drive the lane. */
static void stays_until_the_end(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	int64_t value = 1, sum = 0;
	pcclHandle_t handle;
	bool done;
	unsigned i;

	peer_join(me);
	peer_grow(me, 2);
	operation.count = 1;
	operation.datatype = pcclInt64;
	operation.stay_ms = 60 * 1000;
	for (i = 0; i < 300; i++) {
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(&value, &sum, &operation, me->comm, &handle));
		CHECK_RESULT(pcclSuccess, pcclTest(&handle, &done));
		CHECK(done);
		CHECK_RESULT(pcclSuccess, pcclAwait(&handle, NULL));
		CHECK(sum == 2);
	}
	stays_and_awaits(me, &operation);
	operation.stay_ms = me->index == 0 ? 10 : 0;
	for (i = 0; i < 5; i++) {
		if (me->index == 1)
			peer_meet(me, 2);
		CHECK_RESULT(pcclSuccess, pcclAllReduceWithAsync(&value, &sum, &operation, me->comm, &handle));
		CHECK_RESULT(pcclSuccess, pcclTest(&handle, &done));
		CHECK(me->index == 1 || !done);
		if (me->index == 0)
			peer_meet(me, 2);
		CHECK_RESULT(pcclSuccess, pcclAwait(&handle, NULL));
		CHECK(sum == 2);
	}
	peer_meet(me, 2);
	peer_leave(me);
}

static void calls_that_stay_return_at_the_end_or_in_time(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, stays_until_the_end, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(calls_that_stay_return_at_the_end_or_in_time, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
