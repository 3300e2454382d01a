/*
 * Are the states of all members the same, and if not, where do they part? One call at one peer, as a machine: it says
 * what all are to gather next, and is told what came. If all is well there is one small round:
 *
 *	records		digests of the list of tensors and of what has to be equal; all the same: the end
 *	roots		a digest of each tensor: which is the first that differs?
 *	leaves		the digests of its chunks
 *	bytes		that chunk: which is the first byte that differs?
 *
 * What is gathered is the same for all, so all come to the same end. A member that is lost makes a gathering fail for
 * everybody, and everybody begins again. Pure.
 */
#ifndef PCCL_SYNC_STATE_DRIFT_H
#define PCCL_SYNC_STATE_DRIFT_H

#include "sync/state/inventory.h"

enum pccl_drift_step {
	PCCL_DRIFT_GATHER, /* an all-gather of `bytes`, for at most `ranks` members: pccl_drift_gathered(). Members
			    * may be late, as for any joint call: one may have ended for want of memory */
	PCCL_DRIFT_READ,   /* the bytes of a chunk of the inventory are to go to `room`: pccl_drift_read() */
	PCCL_DRIFT_END
};

struct pccl_drift_action {
	enum pccl_drift_step step;
	const void *input;
	void *output;
	size_t bytes;
	uint32_t ranks;
	uint32_t chunk;
	void *room;
};

struct pccl_drift_result {
	pcclResult_t result; /* pcclMismatch: they differ */
	char text[400];
	/* If they differ; the others are the most, or of two as many the lower ranks: */
	uint32_t odd_count;
	uint32_t odd_rank; /* the lowest of those */
	pcclRankUuid_t odd_uuid;
	bool located;	 /* the lists of tensors are the same, so there is */
	uint32_t tensor; /* in the caller's order */
	uint64_t chunk;	 /* of the tensor */
	uint64_t element;
};

struct pccl_drift;

/* Of a digested inventory, which is borrowed. `ranks_max` is what any view has at most. pcclOutOfMemory. */
pcclResult_t pccl_drift_create(const struct pccl_inventory *inventory, const pcclRankUuid_t *self, uint32_t ranks_max,
			       struct pccl_drift **drift_out);
void pccl_drift_destroy(struct pccl_drift *drift); /* takes NULL */

const struct pccl_drift_action *pccl_drift_next(const struct pccl_drift *drift);

/* pcclSuccess: of so many ranks. pcclRankConnectionLost: for all alike. pcclTooFewPeers: this peer is alone. Whatever
 * else ends the call in these words. */
void pccl_drift_gathered(struct pccl_drift *drift, pcclResult_t result, const char *text, uint32_t ranks);
/* Another result than pcclSuccess: the room holds anything, and the call goes on, for the others wait. */
void pccl_drift_read(struct pccl_drift *drift, pcclResult_t result, const char *text);

const struct pccl_drift_result *pccl_drift_result(const struct pccl_drift *drift);

#endif
