/* The payload of START: what all ranks must have called alike. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/names.h"
#include "collectives/codec/codec.h"
#include "collectives/element/dtype.h"
#include "collectives/exec/exec_internal.h"

#define VERIFIED 0x80u /* beside a rounding */

static void put_codec(struct pccl_writer *writer, const struct pccl_op_codec *codec)
{
	pccl_put_u8(writer, codec->id);
	pccl_put_u8(writer, codec->target);
	pccl_put_u16(writer, codec->block);
}

static void get_codec(struct pccl_reader *reader, struct pccl_op_codec *codec_out)
{
	codec_out->id = pccl_get_u8(reader);
	codec_out->target = pccl_get_u8(reader);
	codec_out->block = pccl_get_u16(reader);
}

void signature_encode(const struct pccl_op_signature *signature, uint8_t out[SIGNATURE_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, SIGNATURE_BYTES);

	pccl_put_u8(&writer, signature->kind);
	pccl_put_u8(&writer, signature->datatype);
	pccl_put_u8(&writer, signature->op);
	pccl_put_u8(&writer, signature->algorithm);
	pccl_put_u8(&writer, signature->policy);
	pccl_put_u8(&writer, (uint8_t)(signature->rounding | (signature->verify != 0 ? VERIFIED : 0)));
	if (pccl_collective_moves_parts(signature->kind)) {
		pccl_put_u64(&writer, signature->received);
	} else {
		put_codec(&writer, &signature->up);
		put_codec(&writer, &signature->down);
	}
	pccl_put_u32(&writer, signature->root);
	pccl_put_u64(&writer, signature->count);
}

void signature_to(const struct op *op, uint32_t rank, uint8_t out[SIGNATURE_BYTES])
{
	struct pccl_op_signature signature;

	if (!pccl_collective_moves_parts(op->launch.signature.kind)) {
		if (out != op->signature)
			memcpy(out, op->signature, SIGNATURE_BYTES);
		return;
	}
	signature = op->launch.signature;
	signature.count = op->peers[rank].sent_count;
	signature.received = op->peers[rank].received_count;
	signature_encode(&signature, out);
}

void signature_from(const struct op *op, uint32_t rank, uint8_t out[SIGNATURE_BYTES])
{
	struct pccl_op_signature signature = op->launch.signature;

	if (!pccl_collective_moves_parts(signature.kind)) {
		memcpy(out, op->signature, SIGNATURE_BYTES);
		return;
	}
	signature.count = op->peers[rank].received_count;
	signature.received = op->peers[rank].sent_count;
	signature_encode(&signature, out);
}

static void decode(const uint8_t encoded[SIGNATURE_BYTES], struct pccl_op_signature *out)
{
	struct pccl_reader reader = pccl_reader_over(encoded, SIGNATURE_BYTES);

	out->kind = pccl_get_u8(&reader);
	out->datatype = pccl_get_u8(&reader);
	out->op = pccl_get_u8(&reader);
	out->algorithm = pccl_get_u8(&reader);
	out->policy = pccl_get_u8(&reader);
	out->rounding = pccl_get_u8(&reader);
	out->verify = (out->rounding & VERIFIED) != 0;
	out->rounding &= (uint8_t)~VERIFIED;
	memset(&out->up, 0, sizeof(out->up));
	memset(&out->down, 0, sizeof(out->down));
	out->received = 0;
	if (pccl_collective_moves_parts(out->kind)) {
		out->received = pccl_get_u64(&reader);
	} else {
		get_codec(&reader, &out->up);
		get_codec(&reader, &out->down);
	}
	out->root = pccl_get_u32(&reader);
	out->count = pccl_get_u64(&reader);
}

bool signature_lost_root(const uint8_t encoded[SIGNATURE_BYTES])
{
	struct pccl_op_signature s;

	decode(encoded, &s);
	return (pccl_collective_has_root(s.kind) || pccl_collective_moves_parts(s.kind)) && s.root == PCCL_ROOT_LOST;
}

static const char *policy_name(uint8_t policy)
{
	return pccl_name_or_mark(pcclEnumFailurePolicy, policy == pcclPolicyDefault ? pcclPolicyAbort : policy);
}

/* "int8:256", "minmax:uint8", "bf16". */
static void describe_codec(const struct pccl_op_codec *choice, char *text, size_t text_bytes)
{
	const struct pccl_codec *codec = pccl_codec_find(choice->id);

	if (codec == NULL)
		snprintf(text, text_bytes, "codec %u", choice->id);
	else if (codec->has_target)
		snprintf(text, text_bytes, "%s:%s:%u", pccl_codec_name(choice->id),
			 pccl_dtype_name((pcclDataType_t)choice->target), choice->block);
	else if (codec->block_default != 0)
		snprintf(text, text_bytes, "%s:%u", pccl_codec_name(choice->id), choice->block);
	else
		snprintf(text, text_bytes, "%s", pccl_codec_name(choice->id));
}

/* ", int4:64 up, int8:256 down, stochastic"; empty if all travels plain. */
static void describe_codecs(const struct pccl_op_signature *s, char *text, size_t text_bytes)
{
	char up[32], down[32];

	text[0] = '\0';
	if (s->up.id == 0 && s->down.id == 0)
		return;
	describe_codec(&s->up, up, sizeof(up));
	describe_codec(&s->down, down, sizeof(down));
	snprintf(text, text_bytes, ", %s up, %s down%s%s", up, down,
		 (s->rounding & PCCL_ROUND_STOCHASTIC) != 0 ? ", stochastic" : "",
		 (s->rounding & PCCL_ROUND_SATURATE) != 0 ? ", saturating" : "");
}

/* "gather of float32 (root 1, abort; sends 20, receives 0)". */
static void describe_parts(const struct pccl_op_signature *s, char *text, size_t text_bytes)
{
	char root[24] = "";

	if (s->root == PCCL_ROOT_LOST)
		snprintf(root, sizeof(root), "members lost, ");
	else if (pccl_collective_has_root(s->kind))
		snprintf(root, sizeof(root), "root %u, ", s->root);
	snprintf(text, text_bytes, "%s of %s (%s%s; sends %llu, receives %llu)", pccl_collective_name(s->kind),
		 pccl_dtype_name((pcclDataType_t)s->datatype), root, policy_name(s->policy),
		 (unsigned long long)s->count, (unsigned long long)s->received);
}

void signature_describe(const uint8_t encoded[SIGNATURE_BYTES], char *text, size_t text_bytes)
{
	struct pccl_op_signature s;
	char detail[48] = "", codecs[112];
	const char *op = "", *comma = "";

	decode(encoded, &s);
	if (s.kind == PCCL_BARRIER) {
		snprintf(text, text_bytes, "barrier (%s)", policy_name(s.policy));
		return;
	}
	if (pccl_collective_moves_parts(s.kind)) {
		describe_parts(&s, text, text_bytes);
		return;
	}
	if (pccl_collective_adds(s.kind)) {
		op = pccl_op_name((pcclRedOp_t)s.op);
		comma = ", ";
	}
	if (pccl_collective_has_root(s.kind) && s.root == PCCL_ROOT_LOST)
		snprintf(detail, sizeof(detail), "%s%sroot lost, ", op, comma);
	else if (pccl_collective_has_root(s.kind))
		snprintf(detail, sizeof(detail), "%s%sroot %u, ", op, comma, s.root);
	else
		snprintf(detail, sizeof(detail), "%s%s", op, comma);
	describe_codecs(&s, codecs, sizeof(codecs));
	snprintf(text, text_bytes, "%s of %llu %s (%s%s, %s%s%s)", pccl_collective_name(s.kind),
		 (unsigned long long)s.count, pccl_dtype_name((pcclDataType_t)s.datatype), detail,
		 s.algorithm == 0 ? "repair" : pccl_name_or_mark(pcclEnumPlan, s.algorithm), policy_name(s.policy),
		 codecs, s.verify != 0 ? ", verified" : "");
}
