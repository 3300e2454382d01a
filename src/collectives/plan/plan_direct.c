/* The direct plan: shard k belongs to rank k. Everybody sends it its part, it adds them in rank order, and sends the
 * result to all. Reduce-scatter is the first half of it, all-gather the second; their chunks are the shards. */
#include "collectives/plan/plan_build.h"

struct lists {
	const uint32_t *everyone;
	const uint32_t *others;
	uint32_t other_count;
};

static void reduce_here(const struct pccl_plan_task *task, const struct lists *lists, struct pccl_route *route)
{
	route->inputs = lists->everyone;
	route->input_count = task->ranks;
	route->result_needed = true;
	if (task->kind == PCCL_ALL_REDUCE) {
		route->result_to = lists->others;
		route->result_to_count = lists->other_count;
	}
}

static void reduce_there(const struct pccl_plan_task *task, uint32_t owner, struct pccl_plan_build *build,
			 struct pccl_route *route)
{
	uint32_t *own_to = pccl_plan_list(build, 1);

	own_to[0] = owner;
	route->own_to = own_to;
	route->own_to_count = 1;
	if (task->kind == PCCL_ALL_REDUCE) {
		route->result_from = owner;
		route->result_needed = true;
	}
}

static void gather(const struct pccl_plan_task *task, const struct lists *lists, uint32_t owner,
		   struct pccl_route *route)
{
	route->result_needed = true;
	if (owner == task->rank) {
		route->result_is_own = true;
		route->result_to = lists->others;
		route->result_to_count = lists->other_count;
	} else {
		route->result_from = owner;
	}
}

pcclResult_t pccl_plan_make_direct(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	uint32_t ranks = task->ranks;
	uint32_t segments = task->geometry.segment_count;
	struct lists lists;
	uint32_t owner;
	pcclResult_t result;

	result = pccl_plan_begin(task, ranks, 3 * (size_t)ranks, build);
	if (result != pcclSuccess)
		return result;
	lists.everyone = pccl_plan_everyone(build);
	lists.others = pccl_plan_others(build, PCCL_RANK_NONE, &lists.other_count);
	for (owner = 0; owner < ranks; owner++) {
		uint32_t first = pccl_plan_shard_first(segments, ranks, owner);
		uint32_t end = pccl_plan_shard_first(segments, ranks, owner + 1);
		struct pccl_route *route;

		if (first == end)
			continue;
		route = pccl_plan_add(build, first, end - first);
		if (task->kind == PCCL_ALL_GATHER)
			gather(task, &lists, owner, route);
		else if (owner == task->rank)
			reduce_here(task, &lists, route);
		else
			reduce_there(task, owner, build, route);
	}
	return pcclSuccess;
}
