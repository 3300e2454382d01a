/* What the caller says of codecs, in the words of the executors. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "collectives/codec/codec.h"
#include "collectives/element/dtype.h"
#include "session/session_internal.h"

static pcclResult_t read_one(const pcclOperation_t *operation, pcclQuantizationAlgorithm_t algorithm, const char *field,
			     struct pccl_codec_params *params_out)
{
	int id = pccl_codec_of(algorithm);

	if (id < 0)
		return pccl_fail(pcclInvalidArgument, "%s %d is unknown", field, (int)algorithm);
	memset(params_out, 0, sizeof(*params_out));
	params_out->id = (uint8_t)id;
	params_out->type = operation->datatype;
	if (pccl_codec_find(id)->has_target)
		params_out->target = operation->codec_datatype;
	if (pccl_codec_find(id)->block_default != 0)
		params_out->block =
			operation->codec_block != 0 ? operation->codec_block : pccl_codec_find(id)->block_default;
	if (id != PCCL_CODEC_NONE)
		params_out->rounding =
			(uint8_t)((operation->rounding == pcclRoundStochastic ? PCCL_ROUND_STOCHASTIC
									      : PCCL_ROUND_NEAREST) |
				  (operation->codec_overflow == pcclOverflowSaturate ? PCCL_ROUND_SATURATE : 0));
	return pccl_codec_check(params_out);
}

static pcclResult_t check_use(enum pccl_collective kind, const pcclOperation_t *operation)
{
	if (kind != PCCL_ALL_REDUCE)
		return pccl_fail(pcclInvalidArgument, "a codec works in an all-reduce, not in a %s",
				 pccl_collective_name((int)kind));
	if (operation->plan == pcclPlanRing)
		return pccl_fail(pcclInvalidArgument,
				 "a ring adds at every hop, and would encode the sum again at every hop: "
				 "with a codec choose the direct or oneshot plan");
	return pcclSuccess;
}

static void write_one(const struct pccl_codec_params *params, struct pccl_op_codec *out)
{
	out->id = params->id;
	out->target = (uint8_t)params->target;
	out->block = (uint16_t)params->block;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

pcclResult_t pccl_session_take_residual(struct pccl_op *op)
{
	const pcclOperation_t *operation = &op->request.operation;
	size_t bytes = operation->count * pccl_dtype_bytes(operation->datatype);
	size_t residual_bytes = operation->count * pccl_dtype_bytes(pccl_dtype_partial(operation->datatype));

	if (operation->residual == NULL || op->codecs.up.id == PCCL_CODEC_NONE || operation->count == 0)
		return pcclSuccess;
	if (pccl_session_overlap(operation->residual, residual_bytes, op->request.input, bytes) ||
	    pccl_session_overlap(operation->residual, residual_bytes, op->request.output, bytes))
		return pccl_fail(pcclInvalidArgument, "residual overlaps sendbuff or recvbuff");
	op->residual_next = pccl_alloc_large(residual_bytes);
	op->residual_made = pccl_calloc(op->geometry.segment_count, sizeof(*op->residual_made));
	return op->residual_next == NULL || op->residual_made == NULL ? pcclOutOfMemory : pcclSuccess;
}

void pccl_op_commit_residual(const struct pccl_op *op)
{
	const pcclOperation_t *operation = &op->request.operation;
	size_t element_bytes = pccl_dtype_bytes(pccl_dtype_partial(operation->datatype));
	uint32_t segment;

	if (op->residual_next == NULL || op->result != pcclSuccess)
		return;
	for (segment = 0; segment < op->geometry.segment_count; segment++) {
		size_t offset = (size_t)pccl_geometry_first(&op->geometry, segment) * element_bytes;

		if (op->residual_made[segment])
			memcpy((char *)operation->residual + offset, (const char *)op->residual_next + offset,
			       pccl_geometry_elements(&op->geometry, segment) * element_bytes);
	}
}

pcclResult_t pccl_session_read_codecs(enum pccl_collective kind, const pcclOperation_t *operation,
				      struct pccl_op_codecs *out)
{
	pcclQuantizationAlgorithm_t down = operation->codec_down;
	struct pccl_codec_params up_params, down_params;
	pcclResult_t result;

	memset(out, 0, sizeof(*out));
	out->align_elements = PCCL_CODEC_BLOCK_MIN;
	out->contribution_bytes = operation->count * pccl_dtype_bytes(operation->datatype);
	if (kind == PCCL_BARRIER ||
	    (operation->codec == pcclQuantNone && (down == pcclQuantNone || down == pcclQuantPlain)))
		return pcclSuccess;
	if (operation->codec == pcclQuantPlain)
		return pccl_fail(pcclInvalidArgument,
				 "pcclQuantPlain is for codec_down only: for codec use pcclQuantNone");
	result = check_use(kind, operation);
	if (result == pcclSuccess)
		result = read_one(operation, operation->codec, "codec", &up_params);
	if (result == pcclSuccess)
		result = read_one(operation, down == pcclQuantNone ? operation->codec : down, "codec_down",
				  &down_params);
	if (result != pcclSuccess)
		return result;
	write_one(&up_params, &out->up);
	write_one(&down_params, &out->down);
	out->rounding = larger(up_params.rounding, down_params.rounding);
	/* Blocks that are given are the same both ways, and the defaults divide each other. */
	out->align_elements = larger(pccl_codec_align_elements(&up_params), pccl_codec_align_elements(&down_params));
	out->contribution_bytes = pccl_codec_encoded_bytes(&up_params, operation->count);
	return pcclSuccess;
}
