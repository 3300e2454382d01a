/*
 * Whose state is the truth? A function of all members' records: every member that has the same records comes to the
 * same result.
 *
 * Votes have those that may send, are whole and not broken. Of these stand, in this order:
 *
 *	lineage     those that took part in the last commit of the run, if there are any
 *	revision    the highest one, but no more than one beyond the last that was committed; if all are beyond, the
 *		    lowest of theirs
 *	keys        the list of names, types and counts that most of them have
 *	content     what most of them have
 *
 * Ties go to the lowest rank; of contents, first to one that a peer has that must not receive. Two such contents:
 * nobody is right. Pure.
 */
#ifndef PCCL_SYNC_STATE_ELECTION_H
#define PCCL_SYNC_STATE_ELECTION_H

#include "sync/state/record.h"

enum pccl_state_role {
	PCCL_STATE_HOLDS,    /* has the truth */
	PCCL_STATE_RECEIVES, /* gets it */
	PCCL_STATE_FAILS
};

/* Why a peer fails, or everybody. */
enum pccl_state_reason {
	PCCL_STATE_FINE,
	PCCL_STATE_BROKEN,  /* it said so */
	PCCL_STATE_SKIPPED, /* its revision is further than one beyond the last one */
	PCCL_STATE_OTHER_KEYS,
	PCCL_STATE_SEND_ONLY, /* its content is not the truth, and it must not receive */
	PCCL_STATE_NO_VOTER,
	PCCL_STATE_DISAGREE /* two contents, as many votes, and neither side may receive */
};

struct pccl_state_part {
	enum pccl_state_role role;
	enum pccl_state_reason reason;
	bool serves;   /* holds it and may send */
	bool inherits; /* was not there, and gets what may differ as well, from the donor */
};

struct pccl_election {
	enum pccl_state_reason reason; /* FINE: there is a truth; else everybody fails, for this */
	uint32_t truth;		       /* the lowest rank that has it and votes for it */
	uint32_t donor;		       /* the lowest rank that serves it and was there; else as truth */
	uint64_t revision;
	uint64_t commit;    /* the number that this one gets */
	uint64_t committed; /* the revision of the one before */
	bool has_expected;  /* the run has committed before */
	uint64_t expected;  /* the highest revision that was allowed, if so */
	struct pccl_digest keys;
	struct pccl_digest content;
	uint32_t receivers;
};

/* `records` and `parts_out` by rank, at least one. */
void pccl_elect(const struct pccl_state_record *records, uint32_t count, struct pccl_election *election_out,
		struct pccl_state_part *parts_out);

/* The reason in words, for the member that it concerns. */
void pccl_election_explain(const struct pccl_election *election, const struct pccl_state_record *record,
			   enum pccl_state_reason reason, char *text, size_t text_bytes);

#endif
