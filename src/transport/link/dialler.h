/*
 * Finds the one of several places that answers: they are dialled one after the other, a little apart and not waiting
 * for each other; who is connected first is handed to the user, who asks the other side who it is, and goes on with the
 * next if it is not the right one. One of them at a time: a neighbour that is reached by two ways hears one HELLO.
 *
 * Loop thread only.
 */
#ifndef PCCL_TRANSPORT_DIALLER_H
#define PCCL_TRANSPORT_DIALLER_H

#include "base/time.h"
#include "transport/transport.h"

#define PCCL_DIALLER_PLACES_MAX 24u
#define PCCL_DIALLER_APART_NS (250 * PCCL_MS_NS)
#define PCCL_DIALLER_REASON_BYTES 256

/* Where something listens, and the wire to it. */
struct pccl_place {
	const struct pccl_transport *transport;
	struct pccl_address address;
	struct pccl_address from; /* of this host, without port; no bytes: whichever the system wants */
};

struct pccl_dialler;

struct pccl_dialler_try {
	struct pccl_dialler *dialler;
	struct pccl_stream *stream; /* NULL: not dialled yet, failed, or handed over */
	bool dialled;
	bool connected; /* and waits for its turn */
	bool unfit;	/* it failed, and would again: transport.h */
};

/* Memory of the user; zeroed before the first use. */
struct pccl_dialler {
	struct pccl_loop *loop;
	const struct pccl_place *places; /* the user's; they stay until pccl_dialler_stop() */
	uint32_t place_count;
	uint32_t way_count; /* so many places come before the others; of these, or of all if it is 0, */
	uint32_t first;	    /* this is the index of the one that comes first in the order; */
	uint32_t begin;	    /* so many further in the order is begun, and those before come at the end */
	/* The stream is detached and the user's; inside, it may call stop(). */
	void (*connected)(void *context, struct pccl_stream *stream, uint32_t place);
	/* None of them is it; the reasons of all, as far as there is room. */
	void (*failed)(void *context, const char *reason);
	void *context;

	bool busy;	   /* the user has one, */
	uint32_t busy_try; /* which */
	struct pccl_timer timer;
	struct pccl_dialler_try tries[PCCL_DIALLER_PLACES_MAX]; /* by place */
	char reason[PCCL_DIALLER_REASON_BYTES];
};

/* places[first] must be one (of the ways, if there are any); the fields above `busy` are set. A callback follows, never
 * from inside this call. */
void pccl_dialler_start(struct pccl_dialler *dialler);

/* The one that was handed over is not it: the next, please. `reason` in words; `unfit`: dialling that place again is in
 * vain, as its stream said. No callback from inside. */
void pccl_dialler_next(struct pccl_dialler *dialler, const char *reason, bool unfit);

/* Did all of the places fail so, that it would be in vain to dial them again? */
bool pccl_dialler_is_unfit(const struct pccl_dialler *dialler);

/* Where that place is in the order. */
uint32_t pccl_dialler_turn_of(const struct pccl_dialler *dialler, uint32_t place);
/* Where in the order to begin next time, so that all have their turn: after the one that was handed over, or with the
 * one that would have been dialled next. */
uint32_t pccl_dialler_goes_on_at(const struct pccl_dialler *dialler);

/* Is there anything left to be tried, beside the one that was handed over? */
bool pccl_dialler_has_more(const struct pccl_dialler *dialler);

/* Hangs up on all but those that were handed over; no callback any more. Also for zeroed memory. */
void pccl_dialler_stop(struct pccl_dialler *dialler);

#endif
