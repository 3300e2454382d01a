/* All plans of all ranks, run symbolically: a value lists the ranks whose inputs are in it, as they were added. */
#include <pccl.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/rng.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "plan_world.h"

#define OLD_RESULT 255 /* count of a value that stands for a result from before a repair */

struct value {
	uint8_t count; /* 0: not there */
	uint8_t ranks[RANKS_MAX];
};

/* What one rank has of one segment. */
struct place {
	struct value inputs[RANKS_MAX]; /* by the rank that sent it */
	bool input_is_sum[RANKS_MAX];
	uint32_t inputs_here;
	struct value result;
	bool started; /* has sent its own input */
	bool added;
	bool passed_on;
};

static struct place places[RANKS_MAX];

static bool is_in(const uint32_t *list, uint32_t count, uint32_t rank)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		if (list[index] == rank)
			return true;
	return false;
}

/* Someone who sends must be awaited, once. */
static void give_input(const struct world *world, uint32_t from, uint32_t to, const struct value *value, bool is_sum)
{
	const struct pccl_route *route = world->now[to];

	assert_int_not_equal(from, to);
	assert_true(is_in(route->inputs, route->input_count, from));
	assert_int_equal(places[to].inputs[from].count, 0);
	assert_int_equal(route->input_is_sum, is_sum);
	places[to].inputs[from] = *value;
	places[to].inputs_here++;
}

static void give_result(const struct world *world, uint32_t from, uint32_t to, const struct value *value)
{
	assert_int_not_equal(from, to);
	assert_int_equal(world->now[to]->result_from, from);
	assert_int_equal(places[to].result.count, 0);
	places[to].result = *value;
}

static void send_own(const struct world *world, uint32_t rank)
{
	const struct pccl_route *route = world->now[rank];
	struct value own = {1, {(uint8_t)rank}};
	uint32_t index;

	places[rank].started = true;
	for (index = 0; index < route->own_to_count; index++)
		give_input(world, rank, route->own_to[index], &own, false);
	if (is_in(route->inputs, route->input_count, rank)) {
		places[rank].inputs[rank] = own;
		places[rank].inputs_here++;
	}
	if (route->result_is_own) {
		assert_int_equal(route->result_from, PCCL_RANK_NONE);
		places[rank].result = own;
	}
}

static void add(const struct world *world, uint32_t rank)
{
	const struct pccl_route *route = world->now[rank];
	struct value sum = {0, {0}};
	uint32_t index, part;

	places[rank].added = true;
	for (index = 0; index < route->input_count; index++) {
		const struct value *input = &places[rank].inputs[route->inputs[index]];

		for (part = 0; part < input->count; part++) {
			assert_true(sum.count < RANKS_MAX);
			sum.ranks[sum.count++] = input->ranks[part];
		}
	}
	if (route->sum_to != PCCL_RANK_NONE) {
		give_input(world, rank, route->sum_to, &sum, true);
		return;
	}
	assert_int_equal(route->result_from, PCCL_RANK_NONE);
	places[rank].result = sum;
}

static void pass_on(const struct world *world, uint32_t rank)
{
	const struct pccl_route *route = world->now[rank];
	uint32_t index;

	places[rank].passed_on = true;
	for (index = 0; index < route->result_to_count; index++)
		give_result(world, rank, route->result_to[index], &places[rank].result);
}

static bool step(const struct world *world, uint32_t rank)
{
	const struct pccl_route *route = world->now[rank];
	struct place *place = &places[rank];
	bool moved = false;

	if (!place->started) {
		send_own(world, rank);
		moved = true;
	}
	if (!place->added && route->input_count > 0 && place->inputs_here == route->input_count) {
		add(world, rank);
		moved = true;
	}
	if (!place->passed_on && place->result.count > 0) {
		pass_on(world, rank);
		moved = true;
	}
	return moved;
}

/* The routes are asked for in ascending order of segments. */
static void find_routes(struct world *world, uint32_t segment)
{
	uint32_t rank;

	for (rank = 0; rank < world->ranks; rank++) {
		const struct pccl_plan *plan = world->plans[rank];
		const struct pccl_route *route = &plan->routes[world->next_route[rank]];

		if (segment == 0 || segment == route->first_segment + route->segment_count) {
			world->next_route[rank] = segment == 0 ? 0 : world->next_route[rank] + 1;
			assert_true(world->next_route[rank] < plan->route_count);
			route = &plan->routes[world->next_route[rank]];
			assert_int_equal(route->first_segment, segment);
			assert_true(route->segment_count > 0);
		}
		world->now[rank] = route;
	}
}

static void run_segment(const struct world *world)
{
	bool moved = true;
	uint32_t rank;

	while (moved) {
		moved = false;
		for (rank = 0; rank < world->ranks; rank++)
			moved = step(world, rank) || moved;
	}
	for (rank = 0; rank < world->ranks; rank++) {
		/* Nobody waits for something that never came. */
		assert_int_equal(places[rank].inputs_here, world->now[rank]->input_count);
		if (world->now[rank]->result_from != PCCL_RANK_NONE || world->now[rank]->result_needed)
			assert_int_not_equal(places[rank].result.count, 0);
	}
}

static void clear_places(const struct world *world)
{
	memset(places, 0, world->ranks * sizeof(places[0]));
}

static uint32_t shard_owner(const struct world *world, uint32_t segment)
{
	if (world->kind != PCCL_ALL_REDUCE)
		return segment / world->geometry.chunk_segments;
	return segment % world->ranks; /* of a ring */
}

/* The value that the op must have: which inputs, in which order. */
static void expect(const struct world *world, uint32_t segment, struct value *value_out)
{
	uint32_t first = 0, index;

	if (world->kind == PCCL_BROADCAST || world->kind == PCCL_ALL_GATHER) {
		value_out->count = 1;
		value_out->ranks[0] =
			(uint8_t)(world->kind == PCCL_BROADCAST ? world->root : shard_owner(world, segment));
		return;
	}
	if (world->algorithm == pcclPlanRing && world->kind != PCCL_REDUCE)
		first = shard_owner(world, segment) + 1;
	if (world->ranks == 1)
		first = 0;
	value_out->count = (uint8_t)world->ranks;
	for (index = 0; index < world->ranks; index++)
		value_out->ranks[index] = (uint8_t)((first + index) % world->ranks);
}

static void check_results(const struct world *world, uint32_t segment)
{
	struct value expected;
	uint32_t rank;

	expect(world, segment, &expected);
	for (rank = 0; rank < world->ranks; rank++) {
		bool needed = world->kind == PCCL_REDUCE
				      ? rank == world->root
				      : world->kind != PCCL_REDUCE_SCATTER || rank == shard_owner(world, segment);

		assert_int_equal(world->now[rank]->result_needed, needed);
		if (!needed)
			continue;
		assert_int_equal(places[rank].result.count, expected.count);
		assert_memory_equal(places[rank].result.ranks, expected.ranks, expected.count);
	}
}

static void check_order_is_permutation(const struct pccl_plan *plan)
{
	uint64_t *seen = pccl_calloc(pccl_bitmap_words(plan->route_count) + 1, sizeof(*seen));
	uint32_t index;

	assert_non_null(seen);
	for (index = 0; index < plan->route_count; index++) {
		assert_true(plan->order[index] < plan->route_count);
		pccl_bitmap_set(seen, plan->order[index]);
	}
	assert_int_equal(bits_set(seen, plan->route_count), plan->route_count);
	pccl_free(seen);
}

static bool sends_to(const struct pccl_route *route, uint32_t to)
{
	return route->sum_to == to || is_in(route->own_to, route->own_to_count, to);
}

/* What one sends in its order the other awaits in the same order. */
static void check_orders_agree(const struct world *world, uint32_t from, uint32_t to)
{
	const struct pccl_plan *a = world->plans[from], *b = world->plans[to];
	uint32_t i = 0, j = 0;

	for (;;) {
		while (i < a->route_count && !sends_to(&a->routes[a->order[i]], to))
			i++;
		while (j < b->route_count &&
		       !is_in(b->routes[b->order[j]].inputs, b->routes[b->order[j]].input_count, from))
			j++;
		if (i == a->route_count || j == b->route_count)
			break;
		assert_int_equal(a->routes[a->order[i]].first_segment, b->routes[b->order[j]].first_segment);
		i++;
		j++;
	}
	assert_int_equal(i, a->route_count);
	assert_int_equal(j, b->route_count);
}

static void check_world(struct world *world, uint32_t segments)
{
	uint32_t segment, rank;

	set_geometry(world, segments);
	make_plans(world);
	for (segment = 0; segment < world->geometry.segment_count; segment++) {
		clear_places(world);
		find_routes(world, segment);
		run_segment(world);
		check_results(world, segment);
	}
	for (rank = 0; rank < world->ranks; rank++) {
		const struct pccl_plan *plan = world->plans[rank];
		const struct pccl_route *last = &plan->routes[plan->route_count - 1];

		check_order_is_permutation(plan);
		if (segments == 0)
			assert_int_equal(plan->route_count, 0);
		else
			assert_int_equal(last->first_segment + last->segment_count, world->geometry.segment_count);
		if (world->ranks > 1)
			check_orders_agree(world, rank, (rank + 1) % world->ranks);
		if (world->ranks > 2)
			check_orders_agree(world, rank, (rank + world->ranks / 2) % world->ranks);
	}
	destroy_plans(world);
}

static const pcclPlan_t algorithms[] = {pcclPlanOneshot, pcclPlanDirect, pcclPlanRing};

static void check_reduction(enum pccl_collective kind, uint32_t few, uint32_t many_per_rank)
{
	struct world world = {.kind = kind};
	size_t a;

	for (world.ranks = 1; world.ranks <= RANKS_MAX; world.ranks++) {
		for (a = 0; a < 3; a++) {
			world.algorithm = algorithms[a];
			check_world(&world, 0);
			check_world(&world, 1);
			check_world(&world, few);
			if (many_per_rank > 0)
				check_world(&world, world.ranks * many_per_rank + 1);
		}
	}
}

static void all_reduce_adds_everything_once_in_the_stated_order(void **state)
{
	(void)state;
	check_reduction(PCCL_ALL_REDUCE, 7, 1);
}

static void reduce_scatter_gives_every_rank_its_part(void **state)
{
	(void)state;
	check_reduction(PCCL_REDUCE_SCATTER, 2, 0);
}

static void all_gather_gives_everybody_every_part(void **state)
{
	(void)state;
	check_reduction(PCCL_ALL_GATHER, 2, 0);
}

static void check_roots(enum pccl_collective kind)
{
	struct world world = {.kind = kind};
	size_t a;

	for (world.ranks = 1; world.ranks <= RANKS_MAX; world.ranks++) {
		for (a = 0; a < 3; a++) {
			world.algorithm = algorithms[a];
			for (world.root = 0; world.root < world.ranks; world.root += world.ranks / 8 + 1) {
				check_world(&world, 1);
				check_world(&world, world.ranks);
				check_world(&world, 2 * world.ranks - 1);
			}
		}
	}
}

static void broadcast_and_reduce_serve_every_root(void **state)
{
	(void)state;
	check_roots(PCCL_BROADCAST);
	check_roots(PCCL_REDUCE);
}

static void barrier_has_no_routes(void **state)
{
	struct world world = {.kind = PCCL_BARRIER, .algorithm = pcclPlanOneshot, .ranks = 5};

	(void)state;
	check_world(&world, 0);
}

/* ---- repair ---------------------------------------------------------------------------------------------------------
 */

struct broken {
	struct world world;
	uint64_t bits[RANKS_MAX][4];
	const uint64_t *holders[RANKS_MAX];
};

static void break_op(struct broken *broken, struct pccl_rng *rng)
{
	uint32_t density = (uint32_t)pccl_rng_below(rng, 5);
	uint32_t rank, segment;

	memset(broken->bits, 0, sizeof(broken->bits));
	for (rank = 0; rank < broken->world.ranks; rank++) {
		/* Some ranks are all alike, as after a loss in the middle; some have nothing. */
		if (rank > 0 && pccl_rng_chance(rng, 1, 3))
			memcpy(broken->bits[rank], broken->bits[rank - 1], sizeof(broken->bits[rank]));
		for (segment = 0; segment < broken->world.geometry.segment_count; segment++)
			if (pccl_rng_chance(rng, density, 8))
				pccl_bitmap_set(broken->bits[rank], segment);
		broken->holders[rank] = pccl_rng_chance(rng, 1, 6) ? NULL : broken->bits[rank];
	}
}

static void check_repaired(const struct broken *broken, uint32_t segment)
{
	const struct world *world = &broken->world;
	bool known = false;
	uint32_t rank;

	for (rank = 0; rank < world->ranks; rank++)
		known = known || (broken->holders[rank] != NULL && pccl_bitmap_test(broken->holders[rank], segment));
	for (rank = 0; rank < world->ranks; rank++) {
		assert_int_equal(places[rank].result.count, known ? OLD_RESULT : world->ranks);
		if (known)
			assert_int_equal(places[rank].inputs_here, 0);
		else
			assert_int_equal(places[rank].result.ranks[world->ranks - 1], world->ranks - 1);
	}
}

static void plan_repair(struct world *world, uint32_t rank, const uint64_t *const *held)
{
	const struct pccl_plan_holders holders = {world->geometry.segment_count, world->ranks, held};

	assert_int_equal(pccl_plan_create_repair(PCCL_ALL_REDUCE, world->ranks, rank, &world->geometry, &holders,
						 &world->plans[rank]),
			 pcclSuccess);
}

static void repair_resends_what_somebody_holds_and_redoes_the_rest(void **state)
{
	static struct broken broken;
	struct pccl_rng rng;
	uint32_t trial, rank, segment;

	(void)state;
	pccl_rng_seed(&rng, 11);
	for (trial = 0; trial < 2000; trial++) {
		struct world *world = &broken.world;

		world->kind = PCCL_ALL_REDUCE;
		world->ranks = 1 + (uint32_t)pccl_rng_below(&rng, trial % 50 == 0 ? RANKS_MAX : 9);
		set_geometry(world, (uint32_t)pccl_rng_below(&rng, 200));
		break_op(&broken, &rng);
		for (rank = 0; rank < world->ranks; rank++)
			plan_repair(world, rank, broken.holders);
		for (segment = 0; segment < world->geometry.segment_count; segment++) {
			clear_places(world);
			for (rank = 0; rank < world->ranks; rank++)
				if (broken.holders[rank] != NULL && pccl_bitmap_test(broken.holders[rank], segment))
					places[rank].result.count = OLD_RESULT;
			find_routes(world, segment);
			run_segment(world);
			check_repaired(&broken, segment);
		}
		for (rank = 0; rank + 1 < world->ranks; rank++)
			check_orders_agree(world, rank, rank + 1);
		destroy_plans(world);
	}
}

static void repair_spreads_the_lost_segments_over_all(void **state)
{
	struct world world = {.kind = PCCL_ALL_REDUCE, .ranks = 4};
	const uint64_t *holders[4] = {NULL, NULL, NULL, NULL};
	uint32_t rank;

	(void)state;
	set_geometry(&world, 100);
	for (rank = 0; rank < 4; rank++) {
		const struct pccl_plan *plan;

		plan_repair(&world, rank, holders);
		plan = world.plans[rank];
		assert_int_equal(plan->route_count, 4);
		assert_int_equal(plan->routes[rank].input_count, 4);
		assert_int_equal(plan->routes[rank].segment_count, 25);
	}
	destroy_plans(&world);
}

/* What the others repair may be another op than this peer's: their bitmaps are not to be read as if they were of it. */
static void only_the_op_that_was_found_is_repaired(void **state)
{
	const uint64_t *held[3] = {NULL, NULL, NULL};
	struct pccl_plan_holders holders = {.segment_count = 99, .rank_count = 3, .held = held};
	struct world world = {.kind = PCCL_ALL_REDUCE, .ranks = 3};
	struct pccl_plan *plan;

	(void)state;
	set_geometry(&world, 100);
	assert_int_equal(pccl_plan_create_repair(PCCL_ALL_REDUCE, 3, 1, &world.geometry, &holders, &plan),
			 pcclMismatch);
	assert_null(plan);
	holders.segment_count = 100;
	assert_int_equal(pccl_plan_create_repair(PCCL_BROADCAST, 3, 1, &world.geometry, &holders, &plan), pcclMismatch);
	assert_null(plan);
	holders.rank_count = 2;
	assert_int_equal(pccl_plan_create_repair(PCCL_ALL_REDUCE, 3, 1, &world.geometry, &holders, &plan),
			 pcclMismatch);
	assert_null(plan);
}

/* ---- choice, errors, printing ------------------------------------------------------------------------------------ */

static void nonsense_is_refused(void **state)
{
	struct pccl_geometry g;
	struct pccl_plan *plan;

	(void)state;
	pccl_geometry_cut(PCCL_ALL_REDUCE, 2, 1000, 4, 64, &g);
	assert_int_equal(pccl_plan_create(PCCL_ALL_REDUCE, pcclPlanAuto, 2, 0, 0, &g, &plan), pcclInvalidArgument);
	assert_null(plan);
	assert_string_not_equal(pccl_fail_text(), "");
	assert_int_equal(pccl_plan_create((enum pccl_collective)11, pcclPlanRing, 2, 0, 0, &g, &plan),
			 pcclInvalidArgument);
	assert_int_equal(pccl_plan_create(PCCL_BROADCAST, pcclPlanDirect, 2, 0, 2, &g, &plan), pcclInvalidArgument);
	assert_int_equal(pccl_plan_create(PCCL_REDUCE, pcclPlanDirect, 2, 0, 2, &g, &plan), pcclInvalidArgument);
}

static void small_ops_take_one_hop_and_large_ones_two(void **state)
{
	const struct pccl_links links = {0, NULL};

	(void)state;
	assert_int_equal(pccl_plan_choose(PCCL_ALL_REDUCE, 4, 4096, &links), pcclPlanOneshot);
	assert_int_equal(pccl_plan_choose(PCCL_ALL_REDUCE, 4, 1 << 20, &links), pcclPlanDirect);
	assert_int_equal(pccl_plan_choose(PCCL_ALL_REDUCE, 64, 4096, &links), pcclPlanDirect);
	assert_int_equal(pccl_plan_choose(PCCL_ALL_REDUCE, 2, 256 << 10, &links), pcclPlanOneshot);
	assert_int_equal(pccl_plan_choose(PCCL_ALL_REDUCE, 2, (256 << 10) + 1, &links), pcclPlanDirect);
	assert_int_equal(pccl_plan_choose(PCCL_ALL_REDUCE, 256, 1u << 30, &links), pcclPlanRing);
	assert_int_equal(pccl_plan_choose(PCCL_BROADCAST, 256, 1u << 30, &links), pcclPlanDirect);
	assert_int_equal(pccl_plan_choose(PCCL_REDUCE, 256, 1u << 30, &links), pcclPlanDirect);
	assert_int_equal(pccl_plan_choose(PCCL_REDUCE, 2, 1u << 30, &links), pcclPlanOneshot);
	assert_int_equal(pccl_plan_choose(PCCL_BARRIER, 256, 0, &links), pcclPlanOneshot);
}

/* What is told to the caller is what was done. */
static void a_plan_says_which_way_it_goes(void **state)
{
	const struct {
		enum pccl_collective kind;
		pcclPlan_t asked, made;
	} cases[] = {
		{PCCL_ALL_REDUCE, pcclPlanRing, pcclPlanRing},
		{PCCL_BROADCAST, pcclPlanRing, pcclPlanDirect},
		{PCCL_ALL_GATHER, pcclPlanOneshot, pcclPlanDirect},
		{PCCL_REDUCE_SCATTER, pcclPlanRing, pcclPlanRing},
		{PCCL_BROADCAST, pcclPlanOneshot, pcclPlanOneshot},
		{PCCL_BARRIER, pcclPlanDirect, pcclPlanOneshot},
		{PCCL_REDUCE_SCATTER, pcclPlanOneshot, pcclPlanDirect},
		{PCCL_REDUCE, pcclPlanRing, pcclPlanDirect},
		{PCCL_REDUCE, pcclPlanOneshot, pcclPlanOneshot},
	};
	struct pccl_geometry g;
	struct pccl_plan *plan;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pccl_geometry_cut(cases[i].kind, 3, 3000, 4, 1, &g);
		assert_int_equal(pccl_plan_create(cases[i].kind, cases[i].asked, 3, 0, 0, &g, &plan), pcclSuccess);
		assert_int_equal(plan->algorithm, cases[i].made);
		pccl_plan_destroy(plan);
	}
}

static void a_printed_plan_reads_like_one(void **state)
{
	struct world world = {.kind = PCCL_ALL_REDUCE, .algorithm = pcclPlanDirect, .ranks = 3};
	char text[512], cut[10];
	size_t length;

	(void)state;
	set_geometry(&world, 6);
	make_plans(&world);
	length = pccl_plan_print(world.plans[1], text, sizeof(text));
	assert_string_equal(text, "all-reduce, direct, rank 1 of 3\n"
				  "  segments 0-1; own input to 0; result from 0\n"
				  "  segments 2-3; add 0 1 2; result to 2 0\n"
				  "  segments 4-5; own input to 2; result from 2\n");
	assert_int_equal(length, strlen(text));
	assert_int_equal(pccl_plan_print(world.plans[1], cut, sizeof(cut)), length);
	assert_string_equal(cut, "all-reduc");
	assert_int_equal(pccl_plan_print(world.plans[1], NULL, 0), length);
	destroy_plans(&world);
	set_geometry(&world, 3);
	make_plans(&world);
	(void)pccl_plan_print(world.plans[1], text, sizeof(text));
	assert_non_null(strstr(text, "\n  segment 1; add 0 1 2; result to 2 0\n"));
	destroy_plans(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_reduce_adds_everything_once_in_the_stated_order),
		cmocka_unit_test(reduce_scatter_gives_every_rank_its_part),
		cmocka_unit_test(all_gather_gives_everybody_every_part),
		cmocka_unit_test(broadcast_and_reduce_serve_every_root),
		cmocka_unit_test(barrier_has_no_routes),
		cmocka_unit_test(repair_resends_what_somebody_holds_and_redoes_the_rest),
		cmocka_unit_test(repair_spreads_the_lost_segments_over_all),
		cmocka_unit_test(only_the_op_that_was_found_is_repaired),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(small_ops_take_one_hop_and_large_ones_two),
		cmocka_unit_test(a_plan_says_which_way_it_goes),
		cmocka_unit_test(a_printed_plan_reads_like_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
