/* Rounds that do not wait for everybody: slow peers do less, sleeping ones nothing for a while, dead ones nothing. */
#include <pccl/diloco.h>
#include <signal.h>
#include <string.h>

#include "lib/check.h"
#include "lib/peers.h"
#include "lib/training.h"

#define PEERS 3
#define ROUNDS 12

enum { MILESTONE_KILL = 1, MILESTONE_LATER };
enum { TOLD_MISSED = TOLD_ALONE + 1, TOLD_WEIGHTS, TOLD_OWN_WEIGHT, TOLD_OWN_STEPS };
enum role { ALL_ALIKE, ONE_SLOW, ONE_SLEEPS, ONE_DIES };

struct quorum_run {
	struct training_run training;
	enum role role;
};

static pcclDilocoStatistics_t statistics_of(pcclDiloco_t *engine)
{
	pcclDilocoStatistics_t statistics = PCCL_DILOCO_STATISTICS_INITIALIZER;

	CHECK_RESULT(pcclSuccess, pcclDilocoGetStatistics(engine, &statistics));
	return statistics;
}

/* The weights of the last round: all of them, and this peer's. */
static void tell_weights(struct world_peer *me, pcclDiloco_t *engine)
{
	pcclDilocoParticipant_t participants[PEERS];
	pcclRankUuid_t uuid;
	size_t count, i;
	uint64_t weights = 0;

	CHECK_RESULT(pcclInvalidArgument, pcclDilocoGetParticipants(engine, NULL, 1, &count));
	CHECK_RESULT(pcclSuccess, pcclDilocoGetParticipants(engine, participants, PEERS, &count));
	CHECK_RESULT(pcclSuccess, pcclGetUuid(me->comm, &uuid));
	CHECK(count <= PEERS);
	for (i = 0; i < count; i++) {
		weights = weights * 1000 + (uint64_t)participants[i].weight;
		if (memcmp(&uuid, &participants[i].uuid, sizeof(uuid)) == 0)
			peer_tell(me, TOLD_OWN_WEIGHT, (uint64_t)participants[i].weight);
	}
	peer_tell(me, TOLD_WEIGHTS, weights);
}

static void trains_by_rounds(struct world_peer *me)
{
	const struct quorum_run *run = (const struct quorum_run *)me->argument;
	const bool is_last = me->index == PEERS - 1;
	struct training_model model;
	pcclDiloco_t *engine;
	pcclSharedState_t *state;
	bool has_slept = run->role != ONE_SLEEPS || !is_last;

	peer_join(me);
	peer_grow(me, PEERS);
	training_init(&model, me->index);
	CHECK_RESULT(pcclSuccess,
		     pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &run->training.settings, &engine));
	while (statistics_of(engine).rounds < ROUNDS) {
		training_step(&model);
		peers_sleep_ms(run->role == ONE_SLOW && is_last ? 6 : 1);
		if (!has_slept && statistics_of(engine).rounds >= 2) {
			has_slept = true;
			peer_wait_peer(me, 0, MILESTONE_LATER);
		}
		CHECK_RESULT(pcclSuccess, pcclDilocoStep(engine, 1));
		if (statistics_of(engine).rounds >= 3)
			peer_reach(me, MILESTONE_KILL);
		if (statistics_of(engine).rounds >= 6)
			peer_reach(me, MILESTONE_LATER);
	}
	tell_weights(me, engine);
	peer_tell(me, TOLD_OWN_STEPS, statistics_of(engine).steps);
	CHECK_RESULT(pcclPendingAsyncOps, pcclDilocoState(engine, &state));
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK_RESULT(pcclSuccess, pcclDilocoResume(engine, false));
	while (statistics_of(engine).rounds < ROUNDS + 2) { /* on, from a new beginning */
		training_step(&model);
		CHECK_RESULT(pcclSuccess, pcclDilocoStep(engine, 1));
	}
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
	peer_tell(me, TOLD_MISSED, statistics_of(engine).missed);
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_meet(me, run->role == ONE_DIES ? PEERS - 1 : PEERS);
	peer_leave(me);
}

static void run_with(struct world *world, enum role role, unsigned interval, unsigned grace_ms)
{
	struct quorum_run run = {.training = training_plain(pcclDilocoSynchronous), .role = role};
	const unsigned survivors = role == ONE_DIES ? PEERS - 1 : PEERS;
	unsigned i;

	run.training.settings.interval = interval;
	run.training.settings.quorum = 2;
	run.training.settings.grace_ms = grace_ms;
	run.training.settings.error_feedback = true;
	run.training.settings.codec = pcclQuantInt8;
	peers_start_master(world, WORLD_PROGRAM);
	peers_start(world, PEERS, trains_by_rounds, &run);
	if (role == ONE_DIES) {
		peers_await(world, PEERS - 1, MILESTONE_KILL);
		peers_signal(world, PEERS - 1, SIGKILL);
	}
	peers_finish(world);
	training_expect_alike(world, survivors);
	for (i = 1; i < survivors; i++)
		assert_int_equal(peers_told(world, i, TOLD_WEIGHTS), peers_told(world, 0, TOLD_WEIGHTS));
}

static void peers_of_one_pace_are_all_in_every_round(void **state)
{
	unsigned i;

	run_with(*state, ALL_ALIKE, 5, 5000);
	for (i = 0; i < PEERS; i++) {
		assert_int_equal(peers_told(*state, i, TOLD_MISSED), 0);
		assert_true(peers_told(*state, i, TOLD_OWN_WEIGHT) > 0);
	}
}

/* Who is slow comes when it is called, with less. */
static void a_slow_peer_does_fewer_steps(void **state)
{
	run_with(*state, ONE_SLOW, 20, 5000);
	assert_int_equal(peers_told(*state, PEERS - 1, TOLD_MISSED), 0);
	assert_true(peers_told(*state, PEERS - 1, TOLD_OWN_STEPS) < peers_told(*state, 0, TOLD_OWN_STEPS) ||
		    peers_told(*state, PEERS - 1, TOLD_OWN_STEPS) < peers_told(*state, 1, TOLD_OWN_STEPS));
	assert_true(peers_told(*state, PEERS - 1, TOLD_OWN_WEIGHT) > 0);
}

/* Rounds go on without who sleeps in a step; it catches up, and what it had done counts. */
static void a_sleeping_peer_is_done_without(void **state)
{
	run_with(*state, ONE_SLEEPS, 5, 10);
	assert_true(peers_told(*state, PEERS - 1, TOLD_MISSED) > 0);
}

static void who_dies_is_not_waited_for(void **state)
{
	run_with(*state, ONE_DIES, 5, 5000);
}

/* ---- newcomers ------------------------------ */

static void train_until(struct training_model *model, pcclDiloco_t *engine, uint64_t rounds)
{
	while (statistics_of(engine).rounds < rounds)
		training_steps(model, engine, 1);
	CHECK_RESULT(pcclSuccess, pcclDilocoFlush(engine));
}

static void trains_with_a_newcomer(struct world_peer *me)
{
	const struct quorum_run *run = (const struct quorum_run *)me->argument;
	const bool is_newcomer = me->index == PEERS - 1;
	struct training_model model;
	pcclSharedState_t *state;
	pcclDiloco_t *engine;

	training_init(&model, me->index);
	if (is_newcomer)
		peer_wait_gate(me, 1);
	peer_join(me);
	if (!is_newcomer)
		peer_grow(me, PEERS - 1);
	CHECK_RESULT(pcclSuccess,
		     pcclDilocoCreate(me->comm, model.tensors, TRAINING_TENSORS, &run->training.settings, &engine));
	if (!is_newcomer) {
		train_until(&model, engine, 4);
		peer_reach(me, MILESTONE_KILL);
		peer_grow(me, PEERS);
	}
	CHECK_RESULT(pcclSuccess, pcclDilocoState(engine, &state));
	CHECK_RESULT(pcclSuccess, pcclSynchronizeSharedState(me->comm, state,
							     PCCL_SHARED_STATE_SYNC_STRATEGY_ENFORCE_POPULAR, NULL));
	if (is_newcomer)
		CHECK_RESULT(pcclSuccess, pcclDilocoResume(engine, true));
	train_until(&model, engine, statistics_of(engine).rounds + 4);
	training_tell(me, engine);
	CHECK_RESULT(pcclSuccess, pcclDilocoDestroy(engine));
	peer_meet(me, PEERS);
	peer_leave(me);
}

static void a_newcomer_comes_to_rounds_with_a_quorum(void **state)
{
	struct quorum_run run = {.training = training_plain(pcclDilocoSynchronous)};
	unsigned i;

	run.training.settings.quorum = 2;
	run.training.settings.grace_ms = 5000;
	peers_start_master(*state, WORLD_PROGRAM);
	peers_start(*state, PEERS, trains_with_a_newcomer, &run);
	peers_await_all(*state, 0, PEERS - 1, MILESTONE_KILL);
	peers_open_gate(*state, 1);
	peers_finish(*state);
	for (i = 1; i < PEERS; i++)
		assert_int_equal(peers_told(*state, i, TOLD_OUTER), peers_told(*state, 0, TOLD_OUTER));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, peers_open, peers_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(peers_of_one_pace_are_all_in_every_round), CASE(a_slow_peer_does_fewer_steps),
		CASE(a_sleeping_peer_is_done_without),		CASE(who_dies_is_not_waited_for),
		CASE(a_newcomer_comes_to_rounds_with_a_quorum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
