/* How many trials may be on at a time. */
#include "transport/rdma/trials.h"

#include <stdio.h>
#include <string.h>

#include "lib/check.h"

static struct pccl_address stranger(const char *network, uint32_t number)
{
	struct pccl_address address;
	char text[64];

	snprintf(text, sizeof(text), "%s%u", network, number);
	assert_int_equal(pccl_address_numeric(text, (uint16_t)(1000 + number), &address), pcclSuccess);
	return address;
}

static void one_origin_leaves_room_for_others(void **state)
{
	static struct pccl_trial trials[PCCL_TRIALS_OF_ONE + 2];
	struct pccl_address address;
	uint32_t i;

	(void)state;
	memset(trials, 0, sizeof(trials));
	for (i = 0; i <= PCCL_TRIALS_OF_ONE; i++) { /* a whole network is one's */
		address = stranger("2001:db8::", i);
		assert_int_equal(pccl_trial_begin(&trials[i], &address), i < PCCL_TRIALS_OF_ONE);
	}
	address = stranger("2001:db8:0:1::", 1);
	assert_true(pccl_trial_begin(&trials[i], &address));
	pccl_trial_end(&trials[5]);
	pccl_trial_end(&trials[5]);
	address = stranger("2001:db8::", 1);
	assert_true(pccl_trial_begin(&trials[5], &address));
	assert_false(pccl_trial_begin(&trials[i - 1], &address));
	for (i = 0; i < PCCL_TRIALS_OF_ONE + 2; i++)
		pccl_trial_end(&trials[i]);
}

static void all_together_are_bounded(void **state)
{
	static struct pccl_trial trials[PCCL_TRIALS_MAX + 1];
	struct pccl_address address;
	uint32_t i;

	(void)state;
	memset(trials, 0, sizeof(trials));
	for (i = 0; i <= PCCL_TRIALS_MAX; i++) {
		address = stranger("10.0.0.", i);
		assert_int_equal(pccl_trial_begin(&trials[i], &address), i < PCCL_TRIALS_MAX);
	}
	pccl_trial_end(&trials[0]);
	assert_true(pccl_trial_begin(&trials[PCCL_TRIALS_MAX], &address));
	for (i = 0; i <= PCCL_TRIALS_MAX; i++)
		pccl_trial_end(&trials[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_origin_leaves_room_for_others),
		cmocka_unit_test(all_together_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
