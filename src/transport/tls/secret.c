#include "transport/tls/secret.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/fail.h"

#define PREFIX "pccl-secret-"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)
#define SUM_BYTES 4u
#define SEALED_BYTES (PCCL_JOIN_SECRET_BYTES + SUM_BYTES) /* a multiple of 3: base64 needs no filling */
#define BASE64_BYTES (SEALED_BYTES / 3 * 4)

static void seal(uint8_t sealed[SEALED_BYTES])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];

	(void)SHA256(sealed, PCCL_JOIN_SECRET_BYTES, digest);
	memcpy(sealed + PCCL_JOIN_SECRET_BYTES, digest, SUM_BYTES);
	OPENSSL_cleanse(digest, sizeof(digest));
}

pcclResult_t pccl_join_secret_generate(char text_out[PCCL_JOIN_SECRET_TEXT_BYTES])
{
	uint8_t sealed[SEALED_BYTES];

	if (RAND_priv_bytes(sealed, PCCL_JOIN_SECRET_BYTES) != 1)
		return pccl_fail(pcclSystemError, "the system gives no random numbers for a join secret");
	seal(sealed);
	memcpy(text_out, PREFIX, PREFIX_BYTES);
	(void)EVP_EncodeBlock((unsigned char *)text_out + PREFIX_BYTES, sealed, (int)SEALED_BYTES);
	OPENSSL_cleanse(sealed, sizeof(sealed));
	return pcclSuccess;
}

static pcclResult_t open_sealed(const uint8_t sealed[SEALED_BYTES], struct pccl_join_secret *secret_out)
{
	uint8_t right[SEALED_BYTES];
	pcclResult_t result = pcclSuccess;

	memcpy(right, sealed, sizeof(right));
	seal(right);
	if (CRYPTO_memcmp(right, sealed, sizeof(right)) == 0)
		memcpy(secret_out->data, sealed, PCCL_JOIN_SECRET_BYTES);
	else
		result = pccl_fail(pcclInvalidArgument,
				   "the join secret has a typing error: its check sum does not fit");
	OPENSSL_cleanse(right, sizeof(right));
	return result;
}

pcclResult_t pccl_join_secret_parse(const char *text, size_t bytes, struct pccl_join_secret *secret_out)
{
	uint8_t sealed[SEALED_BYTES];
	pcclResult_t result;

	if (bytes < PREFIX_BYTES || memcmp(text, PREFIX, PREFIX_BYTES) != 0)
		return pccl_fail(pcclInvalidArgument,
				 "a join secret begins with \"" PREFIX "\": pccl-master --generate-secret makes one");
	if (bytes != PREFIX_BYTES + BASE64_BYTES)
		return pccl_fail(pcclInvalidArgument, "a join secret has %zu characters, not %zu: was it cut?",
				 (size_t)(PREFIX_BYTES + BASE64_BYTES), bytes);
	if (EVP_DecodeBlock(sealed, (const unsigned char *)text + PREFIX_BYTES, (int)BASE64_BYTES) != (int)SEALED_BYTES)
		return pccl_fail(pcclInvalidArgument, "the join secret has characters that are not of base64");
	result = open_sealed(sealed, secret_out);
	OPENSSL_cleanse(sealed, sizeof(sealed));
	return result;
}
