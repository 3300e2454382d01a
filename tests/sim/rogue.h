/*
 * One member that says what bytes from outside make it say: its machine and its executors are as everybody's, but what
 * they send passes through here and is changed, doubled, dropped or replaced on the way. Its bytes decide. Thrown
 * out, it comes back under another name; when the bytes have run out it dies.
 */
#ifndef PCCL_SIM_ROGUE_H
#define PCCL_SIM_ROGUE_H

#include "base/frame.h"
#include "fuzz/messages.h"
#include "sim.h"

struct sim_rogue {
	struct fuzz_bytes bytes; /* what is left to be said */
	const uint8_t *first;	 /* for the trace: which byte it is */
	uint32_t node;
	uint64_t nodes; /* that it has been, as bits */
};

/* Everything that a hostile member can make of the stack: a run of both levels' machines whose rogue is led by `data`.
 * Whatever comes of it, no assertion may fail, honest peers keep what check.c can ask of them, all memory returns, and
 * once the rogue is gone they go on. False: not so; it has been said. */
bool sim_run_rogue(const uint8_t *data, size_t bytes, bool loud);

/* Is this node the rogue of its world, and has it still something to say? */
bool sim_rogue_is(const struct sim *sim, uint32_t node);

/* A message on its way from the rogue to a master: sends what becomes of it. Takes packet->bytes. */
void sim_rogue_send(struct sim *sim, struct sim_node *node, struct sim_packet *packet);

/* A frame on its way from the rogue to a member: what arrives is another one. Its payload stays as long as it is. */
void sim_rogue_frame(struct sim *sim, struct pccl_frame *frame);

#endif
