#include "lib/training.h"

#include <string.h>

#include "lib/check.h"
#include "lib/values.h"

static const size_t sizes[TRAINING_TENSORS] = {1000, 423, 77};
static const char *const names[TRAINING_TENSORS] = {"a.weight", "b.weight", "c.bias"};

void training_init(struct training_model *model, unsigned seed)
{
	size_t at = 0;
	unsigned i;

	memset(model, 0, sizeof(*model));
	model->seed = seed;
	for (i = 0; i < TRAINING_COUNT; i++)
		model->values[i] = (float)(int)(i % 31) * 0.1f - 1;
	for (i = 0; i < TRAINING_TENSORS; i++) {
		const pcclTensorInfo_t tensor = {names[i],  model->values + at, sizes[i],
						 pcclFloat, pcclDeviceCpu,	false};

		model->tensors[i] = tensor;
		at += sizes[i];
	}
}

void training_step(struct training_model *model)
{
	unsigned i;

	model->step++;
	for (i = 0; i < TRAINING_COUNT; i++) {
		const unsigned noise = (i * 2654435761u + model->step * 40503u + model->seed * 69069u) >> 16;

		model->values[i] = model->values[i] * 0.99f + ((float)(noise % 1001) - 500) * 1e-5f;
	}
}

static uint64_t outer_hash(pcclDiloco_t *engine)
{
	pcclSharedState_t *state;
	uint64_t hash = 0;
	size_t i;

	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	for (i = 0; i < state->count; i++)
		if (!state->infos[i].allow_content_inequality)
			hash = hash * 31 + values_hash(state->infos[i].data, state->infos[i].count * 4);
	return hash;
}

void training_tell(struct world_peer *me, pcclDiloco_t *engine)
{
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;

	CHECK_RESULT(pcclSuccess, pcclDilocoGetStatistics(engine, &statistics));
	peer_tell(me, TOLD_OUTER, outer_hash(engine));
	peer_tell(me, TOLD_ROUNDS, statistics.rounds);
	peer_tell(me, TOLD_STEPS, statistics.steps);
	peer_tell(me, TOLD_REPEATED, statistics.repeated);
	peer_tell(me, TOLD_ALONE, statistics.alone);
}

struct training_run training_plain(pcclDilocoMode_t mode)
{
	const pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct training_run run = {.settings = settings, .peers = 3, .steps = 60};

	run.settings.mode = mode;
	run.settings.interval = 10;
	return run;
}

void training_expect_alike(struct world *world, unsigned count)
{
	unsigned i;

	for (i = 1; i < count; i++) {
		assert_int_equal(peers_told(world, i, TOLD_OUTER), peers_told(world, 0, TOLD_OUTER));
		assert_int_equal(peers_told(world, i, TOLD_ROUNDS), peers_told(world, 0, TOLD_ROUNDS));
	}
}

void training_steps(struct training_model *model, pcclDiloco_t *engine, unsigned count)
{
	while (count-- > 0) {
		training_step(model);
		CHECK_RESULT(pcclSuccess, pcclDilocoStep(engine, 1));
	}
}
