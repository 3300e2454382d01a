/* What a lane writes into the log about neighbours that are silent, or lost. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "lib/check.h"
#include "lib/idle_lane.h"

enum { SECOND = 1000000000, MEMBERS = 3 };

static struct {
	struct pccl_lane *lane;
	struct pccl_plan *plan;
	struct idle_lane_links links;
	uint32_t complaints;
	uint32_t unacked_frames;
	uint32_t lost_lines, again_lines;
	char last[256];
} world;

static void heard(const struct pccl_lane_link *link, struct pccl_heard *heard_out)
{
	(void)link;
	*heard_out = (struct pccl_heard){.unacked_frames = world.unacked_frames, .received_ns = 1};
}

static void complain(void *context, const pcclRankUuid_t *member, const char *reason)
{
	(void)context;
	(void)member;
	(void)reason;
	world.complaints++;
}

static bool take_line(pcclLogLevel_t level, const char *text)
{
	(void)level;
	world.again_lines += strstr(text, "is heard again") != NULL;
	if (strstr(text, " lost: ") != NULL) {
		world.lost_lines++;
		snprintf(world.last, sizeof(world.last), "%s", text);
	}
	return true;
}

static void install(void)
{
	struct pccl_command *command = idle_lane_command(PCCL_COMMAND_INSTALL, 0, MEMBERS);
	uint32_t rank;

	command->epoch = command->view.epoch = 1;
	for (rank = 0; rank < MEMBERS; rank++) {
		struct pccl_member *member = &command->view.members[rank];

		snprintf(member->addresses[0].host, sizeof(member->addresses[0].host), "10.0.0.%u", rank);
		member->address_count = 1;
	}
	pccl_lane_command(world.lane, command, 0);
}

static void launch(void)
{
	world.plan = idle_lane_launch(world.lane, MEMBERS, &world, 1);
}

static int open_world(void **state)
{
	static struct pccl_lane_calls calls;
	const struct pccl_lane_config config = {.exec = {.lane = 0, .lanes = 1, .scratch_bytes = 1u << 16},
						.heartbeat_interval_ns = SECOND / 4,
						.heartbeat_timeout_ns = SECOND,
						.guest_ns = SECOND,
						.calls = &calls,
						.context = &world.links};

	(void)state;
	memset(&world, 0, sizeof(world));
	calls = idle_lane_calls;
	calls.heard = heard;
	calls.complain = complain;
	pccl_log_set_level(pcclLogInfo);
	pccl_log_set_taker(take_line);
	return pccl_lane_create(&config, &world.lane) == pcclSuccess ? 0 : -1;
}

static int close_world(void **state)
{
	(void)state;
	pccl_lane_close(world.lane);
	pccl_lane_destroy(world.lane);
	pccl_plan_destroy(world.plan);
	pccl_log_set_taker(NULL);
	pccl_log_set_level(pcclLogErr);
	return 0;
}

static void tick_until(uint64_t end_ns)
{
	while (pccl_lane_deadline(world.lane) < end_ns)
		pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
}

/* A lane looks several times a second, for as long as an op waits. */
static void a_silent_link_is_told_of_once_and_one_that_is_lost_not_again(void **state)
{
	uint32_t complaints;

	(void)state;
	install();
	world.unacked_frames = 1;
	launch();
	pccl_neighbour_lost(world.links.neighbours[1], "nobody answers");
	assert_string_equal(world.last, "lane 0: link to rank 2 (10.0.0.2) lost: nobody answers");
	tick_until(60 * (uint64_t)SECOND);
	assert_int_equal(world.lost_lines, MEMBERS - 1);
	assert_non_null(strstr(world.last, "rank 1 (10.0.0.1) lost: nothing was heard"));
	complaints = world.complaints;
	assert_true(complaints > world.lost_lines);
	world.unacked_frames = 0;
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_int_equal(world.again_lines, MEMBERS - 2);
	world.unacked_frames = 1;
	tick_until(120 * (uint64_t)SECOND);
	assert_int_equal(world.lost_lines, MEMBERS);
	assert_true(world.complaints > complaints + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_silent_link_is_told_of_once_and_one_that_is_lost_not_again,
						open_world, close_world),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
