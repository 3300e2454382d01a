/*
 * How two ends of a connection come to share memory, by an offer and its answer, before the first frame:
 *
 *	dialler		OFFER: memory it has made, as a descriptor of its process, and bells, whose descriptors the
 *			memory tells; and its own port, which the other side must see as the caller's: else
 *			something is in between
 *	acceptor	TAKEN, or DECLINED: both go on over the connection
 *
 * The acceptor opens the descriptor in /proc, which the kernel lets only processes of the same user do, and takes
 * nothing but a memfd of that user that can't be resized and holds the offer's token, and bells that are pipes of that
 * user. docs/PROTOCOL.md has the bytes.
 */
#ifndef PCCL_TRANSPORT_SHM_OFFER_H
#define PCCL_TRANSPORT_SHM_OFFER_H

#include <pccl.h>

#include "transport/shm/ring.h"

#define PCCL_OFFER_BYTES 32u
#define PCCL_OFFER_TOKEN_BYTES 16u
#define PCCL_OFFER_TAIL_BYTES 256u /* behind the rings: the token, the bells, and zeroes */
#define PCCL_OFFER_MEMORY_BYTES (2 * (PCCL_RING_HEAD_BYTES + PCCL_RING_BYTES) + PCCL_OFFER_TAIL_BYTES)

/* Values are wire format. */
enum pccl_offer_kind { PCCL_OFFER_OFFER = 1, PCCL_OFFER_TAKEN = 2, PCCL_OFFER_DECLINED = 3 };

/* All but the kind: of OFFER. */
struct pccl_offer {
	enum pccl_offer_kind kind;
	uint16_t port;
	uint32_t process;
	uint32_t descriptor;
	uint8_t token[PCCL_OFFER_TOKEN_BYTES];
};

void pccl_offer_encode(const struct pccl_offer *offer, uint8_t out[PCCL_OFFER_BYTES]);
/* False: it is none, or of another version; DECLINED is understood in all. */
bool pccl_offer_decode(const uint8_t in[PCCL_OFFER_BYTES], struct pccl_offer *offer_out);
/* The first byte of a connection tells an offer from a frame. */
bool pccl_offer_begins(uint8_t first);

/* What two sides share: memory for two rings, and for each side a pipe that wakes it, open both ways so that no end of
 * the other side is an end of the pipe. */
struct pccl_shared {
	void *memory; /* NULL: nothing is shared */
	int hears;    /* a byte comes: this side is to look; -1: none, as the next */
	int rings;    /* the other side's */
};

/* New memory and bells, and all that an offer says of them; the memory's descriptor is the caller's to close with
 * pccl_fork_close(), after the answer. False with the cause in words. */
bool pccl_offer_make(struct pccl_offer *offer, struct pccl_shared *shared_out);
/* What is offered. False with the cause in words. */
bool pccl_offer_take(const struct pccl_offer *offer, struct pccl_shared *shared_out);
/* Lets go of it all; nothing that is shared is allowed. */
void pccl_offer_drop(struct pccl_shared *shared);

#endif
