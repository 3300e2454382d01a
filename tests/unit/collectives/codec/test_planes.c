/* Byte planes. */
#include "lib/check.h"

#include "base/rng.h"
#include "collectives/codec/planes.h"
#include "collectives/element/dtype.h"

#include <stdbool.h>
#include <string.h>

#define ROOM 1000

/* Bit `bit` of element `index`, counted from the least significant. */
static unsigned bit_of(const uint8_t *elements, size_t element_bytes, size_t index, unsigned bit)
{
	return (elements[index * element_bytes + bit / 8] >> (bit % 8)) & 1u;
}

static void check_planes(const uint8_t *in, const uint8_t *planes, size_t count, pcclDataType_t type)
{
	const size_t element_bytes = pccl_dtype_bytes(type);
	const unsigned bits = 8 * (unsigned)element_bytes, rotation = pccl_dtype_is_float(type) ? 1 : 0;
	size_t i;
	unsigned bit;

	for (i = 0; i < count; i++) {
		for (bit = 0; bit < bits; bit++) {
			unsigned moved = (bit + rotation) % bits;

			assert_int_equal(bit_of(in, element_bytes, i, bit),
					 (planes[moved / 8 * count + i] >> (moved % 8)) & 1u);
		}
	}
}

static void every_bit_goes_where_it_belongs_and_back(void **state)
{
	static const size_t counts[] = {0, 1, 3, 16, 31, 64, 100, 333};
	static uint8_t in[ROOM * 8 + 8], planes[ROOM * 8 + 8], out[ROOM * 8 + 8];
	struct pccl_rng rng;
	size_t i, k;
	int type;

	(void)state;
	pccl_rng_seed(&rng, 1);
	for (type = 0; type < PCCL_DTYPE_COUNT; type++) {
		const size_t element_bytes = pccl_dtype_bytes((pcclDataType_t)type);

		for (k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
			const size_t count = counts[k], bytes = count * element_bytes, offset = k % 3;

			for (i = 0; i < bytes + offset; i++)
				in[i] = (uint8_t)pccl_rng_u64(&rng);
			planes[bytes + offset] = out[bytes] = 0x5a;
			pccl_planes_split(planes + offset, in + offset, count, (pcclDataType_t)type);
			check_planes(in + offset, planes + offset, count, (pcclDataType_t)type);
			pccl_planes_merge(out, planes + offset, count, (pcclDataType_t)type);
			assert_memory_equal(out, in + offset, bytes);
			assert_int_equal(planes[bytes + offset], 0x5a);
			assert_int_equal(out[bytes], 0x5a);
		}
	}
}

static void the_last_plane_of_a_float_is_its_exponent(void **state)
{
	const float in[3] = {1.5f, -1.25f, 8.0f};
	uint8_t planes[12];

	(void)state;
	pccl_planes_split(planes, in, 3, pcclFloat);
	assert_int_equal(planes[9], 127);
	assert_int_equal(planes[10], 127);
	assert_int_equal(planes[11], 130);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_bit_goes_where_it_belongs_and_back),
		cmocka_unit_test(the_last_plane_of_a_float_is_its_exponent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
