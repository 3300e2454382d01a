/* What newcomers cost the members is bounded by where they come from, not by what they call themselves. */
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/small_world.h"

/* A newcomer that is reached by all and answers nothing after that. */
static void join_mute(struct small_world *world, uint32_t index)
{
	small_join(world, index, 0, 1);
	world->peers[index].unprepared = true;
	small_settle(world);
}

static void join_out_of_reach(struct small_world *world, uint32_t index)
{
	world->parted[0][index] = true;
	small_join(world, index, 0, 1);
	small_settle(world);
}

static void who_is_mute_holds_members_for_a_second_and_its_next_names_less_and_less_often(void **state)
{
	struct small_world *world = *state;
	uint32_t prepares;

	small_gather(world, 3);
	world->origin = 7;
	join_mute(world, 3);
	prepares = world->message_count[PCCL_MESSAGE_PREPARE];
	small_update(world, 3);
	small_pass(world, 950);
	assert_true(world->peers[0].voting);
	small_pass(world, 100);
	assert_false(world->peers[0].voting);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	/* No member was stopped. */
	assert_int_equal(world->message_count[PCCL_MESSAGE_PREPARE] - prepares, 1);
	assert_int_equal(small_epoch(world, 0), 3);
	join_mute(world, 4);
	small_update(world, 3);
	assert_false(world->peers[0].voting);
	small_pass(world, 1000);
	small_update(world, 3);
	assert_true(world->peers[0].voting);
	small_pass(world, 1050);
	assert_false(world->peers[0].voting);
	join_mute(world, 5);
	small_pass(world, 1900);
	small_update(world, 3);
	assert_false(world->peers[0].voting);
	/* One from elsewhere joins meanwhile. */
	world->origin = 8;
	small_join(world, 6, 0, 1);
	small_settle(world);
	small_update(world, 3);
	assert_int_equal(small_size(world, 6), 4);
}

static void who_was_slow_to_answer_joins_later(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	join_mute(world, 2);
	small_update(world, 2);
	small_pass(world, 1050);
	assert_false(world->peers[0].voting);
	assert_false(world->peers[2].ended);
	world->peers[2].unprepared = false;
	small_pass(world, 1000);
	small_update(world, 2);
	assert_int_equal(small_size(world, 2), 3);
}

/* It is the newcomer that is gone, or the others that wait for it, whose admission goes on. */
static void others_are_admitted_beside_one_that_is_mute(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	world->origin = 7;
	join_mute(world, 2);
	world->origin = 8;
	small_join(world, 3, 0, 1);
	small_settle(world);
	small_update(world, 2);
	small_pass(world, 1050);
	assert_int_equal(small_size(world, 3), 3);
	assert_int_equal(small_size(world, 0), 3);
}

/* Of many that come at once each is late once, and gone then. */
static void many_of_one_origin_hold_members_no_longer_than_one(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	small_gather(world, 2);
	world->origin = 7;
	for (index = 2; index < 12; index++)
		join_mute(world, index);
	world->origin = 8;
	small_join(world, 12, 0, 1);
	small_settle(world);
	small_update(world, 2);
	small_pass(world, 900);
	assert_true(world->peers[0].voting);
	small_kill(world, 2);
	small_pass(world, 10);
	assert_false(world->peers[0].voting);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_size(world, 12), 3);
}

/* One is asked and hangs up, when the next one from there is here already. */
static void hang_up_in_turn(struct small_world *world, uint32_t *next)
{
	uint32_t index = *next;

	join_mute(world, index);
	small_update(world, 2);
	while (world->peers[0].voting) {
		assert_int_not_equal(*next, 100);
		join_mute(world, ++index);
		small_kill(world, index - 1);
		small_pass(world, 100);
	}
	*next = index + 1;
}

static void newcomers_that_hang_up_when_they_are_asked_hold_few_updates_up_and_not_for_long(void **state)
{
	struct small_world *world = *state;
	uint32_t next = 2;

	small_gather(world, 2);
	world->origin = 7;
	hang_up_in_turn(world, &next);
	assert_int_equal(next, 2 + 4 + 1);
	small_kill(world, next - 1);
	/* One more, and none of them is asked. */
	hang_up_in_turn(world, &next);
	assert_int_equal(next, 7 + 1 + 1);
	hang_up_in_turn(world, &next);
	assert_int_equal(next, 9 + 1);
	/* One from elsewhere is. */
	world->origin = 8;
	small_join(world, next, 0, 1);
	small_settle(world);
	small_update(world, 2);
	assert_int_equal(small_size(world, next), 3);
}

/* They come from everywhere, and are asked together. */
static void one_update_loses_few_newcomers(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	small_gather(world, 2);
	for (index = 2; index < 12; index++) {
		world->origin = index;
		join_mute(world, index);
	}
	small_update(world, 2);
	for (index = 2; index < 6; index++) {
		assert_true(world->peers[0].voting);
		small_pass(world, 100);
		small_kill(world, index);
		small_settle(world);
	}
	assert_false(world->peers[0].voting);
	assert_int_equal(world->peers[0].vote_result, pcclSuccess);
	for (; index < 12; index++)
		world->peers[index].unprepared = false;
	small_update(world, 2);
	assert_int_equal(small_size(world, 0), 8);
}

/* Members stop when newcomers have answered: those die before the members have, one after the other. */
static void members_that_were_stopped_go_on_without_newcomers_that_died(void **state)
{
	struct small_world *world = *state;

	small_gather(world, 2);
	small_join(world, 2, 0, 1);
	small_join(world, 3, 0, 1);
	small_settle(world);
	world->peers[1].slow_freeze = true;
	small_update(world, 2);
	assert_true(world->peers[1].freeze_epoch > 0);
	world->peers[3].unprepared = true;
	small_kill(world, 2);
	small_pass(world, 5);
	small_kill(world, 3);
	small_pass(world, 5);
	small_freeze_done(world, 1);
	small_settle(world);
	assert_false(world->peers[0].voting || world->peers[1].voting);
	assert_int_equal(small_epoch(world, 0), small_epoch(world, 1));
	assert_true(small_epoch(world, 0) > 2);
}

static void updates_wait_for_few_of_those_that_are_not_reached(void **state)
{
	struct small_world *world = *state;
	uint32_t index, held = 0;

	small_gather(world, 2);
	world->peers[1].slow_meet = true;
	for (index = 2; index < 12; index++) {
		small_join(world, index, 0, 1);
		small_settle(world);
		small_update(world, 2);
		held += world->peers[0].voting;
		small_pass(world, 1050);
		assert_false(world->peers[0].voting);
	}
	assert_in_range(held, 5, 8);
}

/* Each time by another name, and with the address of somebody else. */
static void members_dial_few_foreign_addresses_for_one_origin(void **state)
{
	struct small_world *world = *state;
	uint32_t index, before, meets;

	small_gather(world, 1);
	world->origin = 7;
	world->host = "198.51.100.7";
	before = world->message_count[PCCL_MESSAGE_MEET];
	for (index = 1; index < 60; index++) {
		join_out_of_reach(world, index);
		small_leave(world, index);
		small_settle(world);
	}
	meets = world->message_count[PCCL_MESSAGE_MEET] - before;
	assert_int_equal(meets, (2 + 1) * 32); /* the member hears of the end of each, too */
	join_out_of_reach(world, 60);
	small_pass(world, 7000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_MEET] - before, meets);
	small_pass(world, 2000);
	assert_int_equal(world->message_count[PCCL_MESSAGE_MEET] - before, meets + 2);
	/* Others are introduced as always, and so is one from there with its own address. */
	world->host = NULL;
	small_join(world, 61, 0, 1);
	small_settle(world);
	small_update(world, 1);
	assert_int_equal(small_size(world, 61), 2);
}

/* Many behind one address, with a second address each. */
static void who_is_reached_before_others_dial_costs_nothing(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	small_gather(world, 1);
	world->origin = 7;
	world->host = "198.51.100.7";
	for (index = 1; index < 60; index++)
		small_join(world, index, 0, 1);
	small_settle(world);
	small_update(world, 1);
	assert_int_equal(small_size(world, 0), 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, small_open, small_close)
		CASE(who_is_mute_holds_members_for_a_second_and_its_next_names_less_and_less_often),
		CASE(who_was_slow_to_answer_joins_later),
		CASE(others_are_admitted_beside_one_that_is_mute),
		CASE(many_of_one_origin_hold_members_no_longer_than_one),
		CASE(newcomers_that_hang_up_when_they_are_asked_hold_few_updates_up_and_not_for_long),
		CASE(one_update_loses_few_newcomers),
		CASE(members_that_were_stopped_go_on_without_newcomers_that_died),
		CASE(updates_wait_for_few_of_those_that_are_not_reached),
		CASE(members_dial_few_foreign_addresses_for_one_origin),
		CASE(who_is_reached_before_others_dial_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
