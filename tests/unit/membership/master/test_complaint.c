/* Complaints about members: who is asked, who is believed, and who goes. */
#include <stdlib.h>
#include <string.h>

#include "lib/check.h"
#include "lib/small_world.h"

static void gather(struct small_world *world, uint32_t count)
{
	uint32_t index, other;

	for (index = 0; index < count; index++) {
		small_join(world, index, 0, 1);
		small_settle(world);
		for (other = 0; other < index; other++)
			small_vote_if_member(world, other, PCCL_VOTE_UPDATE);
		small_settle(world);
	}
	assert_int_equal(small_size(world, 0), count);
}

/* Both know that they have no link; who is asked says so. */
static void part(struct small_world *world, uint32_t left, uint32_t right)
{
	world->parted[left < right ? left : right][left < right ? right : left] = true;
}

static void complaints_evict_the_one_most_complain_about(void **state)
{
	struct small_world *world = *state;

	gather(world, 4);
	small_complain(world, 0, 1);
	small_complain(world, 2, 1);
	small_complain(world, 1, 0);
	small_complain(world, 1, 2);
	small_pass(world, 200);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 0), 3);
	assert_non_null(strstr(world->peers[1].end_text, "no route to host"));
	assert_non_null(strstr(world->peers[1].end_text,
			       "2 of 4 members and this peer could not reach each other: rank 0 (192.0.2.1), "
			       "rank 2 (192.0.2.1): "));
}

static void mutual_complaints_evict_the_higher_rank(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_complain(world, 0, 2);
	small_complain(world, 2, 0);
	small_pass(world, 200);
	assert_int_equal(world->peers[2].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 0), 2);
	assert_non_null(strstr(world->peers[2].end_text, "each other: rank 0 (192.0.2.1): "));
}

/* However many they are: the words have to have an end. */
static void two_of_those_that_could_not_be_reached_are_named(void **state)
{
	struct small_world *world = *state;
	uint32_t index;

	world->host = "2001:0db8:1111:2222:3333:4444:5555:6666";
	gather(world, 8);
	for (index = 0; index < 8; index++) {
		if (index != 3)
			small_complain(world, index, 3);
	}
	small_pass(world, 200);
	assert_non_null(
		strstr(world->peers[3].end_text, "rank 1 (2001:0db8:1111:2222:3333:4444:5555:6666) and 5 more: no"));
}

/* One-sided, for as long as it is not taken back: else the one who complains goes. */
static void what_is_complained_about_and_heard_again_evicts_nobody(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	small_complain(world, 0, 1);
	small_pass(world, 1000);
	small_hear_again(world, 0, 1);
	small_complain(world, 2, 1);
	small_lose_connection(world, 2);
	small_hear_again(world, 2, 1); /* which the master does not hear */
	small_pass(world, 60000);
	assert_int_equal(small_size(world, 0), 3);
	assert_false(world->peers[0].ended || world->peers[1].ended || world->peers[2].ended);
	small_complain(world, 0, 1);
	small_pass(world, 60000);
	assert_int_equal(world->peers[0].end_result, pcclEvicted);
	assert_non_null(strstr(world->peers[0].end_text, "it alone could not reach rank 1 (192.0.2.1), twice"));
}

/* It complains about everybody before anybody complains about it. */
static void who_hears_nobody_goes_and_not_those_it_complains_about(void **state)
{
	struct small_world *world = *state;

	gather(world, 4);
	part(world, 1, 0);
	part(world, 1, 2);
	part(world, 1, 3);
	small_complain(world, 1, 0);
	small_complain(world, 1, 2);
	small_complain(world, 1, 3);
	small_pass(world, 250);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 0), 3);
	assert_int_equal(small_size(world, 3), 3);
}

static void accused_is_asked_and_confirms(void **state)
{
	struct small_world *world = *state;

	gather(world, 3);
	part(world, 0, 2);
	small_complain(world, 0, 2);
	small_pass(world, 250);
	assert_int_equal(world->peers[2].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 0), 2);
}

static void who_has_most_broken_links_goes_though_it_does_not_complain(void **state)
{
	struct small_world *world = *state;

	gather(world, 6);
	part(world, 1, 3);
	part(world, 1, 4);
	small_complain(world, 3, 1);
	small_complain(world, 4, 1);
	small_pass(world, 250);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 5), 5);
}

/* One bad link and one that somebody lies about: it had trouble with two, and went for it. */
static void false_complaint_adds_nothing_to_a_link_that_is_broken(void **state)
{
	struct small_world *world = *state;

	gather(world, 5);
	part(world, 1, 2);
	small_complain(world, 2, 1);
	small_complain(world, 4, 1);
	small_pass(world, 3500);
	assert_int_equal(world->peers[2].end_result, pcclEvicted);
	assert_false(world->peers[1].ended);
	assert_int_equal(small_size(world, 1), 4);
	small_complain(world, 4, 1);
	small_pass(world, 8000);
	assert_int_equal(world->peers[4].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 1), 3);
}

/* It cuts its links and says that they are up. Those whom it cuts are not to pay for it. */
static void who_denies_what_two_say_goes(void **state)
{
	struct small_world *world = *state;

	gather(world, 6);
	small_complain(world, 1, 3);
	small_pass(world, 4000);
	assert_int_equal(small_size(world, 1), 6);
	small_complain(world, 2, 3);
	small_pass(world, 4000);
	assert_int_equal(world->peers[3].end_result, pcclEvicted);
	assert_non_null(strstr(world->peers[3].end_text, " (192.0.2.1) could not reach it, which it did not confirm"));
	assert_int_equal(small_size(world, 1), 5);
	assert_int_equal(small_size(world, 2), 5);
}

/* The first time nobody can tell, and the one who complains goes. */
static void who_denies_again_goes_the_next_time(void **state)
{
	struct small_world *world = *state;

	gather(world, 6);
	small_complain(world, 1, 3);
	small_pass(world, 10000);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	small_pass(world, 200000);
	small_complain(world, 2, 3);
	small_pass(world, 10000);
	assert_int_equal(world->peers[3].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 2), 4);
}

/* An hour later it is as if it had been the first time. */
static void what_somebody_went_for_is_forgotten_in_time(void **state)
{
	struct small_world *world = *state;

	gather(world, 6);
	small_complain(world, 1, 3);
	small_pass(world, 10000);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	small_pass(world, 3600000);
	small_complain(world, 2, 3);
	small_pass(world, 10000);
	assert_int_equal(world->peers[2].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 3), 4);
}

/* Two at once were two troubles of the one that complains about them. */
static void nobody_goes_at_once_for_what_the_accused_deny(void **state)
{
	struct small_world *world = *state;

	gather(world, 5);
	small_complain(world, 2, 0);
	small_complain(world, 2, 1);
	small_pass(world, 2900);
	assert_int_equal(small_size(world, 2), 5);
	small_hear_again(world, 2, 0);
	small_hear_again(world, 2, 1);
	small_pass(world, 60000);
	assert_int_equal(small_size(world, 2), 5);
}

/* Another complaint is still to be confirmed, and shows whose links are broken. */
static void one_broken_link_is_not_judged_before_the_others_are_known(void **state)
{
	struct small_world *world = *state;

	gather(world, 6);
	world->peers[4].slow_meet = true;
	part(world, 1, 3);
	small_complain(world, 1, 3);
	small_complain(world, 1, 4);
	small_pass(world, 1000);
	assert_int_equal(small_size(world, 0), 6);
	small_complain(world, 4, 1);
	small_pass(world, 200);
	assert_int_equal(world->peers[1].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 0), 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, small_open, small_close)
		CASE(complaints_evict_the_one_most_complain_about),
		CASE(mutual_complaints_evict_the_higher_rank),
		CASE(two_of_those_that_could_not_be_reached_are_named),
		CASE(what_is_complained_about_and_heard_again_evicts_nobody),
		CASE(who_hears_nobody_goes_and_not_those_it_complains_about),
		CASE(accused_is_asked_and_confirms),
		CASE(who_has_most_broken_links_goes_though_it_does_not_complain),
		CASE(false_complaint_adds_nothing_to_a_link_that_is_broken),
		CASE(who_denies_what_two_say_goes),
		CASE(who_denies_again_goes_the_next_time),
		CASE(what_somebody_went_for_is_forgotten_in_time),
		CASE(nobody_goes_at_once_for_what_the_accused_deny),
		CASE(one_broken_link_is_not_judged_before_the_others_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
