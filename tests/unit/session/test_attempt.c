/* Which lanes an attempt is launched on. */
#include "lib/check.h"
#include "lib/lone_session.h"

static void a_small_op_stays_on_one_lane(void **state)
{
	const struct pccl_session_config config = {.lanes = 3, .one_lane_bytes = 1024};
	struct pccl_op_request small = sum_of(256, 6), large = sum_of(257, 6);
	struct pccl_install install = install_of(1, 2, true);
	struct pccl_command *command;
	struct pccl_session *session;
	struct pccl_op *op;

	(void)state;
	install.view.lanes = 3;
	assert_int_equal(pccl_session_create(&config, &session), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	while ((command = pccl_session_poll(session)) != NULL) /* the lanes install the view */
		pccl_command_free(command);
	assert_int_equal(pccl_session_launch(session, &small, &op), pcclSuccess);
	command = expect(session, PCCL_COMMAND_LAUNCH);
	assert_int_equal(command->lane, 0);
	assert_true(command->launch.geometry.on_one_lane);
	end_share(session, command->launch.cookie, pcclSuccess);
	expect(session, PCCL_COMMAND_ENDED); /* no other lane was told anything */
	pccl_session_release(session, op);
	assert_int_equal(pccl_session_launch(session, &large, &op), pcclSuccess);
	assert_false(expect(session, PCCL_COMMAND_LAUNCH)->launch.geometry.on_one_lane);
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_small_op_stays_on_one_lane),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
