/* The life of the monitor; what the control thread and the lanes tell it. */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/time.h"
#include "comm/monitor_internal.h"
#include "sync/state/kept.h"

static const char abort_text[] = "the communicator was aborted by pcclCommAbort()";

void pccl_monitor_init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

pcclResult_t pccl_monitor_create(const struct pccl_self *self, struct pccl_monitor **monitor_out)
{
	struct pccl_monitor *monitor = pccl_zalloc(sizeof(*monitor));

	*monitor_out = NULL;
	if (monitor == NULL)
		return pcclOutOfMemory;
	monitor->self = self;
	pthread_mutex_init(&monitor->lock, NULL);
	pccl_monitor_init_condition(&monitor->changed);
	*monitor_out = monitor;
	return pcclSuccess;
}

void pccl_monitor_destroy(struct pccl_monitor *monitor)
{
	if (monitor == NULL)
		return;
	assert(monitor->reservations == NULL); /* who reserves holds the communicator */
	pccl_monitor_clear(monitor);
	pccl_monitor_forget_loan(monitor, true);
	pccl_monitor_forget_doomed(monitor);
	pthread_cond_destroy(&monitor->changed);
	pthread_mutex_destroy(&monitor->lock);
	pccl_free(monitor);
}

/* ---- callers come and go ---------------------------------------------------------------------------------------- */

pcclResult_t pccl_monitor_enter(struct pccl_monitor *monitor)
{
	pcclResult_t result = pcclInvalidUsage;

	pthread_mutex_lock(&monitor->lock);
	if (monitor->state == PCCL_MONITOR_MEMBER) {
		monitor->callers++;
		return pcclSuccess;
	}
	if (monitor->state == PCCL_MONITOR_ENDED && monitor->end_result != pcclMasterConnectionFailed)
		result = pccl_fail(monitor->end_result, "%s", monitor->end_detail);
	else
		pccl_fail(result, "the communicator is not connected: call pcclConnect() first");
	pthread_mutex_unlock(&monitor->lock);
	return result;
}

void pccl_monitor_leave(struct pccl_monitor *monitor)
{
	assert(monitor->callers > 0);
	monitor->callers--;
	if (monitor->state == PCCL_MONITOR_ENDED)
		pthread_cond_broadcast(&monitor->changed);
	pthread_mutex_unlock(&monitor->lock);
}

bool pccl_monitor_wait(struct pccl_monitor *monitor, pthread_cond_t *condition, uint64_t until_ns)
{
	struct timespec until;

	if (until_ns == PCCL_NEVER) {
		pthread_cond_wait(condition, &monitor->lock);
		return true;
	}
	until.tv_sec = (time_t)(until_ns / PCCL_SECOND_NS);
	until.tv_nsec = (long)(until_ns % PCCL_SECOND_NS);
	return pthread_cond_timedwait(condition, &monitor->lock, &until) == 0;
}

void pccl_monitor_stand(const struct pccl_monitor *monitor, struct pccl_standing *standing_out)
{
	standing_out->world = monitor->world;
	standing_out->members = monitor->view.member_count;
	standing_out->rank = monitor->rank;
	standing_out->epoch = monitor->view.epoch;
}

pcclResult_t pccl_monitor_look(struct pccl_monitor *monitor, struct pccl_standing *standing_out)
{
	pcclResult_t result = pccl_monitor_enter(monitor);

	if (result != pcclSuccess)
		return result;
	pccl_monitor_stand(monitor, standing_out);
	pccl_monitor_leave(monitor);
	return pcclSuccess;
}

/* ---- to the threads --------------------------------------------------------------------------------------------- */

void pccl_monitor_put_command(struct pccl_monitor *monitor, struct pccl_command *command)
{
	struct pccl_queue *queue = &monitor->queues[command->lane];
	bool was_empty = queue->last == NULL;

	command->next = NULL;
	if (was_empty)
		queue->first = command;
	else
		queue->last->next = command;
	queue->last = command;
	if (was_empty && monitor->attached)
		monitor->threads.wake(monitor->threads.lanes[command->lane]);
}

void pccl_monitor_wake_waiters(const struct pccl_monitor *monitor, struct pccl_op *op)
{
	struct pccl_waiter *waiter;

	for (waiter = op->waiter; waiter != NULL; waiter = waiter->next) {
		waiter->ended = op->ended;
		if (waiter->lane != NULL)
			monitor->threads.ring(waiter->lane);
		else
			pthread_cond_broadcast(&waiter->woken);
	}
	if (op->ended)
		op->waiter = NULL;
}

void pccl_monitor_dispatch(struct pccl_monitor *monitor)
{
	struct pccl_command *command;

	while ((command = pccl_session_poll(monitor->session)) != NULL) {
		if (command->type == PCCL_COMMAND_ENDED)
			pccl_monitor_wake_waiters(monitor, command->op);
		else
			pccl_monitor_put_command(monitor, command);
	}
}

void pccl_monitor_tell_locked(struct pccl_monitor *monitor, const struct pccl_peer_event *event)
{
	if (monitor->attached)
		monitor->threads.tell(monitor->threads.control, event);
}

void pccl_monitor_tell(struct pccl_monitor *monitor, const struct pccl_peer_event *event)
{
	pthread_mutex_lock(&monitor->lock);
	pccl_monitor_tell_locked(monitor, event);
	pthread_mutex_unlock(&monitor->lock);
}

/* ---- to connect, to end ----------------------------------------------------------------------------------------- */

static void set_end(struct pccl_monitor *monitor, pcclResult_t result, const char *detail)
{
	monitor->state = PCCL_MONITOR_ENDED;
	monitor->end_result = result;
	pccl_text_copy(monitor->end_detail, sizeof(monitor->end_detail), detail);
}

void pccl_monitor_end_locked(struct pccl_monitor *monitor, pcclResult_t result, const char *detail)
{
	if (monitor->state == PCCL_MONITOR_ENDED)
		return;
	set_end(monitor, result, detail);
	if (monitor->session != NULL) {
		pccl_session_end(monitor->session, result, detail);
		pccl_monitor_dispatch(monitor);
	}
	pthread_cond_broadcast(&monitor->changed);
}

void pccl_monitor_end(struct pccl_monitor *monitor, pcclResult_t result, const char *detail)
{
	pthread_mutex_lock(&monitor->lock);
	pccl_monitor_end_locked(monitor, result, detail);
	pthread_mutex_unlock(&monitor->lock);
}

static pcclResult_t make_session(struct pccl_monitor *monitor)
{
	const struct pccl_settings *settings = &monitor->self->settings;
	const struct pccl_session_config config = {.lanes = settings->lanes,
						   .plan = settings->plan,
						   .policy = settings->failure_policy,
						   .zstd = settings->zstd,
						   .one_lane_bytes = PCCL_ONE_LANE_BYTES,
						   .verifies = settings->verify == pcclVerifyDigest,
						   .poisons = monitor->self->classic};

	return pccl_session_create(&config, &monitor->session);
}

pcclResult_t pccl_monitor_begin_connect(struct pccl_monitor *monitor)
{
	pcclResult_t result;

	pthread_mutex_lock(&monitor->lock);
	if (monitor->state == PCCL_MONITOR_IDLE) {
		result = make_session(monitor);
		if (result == pcclSuccess) {
			monitor->state = PCCL_MONITOR_JOINING;
			monitor->callers++;
		}
	} else if (monitor->state == PCCL_MONITOR_ENDED) {
		result = pccl_fail(monitor->end_result == pcclAborted ? pcclAborted : pcclInvalidUsage,
				   "the communicator has ended (%s): destroy it and create another",
				   monitor->end_detail);
	} else {
		result = pccl_fail(pcclInvalidUsage, "the communicator is connected already, or being connected");
	}
	pthread_mutex_unlock(&monitor->lock);
	return result;
}

pcclResult_t pccl_monitor_renew(struct pccl_monitor *monitor)
{
	pcclResult_t result;

	pthread_mutex_lock(&monitor->lock);
	result = make_session(monitor);
	pthread_mutex_unlock(&monitor->lock);
	return result;
}

bool pccl_monitor_is_linked(const struct pccl_monitor *monitor)
{
	return monitor->lanes_linked == pccl_session_lanes(monitor->session);
}

pcclResult_t pccl_monitor_join(struct pccl_monitor *monitor, const struct pccl_monitor_threads *threads)
{
	struct pccl_peer_event event = {.type = PCCL_PEER_JOIN};
	pcclResult_t result = pcclSuccess;

	pthread_mutex_lock(&monitor->lock);
	monitor->threads = *threads;
	monitor->attached = true;
	event.defers = pccl_monitor_begin_borrowing(monitor);
	if (monitor->state == PCCL_MONITOR_JOINING)
		pccl_monitor_tell_locked(monitor, &event);
	while (monitor->state != PCCL_MONITOR_ENDED &&
	       !(monitor->state == PCCL_MONITOR_MEMBER && pccl_monitor_is_linked(monitor)))
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	pccl_monitor_end_borrowing(monitor);
	if (monitor->state != PCCL_MONITOR_ENDED)
		pccl_monitor_show(monitor);
	else if (monitor->end_result == pcclAborted || monitor->end_result == pcclOutOfMemory)
		result = pccl_fail(monitor->end_result, "%s", monitor->end_detail);
	else
		result = pccl_fail(pcclMasterConnectionFailed, "%s", monitor->end_detail);
	pthread_mutex_unlock(&monitor->lock);
	return result;
}

void pccl_monitor_await_callers(struct pccl_monitor *monitor)
{
	pthread_mutex_lock(&monitor->lock);
	while (monitor->state == PCCL_MONITOR_ENDED && monitor->callers > 1)
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_detach(struct pccl_monitor *monitor)
{
	pthread_mutex_lock(&monitor->lock);
	monitor->attached = false;
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_clear(struct pccl_monitor *monitor)
{
	struct pccl_command *command;
	uint32_t lane;

	assert(!monitor->attached);
	pthread_mutex_lock(&monitor->lock);
	for (lane = 0; lane < PCCL_LANES_MAX; lane++) {
		while ((command = monitor->queues[lane].first) != NULL) {
			monitor->queues[lane].first = command->next;
			pccl_command_free(command);
		}
		monitor->queues[lane].last = NULL;
	}
	pccl_session_destroy(monitor->session);
	pccl_kept_destroy(monitor->kept);
	monitor->kept = NULL;
	pccl_monitor_forget_loan(monitor, false);
	monitor->session = NULL;
	monitor->expired[0] = '\0';
	pccl_view_fini(&monitor->view);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_end_connect(struct pccl_monitor *monitor, pcclResult_t result)
{
	pthread_mutex_lock(&monitor->lock);
	if (result != pcclSuccess && monitor->aborted)
		set_end(monitor, pcclAborted, abort_text);
	else if (result != pcclSuccess && monitor->shown.members > 0) /* a PCCL 1.0 program that joins again */
		set_end(monitor, pcclMasterConnectionFailed, pccl_fail_text());
	else if (result != pcclSuccess)
		monitor->state = PCCL_MONITOR_IDLE;
	monitor->callers--;
	pthread_cond_broadcast(&monitor->changed);
	pthread_mutex_unlock(&monitor->lock);
}

static void leave_group(struct pccl_monitor *monitor, const char *detail)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_LEAVE};

	monitor->aborted = true;
	pccl_monitor_tell_locked(monitor, &event);
	pccl_monitor_end_locked(monitor, pcclAborted, detail);
}

void pccl_monitor_abort(struct pccl_monitor *monitor, const char *why)
{
	pthread_mutex_lock(&monitor->lock);
	leave_group(monitor, why != NULL ? why : abort_text);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_retire(struct pccl_monitor *monitor)
{
	pthread_mutex_lock(&monitor->lock);
	leave_group(monitor, "the communicator is being destroyed");
	while (monitor->callers > 0)
		pccl_monitor_wait(monitor, &monitor->changed, PCCL_NEVER);
	pthread_mutex_unlock(&monitor->lock);
}

/* ---- what the control thread tells ------------------------------------------------------------------------------- */

void pccl_monitor_freeze(struct pccl_monitor *monitor)
{
	pthread_mutex_lock(&monitor->lock);
	pccl_session_freeze(monitor->session);
	pccl_monitor_dispatch(monitor);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_reports(struct pccl_monitor *monitor, struct pccl_op_report **reports_out, uint32_t *count_out)
{
	pcclResult_t result;

	pthread_mutex_lock(&monitor->lock);
	result = pccl_session_reports(monitor->session, reports_out, count_out);
	if (result != pcclSuccess)
		pccl_monitor_end_locked(monitor, result, pccl_fail_text());
	pthread_mutex_unlock(&monitor->lock);
}

static pcclResult_t install_view(struct pccl_monitor *monitor, const struct pccl_install *install)
{
	struct pccl_view view;
	pcclResult_t result = pccl_view_copy(&install->view, &view);
	uint32_t rank;

	if (result != pcclSuccess)
		return result;
	if (!pccl_view_rank(&view, &monitor->self->uuid, &rank)) {
		pccl_view_fini(&view);
		return pccl_fail(pcclInternalError, "the master installed a view without this peer");
	}
	pccl_monitor_note_losses(monitor, &view);
	pccl_view_fini(&monitor->view);
	monitor->view = view;
	monitor->rank = rank;
	monitor->world = install->world;
	monitor->run = install->run;
	monitor->lanes_linked = 0;
	monitor->expired[0] = '\0'; /* of other ranks */
	if (monitor->state != PCCL_MONITOR_ENDED)
		monitor->state = PCCL_MONITOR_MEMBER;
	return pccl_session_install(monitor->session, install, rank);
}

void pccl_monitor_install(struct pccl_monitor *monitor, const struct pccl_install *install)
{
	pcclResult_t result;

	pthread_mutex_lock(&monitor->lock);
	result = install_view(monitor, install);
	if (result != pcclSuccess)
		pccl_monitor_end_locked(monitor, result, pccl_fail_text());
	pccl_monitor_dispatch(monitor);
	pthread_cond_broadcast(&monitor->changed);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_meet(struct pccl_monitor *monitor, const struct pccl_meet_how *how, const struct pccl_view *strangers)
{
	pcclResult_t result;

	pthread_mutex_lock(&monitor->lock);
	result = pccl_session_meet(monitor->session, how, strangers);
	if (result != pcclSuccess)
		pccl_monitor_end_locked(monitor, result, pccl_fail_text());
	pccl_monitor_dispatch(monitor);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_voted(struct pccl_monitor *monitor, const struct pccl_peer_action *answer)
{
	pthread_mutex_lock(&monitor->lock);
	monitor->vote_pending = false;
	monitor->vote_result = answer->result;
	monitor->vote_value = answer->value;
	monitor->world = answer->world;
	pccl_session_end_joint(monitor->session, answer->joint);
	pccl_monitor_stand(monitor, &monitor->answered);
	memcpy(monitor->vote_detail, answer->text, sizeof(monitor->vote_detail));
	pthread_cond_broadcast(&monitor->changed);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_await_update(struct pccl_monitor *monitor)
{
	pthread_mutex_lock(&monitor->lock);
	if (monitor->vote_pending)
		pccl_session_begin_update(monitor->session);
	pccl_monitor_dispatch(monitor);
	pthread_mutex_unlock(&monitor->lock);
}

/* ---- what the lanes tell ---------------------------------------------------------------------------------------- */

struct pccl_command *pccl_monitor_take(struct pccl_monitor *monitor, uint32_t lane)
{
	struct pccl_queue *queue = &monitor->queues[lane];
	struct pccl_command *first;

	pthread_mutex_lock(&monitor->lock);
	first = queue->first;
	queue->first = NULL;
	queue->last = NULL;
	pthread_mutex_unlock(&monitor->lock);
	return first;
}

void pccl_monitor_outcome(struct pccl_monitor *monitor, uint32_t lane, const struct pccl_exec_outcome *outcome)
{
	pthread_mutex_lock(&monitor->lock);
	pccl_session_outcome(monitor->session, lane, outcome);
	pccl_monitor_dispatch(monitor);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_unpin(struct pccl_monitor *monitor, struct pccl_attempt *attempt)
{
	pthread_mutex_lock(&monitor->lock);
	pccl_session_unpin(monitor->session, attempt);
	pccl_monitor_dispatch(monitor);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_frozen(struct pccl_monitor *monitor, uint32_t lane, const struct pccl_exec *exec)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_FROZEN};

	pthread_mutex_lock(&monitor->lock);
	if (pccl_session_collect(monitor->session, lane, exec))
		pccl_monitor_tell_locked(monitor, &event);
	pthread_mutex_unlock(&monitor->lock);
}

/* Others have launched an op that waits for this peer, which waits for them in pcclUpdateTopology(). */
void pccl_monitor_missed(struct pccl_monitor *monitor, const struct pccl_op_key *key)
{
	char text[PCCL_CAUSE_TEXT_BYTES] = "another member waits for this one in a call about states";
	struct pccl_peer_event event = {.type = PCCL_PEER_GIVE_UP, .text = text};

	if (key->tag != PCCL_STATE_TAG)
		snprintf(text, sizeof(text),
			 "another member waits for this one in an operation with tag %llu (a send's or receive's is "
			 "made "
			 "up): launch and await it before pcclUpdateTopology()",
			 (unsigned long long)key->tag);
	pthread_mutex_lock(&monitor->lock);
	event.sequence = pccl_session_missed(monitor->session, key);
	if (event.sequence != 0)
		pccl_monitor_tell_locked(monitor, &event);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_met(struct pccl_monitor *monitor, const pcclRankUuid_t *uuid, uint32_t number, const char *why_not)
{
	const struct pccl_peer_event event = {
		.type = PCCL_PEER_MET, .uuid = *uuid, .sequence = number, .text = why_not};

	pthread_mutex_lock(&monitor->lock);
	if (pccl_session_met(monitor->session, uuid, number, why_not == NULL))
		pccl_monitor_tell_locked(monitor, &event);
	pthread_mutex_unlock(&monitor->lock);
}

void pccl_monitor_linked(struct pccl_monitor *monitor, uint32_t epoch)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_LINKED, .epoch = epoch};

	pthread_mutex_lock(&monitor->lock);
	if (monitor->view.epoch == epoch) {
		monitor->lanes_linked++;
		if (pccl_monitor_is_linked(monitor))
			pccl_monitor_tell_locked(monitor, &event);
	}
	pthread_cond_broadcast(&monitor->changed);
	pthread_mutex_unlock(&monitor->lock);
}
