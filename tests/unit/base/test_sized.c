#include "base/sized.h"

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "lib/check.h"

struct thing {
	size_t size;
	uint32_t first;
	uint32_t second;
	uint32_t third;
	uint32_t reserved;
};

static const struct pccl_sized kind = {"thing", "THING_INITIALIZER", offsetof(struct thing, second),
				       offsetof(struct thing, reserved)};
static const struct thing defaults = {sizeof(struct thing), 10, 20, 30, 0};

static void what_an_older_structure_lacks_has_its_default(void **state)
{
	const struct thing given = {offsetof(struct thing, third), 1, 2, 3, 4};
	struct thing full = defaults;

	(void)state;
	assert_int_equal(pccl_sized_read(&kind, &given, &full), pcclSuccess);
	assert_int_equal(full.size, sizeof(full));
	assert_int_equal(full.first, 1);
	assert_int_equal(full.second, 2);
	assert_int_equal(full.third, 30);
}

static void a_newer_structure_is_read_if_what_is_unknown_is_zero(void **state)
{
	struct {
		struct thing thing;
		uint64_t more[8];
	} newer = {{sizeof(newer), 1, 2, 3, 0}, {0}};
	struct thing full = defaults;

	(void)state;
	assert_int_equal(pccl_sized_read(&kind, &newer, &full), pcclSuccess);
	assert_int_equal(full.third, 3);
	assert_int_equal(full.reserved, 0);
}

static void every_unknown_byte_that_is_not_zero_is_refused(void **state)
{
	struct {
		struct thing thing;
		uint64_t more[2];
	} newer = {{sizeof(newer), 1, 2, 3, 0}, {0}};
	unsigned char *bytes = (unsigned char *)&newer;
	struct thing full = defaults;
	char named[32];
	size_t index;

	(void)state;
	for (index = kind.known; index < sizeof(newer); index++) {
		bytes[index] = 0x80;
		(void)snprintf(named, sizeof(named), "byte %zu of thing ", index);
		assert_int_equal(pccl_sized_read(&kind, &newer, &full), pcclInvalidArgument);
		assert_ptr_equal(strstr(pccl_fail_text(), named), pccl_fail_text());
		assert_memory_equal(&full, &defaults, sizeof(full));
		bytes[index] = 0;
	}
	assert_int_equal(pccl_sized_check(&kind, &newer), pcclSuccess);
}

static void sizes_that_cannot_be_are_refused_with_the_name_of_the_initializer(void **state)
{
	const size_t sizes[] = {0, offsetof(struct thing, second) - 1, PCCL_SIZED_MOST + 1, SIZE_MAX};
	struct thing given = defaults;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		given.size = sizes[i];
		assert_int_equal(pccl_sized_check(&kind, &given), pcclInvalidArgument);
		assert_non_null(strstr(pccl_fail_text(), "THING_INITIALIZER"));
	}
}

static void answers_reach_as_far_as_the_callers_structure_does(void **state)
{
	const struct thing answer = {sizeof(answer), 1, 2, 3, 0};
	struct thing given = {offsetof(struct thing, third), 7, 7, 7, 7};

	(void)state;
	pccl_sized_write(&kind, &answer, &given);
	assert_int_equal(given.size, offsetof(struct thing, third));
	assert_int_equal(given.second, 2);
	assert_int_equal(given.third, 7);
	given.size = sizeof(given);
	pccl_sized_write(&kind, &answer, &given);
	assert_int_equal(given.third, 3);
	assert_int_equal(given.reserved, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_older_structure_lacks_has_its_default),
		cmocka_unit_test(a_newer_structure_is_read_if_what_is_unknown_is_zero),
		cmocka_unit_test(every_unknown_byte_that_is_not_zero_is_refused),
		cmocka_unit_test(sizes_that_cannot_be_are_refused_with_the_name_of_the_initializer),
		cmocka_unit_test(answers_reach_as_far_as_the_callers_structure_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
