/* A master in this process: a thread of its own around the machine. What the public master calls do. */
#ifndef PCCL_MASTER_SERVER_H
#define PCCL_MASTER_SERVER_H

#include <stdbool.h>

#include <pccl.h>
#include <pccl/security.h>

/* Does not listen yet. pcclInvalidArgument (no address), pcclOutOfMemory. */
pcclResult_t pccl_master_server_create(const ccoip_socket_address_t *listen_address,
				       pcclMasterInstance_t **instance_out);

/* Before it runs, or other credentials while it does. pcclInvalidUsage: it runs, and is or would be plain;
 * pcclInvalidArgument, pcclOutOfMemory. */
pcclResult_t pccl_master_server_protect(pcclMasterInstance_t *instance, const pcclSecurity_t *security);

/* Who may join, from now on: the list in a file (comm/allowed.h), or NULL: everybody. Those who may not any more are
 * evicted. pcclInvalidArgument (the file; what was before stays), pcclInvalidUsage (connections are plain),
 * pcclOutOfMemory. */
pcclResult_t pccl_master_server_allow(pcclMasterInstance_t *instance, const char *path);

/* Carries a command of its operator's out (comm/master_command.h) and hands the lines of the answer to `take`, unless
 * that is NULL. pcclInvalidArgument: it is none, or is about nobody; pcclInvalidUsage: the master does not run, or is
 * plain; pcclOutOfMemory. */
pcclResult_t pccl_master_server_command(pcclMasterInstance_t *instance, const char *line, pcclLineCallback_t take,
					void *context);

/* Listens and serves. pcclInvalidUsage (it can't be bound, or has run), pcclOutOfMemory. */
pcclResult_t pccl_master_server_run(pcclMasterInstance_t *instance);

/* It was made by an ancestor of this process. */
bool pccl_master_server_is_inherited(const pcclMasterInstance_t *instance);

/* Asks it to stop. pcclInvalidUsage: it never ran; so of the next. */
pcclResult_t pccl_master_server_interrupt(pcclMasterInstance_t *instance);
pcclResult_t pccl_master_server_await(pcclMasterInstance_t *instance);

void pccl_master_server_destroy(pcclMasterInstance_t *instance);

#endif
