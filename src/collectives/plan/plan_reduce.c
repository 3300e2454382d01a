/* Reduce. Reduce-scatter and gather: shard k belongs to rank k, which adds it and sends the result to the root, so that
 * no link carries more than twice the buffer. Oneshot: the root adds what all send it. */
#include "collectives/plan/plan_build.h"

static const uint32_t *only(struct pccl_plan_build *build, uint32_t rank)
{
	uint32_t *list = pccl_plan_list(build, 1);

	list[0] = rank;
	return list;
}

/* The owner adds, for itself or for the root. */
static void fill_route(const struct pccl_plan_task *task, uint32_t owner, struct pccl_plan_build *build,
		       const uint32_t *everyone, struct pccl_route *route)
{
	route->result_needed = task->rank == task->root;
	if (task->rank != owner) {
		route->own_to = only(build, owner);
		route->own_to_count = 1;
		if (task->rank == task->root)
			route->result_from = owner;
		return;
	}
	route->inputs = everyone;
	route->input_count = task->ranks;
	if (owner != task->root) {
		route->result_to = only(build, task->root);
		route->result_to_count = 1;
	}
}

pcclResult_t pccl_plan_make_reduce(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	bool one = task->algorithm == pcclPlanOneshot;
	uint32_t shards = one ? 1 : task->ranks;
	uint32_t segments = task->geometry.segment_count, shard;
	const uint32_t *everyone;
	pcclResult_t result;

	result = pccl_plan_begin(task, shards, 2 * (size_t)task->ranks, build);
	if (result != pcclSuccess)
		return result;
	everyone = pccl_plan_everyone(build);
	for (shard = 0; shard < shards; shard++) {
		uint32_t first = pccl_plan_shard_first(segments, shards, shard);
		uint32_t end = pccl_plan_shard_first(segments, shards, shard + 1);

		if (first < end)
			fill_route(task, one ? task->root : shard, build, everyone,
				   pccl_plan_add(build, first, end - first));
	}
	return pcclSuccess;
}
