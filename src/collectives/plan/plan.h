/* Plans: who sends which segment of an op to whom, and in which order contributions are added. A plan is data, made by
 * pure functions of (kind, algorithm, ranks, rank, root, geometry); the executor follows it, tests execute all ranks'
 * plans symbolically, people print it. */
#ifndef PCCL_COLLECTIVES_PLAN_H
#define PCCL_COLLECTIVES_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>

#include "base/links.h"

#define PCCL_RANKS_MAX 1024
#define PCCL_RANK_NONE UINT32_MAX
#define PCCL_SEGMENTS_MAX (1u << 16) /* per op: segments grow with ops above 16 GiB, so that bitmaps stay small */
#define PCCL_SEGMENT_BYTES_MAX (256u << 10)   /* for ops up to 16 GiB; the unit of pipelining, commit and repair */
#define PCCL_OP_BYTES_MAX (UINT64_C(1) << 39) /* of an op's whole buffer; the caller refuses larger ones */

enum pccl_collective {
	PCCL_ALL_REDUCE = 1,
	PCCL_REDUCE_SCATTER = 2,
	PCCL_ALL_GATHER = 3,
	PCCL_BROADCAST = 4,
	PCCL_BARRIER = 5,
	PCCL_REDUCE = 6,
	PCCL_GATHER = 7,
	PCCL_SCATTER = 8,
	PCCL_ALL_TO_ALL = 9,
	PCCL_TRANSFER = 10 /* send and receive: all but two ranks have no part in it */
};

/* Does it combine elements by an operation? Is there a rank that all have to name? Does it move parts? */
bool pccl_collective_adds(int kind);
bool pccl_collective_has_root(int kind);
bool pccl_collective_moves_parts(int kind);
/* Have all ranks the same result? */
bool pccl_collective_is_alike(int kind);

/* "all-reduce", "oneshot", ...; "unknown" for what is neither. Static. */
const char *pccl_collective_name(int kind);

enum pccl_part_way {
	PCCL_PART_RECEIVED,
	PCCL_PART_SENT,
	PCCL_PART_KEPT /* of this rank's own: from its input to its output */
};

/* A run of elements that goes from one rank to another as it is, seen from one of the two. What there is to a part only
 * its two ends know: both number its segments from 0 where they speak of it, and from `first_segment`, a multiple of
 * the number of lanes, among all that either has to do with. So a segment is on the same lane at both. */
struct pccl_part {
	enum pccl_part_way way;
	uint32_t rank;	      /* the other one, not of a transfer; of a kept part: this */
	uint64_t count;	      /* elements; more than 0 */
	uint64_t input_first; /* where it lies, if it comes out of the input */
	uint64_t output_first;
	uint32_t first_segment; /* these three: pccl_parts_cut() */
	uint32_t segment_count;
	uint32_t segment_elements;
};

/* How an op's elements are cut. A buffer is `chunk_count` chunks of `chunk_elements` (reduce-scatter, all-gather:
 * one per rank; others: one chunk); each chunk is cut into `chunk_segments` segments of `segment_elements`,
 * the last one shorter. Segments are numbered through the whole buffer. A function of the call only, so that every
 * peer and every attempt cuts alike. */
struct pccl_geometry {
	uint32_t chunk_count;
	uint64_t chunk_elements;
	uint32_t chunk_segments;
	uint32_t segment_elements;
	uint32_t segment_count; /* chunk_count * chunk_segments; 0 for an empty op */
	bool on_one_lane;	/* all segments; else lanes take turns */
	/* Instead of chunks, what moves parts has these; some numbers of segments are then nobody's. Borrowed. */
	const struct pccl_part *parts;
	uint32_t part_count;
};

/* Cuts `count` elements (of the whole buffer, or of one rank's part: see pcclOperation_t) for `ranks` peers; segments
 * are multiples of `align_elements` (a codec's block; 64 at least). Aims at segments of PCCL_SEGMENT_BYTES_MAX for
 * large ops (less with more than 16 ranks, for an owner holds one segment of every rank at a time), smaller ones (>= 4
 * KiB) for small ops so that every rank owns the same number and transfers overlap. The whole buffer has at most
 * PCCL_OP_BYTES_MAX. */
void pccl_geometry_cut(enum pccl_collective kind, uint32_t ranks, uint64_t count, size_t element_bytes,
		       uint32_t align_elements, struct pccl_geometry *geometry_out);

/* What one rank has to do with, of counts by rank, and where it lies in buffers without gaps: writes up to 2 * ranks
 * parts, returns how many. What a rank has for itself, both counts say. */
uint32_t pccl_parts_make(const uint64_t *sends, const uint64_t *receives, uint32_t ranks, uint32_t rank,
			 struct pccl_part *parts);

/* A part has no more bytes than this. */
uint64_t pccl_parts_bytes_max(uint32_t ranks);

/* Cuts parts, which *geometry_out borrows. A function of each one's count and of what all know, so that both its ends
 * cut it alike. */
void pccl_parts_cut(struct pccl_part *parts, uint32_t count, uint32_t ranks, size_t element_bytes, uint32_t lanes,
		    struct pccl_geometry *geometry_out);

/* The part that a segment belongs to; NULL: the number is nobody's. */
const struct pccl_part *pccl_geometry_part(const struct pccl_geometry *geometry, uint32_t segment);

/* The lane that a segment belongs to: `tag mod lanes`, the home lane, or one after it. */
uint32_t pccl_geometry_lane(const struct pccl_geometry *geometry, uint32_t segment, uint64_t tag, uint32_t lanes);

/* First element (in the whole buffer; not of what moves parts) and number of elements of a segment. */
uint64_t pccl_geometry_first(const struct pccl_geometry *geometry, uint32_t segment);
uint32_t pccl_geometry_elements(const struct pccl_geometry *geometry, uint32_t segment);

/* One shard's way, seen from one rank. A shard is a run of segments that travel alike. Any list may be empty. */
struct pccl_route {
	uint32_t first_segment;
	uint32_t segment_count;
	const uint32_t *own_to; /* ranks that get this rank's own input as it is, in order of sending */
	uint32_t own_to_count;
	const uint32_t *inputs;	   /* what this rank adds, in this order: ranks, its own among them (its own input) */
	uint32_t input_count;	   /* 0: this rank adds nothing for this shard */
	bool input_is_sum;	   /* the other's input is a partial sum, in the partial type, not an input as it is */
	uint32_t sum_to;	   /* rank that gets the partial sum; PCCL_RANK_NONE: nobody, the sum is the result */
	uint32_t result_from;	   /* rank that sends the result; PCCL_RANK_NONE: made here, or not needed here */
	const uint32_t *result_to; /* ranks that the result is passed on to, in order of sending */
	uint32_t result_to_count;
	bool result_is_own; /* the result is this rank's own input (the root of a broadcast, all-gather's own part) */
	bool result_needed; /* this rank's caller gets the result (else it may still pass it on: reduce) */
};

struct pccl_plan {
	enum pccl_collective kind;
	pcclPlan_t algorithm; /* never pcclPlanAuto */
	uint32_t ranks;
	uint32_t rank;
	uint32_t route_count;
	const struct pccl_route *routes; /* ordered by first_segment, not overlapping, covering every segment */
	/* The routes in the order in which contributions are sent and partial sums awaited: a permutation of the
	 * routes' indexes. What one rank sends to another in its order, the other awaits in the same order. With two
	 * segments of room at every rank no rank waits for ever. */
	const uint32_t *order;
};

/* What pcclPlanAuto becomes: a function of what all peers know alike. `links` are those of the view, perhaps none. */
pcclPlan_t pccl_plan_choose(enum pccl_collective kind, uint32_t ranks, uint64_t bytes, const struct pccl_links *links);

/* Makes the plan of one rank: one allocation, ended with pccl_plan_destroy(). `root` is read where there is one; of a
 * transfer it is the other end.
 *
 * Direct: shard k belongs to rank k; everybody sends it its part, it adds in rank order and sends the result to all.
 *
 * Ring: shard k's partial sum travels k+1, k+2, ... k, adding on the way; then the result travels on from k. The shards
 * take turns segment by segment, so that a rank needs room for two segments, not for a shard.
 *
 * Oneshot: everybody sends all to everybody and adds all in rank order.
 *
 * Broadcast: the root sends shard k to the k-th other rank, which passes it to the rest; oneshot: the root sends all to
 * all. All-gather, reduce-scatter: the halves of all-reduce.
 *
 * Reduce: as direct, but the result goes to the root only; oneshot: everybody sends all to the root, which adds.
 *
 * Gather, scatter, all-to-all, transfer: parts go straight to where they belong, whatever the algorithm.
 *
 * Sending orders are rotated by rank, so that not everybody sends to rank 0 first. Returns pcclOutOfMemory,
 * pcclInvalidArgument (unknown algorithm or kind, no such root). */
pcclResult_t pccl_plan_create(enum pccl_collective kind, pcclPlan_t algorithm, uint32_t ranks, uint32_t rank,
			      uint32_t root, const struct pccl_geometry *geometry, struct pccl_plan **plan_out);

/* What a flush has found of an interrupted op. It comes from other peers, who may have launched something else. */
struct pccl_plan_holders {
	uint32_t segment_count;
	uint32_t rank_count;	     /* of the new view */
	const uint64_t *const *held; /* by rank: bitmap of the segments whose result it holds, NULL for none */
};

/* The plan that repairs an interrupted all-reduce in a smaller view. A segment that somebody holds is sent by one
 * holder (the work spread over the holders by segment number) straight to those who lack it; the others are reduced
 * again as in `direct`, spread over all ranks. Neighbouring segments with the same way share a route. Returns
 * pcclOutOfMemory; pcclMismatch: this peer's op is none that was found so, for it is of another kind or is cut into
 * other segments. */
pcclResult_t pccl_plan_create_repair(enum pccl_collective kind, uint32_t ranks, uint32_t rank,
				     const struct pccl_geometry *geometry, const struct pccl_plan_holders *holders,
				     struct pccl_plan **plan_out);

void pccl_plan_destroy(struct pccl_plan *plan);

/* Prints the plan for people, one route a line, into `text` (always terminated); returns the full length. */
size_t pccl_plan_print(const struct pccl_plan *plan, char *text, size_t text_bytes);

#endif
