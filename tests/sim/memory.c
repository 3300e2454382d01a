/* The library's heap, counted: at the end of a run everything must have come back. Takes the place of
 * base/memory.c. */
#include "base/memory.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static int64_t outstanding;

static void *counted(void *memory)
{
	if (memory == NULL)
		abort();
	outstanding++;
	return memory;
}

void *pccl_alloc(size_t bytes)
{
	return counted(malloc(bytes > 0 ? bytes : 1));
}

void *pccl_zalloc(size_t bytes)
{
	return counted(calloc(1, bytes > 0 ? bytes : 1));
}

void *pccl_calloc(size_t count, size_t size)
{
	return counted(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *pccl_realloc(void *memory, size_t bytes)
{
	if (memory != NULL)
		outstanding--;
	return counted(realloc(memory, bytes > 0 ? bytes : 1));
}

void *pccl_alloc_aligned(size_t alignment, size_t bytes)
{
	void *memory = NULL;

	if (posix_memalign(&memory, alignment, bytes > 0 ? bytes : 1) != 0)
		abort();
	return counted(memory);
}

void *pccl_alloc_large(size_t bytes)
{
	return pccl_alloc_aligned(64, bytes);
}

char *pccl_strdup(const char *text)
{
	size_t bytes = strlen(text) + 1;

	return memcpy(pccl_alloc(bytes), text, bytes);
}

void pccl_free(void *memory)
{
	if (memory != NULL)
		outstanding--;
	free(memory);
}

int64_t sim_memory_outstanding(void)
{
	return outstanding;
}
