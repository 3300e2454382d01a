/* See transfer.h. What this peer wants. Wanted chunk i of the fetch is want i / lanes of its lane. */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/uuid.h"
#include "sync/state/transfer_internal.h"

static uint32_t wanted_index(const struct pccl_transfer *transfer, uint32_t want)
{
	return want * transfer->fetch->lanes + transfer->config.lane;
}

static uint32_t chunk_of(const struct pccl_transfer *transfer, uint32_t want)
{
	uint32_t index = wanted_index(transfer, want);

	return transfer->fetch->chunks != NULL ? transfer->fetch->chunks[index] : index;
}

static uint8_t *place_of(const struct pccl_transfer *transfer, uint32_t want, size_t *bytes_out)
{
	const struct pccl_fetch *fetch = transfer->fetch;
	uint32_t chunk = chunk_of(transfer, want);

	if (fetch->space == PCCL_STATE_CHUNKS)
		return pccl_inventory_place(transfer->inventory, chunk, bytes_out);
	*bytes_out = pccl_chunk_length(fetch->document_bytes, chunk);
	return fetch->document + (size_t)chunk * PCCL_CHUNK_BYTES;
}

static uint32_t parts_of(size_t chunk_bytes)
{
	return (uint32_t)((chunk_bytes + PCCL_TRANSFER_PART_BYTES - 1) / PCCL_TRANSFER_PART_BYTES);
}

static bool is_done(const struct pccl_transfer *transfer, uint32_t want)
{
	return transfer->fetch->progress[wanted_index(transfer, want)] == PCCL_FETCH_DONE;
}

/* Which of this lane's wants is that chunk? False: none. */
static bool find_want(const struct pccl_transfer *transfer, uint32_t chunk, uint32_t *want_out)
{
	const struct pccl_fetch *fetch = transfer->fetch;
	uint32_t low = 0, high = fetch->count;

	if (fetch->chunks == NULL) {
		low = chunk;
	} else {
		while (low < high) {
			uint32_t middle = low + (high - low) / 2;

			if (fetch->chunks[middle] < chunk)
				low = middle + 1;
			else
				high = middle;
		}
	}
	if (low >= fetch->count || (fetch->chunks != NULL && fetch->chunks[low] != chunk) ||
	    low % fetch->lanes != transfer->config.lane)
		return false;
	*want_out = low / fetch->lanes;
	return true;
}

/* ---- who is asked ------------------------------ */

static bool is_expected(const struct pccl_fetch *fetch, const pcclRankUuid_t *uuid)
{
	uint32_t index;

	for (index = 0; index < fetch->source_count; index++)
		if (pccl_uuid_equal(&fetch->sources[index], uuid))
			return true;
	return false;
}

void pccl_transfer_mark_expected(struct pccl_transfer *transfer)
{
	uint32_t rank;

	for (rank = 0; rank < transfer->rank_count; rank++)
		transfer->ranks[rank].expected =
			transfer->fetch != NULL && is_expected(transfer->fetch, &transfer->ranks[rank].uuid);
}

static bool may_ask(const struct pccl_transfer *transfer, const struct pccl_transfer_rank *who)
{
	return !who->lost && !who->liar && who->offers && who->offer == transfer->sync &&
	       (!transfer->fetch->exclusive || who->expected);
}

static void ask(struct pccl_transfer *transfer, uint32_t rank, uint32_t want)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];
	size_t bytes;

	assert(who->asked_count < PCCL_TRANSFER_WANTS_MAX && transfer->wants[want].receiving == 0);
	(void)place_of(transfer, want, &bytes);
	if (who->asked_count == 0)
		who->waits_ns = 0;
	transfer->wants[want].source = rank;
	transfer->wants[want].parts = 0;
	transfer->wants[want].asked = transfer->delivered;
	who->asked[who->asked_count++] = want;
	who->untold++;
	who->asked_bytes += bytes;
	pccl_transfer_wake(transfer, rank);
}

static bool has_room(const struct pccl_transfer_rank *who)
{
	return who->asked_count == 0 ||
	       (who->asked_count < PCCL_TRANSFER_WANTS_MAX && who->asked_bytes < PCCL_TRANSFER_WINDOW_BYTES);
}

/* Can another one than this be asked, who is not mute? */
static bool others_speak(const struct pccl_transfer *transfer, uint32_t but)
{
	uint32_t rank;

	for (rank = 0; rank < transfer->rank_count; rank++)
		if (rank != but && !transfer->ranks[rank].mute && may_ask(transfer, &transfer->ranks[rank]))
			return true;
	return false;
}

/* In turn, one chunk each, so that all have something to do. */
static void ask_in_turn(struct pccl_transfer *transfer)
{
	const bool mute_too = !others_speak(transfer, PCCL_NO_RANK);
	uint32_t idle = 0;

	while (transfer->unasked_count > 0 && idle < transfer->rank_count) {
		uint32_t rank = transfer->turn;
		const struct pccl_transfer_rank *who = &transfer->ranks[rank];

		transfer->turn = (rank + 1) % transfer->rank_count;
		if (!may_ask(transfer, who) || !has_room(who) || (who->mute && !mute_too)) {
			idle++;
			continue;
		}
		idle = 0;
		ask(transfer, rank, transfer->unasked[--transfer->unasked_count]);
	}
}

/* The want is not asked of this rank any more. */
static void remove_asked(struct pccl_transfer *transfer, uint32_t rank, uint32_t want)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];
	uint32_t index = 0;
	size_t bytes;

	(void)place_of(transfer, want, &bytes);
	while (index < who->asked_count && who->asked[index] != want)
		index++;
	assert(index < who->asked_count);
	if (index >= who->asked_count - who->untold)
		who->untold--;
	memmove(&who->asked[index], &who->asked[index + 1], (who->asked_count - index - 1) * sizeof(who->asked[0]));
	who->asked_count--;
	who->asked_bytes -= bytes;
}

/* May a chunk that was asked of one rank be asked of this one, which has nothing to do? It has delivered something
 * since, and the other one has not come to it; or it came late, and the other one has a lot to do. */
static bool may_steal(const struct pccl_transfer *transfer, uint32_t thief, uint32_t victim, uint32_t want)
{
	const struct pccl_transfer_rank *who = &transfer->ranks[thief], *other = &transfer->ranks[victim];

	if (transfer->wants[want].receiving > 0)
		return false;
	if (who->delivered == 0)
		return other->asked_count > 1 && other->asked_bytes > transfer->fetch->little_bytes;
	return who->delivered > transfer->wants[want].asked + transfer->fetch->little_bytes;
}

/* What the slow one still sends is thrown away. */
static void steal(struct pccl_transfer *transfer, uint32_t thief)
{
	uint32_t rank, index;

	for (rank = 0; rank < transfer->rank_count; rank++) {
		const struct pccl_transfer_rank *who = &transfer->ranks[rank];

		for (index = who->asked_count; rank != thief && index-- > 0;) {
			uint32_t want = who->asked[index];

			if (!may_steal(transfer, thief, rank, want))
				continue;
			remove_asked(transfer, rank, want);
			ask(transfer, thief, want);
			return;
		}
	}
}

void pccl_transfer_keep_busy(struct pccl_transfer *transfer, uint32_t rank)
{
	if (transfer->fetch != NULL && transfer->unasked_count == 0 && transfer->ranks[rank].asked_count == 0 &&
	    may_ask(transfer, &transfer->ranks[rank]))
		steal(transfer, rank);
}

void pccl_transfer_take_back(struct pccl_transfer *transfer, uint32_t rank)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];

	while (transfer->fetch != NULL && who->asked_count > 0) {
		uint32_t want = who->asked[who->asked_count - 1];

		transfer->wants[want].receiving = 0;
		transfer->wants[want].source = PCCL_NO_RANK;
		remove_asked(transfer, rank, want);
		transfer->unasked[transfer->unasked_count++] = want;
	}
}

/* But for what is being received from it, which must not come into what another one has sent. */
static void take_back_unbegun(struct pccl_transfer *transfer, uint32_t rank)
{
	const struct pccl_transfer_rank *who = &transfer->ranks[rank];
	uint32_t index;

	for (index = who->asked_count; index-- > 0;) {
		uint32_t want = who->asked[index];

		if (transfer->wants[want].receiving > 0)
			continue;
		transfer->wants[want].source = PCCL_NO_RANK;
		remove_asked(transfer, rank, want);
		transfer->unasked[transfer->unasked_count++] = want;
	}
}

/* ---- the end ------------------------------ */

/* Is there anybody in the view who has it, or may be about to say so? */
static pcclResult_t sources_left(const struct pccl_transfer *transfer)
{
	bool liars = false;
	uint32_t rank;

	if (transfer->fetch->patient)
		return pcclSuccess;

	for (rank = 0; rank < transfer->rank_count; rank++) {
		const struct pccl_transfer_rank *who = &transfer->ranks[rank];

		if (!may_ask(transfer, who) && !who->expected)
			continue;
		if (!who->liar)
			return pcclSuccess;
		liars = true;
	}
	return liars ? pcclNoSharedStateAvailable : pcclRankConnectionLost;
}

static void end_with(struct pccl_transfer *transfer, pcclResult_t result)
{
	const struct pccl_transfer_outcome outcome = {.event = PCCL_TRANSFER_FETCHED,
						      .result = result,
						      .rx_bytes = transfer->rx_bytes,
						      .wire_bytes = transfer->rx_wire_bytes,
						      .lied = transfer->lied,
						      .liar = transfer->liar};

	pccl_transfer_end_fetch(transfer);
	pccl_transfer_tell(transfer, &outcome);
}

void pccl_transfer_end_fetch(struct pccl_transfer *transfer)
{
	uint32_t rank;

	for (rank = 0; rank < transfer->rank_count; rank++) {
		transfer->ranks[rank].asked_count = 0;
		transfer->ranks[rank].untold = 0;
		transfer->ranks[rank].asked_bytes = 0;
	}
	pccl_free(transfer->wants);
	pccl_free(transfer->unasked);
	transfer->wants = NULL;
	transfer->unasked = NULL;
	transfer->unasked_count = 0;
	transfer->fetch = NULL;
}

static bool any_receiving(const struct pccl_transfer *transfer)
{
	uint32_t want;

	for (want = 0; want < transfer->want_count; want++)
		if (transfer->wants[want].receiving > 0)
			return true;
	return false;
}

void pccl_transfer_go_on(struct pccl_transfer *transfer)
{
	pcclResult_t result;

	if (transfer->fetch == NULL)
		return;
	if (transfer->done_count == transfer->want_count) {
		end_with(transfer, pcclSuccess);
		return;
	}
	result = sources_left(transfer);
	if (result != pcclSuccess) {
		/* Else a liar would write into it later. */
		if (!any_receiving(transfer))
			end_with(transfer, result);
		return;
	}
	ask_in_turn(transfer);
}

/* So little has come for so long that the rest had better come in another way. */
static bool has_lost_patience(struct pccl_transfer *transfer, uint64_t now_ns)
{
	uint64_t limit_ns = PCCL_TRANSFER_UNOFFERED_NS;
	uint32_t rank;

	if (transfer->fetch == NULL || !transfer->fetch->patient)
		return false;
	if (transfer->rank_count == 0)
		limit_ns = PCCL_TRANSFER_UNFED_NS; /* links take a while */
	else
		transfer->met_ns = now_ns;
	for (rank = 0; rank < transfer->rank_count; rank++)
		if (may_ask(transfer, &transfer->ranks[rank]))
			limit_ns = PCCL_TRANSFER_UNFED_NS;
	if (transfer->patience_ns == 0 ||
	    transfer->done_count > transfer->patience_done + transfer->want_count / PCCL_TRANSFER_LEAST_SHARE) {
		transfer->patience_ns = now_ns;
		transfer->patience_done = transfer->done_count;
	}
	if (transfer->met_ns != 0 && now_ns - transfer->met_ns >= PCCL_TRANSFER_UNOFFERED_NS)
		return true; /* all that were there are gone */
	return now_ns - transfer->patience_ns >= limit_ns;
}

void pccl_transfer_look(struct pccl_transfer *transfer, uint64_t now_ns)
{
	bool taken_back = false;
	uint32_t rank;

	if (has_lost_patience(transfer, now_ns)) {
		end_with(transfer, pcclNoSharedStateAvailable);
		return;
	}
	for (rank = 0; transfer->fetch != NULL && rank < transfer->rank_count; rank++) {
		struct pccl_transfer_rank *who = &transfer->ranks[rank];

		if (who->asked_count == 0)
			continue;
		if (who->waits_ns == 0)
			who->waits_ns = now_ns;
		if (now_ns - who->waits_ns < PCCL_TRANSFER_MUTE_NS || !others_speak(transfer, rank))
			continue;
		if (!who->mute)
			pccl_log_warn("rank %u offers its state and sends nothing: others are asked", rank);
		who->mute = taken_back = true;
		take_back_unbegun(transfer, rank);
	}
	if (taken_back)
		pccl_transfer_go_on(transfer);
}

void pccl_transfer_fetch(struct pccl_transfer *transfer, const struct pccl_fetch *fetch)
{
	uint32_t want;

	assert(transfer->open && transfer->fetch == NULL && transfer->config.lane < fetch->lanes);
	transfer->fetch = fetch;
	transfer->want_count = fetch->count > transfer->config.lane
				       ? (fetch->count - transfer->config.lane + fetch->lanes - 1) / fetch->lanes
				       : 0;
	transfer->done_count = 0;
	transfer->delivered = 0;
	for (want = 0; want < transfer->rank_count; want++)
		transfer->ranks[want].delivered = 0;
	transfer->rx_bytes = 0;
	transfer->rx_wire_bytes = 0;
	transfer->lied = false;
	transfer->patience_ns = 0;
	transfer->met_ns = 0;
	transfer->wants = pccl_calloc(transfer->want_count, sizeof(*transfer->wants));
	transfer->unasked = pccl_calloc(transfer->want_count, sizeof(*transfer->unasked));
	if (transfer->wants == NULL || transfer->unasked == NULL || !pccl_transfer_make_lossless(transfer)) {
		end_with(transfer, pcclOutOfMemory);
		return;
	}
	/* The first one on top. */
	for (want = 0; want < transfer->want_count; want++) {
		transfer->wants[want].source = PCCL_NO_RANK;
		transfer->unasked[transfer->want_count - 1 - want] = want;
	}
	transfer->unasked_count = transfer->want_count;
	pccl_transfer_mark_expected(transfer);
	pccl_transfer_go_on(transfer);
}

/* ---- frames ------------------------------ */

bool pccl_transfer_next_want(struct pccl_transfer *transfer, uint32_t rank, struct pccl_frame_send *send_out)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];

	if (who->untold == 0)
		return false;
	assert(transfer->fetch != NULL && who->untold <= who->asked_count);
	memset(send_out, 0, sizeof(*send_out));
	send_out->frame.type = PCCL_FRAME_WANT;
	send_out->frame.tag = transfer->sync;
	send_out->frame.sequence = transfer->fetch->space;
	send_out->frame.segment = chunk_of(transfer, who->asked[who->asked_count - who->untold]);
	who->untold--;
	return true;
}

/* The part that this frame carries is one that was asked of this rank. */
static bool is_awaited(const struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame,
		       uint32_t *want_out)
{
	return transfer->fetch != NULL && frame->tag == transfer->sync && frame->sequence == transfer->fetch->space &&
	       find_want(transfer, frame->segment, want_out) && transfer->wants[*want_out].source == rank &&
	       !is_done(transfer, *want_out);
}

static size_t part_bytes(size_t chunk_bytes, uint32_t part)
{
	size_t from = (size_t)part * PCCL_TRANSFER_PART_BYTES;

	return chunk_bytes - from < PCCL_TRANSFER_PART_BYTES ? chunk_bytes - from : PCCL_TRANSFER_PART_BYTES;
}

/* May a part of so many bytes come with the frame's? */
static bool can_be(const struct pccl_transfer *transfer, const struct pccl_frame *frame, size_t bytes)
{
	if ((frame->flags & PCCL_FRAME_PACKED) == 0)
		return frame->payload_bytes == bytes;
	return transfer->fetch->space == PCCL_STATE_CHUNKS && bytes >= PCCL_TRANSFER_PACKED_LEAST &&
	       frame->payload_bytes > 0 && frame->payload_bytes < bytes;
}

enum pccl_frame_verdict pccl_transfer_accept_part(struct pccl_transfer *transfer, uint32_t rank,
						  const struct pccl_frame *frame, void **destination_out)
{
	uint32_t want;
	size_t bytes, from;
	uint8_t *place;

	if (transfer->ranks[rank].liar || !is_awaited(transfer, rank, frame, &want))
		return PCCL_FRAME_DISCARD;
	place = place_of(transfer, want, &bytes);
	from = (size_t)frame->aux * PCCL_TRANSFER_PART_BYTES;
	if (frame->aux >= parts_of(bytes) || frame->epoch != 0 ||
	    (frame->flags & ~(PCCL_FRAME_UNCHECKED | PCCL_FRAME_PACKED)) != 0 ||
	    !can_be(transfer, frame, part_bytes(bytes, frame->aux))) {
		pccl_fail(pcclRankConnectionLost, "part %u of chunk %u with %u bytes, which can't be", frame->aux,
			  frame->segment, frame->payload_bytes);
		return PCCL_FRAME_REJECT;
	}
	if ((transfer->wants[want].parts >> frame->aux & 1) != 0)
		return PCCL_FRAME_DISCARD;
	transfer->wants[want].receiving++;
	transfer->fetch->progress[wanted_index(transfer, want)] = PCCL_FETCH_TOUCHED;
	*destination_out = place + from;
	return PCCL_FRAME_TAKE;
}

static void expose(struct pccl_transfer *transfer, uint32_t rank, uint32_t want, const char *how)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];

	pccl_log_warn("rank %u sent chunk %u of the state with bytes that %s", rank, chunk_of(transfer, want), how);
	who->liar = true;
	transfer->lied = true;
	transfer->liar = who->uuid;
}

static void take_chunk(struct pccl_transfer *transfer, uint32_t rank, uint32_t want)
{
	struct pccl_transfer_rank *who = &transfer->ranks[rank];
	const struct pccl_fetch *fetch = transfer->fetch;
	size_t bytes;
	const uint8_t *place = place_of(transfer, want, &bytes);

	if (fetch->space == PCCL_STATE_CHUNKS && !fetch->patient) {
		struct pccl_digest digest = pccl_digest_by(transfer->inventory->digest_kind, place, bytes);

		if (!pccl_digest_equal(&digest, &fetch->leaves[chunk_of(transfer, want)])) {
			expose(transfer, rank, want, "do not match its digest");
			return;
		}
	}
	remove_asked(transfer, rank, want);
	fetch->progress[wanted_index(transfer, want)] = PCCL_FETCH_DONE;
	transfer->done_count++;
	transfer->rx_bytes += bytes;
	transfer->delivered += bytes;
	who->delivered = transfer->delivered;
}

/* A part of a chunk of so many bytes is where it belongs. */
static void take_part(struct pccl_transfer *transfer, uint32_t rank, uint32_t want, const struct pccl_frame *frame)
{
	size_t bytes;
	uint8_t *place = place_of(transfer, want, &bytes) + (size_t)frame->aux * PCCL_TRANSFER_PART_BYTES;

	if (transfer->fetch->space == PCCL_STATE_CHUNKS)
		transfer->rx_wire_bytes += frame->payload_bytes;
	if ((frame->flags & PCCL_FRAME_PACKED) != 0 && !transfer->ranks[rank].liar &&
	    !pccl_transfer_unpack(transfer, chunk_of(transfer, want), place, frame->payload_bytes,
				  part_bytes(bytes, frame->aux)))
		expose(transfer, rank, want, "can't be unpacked");
	transfer->wants[want].parts |= (uint8_t)(1u << frame->aux);
	if (!transfer->ranks[rank].liar && transfer->wants[want].receiving == 0 &&
	    transfer->wants[want].parts == (1u << parts_of(bytes)) - 1)
		take_chunk(transfer, rank, want);
}

void pccl_transfer_received_part(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame)
{
	uint32_t want;

	if (!is_awaited(transfer, rank, frame, &want) || transfer->wants[want].receiving == 0)
		return;
	transfer->ranks[rank].mute = false;
	transfer->ranks[rank].waits_ns = 0;
	transfer->wants[want].receiving--;
	take_part(transfer, rank, want, frame);
	if (transfer->ranks[rank].liar)
		take_back_unbegun(transfer, rank);
	pccl_transfer_go_on(transfer);
	pccl_transfer_keep_busy(transfer, rank);
}

void pccl_transfer_dropped_part(struct pccl_transfer *transfer, uint32_t rank, const struct pccl_frame *frame)
{
	uint32_t want;

	if (!is_awaited(transfer, rank, frame, &want) || transfer->wants[want].receiving == 0)
		return;
	transfer->wants[want].receiving--;
	if (transfer->ranks[rank].liar) {
		take_back_unbegun(transfer, rank);
		pccl_transfer_go_on(transfer);
	}
}
