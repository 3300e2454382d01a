/* Copying what is not read soon. */
#ifndef PCCL_BASE_COPY_H
#define PCCL_BASE_COPY_H

#include <stddef.h>

/* As memcpy(), but the copy passes the caches by: memory that is only written need not be read first, and what is in
 * the cache stays there. For copies that are larger than the nearest cache and likely never read. */
void pccl_copy_aside(void *to, const void *from, size_t bytes);

#endif
