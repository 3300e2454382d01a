/*
 * What all comparison programs share, so that each alternative is measured by the same ruler: the flags, a board in
 * shared memory with a barrier that belongs to none of them, and the JSON line. Plain C, usable from C++ and, as
 * libcompare.so, from Python.
 */
#ifndef PCCL_BENCH_COMPARE_COMMON_H
#define PCCL_BENCH_COMPARE_COMMON_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define COMPARE_PEERS_MAX 64
#define COMPARE_SIZES_MAX 32
#define COMPARE_ITERATIONS_MAX 100000

struct compare_options {
	int peers;
	size_t sizes[COMPARE_SIZES_MAX]; /* bytes of the buffer, multiples of 4 */
	int size_count;
	int iterations; /* timed ones per size */
	int warmup;
	char mode[32];	    /* which variant of the alternative */
	size_t chunk_bytes; /* raw sockets: bytes per system call */
};

/* One run's shared state; every process of the run maps the same one. */
struct compare_board;

/* Reads --peers, --sizes, --iters, --warmup, --mode, --chunk. On a bad flag says what is wrong and returns false. */
bool compare_parse(int argc, char **argv, struct compare_options *options_out);

/* Bytes the board needs for `peers` processes and `iterations` timed iterations. */
size_t compare_board_bytes(int peers, int iterations);

/* A board for processes forked later; NULL when memory is short. Lives until the process ends. */
struct compare_board *compare_board_create(int peers, int iterations);

/* The same in a file, for processes that are started apart: one creates, the others attach once it has. */
struct compare_board *compare_board_create_file(const char *path, int peers, int iterations);
struct compare_board *compare_board_attach_file(const char *path);

/* Waits until all peers of the board are here. */
void compare_meet(struct compare_board *board);

/* Seconds on the monotonic clock. */
double compare_now(void);

/* User and system seconds of the calling process so far, all threads. */
double compare_cpu(void);

/* Notes one timed iteration, and the processor time of all of them, of one peer. */
void compare_note(struct compare_board *board, int peer, int iteration, double seconds);
void compare_note_cpu(struct compare_board *board, int peer, double seconds);

/* Prints the JSON line of one size; called by one peer between two meetings. `plan` names the alternative. */
void compare_print(const struct compare_board *board, const char *plan, size_t bytes, int iterations);

/* Forks `peers` processes that run body(rank, options, board), and waits for all. If one fails, ends the others.
 * Returns the exit status for main(). */
int compare_fork(const struct compare_options *options,
		 int (*body)(int rank, const struct compare_options *options, struct compare_board *board));

#ifdef __cplusplus
}
#endif

#endif
