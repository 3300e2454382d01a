/*
 * Who a peer is, and how it proves it. Its uuid is a digest of a secret that it draws itself and tells masters only:
 * who can show the secret owns the uuid, at whatever master, and who knows the uuid can't find the secret. From the
 * secret comes a pass for each pair as well: what one peer has to show when it calls another one. A master, which knows
 * the secret of the one who is called, gives it to the one who calls; the one who is called needs to be told nothing.
 */
#ifndef PCCL_BASE_IDENTITY_H
#define PCCL_BASE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#define PCCL_SECRET_BYTES 32
#define PCCL_PASS_BYTES 16

struct pccl_secret {
	uint8_t data[PCCL_SECRET_BYTES];
};

struct pccl_pass {
	uint8_t data[PCCL_PASS_BYTES];
};

/* The uuid of who owns the secret. */
pcclRankUuid_t pccl_identity_uuid(const struct pccl_secret *secret);

/* Is the uuid that of the secret's owner? Takes the same time whatever differs, as the next but one. */
bool pccl_identity_owns(const struct pccl_secret *secret, const pcclRankUuid_t *uuid);

/* What `caller` shows when it calls the owner of the secret. */
struct pccl_pass pccl_identity_pass(const struct pccl_secret *secret, const pcclRankUuid_t *caller);

bool pccl_identity_admits(const struct pccl_secret *secret, const pcclRankUuid_t *caller, const struct pccl_pass *pass);

#endif
