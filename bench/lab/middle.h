/* The process in the middle of a lab. */
#ifndef PCCL_BENCH_LAB_MIDDLE_H
#define PCCL_BENCH_LAB_MIDDLE_H

#include <stdbool.h>
#include <stdint.h>

/* Gives it a node's device, through the other end of its control socket. */
bool middle_tell(int control, unsigned node, int device);

/* Carries packets until it is ended. */
int middle_run(int control, double rate, uint64_t delay_ns, double loss);

#endif
