/* Values that callers choose from a public enumeration. */
#ifndef PCCL_BASE_CHOICE_H
#define PCCL_BASE_CHOICE_H

#include <pccl/diagnostics.h>

/* Is it a value of the enumeration? Else pcclInvalidArgument: "FIELD is 77, which is unknown: there are ...". */
pcclResult_t pccl_choice_check(const char *field, pcclEnum_t which, int value);

#endif
