/* Choice of the algorithm, and the memory of plans. */
#include "collectives/plan/plan.h"

#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "collectives/plan/plan_build.h"

/* One hop instead of two pays as long as what everybody sends to everybody fits into the socket buffers at once. */
#define ONESHOT_SENT_BYTES_MAX (96u << 10)
#define ONESHOT_BYTES_MAX (32u << 10)
#define ONESHOT_PAIR_BYTES_MAX (256u << 10) /* of two ranks, of which either sends the whole in any case */
/* With more ranks than this everybody to everybody is more connections than a ring's rounds are worth. */
#define DIRECT_RANKS_MAX 64

pcclPlan_t pccl_plan_choose(enum pccl_collective kind, uint32_t ranks, uint64_t bytes, const struct pccl_links *links)
{
	assert(ranks >= 1 && (links->count == 0 || links->measures[links->count - 1].from < ranks));
	if (kind == PCCL_BARRIER)
		return pcclPlanOneshot;
	if (pccl_collective_moves_parts((int)kind))
		return pcclPlanDirect;
	if (bytes <= ONESHOT_BYTES_MAX && bytes * (ranks - 1) <= ONESHOT_SENT_BYTES_MAX)
		return pcclPlanOneshot;
	if (kind == PCCL_ALL_REDUCE && ranks == 2 && bytes <= ONESHOT_PAIR_BYTES_MAX)
		return pcclPlanOneshot;
	if (kind == PCCL_REDUCE && ranks == 2) /* nothing is won by halves */
		return pcclPlanOneshot;
	if (pccl_collective_has_root((int)kind) || ranks <= DIRECT_RANKS_MAX)
		return pcclPlanDirect;
	return bytes / ranks >= PCCL_SEGMENT_BYTES_MAX ? pcclPlanRing : pcclPlanDirect;
}

uint32_t pccl_plan_shard_first(uint32_t segments, uint32_t shards, uint32_t shard)
{
	return (uint32_t)((uint64_t)segments * shard / shards);
}

pcclResult_t pccl_plan_begin(const struct pccl_plan_task *task, size_t routes, size_t words,
			     struct pccl_plan_build *build_out)
{
	size_t bytes = sizeof(struct pccl_plan) + routes * sizeof(struct pccl_route);
	struct pccl_plan *plan;

	plan = pccl_alloc(bytes + (routes + words) * sizeof(uint32_t));
	if (plan == NULL)
		return pcclOutOfMemory;
	build_out->plan = plan;
	build_out->routes = (struct pccl_route *)(plan + 1);
	build_out->order = (uint32_t *)(build_out->routes + routes);
	build_out->words = build_out->order + routes;
	build_out->routes_left = routes;
	build_out->words_left = words;
	plan->kind = task->kind;
	plan->algorithm = task->algorithm;
	plan->ranks = task->ranks;
	plan->rank = task->rank;
	plan->route_count = 0;
	plan->routes = build_out->routes;
	plan->order = build_out->order;
	return pcclSuccess;
}

struct pccl_route *pccl_plan_add(struct pccl_plan_build *build, uint32_t first_segment, uint32_t segment_count)
{
	uint32_t index = build->plan->route_count;
	struct pccl_route *route = build->routes + index;

	assert(build->routes_left > 0);
	assert(segment_count > 0);
	assert(index == 0 || route[-1].first_segment + route[-1].segment_count == first_segment);
	build->routes_left--;
	build->plan->route_count++;
	build->order[index] = index;
	memset(route, 0, sizeof(*route));
	route->first_segment = first_segment;
	route->segment_count = segment_count;
	route->sum_to = PCCL_RANK_NONE;
	route->result_from = PCCL_RANK_NONE;
	return route;
}

uint32_t *pccl_plan_list(struct pccl_plan_build *build, uint32_t count)
{
	uint32_t *list = build->words;

	assert(build->words_left >= count);
	build->words += count;
	build->words_left -= count;
	return list;
}

const uint32_t *pccl_plan_everyone(struct pccl_plan_build *build)
{
	uint32_t ranks = build->plan->ranks;
	uint32_t *list = pccl_plan_list(build, ranks);
	uint32_t index;

	for (index = 0; index < ranks; index++)
		list[index] = index;
	return list;
}

const uint32_t *pccl_plan_others(struct pccl_plan_build *build, uint32_t without, uint32_t *count_out)
{
	uint32_t ranks = build->plan->ranks;
	uint32_t rank = build->plan->rank;
	bool less = without != rank && without < ranks;
	uint32_t *list = pccl_plan_list(build, ranks - 1 - less);
	uint32_t count = 0, step;

	for (step = 1; step < ranks; step++) {
		uint32_t other = (rank + step) % ranks;

		if (other != without)
			list[count++] = other;
	}
	*count_out = count;
	return list;
}

static bool is_collective(enum pccl_collective kind)
{
	return kind >= PCCL_ALL_REDUCE && kind <= PCCL_TRANSFER;
}

bool pccl_collective_is_alike(int kind)
{
	return kind == PCCL_ALL_REDUCE || kind == PCCL_ALL_GATHER || kind == PCCL_BROADCAST;
}

bool pccl_collective_adds(int kind)
{
	return kind == PCCL_ALL_REDUCE || kind == PCCL_REDUCE_SCATTER || kind == PCCL_REDUCE;
}

bool pccl_collective_has_root(int kind)
{
	return kind == PCCL_BROADCAST || kind == PCCL_REDUCE || kind == PCCL_GATHER || kind == PCCL_SCATTER;
}

bool pccl_collective_moves_parts(int kind)
{
	return kind >= PCCL_GATHER && kind <= PCCL_TRANSFER;
}

/* What an algorithm is for a collective that has no such way: all-gather and reduce-scatter have one hop anyway, and a
 * what has a root goes round no ring. */
static pcclPlan_t algorithm_made(enum pccl_collective kind, pcclPlan_t algorithm, uint32_t ranks)
{
	if (kind == PCCL_BARRIER)
		return pcclPlanOneshot;
	if (pccl_collective_moves_parts((int)kind))
		return pcclPlanDirect;
	if (algorithm == pcclPlanRing && (pccl_collective_has_root((int)kind) || ranks == 1))
		return pcclPlanDirect;
	if (algorithm == pcclPlanOneshot && (kind == PCCL_ALL_GATHER || kind == PCCL_REDUCE_SCATTER))
		return pcclPlanDirect;
	return algorithm;
}

static pcclResult_t make(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	if (task->geometry.segment_count == 0)
		return pccl_plan_begin(task, 0, 0, build);
	if (task->kind == PCCL_BROADCAST)
		return pccl_plan_make_broadcast(task, build);
	if (pccl_collective_moves_parts((int)task->kind))
		return pccl_plan_make_parts(task, build);
	if (task->kind == PCCL_REDUCE)
		return pccl_plan_make_reduce(task, build);
	if (task->algorithm == pcclPlanOneshot && task->kind == PCCL_ALL_REDUCE)
		return pccl_plan_make_oneshot(task, build);
	if (task->algorithm == pcclPlanRing)
		return pccl_plan_make_ring(task, build);
	return pccl_plan_make_direct(task, build);
}

pcclResult_t pccl_plan_create(enum pccl_collective kind, pcclPlan_t algorithm, uint32_t ranks, uint32_t rank,
			      uint32_t root, const struct pccl_geometry *geometry, struct pccl_plan **plan_out)
{
	struct pccl_plan_task task = {kind, algorithm, ranks, rank, root, *geometry};
	struct pccl_plan_build build;
	pcclResult_t result;

	assert(ranks >= 1 && ranks <= PCCL_RANKS_MAX);
	assert(rank < ranks);
	*plan_out = NULL;
	if (!is_collective(kind))
		return pccl_fail(pcclInvalidArgument, "collective %d is unknown", (int)kind);
	if (algorithm != pcclPlanOneshot && algorithm != pcclPlanDirect && algorithm != pcclPlanRing)
		return pccl_fail(pcclInvalidArgument, "plan %d is unknown", (int)algorithm);
	if (pccl_collective_has_root((int)kind) && root >= ranks)
		return pccl_fail(pcclInvalidArgument, "root %u is not a rank of %u", root, ranks);
	task.algorithm = algorithm_made(kind, algorithm, ranks);
	result = make(&task, &build);
	if (result == pcclSuccess)
		*plan_out = build.plan;
	return result;
}

void pccl_plan_destroy(struct pccl_plan *plan)
{
	pccl_free(plan);
}
