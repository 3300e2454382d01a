/* Flags that peers of one run need alike. */
#include "lib/check.h"

#include "bench/agree.h"

#include <string.h>

static void parse(const char *flags, struct bench_options *options_out)
{
	char name[] = "allreduce-bench", text[256], problem[BENCH_PROBLEM_BYTES], *words[32] = {name};
	char *rest = text, *word;
	int count = 1;

	snprintf(text, sizeof(text), "--master a:1 %s", flags);
	while ((word = strsep(&rest, " ")) != NULL)
		words[count++] = word;
	if (!bench_options_parse(count, words, options_out, problem))
		fail_msg("%s: %s", flags, problem);
}

static void differ(const char *one, const char *other, const char *flags)
{
	struct bench_options options;
	uint64_t mine[BENCH_AGREE_FLAGS], theirs[BENCH_AGREE_FLAGS];
	char text[BENCH_PROBLEM_BYTES];

	parse(one, &options);
	bench_agree_fill(&options, mine);
	parse(other, &options);
	bench_agree_fill(&options, theirs);
	assert_int_equal(bench_agree_differ(mine, theirs, text), *flags != '\0');
	assert_string_equal(text, flags);
}

static void flags_that_differ_are_named(void **state)
{
	(void)state;
	differ("--peers 2", "--peers 3", "--peers");
	differ("--peers 2 --iters 2", "--peers 2", "--iters");
	differ("--peers 2 --sizes 4K,8K", "--peers 2 --sizes 8K,4K", "--sizes");
	differ("--peers 2 --seconds 1.5", "--peers 2 --seconds 1", "--seconds");
	differ("--peers 2 --check", "--peers 2", "--check");
	differ("--peers 2 --codec int8:64", "--peers 2 --codec int8:128", "--codec");
	differ("--peers 2 --codec int8 --codec-down bf16", "--peers 2 --codec int8", "--codec-down");
	differ("--peers 2 --dtype bf16 --op max --inflight 3", "--peers 2", "--dtype, --op, --inflight");
	differ("--peers 2 --collective broadcast --warmup 0 --plan ring --policy retry", "--peers 2 --give-up",
	       "--collective, --warmup, --plan, --policy, --inplace, --give-up");
}

/* The same in other words, and what each peer may have as it likes. */
static void other_flags_may_differ(void **state)
{
	(void)state;
	differ("--peers 2 --sizes 4K,1M --iters 20", "--iters 20 --sizes 4096,1024K --peers 2", "");
	differ("--peers 2 --json --lanes 2 --streams 3", "--peers 2 --zstd auto --transport tcp", "");
}

static void all_of_them_fit_into_the_text(void **state)
{
	uint64_t mine[BENCH_AGREE_FLAGS] = {0}, theirs[BENCH_AGREE_FLAGS];
	char text[BENCH_PROBLEM_BYTES];

	(void)state;
	memset(theirs, 0xff, sizeof(theirs));
	assert_true(bench_agree_differ(mine, theirs, text));
	assert_non_null(strstr(text, ", --check"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_that_differ_are_named),
		cmocka_unit_test(other_flags_may_differ),
		cmocka_unit_test(all_of_them_fit_into_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
