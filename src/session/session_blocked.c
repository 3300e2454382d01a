/* What can't end as long as members are missing. */
#include "base/bitmap.h"
#include "session/session_internal.h"

/* A transfer has to do with one other member; everything else ends with a word of all of them, a transfer of an older
 * view, too, whose rank is no member's of this one. */
static bool waits_for(const struct pccl_session *session, const struct pccl_op *op, const uint64_t *missed)
{
	uint32_t rank;

	if (op->request.kind == PCCL_TRANSFER && !op->late)
		return pccl_bitmap_test(missed, op->request.operation.root);
	for (rank = 0; rank < session->ranks; rank++)
		if (rank != session->rank && pccl_bitmap_test(missed, rank))
			return true;
	return false;
}

uint64_t pccl_session_blocked(const struct pccl_session *session, const uint64_t *missed)
{
	const struct pccl_op *op;
	uint64_t oldest = 0;

	for (op = session->ops; op != NULL; op = op->next) /* newest first */
		if (!op->ended && !op->own && waits_for(session, op, missed))
			oldest = op->number;
	return oldest;
}
