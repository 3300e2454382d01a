/* The ruler of the comparison programs; see common.h. */
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct compare_board {
	pthread_barrier_t barrier;
	int peers;
	int iterations;
	double cpu_seconds[COMPARE_PEERS_MAX];
	double seconds[]; /* [iteration * peers + peer] */
};

/* "64K" and the like; 0 if it is no size. */
static size_t size_of_text(const char *text, char **end_out)
{
	unsigned long long value = strtoull(text, end_out, 10);
	unsigned shift = 0;

	switch (**end_out) {
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	default:
		return (size_t)value;
	}
	(*end_out)++;
	return (size_t)value << shift;
}

static bool parse_sizes(const char *text, struct compare_options *options)
{
	const char *at = text;

	options->size_count = 0;
	for (;;) {
		char *end = NULL;
		size_t bytes = size_of_text(at, &end) & ~(size_t)3;

		if (bytes == 0 || options->size_count == COMPARE_SIZES_MAX || (*end != ',' && *end != '\0')) {
			fprintf(stderr, "--sizes wants sizes such as 4K,1M,64M, not '%s'\n", text);
			return false;
		}
		options->sizes[options->size_count++] = bytes;
		if (*end == '\0')
			return true;
		at = end + 1;
	}
}

static bool parse_int(const char *flag, const char *text, int least, int most, int *value_out)
{
	char *end = NULL;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < least || value > most) {
		fprintf(stderr, "--%s wants a number from %d to %d, not '%s'\n", flag, least, most, text);
		return false;
	}
	*value_out = (int)value;
	return true;
}

static bool take_flag(int flag, const char *text, struct compare_options *options)
{
	char *end = NULL;

	switch (flag) {
	case 'p':
		return parse_int("peers", text, 2, COMPARE_PEERS_MAX, &options->peers);
	case 's':
		return parse_sizes(text, options);
	case 'i':
		return parse_int("iters", text, 1, COMPARE_ITERATIONS_MAX, &options->iterations);
	case 'w':
		return parse_int("warmup", text, 0, COMPARE_ITERATIONS_MAX, &options->warmup);
	case 'm':
		snprintf(options->mode, sizeof(options->mode), "%s", text);
		return true;
	case 'c':
		options->chunk_bytes = size_of_text(text, &end) & ~(size_t)3;
		if (options->chunk_bytes == 0 || *end != '\0')
			fprintf(stderr, "--chunk wants a size, not '%s'\n", text);
		return options->chunk_bytes > 0 && *end == '\0';
	default:
		fprintf(stderr, "usage: --peers N --sizes 4K,1M,64M --iters N --warmup N --mode NAME --chunk SIZE\n");
		return false;
	}
}

bool compare_parse(int argc, char **argv, struct compare_options *options_out)
{
	static const struct option flags[] = {
		{"peers", required_argument, NULL, 'p'},
		{"sizes", required_argument, NULL, 's'},
		{"iters", required_argument, NULL, 'i'},
		{"warmup", required_argument, NULL, 'w'},
		{"mode", required_argument, NULL, 'm'},
		{"chunk", required_argument, NULL, 'c'},
		{NULL, 0, NULL, 0},
	};
	int flag = 0;

	memset(options_out, 0, sizeof(*options_out));
	options_out->peers = 2;
	options_out->iterations = 20;
	options_out->warmup = 5;
	options_out->chunk_bytes = (size_t)256 << 10;
	options_out->size_count = 1;
	options_out->sizes[0] = (size_t)1 << 20;
	while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1)
		if (!take_flag(flag, optarg, options_out))
			return false;
	return true;
}

size_t compare_board_bytes(int peers, int iterations)
{
	return sizeof(struct compare_board) + (size_t)peers * (size_t)iterations * sizeof(double);
}

static struct compare_board *board_init(void *memory, int peers, int iterations)
{
	struct compare_board *board = (struct compare_board *)memory;
	pthread_barrierattr_t attributes;

	board->peers = peers;
	board->iterations = iterations;
	pthread_barrierattr_init(&attributes);
	pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(&board->barrier, &attributes, (unsigned)peers);
	pthread_barrierattr_destroy(&attributes);
	return board;
}

struct compare_board *compare_board_create(int peers, int iterations)
{
	void *memory = mmap(NULL, compare_board_bytes(peers, iterations), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : board_init(memory, peers, iterations);
}

struct compare_board *compare_board_create_file(const char *path, int peers, int iterations)
{
	size_t bytes = compare_board_bytes(peers, iterations);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	void *memory = MAP_FAILED;

	if (fd < 0)
		return NULL;
	if (ftruncate(fd, (off_t)bytes) == 0)
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return memory == MAP_FAILED ? NULL : board_init(memory, peers, iterations);
}

struct compare_board *compare_board_attach_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *memory = MAP_FAILED;
	struct stat status;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) == 0 && status.st_size > 0)
		memory = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return memory == MAP_FAILED ? NULL : (struct compare_board *)memory;
}

void compare_meet(struct compare_board *board)
{
	pthread_barrier_wait(&board->barrier);
}

double compare_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double compare_cpu(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6 + (double)usage.ru_stime.tv_sec +
	       (double)usage.ru_stime.tv_usec * 1e-6;
}

void compare_note(struct compare_board *board, int peer, int iteration, double seconds)
{
	board->seconds[(size_t)iteration * (size_t)board->peers + (size_t)peer] = seconds;
}

void compare_note_cpu(struct compare_board *board, int peer, double seconds)
{
	board->cpu_seconds[peer] = seconds;
}

static int by_value(const void *left, const void *right)
{
	double a = *(const double *)left;
	double b = *(const double *)right;

	return (a > b) - (a < b);
}

void compare_print(const struct compare_board *board, const char *plan, size_t bytes, int iterations)
{
	double *slowest = (double *)calloc((size_t)iterations, sizeof(double));
	double peers = board->peers;
	double cpu = 0, median, gigabytes = (double)bytes * 1e-9;

	if (slowest == NULL)
		return;
	for (int i = 0; i < iterations; i++)
		for (int p = 0; p < board->peers; p++) {
			double seconds = board->seconds[(size_t)i * (size_t)board->peers + (size_t)p];

			if (seconds > slowest[i])
				slowest[i] = seconds;
		}
	for (int p = 0; p < board->peers; p++)
		cpu += board->cpu_seconds[p];
	qsort(slowest, (size_t)iterations, sizeof(double), by_value);
	median = iterations % 2 == 1 ? slowest[iterations / 2]
				     : (slowest[iterations / 2 - 1] + slowest[iterations / 2]) / 2;
	printf("{\"collective\": \"allreduce\", \"plan\": \"%s\", \"dtype\": \"float32\", \"op\": \"sum\", \"peers\": "
	       "%d, "
	       "\"bytes\": %zu, \"iters\": %d, \"time_us\": %.1f, \"time_us_min\": %.1f, \"time_us_p99\": %.1f, "
	       "\"algbw_GBps\": %.4f, \"busbw_GBps\": %.4f, \"cpu_s_per_GiB\": %.3f}\n",
	       plan, board->peers, bytes, iterations, median * 1e6, slowest[0] * 1e6,
	       slowest[(size_t)((double)(iterations - 1) * 0.99 + 0.5)] * 1e6, gigabytes / median,
	       gigabytes / median * 2 * (peers - 1) / peers,
	       cpu / ((double)bytes * iterations / (double)((size_t)1 << 30)));
	fflush(stdout);
	free(slowest);
}

int compare_fork(const struct compare_options *options,
		 int (*body)(int rank, const struct compare_options *options, struct compare_board *board))
{
	struct compare_board *board = compare_board_create(options->peers, options->iterations);
	pid_t pids[COMPARE_PEERS_MAX];
	int status = 0, failed = 0;

	if (board == NULL)
		return 1;
	for (int rank = 0; rank < options->peers; rank++) {
		pids[rank] = fork();
		if (pids[rank] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			exit(body(rank, options, board));
		}
	}
	for (int left = options->peers; left > 0; left--) {
		pid_t gone = wait(&status);

		for (int rank = 0; rank < options->peers; rank++)
			if (pids[rank] == gone)
				pids[rank] = -1;
		if (status == 0 || failed)
			continue;
		failed = 1;
		for (int rank = 0; rank < options->peers; rank++)
			if (pids[rank] > 0)
				kill(pids[rank], SIGKILL);
	}
	return failed;
}
