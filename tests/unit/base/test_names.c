#include "base/names.h"

#include <string.h>

#include "lib/check.h"

#define ENUMS 24 /* values of pcclEnum_t */

static void every_name_leads_back_to_its_value(void **state)
{
	int which, value = -1, found;
	size_t index, values = 0;

	(void)state;
	for (which = 0; which < ENUMS; which++) {
		for (index = 0; pccl_name_value((pcclEnum_t)which, index, &value); index++) {
			assert_true(pccl_name_find((pcclEnum_t)which, pccl_name_of((pcclEnum_t)which, value), &found));
			assert_int_equal(found, value);
		}
		assert_true(index >= 2);
		values += index;
	}
	assert_true(values >= 96);
}

/* In the order of the header, so that who counts through them meets each once. */
static void values_come_once_each(void **state)
{
	int value = -1, types;

	(void)state;
	for (types = 0; pccl_name_value(pcclEnumDataType, (size_t)types, &value); types++)
		assert_int_equal(value, types);
	assert_int_equal(types, 12);
}

static void words_are_known_in_any_case_and_by_their_synonyms(void **state)
{
	int value = -1;

	(void)state;
	assert_true(pccl_name_find(pcclEnumDataType, "FP32", &value));
	assert_int_equal(value, pcclFloat);
	assert_string_equal(pccl_name_of(pcclEnumDataType, pcclFloat), "float32");
	assert_true(pccl_name_find(pcclEnumLogLevel, "warn", &value));
	assert_int_equal(value, pcclLogWarn);
	assert_true(pccl_name_find(pcclEnumResult, "pcclTimeout", &value));
	assert_int_equal(value, pcclTimeout);
}

static void what_is_unknown_has_no_name(void **state)
{
	int value = 7;

	(void)state;
	assert_null(pccl_name_of(pcclEnumPlan, 77));
	assert_null(pccl_name_of((pcclEnum_t)ENUMS, 0));
	assert_null(pccl_name_of((pcclEnum_t)-1, 0));
	assert_string_equal(pccl_name_or_mark(pcclEnumPlan, 77), "?");
	assert_false(pccl_name_find(pcclEnumPlan, "", &value));
	assert_false(pccl_name_find(pcclEnumPlan, "rings", &value));
	assert_false(pccl_name_find((pcclEnum_t)ENUMS, "ring", &value));
	assert_false(pccl_name_value((pcclEnum_t)ENUMS, 0, &value));
	assert_int_equal(value, 7);
}

static void a_list_names_what_can_be_chosen(void **state)
{
	char text[64], small[10];

	(void)state;
	pccl_name_list(pcclEnumFailurePolicy, text, sizeof(text));
	assert_string_equal(text, "abort, retry, repair");
	pccl_name_list(pcclEnumFailurePolicy, small, sizeof(small));
	assert_string_equal(small, "abort, re");
	pccl_name_list((pcclEnum_t)ENUMS, text, sizeof(text));
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_name_leads_back_to_its_value),
		cmocka_unit_test(values_come_once_each),
		cmocka_unit_test(words_are_known_in_any_case_and_by_their_synonyms),
		cmocka_unit_test(what_is_unknown_has_no_name),
		cmocka_unit_test(a_list_names_what_can_be_chosen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
