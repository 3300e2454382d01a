/* The life of a communicator: create, connect, abort, destroy; what its threads share. */
#include "comm/comm.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/fail.h"
#include "base/memory.h"
#include "comm/control.h"
#include "comm/init.h"
#include "comm/lane.h"
#include "transport/link/locality.h"
#include "transport/loop/loop.h"

static pcclResult_t make_uuid(pcclRankUuid_t *uuid_out)
{
	if (getrandom(uuid_out->data, sizeof(uuid_out->data), 0) != (ssize_t)sizeof(uuid_out->data))
		return pccl_fail(pcclSystemError, "cannot get random bytes for the uuid: %s", strerror(errno));
	return pcclSuccess;
}

static void init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

static void comm_init_locks(pcclComm_t *comm)
{
	size_t i;

	pthread_mutex_init(&comm->lock, NULL);
	pthread_mutex_init(&comm->joint, NULL);
	init_condition(&comm->changed);
	for (i = 0; i < PCCL_MAX_OPERATIONS; i++)
		init_condition(&comm->op_ended[i]);
}

static void comm_fini_locks(pcclComm_t *comm)
{
	size_t i;

	for (i = 0; i < PCCL_MAX_OPERATIONS; i++)
		pthread_cond_destroy(&comm->op_ended[i]);
	pthread_cond_destroy(&comm->changed);
	pthread_mutex_destroy(&comm->joint);
	pthread_mutex_destroy(&comm->lock);
}

pcclResult_t pcclCreateCommunicatorWithConfig(const pcclCommCreateParams_t *params, const pcclConfig_t *config,
					      pcclComm_t **comm_out)
{
	pcclComm_t *comm;
	pcclResult_t result = pccl_require_init();

	if (result != pcclSuccess)
		return result;
	if (params == NULL || comm_out == NULL)
		return pccl_fail(pcclInvalidArgument, "%s is NULL", params == NULL ? "params" : "comm_out");
	*comm_out = NULL;
	comm = pccl_zalloc(sizeof(*comm));
	if (comm == NULL)
		return pcclOutOfMemory;
	comm->params = *params;
	result = pccl_settings_merge(params, config, &comm->settings);
	if (result == pcclSuccess)
		result = make_uuid(&comm->uuid);
	if (result != pcclSuccess) {
		pccl_free(comm);
		return result;
	}
	comm->host = pccl_locality_host();
	comm_init_locks(comm);
	*comm_out = comm;
	return pcclSuccess;
}

pcclResult_t pcclCreateCommunicator(const pcclCommCreateParams_t *params, pcclComm_t **comm_out)
{
	return pcclCreateCommunicatorWithConfig(params, NULL, comm_out);
}

/* What every call on a communicator begins with. */
static pcclResult_t check_handle(const pcclComm_t *comm)
{
	pcclResult_t result = pccl_require_init();

	if (result != pcclSuccess)
		return result;
	return comm != NULL ? pcclSuccess : pccl_fail(pcclInvalidArgument, "communicator is NULL");
}

pcclResult_t pccl_comm_enter(const pcclComm_t *communicator, pcclComm_t **comm_out)
{
	pcclComm_t *comm = (pcclComm_t *)(uintptr_t)communicator; /* the interface's const is about the caller's view */
	pcclResult_t result = check_handle(comm);

	if (result != pcclSuccess)
		return result;
	pthread_mutex_lock(&comm->lock);
	if (comm->state == PCCL_COMM_MEMBER) {
		comm->callers++;
		*comm_out = comm;
		return pcclSuccess;
	}
	result = pcclInvalidUsage;
	if (comm->state == PCCL_COMM_ENDED && comm->end_result != pcclMasterConnectionFailed)
		result = pccl_fail(comm->end_result, "%s", comm->end_detail);
	else
		pccl_fail(result, "the communicator is not connected: call pcclConnect() first");
	pthread_mutex_unlock(&comm->lock);
	return result;
}

void pccl_comm_leave(pcclComm_t *comm)
{
	comm->callers--;
	if (comm->callers == 0 && comm->state == PCCL_COMM_ENDED)
		pthread_cond_broadcast(&comm->changed);
	pthread_mutex_unlock(&comm->lock);
}

bool pccl_comm_wait(pcclComm_t *comm, pthread_cond_t *condition, uint64_t until_ns)
{
	struct timespec until;

	if (until_ns == PCCL_NEVER) {
		pthread_cond_wait(condition, &comm->lock);
		return true;
	}
	until.tv_sec = (time_t)(until_ns / 1000000000u);
	until.tv_nsec = (long)(until_ns % 1000000000u);
	return pthread_cond_timedwait(condition, &comm->lock, &until) == 0;
}

static void wake_waiter(pcclComm_t *comm, const struct pccl_op *op)
{
	pthread_cond_t *condition = op->waiter;

	if (condition != NULL)
		pthread_cond_broadcast(condition);
	else
		pthread_cond_broadcast(&comm->changed);
}

void pccl_comm_dispatch(pcclComm_t *comm)
{
	struct pccl_command *command;

	while ((command = pccl_session_poll(comm->session)) != NULL) {
		if (command->type == PCCL_COMMAND_ENDED)
			wake_waiter(comm, command->op);
		else
			pccl_lane_command(comm->lanes[command->lane], command);
	}
}

void pccl_comm_end(pcclComm_t *comm, pcclResult_t result, const char *detail)
{
	if (comm->state == PCCL_COMM_ENDED)
		return;
	comm->state = PCCL_COMM_ENDED;
	comm->end_result = result;
	snprintf(comm->end_detail, sizeof(comm->end_detail), "%s", detail);
	pccl_session_end(comm->session, result, detail);
	pccl_comm_dispatch(comm);
	pthread_cond_broadcast(&comm->changed);
}

void pccl_comm_stop(pcclComm_t *comm)
{
	uint32_t i;

	/* The control thread first: after it nobody commands the lanes; but they may still tell it things. */
	pccl_control_stop(comm->control);
	for (i = 0; i < PCCL_LANES_MAX; i++)
		pccl_lane_stop(comm->lanes[i]);
	for (i = 0; i < PCCL_LANES_MAX; i++) {
		pccl_lane_destroy(comm->lanes[i]);
		comm->lanes[i] = NULL;
	}
	pccl_control_destroy(comm->control);
	comm->control = NULL;
	pccl_session_destroy(comm->session);
	comm->session = NULL;
	pccl_view_fini(&comm->view);
}

/* What is created is seen by pcclCommAbort() in another thread when it is whole. After a failure end_connect() stops
 * it. */
static pcclResult_t start(pcclComm_t *comm)
{
	const struct pccl_session_config config = {.lanes = comm->settings.lanes,
						   .plan = comm->settings.plan,
						   .policy = comm->settings.failure_policy,
						   .zstd = comm->settings.zstd};
	struct pccl_session *session = NULL;
	struct pccl_control *control = NULL;
	pcclResult_t result = pccl_session_create(&config, &session);
	uint32_t i;

	for (i = 0; i < comm->settings.lanes && result == pcclSuccess; i++)
		result = pccl_lane_create(comm, i, &comm->lanes[i]);
	if (result == pcclSuccess)
		result = pccl_control_create(comm, &control);
	pthread_mutex_lock(&comm->lock);
	comm->session = session;
	comm->control = control;
	pthread_mutex_unlock(&comm->lock);
	return result;
}

static bool is_linked(const pcclComm_t *comm)
{
	return comm->state == PCCL_COMM_MEMBER && comm->lanes_linked == pccl_session_lanes(comm->session);
}

/* Blocks until there is a view whose links are up, or no hope. The machine has all the deadlines. */
static pcclResult_t join(pcclComm_t *comm)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_JOIN};
	pcclResult_t result = pcclSuccess;

	pccl_control_post(comm->control, &event);
	pthread_mutex_lock(&comm->lock);
	while (comm->state != PCCL_COMM_ENDED && !is_linked(comm))
		pccl_comm_wait(comm, &comm->changed, PCCL_NEVER);
	if (comm->state == PCCL_COMM_ENDED)
		result = pccl_fail(comm->end_result == pcclAborted ? pcclAborted : pcclMasterConnectionFailed, "%s",
				   comm->end_detail);
	pthread_mutex_unlock(&comm->lock);
	return result;
}

static pcclResult_t begin_connect(pcclComm_t *comm)
{
	pcclResult_t result = pcclSuccess;

	pthread_mutex_lock(&comm->lock);
	if (comm->state == PCCL_COMM_IDLE) {
		comm->state = PCCL_COMM_JOINING;
		comm->callers++;
	} else if (comm->state == PCCL_COMM_ENDED) {
		result = pccl_fail(comm->end_result == pcclAborted ? pcclAborted : pcclInvalidUsage,
				   "the communicator has ended (%s): destroy it and create another", comm->end_detail);
	} else {
		result = pccl_fail(pcclInvalidUsage, "the communicator is connected already, or being connected");
	}
	pthread_mutex_unlock(&comm->lock);
	return result;
}

static const char abort_text[] = "the communicator was aborted by pcclCommAbort()";

/* After a failed connect the caller may try again, unless the communicator was aborted. */
static void end_connect(pcclComm_t *comm, pcclResult_t result)
{
	pthread_mutex_lock(&comm->lock);
	if (result != pcclSuccess) {
		comm->stopping = true;
		pthread_mutex_unlock(&comm->lock);
		pccl_comm_stop(comm);
		pthread_mutex_lock(&comm->lock);
		comm->stopping = false;
		comm->state = comm->aborted ? PCCL_COMM_ENDED : PCCL_COMM_IDLE;
		comm->end_result = pcclAborted;
		snprintf(comm->end_detail, sizeof(comm->end_detail), "%s", abort_text);
	}
	comm->callers--;
	pthread_cond_broadcast(&comm->changed);
	pthread_mutex_unlock(&comm->lock);
}

pcclResult_t pcclConnect(pcclComm_t *communicator)
{
	pcclResult_t result = check_handle(communicator);
	char cause[PCCL_FAIL_TEXT_BYTES];

	if (result != pcclSuccess)
		return result;
	result = begin_connect(communicator);
	if (result != pcclSuccess)
		return result;
	result = start(communicator);
	if (result == pcclSuccess)
		result = join(communicator);
	else if (result != pcclInvalidArgument && result != pcclOutOfMemory)
		result = pccl_fail(pcclMasterConnectionFailed, "%s", pccl_fail_text());
	snprintf(cause, sizeof(cause), "%s", pccl_fail_text());
	end_connect(communicator, result);
	return result == pcclSuccess ? result : pccl_fail(result, "%s", cause);
}

static void leave(pcclComm_t *comm, const char *detail)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_LEAVE};

	comm->aborted = true;
	if (!comm->stopping && comm->control != NULL)
		pccl_control_post(comm->control, &event);
	if (!comm->stopping && comm->session != NULL) {
		pccl_comm_end(comm, pcclAborted, detail);
	} else if (comm->state != PCCL_COMM_ENDED) {
		comm->state = PCCL_COMM_ENDED;
		comm->end_result = pcclAborted;
		snprintf(comm->end_detail, sizeof(comm->end_detail), "%s", detail);
	}
}

pcclResult_t pcclCommAbort(pcclComm_t *communicator)
{
	pcclResult_t result = check_handle(communicator);

	if (result != pcclSuccess)
		return result;
	pthread_mutex_lock(&communicator->lock);
	leave(communicator, abort_text);
	pthread_mutex_unlock(&communicator->lock);
	return pcclSuccess;
}

pcclResult_t pcclDestroyCommunicator(pcclComm_t *communicator)
{
	pcclResult_t result = check_handle(communicator);

	if (result != pcclSuccess)
		return result;
	pthread_mutex_lock(&communicator->lock);
	leave(communicator, "the communicator is being destroyed");
	while (communicator->callers > 0)
		pccl_comm_wait(communicator, &communicator->changed, PCCL_NEVER);
	pthread_mutex_unlock(&communicator->lock);
	pccl_comm_stop(communicator);
	comm_fini_locks(communicator);
	pccl_free(communicator);
	return pcclSuccess;
}
