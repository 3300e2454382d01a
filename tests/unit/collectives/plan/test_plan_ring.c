/* The ring with little room: every rank has room for two sums of a lane, and every order of events must end. */
#include "base/rng.h"
#include "plan_world.h"

#define ROOM 2
#define RING_SEGMENTS_MAX 256

/* One lane of a ring in which every rank has room for two sums. */
struct narrow {
	struct world world;
	uint32_t lane, lanes;
	uint32_t awaited[RANKS_MAX][RING_SEGMENTS_MAX]; /* segments in order of awaiting */
	uint32_t awaited_count[RANKS_MAX];
	uint32_t sending[RANKS_MAX][RING_SEGMENTS_MAX];
	uint32_t sending_count[RANKS_MAX];
	bool here[RANKS_MAX][RING_SEGMENTS_MAX]; /* by segment: the sum has come */
	bool gone[RANKS_MAX][RING_SEGMENTS_MAX]; /* by segment: and has been passed on or become the result */
	uint32_t sent[RANKS_MAX];
	uint32_t finished[RANKS_MAX];
};

static struct narrow narrow;

static void list_lane(uint32_t rank)
{
	const struct pccl_plan *plan = narrow.world.plans[rank];
	uint32_t index;

	narrow.awaited_count[rank] = narrow.sending_count[rank] = 0;
	narrow.sent[rank] = narrow.finished[rank] = 0;
	for (index = 0; index < plan->route_count; index++) {
		const struct pccl_route *route = &plan->routes[plan->order[index]];

		if (route->first_segment % narrow.lanes != narrow.lane)
			continue;
		if (route->input_count > 0)
			narrow.awaited[rank][narrow.awaited_count[rank]++] = route->first_segment;
		if (route->sum_to != PCCL_RANK_NONE || route->own_to_count > 0)
			narrow.sending[rank][narrow.sending_count[rank]++] = route->first_segment;
	}
}

static void finish_one(uint32_t rank, uint32_t segment)
{
	assert_false(narrow.gone[rank][segment]);
	narrow.gone[rank][segment] = true;
	narrow.finished[rank]++;
}

static bool narrow_step(uint32_t rank)
{
	uint32_t next = (rank + 1) % narrow.world.ranks;
	uint32_t index = narrow.sent[rank];
	const struct pccl_route *route;
	uint32_t segment;

	if (index == narrow.sending_count[rank] || index >= narrow.finished[next] + ROOM)
		return false;
	segment = narrow.sending[rank][index];
	route = &narrow.world.plans[rank]->routes[segment];
	if (route->input_count > 0 && !narrow.here[rank][segment])
		return false;
	assert_int_equal(narrow.awaited[next][index], segment);
	narrow.sent[rank]++;
	narrow.here[next][segment] = true;
	if (route->input_count > 0)
		finish_one(rank, segment);
	if (narrow.world.plans[next]->routes[segment].sum_to == PCCL_RANK_NONE)
		finish_one(next, segment);
	return true;
}

static void run_narrow(struct pccl_rng *rng)
{
	uint32_t rank, idle = 0;

	memset(narrow.here, 0, sizeof(narrow.here));
	memset(narrow.gone, 0, sizeof(narrow.gone));
	for (rank = 0; rank < narrow.world.ranks; rank++)
		list_lane(rank);
	while (idle < 40 * narrow.world.ranks) {
		rank = (uint32_t)pccl_rng_below(rng, narrow.world.ranks);
		idle = narrow_step(rank) ? 0 : idle + 1;
	}
	for (rank = 0; rank < narrow.world.ranks; rank++)
		while (narrow_step(rank))
			rank = 0;
	for (rank = 0; rank < narrow.world.ranks; rank++)
		assert_int_equal(narrow.finished[rank], narrow.awaited_count[rank]);
}

static void a_ring_needs_room_for_two_segments_only(void **state)
{
	struct pccl_rng rng;
	uint32_t trial;

	(void)state;
	pccl_rng_seed(&rng, 7);
	for (trial = 0; trial < 300; trial++) {
		uint32_t segments;

		narrow.world.kind = trial % 2 == 0 ? PCCL_ALL_REDUCE : PCCL_REDUCE_SCATTER;
		narrow.world.algorithm = pcclPlanRing;
		narrow.world.ranks = 2 + (uint32_t)pccl_rng_below(&rng, 9);
		segments = 1 + (uint32_t)pccl_rng_below(&rng, 60);
		set_geometry(&narrow.world, trial % 2 == 0 ? segments : 1 + segments % 12);
		make_plans(&narrow.world);
		narrow.lanes = 1 + (uint32_t)pccl_rng_below(&rng, 4);
		for (narrow.lane = 0; narrow.lane < narrow.lanes; narrow.lane++)
			run_narrow(&rng);
		destroy_plans(&narrow.world);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ring_needs_room_for_two_segments_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
