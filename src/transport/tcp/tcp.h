/* The TCP wire: frames over plain sockets. */
#ifndef PCCL_TRANSPORT_TCP_H
#define PCCL_TRANSPORT_TCP_H

#include "transport/transport.h"

extern const struct pccl_transport pccl_tcp;

#endif
