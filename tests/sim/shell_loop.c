#include "shell_loop.h"

#include <stdlib.h>

#include "shell.h"
#include "shell_wire.h"

uint64_t pccl_loop_now(const struct pccl_loop *loop)
{
	return loop->now_ns;
}

/* Links make their instance of it: no two are alike. */
uint64_t pccl_clock_ns(void)
{
	static uint64_t calls;

	return ++calls;
}

/* Turns take no time, but in some worlds one is said to last for long from any look on. */
bool pccl_loop_is_long(const struct pccl_loop *loop)
{
	const struct sim *sim = loop->sim;
	struct shell_lane *lane = loop->lane;
	uint64_t which = pccl_rng_hash(sim->plan.seed + 44, (uint64_t)loop->node->id << 32 | loop->index);

	if (lane == NULL || sim->shells->plan.long_percent == 0)
		return false;
	if (lane->long_ns != loop->now_ns && pccl_rng_hash(which, ++lane->looks) % 100 < sim->shells->plan.long_percent)
		lane->long_ns = loop->now_ns;
	return lane->long_ns == loop->now_ns;
}

void pccl_loop_timer_set(struct pccl_loop *loop, struct pccl_timer *timer, uint64_t when_ns)
{
	if (timer->when_ns != 0)
		pccl_timers_remove(&loop->timers, timer);
	timer->when_ns = when_ns == 0 ? 1 : when_ns;
	pccl_timers_insert(&loop->timers, timer);
	loop_want(loop, timer->when_ns);
}

void pccl_loop_timer_clear(struct pccl_loop *loop, struct pccl_timer *timer)
{
	if (timer->when_ns == 0)
		return;
	pccl_timers_remove(&loop->timers, timer);
	timer->when_ns = 0;
}

void pccl_loop_defer(struct pccl_loop *loop, struct pccl_hook *hook)
{
	struct pccl_hook **place = &loop->hooks;

	if (hook->queued)
		return;
	while (*place != NULL)
		place = &(*place)->next;
	*place = hook;
	hook->next = NULL;
	hook->queued = true;
	loop_want(loop, loop->sim->now_ns);
}

void pccl_loop_undefer(struct pccl_loop *loop, struct pccl_hook *hook)
{
	struct pccl_hook **place = &loop->hooks;

	if (!hook->queued)
		return;
	while (*place != hook)
		place = &(*place)->next;
	*place = hook->next;
	hook->queued = false;
}

void shell_loop_init(struct shell *shell, struct pccl_loop *loop, uint32_t index)
{
	loop->sim = shell->sim;
	loop->shell = shell;
	loop->node = shell->node;
	loop->index = index;
	loop->now_ns = shell->sim->now_ns;
}

void loop_want(struct pccl_loop *loop, uint64_t time_ns)
{
	struct sim *sim = loop->sim;

	if (time_ns < sim->now_ns)
		time_ns = sim->now_ns;
	if (time_ns <= loop->now_ns)
		time_ns = loop->now_ns + 1; /* each turn has a time of its own */
	if (loop->wake_ns != 0 && loop->wake_ns <= time_ns)
		return;
	if (sim->shells->plan.lag_ns > 0)
		time_ns += sim_between(sim, 0, sim->shells->plan.lag_ns);
	if (loop->wake_ns != 0 && loop->wake_ns <= time_ns)
		return;
	loop->wake_ns = time_ns;
	shell_schedule(sim, loop->wake_ns, SHELL_TURN, loop->node->id, loop->index, NULL);
}

static void fire_timers(struct pccl_loop *loop)
{
	struct pccl_timer *timer = loop->timers.first;

	while (timer != NULL && timer->when_ns <= loop->now_ns) {
		pccl_loop_timer_clear(loop, timer);
		timer->fire(timer);
		timer = loop->timers.first;
	}
}

/* Those that are deferred by a hook come in the next turn. */
static void run_hooks(struct pccl_loop *loop)
{
	struct pccl_hook *hook, fence = {.queued = false};

	if (loop->hooks == NULL)
		return;
	pccl_loop_defer(loop, &fence);
	for (hook = loop->hooks; hook != &fence; hook = loop->hooks) {
		pccl_loop_undefer(loop, hook);
		hook->run(hook);
	}
	pccl_loop_undefer(loop, &fence);
}

void loop_turn(struct pccl_loop *loop)
{
	uint64_t wires_ns;

	loop->now_ns = loop->sim->now_ns;
	wires_turn(loop);
	fire_timers(loop);
	run_hooks(loop);
	if (loop->hooks != NULL)
		loop_want(loop, loop->now_ns + 1);
	if (loop->timers.first != NULL)
		loop_want(loop, loop->timers.first->when_ns);
	wires_ns = wires_next(loop);
	if (wires_ns != UINT64_MAX)
		loop_want(loop, wires_ns > loop->now_ns ? wires_ns : loop->now_ns + 1);
}

/* One that an earlier turn has taken the place of is none. */
void loop_event(struct pccl_loop *loop)
{
	if (loop->wake_ns == 0 || loop->wake_ns > loop->sim->now_ns)
		return;
	loop->wake_ns = 0;
	loop_turn(loop);
}
