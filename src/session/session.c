/* The op table: launch, find, release, end. */
#include "session/session.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/uuid.h"
#include "collectives/element/dtype.h"
#include "session/session_internal.h"

#define TAG_NAME_BYTES 25 /* "tag " and 20 digits */
#define BUCKETS_MIN 64

pcclResult_t pccl_session_create(const struct pccl_session_config *config, struct pccl_session **session_out)
{
	struct pccl_session *session = pccl_zalloc(sizeof(*session));

	*session_out = NULL;
	if (session == NULL)
		return pcclOutOfMemory;
	assert(config->lanes > 0);
	session->config = *config;
	session->freezes = pccl_calloc(config->lanes, sizeof(*session->freezes));
	if (session->freezes == NULL) {
		pccl_free(session);
		return pcclOutOfMemory;
	}
	*session_out = session;
	return pcclSuccess;
}

void pccl_session_op_free(struct pccl_op *op)
{
	if (op->own)
		pccl_session_forget_free(op);
	pccl_free(op->held);
	pccl_free(op->participants);
	pccl_free(op->undo);
	pccl_free(op->staged);
	pccl_free(op->sums);
	pccl_free(op->parts);
	pccl_free(op->residual_next);
	pccl_free(op->residual_made);
	pccl_free(op);
}

static struct pccl_command *take_command(struct pccl_session *session)
{
	struct pccl_command *command = session->first;

	if (command == NULL)
		return NULL;
	session->first = command->next;
	if (session->first == NULL)
		session->last = NULL;
	command->next = NULL;
	return command;
}

void pccl_session_destroy(struct pccl_session *session)
{
	struct pccl_command *command;

	if (session == NULL)
		return;
	while ((command = take_command(session)) != NULL)
		pccl_command_free(command);
	while (session->attempts != NULL) {
		struct pccl_attempt *attempt = session->attempts;

		session->attempts = attempt->next;
		pccl_attempt_free(attempt);
	}
	while (session->ops != NULL) {
		struct pccl_op *op = session->ops;

		session->ops = op->next;
		pccl_session_op_free(op);
	}
	pccl_session_notes_clear(session, false);
	pccl_sequences_clear(&session->sequences);
	pccl_free(session->by_tag);
	pccl_spares_clear(&session->spares);
	pccl_free(session->members);
	pccl_links_fini(&session->links);
	pccl_free(session->meetings);
	pccl_free(session->freezes);
	pccl_free(session);
}

void pccl_session_command(struct pccl_session *session, struct pccl_command *command, enum pccl_command_type type,
			  uint32_t lane)
{
	assert(lane < session->config.lanes && (session->first == NULL) == (session->last == NULL));
	command->type = type;
	command->lane = lane;
	command->next = NULL;
	if (session->last != NULL)
		session->last->next = command;
	else
		session->first = command;
	session->last = command;
}

void pccl_command_free(struct pccl_command *command)
{
	if (command->type != PCCL_COMMAND_INSTALL && command->type != PCCL_COMMAND_UPDATE &&
	    command->type != PCCL_COMMAND_MEET)
		return;
	pccl_view_fini(&command->view);
	pccl_free(command);
}

struct pccl_command *pccl_session_poll(struct pccl_session *session)
{
	struct pccl_command *command = take_command(session);

	while (command != NULL && command->type == PCCL_COMMAND_ENDED && command->op->own) {
		pccl_session_forget_ended(session, command->op);
		command = take_command(session);
	}
	return command;
}

static struct pccl_op **tag_bucket(const struct pccl_session *session, uint64_t tag)
{
	assert(session->by_tag_room > 0);
	return &session->by_tag[pccl_rng_hash(tag, 0) & (session->by_tag_room - 1)];
}

struct pccl_op *pccl_session_find(const struct pccl_session *session, uint64_t tag)
{
	struct pccl_op *op = session->by_tag_room == 0 ? NULL : *tag_bucket(session, tag);

	while (op != NULL && (op->own || op->request.operation.tag != tag))
		op = op->next_of_tag;
	return op;
}

/* Room for one op more. */
static bool reserve(struct pccl_session *session)
{
	struct pccl_op **smaller = session->by_tag, *op;
	size_t room = session->by_tag_room;

	if (session->op_count < room)
		return true;
	room = room == 0 ? BUCKETS_MIN : 2 * room;
	session->by_tag = pccl_calloc(room, sizeof(*session->by_tag));
	if (session->by_tag == NULL) {
		session->by_tag = smaller;
		return false;
	}
	session->by_tag_room = room;
	for (op = session->ops; op != NULL; op = op->next) {
		struct pccl_op **bucket = tag_bucket(session, op->request.operation.tag);

		op->next_of_tag = *bucket;
		*bucket = op;
	}
	pccl_free(smaller);
	return true;
}

bool pccl_session_list(struct pccl_session *session, struct pccl_op *op)
{
	struct pccl_op **bucket;

	if (!reserve(session))
		return false;
	bucket = tag_bucket(session, op->request.operation.tag);
	op->next_of_tag = *bucket;
	*bucket = op;
	op->next = session->ops;
	op->before = NULL;
	if (op->next != NULL)
		op->next->before = op;
	session->ops = op;
	session->op_count++;
	op->number = ++session->listed;
	return true;
}

static void unlist(struct pccl_session *session, const struct pccl_op *op)
{
	struct pccl_op **link = tag_bucket(session, op->request.operation.tag);

	assert(session->op_count > 0);
	while (*link != op)
		link = &(*link)->next_of_tag;
	*link = op->next_of_tag;
	if (op->next != NULL)
		op->next->before = op->before;
	if (op->before != NULL)
		op->before->next = op->next;
	else
		session->ops = op->next;
	session->op_count--;
}

uint32_t pccl_session_lanes(const struct pccl_session *session)
{
	return session->lanes;
}

static uint32_t callers_ops(const struct pccl_session *session)
{
	const struct pccl_op *op = session->ops;

	if (session->op_count > 1 || op == NULL)
		return session->op_count;
	return op->own ? 0 : 1;
}

bool pccl_session_idle(const struct pccl_session *session)
{
	return callers_ops(session) == 0;
}

struct pccl_op *pccl_session_next_op(const struct pccl_session *session, const struct pccl_op *op)
{
	struct pccl_op *next = op == NULL ? session->ops : op->next;

	while (next != NULL && next->own)
		next = next->next;
	return next;
}

/* Bytes of input that this op's results overwrite, in place; 0 if it is not in place. */
static size_t bytes_in_place(const struct pccl_session *session, const struct pccl_op_request *request)
{
	size_t bytes = request->operation.count * pccl_dtype_bytes(request->operation.datatype);
	const char *input = request->input, *output = request->output;

	if ((request->kind == PCCL_ALL_REDUCE || request->kind == PCCL_REDUCE) && input == output)
		return bytes;
	if (request->kind == PCCL_REDUCE_SCATTER && output == input + session->rank * bytes)
		return bytes;
	return 0;
}

pcclResult_t pccl_session_take_undo(struct pccl_session *session, struct pccl_op *op)
{
	if (op->undo_bytes == 0 || op->undo != NULL)
		return pcclSuccess;
	op->undo = pccl_spares_take(&session->spares, op->undo_bytes, &op->undo_room);
	return op->undo == NULL ? pcclOutOfMemory : pcclSuccess;
}

/* A member that launches an op late, in a smaller view, must cut it as those did who launched it before the loss. */
static uint32_t ranks_to_cut_for(const struct pccl_session *session, enum pccl_collective kind)
{
	return pccl_session_is_by_rank(kind) ? session->ranks : session->cut_for_ranks;
}

static pcclResult_t cut(const struct pccl_session *session, struct pccl_op *op)
{
	const pcclOperation_t *operation = &op->request.operation;
	const size_t element_bytes = pccl_dtype_bytes(operation->datatype);
	struct pccl_geometry *g = &op->geometry;

	if (pccl_session_check_size(session, &op->request) != pcclSuccess) /* the view may have grown since then */
		return pcclInvalidArgument;
	if (pccl_collective_moves_parts((int)op->request.kind)) {
		pccl_session_cut_parts(session, op);
	} else {
		pccl_geometry_cut(op->request.kind, ranks_to_cut_for(session, op->request.kind), operation->count,
				  element_bytes, op->codecs.align_elements, g);
		g->on_one_lane = g->chunk_count * g->chunk_elements * element_bytes <= session->config.one_lane_bytes;
	}
	pccl_free(op->held);
	op->held = pccl_calloc(pccl_bitmap_words(op->geometry.segment_count) + 1, sizeof(*op->held));
	return op->held == NULL ? pcclOutOfMemory : pcclSuccess;
}

/* Input and output overlap as they should for the rank at launch; for another rank the input needs a place of its
 * own. */
static pcclResult_t stage(const struct pccl_session *session, struct pccl_op *op)
{
	struct pccl_op_request *request = &op->request;
	size_t bytes = request->operation.count * pccl_dtype_bytes(request->operation.datatype);
	const char *input = request->input, *output = request->output;
	bool gathers = request->kind == PCCL_ALL_GATHER && input == output + op->rank_at_launch * bytes;
	bool scatters = request->kind == PCCL_REDUCE_SCATTER && output == input + op->rank_at_launch * bytes;

	if (scatters)
		bytes *= session->ranks;
	if ((!gathers && !scatters) || bytes == 0 || op->rank_at_launch == session->rank)
		return pcclSuccess;
	op->staged = pccl_alloc_large(bytes);
	if (op->staged == NULL)
		return pcclOutOfMemory;
	memcpy(op->staged, input, bytes);
	op->staged_home = gathers ? (char *)request->output + op->rank_at_launch * bytes : NULL;
	op->staged_bytes = bytes;
	request->input = op->staged;
	return pcclSuccess;
}

/* The root's rank now; PCCL_ROOT_LOST. */
static uint32_t find_root(const struct pccl_session *session, const struct pccl_op *op)
{
	uint32_t rank;

	for (rank = 0; rank < session->ranks; rank++)
		if (pccl_uuid_equal(&session->members[rank], &op->root_at_launch))
			return rank;
	return PCCL_ROOT_LOST;
}

pcclResult_t pccl_session_fit(const struct pccl_session *session, struct pccl_op *op)
{
	pcclOperation_t *operation = &op->request.operation;

	assert(op->attempt == NULL);
	if (pccl_collective_has_root((int)op->request.kind))
		operation->root = find_root(session, op);
	if (op->request.kind == PCCL_TRANSFER)
		return pccl_session_fit_transfer(session, op);
	if (pccl_collective_moves_parts((int)op->request.kind))
		pccl_session_fit_parts(session, op);
	if (!pccl_session_is_by_rank(op->request.kind) || op->info.plan != pcclPlanAuto) /* not its first attempt */
		return pcclSuccess;
	if (stage(session, op) != pcclSuccess)
		return pcclOutOfMemory;
	return cut(session, op);
}

static void resolve_defaults(const struct pccl_session *session, pcclOperation_t *operation)
{
	if (operation->plan == pcclPlanAuto)
		operation->plan = session->config.plan;
	operation->failure_policy = pccl_session_policy(session, operation);
	if (operation->zstd == pcclZstdDefault)
		operation->zstd = session->config.zstd;
}

/* Each op is named, but few names are read: printf() would take longer than the rest of its launch. */
static void name_by_tag(char name[static TAG_NAME_BYTES], uint64_t tag)
{
	char digits[20];
	size_t count = 0, at;

	do
		digits[count++] = (char)('0' + tag % 10);
	while ((tag /= 10) != 0);
	memcpy(name, "tag ", 4);
	for (at = 0; at < count; at++)
		name[4 + at] = digits[count - 1 - at];
	name[4 + count] = '\0';
}

static void name_op(struct pccl_op *op, const struct pccl_op_request *request)
{
	unsigned long long tag = request->operation.tag;

	if (request->name != NULL)
		snprintf(op->name, sizeof(op->name), "%s", request->name);
	else if (request->kind == PCCL_TRANSFER)
		snprintf(op->name, sizeof(op->name), "%s rank %u, tag %llu",
			 request->is_sender ? "a send to" : "a receive from", request->operation.root, tag);
	else
		name_by_tag(op->name, tag);
}

/* What has come too late to be done needs a number, as it has one elsewhere, and nothing else. */
static pcclResult_t create_late(const struct pccl_op_request *request, struct pccl_op **op_out)
{
	struct pccl_op *op = pccl_zalloc(sizeof(*op));

	if (op == NULL)
		return pcclOutOfMemory;
	op->request = *request;
	op->request.sends = op->request.receives = NULL;
	op->late = true;
	name_op(op, request);
	op->held = pccl_calloc(1, sizeof(*op->held));
	*op_out = op;
	if (op->held != NULL)
		return pcclSuccess;
	pccl_session_op_free(op);
	return pcclOutOfMemory;
}

pcclResult_t pccl_session_op_create(struct pccl_session *session, const struct pccl_op_request *request,
				    struct pccl_op **op_out)
{
	struct pccl_op *op = pccl_zalloc(sizeof(*op));
	pcclResult_t result;

	if (op == NULL)
		return pcclOutOfMemory;
	op->request = *request;
	name_op(op, request);
	resolve_defaults(session, &op->request.operation);
	op->rank_at_launch = session->rank;
	if (pccl_collective_has_root((int)request->kind) || request->kind == PCCL_TRANSFER)
		op->root_at_launch = session->members[request->operation.root];
	if (request->kind == PCCL_REDUCE && request->operation.root != session->rank)
		op->request.output = NULL;
	op->members_since = session->members_since;
	result = pccl_session_read_codecs(request->kind, &op->request.operation, &op->codecs);
	if (result == pcclSuccess)
		result = pccl_session_make_parts(session, request, op);
	op->request.sends = op->request.receives = NULL; /* the caller's */
	if (result == pcclSuccess)
		result = cut(session, op);
	if (result == pcclSuccess)
		result = pccl_session_take_residual(op);
	op->verifies = session->config.verifies && pccl_collective_is_alike((int)request->kind);
	op->signature = pccl_session_mark(session, op, pccl_session_signature(op));
	op->undo_bytes = bytes_in_place(session, &op->request);
	op->gives_up = op->undo_bytes > 0 && request->operation.input == pcclInputGiveUp;
	if (result == pcclSuccess && !op->gives_up)
		result = pccl_session_take_undo(session, op);
	if (result != pcclSuccess) {
		pccl_session_op_free(op);
		return result;
	}
	*op_out = op;
	return pcclSuccess;
}

uint32_t pccl_session_next(const struct pccl_session *session, uint64_t tag)
{
	if (tag == PCCL_TAG_OWN)
		return session->forgetting.round + (session->forgetting.op != NULL);
	return pccl_sequences_next(&session->sequences, tag);
}

pcclResult_t pccl_session_launch(struct pccl_session *session, const struct pccl_op_request *request,
				 struct pccl_op **op_out)
{
	pcclResult_t result = pccl_session_check(session, request);
	struct pccl_op *op;

	if (result != pcclSuccess)
		return result;
	pccl_session_forget_if_due(session);
	if (pccl_session_is_late(session, request))
		result = create_late(request, &op);
	else
		result = pccl_session_op_create(session, request, &op);
	if (result != pcclSuccess)
		return result;
	op->key.tag = pccl_session_tag(session, request);
	op->request.operation.tag = op->key.tag;
	op->key.sequence = UINT32_MAX;
	if (!pccl_sequences_reserve(&session->sequences, (size_t)session->unnumbered + 1) ||
	    !pccl_session_list(session, op)) {
		pccl_session_op_free(op);
		return pcclOutOfMemory;
	}
	session->unnumbered++;
	*op_out = op;
	if (!session->frozen && session->forgetting.op == NULL)
		pccl_session_resolve_noted(session, op);
	return pcclSuccess;
}

void pccl_session_release(struct pccl_session *session, struct pccl_op *op)
{
	assert(op->ended);
	assert(op->attempts_open == 0 && op->attempt == NULL);
	unlist(session, op);
	pccl_session_op_free(op);
}

void pccl_session_op_end(struct pccl_session *session, struct pccl_op *op, pcclResult_t result, const char *detail)
{
	assert(!op->ended);
	assert(op->settled && op->attempts_open == 0);
	op->ended = true;
	op->result = result;
	op->attempt = NULL;
	if (result != pcclSuccess) {
		op->info.epoch = session->epoch;
		op->info.participants_min = op->info.participants_max = 0;
	}
	session->unnumbered -= !op->numbered;
	if (op->detail != detail)
		pccl_text_copy(op->detail, sizeof(op->detail), detail);
	if (result != pcclSuccess && op->staged_home != NULL)
		memcpy(op->staged_home, op->staged, op->staged_bytes);
	pccl_spares_give(&session->spares, op->undo, op->undo_room);
	op->undo = NULL;
	op->end_command.op = op;
	pccl_session_command(session, &op->end_command, PCCL_COMMAND_ENDED, 0);
	if (!op->own)
		pccl_session_forget_after(session, op);
}

/* Ends an op that is not settled: through its lanes if they have it. */
void pccl_session_op_fail(struct pccl_session *session, struct pccl_op *op, pcclResult_t result, const char *detail)
{
	assert(!op->settled && result != pcclSuccess);
	if (op->attempt != NULL) {
		pccl_attempt_cancel(session, op->attempt, result, detail, true, false);
		return;
	}
	op->settled = true;
	op->result = result;
	pccl_text_copy(op->detail, sizeof(op->detail), detail);
	if (op->attempts_open == 0)
		pccl_session_op_end(session, op, result, op->detail);
}

void pccl_session_end(struct pccl_session *session, pcclResult_t result, const char *detail)
{
	struct pccl_op *op;

	if (session->end_result != pcclSuccess)
		return;
	session->end_result = result;
	pccl_text_copy(session->end_detail, sizeof(session->end_detail), detail);
	for (op = session->ops; op != NULL; op = op->next) {
		if (!op->settled)
			pccl_session_op_fail(session, op, result, detail);
	}
}
