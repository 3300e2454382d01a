/* Broadcast. Scatter and all-gather: the root sends shard k to the k-th other rank, which passes it on to the rest, so
 * that everybody's link carries its share. Oneshot: the root sends all to all. */
#include "collectives/plan/plan_build.h"

static pcclResult_t make_oneshot(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	struct pccl_route *route;
	pcclResult_t result;

	result = pccl_plan_begin(task, 1, task->ranks, build);
	if (result != pcclSuccess)
		return result;
	route = pccl_plan_add(build, 0, task->geometry.segment_count);
	route->result_needed = true;
	if (task->rank == task->root) {
		route->result_is_own = true;
		route->result_to = pccl_plan_others(build, PCCL_RANK_NONE, &route->result_to_count);
	} else {
		route->result_from = task->root;
	}
	return pcclSuccess;
}

static void fill_route(const struct pccl_plan_task *task, uint32_t relay, struct pccl_plan_build *build,
		       struct pccl_route *route)
{
	route->result_needed = true;
	if (task->rank == task->root) {
		uint32_t *list = pccl_plan_list(build, 1);

		list[0] = relay;
		route->result_is_own = true;
		route->result_to = list;
		route->result_to_count = 1;
	} else if (task->rank == relay) {
		route->result_from = task->root;
		route->result_to = pccl_plan_others(build, task->root, &route->result_to_count);
	} else {
		route->result_from = relay;
	}
}

pcclResult_t pccl_plan_make_broadcast(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	uint32_t shards = task->ranks - 1;
	uint32_t segments = task->geometry.segment_count;
	uint32_t shard;
	pcclResult_t result;

	if (task->algorithm == pcclPlanOneshot || task->ranks <= 2)
		return make_oneshot(task, build);
	result = pccl_plan_begin(task, shards, 2 * (size_t)task->ranks, build);
	if (result != pcclSuccess)
		return result;
	for (shard = 0; shard < shards; shard++) {
		uint32_t first = pccl_plan_shard_first(segments, shards, shard);
		uint32_t end = pccl_plan_shard_first(segments, shards, shard + 1);
		/* The ranks after the root, so that roots that differ load the links alike. */
		uint32_t relay = (task->root + 1 + shard) % task->ranks;

		if (first < end)
			fill_route(task, relay, build, pccl_plan_add(build, first, end - first));
	}
	return pcclSuccess;
}
