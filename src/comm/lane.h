/* A lane: one I/O thread with its own loop, executor, and links to every neighbour. It decides nothing: it moves frames
 * between the links and the executor and does what the session commands. */
#ifndef PCCL_LANE_H
#define PCCL_LANE_H

#include <pccl.h>

#include "comm/monitor.h"
#include "transport/link/hello.h"

struct pccl_lane;

/* Creates lane `index` and starts its thread; `self` and `monitor` outlive it. */
pcclResult_t pccl_lane_create(const struct pccl_self *self, struct pccl_monitor *monitor, uint32_t index,
			      struct pccl_lane **lane_out);

/* From any thread: the monitor has commands for the lane. Not again before they are taken. Takes no lock. */
void pccl_lane_wake(struct pccl_lane *lane);

/* From any thread: a neighbour's stream arrived; takes it over. */
void pccl_lane_adopt(struct pccl_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello);

/* Ends the thread after what was posted, and closes all links. The monitor wakes it no more. NULL is allowed. */
void pccl_lane_stop(struct pccl_lane *lane);

/* Frees, after all lanes have stopped. NULL is allowed. */
void pccl_lane_destroy(struct pccl_lane *lane);

#endif
