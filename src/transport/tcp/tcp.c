/*
 * TCP streams: their life from dial or accept to close, and the transport's table. The socket is watched edge-triggered
 * once and for all; `readable` and `writable` remember what the kernel has last said, which saves system calls on busy
 * streams.
 */
#include "transport/tcp/tcp_stream.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"

#define FIRST_WINDOW_BYTES 1024u

static struct pccl_tcp_stream *as_tcp(struct pccl_stream *stream)
{
	return (struct pccl_tcp_stream *)stream;
}

static const struct pccl_tcp_stream *as_const_tcp(const struct pccl_stream *stream)
{
	return (const struct pccl_tcp_stream *)stream;
}

void pccl_tcp_remote_text(const struct pccl_tcp_stream *tcp, char out[PCCL_ADDRESS_PORT_BYTES])
{
	pccl_address_text_port(&tcp->remote, out);
}

/* ---- ends ---------------------------------------------------------------------------------------------------- */

/* Off the loop, with nothing left that the loop would call. */
static void leave_loop(struct pccl_tcp_stream *tcp)
{
	if (tcp->loop == NULL)
		return;
	pccl_loop_unwatch(tcp->loop, &tcp->watch);
	pccl_loop_undefer(tcp->loop, &tcp->write_hook);
	pccl_loop_undefer(tcp->loop, &tcp->read_hook);
	pccl_loop_timer_clear(tcp->loop, &tcp->linger);
	tcp->loop = NULL;
}

static void close_socket(struct pccl_tcp_stream *tcp)
{
	if (tcp->watch.fd >= 0)
		close(tcp->watch.fd);
	tcp->watch.fd = -1;
}

static void free_stream(struct pccl_tcp_stream *tcp)
{
	leave_loop(tcp);
	close_socket(tcp);
	pccl_tcp_drop_queue(tcp);
	pccl_free(tcp);
}

static void break_with(struct pccl_tcp_stream *tcp, const char *reason)
{
	struct pccl_loop *loop = tcp->loop;

	assert(tcp->state == PCCL_TCP_OPEN || tcp->state == PCCL_TCP_CONNECTING);
	leave_loop(tcp);
	tcp->loop = loop;
	close_socket(tcp);
	tcp->state = PCCL_TCP_BROKEN;
	if (!pccl_tcp_complete_all(tcp))
		return;
	pccl_tcp_drop_queue(tcp);
	tcp->events->broken(tcp->context, &tcp->base, reason);
}

void pccl_tcp_break(struct pccl_tcp_stream *tcp, const char *format, ...)
{
	char reason[PCCL_FAIL_TEXT_BYTES];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	break_with(tcp, reason);
}

void pccl_tcp_break_lost(struct pccl_tcp_stream *tcp, int error)
{
	char remote[PCCL_ADDRESS_PORT_BYTES];

	pccl_tcp_remote_text(tcp, remote);
	if (error == ECONNRESET || error == EPIPE)
		pccl_tcp_break(tcp, "connection reset by %s", remote);
	else
		pccl_tcp_break(tcp, "connection to %s lost: %s", remote, strerror(error));
}

void pccl_tcp_doom(struct pccl_tcp_stream *tcp, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(tcp->doom, sizeof(tcp->doom), format, arguments);
	va_end(arguments);
	pccl_loop_defer(tcp->loop, &tcp->write_hook);
}

/* ---- lingering: closed by the user, with bytes on their way -------------------------------------------------- */

static void end_linger(struct pccl_tcp_stream *tcp)
{
	pccl_loop_release(tcp->loop, &tcp->leftover);
	free_stream(tcp);
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
static bool drain(struct pccl_tcp_stream *tcp)
{
	ssize_t got;

	do
		got = pccl_tcp_discard(tcp->watch.fd, 1u << 20);
	while (got > 0);
	return got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void on_linger_ready(struct pccl_tcp_stream *tcp)
{
	bool had_bytes = tcp->queue_count > 0;

	if (!pccl_tcp_write(tcp, true)) {
		end_linger(tcp);
		return;
	}
	if (had_bytes && tcp->queue_count == 0)
		shutdown(tcp->watch.fd, SHUT_WR);
	if (drain(tcp))
		end_linger(tcp);
}

/* Has the other side's kernel everything? Then nothing can take it back. */
static bool has_arrived(const struct pccl_tcp_stream *tcp)
{
	int unacknowledged = 0;

	return tcp->queue_count == 0 && ioctl(tcp->watch.fd, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
}

/* Everything has completed towards the user; the payloads are ours. */
static void start_linger(struct pccl_tcp_stream *tcp)
{
	if (has_arrived(tcp)) {
		free_stream(tcp);
		return;
	}
	tcp->state = PCCL_TCP_LINGERING;
	tcp->events = NULL;
	pccl_loop_undefer(tcp->loop, &tcp->write_hook);
	pccl_loop_undefer(tcp->loop, &tcp->read_hook);
	pccl_loop_keep(tcp->loop, &tcp->leftover);
	pccl_loop_timer_set(tcp->loop, &tcp->linger, pccl_clock_ns() + PCCL_TCP_LINGER_NS);
	if (tcp->queue_count == 0)
		shutdown(tcp->watch.fd, SHUT_WR);
	if (drain(tcp))
		end_linger(tcp);
}

static void close_stream(struct pccl_stream *stream, bool flush)
{
	struct pccl_tcp_stream *tcp = as_tcp(stream);
	bool linger = flush && tcp->state == PCCL_TCP_OPEN && tcp->write_error == 0 && tcp->doom[0] == '\0';

	assert(tcp->state != PCCL_TCP_LINGERING);
	pccl_guard_tell(&tcp->guard);
	if (linger)
		linger = pccl_tcp_write(tcp, true) && pccl_tcp_own_payloads(tcp);
	/* From here on there is nothing that a callback could be about, but the sends. Who closes inside sent() has the
	 * rest completed by this very loop, and must not close twice. */
	if (tcp->state != PCCL_TCP_DETACHED && !pccl_tcp_complete_all(tcp))
		assert(false);
	if (!linger) {
		free_stream(tcp);
		return;
	}
	pccl_tcp_write(tcp, false);
	start_linger(tcp);
}

/* ---- events -------------------------------------------------------------------------------------------------- */

static void on_connected(struct pccl_tcp_stream *tcp)
{
	int error = pccl_tcp_connect_error(tcp->watch.fd);
	char remote[PCCL_ADDRESS_PORT_BYTES];

	if (error != 0) {
		pccl_tcp_remote_text(tcp, remote);
		pccl_tcp_break(tcp, "can't connect to %s: %s", remote, strerror(error));
		return;
	}
	pccl_tcp_choose_congestion_control(tcp->watch.fd);
	tcp->state = PCCL_TCP_OPEN;
	tcp->counters.heard_ns = pccl_loop_now(tcp->loop);
	pccl_loop_defer(tcp->loop, &tcp->read_hook); /* the event may have told of bytes, too */
	tcp->events->opened(tcp->context, &tcp->base);
}

static void note_events(struct pccl_tcp_stream *tcp, uint32_t events)
{
	if ((events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) != 0)
		tcp->readable = tcp->read_to_end = true;
	if ((events & EPOLLIN) != 0)
		tcp->readable = true;
	if ((events & EPOLLOUT) != 0 && tcp->write_error == 0)
		tcp->writable = true;
}

static void on_ready(struct pccl_watch *watch, uint32_t events)
{
	struct pccl_tcp_stream *tcp = watch->context;

	note_events(tcp, events);
	switch (tcp->state) {
	case PCCL_TCP_CONNECTING:
		if (tcp->doom[0] == '\0' && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
			on_connected(tcp);
		return;
	case PCCL_TCP_OPEN:
		if (tcp->queue_count > 0 && tcp->writable)
			pccl_loop_defer(tcp->loop, &tcp->write_hook);
		pccl_tcp_receive(tcp);
		return;
	case PCCL_TCP_LINGERING:
		on_linger_ready(tcp);
		return;
	case PCCL_TCP_DETACHED:
	case PCCL_TCP_BROKEN:
		assert(false); /* not watched */
	}
}

static void init_stream(struct pccl_tcp_stream *tcp, int fd, const struct pccl_address *remote)
{
	tcp->base.transport = &pccl_tcp;
	tcp->watch.fd = fd;
	tcp->watch.ready = on_ready;
	tcp->watch.context = tcp;
	tcp->write_hook.run = pccl_tcp_write_hook;
	tcp->write_hook.context = tcp;
	tcp->read_hook.run = pccl_tcp_read_hook;
	tcp->read_hook.context = tcp;
	tcp->linger.fire = on_linger_timeout;
	tcp->linger.context = tcp;
	tcp->leftover.abandon = abandon;
	tcp->leftover.context = tcp;
	tcp->remote = *remote;
	tcp->window = FIRST_WINDOW_BYTES;
	tcp->state = PCCL_TCP_DETACHED;
}

struct pccl_tcp_stream *pccl_tcp_stream_new(int fd, const struct pccl_address *remote)
{
	struct pccl_tcp_stream *tcp = pccl_zalloc(sizeof(*tcp));

	if (tcp != NULL)
		init_stream(tcp, fd, remote);
	return tcp;
}

static pcclResult_t join_loop(struct pccl_tcp_stream *tcp, struct pccl_loop *loop, enum pccl_tcp_state state,
			      const struct pccl_stream_events *events, void *context)
{
	pcclResult_t result = pccl_loop_watch(loop, &tcp->watch, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);

	if (result != pcclSuccess)
		return result;
	tcp->loop = loop;
	tcp->state = state;
	tcp->events = events;
	tcp->context = context;
	return pcclSuccess;
}

/* ---- the remaining slots ------------------------------------------------------------------------------------- */

static pcclResult_t dial(struct pccl_loop *loop, const struct pccl_address *address,
			 const struct pccl_stream_events *events, void *context, struct pccl_stream **stream_out)
{
	char remote[PCCL_ADDRESS_PORT_BYTES];
	struct pccl_tcp_stream *tcp;
	pcclResult_t result;
	int error;
	int fd;

	*stream_out = NULL;
	fd = pccl_tcp_connecting_socket(address, &error);
	if (fd < 0)
		return pcclSystemError;
	tcp = pccl_tcp_stream_new(fd, address);
	if (tcp == NULL) {
		close(fd);
		return pcclOutOfMemory;
	}
	result = join_loop(tcp, loop, PCCL_TCP_CONNECTING, events, context);
	if (result != pcclSuccess) {
		free_stream(tcp);
		return result;
	}
	if (error != 0) {
		pccl_tcp_remote_text(tcp, remote);
		pccl_tcp_doom(tcp, "can't connect to %s: %s", remote, strerror(error));
	}
	*stream_out = &tcp->base;
	return pcclSuccess;
}

static pcclResult_t attach(struct pccl_stream *stream, struct pccl_loop *loop, const struct pccl_stream_events *events,
			   void *context)
{
	struct pccl_tcp_stream *tcp = as_tcp(stream);
	pcclResult_t result;

	assert(tcp->state == PCCL_TCP_DETACHED);
	result = join_loop(tcp, loop, PCCL_TCP_OPEN, events, context);
	if (result != pcclSuccess)
		return result;
	/* The buffer may hold frames that came before the stream changed hands. */
	tcp->readable = tcp->writable = true;
	tcp->counters.heard_ns = pccl_loop_now(loop);
	pccl_loop_defer(loop, &tcp->read_hook);
	return pcclSuccess;
}

static void detach(struct pccl_stream *stream)
{
	struct pccl_tcp_stream *tcp = as_tcp(stream);

	assert(tcp->state == PCCL_TCP_OPEN);
	assert(tcp->phase == PCCL_TCP_HEADER);
	assert(tcp->queue_count == 0);
	pccl_guard_tell(&tcp->guard);
	leave_loop(tcp);
	tcp->state = PCCL_TCP_DETACHED;
	tcp->events = NULL;
	tcp->context = NULL;
}

static pcclResult_t register_memory(struct pccl_loop *loop, void *start, size_t bytes, struct pccl_memory **memory_out)
{
	(void)loop;
	(void)start;
	(void)bytes;
	*memory_out = NULL;
	return pcclSuccess;
}

static void forget_memory(struct pccl_memory *memory)
{
	assert(memory == NULL);
}

static void describe(const struct pccl_stream *stream, char *text, size_t text_bytes)
{
	static const char *const states[] = {"connecting", "detached", "open", "broken", "closing"};
	const struct pccl_tcp_stream *tcp = as_const_tcp(stream);
	struct pccl_address address = {.bytes = sizeof(address.storage)};
	char local[PCCL_ADDRESS_PORT_BYTES] = "?";
	char remote[PCCL_ADDRESS_PORT_BYTES];

	if (tcp->watch.fd >= 0 && getsockname(tcp->watch.fd, (struct sockaddr *)&address.storage, &address.bytes) == 0)
		pccl_address_text_port(&address, local);
	pccl_tcp_remote_text(tcp, remote);
	snprintf(text, text_bytes, "tcp %s to %s, %s%s, %" PRIu64 " bytes sent, %" PRIu64 " received, %u frames queued",
		 local, remote, states[tcp->state], tcp->phase == PCCL_TCP_HELD ? " (held)" : "",
		 tcp->counters.sent_bytes, tcp->counters.received_bytes, tcp->queue_count);
}

/* A neighbour that only takes still acknowledges: the kernel knows how much, and when it last did. */
static void count(const struct pccl_stream *stream, struct pccl_stream_counters *counters_out)
{
	const struct pccl_tcp_stream *tcp = as_const_tcp(stream);
	int queued = 0;

	*counters_out = tcp->counters;
	if (tcp->state != PCCL_TCP_OPEN || ioctl(tcp->watch.fd, SIOCOUTQ, &queued) != 0 ||
	    !pccl_tcp_measure(tcp->watch.fd, counters_out))
		return;
	counters_out->acked_bytes = tcp->counters.sent_bytes - (uint64_t)queued;
}

static void remote_address(const struct pccl_stream *stream, char out[PCCL_ADDRESS_BYTES])
{
	pccl_address_text(&as_const_tcp(stream)->remote, out);
}

static bool ends(const struct pccl_stream *stream, struct pccl_address *local_out, struct pccl_address *remote_out)
{
	return pccl_tcp_get_ends(as_const_tcp(stream)->watch.fd, local_out, remote_out);
}

const struct pccl_transport pccl_tcp = {
	.name = "tcp",
	.listen = pccl_tcp_listen,
	.close_listener = pccl_tcp_close_listener,
	.dial = dial,
	.attach = attach,
	.detach = detach,
	.send = pccl_tcp_send,
	.forget = pccl_tcp_forget,
	.resume = pccl_tcp_resume,
	.divert = pccl_tcp_divert,
	.register_memory = register_memory,
	.forget_memory = forget_memory,
	.describe = describe,
	.count = count,
	.ends = ends,
	.remote = remote_address,
	.close = close_stream,
};
