/* Table and JSON; see report.h. */
#include "report.h"

#include <pccl/diagnostics.h>

#include <inttypes.h>

#define GIB 1073741824.0

const char *bench_bytes_text(uint64_t bytes, char *text)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(text, 32, value == (double)(uint64_t)value ? "%.0f %s" : "%.1f %s", value, units[unit]);
	return text;
}

/* Bytes of all operations of one iteration. */
static double iteration_bytes(const struct bench_options *options, const struct bench_row *row)
{
	return (double)row->bytes * options->inflight;
}

static double algorithm_gigabytes(const struct bench_options *options, const struct bench_row *row)
{
	return row->seconds.median > 0 ? iteration_bytes(options, row) / row->seconds.median * 1e-9 : 0;
}

static double cpu_per_gib(const struct bench_options *options, const struct bench_row *row)
{
	double gib = iteration_bytes(options, row) * row->iterations / GIB;

	return gib > 0 ? row->cpu_seconds / gib : 0;
}

static const char *rounding_name(const struct bench_options *options)
{
	return pcclGetName(pcclEnumRounding, (int)options->codec.rounding);
}

void bench_report_head(FILE *to, const struct bench_options *options)
{
	char codec[BENCH_CODEC_TEXT_BYTES];

	fprintf(to, "%s, %s, %s, %u peers%s", bench_collective_name(options->collective),
		pcclGetName(pcclEnumDataType, (int)options->datatype), pcclGetName(pcclEnumRedOp, (int)options->op),
		options->peers,
		options->give_up    ? ", in place, given up"
		: options->in_place ? ", in place"
				    : "");
	if (options->inflight > 1)
		fprintf(to, ", %u operations at once", options->inflight);
	if (options->codec.wanted)
		fprintf(to, ", codec %s, back %s, rounding %s", bench_codec_name(&options->codec, codec),
			bench_codec_down_name(&options->codec), rounding_name(options));
	if (options->zstd != pcclZstdDefault)
		fprintf(to, ", zstd %s", pcclGetName(pcclEnumZstd, (int)options->zstd));
	if (options->checksums != pcclChecksumsDefault)
		fprintf(to, ", checksums %s", pcclGetName(pcclEnumChecksums, (int)options->checksums));
	if (options->transport != pcclTransportDefault)
		fprintf(to, ", transport %s asked for", pcclGetName(pcclEnumTransport, (int)options->transport));
	if (options->verify != pcclVerifyDefault)
		fprintf(to, ", verify %s", pcclGetName(pcclEnumVerify, (int)options->verify));
	fprintf(to, "\n%10s %8s %11s %11s %11s %8s %8s %10s %8s %7s", "bytes", "plan", "time us", "least us", "p99 us",
		"alg GB/s", "bus GB/s", "wire/peer", "cpu s/G", "parity");
	if (options->codec.wanted)
		fprintf(to, " %8s %6s", "error dB", "bias");
	fprintf(to, " %s\n", options->check ? "result" : "");
}

void bench_report_row(FILE *to, const struct bench_options *options, const struct bench_row *row)
{
	char bytes[32], wire[32];
	double gigabytes = algorithm_gigabytes(options, row);

	fprintf(to, "%10s %8s %11.1f %11.1f %11.1f %8.3f %8.3f %10s %8.2f %7s", bench_bytes_text(row->bytes, bytes),
		pcclGetName(pcclEnumPlan, (int)row->plan), row->seconds.median * 1e6, row->seconds.least * 1e6,
		row->seconds.p99 * 1e6, gigabytes, gigabytes * bench_bus_factor(options->collective, row->peers),
		bench_bytes_text((uint64_t)row->wire_bytes, wire), cpu_per_gib(options, row),
		row->parity ? "same" : "DIFFER");
	if (options->codec.wanted)
		fprintf(to, " %8.1f %6.1f", row->error.rel_l2_db, row->error.bias);
	if (row->errors > 0)
		fprintf(to, " %" PRIu64 " FAILED", row->errors);
	if (options->check && row->wrong == 0)
		fprintf(to, " right");
	if (row->wrong > 0)
		fprintf(to, " %" PRIu64 " WRONG", row->wrong);
	fputc('\n', to);
	fflush(to);
}

static void report_codec(FILE *to, const struct bench_options *options, const struct bench_row *row)
{
	char codec[BENCH_CODEC_TEXT_BYTES];

	fprintf(to,
		"\"codec\": \"%s\", \"codec_down\": \"%s\", \"rounding\": \"%s\", \"rel_l2_error_db\": %.2f, "
		"\"bias\": %.2f, ",
		bench_codec_name(&options->codec, codec), bench_codec_down_name(&options->codec),
		rounding_name(options), row->error.rel_l2_db, row->error.bias);
}

void bench_report_json(FILE *to, const struct bench_options *options, const struct bench_row *row)
{
	double gigabytes = algorithm_gigabytes(options, row);

	fprintf(to,
		"{\"collective\": \"%s\", \"plan\": \"%s\", \"dtype\": \"%s\", \"op\": \"%s\", \"peers\": %u, "
		"\"bytes\": %" PRIu64 ", \"iters\": %u, ",
		bench_collective_name(options->collective), pcclGetName(pcclEnumPlan, (int)row->plan),
		pcclGetName(pcclEnumDataType, (int)options->datatype), pcclGetName(pcclEnumRedOp, (int)options->op),
		row->peers, row->bytes, row->iterations);
	fprintf(to,
		"\"time_us\": %.2f, \"time_us_min\": %.2f, \"time_us_p99\": %.2f, \"algbw_GBps\": %.4f, "
		"\"busbw_GBps\": %.4f, ",
		row->seconds.median * 1e6, row->seconds.least * 1e6, row->seconds.p99 * 1e6, gigabytes,
		gigabytes * bench_bus_factor(options->collective, row->peers));
	if (options->codec.wanted)
		report_codec(to, options, row);
	if (options->zstd != pcclZstdDefault)
		fprintf(to, "\"zstd\": \"%s\", ", pcclGetName(pcclEnumZstd, (int)options->zstd));
	if (options->checksums != pcclChecksumsDefault)
		fprintf(to, "\"checksums\": \"%s\", ", pcclGetName(pcclEnumChecksums, (int)options->checksums));
	if (options->transport != pcclTransportDefault)
		fprintf(to, "\"transport\": \"%s\", ", pcclGetName(pcclEnumTransport, (int)options->transport));
	if (options->verify != pcclVerifyDefault)
		fprintf(to, "\"verify\": \"%s\", ", pcclGetName(pcclEnumVerify, (int)options->verify));
	fprintf(to,
		"\"wire_bytes_per_peer\": %.0f, \"cpu_s_per_GiB\": %.3f, \"parity\": %s, \"errors\": %" PRIu64 "}\n",
		row->wire_bytes, cpu_per_gib(options, row), row->parity ? "true" : "false", row->errors + row->wrong);
	fflush(to);
}
