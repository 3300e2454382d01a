#include "comm/thread.h"

#include <signal.h>

#include "lib/check.h"

static void *tell_mask(void *context)
{
	pthread_sigmask(SIG_SETMASK, NULL, context);
	return NULL;
}

/* The program's signals go to the program's threads; a fault is of the thread that made it. */
static void threads_leave_signals_to_the_program(void **state)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
	static const int others[] = {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGALRM};
	sigset_t mask, before, after;
	pthread_t thread;
	size_t i;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	assert_int_equal(pccl_thread_start(&thread, "pccl test", tell_mask, &mask), pcclSuccess);
	pthread_join(thread, NULL);
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		assert_false(sigismember(&mask, faults[i]));
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_true(sigismember(&mask, others[i]));
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(sigismember(&before, others[i]), sigismember(&after, others[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_leave_signals_to_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
