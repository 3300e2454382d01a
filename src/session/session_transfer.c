/*
 * Transfers: ops that two members have to do with, and no other. Sender, receiver and tag together name one, as a tag
 * names others; what they come to is a tag of 64 bits, and from there on a transfer is an op as any other: it is
 * numbered, reported, decided and noted under that. That it comes to a tag that is in use is as likely as that two
 * peers draw the same identity, and ends in a mismatch.
 *
 * Others are told what was decided about it, as about any op. A note of it is only of use to the two, so the signature
 * of a transfer, in reports and decisions, says whose it is: bit 0 that it is one, the next 24 a hash of the two.
 */
#include <string.h>

#include "base/fail.h"
#include "base/rng.h"
#include "base/uuid.h"
#include "session/session_internal.h"

#define ENDS_BITS 24

static uint64_t hash_uuid(uint64_t hash, const pcclRankUuid_t *uuid)
{
	uint64_t words[2];

	memcpy(words, uuid->data, sizeof(words));
	return pccl_rng_hash(pccl_rng_hash(hash, words[0]), words[1]);
}

static uint64_t hash_ends(uint64_t hash, const pcclRankUuid_t *sender, const pcclRankUuid_t *receiver)
{
	return hash_uuid(hash_uuid(hash, sender), receiver);
}

uint64_t pccl_session_tag(const struct pccl_session *session, const struct pccl_op_request *request)
{
	const pcclRankUuid_t *own, *other;
	uint64_t tag = request->operation.tag;

	if (request->kind != PCCL_TRANSFER)
		return tag;
	/* A launch for an older view is numbered and fails: it must not count where others had another partner then. */
	if (pccl_session_is_late(session, request))
		return pccl_rng_hash(pccl_rng_hash(tag, request->operation.epoch),
				     2 * (uint64_t)request->operation.root + request->is_sender);
	if (request->operation.root >= session->ranks)
		return tag; /* refused */
	if (request->operation.epoch != 0)
		tag = pccl_rng_hash(tag, session->members_since);
	own = &session->members[session->rank];
	other = &session->members[request->operation.root];
	return request->is_sender ? hash_ends(tag, own, other) : hash_ends(tag, other, own);
}

const pcclRankUuid_t *pccl_session_source(const struct pccl_session *session, const struct pccl_op *op)
{
	bool sends = op->request.kind == PCCL_TRANSFER && op->request.is_sender;

	return sends ? &session->members[session->rank] : &op->root_at_launch;
}

static uint64_t ends_code(const pcclRankUuid_t *sender, const pcclRankUuid_t *receiver)
{
	return (hash_ends(0, sender, receiver) & ((UINT64_C(1) << ENDS_BITS) - 1)) << 1 | 1;
}

uint64_t pccl_session_mark(const struct pccl_session *session, const struct pccl_op *op, uint64_t signature)
{
	const pcclRankUuid_t *own = &session->members[session->rank];
	const pcclRankUuid_t *other = &op->root_at_launch;

	if (op->request.kind != PCCL_TRANSFER)
		return signature & ~UINT64_C(1);
	signature &= ~((UINT64_C(2) << ENDS_BITS) - 1);
	return signature | (op->request.is_sender ? ends_code(own, other) : ends_code(other, own));
}

bool pccl_session_concerns(const struct pccl_view *view, uint32_t rank, uint64_t signature)
{
	uint64_t code = signature & ((UINT64_C(2) << ENDS_BITS) - 1);
	const pcclRankUuid_t *own = &view->members[rank].uuid;
	uint32_t other;

	if ((signature & 1) == 0)
		return true;
	for (other = 0; other < view->member_count; other++)
		if (other != rank && (code == ends_code(own, &view->members[other].uuid) ||
				      code == ends_code(&view->members[other].uuid, own)))
			return true;
	return false;
}

pcclResult_t pccl_session_fit_transfer(const struct pccl_session *session, struct pccl_op *op)
{
	uint32_t rank;

	for (rank = 0; rank < session->ranks; rank++) {
		if (!pccl_uuid_equal(&session->members[rank], &op->root_at_launch))
			continue;
		op->request.operation.root = rank;
		return pcclSuccess;
	}
	op->decided = true; /* nobody else is to launch it */
	return pccl_fail(pcclRankConnectionLost, "the other end of %s was lost",
			 op->request.is_sender ? "a send" : "a receive");
}
