/* Membership messages as objects: life, names. Their bytes are in message_encode.c and message_decode.c. */
#include "membership/message/message.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"

struct pccl_message *pccl_message_create(enum pccl_message_type type)
{
	struct pccl_message *message = pccl_zalloc(sizeof(*message));

	if (message == NULL)
		return NULL;
	message->type = type;
	message->references = 1;
	return message;
}

struct pccl_message *pccl_message_share(struct pccl_message *message)
{
	assert(message->references > 0);
	message->references++;
	return message;
}

void pccl_promises_destroy(struct pccl_promise *promises, uint32_t count)
{
	uint32_t index;

	for (index = 0; promises != NULL && index < count; index++)
		pccl_free(promises[index].members);
	pccl_free(promises);
}

pcclResult_t pccl_promise_copy(const struct pccl_promise *from, struct pccl_promise *to_out)
{
	pcclRankUuid_t *members = pccl_calloc(from->member_count, sizeof(*members));

	assert(from->member_count == 0 || from->members != NULL);
	memset(to_out, 0, sizeof(*to_out));
	if (members == NULL)
		return pcclOutOfMemory;
	if (from->member_count > 0)
		memcpy(members, from->members, from->member_count * sizeof(*members));
	*to_out = *from;
	to_out->members = members;
	return pcclSuccess;
}

static void registration_fini(struct pccl_message_register *registration)
{
	if (registration->last != NULL)
		pccl_install_fini(registration->last);
	pccl_free(registration->last);
	pccl_promises_destroy(registration->promises, registration->promise_count);
}

void pccl_message_destroy(struct pccl_message *message)
{
	if (message == NULL)
		return;
	assert(message->references > 0);
	if (--message->references > 0)
		return;
	switch (message->type) {
	case PCCL_MESSAGE_REGISTER:
		registration_fini(&message->body.registration);
		break;
	case PCCL_MESSAGE_PREPARED:
		pccl_op_reports_destroy(message->body.prepared.reports, message->body.prepared.report_count);
		break;
	case PCCL_MESSAGE_PREPARE:
		pccl_free(message->body.prepare.members);
		break;
	case PCCL_MESSAGE_PASSES:
		pccl_free(message->body.passes.passes);
		break;
	case PCCL_MESSAGE_INSTALL:
		pccl_install_fini(&message->body.install);
		break;
	case PCCL_MESSAGE_MEET:
		pccl_view_fini(&message->body.meet.strangers);
		break;
	default: /* plain values */
		break;
	}
	pccl_free(message);
}

const char *pccl_message_name(enum pccl_message_type type)
{
	switch (type) {
	case PCCL_MESSAGE_REGISTER:
		return "REGISTER";
	case PCCL_MESSAGE_VOTE:
		return "VOTE";
	case PCCL_MESSAGE_PREPARED:
		return "PREPARED";
	case PCCL_MESSAGE_COMPLAINT:
		return "COMPLAINT";
	case PCCL_MESSAGE_LEAVE:
		return "LEAVE";
	case PCCL_MESSAGE_ABANDON:
		return "ABANDON";
	case PCCL_MESSAGE_EXPIRED:
		return "EXPIRED";
	case PCCL_MESSAGE_RETRACT:
		return "RETRACT";
	case PCCL_MESSAGE_BROKEN:
		return "BROKEN";
	case PCCL_MESSAGE_LINKED:
		return "LINKED";
	case PCCL_MESSAGE_BEAT:
		return "BEAT";
	case PCCL_MESSAGE_WELCOME:
		return "WELCOME";
	case PCCL_MESSAGE_REFUSED:
		return "REFUSED";
	case PCCL_MESSAGE_PREPARE:
		return "PREPARE";
	case PCCL_MESSAGE_INSTALL:
		return "INSTALL";
	case PCCL_MESSAGE_VOTED:
		return "VOTED";
	case PCCL_MESSAGE_EVICTED:
		return "EVICTED";
	case PCCL_MESSAGE_LATE:
		return "LATE";
	case PCCL_MESSAGE_STALLED:
		return "STALLED";
	case PCCL_MESSAGE_PASSES:
		return "PASSES";
	case PCCL_MESSAGE_MEET:
		return "MEET";
	case PCCL_MESSAGE_MET:
		return "MET";
	case PCCL_MESSAGE_UNMET:
		return "UNMET";
	case PCCL_MESSAGE_PROOF:
		return "PROOF";
	case PCCL_MESSAGE_DEFER:
		return "DEFER";
	}
	return "UNKNOWN";
}

const char *pccl_vote_name(uint8_t kind)
{
	switch (kind) {
	case PCCL_VOTE_UPDATE:
		return "pcclUpdateTopology";
	case PCCL_VOTE_PENDING:
		return "pcclArePeersPending";
	case PCCL_VOTE_OPTIMIZE:
		return "pcclOptimizeTopology";
	default:
		return "an unknown joint call";
	}
}
