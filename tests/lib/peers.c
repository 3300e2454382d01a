/* Processes, shared memory, deadlines. */
#include "peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define START_SECONDS 20
#define AWAIT_SECONDS 30
#define FINISH_SECONDS 60
/* Of who gets no processor for a while: less than any time-out that is not a test's own, which begin at ten seconds. */
#define SOON_SECONDS 8
#define HEARTBEAT_TIMEOUT_MS "40000"
#define PORT_FIRST 20000 /* below the ports that Linux gives to outgoing connections */
#define PORT_COUNT 12000

unsigned peers_patience(void)
{
#if defined(__SANITIZE_THREAD__)
	return 6;
#elif defined(__SANITIZE_ADDRESS__)
	return 3;
#else
	return 1;
#endif
}

bool peers_is_soon(uint64_t then_ns, uint64_t since_ns)
{
	return then_ns < since_ns + SOON_SECONDS * WORLD_SECOND_NS;
}

uint64_t peers_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * WORLD_SECOND_NS + (uint64_t)now.tv_nsec;
}

void peers_sleep_ms(unsigned ms)
{
	struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) != 0 && errno == EINTR)
		;
}

void peers_set(uint64_t *shared, uint64_t value)
{
	__atomic_store_n(shared, value, __ATOMIC_SEQ_CST);
}

uint64_t peers_get(const uint64_t *shared)
{
	return __atomic_load_n(shared, __ATOMIC_SEQ_CST);
}

uint64_t peers_increase(uint64_t *shared, uint64_t value)
{
	return __atomic_add_fetch(shared, value, __ATOMIC_SEQ_CST);
}

/* ---- ports --------------------------------------------------------------------------------------------------- */

/* On every address of the machine, so that nobody holds it on any. */
static bool port_is_free(uint16_t port)
{
	struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool free_port;

	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	free_port = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 1) == 0;
	close(fd);
	return free_port;
}

/* Until this process and its children have ended, for all tests that ask here: they listen at it later. By a name in
 * the kernel, which nobody has to remove. */
static bool reserve_port(uint16_t port)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "pccl-test-port-%u", port);
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&name, sizeof(name)) == 0)
		return true;
	close(fd);
	return false;
}

uint16_t peers_free_port(unsigned count)
{
	static unsigned next; /* a test does not get the same port twice */
	unsigned attempt;

	if (next == 0)
		next = (unsigned)getpid() * 37;
	for (attempt = 0; attempt < 1000; attempt++) {
		uint16_t first = (uint16_t)(PORT_FIRST + next % PORT_COUNT);
		unsigned found = 0;

		next += count;
		while (found < count && reserve_port((uint16_t)(first + found)) &&
		       port_is_free((uint16_t)(first + found)))
			found++;
		if (found == count)
			return first;
	}
	fputs("no free port\n", stderr);
	abort();
}

int peers_dial(uint16_t port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	assert_return_code(connect(fd, (const struct sockaddr *)&address, sizeof(address)), errno);
	return fd;
}

ccoip_socket_address_t peers_address(const struct world *world, uint16_t port)
{
	ccoip_socket_address_t address;

	memset(&address, 0, sizeof(address));
	address.port = port;
	if (world->ipv6) {
		address.inet.protocol = inetIPv6;
		address.inet.ipv6.data[15] = 1;
	} else {
		address.inet.protocol = inetIPv4;
		address.inet.ipv4.data[0] = 127;
		address.inet.ipv4.data[3] = 1;
	}
	return address;
}

static bool port_answers(const struct world *world, uint16_t port)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(world->ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool answers;

	if (world->ipv6)
		answers = connect(fd, (const struct sockaddr *)&v6, sizeof(v6)) == 0;
	else
		answers = connect(fd, (const struct sockaddr *)&v4, sizeof(v4)) == 0;
	close(fd);
	return answers;
}

/* ---- processes ----------------------------------------------------------------------------------------------- */

/* In the child: ends with the parent, and crashes as any process does: cmocka's handlers are the parent's. */
static void become_child(pid_t parent)
{
	static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
	sigset_t none;
	size_t i;

	for (i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		signal(crashes[i], SIG_DFL);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns 0 in the child. */
static pid_t start_child(void)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become_child(parent);
	return pid;
}

/* Takes the end of a process, if it has come: true, and *status_out is what waitpid() says. */
static bool has_ended(struct world_process *process, int *status_out)
{
	if (process->pid == 0 || waitpid(process->pid, status_out, WNOHANG) != process->pid)
		return false;
	process->pid = 0;
	return true;
}

static void end_process(struct world_process *process)
{
	if (process->pid == 0)
		return;
	process->killed = true;
	kill(process->pid, SIGKILL);
	while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR)
		;
	process->pid = 0;
}

static void describe_status(int status, char *text, size_t text_bytes)
{
	if (WIFSIGNALED(status))
		(void)snprintf(text, text_bytes, "was ended by signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	else
		(void)snprintf(text, text_bytes, "ended with status %d", WEXITSTATUS(status));
}

static void print_milestones(const struct world *world)
{
	unsigned i;

	for (i = 0; i < world->peer_count; i++)
		print_message("peer %u: pid %d, milestone %llu\n", i, (int)world->peers[i].pid,
			      (unsigned long long)peers_get(&world->shared->slots[i].milestone));
}

/* Takes the ends of all peers; a bad one fails the test. Returns how many still run. */
static unsigned look_after_peers(struct world *world)
{
	unsigned i, running = 0;

	for (i = 0; i < world->peer_count; i++) {
		char text[80];
		int status;

		if (has_ended(&world->peers[i], &status) && status != 0 && !world->peers[i].killed) {
			describe_status(status, text, sizeof(text));
			print_milestones(world);
			fail_msg("peer %u %s", i, text);
		}
		running += world->peers[i].pid != 0;
	}
	return running;
}

int peers_open(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (world == NULL)
		return -1;
	world->shared = mmap(NULL, sizeof(*world->shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (world->shared == MAP_FAILED) {
		free(world);
		return -1;
	}
	world->slowness = 1;
	*state = world;
	return setenv("PCCL_HEARTBEAT_TIMEOUT_MS", HEARTBEAT_TIMEOUT_MS, 0);
}

int peers_close(void **state)
{
	struct world *world = *state;
	unsigned i;

	for (i = 0; i < world->peer_count; i++)
		end_process(&world->peers[i]);
	for (i = 0; i < WORLD_MASTERS_MAX; i++)
		end_process(&world->masters[i].process);
	munmap(world->shared, sizeof(*world->shared));
	free(world);
	return 0;
}

/* ---- masters ------------------------------------------------------------------------------------------------- */

/* Serves until SIGTERM, then stops in good order. */
static void run_embedded_master(struct world *world, unsigned number)
{
	pcclMasterInstance_t *master;
	sigset_t ends;
	int signal_number;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	CHECK_RESULT(pcclSuccess, pcclCreateMaster(peers_address(world, world->masters[number].port), &master));
	CHECK_RESULT(pcclSuccess, pcclRunMaster(master));
	peers_increase(&world->shared->masters_ready, 1);
	sigwait(&ends, &signal_number);
	CHECK_RESULT(pcclSuccess, pcclInterruptMaster(master));
	CHECK_RESULT(pcclSuccess, pcclMasterAwaitTermination(master));
	CHECK_RESULT(pcclSuccess, pcclDestroyMaster(master));
	exit(EXIT_SUCCESS);
}

/* BUILD/bin/pccl-master, where this program is BUILD/test/integration/test_something. */
static void find_program(char *path, size_t path_bytes)
{
	const char *build = getenv("PCCL_BUILD");
	char self[PATH_MAX];
	ssize_t length;
	int up;

	if (build != NULL) {
		(void)snprintf(path, path_bytes, "%s/bin/pccl-master", build);
		return;
	}
	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[length > 0 ? length : 0] = '\0';
	for (up = 0; up < 3 && strrchr(self, '/') != NULL; up++)
		*strrchr(self, '/') = '\0';
	(void)snprintf(path, path_bytes, "%s/bin/pccl-master", self);
}

static void run_master_program(const struct world *world, unsigned number)
{
	char path[PATH_MAX + 64], listen_text[40];

	find_program(path, sizeof(path));
	(void)snprintf(listen_text, sizeof(listen_text), "%s:%u", world->ipv6 ? "[::1]" : "127.0.0.1",
		       world->masters[number].port);
	execl(path, path, "--listen", listen_text, "--log-level", "ERR", (char *)NULL);
	peer_fail(__FILE__, __LINE__, path);
}

static void run_master(struct world *world, unsigned number, enum world_master_kind kind)
{
	struct world_master *master = &world->masters[number];
	uint64_t until_ns = peers_now_ns() + START_SECONDS * WORLD_SECOND_NS * peers_patience();
	char text[80];
	int status;

	master->process.killed = false;
	master->process.pid = start_child();
	assert_int_not_equal(master->process.pid, -1);
	if (master->process.pid == 0) {
		if (kind == WORLD_EMBEDDED)
			run_embedded_master(world, number);
		run_master_program(world, number);
	}
	while (!port_answers(world, master->port)) {
		if (has_ended(&master->process, &status)) {
			describe_status(status, text, sizeof(text));
			fail_msg("master %u %s", number, text);
		}
		if (peers_now_ns() > until_ns)
			fail_msg("master %u does not answer on port %u", number, master->port);
		peers_sleep_ms(2);
	}
}

unsigned peers_start_master(struct world *world, enum world_master_kind kind)
{
	unsigned number = 0;

	while (number < WORLD_MASTERS_MAX && world->masters[number].port != 0)
		number++;
	assert_true(number < WORLD_MASTERS_MAX);
	world->masters[number].port = peers_free_port(1);
	run_master(world, number, kind);
	return number;
}

void peers_kill_master(struct world *world, unsigned master)
{
	end_process(&world->masters[master].process);
}

void peers_restart_master(struct world *world, unsigned master, enum world_master_kind kind)
{
	run_master(world, master, kind);
}

static void stop_master(struct world *world, unsigned number)
{
	struct world_process *process = &world->masters[number].process;
	uint64_t until_ns = peers_now_ns() + START_SECONDS * WORLD_SECOND_NS * peers_patience();
	char text[80];
	int status;

	if (process->pid == 0)
		return;
	kill(process->pid, SIGTERM);
	while (!has_ended(process, &status)) {
		if (peers_now_ns() > until_ns)
			fail_msg("master %u does not end", number);
		peers_sleep_ms(2);
	}
	if (status != 0) {
		describe_status(status, text, sizeof(text));
		fail_msg("master %u %s", number, text);
	}
}

/* ---- peers, seen from the test ------------------------------------------------------------------------------- */

static void run_peer(struct world *world, unsigned index, world_body body, const void *argument)
{
	struct world_peer me = {
		.world = world, .index = index, .argument = argument, .config = PCCL_CONFIG_INITIALIZER};

	me.params.master_address = peers_address(world, world->masters[0].port);
	body(&me);
	exit(EXIT_SUCCESS);
}

unsigned peers_start(struct world *world, unsigned count, world_body body, const void *argument)
{
	unsigned first = world->peer_count, i;

	assert_true(first + count <= WORLD_PEERS_MAX);
	for (i = first; i < first + count; i++) {
		pid_t pid = start_child();

		assert_int_not_equal(pid, -1);
		if (pid == 0)
			run_peer(world, i, body, argument);
		world->peers[i].pid = pid;
		world->peer_count++;
	}
	return first;
}

void peers_await(struct world *world, unsigned peer, uint64_t milestone)
{
	uint64_t until_ns = peers_now_ns() + AWAIT_SECONDS * WORLD_SECOND_NS * peers_patience() * world->slowness;

	while (peers_get(&world->shared->slots[peer].milestone) < milestone) {
		look_after_peers(world);
		if (peers_get(&world->shared->slots[peer].milestone) >= milestone)
			break;
		if (world->peers[peer].pid == 0) {
			print_milestones(world);
			fail_msg("peer %u ended before milestone %llu", peer, (unsigned long long)milestone);
		}
		if (peers_now_ns() > until_ns) {
			print_milestones(world);
			fail_msg("peer %u did not reach milestone %llu", peer, (unsigned long long)milestone);
		}
		peers_sleep_ms(1);
	}
}

void peers_await_all(struct world *world, unsigned first, unsigned count, uint64_t milestone)
{
	unsigned i;

	for (i = first; i < first + count; i++)
		peers_await(world, i, milestone);
}

void peers_open_gate(struct world *world, uint64_t gate)
{
	peers_set(&world->shared->gate, gate);
}

void peers_signal(struct world *world, unsigned peer, int signal_number)
{
	struct world_process *process = &world->peers[peer];

	assert_int_not_equal(process->pid, 0);
	if (signal_number == SIGKILL)
		end_process(process);
	else
		assert_int_equal(kill(process->pid, signal_number), 0);
}

void peers_finish(struct world *world)
{
	uint64_t until_ns = peers_now_ns() + FINISH_SECONDS * WORLD_SECOND_NS * peers_patience() * world->slowness;
	unsigned i;

	while (look_after_peers(world) > 0) {
		if (peers_now_ns() > until_ns) {
			print_milestones(world);
			fail_msg("peers still run after %d s",
				 FINISH_SECONDS * (int)(peers_patience() * world->slowness));
		}
		peers_sleep_ms(2);
	}
	for (i = 0; i < WORLD_MASTERS_MAX; i++)
		stop_master(world, i);
}

uint64_t peers_told(const struct world *world, unsigned peer, unsigned number)
{
	return peers_get(&world->shared->slots[peer].numbers[number]);
}

void peers_lose_one_alike(struct world *world, unsigned count, world_body body, uint64_t milestone, unsigned numbers)
{
	unsigned number, peer;

	peers_start(world, count, body, NULL);
	peers_await(world, count - 1, milestone);
	peers_signal(world, count - 1, SIGKILL);
	peers_finish(world);
	for (number = 0; number < numbers; number++)
		for (peer = 1; peer < count - 1; peer++)
			assert_int_equal(peers_told(world, peer, number), peers_told(world, 0, number));
}
