#include "lib/forks.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"

#define FORKS 16
#define LIMIT_S 20 /* then a child hangs, and SIGALRM ends it */

struct user {
	void (*use)(void);
	bool stops; /* atomic, as the rest */
	bool begun;
};

static void *use_always(void *context)
{
	struct user *user = context;

	while (!__atomic_load_n(&user->stops, __ATOMIC_RELAXED)) {
		user->use();
		__atomic_store_n(&user->begun, true, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* What it ends with; negative: it does not. */
static int wait_for(pid_t child)
{
	int status;

	return child >= 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void forks_while_used(void (*use)(void))
{
	struct user user = {.use = use};
	pthread_t thread;
	int i, result = 0;

	assert_int_equal(pthread_create(&thread, NULL, use_always, &user), 0);
	while (!__atomic_load_n(&user.begun, __ATOMIC_RELAXED))
		;
	for (i = 0; i < FORKS && result == 0; i++) {
		const pid_t child = fork();

		if (child == 0) {
			(void)alarm(LIMIT_S);
			use();
			_exit(0);
		}
		result = wait_for(child);
	}
	__atomic_store_n(&user.stops, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(result, 0);
}

int forks_ask_child(int (*use)(void))
{
	const pid_t child = fork();

	if (child == 0)
		_exit(use());
	return wait_for(child);
}
