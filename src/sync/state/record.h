/* What one peer says of its state when all members are to agree on one: of fixed size, the same on every machine.
 * Pure. */
#ifndef PCCL_SYNC_STATE_RECORD_H
#define PCCL_SYNC_STATE_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "sync/state/digest.h"

#define PCCL_STATE_RECORD_BYTES 108

struct pccl_state_record {
	pcclRankUuid_t uuid;
	uint64_t nonce;		    /* random: no two calls have the same records */
	uint64_t revision;	    /* what the caller passed */
	uint64_t commit;	    /* number of the last commit of its run that it took part in; 0: of none */
	uint64_t committed;	    /* the revision of that */
	uint8_t strategy;	    /* pcclSharedStateSyncStrategy_t */
	bool torn;		    /* a call that failed has left parts of another state in it */
	bool broken;		    /* it takes part so that the others go on, and fails for a reason of its own */
	uint64_t keys_bytes;	    /* how long the list of keys is */
	struct pccl_digest keys;    /* of names, types and counts */
	struct pccl_digest content; /* of what has to be equal */
	struct pccl_digest loose;   /* of what may differ */
};

void pccl_state_record_encode(const struct pccl_state_record *record, uint8_t out[PCCL_STATE_RECORD_BYTES]);

/* pcclInvalidArgument: no peer writes that. */
pcclResult_t pccl_state_record_decode(const uint8_t in[PCCL_STATE_RECORD_BYTES], struct pccl_state_record *record_out);

#endif
