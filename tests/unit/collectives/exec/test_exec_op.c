/* One op of one executor, step by step: credit, its end, what is known about it, and doing without memory. */
#include <pccl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/crc32c.h"
#include "collectives/codec/codec.h"
#include "lib/allocations.h"
#include "lib/bits.h"
#include "lib/check.h"
#include "lib/exec_desk.h"

/* ---- flow control from the sender's side ------------------------------------------------------------------------- */

static void a_sender_stops_where_credit_ends(void **state)
{
	struct pccl_frame credit = make_frame(PCCL_FRAME_CREDIT, 0);
	uint32_t partials, results, dones, shard;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 12u << 20);
	learn_start(&desk);
	launch(&desk);
	shard = desk.plan->routes[1].segment_count;
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(partials, 0); /* segments are larger than what may be sent unasked */
	deliver_start(&desk, 1, 3);
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(partials, 3);
	credit.aux = 5;
	assert_int_equal(deliver(&desk, 1, &credit, NULL), PCCL_FRAME_TAKE);
	assert_int_equal(deliver(&desk, 1, &credit, NULL), PCCL_FRAME_TAKE); /* a total: repeating gives nothing */
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(partials, 2);
	credit.aux = 4;
	assert_int_equal(deliver(&desk, 1, &credit, NULL), PCCL_FRAME_TAKE); /* nor does going back */
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(partials, 0);
	credit.aux = UINT32_MAX;
	assert_int_equal(deliver(&desk, 1, &credit, NULL), PCCL_FRAME_TAKE);
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(partials, shard - 5);
	close_desk(&desk);
}

/* Credit may overtake START. */
static void credit_before_start_counts_when_start_is_here(void **state)
{
	struct pccl_frame credit = make_frame(PCCL_FRAME_CREDIT, 0);
	uint32_t partials, results, dones;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 12u << 20);
	learn_start(&desk);
	launch(&desk);
	credit.aux = 4;
	assert_int_equal(deliver(&desk, 1, &credit, NULL), PCCL_FRAME_TAKE);
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(partials, 0);
	deliver_start(&desk, 1, 2);
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(partials, 4);
	close_desk(&desk);
}

/* ---- checksums --------------------------------------------------------------------------------------------------- */

/* A result made here goes to both others. */
static void expect_checksums(uint32_t unchecked_ranks, bool expected)
{
	const struct pccl_route *route;
	struct pccl_frame_send send;
	struct pccl_frame frame;
	struct desk desk;
	uint32_t rank, results;

	open_desk(&desk, pcclPlanDirect, 12u << 10); /* a segment for each rank */
	desk.unchecked_ranks = unchecked_ranks;
	learn_start(&desk);
	for (route = desk.plan->routes; route->input_count == 0; route++)
		;
	launch(&desk);
	for (rank = 1; rank < RANKS; rank++) {
		deliver_start(&desk, rank, 1);
		frame = partial(&desk, route->first_segment);
		assert_int_equal(deliver(&desk, rank, &frame, desk.input), PCCL_FRAME_TAKE);
	}
	for (rank = 1; rank < RANKS; rank++) {
		results = 0;
		while (pccl_exec_next(desk.exec, rank, &send)) {
			if (send.frame.type != PCCL_FRAME_RESULT)
				continue;
			results++;
			assert_int_equal(send.frame.payload_crc,
					 expected ? pccl_crc32c(0, send.payload, send.frame.payload_bytes) : 0);
		}
		assert_int_equal(results, 1);
	}
	close_desk(&desk);
}

static void a_checksum_is_taken_once_for_several_that_get_one(void **state)
{
	(void)state;
	expect_checksums(0, true);
	expect_checksums(1u << 1, false); /* the carrier takes it for the only one */
	expect_checksums(1u << 2, false);
	expect_checksums(1u << 1 | 1u << 2, false);
}

/* ---- a whole op, by hand ----------------------------------------------------------------------------------------- */

static void an_op_ends_when_all_are_done(void **state)
{
	struct pccl_frame done = make_frame(PCCL_FRAME_DONE, 0), frame;
	struct pccl_exec_outcome outcome;
	uint32_t partials, results, dones, rank;
	float twos[100], thirds[100];
	struct desk desk;
	int index;

	(void)state;
	for (index = 0; index < 100; index++) {
		twos[index] = 2;
		thirds[index] = 4;
	}
	open_desk(&desk, pcclPlanOneshot, 100);
	learn_start(&desk);
	launch(&desk);
	for (rank = 1; rank < RANKS; rank++) {
		deliver_start(&desk, rank, 1);
		frame = partial(&desk, 0);
		assert_int_equal(deliver(&desk, rank, &frame, rank == 1 ? twos : thirds), PCCL_FRAME_TAKE);
		take_all(&desk, rank, &partials, &results, &dones);
		assert_int_equal(partials, 1);
		assert_int_equal(results, 0);
	}
	take_all(&desk, 1, &partials, &results, &dones);
	assert_int_equal(dones, 1);
	for (index = 0; index < 100; index++)
		assert_true(desk.output[index] == 7);
	assert_int_equal(deliver(&desk, 1, &done, NULL), PCCL_FRAME_TAKE);
	assert_false(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(deliver(&desk, 2, &done, NULL), PCCL_FRAME_TAKE);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclSuccess);
	assert_ptr_equal(outcome.cookie, &desk);
	assert_false(pccl_exec_poll(desk.exec, &outcome));
	/* What comes late for it is dropped; a later op of the tag is early. */
	assert_int_equal(offer(&desk, 1, &done), PCCL_FRAME_DISCARD);
	frame = make_frame(PCCL_FRAME_START, START_BYTES);
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_DISCARD);
	frame.sequence = 1;
	assert_int_equal(offer(&desk, 1, &frame), PCCL_FRAME_TAKE);
	close_desk(&desk);
}

/* The outcome does not wait for a stream to have room for DONE. */
static void done_goes_out_after_the_op_has_ended(void **state)
{
	struct pccl_frame done = make_frame(PCCL_FRAME_DONE, 0), frame;
	struct pccl_exec_outcome outcome;
	struct pccl_frame_send send;
	float data[100] = {0};
	uint32_t partials, results, dones, rank;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanOneshot, 100);
	learn_start(&desk);
	launch(&desk);
	for (rank = 1; rank < RANKS; rank++)
		take_all(&desk, rank, &partials, &results, &dones);
	for (rank = 1; rank < RANKS; rank++) {
		deliver_start(&desk, rank, 0);
		frame = partial(&desk, 0);
		assert_int_equal(deliver(&desk, rank, &frame, data), PCCL_FRAME_TAKE);
	}
	assert_int_equal(deliver(&desk, 1, &done, NULL), PCCL_FRAME_TAKE);
	assert_int_equal(deliver(&desk, 2, &done, NULL), PCCL_FRAME_TAKE);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclSuccess);
	assert_false(pccl_exec_poll(desk.exec, &outcome));
	assert_true(pccl_exec_next(desk.exec, 2, &send));
	assert_int_equal(send.frame.type, PCCL_FRAME_DONE);
	assert_int_equal(send.frame.tag, TAG);
	assert_false(pccl_exec_wants(desk.exec, 2));
	assert_true(pccl_exec_wants(desk.exec, 1));
	close_desk(&desk);
}

static void waits_for_names_those_who_have_not_started_then_those_not_done(void **state)
{
	struct pccl_frame frame, done = make_frame(PCCL_FRAME_DONE, 0);
	uint32_t partials, results, dones, rank;
	float data[100] = {0};
	uint64_t bits = 0;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanOneshot, 100);
	learn_start(&desk);
	launch(&desk);
	deliver_start(&desk, 2, 0);
	assert_false(pccl_exec_waits_for(desk.exec, &desk, &bits));
	assert_int_equal(bits, 2);
	deliver_start(&desk, 1, 0);
	for (rank = 1; rank < RANKS; rank++) {
		frame = partial(&desk, 0);
		assert_int_equal(deliver(&desk, rank, &frame, data), PCCL_FRAME_TAKE);
		take_all(&desk, rank, &partials, &results, &dones);
	}
	assert_int_equal(deliver(&desk, 1, &done, NULL), PCCL_FRAME_TAKE);
	bits = 0;
	assert_true(pccl_exec_waits_for(desk.exec, &desk, &bits));
	assert_int_equal(bits, 4);
	close_desk(&desk);
}

static void report_tells_what_is_held(void **state)
{
	struct pccl_frame frame;
	float data[20000] = {0};
	uint64_t held[16] = {0};
	bool complete = true;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 30000);
	learn_start(&desk);
	launch(&desk);
	deliver_start(&desk, 1, 0);
	deliver_start(&desk, 2, 0);
	frame = partial(&desk, desk.geometry.segment_count - 1);
	frame.type = PCCL_FRAME_RESULT;
	assert_int_equal(deliver(&desk, 2, &frame, data), PCCL_FRAME_TAKE);
	pccl_exec_freeze(desk.exec);
	pccl_exec_report(desk.exec, &desk, held, &complete);
	assert_false(complete);
	assert_int_equal(bits_set(held, desk.geometry.segment_count), 1);
	assert_true(pccl_bitmap_test(held, desk.geometry.segment_count - 1));
	complete = true;
	pccl_exec_report(desk.exec, &held, held, &complete); /* no such op */
	assert_false(complete);
	close_desk(&desk);
}

/* A refusal of a member although all seem to agree ends the op too: it will not finish. */
/* Rank 0 sends 100 floats to rank 1, or the other way round. */
static void make_transfer(struct desk *desk, bool sends, struct pccl_part *parts)
{
	const uint64_t counts[RANKS] = {0, 100, 0}, none[RANKS] = {0};
	uint32_t count = pccl_parts_make(sends ? counts : none, sends ? none : counts, RANKS, 0, parts);

	open_desk(desk, pcclPlanDirect, 100);
	pccl_plan_destroy(desk->plan);
	pccl_parts_cut(parts, count, 2, sizeof(float), 1, &desk->geometry);
	assert_int_equal(pccl_plan_create(PCCL_TRANSFER, pcclPlanDirect, RANKS, 0, 1, &desk->geometry, &desk->plan),
			 pcclSuccess);
	desk->launch.signature.kind = PCCL_TRANSFER;
	desk->launch.signature.count = 0;
	desk->launch.geometry = desk->geometry;
	desk->launch.plan = desk->plan;
	desk->launch.partner = 1;
	launch(desk);
}

/* Else a sender would have success with a receiver that was lost before anything went there. */
static void a_sender_is_complete_when_all_is_handed_out(void **state)
{
	struct pccl_part parts[2][2 * RANKS];
	struct desk desk, other;
	struct pccl_frame_send send;
	uint64_t held[1] = {0};
	bool complete = true;

	(void)state;
	make_transfer(&other, false, parts[0]);
	assert_true(pccl_exec_next(other.exec, 1, &send));
	memcpy(other.start, send.payload, START_BYTES);
	make_transfer(&desk, true, parts[1]);
	memcpy(desk.start, other.start, START_BYTES);
	deliver_start(&desk, 1, 0);
	assert_true(pccl_exec_next(desk.exec, 1, &send));
	assert_int_equal(send.frame.type, PCCL_FRAME_START);
	pccl_exec_report(desk.exec, &desk, held, &complete);
	assert_false(complete);
	assert_true(pccl_exec_next(desk.exec, 1, &send));
	assert_int_equal(send.frame.type, PCCL_FRAME_RESULT);
	pccl_exec_report(desk.exec, &desk, held, &complete);
	assert_true(complete);
	close_desk(&desk);
	close_desk(&other);
}

static void a_refusal_ends_an_op_that_all_have_started(void **state)
{
	struct pccl_frame refuse = make_frame(PCCL_FRAME_REFUSE, 0);
	struct pccl_exec_outcome outcome;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	learn_start(&desk);
	launch(&desk);
	assert_int_equal(deliver(&desk, 1, &refuse, NULL), PCCL_FRAME_TAKE);
	deliver_start(&desk, 1, 0);
	assert_false(pccl_exec_poll(desk.exec, &outcome)); /* the one who differs may still come */
	deliver_start(&desk, 2, 0);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclMismatch);
	assert_non_null(strstr(outcome.detail, "rank 1 refused tag 70"));
	close_desk(&desk);
}

/* Another lane saw the mismatch; who has a share on this lane only must see it here. */
static void an_op_cancelled_for_a_mismatch_still_tells_the_others(void **state)
{
	struct pccl_exec_outcome outcome;
	struct pccl_frame_send send;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	launch(&desk);
	pccl_exec_cancel(desk.exec, &desk, pcclMismatch, "seen elsewhere", true);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclMismatch);
	assert_false(pccl_exec_poll(desk.exec, &outcome));
	assert_true(pccl_exec_next(desk.exec, 2, &send));
	assert_int_equal(send.frame.type, PCCL_FRAME_START);
	assert_true(pccl_exec_next(desk.exec, 2, &send));
	assert_int_equal(send.frame.type, PCCL_FRAME_REFUSE);
	assert_false(pccl_exec_next(desk.exec, 2, &send));
	assert_true(pccl_exec_wants(desk.exec, 1));
	close_desk(&desk);
}

static void an_op_cancelled_for_another_reason_is_silent(void **state)
{
	struct pccl_exec_outcome outcome;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	launch(&desk);
	pccl_exec_cancel(desk.exec, &desk, pcclTimeout, "too late", true);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclTimeout);
	assert_false(pccl_exec_wants(desk.exec, 1));
	close_desk(&desk);
}

/* A decision that contradicts what is here: the op ends in words, and all its input comes back. */
static void a_commit_of_what_is_not_here_ends_as_a_mismatch(void **state)
{
	struct pccl_exec_outcome outcome;
	float undo[6000], theirs[6000];
	struct pccl_frame frame;
	struct desk desk;
	uint32_t index;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 6000);
	learn_start(&desk);
	desk.launch.output = desk.input;
	desk.launch.undo = undo;
	launch(&desk);
	deliver_start(&desk, 1, 0);
	deliver_start(&desk, 2, 0);
	memset(theirs, 0, sizeof(theirs));
	frame = make_frame(PCCL_FRAME_RESULT, 0);
	frame.segment = desk.plan->routes[1].first_segment;
	frame.payload_bytes = pccl_geometry_elements(&desk.geometry, frame.segment) * 4;
	assert_int_equal(deliver(&desk, 1, &frame, theirs), PCCL_FRAME_TAKE);
	pccl_exec_freeze(desk.exec);
	pccl_exec_cancel(desk.exec, &desk, pcclSuccess, "", false);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclMismatch);
	assert_non_null(strstr(outcome.detail, "does not hold all"));
	for (index = 0; index < 6000; index++)
		assert_true(desk.input[index] == 1);
	close_desk(&desk);
}

/* Nobody took the outcome before the view changed: it is still there, and its memory was let go once. */
static void an_outcome_outlives_its_view(void **state)
{
	struct pccl_exec_outcome outcome;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 3u << 20);
	learn_start(&desk);
	launch(&desk);
	desk.start[0] ^= 1;
	deliver_start(&desk, 1, 0);
	pccl_exec_freeze(desk.exec);
	assert_int_equal(pccl_exec_install(desk.exec, EPOCH + 1, RANKS + 5, 0), pcclSuccess);
	assert_true(pccl_exec_poll(desk.exec, &outcome));
	assert_int_equal(outcome.result, pcclMismatch);
	assert_false(pccl_exec_poll(desk.exec, &outcome));
	assert_false(pccl_exec_wants(desk.exec, 1));
	close_desk(&desk);
}

/* ---- small things ------------------------------------------------------------------------------------------------ */

static void unknown_codecs_are_refused_at_launch(void **state)
{
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	desk.launch.signature.up.id = 200;
	assert_int_equal(pccl_exec_launch(desk.exec, &desk.launch), pcclInvalidArgument);
	desk.launch.signature.up.id = 0;
	launch(&desk);
	close_desk(&desk);
}

static void stale_tokens_and_unknown_cookies_are_ignored(void **state)
{
	struct pccl_frame_send send, other;
	struct desk desk;

	(void)state;
	open_desk(&desk, pcclPlanOneshot, 100);
	desk.launch.signature.up.id = desk.launch.signature.down.id = PCCL_CODEC_BF16; /* then it waits in a slot */
	launch(&desk);
	assert_true(pccl_exec_next(desk.exec, 1, &send));
	assert_true(pccl_exec_next(desk.exec, 1, &other));
	assert_int_equal(other.frame.type, PCCL_FRAME_PARTIAL);
	assert_non_null(other.token);
	pccl_exec_cancel(desk.exec, &send, pcclAborted, "", true); /* no such op */
	pccl_exec_cancel(desk.exec, &desk, pcclAborted, "", true);
	pccl_exec_sent(desk.exec, other.token);
	pccl_exec_sent(desk.exec, NULL);
	pccl_exec_received(desk.exec, 1, &other.frame);
	pccl_exec_dropped(desk.exec, 1, &other.frame);
	close_desk(&desk);
}

static void a_launch_without_memory_leaves_nothing(void **state)
{
	struct pccl_exec_outcome outcome;
	struct desk desk;
	size_t nth;

	(void)state;
	open_desk(&desk, pcclPlanRing, 300000);
	desk.launch.signature.datatype = pcclFloat16;
	for (nth = 1;; nth++) {
		pcclResult_t result;

		check_fail_allocation(nth);
		result = pccl_exec_launch(desk.exec, &desk.launch);
		if (!check_allocation_failed()) {
			check_fail_allocation(0);
			assert_int_equal(result, pcclSuccess);
			break;
		}
		assert_int_equal(result, pcclOutOfMemory);
		assert_false(pccl_exec_poll(desk.exec, &outcome));
		assert_false(pccl_exec_wants(desk.exec, 1));
	}
	assert_in_range(nth, 2, 10);
	close_desk(&desk);
}

#define MANY 1000

/* How many allocations that many ops take, one after the other. */
static size_t allocations_of(struct desk *desk, unsigned ops)
{
	struct pccl_exec_outcome outcome;
	size_t left;
	unsigned i;

	check_fail_allocation(MANY * MANY);
	for (i = 0; i < ops; i++) {
		desk->launch.key.sequence++;
		launch(desk);
		pccl_exec_cancel(desk->exec, desk, pcclTimeout, "too late", true);
		assert_true(pccl_exec_poll(desk->exec, &outcome));
	}
	left = check_allocations_left();
	check_fail_allocation(0);
	return MANY * MANY - left;
}

static void ops_that_have_ended_leave_their_places(void **state)
{
	struct desk desk;
	size_t first;

	(void)state;
	open_desk(&desk, pcclPlanDirect, 100);
	first = allocations_of(&desk, 1);
	assert_int_equal(allocations_of(&desk, MANY), MANY * first);
	close_desk(&desk);
}

static void an_executor_without_memory_is_refused(void **state)
{
	struct pccl_exec_config config = {.lanes = 1};
	struct pccl_exec *exec = NULL;
	size_t nth;

	(void)state;
	for (nth = 1;; nth++) {
		pcclResult_t result;
		bool failed;

		check_fail_allocation(nth);
		result = pccl_exec_create(&config, &exec);
		if (result == pcclSuccess)
			result = pccl_exec_install(exec, EPOCH, RANKS, 0);
		failed = check_allocation_failed();
		check_fail_allocation(0);
		pccl_exec_destroy(exec);
		assert_int_equal(result, failed ? pcclOutOfMemory : pcclSuccess);
		if (!failed)
			break;
	}
	assert_in_range(nth, 4, 20);
	pccl_exec_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sender_stops_where_credit_ends),
		cmocka_unit_test(credit_before_start_counts_when_start_is_here),
		cmocka_unit_test(a_checksum_is_taken_once_for_several_that_get_one),
		cmocka_unit_test(an_op_ends_when_all_are_done),
		cmocka_unit_test(done_goes_out_after_the_op_has_ended),
		cmocka_unit_test(waits_for_names_those_who_have_not_started_then_those_not_done),
		cmocka_unit_test(report_tells_what_is_held),
		cmocka_unit_test(a_sender_is_complete_when_all_is_handed_out),
		cmocka_unit_test(a_refusal_ends_an_op_that_all_have_started),
		cmocka_unit_test(an_op_cancelled_for_a_mismatch_still_tells_the_others),
		cmocka_unit_test(an_op_cancelled_for_another_reason_is_silent),
		cmocka_unit_test(a_commit_of_what_is_not_here_ends_as_a_mismatch),
		cmocka_unit_test(an_outcome_outlives_its_view),
		cmocka_unit_test(unknown_codecs_are_refused_at_launch),
		cmocka_unit_test(stale_tokens_and_unknown_cookies_are_ignored),
		cmocka_unit_test(a_launch_without_memory_leaves_nothing),
		cmocka_unit_test(ops_that_have_ended_leave_their_places),
		cmocka_unit_test(an_executor_without_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
