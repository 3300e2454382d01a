/* What integration tests of engines share: a model that is trained without a framework, and what peers tell of it. */
#ifndef PCCL_TESTS_TRAINING_H
#define PCCL_TESTS_TRAINING_H

#include <pccl/diloco.h>

#include "lib/peers.h"

#define TRAINING_TENSORS 3
#define TRAINING_COUNT 1500 /* elements of all tensors */

enum { TOLD_OUTER, TOLD_ROUNDS, TOLD_STEPS, TOLD_REPEATED, TOLD_ALONE };

/* What a test asks of its peers. */
struct training_run {
	pcclDilocoSettings_t settings;
	unsigned peers, steps;
	unsigned kill_at; /* step; 0: nobody is killed */
};

struct training_model {
	float values[TRAINING_COUNT];
	pcclTensorInfo_t tensors[TRAINING_TENSORS];
	unsigned seed, step;
};

/* 3 peers, 60 steps, a round every 10. */
struct training_run training_plain(pcclDilocoMode_t mode);

/* All seeds begin with the same parameters. */
void training_init(struct training_model *model, unsigned seed);

/* An inner step: towards zero, with noise by seed. */
void training_step(struct training_model *model);

/* So many, with the engine's. */
void training_steps(struct training_model *model, pcclDiloco_t *engine, unsigned count);

/* Tells a hash of the state that is the same on all peers, and counts. The engine is flushed. */
void training_tell(struct world_peer *me, pcclDiloco_t *engine);

/* Did the first `count` peers tell the same? */
void training_expect_alike(struct world *world, unsigned count);

#endif
