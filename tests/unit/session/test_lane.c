/* A lane by itself: guests that wait for a view, neighbours that are silent. Links and communicator are played by the
 * test. */
#include "session/lane.h"

#include <stdio.h>
#include <string.h>

#include "lib/check.h"
#include "lib/idle_lane.h"

enum { SECOND = 1000000000, MEMBERS = 3 };

#define GUEST_NS UINT64_C(10000000000)

static struct {
	struct pccl_lane *lane;
	struct pccl_plan *plan;
	struct idle_lane_links links;
	uint32_t closed_count;
	uint32_t adopted_count;
	uint32_t turned_away_count;
	uint32_t hung_up_count; /* of those, without a word */
	uint32_t complaint_count;
	uint32_t retraction_count;
	uint32_t renewed_count;
	uint64_t renewed_deadline_ns;
	uint32_t frozen_count;
	uint32_t forgotten_count; /* of everything that is received */
	struct pccl_heard heard;
	struct pccl_lane_guest guests[2 * PCCL_LANE_GUESTS_MAX];
	uint32_t guest_count;
	uint8_t passes[MEMBERS];
	pcclRankUuid_t met_uuid;
	uint32_t met_number;
	uint32_t met_count;
	bool met;
	char expired[PCCL_CAUSE_TEXT_BYTES];
	bool up; /* all links */
} world;

/* ---- the table ----------------------------------------------------------------------------------------------- */

static void close_link(struct pccl_lane_link *link)
{
	(void)link;
	world.closed_count++;
}

static void forget(struct pccl_lane_link *link, const void *cookie,
		   bool (*belongs)(const void *cookie, const struct pccl_frame *frame))
{
	const struct pccl_frame frame = {.type = PCCL_FRAME_RESULT};

	(void)link;
	world.forgotten_count += belongs(cookie, &frame);
}

static bool is_up(const struct pccl_lane_link *link)
{
	(void)link;
	return world.up;
}

static void heard(const struct pccl_lane_link *link, struct pccl_heard *heard_out)
{
	(void)link;
	*heard_out = world.heard;
}

static void renew(struct pccl_lane_link *link, uint64_t deadline_ns)
{
	(void)link;
	world.renewed_count++;
	world.renewed_deadline_ns = deadline_ns;
}

static void adopt(struct pccl_lane_link *link, struct pccl_lane_guest *guest)
{
	(void)link;
	(void)guest;
	world.adopted_count++;
}

static void turn_away(void *context, struct pccl_lane_guest *guest, const char *why)
{
	(void)context;
	(void)guest;
	world.turned_away_count++;
	world.hung_up_count += why == NULL;
}

static void met(void *context, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not)
{
	(void)context;
	world.met_uuid = *uuid;
	world.met_number = number;
	world.met_count++;
	world.met = why_not == NULL;
}

static void frozen(void *context, const struct pccl_exec *exec)
{
	(void)context;
	(void)exec;
	world.frozen_count++;
}

static void complain(void *context, const pcclRankUuid_t *member, const char *reason)
{
	(void)context;
	(void)member;
	(void)reason;
	world.complaint_count++;
}

static void retract(void *context, const pcclRankUuid_t *member)
{
	(void)context;
	(void)member;
	world.retraction_count++;
}

static void expired(void *context, const struct pccl_op_key *key, const char *text)
{
	(void)context;
	(void)key;
	(void)snprintf(world.expired, sizeof(world.expired), "%s", text);
}

/* ---- what the tests do --------------------------------------------------------------------------------------- */

static int open_world(void **state)
{
	static struct pccl_lane_calls calls;
	const struct pccl_lane_config config = {.exec = {.lane = 0, .lanes = 1, .scratch_bytes = 1u << 16},
						.heartbeat_interval_ns = SECOND / 4,
						.heartbeat_timeout_ns = SECOND,
						.guest_ns = GUEST_NS,
						.calls = &calls,
						.context = &world.links};

	(void)state;
	memset(&world, 0, sizeof(world));
	calls = idle_lane_calls;
	calls.close = close_link;
	calls.forget = forget;
	calls.is_up = is_up;
	calls.heard = heard;
	calls.renew = renew;
	calls.adopt = adopt;
	calls.turn_away = turn_away;
	calls.frozen = frozen;
	calls.complain = complain;
	calls.retract = retract;
	calls.met = met;
	calls.expired = expired;
	return pccl_lane_create(&config, &world.lane) == pcclSuccess ? 0 : -1;
}

static int close_world(void **state)
{
	(void)state;
	pccl_lane_close(world.lane);
	assert_int_equal(world.closed_count, world.links.count);
	assert_int_equal(world.adopted_count + world.turned_away_count, world.guest_count);
	pccl_lane_destroy(world.lane);
	pccl_plan_destroy(world.plan);
	return 0;
}

/* Members 0 to count - 1; the lane's is 0. */
static void install(uint32_t epoch, uint32_t count, uint64_t now_ns)
{
	struct pccl_command *command = idle_lane_command(PCCL_COMMAND_INSTALL, 0, count);
	struct pccl_command freeze = {.type = PCCL_COMMAND_FREEZE};
	uint32_t rank;

	if (epoch > 1)
		pccl_lane_command(world.lane, &freeze, now_ns);
	command->epoch = command->view.epoch = epoch;
	for (rank = 0; rank < count; rank++)
		command->view.members[rank].pass.data[0] = rank < MEMBERS ? world.passes[rank] : 0;
	pccl_lane_command(world.lane, command, now_ns);
}

static void knock(uint32_t who, uint16_t stream, uint64_t now_ns)
{
	struct pccl_lane_guest *guest = &world.guests[world.guest_count++];

	guest->from = idle_lane_uuid(who);
	guest->stream = stream;
	pccl_lane_adopt(world.lane, guest, now_ns);
}

/* Freed by close_world(). */
static void launch(uint64_t now_ns)
{
	world.plan = idle_lane_launch(world.lane, MEMBERS, &world, now_ns);
}

static void cancel(void)
{
	struct pccl_command command = {.type = PCCL_COMMAND_CANCEL, .result = pcclAborted, .detail = "for the test"};

	command.attempt = (struct pccl_attempt *)(void *)&world; /* the cookie: nobody looks inside */
	pccl_lane_command(world.lane, &command, 3 * (uint64_t)SECOND);
}

/* ---- guests -------------------------------------------------------------------------------------------------- */

static void a_guest_finds_the_link_that_its_view_brings(void **state)
{
	(void)state;
	install(1, 2, 0);
	knock(1, 0, 1);
	assert_int_equal(world.adopted_count, 1);
	knock(2, 0, 2);
	assert_int_equal(world.adopted_count, 1);
	install(2, 3, 3);
	assert_int_equal(world.adopted_count, 2);
	assert_int_equal(world.turned_away_count, 0);
}

/* Whatever happens meanwhile: others come and go, views change, and none of them has it. */
static void a_guest_waits_for_so_long_and_no_longer(void **state)
{
	uint64_t now_ns;
	uint32_t i;

	(void)state;
	install(1, 1, 0);
	knock(9, 0, 1);
	for (i = 1; i < 10; i++) {
		now_ns = i * GUEST_NS / 10;
		knock(9 + i, 0, now_ns);
		install(1 + i, 1 + i % 2, now_ns);
		pccl_lane_tick(world.lane, now_ns);
	}
	assert_int_equal(world.turned_away_count, 0);
	assert_int_equal(pccl_lane_deadline(world.lane), 1 + GUEST_NS);
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_int_equal(world.turned_away_count, 1);
	pccl_lane_tick(world.lane, 2 * GUEST_NS);
	assert_int_equal(world.turned_away_count, 10);
	assert_true(pccl_lane_deadline(world.lane) == UINT64_MAX);
}

static void a_later_call_about_a_stream_takes_the_place_of_an_earlier_one(void **state)
{
	(void)state;
	knock(1, 3, 0);
	knock(1, 4, 1);
	knock(2, 3, 2);
	assert_int_equal(world.turned_away_count, 0);
	knock(1, 3, 3);
	assert_int_equal(world.turned_away_count, 1);
	install(1, 3, 4);
	assert_int_equal(world.adopted_count, 3);
}

/* In whatever order they come. */
static void an_earlier_call_about_a_stream_takes_the_place_of_none(void **state)
{
	const struct pccl_lane_guest said[] = {
		{.instance = 2, .resumption = 1}, {.instance = 2, .resumption = 0}, {.instance = 1, .resumption = 7}};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		world.guests[world.guest_count] = said[i];
		knock(1, 3, i);
		assert_int_equal(world.turned_away_count, i);
	}
	install(1, 3, 4);
	assert_int_equal(world.adopted_count, 1);
}

static void guests_are_bounded_by_caller_and_by_lane(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < 2 * PCCL_LANE_GUESTS_OF_CALLER; i++)
		knock(1, (uint16_t)i, i);
	assert_int_equal(world.turned_away_count, PCCL_LANE_GUESTS_OF_CALLER);
	assert_int_equal(world.hung_up_count, PCCL_LANE_GUESTS_OF_CALLER);
	for (i = 0; i < PCCL_LANE_GUESTS_MAX; i++)
		knock(2 + i, 0, i);
	assert_int_equal(world.guest_count - world.turned_away_count, PCCL_LANE_GUESTS_MAX);
}

/* ---- strangers ----------------------------------------------------------------------------------------------- */

static void meet_of_lanes(uint32_t who, uint32_t number, bool anew, uint16_t lanes)
{
	struct pccl_command *command = idle_lane_command(PCCL_COMMAND_MEET, who, 1);

	command->how.number = number;
	command->how.anew = anew;
	command->view.members[0].lanes = lanes;
	pccl_lane_command(world.lane, command, 1);
}

static void meet(uint32_t who, uint32_t number, bool anew)
{
	meet_of_lanes(who, number, anew, 1);
}

static void a_link_to_a_stranger_is_its_link_when_it_joins(void **state)
{
	const struct pccl_frame early = {.type = PCCL_FRAME_START, .epoch = 2};
	struct pccl_frame_send send;
	void *destination;

	(void)state;
	install(1, 2, 0);
	meet(2, 7, false);
	assert_int_equal(world.links.count, 2);
	assert_int_equal(world.met_count, 0);
	world.up = true;
	pccl_neighbour_up(world.links.neighbours[1]);
	assert_int_equal(world.met_count, 1);
	assert_int_equal(world.met_number, 7);
	assert_true(world.met);
	assert_int_equal(pccl_neighbour_accept(world.links.neighbours[1], &early, &destination), PCCL_FRAME_HOLD);
	assert_false(pccl_neighbour_next(world.links.neighbours[1], &send));
	meet(2, 8, false);
	assert_int_equal(world.met_number, 8);
	install(2, 3, 1);
	assert_int_equal(world.links.count, 2);
	assert_int_equal(world.closed_count, 0);
	assert_int_not_equal(pccl_neighbour_accept(world.links.neighbours[1], &early, &destination), PCCL_FRAME_HOLD);
	install(3, 2, 2);
	assert_int_equal(world.closed_count, 1);
}

static void a_stranger_that_is_lost_is_met_anew(void **state)
{
	(void)state;
	install(1, 1, 0);
	meet(1, 1, false);
	pccl_neighbour_lost(world.links.neighbours[0], "no way to it");
	assert_int_equal(world.met_count, 1);
	assert_false(world.met);
	assert_int_equal(world.complaint_count, 0);
	knock(1, 0, 1); /* for the next link: this one takes nobody any more */
	assert_int_equal(world.adopted_count, 0);
	meet(1, 2, true);
	assert_int_equal(world.links.count, 2);
	assert_int_equal(world.closed_count, 1);
	assert_int_equal(world.adopted_count, 1);
	world.up = true;
	pccl_neighbour_up(world.links.neighbours[1]);
	assert_int_equal(world.met_number, 2);
	assert_true(world.met);
	meet(1, 3, true);
	assert_int_equal(world.links.count, 3);
	/* It joins without its link: another one is made. */
	pccl_neighbour_lost(world.links.neighbours[2], "it broke");
	install(2, 2, 1);
	assert_int_equal(world.links.count, 4);
	assert_int_equal(world.closed_count, 3);
}

static void who_has_no_such_lane_is_met_without_a_link(void **state)
{
	(void)state;
	install(1, 1, 0);
	meet_of_lanes(1, 1, false, 0);
	assert_int_equal(world.links.count, 0);
	assert_true(world.met);
}

/* ---- neighbours ---------------------------------------------------------------------------------------------- */

static void nothing_is_received_once_a_lane_has_frozen(void **state)
{
	struct pccl_command freeze = {.type = PCCL_COMMAND_FREEZE};

	(void)state;
	install(1, MEMBERS, 0);
	pccl_lane_command(world.lane, &freeze, 1);
	assert_int_equal(world.forgotten_count, MEMBERS - 1);
	assert_int_equal(world.frozen_count, 1);
}

static void a_lost_link_is_complained_about_in_each_view(void **state)
{
	(void)state;
	install(1, MEMBERS, 0);
	pccl_neighbour_lost(world.links.neighbours[1], "it broke");
	assert_int_equal(world.complaint_count, 1);
	install(2, MEMBERS, 1);
	assert_int_equal(world.complaint_count, 2);
	install(3, 2, 2);
	assert_int_equal(world.complaint_count, 2);
}

/* It was not let in. */
static void a_link_that_was_lost_for_want_of_a_pass_is_made_anew_with_one(void **state)
{
	(void)state;
	world.passes[1] = 1;
	install(1, MEMBERS, 0);
	pccl_neighbour_lost(world.links.neighbours[0], "it had a pass");
	pccl_neighbour_lost(world.links.neighbours[1], "it had none");
	install(2, MEMBERS, 1);
	assert_int_equal(world.complaint_count, 4);
	assert_int_equal(world.closed_count, 0);
	world.passes[2] = 1;
	install(3, MEMBERS, 2);
	assert_int_equal(world.closed_count, 1);
	assert_int_equal(world.links.count, MEMBERS);
	assert_ptr_equal(world.links.neighbours[2], world.links.neighbours[1]);
	assert_int_equal(world.complaint_count, 5);
}

static void tick_until(uint64_t end_ns)
{
	while (pccl_lane_deadline(world.lane) < end_ns)
		pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
}

/* An op runs, and nobody has been heard since its first moment. */
static void launch_unheard(void)
{
	install(1, MEMBERS, 0);
	world.heard.unacked_frames = 1;
	world.heard.received_ns = 1;
	launch(1);
}

/* First new connections are tried. What is lost on the way to who is far away comes again late. */
static void silence_is_complained_about_while_an_op_runs(void **state)
{
	static const uint64_t trips_ns[] = {0, SECOND / 20};
	size_t i;

	for (i = 0; i < 2; i++) {
		uint64_t end_ns = SECOND + 32 * trips_ns[i];

		assert_int_equal(open_world(state), 0);
		install(1, MEMBERS, 0);
		world.heard = (struct pccl_heard){.unacked_frames = 1, .received_ns = 1, .trip_ns = trips_ns[i]};
		assert_true(pccl_lane_deadline(world.lane) == UINT64_MAX);
		launch(1);
		tick_until(SECOND);
		assert_true(world.renewed_count >= MEMBERS - 1);
		assert_true(world.renewed_deadline_ns >= end_ns && world.renewed_deadline_ns < end_ns + SECOND);
		tick_until(end_ns);
		assert_int_equal(world.complaint_count, 0);
		tick_until(end_ns + SECOND);
		assert_true(world.complaint_count >= MEMBERS - 1);
		assert_int_equal(close_world(state), 0);
	}
}

/* Also when no op runs any more. */
static void who_is_heard_again_is_not_complained_about_any_more(void **state)
{
	(void)state;
	launch_unheard();
	tick_until(2 * (uint64_t)SECOND);
	assert_true(world.complaint_count >= MEMBERS - 1);
	assert_int_equal(world.retraction_count, 0);
	world.up = true;
	meet(2, 5, false); /* the master asks: is there a link? */
	assert_true(world.met_count == 1 && !world.met);
	cancel();
	pccl_neighbour_lost(world.links.neighbours[1], "it broke as well");
	world.heard.unacked_frames = 0;
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_int_equal(world.retraction_count, MEMBERS - 2);
	meet(1, 6, false);
	assert_true(world.met_count == 2 && world.met && world.met_number == 6);
	assert_true(pccl_lane_deadline(world.lane) == UINT64_MAX);
}

/* What neighbours have said while the lane slept, it is only about to read. */
static void the_time_that_a_lane_sleeps_is_no_silence_of_its_neighbours(void **state)
{
	(void)state;
	launch_unheard();
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	pccl_lane_tick(world.lane, 30 * (uint64_t)SECOND);
	assert_int_equal(world.complaint_count, 0);
	tick_until(32 * (uint64_t)SECOND);
	assert_true(world.complaint_count > 0);
}

static void a_deadline_names_who_has_not_launched_the_op(void **state)
{
	struct pccl_command command = {.type = PCCL_COMMAND_EXPIRE, .detail = "tag 7"};

	(void)state;
	command.attempt = (struct pccl_attempt *)(void *)&world;
	install(1, MEMBERS, 0);
	launch(1);
	pccl_lane_command(world.lane, &command, SECOND);
	assert_string_equal(world.expired, "tag 7: rank 0 waited for ranks 1, 2, whose launches have not come");
}

/* What was under way when nobody looked any more says nothing of what comes after a pause. */
static void the_time_without_ops_is_no_silence_of_the_neighbours(void **state)
{
	(void)state;
	launch_unheard();
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	cancel();
	pccl_plan_destroy(world.plan);
	pccl_lane_tick(world.lane, pccl_lane_deadline(world.lane));
	assert_true(pccl_lane_deadline(world.lane) == UINT64_MAX);
	launch(30 * (uint64_t)SECOND);
	tick_until(31 * (uint64_t)SECOND);
	assert_int_equal(world.complaint_count, 0);
	tick_until(32 * (uint64_t)SECOND);
	assert_true(world.complaint_count > 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_guest_finds_the_link_that_its_view_brings),
		CASE(a_guest_waits_for_so_long_and_no_longer),
		CASE(a_later_call_about_a_stream_takes_the_place_of_an_earlier_one),
		CASE(an_earlier_call_about_a_stream_takes_the_place_of_none),
		CASE(guests_are_bounded_by_caller_and_by_lane),
		CASE(a_link_to_a_stranger_is_its_link_when_it_joins),
		CASE(a_stranger_that_is_lost_is_met_anew),
		CASE(who_has_no_such_lane_is_met_without_a_link),
		CASE(nothing_is_received_once_a_lane_has_frozen),
		CASE(a_link_that_was_lost_for_want_of_a_pass_is_made_anew_with_one),
		CASE(a_lost_link_is_complained_about_in_each_view),
		cmocka_unit_test(silence_is_complained_about_while_an_op_runs),
		CASE(who_is_heard_again_is_not_complained_about_any_more),
		CASE(the_time_without_ops_is_no_silence_of_the_neighbours),
		CASE(the_time_that_a_lane_sleeps_is_no_silence_of_its_neighbours),
		CASE(a_deadline_names_who_has_not_launched_the_op),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
