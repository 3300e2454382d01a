/* Gather, scatter, all-to-all, send and receive: every part goes straight from who has it to who gets it. */
#include "collectives/plan/plan_build.h"

/* The other end of a transfer has another rank in another view. */
static void fill_route(const struct pccl_plan_task *task, const struct pccl_part *part, struct pccl_plan_build *build,
		       struct pccl_route *route)
{
	uint32_t other = task->kind == PCCL_TRANSFER ? task->root : part->rank;

	if (part->way == PCCL_PART_RECEIVED) {
		route->result_from = other;
		route->result_needed = true;
		return;
	}
	route->result_is_own = true;
	if (part->way == PCCL_PART_KEPT) {
		route->result_needed = true;
	} else {
		uint32_t *list = pccl_plan_list(build, 1);

		list[0] = other;
		route->result_to = list;
		route->result_to_count = 1;
	}
}

pcclResult_t pccl_plan_make_parts(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	const struct pccl_geometry *geometry = &task->geometry;
	uint32_t index;
	pcclResult_t result;

	result = pccl_plan_begin(task, 2 * (size_t)geometry->part_count, geometry->part_count, build);
	if (result != pcclSuccess)
		return result;
	for (index = 0; index < geometry->part_count; index++) {
		const struct pccl_part *part = &geometry->parts[index];
		uint32_t end = part->first_segment + part->segment_count;
		uint32_t next = index + 1 < geometry->part_count ? part[1].first_segment : geometry->segment_count;

		fill_route(task, part, build, pccl_plan_add(build, part->first_segment, part->segment_count));
		if (end < next) /* numbers that are nobody's */
			(void)pccl_plan_add(build, end, next - end);
	}
	return pcclSuccess;
}
