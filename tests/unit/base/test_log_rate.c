/* One line a minute, and how many were left out. */
#include "base/log_rate.h"

#include "lib/check.h"

static void one_line_a_minute_and_the_rest_is_counted(void **state)
{
	struct pccl_log_rate rate = {0};
	uint32_t line;

	(void)state;
	assert_string_equal(pccl_log_rate(&rate, 5), "");
	for (line = 0; line < 4211; line++)
		assert_null(pccl_log_rate(&rate, 5 + line));
	assert_null(pccl_log_rate(&rate, 4 + PCCL_LOG_RATE_NS));
	assert_string_equal(pccl_log_rate(&rate, 5 + PCCL_LOG_RATE_NS), " (and 4212 more since the last)");
	assert_null(pccl_log_rate(&rate, 6 + PCCL_LOG_RATE_NS));
	assert_string_equal(pccl_log_rate(&rate, 5 + 3 * PCCL_LOG_RATE_NS), " (and 1 more since the last)");
	assert_string_equal(pccl_log_rate(&rate, 5 + 5 * PCCL_LOG_RATE_NS), "");
}

static void callers_and_causes_have_lines_of_their_own(void **state)
{
	struct pccl_log_rates rates = {.keys = {0}};

	(void)state;
	assert_string_equal(pccl_log_rate_of(&rates, "192.0.2.1", "no", 5), "");
	assert_string_equal(pccl_log_rate_of(&rates, "192.0.2.2", "no", 5), "");
	assert_string_equal(pccl_log_rate_of(&rates, "192.0.2.1", "never", 5), "");
	assert_null(pccl_log_rate_of(&rates, "192.0.2.1", "no", 6));
	assert_null(pccl_log_rate_of(&rates, "192.0.2.1", "never", 6));
	assert_string_equal(pccl_log_rate_of(&rates, "192.0.2.3", "gone from port 123", 5), "");
	assert_null(pccl_log_rate_of(&rates, "192.0.2.3", "gone from port 4567", 5));
	assert_string_equal(pccl_log_rate_of(&rates, "192.0.2.1", "no", 5 + PCCL_LOG_RATE_NS),
			    " (and 1 more since the last)");
}

static void those_that_are_too_many_share_a_line(void **state)
{
	struct pccl_log_rates rates = {.keys = {0}};
	char caller[16] = "a";
	uint32_t i;

	(void)state;
	for (i = 0; i < PCCL_LOG_RATES; i++, caller[0]++)
		assert_string_equal(pccl_log_rate_of(&rates, caller, "no", 5), "");
	for (i = 0; i < 10; i++, caller[0]++)
		assert_true((pccl_log_rate_of(&rates, caller, "no", 5) != NULL) == (i == 0));
	assert_null(pccl_log_rate_of(&rates, "a", "no", 5));
	/* What was left out of one that has lost its place is told with the next of the others. */
	for (i = 0; i < PCCL_LOG_RATES; i++, caller[0]++)
		assert_string_equal(pccl_log_rate_of(&rates, caller, "never", 5 + PCCL_LOG_RATE_NS), "");
	assert_string_equal(pccl_log_rate_of(&rates, caller, "no", 5 + PCCL_LOG_RATE_NS),
			    " (and 10 more since the last)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_a_minute_and_the_rest_is_counted),
		cmocka_unit_test(callers_and_causes_have_lines_of_their_own),
		cmocka_unit_test(those_that_are_too_many_share_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
