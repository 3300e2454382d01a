/* Worlds of executors whose elements travel encoded: every codec, type, plan and number of ranks; and what can't be
 * carried. */
#include <math.h>
#include <pccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/element/dtype.h"
#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/exec_world.h"
#include "lib/seeds.h"

#define MANY_OPS 80

static const pcclDataType_t float_types[] = {pcclFloat, pcclDouble, pcclFloat16, pcclBFloat16};

static void random_config(uint64_t seed, struct world_config *config)
{
	struct pccl_rng rng;

	pccl_rng_seed(&rng, seed);
	memset(config, 0, sizeof(*config));
	config->seed = seed;
	config->peers = 1 + (uint32_t)pccl_rng_below(&rng, 9);
	config->lanes = 1 + (uint32_t)pccl_rng_below(&rng, 3);
	config->streams = 1 + (uint32_t)pccl_rng_below(&rng, 2);
	config->frames_max = 1 + (uint32_t)pccl_rng_below(&rng, 4);
	config->drop_chance = pccl_rng_chance(&rng, 1, 3) ? 20 : 0;
	config->encoded_bytes = pccl_rng_chance(&rng, 1, 2) ? 1 : 0; /* as few slots as there may be */
	config->packs = seed % 3 == 0;
}

static void random_spec(struct pccl_rng *rng, uint32_t op, struct world_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->kind = PCCL_ALL_REDUCE;
	spec->algorithm = pccl_rng_chance(rng, 1, 2) ? pcclPlanDirect : pcclPlanOneshot;
	spec->datatype = float_types[pccl_rng_below(rng, 4)];
	spec->op = (pcclRedOp_t)pccl_rng_below(rng, PCCL_OP_COUNT);
	spec->count = pccl_rng_below(rng, pccl_rng_chance(rng, 1, 4) ? 60000 : 5000);
	spec->tag = 1000 * (uint64_t)op + pccl_rng_below(rng, 10);
	spec->sequence = (uint32_t)pccl_rng_below(rng, 3);
	spec->in_place = pccl_rng_chance(rng, 1, 2);
	if (spec->op == pcclProd && spec->datatype == pcclFloat16)
		spec->op = pcclSum; /* products leave its range */
	world_random_codec(rng, spec->datatype, &spec->up);
	world_random_codec(rng, spec->datatype, &spec->down);
	spec->feeds_back = pccl_rng_chance(rng, 1, 3);
	spec->rounding = (uint8_t)((pccl_rng_chance(rng, 1, 3) ? PCCL_ROUND_STOCHASTIC : PCCL_ROUND_NEAREST) |
				   PCCL_ROUND_SATURATE); /* products leave the range of fp16 */
}

static void random_ops_end_with_the_right_bytes(void **state)
{
	uint64_t seed, last;

	(void)state;
	seeds_find(300, &seed, &last);
	for (; seed <= last; seed++) {
		struct world_config config;
		struct world *world;
		uint32_t ops, op;

		random_config(seed, &config);
		world = world_create(&config);
		ops = 1 + (uint32_t)pccl_rng_below(world_rng(world), 5);
		for (op = 0; op < ops; op++) {
			struct world_spec spec;

			random_spec(world_rng(world), op, &spec);
			world_add(world, op, &spec);
		}
		world_run(world);
		for (op = 0; op < ops; op++)
			world_check_success(world, op);
		world_destroy(world);
	}
}

/* ---- who adds makes no difference -------------------------------------------------------------------------------- */

/* The output of one peer, to be freed; all peers have the same. */
static uint8_t *run_parity(const struct world_spec *spec, uint32_t peers, uint32_t lanes, size_t *bytes_out)
{
	struct world_config config = {.seed = 77, .streams = 1, .frames_max = 3};
	const struct world_call *call;
	struct world *world;
	uint8_t *output;

	config.peers = peers;
	config.lanes = lanes;
	world = world_create(&config);
	world_add(world, 0, spec); /* the first numbers drawn: the same data */
	world_run(world);
	world_check_success(world, 0);
	call = world_call(world, peers - 1, 0);
	output = malloc(call->output_bytes);
	assert_non_null(output);
	memcpy(output, call->output, call->output_bytes);
	*bytes_out = call->output_bytes;
	world_destroy(world);
	return output;
}

static void bits_do_not_depend_on_plan_and_lanes(void **state)
{
	uint32_t peers, id;

	(void)state;
	for (peers = 2; peers <= 9; peers++) {
		for (id = 1; id < PCCL_CODEC_COUNT; id++) {
			struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanDirect, .op = pcclAvg};
			size_t bytes, other_bytes;
			uint8_t *direct, *other;

			spec.datatype = id % 2 == 0 ? pcclFloat : pcclBFloat16;
			spec.count = 9000 + id;
			spec.tag = id;
			spec.rounding = (uint8_t)(peers % 2);
			spec.up.id = (uint8_t)id;
			spec.up.block = (uint16_t)pccl_codec_find((int)id)->block_default;
			spec.up.target = pcclUint8;
			spec.down = spec.up;
			direct = run_parity(&spec, peers, 1, &bytes);
			other = run_parity(&spec, peers, 3, &other_bytes);
			assert_int_equal(bytes, other_bytes);
			assert_memory_equal(direct, other, bytes);
			free(other);
			spec.algorithm = pcclPlanOneshot;
			spec.in_place = true;
			other = run_parity(&spec, peers, 2, &other_bytes);
			assert_memory_equal(direct, other, bytes);
			free(other);
			free(direct);
		}
	}
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

static void sixty_four_ops_share_a_small_arena(void **state)
{
	struct world_config config = {.streams = 2, .frames_max = 3, .encoded_bytes = 1};
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 6; seed++) {
		struct world *world;
		uint32_t op;

		config.seed = seed;
		config.peers = 2 + (uint32_t)(seed % 4);
		config.lanes = 1 + (uint32_t)(seed % 2);
		world = world_create(&config);
		for (op = 0; op < MANY_OPS; op++) {
			struct world_spec spec;

			random_spec(world_rng(world), op, &spec);
			spec.count = 60000 + op;
			world_add(world, op, &spec);
		}
		world_run(world);
		for (op = 0; op < MANY_OPS; op++)
			world_check_success(world, op);
		world_destroy(world);
	}
}

/* Segments of the largest size, and more of them than slots. */
static void large_ops_send_as_many_bytes_as_they_should(void **state)
{
	struct world_config config = {.seed = 5, .peers = 4, .lanes = 1, .streams = 1, .frames_max = 8};
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .count = 3u << 20, .tag = 7};
	uint64_t plain = 2 * 3 * (uint64_t)(12u << 20) / 4;
	struct world *world;

	(void)state;
	spec.algorithm = pcclPlanDirect;
	spec.up.id = spec.down.id = PCCL_CODEC_INT8;
	spec.up.block = spec.down.block = 256;
	config.encoded_bytes = 3 * 70000;
	world = world_create(&config);
	world_add(world, 0, &spec);
	spec.tag = 8;
	spec.up.id = PCCL_CODEC_INT4;
	world_add(world, 1, &spec);
	world_run(world);
	world_check_success(world, 0);
	world_check_success(world, 1);
	/* 4 + 2 bytes of scales for 256 elements; half as much for int4, up. */
	assert_in_range(world_call(world, 1, 0)->tx_bytes, plain * 100 / 393, plain * 100 / 389);
	assert_in_range(world_call(world, 1, 0)->rx_bytes, plain * 100 / 393, plain * 100 / 389);
	assert_in_range(world_call(world, 1, 1)->tx_bytes, plain * 100 / 530, plain * 100 / 500);
	world_destroy(world);
}

/* ---- what can't be carried --------------------------------------------------------------------------------------- */

static void put(struct world_call *call, uint64_t element, float value)
{
	memcpy(call->input + element * sizeof(value), &value, sizeof(value));
	memcpy(call->original + element * sizeof(value), &value, sizeof(value));
}

static void float_spec(struct pccl_rng *rng, uint32_t op, struct world_spec *spec)
{
	static const uint8_t ids[] = {PCCL_CODEC_INT8, PCCL_CODEC_INT4, PCCL_CODEC_MINMAX, PCCL_CODEC_NF4};

	random_spec(rng, op, spec);
	spec->datatype = pcclFloat;
	spec->count = 1000 + pccl_rng_below(rng, 50000);
	spec->op = pcclSum;
	spec->feeds_back = false;
	spec->up.id = ids[pccl_rng_below(rng, sizeof(ids))];
	spec->up.block = 64;
	spec->up.target = spec->up.id == PCCL_CODEC_MINMAX ? pcclUint8 : 0;
	spec->down = spec->up;
}

/* One element of one contribution is not finite: that op fails everywhere and says which, the one beside it does
 * not. */
static void run_refusal(uint64_t seed)
{
	struct world_config config;
	struct world_spec spec;
	struct world *world;
	uint32_t rank, peer;
	uint64_t element;
	char words[120];

	random_config(seed, &config);
	config.peers += config.peers == 1;
	world = world_create(&config);
	float_spec(world_rng(world), 0, &spec);
	world_add(world, 0, &spec);
	float_spec(world_rng(world), 1, &spec);
	world_add(world, 1, &spec);
	rank = (uint32_t)pccl_rng_below(world_rng(world), config.peers);
	element = pccl_rng_below(world_rng(world), spec.count);
	put(world_call(world, rank, 1), element, seed % 2 == 0 ? NAN : -INFINITY);
	world_run(world);
	world_check_success(world, 0);
	world_check_failure(world, 1, pcclInvalidArgument);
	snprintf(words, sizeof(words), "contribution of rank %u to tag %llu: element %llu is", rank,
		 (unsigned long long)spec.tag, (unsigned long long)element);
	for (peer = 0; peer < config.peers; peer++)
		assert_non_null(strstr(world_call(world, peer, 1)->detail, words));
	world_destroy(world);
}

static void what_is_not_finite_fails_the_op_everywhere_and_no_other(void **state)
{
	uint64_t seed, last;

	(void)state;
	seeds_find(200, &seed, &last);
	for (; seed <= last; seed++)
		run_refusal(seed);
}

/* Every contribution is finite, and travels as bfloat16; their sum is not. */
static void results_that_are_not_finite_fail_the_op_everywhere(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 60; seed++) {
		struct world_config config;
		struct world_spec spec;
		struct world *world;
		uint32_t peer;

		random_config(seed, &config);
		config.peers += config.peers == 1;
		world = world_create(&config);
		float_spec(world_rng(world), 0, &spec);
		memset(&spec.up, 0, sizeof(spec.up));
		spec.up.id = PCCL_CODEC_BF16;
		spec.rounding = PCCL_ROUND_NEAREST;
		world_add(world, 0, &spec);
		for (peer = 0; peer < config.peers; peer++)
			put(world_call(world, peer, 0), 777, 3e38f);
		world_run(world);
		world_check_failure(world, 0, pcclInvalidArgument);
		for (peer = 0; peer < config.peers; peer++) {
			assert_non_null(strstr(world_call(world, peer, 0)->detail, "result of rank"));
			assert_non_null(strstr(world_call(world, peer, 0)->detail, "element 777 is"));
		}
		world_destroy(world);
	}
}

/* A peer that launches long after the others have failed. */
static void a_late_peer_learns_of_a_refusal(void **state)
{
	struct world_config config = {.seed = 3, .peers = 3, .lanes = 1, .streams = 1, .frames_max = 2};
	struct world *world = world_create(&config);
	struct world_spec spec;
	uint32_t peer;

	(void)state;
	float_spec(world_rng(world), 0, &spec);
	world_add(world, 0, &spec);
	put(world_call(world, 0, 0), 5, NAN);
	world_launch(world, 0, 0);
	world_launch(world, 1, 0);
	world_steps(world, 5000);
	world_launch(world, 2, 0);
	world_finish(world);
	world_check_failure(world, 0, pcclInvalidArgument);
	for (peer = 0; peer < 3; peer++)
		assert_non_null(strstr(world_call(world, peer, 0)->detail, "contribution of rank 0"));
	world_destroy(world);
}

/* Results that lie where the input was are on their way when the op fails: what a carrier has begun to send must not
 * change before it was told to forget it. exec_world.c compares. */
static void results_on_their_way_stay_as_they_are_until_they_are_forgotten(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 0; seed < 20; seed++) {
		struct world_config config = {.seed = seed, .peers = 3, .lanes = 1, .streams = 1, .frames_max = 8};
		struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .count = 60000, .tag = 7};
		struct world *world = world_create(&config);

		spec.algorithm = pcclPlanDirect;
		spec.in_place = true;
		spec.up.id = PCCL_CODEC_INT8;
		spec.up.block = 256;
		world_add(world, 0, &spec);
		put(world_call(world, 0, 0), spec.count - 1, NAN);
		world_run(world);
		world_check_failure(world, 0, pcclInvalidArgument);
		world_destroy(world);
	}
}

/* Where a codec can carry it, it arrives. */
static void a_nan_travels_where_it_can(void **state)
{
	struct world_config config = {.seed = 4, .peers = 4, .lanes = 2, .streams = 1, .frames_max = 2};
	struct world *world = world_create(&config);
	struct world_spec spec;
	float value;

	(void)state;
	float_spec(world_rng(world), 0, &spec);
	memset(&spec.up, 0, sizeof(spec.up));
	spec.up.id = PCCL_CODEC_BF16;
	spec.down = spec.up;
	world_add(world, 0, &spec);
	put(world_call(world, 2, 0), 31, NAN);
	world_run(world);
	world_check_success(world, 0);
	memcpy(&value, world_call(world, 1, 0)->output + 31 * sizeof(value), sizeof(value));
	assert_true(isnan(value));
	world_destroy(world);
}

/* ---- codecs that differ ------------------------------------------------------------------------------------------ */

static void differ(uint32_t how, struct world_spec *spec)
{
	switch (how) {
	case 0:
		spec->up.id = PCCL_CODEC_INT4;
		break;
	case 1:
		spec->down.id = PCCL_CODEC_NONE;
		spec->down.block = 0;
		break;
	case 2:
		spec->up.block = 512;
		break;
	case 3:
		spec->rounding |= PCCL_ROUND_STOCHASTIC;
		break;
	default:
		memset(&spec->up, 0, sizeof(spec->up));
		memset(&spec->down, 0, sizeof(spec->down));
		break;
	}
}

static void codecs_that_differ_are_a_mismatch(void **state)
{
	uint32_t how, peer;

	(void)state;
	for (how = 0; how < 5; how++) {
		struct world_config config = {.seed = how, .peers = 4, .lanes = 2, .streams = 1, .frames_max = 2};
		struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .count = 30000, .tag = 7};
		struct world *world = world_create(&config);

		spec.algorithm = pcclPlanDirect;
		spec.up.id = spec.down.id = PCCL_CODEC_INT8;
		spec.up.block = spec.down.block = 256;
		spec.rounding = PCCL_ROUND_SATURATE;
		world_add(world, 0, &spec);
		differ(how, &spec);
		world_add_call(world, 2, 0, &spec);
		world_run(world);
		world_check_failure(world, 0, pcclMismatch);
		for (peer = 0; peer < 4; peer++) {
			const char *detail = world_call(world, peer, 0)->detail;

			assert_non_null(strstr(detail, "int8:256 up, int8:256 down"));
			assert_int_equal(detail[strlen(detail) - 1], ')'); /* both sides, whole */
		}
		world_destroy(world);
	}
}

/* ---- out of memory, unknown codecs ------------------------------------------------------------------------------- */

/* Each allocation of a launch fails once: the op was not started, and can be. */
static void a_launch_without_memory_starts_nothing(void **state)
{
	struct world_config config = {.seed = 1, .peers = 2, .lanes = 1, .streams = 1, .frames_max = 2};
	struct world *world = world_create(&config);
	struct pccl_exec_launch launch;
	struct pccl_exec_outcome outcome;
	struct world_spec spec;
	pcclResult_t result;
	size_t nth = 0;
	bool failed;

	(void)state;
	float_spec(world_rng(world), 0, &spec);
	spec.algorithm = pcclPlanDirect;
	spec.in_place = false;
	spec.count = 300000;
	world_add(world, 0, &spec);
	memset(&launch, 0, sizeof(launch));
	launch.key.tag = spec.tag;
	launch.signature.kind = PCCL_ALL_REDUCE;
	launch.signature.datatype = (uint8_t)spec.datatype;
	launch.signature.count = spec.count;
	launch.signature.up = spec.up;
	launch.signature.down = spec.down;
	launch.geometry = world_call(world, 0, 0)->geometry;
	launch.plan = world_call(world, 0, 0)->plan;
	launch.input = world_call(world, 0, 0)->input;
	launch.output = world_call(world, 0, 0)->output;
	launch.cookie = &launch;
	do {
		check_fail_allocation(++nth);
		result = pccl_exec_launch(world_exec(world, 0, 0), &launch);
		failed = check_allocation_failed();
		check_fail_allocation(0);
		assert_int_equal(result, failed ? pcclOutOfMemory : pcclSuccess);
	} while (failed);
	assert_true(nth > 3); /* the op, the bounce buffer, the slots */
	pccl_exec_cancel(world_exec(world, 0, 0), &launch, pcclAborted, "enough", true);
	assert_true(pccl_exec_poll(world_exec(world, 0, 0), &outcome));
	assert_int_equal(outcome.result, pcclAborted);
	assert_false(pccl_exec_poll(world_exec(world, 0, 0), &outcome));
	world_destroy(world);
}

static void a_codec_that_is_unknown_is_refused(void **state)
{
	struct world_config config = {.seed = 1, .peers = 2, .lanes = 1, .streams = 1, .frames_max = 2};
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .count = 300, .tag = 7};
	struct world *world = world_create(&config);
	struct pccl_exec_launch launch;
	struct pccl_exec_outcome outcome;

	(void)state;
	spec.algorithm = pcclPlanOneshot;
	world_add(world, 0, &spec);
	memset(&launch, 0, sizeof(launch));
	launch.signature.kind = PCCL_ALL_REDUCE;
	launch.signature.datatype = pcclFloat;
	launch.signature.up.id = PCCL_CODEC_COUNT;
	launch.geometry = world_call(world, 0, 0)->geometry;
	launch.plan = world_call(world, 0, 0)->plan;
	launch.cookie = &launch;
	assert_int_equal(pccl_exec_launch(world_exec(world, 0, 0), &launch), pcclInvalidArgument);
	assert_false(pccl_exec_poll(world_exec(world, 0, 0), &outcome));
	world_destroy(world);
}

#define TEST(name) cmocka_unit_test_teardown(name, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_ops_end_with_the_right_bytes),
		TEST(bits_do_not_depend_on_plan_and_lanes),
		TEST(sixty_four_ops_share_a_small_arena),
		TEST(large_ops_send_as_many_bytes_as_they_should),
		TEST(what_is_not_finite_fails_the_op_everywhere_and_no_other),
		TEST(results_that_are_not_finite_fail_the_op_everywhere),
		TEST(a_late_peer_learns_of_a_refusal),
		TEST(results_on_their_way_stay_as_they_are_until_they_are_forgotten),
		TEST(a_nan_travels_where_it_can),
		TEST(codecs_that_differ_are_a_mismatch),
		TEST(a_launch_without_memory_starts_nothing),
		TEST(a_codec_that_is_unknown_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
