/* Parts and transfers in the table of ops: what is refused, under which tag they go, and what a view change does. */
#include <string.h>

#include "base/fail.h"
#include "lib/check.h"
#include "lib/lone_session.h"
#include "session/session_internal.h"

/* Rank 0, as `session_in_view` has it, sends or receives. */
static struct pccl_op_request transfer_of(uint32_t rank, bool is_sender, uint64_t tag, pcclFailurePolicy_t policy)
{
	struct pccl_op_request request = sum_of(100, tag);

	request.kind = PCCL_TRANSFER;
	request.is_sender = is_sender;
	request.operation.root = rank;
	request.operation.failure_policy = policy;
	return request;
}

static void expect_refusal(struct pccl_session *session, struct pccl_op_request request, const char *words)
{
	struct pccl_op *op;

	assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), words));
}

static void what_can_not_be_moved_is_refused_in_words(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_request request = sum_of(100, 7);
	const size_t differ[] = {1, 2, 3}, many[] = {1, (size_t)1 << 38, 1};

	(void)state;
	expect_refusal(session, transfer_of(0, true, 7, pcclPolicyAbort), "rank 0 is not another one");
	expect_refusal(session, transfer_of(3, false, 7, pcclPolicyAbort), "rank 3 is not another one");
	request.kind = PCCL_ALL_TO_ALL;
	request.sends = differ;
	expect_refusal(session, request, "sends 1 elements to itself and receives 100");
	request.sends = many;
	request.receives = differ;
	expect_refusal(session, request, "too many between two members of a world of 3");
	request.sends = differ;
	request.output = NULL;
	expect_refusal(session, request, "recvbuff is NULL for 6 elements");
	request.kind = PCCL_GATHER;
	request.operation.root = 3;
	expect_refusal(session, request, "root 3");
	assert_true(pccl_session_idle(session));
	pccl_session_destroy(session);
}

static void sender_receiver_and_tag_together_are_the_tag(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op *ops[5], *op;
	struct pccl_op_request request;
	uint32_t i, j;

	(void)state;
	for (i = 0; i < 5; i++) {
		request = i == 4 ? sum_of(100, 7) : transfer_of(1 + i / 2, i % 2 == 0, 7, pcclPolicyAbort);
		assert_int_equal(pccl_session_launch(session, &request, &ops[i]), pcclSuccess);
		for (j = 0; j < i; j++)
			assert_true(ops[i]->key.tag != ops[j]->key.tag);
		assert_ptr_equal(pccl_session_find(session, ops[i]->key.tag), ops[i]);
	}
	assert_int_equal(ops[4]->key.tag, 7);
	request = transfer_of(1, true, 7, pcclPolicyAbort);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "tag 7 is in use"));
	pccl_session_destroy(session);
}

/* Both ends name the sender, so that the group knows whether it can be redone. */
static void a_transfer_reports_its_sender_and_is_redone_with_another_rank(void **state)
{
	struct pccl_session *session = session_in_view(4);
	struct pccl_install install = install_of(2, 4, false);
	struct pccl_op_decision decisions[2] = {{.verdict = PCCL_VERDICT_RETRY}, {.verdict = PCCL_VERDICT_RETRY}};
	struct pccl_member members[2];
	struct pccl_op_report *reports;
	struct pccl_op *sent, *received;
	struct pccl_exec_launch launch;
	uint32_t count, first;
	void *cookies[2];

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	sent = launched(session, transfer_of(3, true, 7, pcclPolicyRepair), &cookies[0]);
	received = launched(session, transfer_of(2, false, 7, pcclPolicyRetry), &cookies[1]);
	freeze(session);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 2);
	for (first = 0; first < 2; first++)
		assert_int_equal(reports[first].root.data[0], reports[first].tag == sent->key.tag ? 1 : 3);
	pccl_op_reports_destroy(reports, count);
	/* Only the sender and its receiver are left. */
	members[0] = install.view.members[0];
	members[1] = install.view.members[3];
	install.view.members = members;
	install.view.member_count = 2;
	first = sent->key.tag < received->key.tag ? 0 : 1;
	decisions[first].tag = sent->key.tag;
	decisions[first].signature = sent->signature;
	decisions[1 - first].tag = received->key.tag;
	decisions[1 - first].signature = received->signature;
	install.decision_count = 2;
	install.decisions = decisions;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_CANCEL);
	expect(session, PCCL_COMMAND_CANCEL);
	expect(session, PCCL_COMMAND_INSTALL);
	launch = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	assert_int_equal(launch.key.tag, sent->key.tag);
	assert_int_equal(launch.partner, 1);
	assert_true(received->settled && received->result == pcclRankConnectionLost);
	assert_non_null(strstr(received->detail, "other end of a receive was lost"));
	pccl_session_destroy(session);
}

/* Both fail, but neither for the other one. */
static void a_late_send_and_a_late_receive_are_two(void **state)
{
	struct pccl_session *session = session_in_view(3);
	const struct pccl_install install = install_of(2, 2, false);
	struct pccl_op *ops[2];
	uint32_t i;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	(void)pccl_session_collect(session, 0, NULL);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	for (i = 0; i < 2; i++) {
		struct pccl_op_request request = transfer_of(1, i == 0, 7, pcclPolicyAbort);

		request.operation.epoch = 1;
		assert_int_equal(pccl_session_launch(session, &request, &ops[i]), pcclSuccess);
	}
	assert_true(ops[0]->key.tag != ops[1]->key.tag);
	pccl_session_destroy(session);
}

/* Of others' transfers nobody keeps notes: they would stay for ever. */
static void a_verdict_is_noted_by_who_may_launch_the_transfer(void **state)
{
	struct pccl_session *both[2] = {session_in_view(3), session_in_view(3)};
	struct pccl_op_decision decision = {.verdict = PCCL_VERDICT_ABORT};
	struct pccl_op_request request = transfer_of(1, false, 7, pcclPolicyAbort), sum = sum_of(100, 12345);
	struct pccl_install next = install_of(3, 2, false);
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(both[0], PCCL_COMMAND_INSTALL);
	expect(both[1], PCCL_COMMAND_INSTALL);
	op = launched(both[0], request, &cookie);
	decision.tag = op->key.tag;
	decision.signature = op->signature;
	freeze(both[1]);
	assert_int_equal(decide(both[1], &decision), pcclSuccess);
	expect(both[1], PCCL_COMMAND_INSTALL);
	assert_int_equal(pccl_session_launch(both[1], &request, &op), pcclSuccess);
	expect(both[1], PCCL_COMMAND_ENDED);
	assert_int_equal(op->result, pcclRankConnectionLost);
	/* What is between two others leaves nothing behind: the tag is free for a call of this one's. */
	decision.tag = 12345;
	decision.signature ^= 2;
	next.decision_count = 1;
	next.decisions = &decision;
	assert_int_equal(pccl_session_install(both[1], &next, 0), pcclSuccess);
	expect(both[1], PCCL_COMMAND_INSTALL);
	assert_int_equal(pccl_session_launch(both[1], &sum, &op), pcclSuccess);
	expect(both[1], PCCL_COMMAND_LAUNCH);
	pccl_session_destroy(both[0]);
	pccl_session_destroy(both[1]);
}

/* Launched while lanes stood still: in another view its counts are of nobody. All are told. */
static void parts_are_of_the_view_in_force_at_the_call(void **state)
{
	struct pccl_session *session = session_in_view(3);
	const struct pccl_install same = install_of(2, 3, false), smaller = install_of(3, 2, false);
	struct pccl_op_request request = sum_of(100, 7);
	struct pccl_exec_launch launch;
	struct pccl_op *op;
	void *cookie;

	(void)state;
	request.kind = PCCL_ALL_TO_ALL;
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &same, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	launch = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	assert_int_equal(launch.signature.root, 0);
	assert_int_equal(launch.geometry.part_count, 5);
	cookie = launch.cookie;
	end_share(session, cookie, pcclSuccess);
	expect(session, PCCL_COMMAND_ENDED);
	pccl_session_release(session, op);
	pccl_session_destroy(session);
	session = session_in_view(3);
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &smaller, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	launch = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	assert_true(launch.signature.root == PCCL_ROOT_LOST);
	assert_int_equal(launch.geometry.segment_count, 0);
	pccl_session_destroy(session);
}

/* Texts are for who knows tags and ranks, and not what a transfer's come to. */
static void an_op_is_called_what_its_caller_calls_it(void **state)
{
	struct pccl_op_request state_call = sum_of(4, 9);
	struct pccl_session *session = session_in_view(3);
	char text[200];
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	state_call.name = "pcclStateCheck()";
	assert_string_equal(launched(session, sum_of(4, 8), &cookie)->name, "tag 8");
	assert_string_equal(launched(session, transfer_of(2, true, 7, pcclPolicyAbort), &cookie)->name,
			    "a send to rank 2, tag 7");
	assert_string_equal(launched(session, transfer_of(1, false, 7, pcclPolicyAbort), &cookie)->name,
			    "a receive from rank 1, tag 7");
	assert_string_equal(launched(session, state_call, &cookie)->name, "pcclStateCheck()");
	assert_string_equal(pccl_session_mismatch_text(pccl_session_find(session, 8), text, sizeof(text)),
			    "members launched different operations under tag 8, this peer all-reduce of 4 float32");
	pccl_session_destroy(session);
}

/* A transfer has to do with one other member, any other op with all. */
static void what_waits_for_missed_members_is_known(void **state)
{
	const uint64_t nobody = 0, second = 2, third = 4;
	struct pccl_session *session = session_in_view(3);
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	(void)launched(session, transfer_of(2, true, 7, pcclPolicyAbort), &cookie);
	assert_int_equal(pccl_session_blocked(session, &nobody), 0);
	assert_int_equal(pccl_session_blocked(session, &second), 0);
	assert_int_equal(pccl_session_blocked(session, &third), 1);
	(void)launched(session, sum_of(4, 8), &cookie);
	(void)launched(session, sum_of(4, 9), &cookie);
	assert_int_equal(pccl_session_blocked(session, &nobody), 0);
	assert_int_equal(pccl_session_blocked(session, &second), 2);
	assert_int_equal(pccl_session_blocked(session, &third), 1);
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_can_not_be_moved_is_refused_in_words),
		cmocka_unit_test(sender_receiver_and_tag_together_are_the_tag),
		cmocka_unit_test(a_transfer_reports_its_sender_and_is_redone_with_another_rank),
		cmocka_unit_test(parts_are_of_the_view_in_force_at_the_call),
		cmocka_unit_test(a_late_send_and_a_late_receive_are_two),
		cmocka_unit_test(a_verdict_is_noted_by_who_may_launch_the_transfer),
		cmocka_unit_test(an_op_is_called_what_its_caller_calls_it),
		cmocka_unit_test(what_waits_for_missed_members_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
