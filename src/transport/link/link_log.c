/* What a link's stream has sent and not seen acknowledged, and what it has to acknowledge itself. */
#include "transport/link/link_stream.h"

#include <assert.h>
#include <string.h>

/* An acknowledgement of its own is sent after this much, or PCCL_LINK_ACK_DELAY_NS, that no other
 * frame has acknowledged by the way. */
#define ACK_FRAMES 64u
#define ACK_BYTES (512u << 10)

static struct pccl_link_entry *entry_at(struct pccl_link_stream *ls, uint32_t count)
{
	return &ls->log[count % PCCL_LINK_LOG_FRAMES];
}

/* ---- frames sent --------------------------------------------------------------------------------------------- */

bool pccl_link_may_claim(const struct pccl_link_stream *ls, uint32_t claim, uint32_t limit)
{
	return claim - ls->claimed <= limit - ls->claimed;
}

bool pccl_link_pop(struct pccl_link_stream *ls)
{
	struct pccl_link *link = ls->link;
	struct pccl_guard guard;
	bool was_full = ls->logged - ls->acked == PCCL_LINK_LOG_FRAMES;

	/* A frame whose receiver threw it away may be acknowledged while it is still being sent: it stays until both
	 * are done. */
	while (ls->acked != ls->claimed && !entry_at(ls, ls->acked)->in_transport) {
		struct pccl_link_entry *entry = entry_at(ls, ls->acked++);
		void *token = entry->send.token;

		pccl_link_was_acked(ls, ls->acked - 1, entry->send.frame.payload_bytes);
		if (entry->forgotten || token == NULL)
			continue;
		pccl_guard_enter(&link->guard, &guard);
		link->events->acked(link->context, link, token);
		if (guard.gone)
			return false;
		pccl_guard_leave(&link->guard, &guard);
		if (link->lost)
			return true;
	}
	if (was_full && ls->logged - ls->acked < PCCL_LINK_LOG_FRAMES)
		pccl_loop_defer(link->config.loop, &link->hook);
	return true;
}

bool pccl_link_stream_checks(const struct pccl_link_stream *ls)
{
	pcclChecksums_t checksums = ls->link->config.checksums;
	bool is_safe = ls->is_local || (ls->stream != NULL && ls->stream->transport->seals);

	return checksums == pcclChecksumsOn || (checksums != pcclChecksumsOff && !is_safe);
}

/* Decided anew when a frame is sent again: the new connection may lead elsewhere. */
static void choose_checksum(const struct pccl_link_stream *ls, struct pccl_frame *frame)
{
	if (!pccl_frame_is_segment(frame) || pccl_link_stream_checks(ls))
		return;
	frame->flags |= PCCL_FRAME_UNCHECKED;
	frame->payload_crc = 0;
}

bool pccl_link_hand_over(struct pccl_link_stream *ls, const struct pccl_frame_send *send, void *token)
{
	struct pccl_frame frame = send->frame;

	frame.lane = (uint8_t)ls->link->config.lane;
	frame.received = ls->received;
	choose_checksum(ls, &frame);
	if (!ls->stream->transport->send(ls->stream, &frame, send->payload, token)) {
		ls->has_room = false;
		return false;
	}
	ls->reported = ls->received;
	ls->unreported_bytes = 0;
	return true;
}

/* ---- frames received ----------------------------------------------------------------------------------------- */

static bool owes_much(const struct pccl_link_stream *ls)
{
	return ls->received - ls->reported >= ACK_FRAMES || ls->unreported_bytes >= ACK_BYTES;
}

void pccl_link_count_received(struct pccl_link_stream *ls, uint32_t payload_bytes)
{
	struct pccl_loop *loop = ls->link->config.loop;

	ls->received++;
	ls->unreported_bytes += payload_bytes + PCCL_FRAME_BYTES;
	/* Put off to the end of the turn: an answer that the frame brings about acknowledges it by the way. */
	if (owes_much(ls))
		pccl_loop_defer(loop, &ls->link->hook);
	if (ls->ack_timer.when_ns == 0)
		pccl_loop_timer_set(loop, &ls->ack_timer, pccl_loop_now(loop) + PCCL_LINK_ACK_DELAY_NS);
}

void pccl_link_acknowledge(struct pccl_link_stream *ls, bool all)
{
	const struct pccl_frame_send ack = {.frame = {.type = PCCL_FRAME_ACK}};

	if (ls->state != PCCL_LINK_UP || ls->received == ls->reported || (!all && !owes_much(ls)))
		return;
	pccl_link_hand_over(ls, &ack, NULL); /* without room: room() tries again */
}

/* ---- frames taken back --------------------------------------------------------------------------------------- */

struct wanted {
	const void *cookie;
};

static bool has_cookie(const struct pccl_link_entry *entry, const void *cookie)
{
	return entry != NULL && !entry->forgotten && entry->send.cookie == cookie;
}

/* For the transport. What it has taken over already, and not begun to send, gives way to a placeholder, too. */
static bool replace(void *context, void *token, struct pccl_frame *frame)
{
	const struct wanted *wanted = context;
	struct pccl_frame placeholder = {.type = PCCL_FRAME_ACK, .flags = PCCL_FRAME_PLACEHOLDER};

	if (!has_cookie(token, wanted->cookie))
		return false;
	placeholder.lane = frame->lane;
	placeholder.received = frame->received;
	*frame = placeholder;
	return true;
}

void pccl_link_log_forget(struct pccl_link_stream *ls, const void *cookie)
{
	struct wanted wanted = {cookie};
	uint32_t count;

	if (ls->state == PCCL_LINK_UP)
		ls->stream->transport->forget(ls->stream, replace, &wanted);
	for (count = ls->acked; count != ls->logged; count++) {
		struct pccl_link_entry *entry = entry_at(ls, count);

		if (ls->cookies[count % PCCL_LINK_LOG_FRAMES] != cookie)
			continue;
		assert(has_cookie(entry, cookie) && !entry->in_transport);
		ls->cookies[count % PCCL_LINK_LOG_FRAMES] = NULL;
		pccl_link_took_back(ls, count, entry->send.frame.payload_bytes);
		memset(&entry->send, 0, sizeof(entry->send));
		entry->send.frame.type = PCCL_FRAME_ACK;
		entry->send.frame.flags = PCCL_FRAME_PLACEHOLDER;
		entry->forgotten = true;
	}
}
