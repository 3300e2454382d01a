/* How many peers' contributions are in which elements of a result: after a repair not the same everywhere. Agreed, as
 * the decisions are. */
#include <assert.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/memory.h"
#include "collectives/plan/plan.h"
#include "session/session_internal.h"

static bool is_held(const struct pccl_op_decision *repair, uint32_t segment)
{
	uint32_t rank;

	assert(repair->holder_count == 0 || repair->holders != NULL);
	for (rank = 0; rank < repair->holder_count; rank++)
		if (repair->holders[rank] != NULL && pccl_bitmap_test(repair->holders[rank], segment))
			return true;
	return false;
}

/* No op is older than the view that last added members, so a larger number than that view's is somebody's lie. */
static uint16_t participants_in(const struct pccl_session *session, const struct pccl_op_decision *repair,
				uint32_t segment)
{
	uint32_t count = repair->participants != NULL ? repair->participants[segment] : repair->participants_max;

	if (count > session->cut_for_ranks)
		count = session->cut_for_ranks;
	return (uint16_t)(count == 0 ? session->ranks : count);
}

static void widen(pcclOperationInfo_t *info, uint32_t count)
{
	if (info->participants_min == 0 || count < info->participants_min)
		info->participants_min = count;
	if (count > info->participants_max)
		info->participants_max = count;
}

pcclResult_t pccl_session_count_participants(const struct pccl_session *session, struct pccl_op *op,
					     const struct pccl_op_decision *repair)
{
	uint32_t segments = op->geometry.segment_count, segment;

	assert(op->attempt == NULL && session->ranks > 0);
	pccl_free(op->participants);
	op->participants = NULL;
	op->attempt_ranks = op->request.kind == PCCL_TRANSFER ? 2 : session->ranks;
	op->info.participants_min = op->info.participants_max = 0;
	if (repair != NULL) {
		op->participants = pccl_calloc((size_t)segments + 1, sizeof(*op->participants));
		if (op->participants == NULL)
			return pcclOutOfMemory;
	}
	for (segment = 0; repair != NULL && segment < segments; segment++) {
		if (is_held(repair, segment))
			op->participants[segment] = participants_in(session, repair, segment);
		widen(&op->info, pccl_op_participants(op, segment));
	}
	if (repair == NULL || segments == 0)
		widen(&op->info, op->attempt_ranks);
	return pcclSuccess;
}

uint32_t pccl_op_participants(const struct pccl_op *op, uint32_t segment)
{
	if (op->participants != NULL && op->participants[segment] != 0)
		return op->participants[segment];
	assert(op->attempt_ranks > 0);
	return op->attempt_ranks;
}

pcclResult_t pccl_session_report_participants(const struct pccl_op *op, struct pccl_op_report *report)
{
	uint32_t segment;

	for (segment = 0; segment < op->geometry.segment_count; segment++) {
		uint32_t count = pccl_op_participants(op, segment);

		if (!pccl_bitmap_test(op->held, segment))
			continue;
		if (report->participants_min == 0 || count < report->participants_min)
			report->participants_min = count;
		if (count > report->participants_max)
			report->participants_max = count;
	}
	if (report->participants_min == report->participants_max)
		return pcclSuccess;
	report->participants = pccl_calloc(op->geometry.segment_count, sizeof(*report->participants));
	if (report->participants == NULL)
		return pcclOutOfMemory;
	for (segment = 0; segment < op->geometry.segment_count; segment++)
		if (pccl_bitmap_test(op->held, segment))
			report->participants[segment] = (uint16_t)pccl_op_participants(op, segment);
	return pcclSuccess;
}

/* Parts come from one member each, and are all of one attempt. */
static size_t write_whole(const struct pccl_op *op, pcclParticipants_t *ranges, size_t capacity)
{
	uint64_t received = 0;
	uint32_t index;

	for (index = 0; index < op->part_count; index++)
		received += op->parts[index].way == PCCL_PART_SENT ? 0 : op->parts[index].count;
	if (received > 0 && capacity > 0) {
		ranges[0].first = 0;
		ranges[0].count = (size_t)received;
		ranges[0].participants = op->attempt_ranks;
		ranges[0].reserved = 0;
	}
	return received > 0;
}

/* Writes the first `capacity` ranges and returns how many there are. */
static size_t write_ranges(const struct pccl_op *op, pcclParticipants_t *ranges, size_t capacity)
{
	const struct pccl_geometry *geometry = &op->geometry;
	uint32_t segment, last = 0;
	size_t count = 0;

	if (op->result != pcclSuccess)
		return 0;
	if (geometry->parts != NULL)
		return write_whole(op, ranges, capacity);
	for (segment = 0; segment < geometry->segment_count; segment++) {
		uint32_t participants = pccl_op_participants(op, segment);

		if (participants != last && ++count <= capacity) {
			ranges[count - 1].first = (size_t)pccl_geometry_first(geometry, segment);
			ranges[count - 1].count = 0;
			ranges[count - 1].participants = participants;
			ranges[count - 1].reserved = 0;
		}
		if (count <= capacity)
			ranges[count - 1].count += pccl_geometry_elements(geometry, segment);
		last = participants;
	}
	return count;
}

void pccl_op_tell(const struct pccl_op *op, pcclOperationInfo_t *info)
{
	pcclOperationInfo_t told = op->info;

	told.size = info->size;
	told.ranges = info->ranges;
	told.range_capacity = info->range_capacity;
	told.range_count = write_ranges(op, info->ranges, info->ranges == NULL ? 0 : info->range_capacity);
	*info = told;
}
