/* What one process of a run does: joins, trains, and tells how it went. */
#include "train.h"

#include "../local.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct peer {
	const struct options *options;
	const struct text *text;
	struct outcome *outcome;
	unsigned index, first; /* step that it began with */
	pcclComm_t *comm;
	pcclDiloco_t *engine; /* NULL: data-parallel */
	struct model model;
	uint64_t ddp_bytes, ddp_wait_ns;
	double smooth_loss;
	uint64_t window_bytes, window_most; /* of the tenths of an interval: the last mark, the most of one */
	uint64_t first_mark, last_mark;	    /* where those that count begin and end */
	unsigned windows;
};

static bool good(const struct peer *peer, pcclResult_t result, const char *what)
{
	if (result == pcclSuccess)
		return true;
	(void)fprintf(stderr, "diloco-train: peer %u: %s: %s: %s\n", peer->index, what, pcclGetErrorString(result),
		      pcclGetLastError(peer->comm));
	return false;
}

static bool join(struct peer *peer, const struct peer_start *start)
{
	const pcclCommCreateParams_t params = {.master_address = start->master};
	int world = 1;

	if (!good(peer, pcclInit(), "init") ||
	    !good(peer, pcclCreateCommunicatorWithConfig(&params, NULL, &peer->comm), "create") ||
	    !good(peer, pcclConnect(peer->comm), "connect"))
		return false;
	peer->outcome->has_joined[peer->index] = true;
	while (!start->is_newcomer &&
	       pcclGetAttribute(peer->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world) == pcclSuccess &&
	       world < (int)peer->options->peers)
		if (!good(peer, pcclUpdateTopology(peer->comm), "update"))
			return false;
	return true;
}

/* What newcomers get. Members may die meanwhile. */
static bool share_state(struct peer *peer)
{
	pcclResult_t result = pcclRankConnectionLost;
	pcclSharedState_t *state;

	if (!good(peer, pcclDilocoState(peer->engine, &state), "state"))
		return false;
	while (result == pcclRankConnectionLost)
		result = pcclSynchronizeSharedState(peer->comm, state, PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR,
						    NULL);
	return good(peer, result, "sharing the state");
}

/* All members at the same step: who waits comes in. */
static bool admit(struct peer *peer)
{
	bool is_pending = false;

	if (!good(peer, pcclArePeersPending(peer->comm, &is_pending), "asking for newcomers"))
		return false;
	if (!is_pending)
		return true;
	return good(peer, pcclDilocoFlush(peer->engine), "flush") &&
	       good(peer, pcclUpdateTopology(peer->comm), "update") && share_state(peer);
}

/* Data-parallel: the mean gradient, in every step. */
static bool average(struct peer *peer)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	const uint64_t start_ns = bench_now_ns();
	pcclResult_t result;

	operation.count = peer->model.count;
	operation.op = pcclAvg;
	operation.failure_policy = pcclPolicyRetry;
	result = pcclAllReduceWith(peer->model.gradients, peer->model.gradients, &operation, peer->comm, &info);
	peer->ddp_wait_ns += bench_now_ns() - start_ns;
	peer->ddp_bytes += info.tx_bytes;
	return result == pcclTooFewPeers || good(peer, result, "all-reduce");
}

static uint64_t sent_bytes(struct peer *peer, uint64_t *wait_ns_out)
{
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;

	if (peer->engine == NULL) {
		*wait_ns_out = peer->ddp_wait_ns;
		return peer->ddp_bytes;
	}
	(void)pcclDilocoGetStatistics(peer->engine, &statistics);
	*wait_ns_out = statistics.wait_ns;
	return statistics.tx_bytes;
}

/* The most that was sent in a tenth of an interval. The first intervals and the last, which fill and empty what is in
 * flight, do not count. */
static void watch_rate(struct peer *peer, unsigned step)
{
	const unsigned steps = peer->options->steps, interval = peer->options->settings.interval;
	uint64_t wait_ns, bytes;

	if (step % (interval >= 10 ? interval / 10 : 1) != 0)
		return;
	bytes = peer->options->has_link ? lab_sent_bytes() : sent_bytes(peer, &wait_ns);
	if (step <= peer->first + 2 * interval || step + interval > steps) {
		peer->first_mark = peer->windows == 0 ? bytes : peer->first_mark;
	} else {
		peer->windows++;
		if (bytes - peer->window_bytes > peer->window_most)
			peer->window_most = bytes - peer->window_bytes;
		peer->last_mark = bytes;
	}
	peer->window_bytes = bytes;
}

/* The first peer tells how it goes. */
static void observe(struct peer *peer, unsigned step, uint64_t start_ns)
{
	struct outcome *outcome = peer->outcome;
	const unsigned steps = peer->options->steps;
	uint64_t wait_ns;

	watch_rate(peer, step);
	if (peer->index != 0)
		return;
	outcome->progress = step;
	if (step % (steps / TRAIN_SAMPLES + 1) != 0 || outcome->sample_count == TRAIN_SAMPLES)
		return;
	outcome->samples[outcome->sample_count].bytes = (double)sent_bytes(peer, &wait_ns);
	outcome->samples[outcome->sample_count++].loss = peer->smooth_loss;
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r%-12s step %u of %u   loss %.3f   sent %.2f MB   waiting %.1f %% ",
			      mode_name(outcome->mode), step, steps, peer->smooth_loss,
			      (double)peer->window_bytes / 1e6,
			      100 * (double)wait_ns / (double)(bench_now_ns() - start_ns + 1));
}

static uint64_t hash(const float *values, size_t count, uint64_t start)
{
	size_t i;

	for (i = 0; i < count; i++) {
		uint32_t bits;

		memcpy(&bits, &values[i], sizeof(bits));
		start = (start ^ bits) * UINT64_C(1099511628211);
	}
	return start | 1;
}

/* The parameters that count: the outer ones, the same on all peers. */
static bool end_with(struct peer *peer, uint64_t start_ns)
{
	struct outcome *outcome = peer->outcome;
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;
	pcclSharedState_t *state;
	uint64_t wait_ns, hashed = 1;
	const double seconds = (double)(bench_now_ns() - start_ns) / 1e9;
	unsigned i;

	if (peer->engine != NULL) {
		if (!good(peer, pcclDilocoFlush(peer->engine), "flush") ||
		    !good(peer, pcclDilocoState(peer->engine, &state), "state"))
			return false;
		for (i = 0; i < MODEL_TENSORS; i++) /* the outer parameters come first, as the tensors were given */
			memcpy(peer->model.tensors[i].data, state->infos[i].data,
			       state->infos[i].count * sizeof(float));
		(void)pcclDilocoGetStatistics(peer->engine, &statistics);
	}
	hashed = hash(peer->model.values, peer->model.count, hashed);
	outcome->hashes[peer->index] = hashed;
	outcome->peer_bytes[peer->index] = (double)sent_bytes(peer, &wait_ns);
	if (peer->last_mark > peer->first_mark)
		outcome->peer_peak[peer->index] = (double)peer->window_most * (double)peer->windows /
						  (double)(peer->last_mark - peer->first_mark);
	if (peer->index != 0)
		return true;
	outcome->seconds = seconds;
	outcome->wait_share = (double)wait_ns / 1e9 / seconds;
	outcome->rounds = statistics.rounds;
	outcome->repeated = statistics.repeated;
	outcome->steps = peer->engine != NULL ? statistics.steps : peer->options->steps;
	outcome->parameters = peer->model.count;
	outcome->loss = (double)model_evaluate(&peer->model, peer->model.values, peer->text);
	return true;
}

/* Where a newcomer is in the schedule. */
static unsigned steps_done(struct peer *peer)
{
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;

	(void)pcclDilocoGetStatistics(peer->engine, &statistics);
	return (unsigned)statistics.steps;
}

/* A step takes at least so long, counted from its own beginning: waiting in the library is not made up for. */
static void fill_step(const struct peer *peer, uint64_t start_ns)
{
	const bool is_slow = peer->options->is_slow && peer->index == peer->options->peers - 1;
	const uint64_t takes_ns = (uint64_t)(peer->options->step_ms * 1e6) << is_slow, end_ns = start_ns + takes_ns;
	const struct timespec end = {(time_t)(end_ns / UINT64_C(1000000000)), (long)(end_ns % UINT64_C(1000000000))};

	if (takes_ns > 0)
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL);
}

/* With a quorum peers make different numbers of steps, and end after the same number of rounds. */
static bool is_over(struct peer *peer, unsigned step)
{
	const struct options *options = peer->options;
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;

	if (peer->outcome->mode != pcclDilocoSynchronous || options->settings.quorum == 0)
		return step > options->steps;
	(void)pcclDilocoGetStatistics(peer->engine, &statistics);
	peer->outcome->missed[peer->index] = statistics.missed;
	return statistics.rounds >= (uint64_t)options->steps / options->settings.interval * options->settings.fragments;
}

static bool train(struct peer *peer)
{
	const unsigned first = peer->first;
	uint64_t random = (peer->options->seed * 1000 + peer->index + UINT64_C(100) * (first - 1)) * 2 + 1;
	const unsigned interval = peer->options->settings.interval;
	const uint64_t start_ns = bench_now_ns();
	unsigned step;

	for (step = first; !is_over(peer, step); step++) {
		const uint64_t step_ns = bench_now_ns();
		const float loss = model_gradient(&peer->model, peer->text, &random);
		/* Warming up, then down to a tenth. */
		const float part = step < peer->options->steps ? (float)step / (float)peer->options->steps : 1;
		const float rate = 3e-3f * (step < 50 ? (float)step / 50 : 1.0f - 0.9f * part);

		peer->smooth_loss = step == first ? (double)loss : 0.98 * peer->smooth_loss + 0.02 * (double)loss;
		if (peer->engine == NULL && !average(peer))
			return false;
		model_step(&peer->model, rate);
		fill_step(peer, step_ns);
		if (peer->engine != NULL && !good(peer, pcclDilocoStep(peer->engine, 1), "step"))
			return false;
		observe(peer, step, start_ns);
		if (peer->engine != NULL && peer->options->chaos && step % (2 * interval) == interval / 2 &&
		    !admit(peer))
			return false;
	}
	return end_with(peer, start_ns);
}

static bool make_engine(struct peer *peer, bool is_newcomer)
{
	const pcclDilocoSettings_t defaults = PCCL_DILOCO_SETTINGS_INITIALIZER;
	pcclDilocoSettings_t settings = peer->options->settings;

	if (peer->outcome->mode == TRAIN_DDP)
		return true;
	settings.mode = (pcclDilocoMode_t)peer->outcome->mode;
	if (settings.mode != pcclDilocoStreaming) {
		settings.overlap = 0;
		settings.alpha = defaults.alpha;
	}
	if (settings.mode != pcclDilocoSynchronous)
		settings.quorum = settings.grace_ms = 0;
	if (!good(peer, pcclDilocoCreate(peer->comm, peer->model.tensors, MODEL_TENSORS, &settings, &peer->engine),
		  "engine"))
		return false;
	if (!is_newcomer)
		return true;
	return share_state(peer) && good(peer, pcclDilocoResume(peer->engine, true), "resume");
}

int peer_body(uint32_t index, void *given)
{
	const struct peer_start *start = (const struct peer_start *)given;
	static struct peer peer;
	bool fine;

	peer.options = start->options;
	peer.text = start->text;
	peer.outcome = start->outcome;
	peer.index = index;
	if (peer.options->has_link && !lab_enter(&peer.options->lab, index + 1))
		return 1;
	fine = model_create(&peer.model, peer.options->seed) && join(&peer, start) &&
	       make_engine(&peer, start->is_newcomer);
	peer.first = fine && start->is_newcomer ? steps_done(&peer) + 1 : 1;
	fine = fine && train(&peer);
	peer.outcome->is_done[index] = fine;
	while (fine && !__atomic_load_n(&peer.outcome->may_leave, __ATOMIC_SEQ_CST)) {
		const struct timespec pause_ns = {0, 1000000};

		nanosleep(&pause_ns, NULL);
	}
	if (peer.engine != NULL)
		(void)pcclDilocoDestroy(peer.engine);
	if (peer.comm != NULL)
		(void)pcclDestroyCommunicator(peer.comm);
	model_destroy(&peer.model);
	return fine ? 0 : 1;
}
