/* Loses peers, links and masters on purpose, while every operation's result is checked. */
#ifndef PCCL_BENCH_CHAOS_H
#define PCCL_BENCH_CHAOS_H

#include "options.h"

/* Runs the options' kind of chaos. Returns the exit status: 1 on any hang or divergence. */
int bench_chaos(const struct bench_options *options);

#endif
