/* Bundles: ranks whose groups are joined together or not at all. */
#include <string.h>

#include "lib/check.h"
#include "lib/small_world.h"

static void bundle_waits_until_it_is_whole(void **state)
{
	struct small_world *world = *state;

	small_join_bundle(world, 0, 0, 9, 2);
	small_pass(world, 500);
	assert_int_equal(small_size(world, 0), 0);
	small_join_bundle(world, 1, 1, 9, 2);
	small_join_bundle(world, 2, 2, 5, 0); /* of nobody, says somebody */
	small_settle(world);
	assert_int_equal(small_size(world, 0), 1);
	assert_int_equal(small_size(world, 1), 1);
	assert_int_equal(small_size(world, 2), 1);
}

/* As long as its admission time-out lets it, which is told why. No master can do anything about it. */
static void rank_waits_for_its_bundle_as_long_as_it_takes(void **state)
{
	struct small_world *world = *state;

	world->admission_timeout_ns = 60000 * SMALL_MS;
	small_join_bundle(world, 0, 0, 9, 3);
	world->admission_timeout_ns = 0;
	small_join_bundle(world, 1, 1, 9, 3);
	small_pass(world, 40000);
	assert_false(world->peers[0].ended || world->peers[1].ended);
	assert_int_equal(world->message_count[PCCL_MESSAGE_STALLED], 0);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 2);
	small_pass(world, 30000);
	assert_int_equal(world->peers[0].end_result, pcclTimeout);
	assert_non_null(strstr(world->peers[0].end_text, "2 of 3 ranks of bundle 9 are here"));
	small_join_bundle(world, 2, 0, 9, 3);
	small_join_bundle(world, 3, 0, 9, 3);
	small_settle(world);
	assert_int_equal(small_size(world, 1), 1);
	assert_int_equal(small_size(world, 2), 2);
}

/* Of its group it would be the first: that has nobody to wait for, but for those that the other rank joins. */
static void whole_bundle_waits_for_an_update_as_long_as_it_takes(void **state)
{
	struct small_world *world = *state;

	small_join(world, 0, 0, 1);
	small_join_bundle(world, 1, 0, 9, 2);
	small_join_bundle(world, 2, 1, 9, 2);
	small_pass(world, 40000);
	assert_false(world->peers[1].ended || world->peers[2].ended);
	assert_int_equal(world->message_count[PCCL_MESSAGE_STALLED], 0);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 1), 2);
	assert_int_equal(small_size(world, 2), 1);
}

/* It waits for its group's update, and not for them any more. */
static void rank_hears_that_the_others_have_come(void **state)
{
	struct small_world *world = *state;

	small_join(world, 0, 0, 1);
	world->admission_timeout_ns = 60000 * SMALL_MS;
	small_join_bundle(world, 1, 0, 9, 2);
	small_pass(world, 20000);
	small_join_bundle(world, 2, 1, 9, 2);
	small_pass(world, 20000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_UNMET], 2); /* the other one has nothing to unlearn */
	small_pass(world, 50000);
	assert_int_equal(world->peers[1].end_result, pcclTimeout);
	assert_null(strstr(world->peers[1].end_text, "1 of 2"));
	assert_non_null(strstr(world->peers[1].end_text, "2 of 2 ranks of bundle 9 are here"));
}

/* Its group has members, who are away: that is another matter, as for any newcomer. */
static void rank_of_a_bundle_hears_that_its_group_is_stalled(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 3);
	small_master_crash(world, 0);
	small_kill(world, 0);
	small_kill(world, 2);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 2000);
	small_join_bundle(world, 3, 0, 9, 2);
	small_pass(world, 15000);
	assert_true(world->peers[3].ended);
	assert_non_null(strstr(world->peers[3].end_text, "too few members"));
}

/* Else it was whole for one of them, and not for another. */
static void bundle_has_one_size(void **state)
{
	struct small_world *world = *state;

	small_join_bundle(world, 0, 0, 9, 4);
	small_settle(world);
	small_join_bundle(world, 1, 1, 9, 2);
	small_pass(world, 500);
	assert_true(world->peers[1].ended);
	assert_int_equal(world->peers[1].end_result, pcclMasterConnectionFailed);
	assert_non_null(strstr(world->peers[1].end_text, "bundle 9 has 2 ranks"));
	assert_non_null(strstr(world->peers[1].end_text, "4"));
	assert_false(world->peers[0].ended);
	small_join_bundle(world, 2, 2, 8, 2);
	small_join_bundle(world, 3, 3, 8, 2);
	small_settle(world);
	assert_int_equal(small_size(world, 3), 1);
	small_join_bundle(world, 4, 4, 8, 3); /* of the next one, which has the name again */
	small_pass(world, 500);
	assert_false(world->peers[4].ended);
}

static void bundle_joins_all_its_groups_together_or_none(void **state)
{
	struct small_world *world = *state;

	small_join(world, 0, 0, 1);
	small_join(world, 1, 1, 1);
	small_join_bundle(world, 2, 0, 5, 2);
	small_join_bundle(world, 3, 1, 5, 2);
	small_settle(world);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 2), 0);
	assert_false(world->peers[0].voted);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 2), 2);
	assert_int_equal(small_size(world, 3), 2);
	assert_true(world->peers[0].voted && world->peers[1].voted);
}

static void bundle_member_dying_takes_the_others_back(void **state)
{
	struct small_world *world = *state;

	small_join(world, 0, 0, 1);
	small_join(world, 1, 1, 1);
	small_join_bundle(world, 2, 0, 5, 2);
	small_join_bundle(world, 3, 1, 5, 2);
	small_settle(world);
	world->peers[1].slow_freeze = true;
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	small_kill(world, 3);
	small_pass(world, 5);
	small_freeze_done(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 2), 0);
	assert_int_equal(small_size(world, 0), 1);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_false(world->peers[2].ended);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, small_open, small_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(bundle_waits_until_it_is_whole),
		CASE(rank_waits_for_its_bundle_as_long_as_it_takes),
		CASE(whole_bundle_waits_for_an_update_as_long_as_it_takes),
		CASE(rank_hears_that_the_others_have_come),
		CASE(rank_of_a_bundle_hears_that_its_group_is_stalled),
		CASE(bundle_has_one_size),
		CASE(bundle_joins_all_its_groups_together_or_none),
		CASE(bundle_member_dying_takes_the_others_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
