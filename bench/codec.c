/* Codecs of the command line; see codec.h. */
#include "codec.h"

#include <pccl/diagnostics.h>

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
	pcclQuantizationAlgorithm_t algorithm;
	bool has_block;
	bool has_target;
	double small_db; /* largest error with blocks up to BLOCK_SMALL ... */
	double large_db; /* ... and with any */
};

static const struct kind kinds[] = {
	{pcclQuantNone, false, false, -130, -130},
	{pcclQuantBF16, false, false, -49, -49},
	{pcclQuantFP16, false, false, -66, -66},
	{pcclQuantE4M3, true, false, -26, -26},
	{pcclQuantE5M2, true, false, -20, -20},
	{pcclQuantInt8, true, false, -36, -32},
	{pcclQuantInt4, true, false, -12, -8},
	{pcclQuantInt8MinMax, true, false, -34, -24},
	{pcclQuantInt4MinMax, true, false, -10, 1},
	{pcclQuantE3M0, true, false, -8, -6},
	{pcclQuantNF4, true, false, -9, 1},
	{pcclQuantMinMax, true, true, -34, -24},
	{pcclQuantZeroPointScale, true, true, -34, -24},
	{pcclQuantPlain, false, false, -130, -130},
};

static const struct kind *find(pcclQuantizationAlgorithm_t algorithm)
{
	const struct kind *kind = kinds;

	while (kind->algorithm != algorithm)
		kind++;
	return kind;
}

/* `text` up to `length`; NULL: no codec. */
static const struct kind *find_name(const char *text, size_t length)
{
	char word[32];
	int value;

	snprintf(word, sizeof(word), "%.*s", (int)(length < sizeof(word) ? length : 0), text);
	return pcclParseName(pcclEnumCodec, word, &value) == pcclSuccess ? find((pcclQuantizationAlgorithm_t)value)
									 : NULL;
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

/* All that encode. */
static const char *list_codecs(char *text, size_t bytes)
{
	size_t used = 0, i;
	int value;

	text[0] = '\0';
	for (i = 0; pcclGetValueAt(pcclEnumCodec, i, &value) == pcclSuccess && used < bytes; i++)
		if (value != pcclQuantNone && value != pcclQuantPlain)
			used += (size_t)snprintf(text + used, bytes - used, "%s%s", used > 0 ? ", " : "",
						 pcclGetName(pcclEnumCodec, value));
	return text;
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
	char known[256];
	const char *colon = strchr(text, ':');
	const struct kind *kind = find_name(text, colon == NULL ? strlen(text) : (size_t)(colon - text));

	if (kind == NULL || kind->algorithm == pcclQuantPlain)
		return complain(problem, problem_bytes, "--codec: '%s' is none of %s, perhaps with :BLOCK", text,
				list_codecs(known, sizeof(known)));
	codec->wanted = true;
	codec->up = kind->algorithm;
	codec->block = colon == NULL ? 0 : block_of(colon + 1);
	if (colon != NULL && !kind->has_block)
		return complain(problem, problem_bytes, "--codec %s has no blocks: leave out '%s'",
				pcclGetName(pcclEnumCodec, (int)kind->algorithm), colon);
	if (colon != NULL && codec->block == 0)
		return complain(problem, problem_bytes,
				"--codec wants a block that is a multiple of %d from %d to %d, not '%s'", BLOCK_MIN,
				BLOCK_MIN, BLOCK_MAX, colon + 1);
	return true;
}

bool bench_codec_parse_down(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes)
{
	char known[256];
	const struct kind *kind = find_name(text, strlen(text));

	if (kind == NULL || kind->algorithm == pcclQuantNone)
		return complain(problem, problem_bytes, "--codec-down: '%s' is none of plain, %s", text,
				list_codecs(known, sizeof(known)));
	codec->wanted = true;
	codec->down = kind->algorithm;
	return true;
}

bool bench_codec_parse_target(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes)
{
	int value = pcclFloat;

	codec->target_given = true;
	(void)pcclParseName(pcclEnumDataType, text, &value);
	codec->target = (pcclDataType_t)value;
	if (bench_datatype_is_float(codec->target))
		return complain(problem, problem_bytes,
				"--codec-type wants uint8, int8, uint16, int16, uint32 or int32, "
				"not '%s'",
				text);
	return true;
}

bool bench_codec_parse_rounding(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes)
{
	int value = pcclRoundNearest;

	codec->rounding_given = true;
	if (pcclParseName(pcclEnumRounding, text, &value) != pcclSuccess)
		return complain(problem, problem_bytes, "--rounding: %s", pcclGetLastError(NULL));
	codec->rounding = (pcclRounding_t)value;
	return true;
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
				pcclGetName(pcclEnumDataType, (int)datatype));
	if (op != pcclSum && op != pcclAvg)
		return complain(problem, problem_bytes, "--codec wants --op sum or avg, not %s",
				pcclGetName(pcclEnumRedOp, (int)op));
	if (plan == pcclPlanRing)
		return complain(problem, problem_bytes, "--codec wants --plan auto, oneshot or direct, not ring");
	if (codec->target_given && !has_target)
		return complain(problem, problem_bytes, "--codec-type belongs to the codecs minmax and zero-point");
	if (has_target && bench_datatype_bytes(codec->target) >= bench_datatype_bytes(datatype))
		return complain(problem, problem_bytes, "--codec-type wants a type narrower than %s, not %s",
				pcclGetName(pcclEnumDataType, (int)datatype),
				pcclGetName(pcclEnumDataType, (int)codec->target));
	return true;
}

const char *bench_codec_name(const struct bench_codec *codec, char text[BENCH_CODEC_TEXT_BYTES])
{
	if (codec->block == 0)
		snprintf(text, BENCH_CODEC_TEXT_BYTES, "%s", pcclGetName(pcclEnumCodec, (int)codec->up));
	else
		snprintf(text, BENCH_CODEC_TEXT_BYTES, "%s:%u", pcclGetName(pcclEnumCodec, (int)codec->up),
			 codec->block);
	return text;
}

const char *bench_codec_down_name(const struct bench_codec *codec)
{
	return pcclGetName(pcclEnumCodec, (int)down_kind(codec)->algorithm);
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
