/* What a worker does with one round: the operations that the exchange asks for. All members do the same, for what that
 * decides by is the same on all of them. */
#include <string.h>

#include "base/log.h"
#include "training/diloco_internal.h"
#include "transport/loop/loop.h"

struct task {
	struct pccl_diloco_worker *worker;
	struct pccl_diloco_round *round;
	struct pccl_diloco_fragment *fragment;
	const struct pccl_fragment *plan;
	struct pccl_exchange exchange;
};

static pcclResult_t prepare(struct task *task)
{
	struct pccl_diloco *engine = task->worker->engine;
	const struct pccl_diloco_round *round = task->round;
	struct pccl_exchange *exchange = &task->exchange;
	struct pccl_roll_entry *entry = &exchange->entry;

	exchange->gradient = round->values;
	exchange->contribution = task->worker->contribution;
	exchange->residual = task->fragment->residual;
	exchange->scratch = task->worker->residual;
	exchange->count = task->fragment->count;
	pccl_exchange_begin(exchange);
	entry->fragment = round->fragment;
	entry->round = round->number;
	entry->step = engine->settings.quorum > 0 ? round->number : round->step; /* steps differ then */
	entry->weight = round->weight;
	entry->signature = engine->schedule.signature;
	memset(&entry->outer, 0, sizeof(entry->outer));
	if (engine->settings.check_parity)
		entry->outer =
			pccl_digest_of(task->fragment->outer, task->fragment->count * sizeof(*task->fragment->outer));
	return pcclGetUuid(engine->comm, &entry->uuid);
}

static void count_bytes(struct task *task, const pcclOperationInfo_t *info)
{
	struct pccl_diloco *engine = task->worker->engine;

	pthread_mutex_lock(&engine->lock);
	engine->statistics.tx_bytes += info->tx_bytes;
	engine->statistics.rx_bytes += info->rx_bytes;
	pthread_mutex_unlock(&engine->lock);
}

static enum pccl_exchange_next call_roll(struct task *task)
{
	struct pccl_diloco *engine = task->worker->engine;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	uint8_t own[PCCL_ROLL_BYTES];
	pcclResult_t result;
	int world;

	result = pcclGetAttribute(engine->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world);
	if (result == pcclSuccess && world == 1)
		result = pcclTooFewPeers;
	if (result == pcclSuccess && world > PCCL_TRAINING_MAX)
		result = pccl_fail(pcclInvalidUsage, "a training has %d peers at most", PCCL_TRAINING_MAX);
	if (result == pcclSuccess) {
		pccl_roll_encode(&task->exchange.entry, own);
		operation.count = PCCL_ROLL_BYTES;
		operation.datatype = pcclUint8;
		operation.tag = pccl_schedule_roll_tag(&engine->schedule, task->round->fragment);
		result = pcclAllGather(own, task->worker->entries, &operation, engine->comm, &info);
		count_bytes(task, &info);
	}
	return pccl_exchange_rolled(&task->exchange, result, task->worker->entries, info.participants_max);
}

static void end_piece(struct task *task, uint32_t index)
{
	struct pccl_diloco_piece *piece = &task->worker->pieces[index];
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	const pcclResult_t result = pcclAwait(&piece->handle, &info);

	piece->has_ended = true;
	count_bytes(task, &info);
	pccl_exchange_piece(&task->exchange, result, info.participants_min, info.participants_max);
}

/* Those that have ended already: what they cost is told while the round goes on. */
static void end_pieces(struct task *task, uint32_t count, bool wait)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		struct pccl_diloco_piece *piece = &task->worker->pieces[i];
		bool is_done = wait;

		if (!piece->is_launched || piece->has_ended)
			continue;
		if (is_done || (pcclTest(&piece->handle, &is_done) == pcclSuccess && is_done))
			end_piece(task, i);
	}
}

static void launch_piece(struct task *task, uint32_t index)
{
	struct pccl_diloco_worker *worker = task->worker;
	const pcclDilocoSettings_t *settings = &worker->engine->settings;
	const size_t first = index * task->plan->piece, left = task->plan->elements - first;
	float *values = worker->contribution + first;
	struct pccl_diloco_piece *piece = &worker->pieces[index];
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclResult_t result;

	operation.count = left < task->plan->piece ? left : task->plan->piece;
	operation.tag = pccl_schedule_piece_tag(&worker->engine->schedule, task->round->fragment, index);
	operation.plan = pcclPlanDirect; /* the fewest bytes, where `auto` has the fewest hops */
	operation.failure_policy = pcclPolicyAbort;
	operation.input = pcclInputGiveUp;
	operation.codec = settings->codec;
	operation.codec_down = settings->codec_down;
	operation.rounding = settings->rounding;
	operation.zstd = settings->zstd;
	if (worker->residual != NULL)
		operation.residual = worker->residual + first;
	result = pcclAllReduceWithAsync(values, values, &operation, worker->engine->comm, &piece->handle);
	piece->has_ended = false;
	piece->is_launched = result == pcclSuccess;
	if (result != pcclSuccess)
		pccl_exchange_piece(&task->exchange, result, 0, 0);
}

/* Waits until the piece may begin. An engine that ends holds up nobody. */
static void await_turn(struct task *task, uint32_t index)
{
	struct pccl_diloco *engine = task->worker->engine;

	pthread_mutex_lock(&engine->lock);
	while (task->round->allowed <= index && !engine->is_ending && engine->failure == pcclSuccess)
		pthread_cond_wait(&engine->changed, &engine->lock);
	pthread_mutex_unlock(&engine->lock);
}

/* What belongs to the fragment changes with a round that counts, as a whole, and not at all when the engine has failed:
 * what is left then is of one and the same round. */
static bool begin_applying(struct pccl_diloco *engine)
{
	bool may;

	pthread_mutex_lock(&engine->lock);
	may = engine->failure == pcclSuccess;
	engine->applying += may;
	pthread_mutex_unlock(&engine->lock);
	return may;
}

static void end_applying(struct pccl_diloco *engine)
{
	pthread_mutex_lock(&engine->lock);
	engine->applying--;
	pthread_cond_broadcast(&engine->changed);
	pthread_mutex_unlock(&engine->lock);
}

static void exchange_pieces(struct task *task)
{
	uint32_t i;

	for (i = 0; i < task->plan->pieces; i++) {
		await_turn(task, i);
		end_pieces(task, i, false);
		launch_piece(task, i);
	}
	end_pieces(task, task->plan->pieces, true);
}

/* If the exchange has ended, the fragment is being changed from here on. */
static enum pccl_exchange_next settle(struct task *task)
{
	struct pccl_diloco *engine = task->worker->engine;
	enum pccl_exchange_next next = PCCL_EXCHANGE_ENDED;

	if (!begin_applying(engine)) {
		task->exchange.result = pccl_diloco_failure(engine);
		return PCCL_EXCHANGE_FAILED;
	}
	if (!task->exchange.is_alone)
		next = pccl_exchange_settle(&task->exchange);
	if (next != PCCL_EXCHANGE_ENDED)
		end_applying(engine);
	return next;
}

/* After success the caller is to end_applying(). */
static pcclResult_t find_mean(struct task *task)
{
	enum pccl_exchange_next next;
	pcclResult_t result = prepare(task);

	if (result != pcclSuccess)
		return result;
	do {
		result = pccl_diloco_failure(task->worker->engine);
		if (result != pcclSuccess)
			return result;
		next = call_roll(task);
		if (next == PCCL_EXCHANGE_PIECES)
			exchange_pieces(task);
		if (next == PCCL_EXCHANGE_PIECES || next == PCCL_EXCHANGE_ENDED)
			next = settle(task);
		if (next == PCCL_EXCHANGE_AGAIN)
			pccl_log_info("round %llu of fragment %u is done again: %s",
				      (unsigned long long)task->round->number, task->round->fragment, pccl_fail_text());
	} while (next == PCCL_EXCHANGE_AGAIN);
	return next == PCCL_EXCHANGE_ENDED ? pcclSuccess : task->exchange.result;
}

/* All peers have the same numbers, and come to the same. */
static pcclResult_t check_numbers(const struct task *task, const float *values, const char *what)
{
	size_t element = pccl_outer_find_wild(values, task->fragment->count);
	const char *name;

	if (element == task->fragment->count)
		return pcclSuccess;
	name = pccl_diloco_element(task->worker->engine, task->round->fragment, element, &element);
	return pccl_fail(
		pcclInvalidArgument,
		"round %llu would make %s of tensor '%.100s' no finite number at element %zu: outer parameters "
		"stay as they were before it",
		(unsigned long long)task->round->number, what, name, element);
}

/* Momentum and outer parameters change together, or not at all. The mean's place is where the new ones are made. */
static pcclResult_t apply_rule(struct task *task)
{
	struct pccl_diloco *engine = task->worker->engine;
	struct pccl_diloco_fragment *fragment = task->fragment;
	const size_t bytes = fragment->count * sizeof(*fragment->outer);
	float *next = task->worker->contribution, *momentum = task->round->values;
	double step_mean = fragment->step_mean;
	pcclResult_t result;

	memcpy(momentum, fragment->momentum, bytes);
	if (engine->settings.rule == pcclDilocoCo2)
		pccl_outer_co2(&engine->rule, next, fragment->outer, fragment->before, momentum, &step_mean, next,
			       fragment->count);
	else
		pccl_outer_nesterov(&engine->rule, next, fragment->outer, momentum, next, fragment->count);
	result = check_numbers(task, momentum, "the momentum");
	if (result == pcclSuccess)
		result = check_numbers(task, next, "the outer parameters");
	if (result != pcclSuccess)
		return result;
	task->round->values = fragment->momentum;
	fragment->momentum = momentum;
	fragment->step_mean = step_mean;
	if (fragment->before != NULL)
		memcpy(fragment->before, fragment->outer, bytes);
	memcpy(task->round->values, next, bytes);
	return pcclSuccess;
}

/* Under the lock: the caller is away, and its local parameters belong to `base` until it comes by. */
static void take_over_without(struct task *task)
{
	struct pccl_diloco_fragment *fragment = task->fragment;

	if (fragment->base == NULL)
		fragment->base = fragment->outer;
	else
		fragment->spare[fragment->spare_count++] = fragment->outer;
	fragment->outer = task->round->values;
}

/* Under the lock. */
static void name_participants(struct task *task)
{
	struct pccl_diloco *engine = task->worker->engine;
	uint32_t rank;

	engine->participant_count = task->exchange.present;
	if (task->exchange.is_alone) {
		engine->participants[0].uuid = task->exchange.entry.uuid;
		engine->participants[0].weight = task->exchange.entry.weight;
		return;
	}
	for (rank = 0; rank < task->exchange.present; rank++)
		pccl_roll_at(task->worker->entries, rank, &engine->participants[rank].uuid,
			     &engine->participants[rank].weight);
}

pcclResult_t pccl_diloco_run_round(struct pccl_diloco_worker *worker, struct pccl_diloco_round *round)
{
	struct pccl_diloco *engine = worker->engine;
	struct task task = {.worker = worker,
			    .round = round,
			    .fragment = &engine->fragments[round->fragment],
			    .plan = &engine->schedule.fragments[round->fragment]};
	const uint64_t start_ns = pccl_clock_ns();
	const pcclResult_t exchanged = find_mean(&task);
	const pcclResult_t result = exchanged == pcclSuccess ? apply_rule(&task) : exchanged;

	pthread_mutex_lock(&engine->lock);
	if (result == pcclSuccess)
		name_participants(&task);
	if (result == pcclSuccess && round->is_without)
		take_over_without(&task);
	round->is_applied = result == pcclSuccess;
	engine->applying -= exchanged == pcclSuccess;
	pthread_cond_broadcast(&engine->changed);
	engine->statistics.repeated += task.exchange.repeated;
	engine->statistics.alone += task.exchange.is_alone;
	engine->statistics.busy_ns += pccl_clock_ns() - start_ns;
	round->total = task.exchange.roll.total;
	round->share = task.exchange.roll.share;
	round->participants = task.exchange.present;
	pthread_mutex_unlock(&engine->lock);
	return result;
}
