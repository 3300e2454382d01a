/* One executor and frames made by hand. It is rank 0 of three on its only lane; its op is an all-reduce of float32. */
#ifndef PCCL_TESTS_EXEC_DESK_H
#define PCCL_TESTS_EXEC_DESK_H

#include "collectives/exec/exec.h"

#define RANKS 3
#define EPOCH 5
#define TAG 70
#define START_BYTES 26

struct desk {
	struct pccl_exec *exec;
	struct pccl_plan *plan;
	struct pccl_geometry geometry;
	struct pccl_exec_launch launch;
	float *input, *output;	    /* all ones; anything */
	uint8_t start[START_BYTES]; /* the payload of this op's START, see learn_start() */
	uint32_t unchecked_ranks;   /* a bit for each: the carrier takes no checksums for it */
};

void open_desk(struct desk *desk, pcclPlan_t algorithm, uint64_t count);
void close_desk(struct desk *desk);
/* The cookie is the desk. */
void launch(struct desk *desk);
/* What any rank would send as START of this op: taken from an executor that does. */
void learn_start(struct desk *desk);

struct pccl_frame make_frame(enum pccl_frame_type type, uint32_t payload_bytes);
/* A contribution of the size that the segment has. */
struct pccl_frame partial(const struct desk *desk, uint32_t segment);
/* Only the header comes. */
enum pccl_frame_verdict offer(struct desk *desk, uint32_t rank, const struct pccl_frame *frame);
/* All of it comes. */
enum pccl_frame_verdict deliver(struct desk *desk, uint32_t rank, const struct pccl_frame *frame, const void *payload);
void deliver_start(struct desk *desk, uint32_t rank, uint32_t credit);
/* Takes everything there is for a rank and counts it. */
void take_all(struct desk *desk, uint32_t rank, uint32_t *partials_out, uint32_t *results_out, uint32_t *dones_out);
void assert_rejected(struct desk *desk, uint32_t rank, const struct pccl_frame *frame, const char *why);

#endif
