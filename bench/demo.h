/* The demonstration for newcomers: peers join, reduce, leave and join, and a table of bandwidths. */
#ifndef PCCL_BENCH_DEMO_H
#define PCCL_BENCH_DEMO_H

/* Runs it, telling each step on stdout in a line of plain words. Returns the exit status. */
int bench_demo(void);

#endif
