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

pcclResult_t pccl_choices_check(const struct pccl_choice *choices, size_t count)
{
	pcclResult_t result = pcclSuccess;
	size_t i;

	for (i = 0; i < count && result == pcclSuccess; i++)
		result = pccl_choice_check(choices[i].field, choices[i].which, choices[i].value);
	return result;
}
