/* The listening half of the engine. */
#include "transport/engine/engine_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/log_rate.h"
#include "base/memory.h"
#include "base/time.h"
#include "transport/loop/fork.h"

#define ACCEPTS_PER_TURN 16
#define PAUSE_NS (100 * PCCL_MS_NS) /* after an accept() that failed for want of descriptors or memory */

struct engine_listener {
	struct pccl_listener base;
	struct pccl_loop *loop;
	struct pccl_watch watch;
	struct pccl_timer pause;
	struct pccl_guard *guard;
	void (*accepted)(void *context, struct pccl_stream *stream);
	void *context;
	struct pccl_log_rate turned; /* lines about callers that were turned away, */
	struct pccl_log_rate rested; /* and about rests */
};

/* False: the listener is gone. */
static bool hand_over(struct engine_listener *listener, int fd, const struct pccl_address *remote)
{
	struct pccl_engine *engine = pccl_engine_new(listener->base.transport, fd, remote);
	struct pccl_guard guard;
	const char *more;

	if (engine == NULL) {
		pccl_fork_close(fd);
		return true;
	}
	pccl_socket_set_options(fd);
	pccl_socket_choose_congestion_control(fd);
	if (pccl_engine_begin(engine, false) != pcclSuccess) {
		more = pccl_log_rate(&listener->turned, pccl_loop_now(listener->loop));
		if (more != NULL)
			pccl_log_info("a caller was turned away: %s%s", pccl_fail_text(), more);
		pccl_engine_close(&engine->base, false);
		return true;
	}
	pccl_guard_enter(&listener->guard, &guard);
	listener->accepted(listener->context, &engine->base);
	if (guard.gone)
		return false;
	pccl_guard_leave(&listener->guard, &guard);
	return true;
}

/* A listener that can't accept would wake the loop for ever: it rests instead. */
static void rest(struct engine_listener *listener, int error)
{
	const char *more = pccl_log_rate(&listener->rested, pccl_loop_now(listener->loop));

	if (more != NULL)
		pccl_log_error("accepting a connection: %s; trying again in %u ms%s", strerror(error),
			       (unsigned)(PAUSE_NS / PCCL_MS_NS), more);
	pccl_loop_unwatch(listener->loop, &listener->watch);
	pccl_loop_timer_set(listener->loop, &listener->pause, pccl_loop_now(listener->loop) + PAUSE_NS);
}

static void on_ready(struct pccl_watch *watch, uint32_t events)
{
	struct engine_listener *listener = watch->context;
	uint32_t i;

	(void)events;
	for (i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct pccl_address remote = {.bytes = sizeof(remote.storage)};
		int fd = accept4(watch->fd, (struct sockaddr *)&remote.storage, &remote.bytes,
				 SOCK_CLOEXEC | SOCK_NONBLOCK);
		int error = errno;

		if (fd >= 0) {
			if (!hand_over(listener, pccl_fork_own(fd), &remote))
				return;
			continue;
		}
		if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM)
			rest(listener, error);
		/* Anything else but EAGAIN is about one caller that has gone again. */
		if (error != EINTR && error != ECONNABORTED)
			return;
	}
}

static void on_pause_end(struct pccl_timer *timer)
{
	struct engine_listener *listener = timer->context;

	if (pccl_loop_watch(listener->loop, &listener->watch, EPOLLIN) != pcclSuccess)
		pccl_loop_timer_set(listener->loop, timer, pccl_loop_now(listener->loop) + PAUSE_NS);
}

pcclResult_t pccl_engine_listen(const struct pccl_transport *self, struct pccl_loop *loop,
				const struct pccl_address *address,
				void (*accepted)(void *context, struct pccl_stream *stream), void *context,
				struct pccl_listener **listener_out, uint16_t *port_out)
{
	struct engine_listener *listener;

	*listener_out = NULL;
	listener = pccl_zalloc(sizeof(*listener));
	if (listener == NULL)
		return pcclOutOfMemory;
	listener->base.transport = self;
	listener->loop = loop;
	listener->accepted = accepted;
	listener->context = context;
	listener->watch.ready = on_ready;
	listener->watch.context = listener;
	listener->pause.fire = on_pause_end;
	listener->pause.context = listener;
	listener->watch.fd = pccl_socket_listening(address, port_out);
	if (listener->watch.fd < 0)
		goto fail_socket;
	if (pccl_loop_watch(loop, &listener->watch, EPOLLIN) != pcclSuccess)
		goto fail_watch;
	*listener_out = &listener->base;
	return pcclSuccess;
fail_watch:
	pccl_fork_close(listener->watch.fd);
fail_socket:
	pccl_free(listener);
	return pcclSystemError;
}

void pccl_engine_close_listener(struct pccl_listener *base)
{
	struct engine_listener *listener = (struct engine_listener *)base;

	pccl_guard_tell(&listener->guard);
	pccl_loop_unwatch(listener->loop, &listener->watch);
	pccl_loop_timer_clear(listener->loop, &listener->pause);
	pccl_fork_close(listener->watch.fd);
	pccl_free(listener);
}
