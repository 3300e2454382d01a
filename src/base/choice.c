#include "base/choice.h"

#include "base/fail.h"
#include "base/names.h"

pcclResult_t pccl_choice_check(const char *field, pcclEnum_t which, int value)
{
	char known[200];

	if (pccl_name_of(which, value) != NULL)
		return pcclSuccess;
	pccl_name_list(which, known, sizeof(known));
	return pccl_fail(pcclInvalidArgument, "%s is %d, which is unknown: there are %s", field, value, known);
}
