/* How an op's elements are cut into segments. */
#include <assert.h>

#include "collectives/plan/arithmetic.h"
#include "collectives/plan/plan.h"

#define KIB ((uint64_t)1024)
#define SEGMENT_BYTES_MIN (4 * KIB)
/* Below this the overhead of one more frame outweighs what an earlier start of the next step wins. */
#define PIECE_BYTES (64 * KIB)
#define PIECES_MAX 8 /* of a shard, as long as they stay below the largest segment */
#define ALIGN_ELEMENTS_MIN 64
/* An owner holds a segment of every rank at once: this is how much that may be. */
#define FAN_IN_BYTES (4096 * KIB)

static bool one_chunk_per_rank(enum pccl_collective kind)
{
	return kind == PCCL_REDUCE_SCATTER || kind == PCCL_ALL_GATHER;
}

static uint64_t segment_bytes_max(enum pccl_collective kind, uint32_t ranks)
{
	if (!pccl_collective_adds((int)kind))
		return PCCL_SEGMENT_BYTES_MAX;
	return larger(SEGMENT_BYTES_MIN, smaller(PCCL_SEGMENT_BYTES_MAX, FAN_IN_BYTES / ranks));
}

/* Into how many segments one owner's shard is best cut. */
static uint64_t shard_pieces(uint64_t shard_bytes, uint64_t largest_bytes)
{
	uint64_t wanted = smaller(PIECES_MAX, shard_bytes / smaller(PIECE_BYTES, largest_bytes));
	uint64_t pieces = 1;

	/* A power of two, so that lanes get the same number. */
	while (pieces * 2 <= wanted)
		pieces *= 2;
	return larger(pieces, divide_up(shard_bytes, largest_bytes));
}

void pccl_geometry_cut(enum pccl_collective kind, uint32_t ranks, uint64_t count, size_t element_bytes,
		       uint32_t align_elements, struct pccl_geometry *geometry_out)
{
	struct pccl_geometry *g = geometry_out;
	uint64_t owners, bytes, pieces, elements, align;

	assert(ranks >= 1 && ranks <= PCCL_RANKS_MAX);
	assert(element_bytes >= 1 && element_bytes <= 16);
	g->chunk_count = one_chunk_per_rank(kind) ? ranks : 1;
	g->chunk_elements = kind == PCCL_BARRIER ? 0 : count;
	align = larger(align_elements, ALIGN_ELEMENTS_MIN);
	g->segment_elements = (uint32_t)align;
	g->chunk_segments = 0;
	g->segment_count = 0;
	g->on_one_lane = false;
	g->parts = NULL;
	g->part_count = 0;
	if (g->chunk_elements == 0)
		return;
	assert(count <= PCCL_OP_BYTES_MAX / element_bytes / g->chunk_count);
	bytes = count * element_bytes;
	owners = one_chunk_per_rank(kind) ? 1 : ranks;
	pieces = owners * shard_pieces(divide_up(bytes, owners), segment_bytes_max(kind, ranks));
	pieces = smaller(pieces, PCCL_SEGMENTS_MAX / g->chunk_count);
	elements = larger(divide_up(count, pieces), SEGMENT_BYTES_MIN / element_bytes);
	elements = divide_up(elements, align) * align;
	assert(elements <= UINT32_MAX);
	g->segment_elements = (uint32_t)elements;
	g->chunk_segments = (uint32_t)divide_up(count, elements);
	g->segment_count = g->chunk_count * g->chunk_segments;
	assert(g->segment_count <= PCCL_SEGMENTS_MAX);
}

uint32_t pccl_geometry_lane(const struct pccl_geometry *geometry, uint32_t segment, uint64_t tag, uint32_t lanes)
{
	return (uint32_t)(((geometry->on_one_lane ? 0 : segment) + tag) % lanes);
}

uint64_t pccl_geometry_first(const struct pccl_geometry *geometry, uint32_t segment)
{
	uint32_t chunk, within;

	assert(segment < geometry->segment_count && geometry->parts == NULL);
	chunk = segment / geometry->chunk_segments;
	within = segment % geometry->chunk_segments;
	return chunk * geometry->chunk_elements + (uint64_t)within * geometry->segment_elements;
}

uint32_t pccl_geometry_elements(const struct pccl_geometry *geometry, uint32_t segment)
{
	const struct pccl_part *part;
	uint64_t before;

	assert(segment < geometry->segment_count);
	if (geometry->parts != NULL) {
		part = pccl_geometry_part(geometry, segment);
		if (part == NULL)
			return 0;
		before = (uint64_t)(segment - part->first_segment) * part->segment_elements;
		return (uint32_t)smaller(part->segment_elements, part->count - before);
	}
	before = (uint64_t)(segment % geometry->chunk_segments) * geometry->segment_elements;
	return (uint32_t)smaller(geometry->segment_elements, geometry->chunk_elements - before);
}
