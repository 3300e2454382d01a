/* When a neighbour's silence means something: only while frames are under way to it, and not before they were. */
#ifndef PCCL_SILENCE_H
#define PCCL_SILENCE_H

#include <stdint.h>

#define PCCL_SILENCE_NEVER UINT64_MAX

/* Signs of life of a neighbour, over all streams to it. Times are monotonic. */
struct pccl_heard {
	uint64_t received_ns;	 /* of the last byte that was read, or when a stream came up last */
	uint64_t acked_ns;	 /* of the last acknowledgement of any bytes, new or old */
	uint64_t acked_bytes;	 /* grows with what is acknowledged; any change is a sign of life */
	uint64_t unacked_frames; /* that were pulled and are not acknowledged */
	uint64_t trip_ns;	 /* there and back; 0: not known */
};

/* Zeroed at first. */
struct pccl_silence {
	uint64_t since_ns; /* frames have been under way since then, or a little longer; 0: none are */
	uint64_t acked_bytes;
	uint64_t progress_ns; /* when the neighbour had last acknowledged something new */
};

/* To be called from time to time, with what is known of the neighbour. Returns when it will have been silent for too
 * long, as things stand. */
uint64_t pccl_silence_ends(struct pccl_silence *silence, uint64_t now_ns, const struct pccl_heard *heard,
			   uint64_t timeout_ns);

/* Who listens has slept until now, for so long: what the neighbour has said meanwhile is still to be read. That time
 * does not count. */
void pccl_silence_forgive(struct pccl_silence *silence, uint64_t now_ns, const struct pccl_heard *heard,
			  uint64_t slept_ns);

#endif
