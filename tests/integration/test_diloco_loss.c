/* Engines of several peers: members that are lost in any mode, and checkpoints. */
#include <pccl/diloco.h>
#include <pccl/state.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/training.h"

enum { MILESTONE_KILL = 1 };

/* ---- losses ------------------------------ */

static void trains_on(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model;
	pcclDiloco_t *engine;
	unsigned step;

	peer_join(me);
	peer_grow(me, run->peers);
	training_init(&model, me->index);
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &run->settings, &engine));
	for (step = 1; step <= run->steps; step++) {
		training_step(&model);
		CHECK_RESULT(pcclSuccess, pcclDilocoStep(engine, 1));
		/* The last one goes on until it dies, in whatever it is doing. */
		if (step == run->kill_at)
			peer_reach(me, MILESTONE_KILL);
	}
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_reach(me, MILESTONE_KILL + 1);
	if (run->kill_at != 0 && me->index == run->peers - 1)
		pause();
	peer_meet(me, run->kill_at != 0 ? run->peers - 1 : run->peers);
	peer_leave(me);
}

static void lose_one(void **state, const struct training_run *run)
{
	const unsigned survivors = run->peers - 1;
	struct world *world = *state;
	unsigned i;

	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, run->peers, trains_on, run);
	peers_await(world, survivors, MILESTONE_KILL);
	peers_signal(world, survivors, SIGKILL);
	peers_finish(world);
	training_expect_alike(world, survivors);
	for (i = 0; i < survivors; i++)
		assert_int_equal(peers_told(world, i, TOLD_STEPS), run->steps);
	print_message("repeated %llu, alone %llu of %llu rounds\n",
		      (unsigned long long)peers_told(world, 0, TOLD_REPEATED),
		      (unsigned long long)peers_told(world, 0, TOLD_ALONE),
		      (unsigned long long)peers_told(world, 0, TOLD_ROUNDS));
}

static struct training_run long_run(pcclDilocoMode_t mode)
{
	struct training_run run = training_plain(mode);

	run.steps = 4000;
	run.settings.interval = 4;
	run.kill_at = 203;
	run.settings.error_feedback = true;
	run.settings.codec = pcclQuantInt4;
	if (mode == pcclDilocoStreaming) {
		run.settings.interval = 6;
		run.settings.fragments = 3;
		run.settings.overlap = 5; /* two or three rounds are in flight at any time */
		run.settings.codec = pcclQuantE3M0;
	}
	return run;
}

static void survivors_of_synchronous_training_have_the_same_bits(void **state)
{
	struct training_run run = long_run(pcclDilocoSynchronous);

	run.peers = 4;
	lose_one(state, &run);
}

static void survivors_of_delayed_training_have_the_same_bits(void **state)
{
	const struct training_run run = long_run(pcclDilocoDelayed);

	lose_one(state, &run);
}

static void survivors_of_eager_training_have_the_same_bits(void **state)
{
	const struct training_run run = long_run(pcclDilocoEager);

	lose_one(state, &run);
}

static void survivors_of_streaming_have_the_same_bits(void **state)
{
	const struct training_run run = long_run(pcclDilocoStreaming);

	lose_one(state, &run);
}

static void who_is_left_alone_goes_on(void **state)
{
	struct training_run run = long_run(pcclDilocoSynchronous);

	run.peers = 2;
	lose_one(state, &run);
	assert_true(peers_told(*state, 0, TOLD_ALONE) > 0);
}

/* ---- checkpoints ------------------------------ */

/* Saves in the middle, goes on; then a new engine goes on from what was saved, to the same end. */
static void resumes(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	struct training_model model, saved, again;
	pcclDiloco_t *engine;
	pcclSharedState_t *state;
	char path[64];

	(void)snprintf(path, sizeof(path), "/tmp/pccl-diloco-%ld.safetensors", (long)getpid());
	peer_join(me);
	peer_grow(me, run->peers);
	training_init(&model, peer_rank(me));
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &run->settings, &engine));
	training_steps(&model, engine, 47);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK_RESULT(pcclSuccess, pcclStateSave(state, path, NULL));
	saved = model;
	training_steps(&model, engine, 30);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	training_init(&again, peer_rank(me));
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, again.tensors, TRAINING_TENSORS, &run->settings, &engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK_RESULT(pcclSuccess, pcclStateLoad(state, path, NULL));
	CHECK_RESULT(pcclSuccess, pcclDilocoResume(engine, false));
	memcpy(again.values, saved.values, sizeof(again.values));
	again.step = saved.step;
	training_steps(&again, engine, 30);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	CHECK(memcmp(again.values, model.values, sizeof(model.values)) == 0);
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	CHECK(unlink(path) == 0);
	peer_meet(me, run->peers);
	peer_leave(me);
}

static void resume(void **state, pcclDilocoMode_t mode)
{
	struct training_run run = training_plain(mode);
	struct world *world = *state;

	run.peers = 2;
	run.settings.error_feedback = true;
	run.settings.codec = pcclQuantInt8;
	if (mode == pcclDilocoStreaming) {
		run.settings.fragments = 2;
		run.settings.overlap = 3;
	}
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, run.peers, resumes, &run);
	peers_finish(world);
	training_expect_alike(world, run.peers);
}

static void training_resumes_from_a_checkpoint(void **state)
{
	resume(state, pcclDilocoSynchronous);
}

static void delayed_training_resumes_from_a_checkpoint(void **state)
{
	resume(state, pcclDilocoDelayed);
}

static void eager_training_resumes_from_a_checkpoint(void **state)
{
	resume(state, pcclDilocoEager);
}

static void streaming_resumes_from_a_checkpoint(void **state)
{
	resume(state, pcclDilocoStreaming);
}

/* All die after they have saved; others go on from the files, in the schedule's place, as the first would have done. */
static void survives_all(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	const bool is_second = me->index >= run->peers;
	struct training_model model;
	pcclDiloco_t *engine;
	pcclSharedState_t *state;
	char path[64];

	peer_join(me);
	peer_grow(me, run->peers);
	(void)snprintf(path, sizeof(path), "/tmp/pccl-diloco-%ld-%u.safetensors", (long)getppid(), peer_rank(me));
	training_init(&model, peer_rank(me));
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &run->settings, &engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	if (is_second) {
		CHECK_RESULT(pcclSuccess, pcclStateLoad(state, path, NULL));
		CHECK_RESULT(pcclSuccess, pcclDilocoResume(engine, true));
		CHECK(unlink(path) == 0);
		model.step = 47;
	} else {
		training_steps(&model, engine, 47);
		CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
		CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
		CHECK_RESULT(pcclSuccess, pcclStateSave(state, path, NULL));
		CHECK_RESULT(pcclSuccess, pcclDilocoResume(engine, true));
	}
	training_steps(&model, engine, 30);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	training_tell(me, engine);
	peer_reach(me, MILESTONE_KILL);
	if (!is_second)
		pause();
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_reach(me, MILESTONE_KILL + 1);
	peer_wait_peer(me, 2 * run->peers - 1, MILESTONE_KILL + 1);
	peer_wait_peer(me, run->peers, MILESTONE_KILL + 1);
	peer_leave(me);
}

static void all_may_die_if_a_checkpoint_is_left(void **state)
{
	struct training_run run = training_plain(pcclDilocoStreaming);
	struct world *world = *state;
	unsigned i;

	run.peers = 2;
	run.settings.fragments = 3;
	run.settings.overlap = 6;
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, run.peers, survives_all, &run);
	peers_await_all(world, 0, run.peers, MILESTONE_KILL);
	for (i = 0; i < run.peers; i++)
		peers_signal(world, i, SIGKILL);
	peers_kill_master(world, 0);
	peers_restart_master(world, 0, WORLD_PROGRAM);
	peers_start(world, run.peers, survives_all, &run);
	peers_finish(world);
	for (i = 0; i < run.peers; i++) {
		assert_int_equal(peers_told(world, i, TOLD_STEPS), 77);
		assert_int_equal(peers_told(world, run.peers + i, TOLD_STEPS), 77);
		assert_int_equal(peers_told(world, run.peers + i, TOLD_OUTER), peers_told(world, 0, TOLD_OUTER));
	}
}

/* ---- newcomers ------------------------------ */

static void share_state(struct world_peer *me, pcclDiloco_t *engine)
{
	pcclSharedState_t *state;

	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK_RESULT(pcclSuccess, pcclSynchronizeSharedState(me->comm, state,
							     PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, NULL));
}

/* Two train, and a third comes in the middle of their schedule, with parameters of its own. */
static void admits_a_newcomer(struct world_peer *me)
{
	const struct training_run *run = (const struct training_run *)me->argument;
	const bool is_newcomer = me->index == 2;
	struct training_model model;
	pcclDiloco_t *engine;

	training_init(&model, me->index);
	if (is_newcomer) {
		model.values[3] = 77;
		peer_wait_gate(me, 1);
	}
	peer_join(me);
	if (!is_newcomer)
		peer_grow(me, 2);
	CHECK_RESULT(pcclSuccess, pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &run->settings, &engine));
	if (!is_newcomer) {
		training_steps(&model, engine, 47);
		CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
		peer_reach(me, MILESTONE_KILL);
		peer_grow(me, 3);
	}
	share_state(me, engine);
	if (is_newcomer) {
		CHECK_RESULT(pcclSuccess, pcclDilocoResume(engine, true));
		CHECK(model.values[3] != 77);
	}
	training_steps(&model, engine, 60);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_meet(me, 3);
	peer_leave(me);
}

static void admit(void **state, pcclDilocoMode_t mode)
{
	struct training_run run = training_plain(mode);
	struct world *world = *state;
	unsigned i;

	run.settings.error_feedback = true;
	run.settings.codec = pcclQuantInt8;
	if (mode == pcclDilocoStreaming) {
		run.settings.fragments = 2;
		run.settings.overlap = 3;
	}
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, 3, admits_a_newcomer, &run);
	peers_await_all(world, 0, 2, MILESTONE_KILL);
	peers_open_gate(world, 1);
	peers_finish(world);
	for (i = 1; i < 3; i++)
		assert_int_equal(peers_told(world, i, TOLD_OUTER), peers_told(world, 0, TOLD_OUTER));
}

static void a_newcomer_trains_with_the_others(void **state)
{
	admit(state, pcclDilocoSynchronous);
}

static void a_newcomer_is_eager_with_the_others(void **state)
{
	admit(state, pcclDilocoEager);
}

static void a_newcomer_streams_with_the_others(void **state)
{
	admit(state, pcclDilocoStreaming);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(survivors_of_synchronous_training_have_the_same_bits),
		CASE(survivors_of_delayed_training_have_the_same_bits),
		CASE(survivors_of_eager_training_have_the_same_bits),
		CASE(survivors_of_streaming_have_the_same_bits),
		CASE(who_is_left_alone_goes_on),
		CASE(training_resumes_from_a_checkpoint),
		CASE(delayed_training_resumes_from_a_checkpoint),
		CASE(eager_training_resumes_from_a_checkpoint),
		CASE(streaming_resumes_from_a_checkpoint),
		CASE(all_may_die_if_a_checkpoint_is_left),
		CASE(a_newcomer_trains_with_the_others),
		CASE(a_newcomer_is_eager_with_the_others),
		CASE(a_newcomer_streams_with_the_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
