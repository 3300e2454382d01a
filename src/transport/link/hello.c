/* HELLO as bytes, in the order of struct pccl_hello; what WELCOME says to it; and the refusal of one. */
#include "transport/link/hello.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "base/log.h"

static void put_proof(struct pccl_writer *writer, const struct pccl_proof *proof)
{
	pccl_put_bytes(writer, proof->key.data, sizeof(proof->key.data));
	pccl_put_bytes(writer, proof->salt, sizeof(proof->salt));
	pccl_put_bytes(writer, proof->signature, sizeof(proof->signature));
}

/* What is left is one, or nothing is. */
static bool get_proof(struct pccl_reader *reader, struct pccl_proof *proof_out)
{
	if (reader->bad || pccl_reader_left(reader) == 0)
		return false;
	pccl_get_bytes(reader, proof_out->key.data, sizeof(proof_out->key.data));
	pccl_get_bytes(reader, proof_out->salt, sizeof(proof_out->salt));
	pccl_get_bytes(reader, proof_out->signature, sizeof(proof_out->signature));
	return true;
}

size_t pccl_hello_encode(const struct pccl_hello *hello, uint8_t out[PCCL_HELLO_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_HELLO_BYTES);

	pccl_put_u8(&writer, hello->purpose);
	pccl_put_u32(&writer, hello->group);
	pccl_put_bytes(&writer, hello->from.data, sizeof(hello->from.data));
	pccl_put_bytes(&writer, hello->to.data, sizeof(hello->to.data));
	pccl_put_u16(&writer, hello->lane);
	pccl_put_u16(&writer, hello->stream);
	pccl_put_u64(&writer, hello->instance);
	pccl_put_u32(&writer, hello->resumption);
	pccl_put_u32(&writer, hello->received);
	pccl_put_u64(&writer, hello->host);
	pccl_put_u16(&writer, hello->port);
	pccl_put_bytes(&writer, hello->pass.data, sizeof(hello->pass.data));
	if (hello->proves)
		put_proof(&writer, &hello->proof);
	assert(!writer.overflow);
	return (size_t)(writer.at - out);
}

pcclResult_t pccl_hello_decode(const uint8_t *data, size_t bytes, struct pccl_hello *hello_out)
{
	struct pccl_reader reader = pccl_reader_over(data, bytes);

	memset(hello_out, 0, sizeof(*hello_out));
	hello_out->purpose = pccl_get_u8(&reader);
	hello_out->group = pccl_get_u32(&reader);
	pccl_get_bytes(&reader, hello_out->from.data, sizeof(hello_out->from.data));
	pccl_get_bytes(&reader, hello_out->to.data, sizeof(hello_out->to.data));
	hello_out->lane = pccl_get_u16(&reader);
	hello_out->stream = pccl_get_u16(&reader);
	hello_out->instance = pccl_get_u64(&reader);
	hello_out->resumption = pccl_get_u32(&reader);
	hello_out->received = pccl_get_u32(&reader);
	hello_out->host = pccl_get_u64(&reader);
	hello_out->port = pccl_get_u16(&reader);
	pccl_get_bytes(&reader, hello_out->pass.data, sizeof(hello_out->pass.data));
	hello_out->proves = get_proof(&reader, &hello_out->proof);
	if (reader.bad || pccl_reader_left(&reader) != 0)
		return pccl_fail(pcclRankConnectionFailed, "HELLO of %zu bytes is malformed", bytes);
	if (hello_out->purpose != PCCL_PURPOSE_CONTROL && hello_out->purpose != PCCL_PURPOSE_DATA)
		return pccl_fail(pcclRankConnectionFailed, "HELLO with unknown purpose %u", hello_out->purpose);
	return pcclSuccess;
}

size_t pccl_greeting_encode(const struct pccl_greeting *greeting, uint8_t out[PCCL_GREETING_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_GREETING_BYTES);

	pccl_put_u64(&writer, greeting->instance);
	pccl_put_u32(&writer, greeting->hellos);
	if (greeting->proves)
		put_proof(&writer, &greeting->proof);
	assert(!writer.overflow);
	return (size_t)(writer.at - out);
}

pcclResult_t pccl_greeting_decode(const uint8_t *data, size_t bytes, struct pccl_greeting *greeting_out)
{
	struct pccl_reader reader = pccl_reader_over(data, bytes);

	memset(greeting_out, 0, sizeof(*greeting_out));
	greeting_out->instance = pccl_get_u64(&reader);
	greeting_out->hellos = pccl_get_u32(&reader);
	greeting_out->proves = get_proof(&reader, &greeting_out->proof);
	if (reader.bad || pccl_reader_left(&reader) != 0 || greeting_out->instance == 0)
		return pccl_fail(pcclRankConnectionFailed, "WELCOME of %zu bytes is malformed", bytes);
	return pcclSuccess;
}

/* ---- refusal ------------------------------------------------------------------------------------------------- */

/* The refusing stream is closed before the loop can call any of these; its one send completes inside close(). */
static enum pccl_frame_verdict hear_nothing(void *context, struct pccl_stream *stream, const struct pccl_frame *frame,
					    void **destination_out)
{
	(void)context;
	(void)stream;
	(void)frame;
	(void)destination_out;
	return PCCL_FRAME_DISCARD;
}

static void ignore_frame(void *context, struct pccl_stream *stream, const struct pccl_frame *frame)
{
	(void)context;
	(void)stream;
	(void)frame;
}

static void ignore_room(void *context, struct pccl_stream *stream)
{
	(void)context;
	(void)stream;
}

static void ignore_sent(void *context, struct pccl_stream *stream, void *token)
{
	(void)context;
	(void)stream;
	(void)token;
}

static void ignore_broken(void *context, struct pccl_stream *stream, const char *reason)
{
	(void)context;
	(void)stream;
	(void)reason;
}

static const struct pccl_stream_events deaf = {
	.header = hear_nothing,
	.received = ignore_frame,
	.room = ignore_room,
	.sent = ignore_sent,
	.broken = ignore_broken,
};

void pccl_hello_refuse(struct pccl_loop *loop, struct pccl_stream *stream, enum pccl_welcome welcome, const char *text)
{
	const struct pccl_transport *transport = stream->transport;
	struct pccl_frame frame = {.type = PCCL_FRAME_WELCOME, .aux = (uint32_t)welcome};
	char remote[PCCL_ADDRESS_BYTES];

	assert(welcome != PCCL_WELCOME_YES);
	transport->remote(stream, remote);
	pccl_log_debug("refused a connection from %s: %s", remote, text);
	if (transport->attach(stream, loop, &deaf, NULL) != pcclSuccess) {
		transport->close(stream, false);
		return;
	}
	frame.payload_bytes = (uint32_t)strnlen(text, PCCL_WELCOME_TEXT_BYTES);
	transport->send(stream, &frame, text, NULL);
	transport->close(stream, true);
}
