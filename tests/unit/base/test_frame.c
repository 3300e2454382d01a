#include "base/frame.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/fail.h"
#include "base/rng.h"
#include "lib/check.h"

static const struct pccl_frame sample = {
	.type = PCCL_FRAME_PARTIAL,
	.lane = 1,
	.flags = 2,
	.payload_bytes = 0x00040506,
	.epoch = 0x0708090a,
	.tag = UINT64_C(0x0b0c0d0e0f101112),
	.sequence = 0x13141516,
	.segment = 0x1718191a,
	.aux = 0x1b1c1d1e,
	.received = 0x1f202122,
	.payload_crc = 0x23242526,
};

/* The bytes of `sample`, by hand from the specification, but for the last four. */
static const uint8_t sample_bytes[44] = {'P',  'C',  'C',  'L',	 5,    17,   1,	   2,	 0x06, 0x05, 0x04,
					 0x00, 0x0a, 0x09, 0x08, 0x07, 0x12, 0x11, 0x10, 0x0f, 0x0e, 0x0d,
					 0x0c, 0x0b, 0x16, 0x15, 0x14, 0x13, 0x1a, 0x19, 0x18, 0x17, 0x1e,
					 0x1d, 0x1c, 0x1b, 0x22, 0x21, 0x20, 0x1f, 0x26, 0x25, 0x24, 0x23};

/* Puts the right checksum behind a header that was tampered with. */
static void seal(uint8_t bytes[PCCL_FRAME_BYTES])
{
	uint32_t crc = pccl_crc32c(0, bytes, 44);
	int index;

	for (index = 0; index < 4; index++)
		bytes[44 + index] = (uint8_t)(crc >> 8 * index);
}

static void the_layout_is_that_of_the_specification(void **state)
{
	uint8_t bytes[PCCL_FRAME_BYTES];
	uint8_t sealed[PCCL_FRAME_BYTES];

	(void)state;
	pccl_frame_encode(&sample, bytes);
	assert_memory_equal(bytes, sample_bytes, sizeof(sample_bytes));
	memcpy(sealed, bytes, sizeof(sealed));
	seal(sealed);
	assert_memory_equal(bytes, sealed, sizeof(sealed));
}

static void assert_frames_equal(const struct pccl_frame *left, const struct pccl_frame *right)
{
	assert_int_equal(left->type, right->type);
	assert_int_equal(left->lane, right->lane);
	assert_int_equal(left->flags, right->flags);
	assert_int_equal(left->payload_bytes, right->payload_bytes);
	assert_int_equal(left->epoch, right->epoch);
	assert_true(left->tag == right->tag);
	assert_int_equal(left->sequence, right->sequence);
	assert_int_equal(left->segment, right->segment);
	assert_int_equal(left->aux, right->aux);
	assert_int_equal(left->received, right->received);
	assert_int_equal(left->payload_crc, right->payload_crc);
}

static void what_was_encoded_is_decoded(void **state)
{
	struct pccl_rng rng;
	int round;

	(void)state;
	pccl_rng_seed(&rng, 1);
	for (round = 0; round < 1000; round++) {
		struct pccl_frame frame = {
			.type = (uint8_t)(PCCL_FRAME_START + pccl_rng_below(&rng, 7)),
			.lane = (uint8_t)pccl_rng_u64(&rng),
			.flags = (uint8_t)pccl_rng_u64(&rng),
			.payload_bytes = 1 + (uint32_t)pccl_rng_below(&rng, PCCL_FRAME_PAYLOAD_MAX),
			.epoch = (uint32_t)pccl_rng_u64(&rng),
			.tag = pccl_rng_u64(&rng),
			.sequence = (uint32_t)pccl_rng_u64(&rng),
			.segment = (uint32_t)pccl_rng_u64(&rng),
			.aux = (uint32_t)pccl_rng_u64(&rng),
			.received = (uint32_t)pccl_rng_u64(&rng),
			.payload_crc = (uint32_t)pccl_rng_u64(&rng),
		};
		struct pccl_frame decoded;
		uint8_t bytes[PCCL_FRAME_BYTES];

		pccl_frame_encode(&frame, bytes);
		assert_int_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
		assert_frames_equal(&frame, &decoded);
	}
}

static void every_flipped_bit_is_refused(void **state)
{
	struct pccl_frame decoded;
	uint8_t bytes[PCCL_FRAME_BYTES];
	size_t bit;

	(void)state;
	pccl_frame_encode(&sample, bytes);
	for (bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_not_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_int_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
}

static void assert_refused(size_t at, uint8_t value, const char *words)
{
	struct pccl_frame decoded;
	uint8_t bytes[PCCL_FRAME_BYTES];

	pccl_frame_encode(&sample, bytes);
	bytes[at] = value;
	seal(bytes);
	assert_int_not_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
	assert_non_null(strstr(pccl_fail_text(), words));
}

static void a_stranger_is_refused_in_words(void **state)
{
	(void)state;
	assert_refused(0, 'G', "not a frame");
	assert_refused(4, 1, "protocol version 1, this side speaks 5");
	assert_refused(11, 1 << 4, "over the limit");
}

static void only_known_types_pass(void **state)
{
	int type;
	int known = 0;

	(void)state;
	for (type = 0; type < 256; type++) {
		struct pccl_frame decoded;
		uint8_t bytes[PCCL_FRAME_BYTES];

		memcpy(bytes, sample_bytes, sizeof(sample_bytes));
		bytes[5] = (uint8_t)type;
		seal(bytes);
		if (pccl_frame_decode(bytes, &decoded) == pcclSuccess)
			known++;
		else
			assert_non_null(strstr(pccl_fail_text(), "unknown type"));
	}
	assert_int_equal(known, 14);
}

static void a_payload_at_the_limit_passes(void **state)
{
	struct pccl_frame frame = sample;
	struct pccl_frame decoded;
	uint8_t bytes[PCCL_FRAME_BYTES];

	(void)state;
	frame.payload_bytes = PCCL_FRAME_PAYLOAD_MAX;
	pccl_frame_encode(&frame, bytes);
	assert_int_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
	bytes[8] = 1;
	seal(bytes);
	assert_int_not_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
}

static void a_checksum_without_payload_is_refused(void **state)
{
	struct pccl_frame frame = sample;
	struct pccl_frame decoded;
	uint8_t bytes[PCCL_FRAME_BYTES];

	(void)state;
	frame.payload_bytes = 0;
	pccl_frame_encode(&frame, bytes);
	assert_int_not_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
	frame.payload_crc = 0;
	pccl_frame_encode(&frame, bytes);
	assert_int_equal(pccl_frame_decode(bytes, &decoded), pcclSuccess);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_layout_is_that_of_the_specification),
		cmocka_unit_test(what_was_encoded_is_decoded),
		cmocka_unit_test(every_flipped_bit_is_refused),
		cmocka_unit_test(a_stranger_is_refused_in_words),
		cmocka_unit_test(only_known_types_pass),
		cmocka_unit_test(a_payload_at_the_limit_passes),
		cmocka_unit_test(a_checksum_without_payload_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
