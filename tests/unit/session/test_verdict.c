/* Verdicts that can't be, or are about another op: honest members have launched different things, or one lies. */
#include "session/session_internal.h"

#include <pccl.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/lone_session.h"

static void every_difference_between_calls_shows_in_the_signature(void **state)
{
	struct pccl_op_request requests[8];
	unsigned i, j;

	(void)state;
	for (i = 0; i < 8; i++)
		requests[i] = sum_of(64, 7);
	requests[1].kind = PCCL_BARRIER;
	requests[2].operation.count = 63;
	requests[3].operation.datatype = pcclInt32;
	requests[4].operation.op = pcclMax;
	requests[5].operation.failure_policy = pcclPolicyRepair;
	requests[6].operation.codec = pcclQuantBF16;
	requests[7].operation.codec = pcclQuantBF16;
	requests[7].operation.codec_down = pcclQuantPlain;
	for (i = 0; i < 8; i++)
		for (j = 0; j < i; j++)
			assert_int_not_equal(signature_of(requests[i]), signature_of(requests[j]));
	requests[0].operation.plan = pcclPlanRing; /* depends on the view */
	assert_int_equal(signature_of(requests[0]), signature_of(sum_of(64, 8)));
}

/* Others have given up what they launched under this name: it was something else. */
static void a_final_verdict_about_another_op_is_a_mismatch_at_launch(void **state)
{
	const uint8_t verdicts[] = {PCCL_VERDICT_ABORT, PCCL_VERDICT_EXPIRE, PCCL_VERDICT_MISMATCH};
	struct pccl_op_request request = sum_of(100, 7);
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct pccl_op_decision decision = {.tag = 7, .verdict = verdicts[i], .signature = 2};
		struct pccl_session *session = session_in_view(3);
		struct pccl_op *op;

		expect(session, PCCL_COMMAND_INSTALL);
		freeze(session);
		assert_int_equal(decide(session, &decision), pcclSuccess);
		expect(session, PCCL_COMMAND_INSTALL);
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
		expect(session, PCCL_COMMAND_ENDED);
		assert_int_equal(op->result, pcclMismatch);
		assert_non_null(strstr(op->detail, "tag 7"));
		assert_non_null(strstr(op->detail, "100 float32"));
		pccl_session_destroy(session);
	}
}

static struct pccl_op_request broadcast_of(uint32_t root, pcclFailurePolicy_t policy)
{
	struct pccl_op_request request = sum_of(100, 7);

	request.kind = PCCL_BROADCAST;
	request.operation.root = root;
	request.operation.failure_policy = policy;
	return request;
}

/* Its rank, too: a member before it was lost. */
static void a_broadcast_reports_its_root_and_its_policy_and_is_redone(void **state)
{
	struct pccl_session *session = session_in_view(4);
	struct pccl_install install = install_of(2, 3, false);
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_RETRY};
	struct pccl_op_report *reports;
	struct pccl_exec_launch launch;
	uint32_t count;
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, broadcast_of(3, pcclPolicyRepair), &cookie);
	freeze(session);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 1);
	assert_int_equal(reports[0].policy, pcclPolicyRepair);
	assert_false(reports[0].repairable);
	assert_int_equal(reports[0].root.data[0], 4);
	pccl_op_reports_destroy(reports, count);
	install.view.members++; /* without the first */
	install.decision_count = 1;
	install.decisions = &decision;
	decision.signature = op->signature;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_CANCEL);
	expect(session, PCCL_COMMAND_INSTALL);
	launch = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	assert_int_equal(launch.signature.root, 2);
	pccl_session_destroy(session);
}

/* Launched while lanes stood still, so no flush knows of it: it is launched for the others to hear of it. */
static void a_broadcast_that_waited_for_a_view_without_its_root_says_so(void **state)
{
	struct pccl_session *session = session_in_view(4);
	const struct pccl_install install = install_of(2, 3, false);
	struct pccl_op_request request = broadcast_of(3, pcclPolicyRetry);
	struct pccl_op_report *reports;
	struct pccl_exec_launch launch;
	struct pccl_op *op;
	uint32_t count;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	launch = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	assert_int_equal(launch.signature.root, PCCL_ROOT_LOST);
	end_share(session, launch.cookie, pcclRankConnectionLost);
	assert_int_equal(op->result, pcclRankConnectionLost);
	/* Who has not launched it yet must not find it open in the next view. */
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 1);
	assert_int_equal(reports[0].policy, PCCL_POLICY_FAILED);
	pccl_op_reports_destroy(reports, count);
	pccl_session_destroy(session);
}

/* Whether it ended by itself before the view changed, or was decided then. */
static void survivors_tell_the_same_of_an_op_that_a_view_change_ends(void **state)
{
	const uint8_t verdicts[] = {PCCL_VERDICT_COMMIT, PCCL_VERDICT_ABORT};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct pccl_session *session = session_in_view(3);
		struct pccl_op_decision decision = {.tag = 7, .verdict = verdicts[i]};
		struct pccl_command *command;
		struct pccl_op *op;
		void *cookie;

		expect(session, PCCL_COMMAND_INSTALL);
		op = launched(session, sum_of(100, 7), &cookie);
		freeze(session);
		decision.signature = op->signature;
		assert_int_equal(decide(session, &decision), pcclSuccess);
		while ((command = pccl_session_poll(session)) != NULL) /* it lies in what is about to go */
			pccl_command_free(command);
		end_share(session, cookie, i == 0 ? pcclSuccess : pcclRankConnectionLost);
		pccl_session_unpin(session, cookie);
		assert_true(op->ended);
		assert_int_equal(op->info.epoch, i == 0 ? 1 : 2);
		assert_int_equal(op->info.participants_min, i == 0 ? 3 : 0);
		assert_int_equal(op->info.participants_max, i == 0 ? 3 : 0);
		pccl_session_destroy(session);
	}
}

/* Its bitmaps have another size, and segments lie elsewhere: the op is launched from its beginning, as a plain one, so
 * that START tells everybody. `request` may be launched before the view is there, or after. */
static void check_foreign_repair(struct pccl_op_request request, uint32_t segments, bool early)
{
	uint64_t all[] = {UINT64_MAX}, *holders[] = {all, NULL};
	struct pccl_op_decision decision = {.tag = 7,
					    .verdict = PCCL_VERDICT_REPAIR,
					    .segment_count = segments,
					    .holder_count = 2,
					    .holders = holders};
	struct pccl_session *session = session_in_view(3);
	struct pccl_exec_launch launch;
	struct pccl_op *op;

	if (segments > 0)
		decision.signature = signature_of(request); /* a lie */
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	if (early)
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	assert_int_equal(decide(session, &decision), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	if (!early)
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	launch = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	assert_null(launch.held);
	assert_int_not_equal(launch.signature.algorithm, 0);
	assert_int_equal(op->info.participants_max, 2);
	pccl_session_destroy(session);
}

static void a_repair_of_another_op_is_not_applied(void **state)
{
	struct pccl_op_request request = sum_of(1024, 7);

	(void)state;
	check_foreign_repair(request, 0, false);
	check_foreign_repair(request, 0, true);
	check_foreign_repair(request, 60, false);
	check_foreign_repair(request, 60, true);
	request.kind = PCCL_BROADCAST;
	check_foreign_repair(request, 1, false);
	request.kind = PCCL_BARRIER;
	check_foreign_repair(request, 1, true);
}

/* A running op that others call something else, and one that is said to be complete and is not. */
static void a_verdict_about_another_op_ends_a_running_one(void **state)
{
	const uint8_t verdicts[] = {PCCL_VERDICT_REPAIR, PCCL_VERDICT_COMMIT, PCCL_VERDICT_MISMATCH,
				    PCCL_VERDICT_COMMIT};
	const pcclResult_t results[] = {pcclMismatch, pcclMismatch, pcclMismatch, pcclRankConnectionLost};
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct pccl_op_decision decision = {.tag = 7, .verdict = verdicts[i]};
		struct pccl_session *session = session_in_view(3);
		const struct pccl_command *command;
		struct pccl_op *op;
		void *cookie;

		expect(session, PCCL_COMMAND_INSTALL);
		op = launched(session, sum_of(100, 7), &cookie);
		freeze(session);
		op->complete = i < 3;
		decision.signature = i < 2 ? 1 : op->signature;
		assert_int_equal(decide(session, &decision), pcclSuccess);
		command = expect(session, PCCL_COMMAND_CANCEL);
		assert_int_equal(command->result, results[i]);
		assert_true(command->restore);
		pccl_session_destroy(session);
	}
}

/* Else this peer would launch later what the group has given up. */
static void a_view_without_memory_for_its_verdicts_is_not_installed(void **state)
{
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_ABORT};
	size_t nth = 0;
	bool failed = true;

	(void)state;
	while (failed) {
		struct pccl_session *session = session_in_view(3);
		pcclResult_t result;

		expect(session, PCCL_COMMAND_INSTALL);
		freeze(session);
		check_fail_allocation(++nth);
		result = decide(session, &decision);
		failed = check_allocation_failed();
		check_fail_allocation(0);
		assert_int_equal(result, failed ? pcclOutOfMemory : pcclSuccess);
		assert_true(!failed || pccl_fail_text()[0] != '\0');
		pccl_session_destroy(session);
	}
	assert_true(nth > 3);
}

/* The view had three members when the op was launched. */
static void a_repair_tells_of_no_more_participants_than_can_be(void **state)
{
	struct pccl_session *session = session_in_view(3);
	uint64_t first = 1, *holders[2] = {&first, NULL};
	struct pccl_op_decision decision = {
		.tag = 7, .verdict = PCCL_VERDICT_REPAIR, .participants_min = 1, .participants_max = UINT32_MAX};
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(100, 7), &cookie);
	freeze(session);
	decision.signature = op->signature;
	decision.segment_count = op->geometry.segment_count;
	decision.holder_count = 2;
	decision.holders = holders;
	assert_int_equal(decide(session, &decision), pcclSuccess);
	assert_int_equal(op->info.participants_max, 3);
	pccl_session_destroy(session);
}

/* Launched by three; the first two segments were finished, one of them by a view of four before. */
static void participants_are_told_by_range(void **state)
{
	struct pccl_session *session = session_in_view(4);
	uint64_t first = 3, *holders[2] = {&first, NULL};
	uint16_t participants[PCCL_REPORT_SEGMENTS_MAX] = {4, 3};
	struct pccl_op_decision decision = {.tag = 7,
					    .verdict = PCCL_VERDICT_REPAIR,
					    .participants_min = 3,
					    .participants_max = 4,
					    .participants = participants,
					    .holder_count = 2,
					    .holders = holders};
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclParticipants_t ranges[3] = {{0, 0, 99, 0}, {0, 0, 99, 0}, {0, 0, 99, 0}};
	struct pccl_op *op;
	size_t segment;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(1 << 20, 7), &cookie);
	segment = op->geometry.segment_elements;
	assert_true(op->geometry.segment_count > 3);
	freeze(session);
	decision.signature = op->signature;
	decision.segment_count = op->geometry.segment_count;
	assert_int_equal(decide(session, &decision), pcclSuccess);
	assert_int_equal(op->info.participants_min, 2);
	assert_int_equal(op->info.participants_max, 4);
	info.ranges = ranges;
	info.range_capacity = 2;
	pccl_op_tell(op, &info);
	assert_int_equal(info.range_count, 3);
	assert_int_equal(ranges[0].participants, 4);
	assert_int_equal(ranges[0].count, segment);
	assert_int_equal(ranges[1].first, segment);
	assert_int_equal(ranges[1].participants, 3);
	assert_int_equal(ranges[1].count, segment);
	assert_int_equal(ranges[2].participants, 99);
	info.range_capacity = 3;
	pccl_op_tell(op, &info);
	assert_int_equal(ranges[2].participants, 2);
	assert_int_equal(ranges[2].first + ranges[2].count, 1 << 20);
	op->result = pcclRankConnectionLost;
	pccl_op_tell(op, &info);
	assert_int_equal(info.range_count, 0);
	op->result = pcclSuccess;
	pccl_session_destroy(session);
}

/* A lane that had no share of it does not know that it was launched here, as something else, and has ended. */
static void what_was_launched_here_is_not_missed_in_an_update(void **state)
{
	struct pccl_session *session = session_in_view(2);
	const struct pccl_op_key ended = {9, 0}, next = {9, 1};
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	op = launched(session, sum_of(1, 9), &cookie);
	end_share(session, cookie, pcclMismatch);
	expect(session, PCCL_COMMAND_CANCEL);
	pccl_session_unpin(session, cookie);
	expect(session, PCCL_COMMAND_ENDED);
	pccl_session_release(session, op);
	pccl_session_begin_update(session);
	expect(session, PCCL_COMMAND_UPDATE);
	assert_int_equal(pccl_session_missed(session, &ended), 0);
	assert_int_equal(pccl_session_missed(session, &next), 1);
	pccl_session_destroy(session);
}

/* Nobody may launch them here for ever, and who makes ops up makes them up without number. */
static void what_was_given_up_before_it_was_launched_is_kept_up_to_a_bound(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_decision *decisions = pccl_calloc(PCCL_NOTES_MAX + 1, sizeof(*decisions));
	struct pccl_install install = install_of(2, 3, false);
	struct pccl_op_request request = sum_of(100, 7);
	struct pccl_op *op;
	uint32_t i;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	for (i = 0; i <= PCCL_NOTES_MAX; i++) {
		decisions[i].tag = i;
		decisions[i].verdict = PCCL_VERDICT_ABORT;
		decisions[i].signature = signature_of(request);
	}
	install.decisions = decisions;
	install.decision_count = PCCL_NOTES_MAX;
	freeze(session);
	(void)pccl_session_collect(session, 0, NULL);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	/* The same ones again are no more, and what is launched is kept no longer. */
	install = install_of(3, 3, false);
	install.decisions = decisions;
	install.decision_count = PCCL_NOTES_MAX;
	freeze(session);
	(void)pccl_session_collect(session, 0, NULL);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	assert_int_equal(session->note_count, PCCL_NOTES_MAX);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	expect(session, PCCL_COMMAND_ENDED);
	assert_int_equal(op->result, pcclRankConnectionLost);
	assert_int_equal(session->note_count, PCCL_NOTES_MAX - 1);
	install = install_of(4, 3, false);
	install.decisions = &decisions[PCCL_NOTES_MAX];
	install.decision_count = 1;
	freeze(session);
	(void)pccl_session_collect(session, 0, NULL);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	decisions[0].tag = PCCL_NOTES_MAX + 1;
	install = install_of(5, 3, false);
	install.decisions = decisions;
	install.decision_count = 1;
	freeze(session);
	(void)pccl_session_collect(session, 0, NULL);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclOutOfMemory);
	assert_non_null(strstr(pccl_fail_text(), "given up more than 262144"));
	pccl_session_destroy(session);
	pccl_free(decisions);
}

/* A frame has 16 MiB. */
static void reports_of_thousands_of_huge_ops_fit_into_a_frame(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_request request = sum_of(100, 0);
	struct pccl_op_report *reports;
	uint32_t without = 0;
	uint32_t count;
	uint32_t i;
	size_t bytes = 0;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	request.operation.count = (size_t)1 << 32; /* of which nobody touches anything here */
	request.operation.failure_policy = pcclPolicyRepair;
	for (i = 0; i < 1200; i++) {
		struct pccl_op *op;

		request.operation.tag = i;
		assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
		expect(session, PCCL_COMMAND_LAUNCH);
	}
	freeze(session);
	assert_int_equal(pccl_session_reports(session, &reports, &count), pcclSuccess);
	assert_int_equal(count, 1200);
	for (i = 0; i < count; i++) {
		assert_int_equal(reports[i].repairable, reports[i].held != NULL);
		without += reports[i].held == NULL;
		bytes += reports[i].held == NULL ? 0 : (reports[i].segment_count + 7) / 8;
	}
	assert_in_range(without, 1, count - 1);
	assert_in_range(bytes, 1, 8 << 20);
	pccl_op_reports_destroy(reports, count);
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_difference_between_calls_shows_in_the_signature),
		cmocka_unit_test(a_final_verdict_about_another_op_is_a_mismatch_at_launch),
		cmocka_unit_test(survivors_tell_the_same_of_an_op_that_a_view_change_ends),
		cmocka_unit_test(a_broadcast_reports_its_root_and_its_policy_and_is_redone),
		cmocka_unit_test(a_broadcast_that_waited_for_a_view_without_its_root_says_so),
		cmocka_unit_test(a_repair_of_another_op_is_not_applied),
		cmocka_unit_test(a_verdict_about_another_op_ends_a_running_one),
		cmocka_unit_test(a_view_without_memory_for_its_verdicts_is_not_installed),
		cmocka_unit_test(what_was_launched_here_is_not_missed_in_an_update),
		cmocka_unit_test(participants_are_told_by_range),
		cmocka_unit_test(a_repair_tells_of_no_more_participants_than_can_be),
		cmocka_unit_test(what_was_given_up_before_it_was_launched_is_kept_up_to_a_bound),
		cmocka_unit_test(reports_of_thousands_of_huge_ops_fit_into_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
