/* What pcclConnect() has to do about pcclStatePrefetch(). */
#ifndef PCCL_API_PREFETCH_H
#define PCCL_API_PREFETCH_H

#include "comm/monitor.h"

/* The join has ended: what has come is where it belongs, and the caller is told. pcclSystemError: a device refused. */
pcclResult_t pccl_prefetch_settle(struct pccl_monitor *monitor);

#endif
