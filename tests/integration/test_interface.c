/* A program written for PCCL 1.0, which knows 19 functions: the loop that its documentation recommends, while
 * peers come and go. This file uses nothing else of the library. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"

enum { WEIGHTS = 1000, STEPS_MAX = 100000 };

struct trainer {
	pcclComm_t *comm;
	float weights[WEIGHTS], gradients[WEIGHTS], summed[WEIGHTS];
	uint64_t iterations; /* of the loop */
	uint64_t steps;	     /* in which something was reduced */
};

static int world_size(const struct trainer *trainer)
{
	int size = 0;

	CHECK(pcclGetAttribute(trainer->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &size) == pcclSuccess);
	return size;
}

static void create_and_connect(struct world_peer *me, struct trainer *trainer)
{
	pcclCommCreateParams_t params;
	pcclBuildInfo_t build;
	int attempt;

	memset(&params, 0, sizeof(params));
	params.master_address = peers_address(me->world, me->world->masters[0].port);
	CHECK(pcclInit() == pcclSuccess);
	CHECK(pcclGetBuildInfo(&build) == pcclSuccess);
	CHECK(pcclCreateCommunicator(&params, &trainer->comm) == pcclSuccess);
	for (attempt = 0; attempt < 5; attempt++) {
		if (pcclConnect(trainer->comm) == pcclSuccess)
			return;
		peers_sleep_ms(100);
	}
	CHECK(!"connected");
}

/* A newcomer has just been admitted by the others' update: it does not make that call again. */
static void admit_newcomers(struct trainer *trainer)
{
	bool pending = true;

	if (trainer->iterations++ > 0) {
		if (world_size(trainer) > 1)
			CHECK(pcclArePeersPending(trainer->comm, &pending) == pcclSuccess);
		while (pending && pcclUpdateTopology(trainer->comm) == pcclUpdateTopologyFailed)
			peers_sleep_ms(10);
	}
	if (pending && world_size(trainer) > 1)
		CHECK(pcclOptimizeTopology(trainer->comm) == pcclSuccess);
}

/* True when it was reduced. */
static bool reduce_gradients(struct trainer *trainer)
{
	pcclReduceDescriptor_t descriptor;
	pcclReduceInfo_t info;
	size_t i;

	memset(&descriptor, 0, sizeof(descriptor));
	descriptor.count = WEIGHTS;
	descriptor.op = pcclAvg;
	descriptor.src_descriptor.datatype = pcclFloat;
	for (i = 0; i < WEIGHTS; i++)
		trainer->gradients[i] = 2.0f * (float)(i % 17);
	while (world_size(trainer) > 1) {
		if (pcclAllReduce(trainer->gradients, trainer->summed, &descriptor, trainer->comm, &info) !=
		    pcclSuccess)
			continue;
		CHECK(info.local_world_size >= 2 && info.local_world_size <= 4);
		for (i = 0; i < WEIGHTS; i++)
			CHECK(trainer->summed[i] == trainer->gradients[i]);
		return true;
	}
	return false;
}

/* Several buckets as trainers do it; then the asynchronous way. */
static bool reduce_buckets(struct trainer *trainer)
{
	pcclReduceOpDescriptor_t buckets[4];
	pcclAsyncReduceOp_t handle;
	pcclReduceInfo_t info;
	pcclResult_t result;
	size_t i;

	memset(buckets, 0, sizeof(buckets));
	for (i = 0; i < 4; i++) {
		buckets[i].sendbuf = trainer->gradients + i * WEIGHTS / 4;
		buckets[i].recvbuf = trainer->summed + i * WEIGHTS / 4;
		buckets[i].descriptor.count = WEIGHTS / 4;
		buckets[i].descriptor.op = pcclMax;
		buckets[i].descriptor.tag = 1 + i;
		buckets[i].descriptor.src_descriptor.datatype = pcclFloat;
	}
	result = pcclAllReduceMultipleWithRetry(buckets, 4, trainer->comm, &info, 4);
	if (result == pcclTooFewPeers)
		return false;
	CHECK(result == pcclSuccess);
	result =
		pcclAllReduceAsync(trainer->gradients, trainer->summed, &buckets[0].descriptor, trainer->comm, &handle);
	if (result == pcclTooFewPeers)
		return false;
	CHECK(result == pcclSuccess);
	result = pcclAwaitAsyncReduce(&handle, &info);
	return result == pcclSuccess;
}

/* Everybody stops after the same step: the flag is reduced like the rest. */
static bool all_have_seen_the_gate(struct world_peer *me, const struct trainer *trainer)
{
	pcclReduceDescriptor_t descriptor;
	uint8_t seen = peer_gate_is_open(me, 1), all = 0;

	memset(&descriptor, 0, sizeof(descriptor));
	descriptor.count = 1;
	descriptor.op = pcclMin;
	descriptor.tag = 99;
	descriptor.src_descriptor.datatype = pcclUint8;
	while (world_size(trainer) > 1)
		if (pcclAllReduce(&seen, &all, &descriptor, trainer->comm, NULL) == pcclSuccess)
			return all == 1;
	return seen == 1;
}

static void trains(struct world_peer *me)
{
	struct trainer trainer;
	bool done = false;

	memset(&trainer, 0, sizeof(trainer));
	create_and_connect(me, &trainer);
	while (!done && trainer.steps < STEPS_MAX) {
		admit_newcomers(&trainer);
		if (world_size(&trainer) < 2) {
			peers_sleep_ms(5);
			done = peer_gate_is_open(me, 1);
			continue;
		}
		if (reduce_gradients(&trainer))
			(void)reduce_buckets(&trainer);
		done = all_have_seen_the_gate(me, &trainer);
		peer_tell(me, 0, (uint64_t)world_size(&trainer));
		peer_reach(me, ++trainer.steps);
	}
	CHECK(done);
	CHECK(pcclDestroyCommunicator(trainer.comm) == pcclSuccess);
}

/* Waits until a peer has made a step in a world of this size. */
static void await_world(struct world *world, unsigned peer, unsigned size)
{
	do {
		peers_await(world, peer, peers_get(&world->shared->slots[peer].milestone) + 1);
	} while (peers_told(world, peer, 0) != size);
}

static void the_recommended_loop_works_while_peers_come_and_go(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 2, trains, NULL);
	await_world(world, 0, 2);
	peers_start(world, 1, trains, NULL);
	await_world(world, 0, 3);
	await_world(world, 2, 3);
	peers_signal(world, 1, SIGKILL);
	await_world(world, 0, 2);
	await_world(world, 2, 2);
	peers_start(world, 2, trains, NULL);
	await_world(world, 0, 4);
	peers_open_gate(world, 1);
	peers_finish(world);
}

/* ---- shared state, alone ------------------------------------------------------------------------------------- */

static void synchronizes_alone(struct world_peer *me)
{
	float weights[16] = {1, 2, 3};
	pcclTensorInfo_t tensor = {"weights", weights, 16, pcclFloat, pcclDeviceCpu, false};
	pcclSharedState_t state = {1, 1, &tensor};
	pcclSharedStateSyncInfo_t info = {1, 1};
	struct trainer trainer;

	create_and_connect(me, &trainer);
	CHECK(pcclSynchronizeSharedState(trainer.comm, &state, PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR,
					 &info) == pcclSuccess);
	CHECK(info.tx_bytes == 0 && info.rx_bytes == 0);
	CHECK(state.revision == 1 && weights[2] == 3);
	tensor.datatype = (pcclDataType_t)12;
	CHECK(pcclSynchronizeSharedState(trainer.comm, &state, PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR,
					 &info) == pcclInvalidArgument);
	tensor.datatype = pcclFloat;
	tensor.device_type = pcclDeviceCuda;
	CHECK(pcclSynchronizeSharedState(trainer.comm, &state, PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY, &info) ==
	      pcclInvalidArgument);
	CHECK(pcclDestroyCommunicator(trainer.comm) == pcclSuccess);
}

static void shared_state_is_in_sync_in_a_world_of_one(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 1, synchronizes_alone, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_recommended_loop_works_while_peers_come_and_go, peers_open,
						peers_close),
		cmocka_unit_test_setup_teardown(shared_state_is_in_sync_in_a_world_of_one, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
