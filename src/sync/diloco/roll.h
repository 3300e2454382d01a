/* The roll call at the beginning of a round: what each peer says of itself, and what follows for all alike. Pure. */
#ifndef PCCL_SYNC_DILOCO_ROLL_H
#define PCCL_SYNC_DILOCO_ROLL_H

#include <pccl.h>
#include <stdint.h>

#include "sync/state/digest.h"

#define PCCL_ROLL_BYTES 80

struct pccl_roll_entry {
	pcclRankUuid_t uuid;
	uint32_t fragment;
	uint64_t round;		      /* of the fragment */
	uint64_t step;		      /* at which it has begun */
	double weight;		      /* finite, not negative */
	struct pccl_digest signature; /* of the schedule */
	struct pccl_digest outer;     /* of the fragment's outer parameters; zeros: not checked */
};

struct pccl_roll_result {
	double total; /* of all weights */
	float share;  /* of this peer; 0 if nobody has done anything */
};

void pccl_roll_encode(const struct pccl_roll_entry *entry, uint8_t out[PCCL_ROLL_BYTES]);

/* Compares the entries of `count` peers, in rank order, with this peer's, which is one of them. pcclMismatch: they are
 * not at one round of one training; the words say who differs in what. All peers get the same result. */
pcclResult_t pccl_roll_read(const uint8_t *entries, uint32_t count, const struct pccl_roll_entry *own,
			    struct pccl_roll_result *result_out);

/* Who the entry at this rank is of, and what it weighs; of entries that pccl_roll_read() has found good. */
void pccl_roll_at(const uint8_t *entries, uint32_t rank, pcclRankUuid_t *uuid_out, double *weight_out);

#endif
