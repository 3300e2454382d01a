/* What the files of an agreement share: agreement.c gathers and ends, agreement_fetch.c gets what this peer lacks. */
#ifndef PCCL_SYNC_STATE_AGREEMENT_INTERNAL_H
#define PCCL_SYNC_STATE_AGREEMENT_INTERNAL_H

#include "sync/state/agreement.h"

#define PCCL_FINISH_BYTES 16

/* How it went at one peer. Values are wire format. */
enum pccl_finish { PCCL_FINISH_HAS_IT = 0, PCCL_FINISH_FAILED = 1, PCCL_FINISH_NO_SOURCE = 2 };

enum pccl_agreement_phase {
	PCCL_PHASE_BALLOT,
	PCCL_PHASE_OPEN,
	PCCL_PHASE_KEYS, /* fetches, as the next four */
	PCCL_PHASE_LEAVES,
	PCCL_PHASE_LOOSE_LEAVES,
	PCCL_PHASE_CHUNKS,
	PCCL_PHASE_LOOSE_CHUNKS,
	PCCL_PHASE_SERVE,
	PCCL_PHASE_FINISH,
	PCCL_PHASE_CLOSE,
	PCCL_PHASE_END
};

struct pccl_agreement {
	struct pccl_agreement_config config;
	uint32_t lanes;
	enum pccl_agreement_phase phase;
	struct pccl_agreement_action action;
	struct pccl_agreement_result result;
	uint8_t input[PCCL_STATE_RECORD_BYTES];
	uint8_t *gathered; /* members_max records */
	uint32_t round;	   /* of ballots */

	/* of the last ballot */
	uint32_t ranks;
	uint32_t rank;
	struct pccl_state_record *records; /* by rank */
	struct pccl_state_part *parts;
	struct pccl_election election;
	bool elected;
	uint64_t sync;
	bool opened;
	bool again;	  /* after the close */
	bool overwritten; /* tensors were, though this call may fail yet */
	enum pccl_finish finish;

	/* of the fetch that runs, or ran last */
	struct pccl_fetch fetch;
	uint32_t answers; /* lanes that have told their outcome */
	pcclResult_t worst;
	uint64_t rx_bytes;
	pcclRankUuid_t *sources; /* those that serve, in the order in which one after the other is asked */
	uint32_t source_count;
	uint32_t tried;
	bool liars;
	uint8_t *document;
	struct pccl_digest *leaves; /* the truth's, by chunk */
	uint32_t *wanted;
	uint8_t *progress;
};

/* agreement.c */
void pccl_agreement_gather_finish(struct pccl_agreement *agreement, enum pccl_finish finish);
void pccl_agreement_fail(struct pccl_agreement *agreement, pcclResult_t result, const char *text);

/* agreement_fetch.c */

/* It is open: fetches what this peer's part asks for, then goes on to the finish. */
void pccl_agreement_begin_fetch(struct pccl_agreement *agreement);
/* All lanes have told. */
void pccl_agreement_fetched(struct pccl_agreement *agreement);
/* The lanes do not touch the tensors any more: which digests are those of what is there? */
void pccl_agreement_settle(struct pccl_agreement *agreement);

#endif
