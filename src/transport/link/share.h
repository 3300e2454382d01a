/*
 * Which of a link's streams takes the next frame, where they go over several network cards: the one that would have
 * delivered it soonest, by what each has in flight and how fast it has delivered so far. So a slow card takes what it
 * delivers meanwhile, and the last frames of an op don't wait for it. Pure; times are monotonic.
 */
#ifndef PCCL_TRANSPORT_SHARE_H
#define PCCL_TRANSPORT_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* Of a stream; zeroed at first. */
struct pccl_share {
	uint64_t rate; /* bytes per second that are acknowledged while any are in flight; 0: not known yet */
	uint64_t flight_bytes;
	uint64_t since_ns;	/* the last acknowledgement, or when something came to be in flight */
	uint64_t trip_ns;	/* there and back, the least, as far as is known; whoever knows sets it */
	uint64_t began_ns;	/* since then something is in flight, */
	uint64_t all_bytes;	/* so much was acknowledged, */
	bool has_begun;		/* if anything was; */
	uint64_t arrival_bytes; /* so much at the last time, */
	uint64_t arrival_ns;	/* so long after the one before; 0: that was the first */
	uint64_t bytes, ns;	/* of the measurement that goes on */
	uint64_t passed_ns;	/* what others took for the frames that were theirs since this one had its last */
};

/* A frame was handed to the stream. */
void pccl_share_sent(struct pccl_share *share, uint64_t bytes, uint64_t now_ns);
/* One was acknowledged. */
void pccl_share_acked(struct pccl_share *share, uint64_t bytes, uint64_t now_ns);
/* So many bytes will not be acknowledged. */
void pccl_share_forgot(struct pccl_share *share, uint64_t bytes);
/* The stream has a new connection: nothing is in flight on it, and how fast it is has to be seen. */
void pccl_share_begin(struct pccl_share *share);
/* Another stream, with `taker`, has taken a frame. */
void pccl_share_passed(struct pccl_share *share, const struct pccl_share *taker, uint64_t bytes);

/* What counts of all streams of a link together, for one frame. `bytes` is set, the rest zeroed at first. */
struct pccl_share_all {
	uint64_t bytes;	     /* of the frame, or of such as there were lately */
	uint64_t fastest;    /* the highest rate */
	uint64_t longest_ns; /* what the slowest stream takes for the frame */
};

/* Adds one that is up. */
void pccl_share_add(struct pccl_share_all *all, const struct pccl_share *share);

/* How long it will be until the stream has delivered the frame, if it is given it now, in ns. One that is not much
 * slower than the fastest may well be equal to it, and counts so, for to take equal ones for unequal costs more than
 * the other way round. UINT64_MAX: nobody knows, for nothing was delivered yet, and enough to see it is in flight. */
uint64_t pccl_share_ends_ns(const struct pccl_share *share, const struct pccl_share_all *all, uint64_t now_ns);

/* Does it take the frame, if the soonest other one needs so long for it (UINT64_MAX: there is none)? It also does now
 * and then after others have been preferred for long: it may be faster now. And not if it has enough to do until
 * something is acknowledged: what is given to nobody yet may go to whoever is first. */
bool pccl_share_takes(const struct pccl_share *share, const struct pccl_share_all *all, uint64_t other_ns,
		      uint64_t now_ns);

#endif
