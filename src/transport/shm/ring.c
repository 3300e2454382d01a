/* See ring.h. Positions grow for ever, and wrap with their type. */
#include "transport/shm/ring.h"

#include <assert.h>
#include <string.h>

#define LINE_BYTES 64 /* of a cache: what one side writes often is apart from what the other does */

/* The layout is shared by two processes, which may be of two builds of this library: it changes with the version of the
 * offer (shm_offer.c). */
struct pccl_ring_head {
	uint64_t written;
	uint8_t pad_written[LINE_BYTES - sizeof(uint64_t)];
	uint64_t read;
	uint8_t pad_read[LINE_BYTES - sizeof(uint64_t)];
	uint32_t reader_waits;
	uint8_t pad_reader[LINE_BYTES - sizeof(uint32_t)];
	uint32_t writer_waits;
	uint8_t pad_writer[LINE_BYTES - sizeof(uint32_t)];
};

static size_t smaller(size_t left, size_t right)
{
	return left < right ? left : right;
}

void pccl_ring_open(struct pccl_ring *ring, void *memory)
{
	assert(sizeof(struct pccl_ring_head) == PCCL_RING_HEAD_BYTES);
	assert((uintptr_t)memory % LINE_BYTES == 0);
	memset(ring, 0, sizeof(*ring));
	ring->head = memory;
	ring->bytes = (uint8_t *)memory + PCCL_RING_HEAD_BYTES;
}

/* ---- waiting ------------------------------------------------------------------------------------------------- */

/* Each side publishes its position before it looks whether the other one waits, and says that it waits before it looks
 * at the other's position again: so one of the two sees the other. */
static bool take_flag(uint32_t *flag)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0 && __atomic_exchange_n(flag, 0, __ATOMIC_SEQ_CST) != 0;
}

static void raise_flag(uint32_t *flag)
{
	__atomic_store_n(flag, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* It does not wait after all. If the other side has just taken the flag, it wakes this one for nothing. */
static void lower_flag(uint32_t *flag)
{
	__atomic_store_n(flag, 0, __ATOMIC_SEQ_CST);
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

/* Bytes that are written and not read; more than fit: nonsense. */
static uint64_t filled_by_writer(const struct pccl_ring *ring)
{
	return ring->own - __atomic_load_n(&ring->head->read, __ATOMIC_ACQUIRE);
}

ssize_t pccl_ring_put(struct pccl_ring *ring, const void *from, size_t bytes, bool *wake_out)
{
	uint64_t filled = filled_by_writer(ring);
	uint64_t at = ring->own % PCCL_RING_BYTES;
	size_t to_end = (size_t)(PCCL_RING_BYTES - at);

	*wake_out = false;
	if (filled > PCCL_RING_BYTES)
		return -1;
	bytes = smaller(smaller(bytes, PCCL_RING_PIECE_BYTES), (size_t)(PCCL_RING_BYTES - filled));
	if (bytes == 0)
		return 0;
	memcpy(ring->bytes + at, from, smaller(bytes, to_end));
	if (bytes > to_end)
		memcpy(ring->bytes, (const uint8_t *)from + to_end, bytes - to_end);
	ring->own += bytes;
	__atomic_store_n(&ring->head->written, ring->own, __ATOMIC_RELEASE);
	*wake_out = take_flag(&ring->head->reader_waits);
	return (ssize_t)bytes;
}

/* Woken for a few bytes of room, a writer would wait again at once: it waits for half of it all. */
static bool has_room(uint64_t filled)
{
	return filled <= PCCL_RING_BYTES / 2;
}

bool pccl_ring_await_room(struct pccl_ring *ring)
{
	raise_flag(&ring->head->writer_waits);
	if (!has_room(filled_by_writer(ring)))
		return true;
	lower_flag(&ring->head->writer_waits);
	return false;
}

uint64_t pccl_ring_read_by_other(const struct pccl_ring *ring)
{
	uint64_t filled = filled_by_writer(ring);

	return filled > PCCL_RING_BYTES ? 0 : ring->own - filled;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static uint64_t filled_by_other(const struct pccl_ring *ring)
{
	return __atomic_load_n(&ring->head->written, __ATOMIC_ACQUIRE) - ring->own;
}

ssize_t pccl_ring_take(struct pccl_ring *ring, void *to, size_t bytes, bool *wake_out)
{
	uint64_t filled = filled_by_other(ring);
	uint64_t at = ring->own % PCCL_RING_BYTES;
	size_t to_end = (size_t)(PCCL_RING_BYTES - at);

	*wake_out = false;
	if (filled > PCCL_RING_BYTES)
		return -1;
	bytes = smaller(smaller(bytes, PCCL_RING_PIECE_BYTES), (size_t)filled);
	if (bytes == 0)
		return 0;
	if (to != NULL)
		memcpy(to, ring->bytes + at, smaller(bytes, to_end));
	if (to != NULL && bytes > to_end)
		memcpy((uint8_t *)to + to_end, ring->bytes, bytes - to_end);
	ring->own += bytes;
	__atomic_store_n(&ring->head->read, ring->own, __ATOMIC_RELEASE);
	*wake_out = has_room(filled - bytes) && take_flag(&ring->head->writer_waits);
	return (ssize_t)bytes;
}

bool pccl_ring_await_bytes(struct pccl_ring *ring)
{
	raise_flag(&ring->head->reader_waits);
	if (filled_by_other(ring) == 0)
		return true;
	lower_flag(&ring->head->reader_waits);
	return false;
}
