/*
 * Is a decision about this op? Members that launched other things under the same tag report and note them too, and
 * decisions come from outside: what does not fit is never applied. Running here, the op ends with words. If others go
 * on with theirs it is launched plainly, so that START tells all of them of the difference.
 */
#include <stdio.h>

#include "base/rng.h"
#include "collectives/element/dtype.h"
#include "session/session_internal.h"

static uint64_t codec_word(const struct pccl_op_codec *codec)
{
	return (uint64_t)codec->block << 16 | (uint64_t)codec->target << 8 | codec->id;
}

/* What START compares, but for what another view may change: the plan, and the rank of the root. */
uint64_t pccl_session_signature(const struct pccl_op *op)
{
	const pcclOperation_t *operation = &op->request.operation;
	bool reduces = pccl_collective_adds((int)op->request.kind);
	uint64_t hash = pccl_rng_hash((uint64_t)op->request.kind, (uint64_t)operation->failure_policy);

	if (op->request.kind == PCCL_BARRIER)
		return hash;
	/* What is sent and received each member knows for itself. */
	hash = pccl_rng_hash(hash, pccl_collective_moves_parts((int)op->request.kind) ? 0 : operation->count);
	hash = pccl_rng_hash(hash, (uint64_t)operation->datatype);
	hash = pccl_rng_hash(hash, reduces ? (uint64_t)operation->op : 0);
	hash = pccl_rng_hash(hash, codec_word(&op->codecs.up));
	hash = pccl_rng_hash(hash, codec_word(&op->codecs.down));
	hash = pccl_rng_hash(hash, op->codecs.rounding);
	return op->verifies ? pccl_rng_hash(hash, 1) : hash;
}

uint8_t pccl_session_verdict(const struct pccl_op *op, const struct pccl_op_decision *decision, uint32_t ranks)
{
	if (decision->signature != op->signature)
		return PCCL_VERDICT_MISMATCH;
	if (decision->verdict == PCCL_VERDICT_REPAIR &&
	    (op->request.kind != PCCL_ALL_REDUCE || decision->segment_count != op->geometry.segment_count ||
	     decision->holder_count != ranks))
		return PCCL_VERDICT_MISMATCH;
	return decision->verdict;
}

const char *pccl_session_mismatch_text(const struct pccl_op *op, char *text, size_t text_bytes)
{
	const pcclOperation_t *operation = &op->request.operation;

	if (op->request.kind == PCCL_BARRIER)
		snprintf(text, text_bytes, "members launched different operations under %s, this peer a barrier",
			 op->name);
	else if (op->request.kind == PCCL_TRANSFER)
		snprintf(text, text_bytes, "the two ends of %s differ; this peer %s %zu %s", op->name,
			 op->request.is_sender ? "sends" : "receives", operation->count,
			 pccl_dtype_name(operation->datatype));
	else
		snprintf(text, text_bytes, "members launched different operations under %s, this peer %s of %zu %s",
			 op->name, pccl_collective_name((int)op->request.kind), operation->count,
			 pccl_dtype_name(operation->datatype));
	return text;
}
