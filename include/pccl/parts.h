/* Collectives that move parts from one member to another as they are: gather, scatter, all-to-all, send and receive.
 * pccl.h includes this; what it says of all collectives is true of these. */
#ifndef PCCL_PARTS_H
#define PCCL_PARTS_H

#include "pccl.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Gather, scatter and all-to-all move parts of any size, 0 too, from one member to another. Counts are in elements, by
 * rank, and read before the call returns; NULL: each is operation->count. Parts lie one after the other in rank order,
 * without gaps. What one member means to send and another one to receive is compared: if it is not the same, the
 * operation ends with pcclMismatch at all members; at these two the last error says both numbers. Between two members
 * go at most 256 GiB / world. `plan`, `op` and `zstd` are not used, a codec is pcclInvalidArgument; pcclInvalidArgument
 * also: no such root, NULL for a buffer that has elements. After a failure input is as it was, the receive buffer
 * undefined. They are of the view in force at the call: with members lost before they could begin they end as with
 * members lost meanwhile.
 */

/* The root's recvbuff = the members' sendbuffs, one after the other in rank order. `counts` (world of them) and
 * recvbuff are read on the root only; elsewhere operation->count is what this member sends. On the root that count is
 * read only if `counts` is NULL. In place, on the root: sendbuff is where its part comes to. */
PCCL_EXPORT pcclResult_t pcclGather(const void *sendbuff, void *recvbuff PCCL_NULLABLE,
				    const size_t *counts PCCL_NULLABLE, const pcclOperation_t *operation,
				    const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclGatherAsync(const void *sendbuff, void *recvbuff PCCL_NULLABLE,
					 const size_t *counts PCCL_NULLABLE, const pcclOperation_t *operation,
					 const pcclComm_t *communicator, pcclHandle_t *handle_out);

/* Every member's recvbuff = its part of the root's sendbuff. `counts` and sendbuff are read on the root only; elsewhere
 * operation->count is what this member receives. In place, on the root: recvbuff is where its part lies. */
PCCL_EXPORT pcclResult_t pcclScatter(const void *sendbuff PCCL_NULLABLE, void *recvbuff,
				     const size_t *counts PCCL_NULLABLE, const pcclOperation_t *operation,
				     const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclScatterAsync(const void *sendbuff PCCL_NULLABLE, void *recvbuff,
					  const size_t *counts PCCL_NULLABLE, const pcclOperation_t *operation,
					  const pcclComm_t *communicator, pcclHandle_t *handle_out);

/* Part r of sendbuff goes to rank r, part r of recvbuff comes from there; this member's own part is copied. What i
 * sends to j (send_counts[j] at i) and j receives from i (receive_counts[i] at j) has to be the same;
 * pcclInvalidArgument also: a member's two counts for itself differ, or the buffers overlap. An all-gather of uneven
 * parts is one broadcast of each, under tags of their own. */
PCCL_EXPORT pcclResult_t pcclAllToAll(const void *sendbuff, void *recvbuff, const size_t *send_counts PCCL_NULLABLE,
				      const size_t *receive_counts PCCL_NULLABLE, const pcclOperation_t *operation,
				      const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclAllToAllAsync(const void *sendbuff, void *recvbuff,
					   const size_t *send_counts PCCL_NULLABLE,
					   const size_t *receive_counts PCCL_NULLABLE, const pcclOperation_t *operation,
					   const pcclComm_t *communicator, pcclHandle_t *handle_out);

/*
 * From one member to another: only these two call, one pcclSend() for each pcclRecv(), matched by tag in the order of
 * calls. Sender, receiver and tag together name the operation, so one tag may be in use both ways, between other
 * members, and by a collective at the same time; at most one of each is in flight. `rank` is of the view in force at
 * the call; who that was remains the other end. operation->count, datatype and policy have to be the same at both ends,
 * or both get pcclMismatch. pcclSend() returns when the receiver has everything. A member lost, whichever, ends an
 * operation in flight or not launched yet by the other end as pcclFailurePolicy_t says; if it is the other end, with
 * pcclRankConnectionLost, but for a receiver that has everything, and a sender whose receiver may have had. A time-out
 * ends it at both: where the other end has not called yet, the call that is due there gets pcclTimeout at once, and the
 * next ones match each other. pcclInvalidArgument: `rank` is this peer or no rank; a codec. participants: 2.
 */
PCCL_EXPORT pcclResult_t pcclSend(const void *sendbuff, uint32_t rank, const pcclOperation_t *operation,
				  const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclSendAsync(const void *sendbuff, uint32_t rank, const pcclOperation_t *operation,
				       const pcclComm_t *communicator, pcclHandle_t *handle_out);
PCCL_EXPORT pcclResult_t pcclRecv(void *recvbuff, uint32_t rank, const pcclOperation_t *operation,
				  const pcclComm_t *communicator, pcclOperationInfo_t *info_out PCCL_NULLABLE);
PCCL_EXPORT pcclResult_t pcclRecvAsync(void *recvbuff, uint32_t rank, const pcclOperation_t *operation,
				       const pcclComm_t *communicator, pcclHandle_t *handle_out);

#ifdef __cplusplus
}
#endif

#endif
