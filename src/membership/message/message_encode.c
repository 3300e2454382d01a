/* Membership messages to bytes. The layouts mirror message_decode.c, function by function. */
#include "membership/message/message.h"

#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/fail.h"
#include "base/frame.h"
#include "base/memory.h"

#define FIRST_GUESS_BYTES 512

static void put_flag(struct pccl_writer *writer, bool flag)
{
	pccl_put_u8(writer, flag ? 1 : 0);
}

static void put_uuid(struct pccl_writer *writer, const pcclRankUuid_t *uuid)
{
	pccl_put_bytes(writer, uuid->data, sizeof(uuid->data));
}

static void put_uuids(struct pccl_writer *writer, const pcclRankUuid_t *uuids, uint32_t count)
{
	uint32_t index;

	pccl_put_u32(writer, count);
	for (index = 0; index < count; index++)
		put_uuid(writer, &uuids[index]);
}

static void put_bitmap(struct pccl_writer *writer, const uint64_t *words, uint32_t bits)
{
	size_t index;

	for (index = 0; index < pccl_bitmap_words(bits); index++)
		pccl_put_u64(writer, words[index]);
}

static void put_participants(struct pccl_writer *writer, const uint16_t *participants, uint32_t segments)
{
	uint32_t segment;

	put_flag(writer, participants != NULL);
	for (segment = 0; participants != NULL && segment < segments; segment++)
		pccl_put_u16(writer, participants[segment]);
}

static void put_member(struct pccl_writer *writer, const struct pccl_member *member)
{
	uint8_t i;

	put_uuid(writer, &member->uuid);
	pccl_put_u8(writer, member->address_count);
	for (i = 0; i < member->address_count; i++) {
		pccl_put_string(writer, member->addresses[i].host);
		pccl_put_u16(writer, member->addresses[i].port);
	}
	pccl_put_u16(writer, member->lanes);
	pccl_put_u16(writer, member->streams);
	pccl_put_u64(writer, member->bundle_id);
	pccl_put_u32(writer, member->bundle_size);
	pccl_put_u32(writer, member->masters);
}

static void put_passes(struct pccl_writer *writer, const struct pccl_message_passes *passes)
{
	uint32_t index;

	pccl_put_u32(writer, passes->epoch);
	pccl_put_u32(writer, passes->first_rank);
	pccl_put_u32(writer, passes->count);
	for (index = 0; index < passes->count; index++)
		pccl_put_bytes(writer, passes->passes[index].data, PCCL_PASS_BYTES);
}

static void put_world(struct pccl_writer *writer, const struct pccl_world *world)
{
	pccl_put_u32(writer, world->peers);
	pccl_put_u32(writer, world->groups);
	pccl_put_u32(writer, world->largest_group);
}

static void put_links(struct pccl_writer *writer, const struct pccl_links *links)
{
	uint32_t index;

	pccl_put_u32(writer, links->count);
	for (index = 0; index < links->count; index++) {
		pccl_put_u16(writer, links->measures[index].from);
		pccl_put_u16(writer, links->measures[index].to);
		pccl_put_u32(writer, links->measures[index].kib_per_s);
		pccl_put_u32(writer, links->measures[index].round_trip_us);
	}
}

static void put_decision(struct pccl_writer *writer, const struct pccl_op_decision *decision)
{
	uint32_t rank;

	pccl_put_u64(writer, decision->tag);
	pccl_put_u32(writer, decision->sequence);
	pccl_put_u64(writer, decision->signature);
	pccl_put_u8(writer, decision->verdict);
	pccl_put_u32(writer, decision->participants_min);
	pccl_put_u32(writer, decision->participants_max);
	pccl_put_u32(writer, decision->segment_count);
	put_participants(writer, decision->participants, decision->segment_count);
	pccl_put_u32(writer, decision->holder_count);
	for (rank = 0; rank < decision->holder_count; rank++) {
		put_flag(writer, decision->holders[rank] != NULL);
		if (decision->holders[rank] != NULL)
			put_bitmap(writer, decision->holders[rank], decision->segment_count);
	}
}

static void put_seal(struct pccl_writer *writer, const struct pccl_seal *seal)
{
	bool is_set = pccl_seal_is_set(seal);

	put_flag(writer, is_set);
	if (!is_set)
		return;
	pccl_put_bytes(writer, seal->key.data, PCCL_KEY_BYTES);
	pccl_put_bytes(writer, seal->signature, PCCL_SIGNATURE_BYTES);
}

/* What a seal is about. */
static void put_change(struct pccl_writer *writer, const struct pccl_install *install)
{
	uint32_t index;

	pccl_put_u32(writer, install->view.group);
	pccl_put_u32(writer, install->view.epoch);
	pccl_put_u16(writer, install->view.lanes);
	pccl_put_u16(writer, install->view.streams);
	pccl_put_u32(writer, install->view.member_count);
	for (index = 0; index < install->view.member_count; index++)
		put_member(writer, &install->view.members[index]);
	put_uuid(writer, &install->run);
	pccl_put_u32(writer, install->previous_epoch);
	put_flag(writer, install->lone);
	put_flag(writer, install->newcomers);
	put_links(writer, &install->links);
	pccl_put_string(writer, install->cause);
	pccl_put_u32(writer, install->decision_count);
	for (index = 0; index < install->decision_count; index++)
		put_decision(writer, &install->decisions[index]);
}

static void put_install(struct pccl_writer *writer, const struct pccl_install *install)
{
	put_change(writer, install);
	put_world(writer, &install->world);
	put_seal(writer, &install->seal);
}

static void put_promise(struct pccl_writer *writer, const struct pccl_promise *promise)
{
	put_uuid(writer, &promise->master);
	put_uuid(writer, &promise->run);
	pccl_put_u32(writer, promise->epoch);
	put_uuids(writer, promise->members, promise->member_count);
}

static void put_answer(struct pccl_writer *writer, const struct pccl_answer *answer)
{
	pccl_put_u32(writer, answer->origin);
	pccl_put_u32(writer, answer->sequence);
	pccl_put_u8(writer, answer->kind);
	pccl_put_u16(writer, (uint16_t)answer->result);
	put_flag(writer, answer->value);
	put_world(writer, &answer->world);
	pccl_put_string(writer, answer->text);
}

static void put_register(struct pccl_writer *writer, const struct pccl_message_register *registration)
{
	uint32_t index;

	pccl_put_u32(writer, registration->group);
	put_member(writer, &registration->self);
	pccl_put_bytes(writer, registration->secret.data, PCCL_SECRET_BYTES);
	pccl_put_u64(writer, registration->heartbeat_interval_ns);
	pccl_put_u64(writer, registration->heartbeat_timeout_ns);
	pccl_put_u8(writer, registration->may_found ? 1 : (registration->may_join ? 2 : 0));
	put_flag(writer, registration->last != NULL);
	if (registration->last != NULL)
		put_install(writer, registration->last);
	put_answer(writer, &registration->answered);
	pccl_put_u32(writer, registration->promise_count);
	for (index = 0; index < registration->promise_count; index++) {
		put_promise(writer, &registration->promises[index]);
		put_seal(writer, &registration->promises[index].seal);
	}
}

static void put_prepared(struct pccl_writer *writer, const struct pccl_message_prepared *prepared)
{
	uint32_t index;

	pccl_put_u32(writer, prepared->epoch);
	pccl_put_u32(writer, prepared->report_count);
	for (index = 0; index < prepared->report_count; index++) {
		const struct pccl_op_report *report = &prepared->reports[index];

		pccl_put_u64(writer, report->tag);
		pccl_put_u32(writer, report->sequence);
		pccl_put_u64(writer, report->signature);
		pccl_put_u8(writer, report->policy);
		put_flag(writer, report->repairable);
		put_flag(writer, report->complete);
		put_uuid(writer, &report->root);
		pccl_put_u32(writer, report->participants_min);
		pccl_put_u32(writer, report->participants_max);
		pccl_put_u32(writer, report->segment_count);
		put_flag(writer, report->held != NULL);
		if (report->held != NULL)
			put_bitmap(writer, report->held, report->segment_count);
		put_participants(writer, report->participants, report->segment_count);
	}
}

static void put_prepare(struct pccl_writer *writer, const struct pccl_message_prepare *prepare)
{
	put_uuid(writer, &prepare->run);
	pccl_put_u32(writer, prepare->epoch);
	put_uuids(writer, prepare->members, prepare->member_count);
	put_seal(writer, &prepare->seal);
}

static void put_notice(struct pccl_writer *writer, const struct pccl_message_notice *notice)
{
	pccl_put_u16(writer, (uint16_t)notice->result);
	pccl_put_string(writer, notice->text);
}

static void put_meet(struct pccl_writer *writer, const struct pccl_message_meet *meet)
{
	uint32_t index;

	pccl_put_u32(writer, meet->number);
	put_flag(writer, meet->dials);
	put_flag(writer, meet->anew);
	pccl_put_u32(writer, meet->strangers.member_count);
	for (index = 0; index < meet->strangers.member_count; index++) {
		const struct pccl_member *member = &meet->strangers.members[index];

		put_member(writer, member);
		pccl_put_bytes(writer, member->pass.data, PCCL_PASS_BYTES);
	}
}

static void put_met(struct pccl_writer *writer, const struct pccl_message_met *met)
{
	pccl_put_u32(writer, met->number);
	put_uuid(writer, &met->uuid);
	put_flag(writer, met->reached);
	pccl_put_string(writer, met->text);
}

static void put_vote(struct pccl_writer *writer, const struct pccl_message_vote *vote)
{
	pccl_put_u8(writer, vote->kind);
	pccl_put_u8(writer, vote->late);
	pccl_put_u32(writer, vote->timeout_ms);
	pccl_put_u32(writer, vote->origin);
	pccl_put_u32(writer, vote->sequence);
	pccl_put_u32(writer, vote->round);
}

/* What a member says of its links to others, and a newcomer of itself. */
static void put_news(struct pccl_writer *writer, const struct pccl_message *message)
{
	const union pccl_message_body *body = &message->body;

	if (message->type == PCCL_MESSAGE_DEFER) {
		put_flag(writer, body->deferred);
	} else if (message->type == PCCL_MESSAGE_LINKED) {
		pccl_put_u32(writer, body->linked.epoch);
	} else if (message->type == PCCL_MESSAGE_BROKEN) {
		pccl_put_u32(writer, body->broken.epoch);
		put_uuid(writer, &body->broken.uuid);
		put_flag(writer, body->broken.broken);
	} else {
		pccl_put_u32(writer, body->retract.epoch);
		put_uuid(writer, &body->retract.uuid);
	}
}

static void put_proof(struct pccl_writer *writer, const struct pccl_proof *proof)
{
	pccl_put_bytes(writer, proof->key.data, PCCL_KEY_BYTES);
	pccl_put_bytes(writer, proof->salt, PCCL_SALT_BYTES);
	pccl_put_bytes(writer, proof->signature, PCCL_SIGNATURE_BYTES);
}

static void put_message(struct pccl_writer *writer, const void *what)
{
	const struct pccl_message *message = what;
	const union pccl_message_body *body = &message->body;

	pccl_put_u8(writer, (uint8_t)message->type);
	switch (message->type) {
	case PCCL_MESSAGE_REGISTER:
		put_register(writer, &body->registration);
		break;
	case PCCL_MESSAGE_VOTE:
		put_vote(writer, &body->vote);
		break;
	case PCCL_MESSAGE_PREPARED:
		put_prepared(writer, &body->prepared);
		break;
	case PCCL_MESSAGE_COMPLAINT:
		pccl_put_u32(writer, body->complaint.epoch);
		put_uuid(writer, &body->complaint.uuid);
		pccl_put_string(writer, body->complaint.text);
		break;
	case PCCL_MESSAGE_EXPIRED:
		pccl_put_u32(writer, body->expired.epoch);
		pccl_put_u64(writer, body->expired.tag);
		pccl_put_u32(writer, body->expired.sequence);
		pccl_put_string(writer, body->expired.text);
		break;
	case PCCL_MESSAGE_BROKEN:
	case PCCL_MESSAGE_LINKED:
	case PCCL_MESSAGE_RETRACT:
	case PCCL_MESSAGE_DEFER:
		put_news(writer, message);
		break;
	case PCCL_MESSAGE_LEAVE:
	case PCCL_MESSAGE_ABANDON:
	case PCCL_MESSAGE_BEAT:
		break;
	case PCCL_MESSAGE_WELCOME:
		put_uuid(writer, &body->welcome.master);
		pccl_put_string(writer, body->welcome.address);
		put_flag(writer, body->welcome.registered);
		break;
	case PCCL_MESSAGE_PREPARE:
		put_prepare(writer, &body->prepare);
		break;
	case PCCL_MESSAGE_PASSES:
		put_passes(writer, &body->passes);
		break;
	case PCCL_MESSAGE_INSTALL:
		put_install(writer, &body->install);
		break;
	case PCCL_MESSAGE_VOTED:
	case PCCL_MESSAGE_LATE:
		put_answer(writer, &body->voted);
		break;
	case PCCL_MESSAGE_MEET:
		put_meet(writer, &body->meet);
		break;
	case PCCL_MESSAGE_PROOF:
		put_proof(writer, &body->proof);
		break;
	case PCCL_MESSAGE_MET:
		put_met(writer, &body->met);
		break;
	case PCCL_MESSAGE_REFUSED:
	case PCCL_MESSAGE_EVICTED:
	case PCCL_MESSAGE_STALLED:
	case PCCL_MESSAGE_UNMET:
		put_notice(writer, &body->notice);
		break;
	}
}

/* What `put` writes into a fresh buffer. pcclOutOfMemory; pcclInvalidArgument: it is longer than `limit`. */
static pcclResult_t write_out(void (*put)(struct pccl_writer *writer, const void *what), const void *what, size_t limit,
			      uint8_t **data_out, size_t *bytes_out)
{
	size_t capacity = FIRST_GUESS_BYTES;
	struct pccl_writer writer;
	uint8_t *data;

	*data_out = NULL;
	*bytes_out = 0;
	for (;;) {
		data = pccl_alloc(capacity);
		if (data == NULL)
			return pcclOutOfMemory;
		writer = pccl_writer_over(data, capacity);
		put(&writer, what);
		if (!writer.overflow)
			break;
		pccl_free(data);
		if (capacity >= limit)
			return pcclInvalidArgument;
		capacity = capacity > limit / 4 ? limit : 4 * capacity;
	}
	*data_out = data;
	*bytes_out = (size_t)(writer.at - data);
	return pcclSuccess;
}

pcclResult_t pccl_message_encode(const struct pccl_message *message, uint8_t **data_out, size_t *bytes_out)
{
	pcclResult_t result = write_out(put_message, message, PCCL_FRAME_PAYLOAD_MAX, data_out, bytes_out);

	if (result == pcclInvalidArgument)
		return pccl_fail(pcclInvalidArgument, "the message %s does not fit into %u bytes",
				 pccl_message_name(message->type), PCCL_FRAME_PAYLOAD_MAX);
	return result;
}

/* ---- what seals are about: the type of the message first, so that no text is that of another kind ---- */

static void put_sealed_install(struct pccl_writer *writer, const void *what)
{
	pccl_put_u8(writer, PCCL_MESSAGE_INSTALL);
	put_change(writer, what);
}

struct grouped_promise {
	uint32_t group;
	const struct pccl_promise *promise;
};

static void put_sealed_promise(struct pccl_writer *writer, const void *what)
{
	const struct grouped_promise *grouped = what;

	pccl_put_u8(writer, PCCL_MESSAGE_PREPARE);
	pccl_put_u32(writer, grouped->group);
	put_promise(writer, grouped->promise);
}

static pcclResult_t take_imprint(void (*put)(struct pccl_writer *writer, const void *what), const void *what,
				 struct pccl_imprint *imprint_out)
{
	uint8_t *data;
	size_t bytes;
	pcclResult_t result = write_out(put, what, SIZE_MAX, &data, &bytes);

	if (result != pcclSuccess)
		return pcclOutOfMemory;
	*imprint_out = pccl_imprint_of(data, bytes);
	pccl_free(data);
	return pcclSuccess;
}

pcclResult_t pccl_install_imprint(const struct pccl_install *install, struct pccl_imprint *imprint_out)
{
	return take_imprint(put_sealed_install, install, imprint_out);
}

pcclResult_t pccl_promise_imprint(uint32_t group, const struct pccl_promise *promise, struct pccl_imprint *imprint_out)
{
	const struct grouped_promise grouped = {group, promise};

	return take_imprint(put_sealed_promise, &grouped, imprint_out);
}
