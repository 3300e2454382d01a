/* Does it pay to compress what goes over a lane's links? */
#ifndef PCCL_LANE_PACE_H
#define PCCL_LANE_PACE_H

#include "collectives/codec/codec_lossless.h"
#include "collectives/element/dtype.h"
#include "session/lane.h"
#include "transport/loop/loop.h"

/* How fast the lane's links are, and what comes of compressing. Zeroed at first, but for the first two. */
struct pccl_lane_pace {
	const struct pccl_loop *loop;
	const struct pccl_lane *lane;
	uint64_t open_ns;     /* time in which attempts were open, as far as that has ended */
	uint64_t since_ns;    /* since when some are; 0: none is */
	uint64_t measured_ns; /* of that time, when the links were looked at last; and what they had moved then */
	uint64_t acked_bytes;
	uint64_t network_ns;
	uint64_t began_ns; /* a segment is being compressed since */
	struct pccl_lossless_choice choices[PCCL_DTYPE_COUNT];
	struct pccl_lossless_choice state_choices[PCCL_DTYPE_COUNT]; /* other elements than ops': another ratio */
};

/* For the executor's struct pccl_packer, and for that of a transfer of states: the context is the pace. */
bool pccl_lane_pace_choose(void *context, pcclDataType_t type);
void pccl_lane_pace_learn(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes);
bool pccl_lane_pace_choose_state(void *context, pcclDataType_t type);
void pccl_lane_pace_learn_state(void *context, pcclDataType_t type, uint32_t bytes, uint32_t packed_bytes);
/* The first attempt has opened, the last one has ended. */
void pccl_lane_pace_busy(struct pccl_lane_pace *pace, bool busy);

#endif
