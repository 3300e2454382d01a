/*
 * Streams: their life from dial or accept to close, and what they tell. The socket is watched edge-triggered
 * once and for all; `readable` and `writable` remember what the kernel has last said, which saves system calls on busy
 * streams.
 */
#include "transport/engine/engine_internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"
#include "transport/loop/fork.h"

#define FIRST_WINDOW_BYTES 1024u
#define BELL_CALLS_MAX 1024 /* nobody honest rings so often in between */

static struct pccl_engine *as_engine(struct pccl_stream *stream)
{
	return (struct pccl_engine *)stream;
}

static const struct pccl_engine *as_const_engine(const struct pccl_stream *stream)
{
	return (const struct pccl_engine *)stream;
}

void pccl_engine_remote_text(const struct pccl_engine *engine, char out[PCCL_ADDRESS_PORT_BYTES])
{
	pccl_address_text_port(&engine->remote, out);
}

size_t pccl_engine_parts_bytes(const struct iovec *parts, size_t part_count)
{
	size_t bytes = 0;
	size_t i;

	for (i = 0; i < part_count; i++)
		bytes += parts[i].iov_len;
	return bytes;
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

/* Who may close the bell comes after this. */
static void unwatch_bell(struct pccl_engine *engine)
{
	if (engine->bell.fd >= 0)
		pccl_loop_unwatch(engine->loop, &engine->bell);
	engine->bell.fd = -1;
}

/* Off the loop, with nothing left that the loop would call. */
static void leave_loop(struct pccl_engine *engine)
{
	if (engine->loop == NULL)
		return;
	unwatch_bell(engine);
	pccl_loop_unwatch(engine->loop, &engine->watch);
	pccl_loop_undefer(engine->loop, &engine->write_hook);
	pccl_loop_undefer(engine->loop, &engine->read_hook);
	pccl_loop_timer_clear(engine->loop, &engine->linger);
	engine->loop = NULL;
}

static void close_socket(struct pccl_engine *engine)
{
	if (engine->begun && engine->bytes->end != NULL)
		engine->bytes->end(engine->bytes_state);
	engine->begun = false;
	if (engine->watch.fd >= 0)
		pccl_fork_close(engine->watch.fd);
	engine->watch.fd = -1;
}

static void free_stream(struct pccl_engine *engine)
{
	leave_loop(engine);
	close_socket(engine);
	pccl_engine_drop_queue(engine);
	pccl_free(engine);
}

static void break_with(struct pccl_engine *engine, const char *reason)
{
	struct pccl_loop *loop = engine->loop;

	assert(engine->state == PCCL_ENGINE_OPEN || engine->state == PCCL_ENGINE_CONNECTING ||
	       engine->state == PCCL_ENGINE_SHAKING);
	leave_loop(engine);
	engine->loop = loop;
	close_socket(engine);
	engine->state = PCCL_ENGINE_BROKEN;
	if (!pccl_engine_complete_all(engine))
		return;
	pccl_engine_drop_queue(engine);
	engine->events->broken(engine->context, &engine->base, reason);
}

void pccl_engine_break(struct pccl_engine *engine, const char *format, ...)
{
	char reason[PCCL_FAIL_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	break_with(engine, reason);
}

void pccl_engine_break_lost(struct pccl_engine *engine, int error)
{
	char remote[PCCL_ADDRESS_PORT_BYTES];

	pccl_engine_remote_text(engine, remote);
	if (error == ECONNRESET || error == EPIPE)
		pccl_engine_break(engine, "connection reset by %s", remote);
	else
		pccl_engine_break(engine, "connection to %s lost: %s", remote, strerror(error));
}

void pccl_engine_doom(struct pccl_engine *engine, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(engine->doom, sizeof(engine->doom), format, arguments);
	va_end(arguments);
	pccl_loop_defer(engine->loop, &engine->write_hook);
}

/* ---- lingering: closed by the user, with bytes on their way -------------------------------------------------- */

static void end_linger(struct pccl_engine *engine)
{
	pccl_loop_release(engine->loop, &engine->leftover);
	free_stream(engine);
}

static void abandon(struct pccl_leftover *leftover)
{
	end_linger(leftover->context);
}

static void on_linger_timeout(struct pccl_timer *timer)
{
	end_linger(timer->context);
}

/* Throws away what comes in: a socket closed with unread bytes resets the connection and may take back ours. True: the
 * other side has closed too, or the connection is broken. */
static bool drain(struct pccl_engine *engine)
{
	bool more;
	ssize_t got;

	do
		got = engine->bytes->discard(engine->bytes_state, engine->watch.fd, 1u << 20, &more);
	while (got > 0);
	return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* All that was queued has been written: nothing else will be. */
static void shut_down(struct pccl_engine *engine)
{
	if (!engine->has_shut_down && engine->queue_count == 0)
		engine->has_shut_down = engine->bytes->shut_down(engine->bytes_state, engine->watch.fd);
}

/* Who brings bytes there itself still brings what was written before the close, as a kernel does. */
static bool is_bringing(struct pccl_engine *engine)
{
	return engine->begun && engine->shaken && engine->bytes->has_arrived != NULL &&
	       !engine->bytes->has_arrived(engine->bytes_state);
}

/* Has the other side's kernel everything? Then nothing can take it back. */
static bool has_arrived(struct pccl_engine *engine)
{
	int unacknowledged = 0;

	return engine->queue_count == 0 && pccl_engine_flush(engine) && !is_bringing(engine) &&
	       ioctl(engine->watch.fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
}

static void on_linger_ready(struct pccl_engine *engine)
{
	if (!pccl_engine_write(engine, true)) {
		end_linger(engine);
		return;
	}
	shut_down(engine);
	if (drain(engine) || (engine->bytes->has_arrived != NULL && has_arrived(engine)))
		end_linger(engine);
}

/* Everything has completed towards the user; the payloads are ours. */
static void start_linger(struct pccl_engine *engine)
{
	if (has_arrived(engine)) {
		free_stream(engine);
		return;
	}
	engine->state = PCCL_ENGINE_LINGERING;
	engine->events = NULL;
	pccl_loop_undefer(engine->loop, &engine->write_hook);
	pccl_loop_undefer(engine->loop, &engine->read_hook);
	pccl_loop_keep(engine->loop, &engine->leftover);
	pccl_loop_timer_set(engine->loop, &engine->linger, pccl_clock_ns() + PCCL_ENGINE_LINGER_NS);
	shut_down(engine);
	if (drain(engine))
		end_linger(engine);
}

void pccl_engine_close(struct pccl_stream *stream, bool flush)
{
	struct pccl_engine *engine = as_engine(stream);
	bool linger = flush && engine->state == PCCL_ENGINE_OPEN && engine->write_error == 0 && engine->doom[0] == '\0';

	assert(engine->state != PCCL_ENGINE_LINGERING);
	pccl_guard_tell(&engine->guard);
	if (linger)
		linger = pccl_engine_write(engine, true) && pccl_engine_own_payloads(engine);
	/* From here on there is nothing that a callback could be about, but the sends. Who closes inside sent() has the
	 * rest completed by this very loop, and must not close twice. */
	if (engine->state != PCCL_ENGINE_DETACHED && !pccl_engine_complete_all(engine))
		assert(false);
	if (linger) {
		pccl_engine_write(engine, false);
		start_linger(engine);
	} else if (engine->state == PCCL_ENGINE_OPEN && is_bringing(engine)) {
		pccl_engine_drop_queue(engine);
		engine->has_shut_down = true; /* nothing follows, perhaps in the middle of a frame */
		start_linger(engine);
	} else {
		free_stream(engine);
	}
}

/* ---- events -------------------------------------------------------------------------------------------------- */

/* Each bell is taken when the loop tells of it, before either direction is looked at, and at no other time: so none is
 * taken that the loop then says nothing of. */
static pcclResult_t watch_bell(struct pccl_engine *engine, struct pccl_loop *loop)
{
	pcclResult_t result = pcclSuccess;

	if (engine->begun && engine->bytes->bell != NULL)
		engine->bell.fd = engine->bytes->bell(engine->bytes_state);
	if (engine->bell.fd >= 0)
		result = pccl_loop_watch(loop, &engine->bell, EPOLLIN | EPOLLET);
	if (result != pcclSuccess)
		engine->bell.fd = -1;
	engine->base.in_memory = engine->bell.fd >= 0;
	return result;
}

static void open_up(struct pccl_engine *engine)
{
	bool room = engine->room_wanted;

	engine->shaken = true;
	engine->state = PCCL_ENGINE_OPEN;
	engine->readable = engine->writable = true; /* the handshake may have used up what the loop has told */
	engine->room_wanted = false;
	engine->counters.heard_ns = pccl_loop_now(engine->loop);
	pccl_loop_defer(engine->loop, &engine->read_hook);
	if (!engine->accepted)
		engine->events->opened(engine->context, &engine->base);
	else if (room)
		engine->events->room(engine->context, &engine->base);
}

void pccl_engine_shake(struct pccl_engine *engine)
{
	enum pccl_shake shake = PCCL_SHAKE_DONE;

	if (!engine->shaken && engine->bytes->shake != NULL) {
		unwatch_bell(engine);
		shake = engine->bytes->shake(engine->bytes_state, engine->watch.fd);
		if (watch_bell(engine, engine->loop) != pcclSuccess)
			shake = PCCL_SHAKE_FAILED;
	}
	engine->base.unfit = shake == PCCL_SHAKE_UNFIT;
	if (shake == PCCL_SHAKE_FAILED || shake == PCCL_SHAKE_UNFIT)
		pccl_engine_break(engine, "%s", pccl_fail_text());
	else if (shake == PCCL_SHAKE_DONE)
		open_up(engine);
}

static void on_connected(struct pccl_engine *engine)
{
	int error = pccl_socket_connect_error(engine->watch.fd);
	char remote[PCCL_ADDRESS_PORT_BYTES];

	if (error != 0) {
		pccl_engine_remote_text(engine, remote);
		pccl_engine_break(engine, "can't connect to %s: %s", remote, strerror(error));
		return;
	}
	pccl_socket_choose_congestion_control(engine->watch.fd);
	if (pccl_engine_begin(engine, true) != pcclSuccess) {
		pccl_engine_break(engine, "%s", pccl_fail_text());
		return;
	}
	engine->state = PCCL_ENGINE_SHAKING;
	pccl_engine_shake(engine);
}

static void note_events(struct pccl_engine *engine, uint32_t events)
{
	if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0) {
		engine->readable = engine->read_to_end = true;
		if (engine->begun && engine->bytes->note_end != NULL)
			engine->bytes->note_end(engine->bytes_state);
	}
	if ((events & EPOLLIN) != 0)
		engine->readable = true;
	if ((events & EPOLLOUT) != 0 && engine->write_error == 0)
		engine->writable = true;
}

static void on_ready(struct pccl_watch *watch, uint32_t events)
{
	struct pccl_engine *engine = watch->context;

	note_events(engine, events);
	switch (engine->state) {
	case PCCL_ENGINE_CONNECTING:
		if (engine->doom[0] == '\0' && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
			on_connected(engine);
		return;
	case PCCL_ENGINE_SHAKING:
		pccl_engine_shake(engine);
		return;
	case PCCL_ENGINE_OPEN:
		if (engine->writable && (engine->queue_count > 0 || engine->bytes->flush != NULL))
			pccl_loop_defer(engine->loop, &engine->write_hook);
		pccl_engine_receive(engine);
		return;
	case PCCL_ENGINE_LINGERING:
		on_linger_ready(engine);
		return;
	case PCCL_ENGINE_DETACHED:
	case PCCL_ENGINE_BROKEN:
		assert(false); /* not watched */
	}
}

static void empty_bell(const struct pccl_engine *engine)
{
	char bells[64];
	uint32_t calls = 0;
	ssize_t got;

	do
		got = read(engine->bell.fd, bells, sizeof(bells));
	while ((got == (ssize_t)sizeof(bells) && ++calls < BELL_CALLS_MAX) || (got < 0 && errno == EINTR));
}

static void on_bell(struct pccl_watch *watch, uint32_t events)
{
	struct pccl_engine *engine = watch->context;

	(void)events;
	if (engine->bytes->hear_bell != NULL)
		engine->bytes->hear_bell(engine->bytes_state);
	else
		empty_bell(engine);
	on_ready(&engine->watch, EPOLLIN | EPOLLOUT);
}

static void init_stream(struct pccl_engine *engine, int fd, const struct pccl_address *remote)
{
	engine->watch.fd = fd;
	engine->watch.ready = on_ready;
	engine->watch.context = engine;
	engine->bell.fd = -1;
	engine->bell.ready = on_bell;
	engine->bell.context = engine;
	engine->write_hook.run = pccl_engine_write_hook;
	engine->write_hook.context = engine;
	engine->read_hook.run = pccl_engine_read_hook;
	engine->read_hook.context = engine;
	engine->linger.fire = on_linger_timeout;
	engine->linger.context = engine;
	engine->leftover.abandon = abandon;
	engine->leftover.context = engine;
	engine->remote = *remote;
	engine->window = FIRST_WINDOW_BYTES;
	engine->state = PCCL_ENGINE_DETACHED;
}

struct pccl_engine *pccl_engine_new(const struct pccl_transport *transport, int fd, const struct pccl_address *remote)
{
	struct pccl_engine *engine = pccl_zalloc(sizeof(*engine));

	if (engine == NULL)
		return NULL;
	init_stream(engine, fd, remote);
	engine->base.transport = transport;
	engine->bytes = transport->bytes;
	return engine;
}

pcclResult_t pccl_engine_begin(struct pccl_engine *engine, bool dialled)
{
	pcclResult_t result = pcclSuccess;

	if (engine->bytes->begin != NULL)
		result = engine->bytes->begin(engine->base.transport, engine->watch.fd, dialled, &engine->bytes_state);
	engine->begun = result == pcclSuccess;
	engine->accepted = !dialled;
	engine->shaken = engine->bytes->shake == NULL;
	return result;
}

static pcclResult_t join_loop(struct pccl_engine *engine, struct pccl_loop *loop, enum pccl_engine_state state,
			      const struct pccl_stream_events *events, void *context)
{
	pcclResult_t result = pccl_loop_watch(loop, &engine->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);

	if (result == pcclSuccess)
		result = watch_bell(engine, loop);
	if (result != pcclSuccess) {
		pccl_loop_unwatch(loop, &engine->watch);
		return result;
	}
	engine->loop = loop;
	engine->state = state;
	engine->events = events;
	engine->context = context;
	return pcclSuccess;
}

/* ---- the remaining slots ------------------------------------------------------------------------------------- */

pcclResult_t pccl_engine_dial(const struct pccl_transport *self, struct pccl_loop *loop,
			      const struct pccl_address *address, const struct pccl_address *from,
			      const struct pccl_stream_events *events, void *context, struct pccl_stream **stream_out)
{
	char remote[PCCL_ADDRESS_PORT_BYTES], local[PCCL_ADDRESS_BYTES] = "";
	struct pccl_engine *engine;
	pcclResult_t result;
	int error;
	int fd;

	*stream_out = NULL;
	fd = pccl_socket_connecting(address, from, &error);
	if (fd < 0)
		return pcclSystemError;
	engine = pccl_engine_new(self, fd, address);
	if (engine == NULL) {
		pccl_fork_close(fd);
		return pcclOutOfMemory;
	}
	result = join_loop(engine, loop, PCCL_ENGINE_CONNECTING, events, context);
	if (result != pcclSuccess) {
		free_stream(engine);
		return result;
	}
	if (error != 0) {
		pccl_engine_remote_text(engine, remote);
		if (from != NULL)
			pccl_address_text(from, local);
		pccl_engine_doom(engine, "can't connect to %s%s%s: %s", remote, from != NULL ? " from " : "", local,
				 strerror(error));
	}
	*stream_out = &engine->base;
	return pcclSuccess;
}

pcclResult_t pccl_engine_attach(struct pccl_stream *stream, struct pccl_loop *loop,
				const struct pccl_stream_events *events, void *context)
{
	struct pccl_engine *engine = as_engine(stream);
	pcclResult_t result;

	assert(engine->state == PCCL_ENGINE_DETACHED);
	result = join_loop(engine, loop, engine->shaken ? PCCL_ENGINE_OPEN : PCCL_ENGINE_SHAKING, events, context);
	if (result != pcclSuccess)
		return result;
	/* The buffer may hold frames that came before the stream changed hands. */
	engine->readable = engine->writable = true;
	if (engine->state == PCCL_ENGINE_OPEN)
		engine->counters.heard_ns = pccl_loop_now(loop);
	pccl_loop_defer(loop, &engine->read_hook);
	return pcclSuccess;
}

void pccl_engine_detach(struct pccl_stream *stream)
{
	struct pccl_engine *engine = as_engine(stream);

	assert(engine->state == PCCL_ENGINE_OPEN);
	assert(engine->phase == PCCL_ENGINE_HEADER);
	assert(engine->queue_count == 0);
	pccl_guard_tell(&engine->guard);
	leave_loop(engine);
	engine->state = PCCL_ENGINE_DETACHED;
	engine->events = NULL;
	engine->context = NULL;
}

static const char *name_way(const struct pccl_engine *engine)
{
	return engine->begun && engine->bytes->name != NULL ? engine->bytes->name(engine->bytes_state)
							    : engine->base.transport->name;
}

void pccl_engine_describe(const struct pccl_stream *stream, char *text, size_t text_bytes)
{
	static const char *const states[] = {"connecting", "in its handshake", "detached", "open", "broken", "closing"};
	const struct pccl_engine *engine = as_const_engine(stream);
	struct pccl_address address = {.bytes = sizeof(address.storage)};
	char local[PCCL_ADDRESS_PORT_BYTES] = "?";
	char remote[PCCL_ADDRESS_PORT_BYTES];

	if (engine->watch.fd >= 0 &&
	    getsockname(engine->watch.fd, (struct sockaddr *)&address.storage, &address.bytes) == 0)
		pccl_address_text_port(&address, local);
	pccl_engine_remote_text(engine, remote);
	snprintf(text, text_bytes, "%s %s to %s, %s%s, %" PRIu64 " bytes sent, %" PRIu64 " received, %u frames queued",
		 name_way(engine), local, remote, states[engine->state],
		 engine->phase == PCCL_ENGINE_HELD ? " (held)" : "", engine->counters.sent_bytes,
		 engine->counters.received_bytes, engine->queue_count);
}

/* A neighbour that only takes still acknowledges: the kernel knows how much, and when it last did. */
void pccl_engine_count(const struct pccl_stream *stream, struct pccl_stream_counters *counters_out)
{
	const struct pccl_engine *engine = as_const_engine(stream);
	int queued = 0;

	*counters_out = engine->counters;
	if (engine->state == PCCL_ENGINE_OPEN && engine->bytes->count != NULL &&
	    engine->bytes->count(engine->bytes_state, pccl_loop_now(engine->loop), counters_out))
		return;
	if (engine->state != PCCL_ENGINE_OPEN || ioctl(engine->watch.fd, SIOCOUTQ, &queued) != 0 ||
	    !pccl_socket_measure(engine->watch.fd, counters_out))
		return;
	counters_out->acked_bytes = engine->counters.sent_bytes - (uint64_t)queued;
}

void pccl_engine_remote(const struct pccl_stream *stream, char out[PCCL_ADDRESS_BYTES])
{
	pccl_address_text(&as_const_engine(stream)->remote, out);
}

bool pccl_engine_ends(const struct pccl_stream *stream, struct pccl_address *local_out, struct pccl_address *remote_out)
{
	return pccl_socket_get_ends(as_const_engine(stream)->watch.fd, local_out, remote_out);
}

bool pccl_engine_bond(const struct pccl_stream *stream, struct pccl_bond *bond_out)
{
	const struct pccl_engine *engine = as_const_engine(stream);

	return engine->bytes->bond != NULL && engine->begun && engine->shaken &&
	       engine->bytes->bond(engine->bytes_state, bond_out);
}
