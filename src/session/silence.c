/* See silence.h. */
#include "session/silence.h"

#include <assert.h>

static uint64_t later(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

static uint64_t last_sign_ns(const struct pccl_silence *silence, const struct pccl_heard *heard)
{
	return later(silence->since_ns, later(heard->received_ns, silence->progress_ns));
}

uint64_t pccl_silence_ends(struct pccl_silence *silence, uint64_t now_ns, const struct pccl_heard *heard,
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
	assert(silence->since_ns <= now_ns);
	return last_sign_ns(silence, heard) + timeout_ns;
}

void pccl_silence_forgive(struct pccl_silence *silence, uint64_t now_ns, const struct pccl_heard *heard,
			  uint64_t slept_ns)
{
	uint64_t until_ns = last_sign_ns(silence, heard) + slept_ns;

	if (silence->since_ns != 0)
		silence->since_ns = until_ns < now_ns ? until_ns : now_ns;
}
