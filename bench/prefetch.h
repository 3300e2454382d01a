/* What it costs members that a newcomer fetches their state before it is admitted. */
#ifndef PCCL_BENCH_PREFETCH_H
#define PCCL_BENCH_PREFETCH_H

#include "options.h"

/* Starts the options' peers and a newcomer, each behind a cable; members reduce, in turn with what they have lent and
 * without. Prints a table, or a JSON object. Returns the exit status. */
int bench_prefetch(const struct bench_options *options);

#endif
