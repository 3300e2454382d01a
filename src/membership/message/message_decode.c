/* Membership messages from bytes: everything is foreign. A count is checked against what is left before memory
 * is taken for it, so that a short message can't ask for much. A wrong value makes the cursor bad; one check at
 * the end. */
#include <string.h>

#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/fail.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "membership/message/message.h"

/* Fewest bytes that one element of a list takes. */
#define MEMBER_BYTES_MIN (16 + 1 + 2 + 2 + 8 + 4 + 4)
#define DECISION_BYTES_MIN (8 + 4 + 8 + 1 + 4 + 4 + 4 + 1 + 4)
#define REPORT_BYTES_MIN (8 + 4 + 8 + 1 + 1 + 1 + 16 + 4 + 4 + 4 + 1 + 1)
#define LINK_BYTES (2 + 2 + 4 + 4)
#define PROMISE_BYTES_MIN (16 + 16 + 4 + 4 + 1)
#define RESULT_MAX 199

static bool get_flag(struct pccl_reader *reader)
{
	uint8_t value = pccl_get_u8(reader);

	if (value > 1)
		reader->bad = true;
	return value == 1;
}

/* Words of somebody else, for logs and callers: no control characters. */
static void get_text(struct pccl_reader *reader, char *out, size_t capacity)
{
	pccl_get_string(reader, out, capacity);
	for (; *out != '\0'; out++) {
		if ((unsigned char)*out < ' ' || *out == 0x7f)
			*out = '?';
	}
}

/* How many of something that everybody has at least one of. */
static uint16_t get_share(struct pccl_reader *reader, uint16_t limit)
{
	uint16_t value = pccl_get_u16(reader);

	if (value == 0 || value > limit)
		reader->bad = true;
	return value;
}

static void get_uuid(struct pccl_reader *reader, pcclRankUuid_t *uuid_out)
{
	pccl_get_bytes(reader, uuid_out->data, sizeof(uuid_out->data));
}

static pcclResult_t get_result(struct pccl_reader *reader)
{
	uint16_t value = pccl_get_u16(reader);

	if (value > RESULT_MAX) {
		reader->bad = true;
		return pcclInternalError;
	}
	return (pcclResult_t)value;
}

/* Zeroed memory for a list whose length was read from the message; NULL makes the cursor bad. */
static void *get_list(struct pccl_reader *reader, uint32_t count, uint32_t limit, size_t bytes_min, size_t size)
{
	void *list = NULL;

	if (count > limit || count > pccl_reader_left(reader) / bytes_min)
		reader->bad = true;
	if (!reader->bad)
		list = pccl_calloc(count, size);
	if (list == NULL)
		reader->bad = true;
	return list;
}

/* How many members' contributions are in an op's elements, at least and at most. */
static void get_participants(struct pccl_reader *reader, uint32_t *min_out, uint32_t *max_out)
{
	*min_out = pccl_get_u32(reader);
	*max_out = pccl_get_u32(reader);
	if (*min_out > *max_out || *max_out > PCCL_MEMBERS_MAX)
		reader->bad = true;
}

static uint64_t *get_bitmap(struct pccl_reader *reader, uint32_t bits)
{
	size_t count = pccl_bitmap_words(bits);
	uint64_t *words =
		get_list(reader, (uint32_t)count, PCCL_REPORT_SEGMENTS_MAX / 64, sizeof(*words), sizeof(*words));
	size_t index;

	for (index = 0; words != NULL && index < count; index++)
		words[index] = pccl_get_u64(reader);
	if (words != NULL && bits % 64 != 0 && words[count - 1] >> (bits % 64) != 0)
		reader->bad = true;
	return words;
}

/* How many contributions each segment has, no more than `most`; NULL if that is not told. */
static uint16_t *get_counts(struct pccl_reader *reader, uint32_t segments, uint32_t most)
{
	uint16_t *counts = NULL;
	uint32_t segment;

	if (get_flag(reader) && !reader->bad)
		counts = get_list(reader, segments, PCCL_REPORT_SEGMENTS_MAX, sizeof(*counts), sizeof(*counts));
	for (segment = 0; counts != NULL && segment < segments; segment++) {
		counts[segment] = pccl_get_u16(reader);
		if (counts[segment] > most)
			reader->bad = true;
	}
	return counts;
}

static pcclRankUuid_t *get_uuids(struct pccl_reader *reader, uint32_t *count_out)
{
	uint32_t count = pccl_get_u32(reader);
	pcclRankUuid_t *uuids = get_list(reader, count, PCCL_MEMBERS_MAX, sizeof(*uuids), sizeof(*uuids));
	uint32_t index;

	for (index = 0; uuids != NULL && index < count; index++)
		get_uuid(reader, &uuids[index]);
	*count_out = uuids != NULL ? count : 0;
	return uuids;
}

static void get_address(struct pccl_reader *reader, struct pccl_member_address *address)
{
	const char *at;

	pccl_get_string(reader, address->host, sizeof(address->host));
	for (at = address->host; *at != '\0'; at++) {
		if (*at <= ' ' || *at > '~')
			reader->bad = true;
	}
	address->port = pccl_get_u16(reader);
}

static void get_member(struct pccl_reader *reader, struct pccl_member *member)
{
	uint8_t count, i;

	get_uuid(reader, &member->uuid);
	count = pccl_get_u8(reader);
	if (count > PCCL_MEMBER_ADDRESSES_MAX) {
		reader->bad = true;
		return;
	}
	member->address_count = count;
	for (i = 0; i < count; i++)
		get_address(reader, &member->addresses[i]);
	member->lanes = get_share(reader, PCCL_LANES_MAX);
	member->streams = get_share(reader, PCCL_STREAMS_MAX);
	member->bundle_id = pccl_get_u64(reader);
	member->bundle_size = pccl_get_u32(reader);
	member->masters = pccl_get_u32(reader);
	if (pccl_uuid_is_zero(&member->uuid) || member->bundle_size > PCCL_MEMBERS_MAX)
		reader->bad = true;
}

static void get_passes(struct pccl_reader *reader, struct pccl_message_passes *passes)
{
	uint32_t count;
	uint32_t index;

	passes->epoch = pccl_get_u32(reader);
	passes->first_rank = pccl_get_u32(reader);
	count = pccl_get_u32(reader);
	if (passes->first_rank > PCCL_MEMBERS_MAX)
		reader->bad = true;
	passes->passes = get_list(reader, count, PCCL_MEMBERS_MAX, PCCL_PASS_BYTES, sizeof(*passes->passes));
	passes->count = passes->passes != NULL ? count : 0;
	for (index = 0; index < passes->count; index++)
		pccl_get_bytes(reader, passes->passes[index].data, PCCL_PASS_BYTES);
}

static void get_world(struct pccl_reader *reader, struct pccl_world *world)
{
	world->peers = pccl_get_u32(reader);
	world->groups = pccl_get_u32(reader);
	world->largest_group = pccl_get_u32(reader);
}

/* At most one each way between any two members. */
static void get_links(struct pccl_reader *reader, struct pccl_links *links, uint32_t member_count)
{
	uint32_t count = pccl_get_u32(reader);
	uint32_t index;

	if (count == 0)
		return;
	links->measures = get_list(reader, count, member_count * member_count, LINK_BYTES, sizeof(*links->measures));
	links->count = links->measures != NULL ? count : 0;
	for (index = 0; index < links->count; index++) {
		links->measures[index].from = pccl_get_u16(reader);
		links->measures[index].to = pccl_get_u16(reader);
		links->measures[index].kib_per_s = pccl_get_u32(reader);
		links->measures[index].round_trip_us = pccl_get_u32(reader);
	}
	if (!pccl_links_valid(links, member_count))
		reader->bad = true;
}

static void get_decision(struct pccl_reader *reader, struct pccl_op_decision *decision, uint32_t member_count)
{
	uint32_t holder_count;
	uint32_t rank;

	decision->tag = pccl_get_u64(reader);
	decision->sequence = pccl_get_u32(reader);
	decision->signature = pccl_get_u64(reader);
	decision->verdict = pccl_get_u8(reader);
	get_participants(reader, &decision->participants_min, &decision->participants_max);
	decision->segment_count = pccl_get_u32(reader);
	decision->participants = get_counts(reader, decision->segment_count, decision->participants_max);
	holder_count = pccl_get_u32(reader);
	if (decision->verdict < PCCL_VERDICT_COMMIT || decision->verdict > PCCL_VERDICT_MISMATCH ||
	    decision->segment_count > PCCL_REPORT_SEGMENTS_MAX ||
	    holder_count != (decision->verdict == PCCL_VERDICT_REPAIR ? member_count : 0))
		reader->bad = true;
	if (reader->bad || holder_count == 0)
		return;
	decision->holders = get_list(reader, holder_count, PCCL_MEMBERS_MAX, 1, sizeof(*decision->holders));
	if (decision->holders == NULL)
		return;
	decision->holder_count = holder_count;
	for (rank = 0; rank < holder_count && !reader->bad; rank++) {
		if (get_flag(reader))
			decision->holders[rank] = get_bitmap(reader, decision->segment_count);
	}
}

static void get_seal(struct pccl_reader *reader, struct pccl_seal *seal)
{
	if (!get_flag(reader))
		return;
	pccl_get_bytes(reader, seal->key.data, PCCL_KEY_BYTES);
	pccl_get_bytes(reader, seal->signature, PCCL_SIGNATURE_BYTES);
	if (!pccl_seal_is_set(seal))
		reader->bad = true;
}

static void get_install(struct pccl_reader *reader, struct pccl_install *install)
{
	struct pccl_view *view = &install->view;
	uint32_t count;
	uint32_t index;

	view->group = pccl_get_u32(reader);
	view->epoch = pccl_get_u32(reader);
	view->lanes = get_share(reader, PCCL_LANES_MAX);
	view->streams = get_share(reader, PCCL_STREAMS_MAX);
	count = pccl_get_u32(reader);
	view->members = get_list(reader, count, PCCL_MEMBERS_MAX, MEMBER_BYTES_MIN, sizeof(*view->members));
	view->member_count = view->members != NULL ? count : 0;
	for (index = 0; index < view->member_count; index++)
		get_member(reader, &view->members[index]);
	get_uuid(reader, &install->run);
	install->previous_epoch = pccl_get_u32(reader);
	install->lone = get_flag(reader);
	install->newcomers = get_flag(reader);
	get_links(reader, &install->links, view->member_count);
	get_text(reader, install->cause, sizeof(install->cause));
	if (view->epoch == 0 || (install->lone && view->member_count != 1) || install->previous_epoch >= view->epoch ||
	    (!reader->bad && !pccl_view_valid(view)))
		reader->bad = true;
	count = pccl_get_u32(reader);
	install->decisions =
		get_list(reader, count, PCCL_DECISIONS_MAX, DECISION_BYTES_MIN, sizeof(*install->decisions));
	install->decision_count = install->decisions != NULL ? count : 0;
	for (index = 0; index < install->decision_count && !reader->bad; index++)
		get_decision(reader, &install->decisions[index], view->member_count);
	for (index = 1; index < install->decision_count && !reader->bad; index++)
		if (pccl_op_decision_compare(&install->decisions[index - 1], &install->decisions[index]) >= 0)
			reader->bad = true;
	get_world(reader, &install->world);
	get_seal(reader, &install->seal);
}

static void get_answer(struct pccl_reader *reader, struct pccl_answer *answer)
{
	answer->origin = pccl_get_u32(reader);
	answer->sequence = pccl_get_u32(reader);
	answer->kind = pccl_get_u8(reader);
	answer->result = get_result(reader);
	answer->value = get_flag(reader);
	get_world(reader, &answer->world);
	get_text(reader, answer->text, sizeof(answer->text));
	if (answer->kind > PCCL_VOTE_OPTIMIZE)
		reader->bad = true;
}

static void get_promise(struct pccl_reader *reader, struct pccl_promise *promise)
{
	get_uuid(reader, &promise->master);
	get_uuid(reader, &promise->run);
	promise->epoch = pccl_get_u32(reader);
	promise->members = get_uuids(reader, &promise->member_count);
	get_seal(reader, &promise->seal);
}

static void get_register(struct pccl_reader *reader, struct pccl_message_register *registration)
{
	uint32_t count;
	uint32_t index;
	uint8_t may;

	registration->group = pccl_get_u32(reader);
	get_member(reader, &registration->self);
	pccl_get_bytes(reader, registration->secret.data, PCCL_SECRET_BYTES);
	registration->heartbeat_interval_ns = pccl_get_u64(reader);
	registration->heartbeat_timeout_ns = pccl_get_u64(reader);
	may = pccl_get_u8(reader);
	reader->bad |= may > 2;
	registration->may_found = may == 1;
	registration->may_join = may == 2;
	if (get_flag(reader)) {
		registration->last = pccl_zalloc(sizeof(*registration->last));
		if (registration->last == NULL) {
			reader->bad = true;
			return;
		}
		get_install(reader, registration->last);
		if (registration->last->view.group != registration->group)
			reader->bad = true;
	}
	get_answer(reader, &registration->answered);
	count = pccl_get_u32(reader);
	registration->promises =
		get_list(reader, count, PCCL_PROMISES_MAX, PROMISE_BYTES_MIN, sizeof(*registration->promises));
	registration->promise_count = registration->promises != NULL ? count : 0;
	for (index = 0; index < registration->promise_count && !reader->bad; index++)
		get_promise(reader, &registration->promises[index]);
}

static bool is_policy(uint8_t policy)
{
	return policy <= PCCL_POLICY_SPENT || (policy >= pcclPolicyAbort && policy <= pcclPolicyRepair);
}

static void get_prepared(struct pccl_reader *reader, struct pccl_message_prepared *prepared)
{
	uint32_t count;
	uint32_t index;

	prepared->epoch = pccl_get_u32(reader);
	count = pccl_get_u32(reader);
	prepared->reports = get_list(reader, count, PCCL_REPORTS_MAX, REPORT_BYTES_MIN, sizeof(*prepared->reports));
	prepared->report_count = prepared->reports != NULL ? count : 0;
	for (index = 0; index < prepared->report_count && !reader->bad; index++) {
		struct pccl_op_report *report = &prepared->reports[index];

		report->tag = pccl_get_u64(reader);
		report->sequence = pccl_get_u32(reader);
		report->signature = pccl_get_u64(reader);
		report->policy = pccl_get_u8(reader);
		report->repairable = get_flag(reader);
		report->complete = get_flag(reader);
		get_uuid(reader, &report->root);
		get_participants(reader, &report->participants_min, &report->participants_max);
		report->segment_count = pccl_get_u32(reader);
		if (report->segment_count > PCCL_REPORT_SEGMENTS_MAX || !is_policy(report->policy))
			reader->bad = true;
		if (get_flag(reader) && !reader->bad)
			report->held = get_bitmap(reader, report->segment_count);
		report->participants = get_counts(reader, report->segment_count, report->participants_max);
	}
}

static void get_vote(struct pccl_reader *reader, struct pccl_message_vote *vote)
{
	vote->kind = pccl_get_u8(reader);
	vote->late = pccl_get_u8(reader);
	vote->timeout_ms = pccl_get_u32(reader);
	vote->origin = pccl_get_u32(reader);
	vote->sequence = pccl_get_u32(reader);
	vote->round = pccl_get_u32(reader);
	if (vote->kind > PCCL_VOTE_OPTIMIZE || vote->late > PCCL_LATE_EVICT)
		reader->bad = true;
}

static void get_notice(struct pccl_reader *reader, struct pccl_message_notice *notice)
{
	notice->result = get_result(reader);
	get_text(reader, notice->text, sizeof(notice->text));
}

static void get_meet(struct pccl_reader *reader, struct pccl_message_meet *meet)
{
	struct pccl_view *strangers = &meet->strangers;
	uint32_t count;
	uint32_t index;

	meet->number = pccl_get_u32(reader);
	meet->dials = get_flag(reader);
	meet->anew = get_flag(reader);
	count = pccl_get_u32(reader);
	strangers->members = get_list(reader, count, PCCL_MEMBERS_MAX, MEMBER_BYTES_MIN + PCCL_PASS_BYTES,
				      sizeof(*strangers->members));
	strangers->member_count = strangers->members != NULL ? count : 0;
	for (index = 0; index < strangers->member_count; index++) {
		get_member(reader, &strangers->members[index]);
		pccl_get_bytes(reader, strangers->members[index].pass.data, PCCL_PASS_BYTES);
	}
	if (!reader->bad && !pccl_view_valid(strangers))
		reader->bad = true;
}

static void get_met(struct pccl_reader *reader, struct pccl_message_met *met)
{
	met->number = pccl_get_u32(reader);
	get_uuid(reader, &met->uuid);
	met->reached = get_flag(reader);
	get_text(reader, met->text, sizeof(met->text));
}

static void get_complaint(struct pccl_reader *reader, struct pccl_message_complaint *complaint)
{
	complaint->epoch = pccl_get_u32(reader);
	get_uuid(reader, &complaint->uuid);
	get_text(reader, complaint->text, sizeof(complaint->text));
}

/* What a member says of its links to others, and a newcomer of itself. */
static void get_news(struct pccl_reader *reader, struct pccl_message *message)
{
	union pccl_message_body *body = &message->body;

	if (message->type == PCCL_MESSAGE_DEFER) {
		body->deferred = get_flag(reader);
	} else if (message->type == PCCL_MESSAGE_LINKED) {
		body->linked.epoch = pccl_get_u32(reader);
	} else if (message->type == PCCL_MESSAGE_BROKEN) {
		body->broken.epoch = pccl_get_u32(reader);
		get_uuid(reader, &body->broken.uuid);
		body->broken.broken = get_flag(reader);
	} else {
		body->retract.epoch = pccl_get_u32(reader);
		get_uuid(reader, &body->retract.uuid);
	}
}

static void get_proof(struct pccl_reader *reader, struct pccl_proof *proof)
{
	pccl_get_bytes(reader, proof->key.data, PCCL_KEY_BYTES);
	pccl_get_bytes(reader, proof->salt, PCCL_SALT_BYTES);
	pccl_get_bytes(reader, proof->signature, PCCL_SIGNATURE_BYTES);
}

static void get_body(struct pccl_reader *reader, struct pccl_message *message)
{
	union pccl_message_body *body = &message->body;

	switch (message->type) {
	case PCCL_MESSAGE_REGISTER:
		get_register(reader, &body->registration);
		break;
	case PCCL_MESSAGE_VOTE:
		get_vote(reader, &body->vote);
		break;
	case PCCL_MESSAGE_PREPARED:
		get_prepared(reader, &body->prepared);
		break;
	case PCCL_MESSAGE_COMPLAINT:
		get_complaint(reader, &body->complaint);
		break;
	case PCCL_MESSAGE_EXPIRED:
		body->expired.epoch = pccl_get_u32(reader);
		body->expired.tag = pccl_get_u64(reader);
		body->expired.sequence = pccl_get_u32(reader);
		get_text(reader, body->expired.text, sizeof(body->expired.text));
		break;
	case PCCL_MESSAGE_BROKEN:
	case PCCL_MESSAGE_LINKED:
	case PCCL_MESSAGE_RETRACT:
	case PCCL_MESSAGE_DEFER:
		get_news(reader, message);
		break;
	case PCCL_MESSAGE_LEAVE:
	case PCCL_MESSAGE_ABANDON:
	case PCCL_MESSAGE_BEAT:
		break;
	case PCCL_MESSAGE_WELCOME:
		get_uuid(reader, &body->welcome.master);
		get_text(reader, body->welcome.address, sizeof(body->welcome.address));
		body->welcome.registered = get_flag(reader);
		break;
	case PCCL_MESSAGE_PREPARE:
		get_uuid(reader, &body->prepare.run);
		body->prepare.epoch = pccl_get_u32(reader);
		body->prepare.members = get_uuids(reader, &body->prepare.member_count);
		get_seal(reader, &body->prepare.seal);
		break;
	case PCCL_MESSAGE_PASSES:
		get_passes(reader, &body->passes);
		break;
	case PCCL_MESSAGE_INSTALL:
		get_install(reader, &body->install);
		break;
	case PCCL_MESSAGE_VOTED:
	case PCCL_MESSAGE_LATE:
		get_answer(reader, &body->voted);
		break;
	case PCCL_MESSAGE_MEET:
		get_meet(reader, &body->meet);
		break;
	case PCCL_MESSAGE_PROOF:
		get_proof(reader, &body->proof);
		break;
	case PCCL_MESSAGE_MET:
		get_met(reader, &body->met);
		break;
	case PCCL_MESSAGE_REFUSED:
	case PCCL_MESSAGE_EVICTED:
	case PCCL_MESSAGE_STALLED:
	case PCCL_MESSAGE_UNMET:
		get_notice(reader, &body->notice);
		break;
	default:
		reader->bad = true;
	}
}

pcclResult_t pccl_message_decode(const uint8_t *data, size_t bytes, struct pccl_message **message_out)
{
	struct pccl_reader reader = pccl_reader_over(data, bytes);
	enum pccl_message_type type = (enum pccl_message_type)pccl_get_u8(&reader);
	struct pccl_message *message = pccl_message_create(type);

	*message_out = NULL;
	if (message == NULL)
		return pcclOutOfMemory;
	get_body(&reader, message);
	if (reader.bad || pccl_reader_left(&reader) != 0) {
		pccl_message_destroy(message);
		return pccl_fail(pcclInvalidArgument, "a message %s of %zu bytes is malformed", pccl_message_name(type),
				 bytes);
	}
	*message_out = message;
	return pcclSuccess;
}
