/* Worlds of executors: every kind, plan, type and size, in and out of place, at random. */
#include <pccl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/check.h"
#include "../../lib/exec_world.h"
#include "collectives/dtype.h"

static const pcclPlan_t algorithms[] = {pcclPlanOneshot, pcclPlanDirect, pcclPlanRing};

static struct world *random_world(uint64_t seed, uint32_t peers_max, size_t scratch_bytes)
{
	struct world_config config = {.seed = seed, .scratch_bytes = scratch_bytes};
	struct pccl_rng rng;

	pccl_rng_seed(&rng, seed);
	config.peers = 1 + (uint32_t)pccl_rng_below(&rng, peers_max);
	config.lanes = 1 + (uint32_t)pccl_rng_below(&rng, 3);
	config.streams = 1 + (uint32_t)pccl_rng_below(&rng, 3);
	config.frames_max = 1 + (uint32_t)pccl_rng_below(&rng, 4);
	config.drop_chance = pccl_rng_chance(&rng, 1, 3) ? 20 : 0;
	return world_create(&config);
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
		return pccl_rng_below(rng, 150000);
	default:
		return pccl_rng_below(rng, 2000);
	}
}

static void random_spec(struct world *world, uint32_t peers, uint32_t op, struct world_spec *spec)
{
	struct pccl_rng *rng = world_rng(world);

	memset(spec, 0, sizeof(*spec));
	spec->kind = (enum pccl_collective)(1 + pccl_rng_below(rng, 9) % 5);
	spec->algorithm = algorithms[pccl_rng_below(rng, 3)];
	spec->datatype = (pcclDataType_t)pccl_rng_below(rng, PCCL_DTYPE_COUNT);
	if (spec->kind == PCCL_ALL_REDUCE || spec->kind == PCCL_REDUCE_SCATTER)
		spec->op = (pcclRedOp_t)pccl_rng_below(rng, PCCL_OP_COUNT);
	spec->count = spec->kind == PCCL_BARRIER ? 0 : random_count(rng);
	if (spec->kind == PCCL_REDUCE_SCATTER || spec->kind == PCCL_ALL_GATHER)
		spec->count = spec->count / peers;
	spec->root = spec->kind == PCCL_BROADCAST ? (uint32_t)pccl_rng_below(rng, peers) : 0;
	spec->tag = 1000 * (uint64_t)op + pccl_rng_below(rng, 10);
	spec->sequence = (uint32_t)pccl_rng_below(rng, 3);
	spec->in_place = pccl_rng_chance(rng, 1, 2);
}

static uint32_t peers_of(struct world *world)
{
	uint32_t count = 0;

	while (count < WORLD_PEERS_MAX && world_exec(world, count, 0) != NULL)
		count++;
	return count;
}

static void run_random(uint64_t seed, uint32_t peers_max, uint32_t ops_max, size_t scratch_bytes)
{
	struct world *world = random_world(seed, peers_max, scratch_bytes);
	uint32_t ops = 1 + (uint32_t)pccl_rng_below(world_rng(world), ops_max), op;

	for (op = 0; op < ops; op++) {
		struct world_spec spec;

		random_spec(world, peers_of(world), op, &spec);
		world_add(world, op, &spec);
	}
	world_run(world);
	for (op = 0; op < ops; op++)
		world_check_success(world, op);
	world_destroy(world);
}

static void random_ops_end_with_the_right_bytes(void **state)
{
	const char *one = getenv("SEED");
	uint64_t seed;

	(void)state;
	if (one != NULL) {
		run_random(strtoull(one, NULL, 0), 9, 6, 0);
		return;
	}
	for (seed = 1; seed <= 1000; seed++) {
		run_random(seed, 9, 6, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(random_ops_end_with_the_right_bytes, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
