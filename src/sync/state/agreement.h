/*
 * One call of pcclSynchronizeSharedState(), from the first question to the result, at one peer. Pure: it says what is
 * to be done next, whoever drives it does that and tells what came of it.
 *
 *	ballot	all members' records are gathered, by an all-gather whose outcome all survivors share: the same election
 *	open	if anybody is to receive, or to be told which tensor is another one: lanes serve, or are ready to fetch
 *	fetch	a receiver gets the digests of all chunks from one that has them, and checks them against the elected
 *		one; then the chunks that differ, from all that have them
 *	finish	all gather again how it went. Who has what is needed waits here, and serves meanwhile
 *	close	nothing is read from or written into tensors any more
 *
 * A view change makes a gathering fail for everybody, and everybody gathers again. If nobody is left who has what a
 * receiver still needs, all begin anew with those that are left: a state that is torn does not vote.
 */
#ifndef PCCL_SYNC_STATE_AGREEMENT_H
#define PCCL_SYNC_STATE_AGREEMENT_H

#include "base/fail.h"
#include "sync/state/election.h"
#include "sync/state/transfer.h"

#define PCCL_STATE_TAG UINT64_C(0x7063636c73746174) /* of the ops with which all gather */

/* What a communicator remembers from call to call, in one run. */
struct pccl_state_lineage {
	uint64_t commit;    /* number of the last commit that it took part in; 0: of none */
	uint64_t committed; /* its revision */
	bool torn;	    /* the last call failed, and left this: until it is something else it has no vote */
	struct pccl_digest torn_root;
};

struct pccl_agreement_config {
	pcclRankUuid_t self;
	uint64_t nonce;			  /* random */
	uint32_t members_max;		  /* of any view */
	struct pccl_inventory *inventory; /* digested; NULL: this peer only takes part so that the others can go on */
	pcclSharedStateSyncStrategy_t strategy;
	uint64_t revision;
	struct pccl_state_lineage lineage;
	uint64_t little_bytes; /* PCCL_TRANSFER_LITTLE_BYTES, or less in tests */
};

enum pccl_agreement_step {
	PCCL_AGREEMENT_GATHER, /* all-gather bytes: pccl_agreement_gathered() */
	PCCL_AGREEMENT_OPEN,   /* pccl_transfer_open() on all lanes */
	PCCL_AGREEMENT_FETCH,  /* pccl_transfer_fetch() on lanes 0 to fetch->lanes - 1; then each one's outcome */
	PCCL_AGREEMENT_SERVE,  /* pccl_transfer_serve() on all lanes */
	PCCL_AGREEMENT_CLOSE,  /* pccl_transfer_close() on all lanes; then each one's outcome */
	PCCL_AGREEMENT_END     /* the result stands */
};

struct pccl_agreement_action {
	enum pccl_agreement_step step;
	const void *input; /* GATHER: of so many bytes, and room for as many times members_max */
	void *output;
	size_t bytes;
	bool waits_for_callers; /* GATHER: members may be late, as for any joint call; else they are busy */
	uint64_t sync;		/* OPEN, as the next */
	bool serves;
	const struct pccl_fetch *fetch; /* FETCH */
};

struct pccl_agreement_result {
	pcclResult_t result;
	char text[PCCL_DETAIL_BYTES];
	uint64_t revision;		   /* after success */
	uint64_t sync;			   /* which call it was, of the last ballot; 0: there was none */
	struct pccl_state_lineage lineage; /* to be remembered, in any case */
	uint64_t tx_bytes;
	uint64_t rx_bytes;
	uint64_t tx_wire_bytes; /* what travelled for them */
	uint64_t rx_wire_bytes;
};

struct pccl_agreement;

/* `lanes` are those that fetch. pcclOutOfMemory. */
pcclResult_t pccl_agreement_create(const struct pccl_agreement_config *config, uint32_t lanes,
				   struct pccl_agreement **agreement_out);
void pccl_agreement_destroy(struct pccl_agreement *agreement); /* takes NULL */

/* What is to be done; the same until it has been told that it was. OPEN and SERVE: pccl_agreement_done(). */
const struct pccl_agreement_action *pccl_agreement_next(const struct pccl_agreement *agreement);
void pccl_agreement_done(struct pccl_agreement *agreement);

/* pcclSuccess: of so many ranks. pcclRankConnectionLost: for all alike, it is gathered again. pcclTooFewPeers: this
 * peer is alone. Whatever else ends the call, in these words. */
void pccl_agreement_gathered(struct pccl_agreement *agreement, pcclResult_t result, const char *text, uint32_t ranks);

/* Of a lane that was told to fetch or close; `lanes` were. */
void pccl_agreement_outcome(struct pccl_agreement *agreement, const struct pccl_transfer_outcome *outcome,
			    uint32_t lanes);

/* While it fetches: the communicator has ended. */
void pccl_agreement_abort(struct pccl_agreement *agreement, pcclResult_t result, const char *text);

const struct pccl_agreement_result *pccl_agreement_result(const struct pccl_agreement *agreement);

/* The election, for those who look on; NULL: there is none yet. */
const struct pccl_election *pccl_agreement_election(const struct pccl_agreement *agreement);

#endif
