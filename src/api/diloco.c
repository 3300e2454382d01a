/* The public functions of pccl/diloco.h. The engine is in src/training/. */
#include <pccl/diloco.h>

#include <stddef.h>

#include "api/library.h"
#include "base/fail.h"
#include "base/sized.h"
#include "training/diloco.h"

static const struct pccl_sized settings_kind = {.name = "settings",
						.initializer = "PCCL_DILOCO_SETTINGS_INITIALIZER",
						.least = sizeof(size_t),
						.known = offsetof(pcclDilocoSettings_t, reserved)};
static const struct pccl_sized statistics_kind = {.name = "statistics_out",
						  .initializer = "PCCL_DILOCO_STATISTICS_INITIALIZER",
						  .least = offsetof(pcclDilocoStatistics_t, steps) + sizeof(uint64_t),
						  .known = offsetof(pcclDilocoStatistics_t, reserved)};

/* The handle is the engine. */
static struct pccl_diloco *engine_of(pcclDiloco_t *handle)
{
	return (struct pccl_diloco *)(void *)handle;
}

static pcclResult_t check(pcclDiloco_t *handle)
{
	if (handle == NULL)
		return pccl_fail(pcclInvalidArgument, "engine is NULL");
	if (pccl_diloco_is_inherited(engine_of(handle)))
		return pccl_fail(pcclInvalidUsage, "the engine belongs to the process that forked this one");
	return pcclSuccess;
}

pcclResult_t pcclDilocoCreate(pcclComm_t *communicator, const pcclTensorInfo_t *tensors, size_t count,
			      const pcclDilocoSettings_t *settings, pcclDiloco_t **engine_out)
{
	pcclDilocoSettings_t full = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct pccl_monitor *monitor;
	struct pccl_diloco *engine;
	pcclResult_t result;

	if (engine_out == NULL)
		return pccl_fail(pcclInvalidArgument, "engine_out is NULL");
	*engine_out = NULL;
	result = pccl_library_check_comm(communicator, &monitor);
	if (result == pcclSuccess && settings != NULL)
		result = pccl_sized_read(&settings_kind, settings, &full);
	if (result == pcclSuccess)
		result = pccl_diloco_create(communicator, tensors, count, &full, &engine);
	if (result == pcclSuccess)
		*engine_out = (pcclDiloco_t *)(void *)engine;
	return result;
}

/* For what needs the communicator. */
static pcclResult_t check_all(pcclDiloco_t *handle)
{
	pcclResult_t result = check(handle);

	if (result == pcclSuccess && pccl_diloco_is_orphan(engine_of(handle)))
		result = pccl_fail(pcclInvalidUsage, "the engine's communicator has been destroyed");
	return result;
}

pcclResult_t pcclDilocoStep(pcclDiloco_t *engine, double weight)
{
	pcclResult_t result = check_all(engine);

	return result == pcclSuccess ? pccl_diloco_step(engine_of(engine), weight) : result;
}

pcclResult_t pcclDilocoIsDue(pcclDiloco_t *engine, bool *due_out)
{
	pcclResult_t result = check(engine);

	if (result == pcclSuccess && due_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "due_out is NULL");
	if (result == pcclSuccess)
		*due_out = pccl_diloco_is_due(engine_of(engine));
	return result;
}

pcclResult_t pcclDilocoFlush(pcclDiloco_t *engine)
{
	pcclResult_t result = check_all(engine);

	return result == pcclSuccess ? pccl_diloco_flush(engine_of(engine)) : result;
}

pcclResult_t pcclDilocoState(pcclDiloco_t *engine, pcclSharedState_t **state_out)
{
	pcclResult_t result = check(engine);

	if (result == pcclSuccess && state_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "state_out is NULL");
	return result == pcclSuccess ? pccl_diloco_state(engine_of(engine), state_out) : result;
}

pcclResult_t pcclDilocoResume(pcclDiloco_t *engine, bool is_newcomer)
{
	pcclResult_t result = check(engine);

	return result == pcclSuccess ? pccl_diloco_resume(engine_of(engine), is_newcomer) : result;
}

pcclResult_t pcclDilocoGetStatistics(pcclDiloco_t *engine, pcclDilocoStatistics_t *statistics_out)
{
	pcclDilocoStatistics_t full = PCCL_DILOCO_STATISTICS_INITIALIZER;
	pcclResult_t result = check(engine);

	if (result == pcclSuccess && statistics_out == NULL)
		result = pccl_fail(pcclInvalidArgument, "statistics_out is NULL");
	if (result == pcclSuccess)
		result = pccl_sized_check(&statistics_kind, statistics_out);
	if (result != pcclSuccess)
		return result;
	pccl_diloco_statistics(engine_of(engine), &full);
	pccl_sized_write(&statistics_kind, &full, statistics_out);
	return pcclSuccess;
}

pcclResult_t pcclDilocoGetParticipants(pcclDiloco_t *engine, pcclDilocoParticipant_t *participants_out, size_t capacity,
				       size_t *count_out)
{
	pcclResult_t result = check(engine);

	if (result == pcclSuccess && (count_out == NULL || (participants_out == NULL && capacity > 0)))
		result = pccl_fail(pcclInvalidArgument, "count_out or participants_out is NULL");
	if (result == pcclSuccess)
		pccl_diloco_participants(engine_of(engine), participants_out, capacity, count_out);
	return result;
}

pcclResult_t pcclDilocoDestroy(pcclDiloco_t *engine)
{
	pcclResult_t result = check(engine);

	if (result == pcclSuccess)
		pccl_diloco_destroy(engine_of(engine));
	return result;
}
