/* The oneshot plan of an all-reduce: everybody sends everything to everybody and adds everything in rank order. */
#include "collectives/plan/plan_build.h"

pcclResult_t pccl_plan_make_oneshot(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	struct pccl_route *route;
	pcclResult_t result;

	result = pccl_plan_begin(task, 1, 2 * (size_t)task->ranks, build);
	if (result != pcclSuccess)
		return result;
	route = pccl_plan_add(build, 0, task->geometry.segment_count);
	route->inputs = pccl_plan_everyone(build);
	route->input_count = task->ranks;
	route->own_to = pccl_plan_others(build, PCCL_RANK_NONE, &route->own_to_count);
	route->result_needed = true;
	return pcclSuccess;
}
