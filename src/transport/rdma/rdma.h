/*
 * The wire over RDMA: frames that this side's device writes into the other side's memory, beside a TCP connection over
 * which both come to that, and that ends when one of the two does. Who dials offers it, and both go on over plain TCP
 * when one of them has no device for the connection's address, or nothing gets through. Bytes are not encrypted.
 */
#ifndef PCCL_TRANSPORT_RDMA_H
#define PCCL_TRANSPORT_RDMA_H

#include "transport/transport.h"

extern const struct pccl_transport pccl_rdma;

#endif
