#include "transport/link/share.h"

#define SECOND_NS 1e9
#define FIRST_BYTES (1u << 20) /* in flight until the first are acknowledged: enough to see how fast they are */
/* What a measurement takes: acknowledgements come half a MiB, or 5 ms, at a time. */
#define MEASURE_BYTES (512u << 10)
#define MEASURE_NS 1000000u
#define MEASURE_MOST_NS 20000000u
#define LEAST_BYTES (64u << 10) /* that say anything */
#define WEIGHT 4u		/* what is new counts one part of so many */
#define TRIAL_SHARE 16.0 /* a stream that others are preferred to gets no more than this part of the time for a trial */

static uint64_t time_of(uint64_t bytes, uint64_t rate)
{
	return (uint64_t)((double)bytes / (double)rate * SECOND_NS);
}

static uint64_t rate_of(uint64_t bytes, uint64_t ns)
{
	return (uint64_t)((double)bytes / (double)(ns > 0 ? ns : 1) * SECOND_NS);
}

void pccl_share_sent(struct pccl_share *share, uint64_t bytes, uint64_t now_ns)
{
	if (share->flight_bytes == 0) {
		share->since_ns = share->began_ns = now_ns;
		share->arrived_bytes = 0;
		share->has_begun = false;
	}
	share->flight_bytes += bytes;
	share->passed_ns = 0;
}

void pccl_share_forgot(struct pccl_share *share, uint64_t bytes)
{
	share->flight_bytes -= bytes < share->flight_bytes ? bytes : share->flight_bytes;
}

/* From one acknowledgement to the next the way's length does not count, only its speed. */
static void measure(struct pccl_share *share, uint64_t bytes, uint64_t took_ns)
{
	share->bytes += bytes;
	share->ns += took_ns;
	if ((share->bytes < MEASURE_BYTES || share->ns < MEASURE_NS) && share->ns < MEASURE_MOST_NS)
		return;
	share->rate = (share->rate * (WEIGHT - 1) + rate_of(share->bytes, share->ns)) / WEIGHT;
	share->bytes = share->ns = 0;
}

void pccl_share_acked(struct pccl_share *share, uint64_t bytes, uint64_t now_ns)
{
	uint64_t least;

	pccl_share_forgot(share, bytes);
	share->arrived_bytes += bytes;
	/* Several frames may be acknowledged at once. */
	if (share->has_begun && share->rate > 0 && share->first_ns != now_ns)
		measure(share, bytes, now_ns - share->since_ns);
	if (!share->has_begun)
		share->first_ns = now_ns;
	share->has_begun = true;
	share->since_ns = now_ns;
	/* It is so fast at least, and is believed at once: who is thought slow gets few frames to show it by. */
	least = rate_of(share->arrived_bytes, now_ns - share->began_ns);
	if (least > share->rate && share->arrived_bytes >= LEAST_BYTES && now_ns - share->began_ns >= MEASURE_NS)
		share->rate = least;
}

void pccl_share_begin(struct pccl_share *share)
{
	*share = (struct pccl_share){.rate = 0};
}

void pccl_share_passed(struct pccl_share *share, const struct pccl_share *taker, uint64_t bytes)
{
	if (taker->rate > 0)
		share->passed_ns += time_of(bytes, taker->rate);
}

uint64_t pccl_share_ends_ns(const struct pccl_share *share, uint64_t bytes, uint64_t now_ns)
{
	const uint64_t waited_ns = share->flight_bytes > 0 ? now_ns - share->since_ns : 0;
	uint64_t ends_ns;

	if (share->rate == 0)
		return share->flight_bytes + bytes > FIRST_BYTES && share->flight_bytes > 0 ? UINT64_MAX : waited_ns;
	ends_ns = time_of(share->flight_bytes + bytes, share->rate);
	return ends_ns > waited_ns ? ends_ns : waited_ns; /* what has stopped takes as long again, at least */
}

bool pccl_share_takes(const struct pccl_share *share, uint64_t bytes, uint64_t other_ns, uint64_t now_ns)
{
	const uint64_t own_ns = pccl_share_ends_ns(share, bytes, now_ns);

	if (own_ns == UINT64_MAX)
		return false;
	if (own_ns <= other_ns)
		return true;
	return share->flight_bytes == 0 && (double)share->passed_ns >= TRIAL_SHARE * (double)own_ns;
}
