/* See agreement.h. What is gathered, and how it ends. */
#include "sync/state/agreement.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/uuid.h"
#include "sync/state/agreement_internal.h"

/* ---- gathering ------------------------------ */

static void gather(struct pccl_agreement *agreement, size_t bytes, bool waits_for_callers)
{
	memset(&agreement->action, 0, sizeof(agreement->action));
	agreement->action.step = PCCL_AGREEMENT_GATHER;
	agreement->action.input = agreement->input;
	agreement->action.output = agreement->gathered;
	agreement->action.bytes = bytes;
	agreement->action.waits_for_callers = waits_for_callers;
}

/* What was torn and is as it was left has no vote; anything else has been mended by the caller. */
static bool is_torn(const struct pccl_agreement *agreement, const struct pccl_digest *content)
{
	const struct pccl_state_lineage *lineage = &agreement->result.lineage;

	return lineage->torn && pccl_digest_equal(&lineage->torn_root, content);
}

static void gather_records(struct pccl_agreement *agreement)
{
	const struct pccl_agreement_config *config = &agreement->config;
	const struct pccl_state_lineage *lineage = &agreement->result.lineage;
	struct pccl_state_record record = {.uuid = config->self,
					   .nonce = pccl_rng_hash(config->nonce, agreement->round++),
					   .revision = config->revision,
					   .commit = lineage->commit,
					   .committed = lineage->commit > 0 ? lineage->committed : 0,
					   .strategy = (uint8_t)config->strategy,
					   .broken = config->inventory == NULL};

	if (config->inventory != NULL) {
		record.keys_bytes = config->inventory->keys_bytes;
		record.keys = pccl_inventory_keys_root(config->inventory);
		record.content = pccl_inventory_content_root(config->inventory);
		record.loose = pccl_inventory_loose_root(config->inventory);
		record.torn = is_torn(agreement, &record.content);
	}
	agreement->phase = PCCL_PHASE_BALLOT;
	pccl_state_record_encode(&record, agreement->input);
	gather(agreement, PCCL_STATE_RECORD_BYTES, true);
}

void pccl_agreement_gather_finish(struct pccl_agreement *agreement, enum pccl_finish finish)
{
	struct pccl_writer writer = pccl_writer_over(agreement->input, PCCL_FINISH_BYTES);

	agreement->finish = finish;
	agreement->phase = PCCL_PHASE_FINISH;
	memset(agreement->input, 0, PCCL_FINISH_BYTES);
	pccl_put_u64(&writer, agreement->sync);
	pccl_put_u8(&writer, (uint8_t)finish);
	gather(agreement, PCCL_FINISH_BYTES, false);
}

/* ---- the end ------------------------------ */

static void end(struct pccl_agreement *agreement)
{
	agreement->phase = PCCL_PHASE_END;
	agreement->action.step = PCCL_AGREEMENT_END;
}

static void close_or_end(struct pccl_agreement *agreement)
{
	if (!agreement->opened) {
		end(agreement);
		return;
	}
	agreement->phase = PCCL_PHASE_CLOSE;
	agreement->answers = 0;
	agreement->action.step = PCCL_AGREEMENT_CLOSE;
}

void pccl_agreement_fail(struct pccl_agreement *agreement, pcclResult_t result, const char *text)
{
	if (agreement->result.result != pcclSuccess)
		return;
	/* Invalid usage means that nothing has changed. */
	if (result == pcclInvalidUsage && agreement->overwritten)
		result = pcclNoSharedStateAvailable;
	agreement->result.result = result;
	pccl_text_copy(agreement->result.text, sizeof(agreement->result.text), text);
}

/* The election has ended, and with it this peer's part: a commit, if it has what it should. */
static void commit(struct pccl_agreement *agreement)
{
	struct pccl_state_lineage *lineage = &agreement->result.lineage;

	if (agreement->result.result != pcclSuccess)
		return;
	agreement->result.revision = agreement->election.revision;
	lineage->commit = agreement->election.commit;
	lineage->committed = agreement->election.revision;
	lineage->torn = false;
}

static void fail_by_reason(struct pccl_agreement *agreement, const struct pccl_state_part *part)
{
	const struct pccl_state_record *record = &agreement->records[agreement->rank];
	char text[sizeof(agreement->result.text)];

	pccl_election_explain(&agreement->election, record, part->reason, text, sizeof(text));
	pccl_agreement_fail(agreement,
			    part->reason == PCCL_STATE_NO_VOTER && record->torn ? pcclNoSharedStateAvailable
										: pcclInvalidUsage,
			    text);
}

/* ---- the ballot ------------------------------ */

static pcclResult_t read_records(struct pccl_agreement *agreement, uint32_t ranks)
{
	bool found = false;
	pcclResult_t result = pcclSuccess;
	struct pccl_digest digest = pccl_digest_of(agreement->gathered, (size_t)ranks * PCCL_STATE_RECORD_BYTES);
	struct pccl_reader reader = pccl_reader_over(digest.bytes, PCCL_DIGEST_BYTES);
	uint32_t rank;

	for (rank = 0; rank < ranks && result == pcclSuccess; rank++) {
		result = pccl_state_record_decode(agreement->gathered + (size_t)rank * PCCL_STATE_RECORD_BYTES,
						  &agreement->records[rank]);
		if (!pccl_uuid_equal(&agreement->records[rank].uuid, &agreement->config.self))
			continue;
		agreement->rank = rank;
		found = true;
	}
	if (result == pcclSuccess && !found)
		return pccl_fail(pcclInternalError, "this peer's record is not among those that were gathered");
	agreement->ranks = ranks;
	agreement->sync = pccl_get_u64(&reader);
	agreement->result.sync = agreement->sync;
	return result;
}

/* Those that serve; the one that is asked first depends on who asks. */
static void list_sources(struct pccl_agreement *agreement)
{
	uint32_t step;

	agreement->source_count = 0;
	for (step = 1; step <= agreement->ranks; step++) {
		uint32_t rank = (agreement->rank + step) % agreement->ranks;

		if (agreement->parts[rank].serves && rank != agreement->rank)
			agreement->sources[agreement->source_count++] = agreement->records[rank].uuid;
	}
}

static bool anybody_fetches(const struct pccl_agreement *agreement)
{
	uint32_t rank;

	for (rank = 0; rank < agreement->ranks; rank++)
		if (agreement->parts[rank].role == PCCL_STATE_RECEIVES ||
		    agreement->parts[rank].reason == PCCL_STATE_OTHER_KEYS)
			return true;
	return false;
}

static void open_lanes(struct pccl_agreement *agreement)
{
	agreement->phase = PCCL_PHASE_OPEN;
	agreement->opened = true;
	agreement->action.step = PCCL_AGREEMENT_OPEN;
	agreement->action.sync = agreement->sync;
	agreement->action.serves = agreement->parts[agreement->rank].serves;
}

static void count_ballot(struct pccl_agreement *agreement, uint32_t ranks)
{
	const struct pccl_state_part *part;
	pcclResult_t result = read_records(agreement, ranks);

	if (result != pcclSuccess) {
		pccl_agreement_fail(agreement, result, pccl_fail_text());
		end(agreement);
		return;
	}
	pccl_elect(agreement->records, ranks, &agreement->election, agreement->parts);
	agreement->elected = true;
	part = &agreement->parts[agreement->rank];
	if (agreement->election.reason != PCCL_STATE_FINE || !anybody_fetches(agreement)) {
		if (part->role == PCCL_STATE_FAILS)
			fail_by_reason(agreement, part);
		commit(agreement);
		end(agreement);
		return;
	}
	list_sources(agreement);
	if (agreement->config.inventory != NULL) {
		open_lanes(agreement);
		return;
	}
	fail_by_reason(agreement, part);
	pccl_agreement_gather_finish(agreement, PCCL_FINISH_FAILED);
}

/* ---- the finish ------------------------------ */

/* It has what was elected as if it had been there; the others are told so by the next ballot. */
static void keep_what_came(struct pccl_agreement *agreement)
{
	if (agreement->finish != PCCL_FINISH_HAS_IT)
		return;
	agreement->config.revision = agreement->election.revision;
	agreement->result.lineage.commit = agreement->election.commit - 1;
	agreement->result.lineage.committed = agreement->election.committed;
	agreement->result.lineage.torn = false;
}

static void begin_again(struct pccl_agreement *agreement)
{
	agreement->again = false;
	agreement->opened = false;
	keep_what_came(agreement);
	agreement->result.result = pcclSuccess;
	agreement->result.text[0] = '\0';
	gather_records(agreement);
}

static void count_finish(struct pccl_agreement *agreement, uint32_t ranks)
{
	uint32_t rank;

	for (rank = 0; rank < ranks; rank++) {
		struct pccl_reader reader =
			pccl_reader_over(agreement->gathered + (size_t)rank * PCCL_FINISH_BYTES, PCCL_FINISH_BYTES);
		uint64_t sync = pccl_get_u64(&reader);

		if (sync == agreement->sync && pccl_get_u8(&reader) == PCCL_FINISH_NO_SOURCE)
			agreement->again = true;
	}
	if (!agreement->again && agreement->finish == PCCL_FINISH_HAS_IT)
		commit(agreement);
	/* Who could not take part has nothing to close, and is needed for the next ballot like all others. */
	if (agreement->again && !agreement->opened)
		begin_again(agreement);
	else
		close_or_end(agreement);
}

/* ---- what the driver tells ------------------------------ */

void pccl_agreement_gathered(struct pccl_agreement *agreement, pcclResult_t result, const char *text, uint32_t ranks)
{
	bool ballot = agreement->phase == PCCL_PHASE_BALLOT;

	assert(agreement->action.step == PCCL_AGREEMENT_GATHER && ranks <= agreement->config.members_max);
	if (result == pcclRankConnectionLost)
		return;
	if (result == pcclTooFewPeers) {
		memcpy(agreement->gathered, agreement->input, agreement->action.bytes);
		ranks = 1;
	} else if (result != pcclSuccess) {
		pccl_agreement_fail(agreement, result, text);
		close_or_end(agreement);
		return;
	}
	if (ballot)
		count_ballot(agreement, ranks);
	else
		count_finish(agreement, ranks);
}

void pccl_agreement_done(struct pccl_agreement *agreement)
{
	if (agreement->phase == PCCL_PHASE_OPEN) {
		pccl_agreement_begin_fetch(agreement);
		return;
	}
	assert(agreement->phase == PCCL_PHASE_SERVE);
	pccl_agreement_gather_finish(agreement, PCCL_FINISH_HAS_IT);
}

void pccl_agreement_outcome(struct pccl_agreement *agreement, const struct pccl_transfer_outcome *outcome,
			    uint32_t lanes)
{
	if (outcome->event == PCCL_TRANSFER_FETCHED) {
		if (agreement->action.step != PCCL_AGREEMENT_FETCH)
			return; /* it was aborted meanwhile */
		if (agreement->worst == pcclSuccess)
			agreement->worst = outcome->result;
		agreement->liars |= outcome->lied;
		agreement->rx_bytes += outcome->rx_bytes;
		agreement->result.rx_wire_bytes += outcome->wire_bytes;
		if (++agreement->answers == lanes)
			pccl_agreement_fetched(agreement);
		return;
	}
	assert(agreement->phase == PCCL_PHASE_CLOSE);
	agreement->result.tx_bytes += outcome->tx_bytes;
	agreement->result.tx_wire_bytes += outcome->wire_bytes;
	if (++agreement->answers < lanes)
		return;
	pccl_agreement_settle(agreement);
	if (agreement->again)
		begin_again(agreement);
	else
		end(agreement);
}

void pccl_agreement_abort(struct pccl_agreement *agreement, pcclResult_t result, const char *text)
{
	assert(agreement->action.step == PCCL_AGREEMENT_FETCH);
	pccl_agreement_fail(agreement, result, text);
	agreement->finish = PCCL_FINISH_FAILED;
	close_or_end(agreement);
}

/* ---- life ------------------------------ */

const struct pccl_agreement_action *pccl_agreement_next(const struct pccl_agreement *agreement)
{
	return &agreement->action;
}

const struct pccl_agreement_result *pccl_agreement_result(const struct pccl_agreement *agreement)
{
	assert(agreement->phase == PCCL_PHASE_END);
	return &agreement->result;
}

const struct pccl_election *pccl_agreement_election(const struct pccl_agreement *agreement)
{
	return agreement->elected ? &agreement->election : NULL;
}

pcclResult_t pccl_agreement_create(const struct pccl_agreement_config *config, uint32_t lanes,
				   struct pccl_agreement **agreement_out)
{
	struct pccl_agreement *agreement = pccl_zalloc(sizeof(*agreement));

	*agreement_out = NULL;
	if (agreement == NULL)
		return pcclOutOfMemory;
	assert(config->members_max > 0 && lanes > 0);
	agreement->config = *config;
	agreement->lanes = lanes;
	agreement->result.revision = config->revision;
	agreement->result.lineage = config->lineage;
	agreement->gathered = pccl_calloc(config->members_max, PCCL_STATE_RECORD_BYTES);
	agreement->records = pccl_calloc(config->members_max, sizeof(*agreement->records));
	agreement->parts = pccl_calloc(config->members_max, sizeof(*agreement->parts));
	agreement->sources = pccl_calloc(config->members_max, sizeof(*agreement->sources));
	if (agreement->gathered == NULL || agreement->records == NULL || agreement->parts == NULL ||
	    agreement->sources == NULL) {
		pccl_agreement_destroy(agreement);
		return pcclOutOfMemory;
	}
	gather_records(agreement);
	*agreement_out = agreement;
	return pcclSuccess;
}

void pccl_agreement_destroy(struct pccl_agreement *agreement)
{
	if (agreement == NULL)
		return;
	pccl_free(agreement->gathered);
	pccl_free(agreement->records);
	pccl_free(agreement->parts);
	pccl_free(agreement->sources);
	pccl_free(agreement->document);
	pccl_free(agreement->leaves);
	pccl_free(agreement->wanted);
	pccl_free(agreement->progress);
	pccl_free(agreement);
}
