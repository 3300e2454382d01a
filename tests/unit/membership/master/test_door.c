/* The master among many: who gets in when strangers want all the room, how much is kept of them, and what they cost. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/time.h"
#include "membership/master/master_internal.h"

#include "lib/check.h"

#define CONNECTIONS 16384
#define MS PCCL_MS_NS
#define LARGE (8u << 20)

/* What a connection has heard. */
struct ear {
	bool welcome;
	bool refused;
	bool gone;
	uint32_t epoch; /* of the last INSTALL */
	uint32_t members;
	uint32_t passes;		    /* in the last PASSES */
	char notice[PCCL_CAUSE_TEXT_BYTES]; /* of REFUSED or EVICTED */
};

static struct desk {
	struct pccl_master *master;
	uint64_t now_ns;
	uint32_t last; /* connection */
	bool mute;     /* nobody answers PREPARE */
	struct ear ears[CONNECTIONS];
	struct pccl_install installs[32];  /* that the first few were told, */
	struct pccl_op_report reports[32]; /* and what they report, unless it has no policy */
	bool reporting[32];
} desk;

static void say(uint32_t connection, struct pccl_message *message);

static void answer_meet(uint32_t connection, const struct pccl_message_meet *meet)
{
	uint32_t index;

	for (index = 0; index < meet->strangers.member_count; index++) {
		struct pccl_message *answer = pccl_message_create(PCCL_MESSAGE_MET);

		answer->body.met.number = meet->number;
		answer->body.met.uuid = meet->strangers.members[index].uuid;
		answer->body.met.reached = true;
		say(connection, answer);
	}
}

static void hear(uint32_t connection, const struct pccl_message *message)
{
	struct ear *ear = &desk.ears[connection];
	struct pccl_message *answer;

	ear->welcome = ear->welcome || (message->type == PCCL_MESSAGE_WELCOME && message->body.welcome.registered);
	ear->refused = ear->refused || message->type == PCCL_MESSAGE_REFUSED;
	if (message->type == PCCL_MESSAGE_PASSES)
		ear->passes = message->body.passes.count;
	if (message->type == PCCL_MESSAGE_EVICTED || message->type == PCCL_MESSAGE_REFUSED)
		memcpy(ear->notice, message->body.notice.text, sizeof(ear->notice));
	if (message->type == PCCL_MESSAGE_INSTALL) {
		ear->epoch = message->body.install.view.epoch;
		ear->members = message->body.install.view.member_count;
		if (connection < 32) {
			pccl_install_fini(&desk.installs[connection]);
			assert_int_equal(pccl_install_copy(&message->body.install, &desk.installs[connection]),
					 pcclSuccess);
		}
	}
	if (message->type == PCCL_MESSAGE_MEET)
		answer_meet(connection, &message->body.meet);
	if (message->type == PCCL_MESSAGE_PREPARE && !desk.mute) {
		answer = pccl_message_create(PCCL_MESSAGE_PREPARED);
		answer->body.prepared.epoch = message->body.prepare.epoch;
		if (connection < 32 && desk.reporting[connection]) {
			answer->body.prepared.reports = pccl_calloc(1, sizeof(struct pccl_op_report));
			answer->body.prepared.reports[0] = desk.reports[connection];
			answer->body.prepared.report_count = 1;
		}
		say(connection, answer);
	}
}

static void step(struct pccl_master_event *event)
{
	struct pccl_master_action action;

	event->now_ns = desk.now_ns;
	pccl_master_step(desk.master, event);
	while (pccl_master_poll(desk.master, &action)) {
		if (action.type == PCCL_MASTER_HANG_UP)
			desk.ears[action.connection].gone = true;
		else
			hear((uint32_t)action.connection, action.message);
		pccl_message_destroy(action.message);
	}
}

static void say(uint32_t connection, struct pccl_message *message)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_MESSAGE, .connection = connection, .message = message};

	step(&event);
}

static void tick(uint64_t ms)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_TICK};

	desk.now_ns += ms * MS;
	step(&event);
}

static void close_one(uint32_t connection)
{
	struct pccl_master_event event = {
		.type = PCCL_MASTER_CLOSED, .connection = connection, .text = "connection reset"};

	desk.ears[connection].gone = true;
	step(&event);
}

static uint32_t call_from(uint64_t origin)
{
	struct pccl_master_event event = {
		.type = PCCL_MASTER_ACCEPTED, .connection = ++desk.last, .text = "192.0.2.1", .origin = origin};

	assert_true(desk.last < CONNECTIONS);
	step(&event);
	return desk.last;
}

static struct pccl_message *registration_of(uint32_t number, uint32_t group)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_REGISTER);
	struct pccl_message_register *registration = &message->body.registration;

	memcpy(registration->secret.data, &number, sizeof(number));
	registration->self.uuid = pccl_identity_uuid(&registration->secret);
	(void)snprintf(registration->self.addresses[0].host, sizeof(registration->self.addresses[0].host), "192.0.2.1");
	registration->group = group;
	registration->self.address_count = 1;
	registration->self.lanes = 1;
	registration->self.streams = 1;
	registration->self.masters = 1;
	registration->may_found = true;
	return message;
}

static uint32_t enter(uint64_t origin, uint32_t number, uint32_t group)
{
	uint32_t connection = call_from(origin);

	say(connection, registration_of(number, group));
	return connection;
}

/* Comes back with the view that another connection was told. */
static uint32_t come_back(uint64_t origin, uint32_t number, uint32_t group, uint32_t told)
{
	uint32_t connection = call_from(origin);
	struct pccl_message *message = registration_of(number, group);

	message->body.registration.last = pccl_zalloc(sizeof(struct pccl_install));
	assert_int_equal(pccl_install_copy(&desk.installs[told], message->body.registration.last), pcclSuccess);
	say(connection, message);
	if (connection < 32 && desk.ears[connection].epoch == 0) {
		desk.ears[connection].epoch = desk.ears[told].epoch;
		assert_int_equal(pccl_install_copy(&desk.installs[told], &desk.installs[connection]), pcclSuccess);
	}
	return connection;
}

static void vote(uint32_t connection)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_VOTE);

	message->body.vote.kind = PCCL_VOTE_UPDATE;
	message->body.vote.origin = desk.ears[connection].epoch;
	message->body.vote.sequence = 1;
	say(connection, message);
}

static int setup(void **state)
{
	struct pccl_master_config config = {.uuid = {{42}},
					    .heartbeat_interval_ns = 500 * MS,
					    .heartbeat_timeout_ns = 3000 * MS,
					    .complaint_window_ns = 100 * MS,
					    .return_grace_ns = 2000 * MS};

	(void)state;
	memset(&desk, 0, sizeof(desk));
	desk.now_ns = 1000 * MS;
	assert_int_equal(pccl_master_create(&config, &desk.master), pcclSuccess);
	return 0;
}

static int teardown(void **state)
{
	uint32_t connection;

	(void)state;
	pccl_master_destroy(desk.master);
	for (connection = 0; connection < 32; connection++)
		pccl_install_fini(&desk.installs[connection]);
	return 0;
}

/* 4,096 of them locked members out. */
static void callers_that_say_nothing_keep_nobody_out(void **state)
{
	uint32_t first;
	uint32_t index;

	(void)state;
	first = enter(7, 1, 0);
	for (index = 0; index < 4096; index++)
		(void)call_from(index % 300); /* many hosts, even */
	assert_true(desk.ears[enter(7, 2, 0)].welcome);
	close_one(first);
	assert_true(desk.ears[come_back(7, 1, 0, first)].welcome);
	assert_in_range(desk.master->client_count, 3, 260);
}

static void flood_from_one_address_turns_away_its_own_oldest(void **state)
{
	uint32_t quiet;
	uint32_t first;
	uint32_t index;
	uint32_t left = 0;

	(void)state;
	quiet = call_from(2);
	first = desk.last + 1;
	for (index = 0; index < 1000; index++)
		(void)call_from(1);
	for (index = first; index <= desk.last; index++)
		left += !desk.ears[index].gone;
	assert_int_equal(left, 128);
	assert_false(desk.ears[desk.last].gone || desk.ears[desk.last - 127].gone || desk.ears[quiet].gone);
	tick(10000);
	assert_true(desk.ears[desk.last].gone && desk.ears[quiet].gone);
}

static bool expects(uint32_t connection, uint32_t bytes)
{
	return pccl_master_expect(desk.master, connection, bytes) == pcclSuccess;
}

/* 16 MiB of everybody who was connected. */
static void little_is_kept_of_who_is_no_member(void **state)
{
	uint32_t callers[11];
	uint32_t index;

	(void)state;
	for (index = 0; index < 11; index++)
		callers[index] = call_from(index / 2);
	for (index = 0; index < 11; index++)
		assert_true(expects(callers[index], PCCL_MASTER_SMALL_BYTES));
	assert_true(expects(callers[0], LARGE) && expects(callers[1], LARGE));
	assert_false(expects(call_from(0), LARGE)); /* of that address is enough */
	for (index = 2; index < 8; index++)
		assert_true(expects(callers[index], LARGE));
	assert_false(expects(callers[8], LARGE)); /* of all is enough */
	close_one(callers[0]);
	assert_true(expects(callers[8], LARGE));
	assert_false(expects(callers[9], LARGE));
	say(callers[1], pccl_message_create(PCCL_MESSAGE_BEAT)); /* it is whole */
	assert_true(expects(callers[9], LARGE));
	assert_false(expects(callers[10], PCCL_MASTER_SMALL_BYTES + 1));
}

/* Its reports may be long when it is asked for them. */
static void member_that_is_asked_sends_as_much_as_it_has(void **state)
{
	uint32_t index;

	(void)state;
	for (index = 1; index <= 4; index++)
		(void)enter(1, index, 0);
	vote(1);
	assert_int_equal(desk.ears[1].members, 4);
	assert_true(expects(1, LARGE) && expects(2, LARGE));
	assert_false(expects(3, LARGE));
	desk.mute = true;
	say(4, pccl_message_create(PCCL_MESSAGE_LEAVE));
	for (index = 1; index <= 3; index++)
		assert_true(expects(index, 2 * LARGE));
}

/* A thousand groups, each of one who is nobody's member. */
static void full_house_has_room_for_those_who_return_and_for_other_addresses(void **state)
{
	uint32_t number;
	uint32_t last = 0;
	uint32_t first;

	(void)state;
	first = enter(7, 1, 0);
	assert_int_equal(enter(7, 2, 0), 2);
	vote(first);
	assert_int_equal(desk.ears[first].members, 2);
	for (number = 10; number < 10 + 3500; number++)
		last = enter(1, number, number);
	assert_true(desk.ears[last].refused);
	assert_in_range(desk.master->client_count, 3000, PCCL_CLIENTS_MAX - 1000);
	say(first, pccl_message_create(PCCL_MESSAGE_LEAVE));
	assert_int_equal(desk.ears[2].members, 1);
	number = come_back(8, 500000, 999999, 2); /* claims what it can't have */
	assert_true(desk.ears[number].refused);
	number = enter(7, 3, 0);
	assert_true(desk.ears[number].welcome && !desk.ears[number].gone);
	assert_true(desk.ears[come_back(7, 2, 0, 2)].welcome);
}

static uint32_t enter_bundled(uint32_t number, uint32_t group, uint64_t bundle)
{
	uint32_t connection = call_from(1);
	struct pccl_message *message = registration_of(number, group);

	message->body.registration.self.bundle_id = bundle;
	message->body.registration.self.bundle_size = 2;
	say(connection, message);
	return connection;
}

/* Hundreds of bundles of a rank in either group, of which one agrees: a thousand took 5 s, by the cube. */
static void vote_among_waiting_bundles_costs_at_most_the_square(void **state)
{
	uint64_t ranks = 0;
	uint64_t effort;
	uint32_t number;
	uint32_t voter;

	(void)state;
	voter = enter(1, 1, 1);
	(void)enter(1, 2, 2);
	for (number = 10; number < 10 + 150; number++, ranks += 2) {
		(void)enter_bundled(number, 1, number);
		(void)enter_bundled(5000 + number, 2, number);
	}
	effort = desk.master->effort;
	vote(voter);
	assert_in_range(desk.master->effort - effort, ranks, 4 * ranks * ranks);
	effort = desk.master->effort;
	vote(2);
	assert_in_range(desk.master->effort - effort, ranks, 16 * ranks * ranks);
	assert_int_equal(desk.ears[voter].members, 151);
}

/* 3,500 kept the master from all others. */
static void groups_without_number_cost_others_their_number(void **state)
{
	uint64_t effort;
	uint32_t number;

	(void)state;
	(void)enter(7, 1, 0);
	for (number = 10; number < 10 + 600; number++)
		(void)enter(1, number, number);
	effort = desk.master->effort;
	assert_true(desk.ears[enter(7, 2, 0)].welcome);
	vote(1);
	assert_int_equal(desk.ears[1].members, 2);
	assert_in_range(desk.master->effort - effort, 1, 10 * 600);
}

/* With a view of its own, of one run for all. */
static uint32_t make_up(uint64_t origin, uint32_t number, uint8_t run, uint32_t epoch)
{
	uint32_t connection = call_from(origin);
	struct pccl_message *message = registration_of(number, 0);
	struct pccl_message_register *registration = &message->body.registration;

	registration->last = pccl_zalloc(sizeof(*registration->last));
	registration->last->run.data[0] = run;
	registration->last->view.epoch = epoch;
	registration->last->view.lanes = registration->last->view.streams = 1;
	registration->last->view.member_count = 3;
	registration->last->view.members = pccl_calloc(3, sizeof(struct pccl_member));
	registration->last->view.members[0] = registration->self;
	registration->last->view.members[1] = registration->self;
	registration->last->view.members[1].uuid.data[0] ^= 1;
	registration->last->view.members[2] = registration->self;
	registration->last->view.members[2].uuid.data[0] ^= 2;
	say(connection, message);
	return connection;
}

static void restart(void)
{
	struct pccl_master_config config = desk.master->config;

	pccl_master_destroy(desk.master);
	config.uuid.data[0]++;
	assert_int_equal(pccl_master_create(&config, &desk.master), pcclSuccess);
}

/* Sixteen were all that a restarted master listened to, and members that came later were refused for good. */
static void made_up_views_do_not_keep_members_from_a_restarted_master(void **state)
{
	uint32_t number;
	uint32_t first;
	uint32_t second;

	(void)state;
	for (number = 1; number <= 3; number++)
		(void)enter(7, number, 0);
	vote(1);
	assert_int_equal(desk.ears[1].members, 3);
	restart();
	for (number = 0; number < 40; number++)
		(void)make_up(1 + number % 2, 100 + number, (uint8_t)(50 + number), 900 + number);
	first = come_back(7, 1, 0, 1);
	assert_true(desk.ears[first].welcome && !desk.ears[first].gone);
	for (number = 40; number < 80; number++)
		(void)make_up(1 + number % 2, 100 + number, (uint8_t)(50 + number), 900 + number);
	assert_false(desk.ears[first].gone);
	second = come_back(7, 2, 0, 2);
	tick(2000);
	tick(10);
	assert_false(desk.ears[first].gone || desk.ears[second].gone);
	assert_int_equal(desk.ears[second].members, 2);
}

/* ---- what members report ------------------------------------------------------------------------------------- */

static void gather(uint32_t count)
{
	uint32_t number;

	for (number = 1; number <= count; number++)
		(void)enter(7, number, 0);
	vote(1);
	assert_int_equal(desk.ears[1].members, count);
}

static void expire(uint32_t connection, uint64_t tag)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_EXPIRED);

	message->body.expired.epoch = desk.ears[connection].epoch;
	message->body.expired.tag = tag;
	say(connection, message);
}

/* All who are here send heartbeats. */
static void pass(uint64_t ms)
{
	uint32_t connection;

	for (; ms > 0; ms -= 100) {
		tick(100);
		for (connection = 1; connection <= desk.last; connection++)
			if (!desk.ears[connection].gone)
				say(connection, pccl_message_create(PCCL_MESSAGE_BEAT));
	}
}

static void report_failure(uint32_t connection, uint64_t tag)
{
	desk.reporting[connection] = true;
	desk.reports[connection].policy = PCCL_POLICY_FAILED;
	desk.reports[connection].tag = tag;
}

/* Each made the honest ones' next operation of that name fail, without end. */
static void who_keeps_reporting_failures_of_ops_that_nobody_has_is_evicted(void **state)
{
	uint32_t round;

	(void)state;
	gather(3);
	for (round = 0; round < 20 && !desk.ears[3].gone; round++) {
		report_failure(3, 1000 + round);
		expire(3, 1000 + round);
		pass(1100);
	}
	assert_true(desk.ears[3].gone);
	assert_non_null(strstr(desk.ears[3].notice, "nobody else has"));
	assert_in_range(round, 6, 8);
	assert_false(desk.ears[1].gone);
}

/* They fail at all who launched them, and who did not may be far behind. */
static void failures_that_others_have_too_are_no_fault(void **state)
{
	uint32_t round;

	(void)state;
	gather(3);
	for (round = 0; round < 20; round++) {
		report_failure(2, 1000 + round);
		report_failure(3, 1000 + round);
		expire(1 + round % 3, 1000 + round);
		pass(5000);
	}
	assert_int_equal(desk.ears[1].members, 3);
}

/* A new connection wiped the slate clean. */
static void conduct_is_remembered_over_connections(void **state)
{
	uint32_t connection = 3;
	uint32_t round;

	(void)state;
	gather(3);
	for (round = 0; round < 20; round++) {
		report_failure(connection, 1000 + round);
		expire(connection, 1000 + round);
		pass(1100);
		if (desk.ears[connection].gone)
			break;
		say(connection, pccl_message_create(PCCL_MESSAGE_ABANDON));
		connection = come_back(7, 3, 0, connection);
	}
	assert_in_range(round, 5, 8);
	assert_non_null(strstr(desk.ears[connection].notice, "nobody else has"));
}

/* It reached users, as the number of peers that a sum is of. */
static void who_reports_more_participants_than_there_were_members_is_evicted(void **state)
{
	(void)state;
	gather(3);
	say(3, pccl_message_create(PCCL_MESSAGE_LEAVE));
	desk.reporting[1] = desk.reporting[2] = true;
	desk.reports[1].policy = desk.reports[2].policy = (uint8_t)pcclPolicyRepair;
	desk.reports[1].participants_min = desk.reports[1].participants_max = 3; /* it may have the third's */
	desk.reports[2].participants_min = 1;
	desk.reports[2].participants_max = 4;
	expire(1, 5);
	pass(100);
	assert_false(desk.ears[1].gone);
	assert_true(desk.ears[2].gone);
	assert_non_null(strstr(desk.ears[2].notice, "participants"));
}

/* Another master may have told it a view when not all of its members were there, so that it has no passes to some. */
static void who_came_back_is_given_all_passes_with_the_next_view(void **state)
{
	uint32_t again;

	(void)state;
	gather(3);
	assert_int_equal(desk.ears[1].passes, 2); /* a founder has its own */
	assert_int_equal(desk.ears[2].passes, 3);
	say(2, pccl_message_create(PCCL_MESSAGE_ABANDON));
	again = come_back(7, 2, 0, 2);
	expire(1, 5);
	pass(100);
	assert_int_equal(desk.ears[again].passes, 3);
	expire(1, 6);
	desk.ears[again].passes = 0;
	pass(100);
	assert_true(desk.ears[again].epoch > desk.ears[2].epoch + 1);
	assert_int_equal(desk.ears[again].passes, 0); /* it has them */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(callers_that_say_nothing_keep_nobody_out, setup, teardown),
		cmocka_unit_test_setup_teardown(flood_from_one_address_turns_away_its_own_oldest, setup, teardown),
		cmocka_unit_test_setup_teardown(little_is_kept_of_who_is_no_member, setup, teardown),
		cmocka_unit_test_setup_teardown(member_that_is_asked_sends_as_much_as_it_has, setup, teardown),
		cmocka_unit_test_setup_teardown(full_house_has_room_for_those_who_return_and_for_other_addresses, setup,
						teardown),
		cmocka_unit_test_setup_teardown(vote_among_waiting_bundles_costs_at_most_the_square, setup, teardown),
		cmocka_unit_test_setup_teardown(groups_without_number_cost_others_their_number, setup, teardown),
		cmocka_unit_test_setup_teardown(who_keeps_reporting_failures_of_ops_that_nobody_has_is_evicted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(failures_that_others_have_too_are_no_fault, setup, teardown),
		cmocka_unit_test_setup_teardown(conduct_is_remembered_over_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(who_reports_more_participants_than_there_were_members_is_evicted, setup,
						teardown),
		cmocka_unit_test_setup_teardown(who_came_back_is_given_all_passes_with_the_next_view, setup, teardown),
		cmocka_unit_test_setup_teardown(made_up_views_do_not_keep_members_from_a_restarted_master, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
