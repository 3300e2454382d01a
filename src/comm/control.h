/* The control thread: the listening port, the connection to the master, and the peer machine between them and the
 * callers. */
#ifndef PCCL_CONTROL_H
#define PCCL_CONTROL_H

#include <pccl.h>

#include "comm/monitor.h"
#include "membership/peer/peer.h"
#include "transport/link/hello.h"

struct pccl_control;

/* The first two outlive the control thread. */
struct pccl_control_config {
	const struct pccl_self *self;
	struct pccl_monitor *monitor;
	/* A neighbour's stream has come to the listening port; hello->lane is one of this peer's. */
	void (*adopt)(void *context, struct pccl_stream *stream, const struct pccl_hello *hello);
	void *context;
};

/* Listens and starts the thread; nothing is sent yet. The failure says what is wrong. */
pcclResult_t pccl_control_create(const struct pccl_control_config *config, struct pccl_control **control_out);

/* From any thread: a local event for the machine (JOIN, VOTE, GIVE_UP, FROZEN, LINK_LOST, EXPIRED, LEAVE); now_ns is
 * filled in, text is copied. If memory is short the communicator ends. Takes no lock. */
void pccl_control_post(struct pccl_control *control, const struct pccl_peer_event *event);

/* Ends the thread after what was posted (a LEAVE gets out). Events may still be posted: they count for nothing. NULL is
 * allowed. */
void pccl_control_stop(struct pccl_control *control);

/* Frees, after the lanes have ended. NULL is allowed. */
void pccl_control_destroy(struct pccl_control *control);

#endif
