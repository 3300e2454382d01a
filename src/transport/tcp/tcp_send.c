/* The sending half of a TCP stream: a ring of frames, written many at a time at the end of the loop's turn. */
#include "transport/tcp/tcp_stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/crc32c.h"
#include "base/memory.h"

#define FRAMES_PER_WRITE 16
/* The checksum is taken just before the kernel copies the same bytes: together they must fit the second-level cache. */
#define BYTES_PER_WRITE (256u << 10)
#define BYTES_PER_TURN (512u << 10) /* then reading has its turn: both ways at once is fastest in small steps */

static struct pccl_tcp_stream *as_tcp(struct pccl_stream *stream)
{
	return (struct pccl_tcp_stream *)stream;
}

static struct pccl_tcp_outgoing *queued(struct pccl_tcp_stream *tcp, uint32_t index)
{
	return &tcp->queue[(tcp->queue_head + index) % PCCL_TCP_QUEUE_FRAMES];
}

static size_t frame_bytes(const struct pccl_tcp_outgoing *outgoing)
{
	return PCCL_FRAME_BYTES + (size_t)outgoing->frame.payload_bytes;
}

bool pccl_tcp_has_room(const struct pccl_tcp_stream *tcp)
{
	return tcp->queue_count < PCCL_TCP_QUEUE_FRAMES && tcp->queued_bytes < PCCL_TCP_QUEUE_BYTES;
}

bool pccl_tcp_send(struct pccl_stream *stream, const struct pccl_frame *frame, const void *payload,
		   struct pccl_memory *memory, void *token)
{
	struct pccl_tcp_stream *tcp = as_tcp(stream);
	struct pccl_tcp_outgoing *outgoing;

	assert(memory == NULL);
	assert(frame->payload_bytes == 0 || payload != NULL);
	assert(tcp->state != PCCL_TCP_DETACHED && tcp->state != PCCL_TCP_LINGERING);
	if (tcp->state != PCCL_TCP_OPEN)
		return false;
	if (!pccl_tcp_has_room(tcp)) {
		tcp->room_wanted = true;
		return false;
	}
	outgoing = queued(tcp, tcp->queue_count++);
	outgoing->frame = *frame;
	outgoing->payload = payload;
	outgoing->copy = NULL;
	outgoing->token = token;
	outgoing->sealed = false;
	outgoing->completed = false;
	tcp->queued_bytes += frame_bytes(outgoing);
	if (tcp->writable)
		pccl_loop_defer(tcp->loop, &tcp->write_hook);
	return true;
}

/* ---- completion ---------------------------------------------------------------------------------------------- */

/* False: the stream is gone. */
static bool complete(struct pccl_tcp_stream *tcp, struct pccl_tcp_outgoing *outgoing)
{
	struct pccl_guard guard;

	if (outgoing->completed)
		return true;
	outgoing->completed = true;
	pccl_guard_enter(&tcp->guard, &guard);
	tcp->events->sent(tcp->context, &tcp->base, outgoing->token);
	if (guard.gone)
		return false;
	pccl_guard_leave(&tcp->guard, &guard);
	return true;
}

bool pccl_tcp_complete_all(struct pccl_tcp_stream *tcp)
{
	uint32_t i;

	for (i = 0; i < tcp->queue_count; i++)
		if (!complete(tcp, queued(tcp, i)))
			return false;
	return true;
}

void pccl_tcp_drop_queue(struct pccl_tcp_stream *tcp)
{
	uint32_t i;

	for (i = 0; i < tcp->queue_count; i++)
		pccl_free(queued(tcp, i)->copy);
	tcp->queue_count = 0;
	tcp->written_count = 0;
	tcp->part_written = 0;
	tcp->queued_bytes = 0;
}

/* ---- private copies ------------------------------------------------------------------------------------------ */

/* The copy has the payload's layout, but only the part that is not written yet is filled in. */
static bool own_payload(struct pccl_tcp_outgoing *outgoing, size_t written)
{
	size_t skip = written > PCCL_FRAME_BYTES ? written - PCCL_FRAME_BYTES : 0;

	if (outgoing->copy != NULL || outgoing->frame.payload_bytes == 0)
		return true;
	outgoing->copy = pccl_alloc(outgoing->frame.payload_bytes);
	if (outgoing->copy == NULL)
		return false;
	memcpy(outgoing->copy + skip, outgoing->payload + skip, outgoing->frame.payload_bytes - skip);
	outgoing->payload = outgoing->copy;
	return true;
}

bool pccl_tcp_own_payloads(struct pccl_tcp_stream *tcp)
{
	uint32_t i;

	for (i = tcp->written_count; i < tcp->queue_count; i++)
		if (!own_payload(queued(tcp, i), i == tcp->written_count ? tcp->part_written : 0))
			return false;
	return true;
}

static void make_placeholder(struct pccl_tcp_stream *tcp, struct pccl_tcp_outgoing *outgoing)
{
	struct pccl_frame placeholder = {.type = PCCL_FRAME_ACK, .flags = PCCL_FRAME_PLACEHOLDER};

	placeholder.lane = outgoing->frame.lane;
	placeholder.received = outgoing->frame.received;
	tcp->queued_bytes -= outgoing->frame.payload_bytes;
	outgoing->frame = placeholder;
	outgoing->payload = NULL;
	outgoing->sealed = false;
}

/* Makes a frame independent of its payload. */
static void take_back(struct pccl_tcp_stream *tcp, uint32_t index)
{
	struct pccl_tcp_outgoing *outgoing = queued(tcp, index);

	if (index < tcp->written_count)
		return;
	if (index > tcp->written_count || tcp->part_written == 0) {
		make_placeholder(tcp, outgoing);
	} else if (!own_payload(outgoing, tcp->part_written)) {
		/* The frame can't be finished, so the stream can't go on. */
		outgoing->payload = NULL;
		tcp->writable = false;
		pccl_tcp_doom(tcp, "out of memory for the rest of a frame that was taken back");
	}
}

void pccl_tcp_forget(struct pccl_stream *stream, bool (*match)(void *context, void *token), void *context)
{
	struct pccl_tcp_stream *tcp = as_tcp(stream);
	uint32_t i;

	for (i = 0; i < tcp->queue_count; i++) {
		struct pccl_tcp_outgoing *outgoing = queued(tcp, i);

		if (outgoing->completed || !match(context, outgoing->token))
			continue;
		take_back(tcp, i);
		if (!complete(tcp, outgoing))
			return;
	}
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void seal(struct pccl_tcp_outgoing *outgoing)
{
	if (outgoing->sealed)
		return;
	if (outgoing->frame.payload_bytes > 0 && outgoing->frame.payload_crc == 0 &&
	    pccl_frame_is_checked(&outgoing->frame))
		outgoing->frame.payload_crc = pccl_crc32c(0, outgoing->payload, outgoing->frame.payload_bytes);
	pccl_frame_encode(&outgoing->frame, outgoing->header);
	outgoing->sealed = true;
}

/* For struct iovec, which knows no const; sendmsg() only reads. */
static void *without_const(const uint8_t *start)
{
	union {
		const uint8_t *from;
		void *to;
	} both = {start};

	return both.to;
}

static void add_part(struct iovec *parts, size_t *count, const uint8_t *start, size_t bytes, size_t *skip)
{
	if (*skip >= bytes) {
		*skip -= bytes;
		return;
	}
	parts[*count].iov_base = without_const(start + *skip);
	parts[*count].iov_len = bytes - *skip;
	++*count;
	*skip = 0;
}

/* Collects the unwritten parts of the oldest frames. Returns their bytes. */
static size_t gather(struct pccl_tcp_stream *tcp, struct iovec *parts, size_t *part_count_out)
{
	size_t skip = tcp->part_written;
	size_t bytes = 0;
	uint32_t i;

	*part_count_out = 0;
	for (i = tcp->written_count; i < tcp->queue_count && bytes < BYTES_PER_WRITE; i++) {
		struct pccl_tcp_outgoing *outgoing = queued(tcp, i);

		if (i == tcp->written_count + FRAMES_PER_WRITE)
			break;
		seal(outgoing);
		bytes += frame_bytes(outgoing) - skip;
		add_part(parts, part_count_out, outgoing->header, PCCL_FRAME_BYTES, &skip);
		if (outgoing->frame.payload_bytes != 0)
			add_part(parts, part_count_out, outgoing->payload, outgoing->frame.payload_bytes, &skip);
	}
	return bytes;
}

/* Counts what the kernel has taken. */
static void advance(struct pccl_tcp_stream *tcp, size_t bytes)
{
	tcp->counters.sent_bytes += bytes;
	tcp->queued_bytes -= bytes;
	tcp->part_written += bytes;
	while (tcp->written_count < tcp->queue_count) {
		size_t next_bytes = frame_bytes(queued(tcp, tcp->written_count));

		if (tcp->part_written < next_bytes)
			return;
		tcp->part_written -= next_bytes;
		tcp->written_count++;
	}
	assert(tcp->part_written == 0);
}

/* One system call. False with errno: it failed. */
static bool write_once(struct pccl_tcp_stream *tcp)
{
	struct iovec parts[2 * FRAMES_PER_WRITE];
	struct msghdr message = {.msg_iov = parts};
	size_t asked = gather(tcp, parts, &message.msg_iovlen);
	ssize_t written;

	do
		written = sendmsg(tcp->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (written < 0 && errno == EINTR);
	if (written < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		return false;
	if (written > 0)
		advance(tcp, (size_t)written);
	/* Less than asked: the kernel's buffer is full, and the loop tells when there is room again. */
	tcp->writable = written == (ssize_t)asked;
	return true;
}

static void pop_head(struct pccl_tcp_stream *tcp)
{
	struct pccl_tcp_outgoing *outgoing = queued(tcp, 0);

	assert(tcp->written_count > 0);
	assert(outgoing->completed);
	pccl_free(outgoing->copy);
	outgoing->copy = NULL;
	tcp->queue_head = (tcp->queue_head + 1) % PCCL_TCP_QUEUE_FRAMES;
	tcp->queue_count--;
	tcp->written_count--;
}

bool pccl_tcp_write(struct pccl_tcp_stream *tcp, bool all)
{
	while (tcp->writable && tcp->queue_count > tcp->written_count) {
		if (!write_once(tcp))
			return false;
		if (!all)
			break;
	}
	while (tcp->written_count > 0 && queued(tcp, 0)->completed)
		pop_head(tcp);
	return true;
}

/* Calls sent() for what is written and room() if that was asked for. False: the stream is gone. */
static bool tell_progress(struct pccl_tcp_stream *tcp)
{
	struct pccl_guard guard;

	while (tcp->written_count > 0) {
		if (!complete(tcp, queued(tcp, 0)))
			return false;
		pop_head(tcp);
	}
	if (!tcp->room_wanted || !pccl_tcp_has_room(tcp))
		return true;
	tcp->room_wanted = false;
	pccl_guard_enter(&tcp->guard, &guard);
	tcp->events->room(tcp->context, &tcp->base);
	if (guard.gone)
		return false;
	pccl_guard_leave(&tcp->guard, &guard);
	return true;
}

/* A connection that the other side has ended may still hold its last words: they are read before it counts as broken.
 */
static void on_write_error(struct pccl_tcp_stream *tcp, int error)
{
	tcp->write_error = error;
	tcp->writable = false;
	if (tcp->phase == PCCL_TCP_HELD) {
		pccl_tcp_break_lost(tcp, error);
		return;
	}
	tcp->readable = tcp->read_to_end = true;
	pccl_loop_defer(tcp->loop, &tcp->read_hook);
}

void pccl_tcp_write_hook(struct pccl_hook *hook)
{
	struct pccl_tcp_stream *tcp = hook->context;
	uint64_t start_bytes = tcp->counters.sent_bytes;

	if (tcp->doom[0] != '\0') {
		pccl_tcp_break(tcp, "%s", tcp->doom);
		return;
	}
	assert(tcp->state == PCCL_TCP_OPEN);
	while (tcp->queue_count > 0 && tcp->writable) {
		if (tcp->counters.sent_bytes - start_bytes >= BYTES_PER_TURN) {
			pccl_loop_defer(tcp->loop, &tcp->write_hook);
			return;
		}
		if (!pccl_tcp_write(tcp, false)) {
			on_write_error(tcp, errno);
			return;
		}
		if (!tell_progress(tcp))
			return;
	}
}
