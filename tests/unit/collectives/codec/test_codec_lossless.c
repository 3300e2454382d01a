/* The lossless stage and the choice whether to use it. */
#include "lib/allocations.h"
#include "lib/check.h"

#include "base/fail.h"
#include "codec_fixture.h"
#include "collectives/codec/codec_lossless.h"

#include <stdlib.h>

#define BYTES_MAX 65536

struct arrays {
	struct pccl_lossless *lossless;
	uint8_t in[BYTES_MAX], out[BYTES_MAX], encoded[BYTES_MAX + 64];
};

static int make_arrays(void **state)
{
	struct arrays *arrays = malloc(sizeof(*arrays));

	if (arrays == NULL || pccl_lossless_create(BYTES_MAX, &arrays->lossless) != pcclSuccess)
		return -1;
	*state = arrays;
	return 0;
}

static int free_arrays(void **state)
{
	struct arrays *arrays = *state;

	pccl_lossless_destroy(arrays->lossless);
	pccl_lossless_destroy(NULL);
	free(arrays);
	return 0;
}

static void fill_with(struct arrays *a, struct pccl_rng *rng, pcclDataType_t type, size_t count)
{
	size_t i;

	if (pccl_dtype_is_float(type)) {
		fill_elements(rng, ELEMENTS_OUTLIERS, type, count, a->in);
		return;
	}
	memset(a->in, 0, sizeof(a->in));
	for (i = 0; i < count; i++)
		a->in[i * pccl_dtype_bytes(type)] = (uint8_t)pccl_rng_below(rng, 10);
}

static void every_type_comes_back_in_fewer_bytes(void **state)
{
	struct arrays *a = *state;
	struct pccl_rng rng;
	int type;

	pccl_rng_seed(&rng, 1);
	for (type = 0; type < PCCL_DTYPE_COUNT; type++) {
		const size_t count = BYTES_MAX / 8, bytes = count * pccl_dtype_bytes((pcclDataType_t)type);
		size_t used;

		fill_with(a, &rng, (pcclDataType_t)type, count);
		used = pccl_lossless_encode(a->lossless, a->in, count, (pcclDataType_t)type, a->encoded, bytes);
		assert_true(used > 0 && used < bytes * 95 / 100);
		memset(a->out, 0xa5, sizeof(a->out));
		assert_int_equal(
			pccl_lossless_decode(a->lossless, a->encoded, used, count, (pcclDataType_t)type, a->out),
			pcclSuccess);
		assert_memory_equal(a->in, a->out, bytes);
		if (bytes < BYTES_MAX)
			assert_int_equal(a->out[bytes], 0xa5);
	}
}

static void three_bits_in_ten_of_bfloat16_are_saved(void **state)
{
	struct arrays *a = *state;
	struct pccl_rng rng;

	pccl_rng_seed(&rng, 2);
	fill_elements(&rng, ELEMENTS_OUTLIERS, pcclBFloat16, BYTES_MAX / 2, a->in);
	assert_true(pccl_lossless_encode(a->lossless, a->in, BYTES_MAX / 2, pcclBFloat16, a->encoded, BYTES_MAX) <
		    BYTES_MAX * 7 / 10);
}

static void what_does_not_get_smaller_is_left_alone(void **state)
{
	struct arrays *a = *state;
	struct pccl_rng rng;
	size_t i, used;

	pccl_rng_seed(&rng, 3);
	for (i = 0; i < BYTES_MAX; i++)
		a->in[i] = (uint8_t)pccl_rng_u64(&rng);
	assert_int_equal(pccl_lossless_encode(a->lossless, a->in, BYTES_MAX / 4, pcclFloat, a->encoded, BYTES_MAX), 0);
	assert_int_equal(pccl_lossless_encode(a->lossless, a->in, 1, pcclFloat, a->encoded, BYTES_MAX), 0);
	assert_int_equal(pccl_lossless_encode(a->lossless, a->in, 0, pcclFloat, a->encoded, BYTES_MAX), 0);
	/* Neither is what does not fit. */
	memset(a->in, 0, BYTES_MAX);
	used = pccl_lossless_encode(a->lossless, a->in, BYTES_MAX / 4, pcclFloat, a->encoded, BYTES_MAX);
	assert_true(used > 0 && used < 200);
	assert_int_equal(pccl_lossless_encode(a->lossless, a->in, BYTES_MAX / 4, pcclFloat, a->encoded, used - 1), 0);
}

/* Every truncation is refused with a reason, and so is every change that the structure shows. */
static void damaged_bytes_are_refused(void **state)
{
	struct arrays *a = *state;
	struct pccl_rng rng;
	const size_t count = 3000;
	size_t used, bytes, i;

	pccl_rng_seed(&rng, 4);
	fill_elements(&rng, ELEMENTS_OUTLIERS, pcclFloat, count, a->in);
	used = pccl_lossless_encode(a->lossless, a->in, count, pcclFloat, a->encoded, BYTES_MAX);
	assert_true(used > 0);
	for (bytes = 0; bytes < used; bytes += 1 + bytes / 9) {
		pccl_fail_clear();
		assert_int_equal(pccl_lossless_decode(a->lossless, a->encoded, bytes, count, pcclFloat, a->out),
				 pcclInvalidArgument);
		assert_true(strlen(pccl_fail_text()) > 10);
	}
	a->encoded[used] = 0;
	assert_int_equal(pccl_lossless_decode(a->lossless, a->encoded, used + 1, count, pcclFloat, a->out),
			 pcclInvalidArgument);
	assert_int_equal(pccl_lossless_decode(a->lossless, a->encoded, used, count - 1, pcclFloat, a->out),
			 pcclInvalidArgument);
	for (i = 0; i < 2000; i++) {
		const size_t at = pccl_rng_below(&rng, i % 2 ? used : 20);
		const uint8_t before = a->encoded[at];

		a->encoded[at] = (uint8_t)pccl_rng_u64(&rng);
		if (pccl_lossless_decode(a->lossless, a->encoded, used, count, pcclFloat, a->out) != pcclSuccess)
			assert_true(strlen(pccl_fail_text()) > 10);
		a->encoded[at] = before;
	}
	assert_int_equal(pccl_lossless_decode(a->lossless, a->encoded, used, count, pcclFloat, a->out), pcclSuccess);
	assert_memory_equal(a->in, a->out, count * sizeof(float));
}

static void without_memory_there_is_no_stage_and_nothing_leaks(void **state)
{
	struct pccl_lossless *lossless;
	size_t nth = 0;

	(void)state;
	do {
		check_fail_allocation(++nth);
		if (pccl_lossless_create(4096, &lossless) == pcclSuccess)
			pccl_lossless_destroy(lossless);
		else
			assert_null(lossless);
	} while (check_allocation_failed());
	check_fail_allocation(0);
	assert_true(nth > 1);
}

/* Plays segments of 256 KiB over a link, in virtual time; returns the time over that without encoding. */
static double play(double link_rate, double encode_rate, double ratio, unsigned segments, unsigned *encoded_out)
{
	struct pccl_lossless_choice choice;
	const double bytes = 262144;
	double elapsed = 0;
	unsigned i;

	memset(&choice, 0, sizeof(choice));
	*encoded_out = 0;
	for (i = 0; i < segments; i++) {
		double left = bytes;

		if (pccl_lossless_choose(&choice)) {
			left = bytes * ratio;
			elapsed += bytes / encode_rate;
			pccl_lossless_learn_encoding(&choice, (size_t)bytes, ratio < 1 ? (size_t)left : 0,
						     (uint64_t)(bytes / encode_rate));
			*encoded_out += 1;
		}
		elapsed += left / link_rate;
		pccl_lossless_learn_link(&choice, (size_t)left, (uint64_t)(left / link_rate));
	}
	return elapsed / (segments * bytes / link_rate);
}

static void a_slow_link_is_helped_and_a_fast_one_not_held_up(void **state)
{
	unsigned encoded;

	(void)state;
	/* Bytes per ns: 0.125 is 1 Gbit/s. */
	assert_true(play(0.125, 1.5, 0.7, 2000, &encoded) < 0.80);
	assert_int_equal(encoded, 2000);
	assert_true(play(3.0, 1.5, 0.7, 2000, &encoded) <= 1.02);
	assert_true(encoded >= 2 && encoded < 40);
	assert_true(play(0.125, 1.5, 1.0, 2000, &encoded) <= 1.02);
	assert_true(play(0.5, 0.6, 0.98, 2000, &encoded) <= 1.02);
}

static void the_choice_changes_with_the_data(void **state)
{
	struct pccl_lossless_choice choice;
	unsigned i, late = 0;

	(void)state;
	memset(&choice, 0, sizeof(choice));
	for (i = 0; i < 4000; i++) {
		pccl_lossless_learn_link(&choice, 125000, 1000000);
		if (pccl_lossless_choose(&choice)) {
			/* Noise at first, then data that shrinks by a third. */
			pccl_lossless_learn_encoding(&choice, 1500000, i < 1000 ? 0 : 1000000, 1000000);
			late += i >= 2000 ? 1 : 0;
		}
	}
	assert_int_equal(late, 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_comes_back_in_fewer_bytes),
		cmocka_unit_test(three_bits_in_ten_of_bfloat16_are_saved),
		cmocka_unit_test(what_does_not_get_smaller_is_left_alone),
		cmocka_unit_test(damaged_bytes_are_refused),
		cmocka_unit_test(without_memory_there_is_no_stage_and_nothing_leaks),
		cmocka_unit_test(a_slow_link_is_helped_and_a_fast_one_not_held_up),
		cmocka_unit_test(the_choice_changes_with_the_data),
	};

	return cmocka_run_group_tests(tests, make_arrays, free_arrays);
}
