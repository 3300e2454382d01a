/* The words of the public enumerations. */
#include <pccl/diagnostics.h>

#include "base/fail.h"
#include "base/names.h"

const char *pcclGetName(pcclEnum_t which, int value)
{
	return pccl_name_or_mark(which, value);
}

pcclResult_t pcclParseName(pcclEnum_t which, const char *name, int *value_out)
{
	char known[384];

	if (name == NULL || value_out == NULL)
		return pccl_fail(pcclInvalidArgument, "name or value_out is NULL");
	if (pccl_name_find(which, name, value_out))
		return pcclSuccess;
	pccl_name_list(which, known, sizeof(known));
	if (known[0] == '\0')
		return pccl_fail(pcclInvalidArgument, "enumeration %d is unknown", (int)which);
	return pccl_fail(pcclInvalidArgument, "'%.40s' is none of %s", name, known);
}

pcclResult_t pcclGetValueAt(pcclEnum_t which, size_t index, int *value_out)
{
	if (value_out == NULL)
		return pccl_fail(pcclInvalidArgument, "value_out is NULL");
	if (!pccl_name_value(which, index, value_out))
		return pccl_fail(pcclInvalidArgument, "enumeration %d has no value at %zu", (int)which, index);
	return pcclSuccess;
}
