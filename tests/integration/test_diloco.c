/* Engines of several peers: the trajectories that arithmetic says, and mistakes. */
#include <pccl/diloco.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/training.h"
#include "sync/diloco/outer.h"

#define PEERS_MAX 4

static double weight_of(unsigned rank)
{
	return (double)(rank + 1);
}

/* ---- the trajectory, computed for all peers at once ------------------------------ */

struct simulated {
	struct training_model models[PEERS_MAX];
	float outer[TRAINING_COUNT], momentum[TRAINING_COUNT], before[TRAINING_COUNT], waiting[TRAINING_COUNT];
	float own[PEERS_MAX][TRAINING_COUNT], deviation[PEERS_MAX][TRAINING_COUNT],
		deviation_momentum[PEERS_MAX][TRAINING_COUNT];
	double step_mean;
	bool is_waiting;
	unsigned rounds;
};

static void outer_step(struct simulated *all, const pcclDilocoSettings_t *settings, const float *mean)
{
	const struct pccl_outer_rule rule = {settings->learning_rate, settings->momentum, settings->clip,
					     settings->penalize};
	static float next[TRAINING_COUNT];

	if (settings->rule == pcclDilocoCo2)
		pccl_outer_co2(&rule, next, all->outer, all->before, all->momentum, &all->step_mean, mean,
			       TRAINING_COUNT);
	else
		pccl_outer_nesterov(&rule, next, all->outer, all->momentum, mean, TRAINING_COUNT);
	memcpy(all->before, all->outer, sizeof(all->before));
	memcpy(all->outer, next, sizeof(next));
}

static void simulate_round(struct simulated *all, const struct training_run *run)
{
	const pcclDilocoSettings_t *settings = &run->settings;
	const struct pccl_outer_rule rule = {settings->learning_rate, settings->momentum, 0, false};
	static float gradients[PEERS_MAX][TRAINING_COUNT], scaled[TRAINING_COUNT], mean[TRAINING_COUNT];
	const bool is_eager = settings->mode == pcclDilocoEager;
	const double total = run->peers * (run->peers + 1) / 2;
	unsigned peer, i;

	for (peer = 0; peer < run->peers; peer++) {
		pccl_outer_gradient(gradients[peer], all->outer, is_eager ? all->deviation[peer] : NULL,
				    all->models[peer].values, TRAINING_COUNT);
		pccl_outer_scale(scaled, gradients[peer], (float)(weight_of(peer) / total), TRAINING_COUNT);
		for (i = 0; i < TRAINING_COUNT; i++)
			mean[i] = peer == 0 ? scaled[i] : mean[i] + scaled[i];
	}
	if (settings->mode == pcclDilocoSynchronous || settings->mode == pcclDilocoStreaming)
		outer_step(all, settings, mean);
	else if (all->is_waiting)
		outer_step(all, settings, all->waiting);
	for (peer = 0; peer < run->peers; peer++) {
		const float share = all->is_waiting ? (float)(weight_of(peer) / total) : 1.0f / (float)run->peers;

		pccl_outer_mix(all->models[peer].values, all->outer,
			       settings->mode == pcclDilocoStreaming ? settings->alpha : 0, TRAINING_COUNT);
		if (!is_eager)
			continue;
		pccl_outer_eager(&rule, share, gradients[peer], all->own[peer], all->deviation[peer],
				 all->deviation_momentum[peer], TRAINING_COUNT);
		pccl_outer_deviate(all->models[peer].values, all->outer, all->deviation[peer], TRAINING_COUNT);
	}
	memcpy(all->waiting, mean, sizeof(mean));
	all->is_waiting = true;
}

static void simulate(struct simulated *all, const struct training_run *run)
{
	unsigned step, peer;

	memset(all, 0, sizeof(*all));
	for (peer = 0; peer < run->peers; peer++)
		training_init(&all->models[peer], peer);
	memcpy(all->outer, all->models[0].values, sizeof(all->outer));
	memcpy(all->before, all->outer, sizeof(all->outer));
	for (step = 1; step <= run->steps; step++) {
		for (peer = 0; peer < run->peers; peer++)
			training_step(&all->models[peer]);
		if (step % run->settings.interval == 0)
			simulate_round(all, run);
	}
}

static uint64_t training_rounds(pcclDiloco_t *engine)
{
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;

	CHECK_RESULT(pcclSuccess, pcclDilocoGetStatistics(engine, &statistics));
	return statistics.rounds;
}

static void follows_arithmetic(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct simulated *all = malloc(sizeof(*all));
	struct training_model model;
	pcclDiloco_t *engine;
	unsigned step;

	CHECK(all != NULL);
	peer_join(me);
	peer_grow(me, run->peers);
	simulate(all, run);
	training_init(&model, peer_rank(me));
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &run->settings, &engine));
	for (step = 1; step <= run->steps; step++) {
		const uint64_t rounds = training_rounds(engine);
		bool is_due = false;

		training_step(&model);
		CHECK_RESULT(pcclSuccess, pcclDilocoIsDue(engine, &is_due));
		CHECK(is_due || step % run->settings.interval != 0);
		CHECK_RESULT(pcclSuccess,
			     pcclDilocoStep(engine, step % run->settings.interval == 0 ? weight_of(peer_rank(me)) : 0));
		CHECK(is_due || training_rounds(engine) == rounds);
	}
	CHECK(memcmp(model.values, all->models[peer_rank(me)].values, sizeof(model.values)) == 0);
	CHECK_RESULT(pcclInvalidArgument, pcclDilocoIsDue(engine, NULL));
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	free(all);
	peer_meet(me, run->peers);
	peer_leave(me);
}

static void run_as_computed(void **state, const struct training_run *run)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, run->peers, follows_arithmetic, run);
	peers_finish(world);
	training_expect_alike(world, run->peers);
	assert_int_equal(peers_told(world, 0, TOLD_ROUNDS),
			 run->steps / run->settings.interval * run->settings.fragments);
}

static void synchronous_training_is_what_arithmetic_says(void **state)
{
	struct training_run run = training_plain(pcclDilocoSynchronous);

	run.settings.fragments = 2; /* all in one step, so that it makes no difference */
	run_as_computed(state, &run);
}

static void delayed_training_is_what_arithmetic_says(void **state)
{
	const struct training_run run = training_plain(pcclDilocoDelayed);

	run_as_computed(state, &run);
}

static void eager_training_is_what_arithmetic_says(void **state)
{
	const struct training_run run = training_plain(pcclDilocoEager);

	run_as_computed(state, &run);
}

static void streaming_without_overlap_is_what_arithmetic_says(void **state)
{
	const struct training_run run = training_plain(pcclDilocoStreaming);

	run_as_computed(state, &run);
}

static void training_by_co2_is_what_arithmetic_says(void **state)
{
	struct training_run run = training_plain(pcclDilocoDelayed);

	run.settings.rule = pcclDilocoCo2;
	run.settings.clip = 0.003f;
	run_as_computed(state, &run);
}

/* ---- mistakes ------------------------------ */

static void steps_until_it_fails(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	pcclDilocoSettings_t settings = run->settings;
	pcclResult_t result = pcclSuccess;
	struct training_model model;
	pcclDiloco_t *engine;

	peer_join(me);
	peer_grow(me, 2);
	training_init(&model, 0);
	if (run->steps == 0) /* other settings, or other parameters */
		settings.learning_rate += (float)peer_rank(me) * 0.1f;
	else
		model.values[1200] += (float)peer_rank(me);
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &settings, &engine));
	while (result == pcclSuccess)
		result = pcclDilocoStep(engine, 1);
	CHECK_RESULT(pcclMismatch, result);
	CHECK(strstr(pcclGetLastError(me->comm), run->steps == 0 ? "other settings" : "outer parameters") != NULL);
	CHECK_RESULT(pcclMismatch, pcclDilocoStep(engine, 1));
	CHECK_RESULT(pcclMismatch, pcclDilocoFlush(engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_meet(me, 2);
	peer_leave(me);
}

static void peers_with_other_settings_are_told(void **state)
{
	struct training_run run = training_plain(pcclDilocoSynchronous);

	run.steps = 0;
	peers_start_master(*state, WORLD_PROGRAM);
	peers_start(*state, 2, steps_until_it_fails, &run);
	peers_finish(*state);
}

static void peers_whose_parameters_differ_are_told(void **state)
{
	const struct training_run run = training_plain(pcclDilocoDelayed);

	peers_start_master(*state, WORLD_PROGRAM);
	peers_start(*state, 2, steps_until_it_fails, &run);
	peers_finish(*state);
}

/* A step at which nothing is due: under a microsecond. And a round that is behind callbacks, alone. */
static pcclResult_t read_model(void *context, size_t tensor, size_t first, size_t count, float *to)
{
	const struct training_model *model = (const struct training_model *)context;

	memcpy(to, (const float *)model->tensors[tensor].data + first, count * sizeof(*to));
	return pcclSuccess;
}

static pcclResult_t write_model(void *context, size_t tensor, size_t first, size_t count, const float *from)
{
	struct training_model *model = (struct training_model *)context;

	memcpy((float *)model->tensors[tensor].data + first, from, count * sizeof(*from));
	return pcclSuccess;
}

/* That this thread has used: what others use meanwhile is not counted. */
static uint64_t processor_ns(void)
{
	struct timespec used;

	CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
	return (uint64_t)used.tv_sec * WORLD_SECOND_NS + (uint64_t)used.tv_nsec;
}

static void trains_alone(struct world_peer *me)
{
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct training_model model, other;
	pcclTensorInfo_t elsewhere[TRAINING_TENSORS];
	pcclDiloco_t *engine;
	uint64_t start_ns, taken_ns;
	unsigned i;

	peer_join(me);
	training_init(&model, 0);
	training_init(&other, 0);
	memcpy(elsewhere, other.tensors, sizeof(elsewhere));
	for (i = 0; i < TRAINING_TENSORS; i++)
		elsewhere[i].data = NULL;
	settings.interval = 10;
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &settings, &engine));
	training_steps(&model, engine, 40);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	settings.read = read_model;
	settings.write = write_model;
	settings.context = &other;
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, elsewhere, TRAINING_TENSORS, &settings, &engine));
	training_steps(&other, engine, 40);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	CHECK(memcmp(model.values, other.values, sizeof(model.values)) == 0);
	settings.interval = 2000000;
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, elsewhere, TRAINING_TENSORS, &settings, &engine));
	start_ns = processor_ns();
	for (i = 0; i < 1000000; i++)
		CHECK_RESULT(pcclSuccess, pcclDilocoStep(engine, 1));
	taken_ns = processor_ns() - start_ns;
	peer_tell(me, 0, taken_ns / 1000000);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_leave(me);
}

static void steps_between_rounds_are_cheap_and_parameters_may_be_elsewhere(void **state)
{
	struct world *world = *state;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 1, trains_alone, NULL);
	peers_finish(world);
	print_message("a step costs %llu ns\n", (unsigned long long)peers_told(world, 0, 0));
	assert_true(peers_told(world, 0, 0) < 1000 * peers_patience());
}

/* One of two destroys its communicator with rounds in flight; then the other one, which trained on. */
static void destroys_its_communicator_first(struct world_peer *me)
{
	pcclDilocoSettings_t settings = PCCL_DILOCO_SETTINGS_INITIALIZER;
	struct training_model model;
	pcclDiloco_t *engines[2];
	unsigned i;

	peer_join(me);
	peer_grow(me, 2);
	training_init(&model, 0);
	settings.mode = pcclDilocoDelayed;
	settings.interval = 2;
	settings.fragments = 2;
	for (i = 0; i < 2; i++, settings.tag += 1u << 20)
		CHECK_RESULT(pcclSuccess,
			     pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &settings, &engines[i]));
	training_steps(&model, engines[0], 4);
	if (peer_rank(me) == 1)
		training_steps(&model, engines[0], 4);
	CHECK_RESULT(pcclSuccess, pcclDestroyCommunicator(me->comm));
	for (i = 0; i < 2; i++) {
		CHECK_RESULT(pcclInvalidUsage, pcclDilocoStep(engines[i], 1));
		CHECK(strstr(pcclGetLastError(NULL), "communicator has been destroyed") != NULL);
		CHECK_RESULT(pcclInvalidUsage, pcclDilocoFlush(engines[i]));
		CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engines[i]));
	}
}

static void engines_outlive_their_communicator(void **state)
{
	peers_start_master(*state, WORLD_PROGRAM);
	peers_start(*state, 2, destroys_its_communicator_first, NULL);
	peers_finish(*state);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(synchronous_training_is_what_arithmetic_says),
		CASE(delayed_training_is_what_arithmetic_says),
		CASE(eager_training_is_what_arithmetic_says),
		CASE(streaming_without_overlap_is_what_arithmetic_says),
		CASE(training_by_co2_is_what_arithmetic_says),
		CASE(peers_with_other_settings_are_told),
		CASE(peers_whose_parameters_differ_are_told),
		CASE(engines_outlive_their_communicator),
		CASE(steps_between_rounds_are_cheap_and_parameters_may_be_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
