/* One verdict per op from what the members of the new view report. */
#include <string.h>

#include "base/memory.h"
#include "membership/master/decide.h"

#include "lib/check.h"

#define MEMBERS 3

/* The reports of a small view, one op each unless a test says otherwise. */
struct table {
	uint64_t held[MEMBERS];
	struct pccl_op_report reports[MEMBERS];
	struct pccl_voice voices[MEMBERS];
	struct pccl_decide_input input;
	struct pccl_op_decision *decisions;
	uint32_t count;
};

static void fill(struct table *table, pcclFailurePolicy_t policy)
{
	uint32_t rank;

	memset(table, 0, sizeof(*table));
	for (rank = 0; rank < MEMBERS; rank++) {
		table->reports[rank].tag = 7;
		table->reports[rank].sequence = 1;
		table->reports[rank].policy = (uint8_t)policy;
		table->reports[rank].repairable = true;
		table->reports[rank].participants_min = MEMBERS + 1;
		table->reports[rank].participants_max = MEMBERS + 1;
		table->reports[rank].segment_count = 8;
		table->reports[rank].held = &table->held[rank];
		table->voices[rank].reports = &table->reports[rank];
		table->voices[rank].report_count = 1;
	}
	table->input.member_count = MEMBERS;
	table->input.voices = table->voices;
}

/* The verdict on the only op. */
static uint8_t verdict(struct table *table)
{
	uint8_t found;

	assert_int_equal(pccl_decide(&table->input, &table->decisions, &table->count), pcclSuccess);
	assert_int_equal(table->count, 1);
	found = table->decisions[0].verdict;
	pccl_decisions_destroy(table->decisions, table->count);
	return found;
}

static void nothing_open_means_nothing_decided(void **state)
{
	struct table table;
	uint32_t rank;

	(void)state;
	fill(&table, pcclPolicyAbort);
	for (rank = 0; rank < MEMBERS; rank++)
		table.voices[rank].report_count = 0;
	assert_int_equal(pccl_decide(&table.input, &table.decisions, &table.count), pcclSuccess);
	assert_int_equal(table.count, 0);
	pccl_decisions_destroy(table.decisions, table.count);
}

static void complete_at_all_reporters_commits(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyAbort);
	table.reports[0].complete = true;
	table.reports[1].complete = true;
	table.reports[2].complete = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_COMMIT);
}

static void a_member_that_has_returned_already_reports_nothing_and_it_commits(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyAbort);
	table.voices[0].report_count = 0;
	table.reports[1].complete = true;
	table.reports[2].complete = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_COMMIT);
}

static void one_incomplete_reporter_means_the_policy_decides(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyAbort);
	table.reports[0].complete = true;
	table.reports[1].complete = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_ABORT);
	fill(&table, pcclPolicyRetry);
	table.reports[0].complete = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_RETRY);
	fill(&table, pcclPolicyRepair);
	assert_int_equal(verdict(&table), PCCL_VERDICT_REPAIR);
}

static void differing_policies_abort(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyRetry);
	table.reports[2].policy = (uint8_t)pcclPolicyRepair;
	assert_int_equal(verdict(&table), PCCL_VERDICT_ABORT);
}

/* Whatever the policy says, and though some may hold all of what they take for the op. */
static void different_things_under_one_name_are_a_mismatch(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyRepair);
	table.reports[1].signature = 1;
	assert_int_equal(verdict(&table), PCCL_VERDICT_MISMATCH);
	fill(&table, pcclPolicyAbort);
	table.reports[0].policy = PCCL_POLICY_MISMATCHED;
	assert_int_equal(verdict(&table), PCCL_VERDICT_MISMATCH);
	table.input.nobody_lost = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_MISMATCH);
}

static void a_decision_names_the_op_that_it_is_about(void **state)
{
	struct table table;
	uint32_t rank;

	(void)state;
	fill(&table, pcclPolicyRepair);
	for (rank = 0; rank < MEMBERS; rank++)
		table.reports[rank].signature = 77;
	assert_int_equal(pccl_decide(&table.input, &table.decisions, &table.count), pcclSuccess);
	assert_int_equal(table.decisions[0].signature, 77);
	pccl_decisions_destroy(table.decisions, table.count);
}

static void what_cannot_be_repaired_is_retried(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyRepair);
	table.reports[1].repairable = false;
	assert_int_equal(verdict(&table), PCCL_VERDICT_RETRY);
	fill(&table, pcclPolicyRepair);
	table.reports[1].segment_count = 9;
	assert_int_equal(verdict(&table), PCCL_VERDICT_RETRY);
}

/* Whoever lives can't have its data. */
static void a_broadcast_is_redone_as_long_as_its_root_lives(void **state)
{
	struct pccl_member members[MEMBERS] = {{.uuid = {{1}}}, {.uuid = {{2}}}, {.uuid = {{3}}}};
	const struct pccl_view view = {.member_count = MEMBERS, .members = members};
	const pcclRankUuid_t living = {{2}}, gone = {{9}};
	struct table table;
	uint32_t rank;

	(void)state;
	fill(&table, pcclPolicyRepair);
	table.input.view = &view;
	for (rank = 0; rank < MEMBERS; rank++) {
		table.reports[rank].repairable = false;
		table.reports[rank].root = living;
	}
	assert_int_equal(verdict(&table), PCCL_VERDICT_RETRY);
	for (rank = 0; rank < MEMBERS; rank++)
		table.reports[rank].root = gone;
	assert_int_equal(verdict(&table), PCCL_VERDICT_ABORT);
	table.voices[0].report_count = 0; /* has returned success */
	table.reports[1].complete = table.reports[2].complete = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_COMMIT);
}

static void broadcasts_of_different_roots_are_a_mismatch(void **state)
{
	struct pccl_member members[MEMBERS] = {{.uuid = {{1}}}, {.uuid = {{2}}}, {.uuid = {{3}}}};
	const struct pccl_view view = {.member_count = MEMBERS, .members = members};
	struct table table;

	(void)state;
	fill(&table, pcclPolicyRetry);
	table.input.view = &view;
	table.reports[0].root = members[0].uuid;
	table.reports[1].root = members[0].uuid;
	table.reports[2].root = members[1].uuid;
	assert_int_equal(verdict(&table), PCCL_VERDICT_MISMATCH);
	memset(&table.reports[2].root, 0, sizeof(table.reports[2].root)); /* it failed there, and named none */
	table.reports[2].policy = PCCL_POLICY_FAILED;
	assert_int_equal(verdict(&table), PCCL_VERDICT_ABORT);
}

static void nobody_lost_means_nothing_is_aborted(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyAbort);
	table.input.nobody_lost = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_RETRY);
}

static void a_given_up_input_is_repaired_if_nobody_was_lost(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyAbort);
	table.reports[1].policy = PCCL_POLICY_SPENT;
	assert_int_equal(verdict(&table), PCCL_VERDICT_ABORT);
	table.input.nobody_lost = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_REPAIR);
	table.reports[1].repairable = false;
	assert_int_equal(verdict(&table), PCCL_VERDICT_ABORT);
}

static void expired_op_ends_unless_it_is_complete(void **state)
{
	const struct pccl_expired_op expired = {.tag = 7, .sequence = 1};
	const struct pccl_expired_op other = {.tag = 7, .sequence = 2};
	struct table table;

	(void)state;
	fill(&table, pcclPolicyRetry);
	table.input.expired = &expired;
	table.input.expired_count = 1;
	assert_int_equal(verdict(&table), PCCL_VERDICT_EXPIRE);
	table.reports[1].policy = PCCL_POLICY_FAILED; /* its caller has another error already */
	assert_int_equal(verdict(&table), PCCL_VERDICT_ABORT);
	table.reports[1].policy = PCCL_POLICY_SPENT;
	assert_int_equal(verdict(&table), PCCL_VERDICT_EXPIRE);
	table.reports[1].repairable = false;
	assert_int_equal(verdict(&table), PCCL_VERDICT_EXPIRE);
	table.reports[1].policy = pcclPolicyRetry;
	table.reports[0].complete = true;
	table.reports[1].complete = true;
	table.reports[2].complete = true;
	assert_int_equal(verdict(&table), PCCL_VERDICT_COMMIT);
	table.reports[1].complete = false;
	table.input.expired = &other;
	assert_int_equal(verdict(&table), PCCL_VERDICT_RETRY);
}

static void repair_names_the_holders_by_new_rank(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyRepair);
	table.held[0] = 5;
	table.held[2] = 8;
	table.voices[1].report_count = 0;
	assert_int_equal(pccl_decide(&table.input, &table.decisions, &table.count), pcclSuccess);
	assert_int_equal(table.decisions[0].holder_count, MEMBERS);
	assert_int_equal(table.decisions[0].holders[0][0], 5);
	assert_null(table.decisions[0].holders[1]);
	assert_int_equal(table.decisions[0].holders[2][0], 8);
	assert_int_equal(table.decisions[0].participants_min, MEMBERS + 1);
	pccl_decisions_destroy(table.decisions, table.count);
}

/* Segment 0 was finished by four, 2 and 3 by three; nobody holds the others. */
static void a_repair_tells_how_many_are_in_each_segment(void **state)
{
	uint16_t participants[8] = {4, 0, 3, 0};
	struct table table;

	(void)state;
	fill(&table, pcclPolicyRepair);
	table.held[0] = 1 | 4;
	table.reports[0].participants = participants;
	table.reports[0].participants_min = 3;
	table.held[1] = 8;
	table.reports[1].participants_min = table.reports[1].participants_max = 3;
	table.reports[2].participants_min = table.reports[2].participants_max = 0;
	assert_int_equal(pccl_decide(&table.input, &table.decisions, &table.count), pcclSuccess);
	assert_int_equal(table.decisions[0].participants_min, 3);
	assert_int_equal(table.decisions[0].participants_max, 4);
	assert_int_equal(table.decisions[0].participants[0], 4);
	assert_int_equal(table.decisions[0].participants[1], 0);
	assert_int_equal(table.decisions[0].participants[2], 3);
	assert_int_equal(table.decisions[0].participants[3], 3);
	pccl_decisions_destroy(table.decisions, table.count);
	/* All the same: no list. */
	table.reports[0].participants = NULL;
	table.reports[0].participants_max = 3;
	assert_int_equal(pccl_decide(&table.input, &table.decisions, &table.count), pcclSuccess);
	assert_null(table.decisions[0].participants);
	assert_int_equal(table.decisions[0].participants_max, 3);
	pccl_decisions_destroy(table.decisions, table.count);
}

static void ops_are_told_apart_by_tag_and_sequence(void **state)
{
	struct table table;

	(void)state;
	fill(&table, pcclPolicyAbort);
	table.reports[1].sequence = 2;
	table.reports[1].complete = true;
	table.reports[2].tag = 6;
	assert_int_equal(pccl_decide(&table.input, &table.decisions, &table.count), pcclSuccess);
	assert_int_equal(table.count, 3);
	assert_int_equal(table.decisions[0].tag, 6);
	assert_int_equal(table.decisions[1].sequence, 1);
	assert_int_equal(table.decisions[1].verdict, PCCL_VERDICT_ABORT);
	assert_int_equal(table.decisions[2].verdict, PCCL_VERDICT_COMMIT);
	pccl_decisions_destroy(table.decisions, table.count);
}

static void repairs_too_large_for_one_message_become_retries(void **state)
{
	struct table table;
	uint64_t *held = pccl_calloc(PCCL_REPORT_SEGMENTS_MAX / 64, 8);
	struct pccl_op_report *reports = pccl_calloc(2000, sizeof(*reports));
	uint32_t repairs = 0;
	uint32_t index;

	(void)state;
	fill(&table, pcclPolicyRepair);
	for (index = 0; index < 2000; index++) {
		reports[index] = table.reports[0];
		reports[index].sequence = index;
		reports[index].segment_count = PCCL_REPORT_SEGMENTS_MAX;
		reports[index].held = held;
	}
	table.input.member_count = 1;
	table.voices[0].reports = reports;
	table.voices[0].report_count = 2000;
	assert_int_equal(pccl_decide(&table.input, &table.decisions, &table.count), pcclSuccess);
	for (index = 0; index < table.count; index++)
		repairs += table.decisions[index].verdict == PCCL_VERDICT_REPAIR;
	assert_int_equal(repairs,
			 PCCL_HOLDERS_BYTES_MAX / (PCCL_REPORT_SEGMENTS_MAX / 8 + 1)); /* and a flag for the member */
	assert_int_equal(table.decisions[1999].verdict, PCCL_VERDICT_RETRY);
	pccl_decisions_destroy(table.decisions, table.count);
	pccl_free(reports);
	pccl_free(held);
}

static void strays_are_what_nobody_else_reports(void **state)
{
	struct pccl_op_report mine[4] = {{.tag = 7, .sequence = 1, .policy = (uint8_t)pcclPolicyAbort},
					 {.tag = 7, .sequence = 2, .policy = (uint8_t)pcclPolicyAbort},
					 {.tag = 8, .sequence = 2, .policy = PCCL_POLICY_FAILED},
					 {.tag = 9, .sequence = 2, .policy = PCCL_POLICY_MISMATCHED}};
	struct pccl_strays strays[MEMBERS];
	struct table table;
	uint32_t op_count;

	(void)state;
	fill(&table, pcclPolicyAbort);
	table.voices[1].reports = mine;
	table.voices[1].report_count = 4;
	assert_int_equal(pccl_decide_strays(&table.input, strays, &op_count), pcclSuccess);
	assert_int_equal(op_count, 4);
	assert_int_equal(strays[0].count + strays[2].count + strays[0].failed + strays[2].failed, 0);
	assert_int_equal(strays[1].count, 3);
	assert_int_equal(strays[1].failed, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_open_means_nothing_decided),
		cmocka_unit_test(complete_at_all_reporters_commits),
		cmocka_unit_test(a_member_that_has_returned_already_reports_nothing_and_it_commits),
		cmocka_unit_test(one_incomplete_reporter_means_the_policy_decides),
		cmocka_unit_test(differing_policies_abort),
		cmocka_unit_test(different_things_under_one_name_are_a_mismatch),
		cmocka_unit_test(a_decision_names_the_op_that_it_is_about),
		cmocka_unit_test(what_cannot_be_repaired_is_retried),
		cmocka_unit_test(a_broadcast_is_redone_as_long_as_its_root_lives),
		cmocka_unit_test(broadcasts_of_different_roots_are_a_mismatch),
		cmocka_unit_test(nobody_lost_means_nothing_is_aborted),
		cmocka_unit_test(a_given_up_input_is_repaired_if_nobody_was_lost),
		cmocka_unit_test(expired_op_ends_unless_it_is_complete),
		cmocka_unit_test(repair_names_the_holders_by_new_rank),
		cmocka_unit_test(a_repair_tells_how_many_are_in_each_segment),
		cmocka_unit_test(ops_are_told_apart_by_tag_and_sequence),
		cmocka_unit_test(repairs_too_large_for_one_message_become_retries),
		cmocka_unit_test(strays_are_what_nobody_else_reports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
