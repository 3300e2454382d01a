/* A lane whose links are up and carry nothing, in a communicator that wants to know nothing: a test puts its own calls
 * where it looks. Nobody gives up: that fails the test. There is no `open`. */
#ifndef PCCL_TESTS_IDLE_LANE_H
#define PCCL_TESTS_IDLE_LANE_H

#include "session/lane.h"

extern const struct pccl_lane_calls idle_lane_calls;

/* A uuid that begins with the number. */
pcclRankUuid_t idle_lane_uuid(uint32_t who);

#endif
