/* What the files of the schedule share: schedule.c (fragments, steps), schedule_check.c (what is refused). */
#ifndef PCCL_SYNC_DILOCO_SCHEDULE_INTERNAL_H
#define PCCL_SYNC_DILOCO_SCHEDULE_INTERNAL_H

#include "sync/diloco/schedule.h"

/* pcclInvalidArgument, in words. */
pcclResult_t pccl_schedule_check(const pcclTensorInfo_t *tensors, size_t count, const pcclDilocoSettings_t *settings);

#endif
