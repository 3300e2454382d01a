/* Worlds of executors whose elements travel encoded: every codec, type, plan and number of ranks; what can't be carried;
 * repair. */
#include <math.h>
#include <pccl.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/check.h"
#include "../../lib/exec_world.h"
#include "base/bitmap.h"
#include "collectives/dtype.h"

static const pcclDataType_t float_types[] = {pcclFloat, pcclDouble, pcclFloat16, pcclBFloat16};
static const pcclDataType_t targets[] = {pcclUint8, pcclInt8, pcclUint16, pcclInt16, pcclInt32};

static uint64_t seeds(uint64_t *first_out, uint64_t count)
{
	const char *one = getenv("SEED");

	*first_out = one == NULL ? 1 : strtoull(one, NULL, 0);
	return one == NULL ? count : *first_out;
}

static void random_codec(struct pccl_rng *rng, pcclDataType_t type, struct pccl_op_codec *out)
{
	const struct pccl_codec *codec;

	memset(out, 0, sizeof(*out));
	out->id = (uint8_t)pccl_rng_below(rng, PCCL_CODEC_COUNT);
	codec = pccl_codec_find(out->id);
	if (codec->block_default != 0)
		out->block = codec->block_default;
	if (!codec->has_target)
		return;
	out->target = (uint8_t)targets[pccl_rng_below(rng, 5)];
	if (pccl_dtype_bytes((pcclDataType_t)out->target) >= pccl_dtype_bytes(type))
		out->target = pcclUint8;
}

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
	random_codec(rng, spec->datatype, &spec->up);
	random_codec(rng, spec->datatype, &spec->down);
	spec->rounding = (uint8_t)(pccl_rng_chance(rng, 1, 3) ? PCCL_ROUND_STOCHASTIC : PCCL_ROUND_NEAREST);
}

static void random_ops_end_with_the_right_bytes(void **state)
{
	uint64_t seed, last = seeds(&seed, 300);

	(void)state;
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

#define TEST(name) cmocka_unit_test_teardown(name, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_ops_end_with_the_right_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
