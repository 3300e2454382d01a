/* Identities and passes. The two digests are of messages of different lengths, so that neither tells of the other. */
#include "base/identity.h"

#include <string.h>

#include "base/sha256.h"

pcclRankUuid_t pccl_identity_uuid(const struct pccl_secret *secret)
{
	uint8_t digest[PCCL_SHA256_BYTES];
	pcclRankUuid_t uuid;

	pccl_sha256(secret->data, sizeof(secret->data), digest);
	memcpy(uuid.data, digest, sizeof(uuid.data));
	return uuid;
}

struct pccl_pass pccl_identity_pass(const struct pccl_secret *secret, const pcclRankUuid_t *caller)
{
	uint8_t both[PCCL_SECRET_BYTES + sizeof(caller->data)];
	uint8_t digest[PCCL_SHA256_BYTES];
	struct pccl_pass pass;

	memcpy(both, secret->data, sizeof(secret->data));
	memcpy(both + sizeof(secret->data), caller->data, sizeof(caller->data));
	pccl_sha256(both, sizeof(both), digest);
	memcpy(pass.data, digest, sizeof(pass.data));
	return pass;
}

/* Looks at every byte, so that the time says nothing about the first one that differs. */
static bool are_same(const uint8_t *left, const uint8_t *right, size_t bytes)
{
	uint8_t difference = 0;
	size_t i;

	for (i = 0; i < bytes; i++)
		difference |= left[i] ^ right[i];
	return difference == 0;
}

bool pccl_identity_owns(const struct pccl_secret *secret, const pcclRankUuid_t *uuid)
{
	pcclRankUuid_t own = pccl_identity_uuid(secret);

	return are_same(own.data, uuid->data, sizeof(own.data));
}

bool pccl_identity_admits(const struct pccl_secret *secret, const pcclRankUuid_t *caller, const struct pccl_pass *pass)
{
	struct pccl_pass right = pccl_identity_pass(secret, caller);

	return are_same(right.data, pass->data, sizeof(right.data));
}
