/*
 * What two ends of a connection say to each other before the first frame, to come to a pair of queues:
 *
 *	dialler		OFFER
 *	acceptor	TAKEN and its end of the pair, or DECLINED
 *	dialler		JOINED and its own end, or DECLINED
 *	acceptor	READY: something has gone through the pair and was acknowledged; or DECLINED
 *
 * After DECLINED both go on over the connection. A word has the form of an offer of shared memory in a version that
 * shm/ doesn't know, so that it declines by itself. docs/PROTOCOL.md has the bytes. Pure.
 */
#ifndef PCCL_TRANSPORT_RDMA_TERMS_H
#define PCCL_TRANSPORT_RDMA_TERMS_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#define PCCL_TERMS_WORD_BYTES 32u
#define PCCL_TERMS_END_BYTES 64u
#define PCCL_TERMS_GID_BYTES 16u
#define PCCL_TERMS_NUMBER_MAX 0xffffffu /* of a queue pair, or a packet */

/* Values are wire format. */
enum pccl_terms_word {
	PCCL_TERMS_OFFER = 1,
	PCCL_TERMS_TAKEN = 2, /* an end follows */
	PCCL_TERMS_DECLINED = 3,
	PCCL_TERMS_JOINED = 4, /* an end follows */
	PCCL_TERMS_READY = 5
};

enum pccl_terms_link { PCCL_TERMS_INFINIBAND = 1, PCCL_TERMS_ETHERNET = 2 };

/* One end of a pair: where its packets go, and where its ring is. */
struct pccl_terms_end {
	uint8_t gid[PCCL_TERMS_GID_BYTES];
	uint64_t ring; /* its address, as the other device is to say it */
	uint32_t key;  /* to write there */
	uint32_t ring_bytes;
	uint32_t slots;	       /* messages that it hears without telling of them */
	uint32_t number;       /* of the queue pair */
	uint32_t first_packet; /* that it sends: its number */
	uint16_t lid;	       /* InfiniBand only */
	uint8_t mtu;	       /* as verbs count it: 1 is 256 bytes, 5 is 4096 */
	uint8_t link;	       /* pccl_terms_link */
};

void pccl_terms_encode_word(enum pccl_terms_word word, uint8_t out[PCCL_TERMS_WORD_BYTES]);
/* An offer of the rail-th of several devices that both sides may have. */
void pccl_terms_encode_offer(uint8_t rail, uint8_t out[PCCL_TERMS_WORD_BYTES]);
uint8_t pccl_terms_offer_rail(const uint8_t in[PCCL_TERMS_WORD_BYTES]);
/* False: it is none, or of another version; DECLINED is understood in all. */
bool pccl_terms_decode_word(const uint8_t in[PCCL_TERMS_WORD_BYTES], enum pccl_terms_word *word_out);
/* Do these bytes, the first of a connection, begin a word? More of them may say no. */
bool pccl_terms_may_begin(const uint8_t *bytes, uint32_t count);
/* Or an offer of shared memory, which has the same length and is answered by DECLINED? */
bool pccl_terms_is_foreign_offer(const uint8_t in[PCCL_TERMS_WORD_BYTES]);

void pccl_terms_encode_end(const struct pccl_terms_end *end, uint8_t out[PCCL_TERMS_END_BYTES]);
/* False: what nobody of this version says. */
bool pccl_terms_decode_end(const uint8_t in[PCCL_TERMS_END_BYTES], struct pccl_terms_end *end_out);
/* Can the two be one pair? pcclSystemError says why not. */
pcclResult_t pccl_terms_match(const struct pccl_terms_end *own, const struct pccl_terms_end *other);

#endif
