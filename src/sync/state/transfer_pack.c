/* See transfer.h. The lossless stage: parts of tensors travel compressed where that pays. Each frame says so for
 * itself; what would not get smaller, or finds no slot to wait for its acknowledgement in, travels as it is. What comes
 * packed is read to where the whole part belongs, and unpacked there. */
#include <assert.h>

#include "base/fail.h"
#include "base/memory.h"
#include "collectives/codec/codec_lossless.h"
#include "collectives/element/dtype.h"
#include "sync/state/transfer_internal.h"

/* As many as are asked of a source at a time. Pages that are never used cost nothing. */
#define SLOTS_PER_RANK (PCCL_TRANSFER_WINDOW_BYTES / PCCL_TRANSFER_PART_BYTES)
#define SLOTS_MAX 256

/* What saves less than one in so many parts is not worth the receiver's trouble. */
#define SAVES_LEAST 64

/* Its address is the token, a multiple of 4. */
struct pccl_packed {
	struct pccl_packed *next; /* of those that are free */
};

/* ---- memory ------------------------------ */

bool pccl_transfer_make_lossless(struct pccl_transfer *transfer)
{
	return transfer->lossless != NULL ||
	       pccl_lossless_create(PCCL_TRANSFER_PART_BYTES, &transfer->lossless) == pcclSuccess;
}

static bool make_slots(struct pccl_transfer *transfer)
{
	uint32_t count = transfer->rank_count * SLOTS_PER_RANK, slot;

	if (transfer->packed != NULL)
		return true;
	if (count > SLOTS_MAX)
		count = SLOTS_MAX;
	transfer->packed = pccl_calloc(count, sizeof(*transfer->packed));
	transfer->packed_memory = pccl_alloc_aligned(64, (size_t)count * PCCL_TRANSFER_PART_BYTES);
	if (transfer->packed == NULL || transfer->packed_memory == NULL) {
		pccl_transfer_forget_packed(transfer);
		return false;
	}
	transfer->packed_count = count;
	for (slot = count; slot-- > 0; transfer->packed_free = &transfer->packed[slot])
		transfer->packed[slot].next = transfer->packed_free;
	return true;
}

void pccl_transfer_forget_packed(struct pccl_transfer *transfer)
{
	pccl_lossless_destroy(transfer->lossless);
	pccl_free(transfer->packed);
	pccl_free(transfer->packed_memory);
	transfer->lossless = NULL;
	transfer->packed = NULL;
	transfer->packed_memory = NULL;
	transfer->packed_free = NULL;
	transfer->packed_count = 0;
}

/* ---- out ------------------------------ */

static bool is_wanted(const struct pccl_transfer *transfer, pcclDataType_t type)
{
	const struct pccl_packer *packer = &transfer->config.packer;

	if (transfer->config.packing == PCCL_PACK_ALWAYS)
		return true;
	return packer->choose != NULL && packer->choose(packer->context, type);
}

void pccl_transfer_pack(struct pccl_transfer *transfer, uint32_t chunk, struct pccl_frame_send *send)
{
	const pcclDataType_t type = pccl_inventory_type(transfer->inventory, chunk);
	const struct pccl_packer *packer = &transfer->config.packer;
	const uint32_t bytes = send->frame.payload_bytes;
	struct pccl_packed *slot;
	uint8_t *room;
	size_t packed_bytes;

	if (transfer->config.packing == PCCL_PACK_NEVER || bytes < PCCL_TRANSFER_PACKED_LEAST ||
	    !pccl_transfer_make_lossless(transfer) || !make_slots(transfer) || transfer->packed_free == NULL ||
	    !is_wanted(transfer, type))
		return;
	slot = transfer->packed_free;
	room = transfer->packed_memory + (size_t)(slot - transfer->packed) * PCCL_TRANSFER_PART_BYTES;
	packed_bytes = pccl_lossless_encode(transfer->lossless, send->payload, bytes / pccl_dtype_bytes(type), type,
					    room, bytes - bytes / SAVES_LEAST);
	if (transfer->config.packing != PCCL_PACK_ALWAYS)
		packer->learn(packer->context, type, bytes, (uint32_t)packed_bytes);
	if (packed_bytes == 0)
		return;
	transfer->packed_free = slot->next;
	send->frame.flags |= PCCL_FRAME_PACKED;
	send->frame.payload_bytes = (uint32_t)packed_bytes;
	send->payload = room;
	send->token = slot;
}

void pccl_transfer_sent(struct pccl_transfer *transfer, void *token)
{
	struct pccl_packed *slot = token;

	/* Of a call that has ended nothing is sent any more: its frames were forgotten. */
	assert(slot >= transfer->packed && slot < transfer->packed + transfer->packed_count);
	slot->next = transfer->packed_free;
	transfer->packed_free = slot;
}

/* ---- in ------------------------------ */

bool pccl_transfer_unpack(struct pccl_transfer *transfer, uint32_t chunk, uint8_t *at, size_t packed_bytes,
			  size_t bytes)
{
	const pcclDataType_t type = pccl_inventory_type(transfer->inventory, chunk);

	return pccl_lossless_decode(transfer->lossless, at, packed_bytes, bytes / pccl_dtype_bytes(type), type, at) ==
	       pcclSuccess;
}
