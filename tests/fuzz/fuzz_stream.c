/*
 * What a stream makes of any bytes, offers of shared memory included. The first byte of the input tells how the rest
 * is cut into pieces, the second what the user answers to headers. Everything is sent twice: as it is, and with the
 * right checksums put in where a frame's would be. However it is cut, the stream must deliver the same frames and end
 * by breaking, once, with a reason.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "transport/shm/shm.h"
#include "transport/transport.h"

#define STREAM_BYTES_MAX 8192u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

struct listening {
	struct pccl_loop *loop;
	struct pccl_listener *listener;
	struct pccl_address address;
	struct pccl_stream *stream;
	uint8_t answers;
	uint32_t header_count;
	uint32_t digest; /* of all that was delivered */
	uint32_t broken_count;
	bool held;
	uint8_t payload[STREAM_BYTES_MAX];
};

static enum pccl_frame_verdict on_header(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					 void **destination_out)
{
	struct listening *listening = context;
	unsigned answer = listening->answers >> 2 * (listening->header_count % 4) & 3;

	(void)stream;
	if (answer == PCCL_FRAME_HOLD && !listening->held) {
		listening->held = true;
		pccl_shm.resume(stream); /* at the end of the turn: nothing, it is not held yet */
		return PCCL_FRAME_HOLD;
	}
	listening->held = false;
	listening->header_count++;
	if (answer == PCCL_FRAME_DISCARD || frame->payload_bytes > STREAM_BYTES_MAX)
		return PCCL_FRAME_DISCARD;
	*destination_out = listening->payload;
	return PCCL_FRAME_TAKE;
}

static void on_received(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	struct listening *listening = context;

	(void)stream;
	if (pccl_crc32c(0, listening->payload, frame->payload_bytes) != frame->payload_crc)
		abort();
	listening->digest = pccl_crc32c(listening->digest, listening->payload, frame->payload_bytes);
	listening->digest = pccl_crc32c(listening->digest, &frame->type, 1);
}

static void on_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	struct listening *listening = context;

	(void)stream;
	if (reason[0] == '\0' || listening->broken_count++ > 0)
		abort();
}

static const struct pccl_stream_events events = {.header = on_header, .received = on_received, .broken = on_broken};

static void on_accepted(void *context, struct pccl_stream *stream)
{
	struct listening *listening = context;

	listening->stream = stream;
	if (pccl_shm.attach(stream, listening->loop, &events, listening) != pcclSuccess)
		abort();
}

/* Opened once, for all inputs. */
static struct listening *listening_once(void)
{
	static struct listening listening;
	uint16_t port;

	if (listening.loop != NULL)
		return &listening;
	if (pccl_loop_create(&listening.loop) != pcclSuccess ||
	    pccl_address_numeric("127.0.0.1", 0, &listening.address) != pcclSuccess ||
	    pccl_shm.listen(&pccl_shm, listening.loop, &listening.address, on_accepted, &listening, &listening.listener,
			    &port) != pcclSuccess)
		abort();
	pccl_address_set_port(&listening.address, port);
	return &listening;
}

/* Sends the bytes in pieces and listens until the stream breaks. Returns the digest. */
static uint32_t play(const uint8_t *data, size_t bytes, size_t piece_bytes, uint8_t answers)
{
	struct listening *listening = listening_once();
	const struct linger no_time_wait = {1, 0}; /* or thousands of inputs use up the ports */
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	size_t sent;

	listening->stream = NULL;
	listening->answers = answers;
	listening->header_count = listening->digest = listening->broken_count = 0;
	listening->held = false;
	if (fd < 0 || connect(fd, (struct sockaddr *)&listening->address.storage, listening->address.bytes) != 0)
		abort();
	while (listening->stream == NULL)
		pccl_loop_turn(listening->loop, UINT64_MAX);
	for (sent = 0; sent < bytes; sent += piece_bytes) {
		send(fd, data + sent, bytes - sent < piece_bytes ? bytes - sent : piece_bytes, MSG_NOSIGNAL);
		pccl_loop_turn(listening->loop, 0);
		if (listening->held)
			pccl_shm.resume(listening->stream);
	}
	shutdown(fd, SHUT_WR);
	while (listening->broken_count == 0) {
		if (listening->held)
			pccl_shm.resume(listening->stream);
		pccl_loop_turn(listening->loop, UINT64_MAX);
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_time_wait, sizeof(no_time_wait));
	close(fd);
	pccl_shm.close(listening->stream, false);
	return listening->digest;
}

/* Walks the frames as a receiver would and makes their checksums right. */
static void put_checksums(uint8_t *data, size_t bytes)
{
	size_t at = 0;

	while (bytes - at >= PCCL_FRAME_BYTES) {
		struct pccl_reader reader = pccl_reader_over(data + at + 8, 4);
		uint32_t payload_bytes = pccl_get_u32(&reader);
		size_t left = bytes - at - PCCL_FRAME_BYTES;
		struct pccl_writer writer = pccl_writer_over(data + at + 40, 8);

		if (payload_bytes > left)
			payload_bytes = (uint32_t)left;
		pccl_put_u32(&writer, pccl_crc32c(0, data + at + PCCL_FRAME_BYTES, payload_bytes));
		pccl_put_u32(&writer, pccl_crc32c(0, data + at, PCCL_FRAME_BYTES - 4));
		at += PCCL_FRAME_BYTES + payload_bytes;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	uint8_t stream[STREAM_BYTES_MAX];
	size_t piece_bytes;
	int pass;

	if (bytes < 2 || bytes - 2 > sizeof(stream))
		return 0;
	piece_bytes = 16 + (size_t)data[0] * 4;
	memcpy(stream, data + 2, bytes - 2);
	for (pass = 0; pass < 2; pass++) {
		if (play(stream, bytes - 2, STREAM_BYTES_MAX, data[1]) != play(stream, bytes - 2, piece_bytes, data[1]))
			abort();
		put_checksums(stream, bytes - 2);
	}
	return 0;
}
