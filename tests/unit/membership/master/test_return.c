/* Masters that die, come back, or take over from each other. */
#include <string.h>

#include "base/uuid.h"

#include "lib/check.h"
#include "lib/small_world.h"

/* Peers 0 ... count - 1 as members of group 0, which know so many masters. */
static void gather(struct small_world *world, uint32_t count, uint32_t masters)
{
	uint32_t index;

	for (index = 0; index < count; index++) {
		small_join(world, index, 0, masters);
		small_pass(world, 20);
	}
	small_pass(world, 500);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	for (index = 0; index < count; index++)
		assert_int_equal(small_size(world, index), count);
}

static void restart(struct small_world *world, uint32_t master)
{
	small_master_crash(world, master);
	small_settle(world);
	small_master_start(world, master);
}

static void restarted_master_takes_up_the_view_without_a_view_change(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, 1);
	restart(world, 0);
	small_pass(world, 1000);
	assert_int_equal(small_epoch(world, 0), 2);
	assert_int_equal(world->peers[1].installs, 1);
	small_vote(world, 0, PCCL_VOTE_OPTIMIZE);
	small_vote(world, 1, PCCL_VOTE_OPTIMIZE);
	small_vote(world, 2, PCCL_VOTE_OPTIMIZE);
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[1].voted && world->peers[2].voted);
}

static void member_that_died_with_the_master_is_evicted_after_the_grace(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, 1);
	small_master_crash(world, 0);
	small_kill(world, 2);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 1500);
	assert_int_equal(small_size(world, 0), 3);
	small_pass(world, 1500);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 1), 2);
	assert_true(small_epoch(world, 0) >= 4);
}

static void minority_never_goes_on_and_ends_with_words(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, 1);
	small_master_crash(world, 0);
	small_kill(world, 0);
	small_kill(world, 2);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 30000);
	assert_int_equal(small_size(world, 1), 3);
	small_pass(world, 40000);
	assert_true(world->peers[1].ended);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
}

static void stranded_member_is_told_eight_times_per_grace(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, 1);
	small_master_crash(world, 0);
	small_kill(world, 0);
	small_kill(world, 2);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 2000);
	world->message_count[PCCL_MESSAGE_STALLED] = 0;
	small_pass(world, 2000);
	assert_in_range(world->message_count[PCCL_MESSAGE_STALLED], 7, 8);
}

static void half_goes_on_if_it_has_the_lowest_rank(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 1);
	small_master_crash(world, 0);
	small_kill(world, 1);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 4000);
	assert_int_equal(small_size(world, 0), 1);
}

static void newcomer_waits_while_members_return(void **state)
{
	struct small_world *world = *state;

	gather(world, 3, 1);
	small_master_crash(world, 0);
	small_kill(world, 2);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 200);
	small_join(world, 3, 0, 1);
	small_pass(world, 500);
	assert_int_equal(small_size(world, 3), 0);
	small_pass(world, 3000);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 3), 3);
}

/* Peer 3 founds the group anew at a restarted master before its three members are back. */
static void gather_behind_a_founder(struct small_world *world)
{
	gather(world, 3, 1);
	small_master_crash(world, 0);
	small_settle(world);
	small_master_start(world, 0);
	small_join(world, 3, 0, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 3), 1);
	small_pass(world, 2500);
}

/* It has moved from the first master, which is down, to the second. Newcomers look for the first, but not in vain. */
static void founder_that_is_alone_at_the_second_master_is_joined_there(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 1);
	small_join(world, 0, 0, 2);
	small_settle(world);
	small_master_crash(world, 0);
	small_pass(world, 2000);
	assert_int_equal(small_size(world, 0), 1);
	small_join(world, 1, 0, 2);
	small_pass(world, 2000);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 1); /* its time has not come */
	small_pass(world, 3000);
	small_vote_if_member(world, 0, PCCL_VOTE_UPDATE);
	small_pass(world, 3000);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 1), 2);
}

static void founder_that_came_first_yields_to_the_members_that_return(void **state)
{
	struct small_world *world = *state;

	gather_behind_a_founder(world);
	assert_int_equal(small_epoch(world, 0), 2);
	small_vote(world, 3, PCCL_VOTE_UPDATE);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_vote(world, 2, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 4);
	assert_int_equal(small_size(world, 3), 4);
	assert_true(world->peers[3].voted);
}

static void update_all(struct small_world *world, uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		small_vote(world, index, PCCL_VOTE_UPDATE);
	small_settle(world);
}

/* Its next call would wait for members that have gone on if it were taken over between two calls. */
static void founder_that_has_yielded_is_taken_over_during_a_call(void **state)
{
	struct small_world *world = *state;

	gather_behind_a_founder(world);
	update_all(world, 3);
	assert_true(world->peers[0].voted);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_size(world, 3), 1);
	small_vote(world, 3, PCCL_VOTE_OPTIMIZE);
	small_settle(world);
	assert_false(world->peers[3].voted);
	update_all(world, 3);
	assert_int_equal(small_size(world, 3), 4);
	assert_true(world->peers[3].voted);
}

static void vote_that_was_outstanding_is_answered_by_the_next_master(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 1);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_settle(world);
	restart(world, 0);
	small_pass(world, 1000);
	assert_false(world->peers[0].voted);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[1].voted);
}

/* Only peer 0 gets the answer before the master dies; peer 1's call must end the same way, not wait for another one. */
static void answer_that_one_member_missed_is_given_again(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 1);
	small_join(world, 2, 0, 1);
	small_join(world, 3, 1, 1);
	small_settle(world);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	world->peers[1].paused = true;
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[0].vote_value);
	assert_false(world->peers[1].voted);
	assert_int_equal(world->peers[0].world.peers, 3);
	small_kill(world, 2);
	small_kill(world, 3);
	small_master_crash(world, 0);
	small_settle(world);
	world->peers[1].paused = false;
	small_lose_connection(world, 1);
	small_master_start(world, 0);
	small_pass(world, 1000);
	assert_true(world->peers[1].voted);
	assert_true(world->peers[1].vote_value);
	assert_int_equal(world->peers[1].world.peers, 3);
}

/* One has changed masters more often: it is in another round, and the other one is asked to vote again in that. */
static void votes_of_two_rounds_are_made_again(void **state)
{
	struct small_world *world = *state;
	uint32_t votes;

	small_master_start(world, 1);
	gather(world, 2, 2);
	small_lose_connection(world, 1);
	small_pass(world, 1000);
	votes = world->message_count[PCCL_MESSAGE_VOTE];
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	/* Two votes, the question and its answer, two acknowledgements. */
	assert_int_equal(world->message_count[PCCL_MESSAGE_VOTE] - votes, 6);
}

/* It had given its call up when it was asked: the question is not asked twice. */
static void vote_given_up_is_made_again_in_the_round_asked_for(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 1);
	gather(world, 2, 2);
	small_lose_connection(world, 1);
	small_pass(world, 1000);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_deliver_until(world, PCCL_MESSAGE_VOTE, 1); /* the question is on its way */
	small_give_up(world, 0, 1);
	assert_int_equal(world->peers[0].vote_result, pcclPendingAsyncOps);
	small_settle(world);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
}

/* It was lost with the connections of both, and both are back: the call is answered anew. */
static void answer_that_nobody_got_counts_for_nothing(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 1);
	world->peers[0].cut_from_master = world->peers[1].cut_from_master = 1;
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	world->peers[0].cut_from_master = world->peers[1].cut_from_master = 0;
	small_join(world, 2, 0, 1);
	small_lose_connection(world, 0);
	small_pass(world, 1000);
	assert_true(!world->peers[0].voted && !world->peers[1].voted);
	small_lose_connection(world, 1);
	small_pass(world, 1000);
	assert_true(world->peers[0].voted && world->peers[0].vote_value);
	assert_true(world->peers[1].voted && world->peers[1].vote_value);
}

/* The master dies after telling one of three; the others get the very same install, with its decisions. */
static void install_that_some_missed_is_handed_on(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	gather(world, 4, 1);
	for (index = 0; index < 3; index++) {
		world->peers[index].reports = true;
		world->peers[index].report.tag = 5;
		world->peers[index].report.policy = (uint8_t)pcclPolicyAbort;
	}
	small_kill(world, 3);
	small_deliver_until(world, PCCL_MESSAGE_INSTALL, 1);
	small_master_crash(world, 0);
	small_settle(world);
	assert_int_equal(small_epoch(world, 0), 3);
	assert_int_equal(small_epoch(world, 1), 2);
	small_master_start(world, 0);
	small_pass(world, 1000);
	for (index = 0; index < 3; index++) {
		assert_int_equal(small_size(world, index), 3);
		assert_int_equal(small_epoch(world, index), small_epoch(world, 0));
		assert_int_equal(world->peers[index].first_verdict, PCCL_VERDICT_ABORT);
	}
}

static void members_move_to_the_second_master(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 1);
	gather(world, 3, 2);
	small_master_crash(world, 0);
	small_pass(world, 1000);
	assert_int_equal(world->peers[0].master, 1);
	assert_int_equal(small_epoch(world, 2), small_epoch(world, 0));
	small_kill(world, 2);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 1), 2);
}

static void joint_call_without_a_master_ends_in_time_and_goes_on_when_made_again(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 1);
	small_master_crash(world, 0);
	small_settle(world);
	small_vote(world, 0, PCCL_VOTE_OPTIMIZE);
	small_pass(world, 9000);
	assert_false(world->peers[0].voted);
	small_pass(world, 2000);
	assert_true(world->peers[0].voted);
	assert_int_equal(world->peers[0].vote_result, pcclMasterConnectionFailed);
	assert_non_null(strstr(world->peers[0].vote_text, "no master"));
	assert_false(world->peers[0].ended);
	small_master_start(world, 0);
	small_pass(world, 3000);
	small_vote(world, 1, PCCL_VOTE_OPTIMIZE);
	small_pass(world, 1000);
	assert_false(world->peers[1].voted);
	small_vote(world, 0, PCCL_VOTE_OPTIMIZE);
	small_settle(world);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	assert_int_equal(world->peers[1].vote_result, pcclSuccess);
}

/* The others had their answer by the view that this peer missed: for them the next joint call is another one. */
static void update_given_up_is_answered_by_the_view_that_came_meanwhile(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 1);
	small_join(world, 2, 0, 1);
	small_pass(world, 100);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_deliver_until(world, PCCL_MESSAGE_PREPARED, 3);
	world->peers[1].cut_from_master = 1;
	small_settle(world);
	small_pass(world, 500);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_size(world, 1), 2);
	small_master_crash(world, 0);
	small_pass(world, 14000);
	assert_int_equal(world->peers[1].vote_result, pcclMasterConnectionFailed);
	world->peers[1].cut_from_master = 0;
	small_master_start(world, 0);
	small_pass(world, 3000);
	assert_int_equal(small_size(world, 1), 3);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	assert_true(world->peers[1].voted);
	assert_int_equal(world->peers[1].vote_result, pcclSuccess);
	/* From here on the three agree on which call is which. */
	small_vote(world, 0, PCCL_VOTE_OPTIMIZE);
	small_vote(world, 1, PCCL_VOTE_OPTIMIZE);
	small_vote(world, 2, PCCL_VOTE_OPTIMIZE);
	small_settle(world);
	assert_int_equal(world->peers[1].vote_result, pcclSuccess);
}

static void newcomer_finds_the_group_at_the_second_master(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 1);
	gather(world, 2, 2);
	small_master_crash(world, 0);
	small_pass(world, 1000);
	small_master_start(world, 0);
	small_join(world, 2, 0, 2);
	small_pass(world, 500);
	assert_int_equal(small_size(world, 2), 0);
	assert_int_equal(world->peers[2].master, 1);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 2), 3);
}

/* A prepared view may be in force where the old master is: its members' majority must be asked. */
static void promise_keeps_the_second_master_from_deciding(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 1);
	gather(world, 3, 2);
	/* The first master loses peer 2 and prepares {0, 1}; 0 gets the install, 1 does not and moves on with 2. */
	world->peers[2].muted = true;
	world->peers[2].paused = true;
	small_pass(world, 2990);
	world->peers[1].slow_freeze = true;
	small_pass(world, 300);
	assert_int_not_equal(world->peers[1].freeze_epoch, 0);
	small_freeze_done(world, 1);
	small_deliver_until(world, PCCL_MESSAGE_INSTALL, 1);
	world->peers[1].cut_from_master = 1;
	small_settle(world);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 1), 3);
	world->peers[1].slow_freeze = false;
	small_move(world, 1, 1);
	world->peers[2].muted = false;
	world->peers[2].paused = false;
	small_move(world, 2, 1);
	small_pass(world, 2400);
	/* Peers 1 and 2 are a majority of the old view, but not of the prepared one. */
	assert_int_equal(small_size(world, 1), 3);
	assert_int_equal(small_size(world, 2), 3);
}

static void lone_founder_roams_between_its_masters(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 1);
	small_join(world, 0, 0, 2);
	small_pass(world, 8000);
	assert_int_equal(small_size(world, 0), 1);
	assert_true(world->message_count[PCCL_MESSAGE_ABANDON] > 1);
	assert_false(world->peers[0].ended);
}

static void newcomer_without_any_master_ends_in_time(void **state)
{
	struct small_world *world = *state;

	small_master_crash(world, 0);
	small_join(world, 0, 0, 2);
	small_pass(world, 9900);
	assert_false(world->peers[0].ended);
	small_pass(world, 200);
	assert_true(world->peers[0].ended);
	assert_int_equal(world->peers[0].end_result, pcclMasterConnectionFailed);
	assert_non_null(strstr(world->peers[0].end_text, "refused"));
}

static void group_is_not_founded_at_the_second_master(void **state)
{
	struct small_world *world = *state;

	small_master_start(world, 1);
	small_master_crash(world, 0);
	small_join(world, 0, 0, 2);
	small_pass(world, 11000);
	assert_int_equal(small_size(world, 0), 0);
	assert_int_equal(world->peers[0].end_result, pcclMasterConnectionFailed);
}

/* Its connection broke, the others went on without it, and left: nobody will ever come back for a majority. */
static void return_to_a_group_that_has_ended(struct small_world *world, void (*end)(struct small_world *, uint32_t))
{
	gather(world, 2, 1);
	world->peers[1].muted = true;
	world->peers[1].cut_from_master = 1;
	small_pass(world, 3500);
	assert_int_equal(small_size(world, 0), 1);
	end(world, 0);
	small_settle(world);
	small_join(world, 2, 1, 1);
	small_settle(world);
	assert_false(world->peers[1].ended);
	world->peers[1].muted = false;
	world->peers[1].cut_from_master = 0;
	small_pass(world, 3000);
	assert_true(world->peers[1].ended);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	assert_non_null(strstr(world->peers[1].end_text, "its run has ended here"));
}

static void member_that_returns_when_the_others_have_left_is_told_at_once(void **state)
{
	return_to_a_group_that_has_ended(*state, small_leave);
}

/* They may have been told of results that it does not know. */
static void member_that_returns_when_the_others_have_died_is_told_at_once(void **state)
{
	return_to_a_group_that_has_ended(*state, small_kill);
}

/* Both were in the view when one connection broke and the other one left: who is alone now need not wait. */
static void member_that_returns_does_not_wait_for_one_that_left(void **state)
{
	struct small_world *world = *state;

	gather(world, 2, 1);
	small_lose_connection(world, 1);
	small_leave(world, 0);
	small_pass(world, 5000);
	assert_false(world->peers[1].ended);
	assert_int_equal(small_size(world, 1), 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, small_open, small_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(restarted_master_takes_up_the_view_without_a_view_change),
		CASE(member_that_died_with_the_master_is_evicted_after_the_grace),
		CASE(minority_never_goes_on_and_ends_with_words),
		CASE(stranded_member_is_told_eight_times_per_grace),
		CASE(half_goes_on_if_it_has_the_lowest_rank),
		CASE(newcomer_waits_while_members_return),
		CASE(founder_that_is_alone_at_the_second_master_is_joined_there),
		CASE(founder_that_came_first_yields_to_the_members_that_return),
		CASE(founder_that_has_yielded_is_taken_over_during_a_call),
		CASE(vote_that_was_outstanding_is_answered_by_the_next_master),
		CASE(answer_that_one_member_missed_is_given_again),
		CASE(votes_of_two_rounds_are_made_again),
		CASE(vote_given_up_is_made_again_in_the_round_asked_for),
		CASE(answer_that_nobody_got_counts_for_nothing),
		CASE(install_that_some_missed_is_handed_on),
		CASE(members_move_to_the_second_master),
		CASE(joint_call_without_a_master_ends_in_time_and_goes_on_when_made_again),
		CASE(update_given_up_is_answered_by_the_view_that_came_meanwhile),
		CASE(newcomer_finds_the_group_at_the_second_master),
		CASE(promise_keeps_the_second_master_from_deciding),
		CASE(lone_founder_roams_between_its_masters),
		CASE(newcomer_without_any_master_ends_in_time),
		CASE(group_is_not_founded_at_the_second_master),
		CASE(member_that_returns_when_the_others_have_left_is_told_at_once),
		CASE(member_that_returns_when_the_others_have_died_is_told_at_once),
		CASE(member_that_returns_does_not_wait_for_one_that_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
