/* A lane: one I/O thread with its own loop, executor, and links to every neighbour. It decides nothing: it moves frames
 * between the links and the executor and does what the session commands. */
#ifndef PCCL_LANE_H
#define PCCL_LANE_H

#include <pccl.h>

#include "membership/message/view.h"
#include "session/session.h"
#include "transport/link/hello.h"

struct pccl_lane;

/* Creates lane `index` and starts its thread. */
pcclResult_t pccl_lane_create(pcclComm_t *comm, uint32_t index, struct pccl_lane **lane_out);

/* From any thread that holds the communicator's lock, in order: carry out a command. */
void pccl_lane_command(struct pccl_lane *lane, struct pccl_command *command);

/* From any thread: a neighbour's stream arrived; takes it over. */
void pccl_lane_adopt(struct pccl_lane *lane, struct pccl_stream *stream, const struct pccl_hello *hello);

/* Ends the thread after what was posted, and closes all links. Commands may still be posted: they count for nothing.
 * NULL is allowed. */
void pccl_lane_stop(struct pccl_lane *lane);

/* Frees, after all lanes have stopped. NULL is allowed. */
void pccl_lane_destroy(struct pccl_lane *lane);

#endif
