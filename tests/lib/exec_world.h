/*
 * A world of executors in memory: several peers with one executor per lane, joined by streams that deliver frames in
 * random order, late, in two steps (header, payload), sometimes after having dropped the payload once. Everything is
 * drawn from one seed. Checks that borrowed payloads stay what they were until they are delivered.
 */
#ifndef PCCL_TESTS_EXEC_WORLD_H
#define PCCL_TESTS_EXEC_WORLD_H

#include "base/rng.h"
#include "collectives/codec/codec.h"
#include "collectives/exec/exec.h"

#define WORLD_PEERS_MAX 64
#define WORLD_LANES_MAX 4
#define WORLD_OPS_MAX 4200

/* What a peer calls. */
struct world_spec {
	enum pccl_collective kind;
	pcclPlan_t algorithm;
	pcclDataType_t datatype;
	pcclRedOp_t op;
	uint64_t count;
	uint32_t root;
	uint64_t tag;
	uint32_t sequence;
	pcclFailurePolicy_t policy;
	bool in_place;
	struct pccl_op_codec up; /* all-reduce; all 0: plain */
	struct pccl_op_codec down;
	uint8_t rounding;
	bool verifies;
	bool feeds_back; /* with a residual */
	bool uneven;	 /* parts of any size up to twice `count`. A transfer goes from the root to the next rank */
};

/* One peer's call of one op: the executors' cookie. */
struct world_call {
	struct world_spec spec;
	struct pccl_geometry geometry;
	struct pccl_part *parts; /* of what moves them */
	struct pccl_plan *plan;
	uint8_t *memory[2]; /* allocations behind input and output; one in place */
	uint8_t *input;
	uint8_t *output;
	uint8_t *undo;
	uint8_t *original; /* the input as it was */
	uint8_t *residual; /* of a spec that feeds back, as the next two; in the partial type */
	uint8_t *residual_next;
	uint8_t *residual_made;
	size_t input_bytes;
	size_t output_bytes;
	bool launched;
	bool cancelled;
	uint32_t lanes_ended;
	bool lane_ended[WORLD_LANES_MAX];
	pcclResult_t result; /* the first failure of a lane; then the others are cancelled */
	char detail[PCCL_DETAIL_BYTES];
	uint64_t tx_bytes;
	uint64_t rx_bytes;
};

struct world_config {
	uint64_t seed;
	uint32_t peers;
	uint32_t lanes;
	uint32_t streams;     /* of a lane between two peers */
	uint32_t frames_max;  /* in flight on a stream */
	uint32_t drop_chance; /* of 100 */
	size_t scratch_bytes; /* of an executor, as the next */
	size_t encoded_bytes;
	bool packs;	       /* peers compress: some always, some now and then, some never */
	bool packs_always;     /* all of them, always */
	uint32_t packed_slots; /* of an executor, as the next */
	uint32_t announced_max;
	/* This one, counted from 1, sends the other one results with a changed bit; 0: nobody does. */
	uint32_t liar, victim;
	uint32_t in_flight; /* calls of a peer that are open at a time; 0: any number */
};

struct world;

struct world *world_create(const struct world_config *config);
void world_destroy(struct world *world);
/* Teardown of a test: if it failed in the middle of a world, tells the seed and destroys that. */
int world_teardown(void **state);
struct pccl_rng *world_rng(struct world *world);
struct pccl_exec *world_exec(struct world *world, uint32_t peer, uint32_t lane);
struct world_call *world_call(struct world *world, uint32_t peer, uint32_t op);

/* Makes a call of every peer with random input; `op` numbers it. Nothing is launched yet. */
void world_add(struct world *world, uint32_t op, const struct world_spec *spec);
/* The same for one peer. */
void world_add_call(struct world *world, uint32_t peer, uint32_t op, const struct world_spec *spec);
void world_launch(struct world *world, uint32_t peer, uint32_t op);

/* Launches everything that was added, in random order at random times, and runs until every call has ended. Fails the
 * test if nothing can happen any more before that. */
void world_run(struct world *world);
/* At most so many random events; returns false if nothing can happen any more. Launches nothing. */
bool world_steps(struct world *world, uint32_t events);

/* Success, right bytes, input intact where it must be. */
void world_check_success(struct world *world, uint32_t op);
/* The result and the input as it was. */
void world_check_failure(struct world *world, uint32_t op, pcclResult_t result);
/* The input of a call that failed is as it was. */
void world_check_input_back(const struct world *world, uint32_t peer, uint32_t op);

/* Stops a peer's transfers of the view, as a flush does. */
void world_freeze(struct world *world, uint32_t peer);
/* A new view of some of the peers, in this order; those who are left out are dead. Peers go over one by one:
 * world_install(). */
void world_view(struct world *world, const uint32_t *members, uint32_t count);
void world_install(struct world *world, uint32_t peer);
/* Cancels a call on all lanes of the peer. */
void world_cancel(struct world *world, uint32_t peer, uint32_t op, pcclResult_t result, bool restore);
/* Adds the segments whose result the peer's lanes hold; true if all are complete. */
bool world_report(struct world *world, uint32_t peer, uint32_t op, uint64_t *held);
/* Lets go of a call that has ended or was cancelled, so that it can be launched again. */
void world_reset_call(struct world *world, uint32_t peer, uint32_t op);
/* Launches the repair of a call in the view that is in force. */
void world_launch_repair(struct world *world, uint32_t peer, uint32_t op, const uint64_t *const *holders,
			 uint32_t divisor);
/* All outcomes of this call are here. */
bool world_call_ended(const struct world *world, uint32_t peer, uint32_t op);
/* Runs until all calls that were launched have ended. */
void world_finish(struct world *world);

/* The order in which the inputs of a segment are added, of the members of the view in force: peers. */
void world_order(const struct world *world, uint32_t op, uint32_t segment, uint32_t *peers);
/* Any codec that serves elements of this floating point type, "none" among them. */
void world_random_codec(struct pccl_rng *rng, pcclDataType_t type, struct pccl_op_codec *out);
/* The parameters of a codec of the call, for a contribution of this rank of the view in force (down: PCCL_RANK_NONE) to
 * a segment. */
void world_codec(const struct world_spec *spec, const struct pccl_geometry *geometry, uint32_t segment, uint32_t rank,
		 struct pccl_codec_params *out);
/* What the op must give for a segment, from the originals of these peers in this order, into `out`. */
void world_expect_segment(struct world *world, uint32_t op, uint32_t segment, const uint32_t *peers, uint32_t count,
			  uint32_t divisor, uint8_t *out);

#endif
