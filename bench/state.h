/* How long newcomers take to get a state from all who have it. */
#ifndef PCCL_BENCH_STATE_H
#define PCCL_BENCH_STATE_H

#include "options.h"

/* Starts the options' peers, who share a state of state_bytes, and newcomers, who get it; prints a table, or a JSON
 * object. Returns the exit status. */
int bench_state(const struct bench_options *options);

#endif
