/* The command line; see options.h. */
#include "options.h"

#include <pccl/diagnostics.h>

#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum flag {
	FLAG_LOCAL = 256,
	FLAG_MASTER,
	FLAG_PEERS,
	FLAG_COLLECTIVE,
	FLAG_SIZES,
	FLAG_ITERS,
	FLAG_WARMUP,
	FLAG_SECONDS,
	FLAG_DTYPE,
	FLAG_OP,
	FLAG_PLAN,
	FLAG_POLICY,
	FLAG_LANES,
	FLAG_STREAMS,
	FLAG_INFLIGHT,
	FLAG_CODEC,
	FLAG_CODEC_DOWN,
	FLAG_CODEC_TYPE,
	FLAG_ROUNDING,
	FLAG_ZSTD,
	FLAG_CHECKSUMS,
	FLAG_TRANSPORT,
	FLAG_VERIFY,
	FLAG_SECURITY,
	FLAG_INPLACE,
	FLAG_GIVE_UP,
	FLAG_CHECK,
	FLAG_JSON,
	FLAG_FOOTPRINT,
	FLAG_LOSS,
	FLAG_DEMO,
	FLAG_CHAOS,
	FLAG_SEED,
	FLAG_STATE,
	FLAG_NEWCOMERS,
	FLAG_LINK,
	FLAG_PREFETCH,
	FLAG_HELP
};

static const struct option flags[] = {
	{"local", required_argument, NULL, FLAG_LOCAL},
	{"master", required_argument, NULL, FLAG_MASTER},
	{"peers", required_argument, NULL, FLAG_PEERS},
	{"collective", required_argument, NULL, FLAG_COLLECTIVE},
	{"sizes", required_argument, NULL, FLAG_SIZES},
	{"iters", required_argument, NULL, FLAG_ITERS},
	{"warmup", required_argument, NULL, FLAG_WARMUP},
	{"seconds", required_argument, NULL, FLAG_SECONDS},
	{"dtype", required_argument, NULL, FLAG_DTYPE},
	{"op", required_argument, NULL, FLAG_OP},
	{"plan", required_argument, NULL, FLAG_PLAN},
	{"policy", required_argument, NULL, FLAG_POLICY},
	{"lanes", required_argument, NULL, FLAG_LANES},
	{"streams", required_argument, NULL, FLAG_STREAMS},
	{"inflight", required_argument, NULL, FLAG_INFLIGHT},
	{"codec", required_argument, NULL, FLAG_CODEC},
	{"codec-down", required_argument, NULL, FLAG_CODEC_DOWN},
	{"codec-type", required_argument, NULL, FLAG_CODEC_TYPE},
	{"rounding", required_argument, NULL, FLAG_ROUNDING},
	{"zstd", required_argument, NULL, FLAG_ZSTD},
	{"checksums", required_argument, NULL, FLAG_CHECKSUMS},
	{"transport", required_argument, NULL, FLAG_TRANSPORT},
	{"verify", required_argument, NULL, FLAG_VERIFY},
	{"security", required_argument, NULL, FLAG_SECURITY},
	{"inplace", no_argument, NULL, FLAG_INPLACE},
	{"give-up", no_argument, NULL, FLAG_GIVE_UP},
	{"check", no_argument, NULL, FLAG_CHECK},
	{"json", no_argument, NULL, FLAG_JSON},
	{"footprint", no_argument, NULL, FLAG_FOOTPRINT},
	{"loss", no_argument, NULL, FLAG_LOSS},
	{"demo", no_argument, NULL, FLAG_DEMO},
	{"chaos", required_argument, NULL, FLAG_CHAOS},
	{"seed", required_argument, NULL, FLAG_SEED},
	{"state", required_argument, NULL, FLAG_STATE},
	{"newcomers", required_argument, NULL, FLAG_NEWCOMERS},
	{"link", required_argument, NULL, FLAG_LINK},
	{"prefetch", required_argument, NULL, FLAG_PREFETCH},
	{"help", no_argument, NULL, FLAG_HELP},
	{NULL, 0, NULL, 0},
};

static const char *const chaos_names[] = {"kill", "stop", "partition", "master", "churn"};

const char *bench_chaos_name(enum bench_chaos chaos)
{
	return chaos_names[chaos];
}

/* Writes the problem and returns false, so that a parser can end with it. */
static bool complain(char problem[BENCH_PROBLEM_BYTES], const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool complain(char problem[BENCH_PROBLEM_BYTES], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(problem, BENCH_PROBLEM_BYTES, format, arguments);
	va_end(arguments);
	return false;
}

/* Reads digits only: strtoull would take signs and spaces. */
static bool number_of(const char *text, const char **end_out, uint64_t *value_out)
{
	uint64_t value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*end_out = at;
	*value_out = value;
	return at != text;
}

static bool parse_number(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *value_out,
			 char *problem)
{
	const char *end = NULL;

	if (!number_of(text, &end, value_out) || *end != '\0' || *value_out < least || *value_out > most)
		return complain(problem, "--%s wants a number from %llu to %llu, not '%s'", name,
				(unsigned long long)least, (unsigned long long)most, text);
	return true;
}

static bool parse_count(const char *name, const char *text, uint32_t least, uint32_t most, uint32_t *value_out,
			char *problem)
{
	uint64_t value = 0;

	if (!parse_number(name, text, least, most, &value, problem))
		return false;
	*value_out = (uint32_t)value;
	return true;
}

/* Reads one size and stops behind it. */
static bool scan_size(const char *text, const char **end_out, uint64_t *bytes_out)
{
	static const char units[] = "KMG";
	uint64_t value = 0;
	const char *unit = NULL;
	unsigned shift = 0;

	if (!number_of(text, end_out, &value))
		return false;
	unit = **end_out == '\0' ? NULL : strchr(units, **end_out);
	if (unit != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		(*end_out)++;
	}
	if (value > UINT64_MAX >> shift)
		return false;
	*bytes_out = value << shift;
	return true;
}

bool bench_size_of(const char *text, uint64_t *bytes_out)
{
	const char *end = NULL;

	return scan_size(text, &end, bytes_out) && *end == '\0';
}

static bool parse_sizes(const char *text, struct bench_options *options, char *problem)
{
	const char *at = text;

	options->size_count = 0;
	for (;;) {
		const char *end = NULL;
		uint64_t bytes = 0;

		if (!scan_size(at, &end, &bytes) || (*end != ',' && *end != '\0'))
			return complain(problem, "--sizes wants a list such as 4K,1M,64M, not '%s'", text);
		if (options->size_count == BENCH_SIZES_MAX)
			return complain(problem, "--sizes takes at most %d sizes", BENCH_SIZES_MAX);
		if (bytes > SIZE_MAX / 4)
			return complain(problem, "--sizes: '%s' is more than this machine can address", at);
		options->sizes[options->size_count++] = bytes;
		if (*end == '\0')
			return true;
		at = end + 1;
	}
}

/* HOST:PORT, [ADDRESS]:PORT for IPv6. */
static bool parse_master(const char *text, struct bench_options *options, char *problem)
{
	const char *colon = strrchr(text, ':');
	const char *end = NULL;
	size_t length = colon == NULL ? 0 : (size_t)(colon - text);
	uint64_t port = 0;

	if (length == 0 || !number_of(colon + 1, &end, &port) || *end != '\0' || port == 0 || port > UINT16_MAX)
		return complain(problem, "--master wants HOST:PORT, not '%s'", text);
	if (text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(options->master_host))
		return complain(problem, "--master wants HOST:PORT, and a shorter host");
	memcpy(options->master_host, text, length);
	options->master_host[length] = '\0';
	options->master_port = (uint16_t)port;
	options->mode = BENCH_MODE_PEER;
	return true;
}

static bool parse_seconds(const char *text, struct bench_options *options, char *problem)
{
	char *end = NULL;

	options->seconds = strtod(text, &end);
	if (*text == '\0' || *end != '\0' || !(options->seconds > 0 && options->seconds <= 1e6))
		return complain(problem, "--seconds wants a time above 0, not '%s'", text);
	return true;
}

static bool parse_chaos(const char *text, struct bench_options *options, char *problem)
{
	for (size_t i = 0; i < sizeof(chaos_names) / sizeof(chaos_names[0]); i++)
		if (strcmp(chaos_names[i], text) == 0) {
			options->chaos = (enum bench_chaos)i;
			options->mode = BENCH_MODE_CHAOS;
			return true;
		}
	return complain(problem, "--chaos wants kill, stop, partition, master or churn, not '%s'", text);
}

static bool parse_state(const char *text, struct bench_options *options, char *problem)
{
	if (!bench_size_of(text, &options->state_bytes) || options->state_bytes < 64 ||
	    options->state_bytes > SIZE_MAX / 4)
		return complain(problem, "--state wants a size such as 1G, at least 64, not '%s'", text);
	return true;
}

static bool parse_local(const char *text, struct bench_options *options, char *problem)
{
	if (!parse_count("local", text, 2, BENCH_PEERS_MAX, &options->peers, problem))
		return false;
	if (options->mode == BENCH_MODE_HELP)
		options->mode = BENCH_MODE_LOCAL;
	return true;
}

/* A word of one of the library's enumerations. */
static bool parse_value(const char *flag, pcclEnum_t which, const char *text, int *value_out, char *problem)
{
	return pcclParseName(which, text, value_out) == pcclSuccess ||
	       complain(problem, "--%s: %s", flag, pcclGetLastError(NULL));
}

static bool parse_codec_word(int flag, const char *text, struct bench_options *options, char *problem)
{
	switch (flag) {
	case FLAG_CODEC:
		return bench_codec_parse(text, &options->codec, problem, BENCH_PROBLEM_BYTES);
	case FLAG_CODEC_DOWN:
		return bench_codec_parse_down(text, &options->codec, problem, BENCH_PROBLEM_BYTES);
	case FLAG_CODEC_TYPE:
		return bench_codec_parse_target(text, &options->codec, problem, BENCH_PROBLEM_BYTES);
	default:
		return bench_codec_parse_rounding(text, &options->codec, problem, BENCH_PROBLEM_BYTES);
	}
}

/* Flags whose value is one of a few words. */
static bool parse_word(int flag, const char *text, struct bench_options *options, char *problem)
{
	bool good;
	int value = 0;

	switch (flag) {
	case FLAG_COLLECTIVE:
		return bench_collective_of(text, &options->collective) ||
		       complain(problem,
				"--collective wants allreduce, broadcast, reducescatter, allgather, reduce, gather, "
				"scatter or alltoall, not '%s'",
				text);
	case FLAG_DTYPE:
		good = parse_value("dtype", pcclEnumDataType, text, &value, problem);
		options->datatype = (pcclDataType_t)value;
		return good;
	case FLAG_OP:
		good = parse_value("op", pcclEnumRedOp, text, &value, problem);
		options->op = (pcclRedOp_t)value;
		return good;
	case FLAG_ZSTD:
		good = parse_value("zstd", pcclEnumZstd, text, &value, problem);
		options->zstd = (pcclZstd_t)value;
		return good;
	case FLAG_CHECKSUMS:
		good = parse_value("checksums", pcclEnumChecksums, text, &value, problem);
		options->checksums = (pcclChecksums_t)value;
		return good;
	case FLAG_TRANSPORT:
		good = parse_value("transport", pcclEnumTransport, text, &value, problem);
		options->transport = (pcclTransport_t)value;
		return good;
	case FLAG_VERIFY:
		good = parse_value("verify", pcclEnumVerify, text, &value, problem);
		options->verify = (pcclVerify_t)value;
		return good;
	case FLAG_SECURITY:
		good = parse_value("security", pcclEnumSecurity, text, &value, problem);
		options->security = (pcclSecurityMode_t)value;
		return good;
	case FLAG_PLAN:
		good = parse_value("plan", pcclEnumPlan, text, &value, problem);
		options->plan = (pcclPlan_t)value;
		return good;
	case FLAG_POLICY:
		good = parse_value("policy", pcclEnumFailurePolicy, text, &value, problem);
		options->policy = (pcclFailurePolicy_t)value;
		return good;
	default:
		return parse_codec_word(flag, text, options, problem);
	}
}

static bool parse_switch(int flag, struct bench_options *options)
{
	switch (flag) {
	case FLAG_INPLACE:
		options->in_place = true;
		break;
	case FLAG_GIVE_UP:
		options->in_place = true;
		options->give_up = true;
		break;
	case FLAG_CHECK:
		options->check = true;
		break;
	case FLAG_JSON:
		options->json = true;
		break;
	case FLAG_FOOTPRINT:
		options->footprint = true;
		break;
	case FLAG_LOSS:
		options->loss = true;
		break;
	default:
		options->mode = BENCH_MODE_DEMO;
		break;
	}
	return true;
}

static bool parse_flag(int flag, const char *text, struct bench_options *options, char *problem)
{
	switch (flag) {
	case FLAG_LOCAL:
		return parse_local(text, options, problem);
	case FLAG_MASTER:
		return parse_master(text, options, problem);
	case FLAG_PEERS:
		return parse_count("peers", text, 2, BENCH_PEERS_MAX, &options->peers, problem);
	case FLAG_SIZES:
		return parse_sizes(text, options, problem);
	case FLAG_ITERS:
		return parse_count("iters", text, 1, BENCH_ITERATIONS_MAX, &options->iterations, problem);
	case FLAG_WARMUP:
		return parse_count("warmup", text, 0, BENCH_ITERATIONS_MAX, &options->warmup, problem);
	case FLAG_SECONDS:
		return parse_seconds(text, options, problem);
	case FLAG_LANES:
		return parse_count("lanes", text, 1, 16, &options->lanes, problem);
	case FLAG_STREAMS:
		return parse_count("streams", text, 1, 16, &options->streams, problem);
	case FLAG_INFLIGHT:
		return parse_count("inflight", text, 1, BENCH_INFLIGHT_MAX, &options->inflight, problem);
	case FLAG_CHAOS:
		return parse_chaos(text, options, problem);
	case FLAG_STATE:
		return parse_state(text, options, problem);
	case FLAG_NEWCOMERS:
		return parse_count("newcomers", text, 1, BENCH_PEERS_MAX - 2, &options->newcomers, problem);
	case FLAG_LINK:
		return parse_count("link", text, 1, 100000, &options->link_mbit, problem);
	case FLAG_PREFETCH:
		return parse_count("prefetch", text, 1, 100000, &options->prefetch_mbit, problem);
	case FLAG_SEED:
		return parse_number("seed", text, 1, UINT64_MAX, &options->seed, problem);
	case FLAG_INPLACE:
	case FLAG_GIVE_UP:
	case FLAG_CHECK:
	case FLAG_JSON:
	case FLAG_FOOTPRINT:
	case FLAG_LOSS:
	case FLAG_DEMO:
		return parse_switch(flag, options);
	default:
		return parse_word(flag, text, options, problem);
	}
}

static void set_defaults(struct bench_options *options)
{
	static const uint64_t sizes[] = {4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20};

	memset(options, 0, sizeof(*options));
	options->iterations = 20;
	options->warmup = 5;
	options->inflight = 1;
	options->datatype = pcclFloat;
	options->op = pcclSum;
	options->plan = pcclPlanAuto;
	options->policy = pcclPolicyDefault;
	options->zstd = pcclZstdDefault;
	options->checksums = pcclChecksumsDefault;
	options->transport = pcclTransportDefault;
	options->verify = pcclVerifyDefault;
	options->security = pcclSecurityDefault;
	bench_codec_init(&options->codec);
	options->size_count = sizeof(sizes) / sizeof(sizes[0]);
	memcpy(options->sizes, sizes, sizeof(sizes));
}

/* Chaos lasts half a minute and uses sizes whose results can be checked quickly, unless told otherwise. */
static void set_chaos_defaults(struct bench_options *options, bool sizes)
{
	static const uint64_t quick[] = {64 << 10, 1 << 20, 4 << 20};

	if (options->seconds == 0)
		options->seconds = 30;
	if (sizes)
		return;
	options->size_count = sizeof(quick) / sizeof(quick[0]);
	memcpy(options->sizes, quick, sizeof(quick));
}

/* A codec is for measuring an all-reduce, and there are things that it does not serve. */
static bool codec_fits(const struct bench_options *options, char *problem)
{
	bool measures = options->mode == BENCH_MODE_LOCAL || options->mode == BENCH_MODE_PEER;

	if (options->codec.wanted && options->collective != BENCH_ALLREDUCE)
		return complain(problem, "--codec works in an allreduce, not in %s",
				bench_collective_name(options->collective));
	if (options->codec.wanted && (!measures || options->footprint))
		return complain(problem, "--codec excludes --demo, --chaos and --footprint");
	return bench_codec_fits(&options->codec, options->datatype, options->op, options->plan, problem,
				BENCH_PROBLEM_BYTES);
}

/* A state is a way of measuring of its own; --chaos kill belongs to it then. */
static bool state_fits(struct bench_options *options, bool local, bool iterations, char *problem)
{
	if (options->newcomers != 0 && options->state_bytes == 0)
		return complain(problem, "--newcomers belongs to --state");
	if (options->link_mbit != 0 && options->state_bytes == 0)
		return complain(problem, "--link belongs to --state");
	if (options->prefetch_mbit != 0 &&
	    (options->state_bytes == 0 || options->link_mbit == 0 || options->newcomers > 1 ||
	     options->mode == BENCH_MODE_CHAOS || options->peers < 2))
		return complain(problem, "--prefetch goes with --state and --link, two members and one newcomer");
	if (options->state_bytes == 0)
		return true;
	if (!local || options->codec.wanted || options->footprint || options->loss ||
	    options->collective != BENCH_ALLREDUCE)
		return complain(problem, "--state goes with --local, and measures nothing else");
	options->kills = options->mode == BENCH_MODE_CHAOS;
	if (options->kills && options->chaos != BENCH_CHAOS_KILL)
		return complain(problem, "--state knows --chaos kill only");
	if (options->newcomers == 0)
		options->newcomers = 1;
	if (options->peers + options->newcomers > BENCH_PEERS_MAX)
		return complain(problem, "--local and --newcomers: at most %d peers in all", BENCH_PEERS_MAX);
	if (!iterations)
		options->iterations = 5;
	options->mode = BENCH_MODE_STATE;
	return true;
}

/* What no single flag can know. */
static bool fits_together(struct bench_options *options, bool local, bool master, bool peers, char *problem)
{
	if (local && master)
		return complain(problem, "--local and --master exclude each other");
	if (local && peers)
		return complain(problem, "--peers belongs to --master; --local already says how many");
	if (master && !peers)
		return complain(problem, "--master needs --peers N: how many take part in the run");
	if (peers && !master)
		return complain(problem, "--peers needs --master HOST:PORT");
	if (options->mode == BENCH_MODE_CHAOS && !local)
		return complain(problem, "--chaos needs --local N");
	if (options->mode == BENCH_MODE_CHAOS && options->peers < 3)
		return complain(problem, "--chaos needs at least 3 peers, so that a group is left");
	if (options->seed != 0 && options->mode != BENCH_MODE_CHAOS)
		return complain(problem, "--seed belongs to --chaos");
	if (options->in_place && options->collective == BENCH_ALLTOALL)
		return complain(problem, "--inplace and --give-up: an alltoall has two buffers");
	if (options->footprint && (options->mode != BENCH_MODE_LOCAL || options->collective != BENCH_ALLREDUCE))
		return complain(problem, "--footprint goes with --local and allreduce");
	if (options->loss && (options->mode != BENCH_MODE_LOCAL || options->collective != BENCH_ALLREDUCE ||
			      options->inflight > 1 || options->codec.wanted || options->footprint))
		return complain(problem, "--loss goes with --local and one plain allreduce at a time");
	if (options->loss && options->peers < 3)
		return complain(problem, "--loss needs at least 3 peers, so that a group is left");
	if (options->mode == BENCH_MODE_DEMO && (local || master))
		return complain(problem, "--demo takes no other flags");
	if (options->mode == BENCH_MODE_HELP)
		return complain(problem,
				"say --local N to start N peers here, or --master HOST:PORT --peers N to be one "
				"of N");
	return codec_fits(options, problem);
}

bool bench_options_parse(int argc, char **argv, struct bench_options *options_out, char problem[BENCH_PROBLEM_BYTES])
{
	bool local = false, master = false, peers = false, sizes = false, iterations = false;
	int flag = 0;

	set_defaults(options_out);
	problem[0] = '\0';
	opterr = 0;
	optind = 0; /* makes the GNU parser start afresh */
	for (;;) {
		flag = getopt_long(argc, argv, ":", flags, NULL);
		if (flag == -1)
			break;
		if (flag == ':')
			return complain(problem, "%s wants a value", argv[optind - 1]);
		if (flag == '?')
			return complain(problem, "unknown flag '%s'", argv[optind - 1]);
		if (flag == FLAG_HELP) {
			options_out->mode = BENCH_MODE_HELP;
			return true;
		}
		local = local || flag == FLAG_LOCAL;
		master = master || flag == FLAG_MASTER;
		peers = peers || flag == FLAG_PEERS;
		sizes = sizes || flag == FLAG_SIZES;
		iterations = iterations || flag == FLAG_ITERS;
		if (!parse_flag(flag, optarg, options_out, problem))
			return false;
	}
	if (optind < argc)
		return complain(problem, "'%s' is not a flag", argv[optind]);
	if (!state_fits(options_out, local, iterations, problem))
		return false;
	if (options_out->mode == BENCH_MODE_CHAOS)
		set_chaos_defaults(options_out, sizes);
	return fits_together(options_out, local, master, peers, problem);
}
