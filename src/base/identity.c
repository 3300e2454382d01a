/* Identities, passes and proofs. The digests are of messages of different lengths, so that none tells of another. */
#include "base/identity.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "base/fail.h"
#include "base/hex.h"

#define PURPOSE_BYTES 32u
#define ABOUT_BYTES 32u /* of a binding, and of an imprint */

/* What is signed: this, and the binding, or the imprint. A key that signs other things as well signs nothing that
 * begins so. */
static const char purposes[][PURPOSE_BYTES] = {
	[PCCL_ROLE_PEER] = "pccl: I am at this connection",
	[PCCL_ROLE_MASTER] = "pccl: this is my master's port",
	[PCCL_ROLE_CALLER] = "pccl: I call a member",
	[PCCL_ROLE_CALLED] = "pccl: a member has called me",
};

static const char seal_purpose[PURPOSE_BYTES] = "pccl: a master says this";

static const char key_prefix[] = "pccl-key-";

pcclRankUuid_t pccl_identity_uuid(const struct pccl_secret *secret)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	pcclRankUuid_t uuid;

	(void)SHA256(secret->data, sizeof(secret->data), digest);
	memcpy(uuid.data, digest, sizeof(uuid.data));
	return uuid;
}

struct pccl_pass pccl_identity_pass(const struct pccl_secret *secret, const pcclRankUuid_t *caller)
{
	uint8_t both[PCCL_SECRET_BYTES + sizeof(caller->data)];
	uint8_t digest[SHA256_DIGEST_LENGTH];
	struct pccl_pass pass;

	memcpy(both, secret->data, sizeof(secret->data));
	memcpy(both + sizeof(secret->data), caller->data, sizeof(caller->data));
	(void)SHA256(both, sizeof(both), digest);
	memcpy(pass.data, digest, sizeof(pass.data));
	return pass;
}

bool pccl_identity_owns(const struct pccl_secret *secret, const pcclRankUuid_t *uuid)
{
	pcclRankUuid_t own = pccl_identity_uuid(secret);

	return CRYPTO_memcmp(own.data, uuid->data, sizeof(own.data)) == 0;
}

bool pccl_identity_admits(const struct pccl_secret *secret, const pcclRankUuid_t *caller, const struct pccl_pass *pass)
{
	struct pccl_pass right = pccl_identity_pass(secret, caller);

	return CRYPTO_memcmp(right.data, pass->data, sizeof(right.data)) == 0;
}

/* ---- keys ---------------------------------------------------------------------------------------------------- */

static pcclResult_t fail_key(const char *what)
{
	ERR_clear_error();
	return pccl_fail(pcclSystemError, "OpenSSL can't %s", what);
}

pcclResult_t pccl_key_make(struct pccl_key_pair *pair)
{
	EVP_PKEY *private_key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, pair->seed, sizeof(pair->seed));
	size_t bytes = sizeof(pair->key.data);
	int made = private_key != NULL ? EVP_PKEY_get_raw_public_key(private_key, pair->key.data, &bytes) : 0;

	EVP_PKEY_free(private_key);
	return made == 1 ? pcclSuccess : fail_key("make an Ed25519 key");
}

void pccl_key_wipe(struct pccl_key_pair *pair)
{
	OPENSSL_cleanse(pair, sizeof(*pair));
}

struct pccl_secret pccl_identity_secret(const struct pccl_key *key, const uint8_t salt[PCCL_SALT_BYTES])
{
	uint8_t both[PCCL_KEY_BYTES + PCCL_SALT_BYTES];
	struct pccl_secret secret;

	memcpy(both, key->data, PCCL_KEY_BYTES);
	memcpy(both + PCCL_KEY_BYTES, salt, PCCL_SALT_BYTES);
	(void)SHA256(both, sizeof(both), secret.data);
	return secret;
}

void pccl_key_text(const struct pccl_key *key, char out[PCCL_KEY_TEXT_BYTES])
{
	memcpy(out, key_prefix, sizeof(key_prefix) - 1);
	pccl_hex_write(key->data, PCCL_KEY_BYTES, out + sizeof(key_prefix) - 1);
}

bool pccl_key_parse(const char *text, size_t bytes, struct pccl_key *key_out)
{
	const size_t prefix_bytes = sizeof(key_prefix) - 1;

	return bytes > prefix_bytes && memcmp(text, key_prefix, prefix_bytes) == 0 &&
	       pccl_hex_read(text + prefix_bytes, bytes - prefix_bytes, key_out->data, PCCL_KEY_BYTES);
}

/* Signs what the key is used for, and what about. */
static pcclResult_t sign(const struct pccl_key_pair *pair, const char purpose[PURPOSE_BYTES],
			 const uint8_t about[ABOUT_BYTES], uint8_t signature[PCCL_SIGNATURE_BYTES])
{
	EVP_PKEY *private_key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, pair->seed, sizeof(pair->seed));
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t text[PURPOSE_BYTES + ABOUT_BYTES];
	size_t bytes = PCCL_SIGNATURE_BYTES;
	bool done;

	memcpy(text, purpose, PURPOSE_BYTES);
	memcpy(text + PURPOSE_BYTES, about, ABOUT_BYTES);
	done = private_key != NULL && context != NULL &&
	       EVP_DigestSignInit(context, NULL, NULL, NULL, private_key) == 1 &&
	       EVP_DigestSign(context, signature, &bytes, text, sizeof(text)) == 1 && bytes == PCCL_SIGNATURE_BYTES;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(private_key);
	return done ? pcclSuccess : fail_key("sign with an Ed25519 key");
}

static bool holds(const struct pccl_key *by, const char purpose[PURPOSE_BYTES], const uint8_t about[ABOUT_BYTES],
		  const uint8_t signature[PCCL_SIGNATURE_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, by->data, sizeof(by->data));
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint8_t text[PURPOSE_BYTES + ABOUT_BYTES];
	bool does;

	memcpy(text, purpose, PURPOSE_BYTES);
	memcpy(text + PURPOSE_BYTES, about, ABOUT_BYTES);
	does = key != NULL && context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
	       EVP_DigestVerify(context, signature, PCCL_SIGNATURE_BYTES, text, sizeof(text)) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return does;
}

pcclResult_t pccl_proof_sign(const struct pccl_key_pair *pair, enum pccl_role role, const struct pccl_binding *binding,
			     struct pccl_proof *proof)
{
	return sign(pair, purposes[role], binding->data, proof->signature);
}

bool pccl_proof_holds(const struct pccl_proof *proof, enum pccl_role role, const struct pccl_binding *binding)
{
	return holds(&proof->key, purposes[role], binding->data, proof->signature);
}

bool pccl_proof_is_of(const struct pccl_proof *proof, enum pccl_role role, const struct pccl_binding *binding,
		      const pcclRankUuid_t *uuid)
{
	struct pccl_secret secret = pccl_identity_secret(&proof->key, proof->salt);

	return pccl_identity_owns(&secret, uuid) && pccl_proof_holds(proof, role, binding);
}

pcclResult_t pccl_proof_make(const struct pccl_signer *signer, enum pccl_role role, const struct pccl_binding *binding,
			     struct pccl_proof *proof_out)
{
	proof_out->key = signer->keys->key;
	memcpy(proof_out->salt, signer->salt, sizeof(proof_out->salt));
	return pccl_proof_sign(signer->keys, role, binding, proof_out);
}

/* ---- seals --------------------------------------------------------------------------------------------------- */

struct pccl_imprint pccl_imprint_of(const uint8_t *data, size_t bytes)
{
	struct pccl_imprint imprint;

	(void)SHA256(data, bytes, imprint.data);
	return imprint;
}

bool pccl_seal_is_set(const struct pccl_seal *seal)
{
	static const struct pccl_key none;

	return memcmp(&seal->key, &none, sizeof(none)) != 0;
}

pcclResult_t pccl_seal_make(const struct pccl_key_pair *pair, const struct pccl_imprint *imprint,
			    struct pccl_seal *seal_out)
{
	seal_out->key = pair->key;
	return sign(pair, seal_purpose, imprint->data, seal_out->signature);
}

bool pccl_seal_holds(const struct pccl_seal *seal, const struct pccl_imprint *imprint)
{
	return holds(&seal->key, seal_purpose, imprint->data, seal->signature);
}
