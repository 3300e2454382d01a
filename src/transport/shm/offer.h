/*
 * How two ends of a connection come to share memory, in four messages of one size, before the first frame:
 *
 *	dialler		OFFER: its own port, which the other side must see as the caller's: else something is in between
 *	acceptor	NAME: of a datagram socket in its network namespace
 *	dialler		GIVEN: the memory is in that socket
 *	acceptor	TAKEN
 *
 * Either may answer DECLINED instead, and both go on over the connection. docs/PROTOCOL.md has the bytes.
 */
#ifndef PCCL_TRANSPORT_SHM_OFFER_H
#define PCCL_TRANSPORT_SHM_OFFER_H

#include <pccl.h>

#include "transport/shm/ring.h"

#define PCCL_OFFER_BYTES 32u
#define PCCL_OFFER_TOKEN_BYTES 16u
#define PCCL_OFFER_MEMORY_BYTES (2 * (PCCL_RING_HEAD_BYTES + PCCL_RING_BYTES))

/* Values are wire format. */
enum pccl_offer_kind {
	PCCL_OFFER_OFFER = 1,
	PCCL_OFFER_NAME = 2,
	PCCL_OFFER_GIVEN = 3,
	PCCL_OFFER_TAKEN = 4,
	PCCL_OFFER_DECLINED = 5
};

struct pccl_offer {
	enum pccl_offer_kind kind;
	uint16_t port;			       /* OFFER */
	uint8_t token[PCCL_OFFER_TOKEN_BYTES]; /* NAME */
};

void pccl_offer_encode(const struct pccl_offer *offer, uint8_t out[PCCL_OFFER_BYTES]);
/* False: it is none, or of another version. */
bool pccl_offer_decode(const uint8_t in[PCCL_OFFER_BYTES], struct pccl_offer *offer_out);
/* The first byte of a connection tells an offer from a frame. */
bool pccl_offer_begins(uint8_t first);

/* A datagram socket under a new name, which is put into token_out. -1 with the cause in words. */
int pccl_offer_open_post(uint8_t token_out[PCCL_OFFER_TOKEN_BYTES]);
/* New memory for two rings, sent there; the caller unmaps it. NULL with the cause in words. */
void *pccl_offer_give(const uint8_t token[PCCL_OFFER_TOKEN_BYTES]);
/* What came to the socket from this process's user, if it is such memory. NULL with the cause in words. */
void *pccl_offer_take(int post);
void pccl_offer_unmap(void *memory);

#endif
