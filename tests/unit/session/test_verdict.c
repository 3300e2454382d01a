/* Verdicts that can't be: what a session makes of the lies of a member. */
#include "session/session.h"

#include <pccl.h>
#include <string.h>

#include "lib/check.h"

static struct pccl_member members[4];
static float input[1024], output[1024];

static struct pccl_install install_of(uint32_t epoch, uint32_t count)
{
	struct pccl_install install;

	memset(&install, 0, sizeof(install));
	install.view.epoch = epoch;
	install.view.lanes = 1;
	install.view.streams = 1;
	install.view.member_count = count;
	install.view.members = members;
	install.newcomers = epoch == 1;
	return install;
}

/* The lanes have no executors: nothing is held, and what they are told is not carried out. */
static void drain(struct pccl_session *session)
{
	struct pccl_command *command;

	while ((command = pccl_session_poll(session)) != NULL)
		pccl_command_free(command);
}

static struct pccl_session *session_in_view(uint32_t count)
{
	const struct pccl_session_config config = {.lanes = 1, .plan = pcclPlanAuto, .policy = pcclPolicyAbort};
	const struct pccl_install install = install_of(1, count);
	struct pccl_session *session;

	assert_int_equal(pccl_session_create(&config, &session), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	drain(session);
	return session;
}

static struct pccl_op *launch(struct pccl_session *session, uint64_t tag)
{
	const pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	struct pccl_op_request request = {PCCL_ALL_REDUCE, operation, input, output};
	struct pccl_op *op;

	request.operation.count = 100;
	request.operation.tag = tag;
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	drain(session);
	return op;
}

/* The view had three members when the op was launched. */
static void a_repair_tells_of_no_more_participants_than_can_be(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op *op = launch(session, 7);
	uint64_t nothing = 0;
	uint64_t *holders[2] = {&nothing, &nothing};
	struct pccl_op_decision decision = {.tag = 7,
					    .verdict = PCCL_VERDICT_REPAIR,
					    .participants_min = 1,
					    .participants_max = UINT32_MAX,
					    .segment_count = op->geometry.segment_count,
					    .holder_count = 2,
					    .holders = holders};
	struct pccl_install install = install_of(2, 2);

	(void)state;
	pccl_session_freeze(session);
	install.decision_count = 1;
	install.decisions = &decision;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	assert_int_equal(op->info.participants_max, 3);
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_repair_tells_of_no_more_participants_than_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
