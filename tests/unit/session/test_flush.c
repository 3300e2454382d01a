/* What a session takes over with a view. */
#include <string.h>

#include "base/fail.h"
#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/lone_session.h"
#include "session/session_internal.h"

static pcclResult_t install_links(struct pccl_session *session, uint32_t epoch, uint32_t ranks,
				  struct pccl_link_measure *measures, uint32_t count)
{
	struct pccl_install install = install_of(epoch, ranks, false);

	install.links.measures = measures;
	install.links.count = count;
	freeze(session);
	(void)pccl_session_collect(session, 0, NULL);
	return pccl_session_install(session, &install, 0);
}

/* An op of this view, from its plan to its end. */
static void run_one(struct pccl_session *session, uint64_t tag)
{
	void *cookie;
	struct pccl_op *op = launched(session, sum_of(100, tag), &cookie);

	end_share(session, cookie, pcclSuccess);
	expect(session, PCCL_COMMAND_ENDED);
	pccl_session_release(session, op);
}

/* Plans are made by it: of a larger view it would name members that are not there. */
static void a_table_of_links_is_the_views_own(void **state)
{
	struct pccl_link_measure measures[] = {{0, 1, 1000, 200}, {2, 1, 5, 90000}}, same[2];
	struct pccl_session *session = session_in_view(3);

	(void)state;
	memcpy(same, measures, sizeof(same));
	expect(session, PCCL_COMMAND_INSTALL);
	assert_int_equal(session->links.count, 0);
	assert_int_equal(install_links(session, 2, 3, measures, 2), pcclSuccess);
	memset(measures, 0xff, sizeof(measures));
	assert_int_equal(session->links.count, 2);
	assert_memory_equal(session->links.measures, same, sizeof(same));
	expect(session, PCCL_COMMAND_INSTALL);
	run_one(session, 1);
	assert_int_equal(install_links(session, 3, 2, same, 1), pcclSuccess);
	assert_int_equal(session->links.count, 1);
	expect(session, PCCL_COMMAND_INSTALL);
	run_one(session, 2);
	assert_int_equal(install_links(session, 4, 2, NULL, 0), pcclSuccess);
	assert_int_equal(session->links.count, 0);
	assert_null(session->links.measures);
	pccl_session_destroy(session);
}

static void without_memory_for_its_table_a_view_is_not_installed(void **state)
{
	struct pccl_link_measure measures[] = {{0, 1, 1000, 200}};
	size_t nth = 0;
	bool failed = true;

	(void)state;
	while (failed) {
		struct pccl_session *session = session_in_view(2);
		pcclResult_t result;

		expect(session, PCCL_COMMAND_INSTALL);
		check_fail_allocation(++nth);
		result = install_links(session, 2, 2, measures, 1);
		failed = check_allocation_failed();
		check_fail_allocation(0);
		assert_int_equal(result, failed ? pcclOutOfMemory : pcclSuccess);
		pccl_session_destroy(session);
	}
	assert_true(nth > 2);
}

static void expect_lost(struct pccl_session *session, struct pccl_op *op)
{
	expect(session, PCCL_COMMAND_ENDED);
	expect_nothing(session);
	assert_int_equal(op->result, pcclRankConnectionLost);
	pccl_session_release(session, op);
}

static void an_op_of_a_view_is_done_in_no_other(void **state)
{
	struct pccl_session *session = session_in_view(3);
	struct pccl_install install = install_of(2, 2, false);
	struct pccl_op_request request = sum_of(100, 7);
	struct pccl_op *before, *after;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	freeze(session);
	request.operation.epoch = 1;
	assert_int_equal(pccl_session_launch(session, &request, &before), pcclSuccess);
	expect_nothing(session);
	(void)pccl_session_collect(session, 0, NULL);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	expect_lost(session, before);
	assert_int_equal(pccl_session_launch(session, &request, &after), pcclSuccess);
	expect_lost(session, after);
	request.operation.epoch = 2;
	assert_int_equal(pccl_session_launch(session, &request, &after), pcclSuccess);
	expect(session, PCCL_COMMAND_LAUNCH);
	pccl_session_destroy(session);
}

static void a_new_epoch_of_the_same_members_does_not_end_what_is_of_the_one_before(void **state)
{
	struct pccl_session *session = session_in_view(2);
	struct pccl_install same = install_of(2, 2, false);
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_RETRY};
	struct pccl_op_request request = sum_of(100, 7);
	struct pccl_op *op;
	void *cookie;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	request.operation.epoch = 1;
	op = launched(session, request, &cookie);
	freeze(session);
	decision.signature = op->signature;
	same.decision_count = 1;
	same.decisions = &decision;
	assert_int_equal(pccl_session_install(session, &same, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_CANCEL);
	expect(session, PCCL_COMMAND_INSTALL);
	expect(session, PCCL_COMMAND_LAUNCH);
	request.operation.tag = 8;
	launched(session, request, &cookie); /* of epoch 1 still */
	request.kind = PCCL_TRANSFER;
	request.operation.root = 1;
	op = launched(session, request, &cookie);
	request.operation.epoch = 2; /* which the other end may have seen already */
	assert_int_equal(pccl_session_tag(session, &request), op->key.tag);
	pccl_session_destroy(session);
}

/* Whoever was its root, and whatever its counts were, which have as many entries as there were members. */
static void what_is_late_is_lost_whatever_it_names(void **state)
{
	const enum pccl_collective kinds[] = {PCCL_BROADCAST, PCCL_REDUCE, PCCL_GATHER, PCCL_SCATTER, PCCL_TRANSFER};
	struct pccl_session *session = session_in_view(3);
	struct pccl_op_request request;
	uint32_t epoch, i;
	struct pccl_op *op;

	(void)state;
	expect(session, PCCL_COMMAND_INSTALL);
	for (epoch = 2; epoch < 4; epoch++) {
		const struct pccl_install install = install_of(epoch, 4 - epoch, false);

		freeze(session);
		(void)pccl_session_collect(session, 0, NULL);
		assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
		expect(session, PCCL_COMMAND_INSTALL);
		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			request = sum_of(100, 7);
			request.kind = kinds[i];
			request.operation.root = 2;
			request.operation.epoch = 1;
			assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
			expect_lost(session, op);
		}
	}
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_op_of_a_view_is_done_in_no_other),
		cmocka_unit_test(a_new_epoch_of_the_same_members_does_not_end_what_is_of_the_one_before),
		cmocka_unit_test(what_is_late_is_lost_whatever_it_names),
		cmocka_unit_test(a_table_of_links_is_the_views_own),
		cmocka_unit_test(without_memory_for_its_table_a_view_is_not_installed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
