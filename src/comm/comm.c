#include "comm/comm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/fail.h"
#include "base/memory.h"
#include "comm/control.h"
#include "comm/lane_thread.h"
#include "comm/protection.h"
#include "comm/reach.h"
#include "comm/variables.h"
#include "transport/link/locality.h"
#include "transport/loop/fork.h"

/* The threads are of whoever connects, and then of whoever destroys. */
struct pcclComm_t {
	struct pccl_self self;
	unsigned generation; /* see pccl_fork_generation() */
	uint32_t holders;    /* its user, and engines */
	bool is_destroyed;   /* by its user */
	struct pccl_monitor *monitor;
	struct pccl_control *control;
	struct pccl_lane_thread *lanes[PCCL_LANES_MAX];
};

static pcclResult_t draw(uint8_t *bytes, size_t count)
{
	if (getrandom(bytes, count, 0) != (ssize_t)count)
		return pccl_fail(pcclSystemError, "cannot get random bytes for the uuid: %s", strerror(errno));
	return pcclSuccess;
}

static pcclResult_t make_identity(struct pccl_self *self)
{
	const struct pccl_key_pair *given = pccl_wires_identity(self->wires);
	pcclResult_t result = draw(self->salt, sizeof(self->salt));

	if (given != NULL)
		self->keys = *given;
	else if (result == pcclSuccess)
		result = draw(self->keys.seed, sizeof(self->keys.seed));
	if (given == NULL && result == pcclSuccess)
		result = pccl_key_make(&self->keys);
	if (result != pcclSuccess)
		return result;
	self->secret = pccl_identity_secret(&self->keys.key, self->salt);
	self->uuid = pccl_identity_uuid(&self->secret);
	return pcclSuccess;
}

pcclResult_t pccl_comm_create(const pcclCommCreateParams_t *params, const pcclConfig_t *config, bool classic,
			      pcclComm_t **comm_out)
{
	pcclComm_t *comm = pccl_zalloc(sizeof(*comm));
	pcclResult_t result;

	if (comm == NULL)
		return pcclOutOfMemory;
	pccl_variables_check();
	comm->generation = pccl_fork_generation();
	comm->holders = 1;
	comm->self.master_address = params->master_address;
	comm->self.group = params->peer_group;
	comm->self.classic = classic;
	comm->self.host = pccl_locality_host();
	result = pccl_settings_merge(params, config, &comm->self.settings);
	if (result == pcclSuccess)
		result = pccl_protection_open(comm->self.settings.security, &comm->self.wires);
	if (result == pcclSuccess && comm->self.settings.transport == pcclTransportAuto)
		pccl_wires_share_memory(comm->self.wires);
	if (result == pcclSuccess && comm->self.settings.interfaces[0] != '\0')
		pccl_wires_make_room(comm->self.settings.streams);
	if (result == pcclSuccess && comm->self.settings.transport == pcclTransportRdma)
		pccl_wires_use_rdma(comm->self.wires);
	if (result == pcclSuccess)
		result = make_identity(&comm->self);
	if (result == pcclSuccess)
		result = pccl_monitor_create(&comm->self, &comm->monitor);
	if (result != pcclSuccess) {
		pccl_wires_destroy(comm->self.wires);
		pccl_free(comm);
		return result;
	}
	*comm_out = comm;
	return pcclSuccess;
}

bool pccl_comm_is_inherited(const pcclComm_t *comm)
{
	return comm->generation != pccl_fork_generation();
}

struct pccl_monitor *pccl_comm_monitor(const pcclComm_t *comm)
{
	return comm->monitor;
}

const struct pccl_self *pccl_comm_self(const pcclComm_t *comm)
{
	return &comm->self;
}

/* ---- the threads ------------------------------------------------------------------------------------------------ */

static void tell_control(void *control, const struct pccl_peer_event *event)
{
	pccl_control_post(control, event);
}

static void wake_lane(void *lane)
{
	pccl_lane_thread_wake(lane);
}

static void invite_lane(void *lane)
{
	pccl_lane_thread_invite(lane);
}

static bool take_lane(void *lane)
{
	return pccl_lane_thread_take(lane);
}

static void drive_lane(void *lane, uint64_t until_ns)
{
	pccl_lane_thread_drive(lane, until_ns);
}

static void ring_lane(void *lane)
{
	pccl_lane_thread_ring(lane);
}

static void give_lane(void *lane)
{
	pccl_lane_thread_give(lane);
}

/* A neighbour's stream came to the listening port. */
static void adopt(void *context, struct pccl_stream *stream, const struct pccl_hello *hello)
{
	const pcclComm_t *comm = context;

	pccl_lane_thread_adopt(comm->lanes[hello->lane], stream, hello);
}

/* After a failure stop() ends what there is. */
static pcclResult_t start(pcclComm_t *comm, struct pccl_monitor_threads *threads_out)
{
	const struct pccl_control_config config = {
		.self = &comm->self, .monitor = comm->monitor, .adopt = adopt, .context = comm};
	pcclResult_t result = pccl_reach_check_masters(&comm->self.settings, &comm->self.master_address);
	uint32_t i;

	memset(threads_out, 0, sizeof(*threads_out));
	for (i = 0; i < comm->self.settings.lanes && result == pcclSuccess; i++) {
		result = pccl_lane_thread_create(&comm->self, comm->monitor, i, &comm->lanes[i]);
		threads_out->lanes[i] = comm->lanes[i];
	}
	if (result == pcclSuccess)
		result = pccl_control_create(&config, &comm->control);
	threads_out->control = comm->control;
	threads_out->tell = tell_control;
	threads_out->wake = wake_lane;
	threads_out->invite = invite_lane;
	threads_out->take = take_lane;
	threads_out->drive = drive_lane;
	threads_out->ring = ring_lane;
	threads_out->give = give_lane;
	return result;
}

static void stop(pcclComm_t *comm)
{
	uint32_t i;

	pccl_monitor_detach(comm->monitor);
	/* The control thread first: after it nobody hands streams to the lanes. */
	pccl_control_stop(comm->control);
	for (i = 0; i < PCCL_LANES_MAX; i++)
		pccl_lane_thread_stop(comm->lanes[i]);
	for (i = 0; i < PCCL_LANES_MAX; i++) {
		pccl_lane_thread_destroy(comm->lanes[i]);
		comm->lanes[i] = NULL;
	}
	pccl_control_destroy(comm->control);
	comm->control = NULL;
	pccl_monitor_clear(comm->monitor);
}

/* A cause that is no fault of the caller is one of the way to the group. */
static pcclResult_t start_and_join(pcclComm_t *comm)
{
	struct pccl_monitor_threads threads;
	pcclResult_t result = start(comm, &threads);

	if (result == pcclSuccess)
		return pccl_monitor_join(comm->monitor, &threads);
	if (result == pcclInvalidArgument || result == pcclOutOfMemory || result == pcclSystemError)
		return result;
	return pccl_fail(pcclMasterConnectionFailed, "%s", pccl_fail_text());
}

static pcclResult_t connect_threads(pcclComm_t *comm)
{
	char cause[PCCL_FAIL_TEXT_BYTES];
	pcclResult_t result = start_and_join(comm);

	snprintf(cause, sizeof(cause), "%s", pccl_fail_text());
	if (result != pcclSuccess) {
		pccl_monitor_await_callers(comm->monitor);
		stop(comm);
		pccl_fail(result, "%s", cause);
	}
	pccl_monitor_end_connect(comm->monitor, result);
	return result;
}

pcclResult_t pccl_comm_connect(pcclComm_t *comm)
{
	pcclResult_t result = pccl_monitor_begin_connect(comm->monitor);

	return result == pcclSuccess ? connect_threads(comm) : result;
}

bool pccl_comm_rejoin(pcclComm_t *comm, pcclResult_t *result_out)
{
	if (!pccl_monitor_begin_rejoin(comm->monitor, result_out))
		return false;
	if (*result_out != pcclSuccess)
		return true;
	stop(comm);
	*result_out = make_identity(&comm->self);
	if (*result_out == pcclSuccess)
		*result_out = pccl_monitor_renew(comm->monitor);
	if (*result_out == pcclSuccess)
		*result_out = connect_threads(comm);
	else
		pccl_monitor_end_connect(comm->monitor, *result_out);
	return true;
}

void pccl_comm_hold(pcclComm_t *comm)
{
	__atomic_add_fetch(&comm->holders, 1, __ATOMIC_RELAXED);
}

void pccl_comm_release(pcclComm_t *comm)
{
	if (__atomic_sub_fetch(&comm->holders, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	pccl_monitor_retire(comm->monitor);
	stop(comm);
	pccl_monitor_destroy(comm->monitor);
	pccl_wires_destroy(comm->self.wires);
	pccl_key_wipe(&comm->self.keys);
	pccl_free(comm);
}

void pccl_comm_destroy(pcclComm_t *comm)
{
	__atomic_store_n(&comm->is_destroyed, true, __ATOMIC_RELEASE);
	if (__atomic_load_n(&comm->holders, __ATOMIC_ACQUIRE) > 1)
		pccl_monitor_abort(comm->monitor, "the communicator was destroyed");
	pccl_comm_release(comm);
}

bool pccl_comm_is_destroyed(const pcclComm_t *comm)
{
	return __atomic_load_n(&comm->is_destroyed, __ATOMIC_ACQUIRE);
}
