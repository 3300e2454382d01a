/*
 * pcclUpdateTopology() beside ops. All members make it after the same ops; one that has launched an op before it, and
 * one that waits in it without having launched that op, would wait for each other. Ops carry how many joint calls came
 * before them, so lanes see the difference. It ends as any other mismatch does, by an op that stands for the call; and
 * as a joint call of all members, so that they go on counting alike.
 */
#include <assert.h>

#include "base/log.h"
#include "base/memory.h"
#include "session_internal.h"

void pccl_session_count_joint(struct pccl_session *session, uint32_t joint)
{
	session->joint = joint;
}

uint32_t pccl_session_joint_calls(const struct pccl_session *session)
{
	return session->joint + (session->updating ? 1 : 0);
}

void pccl_session_begin_update(struct pccl_session *session)
{
	uint32_t lane;

	session->updating = true;
	for (lane = 0; lane < session->lanes; lane++) {
		struct pccl_command *command = pccl_zalloc(sizeof(*command));

		if (command == NULL)
			return; /* well-made programs don't need it */
		command->joint = pccl_session_joint_calls(session);
		pccl_session_command(session, command, PCCL_COMMAND_UPDATE, lane);
	}
}

void pccl_session_end_update(struct pccl_session *session)
{
	struct pccl_op *op = session->stand_in;

	session->updating = false;
	if (op != NULL && !op->settled)
		pccl_session_op_fail(session, op, pcclAborted, "pcclUpdateTopology() has ended");
}

/* An op with this key would be the next one of its tag: what comes from outside may be anything. */
static bool is_next(struct pccl_session *session, const struct pccl_op_key *key)
{
	uint32_t sequence;

	if (!pccl_sequences_take(&session->sequences, key->tag, &sequence))
		return false;
	pccl_sequences_untake(&session->sequences, key->tag);
	return sequence == key->sequence;
}

void pccl_session_missed(struct pccl_session *session, const struct pccl_op_key *key)
{
	const struct pccl_op_request request = {.kind = PCCL_BARRIER,
						.operation = {.tag = key->tag, .failure_policy = pcclPolicyAbort},
						.stands_for_update = true};

	if (!session->updating || session->frozen || session->stand_in != NULL ||
	    pccl_session_find(session, key->tag) != NULL || !is_next(session, key))
		return;
	if (pccl_session_launch(session, &request, &session->stand_in) != pcclSuccess)
		pccl_log_warn("tag %llu was launched by another member, while this one waits in pcclUpdateTopology()",
			      (unsigned long long)key->tag);
}

struct pccl_op *pccl_session_stand_in(const struct pccl_session *session)
{
	return session->stand_in;
}
