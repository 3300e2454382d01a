/* See transfer.h. What others want. */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "sync/state/transfer_internal.h"

static const uint8_t *document(const struct pccl_inventory *inventory, enum pccl_state_space space)
{
	if (space == PCCL_STATE_KEYS)
		return inventory->keys;
	return (const uint8_t *)(space == PCCL_STATE_LEAVES ? inventory->leaves
							    : inventory->leaves + inventory->strict_chunks);
}

uint64_t pccl_state_document_bytes(const struct pccl_inventory *inventory, enum pccl_state_space space)
{
	assert(space != PCCL_STATE_CHUNKS);
	if (space == PCCL_STATE_KEYS)
		return inventory->keys_bytes;
	if (space == PCCL_STATE_LEAVES)
		return (uint64_t)inventory->strict_chunks * sizeof(*inventory->leaves);
	return (uint64_t)(inventory->chunk_count - inventory->strict_chunks) * sizeof(*inventory->leaves);
}

static uint64_t chunks_of(const struct pccl_inventory *inventory, uint8_t space)
{
	if (space == PCCL_STATE_CHUNKS)
		return inventory->chunk_count;
	return pccl_chunk_count(pccl_state_document_bytes(inventory, space));
}

/* Whoever has had so much of it keeps nobody busy any more. */
static bool has_had_enough(const struct pccl_transfer *transfer, const struct pccl_transfer_rank *who)
{
	const uint64_t states = transfer->config.states_max;

	return states > 0 && who->served / states >= transfer->inventory->bytes;
}

static const uint8_t *find(const struct pccl_inventory *inventory, const struct pccl_wanted *wanted, size_t *bytes_out)
{
	if (wanted->space == PCCL_STATE_CHUNKS)
		return pccl_inventory_place(inventory, wanted->chunk, bytes_out);
	*bytes_out = pccl_chunk_length(pccl_state_document_bytes(inventory, wanted->space), wanted->chunk);
	return document(inventory, wanted->space) + (size_t)wanted->chunk * PCCL_CHUNK_BYTES;
}

/* Of a call that has ended here, or has not begun, nothing is kept: who asks has seen no offer. */
static bool is_ours(const struct pccl_transfer *transfer, const struct pccl_frame *frame)
{
	return transfer->open && transfer->serves && frame->tag == transfer->sync;
}

enum pccl_frame_verdict pccl_transfer_accept_want(struct pccl_transfer *transfer, uint32_t rank,
						  const struct pccl_frame *frame)
{
	if (!is_ours(transfer, frame))
		return PCCL_FRAME_DISCARD;
	if (frame->sequence > PCCL_STATE_LOOSE ||
	    frame->segment >= chunks_of(transfer->inventory, (uint8_t)frame->sequence)) {
		pccl_fail(pcclRankConnectionLost, "a peer wants chunk %u of space %u, which this state has not",
			  frame->segment, frame->sequence);
		return PCCL_FRAME_REJECT;
	}
	if (transfer->ranks[rank].wanted_count >= PCCL_TRANSFER_WANTS_MAX) {
		pccl_fail(pcclRankConnectionLost, "a peer wants more than %u chunks at once", PCCL_TRANSFER_WANTS_MAX);
		return PCCL_FRAME_REJECT;
	}
	return PCCL_FRAME_TAKE;
}

void pccl_transfer_received_want(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];
	struct pccl_wanted *wanted;

	if (!is_ours(transfer, frame) || who->wanted_count >= PCCL_TRANSFER_WANTS_MAX || has_had_enough(transfer, who))
		return;
	wanted = &who->wanted[(who->wanted_first + who->wanted_count) % PCCL_TRANSFER_WANTS_MAX];
	wanted->space = (uint8_t)frame->sequence;
	wanted->chunk = frame->segment;
	who->wanted_count++;
	pccl_transfer_wake(transfer, rank);
}

bool pccl_transfer_next_part(struct pccl_transfer *transfer, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];
	const struct pccl_wanted *wanted = &who->wanted[who->wanted_first];
	const uint8_t *bytes;
	size_t chunk_bytes, from, left;

	if (who->wanted_count == 0)
		return false;
	bytes = find(transfer->inventory, wanted, &chunk_bytes);
	from = (size_t)who->part * PCCL_TRANSFER_PART_BYTES;
	assert(from < chunk_bytes);
	left = chunk_bytes - from;
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = PCCL_FRAME_PART;
	send_out->frame.tag = transfer->sync;
	send_out->frame.sequence = wanted->space;
	send_out->frame.segment = wanted->chunk;
	send_out->frame.aux = who->part;
	send_out->frame.payload_bytes = left < PCCL_TRANSFER_PART_BYTES ? (uint32_t)left : PCCL_TRANSFER_PART_BYTES;
	send_out->payload = bytes + from;
	send_out->cookie = transfer;
	who->served += send_out->frame.payload_bytes;
	if (wanted->space == PCCL_STATE_CHUNKS) {
		transfer->tx_bytes += send_out->frame.payload_bytes;
		pccl_transfer_pack(transfer, wanted->chunk, send_out);
		transfer->tx_wire_bytes += send_out->frame.payload_bytes;
	}
	who->part++;
	if (left <= PCCL_TRANSFER_PART_BYTES) {
		who->part = 0;
		who->wanted_first = (who->wanted_first + 1) % PCCL_TRANSFER_WANTS_MAX;
		who->wanted_count--;
	}
	return true;
}
