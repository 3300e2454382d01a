/* From its creation to its end: an engine, and the threads that do its rounds. */
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/time.h"
#include "comm/comm.h"
#include "comm/thread.h"
#include "training/diloco_internal.h"
#include "transport/loop/fork.h"
#include "transport/loop/loop.h"

#define LIMIT_INTERVAL_NS (100 * PCCL_MS_NS) /* between looks for what workers have launched since */

/* ---- a worker ------------------------------ */

void pccl_diloco_in(uint64_t duration_ns, struct timespec *until_out)
{
	clock_gettime(CLOCK_MONOTONIC, until_out);
	until_out->tv_nsec += (long)duration_ns;
	until_out->tv_sec += until_out->tv_nsec / (long)PCCL_SECOND_NS;
	until_out->tv_nsec %= (long)PCCL_SECOND_NS;
}

void pccl_diloco_fail(struct pccl_diloco *engine, pcclResult_t result)
{
	pthread_mutex_lock(&engine->lock);
	if (engine->failure == pcclSuccess) {
		engine->failure = result;
		strncpy(engine->failure_text, pccl_fail_text(), sizeof(engine->failure_text) - 1);
	}
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

/* The next round to do; NULL: the engine ends. Those that have begun are done first: others may wait in them. */
static struct pccl_diloco_round *next_round(struct pccl_diloco *engine)
{
	struct pccl_diloco_round *round = NULL;

	pthread_mutex_lock(&engine->lock);
	while (!engine->is_ending && (engine->queue_count == 0 || engine->failure != pcclSuccess))
		pthread_cond_wait(&engine->changed, &engine->lock);
	if (engine->queue_count > 0 && engine->failure == pcclSuccess) {
		round = engine->queue[engine->queue_first];
		engine->queue_first = (engine->queue_first + 1) % engine->queue_capacity;
		engine->queue_count--;
	}
	pthread_mutex_unlock(&engine->lock);
	return round;
}

static void leave_alive(struct pccl_diloco *engine)
{
	pthread_mutex_lock(&engine->lock);
	engine->alive--;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

static void run_rounds(struct pccl_diloco_worker *worker)
{
	struct pccl_diloco *engine = worker->engine;
	struct pccl_diloco_round *round;

	while ((round = next_round(engine)) != NULL) {
		pcclResult_t result = pccl_diloco_run_round(worker, round);

		if (result != pcclSuccess) {
			pccl_diloco_fail(engine, result);
			continue;
		}
		pthread_mutex_lock(&engine->lock);
		round->has_ended = true;
		pthread_cond_broadcast(&engine->changed);
		pthread_mutex_unlock(&engine->lock);
	}
}

static void *run(void *context)
{
	struct pccl_diloco_worker *worker = (struct pccl_diloco_worker *)context;

	pccl_reservation_work(&worker->engine->reservation);
	if (worker->engine->settings.quorum > 0)
		pccl_diloco_run_gatherings(worker);
	else
		run_rounds(worker);
	leave_alive(worker->engine);
	return NULL;
}

/* ---- creation ------------------------------ */

static pcclResult_t first_outer(struct pccl_diloco *engine)
{
	pcclResult_t result = pcclSuccess;
	uint32_t i;

	for (i = 0; result == pcclSuccess && i < engine->schedule.fragment_count; i++) {
		struct pccl_diloco_fragment *fragment = &engine->fragments[i];

		result = pccl_diloco_read_local(engine, i, fragment->outer);
		if (fragment->before != NULL)
			memcpy(fragment->before, fragment->outer, fragment->count * sizeof(*fragment->outer));
	}
	return result;
}

static pcclResult_t start_workers(struct pccl_diloco *engine)
{
	pcclResult_t result = pcclSuccess;
	uint32_t i;

	for (i = 0; result == pcclSuccess && i < engine->worker_count; i++) {
		struct pccl_diloco_worker *worker = &engine->workers[i];

		pthread_mutex_lock(&engine->lock);
		engine->alive++; /* before the thread may end */
		pthread_mutex_unlock(&engine->lock);
		result = pccl_thread_start(&worker->thread, "pccl-diloco", run, worker);
		worker->has_thread = result == pcclSuccess;
		if (result != pcclSuccess)
			leave_alive(engine);
	}
	return result;
}

pcclResult_t pccl_diloco_create(pcclComm_t *comm, const pcclTensorInfo_t *tensors, size_t count,
				const pcclDilocoSettings_t *settings, struct pccl_diloco **engine_out)
{
	struct pccl_diloco *engine = pccl_zalloc(sizeof(*engine));
	pthread_condattr_t attributes;
	pcclResult_t result;

	*engine_out = NULL;
	if (engine == NULL)
		return pcclOutOfMemory;
	pccl_comm_hold(comm);
	engine->comm = comm;
	engine->generation = pccl_fork_generation();
	engine->quorum.has_news = settings->quorum > 0; /* its first step begins the gatherings */
	engine->settings = *settings;
	engine->settings.fragment_of = NULL; /* the caller's; the schedule has what it said */
	engine->rule.learning_rate = settings->learning_rate;
	engine->rule.momentum = settings->momentum;
	engine->rule.clip = settings->clip;
	engine->rule.penalize = settings->penalize;
	pthread_mutex_init(&engine->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&engine->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	engine->patience_ns = pccl_comm_self(comm)->settings.heartbeat_timeout_ns;
	result = pccl_schedule_init(&engine->schedule, tensors, count, settings);
	if (result == pcclSuccess) {
		engine->reservation.first = engine->schedule.tag;
		engine->reservation.last = engine->schedule.last_tag;
		result = pccl_reservation_take(&engine->reservation, pccl_comm_monitor(comm));
	}
	if (result == pcclSuccess)
		result = pccl_diloco_reserve(engine, tensors);
	if (result == pcclSuccess)
		result = first_outer(engine);
	if (result == pcclSuccess) {
		pccl_diloco_find_next_due(engine);
		result = start_workers(engine);
	}
	if (result != pcclSuccess) {
		pccl_diloco_destroy(engine);
		return result;
	}
	*engine_out = engine;
	return pcclSuccess;
}

/* Operations that wait for a peer that does not come have to end as well, those too that a worker launches still. Of an
 * engine that has failed they are no use: at once. */
static void end_workers(struct pccl_diloco *engine)
{
	uint64_t deadline_ns = pccl_clock_ns();
	struct timespec until;

	pthread_mutex_lock(&engine->lock);
	engine->is_ending = true;
	deadline_ns += engine->failure == pcclSuccess ? engine->patience_ns : 0;
	pthread_cond_broadcast(&engine->changed);
	while (engine->alive > 0) {
		pthread_mutex_unlock(&engine->lock);
		pccl_reservation_limit(&engine->reservation, deadline_ns);
		pthread_mutex_lock(&engine->lock);
		pccl_diloco_in(LIMIT_INTERVAL_NS, &until);
		if (engine->alive > 0)
			(void)pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
	}
	pthread_mutex_unlock(&engine->lock);
}

void pccl_diloco_destroy(struct pccl_diloco *engine)
{
	uint32_t i;

	if (engine == NULL)
		return;
	end_workers(engine);
	for (i = 0; i < PCCL_DILOCO_WORKERS; i++)
		if (engine->workers[i].has_thread)
			pthread_join(engine->workers[i].thread, NULL);
	pccl_reservation_return(&engine->reservation);
	pccl_diloco_release(engine);
	pthread_cond_destroy(&engine->changed);
	pthread_mutex_destroy(&engine->lock);
	pccl_comm_release(engine->comm);
	pccl_free(engine);
}

bool pccl_diloco_is_inherited(const struct pccl_diloco *engine)
{
	return engine->generation != pccl_fork_generation();
}

bool pccl_diloco_is_orphan(const struct pccl_diloco *engine)
{
	return pccl_comm_is_destroyed(engine->comm);
}
