/* Join secrets: 256 random bits that all members of a run and its masters share, as bytes and as one line of text. */
#ifndef PCCL_TRANSPORT_TLS_SECRET_H
#define PCCL_TRANSPORT_TLS_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include <pccl/security.h>

#define PCCL_JOIN_SECRET_BYTES 32u
#define PCCL_JOIN_SECRETS_MAX 4u

struct pccl_join_secret {
	uint8_t data[PCCL_JOIN_SECRET_BYTES];
};

/* "pccl-secret-", then the bytes and 4 bytes of a check sum in base64. pcclSystemError: no random numbers. */
pcclResult_t pccl_join_secret_generate(char text_out[PCCL_SECRET_TEXT_BYTES]);

/* `bytes` of text, without line end. pcclInvalidArgument says what is wrong with it, and never shows it. */
pcclResult_t pccl_join_secret_parse(const char *text, size_t bytes, struct pccl_join_secret *secret_out);

/* The secret in `text`, or if that is NULL or empty those in the lines of a file. pcclInvalidArgument: none, a bad one,
 * or a file that can't be read or is no plain one (transport/files.h); a file that others may read is warned of. */
pcclResult_t pccl_join_secrets_gather(const char *text, const char *path,
				      struct pccl_join_secret secrets_out[PCCL_JOIN_SECRETS_MAX], uint32_t *count_out);
void pccl_join_secrets_wipe(struct pccl_join_secret secrets[PCCL_JOIN_SECRETS_MAX]);

#endif
