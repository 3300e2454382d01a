/* The event loop: timers, posted tasks, descriptors, hooks, leftovers. */
#include "lib/check.h"

#include "transport/loop/loop.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/rng.h"

#define POSTERS 4
#define POSTS_EACH 20000
#define TIMERS 300

struct fixture {
	struct pccl_loop *loop;
};

static int make_loop(void **state)
{
	static struct fixture fixture;

	assert_int_equal(pccl_loop_create(&fixture.loop), pcclSuccess);
	*state = &fixture;
	return 0;
}

static int end_loop(void **state)
{
	struct fixture *fixture = *state;

	pccl_loop_destroy(fixture->loop);
	return 0;
}

/* ---- timers -------------------------------------------------------------------------------------------------- */

struct order {
	struct pccl_loop *loop;
	struct pccl_timer timers[TIMERS];
	uint64_t when_ns[TIMERS];
	int fired[TIMERS];
	int count;
};

static void note_fired(struct pccl_timer *timer)
{
	struct order *order = timer->context;

	order->fired[order->count++] = (int)(timer - order->timers);
}

static void run_until_fired(struct order *order, int count)
{
	uint64_t end_ns = pccl_clock_ns() + 2000000000u;

	while (order->count < count && pccl_clock_ns() < end_ns)
		pccl_loop_turn(order->loop, end_ns);
	assert_int_equal(order->count, count);
}

static void timers_fire_in_order_of_time_then_of_setting(void **state)
{
	struct fixture *fixture = *state;
	static struct order order;
	struct pccl_rng rng;
	uint64_t base_ns = pccl_clock_ns();
	int i;

	memset(&order, 0, sizeof(order));
	order.loop = fixture->loop;
	pccl_rng_seed(&rng, 7);
	for (i = 0; i < TIMERS; i++) {
		order.timers[i].fire = note_fired;
		order.timers[i].context = &order;
		order.when_ns[i] = base_ns + 1 + pccl_rng_below(&rng, 20) * 100000;
		pccl_loop_timer_set(fixture->loop, &order.timers[i], order.when_ns[i]);
	}
	run_until_fired(&order, TIMERS);
	for (i = 1; i < TIMERS; i++) {
		uint64_t before = order.when_ns[order.fired[i - 1]];
		uint64_t now = order.when_ns[order.fired[i]];

		assert_true(before < now || (before == now && order.fired[i - 1] < order.fired[i]));
	}
}

static void cleared_and_moved_timers_fire_as_last_told(void **state)
{
	struct fixture *fixture = *state;
	static struct order order;
	struct pccl_rng rng;
	uint64_t base_ns = pccl_clock_ns();
	int expected = 0;
	int i;

	memset(&order, 0, sizeof(order));
	order.loop = fixture->loop;
	pccl_rng_seed(&rng, 8);
	for (i = 0; i < TIMERS; i++) {
		order.timers[i].fire = note_fired;
		order.timers[i].context = &order;
		pccl_loop_timer_set(fixture->loop, &order.timers[i], base_ns + 1 + pccl_rng_below(&rng, 1000000));
	}
	for (i = 0; i < TIMERS; i++) {
		order.when_ns[i] = base_ns + 1 + pccl_rng_below(&rng, 1000000);
		if (pccl_rng_chance(&rng, 1, 3)) {
			pccl_loop_timer_clear(fixture->loop, &order.timers[i]);
			pccl_loop_timer_clear(fixture->loop, &order.timers[i]);
			assert_int_equal(order.timers[i].when_ns, 0);
			continue;
		}
		pccl_loop_timer_set(fixture->loop, &order.timers[i], order.when_ns[i]);
		expected++;
	}
	run_until_fired(&order, expected);
	for (i = 1; i < expected; i++)
		assert_true(order.when_ns[order.fired[i - 1]] <= order.when_ns[order.fired[i]]);
}

static void timer_is_never_early(void **state)
{
	struct fixture *fixture = *state;
	static struct order order;
	uint64_t when_ns = pccl_clock_ns() + 3300000;

	memset(&order, 0, sizeof(order));
	order.loop = fixture->loop;
	order.timers[0].fire = note_fired;
	order.timers[0].context = &order;
	pccl_loop_timer_set(fixture->loop, &order.timers[0], when_ns);
	run_until_fired(&order, 1);
	assert_true(pccl_loop_now(fixture->loop) >= when_ns);
}

static void set_again_at_once(struct pccl_timer *timer)
{
	struct order *order = timer->context;

	order->count++;
	pccl_loop_timer_set(order->loop, timer, 1);
}

static void timer_that_sets_itself_for_ever_does_not_hold_the_turn(void **state)
{
	struct fixture *fixture = *state;
	static struct order order;

	memset(&order, 0, sizeof(order));
	order.loop = fixture->loop;
	order.timers[0].fire = set_again_at_once;
	order.timers[0].context = &order;
	pccl_loop_timer_set(fixture->loop, &order.timers[0], 1);
	pccl_loop_turn(fixture->loop, UINT64_MAX);
	assert_true(order.count > 0);
	pccl_loop_timer_clear(fixture->loop, &order.timers[0]);
}

/* ---- tasks --------------------------------------------------------------------------------------------------- */

struct poster {
	struct pccl_loop *loop;
	struct pccl_task tasks[POSTS_EACH];
	int next;   /* number of the task that must come next */
	int *total; /* all tasks run, over all posters */
	pthread_t thread;
};

static void check_order(struct pccl_task *task)
{
	struct poster *poster = task->context;

	assert_ptr_equal(task, &poster->tasks[poster->next]);
	poster->next++;
	if (++*poster->total == POSTERS * POSTS_EACH)
		pccl_loop_stop(poster->loop);
}

static void *post_all(void *argument)
{
	struct poster *poster = argument;
	int i;

	for (i = 0; i < POSTS_EACH; i++) {
		poster->tasks[i].run = check_order;
		poster->tasks[i].context = poster;
		pccl_loop_post(poster->loop, &poster->tasks[i]);
		if (i % 1000 == 0)
			usleep(100); /* lets the loop fall asleep now and then */
	}
	return NULL;
}

static void tasks_of_four_threads_all_run_in_each_threads_order(void **state)
{
	struct fixture *fixture = *state;
	static struct poster posters[POSTERS];
	int total = 0;
	int i;

	memset(posters, 0, sizeof(posters));
	for (i = 0; i < POSTERS; i++) {
		posters[i].loop = fixture->loop;
		posters[i].total = &total;
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post_all, &posters[i]), 0);
	}
	pccl_loop_run(fixture->loop);
	for (i = 0; i < POSTERS; i++)
		pthread_join(posters[i].thread, NULL);
	assert_int_equal(total, POSTERS * POSTS_EACH);
}

static void count_run(struct pccl_task *task)
{
	++*(int *)task->context;
}

static void tasks_posted_before_stop_are_run(void **state)
{
	struct fixture *fixture = *state;
	int count = 0;
	struct pccl_task first = {.run = count_run, .context = &count};
	struct pccl_task second = {.run = count_run, .context = &count};

	pccl_loop_post(fixture->loop, &first);
	pccl_loop_post(fixture->loop, &second);
	pccl_loop_stop(fixture->loop);
	pccl_loop_run(fixture->loop);
	assert_int_equal(count, 2);
}

static void loop_does_not_fall_asleep_over_a_posted_task(void **state)
{
	struct fixture *fixture = *state;
	int count = 0;
	struct pccl_task task = {.run = count_run, .context = &count};
	uint64_t start_ns = pccl_clock_ns();

	pccl_loop_post(fixture->loop, &task); /* it is awake: nobody rings */
	pccl_loop_turn(fixture->loop, start_ns + UINT64_C(20000000000));
	assert_int_equal(count, 1);
	assert_true(pccl_clock_ns() - start_ns < UINT64_C(15000000000));
}

static double cpu_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void idle_loop_sleeps(void **state)
{
	struct fixture *fixture = *state;
	double before = cpu_seconds();

	pccl_loop_turn(fixture->loop, pccl_clock_ns() + 100000000);
	assert_true(cpu_seconds() - before < 0.02);
}

/* ---- descriptors --------------------------------------------------------------------------------------------- */

struct pair {
	struct pccl_loop *loop;
	struct pccl_watch watches[2];
	int pipes[2][2];
	int ready_count;
};

static void unwatch_both(struct pccl_watch *watch, uint32_t events)
{
	struct pair *pair = watch->context;

	(void)events;
	pair->ready_count++;
	pccl_loop_unwatch(pair->loop, &pair->watches[0]);
	pccl_loop_unwatch(pair->loop, &pair->watches[1]);
}

static void make_ready_pair(struct pair *pair, struct pccl_loop *loop)
{
	int i;

	memset(pair, 0, sizeof(*pair));
	pair->loop = loop;
	for (i = 0; i < 2; i++) {
		assert_int_equal(pipe(pair->pipes[i]), 0);
		pair->watches[i].fd = pair->pipes[i][0];
		pair->watches[i].ready = unwatch_both;
		pair->watches[i].context = pair;
		assert_int_equal(pccl_loop_watch(loop, &pair->watches[i], EPOLLIN), pcclSuccess);
		assert_int_equal(write(pair->pipes[i][1], "x", 1), 1);
	}
}

static void close_pair(struct pair *pair)
{
	int i;

	for (i = 0; i < 2; i++) {
		close(pair->pipes[i][0]);
		close(pair->pipes[i][1]);
	}
}

static void watch_ended_inside_ready_is_not_called_in_the_same_turn(void **state)
{
	struct fixture *fixture = *state;
	struct pair pair;

	make_ready_pair(&pair, fixture->loop);
	pccl_loop_turn(fixture->loop, UINT64_MAX);
	assert_int_equal(pair.ready_count, 1);
	pccl_loop_turn(fixture->loop, 0);
	assert_int_equal(pair.ready_count, 1);
	close_pair(&pair);
}

static void count_ready(struct pccl_watch *watch, uint32_t events)
{
	struct pair *pair = watch->context;

	(void)events;
	pair->ready_count++;
}

static void silent_watch_hears_not_even_a_hang_up(void **state)
{
	struct fixture *fixture = *state;
	struct pair pair;

	make_ready_pair(&pair, fixture->loop);
	pair.watches[0].ready = pair.watches[1].ready = count_ready;
	assert_int_equal(pccl_loop_watch(fixture->loop, &pair.watches[0], 0), pcclSuccess);
	pccl_loop_unwatch(fixture->loop, &pair.watches[1]);
	close(pair.pipes[0][1]);
	pair.pipes[0][1] = -1;
	pccl_loop_turn(fixture->loop, 0);
	assert_int_equal(pair.ready_count, 0);
	assert_int_equal(pccl_loop_watch(fixture->loop, &pair.watches[0], EPOLLIN), pcclSuccess);
	pccl_loop_turn(fixture->loop, 0);
	assert_int_equal(pair.ready_count, 1);
	pccl_loop_unwatch(fixture->loop, &pair.watches[0]);
	close_pair(&pair);
}

static void watching_a_bad_descriptor_fails_in_words(void **state)
{
	struct fixture *fixture = *state;
	struct pccl_watch watch = {.fd = -1, .ready = count_ready};

	assert_int_equal(pccl_loop_watch(fixture->loop, &watch, EPOLLIN), pcclSystemError);
	pccl_loop_unwatch(fixture->loop, &watch);
}

/* ---- hooks and leftovers ------------------------------------------------------------------------------------- */

struct chain {
	struct pccl_loop *loop;
	struct pccl_hook hooks[3];
	char ran[16]; /* digits of the hooks that ran */
	int count;
};

static void note_ran(struct pccl_hook *hook)
{
	struct chain *chain = hook->context;

	chain->ran[chain->count++] = (char)('0' + (hook - chain->hooks));
}

static void note_and_defer_again(struct pccl_hook *hook)
{
	struct chain *chain = hook->context;

	note_ran(hook);
	if (chain->count < 4)
		pccl_loop_defer(chain->loop, hook);
}

static void make_chain(struct chain *chain, struct pccl_loop *loop)
{
	int i;

	memset(chain, 0, sizeof(*chain));
	chain->loop = loop;
	for (i = 0; i < 3; i++) {
		chain->hooks[i].run = note_ran;
		chain->hooks[i].context = chain;
		pccl_loop_defer(loop, &chain->hooks[i]);
		pccl_loop_defer(loop, &chain->hooks[i]);
	}
}

static void hooks_run_once_in_order_at_the_end_of_the_turn(void **state)
{
	struct fixture *fixture = *state;
	struct chain chain;

	make_chain(&chain, fixture->loop);
	pccl_loop_turn(fixture->loop, UINT64_MAX); /* must not wait: there is work */
	pccl_loop_turn(fixture->loop, 0);
	assert_string_equal(chain.ran, "012");
}

static void hook_that_defers_itself_waits_for_the_next_turn(void **state)
{
	struct fixture *fixture = *state;
	struct chain chain;

	make_chain(&chain, fixture->loop);
	chain.hooks[0].run = note_and_defer_again;
	pccl_loop_turn(fixture->loop, UINT64_MAX);
	assert_string_equal(chain.ran, "012");
	pccl_loop_turn(fixture->loop, UINT64_MAX);
	assert_string_equal(chain.ran, "0120");
}

static void undeferred_hook_does_not_run(void **state)
{
	struct fixture *fixture = *state;
	struct chain chain;

	make_chain(&chain, fixture->loop);
	pccl_loop_undefer(fixture->loop, &chain.hooks[1]);
	pccl_loop_undefer(fixture->loop, &chain.hooks[1]);
	pccl_loop_turn(fixture->loop, 0);
	assert_string_equal(chain.ran, "02");
	make_chain(&chain, fixture->loop);
	pccl_loop_undefer(fixture->loop, &chain.hooks[2]);
	pccl_loop_undefer(fixture->loop, &chain.hooks[0]);
	pccl_loop_turn(fixture->loop, 0);
	assert_string_equal(chain.ran, "1");
}

struct rest {
	struct pccl_loop *loop;
	struct pccl_leftover leftover;
	struct pccl_timer timer;
	int abandoned;
	int ended;
};

static void abandon_rest(struct pccl_leftover *leftover)
{
	struct rest *rest = leftover->context;

	rest->abandoned++;
	pccl_loop_release(rest->loop, leftover);
}

static void end_rest(struct pccl_timer *timer)
{
	struct rest *rest = timer->context;

	rest->ended++;
	pccl_loop_release(rest->loop, &rest->leftover);
}

static void ending_loop_waits_for_leftovers_and_runs_no_task(void **state)
{
	struct pccl_loop *loop;
	struct rest rest = {0};
	int count = 0;
	struct pccl_task task = {.run = count_run, .context = &count};

	(void)state;
	assert_int_equal(pccl_loop_create(&loop), pcclSuccess);
	rest.loop = loop;
	rest.leftover.abandon = abandon_rest;
	rest.leftover.context = rest.timer.context = &rest;
	rest.timer.fire = end_rest;
	pccl_loop_keep(loop, &rest.leftover);
	pccl_loop_timer_set(loop, &rest.timer, pccl_clock_ns() + 20000000);
	pccl_loop_post(loop, &task);
	pccl_loop_destroy(loop);
	assert_int_equal(count, 0);
	assert_int_equal(rest.ended, 1);
	assert_int_equal(rest.abandoned, 0);
}

static void leftover_that_does_not_end_is_abandoned(void **state)
{
	struct pccl_loop *loop;
	struct rest rests[2] = {{0}, {0}};
	uint64_t start_ns = pccl_clock_ns();
	int i;

	(void)state;
	assert_int_equal(pccl_loop_create(&loop), pcclSuccess);
	for (i = 0; i < 2; i++) {
		rests[i].loop = loop;
		rests[i].leftover.abandon = abandon_rest;
		rests[i].leftover.context = &rests[i];
		pccl_loop_keep(loop, &rests[i].leftover);
	}
	pccl_loop_destroy(loop);
	assert_true(pccl_clock_ns() - start_ns < UINT64_C(15000000000));
	assert_int_equal(rests[0].abandoned + rests[1].abandoned, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(timers_fire_in_order_of_time_then_of_setting, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(cleared_and_moved_timers_fire_as_last_told, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(timer_is_never_early, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(timer_that_sets_itself_for_ever_does_not_hold_the_turn, make_loop,
						end_loop),
		cmocka_unit_test_setup_teardown(tasks_of_four_threads_all_run_in_each_threads_order, make_loop,
						end_loop),
		cmocka_unit_test_setup_teardown(tasks_posted_before_stop_are_run, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(loop_does_not_fall_asleep_over_a_posted_task, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(idle_loop_sleeps, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(watch_ended_inside_ready_is_not_called_in_the_same_turn, make_loop,
						end_loop),
		cmocka_unit_test_setup_teardown(silent_watch_hears_not_even_a_hang_up, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(watching_a_bad_descriptor_fails_in_words, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(hooks_run_once_in_order_at_the_end_of_the_turn, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(hook_that_defers_itself_waits_for_the_next_turn, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(undeferred_hook_does_not_run, make_loop, end_loop),
		cmocka_unit_test(ending_loop_waits_for_leftovers_and_runs_no_task),
		cmocka_unit_test(leftover_that_does_not_end_is_abandoned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
