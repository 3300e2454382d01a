/* The heap. The only place of the library that calls the allocator. What a function returns as NULL it has recorded
 * as pcclOutOfMemory with pccl_fail(). Asking for 0 bytes gives a pointer that may only be freed. */
#ifndef PCCL_BASE_MEMORY_H
#define PCCL_BASE_MEMORY_H

#include <stddef.h>

/* All: the caller owns the memory and ends it with pccl_free(). Aligned for any type. NULL: out of memory. */
void *pccl_alloc(size_t bytes);

/* As pccl_alloc(), zeroed. */
void *pccl_zalloc(size_t bytes);

/* Zeroed memory for `count` objects of `size` bytes; a product that overflows is out of memory. */
void *pccl_calloc(size_t count, size_t size);

/* Grows or shrinks. On failure the old memory is untouched and still the caller's. `memory` may be NULL. */
void *pccl_realloc(void *memory, size_t bytes);

/* As pccl_alloc(), aligned to `alignment` (a power of two, at least sizeof(void *)). Ended with pccl_free(). */
void *pccl_alloc_aligned(size_t alignment, size_t bytes);

/* As pccl_alloc(), for buffers as large as tensors: page-aligned, on huge pages where the system has them, because
 * touching fresh small pages costs more than the copy that follows. Ended with pccl_free(). */
void *pccl_alloc_large(size_t bytes);

/* A copy of a string. */
char *pccl_strdup(const char *text);

/* Frees what the functions above returned. NULL is allowed. Keeps errno. */
void pccl_free(void *memory);

#endif
