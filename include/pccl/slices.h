/* For who has to look at something else now and then while an operation goes on, as interpreters have at signals.
 * pccl.h includes this. */
#ifndef PCCL_SLICES_H
#define PCCL_SLICES_H

#include "pccl.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * An Async function whose operation has `stay_ms` returns when the operation has ended, or so much later; meanwhile
 * its thread moves the data itself, as in a call that blocks. If `info` is given as well, what has ended by then is
 * awaited: the function returns its result, *info says what became of it, and the handle's comm is NULL. What goes on
 * has a handle as ever. If nothing could be launched, handle and info are what they were: who is to tell that from an
 * operation that has failed sets the handle's comm to NULL before.
 */

/* pcclAllReduce() of that kind. What goes on when it returns is to be awaited by *reduce_handle_out, whose comm is NULL
 * if nothing does, also if nothing could be launched. */
PCCL_EXPORT pcclResult_t pcclAllReduceFor(const void *sendbuff, void *recvbuff,
					  const pcclReduceDescriptor_t *descriptor, const pcclComm_t *communicator,
					  uint32_t stay_ms, pcclAsyncReduceOp_t *reduce_handle_out,
					  pcclReduceInfo_t *reduce_info_out PCCL_NULLABLE);

/* pcclTest(), which waits for the end for so long at most. Any number of threads may. */
PCCL_EXPORT pcclResult_t pcclTestFor(const pcclHandle_t *handle, uint32_t timeout_ms, bool *done_out);

#ifdef __cplusplus
}
#endif

#endif
