/*
 * Tags that were used once must not be remembered for ever, and sequence numbers are only worth something if all
 * members count alike. So members forget tags together, in a round: an all-gather of the library's own among ops, which
 * all of them launch by themselves, without their callers.
 *
 * When. An op whose hash says so (one in FORGET_EVERY) makes a round due when it has ended with success: it does so at
 * every member or at none, so all make as many rounds. They are made one after the other, and counted.
 *
 * What. Each member tells its unsettled tags: those whose last op not all members are known to have launched, and those
 * that it has a verdict for (a note) and has not launched. From there until the round has ended it numbers no op: what
 * is launched waits, for as long as the round takes, which needs nobody's caller. When the round has ended with success
 * each keeps its count of every tag that any member has told, and all others go on with one number, the floor, that is
 * above all that were used.
 *
 * Why it is right. A tag that nobody has told was settled at every member that knew it when it told, so all had
 * launched the same ops of it, and none has launched another one since: all go on with the floor. Of a tag that
 * somebody has told everybody keeps what it had; who did not know it had the old floor for it, and keeps that. A round
 * ends at all members alike, as every op does. In another view it begins anew, or is given up, for verdicts come with
 * that: what is settled by them at one member is a note at another one, which must not have told its notes before.
 * Newcomers come when nothing is open, and begin with everybody else at 0.
 */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/rng.h"
#include "session/session_internal.h"

#define FORGET_EVERY 4096
#define ROOM_LEAST 64
#define ROOM_MOST PCCL_MAX_OPERATIONS
#define RISE_MOST (1u << 28) /* more in one round is somebody's lie: numbers must not come round */
#define HEAD_WORDS 2	     /* of what a member tells: its highest number, how many tags; then the tags */

static bool makes_a_round_due(const struct pccl_session *session, const struct pccl_op *op)
{
	uint32_t every = session->config.forget_every != 0 ? session->config.forget_every : FORGET_EVERY;

	return op->numbered && !op->own && op->request.kind != PCCL_TRANSFER /* which not all know of */ &&
	       op->era == session->era && op->result == pcclSuccess &&
	       pccl_rng_hash(op->key.tag, op->key.sequence) % every == 0;
}

static size_t block_words(const struct pccl_forgetting *forgetting)
{
	return HEAD_WORDS + (size_t)forgetting->room;
}

/* Lanes may still send the one of the attempt before: all go with the op. False: out of memory. */
static bool add_block(struct pccl_op *op, size_t words)
{
	void **block = pccl_zalloc(sizeof(void *) + words * sizeof(uint64_t));

	if (block == NULL)
		return false;
	*block = op->request.input == NULL ? NULL : (void **)(uintptr_t)op->request.input - 1;
	op->request.input = block + 1;
	return true;
}

void pccl_session_forget_free(const struct pccl_op *op)
{
	void **block = op->request.input == NULL ? NULL : (void **)(uintptr_t)op->request.input - 1;

	while (block != NULL) {
		void **before = *block;

		pccl_free(block);
		block = before;
	}
	pccl_free(op->request.output);
}

pcclResult_t pccl_session_forget_tell(const struct pccl_session *session, struct pccl_op *op)
{
	size_t room = session->forgetting.room, count, bucket;
	const struct pccl_verdict_note *note;
	uint64_t *block;

	assert(op == session->forgetting.op && op->attempt == NULL);
	if (!add_block(op, block_words(&session->forgetting)))
		return pcclOutOfMemory;
	block = (uint64_t *)(uintptr_t)op->request.input;
	count = pccl_sequences_unsettled(&session->sequences, block + HEAD_WORDS, room);
	for (bucket = 0; session->note_count > 0 && bucket < PCCL_NOTE_BUCKETS; bucket++) {
		for (note = session->notes[bucket]; note != NULL; note = note->next) {
			if (count < room)
				block[HEAD_WORDS + count] = note->decision.tag;
			count++;
		}
	}
	block[0] = session->sequences.top;
	block[1] = count;
	return pcclSuccess;
}

static struct pccl_op *make_op(struct pccl_session *session)
{
	static const pcclOperation_t defaults = PCCL_OPERATION_INITIALIZER;
	size_t words = block_words(&session->forgetting);
	struct pccl_op_request request = {.kind = PCCL_ALL_GATHER, .operation = defaults};
	void *blocks = pccl_calloc(words * session->ranks, sizeof(uint64_t));
	struct pccl_op *op = NULL;

	request.operation.count = words;
	request.operation.datatype = pcclUint64;
	request.operation.tag = PCCL_TAG_OWN;
	request.name = "the library's own round";
	request.operation.plan = pcclPlanDirect;
	request.operation.failure_policy = pcclPolicyAbort;
	request.operation.zstd = pcclZstdOff;
	request.output = blocks;
	if (blocks == NULL || pccl_session_op_create(session, &request, &op) != pcclSuccess) {
		pccl_free(blocks);
		return NULL;
	}
	op->own = true;
	return op;
}

/* Without memory it stays due. */
static void begin(struct pccl_session *session)
{
	struct pccl_forgetting *forgetting = &session->forgetting;
	struct pccl_op *op;

	if (forgetting->due == 0 || forgetting->op != NULL || session->end_result != pcclSuccess)
		return;
	if (forgetting->room == 0)
		forgetting->room = session->config.forget_room != 0 ? session->config.forget_room : ROOM_LEAST;
	op = make_op(session);
	if (op == NULL)
		return;
	op->key.tag = PCCL_TAG_OWN;
	op->key.sequence = forgetting->round;
	op->numbered = true;
	if (!pccl_session_list(session, op)) {
		pccl_session_op_free(op);
		return;
	}
	forgetting->op = op;
	if (!session->frozen)
		pccl_session_resolve_noted(session, op);
}

void pccl_session_forget_if_due(struct pccl_session *session)
{
	begin(session);
}

void pccl_session_forget_after(struct pccl_session *session, const struct pccl_op *op)
{
	if (op->result == pcclSuccess || op->decided)
		pccl_sequences_settle(&session->sequences, op->key.tag);
	if (!makes_a_round_due(session, op))
		return;
	session->forgetting.due++;
	begin(session);
}

/* Moves all tags that were told to the front of the blocks. False: somebody had more than there is room for, or
 * lies. */
static bool collect(const struct pccl_session *session, uint64_t *blocks, uint32_t ranks, size_t *count_out,
		    uint32_t *floor_out)
{
	size_t words = block_words(&session->forgetting), used = 0;
	uint64_t highest = session->sequences.top;
	uint32_t rank;

	for (rank = 0; rank < ranks; rank++) {
		const uint64_t *block = blocks + rank * words;
		uint64_t count = block[1];

		if (count > words - HEAD_WORDS || block[0] > (uint64_t)session->sequences.floor + RISE_MOST)
			return false;
		if (block[0] > highest)
			highest = block[0];
		memmove(blocks + used, block + HEAD_WORDS, count * sizeof(*blocks));
		used += count;
	}
	*count_out = used;
	*floor_out = (uint32_t)highest;
	return true;
}

static void apply(struct pccl_session *session, struct pccl_op *op)
{
	struct pccl_forgetting *forgetting = &session->forgetting;
	uint64_t *blocks = op->request.output;
	uint32_t floor = 0;
	size_t count = 0;

	if (!collect(session, blocks, op->attempt_ranks, &count, &floor)) {
		if (forgetting->room < ROOM_MOST) /* they all see the same, and make more */
			forgetting->room *= 2;
		return;
	}
	if (!pccl_sequences_forget(&session->sequences, blocks, count, floor, session->unnumbered))
		pccl_session_end(session, pcclOutOfMemory,
				 "out of memory: the group forgets tags, and this peer can't go along");
}

/* What waited for the end of the round. */
static void start_waiting(struct pccl_session *session)
{
	struct pccl_op *op;

	for (op = session->ops; op != NULL && !session->frozen; op = op->next)
		if (!op->settled && !op->numbered)
			pccl_session_resolve_noted(session, op);
}

void pccl_session_forget_ended(struct pccl_session *session, struct pccl_op *op)
{
	struct pccl_forgetting *forgetting = &session->forgetting;

	assert(op->own && op->ended);
	if (op == forgetting->op) {
		forgetting->op = NULL;
		forgetting->round++;
		forgetting->due--;
		if (op->result == pcclSuccess)
			apply(session, op);
		if (session->end_result == pcclSuccess)
			start_waiting(session);
	}
	pccl_session_release(session, op);
	begin(session);
}

void pccl_session_forget_anew(struct pccl_session *session)
{
	struct pccl_op *op = session->forgetting.op;

	memset(&session->forgetting, 0, sizeof(session->forgetting));
	if (op != NULL && op->attempt == NULL && !op->settled)
		pccl_session_op_fail(session, op, pcclRankConnectionLost, "members were added");
	session->era++;
	pccl_sequences_clear(&session->sequences);
	if (!pccl_sequences_reserve(&session->sequences, session->unnumbered))
		pccl_session_end(session, pcclOutOfMemory, "out of memory for the operations that wait for the view");
}
