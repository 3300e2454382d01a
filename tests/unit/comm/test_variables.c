/* Which variables of the environment there are, and what is said of others. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "comm/variables.h"
#include "lib/check.h"

static const char *nearest(const char *name)
{
	return pccl_variables_nearest(name, strlen(name));
}

static void a_name_is_known_whole(void **state)
{
	(void)state;
	assert_true(pccl_variables_has("PCCL_LANES=4", strlen("PCCL_LANES")));
	assert_true(pccl_variables_has("PCCL_TEST_ANYTHING", strlen("PCCL_TEST_ANYTHING")));
	assert_false(pccl_variables_has("PCCL_LANES", strlen("PCCL_LANE")));
	assert_false(pccl_variables_has("PCCL_LANESX", strlen("PCCL_LANESX")));
	assert_false(pccl_variables_has("PCCL_", strlen("PCCL_")));
	assert_false(pccl_variables_has("pccl_lanes", strlen("pccl_lanes")));
}

static void who_mistypes_one_is_told_which_it_resembles(void **state)
{
	(void)state;
	assert_string_equal(nearest("PCCL_LANE"), "PCCL_LANES");
	assert_string_equal(nearest("PCCL_MASTER"), "PCCL_MASTERS");
	assert_string_equal(nearest("PCCL_INTERFACE"), "PCCL_INTERFACES");
	assert_string_equal(nearest("PCCL_CONECT_TIMEOUT_MS"), "PCCL_CONNECT_TIMEOUT_MS");
	assert_string_equal(nearest("PCCL_LOGLEVEL"), "PCCL_LOG_LEVEL");
	assert_string_equal(nearest("PCCL_SECRETS_FILE"), "PCCL_SECRET_FILE");
	assert_null(nearest("PCCL_"));
	assert_null(nearest("PCCL_RUN_ID"));
	assert_null(nearest("PCCL_A_NAME_OF_SOMEBODY_ELSE_S_THAT_IS_LONGER_THAN_ALL_OF_OURS"));
}

static char lines[1024];

static bool take_line(pcclLogLevel_t level, const char *text)
{
	assert_int_equal(level, pcclLogWarn);
	strncat(lines, text, sizeof(lines) - strlen(lines) - 1);
	return true;
}

static void unknown_ones_are_warned_of_once_without_their_values(void **state)
{
	(void)state;
	assert_int_equal(setenv("PCCL_LANE", "secret", 1), 0);
	assert_int_equal(setenv("PCCL_SOMETHING_ELSE", "secret", 1), 0);
	assert_int_equal(setenv("PCCL_LANES", "2", 1), 0);
	pccl_log_set_level(pcclLogWarn);
	pccl_log_set_taker(take_line);
	pccl_variables_check();
	assert_non_null(strstr(lines, "nobody reads PCCL_LANE, which the environment has: is PCCL_LANES meant?"));
	assert_non_null(strstr(lines, "PCCL_SOMETHING_ELSE, which the environment has"));
	assert_null(strstr(lines, "secret"));
	assert_null(strstr(lines, "reads PCCL_LANES"));
	lines[0] = '\0';
	pccl_variables_check();
	assert_string_equal(lines, "");
	pccl_log_set_taker(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_known_whole),
		cmocka_unit_test(who_mistypes_one_is_told_which_it_resembles),
		cmocka_unit_test(unknown_ones_are_warned_of_once_without_their_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
