/* The master believes of views what masters have signed. Signatures are a stand-in: two masters' keys, and a number
 * that nobody else can know. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/time.h"
#include "membership/master/master.h"

#include "lib/check.h"

#define CONNECTIONS 16
#define MS PCCL_MS_NS
#define FIRST 1 /* masters, and whose key they have */
#define SECOND 2
#define STRANGER 3

/* A master that is a stranger's signs as others do: nobody trusts it. */
struct stand_in {
	struct pccl_sealer sealer;
	uint8_t key;
};

static struct pccl_seal sign(uint8_t key, const struct pccl_imprint *imprint)
{
	struct pccl_seal seal = {.key = {{key}}};

	memcpy(seal.signature, imprint->data, sizeof(imprint->data));
	seal.signature[PCCL_SIGNATURE_BYTES - 1] = (uint8_t)(100 + key);
	return seal;
}

static pcclResult_t make(const struct pccl_sealer *sealer, const struct pccl_imprint *imprint,
			 struct pccl_seal *seal_out)
{
	*seal_out = sign(((const struct stand_in *)(const void *)sealer)->key, imprint);
	return pcclSuccess;
}

static bool trusts(const struct pccl_sealer *sealer, const struct pccl_key *key)
{
	(void)sealer;
	return key->data[0] == FIRST || key->data[0] == SECOND;
}

static bool holds(const struct pccl_seal *seal, const struct pccl_imprint *imprint)
{
	struct pccl_seal right = sign(seal->key.data[0], imprint);

	return memcmp(&right, seal, sizeof(right)) == 0;
}

/* What a connection has heard. */
struct ear {
	uint32_t heard[32];	     /* by type */
	struct pccl_install install; /* the last */
	struct pccl_message *prepare;
	char notice[PCCL_CAUSE_TEXT_BYTES];
};

struct desk {
	struct stand_in seals[SECOND + 1];
	struct pccl_master *master;
	uint64_t now_ns;
	bool mute; /* nobody answers PREPARE */
	struct ear ears[CONNECTIONS];
};

static struct desk desk;

static void step(struct pccl_master_event *event);

static void say(uint32_t connection, struct pccl_message *message)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_MESSAGE, .connection = connection, .message = message};

	step(&event);
}

static void answer(uint32_t connection, const struct pccl_message *message)
{
	struct pccl_message *reply;

	if (message->type == PCCL_MESSAGE_MEET) {
		reply = pccl_message_create(PCCL_MESSAGE_MET);
		reply->body.met.number = message->body.meet.number;
		reply->body.met.uuid = message->body.meet.strangers.members[0].uuid;
		reply->body.met.reached = true;
		say(connection, reply);
	} else if (message->type == PCCL_MESSAGE_PREPARE && !desk.mute) {
		reply = pccl_message_create(PCCL_MESSAGE_PREPARED);
		reply->body.prepared.epoch = message->body.prepare.epoch;
		say(connection, reply);
	}
}

static void hear(uint32_t connection, struct pccl_message *message)
{
	struct ear *ear = &desk.ears[connection];

	ear->heard[message->type]++;
	if (message->type == PCCL_MESSAGE_INSTALL) {
		pccl_install_fini(&ear->install);
		assert_int_equal(pccl_install_copy(&message->body.install, &ear->install), pcclSuccess);
	} else if (message->type == PCCL_MESSAGE_PREPARE) {
		pccl_message_destroy(ear->prepare);
		ear->prepare = pccl_message_share(message);
	} else if (message->type == PCCL_MESSAGE_EVICTED || message->type == PCCL_MESSAGE_REFUSED) {
		memcpy(ear->notice, message->body.notice.text, sizeof(ear->notice));
	}
}

static void step(struct pccl_master_event *event)
{
	struct pccl_master_action actions[64];
	uint32_t count = 0, i;

	event->now_ns = desk.now_ns;
	pccl_master_step(desk.master, event);
	while (pccl_master_poll(desk.master, &actions[count])) {
		if (actions[count].type == PCCL_MASTER_SEND)
			count++;
		assert_true(count < 64);
	}
	for (i = 0; i < count; i++)
		hear((uint32_t)actions[i].connection, actions[i].message);
	for (i = 0; i < count; i++) {
		answer((uint32_t)actions[i].connection, actions[i].message);
		pccl_message_destroy(actions[i].message);
	}
}

static void pass(uint64_t ms)
{
	uint64_t end_ns = desk.now_ns + ms * MS;
	struct pccl_master_event event = {.type = PCCL_MASTER_TICK};

	for (; desk.now_ns < end_ns; desk.now_ns += 10 * MS)
		step(&event);
}

static pcclRankUuid_t peer_of(uint32_t number)
{
	const struct pccl_secret secret = {{(uint8_t)number}};

	return pccl_identity_uuid(&secret);
}

static struct pccl_message *registration_of(uint32_t number)
{
	struct pccl_message *message = pccl_message_create(PCCL_MESSAGE_REGISTER);
	struct pccl_message_register *registration = &message->body.registration;

	registration->self.uuid = peer_of(number);
	registration->secret.data[0] = (uint8_t)number;
	(void)snprintf(registration->self.addresses[0].host, sizeof(registration->self.addresses[0].host), "192.0.2.%u",
		       number);
	registration->self.address_count = 1;
	registration->self.lanes = 1;
	registration->self.streams = 1;
	registration->self.masters = 2;
	registration->may_found = true;
	return message;
}

/* The member of that number and connection brings its last view. */
static struct pccl_message *return_of(uint32_t number)
{
	struct pccl_message *message = registration_of(number);
	struct pccl_message_register *registration = &message->body.registration;

	registration->last = pccl_zalloc(sizeof(*registration->last));
	assert_int_equal(pccl_install_copy(&desk.ears[number].install, registration->last), pcclSuccess);
	return message;
}

/* And what it promised when it was asked last. */
static struct pccl_promise *add_promise(struct pccl_message *message, uint32_t number, uint8_t master)
{
	struct pccl_message_register *registration = &message->body.registration;
	const struct pccl_message_prepare *prepare = &desk.ears[number].prepare->body.prepare;
	const struct pccl_promise promise = {.master = {{master}},
					     .run = prepare->run,
					     .epoch = prepare->epoch,
					     .member_count = prepare->member_count,
					     .members = prepare->members,
					     .seal = prepare->seal};

	registration->promises = pccl_calloc(1, sizeof(promise));
	assert_int_equal(pccl_promise_copy(&promise, registration->promises), pcclSuccess);
	registration->promise_count = 1;
	return registration->promises;
}

static void enter(uint32_t connection, struct pccl_message *registration)
{
	struct pccl_master_event event = {
		.type = PCCL_MASTER_ACCEPTED, .connection = connection, .text = "192.0.2.1", .origin = connection};

	step(&event);
	say(connection, registration);
}

static void start(uint8_t master, const struct pccl_sealer *sealer)
{
	struct pccl_master_config config = {.heartbeat_interval_ns = 500 * MS,
					    .heartbeat_timeout_ns = 30000 * MS,
					    .complaint_window_ns = 100 * MS,
					    .return_grace_ns = 2000 * MS,
					    .sealer = sealer};

	pccl_master_destroy(desk.master);
	config.uuid.data[0] = master;
	assert_int_equal(pccl_master_create(&config, &desk.master), pcclSuccess);
}

static void start_sealing(uint8_t master)
{
	struct stand_in *stand_in = &desk.seals[master];

	stand_in->sealer = (struct pccl_sealer){make, trusts, holds};
	stand_in->key = master;
	start(master, &stand_in->sealer);
}

/* Peers 2 and 3, on connections 2 and 3, with 1, which is alone. */
static void gather_others(void)
{
	struct pccl_message *vote = pccl_message_create(PCCL_MESSAGE_VOTE);
	uint32_t number;

	for (number = 2; number <= 3; number++)
		enter(number, registration_of(number));
	vote->body.vote.kind = PCCL_VOTE_UPDATE;
	vote->body.vote.origin = desk.ears[1].install.view.epoch;
	vote->body.vote.sequence = 1;
	say(1, vote);
	for (number = 1; number <= 3; number++)
		assert_int_equal(desk.ears[number].install.view.member_count, 3);
	memset(desk.ears[1].heard, 0, sizeof(desk.ears[1].heard));
}

static void gather(void)
{
	enter(1, registration_of(1));
	gather_others();
}

static int setup(void **state)
{
	(void)state;
	memset(&desk, 0, sizeof(desk));
	desk.now_ns = 1000 * MS;
	start_sealing(FIRST);
	return 0;
}

static int teardown(void **state)
{
	uint32_t connection;

	(void)state;
	pccl_master_destroy(desk.master);
	for (connection = 0; connection < CONNECTIONS; connection++) {
		pccl_install_fini(&desk.ears[connection].install);
		pccl_message_destroy(desk.ears[connection].prepare);
	}
	return 0;
}

static void assert_refused(uint32_t connection, const char *words)
{
	assert_int_equal(desk.ears[connection].heard[PCCL_MESSAGE_REFUSED], 1);
	assert_int_equal(desk.ears[connection].heard[PCCL_MESSAGE_WELCOME], 0);
	if (strstr(desk.ears[connection].notice, words) == NULL)
		fail_msg("\"%s\" lacks \"%s\"", desk.ears[connection].notice, words);
}

/* Signs it as if the key were the caller's. */
static void seal_with(uint8_t key, struct pccl_install *install)
{
	struct pccl_imprint imprint;

	assert_int_equal(pccl_install_imprint(install, &imprint), pcclSuccess);
	install->seal = sign(key, &imprint);
}

static void members_are_taken_over_by_what_another_master_has_signed(void **state)
{
	uint32_t number;

	(void)state;
	gather();
	start_sealing(SECOND);
	for (number = 1; number <= 3; number++)
		enter(number, return_of(number));
	pass(100);
	for (number = 1; number <= 3; number++) {
		assert_int_equal(desk.ears[number].heard[PCCL_MESSAGE_WELCOME], number == 1 ? 1 : 2);
		assert_int_equal(desk.ears[number].heard[PCCL_MESSAGE_REFUSED], 0);
	}
	/* And what the second does next counts at the first. */
	enter(4, registration_of(4));
	say(3, pccl_message_create(PCCL_MESSAGE_LEAVE));
	pass(100);
	assert_int_equal(desk.ears[1].install.view.member_count, 2);
	assert_int_equal(desk.ears[1].install.seal.key.data[0], SECOND);
	start_sealing(FIRST);
	enter(1, return_of(1));
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_REFUSED], 0);
}

static void view_that_no_master_has_signed_is_refused(void **state)
{
	struct pccl_message *message;

	(void)state;
	gather();
	start_sealing(SECOND);
	message = return_of(3);
	memset(&message->body.registration.last->seal, 0, sizeof(struct pccl_seal));
	enter(9, message);
	assert_refused(9, "no master has signed the view");
	message = return_of(3);
	seal_with(STRANGER, message->body.registration.last);
	enter(10, message);
	assert_refused(10, "signed by pccl-key-03");
	assert_non_null(strstr(desk.ears[10].notice, "PCCL_MASTER_KEYS"));
}

/* All that a member, or a former one, may want to say of its own. */
static void view_that_was_changed_is_refused(void **state)
{
	struct pccl_message *message;
	struct pccl_install *last;
	uint32_t what;

	(void)state;
	gather();
	start_sealing(SECOND);
	for (what = 0; what < 6; what++) {
		message = return_of(3);
		last = message->body.registration.last;
		last->view.epoch += what == 0;
		last->previous_epoch += what == 1;
		last->run.data[0] ^= what == 2;
		last->newcomers ^= what == 3;
		if (what == 4)
			last->view.members[0].uuid = peer_of(9);
		if (what == 5) {
			pccl_free(last->decisions);
			last->decisions = pccl_calloc(1, sizeof(*last->decisions));
			last->decision_count = 1;
			last->decisions[0].verdict = PCCL_VERDICT_COMMIT;
		}
		enter(9 + what, message);
		assert_refused(9 + what, "not what a master has signed");
	}
}

static void view_of_another_group_is_refused(void **state)
{
	struct pccl_message *message;

	(void)state;
	gather();
	message = return_of(3);
	message->body.registration.group = 7;
	message->body.registration.last->view.group = 7;
	enter(9, message);
	assert_refused(9, "not what a master has signed");
}

/* The seal of another view of its own, which was in force once. */
static void seal_of_an_old_view_fits_no_other(void **state)
{
	struct pccl_message *message;
	struct pccl_seal old;

	(void)state;
	enter(1, registration_of(1));
	old = desk.ears[1].install.seal;
	assert_true(pccl_seal_is_set(&old));
	say(1, pccl_message_create(PCCL_MESSAGE_LEAVE));
	gather();
	start_sealing(SECOND);
	message = return_of(1);
	message->body.registration.last->seal = old;
	enter(9, message);
	assert_refused(9, "not what a master has signed");
}

/* It is what it says, but the group has gone on, and others are here who have more. */
static void old_view_is_not_gone_on_from(void **state)
{
	struct pccl_message *old;

	(void)state;
	gather();
	old = return_of(3);
	say(3, pccl_message_create(PCCL_MESSAGE_LEAVE));
	pass(100);
	assert_int_equal(desk.ears[1].install.view.member_count, 2);
	start_sealing(SECOND);
	enter(9, old);
	enter(1, return_of(1));
	enter(2, return_of(2));
	pass(2500);
	assert_int_equal(desk.ears[9].heard[PCCL_MESSAGE_EVICTED], 1);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_EVICTED] + desk.ears[1].heard[PCCL_MESSAGE_REFUSED], 0);
	assert_int_equal(desk.ears[1].install.view.member_count, 2);
}

/* Of the time when it was alone, so that nobody else is missing; and the master knows of no other yet. */
static void old_view_that_comes_first_gives_way(void **state)
{
	struct pccl_message *old;
	uint32_t number;

	(void)state;
	enter(1, registration_of(1));
	old = return_of(1);
	gather_others();
	start_sealing(SECOND);
	enter(9, old);
	pass(100);
	assert_int_equal(desk.ears[9].heard[PCCL_MESSAGE_WELCOME], 1);
	for (number = 2; number <= 3; number++)
		enter(number, return_of(number));
	pass(2500);
	for (number = 2; number <= 3; number++) {
		assert_int_equal(desk.ears[number].heard[PCCL_MESSAGE_EVICTED], 0);
		assert_int_equal(desk.ears[number].install.view.member_count, 3);
	}
	assert_int_equal(desk.ears[9].install.view.member_count, 3); /* it is told, in case it lacks that */
}

/* Who was alone once goes on from there at another master, until its epochs are higher, and then comes back. */
static void view_that_most_are_not_in_ends_no_group(void **state)
{
	struct pccl_message *later;
	struct pccl_install *claim;
	uint32_t number;

	(void)state;
	gather();
	later = return_of(3);
	claim = later->body.registration.last;
	claim->view.members[0] = claim->view.members[2];
	claim->view.member_count = 1;
	claim->links.count = 0;
	claim->view.epoch += 30;
	seal_with(SECOND, claim);
	enter(9, later);
	pass(2500);
	assert_int_equal(desk.ears[9].heard[PCCL_MESSAGE_EVICTED], 1);
	for (number = 1; number <= 2; number++)
		assert_int_equal(desk.ears[number].heard[PCCL_MESSAGE_EVICTED], 0);
}

/* The highest epoch that there may be, so that the group would have none left; whoever says so. */
static void forged_epochs_raise_no_floor(void **state)
{
	struct pccl_message *message;

	(void)state;
	gather();
	start_sealing(SECOND);
	message = return_of(3);
	message->body.registration.last->view.epoch = 0xefffffff;
	enter(9, message);
	message = return_of(3);
	add_promise(message, 3, FIRST)->epoch = desk.ears[3].install.view.epoch + 4000;
	enter(10, message);
	message = registration_of(11);
	add_promise(message, 3, FIRST)->epoch = 0x0fffffff;
	enter(11, message);
	assert_refused(9, "not what a master has signed");
	assert_refused(10, "not what a master has signed");
	assert_refused(11, "not what a master has signed");
	enter(12, registration_of(12));
	assert_in_range(desk.ears[12].install.view.epoch, 1, 10);
}

/* As they are now: they were asked, and the first master did not live to see the answers. */
static void true_promises_are_believed(void **state)
{
	uint32_t number;

	(void)state;
	gather();
	desk.mute = true;
	say(3, pccl_message_create(PCCL_MESSAGE_LEAVE));
	desk.mute = false;
	start_sealing(SECOND);
	for (number = 1; number <= 2; number++) {
		struct pccl_message *message = return_of(number);

		assert_true(add_promise(message, number, FIRST)->epoch > desk.ears[number].install.view.epoch);
		enter(number, message);
	}
	pass(2500);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_REFUSED], 0);
	assert_int_equal(desk.ears[1].install.view.member_count, 2);
}

static void promises_that_nobody_was_asked_for_are_refused(void **state)
{
	struct pccl_message *message;
	struct pccl_promise *promise;
	uint32_t what;

	(void)state;
	gather();
	start_sealing(SECOND);
	for (what = 0; what < 5; what++) {
		message = return_of(3);
		promise = add_promise(message, 3, FIRST);
		if (what == 0)
			memset(&promise->seal, 0, sizeof(promise->seal));
		if (what == 1)
			promise->members[0] = peer_of(9);
		if (what == 2)
			promise->master.data[0] = SECOND; /* it would take the place of another one of that master's */
		if (what == 3)
			promise->seal = message->body.registration.last->seal;
		if (what == 4)
			promise->seal.key.data[0] = STRANGER;
		enter(9 + what, message);
		assert_refused(9 + what, what == 0 ? "no master has signed" : "not what a master has signed");
	}
}

/* Where masters have no keys everything is as it is without seals. */
static void master_without_a_key_believes_what_it_is_told(void **state)
{
	uint32_t number;

	(void)state;
	start(FIRST, NULL);
	gather();
	assert_false(pccl_seal_is_set(&desk.ears[1].install.seal));
	start(SECOND, NULL);
	for (number = 1; number <= 3; number++)
		enter(number, return_of(number));
	pass(100);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_WELCOME], 1);
	assert_int_equal(desk.ears[1].heard[PCCL_MESSAGE_REFUSED], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(members_are_taken_over_by_what_another_master_has_signed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(view_that_no_master_has_signed_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(view_that_was_changed_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(view_of_another_group_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(seal_of_an_old_view_fits_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(old_view_is_not_gone_on_from, setup, teardown),
		cmocka_unit_test_setup_teardown(old_view_that_comes_first_gives_way, setup, teardown),
		cmocka_unit_test_setup_teardown(view_that_most_are_not_in_ends_no_group, setup, teardown),
		cmocka_unit_test_setup_teardown(forged_epochs_raise_no_floor, setup, teardown),
		cmocka_unit_test_setup_teardown(true_promises_are_believed, setup, teardown),
		cmocka_unit_test_setup_teardown(promises_that_nobody_was_asked_for_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(master_without_a_key_believes_what_it_is_told, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
