/* Little-endian cursors. */
#include "base/bytes.h"

#include <assert.h>
#include <string.h>

struct pccl_writer pccl_writer_over(void *memory, size_t bytes)
{
	struct pccl_writer writer = {memory, (uint8_t *)memory + bytes, false};

	return writer;
}

struct pccl_reader pccl_reader_over(const void *memory, size_t bytes)
{
	struct pccl_reader reader = {memory, (const uint8_t *)memory + bytes, false};

	return reader;
}

size_t pccl_writer_left(const struct pccl_writer *writer)
{
	return writer->overflow ? 0 : (size_t)(writer->end - writer->at);
}

size_t pccl_reader_left(const struct pccl_reader *reader)
{
	return reader->bad ? 0 : (size_t)(reader->end - reader->at);
}

/* The place for `count` bytes, behind which the cursor then stands; NULL once it has failed. */
static uint8_t *claim(struct pccl_writer *writer, size_t count)
{
	uint8_t *place = writer->at;

	if (count > pccl_writer_left(writer))
		writer->overflow = true;
	if (writer->overflow)
		return NULL;
	writer->at += count;
	return place;
}

static const uint8_t *take(struct pccl_reader *reader, size_t count)
{
	const uint8_t *place = reader->at;

	if (count > pccl_reader_left(reader))
		reader->bad = true;
	if (reader->bad)
		return NULL;
	reader->at += count;
	return place;
}

void pccl_put_u8(struct pccl_writer *writer, uint8_t value)
{
	uint8_t *place = claim(writer, sizeof(value));

	if (place != NULL)
		place[0] = value;
}

void pccl_put_u16(struct pccl_writer *writer, uint16_t value)
{
	uint8_t *place = claim(writer, sizeof(value));

	if (place == NULL)
		return;
	place[0] = (uint8_t)value;
	place[1] = (uint8_t)(value >> 8);
}

void pccl_put_u32(struct pccl_writer *writer, uint32_t value)
{
	uint8_t *place = claim(writer, sizeof(value));

	if (place != NULL)
		pccl_store_u32(place, value);
}

void pccl_put_u64(struct pccl_writer *writer, uint64_t value)
{
	uint8_t *place = claim(writer, sizeof(value));

	if (place != NULL)
		pccl_store_u64(place, value);
}

void pccl_put_bytes(struct pccl_writer *writer, const void *bytes, size_t count)
{
	uint8_t *place = claim(writer, count);

	if (place != NULL && count > 0)
		memcpy(place, bytes, count);
}

void pccl_put_string(struct pccl_writer *writer, const char *text)
{
	size_t count = strlen(text);

	if (count > UINT16_MAX) {
		writer->overflow = true;
		return;
	}
	pccl_put_u16(writer, (uint16_t)count);
	pccl_put_bytes(writer, text, count);
}

uint8_t pccl_get_u8(struct pccl_reader *reader)
{
	const uint8_t *place = take(reader, sizeof(uint8_t));

	return place != NULL ? place[0] : 0;
}

uint16_t pccl_get_u16(struct pccl_reader *reader)
{
	const uint8_t *place = take(reader, sizeof(uint16_t));

	return place != NULL ? (uint16_t)(place[0] | place[1] << 8) : 0;
}

uint32_t pccl_get_u32(struct pccl_reader *reader)
{
	const uint8_t *place = take(reader, sizeof(uint32_t));

	return place != NULL ? pccl_load_u32(place) : 0;
}

uint64_t pccl_get_u64(struct pccl_reader *reader)
{
	const uint8_t *place = take(reader, sizeof(uint64_t));

	return place != NULL ? pccl_load_u64(place) : 0;
}

void pccl_get_bytes(struct pccl_reader *reader, void *out, size_t count)
{
	const uint8_t *place = take(reader, count);

	if (count == 0)
		return;
	if (place != NULL)
		memcpy(out, place, count);
	else
		memset(out, 0, count);
}

void pccl_get_string(struct pccl_reader *reader, char *out, size_t capacity)
{
	size_t count = pccl_get_u16(reader);
	const uint8_t *place = take(reader, count);

	assert(capacity > 0);
	out[0] = '\0';
	if (place == NULL)
		return;
	if (count >= capacity || memchr(place, 0, count) != NULL) {
		reader->bad = true;
		return;
	}
	memcpy(out, place, count);
	out[count] = '\0';
}
