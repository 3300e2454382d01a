/* The command line of allreduce-bench. Pure: parses, complains in words, prints the manual. */
#ifndef PCCL_BENCH_OPTIONS_H
#define PCCL_BENCH_OPTIONS_H

#include "codec.h"
#include "names.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <pccl/security.h>

#define BENCH_INFLIGHT_MAX 4096

#define BENCH_PEERS_MAX 64
#define BENCH_SIZES_MAX 32
#define BENCH_ITERATIONS_MAX 1000000
#define BENCH_PROBLEM_BYTES 256

enum bench_mode {
	BENCH_MODE_HELP,
	BENCH_MODE_LOCAL, /* start a master and all peers here */
	BENCH_MODE_PEER,  /* be one peer of a run across machines */
	BENCH_MODE_DEMO,
	BENCH_MODE_CHAOS,
	BENCH_MODE_STATE /* newcomers get a state */
};

enum bench_chaos { BENCH_CHAOS_KILL, BENCH_CHAOS_STOP, BENCH_CHAOS_PARTITION, BENCH_CHAOS_MASTER, BENCH_CHAOS_CHURN };

struct bench_options {
	enum bench_mode mode;
	uint32_t peers;
	char master_host[256];
	uint16_t master_port;
	enum bench_collective collective;
	uint64_t sizes[BENCH_SIZES_MAX]; /* bytes of the whole buffer */
	size_t size_count;
	uint32_t iterations;
	uint32_t warmup;
	double seconds; /* time per size (or of the whole chaos run); 0: `iterations` counts */
	pcclDataType_t datatype;
	pcclRedOp_t op;
	pcclPlan_t plan;
	pcclFailurePolicy_t policy;
	uint32_t lanes; /* 0: the library's default; the same for streams */
	uint32_t streams;
	uint32_t inflight; /* operations per iteration, all in flight at once */
	struct bench_codec codec;
	pcclZstd_t zstd;
	pcclChecksums_t checksums;
	pcclTransport_t transport;
	pcclVerify_t verify;
	pcclSecurityMode_t security;
	enum bench_chaos chaos;
	uint64_t state_bytes;	/* 0: no state */
	uint32_t newcomers;	/* who get it from `peers` others */
	bool kills;		/* one of these on the way */
	uint32_t prefetch_mbit; /* the newcomer's, which fetches it before it is admitted; 0: that is not measured */
	uint32_t link_mbit;	/* each behind a link of its own; 0: all on this host */
	uint64_t seed;		/* of the chaos; 0: from the clock */
	bool in_place;
	bool give_up; /* in place: the input need not survive a failure */
	bool check;
	bool json;
	bool loss;	/* measure what a peer's death costs in place of speed */
	bool footprint; /* measure idle processor time and memory in place of speed */
};

/* Fills *options_out from the command line. False: what is wrong stands in `problem`. */
bool bench_options_parse(int argc, char **argv, struct bench_options *options_out, char problem[BENCH_PROBLEM_BYTES]);

/* "64M" is 67108864; false if the text is no size or it does not fit. */
bool bench_size_of(const char *text, uint64_t *bytes_out);

/* "kill", "stop", ... */
const char *bench_chaos_name(enum bench_chaos chaos);

/* Prints the manual. */
void bench_options_help(FILE *to);

#endif
