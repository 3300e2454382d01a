#include "transport/rdma/flow.h"

/* The 32 bits: 0 and the bytes; 1, 0, messages heard, bytes read; 1, 1 and a word. */
#define NOTE 0x80000000u
#define WORD 0xc0000000u
#define HEARD_SHIFT 20
#define HEARD_MASK 0x3ffu
#define READ_MASK 0xfffffu

static size_t smaller(size_t left, size_t right)
{
	return left < right ? left : right;
}

/* From a position to the end of the ring. */
static size_t straight(uint64_t position, size_t *at_out)
{
	*at_out = (size_t)(position % PCCL_FLOW_RING_BYTES);
	return PCCL_FLOW_RING_BYTES - *at_out;
}

size_t pccl_flow_room(const struct pccl_flow *flow, size_t *at_out)
{
	size_t room = PCCL_FLOW_RING_BYTES - (size_t)(flow->put - flow->returned);

	room = smaller(smaller(room, PCCL_FLOW_PIECE_BYTES), straight(flow->put, at_out));
	return flow->slots < PCCL_FLOW_SLOTS ? room : 0;
}

uint32_t pccl_flow_put(struct pccl_flow *flow, size_t bytes)
{
	flow->put += bytes;
	flow->slots++;
	return (uint32_t)bytes;
}

static bool hear_bytes(struct pccl_flow *flow, uint32_t bytes)
{
	if (flow->ended || bytes == 0 || bytes > PCCL_FLOW_PIECE_BYTES || flow->heard >= PCCL_FLOW_SLOTS ||
	    bytes > PCCL_FLOW_RING_BYTES - (flow->arrived - flow->told))
		return false;
	flow->arrived += bytes;
	flow->heard++;
	return true;
}

static bool hear_note(struct pccl_flow *flow, uint32_t note)
{
	uint32_t heard = note >> HEARD_SHIFT & HEARD_MASK;
	uint32_t read = note & READ_MASK;

	if ((heard == 0 && read == 0) || heard > flow->slots || read > flow->put - flow->returned)
		return false;
	flow->slots -= heard;
	flow->returned += read;
	return true;
}

static bool hear_word(struct pccl_flow *flow, uint32_t word)
{
	bool *said = word == PCCL_FLOW_PROBE ? &flow->probed : word == PCCL_FLOW_END ? &flow->ended : NULL;

	if (said == NULL || *said)
		return false;
	*said = true;
	return true;
}

bool pccl_flow_tells_bytes(uint32_t said)
{
	return (said & NOTE) == 0;
}

bool pccl_flow_hear(struct pccl_flow *flow, uint32_t said)
{
	if (pccl_flow_tells_bytes(said))
		return hear_bytes(flow, said);
	return (said & WORD) == WORD ? hear_word(flow, said) : hear_note(flow, said);
}

size_t pccl_flow_there(const struct pccl_flow *flow, size_t *at_out)
{
	return smaller((size_t)(flow->arrived - flow->taken), straight(flow->taken, at_out));
}

void pccl_flow_take(struct pccl_flow *flow, size_t bytes)
{
	flow->taken += bytes;
}

bool pccl_flow_owes(const struct pccl_flow *flow, uint32_t *note_out)
{
	uint32_t read = (uint32_t)(flow->taken - flow->told);

	*note_out = NOTE | flow->heard << HEARD_SHIFT | read;
	return read >= PCCL_FLOW_RING_BYTES / 4 || flow->heard >= PCCL_FLOW_SLOTS / 4;
}

void pccl_flow_settle(struct pccl_flow *flow)
{
	flow->told = flow->taken;
	flow->heard = 0;
}
