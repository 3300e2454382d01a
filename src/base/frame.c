/*
 * The frame header. Offsets:
 *
 *	 0 magic u32         16 tag u64        40 payload_crc u32
 *	 4 version u8        24 sequence u32   44 header_crc u32: CRC32C of the 44 bytes before
 *	 5 type u8           28 segment u32
 *	 6 lane u8           32 aux u32
 *	 7 flags u8          36 received u32
 *	 8 payload_bytes u32
 *	12 epoch u32
 */
#include "base/frame.h"

#include <assert.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/fail.h"

#define CHECKED_BYTES (PCCL_FRAME_BYTES - 4)

static bool is_known_type(uint8_t type)
{
	return (type >= PCCL_FRAME_HELLO && type <= PCCL_FRAME_MESSAGE) ||
	       (type >= PCCL_FRAME_START && type <= PCCL_FRAME_CHECK);
}

bool pccl_frame_is_segment(const struct pccl_frame *frame)
{
	return frame->type == PCCL_FRAME_PARTIAL || frame->type == PCCL_FRAME_RESULT || frame->type == PCCL_FRAME_PART;
}

bool pccl_frame_is_checked(const struct pccl_frame *frame)
{
	return !pccl_frame_is_segment(frame) || (frame->flags & PCCL_FRAME_UNCHECKED) == 0;
}

void pccl_frame_encode(const struct pccl_frame *frame, uint8_t out[PCCL_FRAME_BYTES])
{
	assert(is_known_type(frame->type));
	assert(frame->payload_bytes <= PCCL_FRAME_PAYLOAD_MAX);
	pccl_store_u32(out, PCCL_FRAME_MAGIC);
	out[4] = PCCL_FRAME_VERSION;
	out[5] = frame->type;
	out[6] = frame->lane;
	out[7] = frame->flags;
	pccl_store_u32(out + 8, frame->payload_bytes);
	pccl_store_u32(out + 12, frame->epoch);
	pccl_store_u64(out + 16, frame->tag);
	pccl_store_u32(out + 24, frame->sequence);
	pccl_store_u32(out + 28, frame->segment);
	pccl_store_u32(out + 32, frame->aux);
	pccl_store_u32(out + 36, frame->received);
	pccl_store_u32(out + 40, frame->payload_crc);
	pccl_store_u32(out + CHECKED_BYTES, pccl_crc32c(0, out, CHECKED_BYTES));
}

static pcclResult_t check_fields(const struct pccl_frame *frame)
{
	if (!is_known_type(frame->type))
		return pccl_fail(pcclRankConnectionLost, "frame of unknown type %u", frame->type);
	if (frame->payload_bytes > PCCL_FRAME_PAYLOAD_MAX)
		return pccl_fail(pcclRankConnectionLost,
				 "frame of type %u with a payload of %u bytes, over the limit of %u", frame->type,
				 frame->payload_bytes, PCCL_FRAME_PAYLOAD_MAX);
	if (frame->payload_bytes == 0 && frame->payload_crc != 0)
		return pccl_fail(pcclRankConnectionLost, "frame of type %u with a checksum of no payload", frame->type);
	return pcclSuccess;
}

bool pccl_frame_is_tls(const uint8_t *bytes, size_t count)
{
	return count >= 3 && (bytes[0] == 0x15 || bytes[0] == 0x16) && bytes[1] == 3 && bytes[2] <= 4;
}

bool pccl_frame_is_of_other_version(const uint8_t in[PCCL_FRAME_BYTES])
{
	return pccl_load_u32(in) == PCCL_FRAME_MAGIC && in[4] != PCCL_FRAME_VERSION;
}

pcclResult_t pccl_frame_decode(const uint8_t in[PCCL_FRAME_BYTES], struct pccl_frame *frame_out)
{
	const uint32_t magic = pccl_load_u32(in), header_crc = pccl_load_u32(in + CHECKED_BYTES);
	const uint32_t expected = pccl_crc32c(0, in, CHECKED_BYTES);

	/* In this order, so that a stranger is told apart from another version, and that from damage. */
	if (pccl_frame_is_tls(in, PCCL_FRAME_BYTES))
		return pccl_fail(pcclRankConnectionLost, PCCL_FRAME_TLS_WORDS);
	if (magic != PCCL_FRAME_MAGIC)
		return pccl_fail(pcclRankConnectionLost, "not a frame: magic %08x", magic);
	if (in[4] != PCCL_FRAME_VERSION)
		return pccl_fail(pcclRankConnectionLost, "frame of protocol version %u, this side speaks %u", in[4],
				 PCCL_FRAME_VERSION);
	frame_out->type = in[5];
	frame_out->lane = in[6];
	frame_out->flags = in[7];
	frame_out->payload_bytes = pccl_load_u32(in + 8);
	frame_out->epoch = pccl_load_u32(in + 12);
	frame_out->tag = pccl_load_u64(in + 16);
	frame_out->sequence = pccl_load_u32(in + 24);
	frame_out->segment = pccl_load_u32(in + 28);
	frame_out->aux = pccl_load_u32(in + 32);
	frame_out->received = pccl_load_u32(in + 36);
	frame_out->payload_crc = pccl_load_u32(in + 40);
	if (header_crc != expected)
		return pccl_fail(pcclRankConnectionLost, "damaged frame header: checksum %08x, expected %08x",
				 header_crc, expected);
	return check_fields(frame_out);
}
