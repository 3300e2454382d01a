/* Parts that go from one rank to another as they are: where they lie, and how they are cut. */
#include <assert.h>
#include <string.h>

#include "collectives/plan/arithmetic.h"
#include "collectives/plan/plan.h"

#define LANES_MOST 16 /* segments of a part begin at a multiple of the lanes, whatever parts are before it */
#define PART_SEGMENT_LEAST ((uint64_t)4096)
#define PIECE_LEAST ((uint64_t)64 << 10)
#define PIECES 8 /* of a part, as long as they stay below the largest segment */
#define ALIGN 64

uint64_t pccl_parts_bytes_max(uint32_t ranks)
{
	return PCCL_OP_BYTES_MAX / 2 / ranks;
}

static struct pccl_part *add(struct pccl_part *parts, uint32_t *count, enum pccl_part_way way, uint32_t rank)
{
	struct pccl_part *part = &parts[(*count)++];

	memset(part, 0, sizeof(*part));
	part->way = way;
	part->rank = rank;
	return part;
}

uint32_t pccl_parts_make(const uint64_t *sends, const uint64_t *receives, uint32_t ranks, uint32_t rank,
			 struct pccl_part *parts)
{
	uint64_t sent = 0, received = 0;
	uint32_t other, count = 0;

	assert(sends[rank] == receives[rank]);
	for (other = 0; other < ranks; other++) {
		if (receives[other] > 0) {
			struct pccl_part *part =
				add(parts, &count, other == rank ? PCCL_PART_KEPT : PCCL_PART_RECEIVED, other);

			part->count = receives[other];
			part->output_first = received;
			part->input_first = other == rank ? sent : 0;
		}
		if (sends[other] > 0 && other != rank) {
			struct pccl_part *part = add(parts, &count, PCCL_PART_SENT, other);

			part->count = sends[other];
			part->input_first = sent;
		}
		sent += sends[other];
		received += receives[other];
	}
	return count;
}

/* Both ends find the same, for they know as much. */
static void cut(struct pccl_part *part, uint32_t ranks, size_t element_bytes)
{
	uint64_t bytes = part->count * element_bytes;
	uint64_t most = PCCL_SEGMENTS_MAX / 2 / ranks - (LANES_MOST - 1);
	uint64_t pieces = larger(smaller(PIECES, bytes / PIECE_LEAST), divide_up(bytes, PCCL_SEGMENT_BYTES_MAX));
	uint64_t elements;

	pieces = larger(1, smaller(pieces, most));
	elements = larger(divide_up(part->count, pieces), PART_SEGMENT_LEAST / element_bytes);
	elements = divide_up(elements, ALIGN) * ALIGN;
	assert(elements <= UINT32_MAX);
	part->segment_elements = (uint32_t)elements;
	part->segment_count = (uint32_t)divide_up(part->count, elements);
	assert(part->segment_count <= most);
}

void pccl_parts_cut(struct pccl_part *parts, uint32_t count, uint32_t ranks, size_t element_bytes, uint32_t lanes,
		    struct pccl_geometry *geometry_out)
{
	uint32_t index, segments = 0;

	assert(lanes >= 1 && lanes <= LANES_MOST && ranks >= 1 && ranks <= PCCL_RANKS_MAX);
	for (index = 0; index < count; index++) {
		struct pccl_part *part = &parts[index];

		assert(part->count > 0 && part->count <= pccl_parts_bytes_max(ranks) / element_bytes);
		cut(part, ranks, element_bytes);
		part->first_segment = segments;
		segments += (part->segment_count + lanes - 1) / lanes * lanes;
	}
	assert(segments <= PCCL_SEGMENTS_MAX);
	memset(geometry_out, 0, sizeof(*geometry_out));
	geometry_out->segment_elements = ALIGN;
	geometry_out->segment_count = segments;
	geometry_out->parts = count == 0 ? NULL : parts;
	geometry_out->part_count = count;
}

const struct pccl_part *pccl_geometry_part(const struct pccl_geometry *geometry, uint32_t segment)
{
	uint32_t begin = 0, end = geometry->part_count;
	const struct pccl_part *part;

	assert(segment < geometry->segment_count && end > 0);
	while (end - begin > 1) {
		uint32_t middle = begin + (end - begin) / 2;

		if (geometry->parts[middle].first_segment <= segment)
			begin = middle;
		else
			end = middle;
	}
	part = &geometry->parts[begin];
	return segment - part->first_segment < part->segment_count ? part : NULL;
}
