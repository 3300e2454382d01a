/* A lane's I/O thread: it decides nothing (session/lane.h does), has a loop and real links, and carries commands and
 * streams from other threads to its lane. */
#ifndef PCCL_LANE_THREAD_H
#define PCCL_LANE_THREAD_H

#include <pccl.h>

#include "comm/monitor.h"
#include "transport/link/hello.h"

struct pccl_lane_thread;

/* Creates lane `index` and starts its thread; `self` and `monitor` outlive it. */
pcclResult_t pccl_lane_thread_create(const struct pccl_self *self, struct pccl_monitor *monitor, uint32_t index,
				     struct pccl_lane_thread **thread_out);

/* From any thread: the monitor has commands for the lane. Not again before they are taken. Takes no lock. */
void pccl_lane_thread_wake(struct pccl_lane_thread *thread);

/* From any thread: callers wait for one op after the other. Between them the thread parks from now on, for a moment
 * each, so that the next one may take its place: then he drives the lane, turn by turn, until he gives it back, and
 * must not hold up pccl_lane_thread_stop(). Whoever has something for him rings. */
void pccl_lane_thread_invite(struct pccl_lane_thread *thread);
bool pccl_lane_thread_take(struct pccl_lane_thread *thread);
void pccl_lane_thread_drive(struct pccl_lane_thread *thread, uint64_t until_ns);
void pccl_lane_thread_ring(struct pccl_lane_thread *thread);
void pccl_lane_thread_give(struct pccl_lane_thread *thread);

/* From any thread: a neighbour's stream arrived; takes it over. */
void pccl_lane_thread_adopt(struct pccl_lane_thread *thread, struct pccl_stream *stream,
			    const struct pccl_hello *hello);

/* Ends the thread after what was posted, and closes all links. The monitor wakes it no more. NULL is allowed. */
void pccl_lane_thread_stop(struct pccl_lane_thread *thread);

/* Frees, after all lanes have stopped. NULL is allowed. */
void pccl_lane_thread_destroy(struct pccl_lane_thread *thread);

#endif
