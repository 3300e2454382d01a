/* See chunks.h. */
#include "device/chunks.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/memory.h"
#include "device/window.h"

#define THREADS_MAX 256
#define TAKEN_BYTES ((uint64_t)4 << 20) /* about so much does a thread take at a time: neighbours in a file */
#define TAKEN_CHUNKS 4096u
#define GROUP_CHUNKS 64 /* small ones of a device are copied together */

/* Chunks that a thread has under way together: one, or several small ones. */
struct group {
	uint64_t first;
	size_t count;
	struct pccl_chunk chunks[GROUP_CHUNKS];
	struct pccl_window_piece pieces[GROUP_CHUNKS];
};

/* One thread. */
struct worker {
	struct pccl_chunk_work *work;
	struct pccl_window window;
	uint64_t chunk; /* the next of those that it has taken, up to */
	uint64_t end;
	size_t tensor; /* of `chunk`, or one before */
	struct group groups[PCCL_WINDOW_SLOTS];
};

uint32_t pccl_chunk_threads(void)
{
	cpu_set_t allowed;
	long count;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0)
		return (uint32_t)CPU_COUNT(&allowed);
	count = sysconf(_SC_NPROCESSORS_ONLN); /* more cores than the set can name */
	return count > 0 ? (uint32_t)count : 1;
}

uint64_t pccl_chunk_total(const struct pccl_chunk_tensor *tensors, size_t count)
{
	uint64_t total = 0;
	size_t index;

	for (index = 0; index < count; index++)
		total += pccl_chunk_count(tensors[index].bytes);
	return total;
}

/* ---- who does what ------------------------------ */

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

/* Less towards the end, so that all are done at about the same time. */
static uint64_t fair_share(const struct pccl_chunk_work *work, uint64_t left)
{
	uint64_t share = TAKEN_BYTES / work->piece_bytes;
	uint64_t even = left / (4 * (uint64_t)work->threads);

	share = share < TAKEN_CHUNKS ? share : TAKEN_CHUNKS;
	share = share < even ? share : even;
	return share > 0 ? share : 1;
}

static bool take_more(struct worker *worker)
{
	struct pccl_chunk_work *work = worker->work;
	uint64_t end = work->first[work->count];
	uint64_t from = __atomic_load_n(&work->next, __ATOMIC_RELAXED), to;

	do {
		if (from >= end || __atomic_load_n(&work->failed, __ATOMIC_RELAXED) != 0)
			return false;
		to = from + fair_share(work, end - from);
	} while (!__atomic_compare_exchange_n(&work->next, &from, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	worker->chunk = from;
	worker->end = to < end ? to : end;
	worker->tensor = tensor_of(work, from);
	return true;
}

/* Goes on to the next chunk that is to be worked on, among those that this thread has taken. */
static bool advance(struct worker *worker)
{
	const struct pccl_chunk_work *work = worker->work;

	while (worker->chunk < worker->end) {
		while (work->first[worker->tensor + 1] <= worker->chunk)
			worker->tensor++;
		if (!work->tensors[worker->tensor].kept)
			return true;
		worker->chunk = work->first[worker->tensor + 1];
	}
	return false;
}

static void add_chunk(struct worker *worker, struct group *group, size_t bytes)
{
	const struct pccl_chunk_work *work = worker->work;
	const struct pccl_chunk_tensor *tensor = &work->tensors[worker->tensor];
	uint64_t offset = (worker->chunk - work->first[worker->tensor]) * PCCL_CHUNK_BYTES;
	const struct pccl_chunk chunk = {.tensor = worker->tensor, .offset = offset, .bytes = bytes};
	const struct pccl_window_piece piece = {
		.name = tensor->name, .at = tensor->data + offset, .device = tensor->device, .bytes = bytes};

	group->chunks[group->count] = chunk;
	group->pieces[group->count++] = piece;
	worker->chunk++;
}

/* As many neighbours as fit. False: there is nothing left. */
static bool gather(struct worker *worker, struct group *group)
{
	const struct pccl_chunk_work *work = worker->work;
	size_t room = PCCL_CHUNK_BYTES;

	group->count = 0;
	while (!advance(worker))
		if (!take_more(worker))
			return false;
	group->first = worker->chunk;
	do {
		size_t bytes = pccl_chunk_length(work->tensors[worker->tensor].bytes,
						 worker->chunk - work->first[worker->tensor]);

		if (bytes > room || worker->chunk != group->first + group->count)
			break;
		add_chunk(worker, group, bytes);
		bytes += (PCCL_WINDOW_ALIGNMENT - bytes % PCCL_WINDOW_ALIGNMENT) % PCCL_WINDOW_ALIGNMENT;
		room -= bytes;
	} while (group->count < GROUP_CHUNKS && advance(worker));
	return true;
}

/* ---- what is done ------------------------------ */

static void digest(const struct pccl_chunk_work *work, const struct group *group, size_t index)
{
	const struct pccl_chunk *chunk = &group->chunks[index];

	pccl_chunk_work_digests(work, chunk->tensor)[chunk->offset / PCCL_CHUNK_BYTES] =
		pccl_digest_by(work->digest_kind, group->pieces[index].seen, chunk->bytes);
}

static pcclResult_t take_out(const struct pccl_chunk_work *work, const struct group *group)
{
	pcclResult_t result = pcclSuccess;
	size_t index;

	for (index = 0; result == pcclSuccess && index < group->count; index++) {
		if (work->take != NULL)
			result = work->take(work->context, &group->chunks[index], group->pieces[index].seen);
		digest(work, group, index);
	}
	return result;
}

/* One group is brought while the one before is worked on. */
static pcclResult_t run_out(struct worker *worker)
{
	struct pccl_window *window = &worker->window;
	pcclResult_t result = pcclSuccess;
	uint32_t turn = 0;
	bool more = gather(worker, &worker->groups[0]);

	if (more)
		result = pccl_window_begin(window, worker->groups[0].pieces, worker->groups[0].count);
	for (; more && result == pcclSuccess; turn++) {
		struct group *now = &worker->groups[turn % PCCL_WINDOW_SLOTS];
		struct group *then = &worker->groups[(turn + 1) % PCCL_WINDOW_SLOTS];

		more = gather(worker, then);
		if (more)
			result = pccl_window_begin(window, then->pieces, then->count);
		if (result == pcclSuccess)
			result = pccl_window_look(window);
		if (result == pcclSuccess)
			result = take_out(worker->work, now);
	}
	return result;
}

static pcclResult_t fill_in(const struct pccl_chunk_work *work, const struct group *group)
{
	pcclResult_t result = pcclSuccess;
	size_t index;

	for (index = 0; result == pcclSuccess && index < group->count; index++) {
		result = work->fill(work->context, &group->chunks[index], group->pieces[index].seen);
		if (result == pcclSuccess)
			digest(work, group, index);
	}
	return result;
}

static pcclResult_t run_in(struct worker *worker)
{
	struct group *group = &worker->groups[0];
	struct pccl_window *window = &worker->window;
	pcclResult_t result = pcclSuccess;

	while (result == pcclSuccess && gather(worker, group)) {
		result = pccl_window_room(window, group->pieces, group->count);
		if (result == pcclSuccess)
			result = fill_in(worker->work, group);
		if (result == pcclSuccess)
			result = pccl_window_store(window, group->pieces, group->count);
	}
	return result == pcclSuccess ? pccl_window_flush(window) : result;
}

static void *run_thread(void *argument)
{
	struct pccl_chunk_work *work = argument;
	struct worker worker = {.work = work};
	pcclResult_t result;

	pccl_window_init(&worker.window);
	result = work->fill != NULL ? run_in(&worker) : run_out(&worker);
	if (result != pcclSuccess && __atomic_exchange_n(&work->failed, 1, __ATOMIC_RELAXED) == 0) {
		work->result = result;
		(void)snprintf(work->text, sizeof(work->text), "%s", pccl_fail_text());
	}
	pccl_window_fini(&worker.window);
	return NULL;
}

/* ---- all of it ------------------------------ */

static pcclResult_t prepare(struct pccl_chunk_work *work)
{
	uint64_t bytes = 0, chunks;
	bool keeps = false;
	size_t index;

	work->next = 0;
	work->failed = 0;
	work->first = pccl_calloc(work->count + 1, sizeof(*work->first));
	if (work->first == NULL)
		return pcclOutOfMemory;
	for (index = 0; index < work->count; index++) {
		work->first[index + 1] = work->first[index] + pccl_chunk_count(work->tensors[index].bytes);
		bytes += work->tensors[index].bytes;
		keeps |= work->tensors[index].digests == NULL;
	}
	chunks = work->first[work->count];
	work->piece_bytes = chunks > 0 && bytes > chunks ? bytes / chunks : 1;
	if (keeps)
		work->digests = pccl_calloc(chunks, sizeof(*work->digests));
	return !keeps || work->digests != NULL ? pcclSuccess : pcclOutOfMemory;
}

/* Handlers of the host never run on a thread of the library. */
static bool start(pthread_t *thread_out, struct pccl_chunk_work *work)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	sigdelset(&all, SIGSEGV); /* faults are of this thread */
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(thread_out, NULL, run_thread, work);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error == 0;
}

pcclResult_t pccl_chunk_work_run(struct pccl_chunk_work *work, uint32_t threads)
{
	pthread_t helpers[THREADS_MAX];
	uint32_t count = 0;
	pcclResult_t result = prepare(work);

	if (result != pcclSuccess)
		return result;
	work->threads = threads > 0 ? threads : pccl_chunk_threads();
	if (work->threads > THREADS_MAX)
		work->threads = THREADS_MAX;
	/* This thread works, too: without any other it takes longer, that is all. A helper is worth its start if there
	 * is enough to do. */
	while (count + 1 < work->threads && (count + 1) * TAKEN_BYTES / work->piece_bytes < work->first[work->count] &&
	       start(&helpers[count], work))
		count++;
	(void)run_thread(work);
	while (count > 0)
		(void)pthread_join(helpers[--count], NULL);
	return work->failed == 0 ? pcclSuccess : pccl_fail(work->result, "%s", work->text);
}

void pccl_chunk_work_fini(struct pccl_chunk_work *work)
{
	pccl_free(work->first);
	pccl_free(work->digests);
	work->first = NULL;
	work->digests = NULL;
}

struct pccl_digest *pccl_chunk_work_digests(const struct pccl_chunk_work *work, size_t tensor)
{
	struct pccl_digest *own = work->tensors[tensor].digests;

	return own != NULL ? own : work->digests + work->first[tensor];
}

struct pccl_digest pccl_chunk_work_root(const struct pccl_chunk_work *work, size_t tensor)
{
	return pccl_digest_root(work->digest_kind, pccl_chunk_work_digests(work, tensor),
				work->first[tensor + 1] - work->first[tensor]);
}
