/* What other peers say at the beginning of a round: roll calls and gatherings, as many entries as there are bytes. The
 * first byte says which of the two, the second whose entry is this peer's, and whether entries get the word they
 * have to begin with. Roll calls that are taken have shares between 0 and 1; gatherings come to one of four ends. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "sync/diloco/gathering.h"
#include "sync/diloco/roll.h"

enum { RANKS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(bool holds)
{
	if (!holds)
		abort();
}

static void mend(uint8_t *entries, uint32_t count, size_t entry_bytes, const char *word)
{
	uint32_t rank;

	for (rank = 0; rank < count; rank++)
		memcpy(entries + rank * entry_bytes, word, 4);
}

static void try_roll(const uint8_t *data, size_t bytes, uint8_t choice)
{
	uint8_t entries[RANKS_MAX * PCCL_ROLL_BYTES];
	const uint32_t count = (uint32_t)(bytes / PCCL_ROLL_BYTES < RANKS_MAX ? bytes / PCCL_ROLL_BYTES : RANKS_MAX);
	struct pccl_roll_entry own;
	struct pccl_roll_result result;
	double total = 0, weight;
	pcclRankUuid_t uuid;
	uint32_t rank;

	if (count == 0)
		return;
	memcpy(entries, data, (size_t)count * PCCL_ROLL_BYTES);
	memset(&own, 0, sizeof(own));
	if ((choice & 0x80) != 0) {
		uint8_t good[PCCL_ROLL_BYTES];

		pccl_roll_encode(&own, good);
		mend(entries, count, PCCL_ROLL_BYTES, (const char *)good);
	}
	pccl_roll_at(entries, choice % count, &own.uuid, &own.weight);
	if (pccl_roll_read(entries, count, &own, &result) != pcclSuccess) {
		demand(pccl_fail_text()[0] != '\0');
		return;
	}
	for (rank = 0; rank < count; rank++) {
		pccl_roll_at(entries, rank, &uuid, &weight);
		demand(isfinite(weight) && weight >= 0);
		total += weight;
	}
	demand(total == result.total && isfinite(total));
	demand(result.share >= 0 && result.share <= 1);
}

static void try_gathering(const uint8_t *data, size_t bytes, uint8_t choice)
{
	uint8_t entries[RANKS_MAX * PCCL_GATHERING_BYTES], own[PCCL_GATHERING_BYTES];
	const size_t whole = bytes / PCCL_GATHERING_BYTES;
	const uint32_t count = (uint32_t)(whole < RANKS_MAX ? whole : RANKS_MAX);
	const struct pccl_gathering_entry nobody = {PCCL_GATHERING_AWAY, 0, 0, {{0}}};
	enum pccl_gathering_next next;

	if (count == 0)
		return;
	memcpy(entries, data, (size_t)count * PCCL_GATHERING_BYTES);
	pccl_gathering_encode(&nobody, own);
	if ((choice & 0x80) != 0)
		mend(entries, count, PCCL_GATHERING_BYTES, (const char *)own);
	if (pccl_gathering_read(entries, count, choice & 0x7f, 1000, &next) != pcclSuccess)
		demand(pccl_fail_text()[0] != '\0');
	else
		demand(next <= PCCL_GATHERING_ENDS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes < 2)
		return 0;
	if (data[0] % 2 == 0)
		try_roll(data + 2, bytes - 2, data[1]);
	else
		try_gathering(data + 2, bytes - 2, data[1]);
	return 0;
}
