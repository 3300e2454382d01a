/* An embedded master: the pccl-master program is a shell around these. pccl.h includes this, as PCCL 1.0 has it. */
#ifndef PCCL_MASTER_H
#define PCCL_MASTER_H

#include "pccl.h"

#ifdef __cplusplus
extern "C" {
#endif

/* None of these needs pcclInit(). A handle must not be used while or after pcclDestroyMaster() runs on it; NULL is
 * pcclInvalidArgument to all of them. They are PCCL 1.0's and return its results only, below 100: memory or a system
 * call that fails is pcclInternalError, and the last error says which. */

/* Creates a master that will listen on `listen_address`; the caller ends it with pcclDestroyMaster(). Returns
 * pcclInvalidArgument (an address that is neither IPv4 nor IPv6). */
PCCL_EXPORT pcclResult_t pcclCreateMaster(ccoip_socket_address_t listen_address,
					  pcclMasterInstance_t **p_master_handle_out);

/* Listens and serves on a thread of its own; returns at once. pcclInvalidUsage: the address cannot be bound (the last
 * error says why), port 0, or it runs or has run: make another one. What fails may be tried again. */
PCCL_EXPORT pcclResult_t pcclRunMaster(pcclMasterInstance_t *master_instance);

/* Asks the master to stop; does not wait. Repeatable. pcclInvalidUsage: it never ran. */
PCCL_EXPORT pcclResult_t pcclInterruptMaster(pcclMasterInstance_t *master_instance);

/* Waits for the master's thread to end, which is when somebody interrupts it. pcclInvalidUsage: it never ran. */
PCCL_EXPORT pcclResult_t pcclMasterAwaitTermination(pcclMasterInstance_t *master_instance);

/* Stops the master if it runs, and frees it. pcclInvalidArgument: NULL. */
PCCL_EXPORT pcclResult_t pcclDestroyMaster(pcclMasterInstance_t *master_instance);

#ifdef __cplusplus
}
#endif

#endif
