/* Communicators: create, connect, ask, abort, destroy. */
#include "api/library.h"
#include "api/prefetch.h"
#include "base/choice.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/text.h"
#include "comm/comm.h"

static pcclResult_t create(const pcclCommCreateParams_t *params, const pcclConfig_t *config, bool classic,
			   pcclComm_t **comm_out)
{
	pcclResult_t result;

	if (comm_out != NULL)
		*comm_out = NULL;
	result = pccl_library_check();
	if (result != pcclSuccess)
		return result;
	if (params == NULL || comm_out == NULL)
		return pccl_fail(pcclInvalidArgument, "%s is NULL", params == NULL ? "params" : "comm_out");
	return pccl_comm_create(params, config, classic, comm_out);
}

pcclResult_t pcclCreateCommunicatorWithConfig(const pcclCommCreateParams_t *params, const pcclConfig_t *config,
					      pcclComm_t **comm_out)
{
	return create(params, config, false, comm_out);
}

pcclResult_t pcclCreateCommunicator(const pcclCommCreateParams_t *params, pcclComm_t **comm_out)
{
	pcclResult_t result = create(params, NULL, true, comm_out);

	return result == pcclOutOfMemory || result == pcclSystemError ? pcclInternalError : result;
}

/* What was prefetched is looked at in any case; a member stays one if a device has refused it. */
static pcclResult_t connect_and_settle(pcclComm_t *communicator, struct pccl_monitor *monitor)
{
	char cause[PCCL_FAIL_TEXT_BYTES];
	pcclResult_t result = pccl_comm_connect(communicator);

	pccl_text_copy(cause, sizeof(cause), pccl_fail_text());
	if (pccl_prefetch_settle(monitor) != pcclSuccess)
		pccl_log_warn("what was prefetched is lost: %s", pccl_fail_text());
	return result != pcclSuccess ? pccl_fail(result, "%s", cause) : result;
}

pcclResult_t pcclConnect(pcclComm_t *communicator)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		result = connect_and_settle(communicator, monitor);
	return pccl_library_result(communicator, result, pcclMasterConnectionFailed);
}

pcclResult_t pcclCommAbort(pcclComm_t *communicator)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		pccl_monitor_abort(monitor, NULL);
	return result;
}

pcclResult_t pcclDestroyCommunicator(pcclComm_t *communicator)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		pccl_comm_destroy(communicator);
	return result;
}

/* ---- what can be asked without asking anybody -------------------------------------------------------------------- */

static pcclResult_t look(const pcclComm_t *communicator, const void *out, const char *name,
			 struct pccl_standing *standing_out)
{
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		result = pccl_monitor_look(monitor, standing_out);
	if (result == pcclSuccess && out == NULL)
		result = pccl_fail(pcclInvalidArgument, "%s is NULL", name);
	return result;
}

pcclResult_t pcclGetAttribute(const pcclComm_t *communicator, pcclAttribute_t attribute, int *p_attribute_out)
{
	struct pccl_standing standing;
	struct pccl_monitor *monitor;
	pcclResult_t result = pccl_library_check_comm(communicator, &monitor);

	if (result == pcclSuccess)
		result = pccl_monitor_attributes(monitor, &standing);
	if (result != pcclSuccess)
		return result;
	if (p_attribute_out == NULL)
		return pccl_fail(pcclInvalidArgument, "p_attribute_out is NULL");
	switch (attribute) {
	case PCCL_ATTRIBUTE_GLOBAL_WORLD_SIZE:
		*p_attribute_out = (int)standing.world.peers;
		return pcclSuccess;
	case PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE:
		*p_attribute_out = (int)standing.members;
		return pcclSuccess;
	case PCCL_ATTRIBUTE_NUM_DISTINCT_PEER_GROUPS:
		*p_attribute_out = (int)standing.world.groups;
		return pcclSuccess;
	case PCCL_ATTRIBUTE_LARGEST_PEER_GROUP_WORLD_SIZE:
		*p_attribute_out = (int)standing.world.largest_group;
		return pcclSuccess;
	}
	return pccl_choice_check("attribute", pcclEnumAttribute, (int)attribute);
}

pcclResult_t pcclGetRank(const pcclComm_t *communicator, uint32_t *rank_out)
{
	struct pccl_standing standing;
	pcclResult_t result = look(communicator, rank_out, "rank_out", &standing);

	if (result == pcclSuccess)
		*rank_out = standing.rank;
	return result;
}

pcclResult_t pcclGetEpoch(const pcclComm_t *communicator, uint64_t *epoch_out)
{
	struct pccl_standing standing;
	pcclResult_t result = look(communicator, epoch_out, "epoch_out", &standing);

	if (result == pcclSuccess)
		*epoch_out = standing.epoch;
	return result;
}

pcclResult_t pcclGetUuid(const pcclComm_t *communicator, pcclRankUuid_t *uuid_out)
{
	struct pccl_standing standing;
	pcclResult_t result = look(communicator, uuid_out, "uuid_out", &standing);

	if (result == pcclSuccess)
		*uuid_out = pccl_comm_self(communicator)->uuid;
	return result;
}
