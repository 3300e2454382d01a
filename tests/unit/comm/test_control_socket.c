/* The socket of a master's operator: who may use it, and what it does with those who say nothing, or too much. */
#include "comm/control_socket.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fail.h"
#include "lib/check.h"

enum { LINES = 20000 }; /* more than a socket keeps */

static char folder[64];
static char path[128];

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/pccl-test-control.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static int listen_there(void)
{
	int fd;

	if (pccl_control_listen(path, &fd) != pcclSuccess)
		fail_msg("%s", pccl_fail_text());
	return fd;
}

static void check_no_socket(const char *where, const char *words)
{
	int fd;

	assert_int_equal(pccl_control_listen(where, &fd), pcclInvalidArgument);
	assert_int_equal(fd, -1);
	if (strstr(pccl_fail_text(), words) == NULL)
		fail_msg("%s: %s", where, pccl_fail_text());
}

static void one_master_has_a_socket_of_this_user(void **state)
{
	char long_path[256];
	struct stat status;
	int fd = listen_there();

	(void)state;
	assert_int_equal(lstat(path, &status), 0);
	assert_true(S_ISSOCK(status.st_mode));
	assert_int_equal(status.st_mode & 07777, 0600);
	check_no_socket(path, "another master listens there");
	close(fd);
	fd = listen_there(); /* what is left of one that was killed */
	close(fd);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[sizeof(long_path) - 1] = '\0';
	check_no_socket(long_path, "the path of a socket");
	check_no_socket("", "the path of a socket");
	check_no_socket("/nowhere/socket", "/nowhere/socket");
	check_no_socket(folder, "is no socket");
}

static pthread_barrier_t together;

static void *listen_too(void *fd)
{
	(void)pthread_barrier_wait(&together);
	(void)pccl_control_listen(path, fd);
	return NULL;
}

/* Where one was killed: neither removes what the other has just made. */
static void of_two_masters_that_start_at_once_one_has_it(void **state)
{
	enum { ROUNDS = 300 };
	pthread_t threads[2];
	int fds[2], round, i;

	(void)state;
	assert_int_equal(pthread_barrier_init(&together, NULL, 2), 0);
	close(listen_there());
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < 2; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, listen_too, &fds[i]), 0);
		for (i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
		assert_true((fds[0] >= 0) != (fds[1] >= 0));
		check_no_socket(path, "another master listens there");
		close(fds[0] >= 0 ? fds[0] : fds[1]);
	}
	pthread_barrier_destroy(&together);
}

/* Another user may do so to a folder like /tmp. */
static void who_keeps_the_folder_locked_keeps_no_master_from_starting(void **state)
{
	int holder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(holder >= 0);
	assert_int_equal(flock(holder, LOCK_EX), 0);
	close(listen_there());
	close(holder);
}

static void a_folder_that_may_not_be_read_has_room_for_a_socket(void **state)
{
	(void)state;
	assert_int_equal(chmod(folder, S_IWUSR | S_IXUSR), 0);
	close(listen_there());
	assert_int_equal(chmod(folder, S_IRWXU), 0);
}

/* ---- callers ------------------------------------------------------------------------------------------------- */

static pcclResult_t echo(void *context, const char *line, pcclLineCallback_t take, void *answer)
{
	unsigned *heard = context;
	int i;

	++*heard;
	if (strcmp(line, "fail") == 0)
		return pccl_fail(pcclInvalidUsage, "as it was told");
	for (i = 0; i < LINES; i++)
		take(line, answer);
	take("ok", answer); /* a line that looks like the last one */
	return pcclSuccess;
}

struct asker {
	const char *line;
	pcclResult_t result;
	unsigned lines;
	char last[64];
	char words[PCCL_FAIL_TEXT_BYTES];
};

static void count_line(const char *line, void *context)
{
	struct asker *asker = context;

	asker->lines++;
	(void)snprintf(asker->last, sizeof(asker->last), "%s", line);
}

static void *ask(void *context)
{
	struct asker *asker = context;

	asker->result = pccl_control_ask(path, asker->line, count_line, asker);
	strcpy(asker->words, pccl_fail_text());
	return NULL;
}

static void serve_one(int fd, struct asker *asker, unsigned *heard)
{
	pthread_t thread;

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0); /* waits for the caller */
	assert_int_equal(pthread_create(&thread, NULL, ask, asker), 0);
	pccl_control_serve(fd, echo, heard);
	pthread_join(thread, NULL);
}

static void commands_are_answered(void **state)
{
	struct asker asker = {.line = "list"}, failing = {.line = "fail"};
	unsigned heard = 0;
	int fd = listen_there();

	(void)state;
	serve_one(fd, &asker, &heard);
	assert_int_equal(asker.result, pcclSuccess);
	assert_int_equal(asker.lines, LINES + 1);
	assert_string_equal(asker.last, "ok");
	serve_one(fd, &failing, &heard);
	assert_int_equal(failing.result, pcclInvalidArgument);
	assert_string_equal(failing.words, "as it was told");
	assert_int_equal(failing.lines, 0);
	assert_int_equal(heard, 2);
	close(fd);
	assert_int_equal(pccl_control_ask(path, "list", count_line, &asker), pcclMasterConnectionFailed);
	assert_int_equal(pccl_control_ask(path, "list\nlist", count_line, &asker), pcclInvalidArgument);
}

static void say(int fd, const char *data, size_t bytes, unsigned *heard)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int caller = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(caller, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(caller, data, bytes, MSG_NOSIGNAL), bytes);
	shutdown(caller, SHUT_WR);
	pccl_control_serve(fd, echo, heard);
	close(caller);
}

static void callers_that_say_nothing_or_too_much_are_hung_up(void **state)
{
	char garbage[4096];
	unsigned heard = 0;
	int fd = listen_there();

	(void)state;
	memset(garbage, 'x', sizeof(garbage));
	pccl_control_serve(fd, echo, &heard); /* nobody calls */
	say(fd, "", 0, &heard);
	say(fd, "list", 4, &heard);
	say(fd, "li\0st\n", 6, &heard);
	say(fd, garbage, sizeof(garbage), &heard);
	assert_int_equal(heard, 0);
	say(fd, "list\n", 5, &heard);
	assert_int_equal(heard, 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_master_has_a_socket_of_this_user, set_up, tear_down),
		cmocka_unit_test_setup_teardown(of_two_masters_that_start_at_once_one_has_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_keeps_the_folder_locked_keeps_no_master_from_starting, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_folder_that_may_not_be_read_has_room_for_a_socket, set_up, tear_down),
		cmocka_unit_test_setup_teardown(commands_are_answered, set_up, tear_down),
		cmocka_unit_test_setup_teardown(callers_that_say_nothing_or_too_much_are_hung_up, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("control socket", tests, NULL, NULL);
}
