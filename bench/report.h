/* How a measured row looks, for people and for programs. Pure but for printing to the stream it is given. */
#ifndef PCCL_BENCH_REPORT_H
#define PCCL_BENCH_REPORT_H

#include "codec_error.h"
#include "options.h"
#include "stats.h"

#include <stdio.h>

/* One size of one collective, of all peers together. */
struct bench_row {
	uint64_t bytes; /* of one operation's whole buffer */
	uint32_t peers;
	uint32_t iterations;
	pcclPlan_t plan;	      /* what was really used */
	struct bench_summary seconds; /* of one iteration on the slowest peer */
	double wire_bytes;	      /* sent per peer and operation */
	double cpu_seconds;	      /* of all peers in all iterations */
	bool parity;
	uint64_t errors; /* operations that did not succeed, all peers */
	uint64_t wrong;	 /* elements that were not as expected, all peers; with a codec results beyond its bound */
	struct bench_error error; /* with a codec */
};

/* "4 KiB", "1.5 GiB"; `text` holds at least 32 bytes. Returns it. */
const char *bench_bytes_text(uint64_t bytes, char *text);

/* The line over the table, and one line of it. */
void bench_report_head(FILE *to, const struct bench_options *options);
void bench_report_row(FILE *to, const struct bench_options *options, const struct bench_row *row);

/* One JSON object on one line. */
void bench_report_json(FILE *to, const struct bench_options *options, const struct bench_row *row);

#endif
