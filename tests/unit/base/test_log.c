#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"

/* Runs `speak` with stderr going into `text`, which gets a final zero. What is said must fit a pipe. */
static void capture(void (*speak)(void), char *text, size_t capacity)
{
	int ends[2];
	int saved = dup(STDERR_FILENO);
	ssize_t used;

	assert_true(saved >= 0);
	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	close(ends[1]);
	speak();
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	used = read(ends[0], text, capacity - 1);
	assert_true(used >= 0);
	text[used] = '\0';
	close(ends[0]);
}

static int evaluations;

static int evaluate(void)
{
	return ++evaluations;
}

static void speak_at_all_levels(void)
{
	pccl_log_error("an error");
	pccl_log_warn("a warning");
	pccl_log_info("an information");
	pccl_log_debug("number %d", evaluate());
	pccl_log_trace("number %d", evaluate());
}

static void only_lines_of_the_level_and_above_are_written(void **state)
{
	char text[4096];

	(void)state;
	pccl_log_set_level(pcclLogWarn);
	capture(speak_at_all_levels, text, sizeof(text));
	assert_non_null(strstr(text, " ERR an error\n"));
	assert_non_null(strstr(text, " WARN a warning\n"));
	assert_null(strstr(text, "an information"));
	assert_int_equal(evaluations, 0);
	pccl_log_set_level(pcclLogTrace);
	capture(speak_at_all_levels, text, sizeof(text));
	assert_non_null(strstr(text, " INFO an information\n"));
	assert_non_null(strstr(text, " TRACE number 2\n"));
	pccl_log_set_level(pcclLogNone);
	capture(speak_at_all_levels, text, sizeof(text));
	assert_string_equal(text, "");
}

static void speak_long(void)
{
	char words[3000];

	memset(words, 'w', sizeof(words));
	words[sizeof(words) - 1] = '\0';
	pccl_log_error("%s", words);
}

static void a_long_line_is_cut_and_still_ends(void **state)
{
	char text[4096];

	(void)state;
	pccl_log_set_level(pcclLogErr);
	capture(speak_long, text, sizeof(text));
	assert_int_equal(strlen(text), 1024);
	assert_int_equal(text[1023], '\n');
	assert_int_equal(text[1022], 'w');
}

static void speak_with_control_characters(void)
{
	errno = EPIPE;
	pccl_log_error("peer %s says no", "a\nb\033[2J");
}

static void a_text_from_outside_cannot_forge_lines(void **state)
{
	char text[4096];

	(void)state;
	pccl_log_set_level(pcclLogErr);
	capture(speak_with_control_characters, text, sizeof(text));
	assert_non_null(strstr(text, "peer a?b?[2J says no\n"));
	assert_int_equal(errno, EPIPE);
}

static pcclLogLevel_t taken_level;
static char taken[2048];

static bool take_all_but_warnings(pcclLogLevel_t level, const char *text)
{
	taken_level = level;
	(void)snprintf(taken, sizeof(taken), "%s", text);
	return level != pcclLogWarn;
}

static void who_takes_lines_gets_them_bare_and_stderr_what_is_not_taken(void **state)
{
	char text[4096];

	(void)state;
	pccl_log_set_level(pcclLogWarn);
	pccl_log_set_taker(take_all_but_warnings);
	capture(speak_with_control_characters, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(taken_level, pcclLogErr);
	assert_string_equal(taken, "peer a?b?[2J says no");
	capture(speak_at_all_levels, text, sizeof(text));
	assert_non_null(strstr(text, " WARN a warning\n"));
	assert_null(strstr(text, "an error"));
	pccl_log_set_taker(NULL);
	capture(speak_with_control_characters, text, sizeof(text));
	assert_non_null(strstr(text, " ERR peer a?b?[2J says no\n"));
}

/* A fresh process is needed, for the environment is read once: this runs before anything else asks. */
static void the_environment_sets_the_level(void **state)
{
	static const char *const names[] = {"debug", "nonsense", "NONE"};
	static const pcclLogLevel_t lowest[] = {pcclLogDebug, pcclLogErr, pcclLogNone};
	size_t index;

	(void)state;
	for (index = 0; index < 3; index++) {
		int status = -1;
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0) {
			setenv("PCCL_LOG_LEVEL", names[index], 1);
			_exit(pccl_log_enabled(lowest[index]) && !pccl_log_enabled(lowest[index] - 1) ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

/* More than a pipe of two pages holds. */
static void speak_much(void)
{
	int i;

	assert_true(fcntl(STDERR_FILENO, F_SETPIPE_SZ, 8192) > 0);
	for (i = 0; i < 500; i++)
		pccl_log_error("line %d of a log that nobody reads", i);
}

static void speak_little(void)
{
	pccl_log_error("the next line");
}

static void what_stderr_does_not_take_is_left_out_and_counted(void **state)
{
	char text[16384], notice[80], line[40];
	unsigned written = 0;

	(void)state;
	pccl_log_set_level(pcclLogErr);
	capture(speak_much, text, sizeof(text));
	while ((void)snprintf(line, sizeof(line), " line %u of", written), strstr(text, line) != NULL)
		written++;
	assert_in_range(written, 50, 300);
	(void)snprintf(notice, sizeof(notice), "pccl: %u lines are missing here: ", 500 - written);
	capture(speak_little, text, sizeof(text));
	assert_ptr_equal(strstr(text, notice), text);
	assert_non_null(strstr(text, "the next line\n"));
	capture(speak_little, text, sizeof(text));
	assert_null(strstr(text, "missing"));
}

static void speak_to_nobody(void)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	close(ends[1]);
	close(ends[0]);
	speak_little();
}

static void a_reader_that_is_gone_ends_nobody(void **state)
{
	char text[4096];

	(void)state;
	capture(speak_to_nobody, text, sizeof(text));
	capture(speak_little, text, sizeof(text));
	assert_non_null(strstr(text, "pccl: 1 lines are missing here: "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_environment_sets_the_level),
		cmocka_unit_test(only_lines_of_the_level_and_above_are_written),
		cmocka_unit_test(a_long_line_is_cut_and_still_ends),
		cmocka_unit_test(a_text_from_outside_cannot_forge_lines),
		cmocka_unit_test(who_takes_lines_gets_them_bare_and_stderr_what_is_not_taken),
		cmocka_unit_test(what_stderr_does_not_take_is_left_out_and_counted),
		cmocka_unit_test(a_reader_that_is_gone_ends_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
