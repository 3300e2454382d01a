#include "transport/loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/time.h"
#include "transport/loop/fork.h"
#include "transport/loop/timers.h"

#define EVENTS_PER_TURN 64
#define TIMERS_PER_TURN 256
#define LONG_NS (10 * PCCL_MS_NS)
#define LINGER_NS (250 * PCCL_MS_NS) /* what leftovers get when the loop ends */

/* Whoever makes it AWAKE is the loop's thread until it parks. */
enum where {
	AWAKE,	/* its thread is in a turn, or between two */
	ASLEEP, /* its thread waits for events: a poster must ring */
	PARKED	/* it has no thread: who takes it is that; a poster must call the one that parks */
};

struct pccl_loop {
	/* Written by any thread. */
	struct pccl_task *posted; /* newest first */
	enum where where;
	uint32_t turns;	  /* so far */
	bool rung;	  /* the next turn does not wait */
	bool looks_again; /* the parked thread sleeps until whoever has taken the loop gives it back */
	bool stopping;
	int parked_fd; /* eventfd that the parked thread sleeps on */

	/* The loop's thread only. */
	int epoll_fd;
	struct pccl_watch bell; /* eventfd that ends a sleep */
	uint64_t now_ns;
	bool taken;   /* no turn made since: what is posted is by whoever has taken it */
	bool hurries; /* so that is sent before anything is read */
	struct pccl_timers timers;
	struct pccl_hook *hooks; /* oldest first */
	struct pccl_hook *last_hook;
	struct pccl_hook fence; /* ends this turn's hooks; its run() is never called */
	struct pccl_leftover *leftovers;
	struct epoll_event events[EVENTS_PER_TURN];
	int event_index; /* the event that is being handled */
	int event_count;
	uint32_t round; /* ends when all that were ready have been called; timers fire between two */
};

uint64_t pccl_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * PCCL_SECOND_NS + (uint64_t)now.tv_nsec;
}

uint64_t pccl_loop_now(const struct pccl_loop *loop)
{
	return loop->now_ns;
}

bool pccl_loop_is_long(const struct pccl_loop *loop)
{
	return pccl_clock_ns() > loop->now_ns + LONG_NS;
}

/* ---- other threads ------------------------------------------------------------------------------------------- */

/* What the bells count: the parked thread's tells two sorts of calls apart. */
#define CALL UINT64_C(1)
#define CALL_TO_LOOK (UINT64_C(1) << 32)

static void ring(int fd, uint64_t call)
{
	ssize_t written;

	do
		written = write(fd, &call, sizeof(call));
	while (written < 0 && errno == EINTR);
}

/* The sleeper publishes that it sleeps and then looks for tasks; a poster publishes its task and then looks whether it
 * sleeps. All four are sequentially consistent, so at least one of the two sees the other. So it is with who parks. */
static void wake(struct pccl_loop *loop)
{
	enum where where = __atomic_load_n(&loop->where, __ATOMIC_SEQ_CST);

	if (where == PARKED)
		ring(loop->parked_fd, CALL);
	else if (where == ASLEEP &&
		 __atomic_compare_exchange_n(&loop->where, &where, AWAKE, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		ring(loop->bell.fd, CALL);
}

/* Leaves a trace, for it has no task: whoever drives may be about to wait. */
void pccl_loop_ring(struct pccl_loop *loop)
{
	__atomic_store_n(&loop->rung, true, __ATOMIC_SEQ_CST);
	wake(loop);
}

void pccl_loop_post(struct pccl_loop *loop, struct pccl_task *task)
{
	struct pccl_task *head = __atomic_load_n(&loop->posted, __ATOMIC_RELAXED);

	assert(task->run != NULL);
	do
		__atomic_store_n(&task->next, head, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&loop->posted, &head, task, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	wake(loop);
}

void pccl_loop_stop(struct pccl_loop *loop)
{
	__atomic_store_n(&loop->stopping, true, __ATOMIC_SEQ_CST);
	wake(loop);
}

static void not_run(struct pccl_hook *hook)
{
	(void)hook;
	assert(false);
}

static void drain_bell(struct pccl_watch *watch, uint32_t events)
{
	uint64_t count;
	ssize_t got = read(watch->fd, &count, sizeof(count));

	(void)events;
	(void)got; /* nothing to read: an earlier turn has drained it */
}

static bool has_tasks(const struct pccl_loop *loop)
{
	return __atomic_load_n(&loop->posted, __ATOMIC_SEQ_CST) != NULL;
}

/* Takes all that is posted, turns it round to the order of posting, and runs it. */
static void run_tasks(struct pccl_loop *loop)
{
	struct pccl_task *newest = __atomic_exchange_n(&loop->posted, NULL, __ATOMIC_ACQUIRE);
	struct pccl_task *oldest = NULL;

	while (newest != NULL) {
		struct pccl_task *next = newest->next;

		newest->next = oldest;
		oldest = newest;
		newest = next;
	}
	while (oldest != NULL) {
		struct pccl_task *task = oldest;

		oldest = task->next;
		task->run(task);
	}
}

/* ---- descriptors --------------------------------------------------------------------------------------------- */

pcclResult_t pccl_loop_watch(struct pccl_loop *loop, struct pccl_watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events};
	int operation = watch->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	assert(watch->ready != NULL);
	if (events == watch->events)
		return pcclSuccess;
	if (events == 0) {
		pccl_loop_unwatch(loop, watch);
		return pcclSuccess;
	}
	event.data.ptr = watch;
	if (epoll_ctl(loop->epoll_fd, operation, watch->fd, &event) != 0)
		return pccl_fail(pcclSystemError, "watching descriptor %d: %s", watch->fd, strerror(errno));
	watch->events = events;
	return pcclSuccess;
}

void pccl_loop_unwatch(struct pccl_loop *loop, struct pccl_watch *watch)
{
	int i;

	if (watch->events == 0)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->events = 0;
	for (i = loop->event_index; i < loop->event_count; i++)
		if (loop->events[i].data.ptr == watch)
			loop->events[i].data.ptr = NULL;
}

/* True: the round has ended. The kernel brings what is ready in turn, so when one comes again all others have come: who
 * talks all the time can't stop the timers. */
static bool handle_events(struct pccl_loop *loop)
{
	bool ends = loop->event_count < EVENTS_PER_TURN;

	for (loop->event_index = 0; loop->event_index < loop->event_count; loop->event_index++) {
		struct epoll_event *event = &loop->events[loop->event_index];
		struct pccl_watch *watch = event->data.ptr;

		if (watch == NULL)
			continue;
		ends = ends || watch->round == loop->round;
		watch->round = loop->round;
		watch->ready(watch, event->events);
	}
	loop->event_count = 0;
	loop->event_index = 0;
	loop->round += ends;
	return ends;
}

/* ---- timers -------------------------------------------------------------------------------------------------- */

void pccl_loop_timer_set(struct pccl_loop *loop, struct pccl_timer *timer, uint64_t when_ns)
{
	assert(timer->fire != NULL);
	if (timer->when_ns != 0)
		pccl_timers_remove(&loop->timers, timer);
	timer->when_ns = when_ns == 0 ? 1 : when_ns; /* 0 marks a timer that is not set */
	pccl_timers_insert(&loop->timers, timer);
}

void pccl_loop_timer_clear(struct pccl_loop *loop, struct pccl_timer *timer)
{
	if (timer->when_ns == 0)
		return;
	pccl_timers_remove(&loop->timers, timer);
	timer->when_ns = 0;
}

static void fire_timers(struct pccl_loop *loop)
{
	struct pccl_timer *timer = loop->timers.first;
	uint32_t count = 0;

	while (timer != NULL && timer->when_ns <= loop->now_ns && count < TIMERS_PER_TURN) {
		pccl_loop_timer_clear(loop, timer);
		timer->fire(timer);
		timer = loop->timers.first;
		count++;
	}
}

/* ---- hooks and leftovers ------------------------------------------------------------------------------------- */

void pccl_loop_defer(struct pccl_loop *loop, struct pccl_hook *hook)
{
	assert(hook->run != NULL);
	if (hook->queued)
		return;
	hook->queued = true;
	hook->next = NULL;
	hook->previous = loop->last_hook;
	if (loop->last_hook != NULL)
		loop->last_hook->next = hook;
	else
		loop->hooks = hook;
	loop->last_hook = hook;
}

void pccl_loop_undefer(struct pccl_loop *loop, struct pccl_hook *hook)
{
	if (!hook->queued)
		return;
	hook->queued = false;
	if (hook->previous != NULL)
		hook->previous->next = hook->next;
	else
		loop->hooks = hook->next;
	if (hook->next != NULL)
		hook->next->previous = hook->previous;
	else
		loop->last_hook = hook->previous;
}

/* A hook that is deferred by a hook waits for the next turn, or two could keep the loop from its descriptors. */
static void run_hooks(struct pccl_loop *loop)
{
	struct pccl_hook *hook;

	if (loop->hooks == NULL)
		return;
	pccl_loop_defer(loop, &loop->fence);
	for (hook = loop->hooks; hook != &loop->fence; hook = loop->hooks) {
		pccl_loop_undefer(loop, hook);
		hook->run(hook);
	}
	pccl_loop_undefer(loop, &loop->fence);
}

void pccl_loop_keep(struct pccl_loop *loop, struct pccl_leftover *leftover)
{
	assert(leftover->abandon != NULL);
	leftover->previous = NULL;
	leftover->next = loop->leftovers;
	if (loop->leftovers != NULL)
		loop->leftovers->previous = leftover;
	loop->leftovers = leftover;
}

void pccl_loop_release(struct pccl_loop *loop, struct pccl_leftover *leftover)
{
	if (leftover->previous != NULL)
		leftover->previous->next = leftover->next;
	else
		loop->leftovers = leftover->next;
	if (leftover->next != NULL)
		leftover->next->previous = leftover->previous;
}

/* ---- turns --------------------------------------------------------------------------------------------------- */

/* epoll counts in milliseconds: rounded up, so that a timer that is waited for is due after the wait. */
static int timeout_ms(const struct pccl_loop *loop, uint64_t until_ns)
{
	uint64_t now_ns;
	uint64_t wait_ms;

	if (loop->timers.first != NULL && loop->timers.first->when_ns < until_ns)
		until_ns = loop->timers.first->when_ns;
	if (until_ns == UINT64_MAX)
		return -1;
	if (until_ns <= loop->now_ns)
		return 0;
	now_ns = pccl_clock_ns();
	if (until_ns <= now_ns)
		return 0;
	wait_ms = (until_ns - now_ns + PCCL_MS_NS - 1) / PCCL_MS_NS;
	return wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
}

static void count_turn(struct pccl_loop *loop)
{
	__atomic_store_n(&loop->turns, loop->turns + 1, __ATOMIC_RELAXED);
}

static void wait_for_events(struct pccl_loop *loop, uint64_t until_ns)
{
	int wait_ms = loop->hooks != NULL ? 0 : timeout_ms(loop, until_ns);
	int count;

	if (wait_ms != 0) {
		__atomic_store_n(&loop->where, ASLEEP, __ATOMIC_SEQ_CST);
		if (has_tasks(loop) || __atomic_load_n(&loop->rung, __ATOMIC_SEQ_CST) || pccl_loop_is_stopping(loop))
			wait_ms = 0;
	}
	count = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN, wait_ms);
	__atomic_store_n(&loop->where, AWAKE, __ATOMIC_SEQ_CST);
	__atomic_store_n(&loop->rung, false, __ATOMIC_SEQ_CST);
	count_turn(loop);
	loop->event_count = count > 0 ? count : 0;
	loop->now_ns = pccl_clock_ns();
}

void pccl_loop_turn(struct pccl_loop *loop, uint64_t until_ns)
{
	const bool launches = loop->taken && has_tasks(loop);
	bool fires;

	assert(loop->event_count == 0); /* not inside a turn */
	loop->taken = false;
	if (launches && loop->hurries) {
		count_turn(loop);
		run_tasks(loop);
		run_hooks(loop);
		return;
	}
	wait_for_events(loop, until_ns);
	/* What has come for an op finds it launched, and goes straight to where it belongs. */
	if (launches)
		run_tasks(loop);
	fires = handle_events(loop);
	run_tasks(loop);
	/* What is there by now is not late, however long the thread was kept from looking. */
	if (fires)
		fire_timers(loop);
	run_hooks(loop);
}

bool pccl_loop_is_stopping(const struct pccl_loop *loop)
{
	return __atomic_load_n(&loop->stopping, __ATOMIC_SEQ_CST);
}

void pccl_loop_run(struct pccl_loop *loop)
{
	while (!pccl_loop_is_stopping(loop))
		pccl_loop_turn(loop, UINT64_MAX);
	__atomic_store_n(&loop->stopping, false, __ATOMIC_SEQ_CST);
	run_tasks(loop);
	run_hooks(loop);
}

/* ---- parking ------------------------------------------------------------------------------------------------- */

/* True: it has become this thread's. */
static bool become(struct pccl_loop *loop)
{
	enum where where = PARKED;

	return __atomic_compare_exchange_n(&loop->where, &where, AWAKE, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Nobody is the loop's thread any more. True: somebody has to be at once. */
static bool let_go(struct pccl_loop *loop)
{
	__atomic_store_n(&loop->where, PARKED, __ATOMIC_SEQ_CST);
	return has_tasks(loop) || pccl_loop_is_stopping(loop);
}

enum wake { CALLED, TOLD_TO_LOOK, NOT_CALLED };

static enum wake sleep_parked(const struct pccl_loop *loop, uint64_t limit_ns)
{
	const struct timespec limit = {.tv_sec = (time_t)(limit_ns / PCCL_SECOND_NS),
				       .tv_nsec = (long)(limit_ns % PCCL_SECOND_NS)};
	struct pollfd call = {.fd = loop->parked_fd, .events = POLLIN};
	uint64_t count;

	if (ppoll(&call, 1, limit_ns == UINT64_MAX ? NULL : &limit, NULL) <= 0)
		return NOT_CALLED;
	if (read(loop->parked_fd, &count, sizeof(count)) <= 0)
		return TOLD_TO_LOOK;
	return count % CALL_TO_LOOK != 0 ? CALLED : TOLD_TO_LOOK;
}

/* Who has taken the loop keeps it for long: no need to look again and again. False: it has been given back by now. */
static bool look_when_given(struct pccl_loop *loop)
{
	__atomic_store_n(&loop->looks_again, true, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&loop->where, __ATOMIC_SEQ_CST) != PARKED;
}

bool pccl_loop_park(struct pccl_loop *loop, uint64_t patience_ns)
{
	uint32_t first = __atomic_load_n(&loop->turns, __ATOMIC_RELAXED), before = first, turns;
	enum wake why;

	assert(loop->event_count == 0);
	if (loop->hooks != NULL)
		return true;
	why = let_go(loop) ? CALLED : TOLD_TO_LOOK;
	while (why != CALLED || !become(loop)) {
		uint64_t limit_ns = patience_ns;

		turns = __atomic_load_n(&loop->turns, __ATOMIC_RELAXED);
		if (why == NOT_CALLED && turns == before) {
			if (become(loop))
				return turns != first;
			if (look_when_given(loop))
				limit_ns = UINT64_MAX;
		}
		before = turns;
		why = sleep_parked(loop, limit_ns);
	}
	return true;
}

bool pccl_loop_take(struct pccl_loop *loop, bool hurries)
{
	if (!become(loop))
		return false;
	__atomic_store_n(&loop->rung, false, __ATOMIC_SEQ_CST); /* for who drove before */
	loop->now_ns = pccl_clock_ns();
	loop->taken = true;
	loop->hurries = hurries;
	return true;
}

void pccl_loop_give(struct pccl_loop *loop, bool at_once)
{
	assert(loop->event_count == 0);
	loop->taken = false;
	if (loop->hooks != NULL)
		at_once = true;
	if (let_go(loop) || at_once)
		ring(loop->parked_fd, CALL);
	else if (__atomic_exchange_n(&loop->looks_again, false, __ATOMIC_SEQ_CST))
		ring(loop->parked_fd, CALL_TO_LOOK);
}

/* ---- life ---------------------------------------------------------------------------------------------------- */

pcclResult_t pccl_loop_create(struct pccl_loop **loop_out)
{
	struct pccl_loop *loop;

	*loop_out = NULL;
	loop = pccl_zalloc(sizeof(*loop));
	if (loop == NULL)
		return pcclOutOfMemory;
	loop->epoll_fd = pccl_fork_own(epoll_create1(EPOLL_CLOEXEC));
	if (loop->epoll_fd < 0) {
		pccl_fail(pcclSystemError, "epoll_create1: %s", strerror(errno));
		goto fail_epoll;
	}
	loop->bell.fd = pccl_fork_own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (loop->bell.fd < 0) {
		pccl_fail(pcclSystemError, "eventfd: %s", strerror(errno));
		goto fail_bell;
	}
	loop->bell.ready = drain_bell;
	loop->fence.run = not_run;
	loop->parked_fd = pccl_fork_own(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (loop->parked_fd < 0) {
		pccl_fail(pcclSystemError, "eventfd: %s", strerror(errno));
		goto fail_parked;
	}
	if (pccl_loop_watch(loop, &loop->bell, EPOLLIN) != pcclSuccess)
		goto fail_watch;
	loop->now_ns = pccl_clock_ns();
	loop->round = 1; /* watches begin with 0 */
	*loop_out = loop;
	return pcclSuccess;
fail_watch:
	pccl_fork_close(loop->parked_fd);
fail_parked:
	pccl_fork_close(loop->bell.fd);
fail_bell:
	pccl_fork_close(loop->epoll_fd);
fail_epoll:
	pccl_free(loop);
	return pcclSystemError;
}

void pccl_loop_destroy(struct pccl_loop *loop)
{
	uint64_t end_ns;

	if (loop == NULL)
		return;
	__atomic_store_n(&loop->posted, NULL,
			 __ATOMIC_RELAXED); /* whoever posted these has gone, and what they were about */
	end_ns = pccl_clock_ns() + LINGER_NS;
	while (loop->leftovers != NULL && loop->now_ns < end_ns)
		pccl_loop_turn(loop, end_ns);
	while (loop->leftovers != NULL)
		loop->leftovers->abandon(loop->leftovers);
	pccl_fork_close(loop->parked_fd);
	pccl_fork_close(loop->bell.fd);
	pccl_fork_close(loop->epoll_fd);
	pccl_free(loop);
}
