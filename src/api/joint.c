/* Joint calls, and what can be asked about the world without asking anybody. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "comm/comm.h"
#include "comm/control.h"

static bool is_settled(const pcclComm_t *comm)
{
	return comm->state == PCCL_COMM_ENDED ||
	       (!comm->vote_pending && comm->lanes_linked == pccl_session_lanes(comm->session));
}

static pcclResult_t vote(pcclComm_t *comm, enum pccl_vote kind, bool *value_out)
{
	const struct pccl_peer_event event = {.type = PCCL_PEER_VOTE, .vote = kind};

	comm->vote_pending = true;
	pccl_control_post(comm->control, &event);
	while (!is_settled(comm))
		pccl_comm_wait(comm, &comm->changed, PCCL_NEVER);
	if (comm->state == PCCL_COMM_ENDED)
		return pccl_fail(comm->end_result, "%s", comm->end_detail);
	if (comm->vote_result != pcclSuccess)
		return pccl_fail(comm->vote_result, "%s", comm->vote_detail);
	if (value_out != NULL)
		*value_out = comm->vote_value;
	return pcclSuccess;
}

/* What PCCL 1.0 programs expect when a vote fails; eviction and abort keep their names, so that a loop on `failure`
 * ends. */
static pcclResult_t as_known(pcclResult_t result, pcclResult_t failure)
{
	return result == pcclSuccess || result == pcclEvicted || result == pcclAborted || result == pcclPendingAsyncOps
		       ? result
		       : failure;
}

/* Enters, waits for the turn of this thread, votes. `quiet`: no op may be unreleased. */
static pcclResult_t joint_call(const pcclComm_t *communicator, enum pccl_vote kind, bool quiet, pcclResult_t failure,
			       bool *value_out)
{
	pcclComm_t *comm;
	pcclResult_t result = pccl_comm_enter(communicator, &comm);

	if (result != pcclSuccess)
		return result;
	pthread_mutex_unlock(&comm->lock);
	pthread_mutex_lock(&comm->joint);
	pthread_mutex_lock(&comm->lock);
	if (comm->state == PCCL_COMM_ENDED)
		result = as_known(pccl_fail(comm->end_result, "%s", comm->end_detail), failure);
	else if (quiet && !pccl_session_idle(comm->session))
		result = pccl_fail(pcclPendingAsyncOps,
				   "operations are in flight: await them before pcclUpdateTopology()");
	else if (kind == PCCL_VOTE_OPTIMIZE && comm->world.peers < 2)
		result = pccl_fail(pcclInvalidUsage, "a world of one has no topology to optimize");
	else
		result = as_known(vote(comm, kind, value_out), failure);
	pthread_mutex_unlock(&comm->joint);
	pccl_comm_leave(comm);
	return result;
}

pcclResult_t pcclUpdateTopology(pcclComm_t *communicator)
{
	return joint_call(communicator, PCCL_VOTE_UPDATE, true, pcclUpdateTopologyFailed, NULL);
}

pcclResult_t pcclArePeersPending(const pcclComm_t *communicator, bool *pending_out)
{
	if (pending_out == NULL)
		return pccl_fail(pcclInvalidArgument, "pending_out is NULL");
	return joint_call(communicator, PCCL_VOTE_PENDING, false, pcclInvalidUsage, pending_out);
}

pcclResult_t pcclOptimizeTopology(const pcclComm_t *communicator)
{
	return joint_call(communicator, PCCL_VOTE_OPTIMIZE, false, pcclTopologyOptimizationFailed, NULL);
}

pcclResult_t pcclGetAttribute(const pcclComm_t *communicator, pcclAttribute_t attribute, int *p_attribute_out)
{
	pcclComm_t *comm;
	pcclResult_t result = pccl_comm_enter(communicator, &comm);

	if (result != pcclSuccess)
		return result;
	if (p_attribute_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "p_attribute_out is NULL");
	else if (attribute == PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE)
		*p_attribute_out = (int)comm->world.peers;
	else if (attribute == PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE)
		*p_attribute_out = (int)comm->view.member_count;
	else if (attribute == PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS)
		*p_attribute_out = (int)comm->world.groups;
	else if (attribute == PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE)
		*p_attribute_out = (int)comm->world.largest_group;
	else
		result = pccl_fail(pcclInvalidArgument, "attribute %d is unknown", (int)attribute);
	pccl_comm_leave(comm);
	return result;
}

pcclResult_t pcclGetRank(const pcclComm_t *communicator, uint32_t *rank_out)
{
	pcclComm_t *comm;
	pcclResult_t result = pccl_comm_enter(communicator, &comm);

	if (result != pcclSuccess)
		return result;
	if (rank_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "rank_out is NULL");
	else
		*rank_out = comm->rank;
	pccl_comm_leave(comm);
	return result;
}

pcclResult_t pcclGetEpoch(const pcclComm_t *communicator, uint64_t *epoch_out)
{
	pcclComm_t *comm;
	pcclResult_t result = pccl_comm_enter(communicator, &comm);

	if (result != pcclSuccess)
		return result;
	if (epoch_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "epoch_out is NULL");
	else
		*epoch_out = comm->view.epoch;
	pccl_comm_leave(comm);
	return result;
}

pcclResult_t pcclGetUuid(const pcclComm_t *communicator, pcclRankUuid_t *uuid_out)
{
	pcclComm_t *comm;
	pcclResult_t result = pccl_comm_enter(communicator, &comm);

	if (result != pcclSuccess)
		return result;
	if (uuid_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "uuid_out is NULL");
	else
		*uuid_out = comm->uuid;
	pccl_comm_leave(comm);
	return result;
}
