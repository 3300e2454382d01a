/* Ed25519 keys as files: one line of text, which is made on first use. */
#ifndef PCCL_TRANSPORT_TLS_KEY_FILE_H
#define PCCL_TRANSPORT_TLS_KEY_FILE_H

#include "base/identity.h"

/* Reads the key, or makes one, for its owner only to read, if there is no such file yet: of several that do so at a
 * time one makes it. pcclInvalidArgument: what is wrong with the file; pcclSystemError: a key can't be made. */
pcclResult_t pccl_key_file_load(const char *path, struct pccl_key_pair *pair_out);

#endif
