/* Launching and awaiting ops: what all public collectives share. */
#ifndef PCCL_OPS_H
#define PCCL_OPS_H

#include <pccl.h>

#include "session/session.h"

/* Launches, and stays as the operation says; *handle_out names the op. *awaited_out: it has ended and been awaited, and
 * the handle's comm is NULL; a failure is that of the op, not of its launch. */
pcclResult_t pccl_ops_launch(const pcclComm_t *communicator, const struct pccl_op_request *request,
			     pcclHandle_t *handle_out, bool *awaited_out);

/* Launches and awaits; *launched_out: a failure is that of the op, not of its launch. */
pcclResult_t pccl_ops_run(const pcclComm_t *communicator, const struct pccl_op_request *request,
			  pcclOperationInfo_t *info_out, bool *launched_out);

/* Waits for the end of the op, releases it. `info_out` may be NULL. */
pcclResult_t pccl_ops_await(const pcclHandle_t *handle, pcclOperationInfo_t *info_out);

/* Copies the caller's structure, older or newer than this library's, over the defaults; checks `size`. */
pcclResult_t pccl_ops_read(const pcclOperation_t *operation, pcclOperation_t *full_out);

/* Checks the size of the caller's structure, which pccl_ops_await() fills as far as it reaches. NULL is allowed. */
pcclResult_t pccl_ops_check_info(const pcclOperationInfo_t *info);

#endif
