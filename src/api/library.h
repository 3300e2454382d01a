/* What every public call begins with. */
#ifndef PCCL_LIBRARY_H
#define PCCL_LIBRARY_H

#include <pccl.h>

struct pccl_monitor;

/* pcclNotInitialized, recorded, before pcclInit(). */
pcclResult_t pccl_library_check(void);

/* May the communicator be used by this call? pcclNotInitialized; pcclInvalidArgument for NULL; pcclInvalidUsage in a
 * child that has inherited it. */
pcclResult_t pccl_library_check_comm(const pcclComm_t *comm, struct pccl_monitor **monitor_out);

/* What a 1.0 function returns: PCCL 1.0 programs know no results from 100 on, and the last error says more. `loss` is
 * for those that have no like in 1.0: this peer has lost its place, or patience. */
pcclResult_t pccl_library_result(const pcclComm_t *comm, pcclResult_t result, pcclResult_t loss);

#endif
