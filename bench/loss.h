/* What the loss of a peer in the middle of an all-reduce costs, beside the same without a loss. */
#ifndef PCCL_BENCH_LOSS_H
#define PCCL_BENCH_LOSS_H

#include "options.h"

/* Runs the options' sizes, each `iterations` times, and prints a table, or a JSON object per size. Returns the exit
 * status. */
int bench_loss(const struct bench_options *options);

#endif
