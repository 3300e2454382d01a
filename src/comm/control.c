/* The shell around the peer machine: feeds it what the loop sees and carries out what it asks for. */
#include "comm/control.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/rng.h"
#include "base/uuid.h"
#include "comm/comm.h"
#include "comm/lane.h"
#include "comm/thread.h"
#include "transport/link/channel.h"
#include "transport/link/hello.h"
#include "transport/wires.h"

#define HELLO_TIMEOUT_NS 5000000000ull

struct pccl_control {
	pcclComm_t *comm;
	pthread_t thread;
	struct pccl_loop *loop;
	struct pccl_doorman *doorman;
	struct pccl_master_place masters[PCCL_MASTERS_MAX];
	uint32_t master_count;
	struct pccl_peer *peer;
	struct pccl_channel *channel; /* to the master; NULL: none */
	struct pccl_timer timer;      /* the machine's deadline */
	uint32_t freeze_epoch;	      /* what the last FREEZE asked for */
	bool stopped;
	bool short_of_memory; /* an event was lost; written by any thread */
	struct pccl_task shortage;
};

struct event_task {
	struct pccl_task task;
	struct pccl_control *control;
	struct pccl_peer_event event;
	char text[200];
};

static void step(struct pccl_control *control, struct pccl_peer_event *event);

static void channel_opened(void *context, struct pccl_channel *channel)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_DIALLED};

	(void)channel;
	step(context, &event);
}

static void channel_message(void *context, struct pccl_channel *channel, const uint8_t *data, size_t bytes)
{
	struct pccl_control *control = context;
	struct pccl_peer_event event = {.type = PCCL_PEER_MESSAGE};

	if (pccl_message_decode(data, bytes, &event.message) == pcclSuccess) {
		step(control, &event);
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
	char text[200];
	struct pccl_peer_event event = {.type = PCCL_PEER_CLOSED, .text = text};

	snprintf(text, sizeof(text), "%s", reason);
	pccl_channel_close(channel, false);
	control->channel = NULL;
	step(control, &event);
}

static const struct pccl_channel_events channel_events = {
	.opened = channel_opened, .message = channel_message, .broken = channel_broken};

static void hang_up(struct pccl_control *control, bool flush)
{
	if (control->channel != NULL)
		pccl_channel_close(control->channel, flush);
	control->channel = NULL;
}

static void closed_by_failure(struct pccl_control *control)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_CLOSED, .text = pccl_fail_text()};

	pccl_control_post(control, &event); /* not from inside a step */
}

static void dial(struct pccl_control *control, uint32_t master)
{
	const struct pccl_master_place *place = &control->masters[master];
	pcclResult_t result;

	assert(master < control->master_count);
	hang_up(control, false);
	result = pccl_channel_dial(control->loop, pccl_wire_for(place->addresses), place->addresses, place->count,
				   control->comm->settings.connect_timeout_ns, &channel_events, control,
				   &control->channel);
	if (result != pcclSuccess)
		closed_by_failure(control);
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
			closed_by_failure(control);
		}
	}
	pccl_message_destroy(message);
}

static void freeze(struct pccl_control *control, uint32_t epoch)
{
	pcclComm_t *comm = control->comm;

	control->freeze_epoch = epoch;
	pthread_mutex_lock(&comm->lock);
	pccl_session_freeze(comm->session);
	pccl_comm_dispatch(comm);
	pthread_mutex_unlock(&comm->lock);
}

/* All lanes have frozen: what do they hold? */
static void frozen(struct pccl_control *control, struct pccl_peer_event *event)
{
	pcclComm_t *comm = control->comm;
	pcclResult_t result;

	event->epoch = control->freeze_epoch;
	pthread_mutex_lock(&comm->lock);
	result = pccl_session_reports(comm->session, &event->reports, &event->report_count);
	if (result != pcclSuccess)
		pccl_comm_end(comm, result, pccl_fail_text());
	pthread_mutex_unlock(&comm->lock);
}

static pcclResult_t install_view(pcclComm_t *comm, const struct pccl_install *install)
{
	struct pccl_view view;
	pcclResult_t result = pccl_view_copy(&install->view, &view);
	uint32_t rank;

	if (result != pcclSuccess)
		return result;
	if (!pccl_view_rank(&view, &comm->uuid, &rank)) {
		pccl_view_fini(&view);
		return pccl_fail(pcclInternalError, "the master installed a view without this peer");
	}
	pccl_view_fini(&comm->view);
	comm->view = view;
	comm->rank = rank;
	comm->world = install->world;
	comm->lanes_linked = 0;
	if (comm->state != PCCL_COMM_ENDED)
		comm->state = PCCL_COMM_MEMBER;
	return pccl_session_install(comm->session, install, rank);
}

static void install(struct pccl_control *control, const struct pccl_install *what)
{
	pcclComm_t *comm = control->comm;
	pcclResult_t result;

	pccl_log_info("group %u epoch %u: %u members (%s)", what->view.group, what->view.epoch, what->view.member_count,
		      what->cause);
	pthread_mutex_lock(&comm->lock);
	result = install_view(comm, what);
	if (result != pcclSuccess)
		pccl_comm_end(comm, result, pccl_fail_text());
	pccl_comm_dispatch(comm);
	pthread_cond_broadcast(&comm->changed);
	pthread_mutex_unlock(&comm->lock);
}

static void voted(pcclComm_t *comm, const struct pccl_peer_action *action)
{
	pthread_mutex_lock(&comm->lock);
	comm->vote_pending = false;
	comm->vote_result = action->result;
	comm->vote_value = action->value;
	pccl_session_end_joint(comm->session, action->joint);
	memcpy(comm->vote_detail, action->text, sizeof(comm->vote_detail));
	pthread_cond_broadcast(&comm->changed);
	pthread_mutex_unlock(&comm->lock);
}

static void world_changed(pcclComm_t *comm, const struct pccl_world *world)
{
	pthread_mutex_lock(&comm->lock);
	comm->world = *world;
	pthread_mutex_unlock(&comm->lock);
}

static void ended(pcclComm_t *comm, const struct pccl_peer_action *action)
{
	pcclResult_t result = action->result == pcclSuccess ? pcclAborted : action->result;

	pthread_mutex_lock(&comm->lock);
	pccl_comm_end(comm, result, action->text);
	pthread_mutex_unlock(&comm->lock);
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
		freeze(control, action->epoch);
		break;
	case PCCL_PEER_INSTALL:
		install(control, action->install);
		break;
	case PCCL_PEER_VOTED:
		voted(control->comm, action);
		break;
	case PCCL_PEER_WORLD:
		world_changed(control->comm, &action->world);
		break;
	case PCCL_PEER_ENDED:
		ended(control->comm, action);
		break;
	}
}

/* One event, all its actions, the next deadline. */
static void step(struct pccl_control *control, struct pccl_peer_event *event)
{
	struct pccl_peer_action action;
	uint64_t deadline_ns;

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

/* If it was not answered at once: from now on an op that waits for this peer ends it. */
static void await_update(pcclComm_t *comm)
{
	pthread_mutex_lock(&comm->lock);
	if (comm->vote_pending)
		pccl_session_begin_update(comm->session);
	pccl_comm_dispatch(comm);
	pthread_mutex_unlock(&comm->lock);
}

static void run_event(struct pccl_task *task)
{
	struct event_task *work = (struct event_task *)task;

	if (work->event.type == PCCL_PEER_FROZEN && !work->control->stopped)
		frozen(work->control, &work->event);
	if (!work->control->stopped)
		step(work->control, &work->event);
	if (!work->control->stopped && work->event.type == PCCL_PEER_VOTE && work->event.vote == PCCL_VOTE_UPDATE)
		await_update(work->control->comm);
	pccl_free(work);
}

/* What was lost may be what others wait for: this peer leaves, so that nobody does. */
static void run_shortage(struct pccl_task *task)
{
	struct pccl_control *control = task->context;
	struct pccl_peer_event event = {.type = PCCL_PEER_LEAVE};

	if (control->stopped)
		return;
	pthread_mutex_lock(&control->comm->lock);
	pccl_comm_end(control->comm, pcclOutOfMemory, "out of memory: an event of this communicator was lost");
	pthread_mutex_unlock(&control->comm->lock);
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
		snprintf(work->text, sizeof(work->text), "%s", event->text);
	work->event.text = work->text;
	pccl_loop_post(control->loop, &work->task);
}

/* Somebody called on the listening port: neighbours' streams go to their lane. */
static void arrived(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	struct pccl_control *control = context;
	pcclComm_t *comm = control->comm;

	if (hello->purpose != PCCL_PURPOSE_DATA || hello->group != comm->params.peer_group ||
	    !pccl_uuid_equal(&hello->to, &comm->uuid) || hello->lane >= comm->settings.lanes) {
		pccl_log_info("hung up a caller that wanted another peer or purpose");
		stream->transport->close(stream, false);
		return;
	}
	pccl_lane_adopt(comm->lanes[hello->lane], stream, hello);
}

static pcclResult_t listen_on(struct pccl_control *control)
{
	const struct pccl_settings *settings = &control->comm->settings;
	const char *host = settings->listen_address[0] != '\0' ? settings->listen_address : "::";
	struct pccl_address address;
	size_t count = 1;
	pcclResult_t result = pccl_address_resolve(host, settings->port_first, &address, &count);

	if (result == pcclSuccess)
		result = pccl_doorman_create(control->loop, pccl_wire_for(&address), &address, settings->port_last,
					     HELLO_TIMEOUT_NS, arrived, control, &control->doorman);
	if (result == pcclSuccess || settings->listen_address[0] != '\0')
		return result;
	/* A machine without IPv6. */
	result = pccl_address_numeric("0.0.0.0", settings->port_first, &address);
	if (result != pcclSuccess)
		return result;
	return pccl_doorman_create(control->loop, pccl_wire_for(&address), &address, settings->port_last,
				   HELLO_TIMEOUT_NS, arrived, control, &control->doorman);
}

/* What others are told to dial: as configured, else what the master sees and the port bound here. */
static pcclResult_t describe_self(const struct pccl_control *control, struct pccl_member *self_out)
{
	const struct pccl_settings *settings = &control->comm->settings;
	uint16_t port = pccl_doorman_port(control->doorman);
	struct pccl_address address;
	size_t count = 1;
	char host[256];
	pcclResult_t result;

	memset(self_out, 0, sizeof(*self_out));
	self_out->uuid = control->comm->uuid;
	self_out->port = port;
	self_out->lanes = (uint16_t)settings->lanes;
	self_out->streams = (uint16_t)settings->streams;
	self_out->bundle_id = settings->bundle_id;
	self_out->bundle_size = settings->bundle_size;
	self_out->masters = control->master_count;
	if (settings->advertised_address[0] == '\0')
		return pcclSuccess;
	result = pccl_address_split(settings->advertised_address, port, host, sizeof(host), &self_out->port);
	if (result == pcclSuccess)
		result = pccl_address_resolve(host, self_out->port, &address, &count);
	if (result == pcclSuccess)
		pccl_address_text(&address, self_out->address);
	return result;
}

static pcclResult_t make_peer(struct pccl_control *control)
{
	const struct pccl_settings *settings = &control->comm->settings;
	struct pccl_peer_config config = {.group = control->comm->params.peer_group,
					  .master_count = control->master_count,
					  .heartbeat_interval_ns = settings->heartbeat_interval_ns,
					  .heartbeat_timeout_ns = settings->heartbeat_timeout_ns,
					  .connect_timeout_ns = settings->connect_timeout_ns,
					  .admission_timeout_ns = settings->admission_timeout_ns};
	pcclResult_t result = describe_self(control, &config.self);

	if (result != pcclSuccess)
		return result;
	memcpy(&config.seed, control->comm->uuid.data, sizeof(config.seed));
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

pcclResult_t pccl_control_create(pcclComm_t *comm, struct pccl_control **control_out)
{
	struct pccl_control *control = pccl_zalloc(sizeof(*control));
	pcclResult_t result;

	*control_out = NULL;
	if (control == NULL)
		return pcclOutOfMemory;
	control->comm = comm;
	control->timer.fire = timer_fired;
	control->timer.context = control;
	control->shortage.run = run_shortage;
	control->shortage.context = control;
	result = pccl_settings_masters(&comm->settings, &comm->params, control->masters, &control->master_count);
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
