/* The plan that finishes an interrupted all-reduce in a smaller view. */
#include <assert.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "collectives/plan/plan_build.h"

/* So many segments in a row have the same sender, so that routes stay few and all holders have work. */
#define SENDER_RUN 16

struct repair {
	uint32_t ranks;
	uint32_t rank;
	uint32_t segments;
	const uint64_t *const *holders;
	uint32_t lost;	    /* segments whose result nobody holds */
	uint32_t lost_seen; /* of them, before the current segment */
};

/* How one segment travels. */
struct way {
	bool held;	 /* by somebody */
	uint32_t sender; /* of the result: a holder, or who reduces it */
};

static bool holds(const struct repair *repair, uint32_t rank, uint32_t segment)
{
	const uint64_t *bitmap = repair->holders[rank];

	return bitmap != NULL && pccl_bitmap_test(bitmap, segment);
}

static uint32_t count_holders(const struct repair *repair, uint32_t segment)
{
	uint32_t rank, count = 0;

	for (rank = 0; rank < repair->ranks; rank++)
		count += holds(repair, rank, segment);
	return count;
}

static uint32_t nth_holder(const struct repair *repair, uint32_t segment, uint32_t nth)
{
	uint32_t rank;

	for (rank = 0; rank < repair->ranks; rank++)
		if (holds(repair, rank, segment) && nth-- == 0)
			return rank;
	assert(false); /* `nth` is below count_holders(), so they hold it whatever they said */
	return PCCL_RANK_NONE;
}

/* To be called for the segments in ascending order. */
static struct way next_way(struct repair *repair, uint32_t segment)
{
	uint32_t count = count_holders(repair, segment);
	struct way way;

	way.held = count > 0;
	if (way.held)
		way.sender = nth_holder(repair, segment, segment / SENDER_RUN % count);
	else
		way.sender = (uint32_t)((uint64_t)repair->lost_seen++ * repair->ranks / repair->lost);
	return way;
}

static bool same_way(const struct repair *repair, const struct way *a, uint32_t segment_a, const struct way *b,
		     uint32_t segment_b)
{
	uint32_t rank;

	if (a->held != b->held || a->sender != b->sender)
		return false;
	for (rank = 0; a->held && rank < repair->ranks; rank++)
		if (holds(repair, rank, segment_a) != holds(repair, rank, segment_b))
			return false;
	return true;
}

static void fill_reduced(const struct repair *repair, const struct way *way, const uint32_t *everyone,
			 const uint32_t *others, struct pccl_plan_build *build, struct pccl_route *route)
{
	uint32_t *own_to;

	if (way->sender == repair->rank) {
		route->inputs = everyone;
		route->input_count = repair->ranks;
		route->result_to = others;
		route->result_to_count = repair->ranks - 1;
		return;
	}
	own_to = pccl_plan_list(build, 1);
	own_to[0] = way->sender;
	route->own_to = own_to;
	route->own_to_count = 1;
	route->result_from = way->sender;
}

static void fill_resent(const struct repair *repair, const struct way *way, const uint32_t *others,
			struct pccl_plan_build *build, struct pccl_route *route)
{
	uint32_t *list;
	uint32_t index, count;

	if (way->sender != repair->rank) {
		if (!holds(repair, repair->rank, route->first_segment))
			route->result_from = way->sender;
		return;
	}
	count = repair->ranks - count_holders(repair, route->first_segment);
	list = pccl_plan_list(build, count);
	route->result_to = list;
	for (index = 0; index < repair->ranks - 1; index++)
		if (!holds(repair, others[index], route->first_segment))
			list[route->result_to_count++] = others[index];
	assert(route->result_to_count == count);
}

/* How many routes, and words of lists besides the common two, the plan has. */
static void measure(struct repair *repair, size_t *routes_out, size_t *words_out)
{
	struct way way, last = {false, PCCL_RANK_NONE};
	uint32_t segment;

	*routes_out = 0;
	*words_out = 0;
	repair->lost_seen = 0;
	for (segment = 0; segment < repair->segments; segment++) {
		way = next_way(repair, segment);
		if (segment > 0 && same_way(repair, &last, segment - 1, &way, segment))
			continue;
		last = way;
		*routes_out += 1;
		if (!way.held)
			*words_out += 1;
		else if (way.sender == repair->rank)
			*words_out += repair->ranks - count_holders(repair, segment);
	}
}

static void fill(struct repair *repair, struct pccl_plan_build *build)
{
	const uint32_t *everyone = pccl_plan_everyone(build);
	struct way way, last = {false, PCCL_RANK_NONE};
	struct pccl_route *route = NULL;
	uint32_t segment, other_count;
	const uint32_t *others = pccl_plan_others(build, PCCL_RANK_NONE, &other_count);

	repair->lost_seen = 0;
	for (segment = 0; segment < repair->segments; segment++) {
		way = next_way(repair, segment);
		if (route != NULL && same_way(repair, &last, segment - 1, &way, segment)) {
			route->segment_count++;
			continue;
		}
		last = way;
		route = pccl_plan_add(build, segment, 1);
		route->result_needed = true;
		if (way.held)
			fill_resent(repair, &way, others, build, route);
		else
			fill_reduced(repair, &way, everyone, others, build, route);
	}
}

/* The holders were found of an op of other peers: is it this one? */
static pcclResult_t check(enum pccl_collective kind, uint32_t ranks, const struct pccl_geometry *geometry,
			  const struct pccl_plan_holders *holders)
{
	if (kind != PCCL_ALL_REDUCE)
		return pccl_fail(pcclMismatch, "the other members repair an all-reduce that this peer launched as %s",
				 pccl_collective_name((int)kind));
	if (holders->segment_count != geometry->segment_count || geometry->chunk_count != 1)
		return pccl_fail(pcclMismatch,
				 "the other members repair an all-reduce of %u segments, this peer launched one of %u",
				 holders->segment_count, geometry->segment_count);
	if (holders->rank_count != ranks)
		return pccl_fail(pcclMismatch, "what %u members hold was reported for a view of %u",
				 holders->rank_count, ranks);
	return pcclSuccess;
}

pcclResult_t pccl_plan_create_repair(enum pccl_collective kind, uint32_t ranks, uint32_t rank,
				     const struct pccl_geometry *geometry, const struct pccl_plan_holders *holders,
				     struct pccl_plan **plan_out)
{
	struct repair repair = {
		.ranks = ranks, .rank = rank, .segments = geometry->segment_count, .holders = holders->held};
	struct pccl_plan_task task = {PCCL_ALL_REDUCE, pcclPlanDirect, ranks, rank, 0, *geometry};
	struct pccl_plan_build build;
	size_t routes, words;
	uint32_t segment;
	pcclResult_t result;

	assert(ranks >= 1 && rank < ranks);
	*plan_out = NULL;
	result = check(kind, ranks, geometry, holders);
	if (result != pcclSuccess)
		return result;
	for (segment = 0; segment < repair.segments; segment++)
		repair.lost += count_holders(&repair, segment) == 0;
	measure(&repair, &routes, &words);
	result = pccl_plan_begin(&task, routes, words + 2 * (size_t)ranks, &build);
	if (result != pcclSuccess)
		return result;
	fill(&repair, &build);
	*plan_out = build.plan;
	return pcclSuccess;
}
