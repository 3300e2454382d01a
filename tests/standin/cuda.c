/* See standin.h. */
#include "standin/standin.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define REGIONS 256
#define QUEUE 1024

#define EXPORT __attribute__((visibility("default")))

enum { OK = 0, INVALID = 1, NO_MEMORY = 2, NO_DEVICE = 101, NO_CONTEXT = 201, LAUNCH_FAILED = 719 };

struct context {
	int device;
	long retained;
};

struct stream {
	struct context *context;
	struct copy {
		void *to;
		const void *from;
		size_t bytes;
	} queue[QUEUE];
	size_t begun;
	size_t done;
	struct stream *next;
};

struct event {
	struct context *context;
	struct stream *stream;
	size_t position;
};

struct region {
	uint8_t *shown; /* the device's address, or pinned memory */
	uint8_t *real;
	size_t bytes;
	int device; /* negative: pinned */
	int pooled;
};

static struct context contexts[STANDIN_DEVICES] = {{0, 0}, {1, 0}};
static struct region regions[REGIONS];
static struct stream *streams;
static long to_fail, failed, left, copies, waits;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread struct context *entered;

/* The driver's interface; its header is not there. */
int cuInit(unsigned int flags);
int cuGetErrorString(int error, const char **text);
int cuDeviceGet(int *device, int ordinal);
int cuDevicePrimaryCtxRetain(struct context **context, int device);
int cuDevicePrimaryCtxRelease_v2(int device);
int cuCtxGetCurrent(struct context **context);
int cuCtxSetCurrent(struct context *context);
int cuCtxSynchronize(void);
int cuPointerGetAttribute(void *value, int attribute, uint64_t pointer);
int cuMemHostAlloc(void **memory, size_t bytes, unsigned int flags);
int cuMemFreeHost(void *memory);
int cuStreamCreate(struct stream **stream, unsigned int flags);
int cuStreamDestroy_v2(struct stream *stream);
int cuStreamSynchronize(struct stream *stream);
int cuEventCreate(struct event **event, unsigned int flags);
int cuEventDestroy_v2(struct event *event);
int cuEventRecord(struct event *event, struct stream *stream);
int cuEventSynchronize(struct event *event);
int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, struct stream *stream);
int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, struct stream *stream);

static void die(const char *why)
{
	fprintf(stderr, "stand-in for the CUDA driver: %s\n", why);
	abort();
}

static int fails(void)
{
	int now = __atomic_load_n(&to_fail, __ATOMIC_RELAXED) > 0 &&
		  __atomic_sub_fetch(&to_fail, 1, __ATOMIC_RELAXED) == 0;

	if (now)
		__atomic_store_n(&failed, 1, __ATOMIC_RELAXED);
	return now;
}

static void count(long more)
{
	__atomic_add_fetch(&left, more, __ATOMIC_RELAXED);
}

/* Under the lock. */
static struct region *region_of(uint64_t address, size_t bytes)
{
	size_t index;

	for (index = 0; index < REGIONS; index++) {
		struct region *region = &regions[index];
		uint64_t from = (uint64_t)(uintptr_t)region->shown;

		if (region->shown != NULL && address >= from && address + bytes <= from + region->bytes)
			return region;
	}
	return NULL;
}

static struct region *free_region(void)
{
	size_t index;

	for (index = 0; index < REGIONS; index++)
		if (regions[index].shown == NULL)
			return &regions[index];
	die("too many allocations");
	return NULL;
}

/* Under the lock: does what was begun, up to a position. */
static void run(struct stream *stream, size_t position)
{
	if (stream->done < position)
		waits++;
	for (; stream->done < position; stream->done++) {
		const struct copy *copy = &stream->queue[stream->done % QUEUE];

		memcpy(copy->to, copy->from, copy->bytes);
	}
}

/* ---- the driver ------------------------------ */

EXPORT int cuInit(unsigned int flags)
{
	return flags != 0 ? INVALID : fails() ? NO_DEVICE : OK;
}

EXPORT int cuGetErrorString(int error, const char **text)
{
	*text = error == INVALID	 ? "invalid argument"
		: error == NO_MEMORY	 ? "out of memory"
		: error == NO_DEVICE	 ? "no CUDA-capable device is detected"
		: error == NO_CONTEXT	 ? "invalid device context"
		: error == LAUNCH_FAILED ? "unspecified launch failure"
					 : NULL;
	return *text != NULL ? OK : INVALID;
}

EXPORT int cuDeviceGet(int *device, int ordinal)
{
	*device = ordinal;
	return ordinal < 0 || ordinal >= STANDIN_DEVICES ? NO_DEVICE : fails() ? NO_DEVICE : OK;
}

EXPORT int cuDevicePrimaryCtxRetain(struct context **context, int device)
{
	if (fails())
		return NO_MEMORY;
	*context = &contexts[device];
	__atomic_add_fetch(&contexts[device].retained, 1, __ATOMIC_RELAXED);
	count(1);
	return OK;
}

EXPORT int cuDevicePrimaryCtxRelease_v2(int device)
{
	if (__atomic_sub_fetch(&contexts[device].retained, 1, __ATOMIC_RELAXED) < 0)
		die("a context is released that was not retained");
	count(-1);
	return OK;
}

EXPORT int cuCtxGetCurrent(struct context **context)
{
	*context = entered;
	return fails() ? NO_CONTEXT : OK;
}

/* Going back to what the program had does not fail. */
EXPORT int cuCtxSetCurrent(struct context *context)
{
	if (context != NULL && fails())
		return NO_CONTEXT;
	count((context != NULL) - (entered != NULL));
	entered = context;
	return OK;
}

EXPORT int cuCtxSynchronize(void)
{
	struct stream *stream;

	if (entered == NULL)
		return NO_CONTEXT;
	if (fails())
		return LAUNCH_FAILED;
	pthread_mutex_lock(&lock);
	for (stream = streams; stream != NULL; stream = stream->next)
		if (stream->context == entered)
			run(stream, stream->begun);
	pthread_mutex_unlock(&lock);
	return OK;
}

EXPORT int cuPointerGetAttribute(void *value, int attribute, uint64_t pointer)
{
	struct region *region;
	int result = OK;

	pthread_mutex_lock(&lock);
	region = region_of(pointer, 1);
	if (region == NULL || region->device < 0) {
		result = INVALID;
	} else if (attribute == 1) {
		*(struct context **)value = region->pooled ? NULL : &contexts[region->device];
	} else if (attribute == 9) {
		*(int *)value = region->device;
	} else {
		result = INVALID;
	}
	pthread_mutex_unlock(&lock);
	return fails() ? LAUNCH_FAILED : result;
}

EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned int flags)
{
	struct region *region;

	if (entered == NULL || flags != 1)
		die("memory is pinned outside any context, or for one only");
	if (fails())
		return NO_MEMORY;
	*memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (*memory == MAP_FAILED)
		return NO_MEMORY;
	pthread_mutex_lock(&lock);
	region = free_region();
	region->shown = region->real = *memory;
	region->bytes = bytes;
	region->device = -1;
	pthread_mutex_unlock(&lock);
	count(1);
	return OK;
}

EXPORT int cuMemFreeHost(void *memory)
{
	struct region *region;

	if (entered == NULL)
		die("pinned memory is freed outside any context");
	pthread_mutex_lock(&lock);
	region = region_of((uint64_t)(uintptr_t)memory, 1);
	if (region == NULL || region->shown != memory || region->device >= 0)
		die("what was not pinned is freed");
	munmap(region->shown, region->bytes);
	memset(region, 0, sizeof(*region));
	pthread_mutex_unlock(&lock);
	count(-1);
	return OK;
}

EXPORT int cuStreamCreate(struct stream **stream, unsigned int flags)
{
	if (entered == NULL)
		return NO_CONTEXT;
	if (flags != 0 || fails())
		return INVALID;
	*stream = calloc(1, sizeof(**stream));
	if (*stream == NULL)
		return NO_MEMORY;
	(*stream)->context = entered;
	pthread_mutex_lock(&lock);
	(*stream)->next = streams;
	streams = *stream;
	pthread_mutex_unlock(&lock);
	count(1);
	return OK;
}

EXPORT int cuStreamDestroy_v2(struct stream *stream)
{
	struct stream **at;

	pthread_mutex_lock(&lock);
	if (stream->done != stream->begun)
		die("a stream ends before its copies");
	for (at = &streams; *at != stream; at = &(*at)->next)
		;
	*at = stream->next;
	pthread_mutex_unlock(&lock);
	free(stream);
	count(-1);
	return OK;
}

EXPORT int cuStreamSynchronize(struct stream *stream)
{
	pthread_mutex_lock(&lock);
	run(stream, stream->begun);
	pthread_mutex_unlock(&lock);
	return fails() ? LAUNCH_FAILED : OK;
}

EXPORT int cuEventCreate(struct event **event, unsigned int flags)
{
	if (entered == NULL || flags != 2)
		return INVALID;
	if (fails())
		return NO_MEMORY;
	*event = calloc(1, sizeof(**event));
	if (*event == NULL)
		return NO_MEMORY;
	(*event)->context = entered;
	count(1);
	return OK;
}

EXPORT int cuEventDestroy_v2(struct event *event)
{
	free(event);
	count(-1);
	return OK;
}

EXPORT int cuEventRecord(struct event *event, struct stream *stream)
{
	if (event->context != stream->context)
		die("an event of another context");
	if (fails())
		return INVALID;
	event->stream = stream;
	event->position = stream->begun;
	return OK;
}

EXPORT int cuEventSynchronize(struct event *event)
{
	pthread_mutex_lock(&lock);
	if (event->stream != NULL)
		run(event->stream, event->position);
	pthread_mutex_unlock(&lock);
	return fails() ? LAUNCH_FAILED : OK;
}

static int begin(void *to, const void *from, size_t bytes, int outwards, struct stream *stream)
{
	struct region *host, *device;
	struct copy *copy;

	if (fails())
		return LAUNCH_FAILED;
	pthread_mutex_lock(&lock);
	host = region_of((uint64_t)(uintptr_t)(outwards ? to : from), bytes);
	device = region_of((uint64_t)(uintptr_t)(outwards ? from : to), bytes);
	if (device == NULL || device->device < 0 || host == NULL || host->device >= 0)
		die("a copy that is not between a device and pinned memory");
	if (entered == NULL || stream->context != entered || device->device != entered->device)
		die("a copy in a context that is not the memory's");
	if (stream->begun - stream->done == QUEUE)
		run(stream, stream->done + 1);
	copy = &stream->queue[stream->begun++ % QUEUE];
	copy->to = outwards ? to : device->real + ((uint8_t *)to - device->shown);
	copy->from = outwards ? device->real + ((const uint8_t *)from - device->shown) : from;
	copy->bytes = bytes;
	copies++;
	pthread_mutex_unlock(&lock);
	return OK;
}

EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, struct stream *stream)
{
	return begin(to, (const void *)(uintptr_t)from, bytes, 1, stream);
}

EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, struct stream *stream)
{
	return begin((void *)(uintptr_t)to, from, bytes, 0, stream);
}

/* ---- what tests see ------------------------------ */

static void *standin_alloc(int device, size_t bytes, int pooled)
{
	size_t rounded = (bytes + 4095) / 4096 * 4096;
	int file = memfd_create("standin", MFD_CLOEXEC);
	struct region region;

	if (file < 0 || ftruncate(file, (off_t)rounded) != 0)
		die("no memory for a device");
	region.shown = mmap(NULL, rounded, PROT_NONE, MAP_SHARED, file, 0);
	region.real = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (region.shown == MAP_FAILED || region.real == MAP_FAILED)
		die("no memory for a device");
	close(file);
	region.bytes = bytes;
	region.device = device;
	region.pooled = pooled;
	pthread_mutex_lock(&lock);
	*free_region() = region;
	pthread_mutex_unlock(&lock);
	return region.shown;
}

static void *standin_peek(const void *device_memory)
{
	struct region *region;

	pthread_mutex_lock(&lock);
	region = region_of((uint64_t)(uintptr_t)device_memory, 1);
	pthread_mutex_unlock(&lock);
	if (region == NULL)
		die("no memory of a device");
	return region->real + ((const uint8_t *)device_memory - region->shown);
}

static void standin_fail(long nth)
{
	__atomic_store_n(&failed, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&to_fail, nth, __ATOMIC_RELAXED);
}

static int standin_failed(void)
{
	return (int)__atomic_load_n(&failed, __ATOMIC_RELAXED);
}

static long standin_left(void)
{
	return __atomic_load_n(&left, __ATOMIC_RELAXED);
}

static long standin_copies(void)
{
	return __atomic_load_n(&copies, __ATOMIC_RELAXED);
}

static long standin_waits(void)
{
	return __atomic_load_n(&waits, __ATOMIC_RELAXED);
}

EXPORT const struct standin pccl_standin = {.alloc = standin_alloc,
					    .peek = standin_peek,
					    .fail_at = standin_fail,
					    .failed = standin_failed,
					    .left = standin_left,
					    .copies = standin_copies,
					    .waits = standin_waits};
