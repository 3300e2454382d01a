/* Does it pay to compress? The executor asks before each segment; a lane has a clock, and links that know the way. */
#include "comm/lane_pace.h"

#include <string.h>

#include "base/time.h"
#include "comm/lane_links.h"

/* Time with open attempts between two looks at the links. */
#define LOOK_NS (20 * PCCL_MS_NS)
/* Fewer bytes say nothing: what the kernel counts time in is coarse. */
#define LOOK_BYTES (128u << 10)
/* Bytes per ns that no network moves. */
#define FASTEST 16

static uint64_t open_ns(const struct pccl_lane_pace *pace)
{
	return pace->open_ns + (pace->since_ns == 0 ? 0 : pccl_loop_now(pace->loop) - pace->since_ns);
}

void pccl_lane_pace_busy(struct pccl_lane_pace *pace, bool busy)
{
	pace->open_ns = open_ns(pace);
	pace->since_ns = busy ? pccl_loop_now(pace->loop) : 0;
}

/* Of all links; of their speeds the highest. */
static void add_up(const struct pccl_lane_pace *pace, struct pccl_stream_counters *sums)
{
	uint64_t fastest = 0;
	uint32_t rank;

	memset(sums, 0, sizeof(*sums));
	for (rank = 0; rank < pccl_lane_ranks(pace->lane); rank++) {
		const struct pccl_lane_link *link = pccl_lane_link_to(pace->lane, rank);

		if (link == NULL)
			continue;
		sums->bytes_per_second = 0;
		pccl_lane_link_pace(link, sums);
		if (sums->bytes_per_second > fastest)
			fastest = sums->bytes_per_second;
	}
	sums->bytes_per_second = fastest;
}

/* The time that the network took for so many bytes. Links that are busy at the same time share one way, most often:
 * together they take no longer than the time that passed. A neighbour that is kept from acknowledging, for it does not
 * come to run, makes the network look slow; how fast the last bytes arrived tells those apart. */
static uint64_t time_taken(const struct pccl_stream_counters *sums, uint64_t moved, uint64_t network_ns,
			   uint64_t passed_ns)
{
	double taken_ns = (double)(network_ns < passed_ns ? network_ns : passed_ns);
	double at_speed_ns = sums->bytes_per_second == 0
				     ? taken_ns
				     : (double)moved * (double)PCCL_SECOND_NS / (double)sums->bytes_per_second;

	return (uint64_t)(at_speed_ns < taken_ns ? at_speed_ns : taken_ns) + moved / FASTEST;
}

static void look(struct pccl_lane_pace *pace)
{
	uint64_t now_ns = open_ns(pace), passed_ns = now_ns - pace->measured_ns, taken_ns, moved;
	struct pccl_stream_counters sums;
	uint32_t type;
	bool fell;

	if (passed_ns < LOOK_NS)
		return;
	add_up(pace, &sums);
	fell = sums.acked_bytes < pace->acked_bytes || sums.network_ns < pace->network_ns; /* a connection is gone */
	moved = sums.acked_bytes - pace->acked_bytes;
	if (!fell && moved < LOOK_BYTES)
		return;
	taken_ns = time_taken(&sums, moved, sums.network_ns - pace->network_ns, passed_ns);
	for (type = 0; type < PCCL_DTYPE_COUNT && !fell; type++) {
		pccl_lossless_learn_link(&pace->choices[type], moved, taken_ns);
		pccl_lossless_learn_link(&pace->state_choices[type], moved, taken_ns);
	}
	pace->measured_ns = now_ns;
	pace->acked_bytes = sums.acked_bytes;
	pace->network_ns = sums.network_ns;
}

static bool choose(struct pccl_lane_pace *pace, struct pccl_lossless_choice *choice)
{
	look(pace);
	if (!pccl_lossless_choose(choice))
		return false;
	pace->began_ns = pccl_clock_ns();
	return true;
}

static void learn(const struct pccl_lane_pace *pace, struct pccl_lossless_choice *choice, uint32_t bytes,
		  uint32_t packed_bytes)
{
	pccl_lossless_learn_encoding(choice, bytes, packed_bytes, pccl_clock_ns() - pace->began_ns);
}

bool pccl_lane_pace_choose(void *context, pcclDataType_t type)
{
	struct pccl_lane_pace *pace = context;

	return choose(pace, &pace->choices[type]);
}

void pccl_lane_pace_learn(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes)
{
	struct pccl_lane_pace *pace = context;

	learn(pace, &pace->choices[type], bytes, packed_bytes);
}

bool pccl_lane_pace_choose_state(void *context, pcclDataType_t type)
{
	struct pccl_lane_pace *pace = context;

	return choose(pace, &pace->state_choices[type]);
}

void pccl_lane_pace_learn_state(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes)
{
	struct pccl_lane_pace *pace = context;

	learn(pace, &pace->state_choices[type], bytes, packed_bytes);
}
