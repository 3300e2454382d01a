/* The one decision per open op at a view change: a pure function of what the members of the new view report. */
#ifndef PCCL_MEMBERSHIP_DECIDE_H
#define PCCL_MEMBERSHIP_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "membership/message/view.h"

#define PCCL_HOLDERS_BYTES_MAX (8u << 20) /* of all repairs of one view change together; beyond it ops are retried */

/* An op whose deadline passed somewhere. */
struct pccl_expired_op {
	uint64_t tag;
	uint32_t sequence;
	uint32_t teller; /* rank of who said so */
};

/* What one member of the new view reports; a newcomer reports nothing. */
struct pccl_voice {
	const struct pccl_op_report *reports;
	uint32_t report_count;
};

struct pccl_decide_input {
	uint32_t member_count;
	const struct pccl_view *view;	 /* the new one */
	const struct pccl_voice *voices; /* by rank of the new view */
	bool nobody_lost;		 /* the members are those of the old view: nothing has to be aborted */
	const struct pccl_expired_op *expired;
	uint32_t expired_count;
};

/*
 * Decides every op that somebody reports. The caller owns the list (pccl_decisions_destroy). Returns pcclOutOfMemory.
 *
 * An op that one reporter calls complete was launched by all; who does not report it then has returned success. So:
 *	they launched different things	MISMATCH (also those of different roots)
 *	all reporters complete		COMMIT: somebody may have returned success
 *	it failed at a member		ABORT
 *	its deadline passed		EXPIRE
 *	its input is given up		REPAIR if nobody was lost and it can be cut into segments, else ABORT
 *	its root is gone		ABORT
 *	policy abort, or unclear	ABORT, but RETRY if nobody was lost
 *	policy retry			RETRY
 *	policy repair			REPAIR if it can be cut into segments, else RETRY
 */
pcclResult_t pccl_decide(const struct pccl_decide_input *input, struct pccl_op_decision **decisions_out,
			 uint32_t *count_out);

/* Of the ops that a member reports, those that no other member of the new view does: its strays. */
struct pccl_strays {
	uint32_t count;
	uint32_t failed; /* of those, how many have failed at it by themselves, as it says */
};

/* By rank. The count of all ops is returned as well. Returns pcclOutOfMemory. */
pcclResult_t pccl_decide_strays(const struct pccl_decide_input *input, struct pccl_strays *strays_out,
				uint32_t *op_count_out);

/* Takes NULL. */
void pccl_decisions_destroy(struct pccl_op_decision *decisions, uint32_t count);

#endif
