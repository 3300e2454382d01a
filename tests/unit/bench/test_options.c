/* The command line of allreduce-bench: what it takes, and what it says when something is wrong. */
#include <pccl/diagnostics.h>

#include "lib/check.h"

#include "bench/options.h"

#include <string.h>

#define WORDS_MAX 16

/* Splits a line at its spaces and parses it. */
static bool parse(const char *line, struct bench_options *options, char *problem)
{
	static char program[] = "allreduce-bench";
	char copy[256];
	char *words[WORDS_MAX + 2] = {program};
	char *rest = copy;
	int count = 1;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word = strtok_r(copy, " ", &rest); word != NULL && count <= WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	return bench_options_parse(count, words, options, problem);
}

static void accept_line(const char *line, struct bench_options *options)
{
	char problem[BENCH_PROBLEM_BYTES];

	if (!parse(line, options, problem))
		fail_msg("'%s' was refused: %s", line, problem);
}

static void refuse_line(const char *line, const char *why)
{
	struct bench_options options;
	char problem[BENCH_PROBLEM_BYTES];

	if (parse(line, &options, problem))
		fail_msg("'%s' was accepted", line);
	if (strstr(problem, why) == NULL)
		fail_msg("'%s' was refused with '%s', which does not say '%s'", line, problem, why);
}

static void a_local_run_needs_only_a_number(void **state)
{
	struct bench_options options;

	(void)state;
	accept_line("--local 4", &options);
	assert_int_equal(options.mode, BENCH_MODE_LOCAL);
	assert_int_equal(options.peers, 4);
	assert_int_equal(options.inflight, 1);
	assert_int_equal(options.datatype, pcclFloat);
	assert_true(options.size_count > 0 && options.iterations > 0);
}

static void every_flag_reaches_its_field(void **state)
{
	struct bench_options options;

	(void)state;
	accept_line("--local 3 --collective allgather --sizes 4K,1M,2G --iters 7 --warmup 0 --dtype bf16", &options);
	assert_int_equal(options.collective, BENCH_ALLGATHER);
	assert_int_equal(options.size_count, 3);
	assert_true(options.sizes[0] == 4096 && options.sizes[1] == 1048576);
	assert_true(options.sizes[2] == UINT64_C(2) << 30);
	assert_int_equal(options.iterations, 7);
	assert_int_equal(options.warmup, 0);
	assert_int_equal(options.datatype, pcclBFloat16);
	accept_line("--local 3 --op max --plan ring --policy repair --lanes 2 --streams 3 --inflight 64", &options);
	assert_int_equal(options.op, pcclMax);
	assert_int_equal(options.plan, pcclPlanRing);
	assert_int_equal(options.policy, pcclPolicyRepair);
	assert_int_equal(options.lanes, 2);
	assert_int_equal(options.streams, 3);
	assert_int_equal(options.inflight, 64);
	accept_line("--local 3 --check --json --inplace --seconds 0.5", &options);
	assert_true(options.check && options.json && options.in_place && options.seconds == 0.5);
}

static void a_master_may_be_a_name_or_a_number(void **state)
{
	struct bench_options options;

	(void)state;
	accept_line("--master host.example:48148 --peers 2", &options);
	assert_int_equal(options.mode, BENCH_MODE_PEER);
	assert_string_equal(options.master_host, "host.example");
	assert_int_equal(options.master_port, 48148);
	accept_line("--master [::1]:9 --peers 2", &options);
	assert_string_equal(options.master_host, "::1");
}

static void chaos_lasts_half_a_minute_unless_told(void **state)
{
	struct bench_options options;

	(void)state;
	accept_line("--local 4 --chaos kill", &options);
	assert_int_equal(options.mode, BENCH_MODE_CHAOS);
	assert_true(options.seconds == 30);
	accept_line("--chaos churn --local 4 --seconds 5 --seed 7", &options);
	assert_int_equal(options.mode, BENCH_MODE_CHAOS);
	assert_int_equal(options.chaos, BENCH_CHAOS_CHURN);
	assert_true(options.seconds == 5 && options.seed == 7);
}

static void a_state_has_newcomers_and_perhaps_a_death(void **state)
{
	struct bench_options options;

	(void)state;
	accept_line("--local 3 --state 1G", &options);
	assert_int_equal(options.mode, BENCH_MODE_STATE);
	assert_true(options.state_bytes == UINT64_C(1) << 30);
	assert_int_equal(options.newcomers, 1);
	assert_int_equal(options.iterations, 5);
	assert_false(options.kills);
	accept_line("--state 64 --local 2 --newcomers 4 --iters 20 --chaos kill", &options);
	assert_int_equal(options.mode, BENCH_MODE_STATE);
	assert_int_equal(options.newcomers, 4);
	assert_int_equal(options.iterations, 20);
	assert_true(options.kills);
	refuse_line("--local 3 --state 63", "'63'");
	refuse_line("--local 3 --state 1Q", "'1Q'");
	refuse_line("--state 1G", "--local");
	refuse_line("--local 3 --newcomers 2", "--state");
	refuse_line("--local 60 --newcomers 5 --state 1M", "64");
	refuse_line("--local 3 --state 1M --chaos churn", "kill only");
	accept_line("--local 3 --state 1G --link 200", &options);
	assert_int_equal(options.link_mbit, 200);
	refuse_line("--local 3 --link 200", "--state");
	refuse_line("--local 3 --state 1M --link 0", "--link");
	refuse_line("--local 3 --state 1M --loss", "nothing else");
}

static void bad_flags_are_refused_with_the_reason(void **state)
{
	(void)state;
	refuse_line("", "--local N");
	refuse_line("--local", "--local wants a value");
	refuse_line("--local 1", "from 2");
	refuse_line("--local two", "'two'");
	refuse_line("--local -3", "'-3'");
	refuse_line("--local 2 --bogus", "--bogus");
	refuse_line("--local 2 extra", "'extra'");
	refuse_line("--local 2 --sizes 4Q", "'4Q'");
	refuse_line("--local 2 --sizes 4K,", "4K,1M");
	refuse_line("--local 2 --sizes 99999999999999999999", "--sizes");
	refuse_line("--local 2 --sizes 17179869184G", "--sizes");
	refuse_line("--local 2 --dtype float8", "'float8'");
	refuse_line("--local 2 --op mean", "'mean'");
	refuse_line("--local 2 --plan tree", "'tree'");
	refuse_line("--local 2 --policy pray", "'pray'");
	refuse_line("--local 2 --collective reap", "'reap'");
	refuse_line("--local 2 --collective alltoall --inplace", "two buffers");
	refuse_line("--local 2 --inflight 4097", "4096");
	refuse_line("--local 2 --iters 0", "--iters");
	refuse_line("--local 2 --seconds nan", "--seconds");
	refuse_line("--local 2 --seconds -1", "--seconds");
}

static void flags_that_do_not_fit_together_are_refused(void **state)
{
	(void)state;
	refuse_line("--local 2 --master a:1 --peers 2", "exclude");
	refuse_line("--local 2 --peers 2", "--peers belongs");
	refuse_line("--master a:1", "--peers N");
	refuse_line("--peers 3", "--master");
	refuse_line("--master a --peers 2", "HOST:PORT");
	refuse_line("--master a:0 --peers 2", "HOST:PORT");
	refuse_line("--master a:65536 --peers 2", "HOST:PORT");
	refuse_line("--master :5 --peers 2", "HOST:PORT");
	refuse_line("--chaos kill", "--local");
	refuse_line("--chaos kill --local 2", "3 peers");
	refuse_line("--chaos flood --local 4", "'flood'");
	refuse_line("--local 4 --seed 3", "--chaos");
	refuse_line("--demo --local 2", "--demo");
	refuse_line("--local 2 --loss", "3 peers");
	refuse_line("--local 4 --loss --inflight 2", "--loss");
	refuse_line("--local 2 --footprint --collective broadcast", "--footprint");
}

static void codecs_reach_their_fields(void **state)
{
	struct bench_options options;
	char text[BENCH_CODEC_TEXT_BYTES];

	(void)state;
	accept_line("--local 2", &options);
	assert_false(options.codec.wanted);
	accept_line("--local 2 --codec none", &options);
	assert_true(options.codec.wanted && options.codec.up == pcclQuantNone);
	accept_line("--local 2 --codec int4:128 --codec-down int8 --rounding stochastic", &options);
	assert_int_equal(options.codec.up, pcclQuantInt4);
	assert_int_equal(options.codec.down, pcclQuantInt8);
	assert_int_equal(options.codec.block, 128);
	assert_int_equal(options.codec.rounding, pcclRoundStochastic);
	assert_string_equal(bench_codec_name(&options.codec, text), "int4:128");
	assert_string_equal(bench_codec_down_name(&options.codec), "int8");
	accept_line("--local 2 --codec minmax", &options);
	assert_int_equal(options.codec.target, pcclUint8);
	assert_int_equal(options.codec.block, 0);
	assert_string_equal(bench_codec_down_name(&options.codec), "minmax");
	accept_line("--local 2 --codec zero-point --codec-type int16 --codec-down plain --op avg", &options);
	assert_int_equal(options.codec.target, pcclInt16);
	assert_int_equal(options.codec.down, pcclQuantPlain);
	assert_int_equal(options.zstd, pcclZstdDefault);
	accept_line("--local 2 --zstd on", &options);
	assert_int_equal(options.zstd, pcclZstdOn);
	accept_line("--local 2 --zstd auto --codec int8 --collective allreduce", &options);
	assert_int_equal(options.zstd, pcclZstdAuto);
	assert_string_equal(pcclGetName(pcclEnumZstd, (int)options.zstd), "auto");
	accept_line("--master host:1 --peers 2 --codec-down fp16", &options);
	assert_true(options.codec.wanted && options.codec.up == pcclQuantNone);
}

static void bad_codecs_are_refused_with_what_is_allowed(void **state)
{
	(void)state;
	refuse_line("--local 2 --codec int9", "'int9' is none of minmax, zero-point");
	refuse_line("--local 2 --codec int8x", "int8-minmax");
	refuse_line("--local 2 --codec plain", "'plain'");
	refuse_line("--local 2 --codec int8:", "multiple of 64");
	refuse_line("--local 2 --codec int8:100", "'100'");
	refuse_line("--local 2 --codec int8:0", "multiple of 64");
	refuse_line("--local 2 --codec int8:4160", "4096");
	refuse_line("--local 2 --codec int8:99999999999999999999", "4096");
	refuse_line("--local 2 --codec bf16:64", "no blocks");
	refuse_line("--local 2 --codec int8 --codec-down none", "plain");
	refuse_line("--local 2 --codec int8 --codec-down int8:64", "'int8:64'");
	refuse_line("--local 2 --codec int8 --rounding up", "stochastic");
	refuse_line("--local 2 --codec minmax --codec-type float16", "uint16");
	refuse_line("--local 2 --rounding nearest", "--codec");
	refuse_line("--local 2 --zstd 3", "'3' is none of off, auto, on");
	refuse_line("--local 2 --codec-type int8", "--codec");
}

static void codecs_serve_only_sums_of_floats(void **state)
{
	(void)state;
	refuse_line("--local 2 --codec int8 --collective broadcast", "allreduce");
	refuse_line("--local 2 --codec int8 --dtype int32", "float32");
	refuse_line("--local 2 --codec int8 --op max", "avg");
	refuse_line("--local 2 --codec int8 --plan ring", "direct");
	refuse_line("--local 2 --codec int8 --codec-type uint8", "minmax");
	refuse_line("--local 2 --codec minmax --codec-type uint32", "narrower than float32");
	refuse_line("--local 4 --codec int8 --chaos kill", "--chaos");
	refuse_line("--local 2 --codec int8 --footprint", "--footprint");
}

static void a_bound_follows_the_coarser_way(void **state)
{
	struct bench_options options;
	double fine_db, coarse_db;

	(void)state;
	accept_line("--local 2 --codec int8", &options);
	fine_db = bench_codec_bound_db(&options.codec, pcclFloat);
	accept_line("--local 2 --codec int4 --codec-down int8", &options);
	coarse_db = bench_codec_bound_db(&options.codec, pcclFloat);
	assert_true(fine_db < -30 && coarse_db > fine_db + 20 && coarse_db < 0);
	accept_line("--local 2 --codec int8 --codec-down int4", &options);
	assert_true(bench_codec_bound_db(&options.codec, pcclFloat) == coarse_db);
	accept_line("--local 2 --codec minmax --codec-type uint16", &options);
	assert_true(bench_codec_bound_db(&options.codec, pcclFloat) < fine_db - 30);
	assert_true(bench_codec_bound_db(&options.codec, pcclBFloat16) > -50);
}

static void help_wins_over_what_comes_after(void **state)
{
	struct bench_options options;

	(void)state;
	accept_line("--help --bogus", &options);
	assert_int_equal(options.mode, BENCH_MODE_HELP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_local_run_needs_only_a_number),
		cmocka_unit_test(every_flag_reaches_its_field),
		cmocka_unit_test(a_master_may_be_a_name_or_a_number),
		cmocka_unit_test(chaos_lasts_half_a_minute_unless_told),
		cmocka_unit_test(a_state_has_newcomers_and_perhaps_a_death),
		cmocka_unit_test(bad_flags_are_refused_with_the_reason),
		cmocka_unit_test(flags_that_do_not_fit_together_are_refused),
		cmocka_unit_test(codecs_reach_their_fields),
		cmocka_unit_test(bad_codecs_are_refused_with_what_is_allowed),
		cmocka_unit_test(codecs_serve_only_sums_of_floats),
		cmocka_unit_test(a_bound_follows_the_coarser_way),
		cmocka_unit_test(help_wins_over_what_comes_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
