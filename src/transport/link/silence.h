/* When a neighbour's silence means something: only while frames are under way to it, and not before they were. Pure. */
#ifndef PCCL_SILENCE_H
#define PCCL_SILENCE_H

#include <stdint.h>

#include "transport/link/link.h"

#define PCCL_SILENCE_NEVER UINT64_MAX

/* Zeroed at first. */
struct pccl_silence {
	uint64_t since_ns; /* frames have been under way since then, or a little longer; 0: none are */
	uint64_t acked_bytes;
	uint64_t progress_ns; /* when the neighbour had last acknowledged something new */
};

/* To be called from time to time, with what is known of the neighbour. Returns when it will have been silent for too
 * long, as things stand. */
uint64_t pccl_silence_ends(struct pccl_silence *silence, uint64_t now_ns, const struct pccl_link_heard *heard,
			   uint64_t timeout_ns);

#endif
