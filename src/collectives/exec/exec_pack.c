/* The lossless stage. Whatever a segment's payload is, elements, sums or what a codec has made of them, it may travel
 * compressed, and is then *packed*. Each frame says so for itself: a segment that would not get smaller, or finds no
 * slot to wait for its acknowledgement in, travels as it is. So nobody waits for a slot, and nothing has to be agreed
 * upon.
 *
 * A packed payload is received where the whole one would come to, and unpacked there. So it goes only to ranks that are
 * known to have launched the op, and contributions only within credit. */
#include <assert.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "base/fail.h"
#include "base/memory.h"
#include "collectives/codec/codec_lossless.h"
#include "collectives/element/dtype.h"
#include "collectives/exec/exec_internal.h"

/* A segment whose sums are wider than its elements is twice as large. Of ops beyond 16 GiB segments are larger still:
 * those travel as they are. */
#define PACKED_WHOLE_MAX (2 * PCCL_SEGMENT_BYTES_MAX)
#define SLOT_BYTES PCCL_SEGMENT_BYTES_MAX
/* For as much as a slow connection keeps in its queues. Pages that are never used cost nothing. */
#define SLOTS_PER_RANK 16
#define SLOTS_MIN 32
#define SLOTS_MAX 512

/* What saves less than one in so many parts is not worth the receiver's trouble. */
#define SAVES_LEAST 64

/* Decisions, by segment and way, besides the number of the slot it is in; NONE: it travels as it is. */
#define UNDECIDED (NONE - 1)

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static pcclResult_t make_slots(struct pccl_exec *exec)
{
	uint32_t count = (exec->ranks - 1) * SLOTS_PER_RANK, slot;

	if (count < SLOTS_MIN)
		count = SLOTS_MIN;
	if (count > SLOTS_MAX)
		count = SLOTS_MAX;
	if (exec->config.packed_slots != 0)
		count = exec->config.packed_slots;
	exec->pack_slots = pccl_calloc(count, sizeof(*exec->pack_slots));
	exec->pack_memory = pccl_alloc_aligned(ALIGN_BYTES, (size_t)count * SLOT_BYTES);
	if (exec->pack_slots == NULL || exec->pack_memory == NULL) {
		pack_forget(exec);
		return pcclOutOfMemory;
	}
	exec->pack_slot_count = count;
	exec->pack_free = NONE;
	for (slot = count; slot-- > 0; exec->pack_free = slot)
		exec->pack_slots[slot].next = exec->pack_free;
	return pcclSuccess;
}

void pack_forget(struct pccl_exec *exec)
{
	pccl_free(exec->pack_slots);
	pccl_free(exec->pack_memory);
	exec->pack_slots = NULL;
	exec->pack_memory = NULL;
	exec->pack_slot_count = 0;
}

static uint32_t largest_whole(const struct op *op)
{
	const struct pccl_geometry *geometry = &op->launch.geometry;
	uint64_t elements = geometry->segment_elements;

	if (elements > geometry->chunk_elements)
		elements = geometry->chunk_elements;
	return (uint32_t)elements * (op->moves_sums ? op->partial_bytes : op->element_bytes);
}

pcclResult_t pack_prepare(struct pccl_exec *exec, struct op *op)
{
	uint32_t largest = largest_whole(op);

	op->unpacks = exec->ranks > 1 && largest >= PCCL_EXEC_PACKED_LEAST && largest <= PACKED_WHOLE_MAX;
	op->packs = op->unpacks && op->launch.packing != PCCL_PACK_NEVER;
	if (op->unpacks && exec->lossless == NULL &&
	    pccl_lossless_create(PACKED_WHOLE_MAX, &exec->lossless) != pcclSuccess)
		return pcclOutOfMemory;
	if (op->packs && exec->pack_slots == NULL)
		return make_slots(exec);
	return pcclSuccess;
}

void pack_open(struct op *op)
{
	uint32_t index;

	for (index = 0; op->packs && index < 2 * op->local_count; index++)
		op->packed[index] = UNDECIDED;
}

static void give_slot(struct pccl_exec *exec, uint32_t slot)
{
	exec->pack_slots[slot].op = NULL;
	exec->pack_slots[slot].next = exec->pack_free;
	exec->pack_free = slot;
}

void pack_close(struct pccl_exec *exec, const struct op *op)
{
	uint32_t slot;

	for (slot = 0; op->packs && slot < exec->pack_slot_count; slot++)
		if (exec->pack_slots[slot].op == op)
			give_slot(exec, slot);
}

static uint8_t *slot_at(const struct pccl_exec *exec, uint32_t slot)
{
	return exec->pack_memory + (size_t)slot * SLOT_BYTES;
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

static uint32_t *decision(const struct op *op, uint32_t local, bool is_result)
{
	return &op->packed[2 * (size_t)local + is_result];
}

/* What the payload is made of: the planes follow from it. `codec`: it is encoded so; NULL: it is not. */
static pcclDataType_t type_of(const struct op *op, const struct pccl_codec_params *codec, bool is_sum)
{
	pcclDataType_t type = (pcclDataType_t)op->launch.signature.datatype;

	if (codec == NULL)
		return is_sum ? pccl_dtype_partial(type) : type;
	switch (codec->id) {
	case PCCL_CODEC_BF16:
		return pcclBFloat16;
	case PCCL_CODEC_FP16:
		return pcclFloat16;
	default:
		return pcclUint8;
	}
}

static bool is_wanted(const struct pccl_exec *exec, const struct op *op, pcclDataType_t type)
{
	const struct pccl_packer *packer = &exec->config.packer;

	if (op->launch.packing == PCCL_PACK_ALWAYS)
		return true;
	return packer->choose != NULL && packer->choose(packer->context, type);
}

static void learn(const struct pccl_exec *exec, const struct op *op, pcclDataType_t type, uint32_t bytes,
		  uint32_t packed_bytes)
{
	const struct pccl_packer *packer = &exec->config.packer;

	if (op->launch.packing != PCCL_PACK_ALWAYS)
		packer->learn(packer->context, type, bytes, packed_bytes);
}

/* How many ranks it goes to, and which. */
static uint32_t receivers(const struct op *op, const struct outgoing *out, const uint32_t **ranks_out)
{
	const struct pccl_route *route = op_route(op, out->local);

	if (out->is_result) {
		*ranks_out = route->result_to;
		return route->result_to_count;
	}
	*ranks_out = out->is_sum ? &route->sum_to : route->own_to;
	return out->is_sum ? 1 : route->own_to_count;
}

/* Returns the slot; NONE: it did not get smaller. */
static uint32_t pack(struct pccl_exec *exec, struct op *op, const struct outgoing *out, pcclDataType_t type)
{
	uint32_t slot = exec->pack_free, capacity = out->bytes - out->bytes / SAVES_LEAST;
	size_t bytes = pccl_lossless_encode(exec->lossless, out->payload, out->bytes / pccl_dtype_bytes(type), type,
					    slot_at(exec, slot), capacity < SLOT_BYTES ? capacity : SLOT_BYTES);
	struct packed *packed = &exec->pack_slots[slot];
	const uint32_t *ranks;

	learn(exec, op, type, out->bytes, (uint32_t)bytes);
	exec->packed_last = bytes != 0;
	if (bytes == 0)
		return NONE;
	exec->pack_free = packed->next;
	packed->op = op;
	packed->local = out->local;
	packed->is_result = out->is_result;
	packed->kind = out->kind;
	packed->uses = receivers(op, out, &ranks);
	packed->bytes = (uint32_t)bytes;
	packed->crc = several_check(exec, ranks, packed->uses) ? pccl_crc32c(0, slot_at(exec, slot), bytes) : 0;
	return slot;
}

static uint32_t decide(struct pccl_exec *exec, struct op *op, const struct outgoing *out)
{
	const struct pccl_codec_params *codec = out->is_result ? &op->coder.down : &op->coder.up;
	pcclDataType_t type = type_of(op, out->is_coded ? codec : NULL, out->is_sum);

	if (out->bytes < PCCL_EXEC_PACKED_LEAST || exec->pack_free == NONE)
		return NONE;
	exec->packed_last = is_wanted(exec, op, type);
	return exec->packed_last ? pack(exec, op, out, type) : NONE;
}

/* One of those it goes to has it. */
static void use_up(struct pccl_exec *exec, struct op *op, uint32_t slot)
{
	struct packed *packed = &exec->pack_slots[slot];

	assert(packed->op == op && packed->uses > 0);
	packed->uses--;
	if (packed->uses > 0)
		return;
	*decision(op, packed->local, packed->is_result) = NONE;
	give_slot(exec, slot);
}

void pack_outgoing(struct pccl_exec *exec, struct op *op, bool may, struct outgoing *out)
{
	uint32_t *slot;

	out->slot = NONE;
	if (!op->packs)
		return;
	slot = decision(op, out->local, out->is_result);
	if (*slot == UNDECIDED)
		*slot = may ? decide(exec, op, out) : NONE;
	if (*slot == NONE)
		return;
	if (!may) {
		use_up(exec, op, *slot);
		return;
	}
	out->slot = *slot;
	out->payload = slot_at(exec, *slot);
	out->bytes = exec->pack_slots[*slot].bytes;
	out->crc = exec->pack_slots[*slot].crc;
}

bool pack_sent(struct pccl_exec *exec, struct op *op, uint32_t slot, uint32_t *local_out, enum token_kind *kind_out)
{
	if (slot >= exec->pack_slot_count || exec->pack_slots[slot].op != op)
		return false;
	*local_out = exec->pack_slots[slot].local;
	*kind_out = exec->pack_slots[slot].kind;
	use_up(exec, op, slot);
	return true;
}

bool pack_is_likely(const struct pccl_exec *exec, const struct op *op)
{
	return op->packs && (op->launch.packing == PCCL_PACK_ALWAYS || exec->packed_last);
}

/* ---- unpacking --------------------------------------------------------------------------------------------------- */

bool packed_fits(const struct op *op, uint32_t bytes, uint32_t whole_bytes)
{
	return op->unpacks && whole_bytes >= PCCL_EXEC_PACKED_LEAST && bytes < whole_bytes;
}

/* Where it is. False: it is not what the stage makes of so many bytes, and that is a violation. */
static bool unpack(struct pccl_exec *exec, const struct op *op, uint32_t rank, uint32_t segment, void *at,
		   uint32_t packed_bytes, uint32_t bytes, pcclDataType_t type)
{
	struct member *member = &exec->members[rank];

	if (pccl_lossless_decode(exec->lossless, at, packed_bytes, bytes / pccl_dtype_bytes(type), type, at) ==
	    pcclSuccess)
		return true;
	snprintf(member->violation, sizeof(member->violation), "segment %u of tag %llu can't be unpacked: %.60s",
		 segment, (unsigned long long)op->launch.key.tag, pccl_fail_text());
	return false;
}

bool unpack_contribution(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t local, uint32_t position,
			 uint32_t bytes)
{
	bool is_coded = op->coded && contribution_is_coded(exec, op, local);
	bool is_sum = op_route(op, local)->input_is_sum;
	uint32_t slot = work_slots(op, op->places[local].index)[position];

	assert(slot != NONE); /* what is packed and has no slot was not accepted */
	return unpack(exec, op, rank, op_segment(exec, op, local), slot_memory(exec, op, slot), bytes,
		      op_partial_bytes(exec, op, local, is_sum), type_of(op, is_coded ? &op->coder.up : NULL, is_sum));
}

bool unpack_result(struct pccl_exec *exec, struct op *op, uint32_t rank, uint32_t local, uint32_t bytes)
{
	bool is_coded = op->coded && result_is_coded(exec, op, local);

	return unpack(exec, op, rank, op_segment(exec, op, local), op_output(exec, op, local), bytes,
		      op_result_bytes(exec, op, local), type_of(op, is_coded ? &op->coder.down : NULL, false));
}
