/* A wire on the virtual network: a transport whose connections delay, stall, break in the middle of a frame and lose
 * what is under way, but never reorder, as TCP's do. */
#ifndef PCCL_SIM_SHELL_WIRE_H
#define PCCL_SIM_SHELL_WIRE_H

#include "shell_loop.h"
#include "transport/transport.h"

extern const struct pccl_transport sim_wire;

/* The address at which a node listens, and back. UINT32_MAX: none. */
void wire_address(uint32_t node, char text_out[PCCL_ADDRESS_BYTES]);

/* What is due on the wires of a loop. */
void wires_turn(struct pccl_loop *loop);
/* When something will be; UINT64_MAX: nothing, as things stand. */
uint64_t wires_next(const struct pccl_loop *loop);

/* One connection breaks. */
void wire_break_any(struct sim *sim);

void wires_destroy(struct sim *sim);

#endif
