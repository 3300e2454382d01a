/*
 * Who may write how much into the other side's ring: bytes and messages that are on their way or not read yet, both
 * bounded. A message carries 32 bits beside what it writes: how many bytes that were; or that bytes have been read and
 * messages heard, which gives room back; or a word. Each message uses up one of the receives that the other side has
 * posted: as many as there are slots, and some for what takes no slot. Nothing that the other side says is believed
 * beyond what it was allowed. Pure.
 */
#ifndef PCCL_TRANSPORT_RDMA_FLOW_H
#define PCCL_TRANSPORT_RDMA_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCCL_FLOW_RING_BYTES (1u << 19)	  /* each way */
#define PCCL_FLOW_PIECE_BYTES (64u << 10) /* at most in a message, so that the other side can begin */
#define PCCL_FLOW_SLOTS 64u		  /* messages with bytes that are not told to have been heard */
/* Room is given back a quarter at a time, so at most eight such messages are on their way; and two words. */
#define PCCL_FLOW_NOTES 16u
#define PCCL_FLOW_RECEIVES (PCCL_FLOW_SLOTS + PCCL_FLOW_NOTES)

/* Words: */
#define PCCL_FLOW_PROBE 0xc0000001u /* the first thing through a pair, to see that the way is open */
#define PCCL_FLOW_END 0xc0000002u   /* nothing more will be written */

/* Positions grow for ever, and wrap with their type. */
struct pccl_flow {
	uint64_t put;	   /* bytes written to the other side */
	uint64_t returned; /* of those, read there */
	uint32_t slots;	   /* in use: messages with bytes that it has not told to have heard */
	uint64_t arrived;  /* bytes that it has written */
	uint64_t taken;	   /* of those, read */
	uint64_t told;	   /* of those, known to it to be read */
	uint32_t heard;	   /* messages with bytes that it doesn't know to have been heard */
	bool probed;	   /* words that have come */
	bool ended;
};

/* Bytes that may be written in one message now, without a gap; *at_out: where in the ring. */
size_t pccl_flow_room(const struct pccl_flow *flow, size_t *at_out);
/* They are written. Returns the message's 32 bits. */
uint32_t pccl_flow_put(struct pccl_flow *flow, size_t bytes);

/* Does a message with these 32 bits say that it has written so many bytes? */
bool pccl_flow_tells_bytes(uint32_t said);
/* A message has come. False: it makes no sense. */
bool pccl_flow_hear(struct pccl_flow *flow, uint32_t said);

/* Bytes that can be read without a gap; *at_out: where in the ring. */
size_t pccl_flow_there(const struct pccl_flow *flow, size_t *at_out);
void pccl_flow_take(struct pccl_flow *flow, size_t bytes);

/* Is it time to give room back? Then *note_out is the message's 32 bits, and it counts as sent by settle(). */
bool pccl_flow_owes(const struct pccl_flow *flow, uint32_t *note_out);
void pccl_flow_settle(struct pccl_flow *flow);

#endif
