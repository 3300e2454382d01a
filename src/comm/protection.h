/* How connections are protected: what the caller gave, then the PCCL_* environment. */
#ifndef PCCL_PROTECTION_H
#define PCCL_PROTECTION_H

#include <pccl/security.h>

#include "transport/wires/wires.h"

/* `given` may be NULL. The wires are the caller's. pcclInvalidArgument, pcclOutOfMemory. */
pcclResult_t pccl_protection_open(const pcclSecurity_t *given, struct pccl_wires **wires_out);

/* Other credentials in the place of those that count: keys, this side's and masters', stay, so they are not read. */
pcclResult_t pccl_protection_reopen(const pcclSecurity_t *given, struct pccl_wires **wires_out);

#endif
