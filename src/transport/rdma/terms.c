#include "transport/rdma/terms.h"

#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "transport/rdma/flow.h"

#define MAGIC 0x504d4853u /* "SHMP" read as little-endian, as an offer of shared memory has it */
#define VERSION 128	  /* of the words, the ends, and what goes through a pair; shm/ has others, from 1 on */
#define VERSION_AT 4	  /* in a word */
#define RAIL_AT 6	  /* in an offer */
#define MTU_MAX 5

void pccl_terms_encode_word(enum pccl_terms_word word, uint8_t out[PCCL_TERMS_WORD_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_TERMS_WORD_BYTES);

	memset(out, 0, PCCL_TERMS_WORD_BYTES);
	pccl_put_u32(&writer, MAGIC);
	pccl_put_u8(&writer, VERSION);
	pccl_put_u8(&writer, (uint8_t)word);
}

void pccl_terms_encode_offer(uint8_t rail, uint8_t out[PCCL_TERMS_WORD_BYTES])
{
	pccl_terms_encode_word(PCCL_TERMS_OFFER, out);
	out[RAIL_AT] = rail;
}

uint8_t pccl_terms_offer_rail(const uint8_t in[PCCL_TERMS_WORD_BYTES])
{
	return in[RAIL_AT];
}

bool pccl_terms_decode_word(const uint8_t in[PCCL_TERMS_WORD_BYTES], enum pccl_terms_word *word_out)
{
	struct pccl_reader reader = pccl_reader_over(in, PCCL_TERMS_WORD_BYTES);
	bool is_ours = pccl_get_u32(&reader) == MAGIC;
	bool is_known = pccl_get_u8(&reader) == VERSION;
	uint8_t word = pccl_get_u8(&reader);

	*word_out = (enum pccl_terms_word)word;
	return is_ours &&
	       (word == PCCL_TERMS_DECLINED || (is_known && word >= PCCL_TERMS_OFFER && word <= PCCL_TERMS_READY));
}

bool pccl_terms_may_begin(const uint8_t *bytes, uint32_t count)
{
	uint8_t magic[4];
	struct pccl_writer writer = pccl_writer_over(magic, sizeof(magic));

	pccl_put_u32(&writer, MAGIC);
	return memcmp(bytes, magic, count < sizeof(magic) ? count : sizeof(magic)) == 0;
}

bool pccl_terms_is_foreign_offer(const uint8_t in[PCCL_TERMS_WORD_BYTES])
{
	return pccl_terms_may_begin(in, PCCL_TERMS_WORD_BYTES) && in[VERSION_AT] != VERSION;
}

void pccl_terms_encode_end(const struct pccl_terms_end *end, uint8_t out[PCCL_TERMS_END_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_TERMS_END_BYTES);

	memset(out, 0, PCCL_TERMS_END_BYTES);
	pccl_put_bytes(&writer, end->gid, sizeof(end->gid));
	pccl_put_u64(&writer, end->ring);
	pccl_put_u32(&writer, end->key);
	pccl_put_u32(&writer, end->ring_bytes);
	pccl_put_u32(&writer, end->slots);
	pccl_put_u32(&writer, end->number);
	pccl_put_u32(&writer, end->first_packet);
	pccl_put_u16(&writer, end->lid);
	pccl_put_u8(&writer, end->mtu);
	pccl_put_u8(&writer, end->link);
}

static bool is_zero(const uint8_t *bytes, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static bool is_possible(const struct pccl_terms_end *end)
{
	return end->number <= PCCL_TERMS_NUMBER_MAX && end->first_packet <= PCCL_TERMS_NUMBER_MAX && end->mtu >= 1 &&
	       end->mtu <= MTU_MAX && (end->link == PCCL_TERMS_INFINIBAND || end->link == PCCL_TERMS_ETHERNET) &&
	       (end->link == PCCL_TERMS_INFINIBAND || !is_zero(end->gid, sizeof(end->gid))) &&
	       end->ring <= UINT64_MAX - end->ring_bytes;
}

bool pccl_terms_decode_end(const uint8_t in[PCCL_TERMS_END_BYTES], struct pccl_terms_end *end_out)
{
	struct pccl_reader reader = pccl_reader_over(in, PCCL_TERMS_END_BYTES);
	size_t left;

	memset(end_out, 0, sizeof(*end_out));
	pccl_get_bytes(&reader, end_out->gid, sizeof(end_out->gid));
	end_out->ring = pccl_get_u64(&reader);
	end_out->key = pccl_get_u32(&reader);
	end_out->ring_bytes = pccl_get_u32(&reader);
	end_out->slots = pccl_get_u32(&reader);
	end_out->number = pccl_get_u32(&reader);
	end_out->first_packet = pccl_get_u32(&reader);
	end_out->lid = pccl_get_u16(&reader);
	end_out->mtu = pccl_get_u8(&reader);
	end_out->link = pccl_get_u8(&reader);
	left = pccl_reader_left(&reader);
	return is_possible(end_out) && is_zero(in + PCCL_TERMS_END_BYTES - left, left);
}

pcclResult_t pccl_terms_match(const struct pccl_terms_end *own, const struct pccl_terms_end *other)
{
	if (other->ring_bytes != PCCL_FLOW_RING_BYTES || other->slots != PCCL_FLOW_SLOTS)
		return pccl_fail(pcclSystemError, "its ring has %u bytes and %u slots, not %u and %u",
				 other->ring_bytes, other->slots, PCCL_FLOW_RING_BYTES, PCCL_FLOW_SLOTS);
	if (other->link != own->link)
		return pccl_fail(pcclSystemError, "one of the two devices is on Ethernet, the other on InfiniBand");
	return pcclSuccess;
}
