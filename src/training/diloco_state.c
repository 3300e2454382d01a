/*
 * The engine's state as named tensors. "diloco.schedule", the same on all peers, as u64:
 *
 *	version, signature (2), step, rounds taken over; then for each fragment: rounds begun, CO2's running mean (the
 *	bits of a double)
 *
 * "diloco.weights", doubles, each peer's own: for each fragment the weight that has not been exchanged yet, and the
 * share in its last round.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "training/diloco_internal.h"

#define VERSION 1
#define SCHEDULE_HEAD 5
#define KINDS 7

struct kind {
	const char *name;
	size_t offset; /* of the buffer in struct pccl_diloco_fragment */
	bool may_differ;
};

static const struct kind kinds[KINDS] = {
	{"outer", offsetof(struct pccl_diloco_fragment, outer), false},
	{"momentum", offsetof(struct pccl_diloco_fragment, momentum), false},
	{"before", offsetof(struct pccl_diloco_fragment, before), false},
	{"own", offsetof(struct pccl_diloco_fragment, own), true},
	{"deviation", offsetof(struct pccl_diloco_fragment, deviation), true},
	{"deviation_momentum", offsetof(struct pccl_diloco_fragment, deviation_momentum), true},
	{"residual", offsetof(struct pccl_diloco_fragment, residual), true},
};

static float *buffer_of(const struct pccl_diloco_fragment *fragment, const struct kind *kind)
{
	float *buffer;

	memcpy(&buffer, (const char *)fragment + kind->offset, sizeof(buffer));
	return buffer;
}

static pcclResult_t add(struct pccl_diloco *engine, const char *kind, const char *name, pcclTensorInfo_t *info)
{
	const size_t bytes = strlen(kind) + strlen(name) + 16;
	char *text = pccl_alloc(bytes);

	if (text == NULL)
		return pcclOutOfMemory;
	strcpy(text, "diloco.");
	strcat(text, kind);
	if (name[0] != '\0')
		strcat(text, "/");
	strcat(text, name);
	info->name = text;
	info->device_type = pcclDeviceCpu;
	engine->state_names[engine->state.count++] = text;
	return pcclSuccess;
}

/* Names, once: buffers change places, names do not. */
static pcclResult_t name_tensors(struct pccl_diloco *engine)
{
	const size_t most = engine->schedule.tensor_count * KINDS + 2;
	pcclResult_t result = pcclSuccess;
	size_t kind, tensor;

	engine->state.infos = pccl_calloc(most, sizeof(*engine->state.infos));
	engine->state_names = pccl_calloc(most, sizeof(*engine->state_names));
	engine->state_schedule =
		pccl_calloc(SCHEDULE_HEAD + 2 * (size_t)engine->schedule.fragment_count, sizeof(uint64_t));
	engine->state_weights = pccl_calloc(2 * (size_t)engine->schedule.fragment_count, sizeof(double));
	if (engine->state.infos == NULL || engine->state_names == NULL || engine->state_schedule == NULL ||
	    engine->state_weights == NULL)
		return pcclOutOfMemory;
	for (kind = 0; kind < KINDS; kind++) {
		if (buffer_of(&engine->fragments[0], &kinds[kind]) == NULL)
			continue;
		for (tensor = 0; result == pcclSuccess && tensor < engine->schedule.tensor_count; tensor++)
			result = add(engine, kinds[kind].name, engine->tensors[tensor].name,
				     &engine->state.infos[engine->state.count]);
	}
	if (result == pcclSuccess)
		result = add(engine, "weights", "", &engine->state.infos[engine->state.count]);
	if (result == pcclSuccess)
		result = add(engine, "schedule", "", &engine->state.infos[engine->state.count]);
	return result;
}

static void point_tensors(struct pccl_diloco *engine)
{
	const struct pccl_schedule *schedule = &engine->schedule;
	size_t kind, tensor;
	pcclTensorInfo_t *info = engine->state.infos;

	for (kind = 0; kind < KINDS; kind++) {
		if (buffer_of(&engine->fragments[0], &kinds[kind]) == NULL)
			continue;
		for (tensor = 0; tensor < schedule->tensor_count; tensor++, info++) {
			const struct pccl_diloco_fragment *fragment = &engine->fragments[schedule->fragment_of[tensor]];

			info->data = buffer_of(fragment, &kinds[kind]) + schedule->place[tensor];
			info->count = engine->tensors[tensor].count;
			info->datatype = pcclFloat;
			info->allow_content_inequality = kinds[kind].may_differ;
		}
	}
	info->data = engine->state_weights;
	info->count = 2 * (size_t)schedule->fragment_count;
	info->datatype = pcclDouble;
	info->allow_content_inequality = true;
	info++;
	info->data = engine->state_schedule;
	info->count = SCHEDULE_HEAD + 2 * (size_t)schedule->fragment_count;
	info->datatype = pcclUint64;
}

static bool has_failed(struct pccl_diloco *engine)
{
	bool has;

	pthread_mutex_lock(&engine->lock);
	has = engine->failure != pcclSuccess;
	pthread_mutex_unlock(&engine->lock);
	return has;
}

static pcclResult_t check_idle(struct pccl_diloco *engine)
{
	bool is_active;

	pthread_mutex_lock(&engine->lock);
	is_active = engine->quorum.is_active;
	pthread_mutex_unlock(&engine->lock);
	if (engine->rounds != NULL || is_active)
		return pccl_fail(pcclPendingAsyncOps, "rounds are in flight: call pcclDilocoFlush() first");
	return pcclSuccess;
}

/* The engine has failed. Rounds that count are taken over, as far as parameters of the engine go; those that do not are
 * in nobody's way: a worker that hangs in one touches no state any more. Nothing is freed here, workers may look. */
static void take_over_ended(struct pccl_diloco *engine)
{
	struct pccl_diloco_round *round;

	pthread_mutex_lock(&engine->lock);
	while (engine->applying > 0)
		pthread_cond_wait(&engine->changed, &engine->lock);
	for (round = engine->rounds; round != NULL; round = round->next) {
		struct pccl_diloco_fragment *fragment = &engine->fragments[round->fragment];
		float *old = fragment->outer;

		if (!round->is_applied || round->is_replaced)
			continue;
		fragment->outer = round->values;
		fragment->share = round->share;
		round->values = old;
		round->is_replaced = true;
		engine->taken++;
		engine->statistics.rounds++;
	}
	pthread_mutex_unlock(&engine->lock);
}

/* What has begun and does not count is as if it had not. */
static void take_back_begun(const struct pccl_diloco *engine)
{
	const struct pccl_diloco_round *round;

	for (round = engine->rounds; round != NULL; round = round->next) {
		if (round->is_replaced)
			continue;
		engine->state_schedule[SCHEDULE_HEAD + 2 * round->fragment]--;
		engine->state_weights[2 * round->fragment] += round->weight;
	}
}

pcclResult_t pccl_diloco_state(struct pccl_diloco *engine, pcclSharedState_t **state_out)
{
	uint64_t *schedule;
	pcclResult_t result = pcclSuccess;
	uint32_t i;

	if (has_failed(engine))
		take_over_ended(engine);
	else
		result = check_idle(engine);
	if (result == pcclSuccess && engine->state_weights == NULL)
		result = name_tensors(engine);
	if (result != pcclSuccess)
		return result;
	point_tensors(engine);
	schedule = engine->state_schedule;
	schedule[0] = VERSION;
	memcpy(&schedule[1], engine->schedule.signature.bytes, PCCL_DIGEST_BYTES);
	schedule[3] = engine->settings.quorum > 0 ? engine->quorum.number * engine->schedule.interval : engine->step;
	schedule[4] = engine->taken;
	for (i = 0; i < engine->schedule.fragment_count; i++) {
		const struct pccl_diloco_fragment *fragment = &engine->fragments[i];

		schedule[SCHEDULE_HEAD + 2 * i] = fragment->begun;
		memcpy(&schedule[SCHEDULE_HEAD + 2 * i + 1], &fragment->step_mean, sizeof(uint64_t));
		engine->state_weights[2 * i] = fragment->pending + engine->recent;
		engine->state_weights[2 * i + 1] = (double)fragment->share;
	}
	take_back_begun(engine);
	engine->state.revision = engine->taken;
	*state_out = &engine->state;
	return pcclSuccess;
}

static pcclResult_t check_schedule(const struct pccl_diloco *engine)
{
	const uint64_t *schedule = engine->state_schedule;
	uint32_t i;

	if (schedule == NULL)
		return pccl_fail(pcclInvalidUsage,
				 "nothing was asked of pcclDilocoState() yet, so there is nothing to go "
				 "on from");
	if (schedule[0] != VERSION)
		return pccl_fail(pcclInvalidArgument, "the schedule is of version %llu, and this library knows %d",
				 (unsigned long long)schedule[0], VERSION);
	if (memcmp(&schedule[1], engine->schedule.signature.bytes, PCCL_DIGEST_BYTES) != 0)
		return pccl_fail(pcclInvalidArgument, "the schedule is one of other tensors or settings");
	for (i = 0; i < engine->schedule.fragment_count; i++) {
		double step_mean;

		memcpy(&step_mean, &schedule[SCHEDULE_HEAD + 2 * i + 1], sizeof(step_mean));
		if (!isfinite(step_mean) || step_mean < 0 || schedule[SCHEDULE_HEAD + 2 * i] > schedule[3])
			return pccl_fail(pcclInvalidArgument, "fragment %u of the schedule can't be", i);
	}
	return pcclSuccess;
}

/* A newcomer has done nothing of what it was given: what is a peer's own begins anew. */
static void begin_anew(struct pccl_diloco_fragment *fragment)
{
	size_t kind;

	fragment->pending = 0;
	fragment->share = 0;
	for (kind = 0; kind < KINDS; kind++) {
		float *buffer = buffer_of(fragment, &kinds[kind]);

		if (kinds[kind].may_differ && buffer != NULL)
			memset(buffer, 0, fragment->count * sizeof(*buffer));
	}
}

static pcclResult_t write_local(struct pccl_diloco *engine, uint32_t index)
{
	const struct pccl_diloco_fragment *fragment = &engine->fragments[index];

	if (fragment->deviation == NULL)
		return pccl_diloco_write_local(engine, index, fragment->outer);
	pccl_outer_deviate(fragment->spare[0], fragment->outer, fragment->deviation, fragment->count);
	return pccl_diloco_write_local(engine, index, fragment->spare[0]);
}

pcclResult_t pccl_diloco_resume(struct pccl_diloco *engine, bool is_newcomer)
{
	const uint64_t *schedule = engine->state_schedule;
	pcclResult_t result = pccl_diloco_failure(engine);
	uint32_t i;

	if (result == pcclSuccess)
		result = check_idle(engine);
	if (result == pcclSuccess)
		result = check_schedule(engine);
	if (result != pcclSuccess)
		return result;
	engine->step = engine->quorum.last_step = schedule[3];
	engine->quorum.number = schedule[3] / engine->schedule.interval;
	engine->taken = schedule[4];
	engine->recent = 0;
	for (i = 0; i < engine->schedule.fragment_count; i++) {
		struct pccl_diloco_fragment *fragment = &engine->fragments[i];
		const double pending = engine->state_weights[2 * i], share = engine->state_weights[2 * i + 1];

		fragment->begun = schedule[SCHEDULE_HEAD + 2 * i];
		memcpy(&fragment->step_mean, &schedule[SCHEDULE_HEAD + 2 * i + 1], sizeof(fragment->step_mean));
		fragment->pending = isfinite(pending) && pending > 0 ? pending : 0;
		fragment->share = share > 0 && share <= 1 ? (float)share : 0;
		if (!is_newcomer)
			continue;
		begin_anew(fragment);
		if (result == pcclSuccess)
			result = write_local(engine, i);
	}
	pccl_diloco_find_next_due(engine);
	return result;
}
