/* The shell around the peer machine: feeds it what the loop sees and carries out what it asks for. */
#include "comm/control.h"

#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/log_rate.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/time.h"
#include "base/uuid.h"
#include "comm/lookup.h"
#include "comm/reach.h"
#include "comm/thread.h"
#include "transport/link/channel.h"
#include "transport/link/hello.h"
#include "transport/wires/wires.h"

struct pccl_control {
	struct pccl_control_config config;
	const struct pccl_self *self;
	struct pccl_monitor *monitor;
	pthread_t thread;
	struct pccl_loop *loop;
	struct pccl_doorman *doorman;
	struct pccl_master_place masters[PCCL_MASTERS_MAX];
	uint32_t master_count;
	struct pccl_peer *peer;
	struct pccl_channel *channel;	   /* to the master; NULL: none */
	struct pccl_lookup *lookup;	   /* of the name of the master that is to be dialled; NULL: none */
	struct pccl_timer timer;	   /* the machine's deadline */
	bool awaits_proof;		   /* of the master's */
	uint32_t freeze_epoch;		   /* what the last FREEZE asked for */
	struct pccl_log_rate lost_callers; /* lines about those who want another peer, */
	struct pccl_log_rate impostors;	   /* about those who show a wrong pass, */
	struct pccl_log_rate refused;	   /* and about those from where nobody may call */
	bool stopped;
	bool short_of_memory; /* an event was lost; written by any thread */
	struct pccl_task shortage;
};

struct event_task {
	struct pccl_task task;
	struct pccl_control *control;
	struct pccl_peer_event event;
	char text[PCCL_DETAIL_BYTES];
};

static void step(struct pccl_control *control, struct pccl_peer_event *event);

static void hang_up(struct pccl_control *control, bool flush);
static void closed_by_failure(struct pccl_control *control, bool unfit);
static void send_message(struct pccl_control *control, struct pccl_message *message);

/* On a protected connection the master hears whose secret it is that REGISTER shows, before that. */
static pcclResult_t show_proof(struct pccl_control *control)
{
	const struct pccl_self *self = control->self;
	struct pccl_message *message;
	struct pccl_bond bond;
	pcclResult_t result;

	if (!pccl_wires_are_protected(self->wires))
		return pcclSuccess;
	if (!pccl_channel_bond(control->channel, &bond))
		return pccl_fail(pcclSystemError, "the connection to the master has nothing that tells it from others");
	message = pccl_message_create(PCCL_MESSAGE_PROOF);
	if (message == NULL)
		return pcclOutOfMemory;
	message->body.proof.key = self->keys.key;
	memcpy(message->body.proof.salt, self->salt, sizeof(self->salt));
	result = pccl_proof_sign(&self->keys, PCCL_ROLE_PEER, &bond.binding, &message->body.proof);
	if (result == pcclSuccess)
		send_message(control, message);
	else
		pccl_message_destroy(message);
	return result;
}

/* This peer registers, and tells its secret. */
static void go_on(struct pccl_control *control)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_DIALLED};

	event.trip_ns = pccl_channel_trip_ns(control->channel);
	if (show_proof(control) == pcclSuccess) {
		step(control, &event);
		return;
	}
	hang_up(control, false);
	closed_by_failure(control, false);
}

/* Where masters' keys are known this one has to prove that it has one of them, first. */
static void channel_opened(void *context, struct pccl_channel *channel)
{
	struct pccl_control *control = context;

	assert(channel == control->channel);
	control->awaits_proof = !pccl_wires_trust(control->self->wires, NULL);
	if (!control->awaits_proof)
		go_on(control);
}

static bool is_trusted(const struct pccl_control *control, const struct pccl_message *message)
{
	const struct pccl_proof *proof = &message->body.proof;
	struct pccl_bond bond;

	return message->type == PCCL_MESSAGE_PROOF && pccl_channel_bond(control->channel, &bond) &&
	       pccl_proof_holds(proof, PCCL_ROLE_MASTER, &bond.binding) &&
	       pccl_wires_trust(control->self->wires, &proof->key);
}

/* The first message of a master that has to prove something. */
static void examine(struct pccl_control *control, const struct pccl_message *message)
{
	char remote[PCCL_ADDRESS_BYTES];

	control->awaits_proof = false;
	if (is_trusted(control, message)) {
		go_on(control);
		return;
	}
	pccl_text_copy(remote, sizeof(remote), pccl_channel_remote(control->channel));
	hang_up(control, false);
	pccl_fail(pcclMasterConnectionFailed,
		  "the master at %s does not have one of the keys that are asked for (PCCL_MASTER_KEYS)", remote);
	closed_by_failure(control, true);
}

static void hear(struct pccl_control *control, struct pccl_peer_event *event)
{
	bool is_first = control->awaits_proof;

	if (is_first)
		examine(control, event->message);
	if (is_first || event->message->type == PCCL_MESSAGE_PROOF)
		pccl_message_destroy(event->message);
	else
		step(control, event);
}

static void channel_message(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes)
{
	struct pccl_control *control = context;
	struct pccl_peer_event event = {.type = PCCL_PEER_MESSAGE};

	if (pccl_message_decode(data, bytes, &event.message) == pcclSuccess) {
		hear(control, &event);
		return;
	}
	pccl_log_error("the master at %s sent what is no message: %s", pccl_channel_remote(channel), pccl_fail_text());
	pccl_channel_close(channel, false);
	control->channel = NULL;
	event.type = PCCL_PEER_CLOSED;
	event.text = pccl_fail_text();
	step(control, &event);
}

static void channel_broken(void *context, struct pccl_channel *channel, const char *reason)
{
	struct pccl_control *control = context;
	char text[PCCL_DETAIL_BYTES];
	struct pccl_peer_event event = {
		.type = PCCL_PEER_CLOSED, .text = text, .unfit = pccl_channel_is_unfit(channel)};

	pccl_text_copy(text, sizeof(text), reason);
	pccl_channel_close(channel, false);
	control->channel = NULL;
	step(control, &event);
}

static const struct pccl_channel_events channel_events = {
	.opened = channel_opened, .message = channel_message, .broken = channel_broken};

static void hang_up(struct pccl_control *control, bool flush)
{
	pccl_lookup_cancel(control->lookup);
	control->lookup = NULL;
	if (control->channel != NULL)
		pccl_channel_close(control->channel, flush);
	control->channel = NULL;
}

static void closed_by_failure(struct pccl_control *control, bool unfit)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_CLOSED, .text = pccl_fail_text(), .unfit = unfit};

	pccl_control_post(control, &event); /* not from inside a step */
}

/* A little less than the machine gives an attempt, or all of them: the channel knows better why it was in vain. */
static uint64_t dial_timeout_ns(const struct pccl_settings *settings)
{
	uint64_t most_ns = settings->heartbeat_timeout_ns < settings->connect_timeout_ns
				   ? settings->heartbeat_timeout_ns
				   : settings->connect_timeout_ns;

	return most_ns - most_ns / 8;
}

static void dial_addresses(struct pccl_control *control, const struct pccl_address *addresses, size_t count)
{
	struct pccl_place places[PCCL_LOOKUP_ADDRESSES];
	uint32_t place_count = 0, i;
	pcclResult_t result;

	for (i = 0; i < count; i++) {
		if (pccl_wires_allow(control->self->wires, &addresses[i]) != pcclSuccess)
			continue;
		places[place_count++] = (struct pccl_place){
			.transport = pccl_wire_for(control->self->wires, &addresses[i]), .address = addresses[i]};
	}
	if (place_count == 0) {
		closed_by_failure(control, true);
		return;
	}
	result = pccl_channel_dial(control->loop, places, place_count, dial_timeout_ns(&control->self->settings),
				   &channel_events, control, &control->channel);
	if (result != pcclSuccess)
		closed_by_failure(control, false);
}

/* A name that means nothing now is to the machine like a port that refuses: it tries again, or another master. */
static void found(void *context, pcclResult_t result, const struct pccl_address *addresses, size_t count,
		  const char *reason)
{
	struct pccl_control *control = context;
	struct pccl_peer_event event = {.type = PCCL_PEER_CLOSED, .text = reason};

	control->lookup = NULL;
	if (result == pcclSuccess)
		dial_addresses(control, addresses, count);
	else
		step(control, &event);
}

static void dial(struct pccl_control *control, uint32_t master)
{
	const struct pccl_master_place *place = &control->masters[master];
	struct pccl_address address;

	assert(master < control->master_count);
	hang_up(control, false);
	if (pccl_address_numeric(place->host, place->port, &address) == pcclSuccess)
		dial_addresses(control, &address, 1);
	else if (pccl_lookup_start(control->loop, place->host, place->port, found, control, &control->lookup) !=
		 pcclSuccess)
		closed_by_failure(control, false);
}

static void send_message(struct pccl_control *control, struct pccl_message *message)
{
	uint8_t *data;
	size_t bytes;

	if (control->channel != NULL) {
		if (pccl_message_encode(message, &data, &bytes) == pcclSuccess) {
			pccl_channel_send(control->channel, data, bytes);
		} else { /* out of memory: what was not said now is said again to the next connection */
			hang_up(control, false);
			closed_by_failure(control, false);
		}
	}
	pccl_message_destroy(message);
}

static void install(const struct pccl_control *control, const struct pccl_install *what)
{
	struct pccl_install mine;

	pccl_log_info("group %u epoch %u: %u members (%s)", what->view.group, what->view.epoch, what->view.member_count,
		      what->cause);
	if (pccl_install_copy(what, &mine) != pcclSuccess) {
		pccl_monitor_end(control->monitor, pcclOutOfMemory, "out of memory for a view");
		return;
	}
	if (control->channel != NULL)
		pccl_reach_translate(&mine.view, &control->self->uuid, pccl_channel_remote(control->channel));
	pccl_monitor_install(control->monitor, &mine);
	pccl_install_fini(&mine);
}

static void meet(const struct pccl_control *control, struct pccl_message *message)
{
	const struct pccl_message_meet *meet = &message->body.meet;
	const struct pccl_meet_how how = {.number = meet->number, .dials = meet->dials, .anew = meet->anew};
	struct pccl_view strangers;

	if (pccl_view_copy(&meet->strangers, &strangers) != pcclSuccess) {
		pccl_monitor_end(control->monitor, pcclOutOfMemory, "out of memory for newcomers");
	} else {
		if (control->channel != NULL)
			pccl_reach_translate(&strangers, &control->self->uuid, pccl_channel_remote(control->channel));
		pccl_monitor_meet(control->monitor, &how, &strangers);
	}
	pccl_view_fini(&strangers);
	pccl_message_destroy(message);
}

static void carry_out(struct pccl_control *control, const struct pccl_peer_action *action)
{
	switch (action->type) {
	case PCCL_PEER_DIAL:
		dial(control, action->master);
		break;
	case PCCL_PEER_SEND:
		send_message(control, action->message);
		break;
	case PCCL_PEER_HANG_UP:
		hang_up(control, true);
		break;
	case PCCL_PEER_FREEZE:
		control->freeze_epoch = action->epoch;
		pccl_monitor_freeze(control->monitor);
		break;
	case PCCL_PEER_INSTALL:
		install(control, action->install);
		break;
	case PCCL_PEER_MEET:
		meet(control, action->message);
		break;
	case PCCL_PEER_VOTED:
		pccl_monitor_voted(control->monitor, action);
		break;
	case PCCL_PEER_ENDED:
		pccl_monitor_end(control->monitor, action->result == pcclSuccess ? pcclAborted : action->result,
				 action->text);
		break;
	}
}

/* One event, all its actions, the next deadline. */
static void step(struct pccl_control *control, struct pccl_peer_event *event)
{
	uint64_t missed[PCCL_MEMBERS_MAX / 64];
	struct pccl_peer_action action;
	uint64_t deadline_ns;

	if (pccl_peer_misses(control->peer, missed))
		event->blocked = pccl_monitor_blocked(control->monitor, missed);
	event->now_ns = pccl_loop_now(control->loop);
	pccl_peer_step(control->peer, event);
	while (pccl_peer_poll(control->peer, &action))
		carry_out(control, &action);
	deadline_ns = pccl_peer_deadline(control->peer);
	if (deadline_ns == PCCL_NEVER)
		pccl_loop_timer_clear(control->loop, &control->timer);
	else
		pccl_loop_timer_set(control->loop, &control->timer, deadline_ns);
}

static void timer_fired(struct pccl_timer *timer)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_TICK};

	step(timer->context, &event);
}

static void run_event(struct pccl_task *task)
{
	struct event_task *work = (struct event_task *)task;
	struct pccl_control *control = work->control;
	struct pccl_peer_event *event = &work->event;

	if (!control->stopped) {
		if (event->type == PCCL_PEER_FROZEN) {
			event->epoch = control->freeze_epoch;
			pccl_monitor_reports(control->monitor, &event->reports, &event->report_count);
		}
		step(control, event);
		if (event->type == PCCL_PEER_VOTE && event->vote == PCCL_VOTE_UPDATE)
			pccl_monitor_await_update(control->monitor);
	}
	pccl_free(work);
}

/* What was lost may be what others wait for: this peer leaves, so that nobody does. */
static void run_shortage(struct pccl_task *task)
{
	struct pccl_control *control = task->context;
	struct pccl_peer_event event = {.type = PCCL_PEER_LEAVE};

	if (control->stopped)
		return;
	pccl_monitor_end(control->monitor, pcclOutOfMemory, "out of memory: an event of this communicator was lost");
	step(control, &event);
}

void pccl_control_post(struct pccl_control *control, const struct pccl_peer_event *event)
{
	struct event_task *work = pccl_zalloc(sizeof(*work));

	if (work == NULL) {
		if (!__atomic_exchange_n(&control->short_of_memory, true, __ATOMIC_RELAXED))
			pccl_loop_post(control->loop, &control->shortage);
		return;
	}
	work->task.run = run_event;
	work->control = control;
	work->event = *event;
	if (event->text != NULL)
		pccl_text_copy(work->text, sizeof(work->text), event->text);
	work->event.text = event->text != NULL || event->type != PCCL_PEER_MET ? work->text : NULL;
	pccl_loop_post(control->loop, &work->task);
}

/* By the key that its uuid comes from, for this very connection: masters know passes, and what passes come from. */
static bool proves_who_it_is(const struct pccl_self *self, const struct pccl_stream *stream,
			     const struct pccl_hello *hello)
{
	struct pccl_bond bond;

	if (!pccl_wires_are_protected(self->wires))
		return true;
	return hello->proves && stream->transport->bond != NULL && stream->transport->bond(stream, &bond) &&
	       pccl_proof_is_of(&hello->proof, PCCL_ROLE_CALLER, &bond.binding, &hello->from);
}

/* Somebody called on the listening port: neighbours' streams go to their lane. */
static void arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct pccl_control *control = context;
	const struct pccl_self *self = control->self;
	const char *more;

	if (hello->purpose != PCCL_PURPOSE_DATA || hello->group != self->group ||
	    !pccl_uuid_equal(&hello->to, &self->uuid) || hello->lane >= self->settings.lanes) {
		more = pccl_log_rate(&control->lost_callers, pccl_loop_now(control->loop));
		if (more != NULL)
			pccl_log_info("hung up a caller that wanted another peer or purpose%s", more);
		stream->transport->close(stream, false);
		return;
	}
	if (pccl_wires_admit(self->wires, stream) != pcclSuccess) {
		more = pccl_log_rate(&control->refused, pccl_loop_now(control->loop));
		if (more != NULL)
			pccl_log_warn("refused a caller: %s%s", pccl_fail_text(), more);
		pccl_hello_refuse(control->loop, stream, PCCL_WELCOME_NEVER, pccl_fail_text());
		return;
	}
	if (!pccl_identity_admits(&self->secret, &hello->from, &hello->pass) ||
	    !proves_who_it_is(self, stream, hello)) {
		more = pccl_log_rate(&control->impostors, pccl_loop_now(control->loop));
		if (more != NULL)
			pccl_log_info("hung up a caller that can't show that it is who it says%s", more);
		pccl_hello_refuse(control->loop, stream, PCCL_WELCOME_NEVER, "it can't show that it is who it says");
		return;
	}
	control->config.adopt(control->config.context, stream, hello);
}

static pcclResult_t listen_on(struct pccl_control *control)
{
	const struct pccl_settings *settings = &control->self->settings;
	const char *host = settings->listen_address[0] != '\0' ? settings->listen_address : "::";
	struct pccl_address address;
	size_t count = 1;
	pcclResult_t result = pccl_address_resolve(host, settings->port_first, &address, &count);

	if (result == pcclSuccess)
		result = pccl_doorman_create(control->loop, pccl_wire_between_peers(control->self->wires, &address),
					     &address, settings->port_last, PCCL_HELLO_TIMEOUT_NS, arrived, control,
					     &control->doorman);
	if (result == pcclSuccess || settings->listen_address[0] != '\0')
		return result;
	/* A machine without IPv6. */
	result = pccl_address_numeric("0.0.0.0", settings->port_first, &address);
	if (result != pcclSuccess)
		return result;
	return pccl_doorman_create(control->loop, pccl_wire_between_peers(control->self->wires, &address), &address,
				   settings->port_last, PCCL_HELLO_TIMEOUT_NS, arrived, control, &control->doorman);
}

static pcclResult_t describe_self(const struct pccl_control *control, struct pccl_member *self_out)
{
	const struct pccl_settings *settings = &control->self->settings;

	memset(self_out, 0, sizeof(*self_out));
	self_out->uuid = control->self->uuid;
	self_out->lanes = (uint16_t)settings->lanes;
	self_out->streams = (uint16_t)settings->streams;
	self_out->bundle_id = settings->bundle_id;
	self_out->bundle_size = settings->bundle_size;
	self_out->masters = control->master_count;
	return pccl_reach_advertise(settings, pccl_doorman_port(control->doorman), self_out);
}

static uint8_t late_choice(pcclLate_t late)
{
	if (late == pcclLateEvict)
		return PCCL_LATE_EVICT;
	return late == pcclLateFail ? PCCL_LATE_FAIL : PCCL_LATE_WAIT;
}

static pcclResult_t make_peer(struct pccl_control *control)
{
	const struct pccl_settings *settings = &control->self->settings;
	struct pccl_peer_config config = {.group = control->self->group,
					  .master_count = control->master_count,
					  .heartbeat_interval_ns = settings->heartbeat_interval_ns,
					  .heartbeat_timeout_ns = settings->heartbeat_timeout_ns,
					  .connect_attempts = settings->connect_attempts,
					  .connect_timeout_ns = settings->connect_timeout_ns,
					  .admission_timeout_ns = settings->admission_timeout_ns,
					  .master_timeout_ns = settings->master_timeout_ns,
					  .joint_timeout_ms = (uint32_t)(settings->joint_timeout_ns / PCCL_MS_NS),
					  .late = late_choice(settings->late_members)};
	pcclResult_t result = describe_self(control, &config.self);

	if (result != pcclSuccess)
		return result;
	config.secret = control->self->secret;
	memcpy(&config.seed, control->self->uuid.data, sizeof(config.seed));
	return pccl_peer_create(&config, &control->peer);
}

static void close_all(struct pccl_control *control)
{
	pccl_loop_timer_clear(control->loop, &control->timer);
	hang_up(control, true);
	pccl_doorman_destroy(control->doorman);
	control->doorman = NULL;
}

static void *run(void *context)
{
	struct pccl_control *control = context;

	pccl_loop_run(control->loop);
	close_all(control);
	return NULL;
}

pcclResult_t pccl_control_create(const struct pccl_control_config *config, struct pccl_control **control_out)
{
	struct pccl_control *control = pccl_zalloc(sizeof(*control));
	pcclResult_t result;

	*control_out = NULL;
	if (control == NULL)
		return pcclOutOfMemory;
	control->config = *config;
	control->self = config->self;
	control->monitor = config->monitor;
	control->timer.fire = timer_fired;
	control->timer.context = control;
	control->shortage.run = run_shortage;
	control->shortage.context = control;
	result = pccl_settings_masters(&config->self->settings, &config->self->master_address, control->masters,
				       &control->master_count);
	if (result == pcclSuccess)
		result = pccl_loop_create(&control->loop);
	if (result != pcclSuccess)
		goto fail_loop;
	result = listen_on(control);
	if (result != pcclSuccess)
		goto fail_listen;
	result = make_peer(control);
	if (result != pcclSuccess)
		goto fail_peer;
	*control_out = control;
	result = pccl_thread_start(&control->thread, "pccl-control", run, control);
	if (result != pcclSuccess)
		goto fail_thread;
	return pcclSuccess;
fail_thread:
	*control_out = NULL;
	pccl_peer_destroy(control->peer);
fail_peer:
	pccl_doorman_destroy(control->doorman);
fail_listen:
	pccl_loop_destroy(control->loop);
fail_loop:
	pccl_free(control);
	return result;
}

void pccl_control_stop(struct pccl_control *control)
{
	if (control == NULL)
		return;
	pccl_loop_stop(control->loop);
	pthread_join(control->thread, NULL);
	control->stopped = true;
}

void pccl_control_destroy(struct pccl_control *control)
{
	if (control == NULL)
		return;
	pccl_loop_turn(control->loop, 0); /* frees what lanes have posted since */
	pccl_peer_destroy(control->peer);
	pccl_loop_destroy(control->loop);
	pccl_free(control);
}
