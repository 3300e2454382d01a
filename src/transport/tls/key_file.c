#include "transport/tls/key_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "base/fail.h"
#include "base/hex.h"
#include "transport/files.h"

#define PREFIX "pccl-private-key-"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)
#define PATH_BYTES 4096

/* ---- making -------------------------------------------------------------------------------------------------- */

static bool write_key(FILE *file, const uint8_t seed[PCCL_KEY_BYTES])
{
	size_t i;

	if (fputs("# Whoever has this key is who it belongs to: keep it to yourself.\n" PREFIX, file) < 0)
		return false;
	for (i = 0; i < PCCL_KEY_BYTES; i++)
		if (fprintf(file, "%02x", seed[i]) < 0)
			return false;
	return fputc('\n', file) != EOF && fflush(file) == 0 && fsync(fileno(file)) == 0;
}

/* Into a file of another name, which gets the right one when it is whole; if there is one meanwhile, that counts. */
static pcclResult_t make(const char *path)
{
	char temporary[PATH_BYTES];
	uint8_t seed[PCCL_KEY_BYTES];
	FILE *file;
	bool done;
	int fd;

	if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= sizeof(temporary))
		return pccl_fail(pcclInvalidArgument, "%.100s...: the name of a key's file is too long", path);
	fd = mkstemp(temporary); /* mode 0600 */
	file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (file == NULL)
		return pccl_fail(pcclInvalidArgument, "%s: a key can't be made there: %s", path, strerror(errno));
	done = RAND_priv_bytes(seed, sizeof(seed)) == 1 && write_key(file, seed);
	OPENSSL_cleanse(seed, sizeof(seed));
	done = fclose(file) == 0 && done && (link(temporary, path) == 0 || errno == EEXIST);
	(void)unlink(temporary);
	return done ? pcclSuccess
		    : pccl_fail(pcclSystemError, "%s: a key can't be made there: %s", path, strerror(errno));
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

static pcclResult_t read_key(FILE *file, const char *path, uint8_t seed_out[PCCL_KEY_BYTES])
{
	char line[256];
	bool found = false;

	while (!found && fgets(line, sizeof(line), file) != NULL)
		found = strncmp(line, PREFIX, PREFIX_BYTES) == 0 &&
			pccl_hex_read(line + PREFIX_BYTES, strcspn(line + PREFIX_BYTES, "\r\n"), seed_out,
				      PCCL_KEY_BYTES);
	OPENSSL_cleanse(line, sizeof(line));
	return found ? pcclSuccess
		     : pccl_fail(pcclInvalidArgument, "%s holds no key: a line of \"" PREFIX "\" and 64 digits", path);
}

pcclResult_t pccl_key_file_load(const char *path, struct pccl_key_pair *pair_out)
{
	pcclResult_t result = access(path, F_OK) == 0 || errno != ENOENT ? pcclSuccess : make(path);
	FILE *file = NULL;

	if (result == pcclSuccess)
		result = pccl_files_open(path, "a private key", true, &file);
	if (result == pcclSuccess)
		result = read_key(file, path, pair_out->seed);
	if (file != NULL)
		(void)fclose(file);
	return result == pcclSuccess ? pccl_key_make(pair_out) : result;
}
