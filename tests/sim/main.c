/*
 * pccl-sim: runs seeds of the simulator.
 *
 *	pccl-sim			a slice of seeds, the same every time, with a few worlds of several network
 *					cards, and those that have found something (tests/sim/seeds.txt, where it is
 *					run in the root of the sources)
 *	pccl-sim --seeds N [--from S]	N seeds from S on
 *	pccl-sim --seed S		one seed, with its trace
 *	pccl-sim ... --level L		only membership (1), or with sessions, executors and buffers (2)
 *
 * Exit status 1 and the last events of the trace when a checker finds something, 2 for a wrong command line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "sim.h"

#define SEEDS_DEFAULT 1000
#define CARDS_DEFAULT 100
#define LATE_SECONDS 60
#define SEEDS_FILE "tests/sim/seeds.txt"

struct options {
	uint64_t from;
	uint64_t count;
	uint64_t level; /* 0: both */
	bool loud;
};

static bool read_number(const char *text, uint64_t *number_out)
{
	char *end;

	errno = 0;
	*number_out = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *text != '-';
}

static bool read_options(int count, char **words, struct options *options)
{
	int index;
	uint64_t number;

	for (index = 1; index + 1 < count; index += 2) {
		if (!read_number(words[index + 1], &number))
			return false;
		if (strcmp(words[index], "--seeds") == 0) {
			options->count = number;
		} else if (strcmp(words[index], "--from") == 0) {
			options->from = number;
		} else if (strcmp(words[index], "--level") == 0 && number >= 1 && number <= 2) {
			options->level = number;
		} else if (strcmp(words[index], "--seed") == 0) {
			options->from = number;
			options->count = 1;
			options->loud = true;
		} else {
			return false;
		}
	}
	return index == count;
}

static char late_text[100];

static void on_late(int number)
{
	(void)number;
	_exit(write(STDOUT_FILENO, late_text, strlen(late_text)) < 0 ? 3 : 1);
}

/* A run takes milliseconds: one that does not end goes round in a circle. Processor time counts, whatever else runs. */
static bool run_level(uint64_t seed, uint32_t level, bool loud, uint64_t *steps)
{
	const struct itimerval late = {.it_value.tv_sec = LATE_SECONDS}, never = {{0, 0}, {0, 0}};
	bool good;

	snprintf(late_text, sizeof(late_text), "\nlevel %u seed %llu failed: no end in %d s of processor time\n", level,
		 (unsigned long long)seed, LATE_SECONDS);
	(void)signal(SIGVTALRM, on_late);
	(void)setitimer(ITIMER_VIRTUAL, &late, NULL);
	good = sim_run(seed, level, loud, steps);
	(void)setitimer(ITIMER_VIRTUAL, &never, NULL);
	return good;
}

static bool run_seed(uint64_t seed, uint64_t level, bool loud, uint64_t *steps)
{
	return (level == 2 || run_level(seed, 1, loud, steps)) && (level == 1 || run_level(seed, 2, loud, steps));
}

/* Lines of level and seed; what follows, and lines that begin otherwise, is for people. */
static bool run_file(uint64_t *steps)
{
	FILE *file = fopen(SEEDS_FILE, "r");
	unsigned long long level, seed;
	char line[200];
	bool good = true;

	while (file != NULL && good && fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "%llu %llu", &level, &seed) == 2)
			good = run_seed(seed, level, false, steps);
	if (file != NULL)
		(void)fclose(file);
	return good;
}

static bool run_cards(uint64_t *steps)
{
	uint64_t seed;

	for (seed = SIM_CARDS_SEEDS; seed < SIM_CARDS_SEEDS + CARDS_DEFAULT; seed++)
		if (!run_seed(seed, 2, false, steps))
			return false;
	return true;
}

int main(int count, char **words)
{
	struct options options = {.from = 1, .count = SEEDS_DEFAULT};
	uint64_t steps = 0;
	uint64_t seed;

	if (!read_options(count, words, &options)) {
		fprintf(stderr, "usage: %s [--seeds N] [--from S] [--level L] | --seed S [--level L]\n", words[0]);
		return 2;
	}
	if (count == 1 && (!run_file(&steps) || !run_cards(&steps)))
		return 1;
	for (seed = options.from; seed < options.from + options.count; seed++) {
		if (!run_seed(seed, options.level, options.loud, &steps))
			return 1;
	}
	printf("%llu seeds, %llu steps: no violation\n", (unsigned long long)options.count, (unsigned long long)steps);
	return 0;
}
