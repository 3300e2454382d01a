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

/* The first of those of the fragment: its roll calls, then one for each piece. */
static uint64_t tag_of(const struct task *task)
{
	return task->worker->engine->settings.tag + (uint64_t)task->round->fragment * (PCCL_PIECES_MAX + 1);
}

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
	if (result == pcclSuccess && world > PCCL_DILOCO_ENTRIES)
		result = pccl_fail(pcclInvalidUsage, "a training has %d peers at most", PCCL_DILOCO_ENTRIES);
	if (result == pcclSuccess) {
		pccl_roll_encode(&task->exchange.entry, own);
		operation.count = PCCL_ROLL_BYTES;
		operation.datatype = pcclUint8;
		operation.tag = tag_of(task);
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
	operation.tag = tag_of(task) + 1 + index;
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

static enum pccl_exchange_next exchange_pieces(struct task *task)
{
	uint32_t i;

	for (i = 0; i < task->plan->pieces; i++) {
		await_turn(task, i);
		end_pieces(task, i, false);
		launch_piece(task, i);
	}
	end_pieces(task, task->plan->pieces, true);
	return pccl_exchange_settle(&task->exchange);
}

static pcclResult_t find_mean(struct task *task)
{
	enum pccl_exchange_next next;
	pcclResult_t result = prepare(task);

	if (result != pcclSuccess)
		return result;
	do {
		next = call_roll(task);
		if (next == PCCL_EXCHANGE_PIECES)
			next = exchange_pieces(task);
		if (next == PCCL_EXCHANGE_AGAIN)
			pccl_log_info("round %llu of fragment %u is done again: %s",
				      (unsigned long long)task->round->number, task->round->fragment, pccl_fail_text());
	} while (next == PCCL_EXCHANGE_AGAIN);
	return next == PCCL_EXCHANGE_ENDED ? pcclSuccess : task->exchange.result;
}

static void apply_rule(struct task *task)
{
	struct pccl_diloco *engine = task->worker->engine;
	struct pccl_diloco_fragment *fragment = task->fragment;
	const float *mean = task->worker->contribution;
	float *next = task->round->values;

	if (engine->settings.rule == pcclDilocoCo2)
		pccl_outer_co2(&engine->rule, next, fragment->outer, fragment->before, fragment->momentum,
			       &fragment->step_mean, mean, fragment->count);
	else
		pccl_outer_nesterov(&engine->rule, next, fragment->outer, fragment->momentum, mean, fragment->count);
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
	pcclResult_t result = find_mean(&task);

	if (result == pcclSuccess)
		apply_rule(&task);
	pthread_mutex_lock(&engine->lock);
	if (result == pcclSuccess)
		name_participants(&task);
	engine->statistics.repeated += task.exchange.repeated;
	engine->statistics.alone += task.exchange.is_alone;
	engine->statistics.busy_ns += pccl_clock_ns() - start_ns;
	round->total = task.exchange.roll.total;
	round->share = task.exchange.roll.share;
	round->participants = task.exchange.present;
	pthread_mutex_unlock(&engine->lock);
	return result;
}
