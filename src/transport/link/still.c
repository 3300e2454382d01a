#include "transport/link/still.h"

static void note_sign(struct pccl_still *still, uint64_t when_ns)
{
	if (when_ns > still->sign_ns)
		still->sign_ns = when_ns;
}

bool pccl_still_look(struct pccl_still *still, const struct pccl_stream_counters *counters, uint64_t now_ns,
		     uint64_t patience_ns, bool forgives)
{
	if (still->sign_ns == 0 || forgives || !counters->awaits || counters->acked_bytes != still->acked_bytes)
		note_sign(still, now_ns);
	note_sign(still, counters->heard_ns);
	note_sign(still, counters->acked_ns);
	still->acked_bytes = counters->acked_bytes;
	return still->sign_ns + patience_ns <= now_ns;
}
