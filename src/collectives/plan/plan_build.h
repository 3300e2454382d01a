/* How plans are made: the memory of one plan, and the algorithms that fill it. For plan*.c only. */
#ifndef PCCL_COLLECTIVES_PLAN_BUILD_H
#define PCCL_COLLECTIVES_PLAN_BUILD_H

#include "collectives/plan/plan.h"

/* A plan that is being filled: routes and lists are taken one after the other from one allocation. */
struct pccl_plan_build {
	struct pccl_plan *plan;
	struct pccl_route *routes;
	uint32_t *order;
	uint32_t *words; /* for the lists */
	size_t routes_left;
	size_t words_left;
};

/* What every algorithm is told. */
struct pccl_plan_task {
	enum pccl_collective kind;
	pcclPlan_t algorithm;
	uint32_t ranks;
	uint32_t rank;
	uint32_t root;
	struct pccl_geometry geometry;
};

/* Allocates a plan without routes with room for so many routes and words of lists. */
pcclResult_t pccl_plan_begin(const struct pccl_plan_task *task, size_t routes, size_t words,
			     struct pccl_plan_build *build_out);

/* Appends a route: nothing is sent, awaited or needed yet. */
struct pccl_route *pccl_plan_add(struct pccl_plan_build *build, uint32_t first_segment, uint32_t segment_count);

/* Takes room for a list. */
uint32_t *pccl_plan_list(struct pccl_plan_build *build, uint32_t count);

/* A list of all ranks from 0. */
const uint32_t *pccl_plan_everyone(struct pccl_plan_build *build);

/* The next ranks after this one, round to the last before it; `without` (PCCL_RANK_NONE: nobody) is left out. */
const uint32_t *pccl_plan_others(struct pccl_plan_build *build, uint32_t without, uint32_t *count_out);

/* First segment of a shard, when all segments are spread over `shards` runs; shard == shards gives the end. */
uint32_t pccl_plan_shard_first(uint32_t segments, uint32_t shards, uint32_t shard);

/* Each makes the whole plan of one rank. */
pcclResult_t pccl_plan_make_direct(const struct pccl_plan_task *task, struct pccl_plan_build *build);
pcclResult_t pccl_plan_make_oneshot(const struct pccl_plan_task *task, struct pccl_plan_build *build);
pcclResult_t pccl_plan_make_ring(const struct pccl_plan_task *task, struct pccl_plan_build *build);
pcclResult_t pccl_plan_make_broadcast(const struct pccl_plan_task *task, struct pccl_plan_build *build);
pcclResult_t pccl_plan_make_reduce(const struct pccl_plan_task *task, struct pccl_plan_build *build);
pcclResult_t pccl_plan_make_parts(const struct pccl_plan_task *task, struct pccl_plan_build *build);

#endif
