#include "transport/tls/secret.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include "base/fail.h"
#include "transport/files.h"

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

pcclResult_t pccl_join_secret_generate(char text_out[PCCL_SECRET_TEXT_BYTES])
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

/* ---- files --------------------------------------------------------------------------------------------------- */

static bool counts(const char *line, size_t bytes)
{
	return bytes > 0 && line[0] != '#' && strspn(line, " \t") < bytes;
}

static pcclResult_t read_lines(FILE *file, const char *path, struct pccl_join_secret secrets_out[PCCL_JOIN_SECRETS_MAX],
			       uint32_t *count_out)
{
	pcclResult_t result = pcclSuccess;
	char line[256];
	uint32_t number;

	for (number = 1; result == pcclSuccess && fgets(line, sizeof(line), file) != NULL; number++) {
		size_t bytes = strcspn(line, "\r\n");

		if (!counts(line, bytes))
			continue;
		if (*count_out == PCCL_JOIN_SECRETS_MAX)
			result = pccl_fail(pcclInvalidArgument, "more than %u secrets", PCCL_JOIN_SECRETS_MAX);
		else
			result = pccl_join_secret_parse(line, bytes, &secrets_out[(*count_out)++]);
	}
	OPENSSL_cleanse(line, sizeof(line));
	if (result != pcclSuccess)
		return pccl_fail(result, "%s, line %u: %s", path, number - 1, pccl_fail_text());
	if (*count_out == 0)
		return pccl_fail(pcclInvalidArgument, "%s has no join secret in it", path);
	return pcclSuccess;
}

pcclResult_t pccl_join_secrets_gather(const char *text, const char *path,
				      struct pccl_join_secret secrets_out[PCCL_JOIN_SECRETS_MAX], uint32_t *count_out)
{
	pcclResult_t result;
	FILE *file;

	*count_out = 0;
	if (text != NULL && *text != '\0') {
		*count_out = 1;
		return pccl_join_secret_parse(text, strlen(text), &secrets_out[0]);
	}
	if (path == NULL || *path == '\0')
		return pccl_fail(pcclInvalidArgument,
				 "security psk needs a join secret: PCCL_SECRET_FILE or PCCL_SECRET");
	result = pccl_files_open(path, "a join secret", true, &file);
	if (result != pcclSuccess)
		return result;
	result = read_lines(file, path, secrets_out, count_out);
	(void)fclose(file);
	return result;
}

void pccl_join_secrets_wipe(struct pccl_join_secret secrets[PCCL_JOIN_SECRETS_MAX])
{
	OPENSSL_cleanse(secrets, PCCL_JOIN_SECRETS_MAX * sizeof(*secrets));
}
