#include "api/ops.h"

#include <stddef.h>
#include <stdio.h>

#include "base/fail.h"
#include "base/sized.h"
#include "comm/comm.h"
#include "comm/control.h"
#include "comm/init.h"
#include "transport/loop/loop.h"

#define ASK_INTERVAL_NS 100000000u /* between looks at an op whose deadline has passed */

static const struct pccl_sized operation_kind = {"operation", "PCCL_OPERATION_INITIALIZER",
						 offsetof(pcclOperation_t, root), offsetof(pcclOperation_t, reserved)};
static const struct pccl_sized info_kind = {"info_out", "PCCL_OPERATION_INFO_INITIALIZER", sizeof(size_t),
					    offsetof(pcclOperationInfo_t, reserved)};

pcclResult_t pccl_ops_read(const pcclOperation_t *operation, pcclOperation_t *full_out)
{
	const pcclOperation_t defaults = PCCL_OPERATION_INITIALIZER;

	*full_out = defaults;
	if (operation == NULL)
		return pccl_fail(pcclInvalidArgument, "operation is NULL");
	return pccl_sized_read(&operation_kind, operation, full_out);
}

pcclResult_t pccl_ops_check_info(const pcclOperationInfo_t *info)
{
	return info == NULL ? pcclSuccess : pccl_sized_check(&info_kind, info);
}

void pccl_ops_write_info(const pcclOperationInfo_t *from, pcclOperationInfo_t *to)
{
	if (to != NULL)
		pccl_sized_write(&info_kind, from, to);
}

static pthread_cond_t *take_condition(pcclComm_t *comm, struct pccl_op *op)
{
	size_t i;

	for (i = 0; i < PCCL_MAX_OPERATIONS; i++) {
		if (comm->waiters[i] != NULL)
			continue;
		comm->waiters[i] = op;
		return &comm->op_ended[i];
	}
	return NULL;
}

static void release(pcclComm_t *comm, struct pccl_op *op)
{
	size_t i;

	for (i = 0; i < PCCL_MAX_OPERATIONS; i++)
		if (comm->waiters[i] == op)
			comm->waiters[i] = NULL;
	pccl_session_release(comm->session, op);
}

pcclResult_t pccl_ops_launch(const pcclComm_t *communicator, const struct pccl_op_request *request,
			     pcclAsyncReduceOp_t *handle_out)
{
	struct pccl_op *op;
	pcclComm_t *comm;
	pcclResult_t result;

	if (handle_out == NULL)
		return pccl_fail(pcclInvalidArgument, "the handle is NULL");
	result = pccl_comm_enter(communicator, &comm);
	if (result != pcclSuccess)
		return result;
	result = pccl_session_launch(comm->session, request, &op);
	if (result == pcclSuccess) {
		uint64_t timeout_ns = request->operation.timeout_ms * UINT64_C(1000000);

		if (timeout_ns == 0)
			timeout_ns = comm->settings.operation_timeout_ns;
		op->deadline_ns = timeout_ns == 0 ? PCCL_NEVER : pccl_clock_ns() + timeout_ns;
		op->waiter = take_condition(comm, op);
		handle_out->comm = comm;
		handle_out->tag = op->key.tag;
	}
	pccl_comm_dispatch(comm);
	pccl_comm_leave(comm);
	return result;
}

/* The deadline has passed: whom the op waits for is asked, and the group decides what becomes of it. Asked again when a
 * view change came in between, for then the question may have been lost with the old view. */
static void ask_for_end(pcclComm_t *comm, struct pccl_op *op, uint32_t *asked_epoch)
{
	if (*asked_epoch != comm->view.epoch && pccl_session_expire(comm->session, op))
		*asked_epoch = comm->view.epoch;
	pccl_comm_dispatch(comm);
}

/* If the master can't be reached for as long again as a connection may take, this peer ends alone. */
static void wait_for_end(pcclComm_t *comm, struct pccl_op *op)
{
	uint64_t until_ns = op->deadline_ns, give_up_ns = PCCL_NEVER;
	uint32_t asked_epoch = 0;

	while (!op->ended) {
		if (pccl_comm_wait(comm, op->waiter, until_ns) || pccl_clock_ns() < until_ns)
			continue;
		if (give_up_ns == PCCL_NEVER)
			give_up_ns = until_ns + comm->settings.connect_timeout_ns + comm->settings.heartbeat_timeout_ns;
		if (pccl_clock_ns() >= give_up_ns) {
			pccl_comm_end(comm, pcclTimeout,
				      "an operation's deadline passed, and no decision of the group came: "
				      "the master can't be reached");
			until_ns = PCCL_NEVER;
			continue;
		}
		ask_for_end(comm, op, &asked_epoch);
		until_ns = pccl_clock_ns() + ASK_INTERVAL_NS;
	}
}

/* A handle may be awaited after its communicator has ended: the op has ended with it. */
static pcclResult_t enter_to_await(const pcclAsyncReduceOp_t *handle, pcclComm_t **comm_out)
{
	pcclResult_t result = pccl_require_init();
	pcclComm_t *comm;

	if (result != pcclSuccess)
		return result;
	if (handle == NULL || handle->comm == NULL) {
		pccl_fail(pcclInvalidArgument, "%s is NULL", handle == NULL ? "the handle" : "the handle's comm");
		return pcclInvalidArgument;
	}
	comm = handle->comm;
	pthread_mutex_lock(&comm->lock);
	if (comm->session == NULL) {
		pthread_mutex_unlock(&comm->lock);
		pccl_fail(pcclInvalidUsage, "the communicator is not connected: call pcclConnect() first");
		return pcclInvalidUsage;
	}
	comm->callers++;
	*comm_out = comm;
	return pcclSuccess;
}

static struct pccl_op *claim(pcclComm_t *comm, uint64_t tag)
{
	struct pccl_op *op = pccl_session_find(comm->session, tag);

	if (op == NULL || op->awaited) {
		pccl_fail(pcclRankConnectionLost, "no operation with tag %llu is to be awaited",
			  (unsigned long long)tag);
		return NULL;
	}
	op->awaited = true;
	return op;
}

pcclResult_t pccl_ops_await(const pcclAsyncReduceOp_t *handle, pcclOperationInfo_t *info_out)
{
	pcclResult_t result;
	struct pccl_op *op;
	pcclComm_t *comm = NULL;

	result = pccl_ops_check_info(info_out);
	if (result != pcclSuccess)
		return result;
	result = enter_to_await(handle, &comm);
	if (result != pcclSuccess)
		return result;
	op = claim(comm, handle->tag);
	if (op == NULL) {
		pccl_comm_leave(comm);
		return pcclRankConnectionLost;
	}
	wait_for_end(comm, op);
	if (op->residual_next != NULL) {
		pthread_mutex_unlock(&comm->lock);
		pccl_op_commit_residual(op);
		pthread_mutex_lock(&comm->lock);
	}
	result = op->result;
	if (result != pcclSuccess)
		pccl_fail(result, "%s", op->detail);
	pccl_ops_write_info(&op->info, info_out);
	release(comm, op);
	pccl_comm_leave(comm);
	return result;
}

pcclResult_t pcclTest(const pcclAsyncReduceOp_t *handle, bool *done_out)
{
	const struct pccl_op *op;
	pcclComm_t *comm = NULL;
	pcclResult_t result;

	if (done_out == NULL)
		return pccl_fail(pcclInvalidArgument, "done_out is NULL");
	result = enter_to_await(handle, &comm);
	if (result != pcclSuccess)
		return result;
	op = pccl_session_find(comm->session, handle->tag);
	if (op == NULL)
		result = pccl_fail(pcclInvalidArgument, "no operation with tag %llu is to be awaited",
				   (unsigned long long)handle->tag);
	else
		*done_out = op->ended;
	pccl_comm_leave(comm);
	return result;
}
