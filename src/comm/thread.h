/* Starting a thread of the library inside somebody else's process. */
#ifndef PCCL_THREAD_H
#define PCCL_THREAD_H

#include <pthread.h>

#include <pccl.h>

/* Starts a joinable thread with all signals blocked, so that the host's handlers never run on it. The name (15
 * characters) is for debuggers. Returns pcclSystemError. */
pcclResult_t pccl_thread_start(pthread_t *thread_out, const char *name, void *(*run)(void *context), void *context);

#endif
