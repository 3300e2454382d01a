/* Tags that are forgotten: rounds of two members, of which the test plays the other. */
#include <string.h>

#include "lib/check.h"
#include "lib/lone_session.h"
#include "session/session_internal.h"

#define HEAD_WORDS 2

/* Every op makes a round due, or one in so many. */
static struct pccl_session *forgetful_session(uint32_t every)
{
	const struct pccl_session_config config = {
		.lanes = 1, .plan = pcclPlanAuto, .policy = pcclPolicyAbort, .forget_every = every, .forget_room = 4};
	const struct pccl_install install = install_of(1, 2, true);
	struct pccl_session *session;

	assert_int_equal(pccl_session_create(&config, &session), pcclSuccess);
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_INSTALL);
	return session;
}

static void end_op(struct pccl_session *session, struct pccl_op *op, void *cookie)
{
	end_share(session, cookie, pcclSuccess);
	assert_ptr_equal(expect(session, PCCL_COMMAND_ENDED)->op, op);
	pccl_session_release(session, op);
}

/* The round that has begun: its two blocks, the own one filled in, the other one the same. */
static uint64_t *round_blocks(struct pccl_session *session, struct pccl_exec_launch *launch_out)
{
	uint64_t *blocks;

	*launch_out = expect(session, PCCL_COMMAND_LAUNCH)->launch;
	assert_true(launch_out->key.tag == PCCL_TAG_OWN);
	blocks = launch_out->output;
	memcpy(blocks, launch_out->input, launch_out->signature.count * sizeof(*blocks));
	memcpy(blocks + launch_out->signature.count, launch_out->input, launch_out->signature.count * sizeof(*blocks));
	return blocks;
}

static void end_round(struct pccl_session *session, const struct pccl_exec_launch *launch)
{
	end_share(session, launch->cookie, pcclSuccess);
}

static void a_million_tags_need_little_room(void **state)
{
	struct pccl_session *session = forgetful_session(0);
	struct pccl_exec_launch launch;
	size_t most = 0;
	uint64_t tag;
	void *cookie;

	(void)state;
	for (tag = 0; tag < 1000000; tag++) {
		struct pccl_op *op = launched(session, sum_of(1, tag), &cookie);

		end_op(session, op, cookie);
		if (session->forgetting.op != NULL) {
			round_blocks(session, &launch);
			end_round(session, &launch);
			expect_nothing(session);
		}
		most = session->sequences.capacity > most ? session->sequences.capacity : most;
	}
	assert_in_range(session->forgetting.round, 150, 350);
	assert_true(most * sizeof(*session->sequences.slots) < (size_t)4 << 20);
	pccl_session_destroy(session);
}

/* Or else it might have the old number here, and the new one elsewhere. */
static void what_is_launched_during_a_round_waits_for_its_number(void **state)
{
	struct pccl_session *session = forgetful_session(1);
	struct pccl_op_request request = sum_of(1, 7);
	struct pccl_exec_launch launch;
	struct pccl_op *op;
	uint64_t *blocks;
	void *cookie;

	(void)state;
	op = launched(session, sum_of(1, 7), &cookie);
	end_op(session, op, cookie);
	assert_true(pccl_session_idle(session));
	blocks = round_blocks(session, &launch);
	assert_int_equal(blocks[0], 1);
	assert_int_equal(blocks[1], 0);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	expect_nothing(session);
	assert_false(op->numbered);
	assert_ptr_equal(pccl_session_find(session, 7), op);
	blocks[launch.signature.count] = 5; /* the other one has used a tag more often */
	end_round(session, &launch);
	assert_int_equal(expect(session, PCCL_COMMAND_LAUNCH)->launch.key.sequence, 5);
	pccl_session_destroy(session);
}

static void a_tag_that_somebody_has_told_keeps_its_count(void **state)
{
	struct pccl_session *session = forgetful_session(1);
	struct pccl_exec_launch launch;
	struct pccl_op *op;
	uint64_t *blocks;
	void *cookie;

	(void)state;
	op = launched(session, sum_of(1, 7), &cookie);
	end_op(session, op, cookie);
	blocks = round_blocks(session, &launch) + launch.signature.count;
	blocks[0] = 9;
	blocks[1] = 2;
	blocks[HEAD_WORDS] = 7;
	blocks[HEAD_WORDS + 1] = 8; /* launched there, and not here */
	end_round(session, &launch);
	expect_nothing(session);
	assert_int_equal(pccl_session_next(session, 7), 1);
	assert_int_equal(pccl_session_next(session, 8), 0);
	assert_int_equal(pccl_session_next(session, 9), 9);
	pccl_session_destroy(session);
}

/* It comes from outside: all see the same, so nobody forgets. */
static void a_round_with_too_much_in_it_forgets_nothing(void **state)
{
	const uint64_t lies[][2] = {{1, 5}, {1, UINT64_MAX}, {UINT64_C(1) << 29, 0}, {UINT64_MAX, 0}};
	struct pccl_session *session = forgetful_session(1);
	struct pccl_exec_launch launch;
	struct pccl_op *op;
	uint64_t *blocks;
	void *cookie;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		op = launched(session, sum_of(1, i), &cookie);
		end_op(session, op, cookie);
		blocks = round_blocks(session, &launch) + launch.signature.count;
		assert_int_equal(launch.signature.count, HEAD_WORDS + (4u << i));
		assert_int_equal(launch.key.sequence, i);
		blocks[0] = lies[i][0];
		blocks[1] = i == 0 ? 5 : lies[i][1];
		end_round(session, &launch);
		expect_nothing(session);
		assert_int_equal(session->sequences.count, i + 1);
		assert_int_equal(session->sequences.floor, 0);
	}
	pccl_session_destroy(session);
}

/* Members of the time before would wait for the newcomer's part in it. */
static void newcomers_begin_without_rounds(void **state)
{
	struct pccl_session *session = forgetful_session(1);
	struct pccl_install install = install_of(2, 3, true);
	struct pccl_op_decision decision = {.tag = 7, .verdict = PCCL_VERDICT_COMMIT};
	struct pccl_exec_launch launch;
	struct pccl_op *op, *late;
	void *cookie;

	(void)state;
	op = launched(session, sum_of(1, 6), &cookie);
	late = launched(session, sum_of(1, 7), &cookie);
	end_op(session, late, cookie);
	round_blocks(session, &launch);
	late = op;
	freeze(session);
	decision.tag = 6;
	decision.signature = late->signature;
	install.decision_count = 1;
	install.decisions = &decision;
	cookie = late->attempt;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_CANCEL); /* of the round, which is newer */
	expect(session, PCCL_COMMAND_CANCEL);
	expect(session, PCCL_COMMAND_INSTALL);
	end_share(session, launch.cookie, pcclRankConnectionLost);
	end_share(session, cookie, pcclSuccess);
	pccl_session_unpin(session, launch.cookie);
	pccl_session_unpin(session, cookie);
	assert_ptr_equal(expect(session, PCCL_COMMAND_ENDED)->op, late);
	pccl_session_release(session, late);
	expect_nothing(session);
	assert_int_equal(session->forgetting.due, 0);
	assert_null(session->ops);
	assert_int_equal(pccl_session_next(session, 7), 0);
	pccl_session_destroy(session);
}

/* Verdicts come with the next one: what this peer has told does not know of them. */
static void a_round_tells_anew_in_another_view(void **state)
{
	struct pccl_session *session = forgetful_session(1);
	struct pccl_op_decision decisions[2] = {{.tag = 9, .verdict = PCCL_VERDICT_EXPIRE},
						{.tag = PCCL_TAG_OWN, .verdict = PCCL_VERDICT_RETRY}};
	struct pccl_install install = install_of(2, 2, false);
	struct pccl_exec_launch first, second;
	struct pccl_op *op;
	uint64_t *blocks;
	void *cookie;

	(void)state;
	op = launched(session, sum_of(1, 7), &cookie);
	end_op(session, op, cookie);
	round_blocks(session, &first);
	freeze(session);
	decisions[1].signature = session->forgetting.op->signature;
	install.decision_count = 2;
	install.decisions = decisions;
	assert_int_equal(pccl_session_install(session, &install, 0), pcclSuccess);
	expect(session, PCCL_COMMAND_CANCEL);
	expect(session, PCCL_COMMAND_INSTALL);
	blocks = round_blocks(session, &second);
	assert_ptr_not_equal(first.input, second.input);
	assert_int_equal(((const uint64_t *)first.input)[1], 0);
	assert_int_equal(blocks[1], 1);
	assert_int_equal(blocks[HEAD_WORDS], 9);
	pccl_session_destroy(session);
}

static void a_deadline_of_what_waits_ends_the_round(void **state)
{
	struct pccl_session *session = forgetful_session(1);
	struct pccl_op_request request = sum_of(1, 8);
	struct pccl_exec_launch launch;
	struct pccl_op *op;
	void *cookie;

	(void)state;
	op = launched(session, sum_of(1, 7), &cookie);
	end_op(session, op, cookie);
	round_blocks(session, &launch);
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclSuccess);
	assert_true(pccl_session_expire(session, op));
	assert_true(expect(session, PCCL_COMMAND_EXPIRE)->key.tag == PCCL_TAG_OWN);
	pccl_session_destroy(session);
}

static void the_library_keeps_one_tag_to_itself(void **state)
{
	struct pccl_session *session = forgetful_session(1);
	struct pccl_op_request request = sum_of(1, PCCL_TAG_OWN);
	struct pccl_op *op;

	(void)state;
	assert_int_equal(pccl_session_launch(session, &request, &op), pcclInvalidArgument);
	assert_null(pccl_session_find(session, PCCL_TAG_OWN));
	pccl_session_destroy(session);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_million_tags_need_little_room),
		cmocka_unit_test(what_is_launched_during_a_round_waits_for_its_number),
		cmocka_unit_test(a_tag_that_somebody_has_told_keeps_its_count),
		cmocka_unit_test(a_round_with_too_much_in_it_forgets_nothing),
		cmocka_unit_test(newcomers_begin_without_rounds),
		cmocka_unit_test(a_round_tells_anew_in_another_view),
		cmocka_unit_test(a_deadline_of_what_waits_ends_the_round),
		cmocka_unit_test(the_library_keeps_one_tag_to_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
