/* When a stream counts as cut off. */
#include "lib/check.h"
#include "transport/link/still.h"

#define PATIENCE_NS 750u

static struct pccl_still still;

static bool look(uint64_t now_ns, struct pccl_stream_counters counters)
{
	return pccl_still_look(&still, &counters, now_ns, PATIENCE_NS, false);
}

static int begin(void **state)
{
	(void)state;
	still = (struct pccl_still){.sign_ns = 0};
	assert_false(look(1000, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 5}));
	return 0;
}

static void stream_whose_bytes_nobody_acknowledges_is_cut_off(void **state)
{
	const struct pccl_stream_counters counters = {.awaits = true, .acked_bytes = 5, .heard_ns = 900};

	(void)state;
	assert_false(look(1749, counters));
	assert_true(look(1750, counters));
}

static void anything_that_is_acknowledged_is_a_sign(void **state)
{
	(void)state;
	assert_false(look(1700, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 6}));
	assert_false(look(2400, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 6}));
	assert_true(look(2450, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 6}));
	assert_false(look(2500, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 6, .acked_ns = 2000}));
}

static void anything_that_is_heard_is_a_sign(void **state)
{
	(void)state;
	assert_false(look(1800, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 5, .heard_ns = 1100}));
	assert_true(look(1850, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 5, .heard_ns = 1100}));
}

static void stream_that_waits_for_nothing_is_not_cut_off(void **state)
{
	(void)state;
	assert_false(look(5000, (struct pccl_stream_counters){.acked_bytes = 5}));
	assert_false(look(5700, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 5}));
	assert_true(look(5750, (struct pccl_stream_counters){.awaits = true, .acked_bytes = 5}));
}

static void who_was_asleep_has_to_read_first(void **state)
{
	const struct pccl_stream_counters counters = {.awaits = true, .acked_bytes = 5};

	(void)state;
	assert_false(pccl_still_look(&still, &counters, 9000, PATIENCE_NS, true));
	assert_false(look(9749, counters));
	assert_true(look(9750, counters));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(stream_whose_bytes_nobody_acknowledges_is_cut_off, begin),
		cmocka_unit_test_setup(anything_that_is_acknowledged_is_a_sign, begin),
		cmocka_unit_test_setup(anything_that_is_heard_is_a_sign, begin),
		cmocka_unit_test_setup(stream_that_waits_for_nothing_is_not_cut_off, begin),
		cmocka_unit_test_setup(who_was_asleep_has_to_read_first, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
