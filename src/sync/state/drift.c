/* See drift.h. */
#include "sync/state/drift.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "collectives/element/dtype.h"

enum phase { RECORDS, ROOTS, LEAVES, BYTES, DONE };

/* As it is gathered. */
struct record {
	struct pccl_digest keys;
	struct pccl_digest content;
	uint8_t uuid[16];
	uint8_t kind[16]; /* so that a gathering of another call is another one */
};

static const uint8_t record_kind[16] = "pccl drift 1";

struct pccl_drift {
	const struct pccl_inventory *inventory;
	enum phase phase;
	struct pccl_drift_action action;
	struct pccl_drift_result result;
	struct record own;
	struct record *records; /* ranks_max, then of `ranks` */
	uint32_t ranks_max;
	uint32_t ranks;
	size_t strict_tensors;
	const struct pccl_inventory_tensor *tensor; /* the one that differs */
	uint32_t chunk;				    /* of the inventory */
	uint8_t *input;
	uint8_t *output;
};

/* ---- the end ------------------------------ */

static void end(struct pccl_drift *drift, pcclResult_t result, const char *text)
{
	if (drift->result.result == pcclSuccess) {
		drift->result.result = result;
		pccl_text_copy(drift->result.text, sizeof(drift->result.text), text);
	}
	drift->phase = DONE;
	drift->action.step = PCCL_DRIFT_END;
}

/* ---- who is odd ------------------------------ */

/* The lowest rank of those whose piece most have. */
static uint32_t most_common(const uint8_t *pieces, size_t bytes, size_t stride, uint32_t ranks)
{
	uint32_t best = 0, best_count = 0, rank, other;

	for (rank = 0; rank < ranks; rank++) {
		uint32_t count = 0;

		for (other = 0; other < ranks; other++)
			count += memcmp(pieces + rank * stride, pieces + other * stride, bytes) == 0;
		if (count > best_count) {
			best = rank;
			best_count = count;
		}
	}
	return best;
}

static bool all_same(const uint8_t *pieces, size_t bytes, size_t stride, uint32_t ranks)
{
	uint32_t rank;

	for (rank = 1; rank < ranks; rank++)
		if (memcmp(pieces, pieces + rank * stride, bytes) != 0)
			return false;
	return true;
}

/* Notes who has another piece than most, and lists them: "rank 2", "ranks 2, 5 and 9 more". Returns one of the most. */
static uint32_t name_odd(struct pccl_drift *drift, const uint8_t *pieces, size_t bytes, size_t stride, char *text,
			 size_t text_bytes)
{
	uint32_t most = most_common(pieces, bytes, stride, drift->ranks), rank, shown = 0;
	size_t used = 0;
	char list[120] = "";

	drift->result.odd_count = 0;
	for (rank = 0; rank < drift->ranks; rank++) {
		if (memcmp(pieces + most * stride, pieces + rank * stride, bytes) == 0)
			continue;
		if (drift->result.odd_count++ == 0) {
			drift->result.odd_rank = rank;
			memcpy(drift->result.odd_uuid.data, drift->records[rank].uuid, 16);
		}
		if (shown++ < 8)
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%" PRIu32, used > 0 ? ", " : "",
						 rank);
	}
	if (shown > 8)
		(void)snprintf(text, text_bytes, "ranks %s and %" PRIu32 " more", list, shown - 8);
	else
		(void)snprintf(text, text_bytes, "%s %s", shown == 1 ? "rank" : "ranks", list);
	return most;
}

/* ---- rounds ------------------------------ */

static void gather(struct pccl_drift *drift, enum phase phase, const void *input, size_t bytes)
{
	pccl_free(drift->output);
	drift->output = pccl_calloc(phase == RECORDS ? drift->ranks_max : drift->ranks, bytes);
	if (drift->output == NULL) {
		end(drift, pcclOutOfMemory, pccl_fail_text());
		return;
	}
	drift->phase = phase;
	drift->action.step = PCCL_DRIFT_GATHER;
	drift->action.input = input;
	drift->action.output = drift->output;
	drift->action.bytes = bytes;
	drift->action.ranks = phase == RECORDS ? drift->ranks_max : drift->ranks;
}

static bool make_input(struct pccl_drift *drift, size_t bytes)
{
	pccl_free(drift->input);
	drift->input = pccl_zalloc(bytes);
	if (drift->input == NULL)
		end(drift, pcclOutOfMemory, pccl_fail_text());
	return drift->input != NULL;
}

static void compare_records(struct pccl_drift *drift, uint32_t ranks)
{
	const size_t stride = sizeof(struct record);
	const uint8_t *records = drift->output;
	char odd[160], text[400];
	uint32_t most;
	size_t index;

	drift->ranks = ranks;
	memcpy(drift->records, records, ranks * stride);
	if (!all_same((const uint8_t *)drift->records[0].kind, 16, stride, ranks)) {
		end(drift, pcclInvalidUsage, "members made different calls; this one pcclStateCheck()");
		return;
	}
	if (!all_same(records, sizeof(struct pccl_digest), stride, ranks)) {
		most = name_odd(drift, records, sizeof(struct pccl_digest), stride, odd, sizeof(odd));
		(void)snprintf(text, sizeof(text),
			       "%s: other tensors than rank %" PRIu32 " has, by name, type, count or kind", odd, most);
		end(drift, pcclMismatch, text);
		return;
	}
	if (all_same(records + sizeof(struct pccl_digest), sizeof(struct pccl_digest), stride, ranks)) {
		end(drift, pcclSuccess, "");
		return;
	}
	if (!make_input(drift, drift->strict_tensors * sizeof(struct pccl_digest)))
		return;
	for (index = 0; index < drift->strict_tensors; index++) {
		const struct pccl_inventory_tensor *tensor = &drift->inventory->tensors[index];
		struct pccl_digest root =
			pccl_digest_root(drift->inventory->digest_kind, drift->inventory->leaves + tensor->first_chunk,
					 pccl_chunk_count(tensor->bytes));

		memcpy(drift->input + index * sizeof(root), &root, sizeof(root));
	}
	gather(drift, ROOTS, drift->input, drift->strict_tensors * sizeof(struct pccl_digest));
}

static void no_difference(struct pccl_drift *drift)
{
	end(drift, pcclMismatch,
	    "digests of the states differ, and what they are of does not: a tensor was changed "
	    "during the call, or before and not told");
}

/* The number of the first piece that differs; `count`: none. */
static size_t first_odd(const struct pccl_drift *drift, size_t count, size_t bytes)
{
	size_t index;

	for (index = 0; index < count; index++)
		if (!all_same(drift->output + index * bytes, bytes, count * bytes, drift->ranks))
			break;
	return index;
}

static void compare_roots(struct pccl_drift *drift)
{
	size_t index = first_odd(drift, drift->strict_tensors, sizeof(struct pccl_digest));

	if (index == drift->strict_tensors) {
		no_difference(drift);
		return;
	}
	drift->tensor = &drift->inventory->tensors[index];
	gather(drift, LEAVES, drift->inventory->leaves + drift->tensor->first_chunk,
	       pccl_chunk_count(drift->tensor->bytes) * sizeof(struct pccl_digest));
}

static void compare_leaves(struct pccl_drift *drift)
{
	size_t count = pccl_chunk_count(drift->tensor->bytes);
	size_t index = first_odd(drift, count, sizeof(struct pccl_digest));
	size_t bytes = index < count ? pccl_chunk_length(drift->tensor->bytes, index) : 0;

	if (index == count) {
		no_difference(drift);
		return;
	}
	drift->result.chunk = index;
	drift->chunk = drift->tensor->first_chunk + (uint32_t)index;
	if (!make_input(drift, bytes))
		return;
	drift->action.step = PCCL_DRIFT_READ;
	drift->action.chunk = drift->chunk;
	drift->action.room = drift->input;
	drift->action.bytes = bytes;
}

static void print_bytes(const uint8_t *bytes, size_t count, char *text)
{
	size_t index;

	for (index = 0; index < count; index++) /* the most significant first */
		(void)snprintf(text + 2 * index, 3, "%02x", bytes[count - 1 - index]);
}

static void compare_bytes(struct pccl_drift *drift)
{
	const struct pccl_inventory_tensor *tensor = drift->tensor;
	size_t element = pccl_dtype_bytes(tensor->type), bytes = drift->action.bytes;
	size_t index = first_odd(drift, bytes / element, element);
	char odd[160], text[400], here[17], there[17];
	const uint8_t *first = drift->output + index * element;
	uint32_t most;

	if (index == bytes / element) {
		no_difference(drift);
		return;
	}
	most = name_odd(drift, first, element, bytes, odd, sizeof(odd));
	drift->result.located = true;
	drift->result.tensor = tensor->position;
	drift->result.element = drift->result.chunk * (PCCL_CHUNK_BYTES / element) + index;
	print_bytes(first + most * bytes, element, here);
	print_bytes(first + drift->result.odd_rank * bytes, element, there);
	(void)snprintf(text, sizeof(text),
		       "tensor '%.100s' has drifted at %s: the first difference is in chunk %" PRIu64
		       ", element %" PRIu64 ": 0x%s at rank %" PRIu32 ", 0x%s at rank %" PRIu32,
		       tensor->name, odd, drift->result.chunk, drift->result.element, there, drift->result.odd_rank,
		       here, most);
	end(drift, pcclMismatch, text);
}

/* ---- what is told ------------------------------ */

static void begin(struct pccl_drift *drift)
{
	gather(drift, RECORDS, &drift->own, sizeof(drift->own));
}

void pccl_drift_gathered(struct pccl_drift *drift, pcclResult_t result, const char *text, uint32_t ranks)
{
	assert(drift->action.step == PCCL_DRIFT_GATHER);
	if (result == pcclTooFewPeers) {
		end(drift, pcclSuccess, "");
		return;
	}
	if (result != pcclSuccess && result != pcclRankConnectionLost) {
		end(drift, result, text);
		return;
	}
	if (result == pcclRankConnectionLost || (drift->phase != RECORDS && ranks != drift->ranks)) {
		begin(drift);
		return;
	}
	assert(ranks > 0 && ranks <= drift->action.ranks);
	switch (drift->phase) {
	case RECORDS:
		compare_records(drift, ranks);
		break;
	case ROOTS:
		compare_roots(drift);
		break;
	case LEAVES:
		compare_leaves(drift);
		break;
	default:
		compare_bytes(drift);
	}
}

void pccl_drift_read(struct pccl_drift *drift, pcclResult_t result, const char *text)
{
	assert(drift->action.step == PCCL_DRIFT_READ);
	if (result != pcclSuccess) {
		drift->result.result = result;
		pccl_text_copy(drift->result.text, sizeof(drift->result.text), text);
	}
	gather(drift, BYTES, drift->input, drift->action.bytes);
}

/* ---- life ------------------------------ */

const struct pccl_drift_action *pccl_drift_next(const struct pccl_drift *drift)
{
	return &drift->action;
}

const struct pccl_drift_result *pccl_drift_result(const struct pccl_drift *drift)
{
	assert(drift->phase == DONE);
	return &drift->result;
}

pcclResult_t pccl_drift_create(const struct pccl_inventory *inventory, const pcclRankUuid_t *self, uint32_t ranks_max,
			       struct pccl_drift **drift_out)
{
	struct pccl_drift *drift = pccl_zalloc(sizeof(*drift));

	*drift_out = drift;
	if (drift == NULL)
		return pcclOutOfMemory;
	drift->inventory = inventory;
	drift->ranks_max = ranks_max;
	while (drift->strict_tensors < inventory->tensor_count && !inventory->tensors[drift->strict_tensors].loose)
		drift->strict_tensors++;
	drift->own.keys = pccl_inventory_keys_root(inventory);
	drift->own.content = pccl_inventory_content_root(inventory);
	memcpy(drift->own.uuid, self->data, sizeof(drift->own.uuid));
	memcpy(drift->own.kind, record_kind, sizeof(record_kind));
	drift->records = pccl_calloc(ranks_max, sizeof(*drift->records));
	if (drift->records != NULL)
		begin(drift);
	if (drift->records != NULL && drift->phase != DONE)
		return pcclSuccess;
	pccl_drift_destroy(drift);
	*drift_out = NULL;
	return pcclOutOfMemory;
}

void pccl_drift_destroy(struct pccl_drift *drift)
{
	if (drift == NULL)
		return;
	pccl_free(drift->records);
	pccl_free(drift->input);
	pccl_free(drift->output);
	pccl_free(drift);
}
