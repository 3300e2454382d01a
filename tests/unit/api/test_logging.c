/* The log callback: one call at a time, never after it was replaced, and no harm from what it does. */
#include <pccl/diagnostics.h>

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "lib/check.h"

#define THREADS 4
#define LINES 2000

struct listener {
	int lines;
	int inside;
	int most_inside;
	pcclLogLevel_t level;
	char text[64];
	pcclResult_t nested;
};

static void listen_to(pcclLogLevel_t level, const char *text, void *context)
{
	struct listener *listener = context;
	int inside = __atomic_add_fetch(&listener->inside, 1, __ATOMIC_SEQ_CST);

	if (inside > listener->most_inside)
		listener->most_inside = inside;
	listener->lines++;
	listener->level = level;
	(void)strncpy(listener->text, text, sizeof(listener->text) - 1);
	__atomic_sub_fetch(&listener->inside, 1, __ATOMIC_SEQ_CST);
}

static void the_callback_gets_what_stderr_would(void **state)
{
	struct listener listener = {0};

	(void)state;
	assert_int_equal(pcclSetLogLevel(pcclLogWarn), pcclSuccess);
	assert_int_equal(pcclSetLogCallback(listen_to, &listener), pcclSuccess);
	pccl_log_info("not this");
	pccl_log_warn("peer %d is late", 3);
	assert_int_equal(listener.lines, 1);
	assert_int_equal(listener.level, pcclLogWarn);
	assert_string_equal(listener.text, "peer 3 is late");
	assert_int_equal(pcclSetLogCallback(NULL, NULL), pcclSuccess);
	assert_int_equal(pcclSetLogLevel(pcclLogNone), pcclSuccess);
	pccl_log_error("nor this");
	assert_int_equal(listener.lines, 1);
	assert_int_equal(pcclSetLogLevel((pcclLogLevel_t)0), pcclInvalidArgument);
	assert_int_equal(pcclSetLogLevel((pcclLogLevel_t)8), pcclInvalidArgument);
}

static void *talk(void *nothing)
{
	int i;

	for (i = 0; i < LINES; i++)
		pccl_log_warn("line %d", i);
	return nothing;
}

static void threads_are_heard_one_at_a_time(void **state)
{
	struct listener listener = {0};
	pthread_t threads[THREADS];
	int i;

	(void)state;
	(void)pcclSetLogLevel(pcclLogWarn);
	(void)pcclSetLogCallback(listen_to, &listener);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, talk, NULL), 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)pcclSetLogCallback(NULL, NULL);
	assert_int_equal(listener.lines, THREADS * LINES);
	assert_int_equal(listener.most_inside, 1);
}

static void answer_back(pcclLogLevel_t level, const char *text, void *context)
{
	struct listener *listener = context;

	(void)level;
	(void)text;
	listener->lines++;
	pccl_log_error("%s", "");
	listener->nested = pcclSetLogCallback(NULL, NULL);
}

static void a_callback_that_calls_the_library_does_not_hang(void **state)
{
	struct listener listener = {0};

	(void)state;
	(void)pcclSetLogLevel(pcclLogErr);
	(void)pcclSetLogCallback(answer_back, &listener);
	pccl_log_error("hello");
	(void)pcclSetLogCallback(NULL, NULL);
	assert_int_equal(listener.lines, 1);
	assert_int_equal(listener.nested, pcclInvalidUsage);
}

static void fork_inside(pcclLogLevel_t level, const char *text, void *context)
{
	struct listener *listener = context;
	pid_t child;
	int status = -1;

	(void)level;
	(void)text;
	if (listener->lines++ > 0)
		return;
	child = fork();
	if (child == 0) {
		(void)pcclSetLogCallback(listen_to, listener);
		pccl_log_error("from the child");
		_exit(strcmp(listener->text, "from the child") == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Another thread may be in the callback when a program forks; here it is this one. */
static void a_forked_child_finds_the_lock_free(void **state)
{
	struct listener listener = {0};

	(void)state;
	(void)pcclSetLogLevel(pcclLogErr);
	(void)pcclSetLogCallback(fork_inside, &listener);
	pccl_log_error("fork now");
	(void)pcclSetLogCallback(NULL, NULL);
	assert_int_equal(listener.lines, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_callback_gets_what_stderr_would),
		cmocka_unit_test(threads_are_heard_one_at_a_time),
		cmocka_unit_test(a_callback_that_calls_the_library_does_not_hang),
		cmocka_unit_test(a_forked_child_finds_the_lock_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
