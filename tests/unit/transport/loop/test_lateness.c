/* When timers fire that are due, where there is much to read. */
#include "transport/loop/loop.h"

#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/check.h"

static int make_loop(void **state)
{
	struct pccl_loop *loop;

	assert_int_equal(pccl_loop_create(&loop), pcclSuccess);
	*state = loop;
	return 0;
}

static int end_loop(void **state)
{
	pccl_loop_destroy(*state);
	return 0;
}

struct lateness {
	char order[4]; /* what came: a letter each */
	struct pccl_watch watch;
	struct pccl_timer timer;
	struct pccl_task task;
};

static void note_ready(struct pccl_watch *watch, uint32_t events)
{
	(void)events;
	strcat(((struct lateness *)watch->context)->order, "r");
}

static void note_due(struct pccl_timer *timer)
{
	strcat(((struct lateness *)timer->context)->order, "t");
}

static void note_posted(struct pccl_task *task)
{
	strcat(((struct lateness *)task->context)->order, "p");
}

/* Who was kept from looking must not take for late what has come in time. */
static void what_is_there_comes_before_timers_that_are_due(void **state)
{
	struct pccl_loop *loop = *state;
	struct lateness late = {.watch = {.ready = note_ready, .context = &late},
				.timer = {.fire = note_due, .context = &late},
				.task = {.run = note_posted, .context = &late}};
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	late.watch.fd = ends[0];
	assert_int_equal(pccl_loop_watch(loop, &late.watch, EPOLLIN), pcclSuccess);
	assert_int_equal(write(ends[1], "x", 1), 1);
	pccl_loop_timer_set(loop, &late.timer, 1);
	pccl_loop_post(loop, &late.task);
	pccl_loop_turn(loop, 0);
	assert_string_equal(late.order, "rpt");
	pccl_loop_unwatch(loop, &late.watch);
	close(ends[0]);
	close(ends[1]);
}

enum { CROWD = 150, TALKERS = 64 }; /* all: more than two turns hear; as many as one does */

struct crowd {
	struct pccl_watch watches[CROWD];
	bool heard[CROWD];
	struct pccl_timer timer;
	uint32_t heard_when_due;
	bool due;
	int silent[2]; /* a pipe with nothing in it, as the next is one with something */
	int talking[2];
};

static void note_heard(struct pccl_watch *watch, uint32_t events)
{
	bool *heard = watch->context;

	(void)events;
	*heard = true;
}

static void count_heard(struct pccl_timer *timer)
{
	struct crowd *crowd = timer->context;
	int i;

	crowd->due = true;
	for (i = 0; i < CROWD; i++)
		crowd->heard_when_due += crowd->heard[i];
}

/* So many of them always have something to say. */
static void gather(struct crowd *crowd, struct pccl_loop *loop, int talkers)
{
	int i;

	memset(crowd, 0, sizeof(*crowd));
	crowd->timer.fire = count_heard;
	crowd->timer.context = crowd;
	assert_int_equal(pipe(crowd->silent), 0);
	assert_int_equal(pipe(crowd->talking), 0);
	assert_int_equal(write(crowd->talking[1], "x", 1), 1);
	for (i = 0; i < CROWD; i++) {
		struct pccl_watch *watch = &crowd->watches[i];

		watch->fd = dup(i < talkers ? crowd->talking[0] : crowd->silent[0]);
		watch->ready = note_heard;
		watch->context = &crowd->heard[i];
		assert_int_equal(pccl_loop_watch(loop, watch, EPOLLIN), pcclSuccess);
	}
}

static void dissolve(struct crowd *crowd, struct pccl_loop *loop)
{
	int i;

	for (i = 0; i < CROWD; i++) {
		pccl_loop_unwatch(loop, &crowd->watches[i]);
		close(crowd->watches[i].fd);
	}
	for (i = 0; i < 2; i++) {
		close(crowd->silent[i]);
		close(crowd->talking[i]);
	}
}

static int turns_until_due(struct crowd *crowd, struct pccl_loop *loop)
{
	int turns;

	crowd->due = false;
	crowd->heard_when_due = 0;
	memset(crowd->heard, 0, sizeof(crowd->heard));
	pccl_loop_timer_set(loop, &crowd->timer, 1);
	for (turns = 0; !crowd->due; turns++)
		pccl_loop_turn(loop, 0);
	return turns;
}

static void timers_wait_until_all_have_been_heard_and_no_longer(void **state)
{
	struct pccl_loop *loop = *state;
	struct crowd crowd;
	int i;

	gather(&crowd, loop, CROWD);
	for (i = 0; i < 3; i++) {
		assert_int_equal(turns_until_due(&crowd, loop), 3);
		assert_int_equal(crowd.heard_when_due, CROWD);
	}
	dissolve(&crowd, loop);
}

/* However many others might. */
static void few_that_always_talk_delay_timers_by_a_turn(void **state)
{
	struct pccl_loop *loop = *state;
	struct crowd crowd;
	int i;

	gather(&crowd, loop, TALKERS);
	for (i = 0; i < 3; i++) {
		assert_int_equal(turns_until_due(&crowd, loop), 2);
		assert_int_equal(crowd.heard_when_due, TALKERS);
	}
	dissolve(&crowd, loop);
	gather(&crowd, loop, TALKERS - 1);
	assert_int_equal(turns_until_due(&crowd, loop), 1);
	dissolve(&crowd, loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_loop, end_loop)
		TEST(what_is_there_comes_before_timers_that_are_due),
		TEST(timers_wait_until_all_have_been_heard_and_no_longer),
		TEST(few_that_always_talk_delay_timers_by_a_turn),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
