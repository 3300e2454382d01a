/* Memory runs out in the machines, once, at every place where it can: nobody crashes, nothing leaks, and those who did
 * not end share a view in the end. */
#include <stdio.h>
#include <string.h>

#include "base/uuid.h"

#include "lib/allocations.h"
#include "lib/check.h"
#include "lib/small_world.h"

#define PEERS 4

static void update_all(struct small_world *world)
{
	uint32_t index;

	for (index = 0; index <= PEERS; index++)
		small_vote_if_member(world, index, PCCL_VOTE_UPDATE);
}

/* Members come, one dies with an op open, the master is replaced, somebody joins and one leaves. */
static void run_history(struct small_world *world)
{
	uint32_t index;

	small_master_start(world, 0);
	for (index = 0; index < PEERS; index++)
		small_join(world, index, 0, 1);
	small_pass(world, 100);
	small_vote_if_member(world, 0, PCCL_VOTE_UPDATE);
	small_pass(world, 100);
	for (index = 0; index < PEERS; index++) {
		world->peers[index].reports = true;
		world->peers[index].report.policy = (uint8_t)pcclPolicyRepair;
		world->peers[index].report.repairable = true;
		world->peers[index].report.segment_count = 70;
	}
	small_kill(world, 1);
	small_pass(world, 100);
	small_master_crash(world, 0);
	small_settle(world);
	small_master_start(world, 0);
	small_pass(world, 4000);
	for (index = 0; index < PEERS; index++)
		world->peers[index].reports = false;
	small_join(world, PEERS, 0, 1);
	small_pass(world, 100);
	update_all(world);
	small_pass(world, 8000);
}

static bool is_in(const struct small_peer *peer)
{
	return peer->machine != NULL && !peer->ended && peer->install.view.member_count > 0;
}

/* All who are in a view are in the same one, and it is theirs. */
static void assert_united(const struct small_world *world)
{
	const struct small_peer *first = NULL;
	uint32_t count = 0;
	uint32_t index;

	for (index = 0; index <= PEERS; index++) {
		const struct small_peer *peer = &world->peers[index];

		if (!is_in(peer))
			continue;
		first = first != NULL ? first : peer;
		count++;
		assert_true(pccl_uuid_equal(&peer->install.run, &first->install.run));
		assert_int_equal(peer->install.view.epoch, first->install.view.epoch);
	}
	if (first != NULL)
		assert_int_equal(first->install.view.member_count, count);
}

static void every_allocation_of_the_machines_may_fail(void **state)
{
	static struct small_world world;
	size_t nth;
	bool failed = true;

	(void)state;
	for (nth = 1; failed; nth++) {
		small_world_init(&world);
		world.fail_allocation = nth;
		run_history(&world);
		failed = world.allocation_failed;
		world.fail_allocation = 0;
		small_pass(&world, 5000); /* who was lost at the last moment learns it */
		update_all(&world);	  /* who founded a run of its own at the last moment comes over */
		small_pass(&world, 5000);
		assert_united(&world);
		small_world_fini(&world);
	}
	assert_true(nth > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_of_the_machines_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
