/*
 * The exchange of one round, as one peer sees it: a roll call, then the fragment's pieces, and all of it once more if a
 * member was lost. Who runs it does the two operations and says what became of them; what is decided here depends on
 * nothing but that and is the same on all survivors. Pure.
 *
 *	pccl_exchange_begin()
 *	do
 *		next = pccl_exchange_rolled()		after each roll call
 *		if (next == PCCL_EXCHANGE_PIECES)	all pieces are launched, whatever becomes of one, and awaited
 *			pccl_exchange_piece()		for each
 *			next = pccl_exchange_settle()
 *	while (next == PCCL_EXCHANGE_AGAIN);
 *
 * All pieces, for the others do not know yet that one has failed: an operation that only some of them launched would
 * wait for ever.
 */
#ifndef PCCL_SYNC_DILOCO_EXCHANGE_H
#define PCCL_SYNC_DILOCO_EXCHANGE_H

#include "sync/diloco/roll.h"

enum pccl_exchange_next {
	PCCL_EXCHANGE_AGAIN,  /* from the roll call on */
	PCCL_EXCHANGE_PIECES, /* `contribution` is what this peer gives, in place, with `scratch` for residual */
	PCCL_EXCHANGE_ENDED,  /* `contribution` is the mean */
	PCCL_EXCHANGE_FAILED  /* as `result` says */
};

struct pccl_exchange {
	/* set before the beginning */
	struct pccl_roll_entry entry; /* this peer's */
	const float *gradient;	      /* untouched until the end */
	float *contribution;
	float *residual; /* what error feedback has kept; changes when the exchange counts, once. NULL: none */
	float *scratch;	 /* likewise */
	size_t count;	 /* elements of all of them */

	struct pccl_roll_result roll;
	uint32_t present; /* peers in the roll call; 1: alone */
	uint32_t repeated;
	bool is_alone;
	pcclResult_t result; /* the worst of the attempt so far */
};

void pccl_exchange_begin(struct pccl_exchange *exchange);

/* `result`: of the all-gather. pcclTooFewPeers: there is nobody else. */
enum pccl_exchange_next pccl_exchange_rolled(struct pccl_exchange *exchange, pcclResult_t result,
					     const uint8_t *entries, uint32_t present);

/* A piece has ended, with so many participants. */
void pccl_exchange_piece(struct pccl_exchange *exchange, pcclResult_t result, uint32_t least, uint32_t most);

/* All pieces have. */
enum pccl_exchange_next pccl_exchange_settle(struct pccl_exchange *exchange);

#endif
