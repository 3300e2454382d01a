/* The master among strangers and members that say what suits them. They speak without a machine of their own. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/time.h"
#include "base/uuid.h"
#include "membership/master/master.h"

#include "lib/check.h"

#define CONNECTIONS 64
#define MS PCCL_MS_NS

/* What a connection has heard. */
struct ear {
	uint32_t heard[32]; /* by type */
	uint32_t epoch;	    /* of the last PREPARE */
	pcclRankUuid_t run;
	struct pccl_install install; /* a copy of the last one */
	char notice[PCCL_CAUSE_TEXT_BYTES];
	bool gone;
	bool mute; /* answers no PREPARE */
	struct pccl_op_report report;
	bool reports;
};

struct desk {
	struct pccl_master *master;
	uint64_t now_ns;
	struct ear ears[CONNECTIONS];
};

static struct desk desk;

static void answer(uint32_t connection);
static void answer_meet(uint32_t connection, const struct pccl_message_meet *meet);

static void hear(uint32_t connection, const struct pccl_message *message)
{
	struct ear *ear = &desk.ears[connection];

	ear->heard[message->type]++;
	if (message->type == PCCL_MESSAGE_PREPARE) {
		ear->epoch = message->body.prepare.epoch;
		ear->run = message->body.prepare.run;
	} else if (message->type == PCCL_MESSAGE_INSTALL) {
		pccl_install_fini(&ear->install);
		assert_int_equal(pccl_install_copy(&message->body.install, &ear->install), pcclSuccess);
	} else if (message->type == PCCL_MESSAGE_EVICTED || message->type == PCCL_MESSAGE_REFUSED) {
		memcpy(ear->notice, message->body.notice.text, sizeof(ear->notice));
	}
}

static void step(struct pccl_master_event *event)
{
	struct pccl_master_action action;
	bool asked[CONNECTIONS] = {false};
	struct pccl_message *meets[CONNECTIONS] = {NULL};
	uint32_t connection;

	event->now_ns = desk.now_ns;
	pccl_master_step(desk.master, event);
	while (pccl_master_poll(desk.master, &action)) {
		if (action.type == PCCL_MASTER_HANG_UP) {
			desk.ears[action.connection].gone = true;
			continue;
		}
		hear((uint32_t)action.connection, action.message);
		asked[action.connection] |= action.message->type == PCCL_MESSAGE_PREPARE;
		if (action.message->type == PCCL_MESSAGE_MEET && meets[action.connection] == NULL)
			meets[action.connection] = pccl_message_share(action.message);
		pccl_message_destroy(action.message);
	}
	for (connection = 0; connection < CONNECTIONS; connection++) {
		if (meets[connection] != NULL)
			answer_meet(connection, &meets[connection]->body.meet);
		pccl_message_destroy(meets[connection]);
	}
	for (connection = 0; connection < CONNECTIONS; connection++)
		if (asked[connection] && !desk.ears[connection].mute)
			answer(connection);
}

static void say(uint32_t connection, struct pccl_message *message)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_MESSAGE, .connection = connection, .message = message};

	step(&event);
}

static void answer_meet(uint32_t connection, const struct pccl_message_meet *meet)
{
	uint32_t index;

	for (index = 0; index < meet->strangers.member_count; index++) {
		struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_MET);

		message->body.met.number = meet->number;
		message->body.met.uuid = meet->strangers.members[index].uuid;
		message->body.met.reached = true;
		say(connection, message);
	}
}

static void answer(uint32_t connection)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_PREPARED);
	const struct ear *ear = &desk.ears[connection];

	message->body.prepared.epoch = ear->epoch;
	if (ear->reports) {
		message->body.prepared.reports = pccl_calloc(1, sizeof(struct pccl_op_report));
		message->body.prepared.reports[0] = ear->report;
		message->body.prepared.report_count = 1;
	}
	say(connection, message);
}

/* All who are here send heartbeats. */
static void pass(uint64_t ms)
{
	uint64_t end_ns = desk.now_ns + ms * MS;
	struct pccl_master_event event = {.type = PCCL_MASTER_TICK};
	uint32_t connection;

	while (desk.now_ns < end_ns) {
		desk.now_ns += 10 * MS;
		step(&event);
		if (desk.now_ns / MS % 500 != 0)
			continue;
		for (connection = 1; connection < CONNECTIONS; connection++)
			if (!desk.ears[connection].gone)
				say(connection, pccl_message_create(PCCL_MESSAGE_BEAT));
	}
}

static pcclRankUuid_t uuid_of(uint32_t number)
{
	pcclRankUuid_t uuid = {{(uint8_t)number, 1}};

	return uuid;
}

static struct pccl_secret secret_of(uint32_t number)
{
	struct pccl_secret secret = {{(uint8_t)number}};

	return secret;
}

static pcclRankUuid_t peer_of(uint32_t number)
{
	struct pccl_secret secret = secret_of(number);

	return pccl_identity_uuid(&secret);
}

static struct pccl_message *registration_of(uint32_t number, uint32_t group)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_REGISTER);
	struct pccl_message_register *registration = &message->body.registration;

	registration->group = group;
	registration->self.uuid = peer_of(number);
	registration->secret = secret_of(number);
	(void)snprintf(registration->self.addresses[0].host, sizeof(registration->self.addresses[0].host), "192.0.2.%u",
		       number);
	registration->self.address_count = 1;
	registration->self.lanes = 1;
	registration->self.streams = 1;
	registration->self.masters = 1;
	registration->may_found = true;
	return message;
}

static void promise(struct pccl_message *message, pcclRankUuid_t run, uint32_t epoch, uint32_t member)
{
	struct pccl_message_register *registration = &message->body.registration;
	struct pccl_promise *made = pccl_calloc(1, sizeof(*made));

	made->master = uuid_of(77);
	made->run = run;
	made->epoch = epoch;
	made->member_count = 1;
	made->members = pccl_calloc(1, sizeof(*made->members));
	made->members[0] = peer_of(member);
	registration->promises = made;
	registration->promise_count = 1;
}

/* As the member that has installed what another connection has. */
static void claim(struct pccl_message *message, const struct pccl_install *install)
{
	struct pccl_message_register *registration = &message->body.registration;

	registration->last = pccl_zalloc(sizeof(*registration->last));
	assert_int_equal(pccl_install_copy(install, registration->last), pcclSuccess);
}

static void accept_one(uint32_t connection, const char *address)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_ACCEPTED, .connection = connection, .text = address};

	step(&event);
}

static void enter(uint32_t connection, struct pccl_message *registration)
{
	accept_one(connection, "192.0.2.1");
	say(connection, registration);
}

static void vote(uint32_t connection, uint32_t sequence)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_VOTE);

	message->body.vote.kind = PCCL_VOTE_UPDATE;
	message->body.vote.origin = desk.ears[connection].install.view.epoch;
	message->body.vote.sequence = sequence;
	say(connection, message);
}

/* Peers 1 to count, on connections 1 to count, as members of group 0. */
static void gather(uint32_t count)
{
	uint32_t number;

	for (number = 1; number <= count; number++)
		enter(number, registration_of(number, 0));
	if (count > 1)
		vote(1, 1);
	for (number = 1; number <= count; number++)
		assert_int_equal(desk.ears[number].install.view.member_count, count);
}

static void start(void)
{
	struct pccl_master_config config = {.heartbeat_interval_ns = 500 * MS,
					    .heartbeat_timeout_ns = 3000 * MS,
					    .complaint_window_ns = 100 * MS,
					    .return_grace_ns = 2000 * MS};

	config.uuid = uuid_of(200);
	assert_int_equal(pccl_master_create(&config, &desk.master), pcclSuccess);
}

static int setup(void **state)
{
	(void)state;
	memset(&desk, 0, sizeof(desk));
	desk.now_ns = 1000 * MS;
	start();
	return 0;
}

static int teardown(void **state)
{
	uint32_t connection;

	(void)state;
	pccl_master_destroy(desk.master);
	for (connection = 0; connection < CONNECTIONS; connection++)
		pccl_install_fini(&desk.ears[connection].install);
	return 0;
}

static void close_one(uint32_t connection)
{
	struct pccl_master_event event = {
		.type = PCCL_MASTER_CLOSED, .connection = connection, .text = "connection reset"};

	desk.ears[connection].gone = true;
	step(&event);
}

/* It asks for a time-out of an hour, and the members were frozen for it. */
static void newcomer_that_answers_no_prepare_stops_no_member(void **state)
{
	struct pccl_message *message = registration_of(3, 0);

	(void)state;
	gather(2);
	message->body.registration.heartbeat_interval_ns = 3600000 * MS;
	message->body.registration.heartbeat_timeout_ns = 3600000 * MS;
	desk.ears[3].mute = true;
	enter(3, message);
	vote(1, 1);
	vote(2, 1);
	pass(900);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_VOTED], 0);
	pass(200);
	assert_true(desk.ears[1].heard[PCCL_MESSAGE_VOTED] == 1 && desk.ears[1].heard[PCCL_MESSAGE_PREPARE] == 2);
	assert_true(!desk.ears[3].gone && desk.ears[3].heard[PCCL_MESSAGE_UNMET] == 1);
}

/* The uuid of a member is no secret to those who were members with it. */
static void who_knows_a_uuid_takes_no_seat(void **state)
{
	struct pccl_message *message = registration_of(9, 0);

	(void)state;
	gather(3);
	message->body.registration.self.uuid = peer_of(2);
	enter(9, message);
	assert_int_equal(desk.ears[9].heard[PCCL_MESSAGE_REFUSED], 1);
	assert_non_null(strstr(desk.ears[9].notice, "secret"));
	message = registration_of(10, 0);
	message->body.registration.self.uuid = peer_of(2);
	claim(message, &desk.ears[2].install);
	enter(10, message);
	assert_int_equal(desk.ears[10].heard[PCCL_MESSAGE_REFUSED], 1);
	assert_false(desk.ears[2].gone);
	assert_int_equal(desk.ears[1].install.view.member_count, 3);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_PREPARE], 2);
}

static void complain(uint32_t connection, uint32_t about)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_COMPLAINT);

	message->body.complaint.epoch = desk.ears[connection].install.view.epoch;
	message->body.complaint.uuid = peer_of(about);
	(void)snprintf(message->body.complaint.text, sizeof(message->body.complaint.text), "no route to host");
	say(connection, message);
}

/* It got the healthy ones evicted, one after the other. */
static void who_complains_alone_goes_after_the_second_time(void **state)
{
	(void)state;
	gather(4);
	complain(4, 1);
	pass(3500);
	assert_false(desk.ears[1].gone || desk.ears[4].gone);
	complain(4, 2);
	pass(3500);
	assert_true(desk.ears[4].gone);
	assert_non_null(strstr(desk.ears[4].notice, "it alone"));
	assert_int_equal(desk.ears[1].install.view.member_count, 3);
}

/* The accused has trouble, too: one of the two has to go, as soon as that is known. */
static void complaint_that_is_confirmed_is_no_doubt(void **state)
{
	(void)state;
	gather(3);
	complain(1, 3);
	pass(500);
	assert_false(desk.ears[3].gone);
	complain(2, 3);
	pass(3000);
	assert_true(desk.ears[3].gone);
	assert_false(desk.ears[1].gone || desk.ears[2].gone);
}

/* It breaks its links with one at a time, so that they do complain. */
static void who_feuds_with_one_after_the_other_goes(void **state)
{
	(void)state;
	gather(4);
	complain(1, 4);
	complain(4, 1);
	pass(200);
	assert_true(desk.ears[4].gone);
	complain(1, 3);
	complain(3, 1);
	pass(200);
	assert_true(desk.ears[1].gone);
	assert_false(desk.ears[3].gone);
}

static void expire(uint32_t connection, uint64_t tag)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_EXPIRED);

	message->body.expired.epoch = desk.ears[connection].install.view.epoch;
	message->body.expired.tag = tag;
	say(connection, message);
}

/* Each made a view change, 78 in a second. */
static void who_makes_up_deadlines_is_evicted(void **state)
{
	uint32_t round;

	(void)state;
	gather(3);
	for (round = 0; round < 20 && !desk.ears[3].gone; round++) {
		expire(3, 1000 + round);
		pass(10);
	}
	assert_true(desk.ears[3].gone);
	assert_in_range(desk.ears[1].heard[PCCL_MESSAGE_INSTALL], 4, 12);
	assert_false(desk.ears[1].gone);
}

/* It has the op itself, or says so. */
static void deadlines_of_one_member_make_few_view_changes(void **state)
{
	uint32_t before;
	uint32_t round;

	(void)state;
	gather(3);
	desk.ears[3].reports = true;
	desk.ears[3].report.policy = (uint8_t)pcclPolicyAbort;
	before = desk.ears[1].heard[PCCL_MESSAGE_INSTALL];
	for (round = 0; round < 200; round++) {
		desk.ears[3].report.tag = 1000 + round;
		expire(3, 1000 + round);
		pass(10);
	}
	assert_false(desk.ears[3].gone);
	assert_in_range(desk.ears[1].heard[PCCL_MESSAGE_INSTALL] - before, 8, 11);
}

static void nobody_is_silent_for_longer_than_the_master_allows(void **state)
{
	struct pccl_message *message = registration_of(1, 0);

	(void)state;
	message->body.registration.heartbeat_interval_ns = 1;
	message->body.registration.heartbeat_timeout_ns = 3600000 * MS;
	enter(1, message);
	desk.ears[1].gone = true; /* so that it sends no heartbeats */
	pass(1000);
	assert_in_range(desk.ears[1].heard[PCCL_MESSAGE_BEAT], 1, 100);
	pass(58900);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_EVICTED], 0);
	pass(200);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_EVICTED], 1);
}

/* Its promise names the run, which a former member knows, and itself. */
static void stranger_is_no_witness_by_its_own_word(void **state)
{
	struct pccl_message *message = registration_of(9, 0);

	(void)state;
	gather(3);
	message->body.registration.self.bundle_id = 5;
	message->body.registration.self.bundle_size = 2;
	promise(message, desk.ears[1].install.run, desk.ears[1].install.view.epoch + 5, 9);
	enter(9, message);
	close_one(3);
	pass(2100);
	assert_int_equal(desk.ears[1].install.view.member_count, 2);
	assert_int_equal(desk.ears[9].heard[PCCL_MESSAGE_PREPARE], 0);
}

static void huge_epoch_in_one_group_is_nothing_to_another(void **state)
{
	struct pccl_message *message = registration_of(9, 4242);

	(void)state;
	promise(message, uuid_of(50), 0xf0000000u, 9);
	enter(9, message);
	close_one(9);
	gather(2);
	assert_in_range(desk.ears[1].install.view.epoch, 1, 10);
}

/* Nor does it leave no epochs to its own. */
static void huge_epoch_of_a_stranger_moves_no_group(void **state)
{
	struct pccl_message *message = registration_of(9, 0);

	(void)state;
	gather(2);
	promise(message, desk.ears[1].install.run, 0xf0000000u, 9);
	enter(9, message);
	close_one(9);
	enter(3, registration_of(3, 0));
	vote(1, 1);
	vote(2, 1);
	assert_int_equal(desk.ears[3].install.view.member_count, 3);
	assert_in_range(desk.ears[3].install.view.epoch, 3, 1u << 28);
}

/* A group that is forgotten goes on above its former epochs, and others begin below. */
static void forgotten_group_remembers_its_epochs_alone(void **state)
{
	uint32_t connection;

	(void)state;
	gather(4);
	for (connection = 4; connection > 0; connection--) {
		close_one(connection);
		pass(2100);
	}
	enter(11, registration_of(11, 7));
	assert_int_equal(desk.ears[11].install.view.epoch, 1);
	enter(12, registration_of(12, 0));
	assert_in_range(desk.ears[12].install.view.epoch, 6, 10);
}

/* A former member knows the run; what it claims would need a majority that is here and knows nothing of it. */
static void later_view_that_cannot_be_takes_no_group(void **state)
{
	struct pccl_message *message = registration_of(9, 0);
	struct pccl_install made_up;
	struct pccl_member self;

	(void)state;
	gather(3);
	memset(&made_up, 0, sizeof(made_up));
	self = message->body.registration.self;
	made_up.view.epoch = desk.ears[1].install.view.epoch + 1;
	made_up.view.lanes = made_up.view.streams = 1;
	made_up.view.member_count = 1;
	made_up.view.members = &self;
	made_up.run = desk.ears[1].install.run;
	made_up.previous_epoch = desk.ears[1].install.view.epoch;
	claim(message, &made_up);
	enter(9, message);
	pass(3000);
	assert_int_equal(desk.ears[9].heard[PCCL_MESSAGE_EVICTED], 1);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_EVICTED], 0);
	assert_int_equal(desk.ears[1].install.view.member_count, 3);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* "As you see me" may be one of the interfaces. */
static void address_that_the_master_sees_is_filled_in_once(void **state)
{
	struct pccl_message *message = registration_of(1, 0);
	struct pccl_member *self = &message->body.registration.self;
	static const char *const hosts[] = {"10.0.0.1", "", "192.0.2.1", "2001:db8::1"};
	const struct pccl_member *member;
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		(void)snprintf(self->addresses[i].host, sizeof(self->addresses[i].host), "%s", hosts[i]);
		self->addresses[i].port = 4242;
	}
	self->address_count = 4;
	enter(1, message); /* from 192.0.2.1 */
	assert_int_equal(desk.ears[1].install.view.member_count, 1);
	member = &desk.ears[1].install.view.members[0];
	assert_int_equal(member->address_count, 3);
	assert_string_equal(member->addresses[0].host, "10.0.0.1");
	assert_string_equal(member->addresses[1].host, "192.0.2.1");
	assert_string_equal(member->addresses[2].host, "2001:db8::1");
}

/* Goes away, by ABANDON or by a break, comes back after so long, while all others wait. False: it is out. */
static bool come_and_go(uint32_t connection, bool breaks, uint64_t away_ms)
{
	struct pccl_message *message = registration_of(3, 0);

	claim(message, &desk.ears[1].install);
	if (away_ms > 0 && breaks)
		close_one(connection);
	else if (away_ms > 0)
		say(connection, pccl_message_create(PCCL_MESSAGE_ABANDON));
	pass(away_ms);
	enter(connection + 1, message);
	return desk.ears[connection + 1].heard[PCCL_MESSAGE_EVICTED] == 0;
}

static void who_comes_and_goes_all_the_time_is_waited_for_no_more(void **state)
{
	uint32_t times[3] = {0, 0, 0}, way;

	for (way = 0; way < 3; way++) {
		gather(3);
		while (times[way] < 40 && come_and_go(3 + times[way], way == 1, way == 2 ? 0 : 1900))
			times[way]++;
		assert_int_equal(desk.ears[1].install.view.member_count, 2);
		(void)teardown(state);
		(void)setup(state);
	}
	assert_true(times[0] > 6 && times[0] < 12 && times[1] == times[0] && times[2] == 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(newcomer_that_answers_no_prepare_stops_no_member),
		CASE(who_knows_a_uuid_takes_no_seat),
		CASE(who_complains_alone_goes_after_the_second_time),
		CASE(complaint_that_is_confirmed_is_no_doubt),
		CASE(who_comes_and_goes_all_the_time_is_waited_for_no_more),
		CASE(who_feuds_with_one_after_the_other_goes),
		CASE(who_makes_up_deadlines_is_evicted),
		CASE(deadlines_of_one_member_make_few_view_changes),
		CASE(nobody_is_silent_for_longer_than_the_master_allows),
		CASE(stranger_is_no_witness_by_its_own_word),
		CASE(huge_epoch_in_one_group_is_nothing_to_another),
		CASE(huge_epoch_of_a_stranger_moves_no_group),
		CASE(forgotten_group_remembers_its_epochs_alone),
		CASE(later_view_that_cannot_be_takes_no_group),
		CASE(address_that_the_master_sees_is_filled_in_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
