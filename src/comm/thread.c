#include "comm/thread.h"

#include <signal.h>
#include <string.h>

#include "base/fail.h"

pcclResult_t pccl_thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *context), void *context)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV); /* faults are of this thread: let the host's crash handler see them */
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread_out, NULL, run, context);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return pccl_fail(pcclSystemError, "cannot start thread %s: %s", name, strerror(error));
	(void)pthread_setname_np(*thread_out, name);
	return pcclSuccess;
}
