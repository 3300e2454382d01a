/*
 * Runs a fuzz target without a fuzzer, as an ordinary test:
 *
 *	fuzz_NAME [CORPUS_FOLDER]...
 *
 * every file of the folders (default tests/fuzz/corpus/NAME), and of every file PCCL_FUZZ_MUTATIONS (default 2000, or
 * what the target says)
 * mutations that are the same in every run. A target finds fault by crashing or with abort(). Each input lies in memory
 * of exactly its size, so that a sanitizer sees a read past its end.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"

#define INPUT_BYTES_MAX (1 << 20)
#define PATH_BYTES 4096
#define MUTATIONS_DEFAULT 2000

/* A target whose inputs take long says how many mutations are enough. */
extern const unsigned long fuzz_mutations __attribute__((weak));

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* An input with room to grow. */
struct input {
	size_t bytes;
	uint8_t data[INPUT_BYTES_MAX];
};

static void run(const struct input *input)
{
	uint8_t *exact = malloc(input->bytes > 0 ? input->bytes : 1);

	if (exact == NULL) {
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	memcpy(exact, input->data, input->bytes);
	(void)LLVMFuzzerTestOneInput(exact, input->bytes);
	free(exact);
}

/* Values that decoders stumble over, of 1 to 8 bytes. */
static void plant_number(struct input *input, struct pccl_rng *rng)
{
	static const uint64_t numbers[] = {0,	   1,	       0x7f,	   0x80,       0xff,	  0x7fff,
					   0xffff, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX};
	uint64_t number = numbers[pccl_rng_below(rng, sizeof(numbers) / sizeof(numbers[0]))];
	size_t bytes = (size_t)1 << pccl_rng_below(rng, 4);
	size_t at;

	if (input->bytes < bytes)
		return;
	at = (size_t)pccl_rng_below(rng, input->bytes - bytes + 1);
	for (; bytes > 0; bytes--, number >>= 8)
		input->data[at++] = (uint8_t)number;
}

/* Puts a copy of a piece of the input at another place of it. */
static void repeat_piece(struct input *input, struct pccl_rng *rng)
{
	size_t from = (size_t)pccl_rng_below(rng, input->bytes + 1);
	size_t to = (size_t)pccl_rng_below(rng, input->bytes + 1);
	size_t bytes = (size_t)pccl_rng_below(rng, input->bytes - from + 1);
	uint8_t piece[64];

	if (bytes > sizeof(piece))
		bytes = sizeof(piece);
	if (input->bytes + bytes > sizeof(input->data))
		return;
	memcpy(piece, input->data + from, bytes);
	memmove(input->data + to + bytes, input->data + to, input->bytes - to);
	memcpy(input->data + to, piece, bytes);
	input->bytes += bytes;
}

static void cut_piece(struct input *input, struct pccl_rng *rng)
{
	size_t from = (size_t)pccl_rng_below(rng, input->bytes + 1);
	size_t bytes = (size_t)pccl_rng_below(rng, input->bytes - from + 1);

	memmove(input->data + from, input->data + from + bytes, input->bytes - from - bytes);
	input->bytes -= bytes;
}

static void mutate(struct input *input, struct pccl_rng *rng)
{
	uint64_t steps = 1 + pccl_rng_below(rng, 4);

	for (; steps > 0; steps--) {
		uint64_t kind = pccl_rng_below(rng, 8);

		if (input->bytes == 0 || kind == 0)
			repeat_piece(input, rng);
		else if (kind == 1)
			cut_piece(input, rng);
		else if (kind == 2)
			input->bytes = (size_t)pccl_rng_below(rng, input->bytes + 1);
		else if (kind <= 4)
			plant_number(input, rng);
		else if (kind == 5)
			input->data[pccl_rng_below(rng, input->bytes)] = (uint8_t)pccl_rng_u64(rng);
		else
			input->data[pccl_rng_below(rng, input->bytes)] ^= (uint8_t)(1u << pccl_rng_below(rng, 8));
	}
}

static bool load(const char *path, struct input *input)
{
	FILE *file = fopen(path, "rb");

	if (file == NULL)
		return false;
	input->bytes = fread(input->data, 1, sizeof(input->data), file);
	if (ferror(file) || fgetc(file) != EOF) {
		fprintf(stderr, "%s: can't be read, or is over %d bytes\n", path, INPUT_BYTES_MAX);
		exit(1);
	}
	fclose(file);
	return true;
}

static void run_with_mutations(const struct input *seed, uint64_t key, unsigned long mutations)
{
	static struct input input;
	unsigned long index;

	run(seed);
	for (index = 0; index < mutations; index++) {
		struct pccl_rng rng;

		pccl_rng_seed(&rng, pccl_rng_hash(key, index));
		input.bytes = seed->bytes;
		memcpy(input.data, seed->data, seed->bytes);
		mutate(&input, &rng);
		run(&input);
	}
}

static int by_name(const struct dirent **left, const struct dirent **right)
{
	return strcmp((*left)->d_name, (*right)->d_name);
}

/* Returns how many files the folder has. */
static unsigned long run_folder(const char *folder, unsigned long mutations)
{
	static struct input seed;
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, by_name);
	unsigned long files = 0;
	int index;

	if (count < 0) {
		fprintf(stderr, "%s: %s\n", folder, strerror(errno));
		exit(1);
	}
	for (index = 0; index < count; index++) {
		char path[PATH_BYTES];

		snprintf(path, sizeof(path), "%s/%s", folder, entries[index]->d_name);
		if (entries[index]->d_name[0] != '.' && load(path, &seed)) {
			files++;
			run_with_mutations(&seed, files, mutations);
		}
		free(entries[index]);
	}
	free(entries);
	return files;
}

int main(int argc, char **argv)
{
	const char *wish = getenv("PCCL_FUZZ_MUTATIONS");
	unsigned long mutations = MUTATIONS_DEFAULT;
	unsigned long files = 0;
	int index;

	if (&fuzz_mutations != NULL)
		mutations = fuzz_mutations;
	if (wish != NULL)
		mutations = strtoul(wish, NULL, 10);
	for (index = 1; index < argc; index++)
		files += run_folder(argv[index], mutations);
	if (argc < 2) {
		const char *name = strrchr(argv[0], '/');
		char folder[PATH_BYTES];

		name = name != NULL ? name + 1 : argv[0];
		if (strncmp(name, "fuzz_", 5) == 0)
			name += 5;
		snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", name);
		files = run_folder(folder, mutations);
	}
	printf("%lu inputs, and %lu mutations of each\n", files, mutations);
	if (files == 0)
		fprintf(stderr, "an empty corpus tests nothing\n");
	return files > 0 ? 0 : 1;
}
