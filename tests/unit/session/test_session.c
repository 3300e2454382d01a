/* The session by itself: what it refuses, what it commands, and what a view change makes of ops. The lanes are played
 * by the test, without executors. */
#include "session/session.h"

#include <pccl.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/lone_session.h"

/* Launches the request, looks at what the lane is told, and lets the op end. */
static struct pccl_exec_launch launch_of(struct pccl_session *session, struct pccl_op_request request)
{
	struct pccl_exec_launch launch;
	struct pccl_op *op;

	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	launch = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	end_share(session, launch.cookie, pcclSuccess);
	expect(session, PCCL_COMMAND_ENDED);
	pccl_session_release(session, op);
	return launch;
}

static void an_op_is_launched_ends_and_is_released(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	assert_ptr_equal(pccl_session_find(session, 7), op);
	end_share(session, cookie, pcclSuccess);
	assert_ptr_equal(expect(session, PCCL_COMMAND_ENDED)->op, op);
	assert_true(op->ended);
	assert_int_equal(op->result, pcclSuccess);
	assert_int_equal(op->info.tx_bytes, 10);
	assert_int_equal(op->info.participants_max, 2);
	assert_int_equal(op->info.epoch, 1);
	pccl_session_release(session, op);
	assert_true(pccl_session_idle(session));
	pccl_session_destroy(session);
}

static void a_tag_in_use_and_a_world_of_one_are_refused(void **state)
{
	struct pccl_session *session = session_in_view(2), *alone = session_in_view(1);
	struct pccl_op_request request = sum_of(1, 7);
	struct pccl_op *op;

	(void)state;
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
	assert_int_equal(pccl_session_launch(alone, &request, &op), pcclTooFewPeers);
	request.kind = PCCL_TRANSFER;
	request.operation.root = 1;
	assert_int_equal(pccl_session_launch(alone, &request, &op), pcclTooFewPeers);
	request.operation.datatype = (pcclDataType_t)99;
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
	pccl_session_destroy(session);
	pccl_session_destroy(alone);
}

/* What the operation leaves open the communicator decides. */
static void an_op_may_choose_compression_for_itself(void **state)
{
	const pcclZstd_t choices[] = {pcclZstdDefault, pcclZstdOff, pcclZstdAuto, pcclZstdOn};
	const enum pccl_packing expected[] = {PCCL_PACK_CHOOSE, PCCL_PACK_NEVER, PCCL_PACK_CHOOSE, PCCL_PACK_ALWAYS};
	struct pccl_session_config config = {.lanes = 1, .zstd = pcclZstdAuto};
	const struct pccl_install install = install_of(1, 2, true);
	struct pccl_session *session;
	struct pccl_op *op;
	unsigned i;

	(void)state;
	assert_int_equal(pccl_session_create(&config, &session), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	for (i = 0; i < 4; i++) {
		struct pccl_op_request request = sum_of(1, i);

		request.operation.zstd = choices[i];
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
		assert_int_equal(expect(session, PCCL_COMMAND_LAUNCH)->launch.packing, expected[i]);
	}
	pccl_session_destroy(session);
}

static void sequences_count_up_per_tag_and_start_again_when_newcomers_join(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_install install;
	struct pccl_op *op;
	void *cookie;
	int round;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	for (round = 0; round < 4; round++) {
		if (round == 3) {
			install = install_of(2, 3, true);
			assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
			expect(session, PCCL_COMMAND_INSTALL);
		}
		op = launched(session, sum_of(1, 5), &cookie);
		assert_int_equal(op->key.sequence, round == 3 ? 0 : round);
		end_share(session, cookie, pcclSuccess);
		expect(session, PCCL_COMMAND_ENDED);
		pccl_session_release(session, op);
	}
	pccl_session_destroy(session);
}

static void an_aborted_op_ends_with_connection_lost(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_ABORT};
	struct pccl_install install = install_of(2, 2, false);
	const struct pccl_command *command;
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	freeze(session);
	decision.signature = op->signature;
	install.decision_count = 1;
	install.decisions = &decision;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	command = expect(session, PCCL_COMMAND_CANCEL);
	assert_ptr_equal(command->attempt, cookie);
	assert_int_equal(command->result, pcclRankConnectionLost);
	assert_true(command->restore);
	expect(session, PCCL_COMMAND_INSTALL);
	end_share(session, cookie, pcclRankConnectionLost);
	expect_nothing(session);
	pccl_session_unpin(session, cookie);
	expect(session, PCCL_COMMAND_ENDED);
	assert_int_equal(op->result, pcclRankConnectionLost);
	pccl_session_destroy(session);
}

static void a_retried_op_is_launched_again_in_the_new_view(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_RETRY};
	struct pccl_install install = install_of(2, 2, false);
	struct pccl_op *op;
	void *first, *second;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &first);
	freeze(session);
	decision.signature = op->signature;
	install.decision_count = 1;
	install.decisions = &decision;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_CANCEL);
	expect(session, PCCL_COMMAND_INSTALL);
	second = expect(session, PCCL_COMMAND_LAUNCH)->launch.cookie;
	assert_ptr_not_equal(first, second);
	/* The new attempt ends before the old one is gone: the op ends with both. */
	end_share(session, second, pcclSuccess);
	assert_false(op->ended);
	end_share(session, first, pcclRankConnectionLost);
	pccl_session_unpin(session, first);
	expect(session, PCCL_COMMAND_ENDED);
	assert_int_equal(op->result, pcclSuccess);
	assert_int_equal(op->info.participants_max, 2);
	pccl_session_destroy(session);
}

static void an_op_that_was_given_up_before_it_was_launched_here_fails_at_launch(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_ABORT};
	struct pccl_install install = install_of(2, 2, false);
	struct pccl_op_request request = sum_of(100, 7);
	struct pccl_op *op;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	decision.signature = signature_of(request);
	install.decision_count = 1;
	install.decisions = &decision;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	expect(session, PCCL_COMMAND_ENDED);
	assert_int_equal(op->result, pcclRankConnectionLost);
	pccl_session_release(session, op);
	/* Its tag's next op is another one. */
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	expect(session, PCCL_COMMAND_LAUNCH);
	pccl_session_destroy(session);
}

static void an_op_launched_during_a_flush_waits_for_the_view(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_install install = install_of(2, 2, false);
	struct pccl_op_request request = sum_of(100, 7);
	struct pccl_op_report *reports;
	struct pccl_op *op;
	uint32_t count;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	expect_nothing(session);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 0);
	pccl_op_reports_destroy(reports, count);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	expect(session, PCCL_COMMAND_LAUNCH);
	pccl_session_destroy(session);
}

static void an_op_that_failed_by_itself_is_reported_so_that_nobody_redoes_it(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_install install = install_of(2, 2, false);
	struct pccl_op_report *reports;
	struct pccl_op *op;
	uint32_t count;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	end_share(session, cookie, pcclMismatch);
	expect(session, PCCL_COMMAND_CANCEL);
	pccl_session_unpin(session, cookie);
	expect(session, PCCL_COMMAND_ENDED);
	pccl_session_release(session, op);
	freeze(session);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 1);
	assert_int_equal(reports[0].tag, 7);
	assert_int_equal(reports[0].policy, PCCL_POLICY_MISMATCHED);
	assert_int_equal(reports[0].signature, signature_of(sum_of(100, 7)));
	assert_false(reports[0].complete);
	pccl_op_reports_destroy(reports, count);
	/* Once it has been decided there is no more to say. */
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 0);
	pccl_op_reports_destroy(reports, count);
	pccl_session_destroy(session);
}

/* Its lanes have not let go of it yet. */
static void an_op_that_fails_by_itself_during_a_flush_is_reported_too(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_report *reports;
	uint32_t count;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	launched(session, sum_of(100, 7), &cookie);
	pccl_session_freeze(session);
	expect(session, PCCL_COMMAND_FREEZE);
	end_share(session, cookie, pcclMismatch);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 1);
	assert_int_equal(reports[0].tag, 7);
	assert_int_equal(reports[0].policy, PCCL_POLICY_MISMATCHED);
	pccl_op_reports_destroy(reports, count);
	pccl_session_destroy(session);
}

static void the_last_of_a_group_ends_what_would_be_redone(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_RETRY};
	struct pccl_install install = install_of(2, 1, false);
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	freeze(session);
	decision.signature = op->signature;
	install.decision_count = 1;
	install.decisions = &decision;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	assert_int_equal(expect(session, PCCL_COMMAND_CANCEL)->result, pcclTooFewPeers);
	end_share(session, cookie, pcclTooFewPeers);
	pccl_session_unpin(session, cookie);
	assert_true(op->ended);
	assert_int_equal(op->result, pcclTooFewPeers);
	pccl_session_destroy(session);
}

static void input_in_place_is_saved_unless_it_is_given_up(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_request request = sum_of(100, 1);

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	request.operation.plan = pcclPlanDirect;
	assert_null(launch_of(session, request).undo);
	request.output = input;
	assert_non_null(launch_of(session, request).undo);
	request.operation.input = pcclInputGiveUp;
	assert_null(launch_of(session, request).undo);
	request.operation.plan = pcclPlanRing;
	assert_null(launch_of(session, request).undo);
	/* Everybody sends its input on while results come into its place. */
	request.operation.plan = pcclPlanOneshot;
	assert_non_null(launch_of(session, request).undo);
	pccl_session_destroy(session);
}

static void what_has_given_its_input_up_is_never_done_again(void **state)
{
	const pcclFailurePolicy_t again[] = {pcclPolicyRetry, pcclPolicyRepair};
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_request request = sum_of(100, 1);
	struct pccl_op_report *reports;
	struct pccl_op *op;
	uint32_t count;
	void *cookie;
	int i;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	request.operation.input = pcclInputGiveUp;
	for (i = 0; i < 2; i++) {
		request.operation.failure_policy = again[i];
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
		assert_non_null(strstr(pccl_fail_text(), "pcclPolicyAbort"));
	}
	request.operation.failure_policy = pcclPolicyDefault;
	launched(session, request, &cookie);
	request.operation.tag = 2;
	request.output = input;
	launched(session, request, &cookie);
	freeze(session);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 2);
	for (i = 0; i < 2; i++)
		assert_int_equal(reports[i].policy, reports[i].tag == 2 ? PCCL_POLICY_SPENT : pcclPolicyAbort);
	pccl_op_reports_destroy(reports, count);
	pccl_session_destroy(session);
}

static void an_ended_session_fails_running_and_later_ops(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op_request request = sum_of(100, 8);
	struct pccl_op *op, *later;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	pccl_session_end(session, pcclEvicted, "went on without you");
	assert_int_equal(expect(session, PCCL_COMMAND_CANCEL)->result, pcclEvicted);
	end_share(session, cookie, pcclEvicted);
	pccl_session_unpin(session, cookie);
	assert_int_equal(op->result, pcclEvicted);
	assert_int_equal(pccl_session_launch(session, &request, &later), pcclEvicted);
	pccl_session_destroy(session);
}

/* The lane has ended its share and not yet taken the command that cancels it. */
static void a_deadline_finds_no_lane_to_ask_when_all_have_ended(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	pccl_session_end(session, pcclAborted, "for the test");
	end_share(session, cookie, pcclSuccess);
	assert_false(op->ended);
	assert_false(pccl_session_expire(session, op));
	expect(session, PCCL_COMMAND_CANCEL);
	pccl_session_unpin(session, cookie);
	expect(session, PCCL_COMMAND_ENDED);
	assert_true(op->ended);
	pccl_session_release(session, op);
	pccl_session_destroy(session);
}

/* More than an op may have is the caller's mistake, not a reason to end the process. */
static void an_op_beyond_the_largest_is_refused_in_words(void **state)
{
	static const size_t counts[] = {((size_t)1 << 37) + 1, (size_t)1 << 49, SIZE_MAX / 4, SIZE_MAX};
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_request request = sum_of(0, 7);
	struct pccl_op *op;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		request.operation.count = counts[i];
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
		assert_non_null(strstr(pccl_fail_text(), "may have 512 GiB"));
	}
	request.kind = PCCL_ALL_GATHER;
	request.operation.count = ((size_t)1 << 37) / 3 + 1; /* of each of three ranks */
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
	assert_true(pccl_session_idle(session));
	pccl_session_destroy(session);
}

/* The lanes hear of it, in every view until it ends; and ops that are launched meanwhile count it. */
static void an_update_is_told_to_the_lanes_in_every_view(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_install next = install_of(2, 2, false);
	const struct pccl_op_key missed = {9, 0};
	struct pccl_op_request sum = sum_of(100, 9);
	struct pccl_op *op;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	pccl_session_end_joint(session, 4);
	assert_int_equal(pccl_session_missed(session, &missed), 0);
	pccl_session_begin_update(session);
	assert_int_equal(expect(session, PCCL_COMMAND_UPDATE)->joint, 5);
	assert_int_equal(pccl_session_missed(session, &missed), 5);
	assert_int_equal(pccl_session_install(session, &next, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	assert_int_equal(expect(session, PCCL_COMMAND_UPDATE)->joint, 5);
	assert_int_equal(pccl_session_launch(session, &sum, &op), pcclSuccess);
	assert_int_equal(expect(session, PCCL_COMMAND_LAUNCH)->launch.joint, 5);
	assert_int_equal(pccl_session_missed(session, &missed), 0); /* by another thread, at last */
	pccl_session_end_joint(session, 4);
	sum.operation.tag = 10;
	assert_int_equal(pccl_session_launch(session, &sum, &op), pcclSuccess);
	assert_int_equal(expect(session, PCCL_COMMAND_LAUNCH)->launch.joint, 4);
	pccl_session_destroy(session);
}

/* By a mismatch, say, on one lane, while a START of it is still on its way to another. */
static void an_op_that_has_ended_here_is_not_missed(void **state)
{
	struct pccl_session *session = session_in_view(2);
	const struct pccl_op_key ended = {9, 0}, next = {9, 1};
	struct pccl_exec_outcome outcome = {.result = pcclSuccess};
	struct pccl_op_request sum = sum_of(100, 9);
	struct pccl_op *op;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	assert_int_equal(pccl_session_launch(session, &sum, &op), pcclSuccess);
	outcome.cookie = expect(session, PCCL_COMMAND_LAUNCH)->launch.cookie;
	pccl_session_outcome(session, 0, &outcome);
	expect(session, PCCL_COMMAND_ENDED);
	pccl_session_release(session, op);
	pccl_session_begin_update(session);
	expect(session, PCCL_COMMAND_UPDATE);
	assert_int_equal(pccl_session_missed(session, &ended), 0);
	assert_int_equal(pccl_session_missed(session, &next), 1);
	pccl_session_destroy(session);
}

/* They are its answer. */
static void newcomers_end_an_update(void **state)
{
	struct pccl_session *session = session_in_view(2);
	const struct pccl_install next = install_of(2, 3, true);
	const struct pccl_op_key missed = {9, 0};

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	pccl_session_end_joint(session, 4);
	pccl_session_begin_update(session);
	expect(session, PCCL_COMMAND_UPDATE);
	assert_int_equal(pccl_session_install(session, &next, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	expect_nothing(session);
	assert_int_equal(pccl_session_missed(session, &missed), 0);
	pccl_session_destroy(session);
}

static void what_freezes_ends_or_asks_needs_no_memory(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	check_fail_allocation(1);
	assert_true(pccl_session_expire(session, op));
	pccl_session_freeze(session);
	pccl_session_end(session, pcclAborted, "for the test");
	assert_ptr_equal(expect(session, PCCL_COMMAND_EXPIRE)->attempt, cookie);
	expect(session, PCCL_COMMAND_FREEZE);
	assert_string_equal(expect(session, PCCL_COMMAND_CANCEL)->detail, "for the test");
	pccl_session_unpin(session, cookie);
	end_share(session, cookie, pcclAborted);
	pccl_session_unpin(session, cookie);
	assert_ptr_equal(expect(session, PCCL_COMMAND_ENDED)->op, op);
	assert_false(check_allocation_failed());
	check_fail_allocation(0);
	assert_int_equal(op->result, pcclAborted);
	pccl_session_release(session, op);
	pccl_session_destroy(session);
}

static void an_op_without_memory_fails_and_no_lane_hears_of_it(void **state)
{
	struct pccl_op_request request = sum_of(100, 7);
	size_t nth = 0;
	bool failed = true;

	(void)state;
	while (failed) {
		struct pccl_session *session = session_in_view(2);
		pcclResult_t result;
		struct pccl_op *op;

		expect(session, PCCL_COMMAND_INSTALL);
		check_fail_allocation(++nth);
		result = pccl_session_launch(session, &request, &op);
		failed = check_allocation_failed();
		check_fail_allocation(0);
		if (failed && result == pcclSuccess) {
			assert_ptr_equal(expect(session, PCCL_COMMAND_ENDED)->op, op);
			assert_int_equal(op->result, pcclOutOfMemory);
		}
		if (failed)
			expect_nothing(session);
		pccl_session_destroy(session);
	}
	assert_true(nth > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_op_is_launched_ends_and_is_released),
		cmocka_unit_test(a_tag_in_use_and_a_world_of_one_are_refused),
		cmocka_unit_test(a_deadline_finds_no_lane_to_ask_when_all_have_ended),
		cmocka_unit_test(an_op_beyond_the_largest_is_refused_in_words),
		cmocka_unit_test(an_op_may_choose_compression_for_itself),
		cmocka_unit_test(sequences_count_up_per_tag_and_start_again_when_newcomers_join),
		cmocka_unit_test(an_aborted_op_ends_with_connection_lost),
		cmocka_unit_test(a_retried_op_is_launched_again_in_the_new_view),
		cmocka_unit_test(an_op_that_was_given_up_before_it_was_launched_here_fails_at_launch),
		cmocka_unit_test(an_op_launched_during_a_flush_waits_for_the_view),
		cmocka_unit_test(an_op_that_failed_by_itself_is_reported_so_that_nobody_redoes_it),
		cmocka_unit_test(an_op_that_fails_by_itself_during_a_flush_is_reported_too),
		cmocka_unit_test(the_last_of_a_group_ends_what_would_be_redone),
		cmocka_unit_test(input_in_place_is_saved_unless_it_is_given_up),
		cmocka_unit_test(what_has_given_its_input_up_is_never_done_again),
		cmocka_unit_test(an_ended_session_fails_running_and_later_ops),
		cmocka_unit_test(an_update_is_told_to_the_lanes_in_every_view),
		cmocka_unit_test(an_op_that_has_ended_here_is_not_missed),
		cmocka_unit_test(newcomers_end_an_update),
		cmocka_unit_test(what_freezes_ends_or_asks_needs_no_memory),
		cmocka_unit_test(an_op_without_memory_fails_and_no_lane_hears_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
