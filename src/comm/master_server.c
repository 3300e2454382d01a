/* The shell around the master machine: one thread, one listening port, a channel per peer. */
#include "comm/master_server.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/log_rate.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "comm/protection.h"
#include "comm/thread.h"
#include "comm/visitor.h"
#include "membership/master/master.h"
#include "transport/link/channel.h"
#include "transport/link/hello.h"
#include "transport/loop/fork.h"

struct client {
	struct pcclMasterInstanceState_t *instance;
	struct pccl_channel *channel;
	uint64_t id; /* never reused */
	struct pccl_visitor visitor;
	bool has_registered; /* in that group */
	uint32_t group;
	struct client *next;
};

struct pcclMasterInstanceState_t {
	pthread_mutex_t lock; /* of the next seven */
	bool ran;
	bool interrupted;
	bool joined;		     /* somebody waits, or has waited, for the thread */
	bool rereads;		     /* the task is on its way to the thread, with */
	bool changes_list;	     /* a new list, */
	struct pccl_allowed *coming; /* this one, */
	struct pccl_wires *fresh;    /* and new credentials; NULL: not with those */
	struct pccl_task reread;
	struct pccl_allowed *allowed; /* who may join; NULL: everybody. The thread's, once it runs */

	unsigned generation; /* see pccl_fork_generation() */
	struct pccl_address address;
	struct pccl_wires *wires;  /* NULL: the environment says, when it begins to run */
	struct pccl_key_pair keys; /* once it runs; drawn, if it was given none */
	pthread_t thread;
	struct pccl_loop *loop;
	struct pccl_doorman *doorman;
	struct pccl_master *master;
	struct pccl_timer timer;
	struct client *clients;
	struct client *next_examined; /* while all are */
	uint64_t next_id;
	struct pccl_log_rate garbage; /* lines about it, */
	struct pccl_log_rate lost;    /* about callers that want somebody else, */
	struct pccl_log_rate refused; /* and about callers from where nobody may call */
};

static void step(pcclMasterInstance_t *instance, struct pccl_master_event *event);

static struct client *find_client(const pcclMasterInstance_t *instance, uint64_t id)
{
	struct client *client;

	for (client = instance->clients; client != NULL; client = client->next)
		if (client->id == id)
			return client;
	return NULL;
}

static void drop_client(struct client *client, bool flush)
{
	struct client **link = &client->instance->clients;

	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	if (client->instance->next_examined == client)
		client->instance->next_examined = client->next;
	pccl_channel_close(client->channel, flush);
	pccl_free(client);
}

static void client_gone(struct client *client, const char *reason, bool flush)
{
	char text[200];
	struct pccl_master_event event = {.type = PCCL_MASTER_CLOSED, .connection = client->id, .text = text};
	pcclMasterInstance_t *instance = client->instance;

	pccl_text_copy(text, sizeof(text), reason);
	drop_client(client, flush);
	step(instance, &event);
}

/* Past the machine. If memory is short, then not. */
static void tell(const struct client *client, const struct pccl_message *message)
{
	uint8_t *data;
	size_t bytes;

	if (pccl_message_encode(message, &data, &bytes) == pcclSuccess)
		pccl_channel_send(client->channel, data, bytes);
}

/* The master's first word, for those who know which masters are theirs. */
static void greet(const struct client *client)
{
	struct pccl_message message = {.type = PCCL_MESSAGE_PROOF};

	if (client->visitor.is_protected &&
	    pccl_visitor_greet(&client->visitor, &client->instance->keys, &message.body.proof) == pcclSuccess)
		tell(client, &message);
}

/* Who may not register, or stay, is told why, by pccl_fail_text(). Whom the machine knows it dismisses. */
static void turn_away(struct client *client)
{
	struct pccl_message message = {.type = PCCL_MESSAGE_REFUSED, .body.notice.result = pcclMasterConnectionFailed};
	struct pccl_master_event dismiss = {.type = PCCL_MASTER_DISMISS, .connection = client->id};
	const char *more = pccl_log_rate(&client->instance->refused, pccl_loop_now(client->instance->loop));
	char *text = message.body.notice.text;

	pccl_text_copy(text, sizeof(message.body.notice.text), pccl_fail_text());
	if (more != NULL)
		pccl_log_warn("refused %s: %s%s", pccl_channel_remote(client->channel), text, more);
	if (client->has_registered) {
		dismiss.text = text;
		step(client->instance, &dismiss);
	} else {
		tell(client, &message);
		client_gone(client, text, true);
	}
}

static pcclResult_t examine_registration(struct client *client, const struct pccl_message_register *registration)
{
	pcclResult_t result = pccl_visitor_check(&client->visitor, registration);

	if (result == pcclSuccess)
		result = pccl_visitor_may_join(&client->visitor, client->instance->allowed, registration->group);
	client->has_registered = result == pcclSuccess;
	client->group = registration->group;
	return result;
}

static pcclResult_t examine(struct client *client, const struct pccl_message *message)
{
	if (message->type == PCCL_MESSAGE_PROOF)
		return pccl_visitor_prove(&client->visitor, &message->body.proof);
	if (message->type == PCCL_MESSAGE_REGISTER)
		return examine_registration(client, &message->body.registration);
	return pcclSuccess;
}

/* What the machine is not to hear ends here. */
static void hear(struct client *client, struct pccl_master_event *event)
{
	bool is_proof = event->message->type == PCCL_MESSAGE_PROOF;
	pcclResult_t result = examine(client, event->message);

	if (result == pcclSuccess && !is_proof) {
		step(client->instance, event);
		return;
	}
	pccl_message_destroy(event->message);
	if (result != pcclSuccess)
		turn_away(client);
}

static void channel_message(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes)
{
	struct client *client = context;
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
	const struct client *client = context;

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
	struct client *client = find_client(instance, action->connection);
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

static void step(pcclMasterInstance_t *instance, struct pccl_master_event *event)
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

static void timer_fired(struct pccl_timer *timer)
{
	struct pccl_master_event event = {.type = PCCL_MASTER_TICK};

	step(timer->context, &event);
}

static void arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	pcclMasterInstance_t *instance = context;
	struct pccl_master_event event = {.type = PCCL_MASTER_ACCEPTED};
	struct client *client = hello->purpose == PCCL_PURPOSE_CONTROL ? pccl_zalloc(sizeof(*client)) : NULL;
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
		more = pccl_log_rate(&instance->refused, pccl_loop_now(instance->loop));
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
	step(instance, &event);
}

/* Who is on the list no more goes, and others may on the way. */
static void dismiss_struck_off(pcclMasterInstance_t *instance)
{
	struct client *client;

	for (client = instance->clients; client != NULL; client = instance->next_examined) {
		instance->next_examined = client->next;
		if (client->has_registered &&
		    pccl_visitor_may_join(&client->visitor, instance->allowed, client->group) != pcclSuccess)
			turn_away(client);
	}
}

/* There is a new list, or there are new credentials. */
static void run_reread(struct pccl_task *task)
{
	pcclMasterInstance_t *instance = task->context;
	struct pccl_wires *fresh;

	pthread_mutex_lock(&instance->lock);
	if (instance->changes_list) {
		pccl_allowed_destroy(instance->allowed);
		instance->allowed = instance->coming;
	}
	fresh = instance->fresh;
	instance->fresh = NULL;
	instance->coming = NULL;
	instance->changes_list = instance->rereads = false;
	pthread_mutex_unlock(&instance->lock);
	if (fresh != NULL)
		pccl_wires_renew(instance->wires, fresh);
	dismiss_struck_off(instance);
}

static void *run(void *context)
{
	pcclMasterInstance_t *instance = context;

	pccl_loop_run(instance->loop);
	pccl_loop_timer_clear(instance->loop, &instance->timer);
	while (instance->clients != NULL)
		drop_client(instance->clients, false);
	pccl_doorman_destroy(instance->doorman);
	instance->doorman = NULL;
	return NULL;
}

pcclResult_t pccl_master_server_create(const ccoip_socket_address_t *listen_address,
				       pcclMasterInstance_t **instance_out)
{
	pcclMasterInstance_t *instance;
	pcclResult_t result;

	instance = pccl_zalloc(sizeof(*instance));
	if (instance == NULL)
		return pcclOutOfMemory;
	result = pccl_address_from_ccoip(listen_address, &instance->address);
	if (result != pcclSuccess) {
		pccl_free(instance);
		return result;
	}
	instance->generation = pccl_fork_generation();
	pthread_mutex_init(&instance->lock, NULL);
	instance->timer.fire = timer_fired;
	instance->timer.context = instance;
	instance->reread.run = run_reread;
	instance->reread.context = instance;
	*instance_out = instance;
	return pcclSuccess;
}

static pcclResult_t take_keys(pcclMasterInstance_t *instance)
{
	const struct pccl_key_pair *given = pccl_wires_identity(instance->wires);
	struct pccl_key_pair *keys = &instance->keys;

	if (given != NULL) {
		*keys = *given;
		return pcclSuccess;
	}
	if (getrandom(keys->seed, sizeof(keys->seed), 0) != (ssize_t)sizeof(keys->seed))
		return pccl_fail(pcclSystemError, "cannot get random bytes for the master's key: %s", strerror(errno));
	return pccl_key_make(keys);
}

static pcclResult_t fail_unprotected(void)
{
	return pccl_fail(pcclInvalidUsage, "a list of who may join needs a join secret or certificates: on plain "
					   "connections nobody can prove who it is");
}

static pcclResult_t start(pcclMasterInstance_t *instance)
{
	struct pccl_master_config config = {.heartbeat_interval_ns = PCCL_SECOND_NS / 2,
					    .heartbeat_timeout_ns = 3 * PCCL_SECOND_NS,
					    .complaint_window_ns = PCCL_SECOND_NS / 10,
					    .return_grace_ns = 2 * PCCL_SECOND_NS};
	uint16_t port = pccl_address_port(&instance->address);
	pcclResult_t result;

	if (port == 0)
		return pccl_fail(pcclInvalidUsage, "the master needs a port to listen on: 0 is none");
	if (getrandom(config.uuid.data, sizeof(config.uuid.data), 0) != (ssize_t)sizeof(config.uuid.data))
		return pccl_fail(pcclSystemError, "cannot get random bytes for the master's uuid: %s", strerror(errno));
	if (instance->wires == NULL && pccl_protection_open(NULL, &instance->wires) != pcclSuccess)
		return pccl_fail(pcclInvalidUsage, "%s", pccl_fail_text());
	if (instance->allowed != NULL && !pccl_wires_are_protected(instance->wires))
		return fail_unprotected();
	result = take_keys(instance);
	if (result == pcclSuccess)
		result = pccl_loop_create(&instance->loop);
	if (result != pcclSuccess)
		return result;
	result = pccl_master_create(&config, &instance->master);
	if (result != pcclSuccess)
		goto fail_master;
	result = pccl_doorman_create(instance->loop, pccl_wire_for(instance->wires, &instance->address),
				     &instance->address, port, PCCL_HELLO_TIMEOUT_NS, arrived, instance,
				     &instance->doorman);
	if (result != pcclSuccess)
		goto fail_listen;
	result = pccl_thread_start(&instance->thread, "pccl-master", run, instance);
	if (result != pcclSuccess)
		goto fail_thread;
	return pcclSuccess;
fail_thread:
	pccl_doorman_destroy(instance->doorman);
	instance->doorman = NULL;
fail_listen:
	pccl_master_destroy(instance->master);
	instance->master = NULL;
fail_master:
	pccl_loop_destroy(instance->loop);
	instance->loop = NULL;
	return result;
}

bool pccl_master_server_is_inherited(const pcclMasterInstance_t *instance)
{
	return instance->generation != pccl_fork_generation();
}

/* Under the lock: for the thread that serves. */
static void have_reread(pcclMasterInstance_t *instance)
{
	if (!instance->rereads)
		pccl_loop_post(instance->loop, &instance->reread);
	instance->rereads = true;
}

/* Under the lock, of a master that runs. Takes the wires over, or leaves them. */
static pcclResult_t renew(pcclMasterInstance_t *instance, struct pccl_wires *wires)
{
	if (!pccl_wires_are_protected(instance->wires) || !pccl_wires_are_protected(wires))
		return pccl_fail(pcclInvalidUsage,
				 "the master runs already: its secret or certificates may change, and not whether it "
				 "has any");
	pccl_wires_destroy(instance->fresh);
	instance->fresh = wires;
	have_reread(instance);
	return pcclSuccess;
}

pcclResult_t pccl_master_server_protect(pcclMasterInstance_t *instance, const pcclSecurity_t *security)
{
	struct pccl_wires *wires;
	pcclResult_t result = pccl_protection_open(security, &wires);

	if (result != pcclSuccess)
		return result;
	pthread_mutex_lock(&instance->lock);
	if (instance->ran) {
		result = renew(instance, wires);
	} else {
		pccl_wires_destroy(instance->wires);
		instance->wires = wires;
	}
	pthread_mutex_unlock(&instance->lock);
	if (result != pcclSuccess)
		pccl_wires_destroy(wires);
	return result;
}

/* Under the lock. Takes the list over, or leaves it. */
static pcclResult_t hand_over(pcclMasterInstance_t *instance, struct pccl_allowed *allowed)
{
	if (!instance->ran) {
		pccl_allowed_destroy(instance->allowed);
		instance->allowed = allowed;
		return pcclSuccess;
	}
	if (allowed != NULL && !pccl_wires_are_protected(instance->wires))
		return fail_unprotected();
	pccl_allowed_destroy(instance->coming);
	instance->coming = allowed;
	instance->changes_list = true;
	have_reread(instance);
	return pcclSuccess;
}

pcclResult_t pccl_master_server_allow(pcclMasterInstance_t *instance, const char *path)
{
	struct pccl_allowed *allowed = NULL;
	pcclResult_t result = path != NULL ? pccl_allowed_read(path, &allowed) : pcclSuccess;

	if (result != pcclSuccess)
		return result;
	pthread_mutex_lock(&instance->lock);
	result = hand_over(instance, allowed);
	pthread_mutex_unlock(&instance->lock);
	if (result != pcclSuccess)
		pccl_allowed_destroy(allowed);
	return result;
}

pcclResult_t pccl_master_server_run(pcclMasterInstance_t *instance)
{
	pcclResult_t result;

	pthread_mutex_lock(&instance->lock);
	if (instance->ran) {
		result = pccl_fail(pcclInvalidUsage, "the master runs already, or has run: create another");
	} else {
		result = start(instance);
		instance->ran = result == pcclSuccess;
		if (result != pcclSuccess && result != pcclOutOfMemory)
			result = pcclInvalidUsage;
	}
	pthread_mutex_unlock(&instance->lock);
	return result;
}

pcclResult_t pccl_master_server_interrupt(pcclMasterInstance_t *instance)
{
	pcclResult_t result = pcclSuccess;

	pthread_mutex_lock(&instance->lock);
	if (!instance->ran)
		result = pccl_fail(pcclInvalidUsage, "the master never ran");
	else if (!instance->interrupted)
		pccl_loop_stop(instance->loop);
	instance->interrupted = instance->ran;
	pthread_mutex_unlock(&instance->lock);
	return result;
}

pcclResult_t pccl_master_server_await(pcclMasterInstance_t *instance)
{
	pcclResult_t result = pcclSuccess;
	bool join = false;

	pthread_mutex_lock(&instance->lock);
	if (!instance->ran)
		result = pccl_fail(pcclInvalidUsage, "the master never ran");
	join = instance->ran && !instance->joined;
	instance->joined = instance->ran;
	pthread_mutex_unlock(&instance->lock);
	if (join)
		pthread_join(instance->thread, NULL);
	return result;
}

void pccl_master_server_destroy(pcclMasterInstance_t *instance)
{
	if (instance->ran) {
		(void)pccl_master_server_interrupt(instance);
		(void)pccl_master_server_await(instance);
		pccl_master_destroy(instance->master);
		pccl_loop_destroy(instance->loop);
	}
	pccl_wires_destroy(instance->fresh);
	pccl_allowed_destroy(instance->coming);
	pccl_allowed_destroy(instance->allowed);
	pccl_wires_destroy(instance->wires);
	pccl_key_wipe(&instance->keys);
	pthread_mutex_destroy(&instance->lock);
	pccl_free(instance);
}
