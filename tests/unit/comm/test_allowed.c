/* The list of who may join: what its lines mean, and which are refused. */
#include "comm/allowed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "lib/check.h"

#define ONES "pccl-key-1111111111111111111111111111111111111111111111111111111111111111"

static char path[64];

static int set_up(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/pccl-test-allowed.XXXXXX");
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	return unlink(path);
}

static pcclResult_t read_text(const char *text, struct pccl_allowed **allowed_out)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	return pccl_allowed_read(path, allowed_out);
}

static struct pccl_key key_of(int byte)
{
	struct pccl_key key;

	memset(key.data, byte, sizeof(key.data));
	return key;
}

static void keys_and_names_may_join_their_groups(void **state)
{
	const struct pccl_key ones = key_of(0x11), none = key_of(0);
	struct pccl_allowed *allowed;

	(void)state;
	assert_int_equal(read_text("# ours\n\n  key " ONES " groups 0,3-5 \r\n\tname worker 7\n"
				   "name guest groups 4294967295",
				   &allowed),
			 pcclSuccess);
	assert_true(pccl_allowed_admits(allowed, &ones, "", 0));
	assert_true(pccl_allowed_admits(allowed, &ones, "", 5));
	assert_false(pccl_allowed_admits(allowed, &ones, "", 2));
	assert_false(pccl_allowed_admits(allowed, &none, "", 0));
	assert_true(pccl_allowed_admits(allowed, &none, "worker 7", 2));
	assert_true(pccl_allowed_admits(allowed, &none, "guest", UINT32_MAX));
	assert_false(pccl_allowed_admits(allowed, &none, "guest", 0));
	assert_false(pccl_allowed_admits(allowed, &none, "worker", 0));
	pccl_allowed_destroy(allowed);
}

/* While it is being written anew, say: all who are there would have to go. */
static void an_empty_list_is_refused(void **state)
{
	static const char *const texts[] = {"", "\n \n", "# nobody\n"};
	struct pccl_allowed *allowed;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(read_text(texts[i], &allowed), pcclInvalidArgument);
		assert_null(allowed);
		assert_non_null(strstr(pccl_fail_text(), "lets nobody join"));
	}
	pccl_allowed_destroy(NULL);
}

static void lists_grow(void **state)
{
	const struct pccl_key none = key_of(0);
	struct pccl_allowed *allowed;
	FILE *file = fopen(path, "w");
	int i;

	(void)state;
	assert_non_null(file);
	for (i = 0; i < 1000; i++)
		assert_true(fprintf(file, "name w%d\n", i) > 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(pccl_allowed_read(path, &allowed), pcclSuccess);
	assert_true(pccl_allowed_admits(allowed, &none, "w999", 0));
	assert_false(pccl_allowed_admits(allowed, &none, "w1000", 0));
	pccl_allowed_destroy(allowed);
}

static void what_is_no_line_of_a_list_is_named(void **state)
{
	static const char *const lines[] = {"key pccl-key-12",
					    "key",
					    "name",
					    "name ",
					    "worker",
					    ONES,
					    "name a groups ",
					    "name a groups 1,",
					    "name a groups 5-3",
					    "name a groups 4294967296",
					    "name a groups x",
					    "name a groups 1 2",
					    "key pccl-key-1 3",
					    "name a groups 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"};
	struct pccl_allowed *allowed;
	char text[600];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		(void)snprintf(text, sizeof(text), "name first\n%s\n", lines[i]);
		if (read_text(text, &allowed) != pcclInvalidArgument)
			fail_msg("taken: %s", lines[i]);
		assert_null(allowed);
		if (strstr(pccl_fail_text(), "line 2") == NULL || strstr(pccl_fail_text(), path) == NULL)
			fail_msg("it says: %s", pccl_fail_text());
	}
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text, "name ", 5);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(read_text(text, &allowed), pcclInvalidArgument);
	text[5 + 64] = '\0';
	assert_int_equal(read_text(text, &allowed), pcclInvalidArgument);
	text[5 + 63] = '\0';
	assert_int_equal(read_text(text, &allowed), pcclSuccess);
	pccl_allowed_destroy(allowed);
	assert_int_equal(pccl_allowed_read("/nowhere/list", &allowed), pcclInvalidArgument);
	assert_int_equal(pccl_allowed_read("/tmp", &allowed), pcclInvalidArgument);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_and_names_may_join_their_groups, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_empty_list_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(lists_grow, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_line_of_a_list_is_named, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("allowed", tests, NULL, NULL);
}
