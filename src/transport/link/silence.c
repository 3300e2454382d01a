/* See silence.h. */
#include "transport/link/silence.h"

static uint64_t later(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

uint64_t pccl_silence_ends(struct pccl_silence *silence, uint64_t now_ns, const struct pccl_link_heard *heard,
			   uint64_t timeout_ns)
{
	/* A neighbour that does not hear us repeats what it has sent, and old acknowledgements with it. */
	if (heard->acked_bytes != silence->acked_bytes) {
		silence->acked_bytes = heard->acked_bytes;
		silence->progress_ns = heard->acked_ns;
	}
	if (heard->unacked_frames == 0) {
		silence->since_ns = 0;
		return PCCL_SILENCE_NEVER;
	}
	if (silence->since_ns == 0)
		silence->since_ns = now_ns;
	return later(silence->since_ns, later(heard->received_ns, silence->progress_ns)) + timeout_ns;
}
