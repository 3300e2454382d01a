/* What the tls_*.c files share. */
#ifndef PCCL_TRANSPORT_TLS_INTERNAL_H
#define PCCL_TRANSPORT_TLS_INTERNAL_H

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "transport/tls/tls.h"

#define PCCL_TLS_NAME_BYTES 16u

struct pccl_tls_wire {
	struct pccl_transport slots; /* first: so a wire is found by what the transport hands out */
	const struct pccl_tls *tls;
	bool expects_peers; /* of who is dialled */
	bool hears_offers;
};

struct pccl_tls {
	struct pccl_tls_wire to_masters, to_peers, with_offers;
	SSL_CTX *context;
	BIO_METHOD *method; /* between OpenSSL and a connection's socket */
	struct pccl_join_secret secrets[PCCL_JOIN_SECRETS_MAX];
	uint8_t names[PCCL_JOIN_SECRETS_MAX][PCCL_TLS_NAME_BYTES]; /* what a secret is called on the wire */
	uint32_t secret_count;
	uint32_t records_per_key;
};

/* tls_words.c: why the last call on `ssl` failed, for people, by pccl_fail(): the thread's queue of OpenSSL's errors is
 * read and emptied. True: the two sides' credentials do not fit, so another connection would fail, too. */
bool pccl_tls_explain(const SSL *ssl, bool in_handshake);

/* tls_offers.c. Of a context, whose connections want to hear them if they have app data; of such a one that dials; and
 * after its handshake. */
void pccl_tls_answer_about_offers(SSL_CTX *context);
bool pccl_tls_ask_about_offers(SSL *ssl);
bool pccl_tls_hears_offers(const SSL *ssl);

/* tls.c. The wire without credentials; and what writes for OpenSSL, NULL: out of memory. */
extern const struct pccl_transport pccl_tls_slots;
BIO_METHOD *pccl_tls_make_method(void);

#endif
