#include "base/copy.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)

#include <emmintrin.h>

#define LINE_BYTES 64
#define AHEAD_BYTES 2048 /* the source may be in memory, too; see crc32c_parts.h */

/* `to` begins a line of the cache. */
static void stream_line(uint8_t *to, const uint8_t *from)
{
	__m128i *out = (__m128i *)(void *)to;
	__m128i a = _mm_loadu_si128((const void *)from);
	__m128i b = _mm_loadu_si128((const void *)(from + 16));
	__m128i c = _mm_loadu_si128((const void *)(from + 32));
	__m128i d = _mm_loadu_si128((const void *)(from + 48));

	_mm_prefetch((const char *)((uintptr_t)from + AHEAD_BYTES), _MM_HINT_T0);
	_mm_stream_si128(out, a);
	_mm_stream_si128(out + 1, b);
	_mm_stream_si128(out + 2, c);
	_mm_stream_si128(out + 3, d);
}

void pccl_copy_aside(void *to, const void *from, size_t bytes)
{
	size_t head = (size_t)(-(uintptr_t)to % LINE_BYTES), at;

	if (head > bytes)
		head = bytes;
	memcpy(to, from, head);
	for (at = head; bytes - at >= LINE_BYTES; at += LINE_BYTES)
		stream_line((uint8_t *)to + at, (const uint8_t *)from + at);
	/* So that other threads see these stores before those that follow. */
	_mm_sfence();
	memcpy((uint8_t *)to + at, (const uint8_t *)from + at, bytes - at);
}

#else
void pccl_copy_aside(void *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
}
#endif
