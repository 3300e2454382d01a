/* Peers of one machine, each in a network namespace of its own behind a cable that carries so much: see chaos_net.h. */
#ifndef PCCL_BENCH_CABLE_H
#define PCCL_BENCH_CABLE_H

#include "local.h"

/* In memory that the parent and the peer's process share. They take turns to lay it. */
struct bench_cable {
	uint32_t mbit; /* each way; 0: there is none, the peer stays on this host */
	int plug;
};

/* In the parent, before anything is started: the master is where all cables end. Complains and returns false if that
 * is not allowed. Without cables (mbit 0) nothing happens. */
bool bench_cables_begin(uint32_t mbit, struct bench_master *master);

/* In the parent, after the peer's process has been started. */
bool bench_cable_lay(struct bench_cable *cable, uint32_t index, pid_t pid);

/* In the peer's process, before anything else: returns when the cable is laid. */
bool bench_cable_enter(struct bench_cable *cable, uint32_t index);

#endif
