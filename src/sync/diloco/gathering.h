/*
 * Rounds with a quorum: do all members wait on, or does the round begin without those who have not come? What every
 * member says of itself is gathered again and again; from the same entries all come to the same. Pure.
 */
#ifndef PCCL_SYNC_DILOCO_GATHERING_H
#define PCCL_SYNC_DILOCO_GATHERING_H

#include <pccl.h>
#include <stdint.h>

#include "sync/state/digest.h"

#define PCCL_GATHERING_BYTES 44

enum pccl_gathering_presence {
	PCCL_GATHERING_AWAY,	/* its caller trains */
	PCCL_GATHERING_ARRIVED, /* its caller waits for the round */
	PCCL_GATHERING_FLUSHES	/* it waits for all others to do so */
};

struct pccl_gathering_entry {
	enum pccl_gathering_presence presence;
	uint64_t number;    /* of the gathering: how many have come to a round before */
	uint64_t waited_ns; /* who has arrived: since */
	struct pccl_digest signature;
};

enum pccl_gathering_next {
	PCCL_GATHERING_WAITS,
	PCCL_GATHERING_CALLS, /* the quorum is there: who is away may come early */
	PCCL_GATHERING_GOES,  /* the round begins */
	PCCL_GATHERING_ENDS   /* all flush */
};

void pccl_gathering_encode(const struct pccl_gathering_entry *entry, uint8_t out[PCCL_GATHERING_BYTES]);

/* `quorum`: as many have to have come, or all if there are fewer. The round begins when all are there, or when so many
 * have waited for as long as `grace_ns`. pcclMismatch: members are not of one training, or some flush while all others
 * wait for a round. All get the same. */
pcclResult_t pccl_gathering_read(const uint8_t *entries, uint32_t count, uint32_t quorum, uint64_t grace_ns,
				 enum pccl_gathering_next *next_out);

#endif
