/* A save that is interrupted at every call that changes a file, by an error or by the end of the process: the old
 * checkpoint is whole, and nothing is left open or lying about but the one file that the manual names. */
#include <pccl/state.h>

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/files.h"
#include "unit/store/folder.h"

#define LARGE ((5u << 20) + 3)
#define CALLS_MAX 100

static uint8_t large[LARGE], small[10];
static int lock_error; /* of flock(); 0: none */

int flock(int file, int operation)
{
	if (lock_error == 0)
		return (int)syscall(SYS_flock, file, operation);
	errno = lock_error;
	return -1;
}

static void set_content(uint64_t revision)
{
	size_t at;

	for (at = 0; at < LARGE; at++)
		large[at] = (uint8_t)(at * 31 + at / 4096 + revision);
	for (at = 0; at < sizeof(small); at++)
		small[at] = (uint8_t)(at + revision);
}

static pcclSharedState_t state_over(pcclTensorInfo_t infos[2])
{
	const pcclTensorInfo_t both[2] = {{"large", large, LARGE, pcclUint8, pcclDeviceCpu, false},
					  {"small", small, sizeof(small), pcclUint8, pcclDeviceCpu, false}};
	const pcclSharedState_t state = {0, 2, infos};

	memcpy(infos, both, sizeof(both));
	return state;
}

static pcclResult_t save(uint64_t revision)
{
	pcclTensorInfo_t infos[2];
	pcclSharedState_t state = state_over(infos);
	pcclCheckpointOptions_t options = PCCL_CHECKPOINT_OPTIONS_INITIALIZER;

	set_content(revision);
	state.revision = revision;
	options.threads = 2;
	return pcclStateSave(&state, path, &options);
}

/* What is in the file must be what was saved with its revision. */
static uint64_t load(void)
{
	pcclTensorInfo_t infos[2];
	pcclSharedState_t state = state_over(infos);
	static uint8_t found[LARGE];

	assert_int_equal(pcclStateLoad(&state, path, NULL), pcclSuccess);
	memcpy(found, large, LARGE);
	set_content(state.revision);
	assert_memory_equal(found, large, LARGE);
	return state.revision;
}

static size_t entries_of(const char *name)
{
	DIR *open = opendir(name);
	size_t count = 0;

	assert_non_null(open);
	while (readdir(open) != NULL)
		count++;
	(void)closedir(open);
	return count;
}

static bool is_beside(void)
{
	char beside[112];

	(void)snprintf(beside, sizeof(beside), "%s.tmp", path);
	return access(beside, F_OK) == 0;
}

/* The names of all calls that were hit. */
static void note(char *names, const char *name)
{
	if (strstr(names, name) == NULL)
		(void)strcat(names, name);
}

static void an_error_of_any_call_leaves_the_old_one(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EDQUOT};
	char names[64] = "";
	size_t nth, descriptors, each;

	(void)state;
	for (each = 0; each < sizeof(errors) / sizeof(*errors); each++) {
		for (nth = 1; nth < CALLS_MAX; nth++) {
			pcclResult_t result;
			bool named;

			assert_int_equal(save(1), pcclSuccess);
			descriptors = entries_of("/proc/self/fd");
			check_fail_file(nth, CHECK_FILE_FAILS, errors[each]);
			result = save(2);
			if (check_file_failed() == NULL)
				break;
			note(names, check_file_failed());
			check_fail_file(0, CHECK_FILE_FAILS, 0);
			assert_int_equal(result, pcclSystemError);
			assert_non_null(strstr(pcclGetLastError(NULL), strerror(errors[each])));
			named = strstr(pcclGetLastError(NULL), "its name can't be forced") != NULL;
			assert_int_equal(entries_of("/proc/self/fd"), descriptors);
			assert_int_equal(entries_of(folder), 3); /* ".", ".." and the checkpoint */
			assert_int_equal(load(), named ? 2 : 1);
		}
		assert_true(nth > 10 && nth < CALLS_MAX);
		check_fail_file(0, CHECK_FILE_FAILS, 0);
		assert_int_equal(load(), 2);
	}
	assert_true(strstr(names, "open") && strstr(names, "ftruncate") && strstr(names, "pwrite") &&
		    strstr(names, "fsync") && strstr(names, "rename"));
}

static void a_file_system_without_locks_will_do(void **state)
{
	static const int errors[] = {ENOSYS, EOPNOTSUPP, ENOLCK};
	size_t each;

	(void)state;
	for (each = 0; each < sizeof(errors) / sizeof(*errors); each++) {
		lock_error = errors[each];
		assert_int_equal(save(3 + each), pcclSuccess);
		assert_int_equal(load(), 3 + each);
	}
	lock_error = 0;
}

static void a_short_write_is_gone_on_with(void **state)
{
	size_t nth;

	(void)state;
	for (nth = 1; nth < CALLS_MAX; nth++) {
		check_fail_file(nth, CHECK_FILE_SHORT, 0);
		assert_int_equal(save(nth), pcclSuccess);
		if (check_file_failed() == NULL)
			break;
		assert_int_equal(load(), nth);
	}
	assert_true(nth > 10 && nth < CALLS_MAX);
	check_fail_file(0, CHECK_FILE_SHORT, 0);
}

/* Returns true when the process was killed. */
static bool save_and_be_killed(size_t nth)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		check_fail_file(nth, CHECK_FILE_KILLS, 0);
		_exit(save(2) == pcclSuccess ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status))
		return true;
	assert_int_equal(status, 0);
	return false;
}

static void a_death_at_any_call_leaves_the_old_one(void **state)
{
	size_t nth, beside = 0;
	uint64_t found = 0;

	(void)state;
	for (nth = 1; nth < CALLS_MAX; nth++) {
		assert_int_equal(save(1), pcclSuccess);
		assert_false(is_beside()); /* what the last one has left is no hindrance, and gone */
		if (!save_and_be_killed(nth))
			break;
		assert_true(found <= load()); /* the old one until its successor has the name */
		found = load();
		assert_int_equal(entries_of(folder), is_beside() ? 4 : 3);
		beside += is_beside();
	}
	assert_true(nth > 10 && nth < CALLS_MAX && beside > 6);
	assert_int_equal(found, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_of_any_call_leaves_the_old_one),
		cmocka_unit_test(a_file_system_without_locks_will_do),
		cmocka_unit_test(a_short_write_is_gone_on_with),
		cmocka_unit_test(a_death_at_any_call_leaves_the_old_one),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
