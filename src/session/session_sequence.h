/* How often each tag was used in the views since newcomers last joined: a hash table from tag to count. A tag that is
 * not in it was used `floor` times, as it were. */
#ifndef PCCL_SESSION_SEQUENCE_H
#define PCCL_SESSION_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pccl_sequences {
	struct pccl_sequence_slot {
		uint64_t tag;
		uint32_t next;
		bool used;
		bool unsettled; /* not all members are known to have launched its last op */
	} * slots;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
	uint32_t floor;
	uint32_t top; /* no number that was ever taken is as large */
};

/* Makes room for so many tags more. False: out of memory. */
bool pccl_sequences_reserve(struct pccl_sequences *sequences, size_t more);

/* Takes the next sequence number of the tag, whose last op is not settled then. There is room. */
uint32_t pccl_sequences_take(struct pccl_sequences *sequences, uint64_t tag);

/* All members have launched the last op of the tag, or will be told what became of it. */
void pccl_sequences_settle(struct pccl_sequences *sequences, uint64_t tag);

/* The number that the tag's next op will have. */
uint32_t pccl_sequences_next(const struct pccl_sequences *sequences, uint64_t tag);

/* How many tags are unsettled; writes the first `room` of them. */
size_t pccl_sequences_unsettled(const struct pccl_sequences *sequences, uint64_t *tags, size_t room);

/* Forgets all tags but those in the list, some of which may be in there twice or unknown; what is forgotten goes on
 * with `floor`. Leaves room for `more` tags. False: out of memory, nothing has changed. */
bool pccl_sequences_forget(struct pccl_sequences *sequences, const uint64_t *kept, size_t kept_count, uint32_t floor,
			   size_t more);

/* Forgets all tags, frees the memory, and begins with 0 again; takes zeroed memory. */
void pccl_sequences_clear(struct pccl_sequences *sequences);

#endif
