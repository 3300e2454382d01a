/* What strangers get before a view has them: who visits, when something goes to them, and what comes from whom. Links,
 * communicator and what is to be said to visitors are played by the test. */
#include "session/lane.h"

#include <string.h>

#include "base/time.h"
#include "lib/check.h"
#include "lib/idle_lane.h"
#include "membership/message/message.h"

enum { MEMBERS = 2 };

static struct {
	struct pccl_lane *lane;
	struct pccl_plan *plan;
	struct idle_lane_links links;
	uint32_t kicks[IDLE_LANE_LINKS_MAX];
	uint32_t forgotten_count;
	/* of visits */
	uint32_t visitors;
	uint32_t fewest; /* visitors at a time */
	pcclRankUuid_t uuids[PCCL_LANE_VISITORS_MAX];
	uint32_t left[PCCL_LANE_VISITORS_MAX]; /* frames for each */
	uint32_t ready;			       /* the number of one who is to be kicked, from 1 */
	uint32_t received[PCCL_LANE_VISITORS_MAX];
	uint32_t dropped;
	uint32_t looks;
	bool out_of_memory;
} world;

/* ---- the lane's table ------------------------------ */

static void kick(struct pccl_lane_link *link)
{
	world.kicks[idle_lane_link_number(&world.links, link)]++;
}

static void forget(struct pccl_lane_link *link, const void *cookie,
		   bool (*belongs)(const void *cookie, const struct pccl_frame *frame))
{
	const struct pccl_frame early = {.type = PCCL_FRAME_PART, .flags = PCCL_FRAME_EARLY};

	(void)link;
	world.forgotten_count += cookie == &world && belongs(cookie, &early);
}

static struct pccl_lane_calls calls;

static void fill_calls(void)
{
	calls = idle_lane_calls;
	calls.kick = kick;
	calls.forget = forget;
}

/* ---- the visits' ------------------------------ */

static pcclResult_t visits_install(void *context, uint32_t count, uint32_t self, const pcclRankUuid_t *uuids)
{
	(void)context;
	assert_int_equal(self, UINT32_MAX);
	assert_true(count <= PCCL_LANE_VISITORS_MAX);
	if (world.out_of_memory)
		return pcclOutOfMemory;
	world.visitors = count;
	if (count < world.fewest)
		world.fewest = count;
	memcpy(world.uuids, uuids, count * sizeof(*uuids));
	return pcclSuccess;
}

static bool visits_ready(void *context, uint32_t *visitor_out)
{
	(void)context;
	*visitor_out = world.ready - 1;
	return world.ready != 0 && (world.ready = 0, true);
}

static bool visits_next(void *context, uint32_t visitor, struct pccl_frame_send *send_out)
{
	(void)context;
	assert_true(visitor < world.visitors);
	if (world.left[visitor] == 0)
		return false;
	world.left[visitor]--;
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = PCCL_FRAME_PART;
	send_out->frame.flags = PCCL_FRAME_EARLY;
	send_out->frame.payload_bytes = PCCL_LANE_VISIT_BYTES;
	return true;
}

static bool visits_owns(const void *context, const struct pccl_frame *frame)
{
	(void)context;
	return (frame->flags & PCCL_FRAME_EARLY) != 0;
}

static enum pccl_frame_verdict visits_accept(void *context, uint32_t visitor, const struct pccl_frame *frame,
					     void **destination_out)
{
	(void)context;
	(void)frame;
	assert_true(visitor < world.visitors);
	*destination_out = &world;
	return PCCL_FRAME_TAKE;
}

static void visits_received(void *context, uint32_t visitor, const struct pccl_frame *frame)
{
	(void)context;
	(void)frame;
	world.received[visitor]++;
}

static void visits_dropped(void *context, uint32_t visitor, const struct pccl_frame *frame)
{
	(void)context;
	(void)frame;
	(void)visitor;
	world.dropped++;
}

static void visits_lost(void *context, uint32_t visitor)
{
	(void)context;
	(void)visitor;
}

static void visits_sent(void *context, void *token)
{
	(void)context;
	(void)token;
}

static void visits_stir(void *context)
{
	(void)context;
}

static void visits_look(void *context, uint64_t now_ns)
{
	(void)context;
	(void)now_ns;
	world.looks++;
}

static const struct pccl_lane_background visits = {visits_install, visits_lost,	  visits_ready,	   visits_next,
						   visits_owns,	   visits_accept, visits_received, visits_dropped,
						   visits_sent,	   visits_stir,	  visits_look};

/* ---- what the tests do ------------------------------ */

static int open_world(void **state)
{
	const struct pccl_lane_config config = {.exec = {.lane = 0, .lanes = 1, .scratch_bytes = 1u << 16},
						.heartbeat_interval_ns = PCCL_SECOND_NS / 4,
						.heartbeat_timeout_ns = PCCL_SECOND_NS,
						.guest_ns = PCCL_SECOND_NS,
						.calls = &calls,
						.context = &world.links,
						.visits = &visits,
						.visits_context = &world};

	(void)state;
	memset(&world, 0, sizeof(world));
	fill_calls();
	return pccl_lane_create(&config, &world.lane) == pcclSuccess ? 0 : -1;
}

static int close_world(void **state)
{
	(void)state;
	pccl_lane_close(world.lane);
	pccl_lane_destroy(world.lane);
	pccl_plan_destroy(world.plan);
	return 0;
}

/* Members 0 to count - 1; the lane's is 0. */
static void install(uint32_t epoch, uint32_t count)
{
	struct pccl_command *command = idle_lane_command(PCCL_COMMAND_INSTALL, 0, count);
	struct pccl_command freeze = {.type = PCCL_COMMAND_FREEZE};

	if (epoch > 1)
		pccl_lane_command(world.lane, &freeze, 0);
	command->epoch = command->view.epoch = epoch;
	pccl_lane_command(world.lane, command, 0);
}

static void meet(uint32_t who, bool anew)
{
	struct pccl_command *command = idle_lane_command(PCCL_COMMAND_MEET, who, 1);

	command->how.number = 1;
	command->how.anew = anew;
	pccl_lane_command(world.lane, command, 0);
}

static bool next(uint32_t link)
{
	struct pccl_frame_send send;

	return pccl_neighbour_next(world.links.neighbours[link], &send);
}

static enum pccl_frame_verdict hear(uint32_t link)
{
	const struct pccl_frame frame = {.type = PCCL_FRAME_WANT, .flags = PCCL_FRAME_EARLY};
	void *destination;

	return pccl_neighbour_accept(world.links.neighbours[link], &frame, &destination);
}

static const struct pccl_frame early = {.type = PCCL_FRAME_WANT, .flags = PCCL_FRAME_EARLY};

/* ---- who visits ------------------------------ */

static void strangers_visit_while_visits_are_open(void **state)
{
	(void)state;
	install(1, MEMBERS); /* link 0 */
	meet(2, false);	     /* link 1 */
	world.left[0] = 1;
	assert_int_equal(hear(1), PCCL_FRAME_DISCARD);
	assert_false(next(1));
	pccl_lane_stir_visits(world.lane, true, false, 0);
	assert_int_equal(world.visitors, 1);
	assert_memory_equal(world.uuids[0].data, idle_lane_uuid(2).data, sizeof(world.uuids[0].data));
	assert_int_equal(hear(1), PCCL_FRAME_TAKE);
	pccl_neighbour_received(world.links.neighbours[1], &early);
	pccl_neighbour_dropped(world.links.neighbours[1], &early);
	assert_true(world.received[0] == 1 && world.dropped == 1);
	assert_true(next(1));
	assert_false(next(1));
	meet(3, false); /* link 2 */
	assert_int_equal(world.visitors, 2);
	assert_memory_equal(world.uuids[0].data, idle_lane_uuid(2).data, sizeof(world.uuids[0].data));
	world.ready = 2;
	pccl_neighbour_pulled(world.links.neighbours[1]);
	assert_int_equal(world.kicks[2], 1);
	pccl_lane_forget_visits(world.lane);
	assert_int_equal(world.forgotten_count, 3); /* on all links: who is a member now may have visited */
	pccl_lane_stir_visits(world.lane, false, false, 0);
	assert_int_equal(world.visitors, 0);
	assert_int_equal(hear(1), PCCL_FRAME_DISCARD);
}

/* A master has struck it off: nothing goes to it any more. Who has become a member is none of that. */
static void who_does_not_join_visits_no_more(void **state)
{
	struct pccl_command *command;
	uint32_t who;

	(void)state;
	install(1, MEMBERS);
	meet(2, false); /* link 1 */
	meet(3, false); /* link 2 */
	pccl_lane_stir_visits(world.lane, true, false, 0);
	assert_int_equal(world.visitors, 2);
	for (who = 1; who < 3; who++) {
		command = idle_lane_command(PCCL_COMMAND_MEET, who, 1);
		command->how.number = PCCL_MEET_PART;
		pccl_lane_command(world.lane, command, 0);
	}
	assert_int_equal(world.visitors, 1);
	assert_memory_equal(world.uuids[0].data, idle_lane_uuid(3).data, sizeof(world.uuids[0].data));
}

/* Of a member nothing is taken that is for strangers, and nothing of that goes to it. */
static void who_is_admitted_or_lost_visits_no_more(void **state)
{
	(void)state;
	install(1, MEMBERS);
	pccl_lane_stir_visits(world.lane, true, false, 0);
	meet(2, false);
	meet(3, false);
	assert_int_equal(world.visitors, 2);
	assert_int_equal(hear(0), PCCL_FRAME_DISCARD);
	install(2, MEMBERS + 1);
	assert_int_equal(world.visitors, 1);
	assert_memory_equal(world.uuids[0].data, idle_lane_uuid(3).data, sizeof(world.uuids[0].data));
	world.left[0] = world.left[1] = 1;
	assert_int_equal(hear(1), PCCL_FRAME_DISCARD);
	pccl_neighbour_received(world.links.neighbours[1], &early); /* it had begun before */
	pccl_neighbour_dropped(world.links.neighbours[1], &early);
	assert_true(world.received[0] == 0 && world.dropped == 0);
	assert_false(next(1));
	pccl_neighbour_lost(world.links.neighbours[2], "no way to it");
	assert_int_equal(world.visitors, 0);
	assert_false(next(2));
	meet(3, true); /* link 3 */
	assert_int_equal(world.visitors, 1);
	assert_int_equal(hear(3), PCCL_FRAME_TAKE);
	world.fewest = 1;
	meet(3, true); /* link 4: all begins anew */
	assert_true(world.fewest == 0 && world.visitors == 1);
	assert_int_equal(hear(4), PCCL_FRAME_TAKE);
}

static void visitors_are_bounded_and_the_first_ones_stay(void **state)
{
	uint32_t who;

	(void)state;
	install(1, 1);
	pccl_lane_stir_visits(world.lane, true, false, 0);
	for (who = 1; who <= PCCL_LANE_VISITORS_MAX + 2; who++)
		meet(who, false);
	assert_int_equal(world.visitors, PCCL_LANE_VISITORS_MAX);
	assert_memory_equal(world.uuids[0].data, idle_lane_uuid(1).data, sizeof(world.uuids[0].data));
	assert_int_equal(hear(PCCL_LANE_VISITORS_MAX - 1), PCCL_FRAME_TAKE);
	assert_int_equal(hear(PCCL_LANE_VISITORS_MAX), PCCL_FRAME_DISCARD);
	assert_false(next(PCCL_LANE_VISITORS_MAX));
	pccl_neighbour_lost(world.links.neighbours[4], "no way to it");
	assert_int_equal(world.visitors, PCCL_LANE_VISITORS_MAX);
	assert_int_equal(hear(4), PCCL_FRAME_DISCARD);
}

static void without_memory_nobody_visits_until_there_is_some(void **state)
{
	(void)state;
	install(1, 1);
	world.out_of_memory = true;
	pccl_lane_stir_visits(world.lane, true, false, 0);
	meet(1, false);
	world.ready = 1;
	pccl_neighbour_pulled(world.links.neighbours[0]);
	assert_int_equal(world.kicks[0], 0);
	assert_int_equal(hear(0), PCCL_FRAME_DISCARD);
	world.out_of_memory = false;
	meet(2, false);
	assert_int_equal(world.visitors, 2);
}

/* ---- what they get ------------------------------ */

/* Of 48 MiB with the other member, half of which goes to it. Never read. */
static float values[12u << 20], sums[12u << 20];

static void launch(void)
{
	struct pccl_command command = {.type = PCCL_COMMAND_LAUNCH};
	struct pccl_exec_launch *what = &command.launch;

	pccl_geometry_cut(PCCL_ALL_REDUCE, MEMBERS, sizeof(values) / sizeof(values[0]), sizeof(values[0]), 64,
			  &what->geometry);
	assert_int_equal(pccl_plan_create(PCCL_ALL_REDUCE, pcclPlanDirect, MEMBERS, 0, 0, &what->geometry, &world.plan),
			 pcclSuccess);
	what->signature.kind = PCCL_ALL_REDUCE;
	what->signature.algorithm = pcclPlanDirect;
	what->signature.count = sizeof(values) / sizeof(values[0]);
	what->signature.datatype = pcclFloat;
	what->signature.op = pcclSum;
	what->plan = world.plan;
	what->input = values;
	what->output = sums;
	what->cookie = &world;
	pccl_lane_command(world.lane, &command, 0);
}

static void cancel(void)
{
	struct pccl_command command = {.type = PCCL_COMMAND_CANCEL, .result = pcclAborted, .detail = "for the test"};

	command.attempt = (struct pccl_attempt *)(void *)&world; /* the cookie: nobody looks inside */
	pccl_lane_command(world.lane, &command, 0);
}

/* The other member has launched it as well, in the same words. */
static void echo_start(void)
{
	struct pccl_frame_send send;
	void *destination;

	assert_true(pccl_neighbour_next(world.links.neighbours[0], &send));
	assert_int_equal(send.frame.type, PCCL_FRAME_START);
	send.frame.aux = 1000; /* segments that may come to it */
	assert_int_equal(pccl_neighbour_accept(world.links.neighbours[0], &send.frame, &destination), PCCL_FRAME_TAKE);
	memcpy(destination, send.payload, send.frame.payload_bytes);
	pccl_neighbour_received(world.links.neighbours[0], &send.frame);
}

static uint64_t pull(uint64_t most)
{
	struct pccl_frame_send send;
	uint64_t bytes = 0;

	while (bytes < most && pccl_neighbour_next(world.links.neighbours[0], &send))
		bytes += send.frame.payload_bytes;
	return bytes;
}

static void operations_go_first_and_visitors_get_their_share(void **state)
{
	uint32_t frames;

	(void)state;
	install(1, MEMBERS); /* link 0 */
	pccl_lane_stir_visits(world.lane, true, false, 0);
	meet(2, false); /* link 1 */
	meet(3, false); /* link 2 */
	world.left[0] = world.left[1] = 1000;
	for (frames = 0; frames < 100; frames++)
		assert_true(next(1)); /* nothing else is to be done */
	launch();
	assert_true(next(1));
	assert_false(next(1));
	assert_false(next(2));
	echo_start();
	assert_int_equal(pull(12u << 20), 12u << 20);
	assert_false(next(1));
	assert_int_equal(pull(4u << 20), 4u << 20);
	memset(world.kicks, 0, sizeof(world.kicks));
	pccl_neighbour_pulled(world.links.neighbours[0]);
	assert_true(world.kicks[1] == 1 && world.kicks[2] == 1);
	assert_true(next(2));
	assert_false(next(1));
	cancel();
	assert_false(next(1)); /* another one may follow */
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_false(next(1));
	memset(world.kicks, 0, sizeof(world.kicks));
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_true(world.kicks[1] == 1 && world.kicks[2] == 1);
	assert_true(next(1) && next(1) && next(2));
	assert_true(pccl_lane_deadline(world.lane) == UINT64_MAX);
}

static void whoever_fetches_is_looked_at(void **state)
{
	(void)state;
	install(1, 1);
	pccl_lane_stir_visits(world.lane, true, false, 0);
	assert_true(pccl_lane_deadline(world.lane) == UINT64_MAX);
	pccl_lane_stir_visits(world.lane, true, true, 0);
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_int_equal(world.looks, 2);
	pccl_lane_stir_visits(world.lane, false, false, PCCL_SECOND_NS);
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_int_equal(world.looks, 2);
	assert_true(pccl_lane_deadline(world.lane) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
		TEST(strangers_visit_while_visits_are_open),
		TEST(who_does_not_join_visits_no_more),
		TEST(who_is_admitted_or_lost_visits_no_more),
		TEST(visitors_are_bounded_and_the_first_ones_stay),
		TEST(without_memory_nobody_visits_until_there_is_some),
		TEST(operations_go_first_and_visitors_get_their_share),
		TEST(whoever_fetches_is_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
