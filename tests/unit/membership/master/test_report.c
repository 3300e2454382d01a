/* Operations that one member alone reports, and that have failed there: who is charged for them. */
#include "lib/check.h"
#include "lib/small_world.h"

/* View changes in which nobody is lost: a deadline of the last member's, of an operation that the first one has. */
static void expire_often(struct small_world *world, uint32_t members)
{
	struct small_peer *first = &world->peers[0];
	struct pccl_peer_event expired = {.type = PCCL_PEER_EXPIRED, .text = "rank 0 has not arrived"};
	uint32_t epoch = small_epoch(world, 0);
	uint32_t round;

	small_gather(world, members);
	first->reports = true;
	first->report.policy = PCCL_POLICY_FAILED;
	for (round = 0; round < 12 && !first->ended; round++) {
		first->report.tag = expired.tag = 1000 + round;
		small_event(world, members - 1, &expired);
		small_pass(world, 2000);
	}
	assert_in_range(small_epoch(world, members - 1), epoch + 7, epoch + 40);
}

static void who_keeps_reporting_what_failed_at_it_alone_goes(void **state)
{
	struct small_world *world = *state;

	expire_often(world, 3);
	assert_int_equal(world->peers[0].end_result, pcclEvicted);
	assert_int_equal(small_size(world, 2), 2);
}

/* The other one may have made them fail, and not say so. */
static void of_two_nobody_is_charged(void **state)
{
	struct small_world *world = *state;

	expire_often(world, 2);
	assert_false(world->peers[0].ended);
	assert_int_equal(small_size(world, 0), 2);
	assert_int_equal(small_size(world, 1), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, small_open, small_close)
		CASE(who_keeps_reporting_what_failed_at_it_alone_goes),
		CASE(of_two_nobody_is_charged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
