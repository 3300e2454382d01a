/* The lossless stage between processes: every bit as without it, fewer bytes where the data gets smaller, and members
 * that choose differently. */
#include <pccl/state.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench/reference_data.h"
#include "lib/check.h"
#include "lib/peers.h"
#include "lib/values.h"

enum { WORLD = 4, COUNT = 1 << 20, ROUNDS = 8 };

struct buffers {
	void *input, *output;
	size_t bytes; /* of either; a gather's output is WORLD times the input */
	pcclDataType_t datatype;
	size_t count;
};

static void put(struct buffers *b, size_t index, float value)
{
	uint32_t bits;
	uint16_t half;

	memcpy(&bits, &value, sizeof(bits));
	half = (uint16_t)(bits >> 16);
	if (b->datatype == pcclBFloat16)
		memcpy((char *)b->input + index * sizeof(half), &half, sizeof(half));
	else
		memcpy((char *)b->input + index * sizeof(value), &value, sizeof(value));
}

static void open_buffers(const struct world_peer *me, pcclDataType_t datatype, struct buffers *b)
{
	size_t i;

	b->datatype = datatype;
	b->count = COUNT;
	b->bytes = b->count * values_bytes(datatype);
	b->input = malloc(b->bytes);
	b->output = malloc(b->bytes);
	CHECK(b->input != NULL && b->output != NULL);
	for (i = 0; i < b->count; i++)
		put(b, i, reference_element(1, peer_rank(me), i));
}

static void close_buffers(struct buffers *b)
{
	free(b->input);
	free(b->output);
}

static pcclOperation_t sum_of(const struct buffers *b, pcclZstd_t zstd)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.count = b->count;
	operation.datatype = b->datatype;
	operation.tag = 7;
	operation.zstd = zstd;
	return operation;
}

/* Bytes sent; the hash of the result. */
static uint64_t reduce(struct world_peer *me, const struct buffers *b, const pcclOperation_t *operation,
		       uint64_t *hash_out)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;

	memset(b->output, 0xa5, b->bytes);
	CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b->input, b->output, operation, me->comm, &info));
	*hash_out = values_hash(b->output, b->bytes);
	return info.tx_bytes;
}

/* ---- the same bits, fewer bytes ------------------------------------------------------------------------------ */

static void check_plans(struct world_peer *me, const struct buffers *b, unsigned percent)
{
	static const pcclPlan_t plans[] = {pcclPlanDirect, pcclPlanOneshot, pcclPlanRing};
	unsigned i;

	for (i = 0; i < 3; i++) {
		pcclOperation_t operation = sum_of(b, pcclZstdOff);
		uint64_t plain_hash, hash, plain, packed;

		operation.plan = plans[i];
		plain = reduce(me, b, &operation, &plain_hash);
		operation.zstd = pcclZstdOn;
		packed = reduce(me, b, &operation, &hash);
		CHECK(hash == plain_hash);
		CHECK(packed < plain * percent / 100);
		/* Some do, some don't; a codec goes before it. */
		operation.zstd = peer_rank(me) % 2 == 0 ? pcclZstdOn : pcclZstdOff;
		packed = reduce(me, b, &operation, &hash);
		CHECK(hash == plain_hash);
		CHECK(peer_rank(me) % 2 == 0 || packed > plain * 99 / 100);
	}
}

static void check_codec(struct world_peer *me, const struct buffers *b)
{
	pcclOperation_t operation = sum_of(b, pcclZstdOff);
	uint64_t plain_hash, hash, plain, packed;

	operation.codec = pcclQuantBF16;
	plain = reduce(me, b, &operation, &plain_hash);
	operation.zstd = pcclZstdOn;
	packed = reduce(me, b, &operation, &hash);
	CHECK(hash == plain_hash && packed < plain);
}

static void sends_fewer_bytes(struct world_peer *me)
{
	struct buffers b;

	peer_join(me);
	peer_grow(me, WORLD);
	open_buffers(me, pcclFloat, &b);
	check_plans(me, &b, 90);
	check_codec(me, &b);
	close_buffers(&b);
	open_buffers(me, pcclBFloat16, &b);
	check_plans(me, &b, 85);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void results_are_the_same_bits_in_fewer_bytes(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, sends_fewer_bytes, NULL);
	peers_finish(world);
}

/* ---- every collective ---------------------------------------------------------------------------------------- */

static void moves_everything(struct world_peer *me)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclOperation_t operation;
	struct buffers b;
	size_t part;

	me->config.zstd = pcclZstdOn;
	peer_join(me);
	peer_grow(me, WORLD);
	open_buffers(me, pcclFloat, &b);
	part = b.bytes / WORLD;
	operation = sum_of(&b, pcclZstdDefault);
	operation.root = 1;
	CHECK_RESULT(pcclSuccess, pcclBroadcast(b.input, b.output, &operation, me->comm, &info));
	CHECK(peer_rank(me) != 1 || info.tx_bytes < b.bytes * 95 / 100);
	peer_tell(me, 0, values_hash(b.output, b.bytes));
	CHECK(peer_rank(me) != 1 || memcmp(b.output, b.input, b.bytes) == 0);
	operation.count = b.count / WORLD;
	CHECK_RESULT(pcclSuccess, pcclAllGather(b.input, b.output, &operation, me->comm, &info));
	CHECK(info.tx_bytes < part * (WORLD - 1) * 95 / 100);
	CHECK(memcmp((char *)b.output + peer_rank(me) * part, b.input, part) == 0);
	peer_tell(me, 1, values_hash(b.output, b.bytes));
	CHECK_RESULT(pcclSuccess, pcclReduceScatter(b.input, b.output, &operation, me->comm, &info));
	CHECK(info.tx_bytes < part * (WORLD - 1) * 95 / 100);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void every_collective_is_served(void **state)
{
	struct world *world = *state;
	unsigned peer;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, moves_everything, NULL);
	peers_finish(world);
	for (peer = 1; peer < WORLD; peer++) {
		assert_int_equal(peers_told(world, peer, 0), peers_told(world, 0, 0));
		assert_int_equal(peers_told(world, peer, 1), peers_told(world, 0, 1));
	}
}

/* ---- where it does not pay ----------------------------------------------------------------------------------- */

static void finds_nothing_to_gain(struct world_peer *me)
{
	uint64_t noise, plain, hash, most = 0;
	pcclOperation_t operation;
	struct buffers b;
	size_t i;

	CHECK(setenv("PCCL_ZSTD", "auto", 1) == 0);
	peer_join(me);
	peer_grow(me, WORLD);
	open_buffers(me, pcclFloat, &b);
	operation = sum_of(&b, pcclZstdOff);
	plain = reduce(me, &b, &operation, &hash);
	/* Loopback is too fast: a segment now and then is all that is tried. A machine that does not come to run its
	 * peers may look like a slow network for a moment. */
	operation.zstd = pcclZstdDefault;
	for (i = 0; i < 6; i++) {
		uint64_t bytes = reduce(me, &b, &operation, &hash);

		most = bytes > most ? bytes : most;
	}
	CHECK(most > plain * 97 / 100);
	/* What is noise travels as it is, whatever was asked for. */
	for (i = 0; i + sizeof(noise) <= b.bytes; i += sizeof(noise)) {
		noise = pccl_rng_hash(me->index, i);
		memcpy((char *)b.input + i, &noise, sizeof(noise));
	}
	operation.datatype = pcclUint32;
	operation.zstd = pcclZstdOn;
	CHECK(reduce(me, &b, &operation, &hash) > plain * 99 / 100);
	operation.zstd = (pcclZstd_t)7;
	CHECK_RESULT(pcclInvalidArgument, pcclAllReduceWith(b.input, b.output, &operation, me->comm, NULL));
	CHECK(strstr(pcclGetLastError(me->comm), "zstd is 7") != NULL);
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void where_it_does_not_pay_things_travel_as_they_are(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, WORLD, finds_nothing_to_gain, NULL);
	peers_finish(world);
}

/* ---- losses -------------------------------------------------------------------------------------------------- */

static void repairs(struct world_peer *me)
{
	struct buffers b;
	unsigned round;

	me->config.zstd = pcclZstdOn;
	peer_join(me);
	peer_grow(me, WORLD);
	open_buffers(me, pcclBFloat16, &b);
	b.count /= peers_patience();
	b.bytes = b.count * values_bytes(b.datatype);
	for (round = 0; round < ROUNDS; round++) {
		pcclOperation_t operation = sum_of(&b, pcclZstdDefault);

		operation.failure_policy = pcclPolicyRepair;
		operation.plan = round % 2 == 0 ? pcclPlanDirect : pcclPlanRing;
		memcpy(b.output, b.input, b.bytes);
		CHECK_RESULT(pcclSuccess, pcclAllReduceWith(b.output, b.output, &operation, me->comm, NULL));
		peer_tell(me, round, values_hash(b.output, b.bytes));
		peer_reach(me, round + 1);
	}
	close_buffers(&b);
	peer_meet(me, WORLD - 1);
	peer_leave(me);
}

static void survivors_repair_to_the_same_bytes(void **state)
{
	peers_start_master(*state, WORLD_PROGRAM);
	peers_lose_one_alike(*state, WORLD, repairs, 3, ROUNDS);
}

/* ---- states -------------------------------------------------------------------------------------------------- */

static void open_weights(struct buffers *b)
{
	size_t i;

	b->datatype = pcclBFloat16;
	b->count = COUNT;
	b->bytes = COUNT * sizeof(uint16_t);
	b->input = malloc(b->bytes);
	b->output = NULL;
	CHECK(b->input != NULL);
	for (i = 0; i < COUNT; i++)
		put(b, i, i < COUNT / 32 ? reference_element(1, 0, i) : 0);
	for (i = COUNT / 32; i < COUNT; i += COUNT / 32)
		memcpy((uint16_t *)b->input + i, b->input, b->bytes / 32);
}

static void spoil(const struct buffers *b)
{
	memset(b->input, 0xa5, b->bytes);
}

/* The last one gets from all others what it has not. */
static void heals(struct world_peer *me)
{
	const pcclZstd_t zstd = *(const pcclZstd_t *)me->argument;
	struct buffers b;
	pcclTensorInfo_t info = {.name = "weights", .count = COUNT, .datatype = pcclBFloat16};
	pcclSharedState_t shared = {.revision = 1, .count = 1, .infos = &info};
	pcclStateSyncInfo_t moved = PCCL_STATE_SYNC_INFO_INITIALIZER;
	uint64_t hash;

	me->config.zstd = zstd;
	peer_join(me);
	peer_grow(me, WORLD);
	open_weights(&b);
	hash = values_hash(b.input, b.bytes);
	info.data = b.input;
	CHECK_RESULT(pcclSuccess, pcclStateSync(me->comm, &shared, NULL, &moved));
	CHECK(moved.rx_wire_bytes == 0 && moved.tx_wire_bytes == 0);
	if (peer_rank(me) == WORLD - 1) {
		spoil(&b);
		shared.revision = 0;
	}
	CHECK_RESULT(pcclSuccess, pcclStateSync(me->comm, &shared, NULL, &moved));
	CHECK(values_hash(b.input, b.bytes) == hash);
	if (peer_rank(me) == WORLD - 1) {
		CHECK(moved.rx_bytes == b.bytes);
		CHECK(zstd != pcclZstdOn || moved.rx_wire_bytes < b.bytes / 10 * 9);
		CHECK(zstd != pcclZstdOff || moved.rx_wire_bytes >= b.bytes);
	} else {
		CHECK(zstd != pcclZstdOn || moved.tx_wire_bytes < moved.tx_bytes || moved.tx_bytes == 0);
	}
	close_buffers(&b);
	peer_meet(me, WORLD);
	peer_leave(me);
}

static void states_move_in_fewer_bytes(void **state)
{
	static const pcclZstd_t choices[] = {pcclZstdOff, pcclZstdOn};
	size_t each;

	(void)state;
	for (each = 0; each < 2; each++) {
		void *world;

		assert_int_equal(peers_open(&world), 0);
		peers_start_master(world, WORLD_PROGRAM);
		peers_start(world, WORLD, heals, &choices[each]);
		peers_finish(world);
		assert_int_equal(peers_close(&world), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(results_are_the_same_bits_in_fewer_bytes),	       TEST(every_collective_is_served),
		TEST(where_it_does_not_pay_things_travel_as_they_are), TEST(survivors_repair_to_the_same_bytes),
		cmocka_unit_test(states_move_in_fewer_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
