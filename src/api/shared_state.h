/* What the calls that take a state share. */
#ifndef PCCL_API_SHARED_STATE_H
#define PCCL_API_SHARED_STATE_H

#include <pccl.h>

/* Names, types, devices and data of all tensors. pcclInvalidArgument. */
pcclResult_t pccl_shared_state_check(const pcclSharedState_t *state);

#endif
