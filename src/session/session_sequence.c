/* Open addressing with linear probing; the tags of a program are few, or many and used once. */
#include "session/session_sequence.h"

#include <assert.h>

#include "base/memory.h"
#include "base/rng.h"

static struct pccl_sequence_slot *slot_of(const struct pccl_sequences *sequences, uint64_t tag)
{
	size_t mask = sequences->capacity - 1;
	size_t index = (size_t)pccl_rng_hash(tag, 0) & mask;

	assert(sequences->count < sequences->capacity);
	while (sequences->slots[index].used && sequences->slots[index].tag != tag)
		index = (index + 1) & mask;
	return &sequences->slots[index];
}

static bool grow(struct pccl_sequences *sequences)
{
	struct pccl_sequences larger = {NULL, sequences->capacity == 0 ? 64 : sequences->capacity * 2,
					sequences->count};
	size_t i;

	larger.slots = pccl_calloc(larger.capacity, sizeof(*larger.slots));
	if (larger.slots == NULL)
		return false;
	for (i = 0; i < sequences->capacity; i++)
		if (sequences->slots[i].used)
			*slot_of(&larger, sequences->slots[i].tag) = sequences->slots[i];
	pccl_free(sequences->slots);
	*sequences = larger;
	return true;
}

bool pccl_sequences_take(struct pccl_sequences *sequences, uint64_t tag, uint32_t *sequence_out)
{
	struct pccl_sequence_slot *slot;

	if (sequences->count * 2 >= sequences->capacity && !grow(sequences))
		return false;
	slot = slot_of(sequences, tag);
	if (!slot->used) {
		slot->used = true;
		slot->tag = tag;
		slot->next = 0;
		sequences->count++;
	}
	*sequence_out = slot->next++;
	return true;
}

uint32_t pccl_sequences_next(const struct pccl_sequences *sequences, uint64_t tag)
{
	return sequences->capacity == 0 ? 0 : slot_of(sequences, tag)->next;
}

void pccl_sequences_clear(struct pccl_sequences *sequences)
{
	pccl_free(sequences->slots);
	sequences->slots = NULL;
	sequences->capacity = 0;
	sequences->count = 0;
}
