/* Is one stream of a link cut off, while the others may be well? Pure; times are monotonic. */
#ifndef PCCL_TRANSPORT_STILL_H
#define PCCL_TRANSPORT_STILL_H

#include "transport/transport.h"

/* Of a stream; zeroed when it comes up. */
struct pccl_still {
	uint64_t acked_bytes; /* at the last look */
	uint64_t sign_ns;     /* of life, the last */
};

/* To be called from time to time with what the stream has counted. True: the network has had something of it for
 * patience_ns, and nothing was heard or acknowledged since. A receiver that does not read is none of that: its kernel
 * answers. `forgives`: who looks was asleep, and may have things to read. */
bool pccl_still_look(struct pccl_still *still, const struct pccl_stream_counters *counters, uint64_t now_ns,
		     uint64_t patience_ns, bool forgives);

#endif
