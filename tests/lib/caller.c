#include "lib/caller.h"

#include <string.h>

#include "comm/protection.h"

static void on_opened(void *context, struct pccl_channel *channel)
{
	struct caller *caller = context;

	caller->is_open = true;
	CHECK(pccl_channel_bond(channel, &caller->bond));
}

static void on_message(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes)
{
	struct caller *caller = context;
	struct pccl_message *message;

	(void)channel;
	CHECK_RESULT(pcclSuccess, pccl_message_decode(data, bytes, &message));
	if (message->type == PCCL_MESSAGE_MEET) {
		caller->met = message->body.meet.strangers.members[0];
		caller->has_met = true;
	}
	if (caller->answer == 0 && message->type != PCCL_MESSAGE_PROOF) { /* the master proves something, too */
		caller->answer = message->type;
		if (message->type == PCCL_MESSAGE_REFUSED)
			strcpy(caller->text, message->body.notice.text);
	}
	pccl_message_destroy(message);
}

static void on_broken(void *context, struct pccl_channel *channel, const char *reason)
{
	const struct caller *caller = context;

	(void)channel;
	if (caller->answer == 0)
		peer_fail(__FILE__, __LINE__, reason);
}

static const struct pccl_channel_events events = {.opened = on_opened, .message = on_message, .broken = on_broken};

void caller_turn_until(const struct caller *caller, const bool *done)
{
	uint64_t end_ns = peers_now_ns() + 30 * WORLD_SECOND_NS;

	while (!*done) {
		CHECK(peers_now_ns() < end_ns);
		pccl_loop_turn(caller->loop, pccl_loop_now(caller->loop) + 10 * WORLD_MS_NS);
	}
}

void caller_dial(struct caller *caller, const struct world_peer *me, unsigned master)
{
	struct pccl_place place = {.transport = NULL};

	memset(caller, 0, sizeof(*caller));
	CHECK_RESULT(pcclSuccess, pccl_loop_create(&caller->loop));
	CHECK_RESULT(pcclSuccess, pccl_protection_open(NULL, &caller->wires));
	CHECK_RESULT(pcclSuccess, pccl_address_numeric("127.0.0.1", me->world->masters[master].port, &place.address));
	place.transport = pccl_wire_for(caller->wires, &place.address);
	CHECK_RESULT(pcclSuccess, pccl_channel_dial(caller->loop, &place, 1, 30 * WORLD_SECOND_NS, &events, caller,
						    &caller->channel));
	caller_turn_until(caller, &caller->is_open);
}

void caller_hang_up(const struct caller *caller)
{
	pccl_channel_close(caller->channel, false);
	pccl_loop_destroy(caller->loop);
	pccl_wires_destroy(caller->wires);
}

void caller_say(const struct caller *caller, const struct pccl_message *message)
{
	uint8_t *data;
	size_t bytes;

	CHECK_RESULT(pcclSuccess, pccl_message_encode(message, &data, &bytes));
	pccl_channel_send(caller->channel, data, bytes);
}

void caller_say_proof(const struct caller *caller, const struct pccl_proof *proof)
{
	struct pccl_message message = {.type = PCCL_MESSAGE_PROOF};

	message.body.proof = *proof;
	caller_say(caller, &message);
}

struct pccl_member caller_describe(const struct pccl_secret *secret)
{
	struct pccl_member self = {.lanes = 1, .streams = 1, .masters = 1, .address_count = 1};

	self.uuid = pccl_identity_uuid(secret);
	self.addresses[0].port = 4242;
	return self;
}

void caller_register(struct caller *caller, const struct pccl_secret *secret, struct pccl_install *last)
{
	struct pccl_message message = {.type = PCCL_MESSAGE_REGISTER};
	struct pccl_message_register *registration = &message.body.registration;
	uint64_t end_ns = peers_now_ns() + 30 * WORLD_SECOND_NS;

	registration->secret = *secret;
	registration->self = caller_describe(secret);
	registration->last = last;
	registration->may_found = true;
	registration->heartbeat_interval_ns = WORLD_SECOND_NS;
	registration->heartbeat_timeout_ns = 60 * WORLD_SECOND_NS;
	caller_say(caller, &message);
	while (caller->answer == 0) {
		CHECK(peers_now_ns() < end_ns);
		pccl_loop_turn(caller->loop, pccl_loop_now(caller->loop) + 10 * WORLD_MS_NS);
	}
}

struct pccl_proof caller_sign(const struct pccl_key_pair *pair, const struct pccl_binding *binding)
{
	struct pccl_proof proof = {.key = pair->key, .salt = {1}};

	CHECK_RESULT(pcclSuccess, pccl_proof_sign(pair, PCCL_ROLE_PEER, binding, &proof));
	return proof;
}
