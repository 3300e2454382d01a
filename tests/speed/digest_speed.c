/*
 * How fast states are hashed, beside what the memory gives:
 *
 *	digest_speed [MIB [ROUNDS]]
 *
 * MIB (default 5120) of memory as one tensor, and as 100,000 tensors, on one thread and on all allowed cores; memcpy
 * and XXH3 over all of it in one go, on one core, for comparison. The kinds take turns, ROUNDS times, for machines are
 * never quiet; the best and the median round of each are printed in GB/s, and the best as a part of XXH3's on one core,
 * for each core that may be used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#include "base/memory.h"
#include "device/chunks.h"

#define SMALL_COUNT 100000u
#define ROUNDS_MAX 100u

enum kind { COPY, ONE_CORE, LARGE_1, LARGE, SMALL_1, SMALL, TINY_1, TINY, KINDS };

static const char *const names[KINDS] = {"memcpy, one core",
					 "XXH3-128, one core",
					 "one tensor, one thread",
					 "one tensor, all cores",
					 "100,000 tensors, one thread",
					 "100,000 tensors, all cores",
					 "100,000 of 1 KiB, one thread",
					 "100,000 of 1 KiB, all cores"};

static uint8_t *memory;
static size_t total;
static struct pccl_chunk_tensor large, small[SMALL_COUNT], tiny[SMALL_COUNT];
static volatile uint64_t seen; /* so that nothing is left out */

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "digest_speed: %s\n", what);
	exit(1);
}

static double hash(const struct pccl_chunk_tensor *tensors, size_t count, uint32_t threads)
{
	struct pccl_chunk_work work = {.tensors = tensors, .count = count};
	double bytes = 0, begun = now(), took;
	size_t index;

	if (pccl_chunk_work_run(&work, threads) != pcclSuccess)
		die("hashing failed");
	for (index = 0; index < count; index++)
		seen += pccl_chunk_work_root(&work, index).bytes[0];
	took = now() - begun;
	for (index = 0; index < count; index++)
		bytes += (double)tensors[index].bytes;
	pccl_chunk_work_fini(&work);
	return bytes / took / 1e9;
}

/* In GB/s. */
static double measure(enum kind kind)
{
	double begun = now();

	switch (kind) {
	case COPY:
		memcpy(memory, memory + total / 2, total / 2);
		return (double)(total / 2) / (now() - begun) / 1e9;
	case ONE_CORE:
		seen += XXH3_128bits(memory, total).low64;
		return (double)total / (now() - begun) / 1e9;
	case LARGE_1:
		return hash(&large, 1, 1);
	case LARGE:
		return hash(&large, 1, 0);
	case SMALL_1:
		return hash(small, SMALL_COUNT, 1);
	case SMALL:
		return hash(small, SMALL_COUNT, 0);
	case TINY_1:
		return hash(tiny, SMALL_COUNT, 1);
	default:
		return hash(tiny, SMALL_COUNT, 0);
	}
}

static int ascending(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

static void prepare(void)
{
	const struct pccl_chunk_tensor one = {.name = "large", .data = memory, .bytes = total};
	size_t each = total / SMALL_COUNT, at, index;

	large = one;
	for (at = 0; at < total; at += 8)
		memcpy(memory + at, &(uint64_t){at * UINT64_C(0x9e3779b97f4a7c15)}, 8);
	/* Of all sizes between nothing and twice the mean. */
	for (index = 0; index < SMALL_COUNT; index++) {
		size_t bytes = index % 2 == 0 ? 2 * each * (index % 1000) / 1000 : 0;

		if (index % 2 != 0)
			bytes = 2 * each - small[index - 1].bytes;
		small[index].name = tiny[index].name = "small";
		small[index].data = memory + (index / 2) * 2 * each + (index % 2 != 0 ? small[index - 1].bytes : 0);
		small[index].bytes = bytes;
		tiny[index].data = memory + index * (each / 1024 * 1024);
		tiny[index].bytes = 1024;
	}
}

int main(int argc, char **argv)
{
	static double rates[KINDS][ROUNDS_MAX];
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5, round;
	int kind;

	total = (argc > 1 ? strtoul(argv[1], NULL, 10) : 5120) << 20;
	if (total < (size_t)256 << 20 || rounds < 1 || rounds > ROUNDS_MAX)
		die("usage: digest_speed [MIB [ROUNDS]], at least 256, 1 to 100");
	memory = pccl_alloc_large(total);
	if (memory == NULL)
		die("out of memory");
	prepare();
	for (round = 0; round < rounds; round++)
		for (kind = 0; kind < KINDS; kind++)
			rates[kind][round] = measure((enum kind)kind);
	for (kind = 0; kind < KINDS; kind++)
		qsort(rates[kind], rounds, sizeof(double), ascending);
	printf("%u cores, %zu MiB, %zu rounds\n%-30s %8s %8s %16s\n", pccl_chunk_threads(), total >> 20, rounds, "GB/s",
	       "best", "median", "XXH3 per core");
	for (kind = 0; kind < KINDS; kind++) {
		bool all = kind == LARGE || kind == SMALL || kind == TINY;

		printf("%-30s %8.2f %8.2f %16.2f\n", names[kind], rates[kind][rounds - 1], rates[kind][rounds / 2],
		       rates[kind][rounds - 1] / rates[ONE_CORE][rounds - 1] / (all ? pccl_chunk_threads() : 1));
	}
	pccl_free(memory);
	return 0;
}
