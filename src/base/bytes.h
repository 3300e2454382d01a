/* Bounded cursors for bytes that travel: little-endian, any alignment. A write past the end sets `overflow` and a read
 * past the end sets `bad`; both stay set and every later call does nothing, so one check at the end is enough. */
#ifndef PCCL_BASE_BYTES_H
#define PCCL_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values at a place that has room for them, put together byte by byte: right on every processor, one instruction on
 * most. */
static inline uint32_t pccl_load_u32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t pccl_load_u64(const uint8_t *at)
{
	return (uint64_t)pccl_load_u32(at) | (uint64_t)pccl_load_u32(at + 4) << 32;
}

static inline void pccl_store_u32(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)value;
	at[1] = (uint8_t)(value >> 8);
	at[2] = (uint8_t)(value >> 16);
	at[3] = (uint8_t)(value >> 24);
}

static inline void pccl_store_u64(uint8_t *at, uint64_t value)
{
	pccl_store_u32(at, (uint32_t)value);
	pccl_store_u32(at + 4, (uint32_t)(value >> 32));
}

struct pccl_writer {
	uint8_t *at;
	uint8_t *end;
	bool overflow;
};

struct pccl_reader {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

/* The cursors borrow the memory. */
struct pccl_writer pccl_writer_over(void *memory, size_t bytes);
struct pccl_reader pccl_reader_over(const void *memory, size_t bytes);

/* Bytes that still fit; bytes that are still to be read, 0 once the cursor has failed. */
size_t pccl_writer_left(const struct pccl_writer *writer);
size_t pccl_reader_left(const struct pccl_reader *reader);

void pccl_put_u8(struct pccl_writer *writer, uint8_t value);
void pccl_put_u16(struct pccl_writer *writer, uint16_t value);
void pccl_put_u32(struct pccl_writer *writer, uint32_t value);
void pccl_put_u64(struct pccl_writer *writer, uint64_t value);
void pccl_put_bytes(struct pccl_writer *writer, const void *bytes, size_t count);

/* u16 length, then the bytes without the final zero. Longer than 65535 bytes overflows. */
void pccl_put_string(struct pccl_writer *writer, const char *text);

/* 0 when the cursor has failed. */
uint8_t pccl_get_u8(struct pccl_reader *reader);
uint16_t pccl_get_u16(struct pccl_reader *reader);
uint32_t pccl_get_u32(struct pccl_reader *reader);
uint64_t pccl_get_u64(struct pccl_reader *reader);

/* Copies `count` bytes; zeroes them when the cursor has failed. */
void pccl_get_bytes(struct pccl_reader *reader, void *out, size_t count);

/* Reads a string into `out` with a final zero; `capacity` counts that zero and is at least 1. A string that doesn't
 * fit, or that has a zero inside, makes the cursor bad and `out` empty. */
void pccl_get_string(struct pccl_reader *reader, char *out, size_t capacity);

#endif
