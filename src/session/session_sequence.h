/* How often each tag was used in the views since newcomers last joined: a hash table from tag to count. */
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
	} * slots;
	size_t capacity; /* a power of two, or 0 */
	size_t count;
};

/* Takes the next sequence number of the tag, from 0. False: out of memory. */
bool pccl_sequences_take(struct pccl_sequences *sequences, uint64_t tag, uint32_t *sequence_out);

/* The number that the tag's next op will have. */
uint32_t pccl_sequences_next(const struct pccl_sequences *sequences, uint64_t tag);

/* Forgets all tags and frees the memory; takes zeroed memory. */
void pccl_sequences_clear(struct pccl_sequences *sequences);

#endif
