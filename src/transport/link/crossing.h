/*
 * Both sides of a link may dial a stream, so two connections for it may be under way at a time. Which one counts, and
 * which HELLO comes too late, is decided here, at each side by itself and at both alike: one of them leads, and stands
 * by its own connection while that is being answered; the other gives its own up for the leader's.
 *
 * Pure.
 */
#ifndef PCCL_TRANSPORT_CROSSING_H
#define PCCL_TRANSPORT_CROSSING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

#define PCCL_CROSSING_PATIENCE_NS PCCL_SECOND_NS /* of the leader, with an unanswered HELLO of its own */

/* One side of one stream. */
struct pccl_crossing {
	bool leads;
	bool calls;	    /* its HELLO is under way */
	uint64_t called_ns; /* for so long */
	uint32_t known;	    /* of the other side's HELLOs, numbered from 0, those below are old: it has given them up */
};

enum pccl_crossing_verdict {
	PCCL_CROSSING_TAKE, /* the connection that HELLO came with is the stream's from now on; any other one goes */
	PCCL_CROSSING_OLD,  /* a later one has come before */
	PCCL_CROSSING_WAIT  /* this side's own connection counts */
};

/* HELLO of the other side has come, the number-th that it has said for this stream. */
enum pccl_crossing_verdict pccl_crossing_judge(const struct pccl_crossing *side, uint32_t number);

#endif
