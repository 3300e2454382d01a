/* How often each tag was used, and what is forgotten of that. */
#include "session/session_sequence.h"

#include "lib/check.h"

static void sequences_survive_growth(void **state)
{
	struct pccl_sequences sequences = {0};
	uint64_t tag;

	(void)state;
	for (tag = 0; tag < 1000; tag++) {
		assert_true(pccl_sequences_reserve(&sequences, 1));
		assert_int_equal(pccl_sequences_take(&sequences, tag * 977), 0);
	}
	for (tag = 0; tag < 1000; tag++)
		assert_int_equal(pccl_sequences_take(&sequences, tag * 977), 1);
	pccl_sequences_clear(&sequences);
	assert_true(pccl_sequences_reserve(&sequences, 1));
	assert_int_equal(pccl_sequences_take(&sequences, 977), 0);
	pccl_sequences_clear(&sequences);
}

/* Whatever was forgotten goes on with one number, above all that were used. */
static void what_is_forgotten_goes_on_with_the_floor(void **state)
{
	const uint64_t kept[] = {3, 99, 3};
	struct pccl_sequences sequences = {0};
	uint64_t told[2];
	uint64_t tag;

	(void)state;
	assert_true(pccl_sequences_reserve(&sequences, 10));
	for (tag = 0; tag < 10; tag++)
		assert_int_equal(pccl_sequences_take(&sequences, tag), 0);
	assert_int_equal(pccl_sequences_take(&sequences, 5), 1);
	assert_int_equal(pccl_sequences_unsettled(&sequences, told, 2), 10);
	for (tag = 0; tag < 9; tag++)
		pccl_sequences_settle(&sequences, tag);
	assert_int_equal(pccl_sequences_unsettled(&sequences, told, 2), 1);
	assert_int_equal(told[0], 9);
	assert_int_equal(sequences.top, 2);
	assert_true(pccl_sequences_forget(&sequences, kept, 3, 7, 1));
	assert_int_equal(sequences.count, 2);
	assert_int_equal(pccl_sequences_next(&sequences, 3), 1);  /* as before */
	assert_int_equal(pccl_sequences_next(&sequences, 99), 0); /* likewise */
	assert_int_equal(pccl_sequences_next(&sequences, 5), 7);
	assert_int_equal(pccl_sequences_take(&sequences, 1000), 7);
	pccl_sequences_clear(&sequences);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_survive_growth),
		cmocka_unit_test(what_is_forgotten_goes_on_with_the_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
