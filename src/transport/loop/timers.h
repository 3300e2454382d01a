/* The loop's timers in order of time: a pairing heap threaded through the timers themselves, so that setting a timer
 * needs no memory and cannot fail. Insert is O(1), removal O(log n) amortized. */
#ifndef PCCL_TRANSPORT_TIMERS_H
#define PCCL_TRANSPORT_TIMERS_H

#include <stdint.h>

/* A timer. Memory of the owner; zeroed before the first use. Fires once, never early; timers of the same time fire in
 * the order in which they were set. */
struct pccl_timer {
	uint64_t when_ns; /* monotonic; 0: not set; of the loop */
	void (*fire)(struct pccl_timer *timer);
	void *context;
	uint64_t serial;	     /* of the loop, as the rest: a pairing heap */
	struct pccl_timer *child;    /* first of the timers below */
	struct pccl_timer *sibling;  /* next with the same parent */
	struct pccl_timer *previous; /* sibling before, or the parent of the first child */
};

struct pccl_timers {
	struct pccl_timer *first; /* due first; NULL: none */
	uint64_t serial;	  /* of the last insert; keeps timers of the same time in order */
};

/* `timer->when_ns` is set, and the timer is in no heap. */
void pccl_timers_insert(struct pccl_timers *timers, struct pccl_timer *timer);

/* The timer is in this heap. */
void pccl_timers_remove(struct pccl_timers *timers, struct pccl_timer *timer);

#endif
