/* The engine's buffers. */
#include <string.h>

#include "base/memory.h"
#include "sync/diloco/roll.h"
#include "training/diloco_internal.h"

static float *buffer(size_t count)
{
	float *made = pccl_alloc_large(count * sizeof(*made));

	if (made != NULL)
		memset(made, 0, count * sizeof(*made));
	return made;
}

static bool reserve_fragment(struct pccl_diloco *engine, uint32_t index)
{
	struct pccl_diloco_fragment *fragment = &engine->fragments[index];
	const size_t count = engine->schedule.fragments[index].elements;
	const bool is_eager = engine->settings.mode == pcclDilocoEager;
	const bool has_two = engine->schedule.delay >= engine->schedule.interval || engine->settings.quorum > 0;
	const uint32_t spares = has_two ? PCCL_DILOCO_SPARE : 1;

	fragment->count = count;
	fragment->outer = buffer(count);
	fragment->momentum = buffer(count);
	if (fragment->outer == NULL || fragment->momentum == NULL)
		return false;
	if (engine->settings.rule == pcclDilocoCo2 && (fragment->before = buffer(count)) == NULL)
		return false;
	if (engine->settings.error_feedback && (fragment->residual = buffer(count)) == NULL)
		return false;
	if (is_eager) {
		fragment->own = buffer(count);
		fragment->deviation = buffer(count);
		fragment->deviation_momentum = buffer(count);
		if (fragment->own == NULL || fragment->deviation == NULL || fragment->deviation_momentum == NULL)
			return false;
	}
	for (; fragment->spare_count < spares; fragment->spare_count++) {
		fragment->spare[fragment->spare_count] = buffer(count);
		if (fragment->spare[fragment->spare_count] == NULL)
			return false;
	}
	return true;
}

static bool copy_tensors(struct pccl_diloco *engine, const pcclTensorInfo_t *tensors)
{
	size_t i;

	engine->tensors = pccl_calloc(engine->schedule.tensor_count, sizeof(*engine->tensors));
	for (i = 0; engine->tensors != NULL && i < engine->schedule.tensor_count; i++) {
		engine->tensors[i] = tensors[i];
		engine->tensors[i].name = pccl_strdup(tensors[i].name);
		if (engine->tensors[i].name == NULL)
			return false;
	}
	return engine->tensors != NULL;
}

/* As many as there can be rounds in flight. */
static uint32_t count_workers(const struct pccl_schedule *schedule)
{
	uint32_t count = 1; /* synchronous: one exchange after the other fills the link */

	if (schedule->delay >= schedule->interval)
		count = schedule->fragment_count;
	else if (schedule->delay > 0)
		count = schedule->delay / schedule->distance_least + 1;
	return count < PCCL_DILOCO_WORKERS ? count : PCCL_DILOCO_WORKERS;
}

static bool reserve_workers(struct pccl_diloco *engine, size_t largest)
{
	uint32_t i;

	engine->worker_count = count_workers(&engine->schedule);
	for (i = 0; i < engine->worker_count; i++) {
		struct pccl_diloco_worker *worker = &engine->workers[i];

		worker->engine = engine;
		worker->contribution = buffer(largest);
		if (engine->settings.error_feedback)
			worker->residual = buffer(largest);
		worker->entries = pccl_alloc((size_t)PCCL_TRAINING_MAX * PCCL_ROLL_BYTES);
		if (worker->contribution == NULL || worker->entries == NULL ||
		    (engine->settings.error_feedback && worker->residual == NULL))
			return false;
	}
	return true;
}

pcclResult_t pccl_diloco_reserve(struct pccl_diloco *engine, const pcclTensorInfo_t *tensors)
{
	const uint32_t count = engine->schedule.fragment_count;
	size_t largest = 0;
	uint32_t i;

	engine->fragments = pccl_calloc(count, sizeof(*engine->fragments));
	if (engine->fragments == NULL || !copy_tensors(engine, tensors))
		return pcclOutOfMemory;
	for (i = 0; i < count; i++) {
		if (!reserve_fragment(engine, i))
			return pcclOutOfMemory;
		if (engine->fragments[i].count > largest)
			largest = engine->fragments[i].count;
	}
	engine->statistics.largest_bytes = largest * sizeof(float);
	engine->participants = pccl_calloc(PCCL_TRAINING_MAX, sizeof(*engine->participants));
	engine->queue_capacity = (size_t)count * PCCL_DILOCO_SPARE;
	engine->queue = pccl_calloc(engine->queue_capacity, sizeof(struct pccl_diloco_round *));
	return engine->queue != NULL && engine->participants != NULL && reserve_workers(engine, largest)
		       ? pcclSuccess
		       : pcclOutOfMemory;
}

static void release_fragment(struct pccl_diloco_fragment *fragment)
{
	pccl_free(fragment->outer);
	pccl_free(fragment->momentum);
	pccl_free(fragment->before);
	pccl_free(fragment->own);
	pccl_free(fragment->deviation);
	pccl_free(fragment->deviation_momentum);
	pccl_free(fragment->residual);
	pccl_free(fragment->base);
	while (fragment->spare_count > 0)
		pccl_free(fragment->spare[--fragment->spare_count]);
}

void pccl_diloco_release(struct pccl_diloco *engine)
{
	size_t i;

	while (engine->rounds != NULL) {
		struct pccl_diloco_round *round = engine->rounds;

		engine->rounds = round->next;
		pccl_free(round->values);
		pccl_free(round);
	}
	for (i = 0; engine->fragments != NULL && i < engine->schedule.fragment_count; i++)
		release_fragment(&engine->fragments[i]);
	for (i = 0; engine->tensors != NULL && i < engine->schedule.tensor_count; i++) {
		char *name;

		memcpy(&name, &engine->tensors[i].name, sizeof(name));
		pccl_free(name);
	}
	pccl_free(engine->fragments);
	pccl_free(engine->tensors);
	for (i = 0; i < PCCL_DILOCO_WORKERS; i++) {
		pccl_free(engine->workers[i].contribution);
		pccl_free(engine->workers[i].residual);
		pccl_free(engine->workers[i].entries);
	}
	pccl_free(engine->queue);
	pccl_free(engine->participants);
	pccl_free(engine->state.infos);
	for (i = 0; engine->state_names != NULL && i < engine->state.count; i++)
		pccl_free(engine->state_names[i]);
	pccl_free(engine->state_names);
	pccl_free(engine->state_schedule);
	pccl_free(engine->state_weights);
	pccl_schedule_fini(&engine->schedule);
}
