/* See agreement.h. How a receiver gets what it lacks. */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "sync/state/agreement_internal.h"

#define KEYS_BYTES_MAX (64u << 20) /* of a list of keys that this peer only wants to name a tensor from */

static void give_up(struct pccl_agreement *agreement, pcclResult_t result, const char *text)
{
	pccl_agreement_fail(agreement, result, text);
	pccl_agreement_gather_finish(agreement, PCCL_FINISH_FAILED);
}

static void give_up_by_reason(struct pccl_agreement *agreement)
{
	char text[sizeof(agreement->result.text)];

	pccl_election_explain(&agreement->election, &agreement->records[agreement->rank],
			      agreement->parts[agreement->rank].reason, text, sizeof(text));
	give_up(agreement, pcclInvalidUsage, text);
}

/* ---- one fetch ------------------------------ */

static void start(struct pccl_agreement *agreement, enum pccl_agreement_phase phase)
{
	struct pccl_fetch *fetch = &agreement->fetch;

	pccl_free(agreement->progress);
	agreement->progress = pccl_calloc(fetch->count, sizeof(*agreement->progress));
	if (agreement->progress == NULL) {
		fetch->count = 0; /* nothing to be absorbed */
		give_up(agreement, pcclOutOfMemory, pccl_fail_text());
		return;
	}
	fetch->progress = agreement->progress;
	fetch->lanes = agreement->lanes;
	fetch->little_bytes = agreement->config.little_bytes;
	agreement->phase = phase;
	agreement->worst = pcclSuccess;
	agreement->answers = 0;
	agreement->rx_bytes = 0;
	agreement->liars = false;
	agreement->action.step = PCCL_AGREEMENT_FETCH;
	agreement->action.fetch = fetch;
}

/* From the next one source that has not been tried. */
static void fetch_document(struct pccl_agreement *agreement, enum pccl_agreement_phase phase,
			   enum pccl_state_space space, void *document, uint64_t bytes)
{
	struct pccl_fetch *fetch = &agreement->fetch;

	memset(fetch, 0, sizeof(*fetch));
	fetch->space = space;
	fetch->count = (uint32_t)pccl_chunk_count(bytes);
	fetch->document = document;
	fetch->document_bytes = bytes;
	fetch->sources = &agreement->sources[agreement->tried];
	fetch->source_count = 1;
	fetch->exclusive = true;
	start(agreement, phase);
}

/* What has come is this peer's; what was touched is whatever it is. */
static void absorb(struct pccl_agreement *agreement)
{
	struct pccl_fetch *fetch = &agreement->fetch;
	struct pccl_inventory *inventory = agreement->config.inventory;
	uint32_t index;

	for (index = 0; fetch->space == PCCL_STATE_CHUNKS && index < fetch->count; index++) {
		uint32_t chunk = fetch->chunks[index];

		if (fetch->progress[index] == PCCL_FETCH_DONE)
			inventory->leaves[chunk] = fetch->leaves[chunk];
		else if (fetch->progress[index] == PCCL_FETCH_TOUCHED)
			pccl_inventory_digest_chunk(inventory, chunk);
	}
	fetch->count = 0;
}

void pccl_agreement_settle(struct pccl_agreement *agreement)
{
	struct pccl_state_lineage *lineage = &agreement->result.lineage;
	const struct pccl_inventory *inventory = agreement->config.inventory;
	struct pccl_digest content;

	if (inventory == NULL || agreement->parts[agreement->rank].role != PCCL_STATE_RECEIVES)
		return;
	absorb(agreement);
	content = pccl_inventory_content_root(inventory);
	if (pccl_digest_equal(&content, &agreement->records[agreement->rank].content))
		return;
	agreement->overwritten = true;
	if (pccl_digest_equal(&content, &agreement->election.content))
		return;
	lineage->torn = true;
	lineage->torn_root = content;
}

/* ---- one after the other ------------------------------ */

static void fetch_keys(struct pccl_agreement *agreement)
{
	uint64_t bytes = agreement->records[agreement->election.truth].keys_bytes;

	if (agreement->tried == agreement->source_count || bytes > KEYS_BYTES_MAX) {
		give_up_by_reason(agreement);
		return;
	}
	pccl_free(agreement->document);
	agreement->document = pccl_alloc(bytes);
	if (agreement->document == NULL)
		give_up_by_reason(agreement);
	else
		fetch_document(agreement, PCCL_PHASE_KEYS, PCCL_STATE_KEYS, agreement->document, bytes);
}

static void fetch_leaves(struct pccl_agreement *agreement)
{
	fetch_document(agreement, PCCL_PHASE_LEAVES, PCCL_STATE_LEAVES, agreement->leaves,
		       pccl_state_document_bytes(agreement->config.inventory, PCCL_STATE_LEAVES));
}

static void finish_receiving(struct pccl_agreement *agreement)
{
	if (agreement->config.strategy == PCCL_SHARED_STATE_SYNC_STRATEGY_RECEIVE_ONLY) {
		pccl_agreement_gather_finish(agreement, PCCL_FINISH_HAS_IT);
		return;
	}
	agreement->phase = PCCL_PHASE_SERVE;
	agreement->action.step = PCCL_AGREEMENT_SERVE;
}

/* The chunks that differ, of those from `first` on. Returns how many bytes they have. */
static uint64_t list_wanted(struct pccl_agreement *agreement, uint32_t first, uint32_t end)
{
	const struct pccl_inventory *inventory = agreement->config.inventory;
	uint64_t bytes = 0;
	uint32_t chunk;
	size_t chunk_bytes;

	memset(&agreement->fetch, 0, sizeof(agreement->fetch));
	agreement->fetch.chunks = agreement->wanted;
	agreement->fetch.leaves = agreement->leaves;
	for (chunk = first; chunk < end; chunk++) {
		if (pccl_digest_equal(&inventory->leaves[chunk], &agreement->leaves[chunk]))
			continue;
		agreement->wanted[agreement->fetch.count++] = chunk;
		(void)pccl_inventory_place(inventory, chunk, &chunk_bytes);
		bytes += chunk_bytes;
	}
	return bytes;
}

static void fetch_loose_leaves(struct pccl_agreement *agreement)
{
	const struct pccl_inventory *inventory = agreement->config.inventory;

	agreement->tried = 0;
	if (!agreement->parts[agreement->rank].inherits) {
		finish_receiving(agreement);
		return;
	}
	/* Nobody but the donor has just these. */
	agreement->sources[0] = agreement->records[agreement->election.donor].uuid;
	agreement->source_count = 1;
	fetch_document(agreement, PCCL_PHASE_LOOSE_LEAVES, PCCL_STATE_LOOSE,
		       agreement->leaves + inventory->strict_chunks,
		       pccl_state_document_bytes(inventory, PCCL_STATE_LOOSE));
}

/* Little comes from one source, the next one if that is lost: programs of PCCL 1.0 know it so. */
static void fetch_chunks(struct pccl_agreement *agreement)
{
	const struct pccl_inventory *inventory = agreement->config.inventory;
	uint64_t bytes = list_wanted(agreement, 0, inventory->strict_chunks);

	if (agreement->fetch.count == 0) {
		fetch_loose_leaves(agreement);
		return;
	}
	agreement->fetch.exclusive = bytes <= agreement->config.little_bytes;
	agreement->fetch.sources = agreement->sources;
	agreement->fetch.source_count = agreement->source_count;
	if (agreement->fetch.exclusive) {
		agreement->fetch.sources += agreement->tried;
		agreement->fetch.source_count = 1;
	}
	start(agreement, PCCL_PHASE_CHUNKS);
}

static void fetch_loose_chunks(struct pccl_agreement *agreement)
{
	const struct pccl_inventory *inventory = agreement->config.inventory;

	(void)list_wanted(agreement, inventory->strict_chunks, inventory->chunk_count);
	if (agreement->fetch.count == 0) {
		finish_receiving(agreement);
		return;
	}
	agreement->fetch.exclusive = true;
	agreement->fetch.sources = agreement->sources;
	agreement->fetch.source_count = 1;
	start(agreement, PCCL_PHASE_LOOSE_CHUNKS);
}

static void begin_receiving(struct pccl_agreement *agreement)
{
	const struct pccl_inventory *inventory = agreement->config.inventory;
	const struct pccl_state_record *record = &agreement->records[agreement->rank];

	pccl_free(agreement->leaves);
	pccl_free(agreement->wanted);
	agreement->leaves = pccl_calloc(inventory->chunk_count, sizeof(*agreement->leaves));
	agreement->wanted = pccl_calloc(inventory->chunk_count, sizeof(*agreement->wanted));
	if (agreement->leaves == NULL || agreement->wanted == NULL)
		give_up(agreement, pcclOutOfMemory, pccl_fail_text());
	else if (pccl_digest_equal(&record->content, &agreement->election.content))
		fetch_loose_leaves(agreement);
	else
		fetch_leaves(agreement);
}

void pccl_agreement_begin_fetch(struct pccl_agreement *agreement)
{
	const struct pccl_state_part *part = &agreement->parts[agreement->rank];

	agreement->tried = 0;
	if (part->role == PCCL_STATE_HOLDS)
		pccl_agreement_gather_finish(agreement, PCCL_FINISH_HAS_IT);
	else if (part->role == PCCL_STATE_RECEIVES)
		begin_receiving(agreement);
	else if (part->reason == PCCL_STATE_OTHER_KEYS)
		fetch_keys(agreement);
	else
		give_up_by_reason(agreement);
}

/* ---- what came ------------------------------ */

/* What was elected, or what its donor said, is what came? */
static bool is_right(const struct pccl_agreement *agreement)
{
	const struct pccl_inventory *inventory = agreement->config.inventory;
	struct pccl_digest digest, expected;

	switch (agreement->phase) {
	case PCCL_PHASE_KEYS:
		digest = pccl_digest_by(inventory->digest_kind, agreement->document, agreement->fetch.document_bytes);
		expected = agreement->election.keys;
		break;
	case PCCL_PHASE_LEAVES:
		digest = pccl_digest_root(inventory->digest_kind, agreement->leaves, inventory->strict_chunks);
		expected = agreement->election.content;
		break;
	case PCCL_PHASE_LOOSE_LEAVES:
		digest = pccl_digest_root(inventory->digest_kind, agreement->leaves + inventory->strict_chunks,
					  inventory->chunk_count - inventory->strict_chunks);
		expected = agreement->records[agreement->election.donor].loose;
		break;
	default:
		return true; /* each chunk was checked */
	}
	return pccl_digest_equal(&digest, &expected);
}

static void go_on(struct pccl_agreement *agreement)
{
	char text[sizeof(agreement->result.text)];

	agreement->tried = 0;
	switch (agreement->phase) {
	case PCCL_PHASE_KEYS:
		pccl_inventory_compare(agreement->config.inventory, agreement->document,
				       (size_t)agreement->fetch.document_bytes, text, sizeof(text));
		give_up(agreement, pcclInvalidUsage, text);
		break;
	case PCCL_PHASE_LEAVES:
	case PCCL_PHASE_CHUNKS: /* nothing differs any more */
		fetch_chunks(agreement);
		break;
	case PCCL_PHASE_LOOSE_LEAVES:
	case PCCL_PHASE_LOOSE_CHUNKS:
		fetch_loose_chunks(agreement);
		break;
	default:
		assert(!"not a fetch");
	}
}

static void without_source(struct pccl_agreement *agreement, bool liars)
{
	if (agreement->phase == PCCL_PHASE_KEYS)
		give_up_by_reason(agreement);
	else if (liars)
		give_up(agreement, pcclNoSharedStateAvailable,
			"what others sent of the state does not match the digests that were agreed on");
	else
		pccl_agreement_gather_finish(agreement, PCCL_FINISH_NO_SOURCE);
}

static void try_next(struct pccl_agreement *agreement)
{
	bool liars = agreement->worst == pcclNoSharedStateAvailable;

	if (!agreement->fetch.exclusive || ++agreement->tried >= agreement->source_count) {
		without_source(agreement, liars);
		return;
	}
	if (agreement->phase == PCCL_PHASE_KEYS)
		fetch_keys(agreement);
	else if (agreement->phase == PCCL_PHASE_LEAVES)
		fetch_leaves(agreement);
	else
		fetch_chunks(agreement);
}

void pccl_agreement_fetched(struct pccl_agreement *agreement)
{
	if (agreement->fetch.space == PCCL_STATE_CHUNKS)
		agreement->result.rx_bytes += agreement->rx_bytes;
	absorb(agreement);
	if (agreement->worst == pcclSuccess && !is_right(agreement)) {
		pccl_log_warn("a source sent digests of the state that do not match what was agreed on");
		agreement->worst = pcclNoSharedStateAvailable;
	}
	if (agreement->worst == pcclSuccess)
		go_on(agreement);
	else if (agreement->worst == pcclRankConnectionLost || agreement->worst == pcclNoSharedStateAvailable)
		try_next(agreement);
	else
		give_up(agreement, agreement->worst, "out of memory while the state was received");
}
