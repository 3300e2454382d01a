/* The sending half of an engine: a ring of frames, written many at a time at the end of the loop's turn. */
#include "transport/engine/engine_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/memory.h"

#define FRAMES_PER_WRITE 16
/* The checksum is taken just before the kernel copies the same bytes: together they must fit the second-level cache. */
#define BYTES_PER_WRITE (256u << 10)
#define BYTES_PER_TURN (512u << 10) /* then reading has its turn: both ways at once is fastest in small steps */

static struct pccl_engine *as_engine(struct pccl_stream *stream)
{
	return (struct pccl_engine *)stream;
}

static struct pccl_engine_outgoing *queued(struct pccl_engine *engine, uint32_t index)
{
	return &engine->queue[(engine->queue_head + index) % PCCL_ENGINE_QUEUE_FRAMES];
}

static size_t frame_bytes(const struct pccl_engine_outgoing *outgoing)
{
	return PCCL_FRAME_BYTES + (size_t)outgoing->frame.payload_bytes;
}

bool pccl_engine_has_room(const struct pccl_engine *engine)
{
	return engine->queue_count < PCCL_ENGINE_QUEUE_FRAMES && engine->queued_bytes < PCCL_ENGINE_QUEUE_BYTES;
}

bool pccl_engine_send(struct pccl_stream *stream, const struct pccl_frame *frame, const void *payload, void *token)
{
	struct pccl_engine *engine = as_engine(stream);
	struct pccl_engine_outgoing *outgoing;

	assert(frame->payload_bytes == 0 || payload != NULL);
	assert(engine->state != PCCL_ENGINE_DETACHED && engine->state != PCCL_ENGINE_LINGERING);
	if (engine->state != PCCL_ENGINE_OPEN || !pccl_engine_has_room(engine)) {
		engine->room_wanted = true;
		return false;
	}
	outgoing = queued(engine, engine->queue_count++);
	outgoing->frame = *frame;
	outgoing->payload = payload;
	outgoing->copy = NULL;
	outgoing->token = token;
	outgoing->sealed = false;
	outgoing->completed = false;
	engine->queued_bytes += frame_bytes(outgoing);
	if (engine->writable)
		pccl_loop_defer(engine->loop, &engine->write_hook);
	return true;
}

/* ---- completion ---------------------------------------------------------------------------------------------- */

/* False: the stream is gone. */
static bool complete(struct pccl_engine *engine, struct pccl_engine_outgoing *outgoing)
{
	struct pccl_guard guard;

	if (outgoing->completed)
		return true;
	outgoing->completed = true;
	pccl_guard_enter(&engine->guard, &guard);
	engine->events->sent(engine->context, &engine->base, outgoing->token);
	if (guard.gone)
		return false;
	pccl_guard_leave(&engine->guard, &guard);
	return true;
}

bool pccl_engine_complete_all(struct pccl_engine *engine)
{
	uint32_t i;

	for (i = 0; i < engine->queue_count; i++)
		if (!complete(engine, queued(engine, i)))
			return false;
	return true;
}

void pccl_engine_drop_queue(struct pccl_engine *engine)
{
	uint32_t i;

	for (i = 0; i < engine->queue_count; i++)
		pccl_free(queued(engine, i)->copy);
	engine->queue_count = 0;
	engine->written_count = 0;
	engine->part_written = 0;
	engine->queued_bytes = 0;
}

/* ---- private copies ------------------------------------------------------------------------------------------ */

/* The copy has the payload's layout, but only the part that is not written yet is filled in. */
static bool own_payload(struct pccl_engine_outgoing *outgoing, size_t written)
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

bool pccl_engine_own_payloads(struct pccl_engine *engine)
{
	uint32_t i;

	for (i = engine->written_count; i < engine->queue_count; i++)
		if (!own_payload(queued(engine, i), i == engine->written_count ? engine->part_written : 0))
			return false;
	return true;
}

/* Makes a frame independent of its payload: `instead` is sent if nothing of it has been. */
static void take_back(struct pccl_engine *engine, uint32_t index, const struct pccl_frame *instead)
{
	struct pccl_engine_outgoing *outgoing = queued(engine, index);

	if (index < engine->written_count)
		return;
	if (index > engine->written_count || engine->part_written == 0) {
		assert(instead->payload_bytes == 0);
		engine->queued_bytes -= outgoing->frame.payload_bytes;
		outgoing->frame = *instead;
		outgoing->payload = NULL;
		outgoing->sealed = false;
	} else if (!own_payload(outgoing, engine->part_written)) {
		/* The frame can't be finished, so the stream can't go on. */
		outgoing->payload = NULL;
		engine->writable = false;
		pccl_engine_doom(engine, "out of memory for the rest of a frame that was taken back");
	}
}

void pccl_engine_forget(struct pccl_stream *stream,
			bool (*replace)(void *context, void *token, struct pccl_frame *frame), void *context)
{
	struct pccl_engine *engine = as_engine(stream);
	uint32_t i;

	for (i = 0; i < engine->queue_count; i++) {
		struct pccl_engine_outgoing *outgoing = queued(engine, i);
		struct pccl_frame instead = outgoing->frame;

		if (outgoing->completed || !replace(context, outgoing->token, &instead))
			continue;
		take_back(engine, i, &instead);
		if (!complete(engine, outgoing))
			return;
	}
}

/* ---- writing ------------------------------------------------------------------------------------------------- */

static void seal(struct pccl_engine_outgoing *outgoing)
{
	if (outgoing->sealed)
		return;
	if (outgoing->frame.payload_bytes > 0 && outgoing->frame.payload_crc == 0 &&
	    pccl_frame_is_checked(&outgoing->frame))
		outgoing->frame.payload_crc = pccl_crc32c(0, outgoing->payload, outgoing->frame.payload_bytes);
	pccl_frame_encode(&outgoing->frame, outgoing->header);
	outgoing->sealed = true;
}

/* For struct iovec, which knows no const; write() only reads. */
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

/* Collects the unwritten parts of the oldest frames. Returns how many. */
static size_t gather(struct pccl_engine *engine, struct iovec parts[2 * FRAMES_PER_WRITE])
{
	size_t skip = engine->part_written;
	size_t count = 0;
	size_t bytes = 0;
	uint32_t i;

	for (i = engine->written_count; i < engine->queue_count && bytes < BYTES_PER_WRITE; i++) {
		struct pccl_engine_outgoing *outgoing = queued(engine, i);

		if (i == engine->written_count + FRAMES_PER_WRITE)
			break;
		seal(outgoing);
		bytes += frame_bytes(outgoing) - skip;
		add_part(parts, &count, outgoing->header, PCCL_FRAME_BYTES, &skip);
		if (outgoing->frame.payload_bytes != 0)
			add_part(parts, &count, outgoing->payload, outgoing->frame.payload_bytes, &skip);
	}
	return count;
}

/* Counts what has been taken. */
static void advance(struct pccl_engine *engine, size_t bytes)
{
	engine->counters.sent_bytes += bytes;
	engine->queued_bytes -= bytes;
	engine->part_written += bytes;
	while (engine->written_count < engine->queue_count) {
		size_t next_bytes = frame_bytes(queued(engine, engine->written_count));

		if (engine->part_written < next_bytes)
			return;
		engine->part_written -= next_bytes;
		engine->written_count++;
	}
	assert(engine->part_written == 0);
}

/* One call. False with errno: it failed. */
static bool write_once(struct pccl_engine *engine)
{
	struct iovec parts[2 * FRAMES_PER_WRITE];
	size_t part_count = gather(engine, parts);
	bool more = false;
	ssize_t written = engine->bytes->write(engine->bytes_state, engine->watch.fd, parts, part_count, &more);

	if (written < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		return false;
	if (written > 0)
		advance(engine, (size_t)written);
	engine->writable = written > 0 && more; /* else the loop tells when there is room again */
	return true;
}

bool pccl_engine_flush(struct pccl_engine *engine)
{
	return engine->bytes->flush == NULL || engine->bytes->flush(engine->bytes_state, engine->watch.fd);
}

static void pop_head(struct pccl_engine *engine)
{
	struct pccl_engine_outgoing *outgoing = queued(engine, 0);

	assert(engine->written_count > 0);
	assert(outgoing->completed);
	pccl_free(outgoing->copy);
	outgoing->copy = NULL;
	engine->queue_head = (engine->queue_head + 1) % PCCL_ENGINE_QUEUE_FRAMES;
	engine->queue_count--;
	engine->written_count--;
}

bool pccl_engine_write(struct pccl_engine *engine, bool all)
{
	while (engine->writable && engine->queue_count > engine->written_count) {
		if (!write_once(engine))
			return false;
		if (!all)
			break;
	}
	while (engine->written_count > 0 && queued(engine, 0)->completed)
		pop_head(engine);
	return true;
}

/* Calls sent() for what is written and room() if that was asked for. False: the stream is gone. */
static bool tell_progress(struct pccl_engine *engine)
{
	struct pccl_guard guard;

	while (engine->written_count > 0) {
		if (!complete(engine, queued(engine, 0)))
			return false;
		pop_head(engine);
	}
	if (!engine->room_wanted || !pccl_engine_has_room(engine))
		return true;
	engine->room_wanted = false;
	pccl_guard_enter(&engine->guard, &guard);
	engine->events->room(engine->context, &engine->base);
	if (guard.gone)
		return false;
	pccl_guard_leave(&engine->guard, &guard);
	return true;
}

/* A connection that the other side has ended may still hold its last words: they are read before it counts as broken.
 */
static void on_write_error(struct pccl_engine *engine, int error)
{
	engine->write_error = error;
	engine->writable = false;
	if (engine->phase == PCCL_ENGINE_HELD) {
		pccl_engine_break_lost(engine, error);
		return;
	}
	engine->readable = engine->read_to_end = true;
	pccl_loop_defer(engine->loop, &engine->read_hook);
}

void pccl_engine_write_hook(struct pccl_hook *hook)
{
	struct pccl_engine *engine = hook->context;
	uint64_t start_bytes = engine->counters.sent_bytes;

	if (engine->doom[0] != '\0') {
		pccl_engine_break(engine, "%s", engine->doom);
		return;
	}
	assert(engine->state == PCCL_ENGINE_OPEN);
	if (!pccl_engine_flush(engine))
		engine->writable = false;
	while (engine->queue_count > 0 && engine->writable) {
		if (engine->counters.sent_bytes - start_bytes >= BYTES_PER_TURN) {
			pccl_loop_defer(engine->loop, &engine->write_hook);
			return;
		}
		if (!pccl_engine_write(engine, false)) {
			on_write_error(engine, errno);
			return;
		}
		if (!tell_progress(engine))
			return;
	}
}
