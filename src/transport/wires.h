/* Which wire carries what: decided here, and nowhere else. */
#ifndef PCCL_TRANSPORT_WIRES_H
#define PCCL_TRANSPORT_WIRES_H

#include "transport/transport.h"

/* The wire that listens on such an address, or dials it. */
const struct pccl_transport *pccl_wire_for(const struct pccl_address *address);

#endif
