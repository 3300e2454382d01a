/* An embedded master. */
#include "base/fail.h"
#include "comm/master_server.h"

/* What failed is in words; PCCL 1.0, whose functions these are, has codes below 100. */
static pcclResult_t as_known(pcclResult_t result)
{
	return (int)result < 100 ? result : pcclInternalError;
}

static pcclResult_t check(const pcclMasterInstance_t *instance)
{
	if (instance == NULL)
		return pccl_fail(pcclInvalidArgument, "the master is NULL");
	if (pccl_master_server_is_inherited(instance))
		return pccl_fail(pcclInvalidUsage, "the master belongs to the process that forked this one");
	return pcclSuccess;
}

pcclResult_t pcclCreateMaster(ccoip_socket_address_t listen_address, pcclMasterInstance_t **p_master_handle_out)
{
	if (p_master_handle_out == NULL)
		return pccl_fail(pcclInvalidArgument, "p_master_handle_out is NULL");
	*p_master_handle_out = NULL;
	return as_known(pccl_master_server_create(&listen_address, p_master_handle_out));
}

pcclResult_t pcclRunMaster(pcclMasterInstance_t *master_instance)
{
	pcclResult_t result = check(master_instance);

	return result == pcclSuccess ? as_known(pccl_master_server_run(master_instance)) : result;
}

pcclResult_t pcclInterruptMaster(pcclMasterInstance_t *master_instance)
{
	pcclResult_t result = check(master_instance);

	return result == pcclSuccess ? pccl_master_server_interrupt(master_instance) : result;
}

pcclResult_t pcclMasterAwaitTermination(pcclMasterInstance_t *master_instance)
{
	pcclResult_t result = check(master_instance);

	return result == pcclSuccess ? pccl_master_server_await(master_instance) : result;
}

pcclResult_t pcclDestroyMaster(pcclMasterInstance_t *master_instance)
{
	pcclResult_t result = check(master_instance);

	if (result == pcclSuccess)
		pccl_master_server_destroy(master_instance);
	return result;
}
