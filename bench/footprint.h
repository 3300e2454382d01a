/* What a communicator costs beside its speed: processor time while idle, memory beyond the caller's buffers. */
#ifndef PCCL_BENCH_FOOTPRINT_H
#define PCCL_BENCH_FOOTPRINT_H

#include "peer.h"

/* Bytes of memory that the process has now; 0 if the system does not say. Take it before joining. */
uint64_t bench_resident_bytes(void);

/* Idles for a while, then reduces the options' sizes, and lets rank 0 print what it took: the most of any peer.
 * `before_bytes` is what the process had before it joined. Joint. Returns the exit status. */
int bench_footprint(struct bench_peer *peer, uint64_t before_bytes);

#endif
