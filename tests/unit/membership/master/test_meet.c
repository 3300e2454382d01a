/* Introductions: who is reached by whom before a view has both, and what becomes of those who are not. */
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/small_world.h"

/* Between the two no link can be made. */
static void part(struct small_world *world, uint32_t left, uint32_t right, bool parted)
{
	world->parted[left < right ? left : right][left < right ? right : left] = parted;
}

static void newcomers_meet_all_members_and_each_other_before_they_join(void **state)
{
	struct small_world *world = *state;
	uint32_t mets;

	small_gather(world, 3);
	mets = world->message_count[PCCL_MESSAGE_MET];
	small_join(world, 3, 0, 1);
	small_join(world, 4, 0, 1);
	small_settle(world);
	assert_int_equal(world->message_count[PCCL_MESSAGE_MET] - mets, 2 * (3 + 4));
	assert_int_equal(small_size(world, 3), 0);
	small_update(world, 5);
	assert_int_equal(small_size(world, 3), 5);
	assert_int_equal(small_size(world, 0), 5);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 0);
}

static void who_is_not_reached_waits_and_others_join(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 3);
	part(world, 1, 3, true);
	small_join(world, 3, 0, 1);
	small_settle(world);
	small_join(world, 4, 0, 1);
	small_settle(world);
	small_update(world, 5);
	assert_int_equal(small_size(world, 0), 4);
	assert_int_equal(small_size(world, 4), 4);
	assert_int_equal(small_size(world, 3), 0);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 1);
	part(world, 1, 3, false);
	small_pass(world, 1100);
	small_update(world, 5);
	assert_int_equal(small_size(world, 3), 5);
}

/* 1 s, 2 s, 4 s and so on to 64 s. */
static void who_is_not_reached_is_tried_again_less_and_less_often(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	part(world, 0, 2, true);
	small_join(world, 2, 0, 1);
	small_settle(world);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 1);
	small_pass(world, 900);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 1);
	small_pass(world, 200);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 2);
	small_pass(world, 126000 - 1100);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 7);
	small_pass(world, 2000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 8);
	small_pass(world, 62000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 8);
	small_pass(world, 2000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 9);
}

/* Whoever it was that kept it out. */
static void newcomer_is_tried_at_once_when_who_did_not_reach_it_is_gone(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 3);
	part(world, 1, 3, true);
	small_join(world, 3, 0, 1);
	small_pass(world, 20000);
	assert_in_range(world->message_count[PCCL_MESSAGE_UNMET], 3, 8);
	small_kill(world, 1);
	small_settle(world);
	small_update(world, 4);
	assert_int_equal(small_size(world, 3), 3);
}

static void newcomer_hears_whom_it_can_not_reach_and_its_caller_too(void **state)
{
	struct small_world *world = *state;

	world->admission_timeout_ns = 5000 * SMALL_MS;
	small_gather(world, 3);
	part(world, 2, 3, true);
	small_join(world, 3, 0, 1);
	small_pass(world, 4000);
	assert_false(world->peers[3].ended);
	small_pass(world, 2000);
	assert_true(world->peers[3].ended);
	assert_int_equal(world->peers[3].end_result, pcclTimeout);
	assert_non_null(strstr(world->peers[3].end_text, "1 of 3 members and this peer can't reach each other"));
	assert_non_null(strstr(world->peers[3].end_text, "rank 2"));
	assert_non_null(strstr(world->peers[3].end_text, "connection refused"));
}

/* Members end their links to it, over which it may be reading what they lend. */
static void members_hear_of_a_newcomer_that_has_to_go(void **state)
{
	struct small_world *world = *state;
	uint32_t meets, mets;

	small_gather(world, 2);
	small_join(world, 2, 0, 1);
	small_settle(world);
	small_join(world, 3, 0, 1);
	small_settle(world);
	meets = world->message_count[PCCL_MESSAGE_MEET];
	mets = world->message_count[PCCL_MESSAGE_MET];
	small_dismiss(world, 2);
	small_settle(world);
	assert_true(world->peers[2].ended);
	assert_int_equal(world->message_count[PCCL_MESSAGE_MEET] - meets, 3); /* two members and a newcomer */
	assert_int_equal(world->message_count[PCCL_MESSAGE_MET], mets);
}

/* A newcomer joins and goes: how many are told of somebody then. */
static uint32_t told_when(struct small_world *world, uint32_t index,
			  void (*goes)(struct small_world *world, uint32_t index))
{
	uint32_t meets;

	small_join(world, index, 0, 1);
	small_settle(world);
	meets = world->message_count[PCCL_MESSAGE_MEET];
	goes(world, index);
	small_pass(world, 500);
	return world->message_count[PCCL_MESSAGE_MEET] - meets;
}

/* It may keep its links, whatever it says. */
static void members_hear_of_a_newcomer_that_is_gone(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	assert_int_equal(told_when(world, 2, small_leave), 2);
	assert_int_equal(told_when(world, 3, small_lose_connection), 2 + 3); /* it is back, and introduced */
	small_leave(world, 3);
	small_settle(world);
	assert_int_equal(told_when(world, 4, small_hang_up), 2);
}

static void update_waits_a_second_for_links_and_no_longer(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	world->peers[1].slow_meet = true;
	small_join(world, 2, 0, 1);
	small_settle(world);
	small_update(world, 2);
	assert_true(world->peers[0].voting && world->peers[1].voting);
	small_pass(world, 950);
	assert_true(world->peers[0].voting);
	small_pass(world, 100);
	assert_false(world->peers[0].voting);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	assert_int_equal(small_size(world, 0), 2);
	/* The next one does not wait for it at all. */
	small_update(world, 2);
	assert_false(world->peers[0].voting);
}

/* One newcomer after the other makes members wait no longer than one does. */
static void newcomers_in_a_row_hold_an_update_once(void **state)
{
	struct small_world *world = *state;
	uint32_t index, voted;

	small_gather(world, 2);
	voted = world->message_count[PCCL_MESSAGE_VOTED];
	world->peers[1].slow_meet = true;
	for (index = 2; index < 6; index++) {
		assert_int_equal(world->message_count[PCCL_MESSAGE_VOTED], voted);
		small_join(world, index, 0, 1);
		small_settle(world);
		if (index == 2)
			small_update(world, 2);
		small_pass(world, 300);
	}
	assert_int_equal(world->message_count[PCCL_MESSAGE_VOTED], voted + 2);
}

/* The answer is lost with all connections: the update is made again, and has waited already. */
static void update_whose_answer_is_lost_does_not_wait_again(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 1);
	world->peers[0].slow_meet = true;
	small_join(world, 1, 0, 1);
	small_settle(world);
	small_update(world, 1);
	small_pass(world, 950);
	assert_true(world->peers[0].voting);
	world->peers[0].cut_from_master = 1;
	small_pass(world, 100);
	assert_true(world->peers[0].voting);
	world->peers[0].cut_from_master = 0;
	small_reset(world, 0);
	small_pass(world, 10);
	assert_false(world->peers[0].voting);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
}

/* None from there is admitted now: why wait for whether it can be reached? */
static void update_does_not_wait_for_who_is_kept_out(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	world->origin = 7;
	small_join(world, 2, 0, 1);
	world->peers[2].unprepared = true;
	small_settle(world);
	small_update(world, 2);
	small_pass(world, 1050);
	assert_false(world->peers[0].voting);
	world->peers[1].slow_meet = true;
	small_join(world, 3, 0, 1);
	small_settle(world);
	small_update(world, 2);
	assert_false(world->peers[0].voting);
}

static void nobody_is_pending_who_is_known_not_to_be_reached(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	part(world, 0, 2, true);
	small_join(world, 2, 0, 1);
	small_settle(world);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_true(world->peers[0].voted && !world->peers[0].vote_value);
}

/* They join one after the other, for then one is a member that the other can't reach. */
static void newcomers_that_do_not_reach_each_other_do_not_join_together(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	part(world, 2, 3, true);
	small_join(world, 2, 0, 1);
	small_join(world, 3, 0, 1);
	small_settle(world);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 0);
	small_update(world, 4);
	assert_int_equal(small_size(world, 2), 3);
	assert_int_equal(small_size(world, 3), 0);
	small_pass(world, 100);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 1);
}

/* What an earlier newcomer says of a later one keeps nobody out. */
static void newcomer_that_says_it_reaches_nobody_keeps_only_itself_out(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	small_join(world, 2, 0, 1);
	world->peers[2].says_unmet = true;
	small_settle(world);
	small_join(world, 3, 0, 1);
	small_settle(world);
	small_update(world, 4);
	assert_int_equal(small_size(world, 3), 3);
	assert_int_equal(small_size(world, 2), 0);
	assert_int_equal(small_size(world, 0), 3);
}

/* It does not stop the group from growing for ever: others reach the newcomers. */
static void member_that_says_it_reaches_nobody_goes_in_the_end(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	small_gather(world, 4);
	world->peers[2].says_unmet = true;
	for (index = 4; index < 10; index++) {
		assert_false(world->peers[2].ended);
		small_join(world, index, 0, 1);
		small_settle(world);
	}
	small_pass(world, 100);
	assert_true(world->peers[2].ended);
	assert_int_equal(world->peers[2].end_result, pcclEvicted);
	assert_non_null(strstr(world->peers[2].end_text, "did not reach any of many newcomers"));
	small_update(world, 10);
	assert_int_equal(small_size(world, 0), 9);
}

/* One newcomer, however often it tries, and one that only half of the members reach, charge nobody. */
static void member_is_not_charged_for_one_newcomer_that_it_does_not_reach(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 3);
	part(world, 2, 3, true);
	small_join(world, 3, 0, 1);
	small_pass(world, 600000);
	assert_false(world->peers[2].ended);
	assert_int_equal(small_size(world, 0), 3);
}

static void member_that_comes_back_is_met_again(void **state)
{
	struct small_world *world = *state;
	uint32_t mets;

	small_gather(world, 3);
	small_join(world, 3, 0, 1);
	small_settle(world);
	mets = world->message_count[PCCL_MESSAGE_MET];
	small_lose_connection(world, 1);
	small_pass(world, 1000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_MET] - mets, 2);
	small_update(world, 4);
	assert_int_equal(small_size(world, 3), 4);
}

/* ---- who does not want in yet --------------------------------------------------------------------------------- */

static void defer(struct small_world *world, uint32_t index, bool deferred)
{
	struct pccl_peer_event ready = {.type = PCCL_PEER_READY};

	world->defers = deferred;
	if (deferred)
		small_join(world, index, 0, 1);
	else
		small_event(world, index, &ready);
	world->defers = false;
}

static void who_defers_is_met_and_neither_awaited_nor_admitted_nor_pending(void **state)
{
	struct small_world *world = *state;
	uint32_t mets;

	small_gather(world, 2);
	mets = world->message_count[PCCL_MESSAGE_MET];
	defer(world, 2, true);
	small_settle(world);
	assert_int_equal(world->message_count[PCCL_MESSAGE_DEFER], 1);
	assert_int_equal(world->message_count[PCCL_MESSAGE_MET] - mets, 2 * 2);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_true(world->peers[0].voted && !world->peers[0].vote_value);
	small_update(world, 2); /* at once, for time stands still */
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 2), 0);
	defer(world, 2, false);
	defer(world, 2, false); /* which says nothing new */
	small_settle(world);
	assert_int_equal(world->message_count[PCCL_MESSAGE_DEFER], 2);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_true(world->peers[0].vote_value);
	small_update(world, 3);
	assert_int_equal(small_size(world, 2), 3);
}

/* Others come in meanwhile. And when all members are gone, it founds the group as soon as it is ready. */
static void who_defers_holds_nobody_up_and_founds_the_group_in_the_end(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	defer(world, 2, true);
	small_settle(world);
	small_join(world, 3, 0, 1);
	small_settle(world);
	small_update(world, 4);
	assert_int_equal(small_size(world, 3), 3);
	small_leave(world, 0);
	small_leave(world, 1);
	small_leave(world, 3);
	small_settle(world);
	assert_int_equal(small_size(world, 2), 0);
	defer(world, 2, false);
	small_settle(world);
	assert_int_equal(small_size(world, 2), 1);
}

/* The next master has not heard it. */
static void who_defers_says_so_to_each_master_it_comes_to(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	defer(world, 2, true);
	small_settle(world);
	small_reset(world, 2);
	small_pass(world, 3000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_DEFER], 2);
	small_update(world, 3);
	assert_int_equal(small_size(world, 0), 2);
	/* Without a connection it is ready: the next registration is one like any other. */
	small_hang_up(world, 2);
	small_lose_connection(world, 2);
	defer(world, 2, false);
	small_pass(world, 3000);
	small_update(world, 3);
	assert_int_equal(world->message_count[PCCL_MESSAGE_DEFER], 2);
	assert_int_equal(small_size(world, 2), 3);
}

/* The founder of a group has nobody to wait for. */
static void who_defers_founds_a_group_at_once(void **state)
{
	struct small_world *world = *state;

	defer(world, 0, true);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 1);
	small_join(world, 1, 0, 1);
	small_settle(world);
	small_update(world, 2);
	assert_int_equal(small_size(world, 0), 2);
}

/* All from whom it wanted something are gone, and nobody tells it that it is ready. */
static void who_defers_founds_a_group_whose_members_do_not_come_back(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	defer(world, 2, true);
	small_settle(world);
	small_kill(world, 0);
	small_kill(world, 1);
	small_pass(world, 5000);
	assert_int_equal(small_size(world, 2), 0);
	assert_false(world->peers[2].ended);
	small_pass(world, 60000);
	assert_false(world->peers[2].ended);
	assert_int_equal(small_size(world, 2), 1);
	defer(world, 2, false);
	small_settle(world);
	assert_int_equal(world->message_count[PCCL_MESSAGE_DEFER], 2);
}

/* The others are newcomers like any: they wait for the next update, and it for them. */
static void few_of_one_origin_defer_at_a_time(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	small_gather(world, 1);
	world->origin = 7;
	for (index = 1; index < 12; index++)
		defer(world, index, true);
	world->origin = 8;
	defer(world, 12, true);
	small_settle(world);
	small_update(world, 1);
	assert_int_equal(small_size(world, 0), 1 + 11 - 8);
	defer(world, 1, false);
	small_settle(world);
	small_update(world, 12);
	assert_int_equal(small_size(world, 1), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, small_open, small_close)
		TEST(newcomers_meet_all_members_and_each_other_before_they_join),
		TEST(who_is_not_reached_waits_and_others_join),
		TEST(who_is_not_reached_is_tried_again_less_and_less_often),
		TEST(newcomer_is_tried_at_once_when_who_did_not_reach_it_is_gone),
		TEST(newcomer_hears_whom_it_can_not_reach_and_its_caller_too),
		TEST(members_hear_of_a_newcomer_that_has_to_go),
		TEST(members_hear_of_a_newcomer_that_is_gone),
		TEST(update_waits_a_second_for_links_and_no_longer),
		TEST(newcomers_in_a_row_hold_an_update_once),
		TEST(update_whose_answer_is_lost_does_not_wait_again),
		TEST(update_does_not_wait_for_who_is_kept_out),
		TEST(nobody_is_pending_who_is_known_not_to_be_reached),
		TEST(newcomers_that_do_not_reach_each_other_do_not_join_together),
		TEST(newcomer_that_says_it_reaches_nobody_keeps_only_itself_out),
		TEST(member_that_says_it_reaches_nobody_goes_in_the_end),
		TEST(member_is_not_charged_for_one_newcomer_that_it_does_not_reach),
		TEST(member_that_comes_back_is_met_again),
		TEST(who_defers_is_met_and_neither_awaited_nor_admitted_nor_pending),
		TEST(who_defers_holds_nobody_up_and_founds_the_group_in_the_end),
		TEST(who_defers_says_so_to_each_master_it_comes_to),
		TEST(who_defers_founds_a_group_at_once),
		TEST(who_defers_founds_a_group_whose_members_do_not_come_back),
		TEST(few_of_one_origin_defer_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
