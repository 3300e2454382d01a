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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_a_minute_and_the_rest_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
