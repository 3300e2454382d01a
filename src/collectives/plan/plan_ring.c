/*
 * The ring plan: the partial sum of shard k travels k + 1, k + 2, ... k, everybody adding its input on the way; the
 * result then travels on from k. Reduce-scatter is the first half, all-gather the second.
 *
 * Segments wait at a rank until the next one has room. So that a circle of full ranks can't come about, everybody
 * handles them in the order (row, hops): row is the segment's place in its shard, hops how far its sum has come. The
 * first in this order of all that are unfinished anywhere has been sent by the rank before (its sum there came earlier
 * in the order), and the next rank needs room for at most one other segment of the same place besides it: room for
 * two is enough, whichever of the segments a lane carries.
 */
#include "collectives/plan/plan_build.h"

struct ring {
	uint32_t ranks;
	uint32_t rank;
	uint32_t next;
	uint32_t previous;
	uint32_t rows; /* of the longest shard */
	uint32_t segments;
	bool interleaved; /* all-reduce: segment = row * ranks + shard; else shard * rows + row */
	const uint32_t *to_next;
	const uint32_t *inputs; /* previous, own */
};

static uint32_t shard_of(const struct ring *ring, uint32_t segment)
{
	return ring->interleaved ? segment % ring->ranks : segment / ring->rows;
}

static void fill_sum(const struct ring *ring, uint32_t shard, struct pccl_route *route)
{
	/* 0 at the rank where the sum begins, ranks - 1 at the owner, where it ends. */
	uint32_t hops = (ring->rank + ring->ranks - shard - 1) % ring->ranks;

	if (hops == 0) {
		route->own_to = ring->to_next;
		route->own_to_count = 1;
		return;
	}
	route->inputs = ring->inputs;
	route->input_count = 2;
	route->input_is_sum = hops > 1;
	if (ring->rank != shard)
		route->sum_to = ring->next;
}

static void fill_result(const struct ring *ring, uint32_t shard, struct pccl_route *route)
{
	route->result_needed = true;
	if (ring->rank != shard)
		route->result_from = ring->previous;
	if (ring->next != shard) {
		route->result_to = ring->to_next;
		route->result_to_count = 1;
	}
}

/* Row by row; in each row first the shard that this rank begins, then those that come to it, in the order of coming. */
static void fill_order(const struct ring *ring, uint32_t *order)
{
	uint32_t row, step, index = 0;

	for (row = 0; row < ring->rows; row++) {
		for (step = 1; step <= ring->ranks; step++) {
			uint32_t shard = (ring->rank + ring->ranks - step) % ring->ranks;
			uint32_t segment = ring->interleaved ? row * ring->ranks + shard : shard * ring->rows + row;

			if (segment < ring->segments)
				order[index++] = segment;
		}
	}
}

pcclResult_t pccl_plan_make_ring(const struct pccl_plan_task *task, struct pccl_plan_build *build)
{
	const struct pccl_geometry *geometry = &task->geometry;
	struct ring ring = {.ranks = task->ranks, .rank = task->rank, .segments = geometry->segment_count};
	uint32_t *inputs, *to_next;
	uint32_t segment;
	pcclResult_t result;

	result = pccl_plan_begin(task, ring.segments, 3, build);
	if (result != pcclSuccess)
		return result;
	ring.next = (ring.rank + 1) % ring.ranks;
	ring.previous = (ring.rank + ring.ranks - 1) % ring.ranks;
	ring.interleaved = task->kind == PCCL_ALL_REDUCE;
	ring.rows = ring.interleaved ? (ring.segments + ring.ranks - 1) / ring.ranks : geometry->chunk_segments;
	to_next = pccl_plan_list(build, 1);
	to_next[0] = ring.next;
	ring.to_next = to_next;
	inputs = pccl_plan_list(build, 2);
	inputs[0] = ring.previous;
	inputs[1] = ring.rank;
	ring.inputs = inputs;
	for (segment = 0; segment < ring.segments; segment++) {
		struct pccl_route *route = pccl_plan_add(build, segment, 1);
		uint32_t shard = shard_of(&ring, segment);

		if (task->kind != PCCL_ALL_GATHER)
			fill_sum(&ring, shard, route);
		if (task->kind != PCCL_REDUCE_SCATTER)
			fill_result(&ring, shard, route);
		else
			route->result_needed = ring.rank == shard;
		if (task->kind == PCCL_ALL_GATHER)
			route->result_is_own = ring.rank == shard;
	}
	fill_order(&ring, build->order);
	return pcclSuccess;
}
