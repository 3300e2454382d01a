/*
 * One thread's event loop: file descriptors, timers, work posted from other threads, work put off to the end of the
 * turn. Small enough to read at once. It sleeps in epoll_wait() and uses no processor time while nothing happens.
 *
 * A turn: wait; read the clock; call ready() of the descriptors; run posted tasks; fire the timers that are due; run
 * deferred hooks. Where more descriptors are ready than one turn calls, timers wait until all of them have been called
 * once. Nothing here allocates after pccl_loop_create(), so nothing here can fail at a bad moment.
 */
#ifndef PCCL_TRANSPORT_LOOP_H
#define PCCL_TRANSPORT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

#include "transport/loop/timers.h"

struct pccl_loop;

/* A watched descriptor. Memory of the watcher; zeroed before the first use, and not moved while it is watched. */
struct pccl_watch {
	int fd;
	uint32_t events; /* what is asked for now: EPOLLIN, EPOLLOUT; of the loop, change it with pccl_loop_watch() */
	void (*ready)(struct pccl_watch *watch, uint32_t events);
	void *context;
	uint32_t round; /* in which it was ready; of the loop */
};

/* Work posted by another thread. Memory of the poster until run() is called, on the loop's thread; run() may free it or
 * post it again. */
struct pccl_task {
	void (*run)(struct pccl_task *task);
	void *context;
	struct pccl_task *next; /* of the loop */
};

/* Work put off to the end of this turn, for what is better done once than often. Memory of the owner; zeroed before the
 * first use. run() may defer it again: then it comes in the next turn, which doesn't wait. */
struct pccl_hook {
	void (*run)(struct pccl_hook *hook);
	void *context;
	struct pccl_hook *next; /* of the loop, as the rest */
	struct pccl_hook *previous;
	bool queued;
};

/* Something that its user has let go and that ends by itself soon, as a connection that still sends its last bytes.
 * abandon() is called if the loop ends first; it must end it at once, pccl_loop_release() included. */
struct pccl_leftover {
	void (*abandon)(struct pccl_leftover *leftover);
	void *context;
	struct pccl_leftover *next; /* of the loop, as the rest */
	struct pccl_leftover *previous;
};

/* Creates a loop; the caller ends it with pccl_loop_destroy() when nothing is watched any more but leftovers. Returns
 * pcclOutOfMemory, pcclSystemError; *loop_out is NULL then. */
pcclResult_t pccl_loop_create(struct pccl_loop **loop_out);

/* NULL is allowed. Leftovers get a quarter of a second to end, then they are abandoned; tasks that were posted and have
 * not run are not run. The caller is the loop's thread now: none may be inside any other call on the loop. */
void pccl_loop_destroy(struct pccl_loop *loop);

/* Runs until pccl_loop_stop(). The thread that calls it is the loop's thread. Tasks posted before stop are all run. May
 * be called again afterwards. */
void pccl_loop_run(struct pccl_loop *loop);

/* One turn: waits at most until `until_ns` (0: do not wait; UINT64_MAX: as long as it takes), handles what is ready. */
void pccl_loop_turn(struct pccl_loop *loop, uint64_t until_ns);

/* From any thread: ends pccl_loop_run() soon, also one that has not begun yet. */
void pccl_loop_stop(struct pccl_loop *loop);

/* From any thread: it has been told to. */
bool pccl_loop_is_stopping(const struct pccl_loop *loop);

/* From any thread: ends the wait of the turn that waits now, or else that of the next one. */
void pccl_loop_ring(struct pccl_loop *loop);

/* The loop's thread, between turns, lets others be that for a while, and is it again when it returns: nobody has made a
 * turn for `patience_ns`, or something is to be done at once. Timers may be twice as late. False: nobody made any. */
bool pccl_loop_park(struct pccl_loop *loop, uint64_t patience_ns);

/* From any thread: becomes the loop's thread, if that is parked and nobody else has. What it then posts runs in its
 * first turn, before what has come is read; `hurries`: that turn reads nothing. It gives the loop back after turns of
 * its own; `at_once`: the parked thread is to go on now, for there is more to come. Whoever has been told to stop the
 * loop must wait for that. */
bool pccl_loop_take(struct pccl_loop *loop, bool hurries);
void pccl_loop_give(struct pccl_loop *loop, bool at_once);

/* From any thread: run the task on the loop's thread, in the order posted. Lock-free for the poster; one system call if
 * the loop sleeps, else none. */
void pccl_loop_post(struct pccl_loop *loop, struct pccl_task *task);

/* Monotonic time now; for any thread. */
uint64_t pccl_clock_ns(void);

/* Loop thread only from here. */

/* Monotonic time of this turn, read once per turn. */
uint64_t pccl_loop_now(const struct pccl_loop *loop);

/* This turn has lasted for so long that what can wait is better done in the next one, when others have been heard. */
bool pccl_loop_is_long(const struct pccl_loop *loop);

/* Starts or changes watching. Level-triggered: ready() comes again as long as it holds. EPOLLERR and EPOLLHUP come
 * unasked, but with events 0 the descriptor is silent altogether. Returns pcclSystemError. */
pcclResult_t pccl_loop_watch(struct pccl_loop *loop, struct pccl_watch *watch, uint32_t events);

/* Ends watching; safe inside any callback, and for a descriptor that is not watched. ready() is not called any more,
 * not even in this turn. Call it before the descriptor is closed. */
void pccl_loop_unwatch(struct pccl_loop *loop, struct pccl_watch *watch);

/* Sets or moves the timer; a time that has passed fires with those of this turn (within hooks: of the next one). */
void pccl_loop_timer_set(struct pccl_loop *loop, struct pccl_timer *timer, uint64_t when_ns);
/* For a timer that is not set, too. */
void pccl_loop_timer_clear(struct pccl_loop *loop, struct pccl_timer *timer);

/* Queues the hook; nothing if it is queued already. */
void pccl_loop_defer(struct pccl_loop *loop, struct pccl_hook *hook);
/* For a hook that is not queued, too. */
void pccl_loop_undefer(struct pccl_loop *loop, struct pccl_hook *hook);

/* Hands a leftover to the loop; takes it back when it has ended. */
void pccl_loop_keep(struct pccl_loop *loop, struct pccl_leftover *leftover);
void pccl_loop_release(struct pccl_loop *loop, struct pccl_leftover *leftover);

#endif
