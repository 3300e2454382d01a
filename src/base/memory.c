/* The heap, with the cause recorded when it is exhausted. */
#include "base/memory.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fail.h"

#define SMALL_BYTES 1024

static void *checked(void *memory, size_t count, size_t size)
{
	if (memory == NULL)
		(void)pccl_fail(pcclOutOfMemory, "out of memory: %zu x %zu bytes", count, size);
	return memory;
}

void *pccl_alloc(size_t bytes)
{
	return checked(malloc(bytes > 0 ? bytes : 1), 1, bytes);
}

void *pccl_zalloc(size_t bytes)
{
	return pccl_calloc(1, bytes);
}

/* glibc's calloc() passes by what free() keeps at hand for malloc(). The compiler must not make one of the other. */
static void *zeroed(size_t bytes)
{
	void *memory = malloc(bytes);

	__asm__("" : : "r"(memory) : "memory");
	if (memory != NULL)
		memset(memory, 0, bytes);
	return memory;
}

void *pccl_calloc(size_t count, size_t size)
{
	size_t bytes;

	if (count == 0 || size == 0)
		return checked(calloc(1, 1), count, size);
	if (__builtin_mul_overflow(count, size, &bytes))
		return checked(NULL, count, size);
	return checked(bytes <= SMALL_BYTES ? zeroed(bytes) : calloc(count, size), count, size);
}

void *pccl_realloc(void *memory, size_t bytes)
{
	return checked(realloc(memory, bytes > 0 ? bytes : 1), 1, bytes);
}

void *pccl_alloc_aligned(size_t alignment, size_t bytes)
{
	void *memory = NULL;

	assert(alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0);
	if (posix_memalign(&memory, alignment, bytes > 0 ? bytes : 1) != 0)
		memory = NULL;
	return checked(memory, 1, bytes);
}

void *pccl_alloc_large(size_t bytes)
{
	size_t huge_bytes = (size_t)2 << 20;
	void *memory = pccl_alloc_aligned(bytes < huge_bytes ? 4096 : huge_bytes, bytes);

	if (memory != NULL && bytes >= huge_bytes)
		(void)madvise(memory, bytes / huge_bytes * huge_bytes, MADV_HUGEPAGE); /* advice: it may be refused */
	return memory;
}

char *pccl_strdup(const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = pccl_alloc(bytes);

	if (copy != NULL)
		memcpy(copy, text, bytes);
	return copy;
}

void pccl_free(void *memory)
{
	int saved_errno = errno;

	free(memory);
	errno = saved_errno;
}
