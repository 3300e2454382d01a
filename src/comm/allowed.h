/*
 * Who may join what: the list in a file that a master was given. A line each:
 *
 *	key pccl-key-0123...			whoever has proven to have that key
 *	name worker-7 groups 0,3-5		whoever has a certificate of that common name; these groups only
 *
 * Blank lines and lines that begin with # do not count.
 */
#ifndef PCCL_ALLOWED_H
#define PCCL_ALLOWED_H

#include "base/identity.h"

struct pccl_allowed;

/* pcclInvalidArgument names the file and the line, and what is wrong with it; pcclOutOfMemory. */
pcclResult_t pccl_allowed_read(const char *path, struct pccl_allowed **allowed_out);
void pccl_allowed_destroy(struct pccl_allowed *allowed);

/* `name` is "" without a certificate. */
bool pccl_allowed_admits(const struct pccl_allowed *allowed, const struct pccl_key *key, const char *name,
			 uint32_t group);

#endif
