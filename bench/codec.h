/* The command line's words for codecs, which choices fit together, and how large an error each may have. Pure. */
#ifndef PCCL_BENCH_CODEC_H
#define PCCL_BENCH_CODEC_H

#include <pccl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_CODEC_TEXT_BYTES 64

/* What --codec, --codec-down, --codec-type and --rounding say; the fields mean what pcclOperation_t's do. */
struct bench_codec {
	bool wanted; /* --codec or --codec-down was given, be it `none` */
	pcclQuantizationAlgorithm_t up;
	pcclQuantizationAlgorithm_t down; /* pcclQuantNone: as `up` */
	pcclDataType_t target;
	bool target_given;
	uint32_t block;
	pcclRounding_t rounding;
	bool rounding_given;
};

void bench_codec_init(struct bench_codec *codec);

/* Each reads the value of one flag; false: what is wrong, and what is allowed, stands in `problem`. */
bool bench_codec_parse(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes);
bool bench_codec_parse_down(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes);
bool bench_codec_parse_target(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes);
bool bench_codec_parse_rounding(const char *text, struct bench_codec *codec, char *problem, size_t problem_bytes);

/* Does the codec serve this reduction, and do its own choices fit together? */
bool bench_codec_fits(const struct bench_codec *codec, pcclDataType_t datatype, pcclRedOp_t op, pcclPlan_t plan,
		      char *problem, size_t problem_bytes);

/* "int8:256", "none"; and of the way back "plain", "bf16". */
const char *bench_codec_name(const struct bench_codec *codec, char text[BENCH_CODEC_TEXT_BYTES]);
const char *bench_codec_down_name(const struct bench_codec *codec);

/* The largest relative L2 error, in dB, that a right codec has on the reference data, whatever the number of peers;
 * some decibels above what is measured. */
double bench_codec_bound_db(const struct bench_codec *codec, pcclDataType_t datatype);

#endif
