/* pccl-master as its operator meets it: what becomes of its log, its signals and its socket. A process of its own. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "comm/control_socket.h"
#include "lib/check.h"
#include "lib/peers.h"

enum { TEXT_BYTES = 4096, START_SECONDS = 30, FLAGS_MAX = 8 };

/* One master, in a folder of its own. */
struct program {
	char folder[48];
	char control[80];
	char listen[32];
	pid_t pid;
	int stderr_end; /* of a pipe, that is read here; -1: closed */
	char said[TEXT_BYTES];
};

static int open_program(void **state)
{
	struct program *program = calloc(1, sizeof(*program));

	if (program == NULL)
		return -1;
	strcpy(program->folder, "/tmp/pccl-test-program.XXXXXX");
	if (mkdtemp(program->folder) == NULL)
		return -1;
	(void)snprintf(program->control, sizeof(program->control), "%s/control", program->folder);
	(void)snprintf(program->listen, sizeof(program->listen), "127.0.0.1:%u", peers_free_port(1));
	program->stderr_end = -1;
	*state = program;
	return 0;
}

static int close_program(void **state)
{
	struct program *program = *state;
	int status;

	if (program->pid > 0) {
		kill(program->pid, SIGKILL);
		kill(program->pid, SIGCONT);
		waitpid(program->pid, &status, 0);
	}
	if (program->stderr_end >= 0)
		close(program->stderr_end);
	unlink(program->control);
	status = rmdir(program->folder);
	free(program);
	return status;
}

static uint64_t patience_end_ns(void)
{
	return peers_now_ns() + START_SECONDS * WORLD_SECOND_NS * peers_patience();
}

static void run(const struct program *program, int stderr_end, const char *const *flags)
{
	const char *build = getenv("PCCL_BUILD");
	const char *arguments[FLAGS_MAX + 8] = {"pccl-master", "--listen", program->listen, "--control",
						program->control};
	char path[512];
	size_t count = 5;

	(void)snprintf(path, sizeof(path), "%s/bin/pccl-master", build == NULL ? "build/release" : build);
	for (; flags != NULL && *flags != NULL && count < FLAGS_MAX + 7; flags++)
		arguments[count++] = *flags;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves none behind */
	signal(SIGPIPE, SIG_DFL);
	if (dup2(stderr_end, STDERR_FILENO) >= 0)
		execv(path, (char *const *)(uintptr_t)arguments);
	_exit(127);
}

/* Adds what it has said to `said`. False: it has closed its stderr. */
static bool listen_in(struct program *program)
{
	size_t bytes = strlen(program->said);
	ssize_t got = read(program->stderr_end, program->said + bytes, TEXT_BYTES - 1 - bytes);

	if (got > 0)
		program->said[bytes + (size_t)got] = '\0';
	return got != 0;
}

static void await_words(struct program *program, const char *words)
{
	uint64_t end_ns = patience_end_ns();

	while (strstr(program->said, words) == NULL) {
		if (!listen_in(program) || peers_now_ns() > end_ns)
			fail_msg("'%s' was not said, but: %s", words, program->said);
		peers_sleep_ms(2);
	}
}

static void start(struct program *program, const char *const *flags)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	program->said[0] = '\0';
	program->pid = fork();
	assert_true(program->pid >= 0);
	if (program->pid == 0)
		run(program, ends[1], flags);
	(void)fcntl(ends[1], F_SETPIPE_SZ, 8192);
	close(ends[1]);
	if (program->stderr_end >= 0)
		close(program->stderr_end);
	program->stderr_end = ends[0];
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
}

static void start_and_await(struct program *program, const char *const *flags)
{
	start(program, flags);
	await_words(program, "listening on");
}

static int await_end(struct program *program)
{
	uint64_t end_ns = patience_end_ns();
	int status;
	pid_t ended;

	while ((ended = waitpid(program->pid, &status, WNOHANG)) == 0 && peers_now_ns() < end_ns)
		peers_sleep_ms(2);
	if (ended == 0)
		fail_msg("the master does not end; it said: %s", program->said);
	program->pid = 0;
	return status;
}

static void stop(struct program *program)
{
	kill(program->pid, SIGTERM);
	assert_int_equal(await_end(program), 0);
}

static void add_line(const char *line, void *context)
{
	char *text = context;
	size_t bytes = strlen(text);

	(void)snprintf(text + bytes, TEXT_BYTES - bytes, "%s\n", line);
}

static void tell(const struct program *program, const char *command, pcclResult_t expected)
{
	char text[TEXT_BYTES] = "";
	pcclResult_t result = pccl_control_ask(program->control, command, add_line, text);

	if (result != expected)
		fail_msg("%s: %s", command, result == pcclSuccess ? text : pccl_fail_text());
}

/* ---- its log --------------------------------------------------------------------------------------------------- */

static void a_master_survives_the_end_of_who_reads_its_log(void **state)
{
	struct program *program = *state;

	start_and_await(program, NULL);
	close(program->stderr_end);
	program->stderr_end = -1;
	tell(program, "list", pcclSuccess); /* which is logged */
	tell(program, "list", pcclSuccess);
	stop(program);
}

static void nobody_reads(struct program *program, const char *const *flags)
{
	unsigned i;

	start_and_await(program, flags);
	for (i = 0; i < 200; i++) /* more than its pipe holds */
		tell(program, "list", pcclSuccess);
}

static void a_master_whose_log_nobody_reads_goes_on_and_ends(void **state)
{
	struct program *program = *state;

	nobody_reads(program, NULL);
	stop(program);
}

static void what_a_log_did_not_take_is_counted(void **state)
{
	struct program *program = *state;

	nobody_reads(program, NULL);
	listen_in(program);
	program->said[0] = '\0';
	listen_in(program);
	tell(program, "bans", pcclSuccess);
	await_words(program, " lines are missing here: stderr took no more\n");
	await_words(program, "its operator says: bans\n");
	stop(program);
}

/* ---- its signals ----------------------------------------------------------------------------------------------- */

static void a_master_without_files_has_nothing_to_read_again(void **state)
{
	struct program *program = *state;

	start_and_await(program, NULL);
	kill(program->pid, SIGHUP);
	await_words(program, "pccl-master: it has no files to read again\n");
	tell(program, "reload", pcclInvalidArgument);
	stop(program);
}

/* ---- its socket ------------------------------------------------------------------------------------------------ */

static void hear(int number)
{
	(void)number;
}

/* As often as this a signal comes. */
static void be_interrupted(unsigned ms)
{
	const struct itimerval often = {{0, ms * 1000}, {0, ms * 1000}};
	const struct sigaction action = {.sa_handler = hear};

	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

/* Also by who hears signals all the time. */
static void a_master_that_does_not_answer_is_given_up(void **state)
{
	struct program *program = *state;

	start_and_await(program, NULL);
	kill(program->pid, SIGSTOP);
	be_interrupted(200);
	tell(program, "list", pcclMasterConnectionFailed);
	be_interrupted(0);
	assert_non_null(strstr(pccl_fail_text(), "does not answer"));
	kill(program->pid, SIGCONT);
	tell(program, "list", pcclSuccess);
	stop(program);
}

static void a_master_that_can_not_start_leaves_no_socket(void **state)
{
	struct program *program = *state, other;

	start_and_await(program, NULL);
	other = *program;
	other.stderr_end = -1;
	strcat(other.control, ".2");
	start(&other, NULL); /* on the same port */
	assert_int_equal(WEXITSTATUS(await_end(&other)), 1);
	close(other.stderr_end);
	assert_int_not_equal(access(other.control, F_OK), 0);
	stop(program);
	assert_int_not_equal(access(program->control, F_OK), 0);
}

/* Somebody has removed the first one's, say. */
static void a_master_that_ends_leaves_the_socket_of_another_one(void **state)
{
	struct program *program = *state, other;

	start_and_await(program, NULL);
	other = *program;
	other.stderr_end = -1;
	assert_int_equal(unlink(program->control), 0);
	(void)snprintf(other.listen, sizeof(other.listen), "127.0.0.1:%u", peers_free_port(1));
	start_and_await(&other, NULL);
	stop(program);
	tell(&other, "list", pcclSuccess);
	stop(&other);
	close(other.stderr_end);
	assert_int_not_equal(access(program->control, F_OK), 0);
}

static void what_becomes_of_a_command_is_logged(void **state)
{
	struct program *program = *state;

	start_and_await(program, NULL);
	tell(program, "reload", pcclInvalidArgument);
	await_words(program, " WARN not done: reload: it has no files to read again\n");
	tell(program, "evict name nobody", pcclInvalidArgument);
	await_words(program, " WARN not done: evict name nobody: nobody here is name nobody\n");
	tell(program, "bans", pcclSuccess);
	await_words(program, " INFO done: bans\n");
	stop(program);
}

static int call(const struct program *program)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int caller = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, program->control);
	assert_int_equal(connect(caller, (struct sockaddr *)&address, sizeof(address)), 0);
	return caller;
}

static void who_calls_and_says_nothing_holds_others_up_for_half_a_second(void **state)
{
	struct program *program = *state;
	int silent[3], i;

	start_and_await(program, NULL);
	for (i = 0; i < 3; i++)
		silent[i] = call(program);
	tell(program, "list", pcclSuccess); /* within the five seconds that it waits */
	for (i = 0; i < 3; i++)
		close(silent[i]);
	stop(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_master_survives_the_end_of_who_reads_its_log, open_program,
						close_program),
		cmocka_unit_test_setup_teardown(a_master_whose_log_nobody_reads_goes_on_and_ends, open_program,
						close_program),
		cmocka_unit_test_setup_teardown(what_a_log_did_not_take_is_counted, open_program, close_program),
		cmocka_unit_test_setup_teardown(a_master_without_files_has_nothing_to_read_again, open_program,
						close_program),
		cmocka_unit_test_setup_teardown(a_master_that_does_not_answer_is_given_up, open_program, close_program),
		cmocka_unit_test_setup_teardown(what_becomes_of_a_command_is_logged, open_program, close_program),
		cmocka_unit_test_setup_teardown(a_master_that_can_not_start_leaves_no_socket, open_program,
						close_program),
		cmocka_unit_test_setup_teardown(a_master_that_ends_leaves_the_socket_of_another_one, open_program,
						close_program),
		cmocka_unit_test_setup_teardown(who_calls_and_says_nothing_holds_others_up_for_half_a_second,
						open_program, close_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
