/* Measures one size: buffers, warm-up, timed iterations, check, and the figures of all peers combined. */
#ifndef PCCL_BENCH_MEASURE_H
#define PCCL_BENCH_MEASURE_H

#include "peer.h"
#include "report.h"

/* Runs the options' collective on `bytes` bytes; every peer makes the same call, every peer gets the same row. False:
 * the run cannot go on (said on stderr). A failed or wrong operation is counted in the row, not a false. */
bool bench_measure(struct bench_peer *peer, uint64_t bytes, struct bench_row *row_out);

/* Measures all sizes of the options and lets rank 0 print. Returns the exit status: 1 if anything failed or was
 * wrong. */
int bench_measure_all(struct bench_peer *peer);

#endif
