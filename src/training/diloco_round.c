/* What the engine's thread does with one round. All members do the same, for what they decide by is the same on all:
 * the roll call, and whether an exchange succeeded and how many took part. */
#include <string.h>

#include "base/log.h"
#include "sync/diloco/roll.h"
#include "training/diloco_internal.h"

struct exchange {
	struct pccl_diloco *engine;
	struct pccl_diloco_round *round;
	struct pccl_diloco_fragment *fragment;
	struct pccl_roll_entry entry; /* this peer's */
	struct pccl_roll_result roll;
	uint32_t present; /* peers in the roll call */
	uint64_t tx_bytes, rx_bytes;
	uint64_t repeated;
	bool is_alone;
};

static pcclResult_t prepare(struct exchange *exchange)
{
	const struct pccl_diloco_round *round = exchange->round;
	struct pccl_roll_entry *entry = &exchange->entry;

	entry->fragment = round->fragment;
	entry->round = round->number;
	entry->step = round->step;
	entry->weight = round->weight;
	entry->signature = exchange->engine->schedule.signature;
	memset(&entry->outer, 0, sizeof(entry->outer));
	if (exchange->engine->settings.check_parity)
		entry->outer = pccl_digest_of(exchange->fragment->outer,
					      exchange->fragment->count * sizeof(*exchange->fragment->outer));
	return pcclGetUuid(exchange->engine->comm, &entry->uuid);
}

static void count_bytes(struct exchange *exchange, const pcclOperationInfo_t *info)
{
	exchange->tx_bytes += info->tx_bytes;
	exchange->rx_bytes += info->rx_bytes;
}

/* pcclTooFewPeers: there is nobody else. pcclRankConnectionLost: once more. */
static pcclResult_t call_roll(struct exchange *exchange)
{
	struct pccl_diloco *engine = exchange->engine;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	uint8_t own[PCCL_ROLL_BYTES];
	pcclResult_t result;
	int world;

	result = pcclGetAttribute(engine->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world);
	if (result != pcclSuccess)
		return result;
	if (world == 1)
		return pcclTooFewPeers;
	if ((size_t)world > engine->entry_capacity)
		return pccl_fail(pcclInvalidUsage, "a training has %zu peers at most", engine->entry_capacity);
	pccl_roll_encode(&exchange->entry, own);
	operation.count = PCCL_ROLL_BYTES;
	operation.datatype = pcclUint8;
	operation.tag = engine->settings.tag;
	result = pcclAllGather(own, engine->entries, &operation, engine->comm, &info);
	count_bytes(exchange, &info);
	if (result != pcclSuccess)
		return result;
	exchange->present = info.participants_max;
	return pccl_roll_read(engine->entries, exchange->present, &exchange->entry, &exchange->roll);
}

/* The sum of all shares into `contribution`. Only if it counts is the residual kept. */
static pcclResult_t exchange_fragment(struct exchange *exchange)
{
	struct pccl_diloco *engine = exchange->engine;
	struct pccl_diloco_fragment *fragment = exchange->fragment;
	const size_t bytes = fragment->count * sizeof(float);
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	pcclResult_t result;

	pccl_outer_scale(engine->contribution, exchange->round->values, exchange->roll.share, fragment->count);
	operation.count = fragment->count;
	operation.tag = engine->settings.tag + 1;
	operation.plan = pcclPlanDirect; /* the fewest bytes, where `auto` has the fewest hops */
	operation.failure_policy = pcclPolicyAbort;
	operation.input = pcclInputGiveUp;
	operation.codec = engine->settings.codec;
	operation.codec_down = engine->settings.codec_down;
	operation.rounding = engine->settings.rounding;
	operation.zstd = engine->settings.zstd;
	if (fragment->residual != NULL) {
		memcpy(engine->residual, fragment->residual, bytes);
		operation.residual = engine->residual;
	}
	result = pcclAllReduceWith(engine->contribution, engine->contribution, &operation, engine->comm, &info);
	count_bytes(exchange, &info);
	if (result != pcclSuccess)
		return result;
	/* Who died between the two had a weight and gave nothing: shares would not add up to one. */
	if (info.participants_max != exchange->present || info.participants_min != exchange->present)
		return pccl_fail(pcclRankConnectionLost, "%u peers began the round, and %u ended it", exchange->present,
				 info.participants_max);
	if (fragment->residual != NULL)
		memcpy(fragment->residual, engine->residual, bytes);
	return pcclSuccess;
}

static void go_alone(struct exchange *exchange)
{
	exchange->is_alone = true;
	exchange->present = 1;
	exchange->roll.total = exchange->round->weight;
	exchange->roll.share = exchange->round->weight > 0 ? 1.0f : 0.0f;
	pccl_outer_scale(exchange->engine->contribution, exchange->round->values, exchange->roll.share,
			 exchange->fragment->count);
}

static pcclResult_t find_mean(struct exchange *exchange)
{
	pcclResult_t result = prepare(exchange);

	while (result == pcclSuccess) {
		result = call_roll(exchange);
		if (result == pcclSuccess)
			result = exchange_fragment(exchange);
		if (result == pcclTooFewPeers) {
			go_alone(exchange);
			return pcclSuccess;
		}
		if (result != pcclRankConnectionLost)
			return result;
		exchange->repeated++;
		pccl_log_info("round %llu of fragment %u is done again: %s",
			      (unsigned long long)exchange->round->number, exchange->round->fragment, pccl_fail_text());
		result = pcclSuccess;
	}
	return result;
}

static void apply_rule(struct exchange *exchange)
{
	struct pccl_diloco *engine = exchange->engine;
	struct pccl_diloco_fragment *fragment = exchange->fragment;
	float *next = exchange->round->values;

	if (engine->settings.rule == pcclDilocoCo2)
		pccl_outer_co2(&engine->rule, next, fragment->outer, fragment->before, fragment->momentum,
			       &fragment->step_mean, engine->contribution, fragment->count);
	else
		pccl_outer_nesterov(&engine->rule, next, fragment->outer, fragment->momentum, engine->contribution,
				    fragment->count);
}

pcclResult_t pccl_diloco_run_round(struct pccl_diloco *engine, struct pccl_diloco_round *round)
{
	struct exchange exchange = {.engine = engine, .round = round, .fragment = &engine->fragments[round->fragment]};
	const uint64_t start_ns = pccl_diloco_now_ns();
	pcclResult_t result = find_mean(&exchange);

	if (result == pcclSuccess)
		apply_rule(&exchange);
	pthread_mutex_lock(&engine->lock);
	engine->statistics.tx_bytes += exchange.tx_bytes;
	engine->statistics.rx_bytes += exchange.rx_bytes;
	engine->statistics.repeated += exchange.repeated;
	engine->statistics.alone += exchange.is_alone;
	engine->statistics.busy_ns += pccl_diloco_now_ns() - start_ns;
	round->total = exchange.roll.total;
	round->share = exchange.roll.share;
	round->participants = exchange.present;
	pthread_mutex_unlock(&engine->lock);
	return result;
}
