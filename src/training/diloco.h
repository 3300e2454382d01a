/*
 * The engine behind pccl/diloco.h: workers, each with a thread and one round at a time, and the caller's steps, which
 * take snapshots, let pieces begin and take results over. Workers take rounds in the queue's order, the same on
 * all peers, so the oldest round that has not ended is in a worker's hands everywhere, and goes on.
 *
 * Who may touch what. Of a fragment: `outer` and what eager mode has are the caller's; momentum, `before`, step_mean
 * and residual are a worker's while a round of the fragment is in its hands, else the caller's. Both may read `outer`
 * meanwhile. A fragment has at most one round in a worker's hands. The lock guards the queue, how far a round may go,
 * what a worker says of one that has ended, and the statistics.
 */
#ifndef PCCL_TRAINING_DILOCO_H
#define PCCL_TRAINING_DILOCO_H

#include <pccl/diloco.h>

struct pccl_diloco;

/* `settings` is complete. The caller ends the engine with pccl_diloco_destroy(). */
pcclResult_t pccl_diloco_create(pcclComm_t *comm, const pcclTensorInfo_t *tensors, size_t count,
				const pcclDilocoSettings_t *settings, struct pccl_diloco **engine_out);
void pccl_diloco_destroy(struct pccl_diloco *engine);

/* Was the engine made by the process that forked this one? */
bool pccl_diloco_is_inherited(const struct pccl_diloco *engine);

/* Has its communicator been destroyed? */
bool pccl_diloco_is_orphan(const struct pccl_diloco *engine);

/* These are what pccl/diloco.h says of their public namesakes. */
bool pccl_diloco_is_due(const struct pccl_diloco *engine);
pcclResult_t pccl_diloco_step(struct pccl_diloco *engine, double weight);
pcclResult_t pccl_diloco_flush(struct pccl_diloco *engine);
pcclResult_t pccl_diloco_state(struct pccl_diloco *engine, pcclSharedState_t **state_out);
pcclResult_t pccl_diloco_resume(struct pccl_diloco *engine, bool is_newcomer);
void pccl_diloco_statistics(struct pccl_diloco *engine, pcclDilocoStatistics_t *statistics_out);
void pccl_diloco_participants(struct pccl_diloco *engine, pcclDilocoParticipant_t *participants_out, size_t capacity,
			      size_t *count_out);

#endif
