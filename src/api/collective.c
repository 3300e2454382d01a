/* The public collectives: each fills a request and launches it; a blocking one then awaits it. */
#include <stddef.h>

#include "api/library.h"
#include "api/ops.h"
#include "base/choice.h"
#include "base/fail.h"
#include "collectives/element/dtype.h"
#include "comm/monitor.h"

static pcclResult_t check_unread(const pcclOperation_t *operation)
{
	const struct pccl_choice choices[] = {
		{"datatype", pcclEnumDataType, (int)operation->datatype},
		{"op", pcclEnumRedOp, (int)operation->op},
	};

	return pccl_choices_check(choices, sizeof(choices) / sizeof(choices[0]));
}

static pcclResult_t fill(enum pccl_collective kind, const void *input, void *output, const pcclOperation_t *operation,
			 struct pccl_op_request *request_out)
{
	struct pccl_op_request request = {.kind = kind, .input = input, .output = output};
	pcclResult_t result = pccl_ops_read(operation, &request.operation);

	*request_out = request;
	if (result == pcclSuccess && kind == PCCL_BARRIER) {
		/* Members need not choose these alike. */
		result = check_unread(&request.operation);
		request_out->operation.count = 0;
		request_out->operation.datatype = pcclUint8;
		request_out->operation.op = pcclSum;
	}
	return result;
}

static pcclResult_t launch(enum pccl_collective kind, const void *input, void *output, const pcclOperation_t *operation,
			   const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	struct pccl_op_request request;
	bool awaited;
	pcclResult_t result = fill(kind, input, output, operation, &request);

	return result == pcclSuccess ? pccl_ops_launch(communicator, &request, handle_out, &awaited) : result;
}

static pcclResult_t run(enum pccl_collective kind, const void *input, void *output, const pcclOperation_t *operation,
			const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	struct pccl_op_request request;
	bool launched;
	pcclResult_t result = pccl_ops_check_info(info_out);

	if (result == pcclSuccess)
		result = fill(kind, input, output, operation, &request);
	return result == pcclSuccess ? pccl_ops_run(communicator, &request, info_out, &launched) : result;
}

/* PCCL 1.0 programs ask for a type as wide as the data's, or wider: nothing would get smaller, and less exact. */
static bool travels_plain(const pcclReduceDescriptor_t *descriptor)
{
	const pcclDataType_t type = descriptor->src_descriptor.datatype;
	const pcclDataType_t quantized = descriptor->quantization_options.quantized_datatype;
	const int algorithm = (int)descriptor->quantization_options.algorithm;

	return (algorithm == pcclQuantMinMax || algorithm == pcclQuantZeroPointScale) && pccl_dtype_valid((int)type) &&
	       pccl_dtype_valid((int)quantized) && pccl_dtype_bytes(quantized) >= pccl_dtype_bytes(type);
}

/* PCCL 1.0's descriptor in today's words. */
static pcclResult_t translate(const pcclReduceDescriptor_t *descriptor, pcclOperation_t *operation_out)
{
	const pcclOperation_t defaults = PCCL_OPERATION_INITIALIZER;

	*operation_out = defaults;
	if (descriptor == NULL)
		return pccl_fail(pcclInvalidArgument, "descriptor is NULL");
	operation_out->count = descriptor->count;
	operation_out->datatype = descriptor->src_descriptor.datatype;
	operation_out->op = descriptor->op;
	operation_out->tag = descriptor->tag;
	if (pccl_choice_check("distribution_hint", pcclEnumDistributionHint,
			      (int)descriptor->src_descriptor.distribution_hint) != pcclSuccess)
		return pcclInvalidArgument;
	if (travels_plain(descriptor))
		return pcclSuccess;
	operation_out->codec = descriptor->quantization_options.algorithm;
	operation_out->codec_datatype = descriptor->quantization_options.quantized_datatype;
	return pcclSuccess;
}

static void translate_info(const pcclOperationInfo_t *info, pcclReduceInfo_t *reduce_info_out)
{
	if (reduce_info_out == NULL)
		return;
	reduce_info_out->local_world_size = info->participants_max;
	reduce_info_out->tx_bytes = info->tx_bytes;
	reduce_info_out->rx_bytes = info->rx_bytes;
}

pcclResult_t pcclAllReduceFor(const void *sendbuff, void *recvbuff, const pcclReduceDescriptor_t *descriptor,
			      const pcclComm_t *communicator, uint32_t stay_ms, pcclAsyncReduceOp_t *reduce_handle_out,
			      pcclReduceInfo_t *reduce_info_out)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	struct pccl_op_request request;
	pcclOperation_t operation;
	pcclHandle_t handle = {NULL, 0, 0};
	bool awaited = false;
	pcclResult_t result = translate(descriptor, &operation);

	operation.stay_ms = stay_ms;
	operation.info = stay_ms == 0 ? NULL : &info;
	if (result == pcclSuccess && reduce_handle_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "the handle is NULL");
	if (result == pcclSuccess)
		result = fill(PCCL_ALL_REDUCE, sendbuff, recvbuff, &operation, &request);
	if (result == pcclSuccess)
		result = pccl_ops_launch(communicator, &request, &handle, &awaited);
	if (reduce_handle_out != NULL) {
		reduce_handle_out->comm = handle.comm;
		reduce_handle_out->tag = handle.tag;
	}
	if (awaited)
		translate_info(&info, reduce_info_out);
	return pccl_library_result(communicator, result, awaited ? pcclRankConnectionLost : pcclInvalidUsage);
}

pcclResult_t pcclAllReduceAsync(const void *sendbuff, void *recvbuff, const pcclReduceDescriptor_t *descriptor,
				const pcclComm_t *communicator, pcclAsyncReduceOp_t *reduce_handle_out)
{
	return pcclAllReduceFor(sendbuff, recvbuff, descriptor, communicator, 0, reduce_handle_out, NULL);
}

pcclResult_t pcclAwaitAsyncReduce(const pcclAsyncReduceOp_t *reduce_handle, pcclReduceInfo_t *reduce_info_out)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclHandle_t handle = {NULL, 0, PCCL_ANY_LAUNCH};
	pcclResult_t result;

	if (reduce_handle == NULL)
		return pccl_fail(pcclInvalidArgument, "the handle is NULL");
	handle.comm = reduce_handle->comm;
	handle.tag = reduce_handle->tag;
	result = pccl_ops_await(&handle, &info);
	translate_info(&info, reduce_info_out);
	return pccl_library_result(reduce_handle->comm, result, pcclRankConnectionLost);
}

pcclResult_t pcclAllReduce(const void *sendbuff, void *recvbuff, const pcclReduceDescriptor_t *descriptor,
			   const pcclComm_t *communicator, pcclReduceInfo_t *reduce_info_out)
{
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	struct pccl_op_request request;
	pcclOperation_t operation;
	bool launched = false;
	pcclResult_t result = translate(descriptor, &operation);

	if (result == pcclSuccess)
		result = fill(PCCL_ALL_REDUCE, sendbuff, recvbuff, &operation, &request);
	if (result == pcclSuccess)
		result = pccl_ops_run(communicator, &request, &info, &launched);
	if (launched)
		translate_info(&info, reduce_info_out);
	return pccl_library_result(communicator, result, launched ? pcclRankConnectionLost : pcclInvalidUsage);
}

pcclResult_t pcclAwait(const pcclHandle_t *handle, pcclOperationInfo_t *info_out)
{
	return pccl_ops_await(handle, info_out);
}

pcclResult_t pcclAllReduceWith(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
			       const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run(PCCL_ALL_REDUCE, sendbuff, recvbuff, operation, communicator, info_out);
}

pcclResult_t pcclAllReduceWithAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
				    const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch(PCCL_ALL_REDUCE, sendbuff, recvbuff, operation, communicator, handle_out);
}

pcclResult_t pcclBroadcast(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
			   const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run(PCCL_BROADCAST, sendbuff, recvbuff, operation, communicator, info_out);
}

pcclResult_t pcclBroadcastAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
				const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch(PCCL_BROADCAST, sendbuff, recvbuff, operation, communicator, handle_out);
}

pcclResult_t pcclReduceScatter(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
			       const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run(PCCL_REDUCE_SCATTER, sendbuff, recvbuff, operation, communicator, info_out);
}

pcclResult_t pcclReduceScatterAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
				    const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch(PCCL_REDUCE_SCATTER, sendbuff, recvbuff, operation, communicator, handle_out);
}

pcclResult_t pcclAllGather(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
			   const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run(PCCL_ALL_GATHER, sendbuff, recvbuff, operation, communicator, info_out);
}

pcclResult_t pcclAllGatherAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
				const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch(PCCL_ALL_GATHER, sendbuff, recvbuff, operation, communicator, handle_out);
}

pcclResult_t pcclReduce(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
			const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run(PCCL_REDUCE, sendbuff, recvbuff, operation, communicator, info_out);
}

pcclResult_t pcclReduceAsync(const void *sendbuff, void *recvbuff, const pcclOperation_t *operation,
			     const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch(PCCL_REDUCE, sendbuff, recvbuff, operation, communicator, handle_out);
}

/* What moves parts: with its counts in the request. */
static pcclResult_t launch_parts(struct pccl_op_request request, const pcclOperation_t *operation,
				 const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	bool awaited;
	pcclResult_t result = pccl_ops_read(operation, &request.operation);

	return result == pcclSuccess ? pccl_ops_launch(communicator, &request, handle_out, &awaited) : result;
}

static pcclResult_t run_parts(struct pccl_op_request request, const pcclOperation_t *operation,
			      const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	bool launched;
	pcclResult_t result = pccl_ops_check_info(info_out);

	if (result == pcclSuccess)
		result = pccl_ops_read(operation, &request.operation);
	return result == pcclSuccess ? pccl_ops_run(communicator, &request, info_out, &launched) : result;
}

static struct pccl_op_request gather(const void *sendbuff, void *recvbuff, const size_t *counts)
{
	struct pccl_op_request request = {
		.kind = PCCL_GATHER, .input = sendbuff, .output = recvbuff, .receives = counts};

	return request;
}

pcclResult_t pcclGather(const void *sendbuff, void *recvbuff, const size_t *counts, const pcclOperation_t *operation,
			const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run_parts(gather(sendbuff, recvbuff, counts), operation, communicator, info_out);
}

pcclResult_t pcclGatherAsync(const void *sendbuff, void *recvbuff, const size_t *counts,
			     const pcclOperation_t *operation, const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch_parts(gather(sendbuff, recvbuff, counts), operation, communicator, handle_out);
}

static struct pccl_op_request scatter(const void *sendbuff, void *recvbuff, const size_t *counts)
{
	struct pccl_op_request request = {.kind = PCCL_SCATTER, .input = sendbuff, .output = recvbuff, .sends = counts};

	return request;
}

pcclResult_t pcclScatter(const void *sendbuff, void *recvbuff, const size_t *counts, const pcclOperation_t *operation,
			 const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run_parts(scatter(sendbuff, recvbuff, counts), operation, communicator, info_out);
}

pcclResult_t pcclScatterAsync(const void *sendbuff, void *recvbuff, const size_t *counts,
			      const pcclOperation_t *operation, const pcclComm_t *communicator,
			      pcclHandle_t *handle_out)
{
	return launch_parts(scatter(sendbuff, recvbuff, counts), operation, communicator, handle_out);
}

static struct pccl_op_request all_to_all(const void *sendbuff, void *recvbuff, const size_t *sends,
					 const size_t *receives)
{
	struct pccl_op_request request = {
		.kind = PCCL_ALL_TO_ALL, .input = sendbuff, .output = recvbuff, .sends = sends, .receives = receives};

	return request;
}

pcclResult_t pcclAllToAll(const void *sendbuff, void *recvbuff, const size_t *send_counts, const size_t *receive_counts,
			  const pcclOperation_t *operation, const pcclComm_t *communicator,
			  pcclOperationInfo_t *info_out)
{
	return run_parts(all_to_all(sendbuff, recvbuff, send_counts, receive_counts), operation, communicator,
			 info_out);
}

pcclResult_t pcclAllToAllAsync(const void *sendbuff, void *recvbuff, const size_t *send_counts,
			       const size_t *receive_counts, const pcclOperation_t *operation,
			       const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch_parts(all_to_all(sendbuff, recvbuff, send_counts, receive_counts), operation, communicator,
			    handle_out);
}

static struct pccl_op_request transfer(const void *sendbuff, void *recvbuff, bool is_sender)
{
	struct pccl_op_request request = {
		.kind = PCCL_TRANSFER, .input = sendbuff, .output = recvbuff, .is_sender = is_sender};

	return request;
}

/* The other end goes where roots do. */
static pcclResult_t launch_transfer(struct pccl_op_request request, uint32_t rank, const pcclOperation_t *operation,
				    const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	pcclOperation_t full;
	pcclResult_t result = pccl_ops_read(operation, &full);

	full.root = rank;
	return result == pcclSuccess ? launch_parts(request, &full, communicator, handle_out) : result;
}

static pcclResult_t run_transfer(struct pccl_op_request request, uint32_t rank, const pcclOperation_t *operation,
				 const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	pcclOperation_t full;
	pcclResult_t result = pccl_ops_read(operation, &full);

	full.root = rank;
	return result == pcclSuccess ? run_parts(request, &full, communicator, info_out) : result;
}

pcclResult_t pcclSend(const void *sendbuff, uint32_t rank, const pcclOperation_t *operation,
		      const pcclComm_t *communicator, pcclOperationInfo_t *info_out)
{
	return run_transfer(transfer(sendbuff, NULL, true), rank, operation, communicator, info_out);
}

pcclResult_t pcclSendAsync(const void *sendbuff, uint32_t rank, const pcclOperation_t *operation,
			   const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch_transfer(transfer(sendbuff, NULL, true), rank, operation, communicator, handle_out);
}

pcclResult_t pcclRecv(void *recvbuff, uint32_t rank, const pcclOperation_t *operation, const pcclComm_t *communicator,
		      pcclOperationInfo_t *info_out)
{
	return run_transfer(transfer(NULL, recvbuff, false), rank, operation, communicator, info_out);
}

pcclResult_t pcclRecvAsync(void *recvbuff, uint32_t rank, const pcclOperation_t *operation,
			   const pcclComm_t *communicator, pcclHandle_t *handle_out)
{
	return launch_transfer(transfer(NULL, recvbuff, false), rank, operation, communicator, handle_out);
}

pcclResult_t pcclBarrier(const pcclOperation_t *operation, const pcclComm_t *communicator)
{
	return run(PCCL_BARRIER, NULL, NULL, operation, communicator, NULL);
}

pcclResult_t pcclBarrierAsync(const pcclOperation_t *operation, const pcclComm_t *communicator,
			      pcclHandle_t *handle_out)
{
	return launch(PCCL_BARRIER, NULL, NULL, operation, communicator, handle_out);
}
