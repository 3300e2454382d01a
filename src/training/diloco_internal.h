/* What the files of the engine share: diloco.c (makes and ends it, steps), diloco_memory.c (buffers),
 * diloco_round.c (what a worker does), diloco_local.c (the local parameters, wherever they are), diloco_state.c
 * (tensors to save). */
#ifndef PCCL_TRAINING_DILOCO_INTERNAL_H
#define PCCL_TRAINING_DILOCO_INTERNAL_H

#include <pthread.h>

#include "base/fail.h"
#include "sync/diloco/exchange.h"
#include "sync/diloco/outer.h"
#include "sync/diloco/schedule.h"
#include "training/diloco.h"

#define PCCL_DILOCO_WORKERS 16 /* most rounds in flight at once */
/* Room for a roll call however the view may change between asking for its size and the call. */
#define PCCL_DILOCO_ENTRIES 4096
#define PCCL_DILOCO_SPARE 2 /* buffers of a fragment: in delayed modes a round begins before the last is taken over */

struct pccl_diloco_fragment {
	float *outer, *momentum;
	float *before;				     /* CO2 */
	float *own, *deviation, *deviation_momentum; /* eager */
	float *residual;			     /* error feedback */
	float *spare[PCCL_DILOCO_SPARE];	     /* those that no round has */
	uint32_t spare_count;
	size_t count;
	uint64_t begun;	    /* rounds */
	double step_mean;   /* CO2 */
	double weight_mark; /* the engine's weight when the last round began */
	float share;	    /* in the last round taken over; eager */
};

struct pccl_diloco_round {
	struct pccl_diloco_round *next;
	uint32_t fragment;
	uint64_t number; /* of the fragment's rounds, from 1 */
	uint64_t step;
	uint64_t due; /* step at which it is taken over */
	double weight;
	uint32_t allowed; /* pieces that may have begun; under the lock */
	float *values;	  /* the pseudo-gradient, then the new outer parameters */
	/* set by the thread, under the lock: */
	bool has_ended;
	double total;
	float share;
	uint32_t participants;
};

struct pccl_diloco_piece {
	pcclHandle_t handle;
	bool is_launched, has_ended;
};

/* A thread, and what it needs for a round: buffers as large as the largest fragment. */
struct pccl_diloco_worker {
	struct pccl_diloco *engine;
	float *contribution;
	float *residual; /* of the exchange that runs */
	uint8_t *entries;
	struct pccl_diloco_piece pieces[PCCL_PIECES_MAX];
	pthread_t thread;
	bool has_thread;
};

struct pccl_diloco {
	pcclComm_t *comm;
	unsigned generation; /* see pccl_fork_generation() */
	pcclDilocoSettings_t settings;
	struct pccl_outer_rule rule;
	struct pccl_schedule schedule;
	pcclTensorInfo_t *tensors; /* names are copies */
	struct pccl_diloco_fragment *fragments;
	struct pccl_diloco_round *rounds; /* begun and not taken over, in their order; the caller's list */
	uint64_t step, next_due;
	double weight; /* of all steps */
	uint64_t taken;

	/* diloco_state.c */
	pcclSharedState_t state;
	char **state_names;
	uint64_t *state_schedule;
	double *state_weights;

	struct pccl_diloco_worker workers[PCCL_DILOCO_WORKERS];
	uint32_t worker_count;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pccl_diloco_round **queue; /* a ring of those that wait for a worker */
	size_t queue_first, queue_count, queue_capacity;
	bool is_ending;
	pcclResult_t failure; /* what has ended the engine */
	char failure_text[PCCL_FAIL_TEXT_BYTES];
	pcclDilocoStatistics_t statistics;
};

/* diloco_memory.c */
pcclResult_t pccl_diloco_reserve(struct pccl_diloco *engine, const pcclTensorInfo_t *tensors);
void pccl_diloco_release(struct pccl_diloco *engine);

/* diloco_round.c: does a round; a result but pcclSuccess ends the engine. */
pcclResult_t pccl_diloco_run_round(struct pccl_diloco_worker *worker, struct pccl_diloco_round *round);

/* diloco.c: when there is something to do next */
void pccl_diloco_find_next_due(struct pccl_diloco *engine);

/* diloco_local.c: a fragment's local parameters. `to` and `from` are as long as the fragment. */
pcclResult_t pccl_diloco_read_local(struct pccl_diloco *engine, uint32_t fragment, float *to);
pcclResult_t pccl_diloco_write_local(struct pccl_diloco *engine, uint32_t fragment, const float *from);

uint64_t pccl_diloco_now_ns(void);

#endif
