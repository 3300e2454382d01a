/* How connections are protected. */
#include <pccl/security.h>

#include "base/fail.h"
#include "comm/master_server.h"
#include "comm/protection.h"

pcclResult_t pcclGenerateSecret(char text_out[PCCL_SECRET_TEXT_BYTES])
{
	if (text_out == NULL)
		return pccl_fail(pcclInvalidArgument, "text_out is NULL");
	return pccl_wires_generate_secret(text_out);
}

pcclResult_t pcclDescribeKey(const char *key_file, char text_out[PCCL_KEY_TEXT_BYTES])
{
	if (key_file == NULL || text_out == NULL)
		return pccl_fail(pcclInvalidArgument, "%s is NULL", key_file == NULL ? "key_file" : "text_out");
	return pccl_wires_describe_key(key_file, text_out);
}

pcclResult_t pcclSetMasterAdmission(pcclMasterInstance_t *master_instance, const char *allow_file)
{
	if (master_instance == NULL)
		return pccl_fail(pcclInvalidArgument, "the master is NULL");
	if (pccl_master_server_is_inherited(master_instance))
		return pccl_fail(pcclInvalidUsage, "the master belongs to the process that forked this one");
	return pccl_master_server_allow(master_instance, allow_file);
}

pcclResult_t pcclSetMasterSecurity(pcclMasterInstance_t *master_instance, const pcclSecurity_t *security)
{
	if (master_instance == NULL || security == NULL)
		return pccl_fail(pcclInvalidArgument, "%s is NULL", security == NULL ? "security" : "the master");
	if (pccl_master_server_is_inherited(master_instance))
		return pccl_fail(pcclInvalidUsage, "the master belongs to the process that forked this one");
	return pccl_master_server_protect(master_instance, security);
}

pcclResult_t pcclCommandMaster(pcclMasterInstance_t *master_instance, const char *command, pcclLineCallback_t take,
			       void *context)
{
	if (master_instance == NULL || command == NULL)
		return pccl_fail(pcclInvalidArgument, "%s is NULL", command == NULL ? "command" : "the master");
	if (pccl_master_server_is_inherited(master_instance))
		return pccl_fail(pcclInvalidUsage, "the master belongs to the process that forked this one");
	return pccl_master_server_command(master_instance, command, take, context);
}
