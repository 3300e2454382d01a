/*
 * The receiving half of an engine. Large payloads go from the kernel straight to their destination; headers and
 * small payloads come through a small buffer, so that many of them cost one system call. Checksums are taken piece by
 * piece, while the bytes are in the cache.
 */
#include "transport/engine/engine_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/fail.h"

#define BYTES_PER_READ (256u << 10) /* so that the checksum finds the bytes in the cache */
#define BYTES_PER_TURN (512u << 10) /* then other streams, and sending, have their turn */
#define BYTES_PER_DISCARD (1u << 20)
#define SMALL_PAYLOAD_BYTES 4096u
/* Where a header is due, at least: a read that gets less has got all there was, and needs no other to see that. */
#define HEADER_READ_BYTES (4 * PCCL_FRAME_BYTES)
/* Past a large payload: the next header, and a little, for the same reason. */
#define BEHIND_READ_BYTES (PCCL_FRAME_BYTES + 64)

static uint32_t buffered(const struct pccl_engine *engine)
{
	return engine->buffer_end - engine->buffer_begin;
}

static uint32_t payload_left(const struct pccl_engine *engine)
{
	return engine->frame.payload_bytes - engine->payload_got;
}

static uint32_t smaller(uint32_t left, uint32_t right)
{
	return left < right ? left : right;
}

static void break_in_words(struct pccl_engine *engine)
{
	char remote[PCCL_ADDRESS_PORT_BYTES];

	pccl_engine_remote_text(engine, remote);
	pccl_engine_break(engine, "from %s: %s", remote, pccl_fail_text());
}

/* ---- frames -------------------------------------------------------------------------------------------------- */

/* A frame is complete. False: the stream is gone, or not this thread's any more. */
static bool deliver(struct pccl_engine *engine)
{
	struct pccl_guard guard;

	engine->phase = PCCL_ENGINE_HEADER;
	if (engine->payload_crc != engine->frame.payload_crc) {
		char remote[PCCL_ADDRESS_PORT_BYTES];

		pccl_engine_remote_text(engine, remote);
		pccl_engine_break(engine, "damaged payload from %s: checksum %08x, announced %08x", remote,
				  engine->payload_crc, engine->frame.payload_crc);
		return false;
	}
	pccl_guard_enter(&engine->guard, &guard);
	engine->events->received(engine->context, &engine->base, &engine->frame);
	if (guard.gone)
		return false;
	pccl_guard_leave(&engine->guard, &guard);
	return true;
}

/* Does what the user said about the header. False: the stream is gone. */
static bool obey(struct pccl_engine *engine, enum pccl_frame_verdict verdict, void *destination)
{
	engine->payload_got = 0;
	engine->payload_crc = 0;
	switch (verdict) {
	case PCCL_FRAME_TAKE:
		if (engine->frame.payload_bytes == 0)
			return deliver(engine);
		assert(destination != NULL);
		engine->destination = destination;
		engine->phase = PCCL_ENGINE_PAYLOAD;
		return true;
	case PCCL_FRAME_DISCARD:
		engine->phase = engine->frame.payload_bytes == 0 ? PCCL_ENGINE_HEADER : PCCL_ENGINE_BIN;
		return true;
	case PCCL_FRAME_HOLD:
		engine->phase = PCCL_ENGINE_HELD;
		return true;
	case PCCL_FRAME_REJECT:
		pccl_engine_break(engine, "%s", pccl_fail_text());
		return false;
	}
	assert(false);
	return false;
}

/* Asks the user about the frame. False: the stream is gone. */
static bool ask(struct pccl_engine *engine)
{
	enum pccl_frame_verdict verdict;
	struct pccl_guard guard;
	void *destination = NULL;

	pccl_guard_enter(&engine->guard, &guard);
	verdict = engine->events->header(engine->context, &engine->base, &engine->frame, &destination);
	if (guard.gone)
		return false;
	pccl_guard_leave(&engine->guard, &guard);
	return obey(engine, verdict, destination);
}

/* Large frames: read hardly further than the next header. Small ones: the more of them in a row, the further. */
static void adapt_window(struct pccl_engine *engine)
{
	if (engine->frame.payload_bytes > SMALL_PAYLOAD_BYTES)
		engine->window = BEHIND_READ_BYTES;
	else
		engine->window = smaller(engine->window * 4, PCCL_ENGINE_BUFFER_BYTES);
}

/* Who speaks another version, or TLS, is told this one, by a header of it, for its words. If there is no room for that,
 * then not. */
static void tell_version(struct pccl_engine *engine)
{
	const struct pccl_frame frame = {.type = PCCL_FRAME_WELCOME};
	uint8_t header[PCCL_FRAME_BYTES];
	struct iovec part = {header, sizeof(header)};
	bool more;

	if (engine->queue_count > 0)
		return; /* perhaps in the middle of a frame */
	pccl_frame_encode(&frame, header);
	(void)engine->bytes->write(engine->bytes_state, engine->watch.fd, &part, 1, &more);
}

static bool take_header(struct pccl_engine *engine)
{
	const uint8_t *header = engine->buffer + engine->buffer_begin;

	engine->buffer_begin += PCCL_FRAME_BYTES;
	if (pccl_frame_decode(header, &engine->frame) != pcclSuccess) {
		engine->base.unfit = pccl_frame_is_tls(header, PCCL_FRAME_BYTES);
		if (engine->base.unfit || pccl_frame_is_of_other_version(header))
			tell_version(engine);
		break_in_words(engine);
		return false;
	}
	adapt_window(engine);
	return ask(engine);
}

/* Counts payload bytes that are in place. False: the stream is gone. */
static bool take_payload(struct pccl_engine *engine, uint32_t bytes)
{
	if (pccl_frame_is_checked(&engine->frame))
		engine->payload_crc =
			pccl_crc32c(engine->payload_crc, engine->destination + engine->payload_got, bytes);
	engine->payload_got += bytes;
	return payload_left(engine) > 0 || deliver(engine);
}

static void skip_payload(struct pccl_engine *engine, uint32_t bytes)
{
	engine->payload_got += bytes;
	if (payload_left(engine) == 0)
		engine->phase = PCCL_ENGINE_HEADER;
}

/* Moves on through what is buffered, as far as it goes. False: the stream is gone. */
static bool digest(struct pccl_engine *engine)
{
	for (;;) {
		uint32_t bytes = buffered(engine);

		switch (engine->phase) {
		case PCCL_ENGINE_HEADER:
			if (bytes < PCCL_FRAME_BYTES)
				return true;
			if (!take_header(engine))
				return false;
			break;
		case PCCL_ENGINE_PAYLOAD:
			if (bytes == 0)
				return true;
			bytes = smaller(bytes, payload_left(engine));
			memcpy(engine->destination + engine->payload_got, engine->buffer + engine->buffer_begin, bytes);
			engine->buffer_begin += bytes;
			if (!take_payload(engine, bytes))
				return false;
			break;
		case PCCL_ENGINE_BIN:
			if (bytes == 0)
				return true;
			bytes = smaller(bytes, payload_left(engine));
			engine->buffer_begin += bytes;
			skip_payload(engine, bytes);
			break;
		case PCCL_ENGINE_HELD:
			return true;
		}
	}
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

/* Where the next bytes go: the rest of the payload, then the buffer. Returns how many parts that are. */
static size_t plan_read(struct pccl_engine *engine, struct iovec parts[2])
{
	uint32_t kept = buffered(engine), window = engine->window;
	uint32_t direct = 0;
	size_t count = 0;

	assert(kept < PCCL_FRAME_BYTES);
	memmove(engine->buffer, engine->buffer + engine->buffer_begin, kept);
	engine->buffer_begin = 0;
	engine->buffer_end = kept;
	if (engine->phase == PCCL_ENGINE_PAYLOAD) {
		direct = smaller(payload_left(engine), BYTES_PER_READ);
		parts[count].iov_base = engine->destination + engine->payload_got;
		parts[count++].iov_len = direct;
		if (direct < payload_left(engine))
			return count;
	} else if (window < HEADER_READ_BYTES) {
		window = HEADER_READ_BYTES;
	}
	parts[count].iov_base = engine->buffer + kept;
	parts[count].iov_len = window > kept ? window - kept : PCCL_FRAME_BYTES - kept;
	return count + 1;
}

/* One call of the bytes' read() or discard(). */
static ssize_t read_once(struct pccl_engine *engine, bool *more_out)
{
	const struct pccl_byte_calls *bytes = engine->bytes;
	struct iovec parts[2];
	size_t part_count;

	if (engine->phase == PCCL_ENGINE_BIN)
		return bytes->discard(engine->bytes_state, engine->watch.fd,
				      smaller(payload_left(engine), BYTES_PER_DISCARD), more_out);
	part_count = plan_read(engine, parts);
	return bytes->read(engine->bytes_state, engine->watch.fd, parts, part_count, more_out);
}

/* Accounts for bytes that read_once() got. False: the stream is gone. */
static bool take_bytes(struct pccl_engine *engine, uint32_t bytes)
{
	engine->counters.received_bytes += bytes;
	engine->counters.heard_ns = pccl_loop_now(engine->loop);
	if (engine->phase == PCCL_ENGINE_BIN) {
		skip_payload(engine, bytes);
		return true;
	}
	if (engine->phase == PCCL_ENGINE_PAYLOAD) {
		uint32_t direct = smaller(bytes, payload_left(engine));

		engine->buffer_end += bytes - direct;
		if (!take_payload(engine, direct))
			return false;
		return digest(engine);
	}
	engine->buffer_end += bytes;
	return digest(engine);
}

static void on_end(struct pccl_engine *engine)
{
	bool between = engine->phase == PCCL_ENGINE_HEADER && buffered(engine) == 0;
	char remote[PCCL_ADDRESS_PORT_BYTES];

	if (engine->write_error != 0 && engine->write_error != EPIPE) {
		pccl_engine_break_lost(engine, engine->write_error);
		return;
	}
	pccl_engine_remote_text(engine, remote);
	engine->base.unfit = engine->phase == PCCL_ENGINE_HEADER &&
			     pccl_frame_is_tls(engine->buffer + engine->buffer_begin, buffered(engine));
	if (engine->base.unfit)
		pccl_engine_break(engine, "from %s: %s", remote, PCCL_FRAME_TLS_WORDS);
	else
		pccl_engine_break(engine, "connection closed by %s%s", remote,
				  between ? "" : " in the middle of a frame");
}

/* What read() failed with. */
static void on_read_error(struct pccl_engine *engine, int error)
{
	bool nothing_there = error == EAGAIN || error == EWOULDBLOCK;

	engine->readable = false;
	engine->base.unfit = error == EPROTO && engine->counters.received_bytes == 0; /* its first word was a refusal */
	if (error == EPROTO)
		break_in_words(engine);
	else if (!nothing_there)
		pccl_engine_break_lost(engine, error);
	else if (engine->write_error != 0)
		pccl_engine_break_lost(engine, engine->write_error);
}

/* What was received may have been unpacked at once, which takes long where the processor is slow or busy. */
static bool has_had_its_turn(const struct pccl_engine *engine, uint64_t received_bytes)
{
	return received_bytes >= BYTES_PER_TURN || (received_bytes > 0 && pccl_loop_is_long(engine->loop));
}

void pccl_engine_receive(struct pccl_engine *engine)
{
	uint64_t start_bytes = engine->counters.received_bytes;

	/* A stream that has changed hands, or was held, may have whole frames in its buffer. */
	if (!digest(engine))
		return;
	while (engine->state == PCCL_ENGINE_OPEN && engine->readable && engine->phase != PCCL_ENGINE_HELD) {
		bool more;
		ssize_t got;

		if (has_had_its_turn(engine, engine->counters.received_bytes - start_bytes)) {
			pccl_loop_defer(engine->loop, &engine->read_hook);
			return;
		}
		got = read_once(engine, &more);
		if (got == 0) {
			on_end(engine);
			return;
		}
		if (got < 0) {
			on_read_error(engine, errno);
			return;
		}
		/* The end of a connection is only seen by reading on. */
		engine->readable = engine->read_to_end || more;
		if (!take_bytes(engine, (uint32_t)got))
			return;
	}
}

static void read_on(struct pccl_engine *engine)
{
	if (engine->phase != PCCL_ENGINE_HELD || ask(engine))
		pccl_engine_receive(engine);
}

void pccl_engine_read_hook(struct pccl_hook *hook)
{
	struct pccl_engine *engine = hook->context;

	if (engine->state == PCCL_ENGINE_SHAKING)
		pccl_engine_shake(engine); /* defers this hook when the stream opens */
	else if (engine->state == PCCL_ENGINE_OPEN)
		read_on(engine);
}

void pccl_engine_resume(struct pccl_stream *stream)
{
	struct pccl_engine *engine = (struct pccl_engine *)stream;

	if (engine->state == PCCL_ENGINE_OPEN && engine->phase == PCCL_ENGINE_HELD)
		pccl_loop_defer(engine->loop, &engine->read_hook);
}

bool pccl_engine_divert(struct pccl_stream *stream, struct pccl_frame *frame_out)
{
	struct pccl_engine *engine = (struct pccl_engine *)stream;

	if (engine->state != PCCL_ENGINE_OPEN || engine->phase != PCCL_ENGINE_PAYLOAD)
		return false;
	*frame_out = engine->frame;
	engine->phase = PCCL_ENGINE_BIN;
	return true;
}
