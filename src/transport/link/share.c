#include "transport/link/share.h"

#define SECOND_NS 1e9
#define FIRST_BYTES (1u << 20) /* in flight until the first are acknowledged: enough to see how fast they are */
/* What a measurement takes: acknowledgements come half a MiB, or 5 ms, at a time. */
#define MEASURE_BYTES (512u << 10)
#define MEASURE_NS 1000000u
#define MEASURE_MOST_NS 20000000u
#define LEAST_BYTES (64u << 10) /* that say anything */
/* Rates of which one is three quarters of the other, or more, may well be equal. */
#define ALIKE 4u
#define ALIKE_OF 3u
#define BUSY_NS 80000000u /* many times what acknowledgements wait; a process may not come to run for a while */
#define ACK_WAIT_NS 6000000u
/* What is measured counts one part of so many: acknowledgements come unevenly. */
#define PARTS 8u
#define PARTS_OF_BOUNDS 3u
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
		share->all_bytes = share->arrival_ns = 0;
		share->has_begun = false;
	}
	share->flight_bytes += bytes;
	share->passed_ns = 0;
}

void pccl_share_forgot(struct pccl_share *share, uint64_t bytes)
{
	share->flight_bytes -= bytes < share->flight_bytes ? bytes : share->flight_bytes;
}

static void learn(struct pccl_share *share, uint64_t rate, uint64_t parts)
{
	share->rate = (share->rate * (parts - 1) + rate) / parts;
}

/* Frames that are acknowledged at the same time are one arrival. From one to the next the way's length does not count,
 * only its speed. The last one of all that is in flight is not measured so: with nothing to follow the other side takes
 * its time to acknowledge it. */
static void note_arrival(struct pccl_share *share, uint64_t now_ns)
{
	if (share->has_begun && now_ns == share->since_ns)
		return;
	if (share->rate > 0 && share->arrival_ns > 0) {
		share->bytes += share->arrival_bytes;
		share->ns += share->arrival_ns;
	}
	if ((share->bytes >= MEASURE_BYTES && share->ns >= MEASURE_NS) || share->ns >= MEASURE_MOST_NS) {
		learn(share, rate_of(share->bytes, share->ns), PARTS);
		share->bytes = share->ns = 0;
	}
	share->arrival_ns = share->has_begun ? now_ns - share->since_ns : 0;
	share->arrival_bytes = 0;
	share->since_ns = now_ns;
	share->has_begun = true;
}

/* What was in flight without a pause tells how fast the way is at least, which is believed at once, for who is thought
 * slow gets few frames to show it by; and when all of it is across, how fast it is at most. */
static void learn_bounds(struct pccl_share *share, uint64_t now_ns)
{
	const uint64_t took_ns = now_ns - share->began_ns, wait_ns = ACK_WAIT_NS + share->trip_ns;

	if (share->all_bytes < LEAST_BYTES || took_ns < MEASURE_NS)
		return;
	if (rate_of(share->all_bytes, took_ns) > share->rate)
		share->rate = rate_of(share->all_bytes, took_ns);
	else if (share->flight_bytes == 0 && took_ns > wait_ns &&
		 rate_of(share->all_bytes, took_ns - wait_ns) < share->rate)
		learn(share, rate_of(share->all_bytes, took_ns - wait_ns), PARTS_OF_BOUNDS);
}

void pccl_share_acked(struct pccl_share *share, uint64_t bytes, uint64_t now_ns)
{
	if (share->flight_bytes == 0)
		return; /* it was not in flight here: when it began nobody knows */
	pccl_share_forgot(share, bytes);
	note_arrival(share, now_ns);
	share->arrival_bytes += bytes;
	share->all_bytes += bytes;
	learn_bounds(share, now_ns);
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

void pccl_share_add(struct pccl_share_all *all, const struct pccl_share *share)
{
	if (share->rate > all->fastest)
		all->fastest = share->rate;
	if (share->rate > 0 && time_of(all->bytes, share->rate) > all->longest_ns)
		all->longest_ns = time_of(all->bytes, share->rate);
}

uint64_t pccl_share_ends_ns(const struct pccl_share *share, const struct pccl_share_all *all, uint64_t now_ns)
{
	const uint64_t rate = share->rate >= all->fastest / ALIKE * ALIKE_OF ? all->fastest : share->rate;
	const uint64_t waited_ns = share->flight_bytes > 0 ? now_ns - share->since_ns : 0;
	uint64_t ends_ns;

	if (share->rate == 0)
		return share->flight_bytes + all->bytes > FIRST_BYTES && share->flight_bytes > 0 ? UINT64_MAX
												 : waited_ns;
	ends_ns = time_of(share->flight_bytes + all->bytes, rate);
	return ends_ns > waited_ns ? ends_ns : waited_ns; /* what has stopped takes as long again, at least */
}

/* A slow one takes a frame only if the fast ones are busy for so long. */
static bool has_enough(const struct pccl_share *share, const struct pccl_share_all *all)
{
	const uint64_t least_ns = all->longest_ns + all->longest_ns / 2;
	const uint64_t enough_ns = (least_ns > BUSY_NS ? least_ns : BUSY_NS) + share->trip_ns;

	return share->rate > 0 && share->flight_bytes + all->bytes > FIRST_BYTES &&
	       time_of(share->flight_bytes, share->rate) > enough_ns;
}

bool pccl_share_takes(const struct pccl_share *share, const struct pccl_share_all *all, uint64_t other_ns,
		      uint64_t now_ns)
{
	const uint64_t own_ns = pccl_share_ends_ns(share, all, now_ns);

	if (own_ns == UINT64_MAX || has_enough(share, all))
		return false;
	if (own_ns <= other_ns)
		return true;
	return share->flight_bytes == 0 && (double)share->passed_ns >= TRIAL_SHARE * (double)own_ns;
}
