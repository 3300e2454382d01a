/* The lossless stage in executors: who compresses and who doesn't makes no difference but to the bytes that travel; and
 * what is accepted of those. */
#include <pccl.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/codec/codec_lossless.h"
#include "collectives/element/dtype.h"
#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/exec_desk.h"
#include "lib/exec_world.h"

#define LARGE 300000

/* ---- bytes that travel ------------------------------------------------------------------------------------------- */

/* Noise that no stage makes smaller; the numbers are finite. */
static void make_noise(struct world *world, uint32_t peers)
{
	uint32_t peer;
	size_t at;

	for (peer = 0; peer < peers; peer++) {
		struct world_call *call = world_call(world, peer, 0);

		for (at = 0; at + 8 <= call->input_bytes; at += 8) {
			uint64_t bits = pccl_rng_u64(world_rng(world));

			memcpy(call->input + at, &bits, 8);
		}
		memcpy(call->original, call->input, call->input_bytes);
	}
}

/* Bytes that all peers sent for an op. */
static uint64_t bytes_sent(const struct world_config *config, const struct world_spec *spec, bool noise)
{
	struct world *world = world_create(config);
	uint64_t bytes = 0;
	uint32_t peer;

	world_add(world, 0, spec);
	if (noise)
		make_noise(world, config->peers);
	world_run(world);
	world_check_success(world, 0);
	for (peer = 0; peer < config->peers; peer++)
		bytes += world_call(world, peer, 0)->tx_bytes;
	world_destroy(world);
	return bytes;
}

static const enum pccl_collective kinds[] = {PCCL_ALL_REDUCE, PCCL_ALL_REDUCE,	   PCCL_ALL_REDUCE,
					     PCCL_BROADCAST,  PCCL_REDUCE_SCATTER, PCCL_ALL_GATHER};
static const pcclPlan_t plans[] = {pcclPlanDirect, pcclPlanOneshot, pcclPlanRing,
				   pcclPlanDirect, pcclPlanRing,    pcclPlanRing};

static void everything_large_can_travel_in_fewer_bytes(void **state)
{
	unsigned which, type;

	(void)state;
	for (which = 0; which < 6; which++) {
		for (type = 0; type < 2; type++) {
			struct world_config config = {.seed = 5, .peers = 3, .lanes = 2, .streams = 1, .frames_max = 4};
			struct world_spec spec = {.kind = kinds[which], .algorithm = plans[which], .count = LARGE};
			uint64_t plain;

			spec.datatype = type == 0 ? pcclFloat : pcclBFloat16;
			plain = bytes_sent(&config, &spec, false);
			config.packs = config.packs_always = true;
			assert_true(bytes_sent(&config, &spec, false) < plain * 92 / 100);
			/* Some peers always, some now and then, some never. */
			config.packs_always = false;
			config.seed = 7;
			assert_true(bytes_sent(&config, &spec, false) < plain * 98 / 100);
		}
	}
}

static void what_does_not_get_smaller_travels_as_it_is(void **state)
{
	struct world_config config = {.seed = 5, .peers = 3, .lanes = 2, .streams = 1, .frames_max = 4};
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanDirect, .count = LARGE};
	uint64_t plain;

	(void)state;
	spec.datatype = pcclUint64;
	plain = bytes_sent(&config, &spec, true);
	config.packs = config.packs_always = true;
	assert_int_equal(bytes_sent(&config, &spec, true), plain);
}

static void small_ops_are_left_alone(void **state)
{
	struct world_config config = {.seed = 5, .peers = 3, .lanes = 1, .streams = 1, .frames_max = 4};
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanDirect, .count = 900};
	uint64_t plain;

	(void)state;
	spec.datatype = pcclFloat;
	plain = bytes_sent(&config, &spec, false);
	config.packs = config.packs_always = true;
	assert_int_equal(bytes_sent(&config, &spec, false), plain);
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

static void few_slots_hold_nobody_up(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 12; seed++) {
		struct world_config config = {.seed = seed, .streams = 2, .frames_max = 3, .packs = true};
		struct world *world;
		uint32_t op;

		config.peers = 2 + (uint32_t)(seed % 4);
		config.lanes = 1 + (uint32_t)(seed % 2);
		config.drop_chance = seed % 3 == 0 ? 20 : 0;
		config.packed_slots = 1 + (uint32_t)(seed % 3);
		world = world_create(&config);
		for (op = 0; op < 20; op++) {
			struct world_spec spec = {.kind = kinds[op % 6], .algorithm = plans[op % 6], .tag = op};

			spec.datatype = op % 5 == 0 ? pcclBFloat16 : pcclFloat;
			spec.count = 10000 + 1000 * op;
			spec.in_place = op % 2 == 0;
			world_add(world, op, &spec);
		}
		world_run(world);
		for (op = 0; op < 20; op++)
			world_check_success(world, op);
		world_destroy(world);
	}
}

/* ---- one executor ------------------------------------------------------------------------------------------------ */

#define COUNT 100000
#define SEGMENT 0 /* this rank adds it */

/* The contribution of a rank, packed. */
static uint32_t packed_partial(const struct desk *desk, uint8_t *out)
{
	uint32_t elements = pccl_geometry_elements(&desk->geometry, SEGMENT);
	struct pccl_lossless *lossless;
	size_t bytes;

	assert_int_equal(pccl_lossless_create(PCCL_SEGMENT_BYTES_MAX, &lossless), pcclSuccess);
	bytes = pccl_lossless_encode(lossless, desk->input, elements, pcclFloat, out, elements * 4);
	assert_true(bytes > 0);
	pccl_lossless_destroy(lossless);
	return (uint32_t)bytes;
}

static void open_started_desk(struct desk *desk)
{
	open_desk(desk, pcclPlanDirect, COUNT);
	learn_start(desk);
	launch(desk);
	deliver_start(desk, 1, 8);
	deliver_start(desk, 2, 8);
}

static void a_peer_that_never_compresses_unpacks(void **state)
{
	static uint8_t packed[PCCL_SEGMENT_BYTES_MAX];
	struct pccl_frame frame = make_frame(PCCL_FRAME_PARTIAL, 0);
	uint32_t index;
	struct desk desk;

	(void)state;
	open_started_desk(&desk);
	frame.flags = PCCL_FRAME_PACKED;
	frame.segment = SEGMENT;
	frame.payload_bytes = packed_partial(&desk, packed);
	assert_int_equal(deliver(&desk, 1, &frame, packed), PCCL_FRAME_TAKE);
	frame = partial(&desk, SEGMENT);
	assert_int_equal(deliver(&desk, 2, &frame, desk.input), PCCL_FRAME_TAKE);
	for (index = 0; index < pccl_geometry_elements(&desk.geometry, SEGMENT); index++)
		assert_true(desk.output[index] > 2.9F && desk.output[index] < 3.1F);
	close_desk(&desk);
}

static void bytes_that_cannot_be_unpacked_are_a_violation(void **state)
{
	static uint8_t packed[PCCL_SEGMENT_BYTES_MAX];
	struct pccl_frame frame = make_frame(PCCL_FRAME_PARTIAL, 0);
	struct desk desk;

	(void)state;
	open_started_desk(&desk);
	frame.flags = PCCL_FRAME_PACKED;
	frame.segment = SEGMENT;
	frame.payload_bytes = packed_partial(&desk, packed);
	packed[0] = 7;
	assert_int_equal(deliver(&desk, 1, &frame, packed), PCCL_FRAME_TAKE);
	frame = make_frame(PCCL_FRAME_DONE, 0);
	assert_rejected(&desk, 1, &frame, "can't be unpacked: a plane of the unknown kind");
	/* A result that can't be is none either. */
	frame = make_frame(PCCL_FRAME_RESULT, 1000);
	frame.flags = PCCL_FRAME_PACKED;
	frame.segment = desk.geometry.segment_count - 1;
	assert_int_equal(deliver(&desk, 2, &frame, packed), PCCL_FRAME_TAKE);
	frame = make_frame(PCCL_FRAME_DONE, 0);
	assert_rejected(&desk, 2, &frame, "can't be unpacked");
	close_desk(&desk);
}

static void packed_frames_must_fit(void **state)
{
	struct pccl_frame frame;
	struct desk desk;

	(void)state;
	open_started_desk(&desk);
	frame = partial(&desk, SEGMENT);
	frame.flags = PCCL_FRAME_PACKED;
	assert_rejected(&desk, 1, &frame, "not in the plan"); /* not smaller */
	frame.payload_bytes = 1000;
	frame.flags = PCCL_FRAME_PACKED | 4;
	assert_rejected(&desk, 1, &frame, "unknown flags");
	frame.flags = PCCL_FRAME_PACKED;
	frame.segment = desk.geometry.segment_count - 1;
	assert_rejected(&desk, 1, &frame, "not in the plan");
	frame.type = PCCL_FRAME_RESULT;
	frame.segment = SEGMENT;
	assert_rejected(&desk, 1, &frame, "not in the plan");
	frame.tag = TAG + 1; /* not launched here */
	assert_rejected(&desk, 1, &frame, "before there is room");
	close_desk(&desk);
	open_desk(&desk, pcclPlanDirect, 1000);
	launch(&desk);
	frame = make_frame(PCCL_FRAME_PARTIAL, 100);
	frame.flags = PCCL_FRAME_PACKED;
	assert_rejected(&desk, 1, &frame, "not in the plan"); /* too small to be packed */
	close_desk(&desk);
}

static void nothing_is_compressed_for_who_has_not_launched(void **state)
{
	struct pccl_frame_send send;
	uint32_t partials = 0;
	struct desk desk;

	(void)state;
	/* Segments of which a few may be sent without credit. */
	open_desk(&desk, pcclPlanDirect, 9000);
	desk.launch.packing = PCCL_PACK_ALWAYS;
	launch(&desk);
	while (pccl_exec_next(desk.exec, 1, &send)) {
		assert_int_equal(send.frame.flags, 0);
		partials += send.frame.type == PCCL_FRAME_PARTIAL;
	}
	assert_true(partials > 0);
	close_desk(&desk);
}

static bool never(void *context, pcclDataType_t type)
{
	uint32_t *asked = context;

	assert_int_equal(type, pcclFloat);
	++*asked;
	return false;
}

static void whoever_carries_the_frames_chooses(void **state)
{
	struct pccl_exec_config config = {.lanes = 1};
	uint32_t asked = 0, partials, results, dones;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, COUNT);
	learn_start(&desk);
	pccl_exec_destroy(desk.exec);
	config.packer.choose = never;
	config.packer.context = &asked;
	assert_int_equal(pccl_exec_create(&config, &desk.exec), pcclSuccess);
	assert_int_equal(pccl_exec_install(desk.exec, EPOCH, RANKS, 0), pcclSuccess);
	desk.launch.packing = PCCL_PACK_CHOOSE;
	launch(&desk);
	deliver_start(&desk, 1, 1);
	take_all(&desk, 1, &partials, &results, &dones);
	assert_true(partials > 0);
	assert_int_equal(asked, 1); /* one contribution within credit, the others without */
	close_desk(&desk);
}

/* Each allocation of a launch fails once: the op was not started, and can be. */
static void a_launch_without_memory_starts_nothing(void **state)
{
	struct pccl_exec_outcome outcome;
	pcclResult_t result;
	struct desk desk;
	size_t nth = 0;
	bool failed;

	(void)state;
	open_desk(&desk, pcclPlanDirect, COUNT);
	desk.launch.packing = PCCL_PACK_ALWAYS;
	do {
		check_fail_allocation(++nth);
		result = pccl_exec_launch(desk.exec, &desk.launch);
		failed = check_allocation_failed();
		check_fail_allocation(0);
		assert_int_equal(result, failed ? pcclOutOfMemory : pcclSuccess);
	} while (failed);
	assert_true(nth > 3); /* the stage and its slots stay once they are made; the op */
	assert_false(pccl_exec_poll(desk.exec, &outcome));
	close_desk(&desk);
}

#define TEST(name) cmocka_unit_test_teardown(name, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everything_large_can_travel_in_fewer_bytes),
		TEST(what_does_not_get_smaller_travels_as_it_is),
		TEST(small_ops_are_left_alone),
		TEST(few_slots_hold_nobody_up),
		TEST(a_peer_that_never_compresses_unpacks),
		TEST(bytes_that_cannot_be_unpacked_are_a_violation),
		TEST(packed_frames_must_fit),
		TEST(nothing_is_compressed_for_who_has_not_launched),
		TEST(whoever_carries_the_frames_chooses),
		TEST(a_launch_without_memory_starts_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
