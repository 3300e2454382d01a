/* The measuring loop; see measure.h. */
#include "measure.h"

#include "buffers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TAG_FIRST 1

/* One size being measured, on this peer. */
struct run {
	struct bench_peer *peer;
	struct bench_buffers buffers;
	double *seconds;     /* one per timed iteration */
	uint32_t iterations; /* timed so far, and those of the batch in progress */
	pcclPlan_t plan;     /* of the last operation */
	double wire_bytes;
	double cpu_seconds;
	uint64_t errors;
	uint64_t wrong;
	bool complained;	  /* about a failed operation: once is enough */
	struct bench_error error; /* with a codec, on rank 0 */
};

static double clock_seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double process_seconds(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec * 1e-6 + (double)usage.ru_stime.tv_sec +
	       (double)usage.ru_stime.tv_usec * 1e-6;
}

static pcclResult_t call(struct run *run, uint32_t which, const pcclOperation_t *operation, pcclOperationInfo_t *info)
{
	const struct bench_buffer *buffer = &run->buffers.each[which];
	const pcclComm_t *comm = run->peer->comm;

	switch (run->peer->options->collective) {
	case BENCH_BROADCAST:
		return pcclBroadcast(buffer->input, buffer->output, operation, comm, info);
	case BENCH_REDUCESCATTER:
		return pcclReduceScatter(buffer->input, buffer->output, operation, comm, info);
	case BENCH_ALLGATHER:
		return pcclAllGather(buffer->input, buffer->output, operation, comm, info);
	case BENCH_REDUCE:
		return pcclReduce(buffer->input, buffer->output, operation, comm, info);
	case BENCH_GATHER:
		return pcclGather(buffer->input, buffer->output, NULL, operation, comm, info);
	case BENCH_SCATTER:
		return pcclScatter(buffer->input, buffer->output, NULL, operation, comm, info);
	case BENCH_ALLTOALL:
		return pcclAllToAll(buffer->input, buffer->output, NULL, NULL, operation, comm, info);
	default:
		return pcclAllReduceWith(buffer->input, buffer->output, operation, comm, info);
	}
}

static pcclResult_t launch(struct run *run, uint32_t which, const pcclOperation_t *operation, pcclHandle_t *handle)
{
	const struct bench_buffer *buffer = &run->buffers.each[which];
	const pcclComm_t *comm = run->peer->comm;

	switch (run->peer->options->collective) {
	case BENCH_BROADCAST:
		return pcclBroadcastAsync(buffer->input, buffer->output, operation, comm, handle);
	case BENCH_REDUCESCATTER:
		return pcclReduceScatterAsync(buffer->input, buffer->output, operation, comm, handle);
	case BENCH_ALLGATHER:
		return pcclAllGatherAsync(buffer->input, buffer->output, operation, comm, handle);
	case BENCH_REDUCE:
		return pcclReduceAsync(buffer->input, buffer->output, operation, comm, handle);
	case BENCH_GATHER:
		return pcclGatherAsync(buffer->input, buffer->output, NULL, operation, comm, handle);
	case BENCH_SCATTER:
		return pcclScatterAsync(buffer->input, buffer->output, NULL, operation, comm, handle);
	case BENCH_ALLTOALL:
		return pcclAllToAllAsync(buffer->input, buffer->output, NULL, NULL, operation, comm, handle);
	default:
		return pcclAllReduceWithAsync(buffer->input, buffer->output, operation, comm, handle);
	}
}

static pcclOperation_t describe(const struct run *run, uint32_t which)
{
	const struct bench_options *options = run->peer->options;
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;

	operation.count = run->buffers.count;
	operation.datatype = options->datatype;
	operation.op = options->op;
	operation.tag = TAG_FIRST + which;
	operation.root = BENCH_ROOT;
	operation.plan = options->plan;
	operation.failure_policy = options->policy;
	operation.codec = options->codec.up;
	operation.codec_down = options->codec.down;
	operation.codec_datatype = options->codec.target;
	operation.codec_block = options->codec.block;
	operation.rounding = options->codec.rounding;
	operation.input = options->give_up ? pcclInputGiveUp : pcclInputKeep;
	return operation;
}

static void note_result(struct run *run, pcclResult_t result, const pcclOperationInfo_t *info)
{
	if (result == pcclSuccess) {
		run->plan = info->plan;
		run->wire_bytes += (double)info->tx_bytes;
		return;
	}
	run->errors++;
	if (!run->complained)
		bench_complain(bench_collective_name(run->peer->options->collective), result);
	run->complained = true;
}

/* One operation as a plain call, or all of --inflight launched and then awaited. */
static void iterate(struct run *run)
{
	pcclHandle_t handles[BENCH_INFLIGHT_MAX];
	bool launched[BENCH_INFLIGHT_MAX];
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	uint32_t count = run->peer->options->inflight;
	pcclOperation_t operation = describe(run, 0);

	if (count == 1) {
		note_result(run, call(run, 0, &operation, &info), &info);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		pcclResult_t result;

		operation = describe(run, i);
		result = launch(run, i, &operation, &handles[i]);
		launched[i] = result == pcclSuccess;
		if (!launched[i])
			note_result(run, result, &info);
	}
	for (uint32_t i = 0; i < count; i++)
		if (launched[i])
			note_result(run, pcclAwait(&handles[i], &info), &info);
}

/* A line that overwrites itself, for people who wait. */
static void show_progress(const struct run *run, uint32_t done, double *last_shown)
{
	char text[32];
	double now;

	if (run->peer->rank != 0 || run->peer->options->json || !isatty(STDERR_FILENO))
		return;
	now = clock_seconds(CLOCK_MONOTONIC);
	if (now - *last_shown < 0.1)
		return;
	*last_shown = now;
	fprintf(stderr, "\r%10s  %u", bench_bytes_text(run->buffers.whole_bytes, text), done);
	if (run->peer->options->seconds == 0)
		fprintf(stderr, " of %u", run->iterations);
	fflush(stderr);
}

static void end_progress(const struct run *run)
{
	if (run->peer->rank != 0 || run->peer->options->json || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r%40s\r", "");
	fflush(stderr);
}

static bool warm_up(struct run *run)
{
	for (uint32_t i = 0; i < run->peer->options->warmup; i++) {
		bench_buffers_restore(&run->buffers, run->peer);
		if (!bench_peer_meet(run->peer))
			return false;
		iterate(run);
	}
	return true;
}

static bool extend(struct run *run, uint32_t batch)
{
	double *seconds = realloc(run->seconds, ((size_t)run->iterations + batch) * sizeof(*seconds));

	if (seconds == NULL) {
		fprintf(stderr, "allreduce-bench: not enough memory for %u iterations\n", run->iterations + batch);
		return false;
	}
	run->seconds = seconds;
	run->iterations += batch;
	return true;
}

/* Adds what restoring buffers took of the processor to *restore_seconds. */
static bool run_batch(struct run *run, uint32_t batch, double *restore_seconds, double *shown)
{
	uint32_t i = run->iterations;

	if (!extend(run, batch))
		return false;
	for (; i < run->iterations; i++) {
		double start = clock_seconds(CLOCK_THREAD_CPUTIME_ID);

		bench_buffers_restore(&run->buffers, run->peer);
		show_progress(run, i, shown);
		*restore_seconds += clock_seconds(CLOCK_THREAD_CPUTIME_ID) - start;
		if (!bench_peer_meet(run->peer))
			return false;
		start = clock_seconds(CLOCK_MONOTONIC);
		iterate(run);
		run->seconds[i] = clock_seconds(CLOCK_MONOTONIC) - start;
	}
	return true;
}

/* With --seconds all peers decide after each batch, from the same numbers, how many more there will be. */
static bool run_timed(struct run *run)
{
	const struct bench_options *options = run->peer->options;
	double restore_seconds = 0, shown = 0, elapsed = 0, start, cpu;
	uint32_t batch = options->iterations;

	run->wire_bytes = 0;
	if (!bench_peer_meet(run->peer))
		return false;
	cpu = process_seconds();
	start = clock_seconds(CLOCK_MONOTONIC);
	if (options->seconds > 0)
		batch = bench_next_batch(0, 0, options->seconds, BENCH_ITERATIONS_MAX);
	while (batch > 0) {
		if (!run_batch(run, batch, &restore_seconds, &shown))
			return false;
		elapsed = clock_seconds(CLOCK_MONOTONIC) - start;
		if (options->seconds > 0 && !bench_peer_gather(run->peer, BENCH_GATHER_MAX, &elapsed, 1))
			return false;
		batch = options->seconds > 0
				? bench_next_batch(run->iterations, elapsed, options->seconds, BENCH_ITERATIONS_MAX)
				: 0;
	}
	run->cpu_seconds = process_seconds() - cpu - restore_seconds;
	end_progress(run);
	return true;
}

/* With a codec: rank 0 measures the error, the parity of results answers for the others. With --check an error beyond
 * the codec's bound counts as a wrong result. */
static void measure_error(struct run *run)
{
	const struct bench_options *options = run->peer->options;
	double bound_db = bench_codec_bound_db(&options->codec, options->datatype);

	if (run->peer->rank != 0)
		return;
	run->error = bench_buffers_error(&run->buffers, run->peer);
	if (!options->check || run->error.rel_l2_db <= bound_db)
		return;
	run->wrong++;
	fprintf(stderr, "allreduce-bench: the error is %.1f dB, the bound of this codec %.1f dB\n",
		run->error.rel_l2_db, bound_db);
}

static void verify(struct run *run)
{
	if (run->peer->options->codec.wanted)
		measure_error(run);
	else
		run->wrong += bench_buffers_verify(&run->buffers, run->peer, run->plan);
}

/* The last timed result is checked, and one more that starts from poisoned memory. */
static bool run_checked(struct run *run)
{
	double wire_bytes = run->wire_bytes;

	verify(run);
	if (!bench_peer_meet(run->peer))
		return false;
	bench_buffers_poison(&run->buffers, run->peer);
	iterate(run);
	run->wire_bytes = wire_bytes;
	verify(run);
	return bench_peer_meet(run->peer);
}

/* Do all peers hold the same bytes? Where their results differ: are all of them right? */
static bool compare_results(struct run *run, bool *parity_out)
{
	uint64_t hash[BENCH_HASH_WORDS] = {0};
	double least[4 * BENCH_HASH_WORDS], most[4 * BENCH_HASH_WORDS];
	double wrong;

	if (!bench_buffers_agree(run->peer->options->collective)) {
		wrong = (double)bench_buffers_verify(&run->buffers, run->peer, run->plan);
		*parity_out = bench_peer_gather(run->peer, BENCH_GATHER_SUM, &wrong, 1) && wrong == 0;
		return true;
	}
	if (!bench_buffers_hash(&run->buffers, hash))
		return false;
	/* Sixteen bits at a time: every such number is exact as a double. */
	for (size_t i = 0; i < 4 * BENCH_HASH_WORDS; i++)
		least[i] = most[i] = (double)(hash[i / 4] >> (16 * (i % 4)) & 0xffff);
	if (!bench_peer_gather(run->peer, BENCH_GATHER_MIN, least, 4 * BENCH_HASH_WORDS) ||
	    !bench_peer_gather(run->peer, BENCH_GATHER_MAX, most, 4 * BENCH_HASH_WORDS))
		return false;
	*parity_out = true;
	for (size_t i = 0; i < 4 * BENCH_HASH_WORDS; i++)
		*parity_out = *parity_out && least[i] == most[i];
	return true;
}

/* Combines the peers' figures to one row. */
static bool combine(struct run *run, struct bench_row *row_out)
{
	double sums[] = {run->wire_bytes,    run->cpu_seconds,	   (double)run->errors,
			 (double)run->wrong, run->error.rel_l2_db, run->error.bias};
	double operations = (double)run->iterations * run->peer->options->inflight;

	if (!compare_results(run, &row_out->parity) ||
	    !bench_peer_gather(run->peer, BENCH_GATHER_MAX, run->seconds, run->iterations) ||
	    !bench_peer_gather(run->peer, BENCH_GATHER_SUM, sums, sizeof(sums) / sizeof(sums[0])))
		return false;
	row_out->bytes = run->buffers.whole_bytes;
	row_out->peers = run->peer->world;
	row_out->iterations = run->iterations;
	row_out->plan = run->plan;
	row_out->seconds = bench_summarize(run->seconds, run->iterations);
	row_out->wire_bytes = sums[0] / run->peer->world / operations;
	row_out->cpu_seconds = sums[1];
	row_out->errors = (uint64_t)sums[2];
	row_out->wrong = (uint64_t)sums[3];
	row_out->error.rel_l2_db = sums[4];
	row_out->error.bias = sums[5];
	return true;
}

bool bench_measure(struct bench_peer *peer, uint64_t bytes, struct bench_row *row_out)
{
	struct run run;
	bool good;

	memset(&run, 0, sizeof(run));
	memset(row_out, 0, sizeof(*row_out));
	run.peer = peer;
	run.plan = peer->options->plan;
	good = bench_buffers_init(&run.buffers, peer, bytes) && warm_up(&run) && run_timed(&run) &&
	       (!peer->options->check || run_checked(&run));
	if (good && peer->options->codec.wanted && !peer->options->check)
		measure_error(&run);
	good = good && combine(&run, row_out);
	bench_buffers_fini(&run.buffers);
	free(run.seconds);
	return good;
}

int bench_measure_all(struct bench_peer *peer)
{
	const struct bench_options *options = peer->options;
	int status = 0;

	if (peer->rank == 0 && !options->json)
		bench_report_head(stdout, options);
	for (size_t i = 0; i < options->size_count; i++) {
		struct bench_row row;

		if (!bench_measure(peer, options->sizes[i], &row))
			return 1;
		if (peer->rank == 0 && options->json)
			bench_report_json(stdout, options, &row);
		else if (peer->rank == 0)
			bench_report_row(stdout, options, &row);
		if (row.errors > 0 || row.wrong > 0 || !row.parity)
			status = 1;
	}
	return status;
}
