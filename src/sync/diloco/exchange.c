#include "sync/diloco/exchange.h"

#include <string.h>

#include "base/fail.h"
#include "sync/diloco/outer.h"

void pccl_exchange_begin(struct pccl_exchange *exchange)
{
	memset(&exchange->roll, 0, sizeof(exchange->roll));
	exchange->present = 0;
	exchange->repeated = 0;
	exchange->is_alone = false;
	exchange->result = pcclSuccess;
}

static bool is_loss(pcclResult_t result)
{
	return result == pcclRankConnectionLost || result == pcclTooFewPeers;
}

static enum pccl_exchange_next once_more(struct pccl_exchange *exchange)
{
	exchange->repeated++;
	exchange->result = pcclSuccess;
	return PCCL_EXCHANGE_AGAIN;
}

static enum pccl_exchange_next go_alone(struct pccl_exchange *exchange)
{
	exchange->is_alone = true;
	exchange->present = 1;
	exchange->roll.total = exchange->entry.weight;
	exchange->roll.share = exchange->entry.weight > 0 ? 1.0f : 0.0f;
	pccl_outer_scale(exchange->contribution, exchange->gradient, exchange->roll.share, exchange->count);
	return PCCL_EXCHANGE_ENDED;
}

enum pccl_exchange_next pccl_exchange_rolled(struct pccl_exchange *exchange, pcclResult_t result,
					     const uint8_t *entries, uint32_t present)
{
	if (result == pcclTooFewPeers)
		return go_alone(exchange);
	if (result == pcclRankConnectionLost)
		return once_more(exchange);
	if (result == pcclSuccess)
		result = pccl_roll_read(entries, present, &exchange->entry, &exchange->roll);
	exchange->result = result;
	if (result != pcclSuccess)
		return PCCL_EXCHANGE_FAILED;
	exchange->present = present;
	pccl_outer_scale(exchange->contribution, exchange->gradient, exchange->roll.share, exchange->count);
	if (exchange->residual != NULL)
		memcpy(exchange->scratch, exchange->residual, exchange->count * sizeof(*exchange->scratch));
	return PCCL_EXCHANGE_PIECES;
}

void pccl_exchange_piece(struct pccl_exchange *exchange, pcclResult_t result, uint32_t least, uint32_t most)
{
	/* Who died after the roll call had a weight and gave nothing: shares would not add up to one. */
	if (result == pcclSuccess && (least != exchange->present || most != exchange->present))
		result = pccl_fail(pcclRankConnectionLost, "%u peers began the round, and %u ended it",
				   exchange->present, most);
	if (exchange->result == pcclSuccess || (is_loss(exchange->result) && !is_loss(result) && result != pcclSuccess))
		exchange->result = result;
}

enum pccl_exchange_next pccl_exchange_settle(struct pccl_exchange *exchange)
{
	if (is_loss(exchange->result))
		return once_more(exchange);
	if (exchange->result != pcclSuccess)
		return PCCL_EXCHANGE_FAILED;
	if (exchange->residual != NULL)
		memcpy(exchange->residual, exchange->scratch, exchange->count * sizeof(*exchange->residual));
	return PCCL_EXCHANGE_ENDED;
}
