/* The plans of all ranks of one op, for tests that execute them symbolically. */
#ifndef PCCL_TESTS_COLLECTIVES_PLAN_WORLD_H
#define PCCL_TESTS_COLLECTIVES_PLAN_WORLD_H

#include <string.h>

#include "collectives/plan/plan.h"
#include "lib/check.h"

#define RANKS_MAX 64

/* All ranks' plans of one op. */
struct world {
	enum pccl_collective kind;
	pcclPlan_t algorithm;
	uint32_t ranks;
	uint32_t root;
	struct pccl_geometry geometry;
	struct pccl_plan *plans[RANKS_MAX];
	const struct pccl_route *now[RANKS_MAX]; /* of the segment that is being executed */
	uint32_t next_route[RANKS_MAX];
};

static inline void set_geometry(struct world *world, uint32_t segments)
{
	struct pccl_geometry *g = &world->geometry;

	memset(g, 0, sizeof(*g));
	g->segment_elements = 64;
	g->chunk_count = world->kind == PCCL_REDUCE_SCATTER || world->kind == PCCL_ALL_GATHER ? world->ranks : 1;
	g->chunk_segments = segments;
	g->chunk_elements = segments == 0 ? 0 : segments * 64 - 5;
	g->segment_count = g->chunk_count * segments;
}

static inline void make_plans(struct world *world)
{
	uint32_t rank;

	for (rank = 0; rank < world->ranks; rank++)
		assert_int_equal(pccl_plan_create(world->kind, world->algorithm, world->ranks, rank, world->root,
						  &world->geometry, &world->plans[rank]),
				 pcclSuccess);
}

static inline void destroy_plans(struct world *world)
{
	uint32_t rank;

	for (rank = 0; rank < world->ranks; rank++)
		pccl_plan_destroy(world->plans[rank]);
}

#endif
