/* What the lanes say about links to newcomers, added up. */
#include "session/session.h"

#include "lib/check.h"
#include "membership/message/message.h"

enum { LANES = 3 };

static struct pccl_session *new_session(void)
{
	const struct pccl_session_config config = {.lanes = LANES};
	struct pccl_session *session;

	assert_int_equal(pccl_session_create(&config, &session), pcclSuccess);
	return session;
}

static void meet(struct pccl_session *session, struct pccl_member *members, uint32_t count, uint32_t number)
{
	const struct pccl_view strangers = {.member_count = count, .members = members};
	const struct pccl_meet_how how = {.number = number, .dials = true};
	uint32_t lane;

	assert_int_equal(pccl_session_meet(session, &how, &strangers), pcclSuccess);
	for (lane = 0; lane < LANES; lane++) {
		struct pccl_command *command = pccl_session_poll(session);

		assert_int_equal(command->type, PCCL_COMMAND_MEET);
		assert_int_equal(command->lane, lane);
		assert_int_equal(command->how.number, number);
		assert_int_equal(command->view.member_count, count);
		pccl_command_free(command);
	}
}

static void newcomer_is_met_when_all_lanes_have_reached_it(void **state)
{
	struct pccl_session *session = new_session();
	struct pccl_member members[2] = {{.uuid = {{1}}}, {.uuid = {{2}}}};

	(void)state;
	meet(session, members, 2, 5);
	assert_false(pccl_session_met(session, &members[0].uuid, 5, true));
	assert_false(pccl_session_met(session, &members[1].uuid, 5, true));
	assert_false(pccl_session_met(session, &members[0].uuid, 5, true));
	assert_true(pccl_session_met(session, &members[0].uuid, 5, true));
	/* One lane is enough for a no; also later. */
	assert_true(pccl_session_met(session, &members[1].uuid, 5, false));
	assert_false(pccl_session_met(session, &members[1].uuid, 5, false));
	assert_true(pccl_session_met(session, &members[0].uuid, 5, false));
	pccl_session_destroy(session);
}

static void lanes_that_speak_of_an_earlier_meeting_are_not_heard(void **state)
{
	struct pccl_session *session = new_session();
	struct pccl_member member = {.uuid = {{1}}};
	uint32_t lane;

	(void)state;
	meet(session, &member, 1, 1);
	assert_false(pccl_session_met(session, &member.uuid, 1, true));
	meet(session, &member, 1, 2);
	assert_false(pccl_session_met(session, &member.uuid, 1, false));
	for (lane = 0; lane < LANES; lane++)
		assert_int_equal(pccl_session_met(session, &member.uuid, 2, true), lane == LANES - 1);
	pccl_session_destroy(session);
}

static void of_who_does_not_join_nothing_is_told(void **state)
{
	struct pccl_session *session = new_session();
	struct pccl_member member = {.uuid = {{1}}};

	(void)state;
	meet(session, &member, 1, PCCL_MEET_PART);
	meet(session, &member, 1, 1);
	meet(session, &member, 1, PCCL_MEET_PART);
	assert_false(pccl_session_met(session, &member.uuid, 1, false));
	assert_false(pccl_session_met(session, &member.uuid, PCCL_MEET_PART, false));
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(newcomer_is_met_when_all_lanes_have_reached_it),
		cmocka_unit_test(of_who_does_not_join_nothing_is_told),
		cmocka_unit_test(lanes_that_speak_of_an_earlier_meeting_are_not_heard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
