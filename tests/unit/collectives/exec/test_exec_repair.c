/* Members are lost while ops run: survivors stop, report, agree, and commit, give up, or repair in the smaller view.
 * What comes out is compared with sums of the members that each segment has contributions of. */
#include <pccl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "collectives/element/dtype.h"
#include "lib/check.h"
#include "lib/exec_world.h"
#include "lib/seeds.h"

#define OPS 5
#define SEGMENTS_MAX 512
#define WORDS (SEGMENTS_MAX / 64)
#define ROUNDS_MAX 4

static const pcclPlan_t algorithms[] = {pcclPlanOneshot, pcclPlanDirect, pcclPlanRing};

/* One run with up to three losses. */
struct run {
	struct world *world;
	struct pccl_rng *rng;
	uint32_t peers;
	uint32_t members[WORLD_PEERS_MAX];
	uint32_t member_count;
	uint32_t round;
	uint8_t *expected[OPS];			    /* the result of the segments that are final */
	uint64_t final[OPS][WORDS];		    /* they may cease to be, if all who have them die */
	uint64_t held[OPS][WORLD_PEERS_MAX][WORDS]; /* by peer: what it reports */
	bool complete[OPS][WORLD_PEERS_MAX];
	bool over[OPS]; /* committed or given up */
	bool given_up[OPS];
};

static size_t element_bytes(const struct world_call *call)
{
	return pccl_dtype_bytes(call->spec.datatype);
}

/* A segment that has just become final has the contributions of the members of the view in force. */
static void note_final(struct run *run, uint32_t op, uint32_t segment)
{
	const struct world_call *call = world_call(run->world, run->members[0], op);
	uint32_t order[WORLD_PEERS_MAX];
	uint8_t *to = run->expected[op] + pccl_geometry_first(&call->geometry, segment) * element_bytes(call);

	if (pccl_bitmap_test(run->final[op], segment))
		return;
	pccl_bitmap_set(run->final[op], segment);
	memcpy(order, run->members, sizeof(order));
	if (run->round == 0)
		world_order(run->world, op, segment, order);
	world_expect_segment(run->world, op, segment, order, run->member_count,
			     call->spec.op == pcclAvg ? run->member_count : 0, to);
}

static void check_segments(struct run *run, uint32_t op, uint32_t peer, const uint64_t *which)
{
	const struct world_call *call = world_call(run->world, peer, op);
	uint32_t segment;

	for (segment = 0; segment < call->geometry.segment_count; segment++) {
		size_t offset = (size_t)pccl_geometry_first(&call->geometry, segment) * element_bytes(call);

		if (pccl_bitmap_test(which, segment))
			assert_memory_equal(call->output + offset, run->expected[op] + offset,
					    pccl_geometry_elements(&call->geometry, segment) * element_bytes(call));
	}
}

static void use_codecs(struct pccl_rng *rng, struct world_spec *spec)
{
	spec->algorithm = pccl_rng_chance(rng, 1, 2) ? pcclPlanDirect : pcclPlanOneshot;
	spec->datatype = pccl_rng_chance(rng, 1, 2) ? pcclFloat : pcclBFloat16;
	world_random_codec(rng, spec->datatype, &spec->up);
	world_random_codec(rng, spec->datatype, &spec->down);
	spec->rounding = (uint8_t)(pccl_rng_below(rng, 2) | PCCL_ROUND_SATURATE);
	spec->feeds_back = pccl_rng_chance(rng, 1, 2);
}

static void start(struct run *run, uint64_t seed)
{
	struct world_config config = {.seed = seed, .streams = 2, .frames_max = 3};
	uint32_t op, peer;

	memset(run, 0, sizeof(*run));
	config.peers = run->peers = 3 + (uint32_t)(seed % 4);
	config.lanes = 1 + (uint32_t)(seed / 4 % 3);
	config.drop_chance = seed % 5 == 0 ? 20 : 0;
	config.packs = seed % 2 == 0;
	run->world = world_create(&config);
	run->rng = world_rng(run->world);
	for (peer = 0; peer < run->peers; peer++)
		run->members[peer] = peer;
	run->member_count = run->peers;
	for (op = 0; op < OPS; op++) {
		struct world_spec spec = {.kind = PCCL_ALL_REDUCE, .policy = pcclPolicyRepair, .tag = op};

		spec.algorithm = algorithms[pccl_rng_below(run->rng, 3)];
		spec.datatype = (pcclDataType_t)pccl_rng_below(run->rng, PCCL_DTYPE_COUNT);
		spec.op = (pcclRedOp_t)pccl_rng_below(run->rng, PCCL_OP_COUNT);
		spec.count = pccl_rng_below(run->rng, pccl_rng_chance(run->rng, 1, 3) ? 120000 : 8000);
		spec.in_place = pccl_rng_chance(run->rng, 1, 2);
		if (op % 2 == 1)
			use_codecs(run->rng, &spec);
		spec.verifies = seed % 3 == 0;
		world_add(run->world, op, &spec);
		run->expected[op] = calloc(1, world_call(run->world, 0, op)->output_bytes + 1);
		assert_non_null(run->expected[op]);
		for (peer = 0; peer < run->peers; peer++)
			world_launch(run->world, peer, op);
	}
}

/* A segment that any survivor reports is final. What only those had who died is not any more. */
static void note_reported(struct run *run, uint32_t op, const uint32_t *survivors, uint32_t count)
{
	uint32_t segment, position;

	for (segment = 0; segment < world_call(run->world, 0, op)->geometry.segment_count; segment++) {
		bool held = false;

		for (position = 0; position < count; position++)
			held = held || pccl_bitmap_test(run->held[op][survivors[position]], segment);
		if (held)
			note_final(run, op, segment);
		else
			pccl_bitmap_clear(run->final[op], segment);
	}
}

/* One or two members die; the others stop, one after the other. */
static void lose_members(struct run *run)
{
	uint32_t loss = 1 + (uint32_t)pccl_rng_chance(run->rng, 1, 4), index, position, op;
	uint32_t order[WORLD_PEERS_MAX], before = run->member_count;

	memcpy(order, run->members, sizeof(order));
	for (; loss > 0 && run->member_count > 1; loss--) {
		uint32_t gone = (uint32_t)pccl_rng_below(run->rng, run->member_count);

		for (index = gone; index + 1 < run->member_count; index++)
			order[index] = order[index + 1];
		run->member_count--;
	}
	for (position = 0; position < run->member_count; position++) {
		world_freeze(run->world, order[position]);
		for (op = 0; op < OPS; op++) {
			if (run->over[op])
				continue;
			memset(run->held[op][order[position]], 0, sizeof(run->held[0][0]));
			run->complete[op][order[position]] =
				world_report(run->world, order[position], op, run->held[op][order[position]]);
		}
		world_steps(run->world, (uint32_t)pccl_rng_below(run->rng, 60));
	}
	/* The view that is left now has made what the survivors report. */
	index = run->member_count;
	run->member_count = before;
	for (op = 0; op < OPS; op++)
		if (!run->over[op])
			note_reported(run, op, order, index);
	run->member_count = index;
	memcpy(run->members, order, sizeof(order));
}

static bool all_complete(const struct run *run, uint32_t op)
{
	uint32_t position;

	for (position = 0; position < run->member_count; position++)
		if (!run->complete[op][run->members[position]])
			return false;
	return true;
}

/* If it has returned to one caller, it must be complete everywhere. */
static void check_agreement(struct run *run, uint32_t op)
{
	uint32_t position;

	for (position = 0; position < run->member_count; position++)
		if (world_call_ended(run->world, run->members[position], op))
			assert_true(all_complete(run, op));
}

static void commit(struct run *run, uint32_t op)
{
	uint32_t position;

	run->over[op] = true;
	for (position = 0; position < run->member_count; position++) {
		uint32_t peer = run->members[position];

		if (!world_call_ended(run->world, peer, op))
			world_cancel(run->world, peer, op, pcclSuccess, false);
		assert_int_equal(world_call(run->world, peer, op)->result, pcclSuccess);
		check_segments(run, op, peer, run->held[op][peer]);
	}
}

static void give_up(struct run *run, uint32_t op)
{
	uint32_t position;

	run->over[op] = true;
	run->given_up[op] = true;
	for (position = 0; position < run->member_count; position++) {
		uint32_t peer = run->members[position];
		struct world_call *call = world_call(run->world, peer, op);
		bool untouched = call->lanes_ended == 0;

		world_cancel(run->world, peer, op, pcclRankConnectionLost, true);
		assert_true(world_call_ended(run->world, peer, op));
		/* Lanes that had ended well are the communicator's to take back. */
		if (untouched && !call->spec.in_place)
			assert_memory_equal(call->input, call->original, call->input_bytes);
		if (untouched && run->round == 0)
			assert_memory_equal(call->input, call->original, call->input_bytes);
	}
}

static void let_go_for_repair(struct run *run, uint32_t op)
{
	uint32_t position;

	for (position = 0; position < run->member_count; position++) {
		uint32_t peer = run->members[position];

		world_cancel(run->world, peer, op, pcclRankConnectionLost, false);
		check_segments(run, op, peer, run->held[op][peer]);
		world_reset_call(run->world, peer, op);
	}
}

static void go_over(struct run *run)
{
	const uint64_t *holders[WORLD_PEERS_MAX];
	uint32_t order[WORLD_PEERS_MAX], position, op;

	world_view(run->world, run->members, run->member_count);
	run->round++;
	memcpy(order, run->members, sizeof(order));
	for (position = 0; position < run->member_count; position++) {
		uint32_t other = (uint32_t)pccl_rng_below(run->rng, run->member_count), swap = order[other];

		order[other] = order[position];
		order[position] = swap;
	}
	for (position = 0; position < run->member_count; position++) {
		world_install(run->world, order[position]);
		for (op = 0; op < OPS; op++) {
			uint32_t rank, divisor = run->member_count;

			for (rank = 0; rank < run->member_count; rank++)
				holders[rank] = run->held[op][run->members[rank]];
			if (world_call(run->world, 0, op)->spec.op != pcclAvg)
				divisor = 0;
			if (!run->over[op])
				world_launch_repair(run->world, order[position], op, holders, divisor);
		}
		/* Those who are ahead send to those who are not: that has to wait. */
		world_steps(run->world, (uint32_t)pccl_rng_below(run->rng, 200));
	}
}

static void change_view(struct run *run)
{
	uint32_t op;

	lose_members(run);
	for (op = 0; op < OPS; op++) {
		if (run->over[op])
			continue;
		check_agreement(run, op);
		if (all_complete(run, op))
			commit(run, op);
		else if (pccl_rng_chance(run->rng, 1, 5))
			give_up(run, op);
		else
			let_go_for_repair(run, op);
	}
	go_over(run);
}

static void finish(struct run *run)
{
	uint32_t op, position, segment;

	world_finish(run->world);
	for (op = 0; op < OPS; op++) {
		const struct pccl_geometry *geometry = &world_call(run->world, 0, op)->geometry;
		uint64_t all[WORDS];

		if (run->over[op])
			continue;
		memset(all, 0xff, sizeof(all));
		for (segment = 0; segment < geometry->segment_count; segment++)
			note_final(run, op, segment);
		for (position = 0; position < run->member_count; position++) {
			assert_int_equal(world_call(run->world, run->members[position], op)->result, pcclSuccess);
			check_segments(run, op, run->members[position], all);
		}
	}
	for (op = 0; op < OPS; op++)
		free(run->expected[op]);
	world_destroy(run->world);
}

static void run_seed(uint64_t seed)
{
	static struct run run;
	uint32_t losses;

	start(&run, seed);
	losses = 1 + (uint32_t)pccl_rng_below(run.rng, ROUNDS_MAX - 1);
	for (; losses > 0; losses--) {
		world_steps(run.world, (uint32_t)pccl_rng_below(run.rng, 2500));
		if (run.member_count > 1)
			change_view(&run);
	}
	finish(&run);
}

static void survivors_agree_and_finish_what_was_interrupted(void **state)
{
	uint64_t seed, last;

	(void)state;
	seeds_find(600, &seed, &last);
	for (; seed <= last; seed++)
		run_seed(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(survivors_agree_and_finish_what_was_interrupted, world_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
