/* What a program may do beside an engine, and what it has after a round that failed. */
#include <pccl/diloco.h>
#include <pccl/state.h>

#include <float.h>
#include <math.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/training.h"
#include "sync/diloco/outer.h"

#define PEERS_MAX 3

enum { TOLD_COUNT = TOLD_ALONE + 1, TOLD_WEIGHT };
enum { MILESTONE_DONE = 1 };

static pcclDilocoStatistics_t statistics_of(pcclDiloco_t *engine)
{
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;

	CHECK_RESULT(pcclSuccess, pcclDilocoGetStatistics(engine, &statistics));
	return statistics;
}

static bool last_error_has(const struct world_peer *me, const char *text)
{
	return strstr(pcclGetLastError(me->comm), text) != NULL;
}

static pcclDiloco_t *join_training(struct world_peer *me, const struct training_run *run, struct training_model *model)
{
	pcclDiloco_t *engine;

	peer_join(me);
	peer_grow(me, run->peers);
	training_init(model, me->index);
	CHECK_RESULT(pcclSuccess,
		     pcclDilocoCreate(me->comm, model->tensors, TRAINING_TENSORS, &run->settings, &engine));
	return engine;
}

static void leave_training(struct world_peer *me, const struct training_run *run, pcclDiloco_t *engine)
{
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_meet(me, run->peers);
	peer_leave(me);
}

static void run_bodies(void **state, const struct training_run *run, world_body body)
{
	peers_start_master(*state, WORLD_PROGRAM);
	peers_start(*state, run->peers, body, run);
	peers_finish(*state);
}

static struct training_run streaming(void)
{
	struct training_run run = training_plain(pcclDilocoStreaming);

	run.settings.fragments = 3;
	run.settings.overlap = 7;
	return run;
}

/* ---- joint calls ------------------------------ */

/* A state of the program's own: one tensor, which becomes what most have. */
static void call_jointly(struct world_peer *me, uint64_t number, bool expects_rounds)
{
	uint64_t values[4] = {number, number, number, peer_rank(me) == 0 ? 0 : number};
	pcclTensorInfo_t tensor = {"program", values, 4, pcclUint64, pcclDeviceCpu, false};
	pcclSharedState_t state = {number, 1, &tensor};
	bool is_pending;

	CHECK_RESULT(pcclMismatch, pcclStateCheck(me->comm, &state, NULL, NULL));
	CHECK_RESULT(pcclSuccess, pcclSynchronizeSharedState(me->comm, &state,
							     PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, NULL));
	CHECK(values[3] == number);
	CHECK_RESULT(pcclSuccess, pcclStateCheck(me->comm, &state, NULL, NULL));
	CHECK_RESULT(pcclSuccess, pcclArePeersPending(me->comm, &is_pending));
	CHECK_RESULT(expects_rounds ? pcclPendingAsyncOps : pcclSuccess, pcclUpdateTopology(me->comm));
	CHECK(!expects_rounds || last_error_has(me, "pcclDilocoFlush"));
}

/* Peers come to a call at different times, so that rounds have ended at one and not at another. */
static void calls_while_it_trains(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model;
	pcclDiloco_t *engine = join_training(me, run, &model);
	unsigned step, refused = 0;

	for (step = 1; step <= run->steps; step++) {
		training_steps(&model, engine, 1);
		if (step % 3 != 0)
			continue;
		peers_sleep_ms(me->index == step % run->peers ? 2 : 0);
		refused += statistics_of(engine).in_flight > 0;
		call_jointly(me, step / 3, statistics_of(engine).in_flight > 0);
	}
	peer_tell(me, TOLD_COUNT, refused);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	call_jointly(me, step / 3, false);
	training_tell(me, engine);
	leave_training(me, run, engine);
}

static void call_in(void **state, const struct training_run *run, bool has_rounds)
{
	unsigned i;

	run_bodies(state, run, calls_while_it_trains);
	training_expect_alike(*state, run->peers);
	for (i = 0; i < run->peers; i++) {
		assert_int_equal(peers_told(*state, i, TOLD_COUNT) > 0, has_rounds);
		assert_int_equal(peers_told(*state, i, TOLD_COUNT), peers_told(*state, 0, TOLD_COUNT));
	}
}

static void joint_calls_go_beside_delayed_rounds(void **state)
{
	const struct training_run run = training_plain(pcclDilocoDelayed);

	call_in(state, &run, true);
}

static void joint_calls_go_beside_streams(void **state)
{
	const struct training_run run = streaming();

	call_in(state, &run, true);
}

static void joint_calls_go_between_synchronous_rounds(void **state)
{
	const struct training_run run = training_plain(pcclDilocoSynchronous);

	call_in(state, &run, false);
}

/* With a quorum an operation is in flight all the time. */
static void calls_by_rounds(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model;
	pcclDiloco_t *engine = join_training(me, run, &model);
	uint64_t rounds = 0;

	call_jointly(me, 1, false);
	while (rounds < 8) {
		training_steps(&model, engine, 1);
		if (statistics_of(engine).rounds == rounds)
			continue;
		rounds = statistics_of(engine).rounds;
		call_jointly(me, 1 + rounds, true);
	}
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	call_jointly(me, 2 + rounds, false);
	training_tell(me, engine);
	leave_training(me, run, engine);
}

static void joint_calls_go_beside_a_quorum(void **state)
{
	struct training_run run = training_plain(pcclDilocoSynchronous);

	run.settings.quorum = run.peers;
	run_bodies(state, &run, calls_by_rounds);
	training_expect_alike(*state, run.peers);
}

/* ---- numbers that are none ------------------------------ */

static void check_finite_state(pcclDiloco_t *engine)
{
	pcclSharedState_t *state;
	size_t i;

	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK(state->revision == statistics_of(engine).rounds);
	for (i = 0; i < state->count; i++)
		if (state->infos[i].datatype == pcclFloat)
			CHECK(pccl_outer_find_wild(state->infos[i].data, state->infos[i].count) ==
			      state->infos[i].count);
}

static void one_has_no_number(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	const bool is_wild = me->index == 1;
	struct training_model model;
	pcclDiloco_t *engine = join_training(me, run, &model);
	unsigned step, told = 0;

	for (step = 1; step <= run->steps; step++) {
		pcclResult_t result;

		training_step(&model);
		if (step == 15 && is_wild)
			model.values[1200] = NAN;
		result = pcclDilocoStep(engine, 1);
		if (result == pcclSuccess)
			continue;
		CHECK_RESULT(pcclInvalidArgument, result);
		CHECK(last_error_has(me, "'b.weight' is no finite number at element 200"));
		told++;
	}
	peer_tell(me, TOLD_COUNT, told);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	check_finite_state(engine);
	CHECK(pccl_outer_find_wild(model.values, TRAINING_COUNT) == TRAINING_COUNT);
	training_tell(me, engine);
	leave_training(me, run, engine);
}

static void spoil_in(void **state, const struct training_run *run)
{
	unsigned i;

	run_bodies(state, run, one_has_no_number);
	training_expect_alike(*state, run->peers);
	for (i = 0; i < run->peers; i++)
		assert_int_equal(peers_told(*state, i, TOLD_COUNT), i == 1);
}

static void what_is_no_number_stays_with_who_has_it(void **state)
{
	struct training_run run = training_plain(pcclDilocoSynchronous);

	run.settings.fragments = 2;
	run.settings.codec = pcclQuantInt8;
	run.settings.error_feedback = true;
	spoil_in(state, &run);
}

static void it_does_in_eager_mode(void **state)
{
	const struct training_run run = training_plain(pcclDilocoEager);

	spoil_in(state, &run);
}

static void it_does_in_streams(void **state)
{
	const struct training_run run = streaming();

	spoil_in(state, &run);
}

/* The mean is finite, and what the rule makes of it is not: all peers see it, and keep what they had. */
static void all_go_too_far(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model;
	pcclDiloco_t *engine = join_training(me, run, &model);
	pcclSharedState_t *state;
	const float first = model.values[2];

	training_steps(&model, engine, run->settings.interval - 1);
	model.values[2] = FLT_MAX;
	CHECK_RESULT(pcclInvalidArgument, pcclDilocoStep(engine, 1));
	CHECK(last_error_has(me, "outer parameters of tensor 'a.weight' no finite number at element 2"));
	CHECK_RESULT(pcclInvalidArgument, pcclDilocoStep(engine, 1));
	check_finite_state(engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK(((const float *)state->infos[0].data)[2] == first);
	CHECK(((const float *)state->infos[TRAINING_TENSORS].data)[2] == 0);
	CHECK(model.values[2] == FLT_MAX);
	CHECK_RESULT(pcclInvalidArgument, pcclDilocoResume(engine, true));
	leave_training(me, run, engine);
}

static void outer_parameters_stay_numbers(void **state)
{
	struct training_run run = training_plain(pcclDilocoSynchronous);

	run.settings.rule = pcclDilocoCo2;
	run.settings.learning_rate = 4;
	run.peers = 2;
	run_bodies(state, &run, all_go_too_far);
}

static void weighs_too_much(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model;
	pcclDiloco_t *engine = join_training(me, run, &model);
	static const double wrong[] = {1e308, 1.1e30, -1, INFINITY, NAN};
	unsigned step, i;

	for (step = 0; step < 20; step++) {
		training_step(&model);
		for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
			CHECK_RESULT(pcclInvalidArgument, pcclDilocoStep(engine, wrong[i]));
		CHECK(last_error_has(me, "from 0 to 1e+30"));
		CHECK_RESULT(pcclSuccess, pcclDilocoStep(engine, step < 10 ? 1e30 : 1)); /* what was heavy is past */
	}
	CHECK(statistics_of(engine).last_weight == 10.0 * run->peers);
	training_tell(me, engine);
	check_finite_state(engine);
	leave_training(me, run, engine);
}

static void weights_have_a_finite_sum(void **state)
{
	const struct training_run run = training_plain(pcclDilocoSynchronous);

	run_bodies(state, &run, weighs_too_much);
	training_expect_alike(*state, run.peers);
}

/* ---- rounds that fail, and ends ------------------------------ */

/* As the manual says: another engine with what the first has left, which becomes the same on all peers. */
static pcclDiloco_t *begin_again(struct world_peer *me, const struct training_run *run, struct training_model *model,
				 pcclDiloco_t *failed)
{
	static uint8_t kept[8 * TRAINING_TENSORS][sizeof(model->values)];
	pcclDilocoSettings_t settings = run->settings;
	pcclSharedState_t *state;
	pcclDiloco_t *engine;
	size_t i;

	CHECK_RESULT(pcclSuccess, pcclDilocoState(failed, &state));
	for (i = 0; i < state->count; i++)
		memcpy(kept[i], state->infos[i].data,
		       state->infos[i].count * (state->infos[i].datatype == pcclFloat ? 4 : 8));
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(failed));
	settings.tag += 1000;
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model->tensors, TRAINING_TENSORS, &settings, &engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	for (i = 0; i < state->count; i++)
		memcpy(state->infos[i].data, kept[i],
		       state->infos[i].count * (state->infos[i].datatype == pcclFloat ? 4 : 8));
	CHECK_RESULT(pcclSuccess, pcclSynchronizeSharedState(me->comm, state,
							     PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, NULL));
	CHECK_RESULT(pcclSuccess, pcclDilocoResume(engine, false));
	return engine;
}

/* The last peer stops, and the others' operations have a deadline: they all hear of it, and have a state. */
static void one_stops(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	const bool is_last = me->index == run->peers - 1;
	struct training_model model;
	pcclResult_t result = pcclSuccess;
	pcclSharedState_t *state;
	pcclDiloco_t *engine;
	uint64_t rounds;

	me->config.operation_timeout_ms = 4000 * peers_patience();
	engine = join_training(me, run, &model);
	training_steps(&model, engine, 25);
	if (is_last)
		peer_wait_peer(me, 0, MILESTONE_DONE);
	while (result == pcclSuccess) {
		training_step(&model);
		result = pcclDilocoStep(engine, 1);
	}
	CHECK_RESULT(pcclTimeout, result);
	CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm)); /* before the engine has ended */
	CHECK_RESULT(pcclTimeout, pcclDilocoFlush(engine));
	check_finite_state(engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK(state->revision > 0);
	rounds = state->revision;
	peer_reach(me, MILESTONE_DONE);
	engine = begin_again(me, run, &model, engine);
	training_steps(&model, engine, 40);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK(state->revision >= rounds + 10);
	training_tell(me, engine);
	leave_training(me, run, engine);
}

static void a_failed_round_leaves_a_state(void **state)
{
	const struct training_run run = streaming();

	run_bodies(state, &run, one_stops);
	training_expect_alike(*state, run.peers);
}

static void one_ends_in_a_round(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model;
	pcclResult_t result = pcclSuccess;
	pcclDiloco_t *engine;
	uint64_t start_ns;

	me->config.heartbeat_timeout_ms = 1500 * peers_patience();
	engine = join_training(me, run, &model);
	if (me->index == 0) {
		training_steps(&model, engine, run->settings.interval + 5);
		start_ns = peers_now_ns();
		CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
		peer_tell(me, TOLD_COUNT, (peers_now_ns() - start_ns) / WORLD_MS_NS);
		peer_reach(me, MILESTONE_DONE);
	} else {
		peer_wait_peer(me, 0, MILESTONE_DONE);
		while (result == pcclSuccess) {
			training_step(&model);
			result = pcclDilocoStep(engine, 1);
		}
		CHECK_RESULT(pcclTimeout, result);
		CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	}
	peer_meet(me, run->peers);
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	peer_meet(me, run->peers);
	peer_leave(me);
}

static void an_end_waits_for_nobody_who_does_not_step(void **state)
{
	struct training_run run = training_plain(pcclDilocoDelayed);

	run.peers = 2;
	run_bodies(state, &run, one_ends_in_a_round);
	assert_in_range(peers_told(*state, 0, TOLD_COUNT), 1000, 4000 * peers_patience());
}

/* ---- several engines ------------------------------ */

static void has_several(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	pcclDilocoSettings_t settings = run->settings;
	struct training_model model, other;
	pcclDiloco_t *engine = join_training(me, run, &model), *second;
	int64_t sum;

	training_init(&other, me->index + 7);
	for (settings.tag = run->settings.tag - 65; settings.tag <= run->settings.tag + 65; settings.tag += 65)
		CHECK_RESULT(pcclInvalidArgument,
			     pcclDilocoCreate(me->comm, other.tensors, TRAINING_TENSORS, &settings, &second));
	CHECK(last_error_has(me, "overlap those of another engine"));
	CHECK_RESULT(pcclInvalidArgument, peer_sum(me, run->settings.tag + 65, 1, &sum));
	CHECK(last_error_has(me, "is one of an engine's"));
	CHECK_RESULT(pcclSuccess, peer_sum(me, run->settings.tag + 66, 1, &sum));
	settings.tag = run->settings.tag + 66;
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, other.tensors, TRAINING_TENSORS, &settings, &second));
	training_steps(&model, engine, 15);
	training_steps(&other, second, 15);
	CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(second));
	CHECK_RESULT(pcclPendingAsyncOps, pcclUpdateTopology(me->comm));
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	CHECK_RESULT(pcclSuccess, pcclUpdateTopology(me->comm));
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(second));
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, other.tensors, TRAINING_TENSORS, &settings, &second));
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(second));
	leave_training(me, run, engine);
}

static void engines_have_tags_of_their_own(void **state)
{
	const struct training_run run = training_plain(pcclDilocoDelayed);

	run_bodies(state, &run, has_several);
	training_expect_alike(*state, run.peers);
}

/* An engine that is ended after its communicator, by a program that does not read manuals. */
static void ends_late(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model;
	pcclDiloco_t *engine = join_training(me, run, &model);

	training_steps(&model, engine, 12);
	peer_meet(me, run->peers);
	peer_leave(me);
	CHECK_RESULT(pcclInvalidUsage, pcclDilocoStep(engine, 1));
	CHECK_RESULT(pcclInvalidUsage, pcclDilocoFlush(engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
}

static void an_engine_may_be_ended_after_its_communicator(void **state)
{
	const struct training_run run = training_plain(pcclDilocoSynchronous);

	run_bodies(state, &run, ends_late);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(joint_calls_go_beside_delayed_rounds),
		CASE(joint_calls_go_beside_streams),
		CASE(joint_calls_go_between_synchronous_rounds),
		CASE(joint_calls_go_beside_a_quorum),
		CASE(what_is_no_number_stays_with_who_has_it),
		CASE(it_does_in_eager_mode),
		CASE(it_does_in_streams),
		CASE(outer_parameters_stay_numbers),
		CASE(weights_have_a_finite_sum),
		CASE(a_failed_round_leaves_a_state),
		CASE(an_end_waits_for_nobody_who_does_not_step),
		CASE(engines_have_tags_of_their_own),
		CASE(an_engine_may_be_ended_after_its_communicator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
