#include "base/text.h"

#include <string.h>

#include "lib/check.h"

static void what_fits_stays(void **state)
{
	char out[16];

	(void)state;
	pccl_text_format(out, sizeof(out), "tag %d", 7);
	assert_string_equal(out, "tag 7");
	pccl_text_copy(out, sizeof(out), "fifteen letters");
	assert_string_equal(out, "fifteen letters");
	pccl_text_copy(out, sizeof(out), "");
	assert_string_equal(out, "");
}

static void what_is_too_long_ends_at_a_word(void **state)
{
	char out[16];

	(void)state;
	pccl_text_copy(out, sizeof(out), "one two three four five");
	assert_string_equal(out, "one two...");
	pccl_text_format(out, sizeof(out), "%s", "one two ten four five");
	assert_string_equal(out, "one two ten...");
	pccl_text_copy(out, sizeof(out), "one two ten  four five");
	assert_string_equal(out, "one two ten...");
}

static void what_is_no_word_is_cut_where_it_must(void **state)
{
	char long_run[200], out[100], eight[8];

	(void)state;
	memset(long_run, 'x', sizeof(long_run) - 1);
	long_run[sizeof(long_run) - 1] = '\0';
	long_run[10] = ' ';
	pccl_text_copy(out, sizeof(out), long_run);
	assert_int_equal(strlen(out), sizeof(out) - 1);
	assert_string_equal(out + sizeof(out) - 5, "x...");
	pccl_text_copy(eight, sizeof(eight), "abcdefghijkl");
	assert_string_equal(eight, "abcd...");
}

static void no_character_is_cut_in_two(void **state)
{
	char eight[8];

	(void)state;
	pccl_text_copy(eight, sizeof(eight),
		       "abc\xc3\xa4"
		       "fghijkl"); /* the cut would be inside of the fourth */
	assert_string_equal(eight, "abc...");
}

static void control_characters_go(void **state)
{
	char out[32];

	(void)state;
	pccl_text_format(out, sizeof(out), "a%sb", "\x1b[31m\r\n\x7f");
	assert_string_equal(out, "a?[31m???b");
	pccl_text_copy(out, sizeof(out), "caf\xc3\xa9\n");
	assert_string_equal(out, "caf\xc3\xa9?");
}

static void a_text_may_be_cut_in_place(void **state)
{
	char text[24] = "one two three four five";

	(void)state;
	pccl_text_copy(text, 16, text);
	assert_string_equal(text, "one two...");
}

static void lines_of_words_begin_and_end_with_one(void **state)
{
	char line[] = " \tone two \t\r\n", blank[] = " \n", none[] = "";

	(void)state;
	assert_string_equal(pccl_text_trim(line), "one two");
	assert_string_equal(pccl_text_trim(blank), "");
	assert_string_equal(pccl_text_trim(none), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_stays),
		cmocka_unit_test(what_is_too_long_ends_at_a_word),
		cmocka_unit_test(what_is_no_word_is_cut_where_it_must),
		cmocka_unit_test(no_character_is_cut_in_two),
		cmocka_unit_test(control_characters_go),
		cmocka_unit_test(a_text_may_be_cut_in_place),
		cmocka_unit_test(lines_of_words_begin_and_end_with_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
