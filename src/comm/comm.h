/* The life of a communicator: its monitor, its control thread, its lanes, made and ended in the right order. */
#ifndef PCCL_COMM_H
#define PCCL_COMM_H

#include <stdbool.h>

#include <pccl.h>

#include "comm/monitor.h"

/* No thread yet. `config` may be NULL; `classic`: it is to behave as PCCL 1.0 programs expect. pcclInvalidArgument
 * names the setting and what is wrong with it. */
pcclResult_t pccl_comm_create(const pcclCommCreateParams_t *params, const pcclConfig_t *config, bool classic,
			      pcclComm_t **comm_out);

/* Starts the threads and joins; after a failure they have ended. See pcclConnect(). */
pcclResult_t pccl_comm_connect(pcclComm_t *comm);

/* A PCCL 1.0 program that was evicted calls pcclUpdateTopology(): joins as another peer. False: there is nothing to
 * join again, and nothing was done. */
bool pccl_comm_rejoin(pcclComm_t *comm, pcclResult_t *result_out);

/* Its user lets it go: it leaves the group. When nobody holds it any more it waits for the calls that are inside, ends
 * the threads, frees. */
void pccl_comm_destroy(pcclComm_t *comm);

/* Who works for its user in threads of their own hold it, for the user may destroy it while they do. */
void pccl_comm_hold(pcclComm_t *comm);
void pccl_comm_release(pcclComm_t *comm);
bool pccl_comm_is_destroyed(const pcclComm_t *comm);

/* It was made by an ancestor of this process: its threads are not here, and its locks may be held for ever. */
bool pccl_comm_is_inherited(const pcclComm_t *comm);

struct pccl_monitor *pccl_comm_monitor(const pcclComm_t *comm);
const struct pccl_self *pccl_comm_self(const pcclComm_t *comm);

#endif
