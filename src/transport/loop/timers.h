/* The loop's timers in order of time: a pairing heap threaded through the timers themselves, so that setting a timer
 * needs no memory and cannot fail. Insert is O(1), removal O(log n) amortized. */
#ifndef PCCL_TRANSPORT_TIMERS_H
#define PCCL_TRANSPORT_TIMERS_H

#include "transport/loop/loop.h"

struct pccl_timers {
	struct pccl_timer *first; /* due first; NULL: none */
	uint64_t serial;	  /* of the last insert; keeps timers of the same time in order */
};

/* `timer->when_ns` is set, and the timer is in no heap. */
void pccl_timers_insert(struct pccl_timers *timers, struct pccl_timer *timer);

/* The timer is in this heap. */
void pccl_timers_remove(struct pccl_timers *timers, struct pccl_timer *timer);

#endif
