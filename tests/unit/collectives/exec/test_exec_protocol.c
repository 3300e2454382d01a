/* What an executor says to frames that others should, and should not, send. */
#include <pccl.h>
#include <stdlib.h>

#include "lib/check.h"
#include "lib/exec_desk.h"

/* ---- views ------------------------------------------------------------------------------------------------------- */

static void frames_of_other_views_are_dropped_or_held(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_START, START_BYTES);
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	frame.epoch = EPOCH - 1;
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_DISCARD);
	frame.epoch = EPOCH + 1;
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_HOLD);
	pccl_exec_freeze(desk.exec);
	frame.epoch = EPOCH;
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_DISCARD);
	assert_int_equal(pccl_exec_install(desk.exec, EPOCH + 1, RANKS, 0), pcclSuccess);
	frame.epoch = EPOCH + 1;
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_TAKE);
	close_desk(&desk);
}

static void a_frozen_executor_has_nothing_to_say(void **state)
{
	struct pccl_frame_send send;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	launch(&desk);
	assert_true(pccl_exec_wants(desk.exec, 1));
	pccl_exec_freeze(desk.exec);
	assert_false(pccl_exec_wants(desk.exec, 1));
	assert_false(pccl_exec_next(desk.exec, 1, &send));
	close_desk(&desk);
}

/* What came for the old view does not meet an op of the new one. */
static void early_frames_do_not_outlive_their_view(void **state)
{
	struct pccl_frame frame;
	struct desk desk;
	uint64_t waits_for = 0;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	learn_start(&desk);
	deliver_start(&desk, 1, 0);
	pccl_exec_freeze(desk.exec);
	assert_int_equal(pccl_exec_install(desk.exec, EPOCH + 1, RANKS, 0), pcclSuccess);
	launch(&desk);
	pccl_exec_waits_for(desk.exec, &desk, &waits_for);
	assert_int_equal(waits_for, 6);
	frame = make_frame(PCCL_FRAME_START, START_BYTES);
	frame.epoch = EPOCH + 1;
	assert_int_equal(deliver(&desk, 1, &frame, desk.start), PCCL_FRAME_TAKE);
	waits_for = 0;
	pccl_exec_waits_for(desk.exec, &desk, &waits_for);
	assert_int_equal(waits_for, 4);
	close_desk(&desk);
}

/* ---- malformed frames -------------------------------------------------------------------------------------------- */

static void malformed_frames_are_rejected(void **state)
{
	struct pccl_frame frame;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	frame = make_frame(PCCL_FRAME_START, START_BYTES - 1);
	assert_rejected(&desk, 1, &frame, "malformed start");
	frame = make_frame(PCCL_FRAME_START, START_BYTES);
	frame.lane = 1;
	assert_rejected(&desk, 1, &frame, "another lane");
	frame = make_frame(PCCL_FRAME_START, START_BYTES);
	frame.flags = 1;
	assert_rejected(&desk, 1, &frame, "unknown flags");
	frame = make_frame(PCCL_FRAME_PARTIAL, 0);
	assert_rejected(&desk, 1, &frame, "malformed segment");
	frame = make_frame(PCCL_FRAME_CREDIT, 1);
	assert_rejected(&desk, 1, &frame, "malformed credit");
	frame = make_frame(PCCL_FRAME_DONE, 1);
	assert_rejected(&desk, 1, &frame, "malformed end");
	frame = make_frame(PCCL_FRAME_MESSAGE, 1);
	assert_rejected(&desk, 1, &frame, "not for an op");
	close_desk(&desk);
}

static void an_op_starts_once(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_START, START_BYTES);
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	learn_start(&desk);
	deliver_start(&desk, 1, 0);
	assert_rejected(&desk, 1, &frame, "starts twice"); /* not launched here */
	launch(&desk);
	assert_rejected(&desk, 1, &frame, "starts twice");
	deliver_start(&desk, 2, 0);
	assert_rejected(&desk, 2, &frame, "starts twice");
	close_desk(&desk);
}

/* Launched after four joint calls, by a rank that does not know of the fifth, which this one waits in. */
static void ops_that_others_launched_before_an_update_are_missed(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_START, START_BYTES);
	struct pccl_op_key key;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	learn_start(&desk);
	pccl_exec_await_update(desk.exec, 4);
	frame.segment = 4;
	assert_int_equal(deliver(&desk, 1, &frame, desk.start), PCCL_FRAME_TAKE);
	assert_false(pccl_exec_missed(desk.exec, &key));
	pccl_exec_await_update(desk.exec, 5);
	assert_true(pccl_exec_missed(desk.exec, &key));
	assert_int_equal(key.tag, frame.tag);
	assert_int_equal(key.sequence, frame.sequence);
	assert_false(pccl_exec_missed(desk.exec, &key));
	frame.sequence++;
	assert_int_equal(deliver(&desk, 2, &frame, desk.start), PCCL_FRAME_TAKE);
	assert_true(pccl_exec_missed(desk.exec, &key));
	assert_int_equal(key.sequence, frame.sequence);
	/* Once launched here it is missed no more. */
	pccl_exec_await_update(desk.exec, 6);
	launch(&desk);
	assert_true(pccl_exec_missed(desk.exec, &key));
	assert_int_equal(key.sequence, frame.sequence);
	assert_false(pccl_exec_missed(desk.exec, &key));
	close_desk(&desk);
}

static void segments_outside_the_plan_are_rejected(void **state)
{
	struct pccl_frame frame;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100000);
	learn_start(&desk);
	launch(&desk);
	deliver_start(&desk, 1, 0);
	deliver_start(&desk, 2, 0);
	/* This rank owns the first third. */
	frame = partial(&desk, 0);
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_TAKE);
	assert_rejected(&desk, 1, &frame, "not in the plan"); /* again */
	frame = partial(&desk, desk.geometry.segment_count - 1);
	assert_rejected(&desk, 1, &frame, "not in the plan"); /* another's */
	frame = partial(&desk, 0);
	frame.segment = desk.geometry.segment_count;
	assert_rejected(&desk, 1, &frame, "not in the plan");
	frame.segment = UINT32_MAX;
	assert_rejected(&desk, 1, &frame, "not in the plan");
	frame = partial(&desk, 0);
	frame.payload_bytes--;
	assert_rejected(&desk, 2, &frame, "not in the plan");
	frame = partial(&desk, desk.geometry.segment_count - 1);
	frame.type = PCCL_FRAME_RESULT;
	assert_rejected(&desk, 1, &frame, "not in the plan"); /* rank 2 owns it */
	assert_int_equal(offer(&desk, 2, &frame), PCCL_FRAME_TAKE);
	assert_rejected(&desk, 2, &frame, "not in the plan"); /* again */
	close_desk(&desk);
}

static void nobody_is_done_before_everybody_has_started(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_DONE, 0);
	struct pccl_frame_send send;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	launch(&desk);
	assert_rejected(&desk, 1, &frame, "done that can't be");
	assert_true(pccl_exec_next(desk.exec, 1, &send));
	assert_int_equal(deliver(&desk, 1, &frame, NULL), PCCL_FRAME_TAKE);
	assert_rejected(&desk, 1, &frame, "done that can't be");
	close_desk(&desk);
}

/* What could not be judged when it came is found out when START comes, and the next frame hears of it. */
static void a_misfit_from_before_start_is_found_out(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_PARTIAL, 4);
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	learn_start(&desk);
	frame.segment = 12345;
	assert_int_equal(deliver(&desk, 1, &frame, "abcd"), PCCL_FRAME_TAKE);
	launch(&desk);
	deliver_start(&desk, 1, 0);
	frame = make_frame(PCCL_FRAME_CREDIT, 0);
	assert_rejected(&desk, 1, &frame, "segment 12345 of tag 70 did not fit the plan");
	assert_int_equal(offer(&desk, 2, &frame), PCCL_FRAME_TAKE);
	close_desk(&desk);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

static void early_frames_are_bounded_in_bytes(void **state)
{
	uint32_t eager = pccl_exec_eager_bytes(RANKS, 1), sent = 0;
	struct pccl_frame frame = make_frame(PCCL_FRAME_PARTIAL, 16384);
	uint8_t *payload = calloc(1, eager + 1);
	struct desk desk;

	(void)state;
	assert_non_null(payload);
	open_desk(&desk, pcclPlanDirect, 100);
	while (deliver(&desk, 1, &frame, payload) == PCCL_FRAME_TAKE) {
		frame.segment++;
		sent += frame.payload_bytes;
	}
	assert_in_range(sent, eager / 2, eager);
	frame.tag++; /* another op has its own */
	frame.payload_bytes = eager + 1;
	assert_rejected(&desk, 1, &frame, "more was sent");
	frame.payload_bytes = eager - 64;
	assert_int_equal(deliver(&desk, 1, &frame, payload), PCCL_FRAME_TAKE);
	free(payload);
	close_desk(&desk);
}

static void early_frames_are_bounded_in_number(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_RESULT, 1);
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	for (; frame.segment < PCCL_EXEC_EAGER_FRAMES; frame.segment++)
		assert_int_equal(deliver(&desk, 1, &frame, "x"), PCCL_FRAME_TAKE);
	assert_rejected(&desk, 1, &frame, "more was sent");
	frame.segment = 0;
	assert_rejected(&desk, 1, &frame, "comes twice");
	close_desk(&desk);
}

static void early_ops_are_bounded_per_rank(void **state)
{
	struct pccl_frame frame = make_frame(PCCL_FRAME_START, START_BYTES);
	struct desk desk;
	uint32_t count = 0;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	learn_start(&desk);
	while (deliver(&desk, 1, &frame, desk.start) == PCCL_FRAME_TAKE) {
		frame.tag++;
		count++;
	}
	assert_in_range(count, pccl_exec_announced_max(RANKS, 1), pccl_exec_announced_max(RANKS, 1) + 100);
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_REJECT);
	/* Others are not concerned. */
	assert_int_equal(deliver(&desk, 2, &frame, desk.start), PCCL_FRAME_TAKE);
	close_desk(&desk);
}

/* Ops that their rank has given up make room, the oldest first. */
static void refused_ops_make_room_for_new_ones(void **state)
{
	struct pccl_frame frame;
	struct desk desk;
	uint64_t tag;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	learn_start(&desk);
	for (tag = 0; tag < 20000; tag++) {
		frame = make_frame(PCCL_FRAME_START, START_BYTES);
		frame.tag = tag;
		assert_int_equal(deliver(&desk, 1, &frame, desk.start), PCCL_FRAME_TAKE);
		frame = make_frame(PCCL_FRAME_REFUSE, 0);
		frame.tag = tag;
		assert_int_equal(deliver(&desk, 1, &frame, NULL), PCCL_FRAME_TAKE);
	}
	close_desk(&desk);
}

/* Senders of a large op get no further than credit and what they may send unasked. */
static void contributions_beyond_credit_are_rejected(void **state)
{
	struct pccl_frame frame;
	struct desk desk;
	uint8_t *payload = calloc(1, PCCL_SEGMENT_BYTES_MAX);
	uint32_t owned, segment;

	(void)state;
	assert_non_null(payload);
	open_desk(&desk, pcclPlanDirect, 12u << 20);
	learn_start(&desk);
	launch(&desk);
	deliver_start(&desk, 1, 0);
	deliver_start(&desk, 2, 0);
	owned = desk.plan->routes[0].segment_count;
	for (segment = 0; segment < owned; segment++) {
		frame = partial(&desk, segment);
		if (deliver(&desk, 1, &frame, payload) != PCCL_FRAME_TAKE)
			break;
	}
	assert_in_range(segment, 1, owned - 1);
	assert_rejected(&desk, 1, &frame, "more was sent");
	free(payload);
	close_desk(&desk);
}

static void eager_bytes_shrink_with_ranks_and_lanes(void **state)
{
	uint32_t ranks, lanes;

	(void)state;
	assert_int_equal(pccl_exec_eager_bytes(2, 1), PCCL_EXEC_EAGER_BYTES);
	for (ranks = 2; ranks <= PCCL_RANKS_MAX; ranks += 13)
		for (lanes = 1; lanes <= 16; lanes *= 2)
			assert_true((uint64_t)pccl_exec_eager_bytes(ranks, lanes) * PCCL_EXEC_EAGER_OPS * (ranks - 1) *
					    lanes <=
				    PCCL_EXEC_EAGER_POOL_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_of_other_views_are_dropped_or_held),
		cmocka_unit_test(a_frozen_executor_has_nothing_to_say),
		cmocka_unit_test(early_frames_do_not_outlive_their_view),
		cmocka_unit_test(malformed_frames_are_rejected),
		cmocka_unit_test(an_op_starts_once),
		cmocka_unit_test(ops_that_others_launched_before_an_update_are_missed),
		cmocka_unit_test(segments_outside_the_plan_are_rejected),
		cmocka_unit_test(nobody_is_done_before_everybody_has_started),
		cmocka_unit_test(a_misfit_from_before_start_is_found_out),
		cmocka_unit_test(early_frames_are_bounded_in_bytes),
		cmocka_unit_test(early_frames_are_bounded_in_number),
		cmocka_unit_test(early_ops_are_bounded_per_rank),
		cmocka_unit_test(refused_ops_make_room_for_new_ones),
		cmocka_unit_test(contributions_beyond_credit_are_rejected),
		cmocka_unit_test(eager_bytes_shrink_with_ranks_and_lanes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
