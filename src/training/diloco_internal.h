/* What the files of the engine share: diloco.c (rounds as the caller sees them, steps), diloco_life.c (creation,
 * threads, end), diloco_memory.c (buffers), diloco_round.c (what a worker does), diloco_quorum.c (rounds that do not
 * wait for everybody), diloco_local.c (the local parameters, wherever they are), diloco_state.c (tensors to save). */
#ifndef PCCL_TRAINING_DILOCO_INTERNAL_H
#define PCCL_TRAINING_DILOCO_INTERNAL_H

#include <pthread.h>
#include <time.h>

#include "base/fail.h"
#include "comm/monitor.h"
#include "sync/diloco/exchange.h"
#include "sync/diloco/outer.h"
#include "sync/diloco/schedule.h"
#include "training/diloco.h"

#define PCCL_DILOCO_WORKERS 16 /* most rounds in flight at once */
#define PCCL_DILOCO_SPARE 2 /* buffers of a fragment: in delayed modes a round begins before the last is taken over */

struct pccl_diloco_fragment {
	float *outer, *momentum;
	float *before;				     /* CO2 */
	float *own, *deviation, *deviation_momentum; /* eager */
	float *residual;			     /* error feedback */
	float *base;			 /* quorum: what the local parameters are to follow still; or NULL */
	float *spare[PCCL_DILOCO_SPARE]; /* those that no round has */
	uint32_t spare_count;
	size_t count;
	uint64_t begun;	  /* rounds */
	double step_mean; /* CO2 */
	double pending;	  /* weight of steps that no round has, but for the engine's `recent` */
	float share;	  /* in the last round taken over; eager */
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
	bool is_wild;	  /* the pseudo-gradient was no number: there is nothing in it, and it weighs nothing */
	bool is_without;  /* quorum: the caller does not know of it */
	bool is_replaced; /* the engine has failed, and `values` are the outer parameters before it */
	/* set by the thread, under the lock: */
	bool is_applied; /* `values` are the new outer parameters, and the momentum belongs to them */
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

/* With a quorum: what the caller is doing, as far as it is the worker's business. */
enum pccl_diloco_caller {
	PCCL_DILOCO_AWAY,    /* it trains */
	PCCL_DILOCO_BUSY,    /* it is at the fragments: no round may begin */
	PCCL_DILOCO_ARRIVED, /* it has given rounds to the queue */
	PCCL_DILOCO_FLUSHES
};

struct pccl_diloco_quorum {
	/* the caller's */
	uint64_t last_step; /* at which it took rounds over */
	/* under the lock */
	enum pccl_diloco_caller caller;
	uint64_t arrived_ns;
	uint64_t number; /* gatherings that have come to rounds */
	uint32_t missed; /* of them, without the caller, which does not know yet */
	bool is_active;	 /* from the first step after a flush to the next flush */
	bool is_called;	 /* the quorum waits for the caller */
	bool is_absent;	 /* rounds without the caller go on */
	bool has_news;	 /* for the caller's next step; read without the lock, too */
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
	double recent; /* weight of the steps since a round last began, of whatever fragment */
	uint64_t taken;
	bool has_wild; /* the step has met what is no number, as wild_text says */
	char wild_text[PCCL_FAIL_TEXT_BYTES];
	struct pccl_reservation reservation; /* of the tags */
	uint64_t patience_ns;		     /* to end */

	/* diloco_state.c */
	pcclSharedState_t state;
	char **state_names;
	uint64_t *state_schedule;
	double *state_weights;

	struct pccl_diloco_quorum quorum;
	pcclDilocoParticipant_t *participants; /* of the round that ended last; under the lock */
	size_t participant_count;
	struct pccl_diloco_worker workers[PCCL_DILOCO_WORKERS];
	uint32_t worker_count;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct pccl_diloco_round **queue; /* a ring of those that wait for a worker */
	size_t queue_first, queue_count, queue_capacity;
	bool is_ending;
	uint32_t alive;	      /* workers whose threads run */
	uint32_t applying;    /* that change what belongs to fragments; none begins to when the engine has failed */
	pcclResult_t failure; /* what has ended the engine */
	char failure_text[PCCL_FAIL_TEXT_BYTES];
	pcclDilocoStatistics_t statistics;
};

/* diloco_memory.c */
pcclResult_t pccl_diloco_reserve(struct pccl_diloco *engine, const pcclTensorInfo_t *tensors);
void pccl_diloco_release(struct pccl_diloco *engine);

/* diloco_round.c: does a round; a result but pcclSuccess ends the engine. */
pcclResult_t pccl_diloco_run_round(struct pccl_diloco_worker *worker, struct pccl_diloco_round *round);

/* diloco.c: the steps that the files share. `begin` takes a snapshot of a fragment; `take_over` takes the oldest round
 * over when it has ended; `fail`, in diloco_life.c, is what ends the engine's use. */
pcclResult_t pccl_diloco_begin(struct pccl_diloco *engine, uint32_t index, struct pccl_diloco_round **round_out);
void pccl_diloco_hand_over(struct pccl_diloco *engine, struct pccl_diloco_round *round);
pcclResult_t pccl_diloco_take_over(struct pccl_diloco *engine);
void pccl_diloco_fail(struct pccl_diloco *engine, pcclResult_t result);
pcclResult_t pccl_diloco_failure(struct pccl_diloco *engine);

/* diloco_quorum.c: the worker of an engine with a quorum, and what its caller does in a flush, and at a step that has
 * something to do. */
void pccl_diloco_run_gatherings(struct pccl_diloco_worker *worker);
pcclResult_t pccl_diloco_quorum_step(struct pccl_diloco *engine);
pcclResult_t pccl_diloco_quorum_flush(struct pccl_diloco *engine);

/* diloco_life.c: so long from now, under a second, as a condition of the engine's has it */
void pccl_diloco_in(uint64_t duration_ns, struct timespec *until_out);

/* diloco.c: when there is something to do next */
void pccl_diloco_find_next_due(struct pccl_diloco *engine);

/* diloco.c: the name of the tensor that an element of a fragment is in, and which one of that it is. */
const char *pccl_diloco_element(const struct pccl_diloco *engine, uint32_t fragment, size_t element, size_t *of_out);

/* diloco_local.c: a fragment's local parameters. `to` and `from` are as long as the fragment. */
pcclResult_t pccl_diloco_read_local(struct pccl_diloco *engine, uint32_t fragment, float *to);
pcclResult_t pccl_diloco_write_local(struct pccl_diloco *engine, uint32_t fragment, const float *from);

#endif
