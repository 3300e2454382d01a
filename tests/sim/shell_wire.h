/* A wire on the virtual network: a transport whose connections delay, stall, break in the middle of a frame and lose
 * what is under way, but never reorder, as TCP's do. */
#ifndef PCCL_SIM_SHELL_WIRE_H
#define PCCL_SIM_SHELL_WIRE_H

#include "shell_loop.h"
#include "transport/transport.h"

extern const struct pccl_transport sim_wire;

/* What is due on the wires of a loop. */
void wires_turn(struct pccl_loop *loop);
/* When something will be; UINT64_MAX: nothing, as things stand. */
uint64_t wires_next(const struct pccl_loop *loop);

/* One connection breaks. */
void wire_break_any(struct sim *sim);

/* What kernels have heard of is known from now on: something about cards changes. */
void wires_note_acks(struct sim *sim);
/* The address of that card is somebody else's, who has never heard of these connections. */
void wires_refuse(struct sim *sim, uint32_t node, uint32_t card);

/* Is there a connection of that lane between the two? One over that card? */
bool wires_connect(const struct sim *sim, uint32_t node, uint32_t other, uint32_t lane);
bool wires_go_by(const struct sim *sim, uint32_t node, uint32_t other, uint32_t lane, uint32_t card);

void wires_destroy(struct sim *sim);

#endif
