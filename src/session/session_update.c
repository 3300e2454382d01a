/*
 * pcclUpdateTopology() beside ops. All members make it after the same ops. One that has launched an op before it, and
 * one that waits in it without having launched that op, would wait for each other: ops carry how many joint calls came
 * before them, so the lanes of the latter see it, and its call ends with pcclPendingAsyncOps. Nothing else happens: the
 * op goes on waiting for this peer, which may launch it still.
 */
#include "base/memory.h"
#include "session/session_internal.h"

uint32_t pccl_session_joint_calls(const struct pccl_session *session)
{
	return session->joint + (session->updating ? 1 : 0);
}

void pccl_session_tell_update(struct pccl_session *session)
{
	uint32_t lane;

	for (lane = 0; session->updating && lane < session->lanes; lane++) {
		struct pccl_command *command = pccl_zalloc(sizeof(*command));

		if (command == NULL)
			return; /* well-made programs don't need it */
		command->joint = pccl_session_joint_calls(session);
		pccl_session_command(session, command, PCCL_COMMAND_UPDATE, lane);
	}
}

void pccl_session_begin_update(struct pccl_session *session)
{
	session->updating = true;
	pccl_session_tell_update(session);
}

void pccl_session_end_joint(struct pccl_session *session, uint32_t joint)
{
	session->joint = joint;
	session->updating = false;
}

uint32_t pccl_session_missed(const struct pccl_session *session, const struct pccl_op_key *key)
{
	if (!session->updating || session->frozen || key->tag == PCCL_TAG_OWN)
		return 0;
	if (pccl_session_find(session, key->tag) != NULL)
		return 0;
	/* It was something else here, of which that lane had no share. */
	if (key->sequence < pccl_session_next(session, key->tag))
		return 0;
	return pccl_session_joint_calls(session);
}
