/* A master's connections: who calls, what the machine is told of them, and what it has them told. */
#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "comm/master_server_internal.h"

struct pccl_master_client *pccl_master_server_find(const pcclMasterInstance_t *instance, uint64_t id)
{
	struct pccl_master_client *client;

	for (client = instance->clients; client != NULL; client = client->next)
		if (client->id == id)
			return client;
	return NULL;
}

static void drop_client(struct pccl_master_client *client, bool flush)
{
	struct pccl_master_client **link = &client->instance->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	if (client->instance->next_examined == client)
		client->instance->next_examined = client->next;
	pccl_channel_close(client->channel, flush);
	pccl_free(client);
}

static void client_gone(struct pccl_master_client *client, const char *reason, bool flush)
{
	char text[200];
	struct pccl_master_event event = {.type = PCCL_MASTER_CLOSED, .connection = client->id, .text = text};
	pcclMasterInstance_t *instance = client->instance;

	pccl_text_copy(text, sizeof(text), reason);
	drop_client(client, flush);
	pccl_master_server_step(instance, &event);
}

/* Past the machine. If memory is short, then not. */
static void tell(const struct pccl_master_client *client, const struct pccl_message *message)
{
	uint8_t *data;
	size_t bytes;

	if (pccl_message_encode(message, &data, &bytes) == pcclSuccess)
		pccl_channel_send(client->channel, data, bytes);
}

/* The master's first word, for those who know which masters are theirs. */
static void greet(const struct pccl_master_client *client)
{
	struct pccl_message message = {.type = PCCL_MESSAGE_PROOF};

	if (client->visitor.is_protected &&
	    pccl_visitor_greet(&client->visitor, &client->instance->keys, &message.body.proof) == pcclSuccess)
		tell(client, &message);
}

/* Who may not register, or stay, is told why, by pccl_fail_text(). Whom the machine knows it dismisses. */
void pccl_master_server_turn_away(struct pccl_master_client *client)
{
	struct pccl_message message = {.type = PCCL_MESSAGE_REFUSED, .body.notice.result = pcclMasterConnectionFailed};
	struct pccl_master_event dismiss = {.type = PCCL_MASTER_DISMISS, .connection = client->id};
	const char *remote = pccl_channel_remote(client->channel), *more;
	char *text = message.body.notice.text;

	pccl_text_copy(text, sizeof(message.body.notice.text), pccl_fail_text());
	more = pccl_log_rate_of(&client->instance->refused, remote, text, pccl_loop_now(client->instance->loop));
	if (more != NULL)
		pccl_log_warn("refused %s: %s%s", remote, text, more);
	if (client->has_registered) {
		dismiss.text = text;
		pccl_master_server_step(client->instance, &dismiss);
	} else {
		tell(client, &message);
		client_gone(client, text, true);
	}
}

static pcclResult_t examine_registration(struct pccl_master_client *client,
					 const struct pccl_message_register *registration)
{
	pcclResult_t result = pccl_visitor_check(&client->visitor, registration);

	if (result == pcclSuccess)
		result = pccl_master_server_check_ban(client, &registration->self.uuid);
	if (result == pcclSuccess)
		result = pccl_visitor_may_join(&client->visitor, client->instance->allowed, registration->group);
	client->has_registered = result == pcclSuccess;
	client->group = registration->group;
	return result;
}

static pcclResult_t examine(struct pccl_master_client *client, const struct pccl_message *message)
{
	if (message->type == PCCL_MESSAGE_PROOF)
		return pccl_visitor_prove(&client->visitor, &message->body.proof);
	if (message->type == PCCL_MESSAGE_REGISTER)
		return examine_registration(client, &message->body.registration);
	return pcclSuccess;
}

/* What the machine is not to hear ends here. */
static void hear(struct pccl_master_client *client, struct pccl_master_event *event)
{
	bool is_proof = event->message->type == PCCL_MESSAGE_PROOF;
	pcclResult_t result = examine(client, event->message);

	if (result == pcclSuccess && !is_proof) {
		pccl_master_server_step(client->instance, event);
		return;
	}
	pccl_message_destroy(event->message);
	if (result != pcclSuccess)
		pccl_master_server_turn_away(client);
}

static void channel_message(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes)
{
	struct pccl_master_client *client = context;
	struct pccl_master_event event = {.type = PCCL_MASTER_MESSAGE, .connection = client->id};
	const char *more;

	if (pccl_message_decode(data, bytes, &event.message) == pcclSuccess) {
		if (pccl_visitor_is_within_reach(event.message)) {
			hear(client, &event);
			return;
		}
		pccl_message_destroy(event.message);
	}
	more = pccl_log_rate(&client->instance->garbage, pccl_loop_now(client->instance->loop));
	if (more != NULL)
		pccl_log_warn("hung up %s: %s%s", pccl_channel_remote(channel), pccl_fail_text(), more);
	client_gone(client, pccl_fail_text(), false);
}

static pcclResult_t channel_expects(void *context, struct pccl_channel *channel, uint32_t bytes)
{
	const struct pccl_master_client *client = context;

	(void)channel;
	return pccl_master_expect(client->instance->master, client->id, bytes);
}

static void channel_broken(void *context, struct pccl_channel *channel, const char *reason)
{
	(void)channel;
	client_gone(context, reason, false);
}

static const struct pccl_channel_events channel_events = {
	.expect = channel_expects, .message = channel_message, .broken = channel_broken};

static void carry_out(pcclMasterInstance_t *instance, struct pccl_master_action *action)
{
	struct pccl_master_client *client = pccl_master_server_find(instance, action->connection);
	uint8_t *data;
	size_t bytes;

	if (action->type == PCCL_MASTER_SEND) {
		pcclResult_t result = pcclSuccess;

		if (client != NULL)
			result = pccl_message_encode(action->message, &data, &bytes);
		pccl_message_destroy(action->message);
		if (client != NULL && result == pcclSuccess)
			pccl_channel_send(client->channel, data, bytes);
		else if (client != NULL)
			/* Out of memory: the peer comes back and hears it then. */
			client_gone(client, pccl_fail_text(), false);
	} else if (client != NULL) {
		drop_client(client, true);
	}
}

void pccl_master_server_step(pcclMasterInstance_t *instance, struct pccl_master_event *event)
{
	struct pccl_master_action action;
	uint64_t deadline_ns;

	event->now_ns = pccl_loop_now(instance->loop);
	pccl_master_step(instance->master, event);
	while (pccl_master_poll(instance->master, &action))
		carry_out(instance, &action);
	deadline_ns = pccl_master_deadline(instance->master);
	if (deadline_ns == UINT64_MAX)
		pccl_loop_timer_clear(instance->loop, &instance->timer);
	else
		pccl_loop_timer_set(instance->loop, &instance->timer, deadline_ns);
}

void pccl_master_server_arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	pcclMasterInstance_t *instance = context;
	struct pccl_master_event event = {.type = PCCL_MASTER_ACCEPTED};
	struct pccl_master_client *client =
		hello->purpose == PCCL_PURPOSE_CONTROL ? pccl_zalloc(sizeof(*client)) : NULL;
	struct pccl_address remote;
	const char *more;

	if (client == NULL) {
		more = pccl_log_rate(&instance->lost, pccl_loop_now(instance->loop));
		if (more != NULL)
			pccl_log_info("hung up a caller that takes the master for a peer%s", more);
		stream->transport->close(stream, false);
		return;
	}
	if (pccl_wires_admit(instance->wires, stream) != pcclSuccess) {
		more = pccl_log_rate_of(&instance->refused, "", pccl_fail_text(), pccl_loop_now(instance->loop));
		if (more != NULL)
			pccl_log_warn("refused a caller: %s%s", pccl_fail_text(), more);
		pccl_hello_refuse(instance->loop, stream, PCCL_WELCOME_NEVER, pccl_fail_text());
		pccl_free(client);
		return;
	}
	client->instance = instance;
	client->id = ++instance->next_id;
	if (pccl_channel_adopt(instance->loop, stream, &channel_events, client, &client->channel) != pcclSuccess) {
		pccl_free(client);
		return;
	}
	if (pccl_visitor_arrive(&client->visitor, client->channel, pccl_wires_are_protected(instance->wires)) !=
	    pcclSuccess) {
		pccl_channel_close(client->channel, false);
		pccl_free(client);
		return;
	}
	client->next = instance->clients;
	instance->clients = client;
	greet(client);
	event.connection = client->id;
	event.text = pccl_channel_remote(client->channel);
	if (pccl_address_numeric(event.text, 0, &remote) == pcclSuccess)
		event.origin = pccl_address_origin(&remote);
	pccl_master_server_step(instance, &event);
}

/* Who is on the list no more goes, and others may on the way. */
void pccl_master_server_examine(pcclMasterInstance_t *instance)
{
	struct pccl_master_client *client;

	for (client = instance->clients; client != NULL; client = instance->next_examined) {
		instance->next_examined = client->next;
		if (client->has_registered &&
		    pccl_visitor_may_join(&client->visitor, instance->allowed, client->group) != pcclSuccess)
			pccl_master_server_turn_away(client);
	}
}

void pccl_master_server_hang_up(pcclMasterInstance_t *instance)
{
	while (instance->clients != NULL)
		drop_client(instance->clients, false);
}
