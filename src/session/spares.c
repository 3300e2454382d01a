/* Buffers of moderate size that go from op to op. */
#include "session/spares.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"

#define WASTE_MAX 4 /* a small op must not hold what the next large one needs */

static struct pccl_spare take_out(struct pccl_spares *spares, uint32_t index)
{
	struct pccl_spare spare = spares->spares[index];

	assert(index < spares->count && spare.bytes <= spares->bytes);
	spares->count--;
	spares->bytes -= spare.bytes;
	memmove(&spares->spares[index], &spares->spares[index + 1], (spares->count - index) * sizeof(spare));
	return spare;
}

/* The index of the smallest that fits, of several the latest: it may be in the cache. PCCL_SPARES_MAX: none does. */
static uint32_t find(const struct pccl_spares *spares, size_t bytes)
{
	uint32_t best = PCCL_SPARES_MAX, i;

	for (i = 0; i < spares->count; i++) {
		size_t room = spares->spares[i].bytes;

		if (room >= bytes && room / WASTE_MAX <= bytes &&
		    (best == PCCL_SPARES_MAX || room <= spares->spares[best].bytes))
			best = i;
	}
	return best;
}

void *pccl_spares_take(struct pccl_spares *spares, size_t bytes, size_t *bytes_out)
{
	uint32_t index;

	assert(bytes > 0);
	*bytes_out = bytes;
	if (bytes < PCCL_SPARE_BYTES_MIN)
		return pccl_alloc(bytes);
	index = find(spares, bytes);
	if (index == PCCL_SPARES_MAX)
		return pccl_alloc_large(bytes);
	*bytes_out = spares->spares[index].bytes;
	return take_out(spares, index).memory;
}

void pccl_spares_give(struct pccl_spares *spares, void *memory, size_t bytes)
{
	if (memory == NULL || bytes < PCCL_SPARE_BYTES_MIN || bytes > PCCL_SPARES_BYTES) {
		pccl_free(memory);
		return;
	}
	while (spares->count == PCCL_SPARES_MAX || spares->bytes + bytes > PCCL_SPARES_BYTES)
		pccl_free(take_out(spares, 0).memory);
	spares->spares[spares->count].memory = memory;
	spares->spares[spares->count++].bytes = bytes;
	spares->bytes += bytes;
}

void pccl_spares_clear(struct pccl_spares *spares)
{
	while (spares->count > 0)
		pccl_free(take_out(spares, spares->count - 1).memory);
}
