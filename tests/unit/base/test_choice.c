#include "base/choice.h"

#include <string.h>

#include "base/fail.h"
#include "lib/check.h"

static void a_value_that_is_none_is_refused_with_those_that_are(void **state)
{
	(void)state;
	assert_int_equal(pccl_choice_check("plan", pcclEnumPlan, pcclPlanAuto), pcclSuccess);
	assert_int_equal(pccl_choice_check("plan", pcclEnumPlan, pcclPlanRing), pcclSuccess);
	assert_int_equal(pccl_choice_check("plan", pcclEnumPlan, 77), pcclInvalidArgument);
	assert_string_equal(pccl_fail_text(), "plan is 77, which is unknown: there are auto, oneshot, direct, ring");
	assert_int_equal(pccl_choice_check("codec", pcclEnumCodec, -1), pcclInvalidArgument);
	assert_non_null(strstr(pccl_fail_text(), "nf4, plain"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_that_is_none_is_refused_with_those_that_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
