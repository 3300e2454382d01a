/* A thread's loop on the virtual clock. Takes the place of src/transport/loop/loop.c: timers and hooks are the real
 * ones, a turn is an event of the simulator. */
#ifndef PCCL_SIM_SHELL_LOOP_H
#define PCCL_SIM_SHELL_LOOP_H

#include "sim.h"
#include "transport/loop/loop.h"

struct shell_lane;
struct wire;

struct pccl_loop {
	struct sim *sim;
	struct shell *shell;
	struct sim_node *node;
	uint32_t index; /* of the lane; SHELL_LANES: the control thread */
	struct shell_lane *lane;
	uint64_t now_ns;
	uint64_t wake_ns; /* of the turn that is in the queue; 0: none */
	struct pccl_timers timers;
	struct pccl_hook *hooks; /* oldest first */
	struct wire *wires;	 /* attached */
};

void shell_loop_init(struct shell *shell, struct pccl_loop *loop, uint32_t index);
/* A turn: what has come over wires, timers, hooks; then the next one is asked for. */
void loop_turn(struct pccl_loop *loop);
/* One that was asked for. */
void loop_event(struct pccl_loop *loop);
/* At the latest then. */
void loop_want(struct pccl_loop *loop, uint64_t time_ns);

#endif
