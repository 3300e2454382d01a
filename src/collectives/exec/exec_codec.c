/* Ops whose elements travel encoded. Every contribution is encoded once, its owner's too, and decoded where it is
 * added; the result is encoded once by who makes it, and everybody uses what is decoded from that: so it makes no
 * difference to the bits who adds.
 *
 * What is encoded waits in slots of its own until all it goes to have acknowledged it. Nobody waits for ever for a
 * slot: contributions take one when they are handed out, in the same order to everybody, and results need nothing of
 * their receivers but that they have launched the op. */
#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "collectives/element/dtype.h"
#include "collectives/exec/exec_internal.h"
#include "collectives/reduce/reduce.h"

/* As much of an op may be on its way at once, more than waits in the queues of a slow link; pages that are never used
 * cost nothing. */
#define ENCODED_BYTES_DEFAULT ((size_t)16 << 20)
#define ENCODED_SLOTS_MIN 2

/* ---- what travels how -------------------------------------------------------------------------------------------- */

static void read_codec(const struct op *op, const struct pccl_op_codec *codec, uint64_t key,
		       struct pccl_codec_params *out)
{
	out->id = codec->id;
	out->rounding = op->launch.signature.rounding;
	out->type = (pcclDataType_t)op->launch.signature.datatype;
	out->target = (pcclDataType_t)codec->target;
	out->block = codec->block;
	out->key = key;
	out->first_element = 0;
}

/* Every rank rounds its contributions by random numbers of its own. */
pcclResult_t coder_init(const struct pccl_exec *exec, struct op *op)
{
	const struct pccl_op_signature *signature = &op->launch.signature;
	uint64_t key = pccl_rng_hash(op->launch.key.tag, op->launch.key.sequence);
	pcclResult_t result;

	op->coded = signature->up.id != PCCL_CODEC_NONE || signature->down.id != PCCL_CODEC_NONE;
	if (!op->coded)
		return pcclSuccess;
	assert(signature->kind == PCCL_ALL_REDUCE);
	read_codec(op, &signature->up, pccl_rng_hash(key, exec->rank + 1), &op->coder.up);
	read_codec(op, &signature->down, pccl_rng_hash(key, 0), &op->coder.down);
	result = pccl_codec_check(&op->coder.up);
	return result == pcclSuccess ? pccl_codec_check(&op->coder.down) : result;
}

static bool shrinks(const struct pccl_codec_params *codec, uint32_t elements)
{
	return codec->id != PCCL_CODEC_NONE &&
	       pccl_codec_encoded_bytes(codec, elements) < elements * pccl_dtype_bytes(codec->type);
}

static uint32_t travel_bytes(const struct pccl_codec_params *codec, uint32_t elements)
{
	size_t plain = elements * pccl_dtype_bytes(codec->type), encoded;

	if (codec->id == PCCL_CODEC_NONE)
		return (uint32_t)plain;
	encoded = pccl_codec_encoded_bytes(codec, elements);
	return (uint32_t)(encoded < plain ? encoded : plain);
}

uint32_t coded_contribution_bytes(const struct op *op, uint32_t elements)
{
	return travel_bytes(&op->coder.up, elements);
}

uint32_t coded_result_bytes(const struct op *op, uint32_t elements)
{
	return travel_bytes(&op->coder.down, elements);
}

bool contribution_is_coded(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	return shrinks(&op->coder.up, op_elements(exec, op, local));
}

/* A result that nobody adds up now is sent again, in a repair: it has been decoded before. */
bool result_is_coded(const struct pccl_exec *exec, const struct op *op, uint32_t local)
{
	const struct pccl_route *route = op_route(op, local);

	return (route->input_count > 0 || route->own_to_count > 0) &&
	       shrinks(&op->coder.down, op_elements(exec, op, local));
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static uint32_t largest_elements(const struct op *op)
{
	const struct pccl_geometry *geometry = &op->launch.geometry;

	return geometry->segment_elements < geometry->chunk_elements ? geometry->segment_elements
								     : (uint32_t)geometry->chunk_elements;
}

static size_t sums_bytes(const struct op *op)
{
	return ((size_t)largest_elements(op) * op->partial_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
}

void coder_plan(const struct pccl_exec *exec, struct op *op)
{
	size_t bytes = exec->config.encoded_bytes != 0 ? exec->config.encoded_bytes : ENCODED_BYTES_DEFAULT;
	uint32_t up = coded_contribution_bytes(op, largest_elements(op));
	uint32_t down = coded_result_bytes(op, largest_elements(op));
	struct coder *coder = &op->coder;

	coder->slot_bytes = ((up > down ? up : down) + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
	if (coder->slot_bytes == 0)
		return;
	coder->slot_count = (uint32_t)(bytes / coder->slot_bytes);
	if (coder->slot_count < ENCODED_SLOTS_MIN)
		coder->slot_count = ENCODED_SLOTS_MIN;
	if (coder->slot_count > op->local_count)
		coder->slot_count = op->local_count;
}

pcclResult_t coder_open(struct op *op)
{
	struct coder *coder = &op->coder;
	uint32_t local;

	for (local = 0; local < op->local_count; local++)
		coder->slot_of[local] = NONE;
	if (coder->slot_count == 0)
		return pcclSuccess;
	coder->memory = pccl_alloc_aligned(ALIGN_BYTES, (size_t)coder->slot_count * coder->slot_bytes);
	return coder->memory == NULL ? pcclOutOfMemory : pcclSuccess;
}

void coder_close(struct op *op)
{
	pccl_free(op->coder.memory);
	op->coder.memory = NULL;
}

/* In front sums, behind them what is encoded and goes nowhere. */
size_t coder_bounce_bytes(const struct op *op)
{
	return sums_bytes(op) + op->coder.slot_bytes;
}

static uint8_t *bounce_encoded(const struct pccl_exec *exec, const struct op *op)
{
	return exec->bounce + sums_bytes(op);
}

static uint8_t *slot_at(const struct op *op, uint32_t slot)
{
	return op->coder.memory + (size_t)slot * op->coder.slot_bytes;
}

const void *encoded_memory(const struct op *op, uint32_t local)
{
	uint32_t slot = op->coder.slot_of[local];

	return slot == NONE ? NULL : slot_at(op, slot);
}

bool coder_has_room(const struct op *op)
{
	return op->coder.free_slot_count > 0 || op->coder.slots_made < op->coder.slot_count;
}

static void refresh_all_partials(struct pccl_exec *exec, struct op *op)
{
	uint32_t rank;

	for (rank = 0; rank < exec->ranks; rank++)
		if (rank != exec->rank)
			refresh_partials(exec, op, rank);
}

static uint8_t *take_slot(struct pccl_exec *exec, struct op *op, uint32_t local, uint32_t uses)
{
	struct coder *coder = &op->coder;
	uint32_t slot;

	assert(coder_has_room(op) && coder->slot_of[local] == NONE);
	slot = coder->free_slot_count > 0 ? coder->free_slots[--coder->free_slot_count] : coder->slots_made++;
	coder->slot_of[local] = slot;
	coder->uses[slot] = uses;
	if (!coder_has_room(op))
		refresh_all_partials(exec, op);
	return slot_at(op, slot);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static size_t encode(const struct pccl_exec *exec, const struct op *op, const struct pccl_codec_params *codec,
		     uint32_t local, const void *values, void *out)
{
	struct pccl_codec_params params = *codec;
	size_t count = op_elements(exec, op, local), element;

	params.first_element = pccl_geometry_first(&op->launch.geometry, op_segment(exec, op, local));
	element = pccl_codec_encode(&params, values, count, out);
	if (element == count || !op->launch.poisons || !pccl_codec_find(params.id)->has_target)
		return element;
	pccl_codec_poison(&params, count, out);
	return count;
}

/* left[i] = wanted[i] - left[i] */
static void subtract_from(const void *wanted, void *left, size_t count, pcclDataType_t type)
{
	const double *wanted_doubles = wanted;
	const float *wanted_floats = wanted;
	double *left_doubles = left;
	float *left_floats = left;
	size_t i;

	if (type == pcclDouble)
		for (i = 0; i < count; i++)
			left_doubles[i] = wanted_doubles[i] - left_doubles[i];
	else
		for (i = 0; i < count; i++)
			left_floats[i] = wanted_floats[i] - left_floats[i];
}

/* What the op before has left over goes along; what is left over now is kept until the caller knows how the op ends. */
static size_t encode_with_residual(struct pccl_exec *exec, struct op *op, uint32_t local, void *out)
{
	uint32_t segment = op_segment(exec, op, local);
	struct pccl_codec_params wide = op->coder.up;
	size_t count = op_elements(exec, op, local), element;
	size_t offset = (size_t)pccl_geometry_first(&op->launch.geometry, segment) * op->partial_bytes;
	uint8_t *next = (uint8_t *)op->launch.residual_next + offset;

	wide.type = pccl_dtype_partial(wide.type);
	pccl_reduce_partial(exec->bounce, (const uint8_t *)op->launch.residual + offset, op_own(exec, op, local), count,
			    op->coder.up.type, pcclSum);
	element = encode(exec, op, &wide, local, exec->bounce, out);
	if (element < count)
		return element;
	pccl_codec_decode(&wide, out, count, next);
	subtract_from(exec->bounce, next, count, wide.type);
	op->launch.residual_made[segment] = 1;
	return count;
}

static bool encode_own(struct pccl_exec *exec, struct op *op, uint32_t local, void *out)
{
	size_t element;

	if (op->launch.residual != NULL)
		element = encode_with_residual(exec, op, local, out);
	else
		element = encode(exec, op, &op->coder.up, local, op_own(exec, op, local), out);
	if (element == op_elements(exec, op, local))
		return true;
	op_fail_element(exec, op, PCCL_REFUSAL_CONTRIBUTION, local, element);
	return false;
}

bool contribution_encode(struct pccl_exec *exec, struct op *op, uint32_t local)
{
	if (op->coder.slot_of[local] != NONE)
		return true;
	return encode_own(exec, op, local, take_slot(exec, op, local, op_route(op, local)->own_to_count));
}

/* Results that waited, in order; then contributions. */
static void use_room(struct pccl_exec *exec, struct op *op, bool was_full)
{
	uint32_t end = op->closed_first + op->work_count, index;

	if (op->coder.waiting) {
		op->coder.waiting = false;
		if (end > op->awaited_count)
			end = op->awaited_count;
		for (index = op->closed_first; index < end && !op->coder.waiting && !op->failing; index++)
			result_retry(exec, op, index);
	}
	if (was_full)
		refresh_all_partials(exec, op);
}

void encoded_sent(struct pccl_exec *exec, struct op *op, uint32_t local)
{
	struct coder *coder = &op->coder;
	uint32_t slot = coder->slot_of[local];
	bool was_full = !coder_has_room(op);

	assert(slot != NONE && coder->uses[slot] > 0);
	coder->uses[slot]--;
	if (coder->uses[slot] > 0)
		return;
	coder->slot_of[local] = NONE;
	coder->free_slots[coder->free_slot_count++] = slot;
	if (op->failing)
		return;
	use_room(exec, op, was_full);
	op_settle(exec, op);
}

/* ---- adding ------------------------------------------------------------------------------------------------------ */

/* This rank's contribution as it would travel; NULL: the codec can't carry it. */
static const void *own_contribution(struct pccl_exec *exec, struct op *op, uint32_t local)
{
	if (!contribution_is_coded(exec, op, local))
		return op_own(exec, op, local);
	if (op->coder.slot_of[local] != NONE)
		return encoded_memory(op, local);
	return encode_own(exec, op, local, bounce_encoded(exec, op)) ? bounce_encoded(exec, op) : NULL;
}

static void add_up(const struct pccl_exec *exec, const struct op *op, uint32_t index, void *sums)
{
	uint32_t local = op->awaited[index], position;
	const void **inputs = work_inputs(op, index);
	struct pccl_codec_params codec = op->coder.up, wide;
	size_t count = op_elements(exec, op, local);

	if (!contribution_is_coded(exec, op, local))
		codec.id = PCCL_CODEC_NONE;
	wide = codec;
	wide.type = pccl_dtype_partial(codec.type);
	if (codec.id == PCCL_CODEC_NONE)
		pccl_reduce_begin(sums, inputs[0], count, codec.type);
	else
		pccl_codec_decode(&wide, inputs[0], count, sums);
	for (position = 1; position < op_route(op, local)->input_count; position++)
		pccl_codec_accumulate(&codec, (pcclRedOp_t)op->launch.signature.op, inputs[position], count, sums);
}

static bool encode_result(struct pccl_exec *exec, struct op *op, uint32_t local)
{
	uint32_t receivers = op_route(op, local)->result_to_count;
	void *output = op_output(exec, op, local);
	size_t count = op_elements(exec, op, local), element;
	uint8_t *encoded = bounce_encoded(exec, op);

	/* Its slot may be that of a contribution: then nobody gets the result. */
	if (receivers > 0)
		encoded = take_slot(exec, op, local, receivers);
	element = encode(exec, op, &op->coder.down, local, output, encoded);
	if (element < count) {
		op_fail_element(exec, op, PCCL_REFUSAL_RESULT, local, element);
		return false;
	}
	pccl_codec_decode(&op->coder.down, encoded, count, output);
	return true;
}

bool coded_reduce(struct pccl_exec *exec, struct op *op, uint32_t index)
{
	uint32_t local = op->awaited[index];
	const struct pccl_route *route = op_route(op, local);
	bool coded = result_is_coded(exec, op, local);
	const void *own;

	assert(!route->input_is_sum && route->sum_to == PCCL_RANK_NONE);
	if (coded && route->result_to_count > 0 && !coder_has_room(op)) {
		op->coder.waiting = true;
		return false;
	}
	own = own_contribution(exec, op, local);
	if (own == NULL)
		return false;
	undo_save(exec, op, local);
	work_inputs(op, index)[own_position(exec, route)] = own;
	add_up(exec, op, index, exec->bounce);
	pccl_reduce_finish(op_output(exec, op, local), exec->bounce, NULL, op_elements(exec, op, local),
			   op->coder.up.type, (pcclRedOp_t)op->launch.signature.op, op->launch.divisor);
	return !coded || encode_result(exec, op, local);
}

void result_decode(struct pccl_exec *exec, struct op *op, uint32_t local, const void *encoded)
{
	size_t count = op_elements(exec, op, local);
	void *output = op_output(exec, op, local);

	if (encoded == output) {
		memcpy(bounce_encoded(exec, op), output, coded_result_bytes(op, (uint32_t)count));
		encoded = bounce_encoded(exec, op);
	}
	pccl_codec_decode(&op->coder.down, encoded, count, output);
}
