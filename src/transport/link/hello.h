/* The first frame on every connection says who calls, whom, and for what; the acceptor reads it before anything else,
 * and answers with WELCOME. */
#ifndef PCCL_TRANSPORT_HELLO_H
#define PCCL_TRANSPORT_HELLO_H

#include "base/identity.h"
#include "base/time.h"
#include "transport/transport.h"

enum pccl_purpose { PCCL_PURPOSE_CONTROL = 1, PCCL_PURPOSE_DATA = 2 };

struct pccl_hello {
	uint8_t purpose;
	uint32_t group;
	pcclRankUuid_t from;
	pcclRankUuid_t to; /* zero for control */
	uint16_t lane;	   /* data only, as the rest */
	uint16_t stream;   /* index among the link's streams */
	uint64_t instance; /* of the caller's link: a larger number is a later link, which knows nothing of the first */
	uint32_t resumption;	 /* HELLOs that the caller has said before for this stream of its link */
	uint32_t received;	 /* frames that the caller had received completely on it before */
	uint64_t host;		 /* the caller's, see pccl_locality_host() */
	uint16_t port;		 /* of the caller's end of the connection */
	struct pccl_pass pass;	 /* that the caller may call as `from` */
	bool proves;		 /* on protected connections: */
	struct pccl_proof proof; /* by the key that `from` comes from, as the caller */
};

/* What WELCOME says to a caller of a link that is taken. */
struct pccl_greeting {
	uint64_t instance;	 /* as in HELLO, of the one who is called */
	uint32_t hellos;	 /* that it has said itself for this stream: it has given them up */
	bool proves;		 /* on protected connections: */
	struct pccl_proof proof; /* by the key that its uuid comes from, as the one who was called */
};

#define PCCL_HELLO_BYTES 224	    /* upper limit of the encoded payload */
#define PCCL_GREETING_BYTES 140u    /* likewise */
#define PCCL_WELCOME_TEXT_BYTES 256 /* upper limit of a refusal's text, without a final zero */

/* `aux` of WELCOME. */
enum pccl_welcome {
	PCCL_WELCOME_YES = 0,
	PCCL_WELCOME_LATER = 1, /* refused for now: dial again */
	PCCL_WELCOME_NEVER = 2	/* refused for good */
};

/* Returns the number of bytes. */
size_t pccl_hello_encode(const struct pccl_hello *hello, uint8_t out[PCCL_HELLO_BYTES]);

/* Returns pcclRankConnectionFailed for what is not exactly one HELLO, and says why. */
pcclResult_t pccl_hello_decode(const uint8_t *data, size_t bytes, struct pccl_hello *hello_out);

/* Likewise. */
size_t pccl_greeting_encode(const struct pccl_greeting *greeting, uint8_t out[PCCL_GREETING_BYTES]);

/* Returns pcclRankConnectionFailed for what is not exactly one, and says why. */
pcclResult_t pccl_greeting_decode(const uint8_t *data, size_t bytes, struct pccl_greeting *greeting_out);

/* Answers a detached stream whose HELLO has been read with a refusal, and closes it. Never fails towards the caller. */
void pccl_hello_refuse(struct pccl_loop *loop, struct pccl_stream *stream, enum pccl_welcome welcome, const char *text);

#define PCCL_HELLO_TIMEOUT_NS (5 * PCCL_SECOND_NS) /* what callers get for it */

/* A listening port that serves every purpose: accepts, reads HELLO within timeout_ns (a silent or babbling caller is
 * hung up), then hands the detached stream to `arrived`. At most 256 callers are waited for: of more, the oldest from
 * the address, of IPv6 from the network of 64 bits, that has most goes. */
struct pccl_doorman;

/* Listens on the port of `address`, or the first free one up to port_last (0 or less than the first: that port only;
 * port 0: any). arrived() owns the stream; `hello` is valid during the call; it may destroy the doorman. Returns
 * pcclSystemError; the cause names the address and the ports. */
pcclResult_t pccl_doorman_create(struct pccl_loop *loop, const struct pccl_transport *transport,
				 const struct pccl_address *address, uint16_t port_last, uint64_t timeout_ns,
				 void (*arrived)(void *context, struct pccl_stream *stream,
						 const struct pccl_hello *hello),
				 void *context, struct pccl_doorman **doorman_out);
uint16_t pccl_doorman_port(const struct pccl_doorman *doorman);
/* NULL is allowed. */
void pccl_doorman_destroy(struct pccl_doorman *doorman);

#endif
