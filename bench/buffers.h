/* The buffers of one size: laid out for the collective, filled, poisoned, verified, hashed. */
#ifndef PCCL_BENCH_BUFFERS_H
#define PCCL_BENCH_BUFFERS_H

#include "codec_error.h"
#include "peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_HASH_WORDS 8
#define BENCH_ROOT 0 /* the rank */

/* One operation's memory. Inputs and outputs point into the blocks. */
struct bench_buffer {
	void *blocks[3]; /* owned: input, output, and in place a copy of the input to start from */
	const void *input;
	void *output;
};

struct bench_buffers {
	struct bench_buffer each[BENCH_INFLIGHT_MAX];
	uint32_t buffer_count;
	size_t count;	    /* elements as pcclOperation_t counts them */
	size_t input_count; /* elements of one peer's input, and the same of its output */
	size_t output_count;
	size_t whole_bytes; /* of the whole buffer, rounded to what the collective can divide */
	size_t element_bytes;
};

/* Allocates and fills for `bytes` bytes. Complains and returns false when memory is short; call fini after either. */
bool bench_buffers_init(struct bench_buffers *buffers, const struct bench_peer *peer, uint64_t bytes);
void bench_buffers_fini(struct bench_buffers *buffers);

/* In place: puts the inputs back that the last operation overwrote. Else nothing. */
void bench_buffers_restore(struct bench_buffers *buffers, const struct bench_peer *peer);

/* Makes sure that the next results cannot be left-overs; inputs are ready afterwards. */
void bench_buffers_poison(struct bench_buffers *buffers, const struct bench_peer *peer);

/* Does the collective leave the same result on all peers? */
bool bench_buffers_agree(enum bench_collective collective);

/* Counts the elements of this peer's outputs that are wrong, and says where the first is. */
uint64_t bench_buffers_verify(const struct bench_buffers *buffers, const struct bench_peer *peer, pcclPlan_t plan);

/* With a codec: how far this peer's outputs are from exact; of several the one that is farthest. */
struct bench_error bench_buffers_error(const struct bench_buffers *buffers, const struct bench_peer *peer);

/* BLAKE2b of all outputs. Complains and returns false if the hash is not to be had. */
bool bench_buffers_hash(const struct bench_buffers *buffers, uint64_t hash_out[BENCH_HASH_WORDS]);

#endif
