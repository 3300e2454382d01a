/* Peers that may soon be members: all lanes make links to them, and membership hears when all are up, or one is not. */
#include <assert.h>

#include "base/memory.h"
#include "base/uuid.h"
#include "membership/message/message.h"
#include "session/session_internal.h"

static struct pccl_session_meeting *find(struct pccl_session *session, const pcclRankUuid_t *uuid)
{
	uint32_t i;

	for (i = 0; i < session->meeting_count; i++)
		if (pccl_uuid_equal(&session->meetings[i].uuid, uuid))
			return &session->meetings[i];
	return NULL;
}

static void forget(struct pccl_session *session, struct pccl_session_meeting *meeting)
{
	assert(session->meeting_count > 0);
	*meeting = session->meetings[--session->meeting_count];
}

/* Who is met again is met anew. */
static pcclResult_t note(struct pccl_session *session, const pcclRankUuid_t *uuid, uint32_t number)
{
	struct pccl_session_meeting *meeting = find(session, uuid);

	if (number == PCCL_MEET_PART) {
		if (meeting != NULL)
			forget(session, meeting);
		return pcclSuccess;
	}
	if (meeting == NULL) {
		struct pccl_session_meeting *meetings =
			pccl_realloc(session->meetings, (session->meeting_count + 1) * sizeof(*meetings));

		if (meetings == NULL)
			return pcclOutOfMemory;
		session->meetings = meetings;
		meeting = &meetings[session->meeting_count++];
	}
	meeting->uuid = *uuid;
	meeting->number = number;
	meeting->lanes_up = 0;
	return pcclSuccess;
}

static pcclResult_t tell_lanes(struct pccl_session *session, const struct pccl_meet_how *how,
			       const struct pccl_view *strangers)
{
	uint32_t lane;

	for (lane = 0; lane < session->config.lanes; lane++) {
		struct pccl_command *command = pccl_zalloc(sizeof(*command));

		if (command == NULL || pccl_view_copy(strangers, &command->view) != pcclSuccess) {
			pccl_free(command);
			return pcclOutOfMemory;
		}
		command->how = *how;
		pccl_session_command(session, command, PCCL_COMMAND_MEET, lane);
	}
	return pcclSuccess;
}

pcclResult_t pccl_session_meet(struct pccl_session *session, const struct pccl_meet_how *how,
			       const struct pccl_view *strangers)
{
	uint32_t i;

	for (i = 0; i < strangers->member_count; i++)
		if (note(session, &strangers->members[i].uuid, how->number) != pcclSuccess)
			return pcclOutOfMemory;
	return tell_lanes(session, how, strangers);
}

bool pccl_session_met(struct pccl_session *session, const pcclRankUuid_t *uuid, uint32_t number, bool reached)
{
	struct pccl_session_meeting *meeting = find(session, uuid);

	if (meeting == NULL || meeting->number != number)
		return false;
	if (reached)
		return ++meeting->lanes_up == session->config.lanes;
	forget(session, meeting);
	return true;
}

void pccl_session_meetings_end(struct pccl_session *session, const struct pccl_view *view)
{
	struct pccl_session_meeting *meeting;
	uint32_t rank;

	for (rank = 0; session->meeting_count > 0 && rank < view->member_count; rank++) {
		meeting = find(session, &view->members[rank].uuid);
		if (meeting != NULL)
			forget(session, meeting);
	}
}
