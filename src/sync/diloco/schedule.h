/*
 * Which tensors make a fragment, and at which steps its rounds begin and are taken over: a function of names, sizes and
 * settings, so that all peers have the same one, in whatever order they list their tensors (but for the division
 * `strided`, which goes by that). Steps count from 1. Pure.
 */
#ifndef PCCL_SYNC_DILOCO_SCHEDULE_H
#define PCCL_SYNC_DILOCO_SCHEDULE_H

#include <pccl/diloco.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sync/state/digest.h"

#define PCCL_PIECES_MAX 64
#define PCCL_PIECE_LEAST 256   /* elements: a block of most codecs */
#define PCCL_TRAINING_MAX 4096 /* peers */

struct pccl_fragment {
	size_t first;	 /* its tensors are order[first] ... order[first + count - 1] */
	size_t count;	 /* tensors */
	size_t elements; /* of all of them */
	uint32_t pieces; /* in which it travels */
	size_t piece;	 /* elements of each, but for the last; a multiple of 64 if there is more than one */
	uint32_t offset; /* rounds begin at the steps s with s mod interval = offset mod interval; 1 to interval */
};

struct pccl_schedule {
	uint32_t interval;
	uint32_t delay;	 /* steps from the beginning of a round to taking it over */
	uint32_t lead;	 /* steps that the roll call of a round has before its pieces */
	uint32_t spread; /* steps over which these begin; 0: all at once */
	uint32_t fragment_count;
	uint64_t tag, last_tag; /* see pccl_schedule_roll_tag() */
	size_t tensor_count;
	struct pccl_fragment *fragments;
	uint32_t *fragment_of; /* by tensor */
	size_t *place;	       /* by tensor: its first element in its fragment */
	size_t *order;	       /* tensors by fragment, and within one by name */
	uint32_t distance_least, distance_most;
	struct pccl_digest signature; /* of everything that has to be the same on all peers */
};

/* Checks settings and tensors, and says in words what can't be. The caller ends the schedule, also after a failure. */
pcclResult_t pccl_schedule_init(struct pccl_schedule *schedule, const pcclTensorInfo_t *tensors, size_t count,
				const pcclDilocoSettings_t *settings);
void pccl_schedule_fini(struct pccl_schedule *schedule);

/* Does a round of the fragment begin at this step? */
bool pccl_schedule_begins(const struct pccl_schedule *schedule, uint32_t fragment, uint64_t step);

/* The first step after this one at which a round of any fragment begins. */
uint64_t pccl_schedule_next(const struct pccl_schedule *schedule, uint64_t step);

/* How many of the fragment's pieces may have begun so many steps after their round, and when, counted likewise, the
 * piece `index` begins. */
uint32_t pccl_schedule_pieces_due(const struct pccl_schedule *schedule, uint32_t fragment, uint64_t elapsed);
uint64_t pccl_schedule_piece_begins(const struct pccl_schedule *schedule, uint32_t fragment, uint32_t index);

/* The tags of an engine, from `tag` of its settings on: each fragment has one for its roll calls and one for each piece
 * that it may have, and behind them all is that of the gatherings, the last. */
uint64_t pccl_schedule_roll_tag(const struct pccl_schedule *schedule, uint32_t fragment);
uint64_t pccl_schedule_piece_tag(const struct pccl_schedule *schedule, uint32_t fragment, uint32_t piece);
uint64_t pccl_schedule_tag_count(const pcclDilocoSettings_t *settings);
uint64_t pccl_schedule_last_tag(const pcclDilocoSettings_t *settings); /* the largest there is: they have no room */

#endif
