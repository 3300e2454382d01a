/* Identities and passes. The two digests are of messages of different lengths, so that neither tells of the other. */
#include "base/identity.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/sha.h>

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
