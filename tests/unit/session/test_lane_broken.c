/* Links that are broken for now: to members, to strangers, and those that others take the place of. */
#include <string.h>

#include "lib/check.h"
#include "lib/idle_lane.h"

enum { MEMBERS = 2, STRANGER = 7 };

static struct {
	struct pccl_lane *lane;
	struct idle_lane_links links;
	uint32_t broken_count, mended_count, complaint_count;
	uint32_t met_count, unmet_count, met_number;
} world;

static void met(void *context, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not)
{
	(void)context;
	(void)uuid;
	world.met_number = number;
	world.met_count += why_not == NULL;
	world.unmet_count += why_not != NULL;
}

static void broken(void *context, const pcclRankUuid_t *member, bool is_broken)
{
	(void)context;
	(void)member;
	world.broken_count += is_broken;
	world.mended_count += !is_broken;
}

static void complain(void *context, const pcclRankUuid_t *member, const char *reason)
{
	(void)context;
	(void)member;
	(void)reason;
	world.complaint_count++;
}

static int open_world(void **state)
{
	static struct pccl_lane_calls calls;
	const struct pccl_lane_config config = {.exec = {.lane = 0, .lanes = 1, .scratch_bytes = 1u << 16},
						.heartbeat_interval_ns = 250000000,
						.heartbeat_timeout_ns = 1000000000,
						.guest_ns = 1000000000,
						.calls = &calls,
						.context = &world.links};

	(void)state;
	memset(&world, 0, sizeof(world));
	calls = idle_lane_calls;
	calls.met = met;
	calls.broken = broken;
	calls.complain = complain;
	return pccl_lane_create(&config, &world.lane) == pcclSuccess ? 0 : -1;
}

static int close_world(void **state)
{
	(void)state;
	pccl_lane_close(world.lane);
	pccl_lane_destroy(world.lane);
	return 0;
}

/* Members 0 to MEMBERS - 1, of which the lane's is 0, and the stranger, who may have a pass for them. */
static void install(uint32_t epoch, bool stranger, bool passes)
{
	struct pccl_command *command = idle_lane_command(PCCL_COMMAND_INSTALL, 0, MEMBERS + (uint32_t)stranger);
	struct pccl_command freeze = {.type = PCCL_COMMAND_FREEZE};
	uint32_t i;

	if (epoch > 1)
		pccl_lane_command(world.lane, &freeze, 1);
	command->epoch = command->view.epoch = epoch;
	for (i = 0; i < MEMBERS + (uint32_t)stranger; i++)
		command->view.members[i].pass.data[0] = passes;
	if (stranger)
		command->view.members[MEMBERS].uuid = idle_lane_uuid(STRANGER);
	pccl_lane_command(world.lane, command, 1);
}

static void meet(uint32_t number)
{
	struct pccl_command *command = idle_lane_command(PCCL_COMMAND_MEET, STRANGER, 1);

	command->how.number = number;
	pccl_lane_command(world.lane, command, 1);
}

/* All of its streams have broken, and are being dialled again. */
static void a_stranger_whose_link_is_broken_is_met_when_it_is_up_again(void **state)
{
	(void)state;
	install(1, false, true);
	meet(1);
	assert_int_equal(world.met_count, 1);
	pccl_neighbour_broken(world.links.neighbours[1], true);
	meet(2);
	assert_int_equal(world.met_count, 1);
	pccl_neighbour_broken(world.links.neighbours[1], false);
	assert_int_equal(world.met_count, 2);
	assert_int_equal(world.met_number, 2);
	pccl_neighbour_broken(world.links.neighbours[1], true);
	pccl_neighbour_broken(world.links.neighbours[1], false);
	assert_int_equal(world.met_count, 2);
	assert_int_equal(world.unmet_count, 0);
	assert_int_equal(world.links.count, 2);
	assert_int_equal(world.broken_count, 0);
}

static void a_stranger_whose_broken_link_is_lost_is_not_met(void **state)
{
	(void)state;
	install(1, false, true);
	meet(1);
	pccl_neighbour_broken(world.links.neighbours[1], true);
	meet(2);
	pccl_neighbour_lost(world.links.neighbours[1], "nobody answers");
	assert_int_equal(world.met_count, 1);
	assert_int_equal(world.unmet_count, 1);
	assert_int_equal(world.met_number, 2);
	/* It joins: another link is made, of which nothing has broken. */
	install(2, true, true);
	assert_int_equal(world.links.count, 3);
	assert_int_equal(world.broken_count, 0);
}

static void a_link_that_is_made_anew_with_a_pass_is_not_broken(void **state)
{
	(void)state;
	install(1, false, false);
	pccl_neighbour_broken(world.links.neighbours[0], true);
	pccl_neighbour_lost(world.links.neighbours[0], "it has no pass");
	assert_int_equal(world.broken_count, 1);
	install(2, false, true);
	assert_int_equal(world.links.count, 2);
	assert_int_equal(world.broken_count, 1);
}

static void broken_links_are_told_of_in_each_view_until_they_are_up_again(void **state)
{
	(void)state;
	install(1, false, true);
	pccl_neighbour_broken(world.links.neighbours[0], true);
	assert_int_equal(world.broken_count, 1);
	install(2, false, true);
	assert_int_equal(world.broken_count, 2);
	assert_int_equal(world.mended_count, 0);
	pccl_neighbour_broken(world.links.neighbours[0], false);
	assert_int_equal(world.mended_count, 1);
	install(3, false, true);
	assert_int_equal(world.broken_count, 2);
	assert_int_equal(world.complaint_count, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_stranger_whose_link_is_broken_is_met_when_it_is_up_again),
		CASE(a_stranger_whose_broken_link_is_lost_is_not_met),
		CASE(a_link_that_is_made_anew_with_a_pass_is_not_broken),
		CASE(broken_links_are_told_of_in_each_view_until_they_are_up_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
