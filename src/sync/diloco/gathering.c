#include "sync/diloco/gathering.h"

#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"

#define MAGIC UINT32_C(0x74614744) /* "DGat" */

void pccl_gathering_encode(const struct pccl_gathering_entry *entry, uint8_t out[PCCL_GATHERING_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_GATHERING_BYTES);

	memset(out, 0, PCCL_GATHERING_BYTES);
	pccl_put_u32(&writer, MAGIC);
	pccl_put_u32(&writer, (uint32_t)entry->presence);
	pccl_put_u64(&writer, entry->number);
	pccl_put_u64(&writer, entry->waited_ns);
	pccl_put_bytes(&writer, entry->signature.bytes, PCCL_DIGEST_BYTES);
}

static pcclResult_t decode(const uint8_t *entries, uint32_t rank, struct pccl_gathering_entry *entry_out)
{
	struct pccl_reader reader =
		pccl_reader_over(entries + (size_t)rank * PCCL_GATHERING_BYTES, PCCL_GATHERING_BYTES);
	const uint32_t magic = pccl_get_u32(&reader), presence = pccl_get_u32(&reader);

	entry_out->number = pccl_get_u64(&reader);
	entry_out->waited_ns = pccl_get_u64(&reader);
	pccl_get_bytes(&reader, entry_out->signature.bytes, PCCL_DIGEST_BYTES);
	if (magic != MAGIC || presence > PCCL_GATHERING_FLUSHES)
		return pccl_fail(pcclMismatch,
				 "what rank %u sent on the engine's tag is of no gathering: does somebody else use "
				 "that tag?",
				 rank);
	entry_out->presence = (enum pccl_gathering_presence)presence;
	return pcclSuccess;
}

/* How many have arrived and waited for so long. */
static uint32_t count_patient(const uint8_t *entries, uint32_t count, uint64_t least_ns)
{
	struct pccl_gathering_entry entry;
	uint32_t rank, patient = 0;

	for (rank = 0; rank < count; rank++)
		patient += decode(entries, rank, &entry) == pcclSuccess && entry.presence == PCCL_GATHERING_ARRIVED &&
			   entry.waited_ns >= least_ns;
	return patient;
}

pcclResult_t pccl_gathering_read(const uint8_t *entries, uint32_t count, uint32_t quorum, uint64_t grace_ns,
				 enum pccl_gathering_next *next_out)
{
	const uint32_t needed = quorum < count ? quorum : count;
	struct pccl_gathering_entry entry, first;
	uint32_t rank, arrived = 0, flush = 0;

	memset(&first, 0, sizeof(first));
	for (rank = 0; rank < count; rank++) {
		const pcclResult_t result = decode(entries, rank, &entry);

		if (result != pcclSuccess)
			return result;
		if (rank == 0)
			first = entry;
		if (!pccl_digest_equal(&entry.signature, &first.signature))
			return pccl_fail(pcclMismatch, "rank %u has other tensors or other settings than rank 0", rank);
		if (entry.number != first.number)
			return pccl_fail(pcclMismatch, "rank %u has come to %llu rounds, and rank 0 to %llu", rank,
					 (unsigned long long)entry.number, (unsigned long long)first.number);
		arrived += entry.presence == PCCL_GATHERING_ARRIVED;
		flush += entry.presence == PCCL_GATHERING_FLUSHES;
	}
	if (flush > 0 && flush < count && flush + arrived == count)
		return pccl_fail(pcclMismatch, "%u peers flush, and %u wait for a round", flush, arrived);
	*next_out = PCCL_GATHERING_WAITS;
	if (flush == count)
		*next_out = PCCL_GATHERING_ENDS;
	else if (arrived == count || (needed > 0 && count_patient(entries, count, grace_ns) >= needed))
		*next_out = PCCL_GATHERING_GOES;
	else if (arrived >= needed)
		*next_out = PCCL_GATHERING_CALLS;
	return pcclSuccess;
}
