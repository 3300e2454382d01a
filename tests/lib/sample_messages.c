/* Sample messages. */
#include "sample_messages.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/memory.h"

static pcclRankUuid_t uuid_of(uint8_t number)
{
	pcclRankUuid_t uuid;

	memset(uuid.data, number, sizeof(uuid.data));
	return uuid;
}

static pcclRankUuid_t *uuids_of(uint32_t count)
{
	pcclRankUuid_t *uuids = pccl_calloc(count, sizeof(*uuids));
	uint32_t index;

	assert(uuids != NULL);
	for (index = 0; index < count; index++)
		uuids[index] = uuid_of((uint8_t)(index + 1));
	return uuids;
}

static uint64_t *bits_of(uint64_t low, uint64_t high)
{
	uint64_t *words = pccl_calloc(2, sizeof(*words));

	assert(words != NULL);
	words[0] = low;
	words[1] = high;
	return words;
}

static void fill_member(struct pccl_member *member, uint8_t number)
{
	member->uuid = uuid_of(number);
	member->address_count = 2;
	(void)snprintf(member->addresses[0].host, sizeof(member->addresses[0].host), "2001:db8::%u", number);
	member->addresses[0].port = (uint16_t)(40000 + number);
	(void)snprintf(member->addresses[1].host, sizeof(member->addresses[1].host), "192.0.2.%u", number);
	member->addresses[1].port = (uint16_t)(50000 + number);
	member->lanes = 2;
	member->streams = 3;
	member->bundle_id = 77;
	member->bundle_size = 8;
	member->masters = 2;
}

static void fill_seal(struct pccl_seal *seal)
{
	memset(seal->key.data, 0x44, sizeof(seal->key.data));
	memset(seal->signature, 0x55, sizeof(seal->signature));
}

static void fill_install(struct pccl_install *install)
{
	uint32_t index;

	install->view.group = 5;
	install->view.epoch = 9;
	install->view.lanes = 2;
	install->view.streams = 3;
	install->view.members = pccl_calloc(3, sizeof(*install->view.members));
	assert(install->view.members != NULL);
	install->view.member_count = 3;
	for (index = 0; index < 3; index++)
		fill_member(&install->view.members[index], (uint8_t)(index + 1));
	install->run = uuid_of(200);
	install->previous_epoch = 7;
	install->newcomers = true;
	install->world.peers = 4;
	install->world.groups = 3;
	install->world.largest_group = 2;
	install->links.measures = pccl_calloc(2, sizeof(*install->links.measures));
	assert(install->links.measures != NULL);
	install->links.count = 2;
	install->links.measures[0] = (struct pccl_link_measure){0, 2, 125000, 40000};
	install->links.measures[1] = (struct pccl_link_measure){2, 1, 4, 250};
	(void)snprintf(install->cause, sizeof(install->cause), "rank 1 was lost");
	install->decisions = pccl_calloc(2, sizeof(*install->decisions));
	assert(install->decisions != NULL);
	install->decision_count = 2;
	install->decisions[0].tag = 11;
	install->decisions[0].sequence = 2;
	install->decisions[0].signature = UINT64_C(0x123456789abcdef0);
	install->decisions[0].verdict = PCCL_VERDICT_REPAIR;
	install->decisions[0].participants_min = 3;
	install->decisions[0].participants_max = 4;
	install->decisions[0].segment_count = 70;
	install->decisions[0].participants = pccl_calloc(70, sizeof(uint16_t));
	assert(install->decisions[0].participants != NULL);
	install->decisions[0].participants[69] = 4;
	install->decisions[0].holders = pccl_calloc(3, sizeof(uint64_t *));
	assert(install->decisions[0].holders != NULL);
	install->decisions[0].holder_count = 3;
	install->decisions[0].holders[0] = bits_of(5, 1);
	install->decisions[0].holders[2] = bits_of(UINT64_MAX, 63);
	install->decisions[1].tag = UINT64_MAX;
	install->decisions[1].verdict = PCCL_VERDICT_EXPIRE;
	fill_seal(&install->seal);
}

static void fill_answer(struct pccl_answer *answer)
{
	answer->origin = 3;
	answer->sequence = 12;
	answer->kind = PCCL_VOTE_OPTIMIZE;
	answer->result = pcclTopologyOptimizationFailed;
	answer->value = true;
	answer->world.peers = 9;
	answer->world.groups = 3;
	answer->world.largest_group = 5;
	(void)snprintf(answer->text, sizeof(answer->text), "different calls");
}

static void fill_register(struct pccl_message_register *registration, bool returning)
{
	registration->group = 5;
	fill_member(&registration->self, 2);
	memset(registration->secret.data, 0x5a, sizeof(registration->secret.data));
	registration->heartbeat_interval_ns = 500000000;
	registration->heartbeat_timeout_ns = 3000000000u;
	registration->may_found = returning;
	registration->may_join = !returning;
	if (!returning)
		return;
	registration->last = pccl_zalloc(sizeof(*registration->last));
	registration->promises = pccl_calloc(2, sizeof(*registration->promises));
	assert(registration->last != NULL && registration->promises != NULL);
	fill_install(registration->last);
	fill_answer(&registration->answered);
	registration->promise_count = 2;
	registration->promises[0].master = uuid_of(101);
	registration->promises[0].run = uuid_of(200);
	registration->promises[0].epoch = 10;
	registration->promises[0].member_count = 2;
	registration->promises[0].members = uuids_of(2);
	fill_seal(&registration->promises[0].seal);
	registration->promises[1].master = uuid_of(102);
	registration->promises[1].members = uuids_of(0);
}

static void fill_prepared(struct pccl_message_prepared *prepared)
{
	prepared->epoch = 10;
	prepared->reports = pccl_calloc(2, sizeof(*prepared->reports));
	assert(prepared->reports != NULL);
	prepared->report_count = 2;
	prepared->reports[0].tag = 1;
	prepared->reports[0].sequence = 2;
	prepared->reports[0].signature = UINT64_C(0xfedcba9876543210);
	prepared->reports[0].policy = (uint8_t)pcclPolicyRepair;
	prepared->reports[0].repairable = true;
	prepared->reports[0].participants_min = 3;
	prepared->reports[0].participants_max = 4;
	prepared->reports[0].segment_count = 65;
	prepared->reports[0].participants = pccl_calloc(65, sizeof(uint16_t));
	assert(prepared->reports[0].participants != NULL);
	prepared->reports[0].participants[1] = 4;
	prepared->reports[0].held = bits_of(3, 1);
	prepared->reports[1].tag = 2;
	prepared->reports[1].complete = true;
	memset(prepared->reports[1].root.data, 7, sizeof(prepared->reports[1].root.data));
}

static void fill_second_half(struct pccl_message *message)
{
	union pccl_message_body *body = &message->body;

	switch (message->type) {
	case PCCL_MESSAGE_WELCOME:
		body->welcome.master = uuid_of(100);
		(void)snprintf(body->welcome.address, sizeof(body->welcome.address), "192.0.2.7");
		body->welcome.registered = true;
		break;
	case PCCL_MESSAGE_PREPARE:
		body->prepare.run = uuid_of(200);
		body->prepare.epoch = 10;
		body->prepare.members = uuids_of(3);
		body->prepare.member_count = 3;
		fill_seal(&body->prepare.seal);
		break;
	case PCCL_MESSAGE_INSTALL:
		fill_install(&body->install);
		break;
	case PCCL_MESSAGE_PASSES:
		body->passes.epoch = 9;
		body->passes.first_rank = 1;
		body->passes.count = 2;
		body->passes.passes = pccl_calloc(2, sizeof(*body->passes.passes));
		assert(body->passes.passes != NULL);
		body->passes.passes[1].data[3] = 77;
		break;
	case PCCL_MESSAGE_MEET:
		body->meet.number = 17;
		body->meet.dials = true;
		body->meet.anew = true;
		body->meet.strangers.members = pccl_calloc(2, sizeof(struct pccl_member));
		assert(body->meet.strangers.members != NULL);
		body->meet.strangers.member_count = 2;
		fill_member(&body->meet.strangers.members[0], 1);
		fill_member(&body->meet.strangers.members[1], 2);
		body->meet.strangers.members[1].pass.data[3] = 78;
		break;
	case PCCL_MESSAGE_MET:
		body->met.number = 17;
		body->met.uuid = uuid_of(3);
		(void)snprintf(body->met.text, sizeof(body->met.text), "connection refused");
		break;
	case PCCL_MESSAGE_PROOF:
		memset(body->proof.key.data, 0x11, sizeof(body->proof.key.data));
		memset(body->proof.salt, 0x22, sizeof(body->proof.salt));
		memset(body->proof.signature, 0x33, sizeof(body->proof.signature));
		break;
	case PCCL_MESSAGE_VOTED:
	case PCCL_MESSAGE_LATE:
		fill_answer(&body->voted);
		break;
	default:
		body->notice.result = pcclEvicted;
		(void)snprintf(body->notice.text, sizeof(body->notice.text), "no sign of life");
		break;
	}
}

struct pccl_message *sample_message(uint32_t index)
{
	static const enum pccl_message_type types[SAMPLE_COUNT] = {
		PCCL_MESSAGE_REGISTER,	PCCL_MESSAGE_REGISTER, PCCL_MESSAGE_VOTE,    PCCL_MESSAGE_PREPARED,
		PCCL_MESSAGE_COMPLAINT, PCCL_MESSAGE_EXPIRED,  PCCL_MESSAGE_LEAVE,   PCCL_MESSAGE_BEAT,
		PCCL_MESSAGE_WELCOME,	PCCL_MESSAGE_REFUSED,  PCCL_MESSAGE_PREPARE, PCCL_MESSAGE_INSTALL,
		PCCL_MESSAGE_VOTED,	PCCL_MESSAGE_EVICTED,  PCCL_MESSAGE_STALLED, PCCL_MESSAGE_PASSES,
		PCCL_MESSAGE_LATE,	PCCL_MESSAGE_BROKEN,   PCCL_MESSAGE_LINKED,  PCCL_MESSAGE_MEET,
		PCCL_MESSAGE_MET,	PCCL_MESSAGE_UNMET,    PCCL_MESSAGE_RETRACT, PCCL_MESSAGE_PROOF,
		PCCL_MESSAGE_DEFER};
	struct pccl_message *message = pccl_message_create(types[index]);

	assert(message != NULL);
	switch (message->type) {
	case PCCL_MESSAGE_REGISTER:
		fill_register(&message->body.registration, index == 1);
		break;
	case PCCL_MESSAGE_VOTE:
		message->body.vote.kind = PCCL_VOTE_PENDING;
		message->body.vote.origin = 4;
		message->body.vote.sequence = 7;
		break;
	case PCCL_MESSAGE_PREPARED:
		fill_prepared(&message->body.prepared);
		break;
	case PCCL_MESSAGE_COMPLAINT:
		message->body.complaint.epoch = 6;
		message->body.complaint.uuid = uuid_of(3);
		(void)snprintf(message->body.complaint.text, PCCL_CAUSE_TEXT_BYTES, "no route to host");
		break;
	case PCCL_MESSAGE_RETRACT:
		message->body.retract.epoch = 6;
		message->body.retract.uuid = uuid_of(3);
		break;
	case PCCL_MESSAGE_EXPIRED:
		message->body.expired.epoch = 6;
		message->body.expired.tag = 99;
		message->body.expired.sequence = 4;
		(void)snprintf(message->body.expired.text, PCCL_CAUSE_TEXT_BYTES, "rank 2 has not arrived");
		break;
	case PCCL_MESSAGE_BROKEN:
		message->body.broken.epoch = 6;
		message->body.broken.uuid = uuid_of(3);
		message->body.broken.broken = true;
		break;
	case PCCL_MESSAGE_LINKED:
		message->body.linked.epoch = 6;
		break;
	case PCCL_MESSAGE_DEFER:
		message->body.deferred = true;
		break;
	default:
		fill_second_half(message);
		break;
	}
	return message;
}

bool same_message(const struct pccl_message *left, const struct pccl_message *right)
{
	uint8_t *left_data;
	uint8_t *right_data;
	size_t left_bytes;
	size_t right_bytes;
	bool same;

	if (pccl_message_encode(left, &left_data, &left_bytes) != pcclSuccess)
		return false;
	if (pccl_message_encode(right, &right_data, &right_bytes) != pcclSuccess) {
		pccl_free(left_data);
		return false;
	}
	same = left_bytes == right_bytes && memcmp(left_data, right_data, left_bytes) == 0;
	pccl_free(left_data);
	pccl_free(right_data);
	return same;
}
