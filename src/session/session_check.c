/* What a request can be refused for. */
#include "base/choice.h"
#include "base/fail.h"
#include "collectives/element/dtype.h"
#include "session/session_internal.h"

/* Of all fields, also of those that the operation does not read. */
static pcclResult_t check_choices(const pcclOperation_t *operation)
{
	const struct pccl_choice choices[] = {
		{"datatype", pcclEnumDataType, (int)operation->datatype},
		{"op", pcclEnumRedOp, (int)operation->op},
		{"plan", pcclEnumPlan, (int)operation->plan},
		{"failure_policy", pcclEnumFailurePolicy, (int)operation->failure_policy},
		{"codec", pcclEnumCodec, (int)operation->codec},
		{"codec_down", pcclEnumCodec, (int)operation->codec_down},
		{"codec_datatype", pcclEnumDataType, (int)operation->codec_datatype},
		{"rounding", pcclEnumRounding, (int)operation->rounding},
		{"zstd", pcclEnumZstd, (int)operation->zstd},
		{"input", pcclEnumInput, (int)operation->input},
		{"codec_overflow", pcclEnumOverflow, (int)operation->codec_overflow},
	};

	return pccl_choices_check(choices, sizeof(choices) / sizeof(choices[0]));
}

bool pccl_session_overlap(const void *a, uint64_t a_bytes, const void *b, uint64_t b_bytes)
{
	const uintptr_t first = (uintptr_t)a, second = (uintptr_t)b;

	return second >= first ? second - first < a_bytes : first - second < b_bytes;
}

pcclFailurePolicy_t pccl_session_policy(const struct pccl_session *session, const pcclOperation_t *operation)
{
	pcclFailurePolicy_t policy = operation->failure_policy;

	if (policy == pcclPolicyDefault)
		policy = session->config.policy;
	return policy == pcclPolicyDefault ? pcclPolicyAbort : policy;
}

static pcclResult_t check_input(const struct pccl_session *session, const pcclOperation_t *operation)
{
	if (operation->input == pcclInputGiveUp && pccl_session_policy(session, operation) != pcclPolicyAbort)
		return pccl_fail(pcclInvalidArgument,
				 "input is given up, and the failure policy is to do the operation again, which needs "
				 "it: choose pcclPolicyAbort");
	return pcclSuccess;
}

static pcclResult_t check_buffers(const struct pccl_session *session, const struct pccl_op_request *request)
{
	bool is_root = request->operation.root == session->rank;
	bool reads = request->kind != PCCL_BROADCAST || is_root;
	bool writes = request->kind != PCCL_REDUCE || is_root;

	if (request->kind == PCCL_BARRIER || request->operation.count == 0 ||
	    pccl_collective_moves_parts((int)request->kind))
		return pcclSuccess;
	if (reads && request->input == NULL)
		return pccl_fail(pcclInvalidArgument, "sendbuff is NULL for %zu elements", request->operation.count);
	if (writes && request->output == NULL)
		return pccl_fail(pcclInvalidArgument, "recvbuff is NULL for %zu elements", request->operation.count);
	return pcclSuccess;
}

bool pccl_session_is_by_rank(enum pccl_collective kind)
{
	return kind == PCCL_REDUCE_SCATTER || kind == PCCL_ALL_GATHER;
}

pcclResult_t pccl_session_check_size(const struct pccl_session *session, const struct pccl_op_request *request)
{
	size_t element_bytes = pccl_dtype_bytes(request->operation.datatype);
	uint64_t parts = pccl_session_is_by_rank(request->kind) ? session->ranks : 1;

	if (request->operation.count <= PCCL_OP_BYTES_MAX / element_bytes / parts)
		return pcclSuccess;
	return pccl_fail(pcclInvalidArgument,
			 "%zu elements of %zu bytes are too many: an operation's whole buffer may have "
			 "%llu GiB",
			 request->operation.count, element_bytes, (unsigned long long)(PCCL_OP_BYTES_MAX >> 30));
}

bool pccl_session_is_late(const struct pccl_session *session, const struct pccl_op_request *request)
{
	uint32_t epoch = request->operation.epoch;

	return epoch != 0 && (epoch < session->members_since || epoch > session->epoch);
}

/* What depends on the view in force: ranks, and what a rank has to give. */
static pcclResult_t check_in_view(const struct pccl_session *session, const struct pccl_op_request *request)
{
	uint32_t root = request->operation.root;

	if (pccl_session_is_late(session, request))
		return pcclSuccess; /* ranks were others then */
	if (session->ranks < 2)
		return pccl_fail(pcclTooFewPeers, "this peer is alone in its group: there is nobody to reduce with");
	if (request->kind == PCCL_TRANSFER && (root >= session->ranks || root == session->rank))
		return pccl_fail(pcclInvalidArgument, "rank %u is not another one of a world of %u", root,
				 session->ranks);
	if (pccl_collective_has_root((int)request->kind) && root >= session->ranks)
		return pccl_fail(pcclInvalidArgument, "root %u is no rank of a world of %u", root, session->ranks);
	if (pccl_session_check_size(session, request) != pcclSuccess)
		return pcclInvalidArgument;
	return check_buffers(session, request);
}

pcclResult_t pccl_session_check(const struct pccl_session *session, const struct pccl_op_request *request)
{
	const pcclOperation_t *operation = &request->operation;

	if (session->end_result != pcclSuccess)
		return pccl_fail(session->end_result, "%s", session->end_detail);
	if (check_choices(operation) != pcclSuccess || check_input(session, operation) != pcclSuccess)
		return pcclInvalidArgument;
	if (operation->tag == PCCL_TAG_OWN)
		return pccl_fail(pcclInvalidArgument, "tag %llu is the library's own",
				 (unsigned long long)operation->tag);
	if (pccl_session_find(session, pccl_session_tag(session, request)) != NULL)
		return pccl_fail(pcclInvalidArgument, "tag %llu is in use by an operation that was not awaited yet",
				 (unsigned long long)operation->tag);
	if (session->op_count >= PCCL_MAX_OPERATIONS + (session->forgetting.op != NULL))
		return pccl_fail(pcclTooManyOperations, "%d operations are in flight already", PCCL_MAX_OPERATIONS);
	return check_in_view(session, request);
}
