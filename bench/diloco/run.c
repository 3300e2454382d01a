/* One run: a master, peers that are processes, and what becomes of them. */
#include "train.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../local.h"

struct peer {
	const struct options *options;
	const struct text *text;
	struct outcome *outcome;
	unsigned index;
	pcclComm_t *comm;
	pcclDiloco_t *engine; /* NULL: data-parallel */
	struct model model;
	uint64_t ddp_bytes, ddp_wait_ns;
	double smooth_loss;
	uint64_t window_bytes, window_most; /* of the tenths of an interval */
};

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static bool good(const struct peer *peer, pcclResult_t result, const char *what)
{
	if (result == pcclSuccess)
		return true;
	(void)fprintf(stderr, "diloco-train: peer %u: %s: %s: %s\n", peer->index, what, pcclGetErrorString(result),
		      pcclGetLastError(peer->comm));
	return false;
}

static bool join(struct peer *peer, const ccoip_socket_address_t *master)
{
	const pcclCommCreateParams_t params = {.master_address = *master};
	int world = 1;

	if (!good(peer, pcclInit(), "init") ||
	    !good(peer, pcclCreateCommunicatorWithConfig(&params, NULL, &peer->comm), "create") ||
	    !good(peer, pcclConnect(peer->comm), "connect"))
		return false;
	while (pcclGetAttribute(peer->comm, PCCL_ATTRIBUTE_PEER_GROUP_WORLD_SIZE, &world) == pcclSuccess &&
	       world < (int)peer->options->peers)
		if (!good(peer, pcclUpdateTopology(peer->comm), "update"))
			return false;
	return true;
}

/* Data-parallel: the mean gradient, in every step. */
static bool average(struct peer *peer)
{
	pcclOperation_t operation = PCCL_OPERATION_INITIALIZER;
	pcclOperationInfo_t info = PCCL_OPERATION_INFO_INITIALIZER;
	const uint64_t start_ns = now_ns();
	pcclResult_t result;

	operation.count = peer->model.count;
	operation.op = pcclAvg;
	operation.failure_policy = pcclPolicyRetry;
	result = pcclAllReduceWith(peer->model.gradients, peer->model.gradients, &operation, peer->comm, &info);
	peer->ddp_wait_ns += now_ns() - start_ns;
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

/* The first peer tells how it goes. */
static void observe(struct peer *peer, unsigned step, uint64_t start_ns)
{
	struct outcome *outcome = peer->outcome;
	const unsigned steps = peer->options->steps, interval = peer->options->settings.interval;
	uint64_t wait_ns;

	if (peer->index != 0)
		return;
	outcome->progress = step;
	if (step % (interval >= 10 ? interval / 10 : 1) == 0) {
		const uint64_t bytes = sent_bytes(peer, &wait_ns);

		if (bytes - peer->window_bytes > peer->window_most)
			peer->window_most = bytes - peer->window_bytes;
		peer->window_bytes = bytes;
	}
	if (step % (steps / TRAIN_SAMPLES + 1) != 0 || outcome->sample_count == TRAIN_SAMPLES)
		return;
	outcome->samples[outcome->sample_count].bytes = (double)sent_bytes(peer, &wait_ns);
	outcome->samples[outcome->sample_count++].loss = peer->smooth_loss;
	if (isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r%-12s step %u of %u   loss %.3f   sent %.2f MB   waiting %.1f %% ",
			      mode_name(outcome->mode), step, steps, peer->smooth_loss,
			      (double)peer->window_bytes / 1e6,
			      100 * (double)wait_ns / (double)(now_ns() - start_ns + 1));
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
	const double seconds = (double)(now_ns() - start_ns) / 1e9;
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
	if (peer->index != 0)
		return true;
	outcome->bytes = (double)sent_bytes(peer, &wait_ns);
	outcome->seconds = seconds;
	outcome->wait_share = (double)wait_ns / 1e9 / seconds;
	outcome->rounds = statistics.rounds;
	outcome->repeated = statistics.repeated;
	outcome->steps = peer->options->steps;
	outcome->parameters = peer->model.count;
	if (outcome->bytes > 0) {
		const unsigned interval = peer->options->settings.interval;
		const double windows = (double)peer->options->steps / (interval >= 10 ? interval / 10 : 1);

		outcome->peak = (double)peer->window_most / (outcome->bytes / windows);
	}
	outcome->loss = (double)model_evaluate(&peer->model, peer->model.values, peer->text);
	return true;
}

static bool train(struct peer *peer)
{
	uint64_t random = (peer->options->seed * 1000 + peer->index) * 2 + 1;
	const uint64_t start_ns = now_ns();
	unsigned step;

	for (step = 1; step <= peer->options->steps; step++) {
		const float loss = model_gradient(&peer->model, peer->text, &random);
		/* Warming up, then down to a tenth. */
		const float part = (float)step / (float)peer->options->steps;
		const float rate = 3e-3f * (step < 50 ? (float)step / 50 : 1.0f - 0.9f * part);

		peer->smooth_loss = step == 1 ? (double)loss : 0.98 * peer->smooth_loss + 0.02 * (double)loss;
		if (peer->engine == NULL && !average(peer))
			return false;
		model_step(&peer->model, rate);
		if (peer->engine != NULL && !good(peer, pcclDilocoStep(peer->engine, 1), "step"))
			return false;
		observe(peer, step, start_ns);
	}
	return end_with(peer, start_ns);
}

struct context {
	struct peer peer;
	ccoip_socket_address_t master;
};

static int body(uint32_t index, void *given)
{
	struct context *context = (struct context *)given;
	struct peer *peer = &context->peer;
	pcclDilocoSettings_t settings = peer->options->settings;
	bool fine;

	peer->index = index;
	if (!model_create(&peer->model, peer->options->seed) || !join(peer, &context->master))
		return 1;
	if (peer->outcome->mode != TRAIN_DDP) {
		settings.mode = (pcclDilocoMode_t)peer->outcome->mode;
		if (settings.mode != pcclDilocoStreaming)
			settings.overlap = 0;
		if (!good(peer,
			  pcclDilocoCreate(peer->comm, peer->model.tensors, MODEL_TENSORS, &settings, &peer->engine),
			  "engine"))
			return 1;
	}
	fine = train(peer);
	/* Who leaves while others still wait in a round would make them do it again. */
	if (fine)
		__atomic_add_fetch(&peer->outcome->peers_left, 1, __ATOMIC_SEQ_CST);
	while (fine && __atomic_load_n(&peer->outcome->peers_left, __ATOMIC_SEQ_CST) <
			       peer->options->peers - peer->options->chaos) {
		const struct timespec pause_ns = {0, 1000000};

		nanosleep(&pause_ns, NULL);
	}
	if (peer->engine != NULL)
		(void)pcclDilocoDestroy(peer->engine);
	(void)pcclDestroyCommunicator(peer->comm);
	model_destroy(&peer->model);
	return fine ? 0 : 1;
}

/* With chaos the last peer dies in the middle. */
static void kill_one(const struct options *options, struct outcome *outcome, pid_t victim)
{
	const struct timespec pause_ns = {0, 1000000};
	int status;

	while (__atomic_load_n(&outcome->progress, __ATOMIC_SEQ_CST) < options->steps / 2 &&
	       waitpid(victim, &status, WNOHANG) == 0)
		nanosleep(&pause_ns, NULL);
	kill(victim, SIGKILL);
	(void)waitpid(victim, &status, 0);
}

bool run_training(const struct options *options, const struct text *text, int mode, struct outcome *outcome)
{
	struct context context = {.peer = {.options = options, .text = text, .outcome = outcome}};
	struct bench_master master = {0, {bench_loopback(), 0}};
	pid_t pids[TRAIN_PEERS_MAX];
	unsigned i, count = options->peers;
	uint64_t first = 0;
	int status;

	memset(outcome, 0, sizeof(*outcome));
	outcome->mode = mode;
	if (!bench_master_start(&master))
		return false;
	context.master = master.address;
	for (i = 0; i < options->peers; i++)
		pids[i] = bench_spawn(body, i, &context);
	if (options->chaos && count > 0)
		kill_one(options, outcome, pids[--count]);
	status = bench_reap(pids, count);
	bench_master_stop(&master, SIGTERM);
	if (isatty(STDERR_FILENO))
		(void)fputc('\n', stderr);
	for (i = 0; i < count; i++) {
		if (first == 0)
			first = outcome->hashes[i];
		outcome->divergences += outcome->hashes[i] != first;
	}
	return status == 0;
}
