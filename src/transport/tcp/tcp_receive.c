/*
 * The receiving half of a TCP stream. Large payloads go from the kernel straight to their destination; headers and
 * small payloads come through a small buffer, so that many of them cost one system call. Checksums are taken piece by
 * piece, while the bytes are in the cache.
 */
#include "transport/tcp/tcp_stream.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/crc32c.h"
#include "base/fail.h"

#define BYTES_PER_READ (256u << 10) /* so that the checksum finds the bytes in the cache */
#define BYTES_PER_TURN (512u << 10) /* then other streams, and sending, have their turn */
#define BYTES_PER_DISCARD (1u << 20)
#define SMALL_PAYLOAD_BYTES 4096u

static uint32_t buffered(const struct pccl_tcp_stream *tcp)
{
	return tcp->buffer_end - tcp->buffer_begin;
}

static uint32_t payload_left(const struct pccl_tcp_stream *tcp)
{
	return tcp->frame.payload_bytes - tcp->payload_got;
}

static uint32_t smaller(uint32_t left, uint32_t right)
{
	return left < right ? left : right;
}

/* ---- frames -------------------------------------------------------------------------------------------------- */

/* A frame is complete. False: the stream is gone, or not this thread's any more. */
static bool deliver(struct pccl_tcp_stream *tcp)
{
	struct pccl_guard guard;

	tcp->phase = PCCL_TCP_HEADER;
	if (tcp->payload_crc != tcp->frame.payload_crc) {
		char remote[PCCL_ADDRESS_PORT_BYTES];

		pccl_tcp_remote_text(tcp, remote);
		pccl_tcp_break(tcp, "damaged payload from %s: checksum %08x, announced %08x", remote, tcp->payload_crc,
			       tcp->frame.payload_crc);
		return false;
	}
	pccl_guard_enter(&tcp->guard, &guard);
	tcp->events->received(tcp->context, &tcp->base, &tcp->frame);
	if (guard.gone)
		return false;
	pccl_guard_leave(&tcp->guard, &guard);
	return true;
}

/* Does what the user said about the header. False: the stream is gone. */
static bool obey(struct pccl_tcp_stream *tcp, enum pccl_frame_verdict verdict, void *destination)
{
	tcp->payload_got = 0;
	tcp->payload_crc = 0;
	switch (verdict) {
	case PCCL_FRAME_TAKE:
		if (tcp->frame.payload_bytes == 0)
			return deliver(tcp);
		assert(destination != NULL);
		tcp->destination = destination;
		tcp->phase = PCCL_TCP_PAYLOAD;
		return true;
	case PCCL_FRAME_DISCARD:
		tcp->phase = tcp->frame.payload_bytes == 0 ? PCCL_TCP_HEADER : PCCL_TCP_BIN;
		return true;
	case PCCL_FRAME_HOLD:
		tcp->phase = PCCL_TCP_HELD;
		return true;
	case PCCL_FRAME_REJECT:
		pccl_tcp_break(tcp, "%s", pccl_fail_text());
		return false;
	}
	assert(false);
	return false;
}

/* Asks the user about the frame. False: the stream is gone. */
static bool ask(struct pccl_tcp_stream *tcp)
{
	enum pccl_frame_verdict verdict;
	struct pccl_guard guard;
	void *destination = NULL;

	pccl_guard_enter(&tcp->guard, &guard);
	verdict = tcp->events->header(tcp->context, &tcp->base, &tcp->frame, &destination);
	if (guard.gone)
		return false;
	pccl_guard_leave(&tcp->guard, &guard);
	return obey(tcp, verdict, destination);
}

/* Large frames: read no further than the next header. Small ones: the more of them in a row, the further. */
static void adapt_window(struct pccl_tcp_stream *tcp)
{
	if (tcp->frame.payload_bytes > SMALL_PAYLOAD_BYTES)
		tcp->window = PCCL_FRAME_BYTES;
	else
		tcp->window = smaller(tcp->window * 4, PCCL_TCP_BUFFER_BYTES);
}

static bool take_header(struct pccl_tcp_stream *tcp)
{
	const uint8_t *header = tcp->buffer + tcp->buffer_begin;

	tcp->buffer_begin += PCCL_FRAME_BYTES;
	if (pccl_frame_decode(header, &tcp->frame) != pcclSuccess) {
		char remote[PCCL_ADDRESS_PORT_BYTES];

		pccl_tcp_remote_text(tcp, remote);
		pccl_tcp_break(tcp, "from %s: %s", remote, pccl_fail_text());
		return false;
	}
	adapt_window(tcp);
	return ask(tcp);
}

/* Counts payload bytes that are in place. False: the stream is gone. */
static bool take_payload(struct pccl_tcp_stream *tcp, uint32_t bytes)
{
	if (pccl_frame_is_checked(&tcp->frame))
		tcp->payload_crc = pccl_crc32c(tcp->payload_crc, tcp->destination + tcp->payload_got, bytes);
	tcp->payload_got += bytes;
	return payload_left(tcp) > 0 || deliver(tcp);
}

static void skip_payload(struct pccl_tcp_stream *tcp, uint32_t bytes)
{
	tcp->payload_got += bytes;
	if (payload_left(tcp) == 0)
		tcp->phase = PCCL_TCP_HEADER;
}

/* Moves on through what is buffered, as far as it goes. False: the stream is gone. */
static bool digest(struct pccl_tcp_stream *tcp)
{
	for (;;) {
		uint32_t bytes = buffered(tcp);

		switch (tcp->phase) {
		case PCCL_TCP_HEADER:
			if (bytes < PCCL_FRAME_BYTES)
				return true;
			if (!take_header(tcp))
				return false;
			break;
		case PCCL_TCP_PAYLOAD:
			if (bytes == 0)
				return true;
			bytes = smaller(bytes, payload_left(tcp));
			memcpy(tcp->destination + tcp->payload_got, tcp->buffer + tcp->buffer_begin, bytes);
			tcp->buffer_begin += bytes;
			if (!take_payload(tcp, bytes))
				return false;
			break;
		case PCCL_TCP_BIN:
			if (bytes == 0)
				return true;
			bytes = smaller(bytes, payload_left(tcp));
			tcp->buffer_begin += bytes;
			skip_payload(tcp, bytes);
			break;
		case PCCL_TCP_HELD:
			return true;
		}
	}
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* Where the next bytes go: the rest of the payload, then the buffer. Returns how many fit. */
static size_t plan_read(struct pccl_tcp_stream *tcp, struct iovec *parts, size_t *part_count_out)
{
	uint32_t kept = buffered(tcp);
	uint32_t direct = 0;
	size_t count = 0;

	assert(kept < PCCL_FRAME_BYTES);
	memmove(tcp->buffer, tcp->buffer + tcp->buffer_begin, kept);
	tcp->buffer_begin = 0;
	tcp->buffer_end = kept;
	if (tcp->phase == PCCL_TCP_PAYLOAD) {
		direct = smaller(payload_left(tcp), BYTES_PER_READ);
		parts[count].iov_base = tcp->destination + tcp->payload_got;
		parts[count++].iov_len = direct;
	}
	*part_count_out = count;
	if (tcp->phase == PCCL_TCP_PAYLOAD && direct < payload_left(tcp))
		return direct;
	parts[count].iov_base = tcp->buffer + kept;
	parts[count].iov_len = tcp->window > kept ? tcp->window - kept : PCCL_FRAME_BYTES - kept;
	*part_count_out = count + 1;
	return direct + parts[count].iov_len;
}

/* One system call. *asked_out: how much would have fitted. As recv(2). */
static ssize_t read_once(struct pccl_tcp_stream *tcp, size_t *asked_out)
{
	struct iovec parts[2];
	struct msghdr message = {.msg_iov = parts};
	ssize_t got;

	if (tcp->phase == PCCL_TCP_BIN) {
		*asked_out = smaller(payload_left(tcp), BYTES_PER_DISCARD);
		return pccl_tcp_discard(tcp->watch.fd, *asked_out);
	}
	*asked_out = plan_read(tcp, parts, &message.msg_iovlen);
	do
		got = recvmsg(tcp->watch.fd, &message, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	return got;
}

/* Accounts for bytes that read_once() got. False: the stream is gone. */
static bool take_bytes(struct pccl_tcp_stream *tcp, uint32_t bytes)
{
	tcp->counters.received_bytes += bytes;
	tcp->counters.heard_ns = pccl_loop_now(tcp->loop);
	if (tcp->phase == PCCL_TCP_BIN) {
		skip_payload(tcp, bytes);
		return true;
	}
	if (tcp->phase == PCCL_TCP_PAYLOAD) {
		uint32_t direct = smaller(bytes, payload_left(tcp));

		tcp->buffer_end += bytes - direct;
		if (!take_payload(tcp, direct))
			return false;
		return digest(tcp);
	}
	tcp->buffer_end += bytes;
	return digest(tcp);
}

static void on_end(struct pccl_tcp_stream *tcp)
{
	bool between = tcp->phase == PCCL_TCP_HEADER && buffered(tcp) == 0;
	char remote[PCCL_ADDRESS_PORT_BYTES];

	if (tcp->write_error != 0 && tcp->write_error != EPIPE) {
		pccl_tcp_break_lost(tcp, tcp->write_error);
		return;
	}
	pccl_tcp_remote_text(tcp, remote);
	pccl_tcp_break(tcp, "connection closed by %s%s", remote, between ? "" : " in the middle of a frame");
}

/* What recv(2) failed with. */
static void on_read_error(struct pccl_tcp_stream *tcp, int error)
{
	bool nothing_there = error == EAGAIN || error == EWOULDBLOCK;

	tcp->readable = false;
	if (!nothing_there)
		pccl_tcp_break_lost(tcp, error);
	else if (tcp->write_error != 0)
		pccl_tcp_break_lost(tcp, tcp->write_error);
}

void pccl_tcp_receive(struct pccl_tcp_stream *tcp)
{
	uint64_t start_bytes = tcp->counters.received_bytes;

	/* A stream that has changed hands, or was held, may have whole frames in its buffer. */
	if (!digest(tcp))
		return;
	while (tcp->state == PCCL_TCP_OPEN && tcp->readable && tcp->phase != PCCL_TCP_HELD) {
		size_t asked;
		ssize_t got;

		if (tcp->counters.received_bytes - start_bytes >= BYTES_PER_TURN) {
			pccl_loop_defer(tcp->loop, &tcp->read_hook);
			return;
		}
		got = read_once(tcp, &asked);
		if (got == 0) {
			on_end(tcp);
			return;
		}
		if (got < 0) {
			on_read_error(tcp, errno);
			return;
		}
		/* Less than asked: the kernel has no more for now. But the end of a connection is only seen by reading
		 * on. */
		tcp->readable = tcp->read_to_end || (size_t)got == asked;
		if (!take_bytes(tcp, (uint32_t)got))
			return;
	}
}

void pccl_tcp_read_hook(struct pccl_hook *hook)
{
	struct pccl_tcp_stream *tcp = hook->context;

	if (tcp->state != PCCL_TCP_OPEN)
		return;
	if (tcp->phase == PCCL_TCP_HELD && !ask(tcp))
		return;
	pccl_tcp_receive(tcp);
}

void pccl_tcp_resume(struct pccl_stream *stream)
{
	struct pccl_tcp_stream *tcp = (struct pccl_tcp_stream *)stream;

	if (tcp->state == PCCL_TCP_OPEN && tcp->phase == PCCL_TCP_HELD)
		pccl_loop_defer(tcp->loop, &tcp->read_hook);
}

bool pccl_tcp_divert(struct pccl_stream *stream, struct pccl_frame *frame_out)
{
	struct pccl_tcp_stream *tcp = (struct pccl_tcp_stream *)stream;

	if (tcp->state != PCCL_TCP_OPEN || tcp->phase != PCCL_TCP_PAYLOAD)
		return false;
	*frame_out = tcp->frame;
	tcp->phase = PCCL_TCP_BIN;
	return true;
}
