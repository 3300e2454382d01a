/*
 * Rounds that do not wait for everybody. The worker gathers, again and again, what all callers are doing (see
 * sync/diloco/gathering.h), and when the gathering says so it does a round of every fragment: the caller's, or, if
 * that is away, one with nothing. Outer parameters change then while the local ones do not: `base` is what these
 * belong to, until the caller comes by.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/time.h"
#include "sync/diloco/gathering.h"
#include "training/diloco_internal.h"
#include "transport/loop/loop.h"

#define PERIOD_LEAST_NS (2 * PCCL_MS_NS)
#define PERIOD_MOST_NS (100 * PCCL_MS_NS)

/* ---- the worker ------------------------------ */

/* Under the lock. Lets the caller look at its next step. */
static void tell_caller(struct pccl_diloco *engine)
{
	__atomic_store_n(&engine->quorum.has_news, true, __ATOMIC_RELEASE);
	pthread_cond_broadcast(&engine->changed);
}

/* How long a caller that trains may keep the others waiting for word of it. */
static uint64_t period_of(const struct pccl_diloco *engine)
{
	const uint64_t period_ns = engine->settings.grace_ms * PCCL_MS_NS / 4;

	if (period_ns < PERIOD_LEAST_NS)
		return PERIOD_LEAST_NS;
	return period_ns < PERIOD_MOST_NS ? period_ns : PERIOD_MOST_NS;
}

/* Until the caller has something to say, or a period has passed. False: the engine ends, or has failed. */
static bool await_turn(struct pccl_diloco *engine, struct pccl_gathering_entry *entry_out)
{
	struct pccl_diloco_quorum *quorum = &engine->quorum;
	struct timespec until;
	int waited = 0;
	bool goes_on;

	pccl_diloco_in(period_of(engine), &until);
	pthread_mutex_lock(&engine->lock);
	while (!engine->is_ending && engine->failure == pcclSuccess &&
	       (!quorum->is_active || (quorum->caller < PCCL_DILOCO_ARRIVED && waited != ETIMEDOUT))) {
		if (!quorum->is_active)
			pthread_cond_wait(&engine->changed, &engine->lock);
		else
			waited = pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
	}
	goes_on = !engine->is_ending && engine->failure == pcclSuccess;
	memset(entry_out, 0, sizeof(*entry_out));
	entry_out->presence = PCCL_GATHERING_AWAY;
	if (quorum->caller == PCCL_DILOCO_ARRIVED) {
		entry_out->presence = PCCL_GATHERING_ARRIVED;
		entry_out->waited_ns = pccl_clock_ns() - quorum->arrived_ns;
	}
	if (quorum->caller == PCCL_DILOCO_FLUSHES)
		entry_out->presence = PCCL_GATHERING_FLUSHES;
	entry_out->number = quorum->number;
	pthread_mutex_unlock(&engine->lock);
	entry_out->signature = engine->schedule.signature;
	return goes_on;
}

/* A gathering of one. */
static pcclResult_t ask_alone(const struct pccl_diloco *engine, const struct pccl_gathering_entry *entry,
			      enum pccl_gathering_next *next_out)
{
	uint8_t own[PCCL_GATHERING_BYTES];

	pccl_gathering_encode(entry, own);
	return pccl_gathering_read(own, 1, engine->settings.quorum, 0, next_out);
}

static pcclResult_t gather(struct pccl_diloco_worker *worker, const struct pccl_gathering_entry *entry,
			   enum pccl_gathering_next *next_out)
{
	struct pccl_diloco *engine = worker->engine;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	uint8_t own[PCCL_GATHERING_BYTES];
	pcclResult_t result;
	int world = 0;

	*next_out = PCCL_GATHERING_WAITS;
	result = pcclGetAttribute(engine->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world);
	if (result == pcclSuccess && world == 1)
		return ask_alone(engine, entry, next_out);
	if (result == pcclSuccess && world > PCCL_TRAINING_MAX)
		result = pccl_fail(pcclInvalidUsage, "a training has %d peers at most", PCCL_TRAINING_MAX);
	if (result != pcclSuccess)
		return result;
	pccl_gathering_encode(entry, own);
	operation.count = PCCL_GATHERING_BYTES;
	operation.datatype = pcclUint8;
	operation.tag = engine->schedule.last_tag;
	result = pcclAllGather(own, worker->entries, &operation, engine->comm, &info);
	if (result == pcclRankConnectionLost || result == pcclTooFewPeers)
		return pcclSuccess; /* once more */
	if (result != pcclSuccess)
		return result;
	return pccl_gathering_read(worker->entries, info.participants_max, engine->settings.quorum,
				   engine->settings.grace_ms * PCCL_MS_NS, next_out);
}

/* The rounds that the caller has given to the queue. */
static pcclResult_t run_queue(struct pccl_diloco_worker *worker)
{
	struct pccl_diloco *engine = worker->engine;
	pcclResult_t result = pcclSuccess;
	size_t i;

	for (i = 0; result == pcclSuccess && i < engine->queue_count; i++)
		result = pccl_diloco_run_round(worker,
					       engine->queue[(engine->queue_first + i) % engine->queue_capacity]);
	pthread_mutex_lock(&engine->lock);
	for (i = 0; result == pcclSuccess && i < engine->queue_count; i++)
		engine->queue[(engine->queue_first + i) % engine->queue_capacity]->has_ended = true;
	engine->queue_count = 0;
	engine->quorum.caller = PCCL_DILOCO_BUSY; /* it takes them over */
	pthread_mutex_unlock(&engine->lock);
	return result;
}

/* A round of a fragment with nothing of this peer's. */
static pcclResult_t run_without(struct pccl_diloco_worker *worker, uint32_t index)
{
	struct pccl_diloco *engine = worker->engine;
	struct pccl_diloco_fragment *fragment = &engine->fragments[index];
	struct pccl_diloco_round round;
	pcclResult_t result;

	memset(&round, 0, sizeof(round));
	round.fragment = index;
	round.number = ++fragment->begun;
	round.allowed = PCCL_PIECES_MAX;
	round.is_without = true;
	round.values = fragment->spare[--fragment->spare_count];
	memset(round.values, 0, fragment->count * sizeof(*round.values));
	result = pccl_diloco_run_round(worker, &round);
	if (result != pcclSuccess) {
		fragment->begun--;
		fragment->spare[fragment->spare_count++] = round.values;
	}
	return result;
}

/* The round begins. Whether the caller is in it is decided here: it may have come meanwhile. */
static pcclResult_t go(struct pccl_diloco_worker *worker)
{
	struct pccl_diloco *engine = worker->engine;
	struct pccl_diloco_quorum *quorum = &engine->quorum;
	pcclResult_t result = pcclSuccess;
	uint32_t i;

	pthread_mutex_lock(&engine->lock);
	while (quorum->caller == PCCL_DILOCO_BUSY && !engine->is_ending && engine->failure == pcclSuccess)
		pthread_cond_wait(&engine->changed, &engine->lock);
	quorum->is_absent = quorum->caller != PCCL_DILOCO_ARRIVED;
	pthread_mutex_unlock(&engine->lock);
	if (!quorum->is_absent)
		result = run_queue(worker);
	for (i = 0; quorum->is_absent && result == pcclSuccess && i < engine->schedule.fragment_count; i++)
		result = run_without(worker, i);
	pthread_mutex_lock(&engine->lock);
	quorum->missed += quorum->is_absent && result == pcclSuccess;
	quorum->is_absent = quorum->is_called = false;
	quorum->number++;
	tell_caller(engine);
	pthread_mutex_unlock(&engine->lock);
	return result;
}

void pccl_diloco_run_gatherings(struct pccl_diloco_worker *worker)
{
	struct pccl_diloco *engine = worker->engine;
	struct pccl_gathering_entry entry;
	enum pccl_gathering_next next;

	while (await_turn(engine, &entry)) {
		pcclResult_t result = gather(worker, &entry, &next);

		if (result == pcclSuccess && next == PCCL_GATHERING_GOES)
			result = go(worker);
		if (result != pcclSuccess) {
			pccl_diloco_fail(engine, result);
			continue;
		}
		if (next != PCCL_GATHERING_ENDS && next != PCCL_GATHERING_CALLS)
			continue;
		pthread_mutex_lock(&engine->lock);
		engine->quorum.is_called = next == PCCL_GATHERING_CALLS;
		engine->quorum.is_active = next != PCCL_GATHERING_ENDS;
		tell_caller(engine);
		pthread_mutex_unlock(&engine->lock);
	}
}

/* ---- the caller ------------------------------ */

/* Under the lock: the fragments are the caller's from now on. */
static pcclResult_t take_fragments(struct pccl_diloco *engine)
{
	const uint64_t start_ns = pccl_clock_ns();

	while (engine->quorum.is_absent && engine->failure == pcclSuccess)
		pthread_cond_wait(&engine->changed, &engine->lock);
	engine->statistics.wait_ns += pccl_clock_ns() - start_ns;
	engine->quorum.caller = PCCL_DILOCO_BUSY;
	__atomic_store_n(&engine->quorum.has_news, false, __ATOMIC_RELEASE);
	return engine->failure;
}

static void leave_fragments(struct pccl_diloco *engine, enum pccl_diloco_caller caller)
{
	pthread_mutex_lock(&engine->lock);
	engine->quorum.caller = caller;
	engine->quorum.arrived_ns = pccl_clock_ns();
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

/* The local parameters follow rounds that went on without them: what was trained since stays. */
static pcclResult_t catch_up(struct pccl_diloco *engine)
{
	pcclResult_t result = pcclSuccess;
	uint32_t i, missed;

	for (i = 0; result == pcclSuccess && i < engine->schedule.fragment_count; i++) {
		struct pccl_diloco_fragment *fragment = &engine->fragments[i];
		float *scratch = fragment->spare[0];

		result = pccl_diloco_read_local(engine, i, scratch);
		if (result != pcclSuccess)
			return result;
		pccl_outer_shift(scratch, fragment->outer, fragment->base, fragment->count);
		result = pccl_diloco_write_local(engine, i, scratch);
		fragment->spare[fragment->spare_count++] = fragment->base;
		fragment->base = NULL;
	}
	pthread_mutex_lock(&engine->lock);
	missed = engine->quorum.missed * engine->schedule.fragment_count;
	engine->quorum.missed = 0;
	engine->statistics.rounds += missed;
	engine->statistics.missed += missed;
	pthread_mutex_unlock(&engine->lock);
	engine->taken += missed;
	engine->quorum.last_step = engine->step;
	return result;
}

static pcclResult_t arrive(struct pccl_diloco *engine)
{
	struct pccl_diloco_round *round;
	pcclResult_t result = pcclSuccess;
	uint32_t i;

	for (i = 0; result == pcclSuccess && i < engine->schedule.fragment_count; i++) {
		result = pccl_diloco_begin(engine, i, &round);
		if (result == pcclSuccess)
			pccl_diloco_hand_over(engine, round);
	}
	leave_fragments(engine, result == pcclSuccess ? PCCL_DILOCO_ARRIVED : PCCL_DILOCO_AWAY);
	while (result == pcclSuccess && engine->rounds != NULL)
		result = pccl_diloco_take_over(engine);
	engine->quorum.last_step = engine->step;
	return result;
}

pcclResult_t pccl_diloco_quorum_step(struct pccl_diloco *engine)
{
	struct pccl_diloco_quorum *quorum = &engine->quorum;
	bool has_missed, is_due;
	pcclResult_t result;

	pthread_mutex_lock(&engine->lock);
	result = take_fragments(engine);
	has_missed = quorum->missed > 0;
	is_due = quorum->is_called || engine->step >= quorum->last_step + engine->schedule.interval;
	quorum->is_active = true;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
	if (result == pcclSuccess && has_missed)
		result = catch_up(engine);
	else if (result == pcclSuccess && is_due)
		result = arrive(engine);
	leave_fragments(engine, PCCL_DILOCO_AWAY);
	pccl_diloco_find_next_due(engine);
	return result == pcclSuccess ? result : pccl_diloco_failure(engine);
}

pcclResult_t pccl_diloco_quorum_flush(struct pccl_diloco *engine)
{
	struct pccl_diloco_quorum *quorum = &engine->quorum;
	pcclResult_t result;

	pthread_mutex_lock(&engine->lock);
	result = take_fragments(engine);
	quorum->is_active = true;
	pthread_mutex_unlock(&engine->lock);
	if (result == pcclSuccess && quorum->missed > 0)
		result = catch_up(engine);
	leave_fragments(engine, PCCL_DILOCO_FLUSHES);
	pthread_mutex_lock(&engine->lock);
	while (result == pcclSuccess && quorum->is_active) {
		const uint64_t start_ns = pccl_clock_ns();

		pthread_cond_wait(&engine->changed, &engine->lock);
		engine->statistics.wait_ns += pccl_clock_ns() - start_ns;
		result = engine->failure;
	}
	quorum->caller = PCCL_DILOCO_AWAY;
	__atomic_store_n(&quorum->has_news, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&engine->lock);
	if (result == pcclSuccess && quorum->missed > 0)
		result = catch_up(engine);
	engine->quorum.last_step = engine->step;
	return result == pcclSuccess ? result : pccl_diloco_failure(engine);
}
