/* One thread's event loop: file descriptors, timers, and work posted from other threads. Small enough to read at once. */
#ifndef PCCL_TRANSPORT_LOOP_H
#define PCCL_TRANSPORT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <pccl.h>

struct pccl_loop;

/* A watched descriptor. Memory of the watcher; zeroed before the first use, and not moved while it is watched. */
struct pccl_watch {
	int fd;
	uint32_t events; /* EPOLLIN, EPOLLOUT as asked for */
	void (*ready)(struct pccl_watch *watch, uint32_t events);
	void *context;
};

/* A timer. Memory of the owner; zeroed before the first use. Fires once. */
struct pccl_timer {
	uint64_t when_ns; /* monotonic; 0: not set */
	void (*fire)(struct pccl_timer *timer);
	void *context;
	uint32_t heap_index; /* of the loop */
};

/* Work posted by another thread. Memory of the poster until run() is called, on the loop's thread. */
struct pccl_task {
	void (*run)(struct pccl_task *task);
	void *context;
	struct pccl_task *next;
};

/* Creates a loop; the caller ends it with pccl_loop_destroy() when nothing is watched any more. Returns pcclOutOfMemory,
 * pcclSystemError. */
pcclResult_t pccl_loop_create(struct pccl_loop **loop_out);
void pccl_loop_destroy(struct pccl_loop *loop);

/* Runs until pccl_loop_stop(). The thread that calls it is the loop's thread. Tasks posted before stop are all run. */
void pccl_loop_run(struct pccl_loop *loop);

/* One turn: waits at most until `until_ns` (0: do not wait; UINT64_MAX: as long as it takes), handles what is ready. */
void pccl_loop_turn(struct pccl_loop *loop, uint64_t until_ns);

/* From any thread: ends pccl_loop_run() soon. */
void pccl_loop_stop(struct pccl_loop *loop);

/* From any thread: run the task on the loop's thread, in the order posted. Lock-free for the poster. */
void pccl_loop_post(struct pccl_loop *loop, struct pccl_task *task);

/* Loop thread only from here. Monotonic time of this turn, read once per turn. */
uint64_t pccl_loop_now(const struct pccl_loop *loop);

/* Monotonic time now; for other threads too. */
uint64_t pccl_clock_ns(void);

/* Starts or changes watching; events 0 keeps the descriptor known but silent. Level-triggered. */
pcclResult_t pccl_loop_watch(struct pccl_loop *loop, struct pccl_watch *watch, uint32_t events);
/* Ends watching; safe inside ready(), and for a descriptor that is not watched. ready() is not called any more. */
void pccl_loop_unwatch(struct pccl_loop *loop, struct pccl_watch *watch);

void pccl_loop_timer_set(struct pccl_loop *loop, struct pccl_timer *timer, uint64_t when_ns);
void pccl_loop_timer_clear(struct pccl_loop *loop, struct pccl_timer *timer);

#endif
