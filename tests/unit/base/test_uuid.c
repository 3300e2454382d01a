#include "base/uuid.h"

#include "lib/check.h"

static const pcclRankUuid_t sample = {
	{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};

static void every_byte_counts(void **state)
{
	size_t index;

	(void)state;
	assert_true(pccl_uuid_equal(&sample, &sample));
	assert_int_equal(pccl_uuid_compare(&sample, &sample), 0);
	for (index = 0; index < sizeof(sample.data); index++) {
		pcclRankUuid_t other = sample;

		other.data[index] ^= 0x80;
		assert_false(pccl_uuid_equal(&sample, &other));
		/* Bytes compare unsigned: the flipped top bit decides, from the first byte that differs. */
		assert_true((pccl_uuid_compare(&sample, &other) < 0) == (sample.data[index] < 0x80));
		assert_true((pccl_uuid_compare(&other, &sample) < 0) == (sample.data[index] >= 0x80));
	}
}

static void only_all_zeros_are_zero(void **state)
{
	pcclRankUuid_t uuid = {{0}};

	(void)state;
	assert_true(pccl_uuid_is_zero(&uuid));
	uuid.data[15] = 1;
	assert_false(pccl_uuid_is_zero(&uuid));
	assert_false(pccl_uuid_is_zero(&sample));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_counts),
		cmocka_unit_test(only_all_zeros_are_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
