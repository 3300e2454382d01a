/* Codecs of the command line; see codec.h. */
#include "codec.h"

#include "names.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_MIN 64
#define BLOCK_MAX 4096
/* Up to here a block has one scale of the reference data, or a part of it; beyond, ranges grow. */
#define BLOCK_SMALL 256
/* Both neighbours of a value are taken: the error doubles at most. */
#define STOCHASTIC_DB 6.5

struct kind {
	const char *name;
	pcclQuantizationAlgorithm_t algorithm;
	bool has_block;
	bool has_target;
	double small_db; /* largest error with blocks up to BLOCK_SMALL ... */
	double large_db; /* ... and with any */
};

static const struct kind kinds[] = {
	{"none", pcclQuantNone, false, false, -130, -130},
	{"bf16", pcclQuantBF16, false, false, -49, -49},
	{"fp16", pcclQuantFP16, false, false, -66, -66},
	{"e4m3", pcclQuantE4M3, true, false, -26, -26},
	{"e5m2", pcclQuantE5M2, true, false, -20, -20},
	{"int8", pcclQuantInt8, true, false, -36, -32},
	{"int4", pcclQuantInt4, true, false, -12, -8},
	{"int8-minmax", pcclQuantInt8MinMax, true, false, -34, -24},
	{"int4-minmax", pcclQuantInt4MinMax, true, false, -10, 1},
	{"e3m0", pcclQuantE3M0, true, false, -8, -6},
	{"nf4", pcclQuantNF4, true, false, -9, 1},
	{"minmax", pcclQuantMinMax, true, true, -34, -24},
	{"zero-point", pcclQuantZeroPointScale, true, true, -34, -24},
	{"plain", pcclQuantPlain, false, false, -130, -130},
};

static const char allowed[] = "bf16, fp16, e4m3, e5m2, int8, int4, int8-minmax, int4-minmax, e3m0, nf4, minmax, "
			      "zero-point";

static const struct kind *find(pcclQuantizationAlgorithm_t algorithm)
{
	const struct kind *kind = kinds;

	while (kind->algorithm != algorithm)
		kind++;
	return kind;
}

static const struct kind *find_name(const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].name) == length && memcmp(kinds[i].name, text, length) == 0)
			return &kinds[i];
	return NULL;
}

static bool complain(char *problem, size_t bytes, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool complain(char *problem, size_t bytes, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(problem, bytes, format, arguments);
	va_end(arguments);
	return false;
}

void bench_codec_init(struct bench_codec *codec)
{
	memset(codec, 0, sizeof(*codec));
	codec->up = codec->down = pcclQuantNone;
	codec->target = pcclUint8;
	codec->rounding = pcclRoundNearest;
}

/* 0: no such block. */
static uint32_t block_of(const char *text)
{
	uint32_t block = 0;

	for (; *text >= '0' && *text <= '9' && block <= BLOCK_MAX; text++)
		block = block * 10 + (uint32_t)(*text - '0');
	return *text == '\0' && block <= BLOCK_MAX && block % BLOCK_MIN == 0 ? block : 0;
}

bool bench_codec_parse(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes)
{
	const char *colon = strchr(text, ':');
	const struct kind *kind = find_name(text, colon == NULL ? strlen(text) : (size_t)(colon - text));

	if (kind == NULL || kind->algorithm == pcclQuantPlain)
		return complain(problem, problem_bytes, "--codec wants none, %s, and perhaps :BLOCK, not '%s'", allowed,
				text);
	codec->wanted = true;
	codec->up = kind->algorithm;
	codec->block = colon == NULL ? 0 : block_of(colon + 1);
	if (colon != NULL && !kind->has_block)
		return complain(problem, problem_bytes, "--codec %s has no blocks: leave out '%s'", kind->name, colon);
	if (colon != NULL && codec->block == 0)
		return complain(problem, problem_bytes,
				"--codec wants a block that is a multiple of %d from %d to %d, not '%s'", BLOCK_MIN,
				BLOCK_MIN, BLOCK_MAX, colon + 1);
	return true;
}

bool bench_codec_parse_down(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes)
{
	const struct kind *kind = find_name(text, strlen(text));

	if (kind == NULL || kind->algorithm == pcclQuantNone)
		return complain(problem, problem_bytes, "--codec-down wants plain, %s, not '%s'", allowed, text);
	codec->wanted = true;
	codec->down = kind->algorithm;
	return true;
}

bool bench_codec_parse_target(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes)
{
	codec->target_given = true;
	if (!bench_datatype_of(text, &codec->target) || bench_datatype_is_float(codec->target))
		return complain(problem, problem_bytes,
				"--codec-type wants uint8, int8, uint16, int16, uint32 or int32, "
				"not '%s'",
				text);
	return true;
}

bool bench_codec_parse_rounding(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes)
{
	bool stochastic = strcmp(text, "stochastic") == 0;

	codec->rounding_given = true;
	codec->rounding = stochastic ? pcclRoundStochastic : pcclRoundNearest;
	return stochastic || strcmp(text, "nearest") == 0 ||
	       complain(problem, problem_bytes, "--rounding wants nearest or stochastic, not '%s'", text);
}

static const struct kind *down_kind(const struct bench_codec *codec)
{
	return find(codec->down == pcclQuantNone ? codec->up : codec->down);
}

bool bench_codec_fits(const struct bench_codec *codec, pcclDataType_t datatype, pcclRedOp_t op, pcclPlan_t plan,
		      char *problem, size_t problem_bytes)
{
	bool has_target = find(codec->up)->has_target || down_kind(codec)->has_target;

	if (!codec->wanted && (codec->rounding_given || codec->target_given))
		return complain(problem, problem_bytes, "--%s belongs to --codec",
				codec->rounding_given ? "rounding" : "codec-type");
	if (!codec->wanted)
		return true;
	if (!bench_datatype_is_float(datatype))
		return complain(problem, problem_bytes,
				"--codec wants --dtype float16, bfloat16, float32 or float64, not %s",
				bench_datatype_name(datatype));
	if (op != pcclSum && op != pcclAvg)
		return complain(problem, problem_bytes, "--codec wants --op sum or avg, not %s", bench_op_name(op));
	if (plan == pcclPlanRing)
		return complain(problem, problem_bytes, "--codec wants --plan auto, oneshot or direct, not ring");
	if (codec->target_given && !has_target)
		return complain(problem, problem_bytes, "--codec-type belongs to the codecs minmax and zero-point");
	if (has_target && bench_datatype_bytes(codec->target) >= bench_datatype_bytes(datatype))
		return complain(problem, problem_bytes, "--codec-type wants a type narrower than %s, not %s",
				bench_datatype_name(datatype), bench_datatype_name(codec->target));
	return true;
}

const char *bench_codec_name(const struct bench_codec *codec, char text[BENCH_CODEC_TEXT_BYTES])
{
	if (codec->block == 0)
		snprintf(text, BENCH_CODEC_TEXT_BYTES, "%s", find(codec->up)->name);
	else
		snprintf(text, BENCH_CODEC_TEXT_BYTES, "%s:%u", find(codec->up)->name, codec->block);
	return text;
}

const char *bench_codec_down_name(const struct bench_codec *codec)
{
	return down_kind(codec)->name;
}

/* The largest power of the error, in units of the result's. */
static double bound_power(const struct kind *kind, const struct bench_codec *codec)
{
	double db = codec->block > BLOCK_SMALL ? kind->large_db : kind->small_db;

	/* Each byte more makes the steps 48 dB smaller, as far as the arithmetic goes. */
	if (kind->has_target)
		db = fmax(db - 48 * (double)(bench_datatype_bytes(codec->target) - 1), -130);
	if (codec->rounding == pcclRoundStochastic && kind->algorithm != pcclQuantNone &&
	    kind->algorithm != pcclQuantPlain)
		db += STOCHASTIC_DB;
	return pow(10, db / 10);
}

/* A sum of rounded inputs is rounded once more. */
static double rounding_power(pcclDataType_t datatype)
{
	double db = datatype == pcclFloat16 ? -66 : datatype == pcclBFloat16 ? -49 : -130;

	return pow(10, db / 10);
}

double bench_codec_bound_db(const struct bench_codec *codec, pcclDataType_t datatype)
{
	return 10 * log10(fmax(bound_power(find(codec->up), codec), bound_power(down_kind(codec), codec)) +
			  rounding_power(datatype));
}
