/* What the files of the world share. */
#ifndef PCCL_TESTS_EXEC_WORLD_INTERNAL_H
#define PCCL_TESTS_EXEC_WORLD_INTERNAL_H

#include <stdlib.h>

#include "exec_world.h"

#define NOBODY UINT32_MAX

/* A frame between next() and received(). */
struct flight {
	struct pccl_frame_send send;
	uint8_t *copy; /* of the payload when it was handed out */
	void *destination;
	bool coming;	/* accepted, payload not there yet */
	bool discarded; /* the receiver does not want it any more */
	bool forgotten; /* the sender's memory must not be read any more */
	struct flight *next;
};

struct stream {
	struct flight *first, *last;
	uint32_t count;
	bool listed;
};

struct ack {
	uint32_t peer, lane;
	void *token;
};

struct world_peer {
	struct pccl_exec *execs[WORLD_LANES_MAX];
	struct world_call *calls[WORLD_OPS_MAX];
	uint32_t ranks_to_peers[WORLD_PEERS_MAX]; /* of the view installed here */
	uint32_t ranks;
	uint32_t rank;
	uint32_t open;
};

struct world {
	struct world_config config;
	struct pccl_rng rng;
	struct world_peer peers[WORLD_PEERS_MAX];
	struct stream *streams;
	uint32_t stream_count;
	uint32_t *busy; /* indexes of streams with frames */
	uint32_t busy_count;
	struct ack *acks;
	size_t ack_count, ack_room;
	uint32_t epoch;
	uint32_t members[WORLD_PEERS_MAX];
	uint32_t member_count;
	uint32_t op_count;
	uint64_t pack_choices;
	uint32_t idle; /* attempts at random in which nothing happened */
};

static inline void *must(void *memory)
{
	if (memory == NULL)
		abort();
	return memory;
}

void world_free_call(struct world_call *call);
/* NOBODY: it is no member of the view that is installed at `peer`. */
uint32_t world_rank_of(const struct world_peer *peer, uint32_t other);
/* What a carrier does before an op is cancelled; call NULL: everything that is being received. */
void world_forget(struct world *world, uint32_t peer, uint32_t lane, const struct world_call *call);
/* Takes the outcomes of an executor. */
void world_drain(struct world *world, uint32_t peer, uint32_t lane);
void world_launch_call(struct world *world, uint32_t peer, struct world_call *call, const uint64_t *held,
		       uint32_t divisor);
void world_assert_equal(const void *a, const void *b, size_t bytes);

/* Has this rank a part in it? Else it makes no call. */
bool world_takes_part(const struct world_spec *spec, uint32_t ranks, uint32_t rank);
/* The other end of a transfer; of others the root. */
uint32_t world_partner(const struct world_spec *spec, uint32_t ranks, uint32_t rank);
/* Parts, geometry and sizes of a call that moves parts. */
void world_cut_parts(const struct world *world, uint32_t ranks, uint32_t rank, struct world_call *call);
/* world_check_success() of such an op. */
void world_check_parts(const struct world *world, uint32_t op);

/* A lane that had ended with success has let go of what it has overwritten. */
void world_restore_lane(const struct world *world, struct world_call *call, uint32_t lane);

#endif
