/* A lane whose links are up and carry nothing, in a communicator that wants to know nothing: a test puts its own calls
 * where it looks. Nobody gives up: that fails the test. `open` needs a struct idle_lane_links as the context. */
#ifndef PCCL_TESTS_IDLE_LANE_H
#define PCCL_TESTS_IDLE_LANE_H

#include "session/lane.h"

#define IDLE_LANE_LINKS_MAX 64u

struct idle_lane_links {
	struct pccl_neighbour *neighbours[IDLE_LANE_LINKS_MAX]; /* in the order in which links were made */
	uint32_t count;
};

extern const struct pccl_lane_calls idle_lane_calls;

/* Which of them it is. */
uint32_t idle_lane_link_number(const struct idle_lane_links *links, const struct pccl_lane_link *link);

/* A uuid that begins with the number. */
pcclRankUuid_t idle_lane_uuid(uint32_t who);

/* About so many peers, the first of which has that number, with one lane and one stream. Whoever takes the command owns
 * it. */
struct pccl_command *idle_lane_command(enum pccl_command_type type, uint32_t first, uint32_t count);

/* A barrier of so many that nobody else has launched. Its plan, to be destroyed by the caller. */
struct pccl_plan *idle_lane_launch(struct pccl_lane *lane, uint32_t ranks, void *cookie, uint64_t now_ns);

#endif
