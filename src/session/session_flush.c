/* View changes: freeze, collect what the lanes hold, report it, and act on what was decided. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/uuid.h"
#include "session/session_internal.h"

#define HELD_BYTES_MAX (8u << 20)

void pccl_verdict_note_free(struct pccl_verdict_note *note)
{
	pccl_op_decision_fini(&note->decision);
	pccl_free(note);
}

static struct pccl_verdict_note **notes_of(struct pccl_session *session, const struct pccl_op_key *key)
{
	return &session->notes[pccl_rng_hash(key->tag, key->sequence) % PCCL_NOTE_BUCKETS];
}

struct pccl_verdict_note *pccl_session_note_take(struct pccl_session *session, const struct pccl_op_key *key)
{
	struct pccl_verdict_note **link;

	for (link = notes_of(session, key); *link != NULL; link = &(*link)->next) {
		struct pccl_verdict_note *note = *link;

		if (note->decision.tag != key->tag || note->decision.sequence != key->sequence)
			continue;
		*link = note->next;
		session->note_count--;
		return note;
	}
	return NULL;
}

static bool is_final(const struct pccl_op_decision *decision)
{
	return decision->verdict == PCCL_VERDICT_ABORT || decision->verdict == PCCL_VERDICT_EXPIRE ||
	       decision->verdict == PCCL_VERDICT_MISMATCH;
}

/* Ops that were given up stay given up; what was to be redone is decided anew at each view change. */
void pccl_session_notes_clear(struct pccl_session *session, bool keep_aborts)
{
	uint32_t bucket;

	for (bucket = 0; bucket < PCCL_NOTE_BUCKETS && session->note_count > 0; bucket++) {
		struct pccl_verdict_note **link = &session->notes[bucket];

		while (*link != NULL) {
			struct pccl_verdict_note *note = *link;

			if (keep_aborts && is_final(&note->decision)) {
				link = &note->next;
				continue;
			}
			*link = note->next;
			session->note_count--;
			pccl_verdict_note_free(note);
		}
	}
}

static pcclResult_t note_add(struct pccl_session *session, const struct pccl_op_decision *decision)
{
	const struct pccl_op_key key = {.tag = decision->tag, .sequence = decision->sequence};
	struct pccl_verdict_note **bucket = notes_of(session, &key);
	struct pccl_verdict_note *note = pccl_session_note_take(session, &key);

	if (note != NULL) /* what is decided later counts */
		pccl_verdict_note_free(note);
	note = pccl_zalloc(sizeof(*note));
	if (note == NULL)
		return pcclOutOfMemory;
	if (session->note_count >= PCCL_NOTES_MAX || pccl_op_decision_copy(decision, &note->decision) != pcclSuccess) {
		pccl_op_decision_fini(&note->decision);
		pccl_free(note);
		return pcclOutOfMemory;
	}
	note->next = *bucket;
	*bucket = note;
	session->note_count++;
	return pcclSuccess;
}

void pccl_session_freeze(struct pccl_session *session)
{
	struct pccl_op *op;
	uint32_t lane;

	assert(session->lanes_to_collect == 0);
	session->frozen = true;
	session->lanes_to_collect = session->config.lanes;
	for (op = session->ops; op != NULL; op = op->next) {
		memset(op->held, 0, pccl_bitmap_words(op->geometry.segment_count) * sizeof(uint64_t));
		op->complete = true;
	}
	for (lane = 0; lane < session->config.lanes; lane++)
		pccl_session_command(session, &session->freezes[lane], PCCL_COMMAND_FREEZE, lane);
}

/* A lane that has ended with success holds all of its share. */
static void hold_all(struct pccl_op *op, const struct pccl_attempt *attempt, uint32_t lane)
{
	uint32_t segment;

	assert(op->attempts_open > 0);
	for (segment = 0; segment < op->geometry.segment_count; segment++)
		if (pccl_geometry_lane(&op->geometry, segment, op->key.tag, attempt->lanes) == lane)
			pccl_bitmap_set(op->held, segment);
}

bool pccl_session_collect(struct pccl_session *session, uint32_t lane, const struct pccl_exec *exec)
{
	struct pccl_attempt *attempt;

	assert(session->lanes_to_collect > 0);
	assert(session->frozen);
	for (attempt = session->attempts; attempt != NULL; attempt = attempt->next) {
		bool complete = true;

		if (attempt->superseded || !pccl_attempt_on_lane(attempt, lane))
			continue;
		if (pccl_bitmap_test(attempt->lanes_ended, lane))
			hold_all(attempt->op, attempt, lane);
		else
			pccl_exec_report(exec, attempt, attempt->op->held, &complete);
		attempt->op->complete = attempt->op->complete && complete;
	}
	return --session->lanes_to_collect == 0;
}

static bool is_open(const struct pccl_op *op)
{
	return !op->settled && op->attempt != NULL && !op->attempt->cancelled;
}

static pcclResult_t fill_report(const struct pccl_session *session, const struct pccl_op *op,
				struct pccl_op_report *report_out)
{
	size_t words = pccl_bitmap_words(op->geometry.segment_count);

	report_out->held = pccl_calloc(words + 1, sizeof(uint64_t));
	if (report_out->held == NULL)
		return pcclOutOfMemory;
	memcpy(report_out->held, op->held, words * sizeof(uint64_t));
	report_out->tag = op->key.tag;
	report_out->sequence = op->key.sequence;
	report_out->signature = op->signature;
	report_out->policy = (uint8_t)op->request.operation.failure_policy;
	if (pccl_collective_has_root((int)op->request.kind) || op->request.kind == PCCL_TRANSFER)
		report_out->root = *pccl_session_source(session, op);
	/* The parts of a scatter or gather mean something else in another view. */
	if (pccl_session_is_by_rank(op->request.kind) ||
	    (pccl_collective_moves_parts((int)op->request.kind) && op->request.kind != PCCL_TRANSFER))
		report_out->policy = (uint8_t)pcclPolicyAbort;
	if (op->gives_up)
		report_out->policy = PCCL_POLICY_SPENT;
	report_out->repairable = op->request.kind == PCCL_ALL_REDUCE && !(op->gives_up && op->verifies);
	report_out->complete = op->complete;
	report_out->segment_count = op->geometry.segment_count;
	return pccl_session_report_participants(op, report_out);
}

/* All reports travel in one frame, of 16 MiB: that has room for any number of them, but not for what any number of
 * large ops holds. An op that has to do without is redone as a whole. */
static void shorten(struct pccl_op_report *report, size_t *bytes)
{
	size_t more = pccl_bitmap_words(report->segment_count) * sizeof(uint64_t);

	if (report->participants != NULL)
		more += report->segment_count * sizeof(*report->participants);
	if (*bytes + more <= HELD_BYTES_MAX) {
		*bytes += more;
		return;
	}
	pccl_free(report->held);
	pccl_free(report->participants);
	report->held = NULL;
	report->participants = NULL;
	report->repairable = false;
}

static uint32_t report_failed(const struct pccl_failed_ops *failed, struct pccl_op_report *reports, uint32_t count)
{
	uint32_t kept = failed->count < PCCL_FAILED_MAX ? failed->count : PCCL_FAILED_MAX;
	uint32_t i;

	for (i = 0; i < kept && count < PCCL_REPORTS_MAX; i++, count++) {
		const struct pccl_failed_op *op = &failed->ops[(failed->count - 1 - i) % PCCL_FAILED_MAX];

		reports[count].tag = op->key.tag;
		reports[count].sequence = op->key.sequence;
		reports[count].signature = op->signature;
		reports[count].policy = op->policy;
		reports[count].segment_count = op->segment_count;
	}
	return count;
}

pcclResult_t pccl_session_reports(const struct pccl_session *session, struct pccl_op_report **reports_out,
				  uint32_t *count_out)
{
	struct pccl_op_report *reports = pccl_calloc(session->op_count + PCCL_FAILED_MAX, sizeof(*reports));
	const struct pccl_op *op;
	size_t held_bytes = 0;
	uint32_t count = 0;

	if (reports == NULL)
		return pcclOutOfMemory;
	for (op = session->ops; op != NULL; op = op->next) {
		if (!is_open(op))
			continue;
		if (fill_report(session, op, &reports[count]) != pcclSuccess) {
			pccl_op_reports_destroy(reports, count + 1);
			return pcclOutOfMemory;
		}
		shorten(&reports[count++], &held_bytes);
	}
	count = report_failed(&session->failed, reports, count);
	*reports_out = reports;
	*count_out = count;
	return pcclSuccess;
}

/* They are in order. */
static const struct pccl_op_decision *decision_for(const struct pccl_install *install, const struct pccl_op *op)
{
	const struct pccl_op_decision key = {.tag = op->key.tag, .sequence = op->key.sequence};
	uint32_t begin = 0, end = install->decision_count;

	while (begin < end) {
		uint32_t middle = begin + (end - begin) / 2;
		int order = pccl_op_decision_compare(&key, &install->decisions[middle]);

		if (order == 0)
			return &install->decisions[middle];
		if (order < 0)
			end = middle;
		else
			begin = middle + 1;
	}
	return NULL;
}

static bool is_redone(uint8_t verdict)
{
	return verdict == PCCL_VERDICT_RETRY || verdict == PCCL_VERDICT_REPAIR;
}

/* Lets go of the attempt in the old view, as decided. The last one of a group has nobody to redo an op with. */
static void leave_view(struct pccl_session *session, struct pccl_op *op, const struct pccl_op_decision *decision,
		       const struct pccl_install *install)
{
	uint32_t ranks = install->view.member_count;
	uint8_t verdict = decision == NULL ? PCCL_VERDICT_ABORT : pccl_session_verdict(op, decision, ranks);
	bool redo = is_redone(verdict);
	bool commits = verdict == PCCL_VERDICT_COMMIT && op->complete; /* else this peer has said that it is not */
	const char *cause = install->cause;
	char text[sizeof(install->cause) + 120];

	assert(op->attempt != NULL);
	/* Nobody was lost: this peer launched it while it, too, waited for the others in pcclUpdateTopology(). */
	if (install->newcomers) {
		snprintf(text, sizeof(text),
			 "a new view (%s) came before all members had launched the operation; launch it again", cause);
		cause = text;
	}
	op->decided = decision != NULL && !redo && !commits;
	if (commits)
		pccl_attempt_cancel(session, op->attempt, pcclSuccess, "", false, false);
	else if (verdict == PCCL_VERDICT_MISMATCH)
		pccl_attempt_cancel(session, op->attempt, pcclMismatch,
				    pccl_session_mismatch_text(op, text, sizeof(text)), true, false);
	else if (verdict == PCCL_VERDICT_EXPIRE)
		pccl_attempt_cancel(session, op->attempt, pcclTimeout, cause, true, false);
	else if (redo && ranks < 2)
		pccl_attempt_cancel(session, op->attempt, pcclTooFewPeers, cause, true, false);
	else if (redo)
		pccl_attempt_cancel(session, op->attempt, pcclRankConnectionLost, cause, verdict == PCCL_VERDICT_RETRY,
				    true);
	else
		pccl_attempt_cancel(session, op->attempt, pcclRankConnectionLost, cause, true, false);
}

/* What is decided about ops that are still to be launched here. Without memory or room for it this peer can't go on: it
 * would launch them as if nothing had happened. */
static pcclResult_t keep_notes(struct pccl_session *session, const struct pccl_install *install, uint32_t rank)
{
	uint32_t i;

	if (install->newcomers) {
		session->joint = 0;
		session->updating = false; /* this is its answer */
		pccl_session_notes_clear(session, false);
		pccl_session_forget_anew(session);
		return pcclSuccess;
	}
	pccl_session_notes_clear(session, true);
	for (i = 0; i < install->decision_count; i++) {
		const struct pccl_op_decision *decision = &install->decisions[i];

		if (decision->verdict == PCCL_VERDICT_COMMIT ||
		    !pccl_session_concerns(&install->view, rank, decision->signature) ||
		    decision->sequence < pccl_session_next(session, decision->tag))
			continue;
		if (note_add(session, decision) == pcclSuccess)
			continue;
		if (session->note_count >= PCCL_NOTES_MAX)
			return pccl_fail(pcclOutOfMemory,
					 "the group has given up more than %d operations that were never launched here",
					 PCCL_NOTES_MAX);
		return pccl_fail(pcclOutOfMemory,
				 "out of memory: what the group decided about operations that are still to be "
				 "launched here is lost");
	}
	return pcclSuccess;
}

/* The op has not begun here, and must not: ends it. */
static void give_up(struct pccl_session *session, struct pccl_op *op, uint8_t verdict)
{
	pcclResult_t result = pcclRankConnectionLost;
	char text[sizeof(op->detail)];

	if (verdict == PCCL_VERDICT_MISMATCH)
		result = pcclMismatch;
	else if (verdict == PCCL_VERDICT_EXPIRE)
		result = pcclTimeout;
	op->decided = true;
	if (verdict == PCCL_VERDICT_MISMATCH)
		(void)pccl_session_mismatch_text(op, text, sizeof(text));
	else if (verdict == PCCL_VERDICT_EXPIRE)
		snprintf(text, sizeof(text),
			 "%s: the deadline of those who had launched it passed before this peer did", op->name);
	else
		snprintf(text, sizeof(text),
			 "%s: a member was lost before this peer launched it; the survivors gave it up", op->name);
	pccl_session_op_fail(session, op, result, text);
}

void pccl_session_resolve(struct pccl_session *session, struct pccl_op *op, const struct pccl_op_decision *decision)
{
	uint8_t verdict = decision == NULL ? PCCL_VERDICT_RETRY : pccl_session_verdict(op, decision, session->ranks);
	pcclResult_t result;

	assert(op->attempt == NULL && !op->settled && !session->frozen);
	assert(op->numbered);
	if (op->late || pccl_session_is_late(session, &op->request)) {
		pccl_session_op_fail(session, op, pcclRankConnectionLost,
				     "the operation is of a view that is not in force any more");
		return;
	}
	/* Others launch theirs in this view: START tells them. */
	if (verdict == PCCL_VERDICT_MISMATCH && is_redone(decision->verdict))
		verdict = PCCL_VERDICT_RETRY;
	if (!is_redone(verdict)) { /* committed neither: nothing is complete without this peer */
		give_up(session, op, verdict);
		return;
	}
	if (session->ranks < 2) {
		pccl_session_op_fail(session, op, pcclTooFewPeers, "this peer is the last one of its group");
		return;
	}
	if (op->own && pccl_session_forget_tell(session, op) != pcclSuccess) {
		pccl_session_end(session, pcclOutOfMemory, "out of memory for what the group does together");
		return;
	}
	if (verdict != PCCL_VERDICT_REPAIR)
		decision = NULL;
	result = pccl_session_count_participants(session, op, decision);
	if (result == pcclSuccess)
		result = pccl_session_fit(session, op);
	if (result == pcclSuccess)
		result = pccl_attempt_start(session, op, decision);
	if (result != pcclSuccess)
		pccl_session_op_fail(session, op, result, pccl_fail_text());
}

/* Its name, when it is sure that all who launch it now name it so. */
static void number(struct pccl_session *session, struct pccl_op *op)
{
	if (op->numbered)
		return;
	assert(session->forgetting.op == NULL);
	op->numbered = true;
	op->era = session->era;
	op->key.sequence = pccl_sequences_take(&session->sequences, op->key.tag);
	session->unnumbered--;
}

void pccl_session_resolve_noted(struct pccl_session *session, struct pccl_op *op)
{
	struct pccl_verdict_note *note;

	number(session, op);
	note = pccl_session_note_take(session, &op->key);
	pccl_session_resolve(session, op, note == NULL ? NULL : &note->decision);
	if (note != NULL)
		pccl_verdict_note_free(note);
}

static pcclResult_t install_on_lanes(struct pccl_session *session, const struct pccl_view *view)
{
	uint32_t lane;

	assert(!session->frozen);
	for (lane = 0; lane < session->config.lanes; lane++) {
		struct pccl_command *command = pccl_zalloc(sizeof(*command));

		if (command == NULL || pccl_view_copy(view, &command->view) != pcclSuccess) {
			pccl_free(command);
			return pcclOutOfMemory;
		}
		command->epoch = session->epoch;
		command->ranks = session->ranks;
		command->rank = session->rank;
		command->lanes = session->lanes;
		pccl_session_command(session, command, PCCL_COMMAND_INSTALL, lane);
	}
	return pcclSuccess;
}

static bool same_members(const struct pccl_session *session, const struct pccl_view *view)
{
	uint32_t i;

	if (session->members == NULL || session->ranks != view->member_count)
		return false;
	for (i = 0; i < session->ranks; i++)
		if (!pccl_uuid_equal(&session->members[i], &view->members[i].uuid))
			return false;
	return true;
}

/* Segments change lanes with the number of lanes, so it stays as it is while ops may be open. */
static pcclResult_t adopt_view(struct pccl_session *session, const struct pccl_install *install, uint32_t rank)
{
	pcclRankUuid_t *members;
	struct pccl_links links;
	uint32_t i;

	if (install->newcomers || session->epoch == 0) {
		session->lanes = install->view.lanes;
		session->cut_for_ranks = install->view.member_count;
	}
	if (session->lanes > session->config.lanes)
		session->lanes = session->config.lanes;
	if (session->lanes == 0)
		session->lanes = 1;
	if (pccl_links_copy(&install->links, &links) != pcclSuccess)
		return pcclOutOfMemory;
	members = pccl_calloc(install->view.member_count, sizeof(*members));
	if (members == NULL) {
		pccl_links_fini(&links);
		return pcclOutOfMemory;
	}
	for (i = 0; i < install->view.member_count; i++)
		members[i] = install->view.members[i].uuid;
	if (!same_members(session, &install->view))
		session->members_since = install->view.epoch;
	pccl_free(session->members);
	session->members = members;
	pccl_links_fini(&session->links);
	session->links = links;
	session->epoch = install->view.epoch;
	session->ranks = install->view.member_count;
	session->rank = rank;
	session->frozen = false;
	return pcclSuccess;
}

static void resolve_waiting(struct pccl_session *session, struct pccl_op *op, const struct pccl_install *install)
{
	const struct pccl_op_decision *decision;
	struct pccl_verdict_note *note;

	if (!op->numbered && session->forgetting.op != NULL)
		return; /* its end lets this one go on */
	number(session, op);
	decision = decision_for(install, op);
	note = pccl_session_note_take(session, &op->key); /* of this decision, or of one before */
	if (decision == NULL && note != NULL)
		decision = &note->decision;
	pccl_session_resolve(session, op, decision);
	if (note != NULL)
		pccl_verdict_note_free(note);
}

/* They were reported, as many as were kept: whoever is still to launch them has a note. */
static void settle_failed(struct pccl_session *session)
{
	uint32_t i;

	for (i = 0; i < session->failed.count && i < PCCL_FAILED_MAX; i++) {
		const struct pccl_op_key *key = &session->failed.ops[i].key;

		if (pccl_session_next(session, key->tag) == key->sequence + 1)
			pccl_sequences_settle(&session->sequences, key->tag);
	}
	session->failed.count = 0;
}

pcclResult_t pccl_session_install(struct pccl_session *session, const struct pccl_install *install, uint32_t rank)
{
	struct pccl_op *op;
	pcclResult_t result;

	assert(install->view.epoch > session->epoch && rank < install->view.member_count);
	for (op = session->ops; op != NULL; op = op->next)
		if (is_open(op))
			leave_view(session, op, decision_for(install, op), install);
	result = keep_notes(session, install, rank);
	settle_failed(session);
	if (result == pcclSuccess)
		result = adopt_view(session, install, rank);
	if (result != pcclSuccess)
		return result;
	pccl_session_meetings_end(session, &install->view);
	result = install_on_lanes(session, &install->view);
	pccl_session_tell_update(session);
	for (op = session->ops; op != NULL; op = op->next)
		if (!op->settled && op->attempt == NULL)
			resolve_waiting(session, op, install);
	return result;
}
