/* The master's machine: events in, actions out. */
#include "membership/master/master_internal.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

uint64_t pccl_master_earlier(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

void pccl_master_send(struct pccl_master *master, struct pccl_client *client, struct pccl_message *message)
{
	struct pccl_master_queued *queued = message != NULL ? pccl_alloc(sizeof(*queued)) : NULL;

	if (queued == NULL) {
		pccl_message_destroy(message);
		pccl_client_lose(master, client, PCCL_LOSS_EVICTED, "the master is out of memory");
		return;
	}
	queued->action.type = PCCL_MASTER_SEND;
	queued->action.connection = client->connection;
	queued->action.message = message;
	queued->next = NULL;
	assert((master->first == NULL) == (master->last == NULL));
	if (master->last != NULL)
		master->last->next = queued;
	else
		master->first = queued;
	master->last = queued;
	client->beat_ns = master->now_ns + client->heartbeat_interval_ns;
}

/* Others wait for it for a while, but not for one that goes away all the time. */
static void on_abandon(struct pccl_master *master, struct pccl_client *client)
{
	bool waited_for = client->state != PCCL_CLIENT_SEATED || pccl_absence_begin(master, client);

	pccl_client_lose(master, client, waited_for ? PCCL_LOSS_AWAY : PCCL_LOSS_SILENT,
			 "gave this master up, and looks for one");
}

static void on_message(struct pccl_master *master, struct pccl_client *client, struct pccl_message *message)
{
	assert(client->state != PCCL_CLIENT_CLOSING && (client->group != NULL || client->state == PCCL_CLIENT_CALLER));
	client->heard_ns = master->now_ns;
	client->large_bytes = 0;
	if (client->state == PCCL_CLIENT_CALLER && message->type != PCCL_MESSAGE_REGISTER)
		return;
	switch (message->type) {
	case PCCL_MESSAGE_REGISTER:
		pccl_master_on_register(master, client, message);
		break;
	case PCCL_MESSAGE_VOTE:
		pccl_master_on_vote(master, client, &message->body.vote);
		break;
	case PCCL_MESSAGE_PREPARED:
		pccl_master_on_prepared(master, client, &message->body.prepared);
		break;
	case PCCL_MESSAGE_COMPLAINT:
		pccl_master_on_complaint(master, client, &message->body.complaint);
		break;
	case PCCL_MESSAGE_RETRACT:
		pccl_master_on_retract(client, &message->body.retract);
		break;
	case PCCL_MESSAGE_BROKEN:
		pccl_broken_hear(client, message->body.broken.epoch, &message->body.broken.uuid,
				 message->body.broken.broken);
		break;
	case PCCL_MESSAGE_LINKED:
		pccl_broken_linked(client, message->body.linked.epoch);
		break;
	case PCCL_MESSAGE_EXPIRED:
		pccl_master_on_expired(master, client, &message->body.expired);
		break;
	case PCCL_MESSAGE_MET:
		pccl_master_on_met(master, client, &message->body.met);
		break;
	case PCCL_MESSAGE_DEFER:
		pccl_master_on_defer(master, client, message->body.deferred);
		break;
	case PCCL_MESSAGE_LEAVE:
		pccl_client_lose(master, client, PCCL_LOSS_LEFT, "left");
		break;
	case PCCL_MESSAGE_ABANDON:
		on_abandon(master, client);
		break;
	case PCCL_MESSAGE_BEAT:
		break;
	default:
		pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted,
				    "this peer sent what only a master sends");
		break;
	}
}

static void on_closed(struct pccl_master *master, struct pccl_client *client, const char *text)
{
	bool member = client->state == PCCL_CLIENT_SEATED || client->state == PCCL_CLIENT_RETURNED;
	enum pccl_loss loss = member ? PCCL_LOSS_SILENT : PCCL_LOSS_DEAD;
	char why[PCCL_CAUSE_TEXT_BYTES];

	pccl_text_format(why, sizeof(why), "its connection ended: %s", text != NULL ? text : "no cause known");
	client->said_farewell = true;
	if (pccl_broken_note(master, client))
		loss = PCCL_LOSS_BROKEN;
	pccl_client_lose(master, client, loss, why);
}

/* Who slept past its deadline heard nobody, and that says nothing about them: what has come meanwhile is read now. */
static void forgive_own_sleep(struct pccl_master *master)
{
	struct pccl_group *group;
	uint64_t late_ns = 0;

	if (master->promised_ns != PCCL_MASTER_NEVER && master->now_ns > master->promised_ns)
		late_ns = master->now_ns - master->promised_ns;
	if (late_ns > 0)
		pccl_clients_forgive(master, late_ns);
	for (group = master->groups; late_ns > 0 && group != NULL; group = group->next) {
		pccl_broken_forgive(group, late_ns);
		pccl_complaints_forgive(group, late_ns);
	}
}

void pccl_master_step(struct pccl_master *master, const struct pccl_master_event *event)
{
	struct pccl_client *client = pccl_client_find(master, event->connection);

	assert(event->now_ns >= master->now_ns);
	master->now_ns = event->now_ns;
	forgive_own_sleep(master);
	switch (event->type) {
	case PCCL_MASTER_TICK:
		break;
	case PCCL_MASTER_ACCEPTED:
		if (client == NULL)
			pccl_client_accept(master, event->connection, event->text, event->origin);
		break;
	case PCCL_MASTER_MESSAGE:
		if (client != NULL && client->state != PCCL_CLIENT_CLOSING)
			on_message(master, client, event->message);
		pccl_message_destroy(event->message);
		break;
	case PCCL_MASTER_CLOSED:
		if (client != NULL)
			on_closed(master, client, event->text);
		break;
	case PCCL_MASTER_DISMISS:
		if (client != NULL)
			pccl_client_dismiss(master, client, PCCL_MESSAGE_EVICTED, pcclEvicted, event->text);
		break;
	}
	pccl_clients_tick(master);
	pccl_meets_tick(master);
	pccl_origins_tick(master);
	pccl_groups_tick(master);
	pccl_groups_evaluate(master);
	pccl_clients_sweep(master, false);
	master->promised_ns = pccl_master_deadline(master);
}

bool pccl_master_poll(struct pccl_master *master, struct pccl_master_action *action_out)
{
	struct pccl_master_queued *queued = master->first;
	struct pccl_client *client;

	if (queued != NULL) {
		*action_out = queued->action;
		master->first = queued->next;
		if (master->first == NULL)
			master->last = NULL;
		assert((master->first == NULL) == (master->last == NULL));
		pccl_free(queued);
		return true;
	}
	for (client = master->clients; client != NULL; client = client->next) {
		if (client->state == PCCL_CLIENT_CLOSING && !client->said_farewell)
			break;
	}
	if (client == NULL)
		return false;
	client->said_farewell = true;
	memset(action_out, 0, sizeof(*action_out));
	action_out->type = PCCL_MASTER_HANG_UP;
	action_out->connection = client->connection;
	pccl_clients_sweep(master, false);
	return true;
}

uint64_t pccl_master_deadline(const struct pccl_master *master)
{
	return pccl_master_earlier(pccl_origins_deadline(master),
				   pccl_master_earlier(pccl_clients_deadline(master), pccl_groups_deadline(master)));
}

pcclResult_t pccl_master_create(const struct pccl_master_config *config, struct pccl_master **master_out)
{
	struct pccl_master *master = pccl_zalloc(sizeof(*master));

	assert(config->heartbeat_interval_ns > 0 && config->heartbeat_timeout_ns > 0);
	*master_out = master;
	if (master == NULL)
		return pcclOutOfMemory;
	master->config = *config;
	master->promised_ns = PCCL_MASTER_NEVER;
	return pcclSuccess;
}

void pccl_master_destroy(struct pccl_master *master)
{
	struct pccl_master_action action;
	struct pccl_group *group;

	if (master == NULL)
		return;
	while (pccl_master_poll(master, &action))
		pccl_message_destroy(action.message);
	while (master->groups != NULL) {
		group = master->groups;
		master->groups = group->next;
		pccl_group_destroy(group);
	}
	pccl_clients_sweep(master, true);
	pccl_free(master);
}
