/* Seals of the master machine: see master_seal.c. Without a sealer nothing is signed, and all is believed. */
#ifndef PCCL_MEMBERSHIP_MASTER_SEAL_H
#define PCCL_MEMBERSHIP_MASTER_SEAL_H

#include "membership/master/master_internal.h"

/* Signs a view that is about to be in force, and what those promise who answer PREPARE. Return pcclOutOfMemory. */
pcclResult_t pccl_seal_install(const struct pccl_master *master, struct pccl_install *install);
pcclResult_t pccl_seal_prepare(const struct pccl_master *master, uint32_t group, struct pccl_message_prepare *prepare);

/* Has a master that counts made the view and the promises that the client brings? If not it is dismissed. */
bool pccl_seals_check(struct pccl_master *master, struct pccl_client *client,
		      const struct pccl_message_register *registration);

#endif
