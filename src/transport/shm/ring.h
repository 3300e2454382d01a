/*
 * Bytes one way through memory that two processes share: one writes, the other reads, and neither trusts the other.
 * Each side keeps its own position to itself and publishes it; the other's is read once and believed only as far as it
 * makes sense. Who finds no bytes, or no room, says so in the memory and is to be woken by the other side.
 *
 * Pure, but for the memory.
 */
#ifndef PCCL_TRANSPORT_SHM_RING_H
#define PCCL_TRANSPORT_SHM_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PCCL_RING_HEAD_BYTES 256u	    /* of memory in front of the bytes */
#define PCCL_RING_BYTES (UINT64_C(1) << 19) /* that fit: few enough to stay in the caches */
#define PCCL_RING_PIECE_BYTES (64u << 10)   /* published at a time, so that the other side can begin */

struct pccl_ring_head;

/* One side of a ring. */
struct pccl_ring {
	struct pccl_ring_head *head; /* shared, as the next */
	uint8_t *bytes;
	uint64_t own; /* bytes that have been written, or read, by this side */
};

/* `memory`: PCCL_RING_HEAD_BYTES zeroes, aligned to them, then room for PCCL_RING_BYTES. */
void pccl_ring_open(struct pccl_ring *ring, void *memory);

/* Writes, or reads, at most a piece. How many bytes; 0: no room, or nothing there; -1: the other side's position makes
 * no sense. A read to NULL throws away. *wake_out: the other side waits for this, and is to be woken. */
ssize_t pccl_ring_put(struct pccl_ring *ring, const void *from, size_t bytes, bool *wake_out);
ssize_t pccl_ring_take(struct pccl_ring *ring, void *to, size_t bytes, bool *wake_out);

/* After put(), or take(), said 0: is this side to wait? Then it is woken, once. False: there is room, or something, by
 * now. */
bool pccl_ring_await_room(struct pccl_ring *ring);
bool pccl_ring_await_bytes(struct pccl_ring *ring);

/* Of what this side has written: how much the other one has read, as far as can be believed. */
uint64_t pccl_ring_read_by_other(const struct pccl_ring *ring);

#endif
