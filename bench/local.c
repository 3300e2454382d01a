/* Processes of one machine; see local.h. */
#include "local.h"

#include "footprint.h"
#include "measure.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Somebody else may take a free port between our look and the master's bind. */
#define START_ATTEMPTS 10

uint64_t bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void *bench_share(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory != MAP_FAILED)
		return memory;
	perror("allreduce-bench: shared memory");
	return NULL;
}

struct bench_meeting *bench_meeting_create(uint32_t peers)
{
	struct bench_meeting *meeting = (struct bench_meeting *)bench_share(sizeof(*meeting));
	pthread_barrierattr_t attributes;

	if (meeting == NULL)
		return NULL;
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&meeting->barrier, &attributes, peers);
	pthread_barrierattr_destroy(&attributes);
	return meeting;
}

int bench_end(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	(void)fputs("what was printed could not be written\n", stderr);
	return status == 0 ? 1 : status;
}

pid_t bench_spawn(int (*body)(uint32_t index, void *context), uint32_t index, void *context)
{
	pid_t parent = getpid();
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		perror("allreduce-bench: fork");
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	exit(bench_end(body(index, context)));
}

static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port = 0;

	if (fd < 0)
		return 0;
	if (bind(fd, (struct sockaddr *)&address, length) == 0 &&
	    getsockname(fd, (struct sockaddr *)&address, &length) == 0)
		port = ntohs(address.sin_port);
	close(fd);
	return port;
}

/* What the master's process needs to know, and the pipe on which it tells whether it listens. */
struct master_start {
	ccoip_socket_address_t address;
	int ready_fd;
	bool quiet; /* the port may be taken: the parent tries another one */
};

static void await_signal(int signal_number)
{
	sigset_t set;
	int got = 0;

	sigemptyset(&set);
	sigaddset(&set, signal_number);
	sigwait(&set, &got);
}

static int master_body(uint32_t index, void *context)
{
	const struct master_start *start = (const struct master_start *)context;
	pcclMasterInstance_t *master = NULL;
	sigset_t set;
	pcclResult_t result;

	(void)index;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	result = pcclInit();
	if (result == pcclSuccess)
		result = pcclCreateMaster(start->address, &master);
	if (result == pcclSuccess)
		result = pcclRunMaster(master);
	if (result != pcclSuccess) {
		if (!start->quiet)
			bench_complain("starting the master", result);
		return 1;
	}
	if (write(start->ready_fd, "", 1) != 1)
		return 1;
	await_signal(SIGTERM);
	pcclInterruptMaster(master);
	pcclMasterAwaitTermination(master);
	pcclDestroyMaster(master);
	return 0;
}

static bool start_once(struct bench_master *master, bool quiet)
{
	struct master_start start = {master->address, -1, quiet};
	int ends[2];
	char byte = 0;
	bool listens;

	if (pipe(ends) != 0) {
		perror("allreduce-bench: pipe");
		return false;
	}
	start.ready_fd = ends[1];
	master->pid = bench_spawn(master_body, 0, &start);
	close(ends[1]);
	listens = master->pid > 0 && read(ends[0], &byte, 1) == 1;
	close(ends[0]);
	if (master->pid > 0 && !listens)
		waitpid(master->pid, NULL, 0);
	if (!listens)
		master->pid = 0;
	return listens;
}

ccoip_inet_address_t bench_loopback(void)
{
	ccoip_inet_address_t address = {inetIPv4, {{127, 0, 0, 1}}, {{0}}};

	return address;
}

bool bench_master_start(struct bench_master *master)
{
	const struct timespec pause = {0, 50 * 1000 * 1000};
	bool any_port = master->address.port == 0;

	for (int attempt = 1; attempt <= START_ATTEMPTS; attempt++) {
		if (any_port)
			master->address.port = free_port();
		if (start_once(master, attempt < START_ATTEMPTS))
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

void bench_master_stop(struct bench_master *master, int signal_number)
{
	if (master->pid <= 0)
		return;
	kill(master->pid, signal_number);
	waitpid(master->pid, NULL, 0);
	master->pid = 0;
}

static void end_others(const pid_t *pids, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (pids[i] > 0)
			kill(pids[i], SIGKILL);
}

int bench_reap(pid_t *pids, uint32_t count)
{
	int failed = 0;

	for (uint32_t i = 0; i < count; i++)
		if (pids[i] < 0)
			failed = 1;
	if (failed)
		end_others(pids, count);
	for (;;) {
		int status = 0;
		pid_t gone = -1;
		uint32_t left = 0;

		for (uint32_t i = 0; i < count; i++)
			left += pids[i] > 0;
		if (left > 0)
			gone = wait(&status);
		if (left == 0 || (gone < 0 && errno != EINTR))
			return failed;
		for (uint32_t i = 0; i < count; i++) {
			if (pids[i] != gone)
				continue;
			pids[i] = 0;
			if (status != 0 && !failed) {
				failed = 1;
				if (WIFSIGNALED(status))
					fprintf(stderr, "allreduce-bench: peer %u was ended by signal %d\n", i,
						WTERMSIG(status));
				end_others(pids, count);
			}
		}
	}
}

struct local_run {
	const struct bench_options *options;
	struct bench_meeting *meeting;
	ccoip_socket_address_t master;
};

static int peer_body(uint32_t index, void *context)
{
	const struct local_run *run = (const struct local_run *)context;
	uint64_t before_bytes = bench_resident_bytes();
	struct bench_peer peer;
	int status;

	(void)index;
	if (!bench_peer_join(&peer, run->options, &run->master, run->meeting))
		return 1;
	status = run->options->footprint ? bench_footprint(&peer, before_bytes) : bench_measure_all(&peer);
	/* The last gather may have ended here before its last message reached the others. */
	bench_peer_meet(&peer);
	bench_peer_leave(&peer);
	return status;
}

int bench_local(const struct bench_options *options)
{
	struct local_run run = {options, bench_meeting_create(options->peers), {bench_loopback(), 0}};
	pid_t pids[BENCH_PEERS_MAX];
	struct bench_master master = {0, {bench_loopback(), 0}};
	int status;

	if (run.meeting == NULL || !bench_master_start(&master))
		return 1;
	run.master = master.address;
	for (uint32_t i = 0; i < options->peers; i++)
		pids[i] = bench_spawn(peer_body, i, &run);
	status = bench_reap(pids, options->peers);
	bench_master_stop(&master, SIGTERM);
	return status;
}
