/* See state_work.h. */
#include "comm/state_work.h"

#include <sched.h>

#include "comm/thread.h"

#define THREADS_MAX 64
#define BATCH 4				 /* chunks that a thread takes at a time */
#define THREAD_BYTES (UINT64_C(8) << 20) /* less than that for each is not worth a thread */

struct work {
	struct pccl_inventory *inventory;
	uint32_t next; /* atomic: chunks that nobody has taken yet */
};

static void *run(void *argument)
{
	struct work *work = argument;
	uint32_t end = work->inventory->chunk_count;

	for (;;) {
		uint32_t chunk = __atomic_fetch_add(&work->next, BATCH, __ATOMIC_RELAXED);
		uint32_t left;

		if (chunk >= end)
			return NULL;
		for (left = end - chunk < BATCH ? end - chunk : BATCH; left > 0; left--)
			pccl_inventory_digest_chunk(work->inventory, chunk++);
	}
}

static uint64_t threads_for(uint64_t bytes)
{
	uint64_t worth = bytes / THREAD_BYTES + 1, allowed = 1;
	cpu_set_t cores;

	if (sched_getaffinity(0, sizeof(cores), &cores) == 0)
		allowed = (uint64_t)CPU_COUNT(&cores);
	if (allowed > THREADS_MAX)
		allowed = THREADS_MAX;
	return worth < allowed ? worth : allowed;
}

void pccl_state_digest(struct pccl_inventory *inventory)
{
	struct work work = {.inventory = inventory};
	uint64_t threads = threads_for(inventory->bytes);
	pthread_t helpers[THREADS_MAX];
	uint32_t count = 0;

	while (count + 1 < threads && pccl_thread_start(&helpers[count], "pccl-digest", run, &work) == pcclSuccess)
		count++;
	(void)run(&work);
	while (count > 0)
		(void)pthread_join(helpers[--count], NULL);
}
