/* Worlds of executors: every kind, plan, type and size, in and out of place, many at a time, at random. */
#include <pccl.h>
#include <stdlib.h>
#include <string.h>

#include "collectives/element/dtype.h"
#include "lib/check.h"
#include "lib/exec_world.h"
#include "lib/seeds.h"

#define MANY_OPS 80

static const pcclPlan_t algorithms[] = {pcclPlanOneshot, pcclPlanDirect, pcclPlanRing};

static void random_config(uint64_t seed, struct world_config *config)
{
	struct pccl_rng rng;

	pccl_rng_seed(&rng, seed);
	memset(config, 0, sizeof(*config));
	config->seed = seed;
	config->peers = 1 + (uint32_t)pccl_rng_below(&rng, 9);
	config->lanes = 1 + (uint32_t)pccl_rng_below(&rng, 3);
	config->streams = 1 + (uint32_t)pccl_rng_below(&rng, 3);
	config->frames_max = 1 + (uint32_t)pccl_rng_below(&rng, 4);
	config->drop_chance = pccl_rng_chance(&rng, 1, 3) ? 20 : 0;
	config->packs = seed % 3 == 0;
	config->packed_slots = seed % 2 == 0 ? 2 : 0;
}

static uint64_t random_count(struct pccl_rng *rng)
{
	switch (pccl_rng_below(rng, 8)) {
	case 0:
		return 0;
	case 1:
		return 1 + pccl_rng_below(rng, 5);
	case 2:
	case 3:
		return pccl_rng_below(rng, 20000);
	case 4:
		return pccl_rng_below(rng, 100000);
	default:
		return pccl_rng_below(rng, 2000);
	}
}

static void random_spec(struct pccl_rng *rng, uint32_t peers, uint32_t op, struct world_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	spec->kind = (enum pccl_collective)(1 + pccl_rng_below(rng, 16) % 9);
	spec->algorithm = algorithms[pccl_rng_below(rng, 3)];
	spec->datatype = (pcclDataType_t)pccl_rng_below(rng, PCCL_DTYPE_COUNT);
	if (pccl_collective_adds((int)spec->kind))
		spec->op = (pcclRedOp_t)pccl_rng_below(rng, PCCL_OP_COUNT);
	spec->count = spec->kind == PCCL_BARRIER ? 0 : random_count(rng);
	if (spec->kind == PCCL_REDUCE_SCATTER || spec->kind == PCCL_ALL_GATHER || spec->kind == PCCL_ALL_TO_ALL)
		spec->count = peers > 1 ? spec->count / peers : spec->count;
	spec->root = pccl_collective_has_root((int)spec->kind) ? (uint32_t)pccl_rng_below(rng, peers) : 0;
	spec->tag = 1000 * (uint64_t)op + pccl_rng_below(rng, 10);
	spec->sequence = (uint32_t)pccl_rng_below(rng, 3);
	spec->in_place = pccl_rng_chance(rng, 1, 2);
	spec->uneven = pccl_rng_chance(rng, 1, 2);
	spec->verifies = spec->tag % 3 == 0 && pccl_collective_is_alike((int)spec->kind);
}

static void run_random(const struct world_config *config, uint32_t ops_max)
{
	struct world *world = world_create(config);
	struct pccl_rng *rng = world_rng(world);
	uint32_t ops = 1 + (uint32_t)pccl_rng_below(rng, ops_max), op;

	for (op = 0; op < ops; op++) {
		struct world_spec spec;

		random_spec(rng, config->peers, op, &spec);
		if (config->peers > 1 && pccl_rng_chance(rng, 1, 8)) {
			spec.kind = PCCL_TRANSFER;
			spec.root = (uint32_t)pccl_rng_below(rng, config->peers);
		}
		world_add(world, op, &spec);
	}
	world_run(world);
	for (op = 0; op < ops; op++)
		world_check_success(world, op);
	world_destroy(world);
}

static void random_ops_end_with_the_right_bytes(void **state)
{
	uint64_t seed, last;
	struct world_config config;

	(void)state;
	seeds_find(500, &seed, &last);
	for (; seed <= last; seed++) {
		random_config(seed, &config);
		run_random(&config, 6);
	}
}

/* With as little room as there may be, so that windows are fought for; more ops than may be in flight. */
static void sixty_four_ops_share_a_small_arena(void **state)
{
	struct world_config config = {.streams = 2, .frames_max = 3};
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 8; seed++) {
		struct world *world;
		uint32_t op;

		config.seed = seed;
		config.peers = 2 + (uint32_t)(seed % 4);
		config.lanes = 1 + (uint32_t)(seed % 2);
		world = world_create(&config);
		for (op = 0; op < MANY_OPS; op++) {
			struct world_spec spec;

			random_spec(world_rng(world), config.peers, op, &spec);
			spec.kind = op % 3 == 0 ? PCCL_REDUCE_SCATTER : PCCL_ALL_REDUCE;
			spec.algorithm = algorithms[op / 2 % 3];
			spec.count = 60000 + op;
			spec.root = 0;
			if (spec.kind == PCCL_REDUCE_SCATTER)
				spec.count /= config.peers;
			world_add(world, op, &spec);
		}
		world_run(world);
		for (op = 0; op < MANY_OPS; op++)
			world_check_success(world, op);
		world_destroy(world);
	}
}

/* More than may be announced, and than may send unasked, launched in opposite orders before anything moves; or while it
 * does. */
static void thousands_in_opposite_orders_end(void **state)
{
	struct world_config config = {.peers = 3, .lanes = 1, .streams = 2, .frames_max = 8};
	const uint32_t count = 2000;
	struct world *world;
	uint32_t op, peer;

	(void)state;
	for (config.seed = 1; config.seed <= 3; config.seed++) {
		config.announced_max = config.seed == 1 ? 0 : count - 1;
		world = world_create(&config);
		for (op = 0; op < count; op++) {
			struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanOneshot, .tag = op};

			spec.datatype = pcclInt32;
			spec.count = 1 + op % 50;
			world_add(world, op, &spec);
		}
		for (op = 0; op < count; op++) {
			for (peer = 0; peer < config.peers; peer++)
				world_launch(world, peer, peer == 1 ? count - 1 - op : op);
			if (config.seed == 3)
				world_steps(world, 20);
		}
		world_finish(world);
		for (op = 0; op < count; op++)
			world_check_success(world, op);
		world_destroy(world);
	}
}

static void sixty_four_ranks_work_too(void **state)
{
	struct world_config config = {.seed = 3, .peers = 64, .lanes = 1, .streams = 1, .frames_max = 4};
	struct world *world = world_create(&config);
	uint32_t op;

	(void)state;
	for (op = 0; op < 6; op++) {
		struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .op = pcclAvg, .tag = op};

		spec.algorithm = algorithms[op % 3];
		spec.count = op < 3 ? 500 : 16 * 1024 + 77;
		spec.in_place = op % 2 == 0;
		world_add(world, op, &spec);
	}
	world_run(world);
	for (op = 0; op < 6; op++)
		world_check_success(world, op);
	world_destroy(world);
}

/* Results are the same whatever the order of events was. */
static void results_repeat_from_run_to_run(void **state)
{
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .count = 30000, .tag = 7};
	uint8_t *first = NULL;
	uint64_t run;

	(void)state;
	for (run = 0; run < 5; run++) {
		struct world_config config = {.seed = 99, .peers = 5, .lanes = 2, .streams = 2};
		struct world_call *call;
		struct world *world;

		config.frames_max = 1 + (uint32_t)run;
		config.drop_chance = (uint32_t)run * 5;
		spec.algorithm = pcclPlanDirect;
		world = world_create(&config);
		world_add(world, 0, &spec); /* the first numbers drawn: the same data */
		world_run(world);
		world_check_success(world, 0);
		call = world_call(world, 3, 0);
		if (first == NULL) {
			first = malloc(call->output_bytes);
			assert_non_null(first);
			memcpy(first, call->output, call->output_bytes);
		}
		assert_memory_equal(first, call->output, call->output_bytes);
		world_destroy(world);
	}
	free(first);
}

/* ---- what travels ------------------------------------------------------------------------------------------------ */

static void run_one(const struct world_spec *spec, uint32_t peers, uint64_t *tx_out, uint64_t *rx_out)
{
	struct world_config config = {.seed = 5, .peers = peers, .lanes = 1, .streams = 1, .frames_max = 8};
	struct world *world = world_create(&config);

	world_add(world, 0, spec);
	world_run(world);
	world_check_success(world, 0);
	*tx_out = world_call(world, 1, 0)->tx_bytes;
	*rx_out = world_call(world, 1, 0)->rx_bytes;
	world_destroy(world);
}

/* Elements count, and nothing else. */
static void small_ops_send_their_input_once_to_each(void **state)
{
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .count = 1024, .tag = 7};
	uint64_t tx, rx;

	(void)state;
	spec.algorithm = pcclPlanOneshot;
	run_one(&spec, 4, &tx, &rx);
	assert_int_equal(tx, 3 * 4096);
	assert_int_equal(rx, tx);
}

static void large_ops_send_every_byte_once_and_little_else(void **state)
{
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .datatype = pcclFloat, .count = 4u << 20, .tag = 7};
	uint64_t tx, rx, payload = 2 * 3 * (uint64_t)(16u << 20) / 4;
	uint32_t which;

	(void)state;
	for (which = 1; which < 3; which++) {
		spec.algorithm = algorithms[which];
		run_one(&spec, 4, &tx, &rx);
		assert_in_range(tx, payload, payload + payload / 500);
		assert_in_range(rx, payload, payload + payload / 500);
	}
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void differ(struct pccl_rng *rng, struct world_spec *spec)
{
	switch (pccl_rng_below(rng, 5)) {
	case 0:
		spec->uneven = false; /* all but a part of size 0 are others */
		spec->count += 1 + pccl_rng_below(rng, 40000);
		break;
	case 1:
		spec->datatype = (pcclDataType_t)((spec->datatype + 1) % PCCL_DTYPE_COUNT);
		break;
	case 2:
		spec->algorithm = spec->algorithm == pcclPlanRing ? pcclPlanDirect : pcclPlanRing;
		break;
	case 3:
		spec->policy = spec->policy == pcclPolicyRetry ? pcclPolicyAbort : pcclPolicyRetry;
		break;
	default:
		spec->kind = spec->kind == PCCL_ALL_GATHER ? PCCL_ALL_REDUCE : PCCL_ALL_GATHER;
		spec->op = pcclSum;
		spec->root = 0;
		break;
	}
}

static void run_mismatch(uint64_t seed)
{
	struct world_config config;
	struct world_spec spec;
	struct world *world;
	struct pccl_rng *rng;
	uint32_t op, round, odd;

	random_config(seed, &config);
	if (config.peers < 2)
		config.peers = 2;
	world = world_create(&config);
	rng = world_rng(world);
	for (round = 0; round < 3; round++) {
		for (op = 0; op < 6; op++) {
			random_spec(rng, config.peers, op, &spec);
			spec.tag = op;
			spec.sequence = round;
			world_add(world, op, &spec);
			if (op % 2 == 0)
				continue;
			differ(rng, &spec);
			for (odd = (uint32_t)pccl_rng_below(rng, config.peers - 1); odd > 0; odd -= odd > 2 ? 2 : odd)
				world_add_call(world, odd, op, &spec);
			world_add_call(world, 0, op, &spec);
		}
		world_run(world);
		for (op = 0; op < 6; op++) {
			if (op % 2 == 0)
				world_check_success(world, op);
			else
				world_check_failure(world, op, pcclMismatch);
		}
	}
	world_destroy(world);
}

static void calls_that_differ_fail_on_every_peer_and_others_go_on(void **state)
{
	uint64_t seed, last;

	(void)state;
	seeds_find(200, &seed, &last);
	for (; seed <= last; seed++)
		run_mismatch(seed);
}

static void a_mismatch_names_both_sides(void **state)
{
	struct world_config config = {.seed = 1, .peers = 2, .lanes = 1, .streams = 1, .frames_max = 2};
	struct world_spec spec = {
		.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanDirect, .datatype = pcclFloat, .count = 20, .tag = 7};
	struct world *world = world_create(&config);

	(void)state;
	world_add(world, 0, &spec);
	spec.kind = PCCL_BROADCAST;
	spec.count = 30;
	spec.root = 1;
	spec.policy = pcclPolicyRetry;
	world_add_call(world, 1, 0, &spec);
	world_run(world);
	world_check_failure(world, 0, pcclMismatch);
	assert_string_equal(world_call(world, 0, 0)->detail,
			    "rank 1 launched tag 7 as broadcast of 30 float32 (root 1, direct, retry), "
			    "this peer as all-reduce of 20 float32 (sum, direct, abort)");
	world_destroy(world);
}

/* A peer that launches later than the others have failed sees it too. */
static void a_late_peer_learns_of_a_mismatch(void **state)
{
	struct world_config config = {.seed = 1, .peers = 3, .lanes = 2, .streams = 2, .frames_max = 2};
	struct world_spec spec = {
		.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanDirect, .datatype = pcclFloat, .count = 20, .tag = 7};
	struct world *world = world_create(&config);

	(void)state;
	world_add(world, 0, &spec);
	spec.count = 100000;
	world_add_call(world, 1, 0, &spec);
	world_launch(world, 0, 0);
	world_launch(world, 1, 0);
	world_finish(world);
	assert_int_equal(world_call(world, 0, 0)->result, pcclMismatch);
	assert_int_equal(world_call(world, 1, 0)->result, pcclMismatch);
	world_launch(world, 2, 0);
	world_finish(world);
	world_check_failure(world, 0, pcclMismatch);
	world_destroy(world);
}

/* One member launched it in a view that its root was in, in time for no flush; the others name somebody of theirs. */
static void a_lost_root_is_told_to_who_launches_before_and_after(void **state)
{
	struct world_config config = {.seed = 1, .peers = 3, .lanes = 2, .streams = 2, .frames_max = 2};
	struct world_spec spec = {
		.kind = PCCL_BROADCAST, .algorithm = pcclPlanDirect, .datatype = pcclFloat, .count = 100000, .tag = 7};
	struct world *world = world_create(&config);

	(void)state;
	spec.root = 2;
	world_add(world, 0, &spec);
	world_launch(world, 0, 0);
	world_call(world, 1, 0)->spec.root = PCCL_ROOT_LOST;
	world_launch(world, 1, 0);
	world_finish(world);
	assert_int_equal(world_call(world, 0, 0)->result, pcclRankConnectionLost);
	assert_string_equal(world_call(world, 1, 0)->detail,
			    "the root of broadcast 7 was lost before this peer could begin it");
	world_launch(world, 2, 0);
	world_finish(world);
	world_check_failure(world, 0, pcclRankConnectionLost);
	assert_non_null(strstr(world_call(world, 2, 0)->detail, "says that the root of broadcast 7 was lost"));
	world_destroy(world);
}

/* Hundreds of failures that one peer has not heard of yet do not break anything. */
static void many_mismatches_in_a_row_are_bounded(void **state)
{
	struct world_config config = {.seed = 1, .peers = 3, .lanes = 1, .streams = 2, .frames_max = 4};
	struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanOneshot, .datatype = pcclFloat};
	struct world *world = world_create(&config);
	uint32_t round;

	(void)state;
	for (round = 0; round < 300; round++) {
		spec.tag = round;
		spec.count = 20;
		world_add_call(world, 0, 0, &spec);
		spec.count = 30;
		world_add_call(world, 1, 0, &spec);
		world_launch(world, 0, 0);
		world_launch(world, 1, 0);
		world_finish(world);
		assert_int_equal(world_call(world, 0, 0)->result, pcclMismatch);
	}
	spec.tag = 1000;
	world_add(world, 0, &spec);
	world_run(world);
	world_check_success(world, 0);
	world_destroy(world);
}

/* ---- out of memory, cancelling ----------------------------------------------------------------------------------- */

static void cancelled_ops_give_their_input_back(void **state)
{
	uint64_t seed;

	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		struct world_config config;
		struct world *world;
		uint32_t op, peer;

		random_config(seed, &config);
		world = world_create(&config);
		for (op = 0; op < 4; op++) {
			struct world_spec spec;

			random_spec(world_rng(world), config.peers, op, &spec);
			world_add(world, op, &spec);
			for (peer = 0; peer < config.peers; peer++)
				world_launch(world, peer, op);
		}
		world_steps(world, (uint32_t)pccl_rng_below(world_rng(world), 3000));
		for (op = 0; op < 4; op++) {
			for (peer = 0; peer < config.peers; peer++) {
				struct world_call *call = world_call(world, peer, op);

				if (world_call_ended(world, peer, op) || call->lanes_ended > 0)
					continue;
				world_cancel(world, peer, op, pcclAborted, true);
				assert_true(world_call_ended(world, peer, op));
				assert_int_equal(call->result, pcclAborted);
				world_check_input_back(world, peer, op);
			}
		}
		/* What is still under way for them harms nobody. */
		world_steps(world, 2000);
		world_destroy(world);
	}
}

#define TEST(name) cmocka_unit_test_teardown(name, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_ops_end_with_the_right_bytes),
		TEST(sixty_four_ops_share_a_small_arena),
		TEST(thousands_in_opposite_orders_end),
		TEST(sixty_four_ranks_work_too),
		TEST(results_repeat_from_run_to_run),
		TEST(small_ops_send_their_input_once_to_each),
		TEST(large_ops_send_every_byte_once_and_little_else),
		TEST(calls_that_differ_fail_on_every_peer_and_others_go_on),
		TEST(a_mismatch_names_both_sides),
		TEST(a_late_peer_learns_of_a_mismatch),
		TEST(a_lost_root_is_told_to_who_launches_before_and_after),
		TEST(many_mismatches_in_a_row_are_bounded),
		TEST(cancelled_ops_give_their_input_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
