#include "sync/diloco/roll.h"

#include <math.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"

#define MAGIC UINT32_C(0x6f4c6944) /* "DiLo" */

void pccl_roll_encode(const struct pccl_roll_entry *entry, uint8_t out[PCCL_ROLL_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_ROLL_BYTES);
	uint64_t weight;

	memcpy(&weight, &entry->weight, sizeof(weight));
	pccl_put_u32(&writer, MAGIC);
	pccl_put_u32(&writer, entry->fragment);
	pccl_put_u64(&writer, entry->round);
	pccl_put_u64(&writer, entry->step);
	pccl_put_u64(&writer, weight);
	pccl_put_bytes(&writer, entry->uuid.data, sizeof(entry->uuid.data));
	pccl_put_bytes(&writer, entry->signature.bytes, PCCL_DIGEST_BYTES);
	pccl_put_bytes(&writer, entry->outer.bytes, PCCL_DIGEST_BYTES);
}

static pcclResult_t decode(const uint8_t *in, uint32_t rank, struct pccl_roll_entry *entry_out)
{
	struct pccl_reader reader = pccl_reader_over(in, PCCL_ROLL_BYTES);
	const uint32_t magic = pccl_get_u32(&reader);
	uint64_t weight;

	entry_out->fragment = pccl_get_u32(&reader);
	entry_out->round = pccl_get_u64(&reader);
	entry_out->step = pccl_get_u64(&reader);
	weight = pccl_get_u64(&reader);
	memcpy(&entry_out->weight, &weight, sizeof(weight));
	pccl_get_bytes(&reader, entry_out->uuid.data, sizeof(entry_out->uuid.data));
	pccl_get_bytes(&reader, entry_out->signature.bytes, PCCL_DIGEST_BYTES);
	pccl_get_bytes(&reader, entry_out->outer.bytes, PCCL_DIGEST_BYTES);
	if (magic != MAGIC || !isfinite(entry_out->weight) || entry_out->weight < 0)
		return pccl_fail(pcclMismatch,
				 "what rank %u sent on the engine's tag is no beginning of a round: does "
				 "somebody else use that tag?",
				 rank);
	return pcclSuccess;
}

/* Against the entry of rank 0, so that all peers come to the same. */
static pcclResult_t compare(const struct pccl_roll_entry *entry, const struct pccl_roll_entry *first, uint32_t rank)
{
	if (!pccl_digest_equal(&entry->signature, &first->signature))
		return pccl_fail(pcclMismatch, "rank %u has other tensors or other settings than rank 0", rank);
	if (entry->fragment != first->fragment || entry->round != first->round || entry->step != first->step)
		return pccl_fail(
			pcclMismatch,
			"rank %u is at step %llu, round %llu of fragment %u, and rank 0 at step %llu, round %llu "
			"of fragment %u",
			rank, (unsigned long long)entry->step, (unsigned long long)entry->round, entry->fragment,
			(unsigned long long)first->step, (unsigned long long)first->round, first->fragment);
	if (!pccl_digest_equal(&entry->outer, &first->outer))
		return pccl_fail(pcclMismatch, "the outer parameters of fragment %u differ between rank %u and rank 0",
				 entry->fragment, rank);
	return pcclSuccess;
}

pcclResult_t pccl_roll_read(const uint8_t *entries, uint32_t count, const struct pccl_roll_entry *own,
			    struct pccl_roll_result *result_out)
{
	struct pccl_roll_entry entry, first;
	pcclResult_t result = pcclSuccess;
	bool is_there = false;
	double total = 0;
	uint32_t rank;

	for (rank = 0; result == pcclSuccess && rank < count; rank++) {
		result = decode(entries + (size_t)rank * PCCL_ROLL_BYTES, rank, &entry);
		if (rank == 0)
			first = entry;
		if (result == pcclSuccess)
			result = compare(&entry, &first, rank);
		if (result == pcclSuccess) {
			total += entry.weight;
			is_there |= memcmp(entry.uuid.data, own->uuid.data, sizeof(own->uuid.data)) == 0;
		}
	}
	if (result != pcclSuccess)
		return result;
	if (!is_there)
		return pccl_fail(pcclInternalError, "this peer is not in its own roll call");
	if (!isfinite(total))
		return pccl_fail(pcclMismatch, "the weights of all peers have no finite sum");
	result_out->total = total;
	result_out->share = total > 0 ? (float)(own->weight / total) : 0;
	return pcclSuccess;
}

void pccl_roll_at(const uint8_t *entries, uint32_t rank, pcclRankUuid_t *uuid_out, double *weight_out)
{
	struct pccl_roll_entry entry;

	(void)decode(entries + (size_t)rank * PCCL_ROLL_BYTES, rank, &entry);
	*uuid_out = entry.uuid;
	*weight_out = entry.weight;
}
