/* The callback that takes the lines of diagnostics. */
#include <pthread.h>
#include <stdbool.h>

#include <pccl/diagnostics.h>

#include "base/choice.h"
#include "base/fail.h"
#include "base/log.h"

/* Held while the callback runs: it sees one line at a time, and who changes it knows that it is not running. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t forks_are_watched = PTHREAD_ONCE_INIT;
static pcclLogCallback_t current;
static void *current_context;
static __thread bool inside; /* the callback, on this thread */

static bool take(pcclLogLevel_t level, const char *text)
{
	bool taken;

	if (inside)
		return false;
	pthread_mutex_lock(&lock);
	taken = current != NULL;
	inside = true;
	if (taken)
		current(level, text, current_context);
	inside = false;
	pthread_mutex_unlock(&lock);
	return taken;
}

/* Who held the lock is not in the child. */
static void free_lock_of_child(void)
{
	const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;

	lock = unlocked;
	inside = false;
}

static void watch_forks(void)
{
	(void)pthread_atfork(NULL, NULL, free_lock_of_child);
}

pcclResult_t pcclSetLogCallback(pcclLogCallback_t callback, void *context)
{
	if (inside)
		return pccl_fail(pcclInvalidUsage, "pcclSetLogCallback() was called by the log callback");
	(void)pthread_once(&forks_are_watched, watch_forks);
	pthread_mutex_lock(&lock);
	current = callback;
	current_context = context;
	pccl_log_set_taker(callback != NULL ? take : NULL);
	pthread_mutex_unlock(&lock);
	return pcclSuccess;
}

pcclResult_t pcclSetLogLevel(pcclLogLevel_t level)
{
	pcclResult_t result = pccl_choice_check("log level", pcclEnumLogLevel, (int)level);

	if (result == pcclSuccess)
		pccl_log_set_level(level);
	return result;
}
