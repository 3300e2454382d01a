#include "comm/lookup.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/text.h"
#include "comm/thread.h"

struct pccl_lookup {
	struct pccl_task task;
	pthread_mutex_t lock;
	bool cancelled; /* under the lock, as the next */
	bool posted;
	struct pccl_loop *loop;
	pccl_lookup_found *found;
	void *context;
	char host[256];
	uint16_t port;
	pcclResult_t result;
	struct pccl_address addresses[PCCL_LOOKUP_ADDRESSES];
	size_t count;
	char reason[PCCL_DETAIL_BYTES];
};

static void free_lookup(struct pccl_lookup *lookup)
{
	pthread_mutex_destroy(&lookup->lock);
	pccl_free(lookup);
}

/* On the loop's thread. */
static void tell(struct pccl_task *task)
{
	struct pccl_lookup *lookup = task->context;

	pthread_mutex_lock(&lookup->lock); /* until the thread has let go of it */
	pthread_mutex_unlock(&lookup->lock);
	if (!lookup->cancelled)
		lookup->found(lookup->context, lookup->result, lookup->addresses, lookup->count, lookup->reason);
	free_lookup(lookup);
}

static void *ask(void *context)
{
	struct pccl_lookup *lookup = context;
	bool cancelled;

	lookup->count = PCCL_LOOKUP_ADDRESSES;
	lookup->result = pccl_address_resolve(lookup->host, lookup->port, lookup->addresses, &lookup->count);
	if (lookup->result != pcclSuccess)
		pccl_text_copy(lookup->reason, sizeof(lookup->reason), pccl_fail_text());
	pthread_mutex_lock(&lookup->lock);
	cancelled = lookup->cancelled;
	lookup->posted = !cancelled;
	if (lookup->posted)
		pccl_loop_post(lookup->loop, &lookup->task);
	pthread_mutex_unlock(&lookup->lock);
	if (cancelled)
		free_lookup(lookup);
	return NULL;
}

pcclResult_t pccl_lookup_start(struct pccl_loop *loop, const char *host, uint16_t port, pccl_lookup_found *found,
			       void *context, struct pccl_lookup **lookup_out)
{
	struct pccl_lookup *lookup = pccl_zalloc(sizeof(*lookup));
	pthread_t thread;
	pcclResult_t result;

	*lookup_out = NULL;
	if (lookup == NULL)
		return pcclOutOfMemory;
	lookup->task.run = tell;
	lookup->task.context = lookup;
	lookup->loop = loop;
	lookup->found = found;
	lookup->context = context;
	lookup->port = port;
	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	pthread_mutex_init(&lookup->lock, NULL);
	result = pccl_thread_start(&thread, "pccl-lookup", ask, lookup);
	if (result != pcclSuccess) {
		free_lookup(lookup);
		return result;
	}
	pthread_detach(thread);
	*lookup_out = lookup;
	return pcclSuccess;
}

void pccl_lookup_cancel(struct pccl_lookup *lookup)
{
	if (lookup == NULL)
		return;
	pthread_mutex_lock(&lookup->lock);
	lookup->cancelled = true;
	pthread_mutex_unlock(&lookup->lock); /* from here on it may be gone: by its thread, or by tell() */
}
