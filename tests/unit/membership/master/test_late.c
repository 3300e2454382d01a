/* Members that do not make a joint call while others wait in it. */
#include <string.h>

#include "lib/check.h"
#include "lib/small_world.h"

#define TIMEOUT_MS 2000

static int setup(void **state)
{
	static struct small_world world;

	small_world_init(&world);
	*state = &world;
	return 0;
}

static int teardown(void **state)
{
	small_world_fini(*state);
	return 0;
}

static void vote_all(struct small_world *world, uint32_t count, enum pccl_vote vote)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		small_vote(world, index, vote);
	small_settle(world);
}

static void gather(struct small_world *world, uint32_t count, uint32_t timeout_ms, enum pccl_late late)
{
	uint32_t index;

	small_master_start(world, 0);
	world->joint_timeout_ms = timeout_ms;
	world->late = (uint8_t)late;
	for (index = 0; index < count; index++)
		small_join(world, index, 0, 1);
	small_settle(world);
	vote_all(world, 1, PCCL_VOTE_UPDATE);
	assert_int_equal(small_size(world, 0), count);
}

static void without_a_time_out_the_others_wait_for_ever(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, 0, PCCL_LATE_EVICT);
	vote_all(world, 2, PCCL_VOTE_UPDATE);
	small_pass(world, 3600000);
	assert_false(world->peers[0].voted);
	assert_int_equal(small_size(world, 0), 3);
}

/* Those who called are told whom they wait for, and may go on waiting. */
static void a_call_that_is_given_up_can_be_made_again(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, TIMEOUT_MS, PCCL_LATE_FAIL);
	vote_all(world, 2, PCCL_VOTE_PENDING);
	small_pass(world, TIMEOUT_MS - 1);
	assert_false(world->peers[0].voted);
	small_pass(world, 1);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_int_equal(world->peers[0].vote_result, pcclTimeout);
	assert_int_equal(world->peers[1].vote_result, pcclTimeout);
	assert_non_null(strstr(world->peers[0].vote_text, "rank 2"));
	assert_null(strstr(world->peers[0].vote_text, "rank 1"));
	small_vote(world, 2, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_false(world->peers[2].voted);
	vote_all(world, 2, PCCL_VOTE_PENDING);
	assert_true(world->peers[0].voted && world->peers[1].voted && world->peers[2].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	assert_int_equal(world->peers[2].vote_result, pcclSuccess);
}

/* As many as are whole, and what they have not done. */
static void late_members_with_long_addresses_are_counted(void **state)
{
	struct small_world *world = *state;

	world->host = "2001:0db8:1111:2222:3333:4444:5555:6666";
	gather(world, 5, TIMEOUT_MS, PCCL_LATE_FAIL);
	vote_all(world, 1, PCCL_VOTE_PENDING);
	small_pass(world, TIMEOUT_MS);
	assert_true(world->peers[0].voted);
	assert_string_equal(world->peers[0].vote_text,
			    "rank 1 (2001:0db8:1111:2222:3333:4444:5555:6666), "
			    "rank 2 (2001:0db8:1111:2222:3333:4444:5555:6666) and 2 more have not called "
			    "pcclArePeersPending");
}

static void late_members_are_waited_for_where_one_wants_it(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, TIMEOUT_MS, PCCL_LATE_WAIT);
	vote_all(world, 2, PCCL_VOTE_UPDATE);
	small_pass(world, 3600000);
	assert_false(world->peers[0].voted);
	small_vote(world, 2, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_true(world->peers[0].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
}

static void late_members_are_evicted_where_all_want_it(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, TIMEOUT_MS, PCCL_LATE_EVICT);
	vote_all(world, 2, PCCL_VOTE_UPDATE);
	small_pass(world, TIMEOUT_MS);
	assert_true(world->peers[2].ended);
	assert_int_equal(world->peers[2].end_result, pcclEvicted);
	assert_non_null(strstr(world->peers[2].end_text, "rank 2"));
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	assert_int_equal(small_size(world, 0), 2);
}

static void the_mildest_choice_of_the_callers_counts(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 0);
	world->joint_timeout_ms = TIMEOUT_MS;
	world->late = PCCL_LATE_EVICT;
	small_join(world, 0, 0, 1);
	world->late = PCCL_LATE_FAIL;
	small_join(world, 1, 0, 1);
	small_join(world, 2, 0, 1);
	small_settle(world);
	vote_all(world, 1, PCCL_VOTE_UPDATE);
	vote_all(world, 2, PCCL_VOTE_UPDATE);
	small_pass(world, TIMEOUT_MS);
	assert_int_equal(world->peers[0].vote_result, pcclTimeout);
	assert_false(world->peers[2].ended);
}

/* Else a member that calls too early, or wants to, would have all others evicted. */
static void a_minority_evicts_nobody(void **state)
{
	struct small_world *world = *state;

	gather(world, 4, TIMEOUT_MS, PCCL_LATE_EVICT);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_vote(world, 3, PCCL_VOTE_UPDATE);
	small_pass(world, TIMEOUT_MS);
	assert_int_equal(world->peers[1].vote_result, pcclTimeout);
	assert_int_equal(small_size(world, 1), 4);
	assert_false(world->peers[0].ended);
}

/* All members have called, but what they wait for are other groups. */
static void a_bundle_that_other_groups_hold_up_is_waited_for_no_longer(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, TIMEOUT_MS, PCCL_LATE_FAIL);
	small_join(world, 4, 1, 1);
	small_join_bundle(world, 5, 0, 77, 2);
	small_join_bundle(world, 6, 1, 77, 2);
	small_settle(world);
	vote_all(world, 2, PCCL_VOTE_UPDATE);
	assert_false(world->peers[0].voted);
	small_pass(world, TIMEOUT_MS);
	assert_int_equal(world->peers[0].vote_result, pcclTimeout);
	assert_non_null(strstr(world->peers[0].vote_text, "bundle"));
}

static void a_nap_of_the_master_makes_nobody_late(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 10000, PCCL_LATE_EVICT);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	world->now_ns += 60000 * SMALL_MS;
	small_pass(world, 100);
	assert_false(world->peers[1].ended);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(without_a_time_out_the_others_wait_for_ever),
		CASE(a_call_that_is_given_up_can_be_made_again),
		CASE(late_members_with_long_addresses_are_counted),
		CASE(late_members_are_waited_for_where_one_wants_it),
		CASE(late_members_are_evicted_where_all_want_it),
		CASE(the_mildest_choice_of_the_callers_counts),
		CASE(a_minority_evicts_nobody),
		CASE(a_bundle_that_other_groups_hold_up_is_waited_for_no_longer),
		CASE(a_nap_of_the_master_makes_nobody_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
