/* Whether pcclInit() has been called. */
#ifndef PCCL_INIT_H
#define PCCL_INIT_H

#include <pccl.h>

/* pcclNotInitialized, recorded, before pcclInit(). */
pcclResult_t pccl_require_init(void);

#endif
