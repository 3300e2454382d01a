/*
 * What the codecs cost, beside memcpy in the same run, on one core:
 *
 *	codec_speed [ROUNDS [KIB]]
 *
 * For each level of kernels that this processor has, and each codec at its default block and at 256: GB/s of float32
 * elements that are encoded to nearest, encoded stochastically, decoded, and decoded and added to sums; in brackets
 * what part of memcpy's speed that is. The elements are the reference data of bench/reference_data.h, KIB of them at a
 * time (default 256, one segment, which stays in the cache; 65536 does not). memcpy takes turns with the codecs: each
 * figure is the median of ROUNDS (default 7).
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/reference_data.h"
#include "collectives/codec/codec_kernels.h"

#define ROUNDS_MAX 101
#define TURN_NS 3e6 /* a turn takes at least so long */
#define COLUMNS 4

enum column { ENCODE, ENCODE_RANDOM, DECODE, ADD };

struct arrays {
	size_t count;
	float *in, *out;
	uint8_t *encoded;
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
	const double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *values, unsigned count)
{
	qsort(values, count, sizeof(*values), ascending);
	return values[count / 2];
}

static void work(const struct arrays *a, enum pccl_cpu_level level, const struct pccl_codec_params *params,
		 enum column column)
{
	struct pccl_codec_params codec = *params;

	codec.rounding = column == ENCODE_RANDOM ? PCCL_ROUND_STOCHASTIC : PCCL_ROUND_NEAREST;
	if (column == ENCODE || column == ENCODE_RANDOM)
		pccl_codec_encode_with(level, &codec, a->in, a->count, a->encoded);
	else if (column == DECODE)
		pccl_codec_decode_with(level, &codec, a->encoded, a->count, a->out);
	else
		pccl_codec_accumulate_with(level, &codec, pcclSum, a->encoded, a->count, a->out);
}

/* GB/s of float32 in one turn; params NULL: of memcpy. */
static double take_turn(const struct arrays *a, enum pccl_cpu_level level, const struct pccl_codec_params *params,
			enum column column)
{
	const double begin_ns = now_ns();
	double took_ns;
	unsigned times = 0;

	do {
		if (params == NULL)
			memcpy(a->out, a->in, a->count * sizeof(float));
		else
			work(a, level, params, column);
		times++;
		took_ns = now_ns() - begin_ns;
	} while (took_ns < TURN_NS);
	return (double)times * (double)a->count * sizeof(float) / took_ns;
}

static void print_line(const struct arrays *a, enum pccl_cpu_level level, const struct pccl_codec_params *params,
		       unsigned rounds)
{
	double speeds[COLUMNS][ROUNDS_MAX], copies[ROUNDS_MAX], copy;
	const char *name = pccl_codec_name(params->id);
	unsigned round, column;

	for (round = 0; round < rounds; round++) {
		copies[round] = take_turn(a, level, NULL, ENCODE);
		memset(a->out, 0, a->count * sizeof(float));
		for (column = 0; column < COLUMNS; column++)
			speeds[column][round] = take_turn(a, level, params, (enum column)column);
	}
	copy = median(copies, rounds);
	printf("%-7s %-12s", pccl_cpu_level_name(level), name);
	if (pccl_codec_find(params->id)->block_default != 0)
		printf(" %5u", (unsigned)params->block);
	else
		printf("      ");
	for (column = 0; column < COLUMNS; column++) {
		const double speed = median(speeds[column], rounds);

		printf("   %6.2f (%.2f)", speed, speed / copy);
	}
	printf("   %6.2f\n", copy);
	fflush(stdout);
}

static void print_level(const struct arrays *a, enum pccl_cpu_level level, unsigned rounds)
{
	struct pccl_codec_params params = {0, 0, pcclFloat, pcclUint8, 256, 1, 0};
	uint8_t id;

	printf("%-7s %-12s %5s   %-13s   %-13s   %-13s   %-13s   %s\n", "kernels", "codec", "block", "encode",
	       "stochastic", "decode", "and add", "memcpy");
	for (id = 1; id < PCCL_CODEC_COUNT; id++) {
		const uint32_t block_default = pccl_codec_find(id)->block_default;

		params.id = id;
		params.block = 256;
		print_line(a, level, &params, rounds);
		if (block_default == 0 || block_default == 256)
			continue;
		params.block = block_default;
		print_line(a, level, &params, rounds);
	}
}

static void *allocate(size_t bytes)
{
	void *memory = NULL;

	if (posix_memalign(&memory, 4096, bytes) != 0) {
		fprintf(stderr, "codec_speed: no memory\n");
		exit(1);
	}
	memset(memory, 1, bytes);
	return memory;
}

int main(int argc, char **argv)
{
	const unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 7;
	const size_t kib = argc > 2 ? strtoul(argv[2], NULL, 10) : 256;
	struct arrays a = {kib * 1024 / sizeof(float), NULL, NULL, NULL};
	int level;
	size_t i;

	if (rounds < 1 || rounds > ROUNDS_MAX || kib < 1 || kib > 1u << 20) {
		fprintf(stderr, "usage: codec_speed [ROUNDS [KIB]], up to %d rounds and 1048576 KiB\n", ROUNDS_MAX);
		return 2;
	}
	a.in = allocate(a.count * sizeof(float));
	a.out = allocate(a.count * sizeof(float));
	a.encoded = allocate(a.count * 5);
	for (i = 0; i < a.count; i++)
		a.in[i] = reference_element(1, 0, i);
	for (level = PCCL_CPU_SCALAR; level <= PCCL_CPU_AVX512; level++)
		if (pccl_codec_kernels((enum pccl_cpu_level)level) != NULL)
			print_level(&a, (enum pccl_cpu_level)level, rounds);
	free(a.in);
	free(a.out);
	free(a.encoded);
	return 0;
}
