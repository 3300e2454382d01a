/* See checkpoint_work.h. */
#include "store/checkpoint_work.h"

#include <errno.h>
#include <pthread.h>

#include "base/memory.h"

#define BATCH 4 /* chunks that a thread takes at a time: neighbours in the file */
#define THREADS_MAX 64

/* The tensor that a chunk is of: the last one whose first chunk is not behind it. */
static size_t tensor_of(const struct pccl_chunk_work *work, uint64_t chunk)
{
	size_t low = 0;
	size_t high = work->count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (work->first[middle] <= chunk)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static bool move_chunk(struct pccl_chunk_work *work, uint64_t chunk)
{
	size_t index = tensor_of(work, chunk);
	const struct pccl_manifest_tensor *tensor = work->tensors[index];
	uint64_t within = (chunk - work->first[index]) * PCCL_CHUNK_BYTES;
	size_t bytes = pccl_chunk_length(tensor->bytes, chunk - work->first[index]);
	uint8_t *at = (uint8_t *)work->data[index] + within;
	uint64_t offset = work->data_offset + tensor->offset + within;
	int result;

	if (work->writes)
		result = work->disk->write(work->disk->context, work->file, at, bytes, offset);
	else
		result = work->disk->read(work->disk->context, work->file, at, bytes, offset);
	if (result != 0) {
		__atomic_store_n(&work->failure, errno != 0 ? errno : PCCL_CHUNK_WORK_ENDED, __ATOMIC_RELAXED);
		return false;
	}
	work->digests[chunk] = pccl_digest_of(at, bytes);
	return true;
}

static void *run_thread(void *argument)
{
	struct pccl_chunk_work *work = argument;
	uint64_t end = work->first[work->count];

	for (;;) {
		uint64_t chunk = __atomic_fetch_add(&work->next, BATCH, __ATOMIC_RELAXED);
		uint64_t last = chunk + BATCH;

		if (chunk >= end || __atomic_load_n(&work->failure, __ATOMIC_RELAXED) != 0)
			return NULL;
		for (; chunk < last && chunk < end; chunk++)
			if (!move_chunk(work, chunk))
				return NULL;
	}
}

static bool prepare(struct pccl_chunk_work *work)
{
	size_t index;

	work->first = pccl_calloc(work->count + 1, sizeof(*work->first));
	if (work->first == NULL)
		return false;
	for (index = 0; index < work->count; index++)
		work->first[index + 1] = work->first[index] + pccl_chunk_count(work->tensors[index]->bytes);
	work->digests = pccl_calloc(work->first[work->count], sizeof(*work->digests));
	return work->digests != NULL;
}

bool pccl_chunk_work_run(struct pccl_chunk_work *work, uint32_t threads)
{
	pthread_t helpers[THREADS_MAX];
	uint32_t count = 0;

	work->failure = 0;
	work->next = 0;
	if (!prepare(work))
		return false;
	/* This thread works, too: without any other it takes longer, that is all. */
	while (count + 1 < threads && count < THREADS_MAX && count + 1 < work->first[work->count] / BATCH &&
	       pthread_create(&helpers[count], NULL, run_thread, work) == 0)
		count++;
	(void)run_thread(work);
	while (count > 0)
		(void)pthread_join(helpers[--count], NULL);
	return work->failure == 0;
}

void pccl_chunk_work_fini(struct pccl_chunk_work *work)
{
	pccl_free(work->first);
	pccl_free(work->digests);
	work->first = NULL;
	work->digests = NULL;
}

struct pccl_digest pccl_chunk_work_root(const struct pccl_chunk_work *work, size_t tensor)
{
	return pccl_digest_root(work->digests + work->first[tensor], work->first[tensor + 1] - work->first[tensor]);
}
