#include "lib/lone_session.h"

#include <stdio.h>
#include <string.h>

#include "lib/check.h"

static struct pccl_member members[4] = {{.uuid = {{1}}}, {.uuid = {{2}}}, {.uuid = {{3}}}, {.uuid = {{4}}}};

struct pccl_install install_of(uint32_t epoch, uint32_t count, bool newcomers)
{
	struct pccl_install install;

	memset(&install, 0, sizeof(install));
	install.view.epoch = epoch;
	install.view.lanes = 1;
	install.view.streams = 1;
	install.view.member_count = count;
	install.view.members = members;
	install.newcomers = newcomers;
	snprintf(install.cause, sizeof(install.cause), "rank 3 was lost");
	return install;
}

struct pccl_session *session_in_view(uint32_t count)
{
	const struct pccl_session_config config = {.lanes = 1, .plan = pcclPlanAuto, .policy = pcclPolicyAbort};
	const struct pccl_install install = install_of(1, count, true);
	struct pccl_session *session;

	assert_int_equal(pccl_session_create(&config, &session), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	return session;
}

float input[LONE_ELEMENTS], output[LONE_ELEMENTS];

struct pccl_op_request sum_of(size_t count, uint64_t tag)
{
	const pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	struct pccl_op_request request = {
		.kind = PCCL_ALL_REDUCE, .operation = operation, .input = input, .output = output};

	request.operation.count = count;
	request.operation.tag = tag;
	return request;
}

struct pccl_command *expect(struct pccl_session *session, enum pccl_command_type type)
{
	static struct pccl_command last;
	struct pccl_command *command = pccl_session_poll(session);

	assert_non_null(command);
	assert_int_equal(command->type, type);
	last = *command;
	pccl_command_free(command);
	return &last;
}

void expect_nothing(struct pccl_session *session)
{
	assert_null(pccl_session_poll(session));
}

uint64_t signature_of(struct pccl_op_request request)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op *op;
	uint64_t signature;

	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	signature = op->signature;
	pccl_session_destroy(session);
	return signature;
}

void end_share(struct pccl_session *session, void *cookie, pcclResult_t result)
{
	struct pccl_exec_outcome outcome = {.cookie = cookie, .result = result, .tx_bytes = 10, .rx_bytes = 20};

	snprintf(outcome.detail, sizeof(outcome.detail), "%s", result == pcclSuccess ? "" : "for the test");
	pccl_session_outcome(session, 0, &outcome);
}

struct pccl_op *launched(struct pccl_session *session, struct pccl_op_request request, void **cookie_out)
{
	struct pccl_op *op;

	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	*cookie_out = expect(session, PCCL_COMMAND_LAUNCH)->launch.cookie;
	return op;
}

void freeze(struct pccl_session *session)
{
	pccl_session_freeze(session);
	expect(session, PCCL_COMMAND_FREEZE);
}

pcclResult_t decide(struct pccl_session *session, struct pccl_op_decision *decision)
{
	struct pccl_install install = install_of(2, 2, false);

	install.decision_count = 1;
	install.decisions = decision;
	return pccl_session_install(session, &install, 0);
}
