/*
 * The buffers of a call. An element of a peer's input is one of 64 small numbers that depend on the peer and the
 * call, so that every sum is exact whatever the order, and the sums of different sets of peers differ.
 */
#include "shell.h"

#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/names.h"
#include "collectives/codec/codec.h"
#include "collectives/element/dtype.h"

#define GUARD_BYTES 64
#define PATTERN 64
#define AVERAGE_STEP 840 /* 1 to 8 divide it */
#define LEFT_OVER 0.25f	 /* of an op before */
#define INT8_ERROR 1.5	 /* of sums of up to 8 numbers below 16, each of them and the sum coded */

static void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

static int64_t value_of(const struct call_spec *spec, uint32_t node, uint64_t index)
{
	uint64_t number = pccl_rng_hash(spec->key, (uint64_t)node << 8 | index % PATTERN);

	if (spec->operation.op == pcclProd)
		return (int64_t)(1 + number % 3);
	if (spec->operation.op == pcclAvg)
		return (int64_t)(AVERAGE_STEP * (1 + number % 15));
	return (int64_t)(1 + number % 15);
}

static void put(pcclDataType_t type, uint8_t *to, int64_t value)
{
	float narrow = (float)value;
	double wide = (double)value;
	int32_t whole = (int32_t)value;
	uint8_t byte = (uint8_t)value;

	switch (type) {
	case pcclFloat:
		memcpy(to, &narrow, sizeof(narrow));
		break;
	case pcclDouble:
		memcpy(to, &wide, sizeof(wide));
		break;
	case pcclInt32:
		memcpy(to, &whole, sizeof(whole));
		break;
	case pcclInt64:
		memcpy(to, &value, sizeof(value));
		break;
	default:
		memcpy(to, &byte, sizeof(byte));
		break;
	}
}

static int64_t combine(pcclRedOp_t op, int64_t left, int64_t right)
{
	switch (op) {
	case pcclProd:
		return left * right;
	case pcclMax:
		return left > right ? left : right;
	case pcclMin:
		return left < right ? left : right;
	default:
		return left + right;
	}
}

/* What these nodes have together, or a single node's input, from the element `first` on: it repeats itself. */
static void draw_pattern(const struct call_spec *spec, const uint32_t *nodes, uint32_t count, uint64_t first,
			 uint8_t pattern[PATTERN * 8])
{
	size_t size = pccl_dtype_bytes(spec->operation.datatype);
	uint64_t index;
	uint32_t other;

	for (index = 0; index < PATTERN; index++) {
		int64_t value = value_of(spec, nodes[0], first + index);

		for (other = 1; other < count; other++)
			value = combine(spec->operation.op, value, value_of(spec, nodes[other], first + index));
		if (spec->operation.op == pcclAvg && count > 1)
			value /= count;
		put(spec->operation.datatype, pattern + index * size, value);
	}
}

static size_t smaller(size_t left, size_t right)
{
	return left < right ? left : right;
}

static void fill_input(const struct call_spec *spec, uint32_t node, uint8_t *to, size_t bytes)
{
	size_t done = smaller(bytes, PATTERN * pccl_dtype_bytes(spec->operation.datatype)), more;
	uint8_t pattern[PATTERN * 8];

	draw_pattern(spec, &node, 1, 0, pattern);
	memcpy(to, pattern, done);
	for (; done < bytes; done += more) {
		more = smaller(done, bytes - done);
		memcpy(to + done, to, more);
	}
}

static struct pccl_codec_params codec_of(const struct call_spec *spec)
{
	struct pccl_codec_params codec = {PCCL_CODEC_FP16, PCCL_ROUND_NEAREST, pcclFloat, pcclUint8, 0, 0, 0};

	if (spec->operation.codec == pcclQuantInt8)
		codec.id = PCCL_CODEC_INT8;
	else if (spec->operation.codec == pcclQuantBF16)
		codec.id = PCCL_CODEC_BF16;
	codec.block = pccl_codec_find(codec.id)->block_default;
	return codec;
}

/* Fewer bytes than plain? Blocks are the default ones. */
static bool shrinks(const struct call_spec *spec, uint64_t elements)
{
	struct pccl_codec_params codec = codec_of(spec);

	return pccl_codec_encoded_bytes(&codec, elements) < elements * sizeof(float);
}

/* What is left over goes along with what travels encoded; int8 is not exact. */
static bool matches_coded(const struct call_spec *spec, uint32_t count, uint64_t elements, const uint8_t *pattern,
			  const uint8_t *bytes)
{
	bool feeds_back = spec->operation.residual != NULL && shrinks(spec, elements);
	double more = feeds_back ? (double)LEFT_OVER * count : 0;
	double error = spec->operation.codec == pcclQuantInt8 ? INT8_ERROR : 0;
	uint64_t index;

	for (index = 0; index < elements; index++) {
		float wanted, got;

		memcpy(&wanted, pattern + index % PATTERN * sizeof(wanted), sizeof(wanted));
		memcpy(&got, bytes + index * sizeof(got), sizeof(got));
		if (!((double)got >= (double)wanted + more - error && (double)got <= (double)wanted + more + error))
			return false;
	}
	return true;
}

static bool matches(const struct call_spec *spec, const uint32_t *nodes, uint32_t count, uint64_t first,
		    uint64_t elements, const uint8_t *bytes)
{
	size_t size = pccl_dtype_bytes(spec->operation.datatype);
	size_t period = smaller(elements, PATTERN) * size;
	uint8_t pattern[PATTERN * 8];

	draw_pattern(spec, nodes, count, first, pattern);
	if (spec->operation.codec != pcclQuantNone)
		return matches_coded(spec, count, elements, pattern, bytes);
	return memcmp(bytes, pattern, period) == 0 && memcmp(bytes, bytes + period, elements * size - period) == 0;
}

bool buffer_matches(const struct call_spec *spec, uint32_t node, uint64_t first, uint64_t elements,
		    const uint8_t *bytes)
{
	return matches(spec, &node, 1, first, elements, bytes);
}

/* ---- life ------------------------------ */

static uint8_t *guarded(struct call *call, uint32_t which, size_t bytes)
{
	call->memory_bytes[which] = bytes;
	call->memory[which] = must(malloc(bytes + 2 * GUARD_BYTES));
	memset(call->memory[which], SHELL_POISON, bytes + 2 * GUARD_BYTES);
	return call->memory[which] + GUARD_BYTES;
}

static void create_residual(struct call *call)
{
	const float left_over = LEFT_OVER;
	size_t count = call->spec.operation.count, index;
	uint8_t *residual = guarded(call, 2, count * sizeof(left_over));

	for (index = 0; index < count; index++)
		memcpy(residual + index * sizeof(left_over), &left_over, sizeof(left_over));
	call->spec.operation.residual = residual;
}

void buffer_create(struct sim *sim, const struct shell *shell, struct call *call)
{
	const pcclOperation_t *operation = &call->spec.operation;
	size_t part;

	(void)sim;
	call->rank = shell->node->rank;
	call->ranks = shell->node->view.view.member_count;
	part = call->spec.kind == PCCL_BARRIER ? 0 : operation->count * pccl_dtype_bytes(operation->datatype);
	call->input_bytes = call->spec.kind == PCCL_REDUCE_SCATTER ? part * call->ranks : part;
	call->output_bytes = call->spec.kind == PCCL_ALL_GATHER ? part * call->ranks : part;
	call->memory[1] = call->memory[2] = NULL;
	if (pccl_collective_moves_parts((int)call->spec.kind)) {
		call->spec.in_place = false;
		parts_measure(shell, call);
	}
	if (call->spec.in_place && call->spec.kind == PCCL_ALL_GATHER) {
		call->output = guarded(call, 0, call->output_bytes);
		call->input = call->output + call->rank * part;
	} else if (call->spec.in_place && call->spec.kind == PCCL_REDUCE_SCATTER) {
		call->input = guarded(call, 0, call->input_bytes);
		call->output = call->input + call->rank * part;
	} else if (call->spec.in_place) {
		call->input = call->output = guarded(call, 0, part);
	} else {
		call->input = guarded(call, 0, call->input_bytes);
		call->output = guarded(call, 1, call->output_bytes);
	}
	if (call->input_bytes > 0)
		fill_input(&call->spec, shell->node->id, call->input, call->input_bytes);
	if (operation->residual != NULL)
		create_residual(call);
	call->original = must(malloc(call->input_bytes + 1));
	memcpy(call->original, call->input, call->input_bytes);
}

void buffer_bury(struct shell *shell, struct call *call)
{
	uint32_t which;

	for (which = 0; which < 3; which++) {
		struct grave *grave;

		if (call->memory[which] == NULL)
			continue;
		grave = must(calloc(1, sizeof(*grave)));
		grave->memory = call->memory[which];
		grave->bytes = call->memory_bytes[which] + 2 * GUARD_BYTES;
		memset(grave->memory, SHELL_POISON, grave->bytes);
		grave->next = shell->graves;
		shell->graves = grave;
		call->memory[which] = NULL;
	}
	free(call->original);
	call->original = NULL;
}

static bool is_poison(const uint8_t *bytes, size_t count)
{
	return count == 0 || (bytes[0] == SHELL_POISON && memcmp(bytes, bytes + 1, count - 1) == 0);
}

void buffer_open_graves(struct shell *shell, uint32_t keep)
{
	struct grave **link = &shell->graves;

	while (*link != NULL) {
		struct grave *grave = *link;

		if (keep > 0) {
			keep--;
			link = &grave->next;
			continue;
		}
		if (!is_poison(grave->memory, grave->bytes))
			sim_fail(shell->sim, "somebody wrote to memory that node %u had back", shell->node->id);
		*link = grave->next;
		free(grave->memory);
		free(grave);
	}
}

/* ---- what must be there ------------------------------ */

static void check_guards(struct shell *shell, const struct call *call)
{
	uint32_t which;

	for (which = 0; which < 3; which++)
		if (call->memory[which] != NULL &&
		    (!is_poison(call->memory[which], GUARD_BYTES) ||
		     !is_poison(call->memory[which] + GUARD_BYTES + call->memory_bytes[which], GUARD_BYTES)))
			sim_fail(shell->sim, "somebody wrote beside a buffer of node %u", shell->node->id);
}

static void complain(struct shell *shell, const struct call *call, const char *what)
{
	sim_fail(shell->sim, "node %u: %s %u.%u of %zu %s: %s", shell->node->id,
		 pccl_collective_name((int)call->spec.kind), (unsigned)call->op->key.tag, call->op->key.sequence,
		 call->spec.operation.count, pccl_name_or_mark(pcclEnumPlan, (int)call->op->info.plan), what);
}

static void check_left_over(struct shell *shell, const struct call *call, uint64_t index, float expected)
{
	float left_over;

	memcpy(&left_over, call->memory[2] + GUARD_BYTES + index * sizeof(left_over), sizeof(left_over));
	if (left_over > expected || left_over < expected)
		complain(shell, call, "what is left over was lost, kept, or made up");
}

/* What encoding took of one segment, to the bit; what goes plain neither takes nor gives. */
static void check_segment_residual(struct shell *shell, const struct call *call, uint32_t segment)
{
	struct pccl_codec_params codec = codec_of(&call->spec);
	uint64_t first = pccl_geometry_first(&call->op->geometry, segment), index;
	uint32_t elements = pccl_geometry_elements(&call->op->geometry, segment);
	float *wanted = must(malloc(elements * sizeof(float))), *decoded = must(malloc(elements * sizeof(float)));
	uint8_t *encoded = must(malloc(pccl_codec_encoded_bytes(&codec, elements)));

	memcpy(wanted, call->original + first * sizeof(float), elements * sizeof(float));
	for (index = 0; index < elements; index++)
		wanted[index] += LEFT_OVER;
	if (pccl_codec_encode(&codec, wanted, elements, encoded) != elements)
		complain(shell, call, "its input can't be encoded");
	pccl_codec_decode(&codec, encoded, elements, decoded);
	for (index = 0; index < elements; index++)
		check_left_over(shell, call, first + index,
				shrinks(&call->spec, elements) ? wanted[index] - decoded[index] : LEFT_OVER);
	free(wanted);
	free(decoded);
	free(encoded);
}

/* It goes along with ops that succeed, once; and those that fail leave it. */
static void check_residual(struct shell *shell, const struct call *call)
{
	uint64_t index;
	uint32_t segment;

	if (call->memory[2] == NULL)
		return;
	if (call->op->result == pcclSuccess)
		for (segment = 0; segment < call->op->geometry.segment_count; segment++)
			check_segment_residual(shell, call, segment);
	else
		for (index = 0; index < call->spec.operation.count; index++)
			check_left_over(shell, call, index, LEFT_OVER);
}

void buffer_check_failure(struct shell *shell, const struct call *call)
{
	check_guards(shell, call);
	check_residual(shell, call);
	if (call->spec.kind == PCCL_BROADCAST && call->root != shell->node->id)
		return; /* it has no input */
	if (call->spec.in_place && call->spec.operation.input == pcclInputGiveUp)
		return;
	if (memcmp(call->input, call->original, call->input_bytes) != 0)
		complain(shell, call, "failed, and its input is lost");
}

/* Of an all-reduce: fits the segment one of the views that the op lived in, from the newest to the oldest? */
static bool check_segment(struct shell *shell, const struct call *call, uint32_t segment, const struct era **era_out)
{
	const struct pccl_geometry *geometry = &call->op->geometry;
	uint64_t first = pccl_geometry_first(geometry, segment);
	uint32_t elements = pccl_geometry_elements(geometry, segment);
	size_t size = pccl_dtype_bytes(call->spec.operation.datatype);
	uint32_t index;

	for (index = shell->era_count; index-- > 0 && shell->eras[index].epoch >= call->epoch;) {
		const struct era *era = &shell->eras[index];

		if (era->count != pccl_op_participants(call->op, segment))
			continue;
		*era_out = era;
		if (matches(&call->spec, era->nodes, era->count, first, elements, call->output + first * size))
			return true;
	}
	return false;
}

static void check_all_reduce(struct shell *shell, const struct call *call)
{
	const pcclOperationInfo_t *info = &call->op->info;
	const struct era *first = NULL;
	uint32_t segment, fewest = UINT32_MAX, most = 0;

	if (info->participants_min < 2 || info->participants_min > info->participants_max)
		complain(shell, call, "impossible numbers of participants");
	for (segment = 0; segment < call->op->geometry.segment_count; segment++) {
		const struct era *era = NULL;

		if (!check_segment(shell, call, segment, &era)) {
			complain(shell, call, "a wrong result");
			return;
		}
		first = first == NULL ? era : first;
		fewest = era->count < fewest ? era->count : fewest;
		most = era->count > most ? era->count : most;
		if (era->count != first->count && call->spec.operation.failure_policy != pcclPolicyRepair)
			complain(shell, call, "more than one set of participants");
	}
	if (fewest != info->participants_min || most != info->participants_max)
		complain(shell, call, "other numbers of participants than those of its segments");
	if (info->participants_min != info->participants_max && call->spec.operation.failure_policy != pcclPolicyRepair)
		complain(shell, call, "more than one number of participants");
}

static bool check_parts(const struct call *call, const struct era *era, uint32_t own)
{
	uint64_t count = call->spec.operation.count;
	size_t bytes = count * pccl_dtype_bytes(call->spec.operation.datatype);
	uint32_t rank;

	if (call->spec.kind == PCCL_REDUCE)
		return call->root != own || matches(&call->spec, era->nodes, era->count, 0, count, call->output);
	if (call->spec.kind == PCCL_BROADCAST)
		return matches(&call->spec, &call->root, 1, 0, count, call->output);
	for (rank = 0; call->spec.kind == PCCL_ALL_GATHER && rank < era->count; rank++)
		if (!matches(&call->spec, &era->nodes[rank], 1, 0, count, call->output + rank * bytes))
			return false;
	for (rank = 0; call->spec.kind == PCCL_REDUCE_SCATTER && rank < era->count; rank++)
		if (era->nodes[rank] == own &&
		    !matches(&call->spec, era->nodes, era->count, rank * count, count, call->output))
			return false;
	return true;
}

void buffer_check_success(struct shell *shell, const struct call *call)
{
	uint32_t index;

	check_guards(shell, call);
	if (shell->sim->rogue == NULL)
		check_residual(shell, call);
	if ((!call->spec.in_place || (call->spec.kind == PCCL_REDUCE && call->root != shell->node->id)) &&
	    call->input_bytes > 0 && memcmp(call->input, call->original, call->input_bytes) != 0)
		complain(shell, call, "its input was changed");
	if (call->spec.kind == PCCL_BARRIER || call->spec.operation.count == 0 || shell->sim->rogue != NULL)
		return;
	if (call->spec.kind == PCCL_ALL_REDUCE) {
		check_all_reduce(shell, call);
		return;
	}
	if (pccl_collective_moves_parts((int)call->spec.kind)) {
		if (!parts_match(shell, call))
			complain(shell, call, "a wrong result");
		return;
	}
	for (index = shell->era_count; index-- > 0 && shell->eras[index].epoch >= call->epoch;)
		if (check_parts(call, &shell->eras[index], shell->node->id))
			return;
	complain(shell, call, "a wrong result");
}

uint64_t buffer_hash(const struct call *call)
{
	/* The buffer of a gather may be made for more members than there were in the end. */
	size_t bytes = call->spec.kind == PCCL_ALL_GATHER ? call->input_bytes * call->op->info.participants_max
							  : call->output_bytes;
	size_t words = bytes / 8, index;
	uint64_t hash = bytes;
	uint64_t word;

	for (index = 0; index < words; index++) {
		memcpy(&word, call->output + index * 8, 8);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 29;
	}
	for (index = words * 8; index < bytes; index++)
		hash = (hash ^ call->output[index]) * UINT64_C(0x9e3779b97f4a7c15);
	return hash;
}
