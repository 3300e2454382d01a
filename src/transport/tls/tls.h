/*
 * The TLS wire: frames over TLS 1.3 (RFC 8446), nothing older. Both sides prove who they are: by a join secret (an
 * external pre-shared key, with an ephemeral key exchange), or by certificates of one authority.
 *
 * There is a wire for each set of credentials. Its streams are an engine's (engine/engine.h); the handshake is over
 * before the first frame, and what fails in it is in words.
 */
#ifndef PCCL_TRANSPORT_TLS_H
#define PCCL_TRANSPORT_TLS_H

#include "transport/tls/secret.h"
#include "transport/transport.h"

struct pccl_tls;

/* Either secrets or files. */
struct pccl_tls_config {
	/* This side dials with the first, and lets in who has any: so secrets can change while a run goes on. */
	struct pccl_join_secret secrets[PCCL_JOIN_SECRETS_MAX];
	uint32_t secret_count;
	/* PEM files: whose certificates count, this side's own with what leads to the authority, its key; and a list of
	 * those that were revoked, or NULL. */
	const char *authority;
	const char *certificate;
	const char *key;
	const char *revoked;
	uint32_t records_per_key; /* 0: as many as are safe; for tests */
};

/* Copies what it needs. pcclInvalidArgument: a file, and what is wrong with it; pcclOutOfMemory. */
pcclResult_t pccl_tls_create(const struct pccl_tls_config *config, struct pccl_tls **tls_out);
/* What `fresh` was made of counts for connections from now on; those that are up stay as they are. `fresh` has what was
 * before, and is the caller's still. On the thread of all its streams and listeners. */
void pccl_tls_renew(struct pccl_tls *tls, struct pccl_tls *fresh);
/* After all streams and listeners of its wire. */
void pccl_tls_destroy(struct pccl_tls *tls);

/*
 * Who dials with the first expects a master, with the second a peer; who is dialled expects a peer. A certificate that
 * says by its extended key usage what it is for is held to that: a master's is a server's (serverAuth), a peer's a
 * client's (clientAuth), also where it is dialled by another one.
 */
const struct pccl_transport *pccl_tls_wire(const struct pccl_tls *tls);
const struct pccl_transport *pccl_tls_wire_between_peers(const struct pccl_tls *tls);
/* The latter, for a wire that lies over it: both sides say in the handshake, in a way that who doesn't know of it
 * ignores, whether they want to hear offers before the first frame (hears_offers() of its bytes). */
const struct pccl_transport *pccl_tls_wire_with_offers(const struct pccl_tls *tls);

#endif
