/*
 * Who a peer is, and how it proves it. Its uuid is a digest of a secret that it draws itself and tells masters only:
 * who can show the secret owns the uuid, at whatever master, and who knows the uuid can't find the secret. From the
 * secret comes a pass for each pair as well: what one peer has to show when it calls another one. A master, which knows
 * the secret of the one who is called, gives it to the one who calls; the one who is called needs to be told nothing.
 *
 * Masters may be others' as well, and what they are told is no proof to anybody else. So the secret comes from a key of
 * the peer's in turn: where connections are protected, the peer shows the key, and a signature over what only this
 * connection's two ends know. Who was told the secret, or has seen a signature, can't make the next one.
 */
#ifndef PCCL_BASE_IDENTITY_H
#define PCCL_BASE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <pccl.h>
#include <pccl/security.h>

#define PCCL_SECRET_BYTES 32
#define PCCL_PASS_BYTES 16

struct pccl_secret {
	uint8_t data[PCCL_SECRET_BYTES];
};

struct pccl_pass {
	uint8_t data[PCCL_PASS_BYTES];
};

#define PCCL_KEY_SHOWN 12 /* characters, in errors, of what is no key: it may be a secret */
#define PCCL_KEY_BYTES 32
#define PCCL_SALT_BYTES 32
#define PCCL_BINDING_BYTES 32
#define PCCL_SIGNATURE_BYTES 64

/* An Ed25519 key (RFC 8032): what others see of it, and what it is made from. */
struct pccl_key {
	uint8_t data[PCCL_KEY_BYTES];
};

struct pccl_key_pair {
	uint8_t seed[PCCL_KEY_BYTES]; /* random; nobody else's */
	struct pccl_key key;
};

/* Of a protected connection: both ends have the same one, and nobody else, nor any other connection. */
struct pccl_binding {
	uint8_t data[PCCL_BINDING_BYTES];
};

/* That the secret of these two is the sender's. */
struct pccl_proof {
	struct pccl_key key;
	uint8_t salt[PCCL_SALT_BYTES]; /* random, one for each secret: a key may have several */
	uint8_t signature[PCCL_SIGNATURE_BYTES];
};

/* The uuid of who owns the secret. */
pcclRankUuid_t pccl_identity_uuid(const struct pccl_secret *secret);

/* Is the uuid that of the secret's owner? Takes the same time whatever differs, as the next but one. */
bool pccl_identity_owns(const struct pccl_secret *secret, const pcclRankUuid_t *uuid);

/* What `caller` shows when it calls the owner of the secret. */
struct pccl_pass pccl_identity_pass(const struct pccl_secret *secret, const pcclRankUuid_t *caller);

/* Fills in the key of a seed. pcclSystemError: this OpenSSL has no Ed25519. */
pcclResult_t pccl_key_make(struct pccl_key_pair *pair);
void pccl_key_wipe(struct pccl_key_pair *pair);

/* "pccl-key-" and 64 hexadecimal digits. */
void pccl_key_text(const struct pccl_key *key, char out[PCCL_KEY_TEXT_BYTES]);
/* `bytes` of text. False: it is no key. */
bool pccl_key_parse(const char *text, size_t bytes, struct pccl_key *key_out);

/* The secret of a key's owner. */
struct pccl_secret pccl_identity_secret(const struct pccl_key *key, const uint8_t salt[PCCL_SALT_BYTES]);

/* Which end of the connection signs: of one to a master, or of one between members. */
enum pccl_role { PCCL_ROLE_PEER, PCCL_ROLE_MASTER, PCCL_ROLE_CALLER, PCCL_ROLE_CALLED };

/* Signs for one connection; key and salt of *proof are filled in. pcclSystemError. */
pcclResult_t pccl_proof_sign(const struct pccl_key_pair *pair, enum pccl_role role, const struct pccl_binding *binding,
			     struct pccl_proof *proof);
/* Was it made with the key, at that end of this connection? */
bool pccl_proof_holds(const struct pccl_proof *proof, enum pccl_role role, const struct pccl_binding *binding);

/* That, by the key that the uuid comes from? */
bool pccl_proof_is_of(const struct pccl_proof *proof, enum pccl_role role, const struct pccl_binding *binding,
		      const pcclRankUuid_t *uuid);

/* Who proves. Both are borrowed; NULL: nobody does. */
struct pccl_signer {
	const struct pccl_key_pair *keys;
	const uint8_t *salt;
};

/* The whole proof. pcclSystemError. */
pcclResult_t pccl_proof_make(const struct pccl_signer *signer, enum pccl_role role, const struct pccl_binding *binding,
			     struct pccl_proof *proof_out);

bool pccl_identity_admits(const struct pccl_secret *secret, const pcclRankUuid_t *caller, const struct pccl_pass *pass);

/* ---- seals: what a master has said, signed, so that another master need not believe who brings it ---- */

#define PCCL_IMPRINT_BYTES 32

/* SHA-256 of what is sealed. */
struct pccl_imprint {
	uint8_t data[PCCL_IMPRINT_BYTES];
};

struct pccl_seal {
	struct pccl_key key; /* of who has made it; zeros: there is none */
	uint8_t signature[PCCL_SIGNATURE_BYTES];
};

struct pccl_imprint pccl_imprint_of(const uint8_t *data, size_t bytes);

/* Is there one? It may be anybody's, about anything. */
bool pccl_seal_is_set(const struct pccl_seal *seal);

/* pcclSystemError. */
pcclResult_t pccl_seal_make(const struct pccl_key_pair *pair, const struct pccl_imprint *imprint,
			    struct pccl_seal *seal_out);
/* Was it made with the key that it names, about this? Says nothing of whose key that is. */
bool pccl_seal_holds(const struct pccl_seal *seal, const struct pccl_imprint *imprint);

/* By what a master seals, and knows others' seals: in functions, so that its machine runs with other ones, too. */
struct pccl_sealer {
	/* pcclSystemError. */
	pcclResult_t (*make)(const struct pccl_sealer *sealer, const struct pccl_imprint *imprint,
			     struct pccl_seal *seal_out);
	/* May what was sealed with the key be believed? */
	bool (*trusts)(const struct pccl_sealer *sealer, const struct pccl_key *key);
	bool (*holds)(const struct pccl_seal *seal, const struct pccl_imprint *imprint);
};

#endif
