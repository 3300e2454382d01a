/* The first frame on every connection says who calls, whom, and for what; the acceptor reads it before anything else. */
#ifndef PCCL_TRANSPORT_HELLO_H
#define PCCL_TRANSPORT_HELLO_H

#include "transport/transport.h"

enum pccl_purpose { PCCL_PURPOSE_CONTROL = 1, PCCL_PURPOSE_DATA = 2 };

struct pccl_hello {
	uint8_t purpose;
	uint32_t group;
	pcclRankUuid_t from;
	pcclRankUuid_t to;   /* zero for control */
	uint16_t lane;	     /* data only, as the rest */
	uint16_t stream;     /* index among the link's streams */
	uint32_t resumption; /* 0: a new stream; n: the n-th redial of it */
	uint32_t received;   /* frames that the caller had received completely on it before */
};

#define PCCL_HELLO_BYTES 64 /* upper limit of the encoded payload */

size_t pccl_hello_encode(const struct pccl_hello *hello, uint8_t out[PCCL_HELLO_BYTES]);
pcclResult_t pccl_hello_decode(const uint8_t *data, size_t bytes, struct pccl_hello *hello_out);

/* A listening port that serves every purpose: accepts, reads HELLO within timeout_ns (a silent or babbling caller is hung
 * up; at most 256 callers are waited for, the oldest goes first), then hands the detached stream to `arrived`. */
struct pccl_doorman;

pcclResult_t pccl_doorman_create(struct pccl_loop *loop, const struct pccl_transport *transport,
				 const struct pccl_address *address, uint16_t port_last, uint64_t timeout_ns,
				 void (*arrived)(void *context, struct pccl_stream *stream, const struct pccl_hello *hello),
				 void *context, struct pccl_doorman **doorman_out);
uint16_t pccl_doorman_port(const struct pccl_doorman *doorman);
void pccl_doorman_destroy(struct pccl_doorman *doorman);

#endif
