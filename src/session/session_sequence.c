/* Open addressing with linear probing; the tags of a program are few, or many and used once. */
#include "session/session_sequence.h"

#include <assert.h>
#include <string.h>

#include "base/memory.h"
#include "base/rng.h"

#define CAPACITY_MIN 64

static struct pccl_sequence_slot *slot_of(const struct pccl_sequences *sequences, uint64_t tag)
{
	size_t mask = sequences->capacity - 1;
	size_t index = (size_t)pccl_rng_hash(tag, 0) & mask;

	assert(sequences->count < sequences->capacity);
	while (sequences->slots[index].used && sequences->slots[index].tag != tag)
		index = (index + 1) & mask;
	return &sequences->slots[index];
}

/* Half of it stays free. */
static bool make_room(struct pccl_sequences *sequences, size_t tags)
{
	sequences->capacity = CAPACITY_MIN;
	while (sequences->capacity < 2 * tags)
		sequences->capacity *= 2;
	sequences->count = 0;
	sequences->slots = pccl_calloc(sequences->capacity, sizeof(*sequences->slots));
	return sequences->slots != NULL;
}

static struct pccl_sequence_slot *slot_made(struct pccl_sequences *sequences, uint64_t tag)
{
	struct pccl_sequence_slot *slot = slot_of(sequences, tag);

	if (slot->used)
		return slot;
	assert(2 * (sequences->count + 1) <= sequences->capacity);
	slot->used = true;
	slot->tag = tag;
	slot->next = sequences->floor;
	sequences->count++;
	return slot;
}

bool pccl_sequences_reserve(struct pccl_sequences *sequences, size_t more)
{
	struct pccl_sequences larger = *sequences;
	size_t i;

	if (2 * (sequences->count + more) <= sequences->capacity)
		return true;
	if (!make_room(&larger, sequences->count + more))
		return false;
	for (i = 0; i < sequences->capacity; i++)
		if (sequences->slots[i].used)
			*slot_made(&larger, sequences->slots[i].tag) = sequences->slots[i];
	pccl_free(sequences->slots);
	*sequences = larger;
	return true;
}

uint32_t pccl_sequences_take(struct pccl_sequences *sequences, uint64_t tag)
{
	struct pccl_sequence_slot *slot = slot_made(sequences, tag);

	slot->unsettled = true;
	slot->next++;
	if (slot->next > sequences->top)
		sequences->top = slot->next;
	return slot->next - 1;
}

void pccl_sequences_settle(struct pccl_sequences *sequences, uint64_t tag)
{
	struct pccl_sequence_slot *slot = sequences->capacity == 0 ? NULL : slot_of(sequences, tag);

	if (slot != NULL && slot->used)
		slot->unsettled = false;
}

uint32_t pccl_sequences_next(const struct pccl_sequences *sequences, uint64_t tag)
{
	const struct pccl_sequence_slot *slot = sequences->capacity == 0 ? NULL : slot_of(sequences, tag);

	return slot != NULL && slot->used ? slot->next : sequences->floor;
}

size_t pccl_sequences_unsettled(const struct pccl_sequences *sequences, uint64_t *tags, size_t room)
{
	size_t count = 0, i;

	for (i = 0; i < sequences->capacity; i++) {
		if (!sequences->slots[i].used || !sequences->slots[i].unsettled)
			continue;
		if (count < room)
			tags[count] = sequences->slots[i].tag;
		count++;
	}
	return count;
}

bool pccl_sequences_forget(struct pccl_sequences *sequences, const uint64_t *kept, size_t kept_count, uint32_t floor,
			   size_t more)
{
	struct pccl_sequences smaller = *sequences;
	size_t i;

	assert(floor >= sequences->top);
	if (!make_room(&smaller, kept_count + more))
		return false;
	for (i = 0; i < kept_count; i++) {
		struct pccl_sequence_slot *slot = slot_made(&smaller, kept[i]); /* has the old floor, if it is new */
		const struct pccl_sequence_slot *old = sequences->capacity == 0 ? slot : slot_of(sequences, kept[i]);

		if (old->used)
			*slot = *old;
	}
	pccl_free(sequences->slots);
	smaller.floor = floor;
	smaller.top = floor;
	*sequences = smaller;
	return true;
}

void pccl_sequences_clear(struct pccl_sequences *sequences)
{
	pccl_free(sequences->slots);
	memset(sequences, 0, sizeof(*sequences));
}
