/* Values that callers choose from a public enumeration. */
#ifndef PCCL_BASE_CHOICE_H
#define PCCL_BASE_CHOICE_H

#include <stddef.h>

#include <pccl/diagnostics.h>

struct pccl_choice {
	const char *field;
	pcclEnum_t which;
	int value;
};

/* Is it a value of the enumeration? Else pcclInvalidArgument: "FIELD is 77, which is unknown: there are ...". */
pcclResult_t pccl_choice_check(const char *field, pcclEnum_t which, int value);
/* All of them: the first that is none is told. */
pcclResult_t pccl_choices_check(const struct pccl_choice *choices, size_t count);

#endif
