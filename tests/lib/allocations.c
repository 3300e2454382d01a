/* Wrappers around the allocator that fail when asked to. */
#include "allocations.h"

#include <errno.h>
#include <stdlib.h>

/* ld --wrap=NAME sends calls of NAME to __wrap_NAME and calls of __real_NAME to NAME. */
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t bytes);
int __real_posix_memalign(void **memory_out, size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t bytes);
int __wrap_posix_memalign(void **memory_out, size_t alignment, size_t bytes);

/* Allocations until the one that fails; below 1: none will. */
static long countdown;
static bool failed;

void check_fail_allocation(size_t nth)
{
	__atomic_store_n(&failed, false, __ATOMIC_RELAXED);
	__atomic_store_n(&countdown, (long)nth, __ATOMIC_RELAXED);
}

bool check_allocation_failed(void)
{
	return __atomic_load_n(&failed, __ATOMIC_RELAXED);
}

size_t check_allocations_left(void)
{
	long left = __atomic_load_n(&countdown, __ATOMIC_RELAXED);

	return left > 0 ? (size_t)left : 0;
}

static bool fails_now(void)
{
	if (__atomic_load_n(&countdown, __ATOMIC_RELAXED) < 1)
		return false;
	if (__atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED) != 0)
		return false;
	__atomic_store_n(&failed, true, __ATOMIC_RELAXED);
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t bytes)
{
	return fails_now() ? NULL : __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
	return fails_now() ? NULL : __real_realloc(memory, bytes);
}

int __wrap_posix_memalign(void **memory_out, size_t alignment, size_t bytes)
{
	return fails_now() ? ENOMEM : __real_posix_memalign(memory_out, alignment, bytes);
}
