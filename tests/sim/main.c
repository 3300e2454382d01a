/*
 * pccl-sim: runs seeds of the simulator.
 *
 *	pccl-sim			a slice of seeds that is the same every time
 *	pccl-sim --seeds N [--from S]	N seeds from S on
 *	pccl-sim --seed S		one seed, with its trace
 *
 * Exit status 1 and the last events of the trace when a checker finds something, 2 for a wrong command line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define SEEDS_DEFAULT 1000

struct options {
	uint64_t from;
	uint64_t count;
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

int main(int count, char **words)
{
	struct options options = {.from = 1, .count = SEEDS_DEFAULT};
	uint64_t steps = 0;
	uint64_t seed;

	if (!read_options(count, words, &options)) {
		fprintf(stderr, "usage: %s [--seeds N] [--from S] | --seed S\n", words[0]);
		return 2;
	}
	for (seed = options.from; seed < options.from + options.count; seed++) {
		if (!sim_run(seed, options.loud, &steps))
			return 1;
	}
	printf("%llu seeds, %llu steps: no violation\n", (unsigned long long)options.count, (unsigned long long)steps);
	return 0;
}
