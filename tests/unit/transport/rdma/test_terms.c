/* What two ends say to each other before the first frame. */
#include "transport/rdma/terms.h"

#include <string.h>

#include "base/fail.h"
#include "lib/check.h"
#include "transport/rdma/flow.h"

static struct pccl_terms_end some_end(void)
{
	return (struct pccl_terms_end){.gid = {[10] = 0xff, 0xff, 10, 1, 2, 3},
				       .ring = UINT64_C(0x7f0123456789),
				       .key = 0xfedcba98,
				       .ring_bytes = PCCL_FLOW_RING_BYTES,
				       .slots = PCCL_FLOW_SLOTS,
				       .number = 0x123456,
				       .first_packet = 0xabcdef,
				       .lid = 0x4321,
				       .mtu = 3,
				       .link = PCCL_TERMS_ETHERNET};
}

static void words_are_understood(void **state)
{
	uint8_t bytes[PCCL_TERMS_WORD_BYTES];
	enum pccl_terms_word word, read;

	(void)state;
	for (word = PCCL_TERMS_OFFER; word <= PCCL_TERMS_READY; word++) {
		pccl_terms_encode_word(word, bytes);
		assert_true(pccl_terms_decode_word(bytes, &read));
		assert_int_equal(read, word);
		assert_true(pccl_terms_may_begin(bytes, 1));
		assert_true(pccl_terms_may_begin(bytes, sizeof(bytes)));
		assert_false(pccl_terms_is_foreign_offer(bytes));
		bytes[4] ^= 0x40;
		assert_int_equal(pccl_terms_decode_word(bytes, &read), word == PCCL_TERMS_DECLINED);
		assert_true(pccl_terms_is_foreign_offer(bytes));
		bytes[0] ^= 1;
		assert_false(pccl_terms_decode_word(bytes, &read));
		assert_false(pccl_terms_may_begin(bytes, 1));
	}
	pccl_terms_encode_word(PCCL_TERMS_READY, bytes);
	bytes[5]++;
	assert_false(pccl_terms_decode_word(bytes, &read));
}

static void ends_are_understood(void **state)
{
	struct pccl_terms_end end = some_end(), read;
	uint8_t bytes[PCCL_TERMS_END_BYTES];

	(void)state;
	pccl_terms_encode_end(&end, bytes);
	assert_true(pccl_terms_decode_end(bytes, &read));
	assert_memory_equal(read.gid, end.gid, sizeof(end.gid));
	assert_true(read.ring == end.ring && read.key == end.key && read.number == end.number &&
		    read.first_packet == end.first_packet && read.lid == end.lid && read.mtu == end.mtu &&
		    read.link == end.link && read.ring_bytes == end.ring_bytes && read.slots == end.slots);
	bytes[PCCL_TERMS_END_BYTES - 1] = 1;
	assert_false(pccl_terms_decode_end(bytes, &read));
}

static void check_refused(struct pccl_terms_end end)
{
	uint8_t bytes[PCCL_TERMS_END_BYTES];
	struct pccl_terms_end read;

	pccl_terms_encode_end(&end, bytes);
	assert_false(pccl_terms_decode_end(bytes, &read));
}

static void ends_that_no_device_has_are_refused(void **state)
{
	struct pccl_terms_end end = some_end();

	(void)state;
	end.number = 1u << 24;
	check_refused(end);
	end = some_end();
	end.first_packet = 1u << 24;
	check_refused(end);
	end = some_end();
	end.mtu = 0;
	check_refused(end);
	end.mtu = 6;
	check_refused(end);
	end = some_end();
	end.link = 3;
	check_refused(end);
	end = some_end();
	end.ring = UINT64_MAX - 5;
	check_refused(end);
	end = some_end();
	memset(end.gid, 0, sizeof(end.gid));
	check_refused(end);
}

static void ends_have_to_match(void **state)
{
	const struct pccl_terms_end own = some_end();
	struct pccl_terms_end other = own;

	(void)state;
	assert_int_equal(pccl_terms_match(&own, &other), pcclSuccess);
	other.ring_bytes *= 2;
	assert_int_equal(pccl_terms_match(&own, &other), pcclSystemError);
	assert_non_null(strstr(pccl_fail_text(), "1048576 bytes"));
	other = own;
	other.slots--;
	assert_int_equal(pccl_terms_match(&own, &other), pcclSystemError);
	other = own;
	other.link = PCCL_TERMS_INFINIBAND;
	assert_int_equal(pccl_terms_match(&own, &other), pcclSystemError);
	assert_non_null(strstr(pccl_fail_text(), "InfiniBand"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_understood),
		cmocka_unit_test(ends_are_understood),
		cmocka_unit_test(ends_that_no_device_has_are_refused),
		cmocka_unit_test(ends_have_to_match),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
