/* Connections to the master that end without a word: who comes back, who is dead, and who says so. */
#include <string.h>

#include "lib/check.h"
#include "lib/small_world.h"

#define GRACE_MS 2000

/* Peers 0 ... count - 1 as members of group 0, in epoch 2. They have been for a while. */
static void gather(struct small_world *world, uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		small_join(world, index, 0, 1);
	small_settle(world);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_pass(world, 100);
	for (index = 0; index < count; index++)
		assert_int_equal(small_size(world, index), count);
	assert_int_equal(small_epoch(world, 0), 2);
}

/* Nobody was disturbed. */
static void assert_untouched(const struct small_world *world, uint32_t count)
{
	uint32_t index;

	assert_int_equal(world->message_count[PCCL_MESSAGE_PREPARE], 1 + count);
	for (index = 0; index < count; index++) {
		assert_int_equal(small_epoch(world, index), 2);
		assert_int_equal(small_size(world, index), count);
		assert_false(world->peers[index].ended);
	}
}

static void member_whose_connection_is_reset_takes_its_seat_again(void **state)
{
	struct small_world *world = *state;
	uint32_t round;

	gather(world, 3);
	for (round = 0; round < 12; round++) {
		small_reset(world, round % 3);
		small_settle(world); /* at once: no time passes */
		assert_true(world->peers[round % 3].connection != 0);
		small_pass(world, 300);
	}
	small_pass(world, 2 * GRACE_MS);
	assert_untouched(world, 3);
}

static void joint_call_goes_on_over_a_reset(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	gather(world, 3);
	small_vote(world, 0, PCCL_VOTE_OPTIMIZE);
	small_vote(world, 1, PCCL_VOTE_OPTIMIZE);
	small_reset(world, 0);
	small_pass(world, 500);
	assert_false(world->peers[0].voted);
	small_vote(world, 2, PCCL_VOTE_OPTIMIZE);
	small_settle(world);
	for (index = 0; index < 3; index++) {
		assert_true(world->peers[index].voted);
		assert_int_equal(world->peers[index].vote_result, pcclSuccess);
	}
	assert_untouched(world, 3);
}

static void who_does_not_come_back_goes_after_the_grace(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	world->peers[2].paused = true;
	small_hang_up(world, 2);
	small_pass(world, GRACE_MS - 100);
	assert_int_equal(small_size(world, 0), 3);
	small_pass(world, 200);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 1), 2);
}

static void whose_links_have_broken_as_well_is_dead_at_once(void **state)
{
	struct small_world *world = *state;

	gather(world, 4);
	small_kill(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_size(world, 3), 3);
}

static void links_may_be_seen_to_break_first(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_link(world, 0, 2, true);
	small_link(world, 1, 2, true);
	small_settle(world);
	assert_untouched(world, 3);
	world->peers[2].paused = true;
	small_hang_up(world, 2);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 2);
}

/* Nor would a member that lies. */
static void one_alone_says_nobody_dead(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_link(world, 0, 2, true);
	world->peers[2].paused = true;
	small_hang_up(world, 2);
	small_pass(world, GRACE_MS - 100);
	assert_int_equal(small_size(world, 0), 3);
	world->peers[2].paused = false;
	small_reset(world, 2);
	small_pass(world, GRACE_MS);
	assert_untouched(world, 3);
}

/* Though it is the only one whose own connection has not broken. */
static void one_of_three_alone_says_nobody_dead_when_two_are_reset(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_link(world, 0, 1, true);
	small_link(world, 0, 2, true);
	small_reset(world, 1);
	small_reset(world, 2);
	small_pass(world, 2 * GRACE_MS);
	assert_untouched(world, 3);
}

static void of_two_the_other_one_says(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_kill(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 1);
}

static void links_that_are_up_again_count_no_more(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_link(world, 0, 2, true);
	small_link(world, 1, 2, true);
	small_pass(world, 10);
	small_link(world, 1, 2, false);
	small_pass(world, 10);
	small_reset(world, 2);
	small_pass(world, 2 * GRACE_MS);
	assert_untouched(world, 3);
}

static void broken_links_to_one_whose_connection_is_up_mean_nothing(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_link(world, 0, 2, true);
	small_link(world, 1, 2, true);
	small_pass(world, 3 * GRACE_MS);
	assert_untouched(world, 3);
}

/* Rank 1 was said to be broken, by all, and now another member has that rank. */
static void what_was_said_in_a_former_view_counts_no_more(void **state)
{
	struct small_world *world = *state;

	gather(world, 4);
	small_kill(world, 1);
	small_pass(world, 100);
	assert_int_equal(small_epoch(world, 2), 3);
	small_reset(world, 2);
	small_pass(world, 2 * GRACE_MS);
	assert_int_equal(small_epoch(world, 2), 3);
	assert_int_equal(small_size(world, 2), 3);
}

static void reset_during_a_view_change_costs_nobody_the_view(void **state)
{
	struct small_world *world = *state;

	gather(world, 4);
	world->peers[0].slow_freeze = true;
	small_kill(world, 3);
	small_settle(world);
	small_reset(world, 2);
	small_pass(world, 10);
	small_reset(world, 1);
	small_pass(world, 10);
	small_freeze_done(world, 0);
	small_pass(world, 10);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_size(world, 1), 3);
	assert_int_equal(small_size(world, 2), 3);
}

/* Others wait for it each time. */
static void patience_with_one_that_breaks_again_and_again_ends(void **state)
{
	struct small_world *world = *state;
	uint32_t round;

	gather(world, 3);
	for (round = 0; round < 40; round++) {
		small_reset(world, 1);
		small_pass(world, 1000);
	}
	assert_untouched(world, 3);
	for (round = 0; round < 40 && !world->peers[1].ended; round++) {
		small_reset(world, 1);
		small_pass(world, 60);
	}
	assert_in_range(round, 10, 25);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 0), 2);
}

static void master_that_slept_gives_the_same_time_to_come_back(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	world->peers[2].paused = true;
	small_hang_up(world, 2);
	small_settle(world);
	world->now_ns += 10000 * SMALL_MS;
	world->peers[2].paused = false;
	small_reset(world, 2);
	small_pass(world, 100);
	assert_untouched(world, 3);
}

/* A master that has forgotten the group hears it too; but who is left alone has to wait. */
static void death_on_the_way_back_is_noticed(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_master_crash(world, 0);
	small_kill(world, 2);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 200);
	small_kill(world, 0);
	small_pass(world, 3 * GRACE_MS);
	assert_int_equal(small_size(world, 1), 1);
	assert_false(world->peers[1].ended);
}

/* Two members of two masters, of which the first loses its connection for good. */
static void lose_the_first(struct small_world *world, bool linked)
{
	uint32_t index;

	small_master_start(world, 1);
	for (index = 0; index < 2; index++)
		small_join(world, index, 0, 2);
	small_pass(world, 1000);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_pass(world, 100);
	assert_int_equal(small_size(world, 1), 2);
	if (linked)
		small_linked(world, 1);
	world->peers[0].paused = true;
	small_hang_up(world, 0);
	small_pass(world, 2 * GRACE_MS);
}

/* It may go on at the other one. */
static void with_several_masters_the_grace_ends_without_a_death(void **state)
{
	struct small_world *world = *state;

	lose_the_first(world, true);
	assert_int_equal(small_size(world, 1), 2);
}

/* It died when it was about to join. */
static void with_several_masters_one_that_nobody_saw_is_dead_after_the_grace(void **state)
{
	struct small_world *world = *state;

	lose_the_first(world, false);
	assert_int_equal(small_size(world, 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(member_whose_connection_is_reset_takes_its_seat_again, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(joint_call_goes_on_over_a_reset, small_open, small_close),
		cmocka_unit_test_setup_teardown(who_does_not_come_back_goes_after_the_grace, small_open, small_close),
		cmocka_unit_test_setup_teardown(whose_links_have_broken_as_well_is_dead_at_once, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(links_may_be_seen_to_break_first, small_open, small_close),
		cmocka_unit_test_setup_teardown(one_alone_says_nobody_dead, small_open, small_close),
		cmocka_unit_test_setup_teardown(one_of_three_alone_says_nobody_dead_when_two_are_reset, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(of_two_the_other_one_says, small_open, small_close),
		cmocka_unit_test_setup_teardown(links_that_are_up_again_count_no_more, small_open, small_close),
		cmocka_unit_test_setup_teardown(broken_links_to_one_whose_connection_is_up_mean_nothing, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(what_was_said_in_a_former_view_counts_no_more, small_open, small_close),
		cmocka_unit_test_setup_teardown(reset_during_a_view_change_costs_nobody_the_view, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(patience_with_one_that_breaks_again_and_again_ends, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(master_that_slept_gives_the_same_time_to_come_back, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(death_on_the_way_back_is_noticed, small_open, small_close),
		cmocka_unit_test_setup_teardown(with_several_masters_the_grace_ends_without_a_death, small_open,
						small_close),
		cmocka_unit_test_setup_teardown(with_several_masters_one_that_nobody_saw_is_dead_after_the_grace,
						small_open, small_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
