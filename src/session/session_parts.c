/* What gather, scatter, all-to-all, send and receive move: the caller's counts become parts. */
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "collectives/element/dtype.h"
#include "session/session_internal.h"

/* Elements to and from each rank. */
struct counts {
	uint64_t *sends;
	uint64_t *receives;
};

static void set_all(uint64_t *counts, const size_t *given, size_t count, uint32_t ranks)
{
	uint32_t rank;

	for (rank = 0; rank < ranks; rank++)
		counts[rank] = given != NULL ? given[rank] : count;
}

static void read_counts(const struct pccl_session *session, const struct pccl_op_request *request,
			const struct counts *counts)
{
	uint32_t root = request->operation.root, rank = session->rank;
	size_t count = request->operation.count;

	switch ((int)request->kind) {
	case PCCL_GATHER:
		counts->sends[root] = count;
		if (rank == root) {
			set_all(counts->receives, request->receives, count, session->ranks);
			counts->sends[root] = counts->receives[root];
		}
		break;
	case PCCL_SCATTER:
		counts->receives[root] = count;
		if (rank == root) {
			set_all(counts->sends, request->sends, count, session->ranks);
			counts->receives[root] = counts->sends[root];
		}
		break;
	case PCCL_ALL_TO_ALL:
		set_all(counts->sends, request->sends, count, session->ranks);
		set_all(counts->receives, request->receives, count, session->ranks);
		break;
	default:
		(request->is_sender ? counts->sends : counts->receives)[root] = count;
		break;
	}
}

/* Parts come from all members in any order, so what is still to be sent would be overwritten. */
static pcclResult_t check_apart(const struct pccl_op_request *request, uint64_t sent, uint64_t received)
{
	const uint64_t element_bytes = pccl_dtype_bytes(request->operation.datatype);

	if (request->kind != PCCL_ALL_TO_ALL || sent == 0 || received == 0 ||
	    !pccl_session_overlap(request->input, sent * element_bytes, request->output, received * element_bytes))
		return pcclSuccess;
	return pccl_fail(pcclInvalidArgument, "sendbuff and recvbuff overlap: an all-to-all does not work in place");
}

static pcclResult_t check_counts(const struct pccl_session *session, const struct pccl_op_request *request,
				 const struct counts *counts)
{
	uint64_t most = pccl_parts_bytes_max(session->ranks) / pccl_dtype_bytes(request->operation.datatype);
	uint64_t sent = 0, received = 0;
	uint32_t rank;

	for (rank = 0; rank < session->ranks; rank++) {
		if (counts->sends[rank] > most || counts->receives[rank] > most)
			return pccl_fail(pcclInvalidArgument,
					 "%llu elements are too many between two members of a world of %u: %llu may be",
					 (unsigned long long)(counts->sends[rank] > most ? counts->sends[rank]
											 : counts->receives[rank]),
					 session->ranks, (unsigned long long)most);
		sent += counts->sends[rank];
		received += counts->receives[rank];
	}
	if (counts->sends[session->rank] != counts->receives[session->rank])
		return pccl_fail(pcclInvalidArgument,
				 "this member, rank %u, sends %llu elements to itself and receives %llu", session->rank,
				 (unsigned long long)counts->sends[session->rank],
				 (unsigned long long)counts->receives[session->rank]);
	if (sent > 0 && request->input == NULL)
		return pccl_fail(pcclInvalidArgument, "sendbuff is NULL for %llu elements", (unsigned long long)sent);
	if (received > 0 && request->output == NULL)
		return pccl_fail(pcclInvalidArgument, "recvbuff is NULL for %llu elements",
				 (unsigned long long)received);
	return check_apart(request, sent, received);
}

pcclResult_t pccl_session_make_parts(const struct pccl_session *session, const struct pccl_op_request *request,
				     struct pccl_op *op)
{
	size_t ranks = session->ranks;
	struct counts counts;
	pcclResult_t result;

	if (!pccl_collective_moves_parts((int)request->kind))
		return pcclSuccess;
	counts.sends = pccl_calloc(2 * ranks, sizeof(*counts.sends));
	op->parts = pccl_calloc(2 * ranks, sizeof(*op->parts));
	if (counts.sends == NULL || op->parts == NULL) {
		pccl_free(counts.sends);
		return pcclOutOfMemory;
	}
	counts.receives = counts.sends + ranks;
	read_counts(session, request, &counts);
	result = check_counts(session, request, &counts);
	if (result == pcclSuccess)
		op->part_count =
			pccl_parts_make(counts.sends, counts.receives, session->ranks, session->rank, op->parts);
	pccl_free(counts.sends);
	return result;
}

void pccl_session_cut_parts(const struct pccl_session *session, struct pccl_op *op)
{
	/* Two members may launch a transfer in different views. */
	uint32_t ranks = op->request.kind == PCCL_TRANSFER ? 2 : session->ranks;

	pccl_parts_cut(op->parts, op->part_count, ranks, pccl_dtype_bytes(op->request.operation.datatype),
		       session->lanes, &op->geometry);
}

/* The same members are in the same lanes, so that nothing is cut anew. Lanes may still read the parts. */
void pccl_session_fit_parts(const struct pccl_session *session, struct pccl_op *op)
{
	if (op->members_since == session->members_since)
		return;
	memset(&op->geometry, 0, sizeof(op->geometry));
	op->request.operation.root = PCCL_ROOT_LOST;
}
