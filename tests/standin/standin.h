/*
 * A stand-in for NVIDIA's driver: a library of that name with the few functions that pccl calls, and two devices made
 * of the host's memory. What belongs to a device has an address that faults when the program touches it. Copies
 * are done as late as may be: when they are waited for. Mistakes of the caller are errors, as in the real one, or end
 * the program: memory that is not pinned, a stream of another context, a context that is not the thread's.
 */
#ifndef PCCL_TESTS_STANDIN_H
#define PCCL_TESTS_STANDIN_H

#include <stddef.h>

#define STANDIN_DEVICES 2

struct standin {
	/* Memory of a device; `pooled`: of no context, as that of a pool is. It ends with the program. */
	void *(*alloc)(int device, size_t bytes, int pooled);
	/* The same bytes, where the program may touch them. */
	void *(*peek)(const void *device_memory);
	/* The nth call from now on that can fail does, counted from 1; 0: none. */
	void (*fail_at)(long nth);
	/* Did it? */
	int (*failed)(void);
	/* What was made, retained or entered by anybody, and was not ended: 0. */
	long (*left)(void);
	long (*copies)(void);
	/* Waits of a thread for work that was not done yet. */
	long (*waits)(void);
};

extern const struct standin pccl_standin;

#endif
