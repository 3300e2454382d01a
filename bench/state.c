/*
 * One run: members share a state; newcomers join, and all call pcclStateSync(). In each of --iters rounds newcomers
 * spoil what they have and get it again; the slowest one's time counts. The link's rate is what an all-reduce of the
 * same peers moves into each of them, right before. See state.h.
 */
#include "state.h"

#include "cable.h"
#include "codec_error.h"
#include "local.h"
#include "report.h"
#include "stats.h"

#include <pccl/state.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TENSORS 8
#define ROUNDS_MAX 100
#define RATE_BYTES_MAX ((uint64_t)64 << 20) /* of the all-reduces that tell the link's rate */
#define RATE_ROUNDS 5
#define PATTERN_WORDS ((size_t)1 << 18) /* more than is compressed at a time */

/* What a peer tells the parent. */
struct told {
	double seconds[ROUNDS_MAX];
	uint64_t tx_bytes; /* of the last round */
	uint64_t rx_bytes;
	uint64_t rx_wire_bytes;
	bool verified;
};

struct run {
	struct bench_options options; /* of all peers, newcomers too */
	uint32_t sources;
	uint32_t rounds;
	bool kills;
	ccoip_socket_address_t master;
	struct bench_meeting *all;
	struct bench_meeting *left; /* without the one that is killed */
	double link_rate;	    /* bytes a second; of rank 0 */
	struct bench_cable cables[BENCH_PEERS_MAX];
	struct told told[BENCH_PEERS_MAX];
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- the state ------------------------------ */

struct sample {
	uint64_t *pattern; /* of PATTERN_WORDS, over and over; NULL: words without a pattern */
	uint64_t *words;
	size_t word_count;
	pcclTensorInfo_t infos[TENSORS];
	char names[TENSORS][16];
	pcclSharedState_t state;
};

static uint64_t word_at(const struct sample *sample, size_t index)
{
	if (sample->pattern != NULL)
		return sample->pattern[index % PATTERN_WORDS];
	return (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool make(struct sample *sample, const struct bench_options *options)
{
	const bool patterned = options->zstd != pcclZstdDefault;
	size_t each;

	memset(sample, 0, sizeof(*sample));
	sample->word_count = (size_t)(options->state_bytes / 8 / TENSORS * TENSORS);
	sample->words = malloc(sample->word_count * 8);
	sample->pattern = patterned ? malloc(PATTERN_WORDS * 8) : NULL;
	if (sample->words == NULL || (patterned && sample->pattern == NULL)) {
		fprintf(stderr, "allreduce-bench: out of memory for a state\n");
		return false;
	}
	if (patterned)
		bench_reference_fill(pcclFloat, 1, 0, 2 * PATTERN_WORDS, sample->pattern);
	each = sample->word_count / TENSORS;
	for (size_t i = 0; i < TENSORS; i++) {
		snprintf(sample->names[i], sizeof(sample->names[i]), "tensor.%zu", i);
		sample->infos[i].name = sample->names[i];
		sample->infos[i].data = sample->words + i * each;
		sample->infos[i].count = each * 2;
		sample->infos[i].datatype = pcclFloat;
		sample->infos[i].device_type = pcclDeviceCpu;
	}
	sample->state.count = TENSORS;
	sample->state.infos = sample->infos;
	return true;
}

static void fill(const struct sample *sample, uint64_t spoilt)
{
	for (size_t i = 0; i < sample->word_count; i++)
		sample->words[i] = word_at(sample, i) ^ spoilt;
}

static bool is_right(const struct sample *sample)
{
	for (size_t i = 0; i < sample->word_count; i++)
		if (sample->words[i] != word_at(sample, i))
			return false;
	return true;
}

/* ---- one peer ------------------------------ */

static bool synchronize(const struct bench_peer *peer, struct sample *sample, struct told *told, double *seconds_out)
{
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;
	double begun = now();
	pcclResult_t result = pcclStateSync(peer->comm, &sample->state, NULL, &info);

	*seconds_out = now() - begun;
	told->tx_bytes = info.tx_bytes;
	told->rx_bytes = info.rx_bytes;
	told->rx_wire_bytes = info.rx_wire_bytes;
	if (result != pcclSuccess)
		bench_complain("synchronizing the state", result);
	return result == pcclSuccess;
}

/* ---- rounds ------------------------------ */

/* What an all-reduce moves into this peer in a second; of several the best. The state's memory serves as its buffer. */
static bool measure_link(const struct bench_peer *peer, const struct sample *sample, double *rate_out)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	uint64_t bytes = sample->word_count * 8 < RATE_BYTES_MAX ? sample->word_count * 8 : RATE_BYTES_MAX;

	operation.count = bytes / 8;
	operation.datatype = pcclUint64;
	operation.op = pcclMax; /* of the same words at the sources: they stay */
	operation.tag = 1;
	*rate_out = 0;
	for (uint32_t i = 0; i < RATE_ROUNDS; i++) {
		double begun = now(), rate;
		pcclResult_t result = pcclAllReduceWith(sample->words, sample->words, &operation, peer->comm, NULL);

		if (result != pcclSuccess) {
			bench_complain("measuring the link", result);
			return false;
		}
		rate = 2.0 * (peer->world - 1) / peer->world * (double)bytes / (now() - begun);
		*rate_out = rate > *rate_out ? rate : *rate_out;
	}
	return true;
}

struct death {
	double seconds;
};

static void *die_later(void *context)
{
	const struct death *death = context;
	const struct timespec pause = {(time_t)death->seconds,
				       (long)((death->seconds - (double)(time_t)death->seconds) * 1e9)};

	nanosleep(&pause, NULL);
	kill(getpid(), SIGKILL);
	return NULL;
}

/* The last source is killed in the second round, after half of the time that the first took. */
static void doom(const struct run *run, uint32_t index, uint32_t round)
{
	static struct death death;
	pthread_t thread;

	if (!run->kills || index + 1 != run->sources || round == 0)
		return;
	death.seconds = run->told[run->sources].seconds[0] / 2;
	if (pthread_create(&thread, NULL, die_later, &death) != 0)
		kill(getpid(), SIGKILL);
}

static bool run_rounds(struct run *run, uint32_t index, struct bench_peer *peer, struct sample *sample)
{
	struct told *told = &run->told[index];
	bool is_source = index < run->sources;
	double rate;

	fill(sample, 0);
	if (run->options.link_mbit > 0)
		rate = run->options.link_mbit * 1e6 / 8;
	else if (!measure_link(peer, sample, &rate))
		return false;
	if (peer->rank == 0)
		run->link_rate = rate;
	told->verified = true;
	for (uint32_t round = 0; round < run->rounds; round++) {
		if (!is_source)
			fill(sample, index + 1);
		pthread_barrier_wait(&run->all->barrier);
		doom(run, index, round);
		if (!synchronize(peer, sample, told, &told->seconds[round]))
			return false;
		told->verified = told->verified && is_right(sample);
	}
	return true;
}

static bool begin(struct run *run, uint32_t index, struct bench_peer *peer, struct sample *sample)
{
	struct bench_options options = run->options;
	struct told none = {0};
	double seconds;

	if (!make(sample, &options))
		return false;
	fill(sample, index < run->sources ? 0 : index + 1);
	if (index < run->sources)
		options.peers = run->sources;
	/* The first sources have a state together before anybody else comes. */
	if (index >= run->sources)
		pthread_barrier_wait(&run->all->barrier);
	if (!bench_peer_join(peer, &options, &run->master, run->all))
		return false;
	if (index >= run->sources)
		return true;
	sample->state.revision = 1;
	if (!synchronize(peer, sample, &none, &seconds))
		return false;
	pthread_barrier_wait(&run->all->barrier);
	return bench_peer_grow(peer, run->options.peers);
}

static int peer_body(uint32_t index, void *context)
{
	struct run *run = context;
	struct bench_peer peer = {0};
	struct sample sample = {0};
	bool good = bench_cable_enter(&run->cables[index], index) && begin(run, index, &peer, &sample);

	peer.options = &run->options;
	good = good && bench_peer_refresh(&peer) && run_rounds(run, index, &peer, &sample);
	if (good)
		pthread_barrier_wait(&run->left->barrier);
	bench_peer_leave(&peer);
	free(sample.words);
	free(sample.pattern);
	return good ? 0 : 1;
}

/* ---- what came of it ------------------------------ */

struct figures {
	struct bench_summary seconds; /* of the slowest newcomer; with a death, of that round */
	double undisturbed_seconds;   /* of the first round */
	double rx_bytes;	      /* of a newcomer, in a round */
	double rx_wire_bytes;
	double link_share;
	bool verified;
};

static struct figures summarize(const struct run *run)
{
	struct figures figures = {.verified = true};
	double slowest[ROUNDS_MAX] = {0};

	for (uint32_t i = run->sources; i < run->options.peers; i++) {
		const struct told *told = &run->told[i];

		for (uint32_t round = 0; round < run->rounds; round++)
			if (told->seconds[round] > slowest[round])
				slowest[round] = told->seconds[round];
		figures.rx_bytes += (double)told->rx_bytes / (run->options.peers - run->sources);
		figures.rx_wire_bytes += (double)told->rx_wire_bytes / (run->options.peers - run->sources);
		figures.verified = figures.verified && told->verified;
	}
	figures.undisturbed_seconds = slowest[0];
	if (run->kills)
		figures.seconds = bench_summarize(&slowest[1], 1);
	else
		figures.seconds = bench_summarize(slowest, run->rounds);
	if (figures.seconds.median > 0 && run->link_rate > 0)
		figures.link_share = figures.rx_bytes / figures.seconds.median / run->link_rate;
	return figures;
}

static void report(const struct run *run, const struct figures *figures)
{
	uint32_t newcomers = run->options.peers - run->sources;
	char text[32];

	if (run->options.json) {
		printf("{\"state_bytes\": %" PRIu64 ", \"sources\": %u, \"newcomers\": %u, \"rounds\": %u, "
		       "\"killed\": %u, \"undisturbed_seconds\": %.6f, \"seconds\": %.6f, \"seconds_max\": %.6f, "
		       "\"rx_bytes\": %.0f, \"rx_wire_bytes\": %.0f, "
		       "\"link_bytes_per_second\": %.0f, \"link_share\": %.3f, \"verified\": %s}\n",
		       run->options.state_bytes, run->sources, newcomers, run->rounds, run->kills ? 1u : 0u,
		       figures->undisturbed_seconds, figures->seconds.median, figures->seconds.most, figures->rx_bytes,
		       figures->rx_wire_bytes, run->link_rate, figures->link_share,
		       figures->verified ? "true" : "false");
		return;
	}
	printf("a state of %s from %u to %u, %u times%s\n", bench_bytes_text(run->options.state_bytes, text),
	       run->sources, newcomers, run->rounds, run->kills ? ", one source killed in the second" : "");
	printf("%-44s %10.3f %10.3f s\n", "time of the slowest, median and most", figures->seconds.median,
	       figures->seconds.most);
	if (run->kills)
		printf("%-44s %10.3f s\n", "time of the round before", figures->undisturbed_seconds);
	printf("%-44s %10.3f GB/s\n", "came in", figures->rx_bytes / figures->seconds.median * 1e-9);
	printf("%-44s %10.3f\n", "of which travelled", figures->rx_wire_bytes / figures->rx_bytes);
	printf("%-44s %10.3f GB/s\n",
	       run->options.link_mbit > 0 ? "the cable moves" : "an all-reduce of these peers moves",
	       run->link_rate * 1e-9);
	printf("%-44s %10.3f\n", "share of that", figures->link_share);
	for (uint32_t i = 0; i < run->sources; i++)
		if (!run->kills || i + 1 < run->sources)
			printf("source %-37u %10s\n", i, bench_bytes_text(run->told[i].tx_bytes, text));
	printf("%-44s %10s\n", "verified", figures->verified ? "yes" : "NO");
}

static void start_all(struct run *run, pid_t *pids)
{
	const uint32_t peers = run->options.peers;

	for (uint32_t i = 0; i < peers; i++) {
		run->cables[i].mbit = run->options.link_mbit;
		pids[i] = bench_spawn(peer_body, i, run);
	}
	for (uint32_t i = 0; i < peers; i++) {
		if (pids[i] < 0 || bench_cable_lay(&run->cables[i], i, pids[i]))
			continue;
		kill(pids[i], SIGKILL);
		pids[i] = -1; /* it failed to start */
	}
}

/* The one that is killed is waited for by itself: its end is no failure. */
static int reap_all(const struct run *run, pid_t *pids)
{
	uint32_t doomed = run->sources - 1;

	if (run->kills && pids[doomed] > 0)
		pids[doomed] = 0;
	return bench_reap(pids, run->options.peers);
}

int bench_state(const struct bench_options *options)
{
	struct run *run = (struct run *)bench_share(sizeof(*run));
	struct bench_master master = {0, {bench_loopback(), 0}};
	pid_t pids[BENCH_PEERS_MAX];
	struct figures figures;
	int status;

	if (run == NULL || !bench_cables_begin(options->link_mbit, &master) || !bench_master_start(&master))
		return 1;
	run->options = *options;
	run->sources = options->peers;
	run->options.peers += options->newcomers;
	run->kills = options->kills;
	run->rounds = run->kills ? 2 : options->iterations < ROUNDS_MAX ? options->iterations : ROUNDS_MAX;
	run->master = master.address;
	run->all = bench_meeting_create(run->options.peers);
	run->left = bench_meeting_create(run->options.peers - (run->kills ? 1 : 0));
	if (run->all == NULL || run->left == NULL)
		return 1;
	start_all(run, pids);
	status = reap_all(run, pids);
	bench_master_stop(&master, SIGTERM);
	if (status != 0)
		return status;
	figures = summarize(run);
	report(run, &figures);
	return figures.verified ? 0 : 1;
}
