/* Membership messages out of fuzz bytes: small numbers, few identities, so that they fit together often; what the codec
 * would refuse is not made. */
#ifndef PCCL_FUZZ_MESSAGES_H
#define PCCL_FUZZ_MESSAGES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/identity.h"
#include "base/memory.h"
#include "membership/message/message.h"

struct fuzz_bytes {
	const uint8_t *at;
	const uint8_t *end;
};

static inline uint8_t fuzz_byte(struct fuzz_bytes *bytes)
{
	return bytes->at < bytes->end ? *bytes->at++ : 0;
}

static inline uint32_t fuzz_below(struct fuzz_bytes *bytes, uint32_t limit)
{
	return fuzz_byte(bytes) % limit;
}

static inline struct pccl_secret fuzz_secret(uint32_t number)
{
	struct pccl_secret secret = {{(uint8_t)number}};

	return secret;
}

static inline pcclRankUuid_t fuzz_peer(uint32_t number)
{
	struct pccl_secret secret = fuzz_secret(number);

	return pccl_identity_uuid(&secret);
}

static inline pcclRankUuid_t fuzz_uuid(struct fuzz_bytes *bytes)
{
	return fuzz_peer(1 + fuzz_below(bytes, 6));
}

static inline void *fuzz_list(uint32_t count, size_t size)
{
	void *list = pccl_calloc(count, size);

	if (list == NULL)
		abort();
	return list;
}

static inline void fuzz_member(struct fuzz_bytes *bytes, struct pccl_member *member)
{
	uint8_t traits = fuzz_byte(bytes);

	member->uuid = fuzz_uuid(bytes);
	member->lanes = 1 + (traits & 3);
	member->streams = 1;
	member->masters = 1 + (traits >> 2 & 1);
	member->bundle_id = traits >> 3 & 1;
	member->bundle_size = traits >> 4 & 3;
}

static inline void fuzz_install(struct fuzz_bytes *bytes, struct pccl_install *install, uint32_t group)
{
	uint8_t traits = fuzz_byte(bytes);
	uint32_t index;

	install->view.group = group;
	install->view.epoch = 1 + fuzz_below(bytes, 12);
	install->view.lanes = 1;
	install->view.streams = 1;
	install->previous_epoch = fuzz_below(bytes, install->view.epoch);
	install->view.member_count = 1 + (traits & 3);
	install->view.members = fuzz_list(install->view.member_count, sizeof(*install->view.members));
	for (index = 0; index < install->view.member_count; index++)
		fuzz_member(bytes, &install->view.members[index]);
	install->run = fuzz_uuid(bytes);
	install->newcomers = traits >> 2 & 1;
	install->lone = traits >> 3 & 1;
	install->decision_count = traits >> 4 & 1;
	install->decisions = fuzz_list(install->decision_count, sizeof(*install->decisions));
	if (install->decision_count > 0)
		install->decisions[0].verdict = PCCL_VERDICT_ABORT;
}

static inline pcclRankUuid_t *fuzz_uuids(struct fuzz_bytes *bytes, uint32_t *count_out)
{
	uint32_t count = fuzz_below(bytes, 5);
	pcclRankUuid_t *uuids = fuzz_list(count, sizeof(*uuids));
	uint32_t index;

	for (index = 0; index < count; index++)
		uuids[index] = fuzz_uuid(bytes);
	*count_out = count;
	return uuids;
}

static inline void fuzz_register(struct fuzz_bytes *bytes, struct pccl_message_register *registration)
{
	uint8_t traits = fuzz_byte(bytes);
	uint32_t index;

	registration->group = traits & 1;
	fuzz_member(bytes, &registration->self);
	registration->may_found = traits >> 1 & 1;
	registration->may_join = !registration->may_found && traits >> 5 == 6;
	for (index = 1; index <= 6; index++) {
		struct pccl_secret secret = fuzz_secret(index);

		if (pccl_identity_owns(&secret, &registration->self.uuid))
			registration->secret = secret;
	}
	if (traits >> 5 == 7)
		registration->secret.data[31] = 1; /* somebody else's uuid */
	if (traits >> 2 & 1) {
		registration->last = fuzz_list(1, sizeof(*registration->last));
		fuzz_install(bytes, registration->last, registration->group);
		registration->answered.origin = fuzz_below(bytes, 12);
		registration->answered.sequence = fuzz_below(bytes, 4);
	}
	registration->promise_count = traits >> 3 & 3;
	registration->promises = fuzz_list(registration->promise_count, sizeof(*registration->promises));
	for (index = 0; index < registration->promise_count; index++) {
		struct pccl_promise *promise = &registration->promises[index];

		promise->master = fuzz_uuid(bytes);
		promise->run = fuzz_uuid(bytes);
		promise->epoch = fuzz_below(bytes, 16);
		promise->members = fuzz_uuids(bytes, &promise->member_count);
	}
}

static inline void fuzz_prepared(struct fuzz_bytes *bytes, struct pccl_message_prepared *prepared)
{
	uint32_t index;

	prepared->epoch = fuzz_below(bytes, 32);
	prepared->report_count = fuzz_below(bytes, 3);
	prepared->reports = fuzz_list(prepared->report_count, sizeof(*prepared->reports));
	for (index = 0; index < prepared->report_count; index++) {
		struct pccl_op_report *report = &prepared->reports[index];
		uint8_t traits = fuzz_byte(bytes);

		report->tag = traits & 1;
		report->policy =
			(traits >> 1 & 3) == 3 ? PCCL_POLICY_FAILED : (uint8_t)(pcclPolicyAbort + (traits >> 1 & 3));
		report->repairable = traits >> 3 & 1;
		report->complete = traits >> 4 & 1;
		report->segment_count = traits >> 5 & 3;
		if (traits >> 7 != 0)
			report->root = fuzz_peer(1 + (traits & 1));
		report->held = fuzz_list(1, sizeof(*report->held));
	}
}

static inline void fuzz_meet(struct fuzz_bytes *bytes, struct pccl_message_meet *meet)
{
	uint8_t traits = fuzz_byte(bytes);
	uint32_t index;

	meet->number = traits >> 4;
	meet->dials = traits & 1;
	meet->anew = traits >> 1 & 1;
	meet->strangers.member_count = 1 + (traits >> 2 & 1);
	meet->strangers.members = fuzz_list(meet->strangers.member_count, sizeof(*meet->strangers.members));
	for (index = 0; index < meet->strangers.member_count; index++)
		fuzz_member(bytes, &meet->strangers.members[index]);
}

static inline void fuzz_body(struct fuzz_bytes *bytes, struct pccl_message *message)
{
	union pccl_message_body *body = &message->body;

	switch (message->type) {
	case PCCL_MESSAGE_REGISTER:
		fuzz_register(bytes, &body->registration);
		break;
	case PCCL_MESSAGE_VOTE:
		body->vote.kind = (uint8_t)(1 + fuzz_below(bytes, 3));
		body->vote.origin = fuzz_below(bytes, 12);
		body->vote.sequence = fuzz_below(bytes, 4);
		body->vote.timeout_ms = body->vote.origin % 4 * 100;
		body->vote.late = (uint8_t)(body->vote.origin % 3);
		break;
	case PCCL_MESSAGE_PREPARED:
		fuzz_prepared(bytes, &body->prepared);
		break;
	case PCCL_MESSAGE_COMPLAINT:
		body->complaint.epoch = fuzz_below(bytes, 12);
		body->complaint.uuid = fuzz_uuid(bytes);
		break;
	case PCCL_MESSAGE_BROKEN:
		body->broken.epoch = fuzz_below(bytes, 12);
		body->broken.uuid = fuzz_uuid(bytes);
		body->broken.broken = fuzz_below(bytes, 4) != 0;
		break;
	case PCCL_MESSAGE_LINKED:
	case PCCL_MESSAGE_EXPIRED: /* the epoch of both comes first */
		body->linked.epoch = fuzz_below(bytes, 12);
		break;
	case PCCL_MESSAGE_RETRACT:
		body->retract.epoch = fuzz_below(bytes, 12);
		body->retract.uuid = fuzz_uuid(bytes);
		break;
	case PCCL_MESSAGE_MEET:
		fuzz_meet(bytes, &body->meet);
		break;
	case PCCL_MESSAGE_MET:
		body->met.number = fuzz_below(bytes, 6);
		body->met.uuid = fuzz_uuid(bytes);
		body->met.reached = fuzz_below(bytes, 4) != 0;
		break;
	case PCCL_MESSAGE_DEFER:
		body->deferred = fuzz_below(bytes, 4) != 0;
		break;
	case PCCL_MESSAGE_WELCOME:
		body->welcome.master = fuzz_uuid(bytes);
		body->welcome.registered = fuzz_below(bytes, 4) != 0;
		break;
	case PCCL_MESSAGE_PREPARE:
		body->prepare.run = fuzz_uuid(bytes);
		body->prepare.epoch = fuzz_below(bytes, 16);
		body->prepare.members = fuzz_uuids(bytes, &body->prepare.member_count);
		break;
	case PCCL_MESSAGE_PASSES:
		body->passes.epoch = fuzz_below(bytes, 16);
		body->passes.first_rank = fuzz_below(bytes, 4);
		body->passes.count = fuzz_below(bytes, 4);
		body->passes.passes = fuzz_list(body->passes.count, sizeof(*body->passes.passes));
		break;
	case PCCL_MESSAGE_INSTALL:
		fuzz_install(bytes, &body->install, 0);
		break;
	case PCCL_MESSAGE_VOTED:
	case PCCL_MESSAGE_LATE:
		body->voted.origin = fuzz_below(bytes, 12);
		body->voted.sequence = fuzz_below(bytes, 4);
		break;
	default:
		break;
	}
}

#define FUZZ_LINKS_FROM 238 /* 14 times all other types: what was found before these came stays as it was */
#define FUZZ_MEETS_FROM 246
#define FUZZ_DEFER 255

/* The next message, as it comes out of the codec; NULL: the codec would refuse it. */
static inline struct pccl_message *fuzz_message(struct fuzz_bytes *bytes)
{
	static const uint8_t types[] = {PCCL_MESSAGE_REGISTER,	PCCL_MESSAGE_VOTE,    PCCL_MESSAGE_PREPARED,
					PCCL_MESSAGE_COMPLAINT, PCCL_MESSAGE_LEAVE,   PCCL_MESSAGE_ABANDON,
					PCCL_MESSAGE_BEAT,	PCCL_MESSAGE_EXPIRED, PCCL_MESSAGE_WELCOME,
					PCCL_MESSAGE_REFUSED,	PCCL_MESSAGE_PREPARE, PCCL_MESSAGE_INSTALL,
					PCCL_MESSAGE_VOTED,	PCCL_MESSAGE_EVICTED, PCCL_MESSAGE_PASSES,
					PCCL_MESSAGE_STALLED,	PCCL_MESSAGE_LATE};
	static const uint8_t links[] = {PCCL_MESSAGE_BROKEN, PCCL_MESSAGE_LINKED};
	static const uint8_t meets[] = {PCCL_MESSAGE_MEET, PCCL_MESSAGE_MET, PCCL_MESSAGE_UNMET, PCCL_MESSAGE_RETRACT,
					PCCL_MESSAGE_MET};
	uint8_t which = fuzz_byte(bytes);
	struct pccl_message *made, *message = NULL;
	uint8_t type = types[which % sizeof(types)];
	uint8_t *data;
	size_t size;

	if (which >= FUZZ_LINKS_FROM)
		type = links[which % sizeof(links)];
	if (which >= FUZZ_MEETS_FROM)
		type = meets[(which - FUZZ_MEETS_FROM) % sizeof(meets)];
	if (which == FUZZ_DEFER)
		type = PCCL_MESSAGE_DEFER;
	made = pccl_message_create((enum pccl_message_type)type);
	if (made == NULL)
		abort();
	fuzz_body(bytes, made);
	if (pccl_message_encode(made, &data, &size) != pcclSuccess)
		abort();
	(void)pccl_message_decode(data, size, &message);
	pccl_free(data);
	pccl_message_destroy(made);
	return message;
}

#endif
