/* The master and its peers together, event by event. */
#include <string.h>

#include "lib/check.h"
#include "lib/small_world.h"

/* Peers 0 ... count - 1 as members of group 0. */
static void gather(struct small_world *world, uint32_t count)
{
	uint32_t index;

	for (index = 0; index < count; index++)
		small_join(world, index, 0, 1);
	small_settle(world);
	if (count < 2)
		return;
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	for (index = 0; index < count; index++) {
		assert_int_equal(small_size(world, index), count);
		assert_int_equal(small_epoch(world, index), 2);
	}
}

static void first_peer_of_a_group_is_admitted_at_once(void **state)
{
	struct small_world *world = *state;

	small_join(world, 0, 7, 1);
	small_settle(world);
	assert_int_equal(small_epoch(world, 0), 1);
	assert_int_equal(small_size(world, 0), 1);
	assert_true(world->peers[0].install.newcomers);
}

/* What to show when one calls the other: told to the one who calls only, and kept when the view changes. */
static void members_have_a_pass_to_each_other(void **state)
{
	struct small_world *world = *state;
	uint32_t rank, other;

	gather(world, 3);
	small_join(world, 3, 0, 1);
	small_settle(world);
	for (rank = 0; rank < 3; rank++)
		small_vote(world, rank, PCCL_VOTE_UPDATE);
	small_settle(world);
	small_kill(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 3), 3);
	for (rank = 0; rank < 3; rank++) {
		const struct pccl_view *view = &world->peers[rank == 0 ? 0 : rank + 1].install.view;

		for (other = 0; other < 3; other++) {
			struct pccl_secret secret = small_secret(other == 0 ? 0 : other + 1);

			assert_true(
				pccl_identity_admits(&secret, &view->members[rank].uuid, &view->members[other].pass));
		}
	}
}

static void newcomers_wait_for_the_update_of_all_members(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_join(world, 2, 0, 1);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_pass(world, 1000);
	assert_int_equal(small_size(world, 2), 0);
	assert_false(world->peers[0].voted);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_int_equal(small_size(world, 2), 3);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
}

static void update_with_nobody_waiting_changes_no_epoch(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_int_equal(small_epoch(world, 0), 2);
}

static void pending_tells_all_members_alike(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_false(world->peers[0].vote_value || world->peers[1].vote_value);
	small_join(world, 2, 0, 1);
	small_settle(world);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_true(world->peers[0].vote_value && world->peers[1].vote_value);
}

static void different_joint_calls_fail_on_all_with_words(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_OPTIMIZE);
	small_vote(world, 2, PCCL_VOTE_PENDING);
	small_settle(world);
	assert_int_equal(world->peers[0].vote_result, pcclUpdateTopologyFailed);
	assert_int_equal(world->peers[1].vote_result, pcclTopologyOptimizationFailed);
	assert_int_equal(world->peers[2].vote_result, pcclInvalidUsage);
	assert_non_null(strstr(world->peers[0].vote_text, "pcclUpdateTopology"));
}

/* It is taken back: the others wait for it to be made again. */
static void update_that_is_given_up_counts_as_not_made(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	small_give_up(world, 0, 7); /* another one */
	assert_false(world->peers[0].voted);
	small_give_up(world, 0, 1);
	assert_int_equal(world->peers[0].vote_result, pcclPendingAsyncOps);
	small_settle(world);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_false(world->peers[1].voted);
	small_give_up(world, 0, 1); /* once more, too late */
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	assert_int_equal(world->peers[1].vote_result, pcclSuccess);
}

/* The answer is on its way when it is given up: it is the same when the call is made again. */
static void update_that_is_given_up_too_late_has_its_answer(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	world->peers[0].paused = true;
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_true(world->peers[1].voted);
	world->peers[0].paused = false;
	small_give_up(world, 0, 1);
	assert_int_equal(world->peers[0].vote_result, pcclPendingAsyncOps);
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_settle(world);
	assert_true(world->peers[0].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
}

static void killed_member_is_out_of_the_next_view(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_kill(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 2), 2);
	assert_int_equal(small_epoch(world, 0), 3);
	assert_false(world->peers[0].install.newcomers);
	assert_non_null(strstr(world->peers[0].install.cause, "rank 1"));
}

static void last_missing_voter_dying_ends_the_vote(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_vote(world, 0, PCCL_VOTE_OPTIMIZE);
	small_vote(world, 1, PCCL_VOTE_OPTIMIZE);
	small_settle(world);
	small_kill(world, 2);
	small_settle(world);
	assert_true(world->peers[0].voted && world->peers[1].voted);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	assert_int_equal(small_size(world, 0), 2);
}

static void leaving_member_is_said_to_have_left(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_leave(world, 1);
	small_settle(world);
	assert_true(world->peers[1].ended);
	assert_int_equal(world->peers[1].end_result, pcclSuccess);
	assert_int_equal(small_size(world, 0), 1);
	assert_non_null(strstr(world->peers[0].install.cause, "left"));
}

static void silent_member_is_evicted_and_learns_it(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	world->peers[2].muted = true;
	small_pass(world, 2900);
	assert_int_equal(small_size(world, 0), 3);
	small_pass(world, 700);
	assert_int_equal(small_size(world, 0), 2);
	assert_true(world->peers[2].ended);
	assert_int_equal(world->peers[2].end_result, pcclEvicted);
}

static void member_stuck_in_freezing_is_evicted(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	world->peers[1].slow_freeze = true;
	small_kill(world, 2);
	small_pass(world, 2900);
	assert_int_equal(small_size(world, 0), 3);
	small_pass(world, 600);
	assert_int_equal(small_size(world, 0), 1);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
}

static void death_during_a_view_change_starts_it_again(void **state)
{
	struct small_world *world = *state;

	gather(world, 4);
	world->peers[1].slow_freeze = true;
	small_kill(world, 3);
	small_settle(world);
	small_kill(world, 2);
	small_pass(world, 5);
	small_freeze_done(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_epoch(world, 0), 4);
	assert_int_equal(small_epoch(world, 1), 4);
}

/* Each for itself would freeze everybody again. */
static void deaths_at_the_same_time_start_it_again_once(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	gather(world, 6);
	world->peers[1].slow_freeze = true;
	for (index = 5; index > 2; index--) {
		small_kill(world, index);
		small_settle(world);
	}
	small_pass(world, 5);
	small_freeze_done(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_epoch(world, 0), 4);
}

static void all_members_dying_lets_the_waiting_peer_found(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_join(world, 2, 0, 1);
	small_settle(world);
	small_kill(world, 0);
	small_kill(world, 1);
	small_pass(world, 2100);
	assert_int_equal(small_size(world, 2), 1);
	assert_true(small_epoch(world, 2) > 2);
}

static void hundred_peers_joining_at_once_make_one_view(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	gather(world, 100);
	for (index = 0; index < 100; index += 2)
		small_kill(world, index);
	small_pass(world, 5);
	for (index = 1; index < 100; index += 2)
		assert_int_equal(small_size(world, index), 50);
}

static void joiner_dying_while_it_joins_disturbs_nobody(void **state)
{
	struct small_world *world = *state;

	gather(world, 2);
	small_join(world, 2, 0, 1);
	small_join(world, 3, 0, 1);
	small_settle(world);
	world->peers[0].slow_freeze = true;
	small_vote(world, 0, PCCL_VOTE_UPDATE);
	small_vote(world, 1, PCCL_VOTE_UPDATE);
	small_settle(world);
	small_kill(world, 2);
	small_pass(world, 5);
	small_freeze_done(world, 0);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_size(world, 3), 3);
	assert_true(world->peers[0].voted && world->peers[1].voted);
}

static void overslept_master_evicts_nobody(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	world->now_ns += 60000 * SMALL_MS;
	small_pass(world, 100);
	assert_int_equal(small_size(world, 0), 3);
	assert_false(world->peers[0].ended);
}

/* The heartbeats that came meanwhile are read one by one. */
static void a_nap_of_the_master_evicts_nobody_however_short_the_time_outs(void **state)
{
	struct small_world *world = *state;

	world->hasty = true;
	gather(world, 3);
	world->now_ns += 400 * SMALL_MS;
	small_pass(world, 100);
	assert_int_equal(small_size(world, 0), 3);
	assert_false(world->peers[0].ended);
}

/* A master that is a little late all the time still notices who is silent. */
static void a_tired_master_evicts_the_silent(void **state)
{
	struct small_world *world = *state;
	unsigned naps;

	gather(world, 3);
	world->peers[2].paused = true;
	for (naps = 0; naps < 15; naps++) {
		world->now_ns += 200 * SMALL_MS;
		small_pass(world, 100);
	}
	assert_int_equal(small_size(world, 0), 2);
	assert_false(world->peers[0].ended);
}

/* Programs branch on them: all who made a call must read the same, whatever happens in other groups meanwhile. */
static void world_numbers_come_with_the_answer_of_a_joint_call(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	gather(world, 3);
	small_vote(world, 0, PCCL_VOTE_PENDING);
	small_vote(world, 1, PCCL_VOTE_PENDING);
	small_join(world, 3, 1, 1);
	small_pass(world, 100);
	assert_int_equal(world->peers[0].world.peers, 3);
	assert_int_equal(world->peers[3].world.peers, 4);
	small_vote(world, 2, PCCL_VOTE_PENDING);
	small_settle(world);
	small_kill(world, 3);
	small_pass(world, 100);
	for (index = 0; index < 3; index++) {
		assert_true(world->peers[index].voted);
		assert_int_equal(world->peers[index].world.peers, 4);
		assert_int_equal(world->peers[index].world.groups, 2);
		assert_int_equal(world->peers[index].world.largest_group, 3);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, small_open, small_close)

/* It goes on sending, and says neither LEAVE nor PREPARED. */
static void who_may_not_stay_is_out_at_once_whether_it_goes_or_not(void **state)
{
	struct small_world *world = *state;
	uint64_t now_ns;

	small_gather(world, 3);
	world->peers[1].paused = true;
	now_ns = world->now_ns;
	small_dismiss(world, 1);
	small_dismiss(world, 1);
	small_settle(world);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 2), 2);
	assert_true(world->now_ns == now_ns);
}

struct seen {
	struct pccl_master_entry entries[4];
	uint32_t count;
};

static void note_entry(void *context, const struct pccl_master_entry *entry)
{
	struct seen *seen = context;

	assert_true(seen->count < 4);
	seen->entries[seen->count++] = *entry;
}

/* Those who came last first; who has gone, or has not registered, is not there. */
static void operators_are_told_who_is_here(void **state)
{
	struct small_world *world = *state;
	struct seen seen = {.count = 0};

	small_gather(world, 2);
	small_join(world, 2, 0, 1);
	small_settle(world);
	pccl_master_list(world->masters[0], note_entry, &seen);
	assert_int_equal(seen.count, 3);
	assert_int_equal(seen.entries[0].place, PCCL_PLACE_WAITING);
	assert_int_equal(seen.entries[2].place, PCCL_PLACE_MEMBER);
	assert_int_equal(seen.entries[2].epoch, small_epoch(world, 0));
	assert_int_equal(seen.entries[2].rank + seen.entries[1].rank, 1);
	small_dismiss(world, 2);
	seen.count = 0;
	pccl_master_list(world->masters[0], note_entry, &seen);
	assert_int_equal(seen.count, 2);
}

/* With several masters, who is told to go might go to another one. */
static void operators_are_told_who_is_needed(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	small_gather(world, 2);
	assert_false(pccl_master_needs(world->masters[0], world->peers[0].connection));
	small_master_start(world, 1);
	for (index = 2; index < 5; index++) {
		small_join(world, index, 1, 2); /* another group */
		small_pass(world, 6000);
	}
	for (index = 0; index < 3; index++) {
		small_vote_if_member(world, 2, PCCL_VOTE_UPDATE);
		small_vote_if_member(world, 3, PCCL_VOTE_UPDATE);
		small_vote_if_member(world, 4, PCCL_VOTE_UPDATE);
		small_pass(world, 3000);
	}
	assert_int_equal(small_size(world, 2), 3);
	for (index = 2; index < 5; index++)
		assert_false(pccl_master_needs(world->masters[0], world->peers[index].connection));
	small_leave(world, 4);
	small_settle(world);
	assert_true(pccl_master_needs(world->masters[0], world->peers[2].connection)); /* of equals the lowest rank */
	assert_false(pccl_master_needs(world->masters[0], world->peers[3].connection));
	assert_false(pccl_master_needs(world->masters[0], 77));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(first_peer_of_a_group_is_admitted_at_once),
		CASE(members_have_a_pass_to_each_other),
		CASE(newcomers_wait_for_the_update_of_all_members),
		CASE(update_with_nobody_waiting_changes_no_epoch),
		CASE(pending_tells_all_members_alike),
		CASE(different_joint_calls_fail_on_all_with_words),
		CASE(update_that_is_given_up_counts_as_not_made),
		CASE(update_that_is_given_up_too_late_has_its_answer),
		CASE(killed_member_is_out_of_the_next_view),
		CASE(last_missing_voter_dying_ends_the_vote),
		CASE(leaving_member_is_said_to_have_left),
		CASE(silent_member_is_evicted_and_learns_it),
		CASE(member_stuck_in_freezing_is_evicted),
		CASE(death_during_a_view_change_starts_it_again),
		CASE(deaths_at_the_same_time_start_it_again_once),
		CASE(all_members_dying_lets_the_waiting_peer_found),
		CASE(hundred_peers_joining_at_once_make_one_view),
		CASE(joiner_dying_while_it_joins_disturbs_nobody),
		CASE(overslept_master_evicts_nobody),
		CASE(a_nap_of_the_master_evicts_nobody_however_short_the_time_outs),
		CASE(a_tired_master_evicts_the_silent),
		CASE(operators_are_told_who_is_here),
		CASE(operators_are_told_who_is_needed),
		CASE(who_may_not_stay_is_out_at_once_whether_it_goes_or_not),
		CASE(world_numbers_come_with_the_answer_of_a_joint_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
