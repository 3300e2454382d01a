/* Who registers at a protected master, or calls a member, proves by a key that its secret is its own: others' secrets,
 * signatures and passes, which a master of somebody else's has seen, are of no use. What members bring to a master of
 * others' counts by what those have signed. Real masters; most peers are played by the test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <pccl/security.h>

#include "base/fail.h"
#include "base/hex.h"
#include "base/memory.h"
#include "comm/control_socket.h"
#include "lib/caller.h"
#include "lib/check.h"
#include "transport/link/hello.h"
#include "unit/transport/tls/authority.h"

static struct authority authority;

static int open_by_secret(void **state)
{
	char secret[PCCL_SECRET_TEXT_BYTES];

	if (pcclGenerateSecret(secret) != pcclSuccess || setenv("PCCL_SECRET", secret, 1) != 0)
		return -1;
	return peers_open(state);
}

static int close_by_secret(void **state)
{
	unsetenv("PCCL_SECRET");
	return peers_close(state);
}

static int open_by_certificate(void **state)
{
	authority_create(&authority);
	authority_issue(&authority, "member", 10);
	authority_show(&authority, "member");
	return peers_open(state);
}

static int close_by_certificate(void **state)
{
	static const char *const files[] = {"authority.pem", "member.pem", "member.key"};

	authority_hide();
	authority_destroy(&authority, files, 3);
	return peers_close(state);
}

static void call(struct caller *caller, const struct world_peer *me)
{
	caller_dial(caller, me, 0);
}

static void say_register(struct caller *caller, const struct pccl_secret *secret)
{
	caller_register(caller, secret, NULL);
}

static void check_refused(const struct caller *caller, const char *words)
{
	CHECK(caller->answer == PCCL_MESSAGE_REFUSED);
	if (strstr(caller->text, words) == NULL)
		peer_fail(__FILE__, __LINE__, caller->text);
	caller_hang_up(caller);
}

static void try_to_take_a_seat(struct world_peer *me)
{
	struct pccl_key_pair owners = {.seed = {1}}, thiefs = {.seed = {2}};
	struct caller owner, thief;
	struct pccl_proof shown, stolen;
	struct pccl_secret secret;

	CHECK_RESULT(pcclSuccess, pccl_key_make(&owners));
	CHECK_RESULT(pcclSuccess, pccl_key_make(&thiefs));
	call(&owner, me);
	shown = caller_sign(&owners, &owner.bond.binding);
	secret = pccl_identity_secret(&shown.key, shown.salt);
	caller_say_proof(&owner, &shown);
	say_register(&owner, &secret);
	CHECK(owner.answer == PCCL_MESSAGE_WELCOME);

	call(&thief, me);
	say_register(&thief, &secret);
	check_refused(&thief, "does not prove by a key");

	call(&thief, me);
	caller_say_proof(&thief, &shown); /* it has seen it somewhere */
	say_register(&thief, &secret);
	check_refused(&thief, "for another connection");

	call(&thief, me);
	stolen = caller_sign(&thiefs, &thief.bond.binding);
	caller_say_proof(&thief, &stolen);
	say_register(&thief, &secret);
	check_refused(&thief, "the secret of another one");

	call(&thief, me);
	stolen = caller_sign(&thiefs, &thief.bond.binding);
	stolen.key = owners.key;
	caller_say_proof(&thief, &stolen);
	say_register(&thief, &secret);
	check_refused(&thief, "another key than it shows");

	/* The owner itself may come back by another connection. */
	call(&thief, me);
	shown = caller_sign(&owners, &thief.bond.binding);
	caller_say_proof(&thief, &shown);
	say_register(&thief, &secret);
	CHECK(thief.answer == PCCL_MESSAGE_WELCOME);
	caller_hang_up(&thief);
	caller_hang_up(&owner);
}

static void nobody_takes_a_seat_by_what_a_master_was_told(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 1, try_to_take_a_seat, NULL);
	peers_finish(world);
}

/* ---- members ----------------------------------------------------------------------------------------------------- */

/* One that calls a member in the name of `from`, and what it is told. */
struct guest {
	struct caller *caller;
	struct pccl_stream *stream;
	struct pccl_hello hello;
	struct pccl_bond bond;
	struct pccl_frame welcome;
	uint8_t bytes[PCCL_HELLO_BYTES];
	uint8_t text[PCCL_WELCOME_TEXT_BYTES + 1];
	bool is_open;
	bool is_answered;
	bool is_broken;
};

static void guest_opened(void *context, struct pccl_stream *stream)
{
	struct guest *guest = context;

	CHECK(stream->transport->bond(stream, &guest->bond));
	guest->is_open = true;
}

static enum pccl_frame_verdict guest_header(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					    void **destination_out)
{
	struct guest *guest = context;

	(void)stream;
	if (frame->type != PCCL_FRAME_WELCOME)
		return PCCL_FRAME_DISCARD;
	CHECK(frame->payload_bytes < sizeof(guest->text));
	*destination_out = guest->text;
	return PCCL_FRAME_TAKE;
}

static void guest_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct guest *guest = context;

	(void)stream;
	guest->welcome = *frame;
	guest->is_answered = true;
}

static void ignore_room(void *context, struct pccl_stream *stream)
{
	(void)context;
	(void)stream;
}

static void ignore_sent(void *context, struct pccl_stream *stream, void *token)
{
	(void)context;
	(void)stream;
	(void)token;
}

static void guest_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct guest *guest = context;

	(void)stream;
	guest->is_broken = true;
	if (!guest->is_answered)
		peer_fail(__FILE__, __LINE__, reason);
}

static const struct pccl_stream_events guest_events = {.opened = guest_opened,
						       .header = guest_header,
						       .received = guest_received,
						       .room = ignore_room,
						       .sent = ignore_sent,
						       .broken = guest_broken};

static void dial_member(struct guest *guest, struct caller *caller, const pcclRankUuid_t *from)
{
	const struct pccl_transport *transport;
	struct pccl_address address;

	memset(guest, 0, sizeof(*guest));
	guest->caller = caller;
	guest->hello.purpose = PCCL_PURPOSE_DATA;
	guest->hello.from = *from;
	guest->hello.to = caller->met.uuid;
	guest->hello.instance = 4711;
	guest->hello.pass = caller->met.pass;
	CHECK_RESULT(pcclSuccess, pccl_address_numeric("127.0.0.1", caller->met.addresses[0].port, &address));
	transport = pccl_wire_for(caller->wires, &address);
	CHECK_RESULT(pcclSuccess,
		     transport->dial(transport, caller->loop, &address, NULL, &guest_events, guest, &guest->stream));
	caller_turn_until(caller, &guest->is_open);
}

static void say_hello(struct guest *guest)
{
	struct pccl_frame frame = {.type = PCCL_FRAME_HELLO};

	frame.payload_bytes = (uint32_t)pccl_hello_encode(&guest->hello, guest->bytes);
	CHECK(guest->stream->transport->send(guest->stream, &frame, guest->bytes, NULL));
}

static void check_told(struct guest *guest, enum pccl_welcome welcome, const char *words)
{
	caller_turn_until(guest->caller, &guest->is_answered);
	CHECK(guest->welcome.aux == welcome);
	if (strstr((char *)guest->text, words) == NULL)
		peer_fail(__FILE__, __LINE__, (char *)guest->text);
	guest->stream->transport->close(guest->stream, false);
}

static void check_turned_away(struct guest *guest)
{
	say_hello(guest);
	check_told(guest, PCCL_WELCOME_NEVER, "it can't show that it is who it says");
}

static struct pccl_proof prove(const struct pccl_signer *signer, enum pccl_role role,
			       const struct pccl_binding *binding)
{
	struct pccl_proof proof;

	CHECK_RESULT(pcclSuccess, pccl_proof_make(signer, role, binding, &proof));
	return proof;
}

static void ignore_line(const char *line, void *context)
{
	(void)line;
	(void)context;
}

static void have_it_evicted(const char *control, const pcclRankUuid_t *uuid)
{
	char command[64] = "evict uuid ";

	pccl_hex_write(uuid->data, sizeof(uuid->data), command + strlen(command));
	CHECK_RESULT(pcclSuccess, pccl_control_ask(control, command, ignore_line, NULL));
}

/* What it showed yesterday counts for that connection alone; and with its own key and pass it is in no view any more: a
 * stream waits for one that has its caller, until that calls once more. */
static void call_with_yesterdays_token(struct caller *caller, const struct pccl_signer *owner, struct guest *yesterdays)
{
	struct guest guests[2], stale;
	unsigned i;

	caller_turn_until(caller, &yesterdays->is_broken);
	yesterdays->stream->transport->close(yesterdays->stream, false);
	dial_member(&stale, caller, &yesterdays->hello.from);
	stale.hello.proves = true;
	stale.hello.proof = yesterdays->hello.proof;
	check_turned_away(&stale);
	for (i = 0; i < 2; i++) {
		dial_member(&guests[i], caller, &yesterdays->hello.from);
		guests[i].hello.proves = true;
		guests[i].hello.proof = prove(owner, PCCL_ROLE_CALLER, &guests[i].bond.binding);
		say_hello(&guests[i]);
	}
	check_told(&guests[0], PCCL_WELCOME_LATER, "it has called once more");
	CHECK(!guests[1].is_answered);
	guests[1].stream->transport->close(guests[1].stream, false);
}

/* It has the pass of the one that was introduced, as every master has: only the one with the key is let in. */
static void try_to_call_in_anothers_name(struct world_peer *me)
{
	static const uint8_t salt[PCCL_SALT_BYTES] = {1};
	struct pccl_key_pair owners = {.seed = {1}}, thiefs = {.seed = {2}};
	const struct pccl_signer owner = {&owners, salt}, thief = {&thiefs, salt};
	struct pccl_greeting greeting;
	struct pccl_proof shown;
	struct pccl_secret secret;
	struct caller caller;
	struct guest guest;
	pcclRankUuid_t uuid;

	peer_wait_peer(me, 0, 1);
	CHECK_RESULT(pcclSuccess, pccl_key_make(&owners));
	CHECK_RESULT(pcclSuccess, pccl_key_make(&thiefs));
	call(&caller, me);
	shown = caller_sign(&owners, &caller.bond.binding);
	secret = pccl_identity_secret(&shown.key, shown.salt);
	uuid = pccl_identity_uuid(&secret);
	caller_say_proof(&caller, &shown);
	say_register(&caller, &secret);
	CHECK(caller.answer == PCCL_MESSAGE_WELCOME);
	caller_turn_until(&caller, &caller.has_met);

	dial_member(&guest, &caller, &uuid);
	check_turned_away(&guest);
	dial_member(&guest, &caller, &uuid);
	guest.hello.proves = true;
	guest.hello.proof = shown; /* for the master, over another connection */
	check_turned_away(&guest);
	dial_member(&guest, &caller, &uuid);
	guest.hello.proves = true;
	guest.hello.proof = prove(&thief, PCCL_ROLE_CALLER, &guest.bond.binding);
	check_turned_away(&guest);
	dial_member(&guest, &caller, &uuid);
	guest.hello.proves = true;
	guest.hello.proof = prove(&owner, PCCL_ROLE_CALLED, &guest.bond.binding);
	check_turned_away(&guest);

	dial_member(&guest, &caller, &uuid);
	guest.hello.proves = true;
	guest.hello.proof = prove(&owner, PCCL_ROLE_CALLER, &guest.bond.binding);
	say_hello(&guest);
	caller_turn_until(&caller, &guest.is_answered);
	CHECK(guest.welcome.aux == PCCL_WELCOME_YES);
	CHECK_RESULT(pcclSuccess, pccl_greeting_decode(guest.text, guest.welcome.payload_bytes, &greeting));
	CHECK(greeting.proves);
	CHECK(pccl_proof_is_of(&greeting.proof, PCCL_ROLE_CALLED, &guest.bond.binding, &caller.met.uuid));
	CHECK(!pccl_proof_is_of(&greeting.proof, PCCL_ROLE_CALLED, &guest.bond.binding, &uuid));
	have_it_evicted(me->argument, &uuid);
	call_with_yesterdays_token(&caller, &owner, &guest);
	caller_hang_up(&caller);
	peer_reach(me, 1);
}

static void is_called(struct world_peer *me)
{
	peer_join(me);
	peer_reach(me, 1);
	peer_wait_peer(me, 1, 1);
	peer_leave(me);
}

static void nobody_calls_members_in_anothers_name_or_when_it_has_left(void **state)
{
	char folder[] = "/tmp/pccl-test-proof.XXXXXX", control[64];
	struct world *world = *state;

	assert_non_null(mkdtemp(folder));
	(void)snprintf(control, sizeof(control), "%s/control", folder);
	assert_int_equal(setenv("PCCL_CONTROL_SOCKET", control, 1), 0);
	peers_start_master(world, WORLD_PROGRAM);
	unsetenv("PCCL_CONTROL_SOCKET");
	peers_start(world, 1, is_called, NULL);
	peers_start(world, 1, try_to_call_in_anothers_name, control);
	peers_finish(world);
	assert_int_equal(rmdir(folder), 0);
}

/* ---- what members bring to masters ------------------------------------------------------------------------------- */

struct keyed {
	char paths[WORLD_MASTERS_MAX][40];
	struct pccl_key keys[WORLD_MASTERS_MAX];
	char texts[WORLD_MASTERS_MAX * PCCL_KEY_TEXT_BYTES]; /* for PCCL_MASTER_KEYS */
};

/* Brings a view of its own making, under a seal of the key, with the name of the other one. NULL: under none. */
static void bring(struct caller *caller, const struct world_peer *me, const struct pccl_key_pair *signs,
		  const struct pccl_key *names)
{
	struct pccl_key_pair own = {.seed = {3}};
	struct pccl_install made_up = {.view = {.epoch = 1000, .lanes = 1, .streams = 1, .member_count = 1}};
	struct pccl_imprint imprint;
	struct pccl_member self;
	struct pccl_secret secret;
	struct pccl_proof proof;

	CHECK_RESULT(pcclSuccess, pccl_key_make(&own));
	caller_dial(caller, me, 1);
	proof = caller_sign(&own, &caller->bond.binding);
	secret = pccl_identity_secret(&proof.key, proof.salt);
	self = caller_describe(&secret);
	made_up.view.members = &self;
	if (signs != NULL) {
		CHECK_RESULT(pcclSuccess, pccl_install_imprint(&made_up, &imprint));
		CHECK_RESULT(pcclSuccess, pccl_seal_make(signs, &imprint, &made_up.seal));
		made_up.seal.key = *names;
	}
	caller_say_proof(caller, &proof);
	caller_register(caller, &secret, &made_up);
}

/* It has the join secret, as former members have, and may say what it likes. */
static void forge_views(struct world_peer *me)
{
	const struct keyed *keyed = me->argument;
	struct pccl_key_pair own = {.seed = {4}};
	struct caller caller;

	CHECK_RESULT(pcclSuccess, pccl_key_make(&own));
	bring(&caller, me, NULL, NULL);
	check_refused(&caller, "no master has signed the view");
	bring(&caller, me, &own, &own.key);
	check_refused(&caller, "none of PCCL_MASTER_KEYS");
	bring(&caller, me, &own, &keyed->keys[0]);
	check_refused(&caller, "not what a master has signed");
	peer_reach(me, 1);
}

/* Goes on at the second master, which finds that the first one has signed what the members bring. */
static void lose_a_master(struct world_peer *me)
{
	const struct keyed *keyed = me->argument;
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	char second[40];
	int64_t sum;

	(void)snprintf(second, sizeof(second), "127.0.0.1:%u", me->world->masters[1].port);
	security.master_keys = keyed->texts;
	me->config.security = &security;
	me->config.masters = second;
	peer_join(me);
	peer_grow(me, 2);
	peer_reach(me, 1);
	peer_wait_gate(me, 1);
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm)); /* this takes a master */
	CHECK(peer_world_size(me) == 2);
	CHECK_RESULT(pcclSuccess, peer_sum(me, 7, 1, &sum));
	CHECK(sum == 2);
	peer_meet(me, 2);
	peer_leave(me);
}

/* Each master has a key of its own, and knows the other's. */
static void start_keyed_masters(struct world *world, struct keyed *keyed)
{
	unsigned i;

	for (i = 0; i < WORLD_MASTERS_MAX; i++) {
		char text[PCCL_KEY_TEXT_BYTES];

		strcpy(keyed->paths[i], "/tmp/pccl-test-key.XXXXXX");
		assert_true(mkdtemp(keyed->paths[i]) != NULL);
		assert_int_equal(rmdir(keyed->paths[i]), 0); /* a name that was free a moment ago */
		assert_int_equal(pcclDescribeKey(keyed->paths[i], text), pcclSuccess);
		assert_true(pccl_key_parse(text, strlen(text), &keyed->keys[i]));
		if (i > 0)
			strcat(keyed->texts, ",");
		strcat(keyed->texts, text);
	}
	assert_int_equal(setenv("PCCL_MASTER_KEYS", keyed->texts, 1), 0);
	for (i = 0; i < WORLD_MASTERS_MAX; i++) {
		assert_int_equal(setenv("PCCL_IDENTITY_FILE", keyed->paths[i], 1), 0);
		peers_start_master(world, WORLD_PROGRAM);
	}
	unsetenv("PCCL_IDENTITY_FILE");
	unsetenv("PCCL_MASTER_KEYS");
}

static void masters_believe_what_masters_have_signed(void **state)
{
	struct keyed keyed = {.texts = ""};
	struct world *world = *state;
	unsigned i;

	start_keyed_masters(world, &keyed);
	peers_start(world, 2, lose_a_master, &keyed);
	peers_await_all(world, 0, 2, 1);
	peers_start(world, 1, forge_views, &keyed);
	peers_await(world, 2, 1);
	peers_kill_master(world, 0);
	peers_open_gate(world, 1);
	peers_finish(world);
	for (i = 0; i < WORLD_MASTERS_MAX; i++)
		unlink(keyed.paths[i]);
}

#define TESTS(by)                                                                                                    \
	cmocka_unit_test_setup_teardown(nobody_takes_a_seat_by_what_a_master_was_told, open_by_##by, close_by_##by), \
		cmocka_unit_test_setup_teardown(nobody_calls_members_in_anothers_name_or_when_it_has_left,           \
						open_by_##by, close_by_##by),                                        \
		cmocka_unit_test_setup_teardown(masters_believe_what_masters_have_signed, open_by_##by, close_by_##by)

int main(void)
{
	const struct CMUnitTest tests[] = {TESTS(secret), TESTS(certificate)};

	return cmocka_run_group_tests_name("proof", tests, NULL, NULL);
}
