/*
 * One run: members reduce all the time, for a while with their state lent to a newcomer that fetches it over a cable of
 * its own, for as long without, and so on, now the one first, now the other. Time is taken at rank 0; what has come is
 * counted in the newcomer's memory. In the end it is admitted, and what is left moves. See prefetch.h.
 */
#include "prefetch.h"

#include "cable.h"
#include "stats.h"

#include <pccl/state.h>

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define PAIRS_MAX 100
#define PHASE_SECONDS 8.0
#define CHUNK_WORDS ((size_t)1 << 17)
#define BUFFER_BYTES ((uint64_t)16 << 20)
#define LOOK_NS 5000000

struct run {
	struct bench_options options;
	struct bench_cable cables[BENCH_PEERS_MAX];
	ccoip_socket_address_t master;
	struct bench_meeting *all;
	struct bench_meeting *members;
	uint32_t operations;	      /* of a phase */
	double seconds[2][PAIRS_MAX]; /* of a phase: without, with; as the next */
	uint64_t chunks[2][PAIRS_MAX];
	uint64_t fetched; /* chunks that have come so far, atomic */
	uint64_t rx_bytes, left_bytes;
	bool verified;
};

struct sample {
	uint64_t *words;
	size_t word_count;
	uint64_t *buffer;
	pcclTensorInfo_t info;
	pcclSharedState_t state;
};

static bool make(struct sample *sample, uint64_t bytes)
{
	sample->word_count = (size_t)(bytes / 8);
	sample->words = malloc(sample->word_count * 8);
	sample->buffer = calloc(1, BUFFER_BYTES);
	sample->info.name = "tensor";
	sample->info.data = sample->words;
	sample->info.count = sample->word_count;
	sample->info.datatype = pcclUint64;
	sample->info.device_type = pcclDeviceCpu;
	sample->state.count = 1;
	sample->state.infos = &sample->info;
	if (sample->words == NULL || sample->buffer == NULL)
		fprintf(stderr, "allreduce-bench: out of memory for a state\n");
	return sample->words != NULL && sample->buffer != NULL;
}

/* No word of a member's is one of a newcomer's that has got nothing. */
static void fill(const struct sample *sample, uint64_t key)
{
	for (size_t i = 0; i < sample->word_count; i++)
		sample->words[i] = key == 0 ? 0 : (i + 1) * key;
}

static bool synchronize(const struct bench_peer *peer, struct sample *sample, uint64_t *rx_bytes_out)
{
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;
	pcclResult_t result = pcclStateSync(peer->comm, &sample->state, NULL, &info);

	*rx_bytes_out = info.rx_bytes;
	if (result != pcclSuccess)
		bench_complain("synchronizing the state", result);
	return result == pcclSuccess;
}

/* ---- members ------------------------------ */

static bool reduce(const struct bench_peer *peer, const struct sample *sample, uint32_t times)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclResult_t result = pcclSuccess;

	operation.count = BUFFER_BYTES / 8;
	operation.datatype = pcclUint64;
	operation.op = pcclMax;
	operation.tag = 1;
	for (uint32_t i = 0; i < times && result == pcclSuccess; i++)
		result = pcclAllReduceWith(sample->buffer, sample->buffer, &operation, peer->comm, NULL);
	if (result != pcclSuccess)
		bench_complain("reducing", result);
	return result == pcclSuccess;
}

static bool lend(const struct bench_peer *peer, const struct sample *sample, bool lent)
{
	const pcclResult_t result = lent ? pcclStateLend(peer->comm, &sample->state) : pcclStateTakeBack(peer->comm);

	if (result != pcclSuccess)
		bench_complain("lending the state", result);
	return result == pcclSuccess;
}

static bool run_phase(struct run *run, const struct bench_peer *peer, const struct sample *sample, uint32_t pair,
		      bool lent)
{
	uint64_t begun, before;

	if (!lend(peer, sample, lent) || !reduce(peer, sample, 1)) /* what is queued from before goes out */
		return false;
	pthread_barrier_wait(&run->members->barrier);
	before = __atomic_load_n(&run->fetched, __ATOMIC_RELAXED);
	begun = bench_now_ns();
	if (!reduce(peer, sample, run->operations))
		return false;
	if (peer->rank != 0)
		return true;
	run->seconds[lent][pair] = (double)(bench_now_ns() - begun) * 1e-9;
	run->chunks[lent][pair] = __atomic_load_n(&run->fetched, __ATOMIC_RELAXED) - before;
	return true;
}

/* How many operations take about as long as a phase is to take. */
static bool choose_length(struct run *run, const struct bench_peer *peer, const struct sample *sample)
{
	uint64_t begun;

	if (!reduce(peer, sample, 2))
		return false;
	begun = bench_now_ns();
	if (!reduce(peer, sample, 4))
		return false;
	if (peer->rank == 0)
		run->operations = 1 + (uint32_t)(4 * PHASE_SECONDS / ((double)(bench_now_ns() - begun) * 1e-9));
	pthread_barrier_wait(&run->members->barrier);
	return true;
}

static bool run_member(struct run *run, struct bench_peer *peer, struct sample *sample)
{
	const struct timespec pause = {0, LOOK_NS};
	uint64_t ignored;

	sample->state.revision = 1;
	if (!synchronize(peer, sample, &ignored) || !choose_length(run, peer, sample) || !lend(peer, sample, true))
		return false;
	pthread_barrier_wait(&run->all->barrier);
	while (__atomic_load_n(&run->fetched, __ATOMIC_RELAXED) == 0)
		nanosleep(&pause, NULL);
	for (uint32_t pair = 0; pair < run->options.iterations; pair++) {
		const bool first = pair % 2 == 1;

		if (!run_phase(run, peer, sample, pair, first) || !run_phase(run, peer, sample, pair, !first))
			return false;
	}
	return lend(peer, sample, true) && bench_peer_grow(peer, run->options.peers + 1) && lend(peer, sample, false);
}

/* ---- the newcomer ------------------------------ */

struct counting {
	struct run *run;
	const struct sample *sample;
	bool done;
};

static void *count_chunks(void *context)
{
	struct counting *counting = context;
	const struct sample *sample = counting->sample;
	const struct timespec pause = {0, LOOK_NS};

	while (!__atomic_load_n(&counting->done, __ATOMIC_RELAXED)) {
		uint64_t count = 0;

		for (size_t at = 0; at < sample->word_count; at += CHUNK_WORDS)
			count += __atomic_load_n(&sample->words[at], __ATOMIC_RELAXED) != 0;
		__atomic_store_n(&counting->run->fetched, count, __ATOMIC_RELAXED);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static bool run_newcomer(struct run *run, const struct bench_peer *peer, struct sample *sample)
{
	pcclStateSyncInfo_t info = PCCL_STATE_SYNC_INFO_INITIALIZER;
	struct counting counting = {run, sample, false};
	pthread_t thread;
	pcclResult_t result = pcclStatePrefetch(peer->comm, &sample->state, &info);
	bool good;

	if (result != pcclSuccess)
		bench_complain("prefetching", result);
	if (result != pcclSuccess || pthread_create(&thread, NULL, count_chunks, &counting) != 0)
		return false;
	pthread_barrier_wait(&run->all->barrier);
	good = bench_peer_connect(peer);
	__atomic_store_n(&counting.done, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	run->rx_bytes = info.rx_bytes;
	return good;
}

static int peer_body(uint32_t index, void *context)
{
	struct run *run = context;
	const bool is_member = index < run->options.peers;
	struct bench_peer peer = {0};
	struct sample sample = {0};
	uint64_t left = 0;
	bool good = bench_cable_enter(&run->cables[index], index) && make(&sample, run->options.state_bytes);

	if (good)
		fill(&sample, is_member ? UINT64_C(0x9e3779b97f4a7c15) : 0);
	if (is_member)
		good = good && bench_peer_join(&peer, &run->options, &run->master, run->members) &&
		       run_member(run, &peer, &sample);
	else
		good = good && bench_peer_create(&peer, &run->options, &run->master, NULL) &&
		       run_newcomer(run, &peer, &sample);
	good = good && synchronize(&peer, &sample, &left);
	if (good && !is_member) {
		run->left_bytes = left;
		run->verified = sample.words[0] == UINT64_C(0x9e3779b97f4a7c15);
		for (size_t i = 0; i < sample.word_count; i++)
			run->verified = run->verified && sample.words[i] == (i + 1) * sample.words[0];
	}
	if (good)
		pthread_barrier_wait(&run->all->barrier);
	bench_peer_leave(&peer);
	free(sample.words);
	free(sample.buffer);
	return good ? 0 : 1;
}

/* ---- what came of it ------------------------------ */

static void print_pairs(const struct run *run, const double *shares)
{
	const uint32_t pairs = run->options.iterations;

	printf("%u members behind %u Mbit/s, a newcomer behind %u, %u pairs of phases of %u all-reduces\n",
	       run->options.peers, run->options.link_mbit, run->options.prefetch_mbit, pairs, run->operations);
	for (uint32_t pair = 0; pair < pairs; pair++)
		printf("without %8.3f s   with %8.3f s   of its rate %6.3f   fetched %5" PRIu64 " MiB   (%" PRIu64
		       " without)\n",
		       run->seconds[0][pair], run->seconds[1][pair], shares[pair], run->chunks[1][pair],
		       run->chunks[0][pair]);
}

static void report(const struct run *run)
{
	const uint32_t pairs = run->options.iterations;
	double shares[PAIRS_MAX], seconds = 0, mbit;
	struct bench_summary summary;
	uint64_t chunks = 0;

	for (uint32_t pair = 0; pair < pairs; pair++) {
		shares[pair] = run->seconds[0][pair] / run->seconds[1][pair];
		seconds += run->seconds[1][pair];
		chunks += run->chunks[1][pair];
	}
	mbit = (double)chunks * CHUNK_WORDS * 8 * 8 / seconds * 1e-6;
	if (!run->options.json)
		print_pairs(run, shares);
	summary = bench_summarize(shares, pairs);
	if (run->options.json) {
		printf("{\"state_bytes\": %" PRIu64 ", \"members\": %u, \"link_mbit\": %u, \"prefetch_mbit\": %u, "
		       "\"pairs\": %u, \"share\": %.4f, \"share_least\": %.4f, \"share_most\": %.4f, "
		       "\"fetched_mbit\": %.1f, \"rx_bytes\": %" PRIu64 ", \"left_bytes\": %" PRIu64
		       ", \"verified\": %s}\n",
		       run->options.state_bytes, run->options.peers, run->options.link_mbit, run->options.prefetch_mbit,
		       pairs, summary.median, summary.least, summary.most, mbit, run->rx_bytes, run->left_bytes,
		       run->verified ? "true" : "false");
		return;
	}
	printf("%-44s %10.3f\n", "of the members' rate is left, median", summary.median);
	printf("%-44s %10.1f Mbit/s\n", "the newcomer got meanwhile", mbit);
	printf("%-44s %10" PRIu64 " of %" PRIu64 " bytes\n", "and before it was admitted", run->rx_bytes,
	       run->options.state_bytes);
	printf("%-44s %10" PRIu64 " bytes\n", "after that", run->left_bytes);
	printf("%-44s %10s\n", "verified", run->verified ? "yes" : "NO");
}

static void start_all(struct run *run, pid_t *pids)
{
	for (uint32_t i = 0; i <= run->options.peers; i++) {
		run->cables[i].mbit = i < run->options.peers ? run->options.link_mbit : run->options.prefetch_mbit;
		pids[i] = bench_spawn(peer_body, i, run);
	}
	for (uint32_t i = 0; i <= run->options.peers; i++) {
		if (pids[i] < 0 || bench_cable_lay(&run->cables[i], i, pids[i]))
			continue;
		kill(pids[i], SIGKILL);
		pids[i] = -1; /* it failed to start */
	}
}

int bench_prefetch(const struct bench_options *options)
{
	struct run *run = (struct run *)bench_share(sizeof(*run));
	struct bench_master master = {0, {bench_loopback(), 0}};
	pid_t pids[BENCH_PEERS_MAX] = {0};
	int status;

	if (run == NULL || !bench_cables_begin(options->link_mbit, &master) || !bench_master_start(&master))
		return 1;
	run->options = *options;
	if (run->options.iterations > PAIRS_MAX)
		run->options.iterations = PAIRS_MAX;
	run->master = master.address;
	run->all = bench_meeting_create(options->peers + 1);
	run->members = bench_meeting_create(options->peers);
	if (run->all == NULL || run->members == NULL)
		return 1;
	start_all(run, pids);
	status = bench_reap(pids, options->peers + 1);
	bench_master_stop(&master, SIGTERM);
	if (status != 0)
		return status;
	report(run);
	return run->verified ? 0 : 1;
}
