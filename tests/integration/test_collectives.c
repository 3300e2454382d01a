/* Every type, operation and plan of all-reduce, in and out of place, for counts from nothing to many segments. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

static const pcclPlan_t plans[] = {pcclPlanAuto, pcclPlanOneshot, pcclPlanDirect, pcclPlanRing};
static const unsigned everybody[WORLD_PEERS_MAX] = {0, 1, 2, 3, 4, 5, 6, 7};

#define PLANS (sizeof(plans) / sizeof(plans[0]))

static void *get_memory(size_t bytes)
{
	void *memory = malloc(bytes);

	CHECK(memory != NULL);
	return memory;
}

/* One all-reduce of this rank's values, checked to the last bit. */
static void reduce_and_check(struct world_peer *me, const pcclOperation_t *operation, bool in_place)
{
	const size_t bytes = operation->count * values_bytes(operation->datatype);
	const unsigned size = peer_world_size(me), rank = peer_rank(me);
	void *input = get_memory(bytes + 1), *output = in_place ? input : get_memory(bytes + 1);
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;

	memset(output, 0xa5, bytes + 1);
	values_fill(input, operation->datatype, 0, operation->count, rank);
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(input, output, operation, me->comm, &info));
	CHECK(values_reduced(output, operation->datatype, operation->op, 0, operation->count, everybody, size));
	CHECK(in_place || values_filled(input, operation->datatype, 0, operation->count, rank));
	CHECK(((const unsigned char *)output)[bytes] == 0xa5);
	CHECK(info.participants_min == size && info.participants_max == size);
	CHECK(info.epoch == peer_epoch(me));
	CHECK(operation->plan == pcclPlanAuto ? info.plan != pcclPlanAuto : info.plan == operation->plan);
	if (!in_place)
		free(output);
	free(input);
}

static void reduce_all_combinations(struct world_peer *me, size_t count, unsigned stride)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned combination = 0, type, op, plan;

	operation.count = count;
	for (type = 0; type < VALUES_TYPES; type++) {
		for (op = 0; op < VALUES_OPS; op++) {
			for (plan = 0; plan < PLANS; plan++) {
				/* Sanitizers make a run many times longer: they see each type, operation and plan
				 * somewhere. */
				if (combination++ % stride != 0)
					continue;
				operation.datatype = (pcclDataType_t)type;
				operation.op = (pcclRedOp_t)op;
				operation.plan = plans[plan];
				operation.tag = combination % 3;
				reduce_and_check(me, &operation, combination % 2 == 0);
				reduce_and_check(me, &operation, combination % 2 != 0);
			}
		}
	}
}

static void reduces_everything(struct world_peer *me)
{
	const unsigned *size = me->argument;
	const unsigned stride = peers_patience() == 1 ? 1 : 2 * peers_patience() - 1;

	peer_join(me);
	peer_grow(me, *size);
	reduce_all_combinations(me, 0, stride);
	reduce_all_combinations(me, 1, stride);
	reduce_all_combinations(me, 1003, stride);
	reduce_all_combinations(me, 70001, stride);
	peer_meet(me, *size);
	peer_leave(me);
}

static void world_reduces_everything(void **state, unsigned size)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, size, reduces_everything, &size);
	peers_finish(world);
}

static void two_peers_reduce_everything(void **state)
{
	world_reduces_everything(state, 2);
}

static void three_peers_reduce_everything(void **state)
{
	world_reduces_everything(state, 3);
}

static void four_peers_reduce_everything(void **state)
{
	world_reduces_everything(state, 4);
}

/* ---- sizes --------------------------------------------------------------------------------------------------- */

static void reduces_large_buffers(struct world_peer *me)
{
	static const size_t counts[] = {2, 3, 4, 5, 63, 64, 65, 1023, 4096, 65535, 65536, 65537, 262144 + 1, 3000001};
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned i, plan;

	peer_join(me);
	peer_grow(me, 3);
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (plan = 0; plan < PLANS; plan++) {
			operation.count = counts[i];
			operation.plan = plans[plan];
			operation.tag = UINT64_MAX - i;
			if (counts[i] / peers_patience() < 1000000)
				reduce_and_check(me, &operation, plan % 2 == 0);
		}
	}
	peer_meet(me, 3);
	peer_leave(me);
}

static void sizes_around_the_segments_borders_are_right(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, reduces_large_buffers, NULL);
	peers_finish(world);
}

/* Beyond what 32 bits can count: PCCL_TEST_LARGE=1, and 17 GiB of memory. */
enum { BLOCK = 251 * 4096 };

/* A pattern whose period is no power of two: a block in the wrong place shows. */
static unsigned char *make_block(unsigned factor, unsigned summand)
{
	unsigned char *block = get_memory(BLOCK);
	unsigned i;

	for (i = 0; i < BLOCK; i++)
		block[i] = (unsigned char)(i % 251 * factor + summand);
	return block;
}

static void reduces_more_than_4_gib(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned char *buffer, *input, *sum;
	size_t at, bytes;

	operation.count = (UINT64_C(1) << 32) + 4099;
	operation.datatype = pcclUint8;
	buffer = get_memory(operation.count);
	peer_join(me);
	peer_grow(me, 2);
	input = make_block(1, peer_rank(me));
	sum = make_block(2, 1);
	for (at = 0; at < operation.count; at += BLOCK) {
		bytes = operation.count - at < BLOCK ? operation.count - at : BLOCK;
		memcpy(buffer + at, input, bytes);
	}
	peer_reach(me, 1);
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(buffer, buffer, &operation, me->comm, NULL));
	peer_reach(me, 2);
	for (at = 0; at < operation.count; at += BLOCK) {
		bytes = operation.count - at < BLOCK ? operation.count - at : BLOCK;
		CHECK(memcmp(buffer + at, sum, bytes) == 0);
	}
	free(buffer);
	free(input);
	free(sum);
	peer_leave(me);
}

static void more_than_4_gib_are_reduced(void **state)
{
	struct world *world = *state;

	if (getenv("PCCL_TEST_LARGE") == NULL)
		skip();
	world->slowness = 4;
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 2, reduces_more_than_4_gib, NULL);
	peers_await_all(world, 0, 2, 1);
	peers_await_all(world, 0, 2, 2);
	peers_finish(world);
}

/* ---- alignment ----------------------------------------------------------------------------------------------- */

static void reduces_misaligned_buffers(struct world_peer *me)
{
	enum { COUNT = 30011 };
	char *input = get_memory(COUNT * 8 + 16), *output = get_memory(COUNT * 8 + 16);
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned type, shift;

	peer_join(me);
	peer_grow(me, 3);
	operation.count = COUNT;
	for (type = 0; type < VALUES_TYPES; type++) {
		for (shift = 1; shift < 9; shift += 2) {
			/* Every peer has another misalignment. */
			char *from = input + (shift + peer_rank(me)) % 8,
			     *to = output + (shift * 3 + peer_rank(me)) % 8;

			operation.datatype = (pcclDataType_t)type;
			operation.plan = plans[(type + shift / 2) % PLANS];
			values_fill(from, operation.datatype, 0, COUNT, peer_rank(me));
			CHECK_RESULT(pcclSuccess, pcclAllReduceWith(from, to, &operation, me->comm, NULL));
			CHECK(values_reduced(to, operation.datatype, pcclSum, 0, COUNT, everybody, 3));
		}
	}
	free(input);
	free(output);
	peer_meet(me, 3);
	peer_leave(me);
}

static void buffers_need_no_alignment(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 3, reduces_misaligned_buffers, NULL);
	peers_finish(world);
}

/* ---- the order of additions ---------------------------------------------------------------------------------- */

/* Values of very different size, so that another order gives other bits. */
static float rough_value(unsigned rank, size_t index)
{
	static const float sizes[] = {1e-6f, 3.1f, 7e5f, 1.3e-3f};

	return (float)((int)(index * 37 + rank * 11) % 101 - 50) * sizes[(index + rank) % 4] / 3.0f;
}

static uint32_t bits_of(float value)
{
	uint32_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static void adds_in_rank_order(struct world_peer *me)
{
	enum { COUNT = 100003 };
	float *input = get_memory(COUNT * sizeof(float)), *output = get_memory(COUNT * sizeof(float));
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned plan, rank;
	size_t i;

	peer_join(me);
	peer_grow(me, 4);
	operation.count = COUNT;
	for (plan = 0; plan < PLANS; plan++) {
		for (i = 0; i < COUNT; i++)
			input[i] = rough_value(peer_rank(me), i);
		operation.plan = plans[plan];
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(input, output, &operation, me->comm, NULL));
		peer_tell(me, plan, values_hash(output, COUNT * sizeof(float)));
		for (i = 0; i < COUNT && plans[plan] != pcclPlanRing && plans[plan] != pcclPlanAuto; i++) {
			float sum = rough_value(0, i);

			for (rank = 1; rank < 4; rank++)
				sum += rough_value(rank, i);
			CHECK(bits_of(sum) == bits_of(output[i]));
		}
	}
	peer_reach(me, 1);
	free(input);
	free(output);
	peer_meet(me, 4);
	peer_leave(me);
}

static void contributions_are_added_in_rank_order_and_results_are_the_same_bits(void **state)
{
	struct world *world = *state;
	unsigned plan, peer;

	peers_start_master(world, WORLD_EMBEDDED);
	peers_start(world, 4, adds_in_rank_order, NULL);
	peers_finish(world);
	for (plan = 0; plan < PLANS; plan++)
		for (peer = 1; peer < 4; peer++)
			assert_int_equal(peers_told(world, peer, plan), peers_told(world, 0, plan));
}

/* ---- lanes and streams --------------------------------------------------------------------------------------- */

static void reduces_with_lanes_and_streams(struct world_peer *me)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	unsigned plan;

	/* The smallest number of the members counts. */
	me->config.lanes = 3 + me->index % 2;
	me->config.streams = 2 + me->index % 2;
	peer_join(me);
	peer_grow(me, 3);
	for (plan = 0; plan < PLANS; plan++) {
		operation.plan = plans[plan];
		operation.count = 1;
		operation.tag = 5;
		reduce_and_check(me, &operation, true);
		operation.count = 400009;
		operation.tag = 6;
		reduce_and_check(me, &operation, plan % 2 == 0);
	}
	peer_meet(me, 3);
	peer_leave(me);
}

static void several_lanes_and_streams_share_the_work(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, reduces_with_lanes_and_streams, NULL);
	peers_finish(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_peers_reduce_everything, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(three_peers_reduce_everything, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(four_peers_reduce_everything, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(sizes_around_the_segments_borders_are_right, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(more_than_4_gib_are_reduced, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(buffers_need_no_alignment, peers_open, peers_close),
		cmocka_unit_test_setup_teardown(contributions_are_added_in_rank_order_and_results_are_the_same_bits,
						peers_open, peers_close),
		cmocka_unit_test_setup_teardown(several_lanes_and_streams_share_the_work, peers_open, peers_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
