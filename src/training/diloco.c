/* Rounds as the caller sees them, and steps. */
#include "training/diloco.h"

#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "training/diloco_internal.h"
#include "transport/loop/loop.h"

#define WEIGHT_MAX 1e30 /* of a step: all steps of all peers have a finite sum */

/* ---- rounds ------------------------------ */

pcclResult_t pccl_diloco_failure(struct pccl_diloco *engine)
{
	pcclResult_t result;

	pthread_mutex_lock(&engine->lock);
	result = engine->failure;
	if (result != pcclSuccess)
		(void)pccl_fail(result, "%s", engine->failure_text);
	pthread_mutex_unlock(&engine->lock);
	return result;
}

static pcclResult_t await_end(struct pccl_diloco *engine, const struct pccl_diloco_round *round)
{
	bool has_ended;

	pthread_mutex_lock(&engine->lock);
	if (!round->has_ended) {
		const uint64_t start_ns = pccl_clock_ns();

		while (!round->has_ended && engine->failure == pcclSuccess)
			pthread_cond_wait(&engine->changed, &engine->lock);
		engine->statistics.wait_ns += pccl_clock_ns() - start_ns;
	}
	has_ended = round->has_ended;
	pthread_mutex_unlock(&engine->lock);
	return has_ended ? pcclSuccess : pccl_diloco_failure(engine);
}

const char *pccl_diloco_element(const struct pccl_diloco *engine, uint32_t fragment, size_t element, size_t *of_out)
{
	const struct pccl_schedule *schedule = &engine->schedule;
	const struct pccl_fragment *at = &schedule->fragments[fragment];
	size_t i = at->count - 1;

	while (schedule->place[schedule->order[at->first + i]] > element)
		i--;
	*of_out = element - schedule->place[schedule->order[at->first + i]];
	return engine->tensors[schedule->order[at->first + i]].name;
}

/* What is no number would be everybody's in the mean: this peer gives nothing, and its caller is told. */
static void give_nothing(struct pccl_diloco *engine, struct pccl_diloco_round *round, size_t element)
{
	const size_t bytes = engine->fragments[round->fragment].count * sizeof(*round->values);
	const char *name = pccl_diloco_element(engine, round->fragment, element, &element);

	pccl_text_format(engine->wild_text, sizeof(engine->wild_text),
			 "the pseudo-gradient of tensor '%.100s' is no finite number at element %zu: this peer gives "
			 "nothing to round %llu of fragment %u, and takes over what the others make of it",
			 name, element, (unsigned long long)round->number, round->fragment);
	engine->has_wild = true;
	round->is_wild = true;
	round->weight = 0;
	memset(round->values, 0, bytes);
}

/* The weight of steps goes to all fragments when a round of any begins, so that a step adds to one number. */
static void share_weight(struct pccl_diloco *engine)
{
	uint32_t i;

	for (i = 0; i < engine->schedule.fragment_count; i++)
		engine->fragments[i].pending += engine->recent;
	engine->recent = 0;
}

/* Snapshot of a fragment: its pseudo-gradient. */
pcclResult_t pccl_diloco_begin(struct pccl_diloco *engine, uint32_t index, struct pccl_diloco_round **round_out)
{
	struct pccl_diloco_fragment *fragment = &engine->fragments[index];
	struct pccl_diloco_round *round = pccl_zalloc(sizeof(*round));
	pcclResult_t result;
	size_t wild;

	if (round == NULL)
		return pcclOutOfMemory;
	round->fragment = index;
	round->step = engine->step;
	round->due = engine->step + engine->schedule.delay;
	round->allowed = pccl_schedule_pieces_due(&engine->schedule, index, 0);
	round->values = fragment->spare[fragment->spare_count - 1];
	result = pccl_diloco_read_local(engine, index, round->values);
	if (result != pcclSuccess) {
		pccl_free(round);
		return result;
	}
	fragment->spare_count--;
	round->number = ++fragment->begun;
	if (engine->recent > 0)
		share_weight(engine);
	round->weight = fragment->pending;
	fragment->pending = 0;
	pccl_outer_gradient(round->values, fragment->outer, fragment->deviation, round->values, fragment->count);
	wild = pccl_outer_find_wild(round->values, fragment->count);
	if (wild < fragment->count)
		give_nothing(engine, round, wild);
	*round_out = round;
	return pcclSuccess;
}

void pccl_diloco_hand_over(struct pccl_diloco *engine, struct pccl_diloco_round *round)
{
	struct pccl_diloco_round **last = &engine->rounds;

	while (*last != NULL)
		last = &(*last)->next;
	*last = round;
	pthread_mutex_lock(&engine->lock);
	engine->queue[(engine->queue_first + engine->queue_count++) % engine->queue_capacity] = round;
	engine->statistics.in_flight++;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

/* The local parameters follow the outer ones. `scratch` is as long as the fragment. */
static pcclResult_t follow(struct pccl_diloco *engine, uint32_t index, float *scratch, float alpha)
{
	struct pccl_diloco_fragment *fragment = &engine->fragments[index];
	pcclResult_t result = pcclSuccess;

	if (fragment->deviation != NULL) {
		pccl_outer_deviate(scratch, fragment->outer, fragment->deviation, fragment->count);
		return pccl_diloco_write_local(engine, index, scratch);
	}
	if (alpha == 0)
		return pccl_diloco_write_local(engine, index, fragment->outer);
	result = pccl_diloco_read_local(engine, index, scratch);
	if (result != pcclSuccess)
		return result;
	pccl_outer_mix(scratch, fragment->outer, alpha, fragment->count);
	return pccl_diloco_write_local(engine, index, scratch);
}

/* What was trained since the round began stays. */
static pcclResult_t shift_local(struct pccl_diloco *engine, uint32_t index, const float *old)
{
	struct pccl_diloco_fragment *fragment = &engine->fragments[index];
	float *scratch = fragment->spare[0] != old ? fragment->spare[0] : fragment->spare[1];
	pcclResult_t result = pccl_diloco_read_local(engine, index, scratch);

	if (result != pcclSuccess)
		return result;
	pccl_outer_shift(scratch, fragment->outer, old, fragment->count);
	return pccl_diloco_write_local(engine, index, scratch);
}

static bool is_delayed(const struct pccl_diloco *engine)
{
	return engine->schedule.delay >= engine->schedule.interval;
}

/* Takes the first round over, when it has ended. Its buffer becomes the outer parameters, and theirs is spare. Local
 * parameters follow; in delayed modes only if that is before its time, else leave_local() does it. */
pcclResult_t pccl_diloco_take_over(struct pccl_diloco *engine)
{
	struct pccl_diloco_round *round = engine->rounds;
	struct pccl_diloco_fragment *fragment = &engine->fragments[round->fragment];
	pcclResult_t result = await_end(engine, round);
	float *old = fragment->outer;

	if (result != pcclSuccess)
		return result;
	engine->rounds = round->next;
	fragment->outer = round->values;
	fragment->share = round->share;
	fragment->spare[fragment->spare_count++] = old;
	engine->taken++;
	pthread_mutex_lock(&engine->lock);
	engine->statistics.rounds++;
	engine->statistics.in_flight--;
	engine->statistics.last_weight = round->total;
	engine->statistics.last_share = (double)round->share;
	engine->statistics.last_participants = round->participants;
	pthread_mutex_unlock(&engine->lock);
	if (!is_delayed(engine))
		result = follow(engine, round->fragment, old,
				engine->settings.mode == pcclDilocoStreaming && !round->is_wild ? engine->settings.alpha
												: 0);
	else if (round->due > engine->step)
		result = shift_local(engine, round->fragment, old);
	pccl_free(round);
	return result;
}

/* ---- steps ------------------------------ */

/* The step at which the round has its next piece to begin, or is to be taken over. */
static uint64_t next_of(const struct pccl_diloco *engine, const struct pccl_diloco_round *round)
{
	const struct pccl_fragment *fragment = &engine->schedule.fragments[round->fragment];
	uint64_t begins;

	if (round->allowed >= fragment->pieces) /* only this thread changes it */
		return round->due;
	begins = round->step + pccl_schedule_piece_begins(&engine->schedule, round->fragment, round->allowed);
	return begins < round->due ? begins : round->due;
}

void pccl_diloco_find_next_due(struct pccl_diloco *engine)
{
	const struct pccl_diloco_round *round;

	if (engine->settings.quorum > 0) {
		engine->next_due = engine->quorum.last_step + engine->schedule.interval;
		return;
	}
	engine->next_due = pccl_schedule_next(&engine->schedule, engine->step);
	for (round = engine->rounds; round != NULL; round = round->next) {
		const uint64_t due = next_of(engine, round);

		if (due < engine->next_due)
			engine->next_due = due;
	}
}

/* Pieces whose step has come may begin; all of them, if somebody waits for the rounds. */
static void allow_pieces(struct pccl_diloco *engine, bool all)
{
	struct pccl_diloco_round *round;
	bool any = false;

	pthread_mutex_lock(&engine->lock);
	for (round = engine->rounds; round != NULL; round = round->next) {
		const uint64_t elapsed = all ? UINT64_MAX : engine->step - round->step;
		const uint32_t due = pccl_schedule_pieces_due(&engine->schedule, round->fragment, elapsed);

		any |= due > round->allowed;
		round->allowed = due;
	}
	if (any)
		pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

static pcclResult_t take_over_due(struct pccl_diloco *engine)
{
	pcclResult_t result = pcclSuccess;

	while (result == pcclSuccess && engine->rounds != NULL && engine->rounds->due <= engine->step)
		result = pccl_diloco_take_over(engine);
	return result;
}

/* Before the first roll call. */
static float likely_share(const struct pccl_diloco *engine)
{
	int world = 1;

	(void)pcclGetAttribute(engine->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world);
	return 1.0f / (float)world;
}

/* In delayed modes local parameters are left when a round begins, whether or not another has ended. */
static pcclResult_t leave_local(struct pccl_diloco *engine, struct pccl_diloco_round *round)
{
	struct pccl_diloco_fragment *fragment = &engine->fragments[round->fragment];
	float *scratch = fragment->spare_count > 0 ? fragment->spare[fragment->spare_count - 1] : NULL;

	if (engine->settings.mode == pcclDilocoEager && engine->taken == 0)
		fragment->share = likely_share(engine);
	if (engine->settings.mode == pcclDilocoEager)
		pccl_outer_eager(&engine->rule, fragment->share, round->values, fragment->own, fragment->deviation,
				 fragment->deviation_momentum, fragment->count);
	return follow(engine, round->fragment, scratch, 0);
}

/* Snapshots first: what is taken over at the same step is not in them. */
static pcclResult_t synchronize(struct pccl_diloco *engine)
{
	struct pccl_diloco_round *begun = NULL, **last = &begun, *round;
	pcclResult_t result = pcclSuccess;
	uint32_t i;

	allow_pieces(engine, false);
	for (i = 0; result == pcclSuccess && i < engine->schedule.fragment_count; i++) {
		if (!pccl_schedule_begins(&engine->schedule, i, engine->step))
			continue;
		result = pccl_diloco_begin(engine, i, last);
		if (result == pcclSuccess)
			last = &(*last)->next;
	}
	if (result == pcclSuccess)
		result = take_over_due(engine);
	if (result != pcclSuccess)
		pccl_diloco_fail(engine,
				 result); /* before a worker sees the rounds: this peer takes over none of them */
	while ((round = begun) != NULL) {
		begun = round->next;
		round->next = NULL;
		if (result == pcclSuccess && is_delayed(engine))
			result = leave_local(engine, round);
		pccl_diloco_hand_over(engine, round);
	}
	if (result == pcclSuccess)
		result = take_over_due(engine);
	pccl_diloco_find_next_due(engine);
	return result;
}

/* May the program change the group? */
static void tell_busy(struct pccl_diloco *engine, bool is_active)
{
	pccl_reservation_set_busy(&engine->reservation, is_active || engine->rounds != NULL);
}

bool pccl_diloco_is_due(const struct pccl_diloco *engine)
{
	return engine->settings.quorum > 0 || engine->step + 1 >= engine->next_due;
}

pcclResult_t pccl_diloco_step(struct pccl_diloco *engine, double weight)
{
	pcclResult_t result;

	if (!(weight >= 0) || !(weight <= WEIGHT_MAX))
		return pccl_fail(pcclInvalidArgument, "a step can't weigh %g: from 0 to %g", weight, WEIGHT_MAX);
	engine->recent += weight;
	if (++engine->step < engine->next_due && !__atomic_load_n(&engine->quorum.has_news, __ATOMIC_ACQUIRE))
		return pcclSuccess;
	result = pccl_diloco_failure(engine);
	if (result == pcclSuccess)
		result = engine->settings.quorum > 0 ? pccl_diloco_quorum_step(engine) : synchronize(engine);
	tell_busy(engine, engine->settings.quorum > 0);
	if (result != pcclSuccess) {
		pccl_diloco_fail(engine, result);
		engine->next_due = 0;
	} else if (engine->has_wild) {
		engine->has_wild = false;
		result = pccl_fail(pcclInvalidArgument, "%s", engine->wild_text);
	}
	return result;
}

pcclResult_t pccl_diloco_flush(struct pccl_diloco *engine)
{
	pcclResult_t result = pccl_diloco_failure(engine);

	if (engine->settings.quorum > 0 && result == pcclSuccess)
		result = pccl_diloco_quorum_flush(engine);
	allow_pieces(engine, true);
	while (result == pcclSuccess && engine->rounds != NULL)
		result = pccl_diloco_take_over(engine);
	if (result != pcclSuccess) {
		pccl_diloco_fail(engine, result);
	} else {
		pccl_diloco_find_next_due(engine);
		tell_busy(engine, false);
	}
	return result;
}

void pccl_diloco_statistics(struct pccl_diloco *engine, pcclDilocoStatistics_t *statistics_out)
{
	pthread_mutex_lock(&engine->lock);
	*statistics_out = engine->statistics;
	pthread_mutex_unlock(&engine->lock);
	statistics_out->steps = engine->step;
	statistics_out->distance_least = engine->schedule.distance_least;
	statistics_out->distance_most = engine->schedule.distance_most;
}

void pccl_diloco_participants(struct pccl_diloco *engine, pcclDilocoParticipant_t *participants_out, size_t capacity,
			      size_t *count_out)
{
	pthread_mutex_lock(&engine->lock);
	*count_out = engine->participant_count;
	if (capacity > engine->participant_count)
		capacity = engine->participant_count;
	if (capacity > 0)
		memcpy(participants_out, engine->participants, capacity * sizeof(*participants_out));
	pthread_mutex_unlock(&engine->lock);
}
