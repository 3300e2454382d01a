/*
 * What another peer may say on its way to a pair of queues, and through it: words and ends that are understood must be
 * encoded again to the same bytes, and whatever messages say, nobody is to read or write outside a ring. The first byte
 * of the input chooses.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "transport/rdma/flow.h"
#include "transport/rdma/terms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool good)
{
	if (!good)
		abort();
}

static void try_word(const uint8_t *data)
{
	uint8_t again[PCCL_TERMS_WORD_BYTES];
	enum pccl_terms_word word;

	if (!pccl_terms_decode_word(data, &word))
		return;
	check(pccl_terms_may_begin(data, PCCL_TERMS_WORD_BYTES));
	pccl_terms_encode_word(word, again);
	check(pccl_terms_is_foreign_offer(data) || memcmp(data, again, 6) == 0);
}

static void try_end(const uint8_t *data)
{
	uint8_t again[PCCL_TERMS_END_BYTES];
	struct pccl_terms_end end, own = {.link = PCCL_TERMS_ETHERNET};

	if (!pccl_terms_decode_end(data, &end))
		return;
	pccl_terms_encode_end(&end, again);
	check(memcmp(data, again, sizeof(again)) == 0);
	pccl_fail_clear();
	check(pccl_terms_match(&own, &end) == pcclSuccess || pccl_fail_text()[0] != '\0');
}

/* This side reads, writes and gives back what it may, and hears what the input says. */
static void try_messages(const uint8_t *data, size_t bytes)
{
	struct pccl_reader reader = pccl_reader_over(data, bytes);
	struct pccl_flow flow = {0};
	uint32_t note;
	size_t at;

	while (pccl_reader_left(&reader) >= 5) {
		uint8_t does = pccl_get_u8(&reader);
		uint32_t said = pccl_get_u32(&reader);
		size_t room = pccl_flow_room(&flow, &at);

		check(at + room <= PCCL_FLOW_RING_BYTES);
		if ((does & 1) != 0 && room > 0)
			check(pccl_flow_put(&flow, 1 + said % room) != 0);
		if ((does & 2) != 0 && !pccl_flow_hear(&flow, said))
			return;
		check(flow.put - flow.returned <= PCCL_FLOW_RING_BYTES && flow.slots <= PCCL_FLOW_SLOTS);
		check(flow.arrived - flow.told <= PCCL_FLOW_RING_BYTES && flow.heard <= PCCL_FLOW_SLOTS);
		room = pccl_flow_there(&flow, &at);
		check(at + room <= PCCL_FLOW_RING_BYTES);
		if ((does & 4) != 0)
			pccl_flow_take(&flow, room);
		if ((does & 8) != 0 && pccl_flow_owes(&flow, &note))
			pccl_flow_settle(&flow);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	if (bytes == 0)
		return 0;
	if (data[0] % 3 == 0 && bytes > PCCL_TERMS_WORD_BYTES)
		try_word(data + 1);
	else if (data[0] % 3 == 1 && bytes > PCCL_TERMS_END_BYTES)
		try_end(data + 1);
	else if (data[0] % 3 == 2)
		try_messages(data + 1, bytes - 1);
	return 0;
}
