/* A loop that changes hands: who may drive it, and that nothing is lost in between. */
#include "lib/check.h"

#include "transport/loop/loop.h"

#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static int make_loop(void **state)
{
	static struct pccl_loop *loop;

	assert_int_equal(pccl_loop_create(&loop), pcclSuccess);
	*state = loop;
	return 0;
}

static int end_loop(void **state)
{
	pccl_loop_destroy(*state);
	return 0;
}

static void count_run(struct pccl_task *task)
{
	++*(int *)task->context;
}

#define DRIVERS 3
#define DRIVES_EACH 2000

struct parking {
	struct pccl_loop *loop;
	struct pccl_task tasks[DRIVERS][DRIVES_EACH];
	int runs; /* the loop's thread's, as the next */
	int turns;
	int driven; /* turns by those who took it */
};

static void note_run(struct pccl_task *task)
{
	struct parking *parking = task->context;

	parking->runs++;
}

static void *park_again_and_again(void *context)
{
	struct parking *parking = context;

	while (!pccl_loop_is_stopping(parking->loop)) {
		pccl_loop_turn(parking->loop, UINT64_MAX);
		parking->turns++;
		(void)pccl_loop_park(parking->loop, 50000);
	}
	pccl_loop_run(parking->loop);
	return NULL;
}

struct driver {
	struct parking *parking;
	struct pccl_task *tasks;
	pthread_t thread;
};

/* Posts, and drives when it may: then the task has run afterwards, by a turn of its own. */
static void *post_and_drive(void *context)
{
	const struct driver *driver = context;
	struct parking *parking = driver->parking;
	int i;

	for (i = 0; i < DRIVES_EACH; i++) {
		bool drives = pccl_loop_take(parking->loop, i % 2 == 0);

		driver->tasks[i].run = note_run;
		driver->tasks[i].context = parking;
		pccl_loop_post(parking->loop, &driver->tasks[i]);
		if (!drives)
			continue;
		pccl_loop_turn(parking->loop, UINT64_MAX);
		parking->turns++;
		parking->driven++;
		if (i % 500 == 0)
			usleep(200);
		pccl_loop_give(parking->loop, i % 7 == 0);
	}
	return NULL;
}

static void a_parked_loop_belongs_to_one_thread_at_a_time_and_loses_no_task(void **state)
{
	struct pccl_loop *loop = *state;
	static struct parking parking;
	struct driver drivers[DRIVERS];
	pthread_t thread;
	int i;

	memset(&parking, 0, sizeof(parking));
	parking.loop = loop;
	assert_int_equal(pthread_create(&thread, NULL, park_again_and_again, &parking), 0);
	for (i = 0; i < DRIVERS; i++) {
		drivers[i].parking = &parking;
		drivers[i].tasks = parking.tasks[i];
		assert_int_equal(pthread_create(&drivers[i].thread, NULL, post_and_drive, &drivers[i]), 0);
	}
	for (i = 0; i < DRIVERS; i++)
		pthread_join(drivers[i].thread, NULL);
	pccl_loop_stop(parking.loop);
	pthread_join(thread, NULL);
	assert_int_equal(parking.runs, DRIVERS * DRIVES_EACH);
	assert_true(parking.turns >= parking.driven);
}

static void parked_loop_comes_back_when_nobody_takes_it(void **state)
{
	struct pccl_loop *loop = *state;
	uint64_t start_ns = pccl_clock_ns();

	assert_false(pccl_loop_park(loop, 2000000));
	assert_true(pccl_clock_ns() - start_ns >= 2000000);
	assert_false(pccl_loop_take(loop, false)); /* it has a thread */
}

static void parked_loop_comes_back_for_what_is_to_be_done(void **state)
{
	struct pccl_loop *loop = *state;
	int count = 0;
	struct pccl_task task = {.run = count_run, .context = &count};

	pccl_loop_post(loop, &task);
	assert_true(pccl_loop_park(loop, UINT64_C(100000000000)));
	pccl_loop_turn(loop, 0);
	assert_int_equal(count, 1);
	pccl_loop_stop(loop);
	assert_true(pccl_loop_park(loop, UINT64_C(100000000000)));
}

/* Who rings has told nobody else: a driver that is about to wait must not miss it. */
static void ring_ends_the_next_wait(void **state)
{
	struct pccl_loop *loop = *state;

	alarm(60);
	pccl_loop_ring(loop);
	pccl_loop_turn(loop, UINT64_MAX);
	pccl_loop_ring(loop);
	pccl_loop_ring(loop);
	pccl_loop_turn(loop, UINT64_MAX);
	alarm(0);
}

static void *park_once(void *context)
{
	struct parking *parking = context;

	parking->driven = pccl_loop_park(parking->loop, 2000000);
	__atomic_store_n(&parking->turns, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Calls that fail at once take the loop and serve nobody. */
static void loop_that_is_taken_in_vain_comes_back(void **state)
{
	struct parking parking = {.loop = *state};
	pthread_t thread;

	alarm(60);
	assert_int_equal(pthread_create(&thread, NULL, park_once, &parking), 0);
	while (__atomic_load_n(&parking.turns, __ATOMIC_ACQUIRE) == 0) {
		if (pccl_loop_take(parking.loop, false))
			pccl_loop_give(parking.loop, false);
		usleep(100);
	}
	pthread_join(thread, NULL);
	assert_false(parking.driven);
	alarm(0);
}

struct readable {
	struct pccl_watch watch;
	int ready_count;
	int runs_before; /* tasks that ran before that */
};

static void count_ready(struct pccl_watch *watch, uint32_t events)
{
	struct readable *readable = watch->context;

	(void)events;
	readable->ready_count++;
}

static void begin_to_drive(struct pccl_loop *loop, bool hurries)
{
	assert_false(pccl_loop_park(loop, 0));
	pccl_loop_give(loop, false);
	assert_true(pccl_loop_take(loop, hurries));
}

static void count_runs_before_ready(struct pccl_task *task)
{
	struct readable *readable = task->context;

	readable->runs_before += readable->ready_count == 0;
}

/* What is posted runs before what has come is read. Who hurries reads in the next turn only, but then, however much is
 * posted. */
static void what_a_driver_posts_runs_before_anything_is_read(void **state)
{
	struct pccl_loop *loop = *state;
	struct pccl_task tasks[2];
	int pipes[2], hurries, i;

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	for (hurries = 0; hurries < 2; hurries++) {
		struct readable readable = {.watch = {.ready = count_ready, .context = &readable, .fd = pipes[0]}};

		assert_int_equal(pccl_loop_watch(loop, &readable.watch, EPOLLIN), pcclSuccess);
		begin_to_drive(loop, hurries != 0);
		for (i = 0; i < 2; i++) {
			tasks[i] = (struct pccl_task){.run = count_runs_before_ready, .context = &readable};
			pccl_loop_post(loop, &tasks[i]);
			pccl_loop_turn(loop, UINT64_MAX);
			assert_int_equal(readable.runs_before, 1);
			assert_int_equal(readable.ready_count, i + 1 - hurries);
		}
		pccl_loop_unwatch(loop, &readable.watch);
	}
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_parked_loop_belongs_to_one_thread_at_a_time_and_loses_no_task,
						make_loop, end_loop),
		cmocka_unit_test_setup_teardown(parked_loop_comes_back_when_nobody_takes_it, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(ring_ends_the_next_wait, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(loop_that_is_taken_in_vain_comes_back, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(what_a_driver_posts_runs_before_anything_is_read, make_loop, end_loop),
		cmocka_unit_test_setup_teardown(parked_loop_comes_back_for_what_is_to_be_done, make_loop, end_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
