/* Which flags differ; see agree.h. */
#include "agree.h"

#include <string.h>

/* In the order of bench_agree_fill(). */
static const char *const flags[BENCH_AGREE_FLAGS] = {
	"--peers",	"--collective", "--sizes",    "--iters",   "--warmup",	 "--seconds",
	"--dtype",	"--op",		"--plan",     "--policy",  "--inflight", "--codec",
	"--codec-down", "--codec-type", "--rounding", "--inplace", "--give-up",	 "--check"};

/* FNV-1a, over numbers. */
static uint64_t hash_sizes(const struct bench_options *options)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < options->size_count; i++)
		for (unsigned shift = 0; shift < 64; shift += 8)
			hash = (hash ^ (options->sizes[i] >> shift & 0xff)) * UINT64_C(0x100000001b3);
	return hash;
}

void bench_agree_fill(const struct bench_options *options, uint64_t words_out[BENCH_AGREE_FLAGS])
{
	const struct bench_codec *codec = &options->codec;
	const uint64_t words[BENCH_AGREE_FLAGS] = {
		options->peers,
		(uint64_t)options->collective,
		hash_sizes(options),
		options->iterations,
		options->warmup,
		(uint64_t)(options->seconds * 1e9),
		(uint64_t)options->datatype,
		(uint64_t)options->op,
		(uint64_t)options->plan,
		(uint64_t)options->policy,
		options->inflight,
		(uint64_t)codec->up << 32 | (uint64_t)codec->block << 1 | codec->wanted,
		(uint64_t)codec->down,
		(uint64_t)codec->target,
		(uint64_t)codec->rounding,
		options->in_place,
		options->give_up,
		options->check,
	};

	memcpy(words_out, words, sizeof(words));
}

bool bench_agree_differ(const uint64_t mine[BENCH_AGREE_FLAGS], const uint64_t theirs[BENCH_AGREE_FLAGS],
			char text_out[BENCH_PROBLEM_BYTES])
{
	size_t length = 0;

	text_out[0] = '\0';
	for (size_t i = 0; i < BENCH_AGREE_FLAGS; i++)
		if (mine[i] != theirs[i])
			length += (size_t)snprintf(text_out + length, BENCH_PROBLEM_BYTES - length, "%s%s",
						   length > 0 ? ", " : "", flags[i]);
	return length > 0;
}
