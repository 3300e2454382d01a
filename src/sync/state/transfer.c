/* See transfer.h. Its life, the ranks, and which frame is whose. */
#include "sync/state/transfer.h"

#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "sync/state/transfer_internal.h"

/* ---- life ------------------------------ */

pcclResult_t pccl_transfer_create(const struct pccl_transfer_config *config, struct pccl_transfer **transfer_out)
{
	struct pccl_transfer *transfer = pccl_zalloc(sizeof(*transfer));

	*transfer_out = transfer;
	if (transfer == NULL)
		return pcclOutOfMemory;
	transfer->config = *config;
	return pcclSuccess;
}

void pccl_transfer_destroy(struct pccl_transfer *transfer)
{
	if (transfer == NULL)
		return;
	pccl_transfer_forget_packed(transfer);
	pccl_free(transfer->ranks);
	pccl_free(transfer->ready);
	pccl_free(transfer->wants);
	pccl_free(transfer->unasked);
	pccl_free(transfer);
}

void pccl_transfer_tell(struct pccl_transfer *transfer, const struct pccl_transfer_outcome *outcome)
{
	assert(transfer->outcome_count < sizeof(transfer->outcomes) / sizeof(transfer->outcomes[0]));
	transfer->outcomes[transfer->outcome_count++] = *outcome;
}

bool pccl_transfer_poll(struct pccl_transfer *transfer, struct pccl_transfer_outcome *outcome_out)
{
	if (transfer->outcome_count == 0)
		return false;
	*outcome_out = transfer->outcomes[0];
	transfer->outcomes[0] = transfer->outcomes[1];
	transfer->outcome_count--;
	return true;
}

/* ---- ranks ------------------------------ */

void pccl_transfer_wake(struct pccl_transfer *transfer, uint32_t rank)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];

	if (who->ready || who->lost)
		return;
	assert(transfer->ready_count < transfer->rank_count);
	who->ready = true;
	transfer->ready[transfer->ready_count++] = rank;
}

bool pccl_transfer_ready(struct pccl_transfer *transfer, uint32_t *rank_out)
{
	if (transfer->ready_count == 0)
		return false;
	*rank_out = transfer->ready[--transfer->ready_count];
	transfer->ranks[*rank_out].ready = false;
	return true;
}

static uint32_t find_rank(const pcclRankUuid_t *uuids, uint32_t ranks, const pcclRankUuid_t *uuid)
{
	uint32_t rank;

	for (rank = 0; rank < ranks; rank++)
		if (pccl_uuid_equal(&uuids[rank], uuid))
			return rank;
	return PCCL_NO_RANK;
}

/* Wants know their source by its rank. */
static void rename_sources(struct pccl_transfer *transfer, uint32_t rank)
{
	const struct pccl_transfer_rank *who = &transfer->ranks[rank];
	uint32_t index;

	for (index = 0; index < who->asked_count; index++)
		transfer->wants[who->asked[index]].source = rank;
}

static void replace_ranks(struct pccl_transfer *transfer, struct pccl_transfer_rank *ranks, uint32_t *ready,
			  uint32_t count)
{
	pccl_free(transfer->ranks);
	pccl_free(transfer->ready);
	transfer->ranks = ranks;
	transfer->ready = ready;
	transfer->ready_count = 0;
	transfer->rank_count = count;
	transfer->turn = 0;
}

pcclResult_t pccl_transfer_install(struct pccl_transfer *transfer, uint32_t ranks, uint32_t rank,
				   const pcclRankUuid_t *uuids)
{
	struct pccl_transfer_rank *list = pccl_calloc(ranks, sizeof(*list));
	uint32_t *ready = pccl_calloc(ranks, sizeof(*ready));
	uint32_t old, now;

	if (list == NULL || ready == NULL) {
		pccl_free(list);
		pccl_free(ready);
		return pcclOutOfMemory;
	}
	for (now = 0; now < ranks; now++) {
		list[now].uuid = uuids[now];
		list[now].lost = now == rank;
		list[now].offer_due = transfer->open && transfer->serves && now != rank;
	}
	for (old = 0; old < transfer->rank_count; old++) {
		now = find_rank(uuids, ranks, &transfer->ranks[old].uuid);
		if (now == PCCL_NO_RANK)
			pccl_transfer_take_back(transfer, old);
		else
			list[now] = transfer->ranks[old];
	}
	replace_ranks(transfer, list, ready, ranks);
	for (now = 0; now < ranks; now++) {
		list[now].ready = false;
		rename_sources(transfer, now);
		pccl_transfer_wake(transfer, now);
	}
	pccl_transfer_mark_expected(transfer);
	pccl_transfer_go_on(transfer);
	return pcclSuccess;
}

void pccl_transfer_lost(struct pccl_transfer *transfer, uint32_t rank)
{
	assert(rank < transfer->rank_count);
	transfer->ranks[rank].lost = true;
	transfer->ranks[rank].wanted_count = 0;
	pccl_transfer_take_back(transfer, rank);
	pccl_transfer_go_on(transfer);
}

/* ---- a call ------------------------------ */

static void offer(struct pccl_transfer *transfer)
{
	uint32_t rank;

	for (rank = 0; rank < transfer->rank_count; rank++) {
		transfer->ranks[rank].offer_due = !transfer->ranks[rank].lost;
		pccl_transfer_wake(transfer, rank);
	}
}

void pccl_transfer_open(struct pccl_transfer *transfer, uint64_t sync, const struct pccl_inventory *inventory,
			bool serves)
{
	uint32_t rank;

	assert(!transfer->open && transfer->fetch == NULL && transfer->outcome_count == 0);
	transfer->open = true;
	transfer->sync = sync;
	transfer->inventory = inventory;
	transfer->serves = serves;
	transfer->tx_bytes = 0;
	transfer->tx_wire_bytes = 0;
	for (rank = 0; rank < transfer->rank_count; rank++)
		transfer->ranks[rank].liar = false;
	if (serves)
		offer(transfer);
}

void pccl_transfer_serve(struct pccl_transfer *transfer)
{
	assert(transfer->open);
	if (!transfer->serves) {
		transfer->serves = true;
		offer(transfer);
	}
}

void pccl_transfer_close(struct pccl_transfer *transfer)
{
	const struct pccl_transfer_outcome outcome = {
		.event = PCCL_TRANSFER_CLOSED, .tx_bytes = transfer->tx_bytes, .wire_bytes = transfer->tx_wire_bytes};
	uint32_t rank;

	assert(transfer->open);
	for (rank = 0; rank < transfer->rank_count; rank++) {
		struct pccl_transfer_rank *who = &transfer->ranks[rank];

		who->offer_due = false;
		who->wanted_count = 0;
		who->part = 0;
		who->served = 0;
		who->asked_count = 0;
		who->untold = 0;
		who->asked_bytes = 0;
	}
	transfer->open = false;
	transfer->serves = false;
	transfer->inventory = NULL;
	pccl_transfer_end_fetch(transfer);
	pccl_transfer_forget_packed(transfer);
	transfer->outcome_count = 0; /* what the fetch came to does not matter any more */
	pccl_transfer_tell(transfer, &outcome);
}

/* ---- frames ------------------------------ */

bool pccl_transfer_owns(const void *transfer, const struct pccl_frame *frame)
{
	(void)transfer;
	return (frame->type == PCCL_FRAME_OFFER || frame->type == PCCL_FRAME_WANT || frame->type == PCCL_FRAME_PART) &&
	       (frame->flags & PCCL_FRAME_EARLY) == 0;
}

static bool next_offer(struct pccl_transfer *transfer, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];

	if (!who->offer_due)
		return false;
	who->offer_due = false;
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = PCCL_FRAME_OFFER;
	send_out->frame.tag = transfer->sync;
	return true;
}

bool pccl_transfer_next(struct pccl_transfer *transfer, uint32_t rank, struct pccl_frame_send *send_out)
{
	if (!transfer->open || rank >= transfer->rank_count)
		return false;
	return next_offer(transfer, rank, send_out) || pccl_transfer_next_want(transfer, rank, send_out) ||
	       pccl_transfer_next_part(transfer, rank, send_out);
}

enum pccl_frame_verdict pccl_transfer_accept(struct pccl_transfer *transfer, uint32_t rank,
					     const struct pccl_frame *frame, void **destination_out)
{
	*destination_out = NULL;
	if (rank >= transfer->rank_count)
		return PCCL_FRAME_DISCARD;
	if (frame->type == PCCL_FRAME_PART)
		return pccl_transfer_accept_part(transfer, rank, frame, destination_out);
	if (frame->payload_bytes > 0 || frame->flags != 0 || frame->aux != 0 || frame->epoch != 0) {
		pccl_fail(pcclRankConnectionLost, "a frame of state with fields that it does not have");
		return PCCL_FRAME_REJECT;
	}
	if (frame->type == PCCL_FRAME_WANT)
		return pccl_transfer_accept_want(transfer, rank, frame);
	return PCCL_FRAME_TAKE;
}

/* Who lends anew has forgotten what it was asked for, and need not have been mute. */
static void begin_anew(struct pccl_transfer *transfer, uint32_t rank)
{
	pccl_transfer_take_back(transfer, rank);
	transfer->ranks[rank].mute = false;
}

void pccl_transfer_received(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame)
{
	if (rank >= transfer->rank_count)
		return;
	if (frame->type == PCCL_FRAME_PART) {
		pccl_transfer_received_part(transfer, rank, frame);
	} else if (frame->type == PCCL_FRAME_WANT) {
		pccl_transfer_received_want(transfer, rank, frame);
	} else {
		if (transfer->fetch != NULL && transfer->fetch->patient)
			begin_anew(transfer, rank);
		transfer->ranks[rank].offers = true;
		transfer->ranks[rank].offer = frame->tag;
		pccl_transfer_go_on(transfer);
		pccl_transfer_keep_busy(transfer, rank);
	}
}

void pccl_transfer_dropped(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame)
{
	if (rank < transfer->rank_count && frame->type == PCCL_FRAME_PART)
		pccl_transfer_dropped_part(transfer, rank, frame);
}
