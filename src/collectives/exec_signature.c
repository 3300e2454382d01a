/* The payload of START: what all ranks must have called alike. */
#include <stdio.h>

#include "base/bytes.h"
#include "collectives/dtype.h"
#include "collectives/exec_internal.h"

void signature_encode(const struct pccl_op_signature *signature, uint8_t out[SIGNATURE_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, SIGNATURE_BYTES);

	pccl_put_u8(&writer, signature->kind);
	pccl_put_u8(&writer, signature->datatype);
	pccl_put_u8(&writer, signature->op);
	pccl_put_u8(&writer, signature->algorithm);
	pccl_put_u8(&writer, signature->policy);
	pccl_put_u8(&writer, signature->codec_up);
	pccl_put_u8(&writer, signature->codec_down);
	pccl_put_u8(&writer, signature->rounding);
	pccl_put_u32(&writer, signature->root);
	pccl_put_u32(&writer, signature->block_elements);
	pccl_put_u64(&writer, signature->count);
}

static void decode(const uint8_t encoded[SIGNATURE_BYTES], struct pccl_op_signature *out)
{
	struct pccl_reader reader = pccl_reader_over(encoded, SIGNATURE_BYTES);

	out->kind = pccl_get_u8(&reader);
	out->datatype = pccl_get_u8(&reader);
	out->op = pccl_get_u8(&reader);
	out->algorithm = pccl_get_u8(&reader);
	out->policy = pccl_get_u8(&reader);
	out->codec_up = pccl_get_u8(&reader);
	out->codec_down = pccl_get_u8(&reader);
	out->rounding = pccl_get_u8(&reader);
	out->root = pccl_get_u32(&reader);
	out->block_elements = pccl_get_u32(&reader);
	out->count = pccl_get_u64(&reader);
}

static const char *policy_name(uint8_t policy)
{
	switch (policy) {
	case pcclPolicyDefault:
	case pcclPolicyAbort:
		return "abort";
	case pcclPolicyRetry:
		return "retry";
	case pcclPolicyRepair:
		return "repair";
	default:
		return "unknown policy";
	}
}

void signature_describe(const uint8_t encoded[SIGNATURE_BYTES], char *text, size_t text_bytes)
{
	struct pccl_op_signature s;
	char detail[32] = "";

	decode(encoded, &s);
	if (s.kind == PCCL_BARRIER) {
		snprintf(text, text_bytes, "barrier (%s)", policy_name(s.policy));
		return;
	}
	if (s.kind == PCCL_ALL_REDUCE || s.kind == PCCL_REDUCE_SCATTER)
		snprintf(detail, sizeof(detail), "%s, ", pccl_op_name((pcclRedOp_t)s.op));
	else if (s.kind == PCCL_BROADCAST)
		snprintf(detail, sizeof(detail), "root %u, ", s.root);
	snprintf(text, text_bytes, "%s of %llu %s (%s%s, %s)", pccl_collective_name(s.kind),
		 (unsigned long long)s.count, pccl_dtype_name((pcclDataType_t)s.datatype), detail,
		 s.algorithm == 0 ? "repair" : pccl_plan_name(s.algorithm), policy_name(s.policy));
}
