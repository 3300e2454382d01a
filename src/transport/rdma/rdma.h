/*
 * The wire over RDMA: frames that this side's device writes into the other side's memory, beside a TCP connection over
 * which both come to that, and that ends when one of the two does. Who dials offers it, and both go on over plain TCP
 * when one of them has no device for the connection's address, or nothing gets through. Bytes are not encrypted.
 */
#ifndef PCCL_TRANSPORT_RDMA_H
#define PCCL_TRANSPORT_RDMA_H

#include "transport/networks.h"
#include "transport/transport.h"

extern const struct pccl_transport pccl_rdma;

/* The same beside a wire that protects its connections: over it the two come to a pair, and go on when there is none;
 * it tells who the other side is, and ends the stream. What goes through the pair is not protected, so both ends of
 * that have to be in one network that is trusted. */
struct pccl_rdma_wire {
	struct pccl_transport slots; /* first: so a wire is found by what the transport hands out */
	const struct pccl_transport *under;
	struct pccl_networks trusted;
};

/* Fills in the rest of a wire that has its networks. `under` has offers (hears_offers() of its bytes) and outlives the
 * wire, which outlives its streams. */
void pccl_rdma_lay_over(const struct pccl_transport *under, struct pccl_rdma_wire *wire);

#endif
